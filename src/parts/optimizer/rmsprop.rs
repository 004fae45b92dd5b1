//! RMSprop, AdaGrad and AdaDelta: steps divided by the root of accumulated squared gradients.

use super::options::{DECAY, NOT_NEGATIVE, Options, POSITIVE};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sweep};
use super::sgd::{carry, momentum};
use crate::error::Result;
use crate::parts::real::Real;

/// `rmsprop`: `v <- decay v + (1-decay) g^2` with `v_0 = initial_scale`, not unbiased;
/// `z = -h g / sqrt(v + eps)`, or `-h g / (sqrt(v) + eps)` without `eps_in_sqrt`. `centered`
/// subtracts the square of the running mean of `g` from `v`. `momentum` works on `z`, after the
/// step size: `b <- z + momentum b`, `u = b`, with Nesterov's look ahead `u = z + momentum b`.
///
/// Tieleman & Hinton, "Lecture 6.5: RMSprop", 2012.
#[derive(Debug)]
pub(super) struct RmsProp {
    decay: f64,
    /// `eps` under the root, and beside it: one of the two is 0.
    eps_inside: f64,
    eps_outside: f64,
    initial_scale: f64,
    centered: bool,
    momentum: Option<f64>,
    nesterov: bool,
}

impl RmsProp {
    pub fn read(o: &mut Options) -> Result<Self> {
        let eps = o.number("eps", 1e-8, NOT_NEGATIVE)?;
        let inside = o.flag("eps_in_sqrt", true)?;
        let (momentum, nesterov) = momentum(o)?;
        Ok(RmsProp {
            decay: o.number("decay", 0.9, DECAY)?,
            eps_inside: if inside { eps } else { 0.0 },
            eps_outside: if inside { 0.0 } else { eps },
            initial_scale: o.number("initial_scale", 0.0, NOT_NEGATIVE)?,
            centered: o.flag("centered", false)?,
            momentum,
            nesterov,
        })
    }

    /// `decay`, `1-decay`, `eps` within and beside the root, `h`, `momentum`.
    fn terms(&self, step: &Step) -> [f64; 6] {
        let (decay, mu) = (self.decay, self.momentum.unwrap_or(0.0));
        [decay, 1.0 - decay, self.eps_inside, self.eps_outside, step.h, mu]
    }
}

impl<T: Real> Rule<T> for RmsProp {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        let mut named = vec![("v", self.initial_scale)];
        if self.centered {
            named.push(("m", 0.0));
        }
        if self.momentum.is_some() {
            named.push(("b", 0.0));
        }
        Slots::new(shape, &named)
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [keep, take, inside, outside, h, mu] = self.terms(step).map(T::of);
        // u = z + mu b with the new b, or the new b itself = z + mu (old b).
        let nesterov = self.nesterov;
        let plain = |g: T, v: T| {
            let v = keep * v + take * g * g;
            (-h * g / ((v + inside).sqrt() + outside), v)
        };
        let centered = |g: T, v: T, m: T| {
            let v = keep * v + take * g * g;
            let m = keep * m + take * g;
            // A variance: rounding must not make it negative.
            let variance = num_traits::Float::max(v - m * m, T::zero());
            (-h * g / ((variance + inside).sqrt() + outside), v, m)
        };
        let carry = |z: T, b: T| {
            let new = z + mu * b;
            (if nesterov { z + mu * new } else { new }, new)
        };
        match (self.centered, self.momentum.is_some()) {
            (false, false) => sweep(theta, g, slots.data(), |_, g, [v]| {
                let (z, v) = plain(g, v);
                (z, [v])
            }),
            (false, true) => sweep(theta, g, slots.data(), |_, g, [v, b]| {
                let (z, v) = plain(g, v);
                let (u, b) = carry(z, b);
                (u, [v, b])
            }),
            (true, false) => sweep(theta, g, slots.data(), |_, g, [v, m]| {
                let (z, v, m) = centered(g, v, m);
                (z, [v, m])
            }),
            (true, true) => sweep(theta, g, slots.data(), |_, g, [v, m, b]| {
                let (z, v, m) = centered(g, v, m);
                let (u, b) = carry(z, b);
                (u, [v, m, b])
            }),
        }
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        let kind = carry(self.momentum, self.nesterov);
        Plan::elementwise("rmsprop.rmsprop", shape).with(&[u32::from(self.centered), kind])
    }
}

/// `adagrad`: `a_0 = initial_accumulator_value`, `a <- a + g^2`, `u = -h g / sqrt(a + eps)`, 0
/// where `a = 0`.
///
/// Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and stochastic
/// optimization", JMLR 12, 2011.
#[derive(Debug)]
pub(super) struct AdaGrad {
    start: f64,
    eps: f64,
}

impl AdaGrad {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(AdaGrad {
            start: o.number("initial_accumulator_value", 0.1, NOT_NEGATIVE)?,
            eps: o.number("eps", 1e-7, NOT_NEGATIVE)?,
        })
    }
}

impl<T: Real> Rule<T> for AdaGrad {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("a", self.start)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let (h, eps) = (T::of(step.h), T::of(self.eps));
        sweep(theta, g, slots.data(), |_, g, [a]| {
            let a = a + g * g;
            (if a > T::zero() { -h * g / (a + eps).sqrt() } else { T::zero() }, [a])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        vec![step.h, self.eps]
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("rmsprop.adagrad", shape)
    }
}

/// `adadelta`, for the gradient `g + weight_decay theta`: `e <- rho e + (1-rho) g^2`,
/// `z = sqrt(x + eps)/sqrt(e + eps) g`, `u = -h z`, then `x <- rho x + (1-rho) z^2`.
///
/// Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
#[derive(Debug)]
pub(super) struct AdaDelta {
    rho: f64,
    eps: f64,
    weight_decay: f64,
}

impl AdaDelta {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(AdaDelta {
            rho: o.number("rho", 0.9, DECAY)?,
            // x begins at 0, so without it nothing ever moves.
            eps: o.number("eps", 1e-6, POSITIVE)?,
            weight_decay: o.number("weight_decay", 0.0, NOT_NEGATIVE)?,
        })
    }

    /// `rho`, `1-rho`, `h`, `eps`, `weight_decay`.
    fn terms(&self, step: &Step) -> [f64; 5] {
        [self.rho, 1.0 - self.rho, step.h, self.eps, self.weight_decay]
    }
}

impl<T: Real> Rule<T> for AdaDelta {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("e", 0.0), ("x", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [keep, take, h, eps, decay] = self.terms(step).map(T::of);
        sweep(theta, g, slots.data(), |theta, g, [e, x]| {
            let g = g + decay * theta;
            let e = keep * e + take * g * g;
            let z = (x + eps).sqrt() / (e + eps).sqrt() * g;
            (-h * z, [e, keep * x + take * z * z])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("rmsprop.adadelta", shape)
    }
}
