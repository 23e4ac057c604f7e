//! Ordinary convolutions.

use super::compared::{compare, noise, select, some_channels, wide};
use crate::bench::name::{Pass, convolution_shapes};
use crate::error::Result;
use crate::reference::conv2d;
use crate::shape::{Padding, Window};
use crate::tape::Tape;
use crate::tape::plan::{Options, Plan, Store};

/// What every benchmarked convolution reads of its image.
pub(super) const WINDOW: Window = Window::same(3, Padding::Replicate);

/// The plan of one pass, and why it differs from its twin if it does.
pub(super) fn convolution(
    store: &Store,
    pass: Pass,
    [input, output, size]: [usize; 3],
    options: Options,
) -> Result<(Plan, Option<String>)> {
    let [x, w, y] = convolution_shapes(input, output, size);
    let mut tape = Tape::new();
    // The two arguments, and the axis of each that the compared channels of the result select.
    let (arguments, result) = match pass {
        Pass::Forward => {
            let [a, b] = [tape.input("a", x), tape.input("b", w)];
            ([a, b], tape.conv2d(a, b, WINDOW)?)
        }
        Pass::InputGradient => {
            let [a, b] = [tape.input("a", y), tape.input("b", w)];
            ([a, b], tape.conv2d_input_gradient(a, b, WINDOW, x)?)
        }
        Pass::WeightGradient => {
            let [a, b] = [tape.input("a", x), tape.input("b", y)];
            ([a, b], tape.conv2d_weight_gradient(a, b, WINDOW)?)
        }
    };
    let plan = Plan::compile(&tape, &[result], store, options)?;
    let [a, b] = [0, 1].map(|k| noise(arguments[k].shape(), k as u32));
    plan.run(&[("a", &a), ("b", &b)])?;
    let found = plan.read(result)?;
    let mismatch = match pass {
        Pass::Forward => {
            let chosen = some_channels(output);
            let part = wide(&select(&b, w, 0, &chosen));
            let twin = conv2d::forward(&wide(&a), x, &part, w.with(0, chosen.len()), WINDOW);
            compare(&select(&found, y, 1, &chosen), &twin)
        }
        Pass::InputGradient => {
            let chosen = some_channels(input);
            let part = wide(&select(&b, w, 1, &chosen));
            let (w, to) = (w.with(1, chosen.len()), x.with(1, chosen.len()));
            let twin = conv2d::input_gradient(&wide(&a), y, &part, w, to, WINDOW);
            compare(&select(&found, x, 1, &chosen), &twin)
        }
        Pass::WeightGradient => {
            let (from, to) = (some_channels(input), some_channels(output));
            let (a, b) = (select(&a, x, 1, &from), select(&b, y, 1, &to));
            let (x, y) = (x.with(1, from.len()), y.with(1, to.len()));
            let part = w.with(0, to.len()).with(1, from.len());
            let twin = conv2d::weight_gradient(&wide(&a), x, &wide(&b), y, part, WINDOW);
            let rows = select(&found, w, 0, &to);
            compare(&select(&rows, w.with(0, to.len()), 1, &from), &twin)
        }
    };
    Ok((plan, mismatch))
}
