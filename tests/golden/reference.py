"""Independent reference in NumPy and PyTorch: Joseph's ray transform, the complete kernel bases of
C1, C2 and C4, and the learned proximal gradient network of Celledoni et al. 2021 (Algorithm 2).

Written from the formulas alone, so that agreement with the crate means something. `generate.py` makes
the golden numbers with it in float64; `benches/peers/python` times it in float32.
"""

import math

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F

SLOPE = 0.01  # of the leaky ReLU
MEMORY = 5  # channels handed from block to block beside the image


# Ray transform


def joseph_matrix(image_size, field_of_view, views, bins, bin_width=None):
    """Joseph's ray-driven parallel-beam projector as a sparse float64 matrix, [views * bins, rows * columns].

    Pixel (r, c) has its centre at x = (c - (columns-1)/2) h, y = ((rows-1)/2 - r) h, with
    h = field_of_view / columns in metres. View k has the angle theta = pi k / views; its rays run
    along (-sin theta, cos theta) at detector coordinate s = x cos theta + y sin theta; bin b is
    centred at s = (b - (bins-1)/2) w, w = sqrt(2) field_of_view / bins unless it is given.
    A ray nearer to vertical crosses every row at one point, where the image is interpolated
    linearly between the two nearest columns (zero outside); a step has the length h / |cos theta|.
    The other rays do the same with rows and columns exchanged.
    """
    rows, columns = image_size
    h = field_of_view / columns
    w = math.sqrt(2) * field_of_view / bins if bin_width is None else bin_width
    s = ((np.arange(bins) - (bins - 1) / 2) * w)[:, None]
    row, column = np.arange(rows)[None, :], np.arange(columns)[None, :]
    ray_parts, pixel_parts, weight_parts = [], [], []
    for view in range(views):
        theta = math.pi * view / views
        cos, sin = math.cos(theta), math.sin(theta)
        if abs(cos) >= abs(sin):
            y = ((rows - 1) / 2 - row) * h
            crossing = (s - y * sin) / cos / h + (columns - 1) / 2
            length, limit = h / abs(cos), columns
        else:
            x = (column - (columns - 1) / 2) * h
            crossing = (rows - 1) / 2 - (s - x * cos) / sin / h
            length, limit = h / abs(sin), rows
        lower = np.floor(crossing).astype(np.int64)
        upper_share = crossing - lower
        for neighbour, share in ((lower, 1 - upper_share), (lower + 1, upper_share)):
            pixel = row * columns + neighbour if abs(cos) >= abs(sin) else neighbour * columns + column
            ray = np.broadcast_to(view * bins + np.arange(bins)[:, None], pixel.shape)
            inside = (neighbour >= 0) & (neighbour < limit) & (share > 0)
            ray_parts.append(ray[inside])
            pixel_parts.append(pixel[inside])
            weight_parts.append(length * share[inside])
    entries = (np.concatenate(weight_parts), (np.concatenate(ray_parts), np.concatenate(pixel_parts)))
    return scipy.sparse.csr_matrix(entries, shape=(views * bins, rows * columns))


class RayTransform:
    """The matrix as maps between images [N, 1, H, W] and sinograms [N, 1, views, bins].

    The matrix may be dense, or sparse in compressed rows together with its transpose.
    """

    def __init__(self, matrix, transpose, image_size, sinogram_size):
        self.matrix, self.transpose = matrix, transpose
        self.image_size, self.sinogram_size = tuple(image_size), tuple(sinogram_size)

    def forward(self, image):
        return _Linear.apply(image.flatten(1), self.matrix, self.transpose).unflatten(1, (1, *self.sinogram_size))

    def adjoint(self, sinogram):
        return _Linear.apply(sinogram.flatten(1), self.transpose, self.matrix).unflatten(1, (1, *self.image_size))


class _Linear(torch.autograd.Function):
    """x -> x matrix^T row by row, for dense and sparse matrices alike; the gradient uses the transpose."""

    @staticmethod
    def forward(context, x, matrix, transpose):
        context.transpose = transpose
        return (matrix @ x.T).T.contiguous()

    @staticmethod
    def backward(context, gradient):
        return (context.transpose @ gradient.T).T.contiguous(), None, None


# Groups and kernels


def group_order(group):
    """Number of elements of `C1`, `C2` or `C4`: the cyclic groups that map the pixel grid to itself."""
    order = {"C1": 1, "C2": 2, "C4": 4}.get(group)
    if order is None:
        raise ValueError(f"group {group}: no complete basis here, use C1, C2 or C4")
    return order


