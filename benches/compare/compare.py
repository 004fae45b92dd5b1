"""lvq beside the reference (prosemble on JAX) and beside other packages where they have the model: a table of medians and
ratios, their geometric mean and the least. In each round all tools of a workload run in turn, each as a process of its own on
the same cores; the next round takes them the other way round. A ratio is a tool's time over that of lvq.
"""

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from workloads import ENVIRONMENTS, KINDS, OTHERS, WORKLOADS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILT = ROOT / "target" / "compare"
# Processes of lvq in a round: they are short.
PROCESSES = 5


class Refused(RuntimeError):
    """This build of a tool does not know what was asked."""


def run(command, args):
    """A command on the cores of this comparison; what it wrote."""
    threads = str(args.threads)
    limits = {f"{name}_NUM_THREADS": threads for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=os.environ | limits | {"JAX_PLATFORMS": "cpu"},
        preexec_fn=lambda: os.sched_setaffinity(0, args.cores),
    )
    if done.returncode == 0:
        return done.stdout
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0:
        raise RuntimeError(f"ended by signal {-done.returncode}")
    if done.returncode == 2 and said:
        raise Refused(next((line for line in said if line.startswith("error:")), said[-1]).removeprefix("error: "))
    # The first: what comes after it may be the fault of its clean-up.
    errors = [line for line in said if re.match(r"[\w.]*(Error|Exception)\b", line)]
    raise RuntimeError((errors or said[-1:] or ["no message"])[0][:200])


def answer(command, args):
    """The last line that a command writes, as JSON."""
    return json.loads(run(command, args).strip().splitlines()[-1])


def seconds_of(command, args):
    start = time.perf_counter()
    run(command, args)
    return time.perf_counter() - start


def table_of(data):
    found = [folder / f"{data}.csv" for folder in (ROOT / "data", ROOT.parent / "shared" / "data")]
    return next((path for path in found if path.exists()), found[0])


def lvq(work, args):
    place = ["--device", "cpu", "--threads", args.threads]
    if work.kind == "process":
        command = [args.lvq, "train", table_of(work.model), "--model", work.trained, *place]
        command += ["--prototypes", 4, "--max-iter", work.iterations, "--epsilon", 0, "--quiet"]
        return {"ms": 1e3 * statistics.median(seconds_of(command, args) for _ in range(PROCESSES))}
    command = [args.lvq, "bench", *work.arguments(), *place, "--steps", args.steps, "--json"]
    if work.kind == "distances":
        command += ["--what", "distances", "--metric", work.model]
    else:
        command += ["--model", work.model] + (["--what", "predict"] if work.kind == "predict" else [])
    told = answer(command, args)
    # A step, a pass over the rows or a matrix: whatever was asked for is the one thing that is timed.
    key = next(key for key in told if key.startswith("seconds"))
    return {"ms": 1e3 * told[key]}


def reference(work, args):
    python = args.pythons["reference"]
    if work.kind == "process":
        command = [python, HERE / "reference_train.py", table_of(work.model), work.trained, work.iterations]
        return {"ms": 1e3 * seconds_of(command, args)}
    return answer([python, HERE / "reference_step.py", *timed_as(work, args), work.model], args)


def other(tool):
    def turn(work, args):
        return answer([args.pythons[tool], HERE / "others.py", *timed_as(work, args), tool, work.model], args)

    return turn


def timed_as(work, args):
    limits = ["--steps", args.steps, "--seconds", args.seconds, "--threads", args.threads]
    return ["--what", work.kind, *work.arguments(), *limits]


def turns(work, args):
    """The tools that have it, by name."""
    tools = {"lvq": lvq, "reference": reference}
    tools |= {tool: other(tool) for tool, keys in OTHERS.items() if work.key() in keys}
    return {tool: turn for tool, turn in tools.items() if tool == "lvq" or tool in args.pythons}


def measured(work, args):
    """The median of the rounds of each tool, or why there is none."""
    tools = turns(work, args)
    found = {tool: {"rounds_ms": []} for tool in tools}
    for number in range(args.rounds):
        for tool in list(tools)[:: -1 if number % 2 else 1]:
            if "failed" in found[tool] or "refused" in found[tool]:
                continue
            try:
                told = tools[tool](work, args)
            except RuntimeError as why:
                found[tool] = {"refused" if isinstance(why, Refused) else "failed": str(why)}
                continue
            found[tool]["rounds_ms"].append(told["ms"])
            found[tool] |= {key: told[key] for key in ("how", "rows_timed") if key in told}
    for result in found.values():
        if result.get("rounds_ms"):
            result["ms"] = statistics.median(result["rounds_ms"])
    ours = found["lvq"].get("ms")
    for tool, result in found.items():
        if ours and tool != "lvq" and "ms" in result:
            result["ratio"] = result["ms"] / ours
    return found


