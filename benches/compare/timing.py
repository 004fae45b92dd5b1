"""What the timed Python processes share: their arguments, the data, and how steps are timed."""

import argparse
import json
import math
import statistics
import time

import numpy as np


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", default="step", choices=["step", "batch", "predict", "distances"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--per-class", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256, help="rows of a mini-batch")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a hyper-parameter")
    parser.add_argument("--steps", type=int, default=10, help="steps timed, at most")
    parser.add_argument("--seconds", type=float, default=math.inf, help="no further step after so many seconds of them")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def sets(args):
    return {key: json.loads(value) for key, value in (text.split("=", 1) for text in args.set)}


def blobs(rows, features, classes):
    """As `lvq bench` makes them in kind: row i is of class i mod classes, and each class a Gaussian of deviation 1."""
    rng = np.random.default_rng(42)
    centres = rng.normal(0.0, 3.0, (classes, features)).astype(np.float32)
    y = np.arange(rows) % classes
    x = rng.standard_normal((rows, features), dtype=np.float32)
    x += centres[y]
    return x, y.astype(np.int32)


def timed(step, args, warm=1):
    """Seconds of each step, after `warm` that do not count. A step ends with its result there."""
    for _ in range(warm):
        step()
    seconds = []
    while len(seconds) < args.steps and sum(seconds) < args.seconds:
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


def report(seconds, **more):
    """One line of JSON: the median in milliseconds, and what else is to be said."""
    line = {
        "ms": 1e3 * statistics.median(seconds),
        "fastest_ms": 1e3 * min(seconds),
        "slowest_ms": 1e3 * max(seconds),
        "steps": len(seconds),
    }
    print(json.dumps(line | more), flush=True)
