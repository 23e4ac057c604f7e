"""Golden numbers for the iterative solvers: the measurements of `../tv` (16 x 12 pixels, 12 views, 23
bins) reconstructed by SciPy and by an interior-point solver for cone programs, in float64 on the dense
matrix, all with the data term |A u - y|^2 / (2 |A|^2).

    pip install numpy scipy cvxpy PyWavelets
    python tests/golden/solvers/generate.py [--out DIR]

- `cgls_K`: LSQR after K steps (mathematically the iterates of CGLS), `scipy.sparse.linalg.lsqr`;
- `tikhonov`, `tikhonov_differences`: with weight |L u|^2 / 2, L the identity or D, by LSQR with damping
  and by `scipy.linalg.lstsq` on the stacked matrix;
- `tikhonov_nonnegative`: the same with D over u >= 0 by `scipy.optimize.nnls`;
- `haar`, `haar_nonnegative`, `daubechies4`: weight times the sum of the moduli of the details of two
  levels (PyWavelets' filters, periodic), over all images and over u >= 0, by Clarabel through CVXPY;
- `tv_cone`, `tgv`, `tgv_nonnegative`: total variation and total generalised variation of second order,
  likewise;
- `solvers.json`: the weights, the objectives, the corner of Tikhonov's L-curve by the singular values
  (Hansen 1992, eq. 18), the weight at which Tikhonov's residual is `noise`, versions.
"""

import argparse
import json
import pathlib
import platform
import sys

import cvxpy as cp
import numpy as np
import pywt
import scipy.linalg
import scipy.optimize
import scipy.sparse.linalg

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "tv"))
from generate import BINS, COLUMNS, FIELD_OF_VIEW, ROWS, VIEWS, difference_matrix  # noqa: E402
from reference import joseph_matrix  # noqa: E402

TIKHONOV, DIFFERENCES, WAVELET, TV, TGV, RATIO = 1e-2, 1e-2, 1e-3, 3e-3, 2e-3, 2.0


def analysis_1d(taps, n):
    """One level along n values: coarse values (and the last value of an odd n), then details."""
    pairs = n // 2
    matrix = np.zeros((n, n))
    high = [(-1) ** i * taps[len(taps) - 1 - i] for i in range(len(taps))]
    details = n - pairs
    for i in range(pairs):
        for j, (low_tap, high_tap) in enumerate(zip(taps, high)):
            matrix[i, (2 * i + j) % (2 * pairs)] += low_tap
            matrix[details + i, (2 * i + j) % (2 * pairs)] += high_tap
    if n % 2:
        matrix[pairs, n - 1] = 1
    return matrix


def wavelet_details(name, levels):
    """The rows of the orthogonal transform that are not the coarse image."""
    taps = pywt.Wavelet(name).rec_lo
    whole = np.eye(ROWS * COLUMNS)
    h, w = ROWS, COLUMNS
    for _ in range(levels):
        rows, columns = np.eye(ROWS), np.eye(COLUMNS)
        rows[:h, :h], columns[:w, :w] = analysis_1d(taps, h), analysis_1d(taps, w)
        # Only the coarse image goes on: transform its block, leave the rest.
        inside = np.zeros((ROWS, COLUMNS), bool)
        inside[:h, :w] = True
        level = np.where(inside.ravel()[:, None] & inside.ravel()[None], np.kron(rows, columns), np.eye(ROWS * COLUMNS))
        whole = level @ whole
        h, w = (h + 1) // 2, (w + 1) // 2
    assert np.abs(whole @ whole.T - np.eye(len(whole))).max() < 1e-10, name
    coarse = np.zeros((ROWS, COLUMNS), bool)
    coarse[:h, :w] = True
    return whole[~coarse.ravel()]


def tgv_matrices():
    """D restricted to pixels that have the neighbour, and E: D applied to both components."""
    pixels = ROWS * COLUMNS
    d = difference_matrix().reshape(2, pixels, pixels)
    column, row = np.tile(np.arange(COLUMNS), ROWS), np.repeat(np.arange(ROWS), COLUMNS)
    mask = np.stack([column + 1 < COLUMNS, row + 1 < ROWS]).astype(float)
    return d, mask


def minimise(a, y, penalty, nonnegative, extra=None):
    u = cp.Variable(a.shape[1])
    constraints = [u >= 0] if nonnegative else []
    objective = 0.5 * cp.sum_squares(a @ u - y) + penalty(u)
    problem = cp.Problem(cp.Minimize(objective), constraints)
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    assert problem.status in ("optimal", "optimal_inaccurate"), problem.status
    return np.asarray(u.value), problem.value


