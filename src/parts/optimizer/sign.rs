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
}

impl<T: Real> Rule<T> for Signum {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let h = T::of(step.h);
        let (beta, rest) = (T::of(self.beta), T::of(1.0 - self.beta));
        sweep(theta, g, slots.data(), |_, g, [m]| {
            let m = beta * m + rest * g;
            (-h * sign(m), [m])
        });
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
}

impl<T: Real> Rule<T> for Lion {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let (b1, c1) = (T::of(self.b1), T::of(1.0 - self.b1));
        let (b2, c2) = (T::of(self.b2), T::of(1.0 - self.b2));
        let (h, decay) = (T::of(step.h), T::of(step.h * self.weight_decay));
        sweep(theta, g, slots.data(), |theta, g, [m]| {
            (-h * sign(b1 * m + c1 * g) - decay * theta, [b2 * m + c2 * g])
        });
    }
}
