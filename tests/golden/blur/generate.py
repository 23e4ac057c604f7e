"""Golden numbers for blurred and downsampled images, made by SciPy in float64.

    python tests/golden/blur/generate.py [--out DIR]

Images are `pattern` of seed 1, measurements of seed 2; 23x30 pixels unless said otherwise. For each of
`kernels` (`uneven` 4x5 without any symmetry; `gaussian`, sigma 1.3; `motion`, length 7.5 at 25 degrees;
`box` 3x6) `circular_KERNEL.npy` is `scipy.ndimage.convolve(image, kernel, mode="wrap")`,
`valid_KERNEL.npy` is `scipy.signal.convolve2d(image, kernel, mode="valid")`, and `adjoint_KERNEL.npy`
the transpose of that applied to a measurement. `tikhonov.npy` is 1.01 times the minimiser of
|A u - y|^2 + 0.01 |A|^2 |u|^2 for the circular `gaussian`, by dense linear algebra.

`down_mean.npy` [8, 10] holds the means over 3x3 pixels of a 24x30 image, `down_uneven.npy` [8, 10] its
circular convolution with `uneven` at the rows and columns 1, 4, ...; `down_tikhonov.npy` [10, 14] is
1.01 A^T (A A^T + 0.01 |A|^2)^-1 y for downsampling by 2 with a 4x4 Gaussian of sigma 1.
"""

import argparse
import json
import pathlib

import numpy as np
import scipy
import scipy.ndimage
import scipy.signal

HERE = pathlib.Path(__file__).parent
SIZE = (23, 30)
SIGMA, LENGTH, ANGLE = 1.3, 7.5, 25.0


def pattern(count, seed):
    """Numbers in [-1, 1) that are exact in float32."""
    i = np.arange(count, dtype=np.uint64)
    return ((i * i * 31 + i * 7919 + seed * 104729) % 1021).astype(np.float64) / 512 - 510 / 512


def image(shape, seed):
    return pattern(int(np.prod(shape)), seed).reshape(shape)


def uneven():
    """Rows of integers, before normalisation; what the test writes into a file."""
    return (np.arange(1, 21) ** 2 % 11).astype(np.float64).reshape(4, 5)


def gaussian(sigma):
    radius = int(4 * sigma + 0.5)
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.outer(line, line)


def motion(length, degrees):
    """1 - distance to the segment, by the nearest of many points of the segment."""
    half = (length - 1) / 2
    turn = np.deg2rad(degrees)
    reach = 6
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(reach, -reach - 1, -1))
    distance = np.full(x.shape, np.inf)
    for s in np.linspace(-half, half, 200_001):
        distance = np.minimum(distance, (x - s * np.cos(turn)) ** 2 + (y - s * np.sin(turn)) ** 2)
    kernel = np.maximum(1 - np.sqrt(distance), 0)
    used_rows, used_columns = np.nonzero(kernel.any(1))[0], np.nonzero(kernel.any(0))[0]
    return kernel[used_rows[0] : used_rows[-1] + 1, used_columns[0] : used_columns[-1] + 1]


def kernels():
    made = {"uneven": uneven(), "gaussian": gaussian(SIGMA), "motion": motion(LENGTH, ANGLE), "box": np.ones((3, 6))}
    return {name: kernel / kernel.sum() for name, kernel in made.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default=HERE, type=pathlib.Path, help="directory to write to (default: this one)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    def save(name, values):
        np.save(out / f"{name}.npy", np.ascontiguousarray(values, np.float64))

    x = image(SIZE, 1)
    sizes = {}
    made = kernels()
    for name, kernel in made.items():
        sizes[name] = list(kernel.shape)
        save(f"circular_{name}", scipy.ndimage.convolve(x, kernel, mode="wrap"))
        valid = scipy.signal.convolve2d(x, kernel, mode="valid")
        save(f"valid_{name}", valid)
        y = image(valid.shape, 2)
        adjoint = scipy.signal.correlate2d(y, kernel, mode="full")
        assert adjoint.shape == SIZE
        assert abs((adjoint * x).sum() - (valid * y).sum()) < 1e-10
        save(f"adjoint_{name}", adjoint)
    filtered = scipy.ndimage.gaussian_filter(x, SIGMA, mode="wrap", truncate=4.0)
    assert np.abs(filtered - scipy.ndimage.convolve(x, made["gaussian"], mode="wrap")).max() < 1e-12

    fine = image((24, 30), 1)
    save("down_mean", fine.reshape(8, 3, 10, 3).mean((1, 3)))
    save("down_uneven", scipy.ndimage.convolve(fine, made["uneven"], mode="wrap")[1::3, 1::3])

    units = np.eye(x.size).reshape(x.size, *SIZE)
    matrix = np.stack([scipy.ndimage.convolve(u, made["gaussian"], mode="wrap").ravel() for u in units], 1)
    norm = np.linalg.norm(matrix, 2)
    normal = matrix.T @ matrix + 0.01 * norm**2 * np.eye(x.size)
    save("tikhonov", 1.01 * np.linalg.solve(normal, matrix.T @ image(SIZE, 2).ravel()).reshape(SIZE))
    # A regularised inverse of downsampling by 2 with a 4x4 Gaussian of sigma 1, likewise.
    kernel = np.outer(*[np.exp(-0.5 * (np.arange(4) - 1.5) ** 2)] * 2)
    kernel /= kernel.sum()
    small = (10, 14)
    units = np.eye(140).reshape(140, *small)
    matrix = np.stack([scipy.ndimage.convolve(u, kernel, mode="wrap")[::2, ::2].ravel() for u in units], 1)
    norm = np.linalg.norm(matrix, 2)
    inverse = 1.01 * matrix.T @ np.linalg.inv(matrix @ matrix.T + 0.01 * norm**2 * np.eye(35))
    save("down_tikhonov", (inverse @ image((5, 7), 2).ravel()).reshape(small))
    versions = {"numpy": np.__version__, "scipy": scipy.__version__}
    (out / "case.json").write_text(json.dumps({"kernel_sizes": sizes, "versions": versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
