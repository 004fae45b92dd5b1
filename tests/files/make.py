"""Makes the files of this folder with NumPy, which defines their format. Run it here; `tests/data.rs` reads them."""

import numpy as np

x = np.array([[0.1, -2.0, 3.0], [4.0, 5.5, 1e300]])
small = np.array([[0, 1, 2], [3, 4, 100]])

np.save("f8.npy", x)
np.save("f8-fortran.npy", np.asfortranarray(x))
np.save("f4-big-endian.npy", small.astype(">f4"))
np.save("f2.npy", small.astype("<f2"))
np.save("u1.npy", small.astype("u1"))
np.save("i8.npy", small.astype("<i8"))
np.save("bool.npy", small > 1)
with open("version-2.npy", "wb") as out:
    np.lib.format.write_array(out, x, version=(2, 0))

np.save("labels-unicode.npy", np.array(["zwei", "eins ∑", "zwei"]))
np.save("labels-big-endian.npy", np.array(["b", "a"], dtype=">U3"))
np.save("labels-bytes.npy", np.array([b"b", b"a"]))
np.save("labels-column.npy", np.array([[7], [-1]]))
np.save("labels-wide.npy", np.array([[7, 1], [-1, 1]]))
np.save("labels-float.npy", np.array([1.0, 0.5]))
np.save("objects.npy", np.array([{"a": 1}], dtype=object))
np.save("structured.npy", np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]))
np.save("complex.npy", x.astype(complex))
np.save("flat.npy", x[0])

np.savez("stored.npz", x=x, y=np.array([1, 0]), w=np.array([0.5, 2.0]))
np.savez_compressed("deflated.npz", x=small.astype("f4"), y=np.array(["b", "a"]))
np.savez("other-names.npz", data=x, target=np.array([1, 0]))
