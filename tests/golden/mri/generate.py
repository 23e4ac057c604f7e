"""Golden numbers for sampled Fourier transforms, made by NumPy in float64.

    python tests/golden/mri/generate.py [--out DIR]

`SIZE_one_*.npy` are one coil, frequency 0 at entry (0, 0); `SIZE_coils_*.npy` are three coils,
centred. `*_forward.npy` and `*_adjoint.npy` hold [entries, 2] float64, real and imaginary part of
every entry whose index is a multiple of the stride in `case.json` (all entries, coil by coil, row by
row), and `case.json` the sum of squared moduli of all entries. Inputs are not stored: they follow
from `pattern`.

`small_kspace.npy` [2, 12, 10] complex64 is a noisy measurement with two coils; `small_cg_sense.npy`
and `small_tv.npy` [12, 10, 2] are the minimisers of |A u - y|^2 / (2 |A|^2) + w |u|^2 / 2 and of
|A u - y|^2 / (2 |A|^2) + w TV(u), with TV as in ../tv, real and imaginary part coupled.
"""

import argparse
import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
SIZES = [(320, 320), (37, 64), (210, 96)]
COILS = 3
ENTRIES = 1500
CG_WEIGHT, TV_WEIGHT = 2e-2, 1e-2


def pattern(count, seed):
    """Numbers in [-1, 1) that are exact in float32."""
    i = np.arange(count, dtype=np.uint64)
    return ((i * i * 31 + i * 7919 + seed * 104729) % 1021).astype(np.float64) / 512 - 510 / 512


def complex_pattern(shape, seed):
    """`pattern` read as alternating real and imaginary parts, as complex64 files hold them."""
    values = pattern(2 * int(np.prod(shape)), seed).reshape(*shape, 2)
    return values[..., 0] + 1j * values[..., 1]


def mask_of(rows, columns):
    """Whole lines: a centre of seven about frequency 0 at row 0, and some others."""
    row = np.arange(rows)
    lines = (np.minimum(row, rows - row) < 4) | (7 * row * row % 11 < 4)
    return np.repeat(lines[:, None], columns, axis=1)


def fft(x, centred):
    axes = (-2, -1)
    if not centred:
        return np.fft.fft2(x, norm="ortho")
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, axes), norm="ortho"), axes)


def ifft(y, centred):
    axes = (-2, -1)
    if not centred:
        return np.fft.ifft2(y, norm="ortho")
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(y, axes), norm="ortho"), axes)


def forward(x, mask, maps, centred):
    return mask * fft(maps * x, centred)


def adjoint(y, mask, maps, centred):
    return np.sum(np.conj(maps) * ifft(mask * y, centred), axis=0)


def large(out):
    cases = {}
    for rows, columns in SIZES:
        for name in ("one", "coils"):
            centred = name == "coils"
            mask = mask_of(rows, columns)
            if centred:
                maps = complex_pattern((COILS, rows, columns), 3)
                mask = np.fft.fftshift(mask)
            else:
                maps = np.ones((1, rows, columns))
            x = complex_pattern((rows, columns), 1)
            y = complex_pattern((len(maps), rows, columns), 2)
            ax, aty = forward(x, mask, maps, centred), adjoint(y, mask, maps, centred)
            left, right = np.vdot(y, ax), np.vdot(aty, x)
            assert abs(left - right) < 1e-10 * abs(left)
            for which, values in (("forward", ax), ("adjoint", aty)):
                flat = values.ravel()
                stride = max(1, len(flat) // ENTRIES) | 1  # odd: not the same column every time
                key = f"{rows}x{columns}_{name}_{which}"
                cases[key] = {"stride": stride, "energy": float(np.sum(np.abs(flat) ** 2))}
                kept = flat[::stride]
                np.save(out / f"{key}.npy", np.stack([kept.real, kept.imag], axis=-1))
    return cases


def differences(u):
    """Forward differences to the right and downwards, zero across the border."""
    right, down = np.zeros_like(u), np.zeros_like(u)
    right[:, :-1] = u[:, 1:] - u[:, :-1]
    down[:-1] = u[1:] - u[:-1]
    return np.stack([right, down])


def differences_adjoint(q):
    u = np.zeros_like(q[0])
    u[:, 1:] += q[0][:, :-1]
    u[:, :-1] -= q[0][:, :-1]
    u[1:] += q[1][:-1]
    u[:-1] -= q[1][:-1]
    return u


def total_variation(a, at, y, shape, sigma, iterations=60_000):
    """Chambolle and Pock's method, one step for both dual variables; |A| = 1, |D|^2 <= 8."""
    tau = 0.99 / (sigma * 9)
    u, p, q = np.zeros(shape, complex), np.zeros_like(y), np.zeros((2, *shape), complex)
    for _ in range(iterations):
        new = u - tau * (at(p) + differences_adjoint(q))
        ahead = 2 * new - u
        p = (p + sigma * (a(ahead) - y)) / (1 + sigma)
        q = q + sigma * differences(ahead)
        length = np.sqrt(np.sum(np.abs(q) ** 2, axis=0))
        q = q / np.maximum(1, length / TV_WEIGHT)
        u = new
    return u


def small(out):
    rows, columns, coils = 12, 10, 2
    rng = np.random.default_rng(5)
    r, c = np.mgrid[:rows, :columns]
    truth = ((r - 5) ** 2 + (c - 4) ** 2 < 12) * np.exp(0.1j * (r + 2 * c)) + 0.2
    angles = np.array([0.0, 2.0])[:, None, None]
    maps = np.exp(-0.03 * ((r - 5.5 - 5 * np.cos(angles)) ** 2 + (c - 4.5 - 5 * np.sin(angles)) ** 2))
    maps = (maps * np.exp(1j * (angles + 0.05 * r))).astype(np.complex64).astype(np.complex128)
    mask = mask_of(rows, columns)
    noise = rng.standard_normal((2, coils, rows, columns))
    y = mask * (fft(maps * truth, False) + 0.05 * (noise[0] + 1j * noise[1]))
    y = y.astype(np.complex64).astype(np.complex128)
    pixels = rows * columns
    units = np.eye(pixels).reshape(pixels, rows, columns)
    matrix = np.stack([forward(e, mask, maps, False).ravel() for e in units], axis=1)
    norm = np.linalg.norm(matrix, 2)
    a = lambda u: forward(u, mask, maps, False) / norm
    at = lambda v: adjoint(v, mask, maps, False) / norm
    matrix = matrix / norm
    normal = matrix.conj().T @ matrix + CG_WEIGHT * np.eye(pixels)
    sense = np.linalg.solve(normal, matrix.conj().T @ (y / norm).ravel()).reshape(rows, columns)
    tv = total_variation(a, at, y / norm, (rows, columns), 0.3)
    other = total_variation(a, at, y / norm, (rows, columns), 0.05)
    assert np.max(np.abs(tv - other)) < 1e-6, np.max(np.abs(tv - other))
    np.save(out / "small_kspace.npy", y.astype(np.complex64))
    np.save(out / "small_maps.npy", maps.astype(np.complex64))
    for name, image in (("cg_sense", sense), ("tv", tv)):
        np.save(out / f"small_{name}.npy", np.stack([image.real, image.imag], axis=-1))
    return {"norm": norm, "cg_weight": CG_WEIGHT, "tv_weight": TV_WEIGHT}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    cases = {"numpy": np.__version__, "small": small(out), **large(out)}
    (out / "case.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
