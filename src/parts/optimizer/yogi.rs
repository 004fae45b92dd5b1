//! Yogi: Adam whose second moment moves by a controlled amount.
//!
//! `m_0 = v_0 = 1e-6`; `m <- b1 m + (1-b1) g`, `v <- v - (1-b2) sign(v - g^2) g^2`,
//! `u = -h m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps)`.
//!
//! Zaheer, Reddi, Sachan, Kale & Kumar, "Adaptive methods for nonconvex optimization", NeurIPS
//! 2018.

use super::options::{DECAY, NOT_NEGATIVE, Options};
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
}

impl<T: Real> Rule<T> for Yogi {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", START), ("v", START)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let (from_m, from_v) = (T::of(step.unbias(self.b1)), T::of(step.unbias(self.b2)));
        let (b1, c1) = (T::of(self.b1), T::of(1.0 - self.b1));
        let c2 = T::of(1.0 - self.b2);
        let (h, eps) = (T::of(step.h), T::of(self.eps));
        sweep(theta, g, slots.data(), |_, g, [m, v]| {
            let m = b1 * m + c1 * g;
            let v = v - c2 * sign(v - g * g) * g * g;
            (-h * from_m * m / ((from_v * v).sqrt() + eps), [m, v])
        });
    }
}
