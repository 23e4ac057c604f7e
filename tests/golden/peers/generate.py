"""Golden numbers from scikit-image: filtered back-projection, total variation, PSNR and SSIM.

    pip install numpy scipy scikit-image
    python tests/golden/peers/generate.py [--out DIR]

- `sinogram`: 63 x 63 pixels of width 1, 48 views, 91 bins of width 1 (Joseph's ray transform, this
  directory's `reference.py`); with an odd number of pixels and bins the axes of `iradon` are those of the
  crate;
- `fbp_FILTER`: `skimage.transform.iradon` of it with linear interpolation;
- `noisy`, `tv`: a 40 x 33 image with noise, and `skimage.restoration.denoise_tv_chambolle` of it, the minimiser
  of |u - noisy|^2 / 2 + weight TV(u) (`weight` and the objective in `peers.json`);
- `peers.json`: PSNR and SSIM of these images by `skimage.metrics`, versions.
"""

import argparse
import json
import pathlib
import platform
import sys

import numpy as np
import scipy.ndimage
import skimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import denoise_tv_chambolle
from skimage.transform import iradon

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reference import joseph_matrix  # noqa: E402

SIZE, VIEWS, BINS, WEIGHT = 63, 48, 91, 0.1
FILTERS = {"ram-lak": "ramp", "shepp-logan": "shepp-logan", "cosine": "cosine", "hann": "hann"}


def total_variation(u):
    right, down = np.zeros_like(u), np.zeros_like(u)
    right[:, :-1], down[:-1] = np.diff(u, axis=1), np.diff(u, axis=0)
    return np.sqrt(right**2 + down**2).sum()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(21)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    truth = 0.4 * (x**2 + (1.3 * y) ** 2 < 24**2) + 0.5 * ((x - 7) ** 2 + (y + 5) ** 2 < 8**2)
    truth = scipy.ndimage.gaussian_filter(truth.astype(float), 0.7)
    matrix = joseph_matrix((SIZE, SIZE), SIZE, VIEWS, BINS, bin_width=1.0)
    sinogram = (matrix @ truth.ravel()).reshape(VIEWS, BINS).astype(np.float32)
    np.save(out / "sinogram.npy", sinogram)
    np.save(out / "truth.npy", truth.astype(np.float32))
    theta = 180 * np.arange(VIEWS) / VIEWS
    case = {"psnr": {}, "ssim": {}}

    def score(name, reference, image):
        reference, image = reference.astype(np.float64), image.astype(np.float64)
        case["psnr"][name] = peak_signal_noise_ratio(reference, image, data_range=reference.max())
        case["ssim"][name] = structural_similarity(reference, image, data_range=1.0)
        print(name, case["psnr"][name], case["ssim"][name])

    for name, window in FILTERS.items():
        image = iradon(sinogram.astype(np.float64).T, theta=theta, output_size=SIZE, filter_name=window, circle=False)
        np.save(out / f"fbp_{name}.npy", image)
        score(f"fbp_{name}", truth.astype(np.float32), image.astype(np.float32))

    clean = np.zeros((40, 33))
    clean[8:30, 5:22] = 0.7
    clean[15:36, 15:28] += 0.3
    noisy = (clean + 0.1 * random.standard_normal(clean.shape)).astype(np.float32)
    image = denoise_tv_chambolle(noisy.astype(np.float64), weight=WEIGHT, eps=0, max_num_iter=200_000)
    np.save(out / "clean.npy", clean.astype(np.float32))
    np.save(out / "noisy.npy", noisy)
    np.save(out / "tv.npy", image)
    score("noisy", clean.astype(np.float32), noisy)
    score("tv", clean.astype(np.float32), image.astype(np.float32))
    case["weight"] = WEIGHT
    case["objective"] = 0.5 * np.sum((image - noisy) ** 2) + WEIGHT * total_variation(image)
    case["versions"] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-image": skimage.__version__,
    }
    (out / "peers.json").write_text(json.dumps(case, indent=1) + "\n")


if __name__ == "__main__":
    main()
