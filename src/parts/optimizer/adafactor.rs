//! Adafactor: a second moment kept as row and column means, steps relative to the block's own size.
//!
//! `rho_t = 1 - t^(-decay_rate)`, `q = g^2 + eps`.
//!
//! Factored, if the second longest axis has at least `min_dim_size_to_factor` entries (`d0` the
//! longest axis, `d1` the second longest, of equal ones the last is the longest):
//! `R <- rho R + (1-rho) mean_d0 q`, `S <- rho S + (1-rho) mean_d1 q`,
//! `z = g (R / mean_d1 R)^(-1/2) S^(-1/2)`. Otherwise `V <- rho V + (1-rho) q`, `z = g V^(-1/2)`.
//!
//! Then `z <- z / max(1, RMS(z)/clipping_threshold)`, `z <- h z`, with
//! `multiply_by_parameter_scale` `z <- z max(RMS(theta), 1e-3)`, with `momentum`
//! `z <- m <- momentum m + (1-momentum) z`, with `weight_decay_rate`
//! `z <- z + weight_decay_rate theta`; `u = -z`. (The decay is not multiplied by `h`.)
//!
//! Shazeer & Stern, "Adafactor: adaptive learning rates with sublinear memory cost", ICML 2018.

use super::options::{DECAY, NOT_NEGATIVE, Options, POSITIVE};
use super::plan::{Plan, Stage};
use super::rule::{Rule, Slots, Step, measure, norm};
use crate::error::Result;
use crate::parts::real::Real;

/// Root mean square of a block that counts as this at least.
const SMALLEST_SCALE: f64 = 1e-3;

/// `adafactor`.
#[derive(Debug)]
pub(super) struct Adafactor {
    min_dim_size_to_factor: usize,
    decay_rate: f64,
    eps: f64,
    clipping_threshold: f64,
    multiply_by_parameter_scale: bool,
    momentum: Option<f64>,
    weight_decay_rate: Option<f64>,
}

impl Adafactor {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Adafactor {
            min_dim_size_to_factor: o.count("min_dim_size_to_factor", 128, 1)? as usize,
            decay_rate: o.number("decay_rate", 0.8, POSITIVE)?,
            // A gradient that is 0 from the start gives 0/0 without it.
            eps: o.number("eps", 1e-30, POSITIVE)?,
            clipping_threshold: o.number("clipping_threshold", 1.0, POSITIVE)?,
            multiply_by_parameter_scale: o.flag("multiply_by_parameter_scale", true)?,
            momentum: o.optional("momentum", DECAY)?,
            weight_decay_rate: o.optional("weight_decay_rate", NOT_NEGATIVE)?,
        })
    }

    /// What multiplies `z`, given `sum z^2`: the rate, the clipping and the size of the block.
    fn scale<T: Real>(&self, step: &Step, theta: &[T], squared: f64) -> f64 {
        let count = theta.len().max(1) as f64;
        let clip = ((squared / count).sqrt() / self.clipping_threshold).max(1.0);
        let size = match self.multiply_by_parameter_scale {
            true => (norm(theta) / count.sqrt()).max(SMALLEST_SCALE),
            false => 1.0,
        };
        step.h * size / clip
    }

    /// Applies the scaled direction `z` to one element, through its momentum if there is one.
    #[inline(always)]
    fn apply<T: Real>(&self, z: T, theta: &mut T, moment: Option<&mut T>) {
        let z = match (moment, self.momentum) {
            (Some(m), Some(keep)) => {
                *m = T::of(keep) * *m + T::of(1.0 - keep) * z;
                *m
            }
            _ => z,
        };
        *theta -= z + T::of(self.weight_decay_rate.unwrap_or(0.0)) * *theta;
    }
}

/// The share of the past at update `t`, in `f32` as the published numbers have it; 0 at `t = 1`.
fn rho(t: u64, decay_rate: f64) -> f64 {
    f64::from(1.0 - (t as f32).powf(-decay_rate as f32))
}

