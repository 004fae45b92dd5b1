"""Whole trainings on short rows by several builds in turn: what a step gains, and what is prepared for it, together.

    python3 benches/trainings.py OLD/lvq NEW/lvq [--model GLVQ] [--steps 100] [--rounds 5] [--rows 1000000]

A million rows of 16 features around eight centres, two classes, four prototypes each. Prints the time of all steps by the history that
`lvq train` writes: median and least of the rounds.
"""

import argparse
import array
import csv
import os
import random
import statistics
import struct
import subprocess
import tempfile

FEATURES = 16


def write(path, kind, shape, values):
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + values.tobytes())


def make(folder, rows):
    """Writes rows and classes."""
    random.seed(1)
    noise = [random.gauss(0, 1) for _ in range(1 << 16)]
    centres = [[random.gauss(0, 2) for _ in range(FEATURES)] for _ in range(8)]
    x, y = array.array("f"), array.array("i")
    for _ in range(rows):
        k, at = random.getrandbits(3), random.getrandbits(15)
        x.extend(c + noise[at + 7 * a] for a, c in enumerate(centres[k]))
        y.append(k & 1)
    write(f"{folder}/x.npy", "<f4", (rows, FEATURES), x)
    write(f"{folder}/y.npy", "<i4", (rows,), y)


def train(lvq, folder, model, steps):
    """Milliseconds of all steps."""
    history = f"{folder}/history.csv"
    data = [f"{folder}/x.npy", "--labels", f"{folder}/y.npy"]
    more = ["--model", model, "--max-iter", str(steps), "--epsilon", "0", "--seed", "1", "--history", history]
    subprocess.run([lvq, "train", *data, "--device", "cpu", "--quiet", *more], check=True, stdout=subprocess.DEVNULL)
    with open(history, newline="") as file:
        return 1e3 * float(list(csv.DictReader(file))[-1]["seconds"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lvq", nargs="+", type=os.path.abspath)
    parser.add_argument("--model", default="GLVQ")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    times = {lvq: [] for lvq in args.lvq}
    with tempfile.TemporaryDirectory() as folder:
        make(folder, args.rows)
        for _ in range(args.rounds):
            for lvq in args.lvq:
                times[lvq].append(train(lvq, folder, args.model, args.steps))
    for lvq, all in times.items():
        print(f"{lvq}: {args.model}, {args.steps} steps: {statistics.median(all):.0f} ms ({min(all):.0f})")


if __name__ == "__main__":
    main()
