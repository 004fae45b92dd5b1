"""The tables of benches/README.md about the CPU: steps against the machine's limits, threads, and growth with the rows.

    cargo build --release && python3 benches/roofline.py [--lvq target/release/lvq] [--largest 10000000]

Each line is one call of `lvq bench --json --explain`, which measures a matrix product and a copy in the same run.
"""

import argparse
import json
import os
import subprocess

# model, rows, features, classes, prototypes a class, other arguments
STEPS = [
    ("GLVQ", 100_000, 64, 10, 5),
    ("GRLVQ", 100_000, 64, 10, 5),
    ("GMLVQ", 100_000, 64, 10, 5),
    ("RSLVQ", 100_000, 64, 10, 5),
    ("SLVQ", 100_000, 64, 10, 5),
    ("CELVQ", 100_000, 64, 10, 5),
    ("MRSLVQ", 100_000, 64, 10, 5),
    ("GTLVQ", 20_000, 64, 10, 2, "--set", "subspace_dim=4"),
    ("LGMLVQ", 5_000, 64, 10, 2),
    ("LMRSLVQ", 5_000, 64, 10, 2),
    ("CBC", 100_000, 64, 10, 5),
    ("SMNG", 100_000, 64, 10, 5),
    ("CELVQ_NG", 100_000, 64, 10, 5),
    ("RSLVQ_NG", 100_000, 64, 10, 5),
    ("OCGLVQ", 100_000, 64, 2, 25),
    ("SNG", 20_000, 64, 10, 5),
    ("DKGLVQ", 20_000, 64, 10, 5),
    ("DKGMLVQ", 20_000, 64, 10, 5),
    ("SVQOCC", 20_000, 64, 2, 25),
    ("GLVQ", 20_000, 256, 2, 256),
    ("RSLVQ", 20_000, 256, 2, 256),
    ("GLVQ", 1_000_000, 16, 2, 4),
    ("RSLVQ", 1_000_000, 16, 2, 4),
]


def bench(lvq, model, rows, features, classes, per_class, *more, steps=11):
    sizes = {"rows": rows, "features": features, "classes": classes, "per-class": per_class, "steps": steps}
    command = [lvq, "bench", "--model", model, "--device", "cpu", "--json", "--explain", *more]
    command += [text for key, value in sizes.items() for text in (f"--{key}", str(value))]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lvq", default="target/release/lvq")
    parser.add_argument("--largest", type=int, default=10_000_000, help="rows of the largest step")
    args = parser.parse_args()
    threads = os.cpu_count()

    print(f"Steps, {threads} threads:\n")
    print("| model | n | d | p | GFLOP | MB | FLOP a byte | ms | GFLOP/s | of the product's rate | of the copy's rate | of the roofline, the median and the fastest step | predicted, ms | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for step in STEPS:
        r = bench(args.lvq, *step)
        flops, moved, seconds = r["flops_per_step"], r["bytes_per_step"], r["seconds_per_step"]
        predicted = r["predicted"]["seconds"]
        print(
            f"| {r['model']} | {r['rows']:,} | {r['features']} | {r['prototypes']} | {flops / 1e9:.3g} | {moved / 1e6:.3g} | {flops / moved:.3g} "
            f"| {1e3 * seconds:.3g} | {flops / seconds / 1e9:.3g} | {100 * r['share_of_peak_flops']:.0f} % "
            f"| {100 * r['share_of_peak_bandwidth']:.0f} % | {100 * r['share_of_roofline']:.0f} %, {100 * r['share_of_roofline_of_fastest']:.0f} % "
            f"| {1e3 * predicted:.3g} | {predicted / seconds:.2f} |",
            flush=True,
        )

    print("\nThreads:\n\n| model | n | d | p | 1 thread, ms | 2 threads, ms | ratio | product's rate, ratio |\n|---|---|---|---|---|---|---|---|")
    for step in [STEPS[i] for i in (0, 2, 3, 11, 19, 20)]:
        turns = [[bench(args.lvq, *step, "--threads", str(t)) for t in (1, 2)] for _ in range(3)]
        one, two = (sorted(turn[t]["seconds_per_step"] for turn in turns)[1] for t in (0, 1))
        peaks = turns[1][1]["peak_flops"] / turns[1][0]["peak_flops"]
        model, rows, features, classes, per_class = step[:5]
        print(f"| {model} | {rows:,} | {features} | {classes * per_class} | {1e3 * one:.3g} | {1e3 * two:.3g} | {one / two:.2f} | {peaks:.2f} |", flush=True)

    print("\nGrowth with the rows, which are memory-mapped (GLVQ, d = 64, p = 50):\n")
    print("| n | data, MB | 1 thread, ms | ns a row | 2 threads, ms | ns a row | memory held beside, MiB |\n|---|---|---|---|---|---|---|")
    rows = 10_000
    while rows <= args.largest:
        one, two = (bench(args.lvq, "GLVQ", rows, 64, 10, 5, "--mmap", "--threads", str(t)) for t in (1, 2))
        times = [f"{1e3 * r['seconds_per_step']:.4g} | {1e9 * r['seconds_per_step'] / rows:.3g}" for r in (one, two)]
        print(f"| {rows:,} | {rows * 256 / 1e6:.4g} | {' | '.join(times)} | {two['anonymous_bytes'] / 2**20:.1f} |", flush=True)
        rows *= 10


if __name__ == "__main__":
    main()