/// A tensor seen as `outer x a x middle x b x inner`, where the axes `a` and `b` are the two
/// longest.
struct Factors {
    outer: usize,
    a: usize,
    middle: usize,
    b: usize,
    inner: usize,
    /// Whether `b` is the longest axis (`d0`); `a` is it otherwise.
    b_is_longest: bool,
    axes: (usize, usize),
}

impl Factors {
    /// The factors of a block of that shape, or none if it is kept whole.
    fn of(shape: &[usize], least: usize) -> Option<Factors> {
        let mut order: Vec<usize> = (0..shape.len()).collect();
        order.sort_by_key(|&axis| shape[axis]);
        let [.., second, longest] = order[..] else { return None };
        if shape[second] < least {
            return None;
        }
        let (i, j) = (second.min(longest), second.max(longest));
        Some(Factors {
            outer: shape[..i].iter().product(),
            a: shape[i],
            middle: shape[i + 1..j].iter().product(),
            b: shape[j],
            inner: shape[j + 1..].iter().product(),
            b_is_longest: j == longest,
            axes: (i, j),
        })
    }

    /// The shapes of `R` (without the longest axis) and `S` (without the second longest).
    fn shapes(&self, shape: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let without = |axis: usize| [&shape[..axis], &shape[axis + 1..]].concat();
        let (a, b) = (without(self.axes.0), without(self.axes.1));
        if self.b_is_longest { (b, a) } else { (a, b) }
    }

    /// `f(element, its place in R, its place in S, its place without both axes)`, in the order of
    /// memory.
    fn each(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let mut flat = 0;
        for o in 0..self.outer {
            for i in 0..self.a {
                for m in 0..self.middle {
                    for j in 0..self.b {
                        for n in 0..self.inner {
                            let without_a = ((o * self.middle + m) * self.b + j) * self.inner + n;
                            let without_b = ((o * self.a + i) * self.middle + m) * self.inner + n;
                            let without_both = (o * self.middle + m) * self.inner + n;
                            match self.b_is_longest {
                                true => f(flat, without_b, without_a, without_both),
                                false => f(flat, without_a, without_b, without_both),
                            }
                            flat += 1;
                        }
                    }
                }
            }
        }
    }

    /// Lengths of the longest and the second longest axis.
    fn lengths(&self) -> (usize, usize) {
        if self.b_is_longest { (self.b, self.a) } else { (self.a, self.b) }
    }

    /// Of a shape: the strides of the longest and the second longest axis, and of the second longest
    /// without the longest.
    fn strides(&self) -> [usize; 3] {
        let (of_a, of_b) = (self.middle * self.b * self.inner, self.inner);
        match self.b_is_longest {
            true => [of_b, of_a, self.middle * self.inner],
            false => [of_a, of_b, of_b],
        }
    }

    /// Number of entries without both axes.
    fn rest(&self) -> usize {
        self.outer * self.middle * self.inner
    }
}

impl<T: Real> Rule<T> for Adafactor {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        let mut slots = match Factors::of(shape, self.min_dim_size_to_factor) {
            None => Slots::new(shape, &[("v", 0.0)]),
            Some(factors) => {
                let (r, s) = factors.shapes(shape);
                let mut slots = Slots::new(shape, &[]).with_tensor("r", &r).with_tensor("s", &s);
                let count = |shape: &[usize]| shape.iter().product::<usize>();
                slots.scratch = vec![T::zero(); count(&r) + count(&s) + factors.rest()];
                slots
            }
        };
        if self.momentum.is_some() {
            slots = slots.with_tensor("m", shape);
        }
        slots
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let rho = rho(step.t, self.decay_rate);
        let (keep, take) = (T::of(rho), T::of(1.0 - rho));
        let eps = T::of(self.eps);
        let Some(factors) = Factors::of(&slots.shape, self.min_dim_size_to_factor) else {
            let (v, m) = slots.tensors.split_first_mut().expect("the slot v");
            let v = v.data.as_mut_slice();
            let squared = measure(theta, g, [&mut *v], |_, g, [v]| {
                let v = keep * v + take * (g * g + eps);
                (g / v.sqrt(), [v])
            });
            let scale = T::of(self.scale(step, theta, squared));
            let mut m = m.first_mut();
            for (i, theta) in theta.iter_mut().enumerate() {
                let m = m.as_mut().map(|m| &mut m.data[i]);
                self.apply(scale * (g[i] / v[i].sqrt()), theta, m);
            }
            return;
        };

