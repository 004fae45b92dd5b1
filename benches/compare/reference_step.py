"""Time of one training step of the reference (prosemble on JAX), compilation excluded: medians, one line of JSON a model.

    python3 benches/compare/reference_step.py --rows 1000000 --features 64 --classes 10 --per-class 5 GLVQ GMLVQ
"""

import argparse
import inspect
import json
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from prosemble import models
from prosemble.models import prototype_base


def blobs(rows, features, classes):
    """Blobs as `lvq bench` makes them in kind: a Gaussian a class."""
    rng = np.random.default_rng(42)
    centres = rng.normal(0.0, 2.0, (classes, features)).astype(np.float32)
    y = np.arange(rows) % classes
    x = rng.standard_normal((rows, features), dtype=np.float32)
    x += centres[y]
    return x, y.astype(np.int32)


def made(name, classes, per_class, sets):
    """The model. Some count all their prototypes, most those of a class."""
    kind = getattr(models, name)
    known = inspect.signature(kind.__init__).parameters
    count = next((key for key in ("n_components", "n_prototypes") if key in known), None)
    sizes = {count: per_class * classes} if count else {"n_prototypes_per_class": per_class}
    return kind(**sizes, **sets, max_iter=1)


def steps(model, x, y, count):
    """Seconds of each step: loss, gradient, update, on data that is on the device."""
    kept = {}

    def keep(x, y, params, opt_state, proto_labels):
        kept.update(x=x, y=y, params=params, opt_state=opt_state, proto_labels=proto_labels)
        raise StopIteration

    model._fit_scan = keep
    try:
        model.fit(x, y)
    except StopIteration:
        pass
    state = prototype_base.ScanTrainState(
        params=kept["params"],
        opt_state=kept["opt_state"],
        loss=jnp.array(float("inf")),
        prev_loss=jnp.array(float("inf")),
        converged=jnp.array(False),
    )
    seconds = []
    for i in range(count + 2):
        start = time.perf_counter()
        state, _ = model._training_step_scan(state, kept["x"], kept["y"], kept["proto_labels"])
        jax.block_until_ready(state)
        if i >= 2:
            seconds.append(time.perf_counter() - start)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--per-class", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a hyper-parameter")
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    sets = {key: json.loads(value) for key, value in (text.split("=", 1) for text in args.set)}
    x, y = blobs(args.rows, args.features, args.classes)
    x, y = jnp.asarray(x), jnp.asarray(y)
    for name in args.models:
        seconds = steps(made(name, args.classes, args.per_class, sets), x, y, args.steps)
        line = {
            "model": name,
            "device": str(jax.devices()[0]),
            "jax": jax.__version__,
            "rows": args.rows,
            "features": args.features,
            "prototypes": args.per_class * args.classes,
            "ms_per_step": 1e3 * statistics.median(seconds),
            "fastest_ms": 1e3 * min(seconds),
            "slowest_ms": 1e3 * max(seconds),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
