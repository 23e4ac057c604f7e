"""Writes fourier.json beside itself: discrete Fourier transforms by NumPy in float64.

    python tests/golden/fourier/make_fourier.py

The input is a formula that float32 holds exactly, so no array of it is stored; of large results some
places are.
"""

import json
import pathlib
import platform

import numpy as np

# Rows, columns; places of the result that are stored: all of them, or these rows and columns.
CASES = [
    ((1, 15), None),
    ((1, 17), None),
    ((1, 45), None),
    ((1, 101), None),
    ((6, 7), None),
    ((37, 64), ([0, 1, 18, 36], [0, 1, 5, 31, 32, 63])),
    ((210, 96), ([0, 1, 104, 105, 209], [0, 1, 47, 48, 95])),
]


def values(count):
    """Real and imaginary parts, multiples of 1/512 in [-1, 1)."""
    j = np.arange(2 * count, dtype=np.int64)
    numbers = (7919 * j * j + 104729 * j + 12345) % 1021
    parts = numbers / 512 - 1
    return parts[:count] + 1j * parts[count:]


cases = []
for (rows, columns), crop in CASES:
    x = values(rows * columns).reshape(rows, columns)
    crop_rows, crop_columns = crop or (list(range(rows)), list(range(columns)))
    for inverse in [False, True]:
        y = (np.fft.ifft2 if inverse else np.fft.fft2)(x, norm="ortho")
        part = y[np.ix_(crop_rows, crop_columns)].ravel()
        cases.append({
            "rows": rows,
            "columns": columns,
            "inverse": inverse,
            "crop_rows": crop_rows,
            "crop_columns": crop_columns,
            "norm": float(np.linalg.norm(y)),
            "real": part.real.tolist(),
            "imaginary": part.imag.tolist(),
        })
versions = {"python": platform.python_version(), "numpy": np.__version__}
path = pathlib.Path(__file__).with_name("fourier.json")
path.write_text(json.dumps({"cases": cases, "versions": versions}) + "\n")