        let [r, s, m @ ..] = slots.tensors.as_mut_slice() else {
            unreachable!("a factored block has the slots r and s")
        };
        let (r, s) = (r.data.as_mut_slice(), s.data.as_mut_slice());
        slots.scratch.fill(T::zero());
        let (by_r, rest) = slots.scratch.split_at_mut(r.len());
        let (by_s, mean) = rest.split_at_mut(s.len());
        factors.each(|i, r, s, _| {
            let q = g[i] * g[i] + eps;
            by_r[r] += q;
            by_s[s] += q;
        });
        let (longest, second) = factors.lengths();
        let blend = |old: &mut [T], sums: &[T], count: usize| {
            let take = take / T::of(count as f64);
            old.iter_mut().zip(sums).for_each(|(old, sum)| *old = keep * *old + take * *sum);
        };
        blend(r, by_r, longest);
        blend(s, by_s, second);

        // Every entry of R is met once for each index of the longest axis, so this sums R over the
        // second longest axis, `longest` times.
        factors.each(|_, place, _, both| mean[both] += r[place]);
        let count = T::of((longest * second) as f64);
        mean.iter_mut().for_each(|m| *m /= count);
        factors.each(|_, place, _, both| by_r[place] = (mean[both] / r[place]).sqrt());
        by_s.iter_mut().zip(s.iter()).for_each(|(by, s)| *by = T::one() / s.sqrt());

        let mut squared = 0.0;
        factors.each(|i, r, s, _| {
            let z = (g[i] * by_r[r] * by_s[s]).f64();
            squared += z * z;
        });
        let scale = T::of(self.scale(step, theta, squared));
        let mut m = m.first_mut();
        factors.each(|i, r, s, _| {
            let m = m.as_mut().map(|m| &mut m.data[i]);
            self.apply(scale * (g[i] * by_r[r] * by_s[s]), &mut theta[i], m);
        });
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        let rho = rho(step.t, self.decay_rate);
        let sized = if self.multiply_by_parameter_scale { 1.0 } else { 0.0 };
        let (mu, decay) = (self.momentum.unwrap_or(0.0), self.weight_decay_rate.unwrap_or(0.0));
        let (eps, threshold) = (self.eps, self.clipping_threshold);
        vec![rho, 1.0 - rho, eps, threshold, step.h, sized, SMALLEST_SCALE, mu, 1.0 - mu, decay]
    }

    fn plan(&self, shape: &[usize]) -> Plan {
        let momentum = [u32::from(self.momentum.is_some())];
        let Some(factors) = Factors::of(shape, self.min_dim_size_to_factor) else {
            return Plan::measured("adafactor.whole", shape).with(&momentum);
        };
        let (longest, second) = factors.lengths();
        let [longest_stride, second_stride, within] = factors.strides();
        let count = shape.iter().product::<usize>();
        // Of R and of S.
        let entries = [count / longest.max(1), count / second.max(1)];
        let sizes =
            [longest, longest_stride, second, second_stride, within, entries[0], entries[1]]
                .map(|v| v as u32);
        let mut plan = Plan::measured_with("adafactor.factored", shape, &sizes).with(&momentum);
        let sizes = plan.stages[0].sizes.clone();
        let before = [
            Stage::new("adafactor.factors", 0, &sizes, entries[0] + entries[1]),
            Stage::new("adafactor.mean", 0, &sizes, factors.rest()),
        ];
        plan.stages.splice(0..0, before);
        plan.packed = 0..2;
        plan.room += factors.rest();
        plan
    }
}
