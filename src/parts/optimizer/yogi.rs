//! Yogi: Adam whose second moment moves by a controlled amount.
//!
//! `m_0 = v_0 = 1e-6`; `m <- b1 m + (1-b1) g`, `v <- v - (1-b2) sign(v - g^2) g^2`,
//! `u = -h m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps)`.
//!
//! Zaheer, Reddi, Sachan, Kale & Kumar, "Adaptive methods for nonconvex optimization", NeurIPS
//! 2018.

use super::options::{DECAY, NOT_NEGATIVE, Options};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sign, sweep};
use crate::error::Result;
use crate::parts::real::Real;

/// Both moments before the first update.
const START: f64 = 1e-6;

/// `yogi`.
#[derive(Debug)]
pub(super) struct Yogi {
    b1: f64,
    b2: f64,
    eps: f64,
}

impl Yogi {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Yogi {
            b1: o.number("b1", 0.9, DECAY)?,
            b2: o.number("b2", 0.999, DECAY)?,
            eps: o.number("eps", 1e-3, NOT_NEGATIVE)?,
        })
    }

    /// `b1`, `1-b1`, `1-b2`, what makes `m` and `v` unbiased, `eps`, `h`.
    fn terms(&self, step: &Step) -> [f64; 7] {
        let Yogi { b1, b2, eps } = *self;
        [b1, 1.0 - b1, 1.0 - b2, step.unbias(b1), step.unbias(b2), eps, step.h]
    }
}

impl<T: Real> Rule<T> for Yogi {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", START), ("v", START)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [b1, c1, c2, from_m, from_v, eps, h] = self.terms(step).map(T::of);
        sweep(theta, g, slots.data(), |_, g, [m, v]| {
            let m = b1 * m + c1 * g;
            let v = v - c2 * sign(v - g * g) * g * g;
            (-h * from_m * m / ((from_v * v).sqrt() + eps), [m, v])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("yogi", shape)
    }
}
