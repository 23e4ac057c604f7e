"""Times one training step of the learned proximal gradient network in PyTorch, float32, on the CPU.

The network is the one of `tests/golden/reference.py`, whose numbers the crate is tested against; the
ray transform is a sparse matrix in compressed rows. A step is forward, backward and Adam.
"""

import argparse
import math
import pathlib
import sys
import warnings

import numpy as np
import torch

import timing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests" / "golden"))
from reference import LearnedProximalGradient, RayTransform, joseph_matrix, loss


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128, help="image rows and columns")
    parser.add_argument("--width", type=int, default=96, help="channels of the hidden layers")
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--group", default="C4", choices=["C1", "C2", "C4"], help="C1 is the ordinary network")
    parser.add_argument("--views", type=int, default=50)
    timing.add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    base_rss = timing.peak_rss_mib()

    torch.manual_seed(0)
    size, bins = (arguments.size, arguments.size), math.ceil(math.sqrt(2) * arguments.size)
    matrix = joseph_matrix(size, 0.36, arguments.views, bins)
    ray = RayTransform(sparse(matrix), sparse(matrix.T), size, (arguments.views, bins))
    scale = float(1 / squared_norm(matrix))
    del matrix
    setup_rss = timing.peak_rss_mib()
    truth = torch.rand(1, 1, *size)
    sinogram = ray.forward(truth)

    network = LearnedProximalGradient(arguments.group, arguments.width, arguments.blocks, torch.float32)
    parameters = []
    for name, shape in network.layout:
        # The intermediate layer starts at zero, as published; the time of a step does not depend on it.
        zero = len(shape) == 1 or "intermediate" in name
        values = torch.zeros(shape) if zero else torch.randn(shape) / math.sqrt(shape[1] * shape[2])
        parameters.append(values.requires_grad_(True))
    optimiser = torch.optim.Adam(parameters, lr=1e-4)

    def step():
        optimiser.zero_grad()
        value = loss(network(ray, sinogram, scale, parameters)[-1][:, :1], truth)
        value.backward()
        optimiser.step()

    times = timing.milliseconds(step, arguments.warmup, arguments.samples)
    timing.report(
        {
            "name": f"step/ct/{arguments.group}/{arguments.width}/{arguments.size}",
            "blocks": arguments.blocks,
            "views": arguments.views,
            "parameters": network.parameter_count(),
            **times,
            # Of the whole process; up to the first use of the ray transform; and before any array was made.
            "peak_rss_mib": timing.peak_rss_mib(),
            "setup_rss_mib": setup_rss,
            "base_rss_mib": base_rss,
        }
    )


if __name__ == "__main__":
    main()