def orbit_basis(order, out_size, in_size, size=3):
    """Complete basis of the kernels with k(Rx) = rho_out(R) k(x) rho_in(R)^-1, [elements, out, in, row, column].

    `out_size` and `in_size` are 1 (trivial representation) or `order` (regular representation).
    rho permutes, so the solutions are the kernels constant on the orbits of the joint action on
    (out, in, row, column). The orbits come in the order of their smallest flat index; each
    indicator is scaled to unit norm. Element g of the group turns by g * 360 / order degrees
    counter-clockwise, y up, rows growing downward.
    """

    def act(g, index):
        o, i, row, column = np.unravel_index(index, shape)
        for _ in range(g * 4 // order if order > 1 else 0):
            # A quarter turn takes (x, y) = (column - c, c - row) to (-y, x).
            row, column = size - 1 - column, row
        return np.ravel_multi_index(((o + g) % out_size, (i + g) % in_size, row, column), shape)

    shape = (out_size, in_size, size, size)
    basis, seen = [], set()
    for index in range(math.prod(shape)):
        if index in seen:
            continue
        orbit = {int(act(g, index)) for g in range(order)}
        seen |= orbit
        element = np.zeros(math.prod(shape))
        element[list(orbit)] = 1 / math.sqrt(len(orbit))
        basis.append(element.reshape(shape))
    return np.stack(basis)


def expand_kernel(weight, basis):
    """Ordinary kernel [O * out, I * in, size, size] of field weights [O, I, elements]: channel = field * order + g."""
    kernel = torch.einsum("oib,bpqyx->opiqyx", weight, basis)
    o, p, i, q, y, x = kernel.shape
    return kernel.reshape(o * p, i * q, y, x)


# Network


class LearnedProximalGradient:
    """Structure of the network; the parameters are passed to each call.

    width: channels of the hidden layers, order * fields.
    """

    def __init__(self, group, width, blocks, dtype):
        self.order = group_order(group)
        if width % self.order:
            raise ValueError(f"width {width} is not a multiple of {self.order}, the order of {group}")
        self.blocks, fields, regular = blocks, width // self.order, self.order
        shapes = [
            ("lift", fields, 2 + MEMORY, orbit_basis(self.order, regular, 1)),
            ("intermediate", fields, fields, orbit_basis(self.order, regular, regular)),
            ("projection", 1 + MEMORY, fields, orbit_basis(self.order, 1, regular)),
        ]
        self.bases = {name: torch.tensor(basis, dtype=dtype) for name, _, _, basis in shapes}
        self.layout = []  # (name, shape) in the order of the flat parameter vector
        for block in range(blocks):
            for name, out_fields, in_fields, basis in shapes:
                self.layout.append((f"{block}.{name}.weight", (out_fields, in_fields, len(basis))))
                self.layout.append((f"{block}.{name}.bias", (out_fields,)))

    def parameter_count(self):
        return sum(math.prod(shape) for _, shape in self.layout)

    def split(self, flat):
        """Tensors of `layout` as views of one flat vector."""
        parts = flat.split([math.prod(shape) for _, shape in self.layout])
        return [part.reshape(shape) for part, (_, shape) in zip(parts, self.layout)]

    def layer(self, name, x, weight, bias):
        """3x3 cross-correlation with replicate padding; the bias of a field is added to each of its channels."""
        kernel = expand_kernel(weight, self.bases[name])
        channels_per_field = kernel.shape[0] // len(bias)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, bias.repeat_interleave(channels_per_field))

    def proximal(self, x, parameters):
        """One block, [N, 7, H, W] -> [N, 6, H, W]: K_project (id + phi K_intermediate) phi K_lift."""
        lift, intermediate, projection = parameters[0:2], parameters[2:4], parameters[4:6]
        hidden = F.leaky_relu(self.layer("lift", x, *lift), SLOPE)
        hidden = hidden + F.leaky_relu(self.layer("intermediate", hidden, *intermediate), SLOPE)
        return self.layer("projection", hidden, *projection)

    def __call__(self, ray, sinogram, scale, parameters):
        """Six channels (image, memory) after every block, a list of [N, 6, H, W]."""
        state = sinogram.new_zeros(len(sinogram), 1 + MEMORY, *ray.image_size)
        states = []
        for block in range(self.blocks):
            image, memory = state[:, :1], state[:, 1:]
            gradient = ray.adjoint(ray.forward(image) - sinogram) * scale
            state = self.proximal(torch.cat([image, gradient, memory], 1), parameters[6 * block : 6 * block + 6])
            states.append(state)
        return states


def loss(reconstruction, truth):
    """Half the mean squared error over all elements of the batch."""
    return 0.5 * (reconstruction - truth).square().mean()
