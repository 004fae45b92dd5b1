//! AdaBelief: Adam whose second moment measures how far the gradient is from its running mean.
//!
//! `m <- b1 m + (1-b1) g`, `q <- b2 q + (1-b2) (g - m)^2 + eps_root` (the new `m`; `eps_root` stays
//! in `q`), `u = -h m/(1-b1^t) / (sqrt(q/(1-b2^t)) + eps)`.
//!
//! Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients",
//! NeurIPS 2020.

use super::options::{DECAY, NOT_NEGATIVE, Options};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sweep};
use crate::error::Result;
use crate::parts::real::Real;

/// `adabelief`.
#[derive(Debug)]
pub(super) struct AdaBelief {
    b1: f64,
    b2: f64,
    eps: f64,
    eps_root: f64,
}

impl AdaBelief {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(AdaBelief {
            b1: o.number("b1", 0.9, DECAY)?,
            b2: o.number("b2", 0.999, DECAY)?,
            eps: o.number("eps", 1e-16, NOT_NEGATIVE)?,
            eps_root: o.number("eps_root", 1e-16, NOT_NEGATIVE)?,
        })
    }

    /// `b1`, `1-b1`, `b2`, `1-b2`, what makes `m` and `q` unbiased, `eps`, `eps_root`, `h`.
    fn terms(&self, step: &Step) -> [f64; 9] {
        let AdaBelief { b1, b2, eps, eps_root } = *self;
        let (from_m, from_q) = (step.unbias(b1), step.unbias(b2));
        [b1, 1.0 - b1, b2, 1.0 - b2, from_m, from_q, eps, eps_root, step.h]
    }
}

impl<T: Real> Rule<T> for AdaBelief {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0), ("q", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [b1, c1, b2, c2, from_m, from_q, eps, eps_root, h] = self.terms(step).map(T::of);
        sweep(theta, g, slots.data(), |_, g, [m, q]| {
            let m = b1 * m + c1 * g;
            let q = b2 * q + c2 * (g - m) * (g - m) + eps_root;
            (-h * from_m * m / ((from_q * q).sqrt() + eps), [m, q])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("adabelief", shape)
    }
}
