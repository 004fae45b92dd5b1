//! Rprop: a step size of its own for every element, grown while the gradient keeps its sign and
//! shrunk when it turns.
//!
//! State: step sizes `d` (`d_0` = base rate) and the last step `z`. With `q = g z` (elementwise):
//! `d <- d` where `q = 0`, else `clip(d (eta_plus if q > 0, eta_minus if q < 0), min, max)`;
//! `z <- 0` where `q < 0`, else `d sign(g)`; `u = -z`. With `rprop_delay` the step before is
//! emitted, `u = -(0 where q < 0, else the old z)`, as optax does. A schedule multiplies `u` by `h`
//! over the base rate.
//!
//! Riedmiller & Braun, "A direct adaptive method for faster backpropagation learning: the RPROP
//! algorithm", ICNN 1993.

use super::options::{Options, POSITIVE};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sign, sweep};
use crate::error::Result;
use crate::parts::real::Real;
use std::ops::Bound;

/// `rprop`.
#[derive(Debug)]
pub(super) struct Rprop {
    eta_minus: f64,
    eta_plus: f64,
    min: f64,
    max: f64,
    delay: bool,
}

impl Rprop {
    pub fn read(o: &mut Options) -> Result<Self> {
        let shrink = (Bound::Excluded(0.0), Bound::Excluded(1.0));
        let grow = (Bound::Excluded(1.0), Bound::Unbounded);
        let rprop = Rprop {
            eta_minus: o.number("eta_minus", 0.5, shrink)?,
            eta_plus: o.number("eta_plus", 1.2, grow)?,
            min: o.number("min_step_size", 1e-6, POSITIVE)?,
            max: o.number("max_step_size", 50.0, POSITIVE)?,
            delay: o.flag("rprop_delay", false)?,
        };
        if rprop.min > rprop.max {
            let reason = format!("must be >= min_step_size {}, got {}", rprop.min, rprop.max);
            return Err(o.error("max_step_size", reason));
        }
        Ok(rprop)
    }

    /// `eta_minus`, `eta_plus`, smallest and largest step, `h` over the base rate.
    fn terms(&self, step: &Step) -> [f64; 5] {
        [self.eta_minus, self.eta_plus, self.min, self.max, step.ratio]
    }
}

impl<T: Real> Rule<T> for Rprop {
    fn slots(&self, shape: &[usize], lr: f64) -> Slots<T> {
        Slots::new(shape, &[("d", lr), ("z", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [minus, plus, min, max, ratio] = self.terms(step).map(T::of);
        let delay = self.delay;
        sweep(theta, g, slots.data(), |_, g, [d, old]| {
            let q = sign(g * old);
            let turned = q < T::zero();
            let factor = if turned { minus } else { plus };
            let d = if q == T::zero() { d } else { num_traits::clamp(d * factor, min, max) };
            let z = if turned { T::zero() } else { d * sign(g) };
            let emitted = match (delay, turned) {
                (false, _) => z,
                (true, false) => old,
                (true, true) => T::zero(),
            };
            (-ratio * emitted, [d, z])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("rprop", shape).with(&[u32::from(self.delay)])
    }
}
