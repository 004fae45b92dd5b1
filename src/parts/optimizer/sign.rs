//! Descent along signs; `sign(0) = 0`.
//!
//! | name | update |
//! |---|---|
//! | `sign_sgd` | `u = -h sign(g)` |
//! | `signum` | `m <- beta m + (1-beta) g`; `u = -h sign(m)` |
//! | `lion` | `u = -h ( sign(b1 m + (1-b1) g) + weight_decay theta )`, then `m <- b2 m + (1-b2) g` |
//!
//! Bernstein, Wang, Azizzadenesheli & Anandkumar, "signSGD: compressed optimisation for non-convex
//! problems", ICML 2018; Chen et al., "Symbolic discovery of optimization algorithms", 2023.

use super::options::{DECAY, NOT_NEGATIVE, Options};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sign, sweep};
use crate::error::Result;
use crate::parts::real::Real;

/// `sign_sgd`.
#[derive(Debug)]
pub(super) struct SignSgd;

impl<T: Real> Rule<T> for SignSgd {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[])
    }

    fn update(&self, step: &mut Step, _slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let h = T::of(step.h);
        sweep(theta, g, [], |_, g, []| (-h * sign(g), []));
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        vec![step.h]
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("sign.sign_sgd", shape)
    }
}

/// `signum`.
#[derive(Debug)]
pub(super) struct Signum {
    beta: f64,
}

impl Signum {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Signum { beta: o.number("beta", 0.9, DECAY)? })
    }

    /// `beta`, `1-beta`, `h`.
    fn terms(&self, step: &Step) -> [f64; 3] {
        [self.beta, 1.0 - self.beta, step.h]
    }
}

impl<T: Real> Rule<T> for Signum {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [beta, rest, h] = self.terms(step).map(T::of);
        sweep(theta, g, slots.data(), |_, g, [m]| {
            let m = beta * m + rest * g;
            (-h * sign(m), [m])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("sign.signum", shape)
    }
}

/// `lion`.
#[derive(Debug)]
pub(super) struct Lion {
    b1: f64,
    b2: f64,
    weight_decay: f64,
}

impl Lion {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Lion {
            b1: o.number("b1", 0.9, DECAY)?,
            b2: o.number("b2", 0.99, DECAY)?,
            weight_decay: o.number("weight_decay", 1e-3, NOT_NEGATIVE)?,
        })
    }

    /// `b1`, `1-b1`, `b2`, `1-b2`, `h`, `h weight_decay`.
    fn terms(&self, step: &Step) -> [f64; 6] {
        let Lion { b1, b2, weight_decay } = *self;
        [b1, 1.0 - b1, b2, 1.0 - b2, step.h, step.h * weight_decay]
    }
}

impl<T: Real> Rule<T> for Lion {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [b1, c1, b2, c2, h, decay] = self.terms(step).map(T::of);
        sweep(theta, g, slots.data(), |theta, g, [m]| {
            (-h * sign(b1 * m + c1 * g) - decay * theta, [b2 * m + c2 * g])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("sign.lion", shape)
    }
}
