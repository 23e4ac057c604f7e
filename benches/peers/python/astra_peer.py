"""Times ASTRA's CPU projector `linear` and its adjoint, on as many threads as ASTRA takes."""

import math

import astra
import numpy as np

import peer


def prepare(name, arguments):
    found = peer.ray_benchmark(name)
    if not found:
        return None
    direction, size, views, bins = found
    # In units of a pixel; the detector spans sqrt(2) times the image, as ours does.
    volume = astra.create_vol_geom(size, size)
    angles = np.pi * np.arange(views) / views
    detector = astra.create_proj_geom("parallel", math.sqrt(2) * size / bins, bins, angles)
    projector = astra.create_projector("linear", detector, volume)
    random = np.random.default_rng(0)
    image = astra.data2d.create("-vol", volume, random.standard_normal((size, size), dtype=np.float32))
    sinogram = astra.data2d.create("-sino", detector, random.standard_normal((views, bins), dtype=np.float32))
    settings = astra.astra_dict("FP" if direction == "forward" else "BP")
    settings["ProjectorId"] = projector
    settings["ProjectionDataId"] = sinogram
    if direction == "forward":
        settings["VolumeDataId"] = image
    else:
        settings["ReconstructionDataId"] = image
    algorithm = astra.algorithm.create(settings)
    return lambda: astra.algorithm.run(algorithm), {"threads": 1, "version": f"astra {astra.__version__}"}


if __name__ == "__main__":
    peer.run("astra", prepare, __doc__)
