//! Optimizers that scale a whole block by norms: LAMB, LARS, Fromage, NovoGrad.
//!
//! `N` is the Frobenius norm of a block, whatever its rank.

use super::adam::Adam;
use super::options::{DECAY, NOT_NEGATIVE, Options, POSITIVE};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, dot, measure, norm, sweep};
use crate::error::Result;
use crate::parts::real::Real;

/// `a / b`, or 1 if either is 0: a block at zero, or without gradient, is moved as if unscaled.
fn trust_ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 1.0 } else { a / b }
}

/// `lamb`: the direction `a` of Adam with weight decay, to the length of the block:
/// `u = -h N(theta)/N(a) a`.
///
/// You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR
/// 2020.
#[derive(Debug)]
pub(super) struct Lamb {
    adam: Adam,
}

impl Lamb {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Lamb {
            adam: Adam {
                b1: o.number("b1", 0.9, DECAY)?,
                b2: o.number("b2", 0.999, DECAY)?,
                eps: o.number("eps", 1e-6, NOT_NEGATIVE)?,
                eps_root: o.number("eps_root", 0.0, NOT_NEGATIVE)?,
                weight_decay: o.number("weight_decay", 0.0, NOT_NEGATIVE)?,
                nesterov: false,
            },
        })
    }
}

impl<T: Real> Rule<T> for Lamb {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0), ("v", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let Adam { b1, b2, eps, eps_root, weight_decay, .. } = self.adam;
        let (from_m, from_v) = (T::of(step.unbias(b1)), T::of(step.unbias(b2)));
        let (b1, c1) = (T::of(b1), T::of(1.0 - b1));
        let (b2, c2) = (T::of(b2), T::of(1.0 - b2));
        let (eps, eps_root, decay) = (T::of(eps), T::of(eps_root), T::of(weight_decay));
        let direction = |theta: T, m: T, v: T| {
            from_m * m / ((from_v * v + eps_root).sqrt() + eps) + decay * theta
        };
        let squared = measure(theta, g, slots.data(), |theta, g, [m, v]| {
            let m = b1 * m + c1 * g;
            let v = b2 * v + c2 * g * g;
            (direction(theta, m, v), [m, v])
        });
        // The direction is computed again rather than stored: two divisions against a block of
        // memory.
        let h = T::of(step.h * trust_ratio(norm(theta), squared.sqrt()));
        sweep(theta, g, slots.data(), |theta, _, [m, v]| (-h * direction(theta, m, v), [m, v]));
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        let Adam { b1, b2, eps, eps_root, weight_decay, .. } = self.adam;
        let (from_m, from_v) = (step.unbias(b1), step.unbias(b2));
        vec![b1, 1.0 - b1, b2, 1.0 - b2, from_m, from_v, eps, eps_root, weight_decay, step.h]
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::measured("layerwise.lamb", shape)
    }
}

/// `lars`: `a = g + weight_decay theta`, `r = trust_coefficient N(theta)/(N(a) + eps)` (1 if either
/// norm is 0), `z = -h r a`, `b <- z + momentum b`, `u = b`, with Nesterov's look ahead
/// `u = z + momentum b`. The momentum comes after the step size, so it remembers the rates of the
/// past.
///
/// You, Gitman & Ginsburg, "Large batch training of convolutional networks", 2017.
#[derive(Debug)]
pub(super) struct Lars {
    weight_decay: f64,
    trust_coefficient: f64,
    eps: f64,
    momentum: f64,
    nesterov: bool,
}

impl Lars {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Lars {
            weight_decay: o.number("weight_decay", 0.0, NOT_NEGATIVE)?,
            trust_coefficient: o.number("trust_coefficient", 0.001, POSITIVE)?,
            eps: o.number("eps", 0.0, NOT_NEGATIVE)?,
            momentum: o.number("momentum", 0.9, DECAY)?,
            nesterov: o.flag("nesterov", false)?,
        })
    }
}

