"""Times of other packages, where they have the model: one line of JSON. `how` says what was timed where it is not the same step.

    python3 benches/compare/others.py sklvq GMLVQ --rows 10000
"""

import importlib
import math
import time
from types import SimpleNamespace

import numpy as np
import timing


class Scikit:
    """scikit-learn has no such models; the nearest prototype it has, and the distances."""

    def predict(self, name, x, y, args):
        from sklearn.neighbors import KNeighborsClassifier

        count = args.per_class * args.classes
        model = KNeighborsClassifier(1, algorithm="brute", n_jobs=args.threads).fit(x[:count], y[:count])
        seconds = timing.timed(lambda: model.predict(x), args)
        return seconds, {"how": "KNeighborsClassifier(1) of the prototypes"}

    def distances(self, name, x, y, args):
        from sklearn.metrics import pairwise

        others, _ = timing.blobs(args.per_class * args.classes, args.features, args.classes)
        if name == "squared_euclidean":
            return timing.timed(lambda: pairwise.euclidean_distances(x, others, squared=True), args), {}
        made = {"metric": "manhattan", "n_jobs": args.threads}
        return timing.timed(lambda: pairwise.pairwise_distances(x, others, **made), args), {}


def old_names():
    """Names of NumPy that both of the older packages use and newer ones lack."""
    for name, value in {"int": int, "float": float, "bool": bool, "math": math}.items():
        if name not in vars(np):
            setattr(np, name, value)


