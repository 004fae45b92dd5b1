"""What is compared: one table of workloads, and who has them."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Work:
    """One workload on made data in single precision. `sets` are hyper-parameters, which lvq and the reference spell alike.

    kind     what is timed
    step     a full-batch training step: loss, gradient, Adam's update
    batch    such a step on `batch` rows, one after the other through all rows
    predict  labels of all rows
    distances  the matrix of `metric` (named in `model`) from all rows to classes x per_class others
    process  a whole training process on the table `model`: start, reading, `iterations` steps of `trained`, accuracy, end
    """

    kind: str
    model: str
    rows: int = 0
    classes: int = 10
    per_class: int = 5
    features: int = 64
    batch: int = 0
    sets: dict = field(default_factory=dict)
    trained: str = ""
    iterations: int = 0

    def key(self):
        """Its name for `--only`."""
        return self.model if self.kind == "step" else f"{self.kind}:{self.model}"

    def scaled(self, scale):
        """With that share of the rows; a mini-batch stays what it is, if there are rows for one."""
        least = max(self.classes * self.per_class, self.batch) if self.kind in ("step", "batch") else 1
        return replace(self, rows=max(least, round(self.rows * scale)))

    def title(self):
        if self.kind == "process":
            return f"process: {self.trained} on {self.model}, {self.iterations} iterations"
        prototypes = self.classes * self.per_class
        sizes = [f"n {self.rows:,}", f"d {self.features}", f"p {prototypes:,}"]
        if self.batch:
            sizes.append(f"batches of {self.batch}")
        sizes += [f"{key} {value}" for key, value in self.sets.items()]
        return f"{self.key()} ({', '.join(sizes)})"

    def arguments(self):
        """As `lvq bench`, reference_step.py and others.py take them."""
        sizes = {"rows": self.rows, "features": self.features, "classes": self.classes, "per-class": self.per_class}
        texts = [text for key, value in sizes.items() for text in (f"--{key}", str(value))]
        if self.batch:
            texts += ["--batch", str(self.batch)]
        return texts + [text for key, value in self.sets.items() for text in ("--set", f"{key}={value}")]


# What of a kind has in common is said in the summary under this name.
KINDS = {
    "step": "training steps",
    "batch": "mini-batches",
    "predict": "inference",
    "distances": "distance matrices",
    "process": "whole processes",
}

WORKLOADS = [
    Work("step", "GLVQ", 100_000),
    Work("step", "GRLVQ", 100_000),
    Work("step", "GMLVQ", 100_000),
    Work("step", "RSLVQ", 100_000),
    Work("step", "SLVQ", 100_000),
    Work("step", "CELVQ", 100_000),
    Work("step", "MRSLVQ", 100_000),
    Work("step", "GTLVQ", 20_000, per_class=2, sets={"subspace_dim": 4}),
    Work("step", "LGMLVQ", 5_000, per_class=2),
    Work("step", "LMRSLVQ", 5_000, per_class=2),
    Work("step", "CBC", 100_000),
    Work("step", "SMNG", 100_000),
    Work("step", "CELVQ_NG", 100_000),
    Work("step", "RSLVQ_NG", 100_000),
    Work("step", "OCGLVQ", 100_000, classes=2, per_class=25),
    Work("step", "SNG", 20_000),
    Work("step", "DKGLVQ", 20_000),
    Work("step", "DKGMLVQ", 20_000),
    Work("step", "SVQOCC", 20_000, classes=2, per_class=25),
    Work("batch", "GLVQ", 100_000, batch=256),
    Work("batch", "GMLVQ", 100_000, batch=256),
    Work("predict", "GLVQ", 1_000_000),
    Work("predict", "GMLVQ", 1_000_000),
    Work("predict", "RSLVQ", 1_000_000),
    Work("distances", "squared_euclidean", 100_000, per_class=100),
    Work("distances", "manhattan", 100_000, per_class=100),
    Work("process", "iris", trained="GLVQ", iterations=100),
    Work("process", "digits", trained="GMLVQ", iterations=100),
]

# What each of the others has of it, by key. minisom and scikit-fuzzy have none of these families, so nothing is run of them.
OTHERS = {
    "scikit-learn": ["predict:GLVQ", "distances:squared_euclidean", "distances:manhattan"],
    "sklvq": ["GLVQ", "GMLVQ", "LGMLVQ", "batch:GLVQ", "batch:GMLVQ", "predict:GLVQ", "predict:GMLVQ"],
    "sklearn-lvq": [
        *["GLVQ", "GRLVQ", "GMLVQ", "RSLVQ", "MRSLVQ", "LGMLVQ", "LMRSLVQ"],
        *["predict:GLVQ", "predict:GMLVQ", "predict:RSLVQ"],
    ],
    "prototorch": [
        *["GLVQ", "GRLVQ", "GMLVQ", "RSLVQ", "SLVQ", "CELVQ", "GTLVQ", "LGMLVQ", "CBC"],
        *["batch:GLVQ", "batch:GMLVQ", "predict:GLVQ", "predict:GMLVQ", "predict:RSLVQ"],
    ],
    "minisom": [],
    "scikit-fuzzy": [],
}

# Which of the environments that `run` makes has a tool.
ENVIRONMENTS = {"reference": "venv", "scikit-learn": "venv", "sklvq": "others", "sklearn-lvq": "others", "prototorch": "torch"}
