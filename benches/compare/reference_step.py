"""Times of the reference (prosemble on JAX), compilation excluded: medians, one line of JSON a model.

    python3 benches/compare/reference_step.py --rows 1000000 --features 64 --classes 10 --per-class 5 GLVQ GMLVQ
    python3 benches/compare/reference_step.py --what distances --per-class 100 manhattan
"""

import inspect

import jax
import jax.numpy as jnp
import timing
from prosemble import models
from prosemble.core import distance
from prosemble.models import prototype_base

# JAX compiles again for arguments of a weak type, which the first state has and those that a step returns may have.
WARM = 3
# Of its loop of epochs: it takes no less.
EPOCHS = 2
# What is to be said of a model's time.
NOTES = {}


def made(name, args, **options):
    """The model. Some count all their prototypes, most those of a class."""
    kind = getattr(models, name)
    known = inspect.signature(kind.__init__).parameters
    count = next((key for key in ("n_components", "n_prototypes") if key in known), None)
    sizes = {count: args.per_class * args.classes} if count else {"n_prototypes_per_class": args.per_class}
    return kind(**sizes, **timing.sets(args), **options, max_iter=EPOCHS)


def step(model, x, y, args):
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

    def once():
        nonlocal state
        state, _ = model._training_step_scan(state, kept["x"], kept["y"], kept["proto_labels"])
        jax.block_until_ready(state)

    seconds = not_compiling(once, type(model)._training_step_scan, args)
    # Kernels of exponentials overflow on some data; the time is then that of computing with NaN.
    if not jnp.isfinite(state.prev_loss):
        NOTES[type(model).__name__] = f"{type(model).__name__}: its loss is not finite after these steps"
    return seconds


def not_compiling(once, compiled, args):
    """Seconds of each call, after warm ones. Nothing may be compiled while the clock runs."""
    for _ in range(WARM):
        once()
    before = compiled._cache_size()
    seconds = timing.timed(once, args, warm=0)
    if compiled._cache_size() != before:
        raise RuntimeError("compiled while it was timed")
    return seconds


def batch(model, x, y, args):
    """Seconds a step of epochs of mini-batches. Its epochs are one compiled loop, made anew in each `fit`: that loop is called
    again where `fit` calls it once. The shuffling of an epoch is part of it.
    """
    found = []

    def repeating(function, **options):
        compiled = jax.jit(function, **options)

        def run(*arguments):
            result = None

            def once():
                nonlocal result
                result = jax.block_until_ready(compiled(*arguments))

            found.extend(not_compiling(once, compiled, args))
            return result

        return run

    # `fit` asks this module for the compiler when it makes the loop.
    jit, prototype_base.jit = prototype_base.jit, repeating
    try:
        model.fit(x, y)
    finally:
        prototype_base.jit = jit
    count = EPOCHS * -(-len(x) // args.batch)
    return [seconds / count for seconds in found]


def predict(model, x, y, args):
    """Seconds of each `predict` of all rows, of a model that saw some of them for a few steps."""
    few = min(len(x), 10_000)
    model.fit(x[:few], y[:few])
    return timing.timed(lambda: jax.block_until_ready(model.predict(x)), args, warm=2)


def distances(name, x, args):
    """Seconds of each matrix, by the function that its models take as `distance_fn`."""
    y = jnp.asarray(timing.blobs(args.per_class * args.classes, args.features, args.classes)[0])
    function = getattr(distance, f"{name}_distance_matrix")
    return not_compiling(lambda: jax.block_until_ready(function(x, y)), function, args)


def main():
    parser = timing.arguments(__doc__)
    parser.add_argument("models", nargs="+", metavar="model", help="or a metric")
    args = parser.parse_args()
    x, y = map(jnp.asarray, timing.blobs(args.rows, args.features, args.classes))
    for name in args.models:
        if args.what == "distances":
            seconds = distances(name, x, args)
        elif args.what == "batch":
            seconds = batch(made(name, args, batch_size=args.batch), x, y, args)
        else:
            seconds = {"step": step, "predict": predict}[args.what](made(name, args), x, y, args)
        more = {"how": NOTES[name]} if name in NOTES else {}
        timing.report(seconds, **more, model=name, device=str(jax.devices()[0]), jax=jax.__version__, rows=args.rows)


if __name__ == "__main__":
    main()