class Sklvq:
    """Its steepest descent with all rows as a batch: a step is a shuffle, the gradient and the update, in double precision. It
    has no Adam of batches, and the loss is not computed.
    """

    HOW = "steepest descent, f64, no loss"

    def made(self, name, args, runs, batch):
        import sklvq

        more = {"relevance_localization": "prototypes"} if name == "LGMLVQ" else {}
        solver = {"max_runs": runs, "batch_size": batch, "step_size": 0.01}
        return getattr(sklvq, name)(solver_params=solver, prototype_n_per_class=args.per_class, random_state=1, **more)

    def between(self, model, x, y, args, most):
        """Seconds from the end of an update to that of the next, of so many updates: `set_variables` is called once in each."""
        times = []
        update = model.set_variables

        def noting(variables):
            update(variables)
            times.append(time.perf_counter())
            if len(times) > most or (len(times) > 1 and times[-1] - times[0] > args.seconds):
                raise StopIteration

        model.set_variables = noting
        try:
            model.fit(x, y)
        except StopIteration:
            pass
        return np.diff(times)

    def step(self, name, x, y, args):
        return self.between(self.made(name, args, args.steps + 1, 0), x, y, args, args.steps), {"how": self.HOW}

    def batch(self, name, x, y, args):
        count = args.steps * -(-len(x) // args.batch)
        seconds = self.between(self.made(name, args, args.steps + 1, args.batch), x, y, args, count)
        # A mean, so that the shuffles are in it.
        return [seconds.mean()], {"how": self.HOW}

    def predict(self, name, x, y, args):
        few = min(len(x), 1_000)
        model = self.made(name, args, 1, 0).fit(x[:few], y[:few])
        return timing.timed(lambda: model.predict(x), args), {}


class SklearnLvq:
    """It gives loss and gradient to SciPy's L-BFGS, which calls them at least once an iteration: one call of each is timed, on
    one thread and in double precision, in place of a step.
    """

    HOW = "one loss and gradient of its L-BFGS, f64"

    def fitted(self, name, x, y, args, calls):
        """The model with its start values. `calls` gets what it would minimize, the last of its phases last."""
        module = importlib.import_module(f"sklearn_lvq.{name.lower()}")

        def minimize(fun, jac, x0, **_):
            calls.append((fun, jac, np.ravel(x0)))
            return SimpleNamespace(x=np.ravel(x0), nit=0)

        module.minimize = minimize
        kind = getattr(module, f"{name.capitalize()}Model")
        return kind(prototypes_per_class=args.per_class, random_state=1).fit(x, y)

    def step(self, name, x, y, args):
        calls = []
        self.fitted(name, x, y, args, calls)
        fun, jac, start = calls[-1]

        def once():
            fun(start)
            jac(start)

        return timing.timed(once, args, warm=0), {"how": self.HOW}

    def predict(self, name, x, y, args):
        few = min(len(x), 1_000)
        model = self.fitted(name, x[:few], y[:few], args, [])
        return timing.timed(lambda: model.predict(x), args, warm=0), {}


class Prototorch:
    """Loss, gradient and Adam's update, as its training step has them without Lightning's loop around it."""

    # It forms all differences of rows and prototypes, which do not fit for a million rows at once.
    PART = 50_000

    def made(self, name, x, y, args):
        import torch
        from prototorch.core import initializers
        from prototorch.core.distances import squared_euclidean_distance
        from prototorch.models import CBC, CELVQ, GLVQ, GMLVQ, GRLVQ, GTLVQ, LGMLVQ, RSLVQ, SLVQ

        torch.set_num_threads(args.threads)
        torch.manual_seed(1)
        kinds = {kind.__name__: kind for kind in (CELVQ, GLVQ, GMLVQ, GRLVQ, GTLVQ, LGMLVQ, RSLVQ, SLVQ)}
        sets = timing.sets(args)
        latent = sets.get("subspace_dim", args.features)
        options = {
            "distribution": [args.per_class] * args.classes,
            "input_dim": args.features,
            "latent_dim": latent,
            "margin": 0.1 if name == "CBC" else 0.0,
            "lr": 0.01,
        }
        few = min(len(x), 10_000)
        rows = (torch.as_tensor(x[:few]), torch.as_tensor(y[:few]).long())
        # A prototype that is a row has no gradient where a distance is a root.
        start = initializers.SSCI(rows, noise=0.1)
        if name == "CBC":
            return CBC(options, components_initializer=start)
        # Squared distances, as the others have them, in place of its roots.
        plain = {"distance_fn": squared_euclidean_distance} if name in ("GLVQ", "RSLVQ", "SLVQ", "CELVQ") else {}
        return kinds[name](options, prototypes_initializer=start, **plain)

    def stepper(self, name, model):
        from prototorch.models.probabilistic import ProbabilisticLVQ

        optimizer = model.configure_optimizers()
        soft = isinstance(model, ProbabilisticLVQ)

        def step(x, y):
            optimizer.zero_grad()
            # Only the soft models have a `training_step` that does not log to a trainer.
            loss = model.training_step((x, y), 0) if soft else model.shared_step((x, y), 0)[1]
            loss.backward()
            optimizer.step()
            if name == "GTLVQ":
                model.on_train_batch_end(None, None, 0)

        return step

    def step(self, name, x, y, args):
        import torch

        step = self.stepper(name, self.made(name, x, y, args))
        x, y = torch.as_tensor(x), torch.as_tensor(y)
        return timing.timed(lambda: step(x, y), args), {}

    def batch(self, name, x, y, args):
        import torch

        step = self.stepper(name, self.made(name, x, y, args))
        x, y = torch.as_tensor(x), torch.as_tensor(y)
        count = -(-len(x) // args.batch)

        def epoch():
            order = torch.randperm(len(x))
            for rows in order.split(args.batch):
                step(x[rows], y[rows])

        return [seconds / count for seconds in timing.timed(epoch, args)], {}

    def predict(self, name, x, y, args):
        import torch

        model = self.made(name, x, y, args)
        x = torch.as_tensor(x)

        def all_rows():
            with torch.no_grad():
                return [model.predict(part) for part in x.split(self.PART)]

        return timing.timed(all_rows, args), {"how": f"{self.PART:,} rows at a time"}


TOOLS = {"scikit-learn": Scikit, "sklvq": Sklvq, "sklearn-lvq": SklearnLvq, "prototorch": Prototorch}


def rows_within(tool, name, args):
    """The rows of which a step takes at most the seconds of a turn: some go through the rows one by one in Python."""
    few = min(args.rows, 4 * args.classes * args.per_class)
    x, y = timing.blobs(few, args.features, args.classes)
    once = SimpleNamespace(**{**vars(args), "steps": 1, "rows": few})
    seconds, _ = tool.step(name, x, y, once)
    most = few * args.seconds / max(seconds)
    return args.rows if most >= args.rows else max(few, int(most))


def main():
    parser = timing.arguments(__doc__)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("model", help="or a metric")
    args = parser.parse_args()
    if args.tool in ("sklvq", "sklearn-lvq"):
        old_names()
    tool, rows, more = TOOLS[args.tool](), args.rows, {}
    if args.what == "step":
        rows = rows_within(tool, args.model, args)
    x, y = timing.blobs(rows, args.features, args.classes)
    seconds, said = getattr(tool, args.what)(args.model, x, y, args)
    if rows < args.rows:
        seconds = [s * args.rows / rows for s in seconds]
        more["rows_timed"] = rows
    timing.report(seconds, tool=args.tool, model=args.model, rows=args.rows, **said, **more)


if __name__ == "__main__":
    main()