impl<T: Real> Rule<T> for Lars {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("b", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let decay = T::of(self.weight_decay);
        let a = measure(theta, g, [], |theta, g, []| (g + decay * theta, [])).sqrt();
        let length = norm(theta);
        let ratio = if length == 0.0 || a == 0.0 {
            1.0
        } else {
            self.trust_coefficient * length / (a + self.eps)
        };
        let (h, mu) = (T::of(step.h * ratio), T::of(self.momentum));
        if self.nesterov {
            sweep(theta, g, slots.data(), |theta, g, [b]| {
                let z = -h * (g + decay * theta);
                let b = z + mu * b;
                (z + mu * b, [b])
            });
        } else {
            sweep(theta, g, slots.data(), |theta, g, [b]| {
                let b = -h * (g + decay * theta) + mu * b;
                (b, [b])
            });
        }
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        vec![self.weight_decay, self.trust_coefficient, self.eps, self.momentum, step.h]
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::measured("layerwise.lars", shape).with(&[u32::from(self.nesterov)])
    }
}

/// `fromage`: with `c = 1/sqrt(1 + h^2)` and `r = max(N(theta), min_norm)/max(N(g), min_norm)`,
/// `u = -h c r g + (c - 1) theta`.
///
/// Bernstein, Vahdat, Yue & Liu, "On the distance between two neural networks and the stability of
/// learning", NeurIPS 2020.
#[derive(Debug)]
pub(super) struct Fromage {
    min_norm: f64,
}

impl Fromage {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Fromage { min_norm: o.number("min_norm", 1e-6, POSITIVE)? })
    }
}

impl<T: Real> Rule<T> for Fromage {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[])
    }

    fn update(&self, step: &mut Step, _slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let c = 1.0 / (1.0 + step.h * step.h).sqrt();
        let r = norm(theta).max(self.min_norm) / norm(g).max(self.min_norm);
        let (along, shrink) = (T::of(-step.h * c * r), T::of(c - 1.0));
        sweep(theta, g, [], |theta, g, []| (along * g + shrink * theta, []));
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        let root = (1.0 + step.h * step.h).sqrt();
        // c - 1 without cancellation.
        let shrink = -step.h * step.h / (root * (1.0 + root));
        vec![self.min_norm, -step.h / root, shrink]
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::measured("layerwise.fromage", shape)
    }
}

/// `novograd`: a second moment of the whole block. At the first update `q = N(g)^2`, later
/// `q <- b2 q + (1-b2) N(g)^2`; `m <- b1 m + g/(sqrt(q + eps_root) + eps) + weight_decay theta`;
/// `u = -h m`.
///
/// Ginsburg et al., "Stochastic gradient methods with layer-wise adaptive moments for training of
/// deep networks", 2019.
#[derive(Debug)]
pub(super) struct NovoGrad {
    b1: f64,
    b2: f64,
    eps: f64,
    eps_root: f64,
    weight_decay: f64,
}

impl NovoGrad {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(NovoGrad {
            b1: o.number("b1", 0.9, DECAY)?,
            b2: o.number("b2", 0.25, DECAY)?,
            eps: o.number("eps", 1e-6, NOT_NEGATIVE)?,
            eps_root: o.number("eps_root", 0.0, NOT_NEGATIVE)?,
            weight_decay: o.number("weight_decay", 0.0, NOT_NEGATIVE)?,
        })
    }
}

impl<T: Real> Rule<T> for NovoGrad {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0)]).with_scalar("q", 0.0)
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let squared = dot(g, g);
        let q = &mut slots.scalars[0].1;
        *q = if step.t == 1 { squared } else { self.b2 * *q + (1.0 - self.b2) * squared };
        let scale = T::of(1.0 / ((*q + self.eps_root).sqrt() + self.eps));
        let (b1, decay, h) = (T::of(self.b1), T::of(self.weight_decay), T::of(step.h));
        sweep(theta, g, slots.data(), |theta, g, [m]| {
            let m = b1 * m + scale * g + decay * theta;
            (-h * m, [m])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        let NovoGrad { b1, b2, eps, eps_root, weight_decay } = *self;
        let (keep, take) = if step.t == 1 { (0.0, 1.0) } else { (b2, 1.0 - b2) };
        vec![keep, take, eps, eps_root, b1, weight_decay, step.h]
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::measured("layerwise.novograd", shape)
    }
}
