//! Adan: adaptive Nesterov momentum from gradient differences.
//!
//! With `e = g - g_prev` (0 at the first update): `m <- b1 m + (1-b1) g`, `v <- b2 v + (1-b2) e`,
//! `n <- b3 n + (1-b3) (g + (1-b2) e)^2`, all unbiased by their `1 - b^t`;
//! `u = -h ( (m^ + (1-b2) v^) / (sqrt(n^ + eps_root) + eps) + weight_decay theta )`.
//!
//! Xie, Zhou, Li, Lin & Yan, "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep
//! models", 2022. `b1`, `b2`, `b3` are the shares kept, one minus the paper's betas.

use super::options::{DECAY, NOT_NEGATIVE, Options};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sweep};
use crate::error::Result;
use crate::parts::real::Real;

/// `adan`.
#[derive(Debug)]
pub(super) struct Adan {
    b1: f64,
    b2: f64,
    b3: f64,
    eps: f64,
    eps_root: f64,
    weight_decay: f64,
}

impl Adan {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Adan {
            b1: o.number("b1", 0.98, DECAY)?,
            b2: o.number("b2", 0.92, DECAY)?,
            b3: o.number("b3", 0.99, DECAY)?,
            eps: o.number("eps", 1e-8, NOT_NEGATIVE)?,
            eps_root: o.number("eps_root", 1e-8, NOT_NEGATIVE)?,
            weight_decay: o.number("weight_decay", 0.0, NOT_NEGATIVE)?,
        })
    }

    /// Share kept and share taken of `m`, `v`, `n`; what makes them unbiased; `eps`, `eps_root`, `h`,
    /// `h weight_decay`, and whether there is a gradient before (1 or 0).
    fn terms(&self, step: &Step) -> [f64; 14] {
        let Adan { b1, b2, b3, eps, eps_root, weight_decay } = *self;
        let [from_m, from_v, from_n] = [b1, b2, b3].map(|b| step.unbias(b));
        let (c1, c2, c3) = (1.0 - b1, 1.0 - b2, 1.0 - b3);
        let seen = if step.t == 1 { 0.0 } else { 1.0 };
        let decay = step.h * weight_decay;
        [b1, c1, b2, c2, b3, c3, from_m, from_v, from_n, eps, eps_root, step.h, decay, seen]
    }
}

impl<T: Real> Rule<T> for Adan {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0), ("v", 0.0), ("n", 0.0), ("g_prev", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [b1, c1, b2, c2, b3, c3, from_m, from_v, from_n, eps, eps_root, h, decay, seen] =
            self.terms(step).map(T::of);
        sweep(theta, g, slots.data(), |theta, g, [m, v, n, g_prev]| {
            let e = seen * (g - g_prev);
            let ahead = g + c2 * e;
            let m = b1 * m + c1 * g;
            let v = b2 * v + c2 * e;
            let n = b3 * n + c3 * ahead * ahead;
            let direction = (from_m * m + c2 * from_v * v) / ((from_n * n + eps_root).sqrt() + eps);
            (-h * direction - decay * theta, [m, v, n, g])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("adan", shape)
    }
}
