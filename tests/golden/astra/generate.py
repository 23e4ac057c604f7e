"""Golden numbers from ASTRA's projectors on the processor: `linear` and `line` for parallel rays, `line_fanflat`
for a fan.

    pip install numpy astra-toolbox
    python tests/golden/astra/generate.py [--out DIR]

Lengths are in pixels, which are square: in others a step of ASTRA along a steep ray has the length for pixels as
high as they are wide. ASTRA's conventions are those of the crate otherwise, which the script asserts by drawing the
rays itself (`rays`) and summing Joseph's or Siddon's weights over them in float64 (`weights`):

- row 0 is the topmost; the pixels' and the bins' centres lie symmetrically about the axis;
- the view `a` looks along (sin a, -cos a), here its opposite, with the detector along (cos a, sin a); the source of
  a fan is at `source` (sin a, -cos a);
- `linear` is Joseph's method, `line` and `line_fanflat` are Siddon's.

For each case of `astra.json` (geometries, versions):
- `CASE/image` [rows, columns] f32: noise, so that no wrong weight can hide;
- `CASE/PROJECTOR` [views, bins] f32: its sinogram; `CASE/PROJECTOR_back` [rows, columns] f32: the transpose of
  that.

In the case `edges` every ray runs along edges of pixels or through their centres, by `linear` alone: `line` gives a
ray along edges to the pixels on one side or, by rounding, now the one and now the other.
"""

import argparse
import json
import math
import pathlib
import platform

import astra
import numpy as np

AROUND = [-2.9, -1.6, 0.7, 2.0, 3.3, 4.0, 6.2]


def half_turn(views, first):
    return [first + math.pi * view / views for view in range(views)]


def turn(views, first):
    return [first + 2 * math.pi * view / views for view in range(views)]


# Lengths in pixels. The offset is the detector coordinate of the detector's centre.
CASES = {
    "square": {"size": [37, 37], "angles": half_turn(9, 0.03), "bins": 59, "bin_width": 0.9, "offset": 0.0},
    "wide": {"size": [20, 31], "angles": half_turn(8, 0.1), "bins": 61, "bin_width": 0.61, "offset": 1.7},
    "tall": {"size": [31, 20], "angles": AROUND, "bins": 23, "bin_width": 1.7, "offset": -2.3},
    "edges": {"size": [12, 16], "angles": [0.0, math.pi / 2, math.pi, -math.pi / 2], "bins": 39, "bin_width": 0.5, "offset": 0.0},
    "fan": {"size": [33, 33], "angles": turn(9, 0.05), "bins": 59, "bin_width": 1.3, "offset": 0.0, "source": 40.0, "detector": 20.0},
    "fan-wide": {"size": [20, 31], "angles": AROUND, "bins": 41, "bin_width": 0.9, "offset": 2.6, "source": 24.0, "detector": 3.0},
}
PARALLEL, FAN = ["linear", "line"], ["line_fanflat"]


def projectors(name):
    return FAN if "source" in CASES[name] else PARALLEL[:1] if name == "edges" else PARALLEL


def projector(case, kind):
    volume = astra.create_vol_geom(*case["size"])
    arguments = [case["bin_width"], case["bins"], np.array(case["angles"])]
    if kind in FAN:
        geometry = astra.create_proj_geom("fanflat", *arguments, case["source"], case["detector"])
    else:
        geometry = astra.create_proj_geom("parallel", *arguments)
    if case["offset"]:
        geometry = astra.geom_postalignment(geometry, case["offset"] / case["bin_width"])
    return astra.create_projector(kind, geometry, volume), geometry, volume


def run(case, kind, image):
    """A sinogram by the projector, and its back-projection, in ASTRA's float32."""
    project, geometry, volume = projector(case, kind)
    images, sinograms = astra.data2d.create("-vol", volume, image), astra.data2d.create("-sino", geometry)
    back = astra.data2d.create("-vol", volume)
    for algorithm, result in (("FP", "VolumeDataId"), ("BP", "ReconstructionDataId")):
        settings = astra.astra_dict(algorithm)
        settings |= {"ProjectorId": project, "ProjectionDataId": sinograms, result: images if algorithm == "FP" else back}
        astra.algorithm.run(astra.algorithm.create(settings))
    return astra.data2d.get(sinograms), astra.data2d.get(back)


def rays(case):
    """A point of each ray and its direction."""
    for angle in case["angles"]:
        cos, sin = math.cos(angle), math.sin(angle)
        for bin in range(case["bins"]):
            d = (bin - (case["bins"] - 1) / 2) * case["bin_width"] + case["offset"]
            if "source" not in case:
                yield (d * cos, d * sin), (-sin, cos)
                continue
            source = (case["source"] * sin, -case["source"] * cos)
            place = (d * cos - case["detector"] * sin, d * sin + case["detector"] * cos)
            along = (place[0] - source[0], place[1] - source[1])
            length = math.hypot(*along)
            yield source, (along[0] / length, along[1] / length)


def weights(case, joseph):
    """The matrix by the definition of Joseph's method, or of Siddon's, in float64."""
    rows, columns = case["size"]
    row, column = np.mgrid[:rows, :columns]
    x, y = column - (columns - 1) / 2, (rows - 1) / 2 - row
    lines = []
    for (px, py), (dx, dy) in rays(case):
        if joseph:
            # From a pixel's centre to the ray, along the row of a steep ray, else along the column.
            across = (px - x + (y - py) * dx / dy) if abs(dy) >= abs(dx) else (py - y + (x - px) * dy / dx)
            lines.append(np.maximum(0, 1 - np.abs(across)) / max(abs(dx), abs(dy)))
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                enter = [np.minimum((c - 0.5 - p) / d, (c + 0.5 - p) / d) for c, p, d in ((x, px, dx), (y, py, dy))]
                leave = [np.maximum((c - 0.5 - p) / d, (c + 0.5 - p) / d) for c, p, d in ((x, px, dx), (y, py, dy))]
                lines.append(np.maximum(0, np.minimum(*leave) - np.maximum(*enter)))
    return np.stack(lines).reshape(-1, rows * columns)


def check(case, kind):
    """ASTRA adds up the steps along a ray in float32, so that the place where it crosses a line of pixels is off by
    some 1e-4 at the line's end, and so are Joseph's weights. Siddon's change by as much over the ray's slope."""
    project, _, _ = projector(case, kind)
    matrix = astra.matrix.get(astra.projector.matrix(project)).toarray()
    errors = np.abs(matrix - weights(case, kind == "linear")).max(axis=1)
    if kind != "linear":
        errors *= [min(abs(dx / dy), abs(dy / dx)) for _, (dx, dy) in rays(case)]
    assert errors.max() < 1e-4, (kind, errors.max())
    return errors.max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    out = parser.parse_args().out
    random = np.random.default_rng(31)
    for name, case in CASES.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        image = random.standard_normal(case["size"]).astype(np.float32)
        np.save(folder / "image.npy", image)
        for kind in projectors(name):
            print(name, kind, check(case, kind))
            for file, values in zip((kind, f"{kind}_back"), run(case, kind, image)):
                assert np.isfinite(values).all()
                np.save(folder / f"{file}.npy", np.ascontiguousarray(values, dtype=np.float32))
    versions = {"python": platform.python_version(), "numpy": np.__version__, "astra": astra.__version__}
    cases = {name: {**case, "projectors": projectors(name)} for name, case in CASES.items()}
    (out / "astra.json").write_text(json.dumps({"cases": cases, "versions": versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
