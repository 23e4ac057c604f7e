"""Times in PyTorch, float32, on the CPU: a 3x3 convolution and its gradients, the ray transform as a sparse
matrix, the Fourier transform of a complex plane, and one training step of the learned proximal gradient network.

The network is the one of `tests/golden/reference.py`, whose numbers the crate is tested against; a step is
forward, backward and Adam, 8 blocks, 50 views, batch 1. The equivariant network expands its kernels from the
complete basis in every step.
"""

import math
import re
import warnings

import numpy as np
import torch

import peer
from reference import LearnedProximalGradient, RayTransform, joseph_matrix, loss

BLOCKS = 8
VIEWS = 50


def sparse(matrix):
    warnings.filterwarnings("ignore", message="Sparse")  # PyTorch calls its compressed rows a beta
    matrix = matrix.tocsr()
    matrix.sort_indices()
    parts = torch.tensor(matrix.indptr), torch.tensor(matrix.indices), torch.tensor(matrix.data, dtype=torch.float32)
    return torch.sparse_csr_tensor(*parts, size=matrix.shape)


def squared_norm(matrix, iterations=50):
    """Largest eigenvalue of A^T A by power iteration."""
    x = np.ones(matrix.shape[1])
    for _ in range(iterations):
        x = matrix.T @ (matrix @ (x / np.linalg.norm(x)))
    return np.linalg.norm(x)


def convolution(direction, inputs, outputs, size):
    """Zero padding: PyTorch would pad by replication in a pass of its own."""
    x = torch.randn(1, inputs, size, size)
    weight = torch.randn(outputs, inputs, 3, 3) / (3 * inputs**0.5)
    output_gradient = torch.randn(1, outputs, size, size)

    def backward(wanted):
        settings = [outputs], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
        return lambda: torch.ops.aten.convolution_backward(output_gradient, x, weight, *settings)

    return {
        "forward": lambda: torch.nn.functional.conv2d(x, weight, padding=1),
        "input_gradient": backward([True, False, False]),
        "weight_gradient": backward([False, True, False]),
    }[direction]


def ray(direction, size, views, bins):
    matrix = joseph_matrix((size, size), peer.FIELD_OF_VIEW, views, bins)
    matrix = sparse(matrix if direction == "forward" else matrix.T)
    x = torch.randn(matrix.shape[1])
    return lambda: matrix @ x


def step(group, width, side):
    size, bins = (side, side), math.ceil(math.sqrt(2) * side)
    matrix = joseph_matrix(size, peer.FIELD_OF_VIEW, VIEWS, bins)
    ray = RayTransform(sparse(matrix), sparse(matrix.T), size, (VIEWS, bins))
    scale = float(1 / squared_norm(matrix))
    del matrix
    # The peak while the matrix was built: it must lie below that of the steps to be left out of it.
    fields = {"setup_rss_mib": peer.peak_rss_mib()}
    truth = torch.rand(1, 1, *size)
    sinogram = ray.forward(truth)

    network = LearnedProximalGradient(group, width, BLOCKS, torch.float32)
    parameters = []
    for name, shape in network.layout:
        # The intermediate layer starts at zero, as published; the time of a step does not depend on it.
        zero = len(shape) == 1 or "intermediate" in name
        values = torch.zeros(shape) if zero else torch.randn(shape) / math.sqrt(shape[1] * shape[2])
        parameters.append(values.requires_grad_(True))
    # Capturable: a CUDA graph can hold the step (torch_cuda.py); on the CPU it would be refused.
    optimiser = torch.optim.Adam(parameters, lr=1e-4, capturable=parameters[0].is_cuda)

    def work():
        optimiser.zero_grad()
        value = loss(network(ray, sinogram, scale, parameters)[-1][:, :1], truth)
        value.backward()
        optimiser.step()

    return work, fields


def prepare(name, arguments):
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    fields = {"threads": torch.get_num_threads(), "version": f"torch {torch.__version__}"}
    if found := re.fullmatch(r"conv3x3/(forward|input_gradient|weight_gradient)/(\d+)-(\d+)/(\d+)", name):
        work = convolution(found[1], *map(int, found.groups()[1:]))
        return torch.no_grad()(work), fields
    if found := peer.ray_benchmark(name):
        return torch.no_grad()(ray(*found)), fields
    if found := re.fullmatch(r"fft2/(\d+)(?:x(\d+))?", name):
        x = torch.randn(int(found[1]), int(found[2] or found[1]), dtype=torch.complex64)
        return torch.no_grad()(lambda: torch.fft.fft2(x, norm="ortho")), fields
    if found := re.fullmatch(r"step/ct/(C1|C2|C4)/(\d+)/(\d+)", name):
        work, more = step(found[1], int(found[2]), int(found[3]))
        return work, {**fields, **more}
    return None


if __name__ == "__main__":
    peer.run("pytorch", prepare, __doc__)
