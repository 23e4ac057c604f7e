"""Makes every number in this directory, and checks the reference against closed forms on the way.

    python tests/golden/generate.py [--out DIR]
"""

import argparse
import json
import math
import pathlib
import platform

import numpy as np
import scipy
import scipy.ndimage
import torch
import torch.nn.functional as F

from reference import LearnedProximalGradient, RayTransform, joseph_matrix, loss, orbit_basis

FIELD_OF_VIEW = 0.36  # metres
STEPS = 10
VERSIONS = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__, "torch": torch.__version__}


class Output:
    def __init__(self, root):
        self.root = pathlib.Path(root)

    def array(self, name, values, dtype):
        path = self.root / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = values.detach().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
        assert np.isfinite(values).all(), name
        np.save(path, np.ascontiguousarray(values, dtype=dtype))

    def scalars(self, name, values):
        path = self.root / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**values, "versions": VERSIONS}, indent=1) + "\n")


def rounded(values):
    """float64 values that float32 represents exactly, so that both precisions start from the same input."""
    return np.asarray(values, np.float32).astype(np.float64)


def geometry(image_size, views, bins):
    return {
        "image_size": list(image_size),
        "field_of_view": FIELD_OF_VIEW,
        "pixel_width": FIELD_OF_VIEW / image_size[1],
        "views": views,
        "bins": bins,
        "bin_width": math.sqrt(2) * FIELD_OF_VIEW / bins,
    }


def smooth_images(random, shape, sigma):
    """Smooth random images in [0, 1], one for each leading index."""
    noise = random.standard_normal(shape)
    smooth = scipy.ndimage.gaussian_filter(noise, [0] * (len(shape) - 2) + [sigma, sigma])
    low, high = smooth.min((-2, -1), keepdims=True), smooth.max((-2, -1), keepdims=True)
    return rounded((smooth - low) / (high - low))


def check_ray_transform():
    """A Gaussian away from the centre has a closed-form ray transform; a sign or axis error moves its track."""
    rows, columns, views, bins, sigma, centre = 150, 120, 36, 171, 0.02, (0.07, 0.12)
    h = FIELD_OF_VIEW / columns
    x = (np.arange(columns) - (columns - 1) / 2)[None, :] * h
    y = ((rows - 1) / 2 - np.arange(rows))[:, None] * h
    image = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * sigma**2))
    sinogram = joseph_matrix((rows, columns), FIELD_OF_VIEW, views, bins) @ image.ravel()
    theta = np.pi * np.arange(views)[:, None] / views
    s = (np.arange(bins) - (bins - 1) / 2)[None, :] * math.sqrt(2) * FIELD_OF_VIEW / bins
    track = centre[0] * np.cos(theta) + centre[1] * np.sin(theta)
    exact = math.sqrt(2 * math.pi) * sigma * np.exp(-((s - track) ** 2) / (2 * sigma**2))
    error = np.abs(sinogram.reshape(views, bins) - exact).max() / exact.max()
    # Linear interpolation flattens the peak by up to (h / sigma)^2 / 8.
    assert error < (h / sigma) ** 2 / 8, error
    return error


