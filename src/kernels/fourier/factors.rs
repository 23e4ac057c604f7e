//! Into which factors a size is divided.

/// Primes that butterflies are written for; sizes with others go by way of a convolution.
const PRIMES: [usize; 6] = [2, 3, 5, 7, 11, 13];

/// Whether butterflies alone compute a size.
pub fn is_smooth(mut n: usize) -> bool {
    for p in PRIMES {
        while n.is_multiple_of(p) {
            n /= p;
        }
    }
    n == 1
}

/// The product with the lowest cost among the ways to write `n` as an ordered product of factors
/// from 2 to `largest`; `cost(done, factor)` is that of a factor after the product `done`. `None` if
/// there is no way of finite cost. The empty product of 1 costs nothing.
pub fn cheapest(
    n: usize,
    largest: usize,
    cost: &dyn Fn(usize, usize) -> f64,
) -> Option<Vec<usize>> {
    fn search(
        done: usize,
        rest: usize,
        largest: usize,
        cost: &dyn Fn(usize, usize) -> f64,
        known: &mut std::collections::HashMap<usize, (f64, usize)>,
    ) -> f64 {
        if rest == 1 {
            return 0.0;
        }
        // What is left determines what is done.
        if let Some(&(found, _)) = known.get(&rest) {
            return found;
        }
        let mut best = (f64::INFINITY, 0);
        for factor in (2..=largest.min(rest)).filter(|f| rest.is_multiple_of(*f)) {
            let first = cost(done, factor);
            let total = first + search(done * factor, rest / factor, largest, cost, known);
            if total < best.0 {
                best = (total, factor);
            }
        }
        known.insert(rest, best);
        best.0
    }
    let mut known = std::collections::HashMap::new();
    if search(1, n, largest, cost, &mut known).is_infinite() {
        return None;
    }
    let (mut rest, mut factors) = (n, Vec::new());
    while rest > 1 {
        let (_, factor) = known[&rest];
        factors.push(factor);
        rest /= factor;
    }
    Some(factors)
}

/// The size of the convolution that stands for a transform of `n` points: the smallest multiple of
/// `step` from `2 n - 1` on that butterflies compute.
pub fn convolution_size(n: usize, step: usize) -> usize {
    let first = (2 * n - 1).next_multiple_of(step);
    let sizes = (first..).step_by(step);
    // Powers of two are among them.
    sizes.into_iter().find(|&m| is_smooth(m)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smooth_sizes() {
        let rough = (1..60).filter(|&n| !is_smooth(n));
        let expected = [
            17, 19, 23, 29, 31, 34, 37, 38, 41, 43, 46, 47, 51, 53, 57, 58, 59,
        ];
        assert_eq!(rough.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_cheapest_product_has_fewest_and_even_factors() {
        let cost = |_: usize, factor: usize| 100.0 + factor as f64;
        assert_eq!(cheapest(1, 32, &cost), Some(vec![]));
        let product = |n| cheapest(n, 32, &cost).map(|f| f.iter().product());
        for n in (1..2049).filter(|&n| is_smooth(n)) {
            assert_eq!(product(n), Some(n));
        }
        let mut factors = cheapest(320, 32, &cost).unwrap();
        factors.sort_unstable();
        assert_eq!(factors, [16, 20]);
        assert_eq!(cheapest(17, 16, &cost), None);
        assert_eq!(
            cheapest(2 * 64, 32, &|_, f| if f == 2 { 0.6 } else { 1.0 }),
            Some(vec![4, 32])
        );
    }

    #[test]
    fn convolutions_are_long_enough_and_computable() {
        for n in [17, 37, 361, 1021, 2039] {
            for step in [1, 16] {
                let m = convolution_size(n, step);
                assert!(m >= 2 * n - 1 && is_smooth(m) && m.is_multiple_of(step));
                assert!(m < 2 * n - 1 + 2 * n.max(2 * step), "{n}: {m}");
            }
        }
    }
}
