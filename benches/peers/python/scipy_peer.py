"""Times the ray transform and its adjoint as a SciPy matrix in compressed rows, float32, on one thread."""

import numpy as np
import scipy

import peer
from reference import joseph_matrix


def prepare(name, arguments):
    found = peer.ray_benchmark(name)
    if not found:
        return None
    direction, size, views, bins = found
    matrix = joseph_matrix((size, size), peer.FIELD_OF_VIEW, views, bins)
    matrix = (matrix if direction == "forward" else matrix.T).tocsr().astype(np.float32)
    x = np.random.default_rng(0).standard_normal(matrix.shape[1], dtype=np.float32)
    mib = (matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes) / 2**20
    return lambda: matrix @ x, {"threads": 1, "version": f"scipy {scipy.__version__}", "matrix_mib": mib}


if __name__ == "__main__":
    peer.run("scipy", prepare, __doc__)
