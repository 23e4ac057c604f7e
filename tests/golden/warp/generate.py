"""Golden numbers for images moved by affine maps, made in float64.

    python tests/golden/warp/generate.py [--out DIR]

An image moves by p -> M p + o as (T f)(p) = f(M^-1 (p - o)): pixels about the image's centre, x to the
right and y up, bilinear, zero outside. `forward.npy` [maps, 23, 31] is T of the image by SciPy's
`affine_transform` (order 1, grid-constant zeros); `adjoint.npy`, the same shape, is T^t of it by
PyTorch's derivative of `grid_sample` (bilinear, zeros, align_corners=False). The script asserts that
both libraries agree on T. `case.json` has the maps, `M` row by row, and `o`. The image is not stored:
it follows from `pattern`.
"""

import argparse
import json
import math
import pathlib

import numpy as np
import scipy
import scipy.ndimage
import torch

HERE = pathlib.Path(__file__).parent
ROWS, COLUMNS = 23, 31
MAPS = {
    "turn": ([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]], [0.0, 0.0]),
    "turn_back": ([[math.cos(-2.5), -math.sin(-2.5)], [math.sin(-2.5), math.cos(-2.5)]], [0.0, 0.0]),
    "quarter_turn": ([[0.0, -1.0], [1.0, 0.0]], [0.0, 0.0]),
    "mirror": ([[-1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]),
    "shift": ([[1.0, 0.0], [0.0, 1.0]], [4.25, -2.6]),
    "shear": ([[1.0, 0.7], [0.0, 1.0]], [0.0, 0.0]),
    "larger": ([[2.2, 0.0], [0.0, 1.4]], [0.0, 0.0]),
    "smaller": ([[0.4, 0.0], [0.0, 0.7]], [0.0, 0.0]),
    "general": ([[0.9, -0.65], [0.3, -1.2]], [-3.3, 5.1]),
}


def pattern(count):
    """Numbers in [-1, 1) that are exact in float32."""
    i = np.arange(count, dtype=np.uint64)
    return ((i * i * 31 + i * 7919) % 1021).astype(np.float64) / 512 - 510 / 512


def scipy_warp(image, matrix, offset):
    """(row, column) of the source = A (row, column) + b."""
    inverse = np.linalg.inv(matrix)
    centre = np.array([(ROWS - 1) / 2, (COLUMNS - 1) / 2])
    # (row, column) about the centre to (x, y) and back.
    swap = np.array([[0.0, 1.0], [-1.0, 0.0]])
    a = swap.T @ inverse @ swap
    b = centre - a @ centre - swap.T @ inverse @ offset
    return scipy.ndimage.affine_transform(image, a, b, order=1, mode="grid-constant", cval=0.0)


def torch_warp(image, matrix, offset):
    """The grid holds (x, y) of the source, from -1 at the left and upper border to 1."""
    inverse = torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64))
    row, column = torch.meshgrid(
        torch.arange(ROWS, dtype=torch.float64),
        torch.arange(COLUMNS, dtype=torch.float64),
        indexing="ij",
    )
    points = torch.stack([column - (COLUMNS - 1) / 2, (ROWS - 1) / 2 - row], -1)
    source = (points - torch.tensor(offset, dtype=torch.float64)) @ inverse.T
    grid = torch.stack([source[..., 0] * 2 / COLUMNS, -source[..., 1] * 2 / ROWS], -1)
    return torch.nn.functional.grid_sample(
        image[None, None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False
    )[0, 0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    image = pattern(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    forward, adjoint = [], []
    for name, (matrix, offset) in MAPS.items():
        moved = scipy_warp(image, np.array(matrix), np.array(offset))
        x = torch.tensor(image, requires_grad=True)
        again = torch_warp(x, matrix, offset)
        difference = np.abs(moved - again.detach().numpy()).max()
        assert difference < 1e-12, (name, difference)
        assert np.abs(moved).max() > 0.5, name
        (again * torch.tensor(image)).sum().backward()
        forward.append(moved)
        adjoint.append(x.grad.numpy())
    np.save(out / "forward.npy", np.stack(forward))
    np.save(out / "adjoint.npy", np.stack(adjoint))
    case = {
        "rows": ROWS,
        "columns": COLUMNS,
        "maps": [{"name": n, "matrix": m, "offset": o} for n, (m, o) in MAPS.items()],
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "torch": torch.__version__},
    }
    (out / "case.json").write_text(json.dumps(case, indent=1) + "\n")


if __name__ == "__main__":
    main()