def tikhonov_curve(a, y):
    """The weight of the largest curvature of Tikhonov's L-curve, and the residual as a function of the weight."""
    left, values, _ = np.linalg.svd(a, full_matrices=False)
    beta = left.T @ y
    outside = y @ y - beta @ beta

    def norms(weight):
        filters = values**2 / (values**2 + weight)
        residual = np.sum(((1 - filters) * beta) ** 2) + outside
        image = np.sum((filters * beta / values) ** 2)
        return residual, image

    t = np.linspace(np.log(1e-7), np.log(10), 20001)
    x, z = np.array([np.log(norms(np.exp(v))) for v in t]).T / 2
    # |L u|^2 / 2 enters as penalty: only its slope on logarithms matters.
    z = 2 * z
    x1, z1 = np.gradient(x, t), np.gradient(z, t)
    x2, z2 = np.gradient(x1, t), np.gradient(z1, t)
    curvature = (x1 * z2 - x2 * z1) / (x1**2 + z1**2) ** 1.5
    inside = slice(2, -2)
    corner = np.exp(t[inside][np.argmax(curvature[inside])])
    return corner, lambda weight: np.sqrt(norms(weight)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    a = joseph_matrix((ROWS, COLUMNS), FIELD_OF_VIEW, VIEWS, BINS).toarray()
    norm = np.linalg.norm(a, 2)
    y = np.load(HERE.parent / "tv" / "sinogram.npy").astype(np.float64).ravel() / norm
    a /= norm
    d, pixels = difference_matrix(), ROWS * COLUMNS
    objectives = {}

    def save(name, image, objective=None):
        np.save(out / f"{name}.npy", np.asarray(image, np.float64).reshape(ROWS, COLUMNS))
        if objective is not None:
            objectives[name] = float(objective)
        print(f"{name:22} objective {objective}, minimum {image.min():.4f}")

    for steps in (3, 6):
        image = scipy.sparse.linalg.lsqr(a, y, atol=0, btol=0, conlim=0, iter_lim=steps)[0]
        save(f"cgls_{steps}", image, 0.5 * np.sum((a @ image - y) ** 2))

    def stacked(weight, matrix):
        full = np.vstack([a, np.sqrt(weight) * matrix])
        return full, np.concatenate([y, np.zeros(len(matrix))])

    full, right = stacked(TIKHONOV, np.eye(pixels))
    image = scipy.linalg.lstsq(full, right)[0]
    damped = scipy.sparse.linalg.lsqr(a, y, damp=np.sqrt(TIKHONOV), atol=1e-15, btol=1e-15, iter_lim=5000)[0]
    assert np.abs(image - damped).max() < 1e-9
    save("tikhonov", image, 0.5 * np.sum((full @ image - right) ** 2))
    full, right = stacked(DIFFERENCES, d)
    image = scipy.linalg.lstsq(full, right)[0]
    save("tikhonov_differences", image, 0.5 * np.sum((full @ image - right) ** 2))
    image = scipy.optimize.nnls(full, right)[0]
    save("tikhonov_nonnegative", image, 0.5 * np.sum((full @ image - right) ** 2))

    corner, residual = tikhonov_curve(a, y)
    noise = 1.2 * residual(1e-3)
    level = np.exp(scipy.optimize.brentq(lambda t: residual(np.exp(t)) - noise, np.log(1e-6), np.log(10)))
    print("corner", corner, "noise", noise * norm, "weight", level)

    def modulus(matrix):
        return lambda u: WAVELET * cp.norm1(matrix @ u)

    haar, daubechies = wavelet_details("haar", 2), wavelet_details("db2", 2)
    save("haar", *minimise(a, y, modulus(haar), False))
    save("haar_nonnegative", *minimise(a, y, modulus(haar), True))
    save("daubechies4", *minimise(a, y, modulus(daubechies), False))

    first, mask = tgv_matrices()

    def total_variation(u):
        return TV * cp.sum(cp.norm(cp.vstack([first[0] @ u, first[1] @ u]), 2, axis=0))

    def generalised(u):
        w = [cp.Variable(pixels), cp.Variable(pixels)]
        edges = [first[k] @ u - cp.multiply(mask[k], w[k]) for k in range(2)]
        mixed = (first[1] @ w[0] + first[0] @ w[1]) / np.sqrt(2)
        bends = [first[0] @ w[0], first[1] @ w[1], mixed]
        total = cp.sum(cp.norm(cp.vstack(edges), 2, axis=0)) + RATIO * cp.sum(cp.norm(cp.vstack(bends), 2, axis=0))
        return TGV * total

    save("tv_cone", *minimise(a, y, total_variation, False))
    save("tgv", *minimise(a, y, generalised, False))
    save("tgv_nonnegative", *minimise(a, y, generalised, True))

    case = {
        "tikhonov": TIKHONOV,
        "differences": DIFFERENCES,
        "wavelet": WAVELET,
        "tv": TV,
        "tgv": TGV,
        "ratio": RATIO,
        "l_curve": corner,
        "noise": noise * norm,
        "discrepancy": level,
        "objective": objectives,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "cvxpy": cp.__version__,
            "PyWavelets": pywt.__version__,
        },
    }
    (out / "solvers.json").write_text(json.dumps(case, indent=1) + "\n")


if __name__ == "__main__":
    main()
