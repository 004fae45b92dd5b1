//! Adamax: Adam with the infinity norm instead of the second moment, with and without weight decay.
//!
//! `m <- b1 m + (1-b1) g`, `n <- max(b2 n, |g| + eps)`,
//! `u = -h ( m/(1-b1^t) / n + weight_decay theta )`.
//!
//! Kingma & Ba, ICLR 2015, section 7.1; Loshchilov & Hutter, ICLR 2019, for the decay.

use super::options::{DECAY, NOT_NEGATIVE, Options, POSITIVE};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sweep};
use crate::error::Result;
use crate::parts::real::Real;

/// `adamax` (`weight_decay` 0) and `adamaxw`.
#[derive(Debug)]
pub(super) struct Adamax {
    b1: f64,
    b2: f64,
    eps: f64,
    weight_decay: f64,
}

impl Adamax {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Adamax {
            b1: o.number("b1", 0.9, DECAY)?,
            b2: o.number("b2", 0.999, DECAY)?,
            // Without it an entry whose gradient is 0 from the start gives 0/0.
            eps: o.number("eps", 1e-8, POSITIVE)?,
            weight_decay: 0.0,
        })
    }

    pub fn read_with_decay(o: &mut Options) -> Result<Self> {
        let weight_decay = o.number("weight_decay", 1e-4, NOT_NEGATIVE)?;
        Ok(Adamax { weight_decay, ..Adamax::read(o)? })
    }

    /// `b1`, `1-b1`, `b2`, what makes `m` unbiased, `eps`, `h`, `h weight_decay`.
    fn terms(&self, step: &Step) -> [f64; 7] {
        let Adamax { b1, b2, eps, weight_decay } = *self;
        [b1, 1.0 - b1, b2, step.unbias(b1), eps, step.h, step.h * weight_decay]
    }
}

impl<T: Real> Rule<T> for Adamax {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0), ("n", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [b1, c1, b2, from_m, eps, h, decay] = self.terms(step).map(T::of);
        sweep(theta, g, slots.data(), |theta, g, [m, n]| {
            let m = b1 * m + c1 * g;
            let n = num_traits::Float::max(b2 * n, num_traits::Float::abs(g) + eps);
            (-h * from_m * m / n - decay * theta, [m, n])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("adamax", shape)
    }
}
