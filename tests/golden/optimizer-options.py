"""Golden numbers of optax 0.2.8 (float64) for options, L-BFGS and schedules that the other files leave out.

    pip install optax==0.2.8 safetensors && python optimizer-options.py

Writes optimizer-<name>-<tag>.safetensors beside itself, with the tensors of optimizer-<name>.safetensors and
in the header name, kwargs (the names of this crate) and the rate of every step; the L-BFGS files hold
`init/*`, `params/<i>/*` and the objective's name; and optimizer-schedules.json.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import save_file

jax.config.update("jax_enable_x64", True)
HERE = Path(__file__).parent
STEPS = 10


def blocks(rng, scale=1.0):
    shapes = {"prototypes": (4, 3), "omega": (3, 3), "omegas": (3, 5, 2), "relevances": (3,)}
    return {k: jnp.asarray(scale * rng.normal(size=s)) for k, s in shapes.items()}


def save(name, tag, tensors, **header):
    header = {"optimizer": name, "reference": "optax 0.2.8", "precision": "float64", **header}
    tensors = {k: np.ascontiguousarray(v) for k, v in tensors.items()}
    save_file(tensors, HERE / f"optimizer-{name}-{tag}.safetensors", {"case": json.dumps(header)})


def run(name, tag, make, rates=None, **kwargs):
    rng = np.random.default_rng(7)
    params = blocks(rng)
    # A scalar joins them where optax can treat it.
    if name != "sm3":
        params["theta"] = jnp.asarray(0.7)
    rates = [0.05] * STEPS if rates is None else rates
    table = jnp.asarray(rates)
    rule = make(lambda s: table[s])
    state = rule.init(params)
    tensors = {f"init/{k}": v for k, v in params.items()}
    for i in range(STEPS):
        # The blocks keep signs in part and change them in part, and their sizes differ.
        grads = {k: 0.5 * v + 0.3 * jnp.asarray(rng.normal(size=v.shape)) for k, v in params.items()}
        updates, state = rule.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        tensors |= {f"grad/{i}/{k}": v for k, v in grads.items()}
        tensors |= {f"params/{i}/{k}": v for k, v in params.items()}
    save(name, tag, tensors, kwargs=kwargs, lr=0.05, steps=STEPS, rates=rates)


def simple(name, tag, rates=None, reference=None, **kwargs):
    make = getattr(optax, name)
    run(name, tag, lambda h: make(h, **{**kwargs, **(reference or {})}), rates, **kwargs)


COSINE = [0.05 * 0.5 * (1 + np.cos(np.pi * s / 12)) for s in range(STEPS)]
simple("adam", "nesterov", nesterov=True, b1=0.8, b2=0.99, eps=1e-6, eps_root=1e-4)
simple("adam", "scheduled", rates=COSINE)
simple("adamw", "nesterov", nesterov=True, weight_decay=0.05)
simple("adamaxw", "decay", weight_decay=0.1, b1=0.7, b2=0.9, eps=1e-3)
simple("adan", "decay", weight_decay=0.1, b1=0.9, b2=0.8, b3=0.95, eps=1e-4, eps_root=1e-3)
simple("adabelief", "tuned", b1=0.8, b2=0.9, eps=1e-4, eps_root=1e-6)
simple("amsgrad", "tuned", b1=0.8, b2=0.7, eps=1e-4, eps_root=1e-5)
simple("radam", "tuned", b1=0.8, b2=0.95, eps=1e-4, eps_root=1e-5, threshold=6.0)
simple("lamb", "decay", weight_decay=0.1, eps=1e-4, eps_root=1e-5, b1=0.8, b2=0.95)
simple("lion", "decay", weight_decay=0.1, b1=0.8, b2=0.9)
simple("novograd", "decay", weight_decay=0.1, b1=0.8, b2=0.5, eps=1e-3, eps_root=1e-4)
simple("sgd", "momentum", momentum=0.8, rates=COSINE)
simple("sgd", "nesterov", momentum=0.8, nesterov=True, rates=COSINE)
simple("signum", "tuned", beta=0.5)
simple("lars", "nesterov", weight_decay=0.1, nesterov=True, trust_coefficient=0.1, eps=1e-3, momentum=0.7, rates=COSINE)
simple("rmsprop", "centered", centered=True, momentum=0.8, nesterov=True, rates=COSINE)
simple("rmsprop", "outside", eps_in_sqrt=False, initial_scale=0.5, eps=1e-3, decay=0.8)
simple("rmsprop", "momentum", momentum=0.8)
simple("rmsprop", "mean", centered=True)
simple("adagrad", "tuned", initial_accumulator_value=0.0, eps=1e-3)
simple("adadelta", "decay", weight_decay=0.1, rho=0.8, eps=1e-4)
float64 = {"dtype_momentum": jnp.float64}
simple("adafactor", "momentum", momentum=0.8, weight_decay_rate=0.01, reference=float64)
simple("adafactor", "factored", min_dim_size_to_factor=3)
simple("adafactor", "factored-momentum", min_dim_size_to_factor=3, momentum=0.8, decay_rate=0.6, eps=1e-4,
       clipping_threshold=0.7, weight_decay_rate=0.01, multiply_by_parameter_scale=False, reference=float64, rates=COSINE)
run("sm3", "rank3", lambda h: optax.sm3(0.05, momentum=0.7), momentum=0.7)
simple("yogi", "tuned", b1=0.8, b2=0.9, eps=1e-2)
simple("fromage", "tuned", min_norm=0.5, rates=COSINE)
rprop = dict(eta_minus=0.4, eta_plus=1.5, min_step_size=0.02, max_step_size=0.1)
run("rprop", "tuned", lambda h: optax.rprop(0.05, **rprop), **rprop, rprop_delay=True)


# L-BFGS: the objectives are written again in the tests.
def valley(z):
    return jnp.sum(100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2)


def bowl(z):
    i = jnp.arange(z.size)
    return jnp.sum((1 + i) * jnp.sqrt(1 + (z - i / 3) ** 2)) + 0.25 * jnp.sum(z) ** 2


def hook(z):
    return jnp.sum(-z - 2 * z**3 + 4 * z**8)


def lbfgs(tag, objective, lr, steps, memory=10, spread=1.0):
    def loss(p):
        return objective(jnp.concatenate([p["prototypes"].ravel(), p["relevances"]]))

    rng = np.random.default_rng(3)
    shapes = {"prototypes": (2, 3), "relevances": (4,)}
    params = {k: jnp.asarray(spread * rng.normal(size=s)) for k, s in shapes.items()}
    rule = optax.lbfgs(lr, memory_size=memory)
    state = rule.init(params)
    tensors = {f"init/{k}": v for k, v in params.items()}
    for i in range(steps):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = rule.update(grads, state, params, value=value, grad=grads, value_fn=loss)
        params = optax.apply_updates(params, updates)
        tensors |= {f"params/{i}/{k}": v for k, v in params.items()}
        search = state[-1]
        print(tag, i, float(value), "evaluations", int(search.info.num_linesearch_steps))
    save("lbfgs", tag, tensors, kwargs={"memory": memory}, lr=lr, steps=steps, objective=objective.__name__)


lbfgs("bowl", bowl, 1.0, 10)
lbfgs("bowl-memory", bowl, 1.0, 10, memory=2)
lbfgs("bowl-short", bowl, 0.05, 12)
lbfgs("bowl-long", bowl, 20.0, 8)
lbfgs("bowl-far", bowl, 300.0, 6)
lbfgs("valley", valley, 1.0, 12)
lbfgs("valley-long", valley, 30.0, 10)
lbfgs("valley-far", valley, 1000.0, 8)
# Ever steeper, then rising: the interval shrinks from its low end.
lbfgs("hook", hook, 3.2, 6, spread=0.01)

SCHEDULES = {
    "exponential_decay": [
        dict(transition_steps=4, decay_rate=0.7, transition_begin=5, end_value=0.02),
        dict(transition_steps=4, decay_rate=1.2, transition_begin=3, end_value=0.09, staircase=True),
        dict(transition_steps=0, decay_rate=0.5),
        dict(transition_steps=3, decay_rate=0.0),
    ],
    "cosine_decay": [dict(decay_steps=20, alpha=0.1, exponent=2.0)],
    "warmup_cosine_decay": [
        dict(init_value=0.01, peak_value=0.1, warmup_steps=0, decay_steps=20, end_value=0.02, exponent=1.5),
        dict(init_value=0.01, peak_value=0.0, warmup_steps=4, decay_steps=20, end_value=0.02),
    ],
    "warmup_exponential_decay": [
        dict(init_value=0.01, peak_value=0.1, warmup_steps=4, transition_steps=3, decay_rate=0.8, transition_begin=2,
             staircase=True, end_value=0.04),
    ],
    "warmup_constant": [dict(init_value=0.02, peak_value=0.1, warmup_steps=0)],
    "polynomial": [
        dict(end_value=0.2, power=3.0, transition_steps=12, transition_begin=4),
        dict(end_value=0.01, power=1.0, transition_steps=0),
    ],
    "linear": [dict(end_value=0.01, transition_steps=7, transition_begin=4)],
    "piecewise_constant": [dict(boundaries_and_scales={5: 2.0, 12: 0.0})],
    "sgdr": [
        dict(cosine_kwargs=[
            dict(init_value=0.01, peak_value=0.05, warmup_steps=0, decay_steps=6, end_value=0.02, exponent=2.0),
            dict(init_value=0.02, peak_value=0.03, warmup_steps=3, decay_steps=9, end_value=0.0),
            dict(init_value=0.0, peak_value=0.02, warmup_steps=1, decay_steps=4, end_value=0.001),
        ]),
    ],
}
LR = 0.05
MAKE = {
    "exponential_decay": lambda k: optax.exponential_decay(LR, **k),
    "cosine_decay": lambda k: optax.cosine_decay_schedule(LR, **k),
    "warmup_cosine_decay": lambda k: optax.warmup_cosine_decay_schedule(**k),
    "warmup_exponential_decay": lambda k: optax.warmup_exponential_decay_schedule(**k),
    "warmup_constant": lambda k: optax.warmup_constant_schedule(**k),
    "polynomial": lambda k: optax.polynomial_schedule(LR, **k),
    "linear": lambda k: optax.linear_schedule(LR, **k),
    "piecewise_constant": lambda k: optax.piecewise_constant_schedule(LR, **k),
    "sgdr": lambda k: optax.sgdr_schedule(k["cosine_kwargs"]),
}
out = []
for name, cases in SCHEDULES.items():
    for kwargs in cases:
        rate = MAKE[name](kwargs)
        values = [float(rate(jnp.asarray(float(s)))) for s in range(41)]
        out.append({"name": name, "parameters": kwargs, "values": values})
(HERE / "optimizer-schedules.json").write_text(json.dumps({"reference": "optax 0.2.8", "lr": LR, "schedules": out}, indent=1))
