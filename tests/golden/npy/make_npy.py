"""Arrays saved by numpy, for the reader and the writer of `.npy` files.

Needs numpy. Writes the `.npy` files beside this script. `ramp_*` hold 0, 1, ... 11 as 3 x 4 (the
complex ones k + 0.5 k i); the `bad_*` files must each be refused.
"""

import pathlib

import numpy as np

here = pathlib.Path(__file__).parent
ramp = np.arange(12).reshape(3, 4)
for dtype in ["f4", "f8", "i1", "i2", "i4", "u1", "u2"]:
    np.save(here / f"ramp_{dtype}.npy", ramp.astype("<" + dtype))
for dtype in ["c8", "c16"]:
    np.save(here / f"ramp_{dtype}.npy", (ramp + 0.5j * ramp).astype("<" + dtype))
np.save(here / "mask_b1.npy", ramp % 3 == 0)
np.save(here / "vector_f4.npy", np.arange(5, dtype="<f4"))
np.save(here / "volume_f4.npy", np.arange(48, dtype="<f4").reshape(2, 2, 3, 4))
with open(here / "version2_f4.npy", "wb") as file:
    np.lib.format.write_array(file, ramp.astype("<f4"), version=(2, 0))

np.save(here / "bad_i8.npy", ramp.astype("<i8"))
np.save(here / "bad_string.npy", np.array(["a", "b"]))
np.save(here / "bad_record.npy", np.zeros(3, dtype=[("x", "<f4"), ("y", "<f4")]))
np.save(here / "bad_big_endian.npy", ramp.astype(">f4"))
np.save(here / "bad_fortran.npy", np.asfortranarray(ramp.astype("<f4")))
np.save(here / "bad_scalar.npy", np.float32(1))
np.save(here / "bad_rank5.npy", np.zeros((1, 1, 1, 1, 2), "<f4"))
np.save(here / "bad_empty.npy", np.zeros((0, 4), "<f4"))
np.save(here / "bad_nan.npy", np.array([0, np.nan, 2, np.nan], "<f4"))
np.save(here / "bad_inf.npy", np.array([0, 1, -np.inf], "<f8"))
np.save(here / "bad_large.npy", np.array([1e300], "<f8"))