def number(value):
    """Three digits, no powers of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cell(result):
    if "ms" in result:
        about = "~" if "rows_timed" in result else ""
        return about + number(result["ms"])
    return next(f"{word}: {result[word]}" for word in ("refused", "failed") if word in result).replace("|", "/")


def line(work, found):
    beside = []
    for tool in OTHERS:
        if tool in found:
            ratio = f" ({number(found[tool]['ratio'])} x)" if "ratio" in found[tool] else ""
            beside.append(f"{tool} {cell(found[tool])}{ratio}")
    reference = found.get("reference", {"failed": "not installed"})
    ratio = number(reference["ratio"]) if "ratio" in reference else ""
    return f"| {work.title()} | {cell(found['lvq'])} | {cell(reference)} | {ratio} | {'; '.join(beside)} |"


def summary(what, ratios):
    mean = math.exp(statistics.mean(map(math.log, ratios)))
    return f"{what}: geometric mean {number(mean)}, least {number(min(ratios))}, {len(ratios)} workloads"


def cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions(args):
    """Of what is compared."""
    found = {"lvq": run([args.lvq, "--version"], args).strip()}
    code = "import importlib.metadata as m; print(*(f'{d.name} {d.version}' for d in m.distributions()), sep='\\n')"
    wanted = {"prosemble", "jax", "scikit-learn", "sklvq", "sklearn-lvq", "prototorch", "prototorch-models", "torch", "numpy"}
    for folder in sorted({ENVIRONMENTS[tool] for tool in args.pythons}):
        lines = run([BUILT / folder / "bin" / "python", "-c", code], args).splitlines()
        found[folder] = sorted(line for line in lines if line.split()[0].lower() in wanted)
    return found


def chosen(only):
    """The workloads that `--only` names: keys, or kinds before the colon."""
    names = [name for name in only.split(",") if name]
    known = {work.key() for work in WORKLOADS} | {work.kind for work in WORKLOADS}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"--only: no workload {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [work for work in WORKLOADS if not names or work.key() in names or work.kind in names]


def main():
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lvq", default=str(ROOT / "target" / "release" / "lvq"), help="the command [default: %(default)s]")
    parser.add_argument("--only", default="", help="GLVQ, batch:GLVQ, predict:GLVQ, distances:manhattan, process:iris, ..., or "
                        "whole kinds (step, batch, predict, distances, process), separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each tool, whose median counts [default: %(default)s]")
    parser.add_argument("--steps", type=int, default=15, help="steps timed in a turn, at most [default: %(default)s]")
    parser.add_argument("--seconds", type=float, default=8.0, help="of steps in a turn of a tool other than lvq, after which "
                        "no further one begins [default: %(default)s]")
    parser.add_argument("--threads", type=int, default=len(cores), help="of each tool, and its cores [default: all]")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the numbers of rows, to try it")
    parser.add_argument("--others", action="store_true", help="prototorch too, which needs torch")
    parser.add_argument("--no-build", action="store_true", help="install and build nothing: take what is there")
    parser.add_argument("--json", metavar="FILE", help="a file for all numbers")
    args = parser.parse_args()
    for name in ("rounds", "steps", "threads"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    args.cores = cores[: args.threads]
    if len(args.cores) < args.threads:
        parser.error(f"--threads: there are {len(cores)} cores")
    args.lvq = str(Path(args.lvq).resolve())
    works = [work.scaled(args.scale) for work in chosen(args.only)]
    pythons = {tool: BUILT / folder / "bin" / "python" for tool, folder in ENVIRONMENTS.items()}
    args.pythons = {tool: path for tool, path in pythons.items() if path.exists() and (args.others or tool != "prototorch")}

    said = {
        "cpu": cpu(),
        "threads": args.threads,
        "load_before": os.getloadavg()[0],
        "versions": versions(args),
        "rounds": args.rounds,
        "steps": args.steps,
        "scale": args.scale,
    }
    print(f"{said['cpu']}, {args.threads} threads, load {said['load_before']:.2f} before; {said['versions']}\n")
    print("| workload | lvq, ms | reference, ms | ratio | others, ms (ratio) |\n|---|---|---|---|---|", flush=True)
    results, failed = [], False
    for work in works:
        found = measured(work, args)
        results.append({"what": work.title(), "key": work.key(), "kind": work.kind, "tools": found})
        failed |= any("failed" in result for result in found.values())
        print(line(work, found), flush=True)
        if args.json:
            # After each, so that a run that is broken off leaves what it has.
            Path(args.json).write_text(json.dumps(said | {"workloads": results}, indent=1) + "\n")

    print()
    ratios = {}
    for result in results:
        if "ratio" in result["tools"].get("reference", {}):
            ratios.setdefault(result["kind"], []).append(result["tools"]["reference"]["ratio"])
    for kind, values in ratios.items():
        print(summary(KINDS[kind], values))
    # A start of Python and a compilation are in a whole process, and would drown the rest.
    ratios.pop("process", None)
    if len(ratios) > 1:
        print(summary("all but whole processes", sum(ratios.values(), [])))
    if any("rows_timed" in tool for result in results for tool in result["tools"].values()):
        print("~: on fewer rows, and multiplied: the package goes through the rows one by one in Python")
    for tool, how in sorted({(t, r["how"]) for result in results for t, r in result["tools"].items() if "how" in r}):
        print(f"{tool}: {how}")
    without = [tool for tool, keys in OTHERS.items() if not keys]
    print(f"no such model: {', '.join(without)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
