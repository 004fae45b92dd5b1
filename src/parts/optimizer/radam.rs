//! Rectified Adam: plain momentum until the second moment has seen enough to be trusted.
//!
//! `m`, `v` as Adam; `r_inf = 2/(1-b2) - 1`, `r_t = r_inf - 2 t b2^t / (1-b2^t)`. Where
//! `r_t >= threshold`: `c = sqrt( (r_t-4)(r_t-2) r_inf / ((r_inf-4)(r_inf-2) r_t) )`,
//! `u = -h c m^ / (sqrt(v^ + eps_root) + eps)`; before that `u = -h m^`. (With `b2 = 0.999` it
//! adapts from the sixth update.)
//!
//! Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020.

use super::options::{DECAY, NOT_NEGATIVE, Options};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sweep};
use crate::error::Result;
use crate::parts::real::Real;
use std::ops::Bound;

/// `radam`.
#[derive(Debug)]
pub(super) struct RAdam {
    b1: f64,
    b2: f64,
    eps: f64,
    eps_root: f64,
    threshold: f64,
}

impl RAdam {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(RAdam {
            b1: o.number("b1", 0.9, DECAY)?,
            b2: o.number("b2", 0.999, DECAY)?,
            eps: o.number("eps", 1e-8, NOT_NEGATIVE)?,
            eps_root: o.number("eps_root", 0.0, NOT_NEGATIVE)?,
            // At or below 4 the rectification is the root of a negative number.
            threshold: o.number("threshold", 5.0, (Bound::Excluded(4.0), Bound::Unbounded))?,
        })
    }

    /// The rectification `c` of update `t`, or none while the second moment is not used.
    fn rectification(&self, t: f64) -> Option<f64> {
        let r_inf = 2.0 / (1.0 - self.b2) - 1.0;
        let power = self.b2.powf(t);
        let r = r_inf - 2.0 * t * power / (1.0 - power);
        (r >= self.threshold)
            .then(|| ((r - 4.0) * (r - 2.0) * r_inf / ((r_inf - 4.0) * (r_inf - 2.0) * r)).sqrt())
    }

    /// `b1`, `1-b1`, `b2`, `1-b2`, what makes `v` unbiased, `eps`, `eps_root`, what multiplies the new
    /// `m` (with its rectification), and whether the second moment is used (1 or 0).
    fn terms(&self, step: &Step) -> [f64; 9] {
        let RAdam { b1, b2, eps, eps_root, .. } = *self;
        let (from_m, from_v) = (step.unbias(b1), step.unbias(b2));
        let (h, adapts) = match self.rectification(step.t as f64) {
            Some(c) => (step.h * c * from_m, 1.0),
            None => (step.h * from_m, 0.0),
        };
        [b1, 1.0 - b1, b2, 1.0 - b2, from_v, eps, eps_root, h, adapts]
    }
}

impl<T: Real> Rule<T> for RAdam {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0), ("v", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [b1, c1, b2, c2, from_v, eps, eps_root, h, adapts] = self.terms(step).map(T::of);
        let moments = |g: T, m: T, v: T| (b1 * m + c1 * g, b2 * v + c2 * g * g);
        if adapts > T::zero() {
            sweep(theta, g, slots.data(), |_, g, [m, v]| {
                let (m, v) = moments(g, m, v);
                (-h * m / ((from_v * v + eps_root).sqrt() + eps), [m, v])
            });
        } else {
            sweep(theta, g, slots.data(), |_, g, [m, v]| {
                let (m, v) = moments(g, m, v);
                (-h * m, [m, v])
            });
        }
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("radam", shape)
    }
}
