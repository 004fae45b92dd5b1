"""Steps of lvq beside the reference's, in turn: for each workload lvq, the reference, lvq again; medians, their ratio, the geometric mean
and the least of the ratios. A step is the same for both: loss and gradient of all rows in single precision, and Adam's update. The
reference's compilation is not counted in a step; a whole process has everything.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "data"


@dataclass(frozen=True)
class Step:
    """One training step on blobs. `sets` are hyper-parameters, which both spell alike; the reference is timed over `steps`."""

    model: str
    rows: int
    classes: int = 10
    per_class: int = 5
    features: int = 64
    sets: dict = field(default_factory=dict)
    steps: int = 5

    def scaled(self, scale):
        """With that share of the rows."""
        return replace(self, rows=max(self.classes, round(self.rows * scale)))

    def name(self):
        options = "".join(f", {key} {value}" for key, value in self.sets.items())
        prototypes = self.classes * self.per_class
        return f"{self.model} (n {self.rows:,}, d {self.features}, p {prototypes}{options})"

    def arguments(self):
        sizes = ["--rows", self.rows, "--features", self.features, "--classes", self.classes, "--per-class", self.per_class]
        sets = [text for key, value in self.sets.items() for text in ("--set", f"{key}={value}")]
        return [str(v) for v in sizes] + sets


# The reference takes seconds a step where it forms the differences of all rows and prototypes: few steps of those.
STEPS = [
    Step("GLVQ", 100_000),
    Step("GRLVQ", 100_000, steps=3),
    Step("GMLVQ", 100_000, steps=2),
    Step("RSLVQ", 100_000),
    Step("SLVQ", 100_000),
    Step("CELVQ", 100_000),
    Step("MRSLVQ", 100_000, steps=2),
    Step("GTLVQ", 20_000, per_class=2, sets={"subspace_dim": 4}),
    Step("LGMLVQ", 5_000, per_class=2),
    Step("LMRSLVQ", 5_000, per_class=2),
    Step("CBC", 100_000),
    Step("SMNG", 100_000, steps=2),
    Step("CELVQ_NG", 100_000, steps=3),
    Step("RSLVQ_NG", 100_000, steps=3),
    Step("OCGLVQ", 100_000, classes=2, per_class=25),
    Step("SNG", 20_000),
    Step("DKGLVQ", 20_000),
    Step("DKGMLVQ", 20_000),
    Step("SVQOCC", 20_000, classes=2, per_class=25),
]

# Whole processes: data, model, iterations.
PROCESSES = [("iris", "GLVQ", 100), ("digits", "GMLVQ", 100)]


def run(command, threads):
    """A command on as many cores as threads are wanted; what it wrote."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=dict(os.environ, JAX_PLATFORMS="cpu"),
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip() or "no message").splitlines()[-1])
    return done.stdout


def said(command, threads):
    """The last line of what a command wrote, as JSON."""
    return json.loads(run(command, threads).strip().splitlines()[-1])


def lvq_step(args, work):
    command = [args.lvq, "bench", "--model", work.model, "--device", "cpu", "--threads", str(args.threads)]
    command += [*work.arguments(), "--steps", str(args.steps), "--json"]
    return 1e3 * said(command, args.threads)["seconds_per_step"]


def reference_step(args, work):
    command = [sys.executable, str(HERE / "reference_step.py"), work.model, *work.arguments()]
    return said([*command, "--steps", str(work.steps)], args.threads)["ms_per_step"]


def seconds_of(command, threads):
    start = time.perf_counter()
    run(command, threads)
    return time.perf_counter() - start


def process(args, data, model, iterations):
    """Milliseconds of a whole training process: of lvq (median of several), of the reference."""
    table = str(DATA / f"{data}.csv")
    own = [args.lvq, "train", table, "--model", model, "--device", "cpu", "--threads", str(args.threads)]
    own += ["--set", f"max_iter={iterations}", "--set", "epsilon=0"]
    other = [sys.executable, str(HERE / "reference_train.py"), table, model, str(iterations)]
    before = [seconds_of(own, args.threads) for _ in range(5)]
    reference = statistics.median(seconds_of(other, args.threads) for _ in range(3))
    after = [seconds_of(own, args.threads) for _ in range(5)]
    return 1e3 * statistics.median(before + after), 1e3 * reference


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lvq", required=True, help="the command [benches/compare/run builds it]")
    parser.add_argument("--only", default="", help="models, separated by commas; `process` for the whole processes")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=15, help="steps of lvq in each of its two turns")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the numbers of rows, to try it")
    parser.add_argument("--json", help="a file for all numbers")
    args = parser.parse_args()
    only = [name for name in args.only.split(",") if name]

    lines, ratios = [], []

    def line(what, unit, work):
        try:
            ours, theirs = work()
        except RuntimeError as why:
            lines.append({"what": what, "failed": str(why)})
            print(f"| {what} | failed: {why} | | |", flush=True)
            return
        ratio = theirs / ours
        lines.append({"what": what, "lvq_ms": ours, "reference_ms": theirs, "ratio": ratio})
        print(f"| {what} | {ours:.4g} | {theirs:.4g} | {ratio:.3g} |", flush=True)
        if unit == "step":
            ratios.append(ratio)

    print("| workload | lvq, ms | reference, ms | ratio |\n|---|---|---|---|", flush=True)
    for work in (step.scaled(args.scale) for step in STEPS):
        if only and work.model not in only:
            continue

        def turns(work=work):
            before = lvq_step(args, work)
            theirs = reference_step(args, work)
            return statistics.mean([before, lvq_step(args, work)]), theirs

        line(work.name(), "step", turns)
    for data, model, iterations in PROCESSES:
        if not only or "process" in only:
            line(f"process: {model} on {data}, {iterations} iterations", "process", lambda: process(args, data, model, iterations))
    if ratios:
        mean = math.exp(statistics.mean(map(math.log, ratios)))
        print(f"\nsteps: geometric mean {mean:.3g}, least {min(ratios):.3g}, {len(ratios)} workloads, {args.threads} threads")
    if args.json:
        Path(args.json).write_text(json.dumps(lines, indent=1) + "\n")
    return 0 if all("failed" not in found for found in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
