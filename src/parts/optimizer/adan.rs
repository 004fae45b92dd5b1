//! Adan: adaptive Nesterov momentum from gradient differences.
//!
//! With `e = g - g_prev` (0 at the first update): `m <- b1 m + (1-b1) g`, `v <- b2 v + (1-b2) e`,
//! `n <- b3 n + (1-b3) (g + (1-b2) e)^2`, all unbiased by their `1 - b^t`;
//! `u = -h ( (m^ + (1-b2) v^) / (sqrt(n^ + eps_root) + eps) + weight_decay theta )`.
//!
//! Xie, Zhou, Li, Lin & Yan, "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep
//! models", 2022. `b1`, `b2`, `b3` are the shares kept, one minus the paper's betas.

use super::options::{DECAY, NOT_NEGATIVE, Options};
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
}

impl<T: Real> Rule<T> for Adan {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0), ("v", 0.0), ("n", 0.0), ("g_prev", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let (from_m, from_v) = (T::of(step.unbias(self.b1)), T::of(step.unbias(self.b2)));
        let from_n = T::of(step.unbias(self.b3));
        let (b1, c1) = (T::of(self.b1), T::of(1.0 - self.b1));
        let (b2, c2) = (T::of(self.b2), T::of(1.0 - self.b2));
        let (b3, c3) = (T::of(self.b3), T::of(1.0 - self.b3));
        let (eps, eps_root) = (T::of(self.eps), T::of(self.eps_root));
        let (h, decay) = (T::of(step.h), T::of(step.h * self.weight_decay));
        let seen = if step.t == 1 { T::zero() } else { T::one() };
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
}
