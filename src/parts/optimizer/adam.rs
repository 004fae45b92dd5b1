//! Adam and its weight-decaying and never-forgetting forms.
//!
//! With `m <- b1 m + (1-b1) g`, `v <- b2 v + (1-b2) g^2` and the hat for division by `1 - b^t`:
//!
//! | name | update |
//! |---|---|
//! | `adam` | `u = -h m^ / (sqrt(v^ + eps_root) + eps)` |
//! | `adamw` | `u = -h ( m^ / (sqrt(v^ + eps_root) + eps) + weight_decay theta )` |
//! | `amsgrad` | `x <- max(x, v^)`; `u = -h m^ / (sqrt(x + eps_root) + eps)` |
//!
//! Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015; Loshchilov & Hutter,
//! "Decoupled weight decay regularization", ICLR 2019; Reddi, Kale & Kumar, "On the convergence of
//! Adam and beyond", ICLR 2018.

use super::options::{DECAY, NOT_NEGATIVE, Options};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sweep};
use crate::error::Result;
use crate::parts::real::Real;

/// `adam` (`weight_decay` 0) and `adamw`.
#[derive(Debug)]
pub(super) struct Adam {
    pub b1: f64,
    pub b2: f64,
    pub eps: f64,
    pub eps_root: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
}

impl Adam {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Adam {
            b1: o.number("b1", 0.9, DECAY)?,
            b2: o.number("b2", 0.999, DECAY)?,
            eps: o.number("eps", 1e-8, NOT_NEGATIVE)?,
            eps_root: o.number("eps_root", 0.0, NOT_NEGATIVE)?,
            weight_decay: 0.0,
            nesterov: o.flag("nesterov", false)?,
        })
    }

    pub fn read_with_decay(o: &mut Options) -> Result<Self> {
        let weight_decay = o.number("weight_decay", 1e-4, NOT_NEGATIVE)?;
        Ok(Adam { weight_decay, ..Adam::read(o)? })
    }

    /// `b1`, `1-b1`, `b2`, `1-b2`, what multiplies `m` and `v`, `eps`, `eps_root`, `h`, what
    /// multiplies `g`, `h weight_decay`.
    fn terms(&self, step: &Step) -> [f64; 11] {
        let Adam { b1, b2, eps, eps_root, weight_decay, nesterov } = *self;
        let (from_m, from_g) = first_moment(step, b1, nesterov);
        let (from_v, decay) = (step.unbias(b2), step.h * weight_decay);
        [b1, 1.0 - b1, b2, 1.0 - b2, from_m, from_v, eps, eps_root, step.h, from_g, decay]
    }
}

/// What multiplies `m` and `g` in `m^`: `m / (1 - b1^t)`, or with Nesterov's look ahead
/// `b1 m / (1 - b1^(t+1)) + (1-b1) g / (1 - b1^t)` (Dozat, "Incorporating Nesterov momentum into
/// Adam", 2016).
fn first_moment(step: &Step, b1: f64, nesterov: bool) -> (f64, f64) {
    let unbias = step.unbias(b1);
    match nesterov {
        false => (unbias, 0.0),
        true => (b1 / (1.0 - b1.powf(step.t as f64 + 1.0)), (1.0 - b1) * unbias),
    }
}

impl<T: Real> Rule<T> for Adam {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0), ("v", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [b1, c1, b2, c2, from_m, from_v, eps, eps_root, h, from_g, decay] =
            self.terms(step).map(T::of);
        sweep(theta, g, slots.data(), |theta, g, [m, v]| {
            let m = b1 * m + c1 * g;
            let v = b2 * v + c2 * g * g;
            let direction = (from_m * m + from_g * g) / ((from_v * v + eps_root).sqrt() + eps);
            (-h * direction - decay * theta, [m, v])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("adam.adam", shape)
    }
}

/// `amsgrad`: Adam whose second moment never decreases.
#[derive(Debug)]
pub(super) struct AmsGrad {
    b1: f64,
    b2: f64,
    eps: f64,
    eps_root: f64,
}

impl AmsGrad {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(AmsGrad {
            b1: o.number("b1", 0.9, DECAY)?,
            b2: o.number("b2", 0.999, DECAY)?,
            eps: o.number("eps", 1e-8, NOT_NEGATIVE)?,
            eps_root: o.number("eps_root", 0.0, NOT_NEGATIVE)?,
        })
    }

    /// As those of [`Adam`], without the last two.
    fn terms(&self, step: &Step) -> [f64; 9] {
        let AmsGrad { b1, b2, eps, eps_root } = *self;
        let (from_m, from_v) = (step.unbias(b1), step.unbias(b2));
        [b1, 1.0 - b1, b2, 1.0 - b2, from_m, from_v, eps, eps_root, step.h]
    }
}

impl<T: Real> Rule<T> for AmsGrad {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("m", 0.0), ("v", 0.0), ("x", 0.0)])
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let [b1, c1, b2, c2, from_m, from_v, eps, eps_root, h] = self.terms(step).map(T::of);
        sweep(theta, g, slots.data(), |_, g, [m, v, x]| {
            let m = b1 * m + c1 * g;
            let v = b2 * v + c2 * g * g;
            let x = num_traits::Float::max(x, from_v * v);
            (-h * from_m * m / ((x + eps_root).sqrt() + eps), [m, v, x])
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("adam.amsgrad", shape)
    }
}
