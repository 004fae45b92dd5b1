"""A whole training run of the reference, as a script of its users: read a table, fit, say how many rows are right.

    python3 benches/compare/reference_train.py data/iris.csv GLVQ 100
"""

import csv
import sys

import numpy as np
from prosemble import models


def main():
    table, name, iterations = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(table, newline="") as file:
        rows = list(csv.reader(file))[1:]
    x = np.array([[float(v) for v in row[:-1]] for row in rows], dtype=np.float32)
    _, y = np.unique([row[-1] for row in rows], return_inverse=True)
    model = getattr(models, name)(n_prototypes_per_class=4, max_iter=iterations, epsilon=0.0)
    model.fit(x, y.astype(np.int32))
    print((np.asarray(model.predict(x)) == y).mean())


if __name__ == "__main__":
    main()
