//! Gradient descent: plain, with momentum, with noise, and differentially private.
//!
//! Plain: `u = -h g`. With momentum `mu`: `b <- g + mu b`, `u = -h b`; with Nesterov's look ahead
//! `u = -h (g + mu b)` (the new `b`).

use super::options::{DECAY, NOT_NEGATIVE, Options, POSITIVE};
use super::plan::Plan;
use super::rule::{Rule, Slots, Step, sweep};
use crate::error::Result;
use crate::parts::random::{Stream, stream};
use crate::parts::real::Real;

/// `sgd`; with `momentum` 0.9 and `nesterov` it is `riemannian_nesterov`, where the manifold enters
/// only through the projection after the update.
#[derive(Debug)]
pub(super) struct Sgd {
    momentum: Option<f64>,
    nesterov: bool,
}

/// `momentum` and `nesterov`, of which the second means nothing without the first.
pub(super) fn momentum(o: &mut Options) -> Result<(Option<f64>, bool)> {
    let momentum = o.optional("momentum", DECAY)?;
    let nesterov = o.flag("nesterov", false)?;
    match (momentum, nesterov) {
        (None, true) => Err(o.error("nesterov", "needs momentum, which is not given")),
        both => Ok(both),
    }
}

/// Kind of momentum, for a kernel: 0 none, 1 plain, 2 with Nesterov's look ahead.
pub(super) fn carry(momentum: Option<f64>, nesterov: bool) -> u32 {
    momentum.map_or(0, |_| 1 + u32::from(nesterov))
}

impl Sgd {
    pub fn read(o: &mut Options) -> Result<Self> {
        let (momentum, nesterov) = momentum(o)?;
        Ok(Sgd { momentum, nesterov })
    }

    pub fn read_riemannian(o: &mut Options) -> Result<Self> {
        Ok(Sgd { momentum: Some(o.number("momentum", 0.9, DECAY)?), nesterov: true })
    }

    fn slots<T: Real>(&self, shape: &[usize]) -> Slots<T> {
        match self.momentum {
            None => Slots::new(shape, &[]),
            Some(_) => Slots::new(shape, &[("b", 0.0)]),
        }
    }

    /// `h`, `momentum`.
    fn terms(&self, step: &Step) -> [f64; 2] {
        [step.h, self.momentum.unwrap_or(0.0)]
    }

    /// What kind of momentum, and whether there is noise, are constants of the kernel.
    fn plan(&self, shape: &[usize], noisy: bool) -> Plan {
        let kind = carry(self.momentum, self.nesterov);
        Plan::elementwise("sgd", shape).with(&[kind, u32::from(noisy)])
    }

    /// The update for the gradient `f(g)`; `f` is called once an element, in order.
    fn descend<T: Real>(
        &self,
        [h, mu]: [f64; 2],
        slots: &mut Slots<T>,
        theta: &mut [T],
        g: &[T],
        mut f: impl FnMut(T) -> T,
    ) {
        let (h, mu) = (T::of(h), T::of(mu));
        match (self.momentum, self.nesterov) {
            (None, _) => sweep(theta, g, [], |_, g, []| (-h * f(g), [])),
            (Some(_), false) => sweep(theta, g, slots.data(), |_, g, [b]| {
                let b = f(g) + mu * b;
                (-h * b, [b])
            }),
            (Some(_), true) => sweep(theta, g, slots.data(), |_, g, [b]| {
                let g = f(g);
                let b = g + mu * b;
                (-h * (g + mu * b), [b])
            }),
        }
    }
}

impl<T: Real> Rule<T> for Sgd {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Sgd::slots(self, shape)
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        self.descend(self.terms(step), slots, theta, g, |g| g);
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Sgd::plan(self, shape, false)
    }
}

/// `noisy_sgd`: `u = -h ( g + sqrt(eta / t^gamma) xi )` with independent standard normal `xi`.
///
/// Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015.
#[derive(Debug)]
pub(super) struct NoisySgd {
    eta: f64,
    gamma: f64,
    seed: u64,
}

impl NoisySgd {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(NoisySgd {
            eta: o.number("eta", 0.01, NOT_NEGATIVE)?,
            gamma: o.number("gamma", 0.55, NOT_NEGATIVE)?,
            seed: o.count("seed", 0, 0)?,
        })
    }
}

impl<T: Real> Rule<T> for NoisySgd {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        Slots::new(shape, &[])
    }

    fn update(&self, step: &mut Step, _slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let h = T::of(step.h);
        let deviation = Rule::<T>::deviation(self, step);
        sweep(theta, g, [], |_, g, []| (-h * (g + T::of(deviation * step.normal())), []));
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        vec![step.h, 0.0]
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        Plan::elementwise("sgd", shape).with(&[carry(None, false), 1])
    }

    fn deviation(&self, step: &Step) -> f64 {
        (self.eta / (step.t as f64).powf(self.gamma)).sqrt()
    }

    fn noise(&self, t: u64) -> Option<Stream> {
        Some(stream(self.seed, "noisy_sgd", t))
    }
}

/// `dpsgd`: differentially private descent.
///
/// With `g_i` the gradient of row `i` clipped to norm `l2_norm_clip` over all trainable blocks, the
/// step descends along `( sum_i g_i + l2_norm_clip noise_multiplier xi ) / rows`. The clipped mean
/// is the caller's, the noise is added here.
///
/// Abadi et al., "Deep learning with differential privacy", CCS 2016.
#[derive(Debug)]
pub(super) struct DpSgd {
    clip: f64,
    noise: f64,
    seed: u64,
    descent: Sgd,
}

impl DpSgd {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(DpSgd {
            clip: o.required("l2_norm_clip", POSITIVE)?,
            noise: o.required("noise_multiplier", NOT_NEGATIVE)?,
            seed: o.count("seed", 0, 0)?,
            descent: Sgd::read(o)?,
        })
    }
}

impl<T: Real> Rule<T> for DpSgd {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        self.descent.slots(shape)
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let deviation = Rule::<T>::deviation(self, step);
        let terms = self.descent.terms(step);
        self.descent.descend(terms, slots, theta, g, |g| g + T::of(deviation * step.normal()));
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        self.descent.terms(step).into()
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        self.descent.plan(shape, true)
    }

    fn deviation(&self, step: &Step) -> f64 {
        // An empty batch has no gradient to hide; counting it as one row keeps the step finite.
        self.clip * self.noise / step.rows.max(1) as f64
    }

    fn noise(&self, t: u64) -> Option<Stream> {
        Some(stream(self.seed, "dpsgd", t))
    }

    fn row_clip(&self) -> Option<f64> {
        Some(self.clip)
    }
}
