"""Golden numbers for total variation: minimisers of |A u - y|^2 / (2 |A|^2) + weight TV(u), over all
images and over u >= 0, on 16 x 12 pixels, by primal-dual iterations in float64 on a dense matrix.

TV is isotropic with forward differences between pixels, zero across the border. `l_curve` in `case.json`
has residual, penalty and curvature (parabolas through three neighbours on logarithms) of the minimisers
over all images, three weights a decade.

    python tests/golden/tv/generate.py [--out DIR]
"""

import argparse
import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reference import joseph_matrix  # noqa: E402

ROWS, COLUMNS, FIELD_OF_VIEW, VIEWS, BINS = 16, 12, 0.36, 12, 23
WEIGHT = 3e-3


def difference_matrix():
    """Dense D, [2 * pixels, pixels]: differences to the right neighbour, then to the lower one."""
    pixels = ROWS * COLUMNS
    index = np.arange(pixels).reshape(ROWS, COLUMNS)
    matrix = np.zeros((2, pixels, pixels))
    for field, here, there in ((0, index[:, :-1], index[:, 1:]), (1, index[:-1], index[1:])):
        matrix[field, here.ravel(), here.ravel()] = -1
        matrix[field, here.ravel(), there.ravel()] = 1
    return matrix.reshape(2 * pixels, pixels)


def total_variation(d, u):
    gradient = (d @ u).reshape(2, -1)
    return np.sum(np.sqrt(np.sum(gradient**2, axis=0)))


def objective(a, d, y, u):
    return 0.5 * np.sum((a @ u - y) ** 2) + WEIGHT * total_variation(d, u)


def minimise(a, d, y, nonnegative, sigma, weight=WEIGHT, iterations=60_000):
    """Chambolle and Pock's method with one step for both dual variables: tau sigma |(A, D)|^2 < 1."""
    k = np.vstack([a, d])
    tau = 0.99 / (sigma * np.linalg.norm(k, 2) ** 2)
    u, dual = np.zeros(a.shape[1]), np.zeros(len(k))
    for _ in range(iterations):
        new = u - tau * (k.T @ dual)
        if nonnegative:
            new = np.maximum(new, 0)
        dual = dual + sigma * (k @ (2 * new - u))
        data, smooth = dual[: len(a)], dual[len(a) :].reshape(2, -1)
        data = (data - sigma * y) / (1 + sigma)
        smooth = smooth / np.maximum(1, np.sqrt(np.sum(smooth**2, axis=0)) / weight)
        dual = np.concatenate([data, smooth.ravel()])
        u = new
    return u


def l_curve(a, d, y):
    """[weight, residual, penalty, curvature] over falling weights."""
    weights = 10.0 ** (-0.5 - np.arange(12) / 3)
    rows = []
    for weight in weights:
        # The dual variables have the size of the weight.
        sigma = np.clip(10 * weight, 1e-3, 1)
        u = minimise(a, d, y, False, sigma, weight, iterations=30_000)
        rows.append([float(weight), float(np.linalg.norm(a @ u - y)), float(total_variation(d, u))])
    t, x, z = np.log(np.maximum(np.array(rows), 1e-300)).T
    for i, row in enumerate(rows):
        # Large weights leave a constant image, whose penalty has no logarithm.
        if 0 < i < len(rows) - 1 and min(row[2] for row in rows[i - 1 : i + 2]) > 1e-6:
            parabolas = [np.polyfit(t[i - 1 : i + 2] - t[i], v[i - 1 : i + 2], 2) for v in (x, z)]
            (x2, x1, _), (z2, z1, _) = parabolas
            row.append(float(2 * (x1 * z2 - x2 * z1) / (x1**2 + z1**2) ** 1.5))
        else:
            row.append(None)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    a = joseph_matrix((ROWS, COLUMNS), FIELD_OF_VIEW, VIEWS, BINS).toarray()
    norm = np.linalg.norm(a, 2)
    random = np.random.default_rng(11)
    truth = np.zeros((ROWS, COLUMNS))
    truth[4:12, 3:9] = 0.6
    truth[6:9, 5:7] = 1
    clean = a @ truth.ravel()
    sinogram = (clean + 0.05 * clean.max() * random.standard_normal(len(clean))).astype(np.float32)
    a, y, d = a / norm, sinogram.astype(np.float64) / norm, difference_matrix()
    case = {
        "image_size": [ROWS, COLUMNS],
        "field_of_view": FIELD_OF_VIEW,
        "views": VIEWS,
        "bins": BINS,
        "weight": WEIGHT,
        "norm": norm,
        "objective": {},
    }
    np.save(out / "sinogram.npy", sinogram.reshape(VIEWS, BINS))
    for name, nonnegative in (("free", False), ("nonnegative", True)):
        u = minimise(a, d, y, nonnegative, sigma=0.05)
        other = minimise(a, d, y, nonnegative, sigma=0.02)
        error = np.abs(u - other).max()
        assert error < 1e-6, f"{name}: two step sizes differ by {error}"
        case["objective"][name] = objective(a, d, y, u)
        np.save(out / f"{name}.npy", u.reshape(ROWS, COLUMNS))
        print(name, case["objective"][name], "minimum", u.min(), "steps differ by", error)
    case["l_curve"] = l_curve(a, d, y)
    for row in case["l_curve"]:
        print(row)
    (out / "case.json").write_text(json.dumps(case, indent=2) + "\n")


if __name__ == "__main__":
    main()
