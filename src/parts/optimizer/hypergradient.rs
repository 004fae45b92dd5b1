//! Hypergradient descent: a step size for every block, itself learned by gradient descent.
//!
//! `e_0 = init_lr`, `g_0 = 0`; `e <- clip(e + hyper_lr <g_t, g_(t-1)>, min_lr, max_lr)`;
//! `u = -e g_t` with the new `e`. A schedule multiplies `u` by `h` over the base rate.
//!
//! Baydin, Cornish, Martinez Rubio, Schmidt & Wood, "Online learning rate adaptation with
//! hypergradient descent", ICLR 2018.

use super::options::{NOT_NEGATIVE, Options, POSITIVE};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, dot, sweep};
use crate::error::{Error, Result};
use crate::parts::real::Real;

/// `hypergradient_descent`.
#[derive(Debug)]
pub(super) struct Hypergradient {
    init_lr: f64,
    hyper_lr: f64,
    min_lr: f64,
    max_lr: f64,
}

impl Hypergradient {
    pub fn read(o: &mut Options) -> Result<Self> {
        let hyper = Hypergradient {
            init_lr: o.number("init_lr", 0.01, POSITIVE)?,
            hyper_lr: o.number("hyper_lr", 1e-4, NOT_NEGATIVE)?,
            min_lr: o.number("min_lr", 1e-6, NOT_NEGATIVE)?,
            max_lr: o.number("max_lr", 1.0, POSITIVE)?,
        };
        if hyper.min_lr > hyper.max_lr {
            let reason = format!("must be >= min_lr {}, got {}", hyper.min_lr, hyper.max_lr);
            return Err(o.error("max_lr", reason));
        }
        // Only the rule for sgd is known; saying so is better than not looking.
        match o.value("inner_optimizer") {
            None => Ok(hyper),
            Some(v) if v == "sgd" => Ok(hyper),
            Some(v) => {
                let name = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
                Err(Error::unknown("optimizer_kwargs.inner_optimizer", &name, &["sgd"]))
            }
        }
    }
}

impl<T: Real> Rule<T> for Hypergradient {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[("g_prev", 0.0)]).with_scalar("e", self.init_lr)
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let along = dot(g, &slots.tensors[0].data);
        let e = &mut slots.scalars[0].1;
        *e = (*e + self.hyper_lr * along).clamp(self.min_lr, self.max_lr);
        let rate = T::of(*e * step.ratio);
        sweep(theta, g, slots.data(), |_, g, _| (-rate * g, [g]));
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        vec![self.hyper_lr, self.min_lr, self.max_lr, step.ratio]
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::measured("hypergradient", shape)
    }
}