def turn(field, g, representation):
    """(T_g f)(x) = rho(g) f(R^-1 x) on [N, fields * |rho|, H, W], g quarter turns counter-clockwise."""
    turned = torch.rot90(field, g, (2, 3))
    n, channels, h, w = turned.shape
    # rho(g) e_h = e_{gh}: channel h moves to g + h.
    return turned.reshape(n, channels // representation, representation, h, w).roll(g, 2).reshape(n, channels, h, w)


def check_equivariance(random):
    network = LearnedProximalGradient("C4", 8, 1, torch.float64)
    parameters = [torch.tensor(random.standard_normal(shape)) for _, shape in network.layout]
    worst = 0.0
    layers = (("lift", 7, 1, 4), ("intermediate", 8, 4, 4), ("projection", 8, 4, 1))
    for layer, (name, channels, before, after) in enumerate(layers):
        f = torch.tensor(random.standard_normal((2, channels, 11, 8)))
        weight, bias = parameters[2 * layer : 2 * layer + 2]
        expected = network.layer(name, f, weight, bias)
        for g in range(4):
            difference = network.layer(name, turn(f, g, before), weight, bias) - turn(expected, g, after)
            worst = max(worst, difference.abs().max().item())
    f = torch.tensor(random.standard_normal((2, 7, 11, 8)))
    for g in range(4):
        difference = network.proximal(turn(f, g, 1), parameters) - turn(network.proximal(f, parameters), g, 1)
        worst = max(worst, difference.abs().max().item())
    assert worst < 1e-12, worst
    return worst


def make_bases(out):
    shapes = {"lift": (4, 1, 9), "intermediate": (4, 4, 36), "projection": (1, 4, 9)}
    for name, (rows, columns, dimension) in shapes.items():
        basis = orbit_basis(4, rows, columns)
        assert len(basis) == dimension
        flat = basis.reshape(dimension, -1)
        assert np.abs(flat @ flat.T - np.eye(dimension)).max() < 1e-15
        out.array(f"basis/c4_{name}", basis, np.float64)
    # The trivial group's elements are the unit pixels in row-major order: an ordinary convolution.
    assert (orbit_basis(1, 1, 1).reshape(9, 9) == np.eye(9)).all()


def check_parameter_counts():
    counts = {group: LearnedProximalGradient(group, 96, 8, torch.float64).parameter_count() for group in ("C1", "C4")}
    assert counts == {"C1": 754_992, "C4": 188_784}, counts
    return counts


def make_ray(out, random):
    size, views, bins = (37, 37), 23, 59
    # Pixel noise on a smooth image: interpolation weights that are slightly off cannot hide.
    image = rounded(smooth_images(random, size, 3) + 0.3 * random.standard_normal(size))
    matrix = joseph_matrix(size, FIELD_OF_VIEW, views, bins).toarray()
    sinogram = matrix @ image.ravel()
    out.array("ray/image", image, np.float32)
    out.array("ray/sinogram", sinogram.reshape(views, bins), np.float64)
    out.array("ray/backprojection", (matrix.T @ sinogram).reshape(size), np.float64)
    norm = np.linalg.svd(matrix, compute_uv=False)[0]
    out.scalars("ray/ray", {**geometry(size, views, bins), "norm": norm, "gaussian_relative_error": check_ray_transform()})


CONVOLUTIONS = {
    "replicate_3x3": {"padding": "replicate", "size": 3, "stride": 1, "input": (2, 3, 11, 14)},
    "circular_5x5_stride2": {"padding": "circular", "size": 5, "stride": 2, "input": (2, 3, 12, 10)},
    "zero_7x7": {"padding": "zero", "size": 7, "stride": 1, "input": (2, 3, 9, 13)},
}


def make_convolutions(out, random):
    for name, case in CONVOLUTIONS.items():
        size, stride = case["size"], case["stride"]
        mode = "constant" if case["padding"] == "zero" else case["padding"]
        x = torch.tensor(rounded(random.standard_normal(case["input"])), requires_grad=True)
        weight = torch.tensor(rounded(random.standard_normal((4, 3, size, size)) / size), requires_grad=True)
        bias = torch.tensor(rounded(random.standard_normal(4)), requires_grad=True)
        output = F.conv2d(F.pad(x, [size // 2] * 4, mode=mode), weight, bias, stride=stride)
        output_gradient = torch.tensor(rounded(random.standard_normal(output.shape)))
        output.backward(output_gradient)
        inputs = {"input": x, "weight": weight, "bias": bias, "output_gradient": output_gradient}
        results = {"output": output, "input_gradient": x.grad, "weight_gradient": weight.grad, "bias_gradient": bias.grad}
        for array, values in inputs.items():
            out.array(f"conv/{name}/{array}", values, np.float32)
        for array, values in results.items():
            out.array(f"conv/{name}/{array}", values, np.float64)
        out.scalars(f"conv/{name}/case", {**case, "output": list(output.shape)})


def initial_parameters(network, random):
    """Random everywhere: with the published zeros in the intermediate layer some gradients would vanish."""
    parts = []
    for name, shape in network.layout:
        spread = 0.3 if name.endswith("bias") else 1 / math.sqrt(shape[1] * shape[2])
        parts.append(spread * random.standard_normal(math.prod(shape)))
    return rounded(np.concatenate(parts))


def train(network, ray, sinogram, truth, scale, flat):
    """Losses before each of the Adam steps and after the last; the first gradient; the states of step 0."""
    flat = flat.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([flat], lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    losses, first_gradient, first_states = [], None, None
    for step in range(STEPS + 1):
        optimiser.zero_grad()
        states = network(ray, sinogram, scale, network.split(flat))
        value = loss(states[-1][:, :1], truth)
        losses.append(value.item())
        if step == STEPS:
            break
        value.backward()
        if step == 0:
            first_gradient, first_states = flat.grad.clone(), [state.detach() for state in states]
        optimiser.step()
    return losses, first_gradient, first_states, flat.detach()


def check_gradient(network, ray, sinogram, truth, scale, flat, gradient, random):
    direction = torch.tensor(random.standard_normal(len(flat)))
    step = 1e-7  # short, so that no activation crosses its kink
    ends = [loss(network(ray, sinogram, scale, network.split(flat + sign * step * direction))[-1][:, :1], truth) for sign in (1, -1)]
    difference = (ends[0] - ends[1]).item() / (2 * step)
    expected = (gradient @ direction).item()
    assert abs(difference - expected) < 1e-6 * abs(expected), (difference, expected)


def structural_zeros(network):
    """Weights whose gradient is exactly zero: in the first block the image and memory channels enter as
    zeros, and the memory that leaves the last block is not used."""
    masks = []
    for name, shape in network.layout:
        zero = np.zeros(shape, bool)
        if name == "0.lift.weight":
            zero[:, [0, 2, 3, 4, 5, 6]] = True
        if name.startswith(f"{network.blocks - 1}.projection"):
            zero[1:] = True
        masks.append(zero.ravel())
    return np.concatenate(masks)


def relative(values, truth):
    return float((values.double() - truth).norm() / truth.norm())


def make_network_cases(out, random):
    size, views, bins, batch = (24, 20), 15, 31, 2
    matrix = joseph_matrix(size, FIELD_OF_VIEW, views, bins).toarray()
    norm = np.linalg.svd(matrix, compute_uv=False)[0]
    scale = 1 / norm**2
    truth = smooth_images(random, (batch, 1, *size), 2.5)
    clean = (truth.reshape(batch, -1) @ matrix.T).reshape(batch, views, bins)
    sinogram = rounded(clean + 0.01 * clean.max() * random.standard_normal(clean.shape))
    out.array("network/truth", truth, np.float32)
    out.array("network/sinogram", sinogram, np.float32)
    out.array("network/projected_truth", clean, np.float64)
    out.array("network/backprojected_sinogram", (sinogram.reshape(batch, -1) @ matrix).reshape(batch, 1, *size), np.float64)

    truth, sinogram = torch.tensor(truth), torch.tensor(sinogram)[:, None]
    for group in ("C1", "C4"):
        runs = {}
        for dtype in (torch.float64, torch.float32):
            network = LearnedProximalGradient(group, 8, 2, dtype)
            dense = torch.tensor(matrix, dtype=dtype)
            ray = RayTransform(dense, dense.T.contiguous(), size, (views, bins))
            if dtype == torch.float64:
                flat = torch.tensor(initial_parameters(network, random))
            arguments = network, ray, sinogram.to(dtype), truth.to(dtype), scale, flat.to(dtype)
            runs[dtype] = train(*arguments)
            if dtype == torch.float64:
                gradient = runs[dtype][1]
                check_gradient(*arguments, gradient, random)
        losses, gradient, states, trained = runs[torch.float64]
        assert ((gradient == 0).numpy() == structural_zeros(network)).all()
        # Adam divides by the gradient's size: an entry that cancels to nearly nothing would turn
        # float32 rounding into a full step. The seed was chosen so that none does.
        smallest = gradient[gradient != 0].abs().min().item()
        assert smallest > 5e-7, smallest
        single_losses, single_gradient, single_states, single_trained = runs[torch.float32]
        name = f"network/{group.lower()}"
        out.array(f"{name}/parameters", flat, np.float32)
        out.array(f"{name}/first_block", states[0], np.float64)
        out.array(f"{name}/reconstruction", states[-1][:, :1], np.float64)
        out.array(f"{name}/gradient", gradient, np.float64)
        out.array(f"{name}/parameters_after_{STEPS}_steps", trained, np.float64)
        offset, layout = 0, []
        for part, shape in network.layout:
            layout.append({"name": part, "shape": list(shape), "offset": offset})
            offset += math.prod(shape)
        out.scalars(
            f"{name}/case",
            {
                **geometry(size, views, bins),
                "norm": norm,
                "gradient_scale": scale,
                "group": group,
                "width": 8,
                "blocks": 2,
                "batch": batch,
                "adam": {"learning_rate": 1e-3, "betas": [0.9, 0.999], "epsilon": 1e-8},
                "loss": losses[0],
                "losses": losses,
                "parameter_count": offset,
                "zero_gradients": int((gradient == 0).sum()),
                "smallest_nonzero_gradient": smallest,
                "largest_gradient": gradient.abs().max().item(),
                # What the same program is off by in float32, relative, in the 2-norm (losses: the worst
                # of them; "largest": any one parameter, absolute). A guide for tolerances.
                "float32_error": {
                    "reconstruction": relative(single_states[-1][:, :1], states[-1][:, :1]),
                    "gradient": relative(single_gradient, gradient),
                    "losses": max(abs(a - b) / b for a, b in zip(single_losses, losses)),
                    "parameters_after": relative(single_trained, trained),
                    "parameters_after_largest": (single_trained.double() - trained).abs().max().item(),
                },
                "layout": layout,
            },
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default=pathlib.Path(__file__).parent, help="directory to write to (default: this one)")
    out = Output(parser.parse_args().out)
    torch.set_num_threads(1)  # one order of summation
    # A seed for each part, so that changing one leaves the others as they are.
    make_bases(out)
    make_ray(out, np.random.default_rng(1))
    make_convolutions(out, np.random.default_rng(2))
    make_network_cases(out, np.random.default_rng(7))
    out.scalars(
        "checks",
        {"equivariance_error": check_equivariance(np.random.default_rng(4)), "parameter_counts_width_96_blocks_8": check_parameter_counts()},
    )


if __name__ == "__main__":
    main()
