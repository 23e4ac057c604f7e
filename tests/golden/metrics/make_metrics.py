"""Reference values of PSNR, SSIM and NMSE, computed by scikit-image in double precision.

Needs numpy and scikit-image. Writes `metrics.json` beside this script. The images are defined by
integer arithmetic alone, so that the test builds the same ones without reading any file; every
value is a multiple of 2^-10 and therefore exact in float32.
"""

import json
import pathlib

import numpy as np
import skimage
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity


def pattern(h, w, seed):
    """A smooth ramp, a bright square and pseudo-random texture, in [0, 1)."""
    r, c = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    texture = (r * 7919 + c * 104729 + seed * 1299709) % 97
    square = (np.abs(2 * r - h) < h // 2) & (np.abs(2 * c - w) < w // 3)
    return (4 * (r + c) + 3 * texture + 300 * square) % 1024 / 1024.0


def case(h, w, seed, noise, data_range):
    reference = pattern(h, w, seed)
    r, c = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    error = (r * 31 + c * 17 + seed * 5) % (2 * noise + 1) - noise
    image = reference + error / 1024.0
    return {
        "h": h,
        "w": w,
        "seed": seed,
        "noise": noise,
        "data_range": data_range,
        "psnr": peak_signal_noise_ratio(reference, image, data_range=data_range),
        "psnr_peak": peak_signal_noise_ratio(reference, image, data_range=reference.max()),
        "ssim": structural_similarity(reference, image, data_range=data_range),
        "nmse": normalized_root_mse(reference, image) ** 2,
    }


cases = [
    case(7, 7, 0, 40, 1.0),
    case(7, 12, 1, 40, 1.0),
    case(16, 9, 2, 10, 2.0),
    case(33, 40, 3, 100, 1.0),
    case(64, 64, 4, 3, 2.0),
    case(64, 64, 4, 200, 0.75),
]
out = {"scikit_image": skimage.__version__, "numpy": np.__version__, "cases": cases}
path = pathlib.Path(__file__).with_name("metrics.json")
path.write_text(json.dumps(out, indent=1) + "\n")
