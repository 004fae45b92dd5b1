//! SM3: squared gradients remembered by their largest value along every axis.
//!
//! One vector `mu_i` an axis, 0 at first: `A = g^2 + min_i mu_i` (broadcast),
//! `z = g / sqrt(A + 1e-8)`, 0 where `A = 0`; `b <- momentum b + (1-momentum) z`; `u = -h b`; then
//! `mu_i <- max of A over all other axes`. For a vector this is `mu <- A`; a scalar is a vector of
//! one.
//!
//! Anil, Gupta, Koren & Singer, "Memory-efficient adaptive optimization", NeurIPS 2019.

use super::options::{DECAY, Options};
use super::plan::{Plan, Stage};
use super::rule::{Rule, Slots, Step};
use crate::error::Result;
use crate::parts::real::Real;

const EPS: f64 = 1e-8;
/// Axes that the kernels have sizes for.
const AXES: usize = 24;

/// `sm3`.
#[derive(Debug)]
pub(super) struct Sm3 {
    momentum: f64,
}

impl Sm3 {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(Sm3 { momentum: o.number("momentum", 0.9, DECAY)? })
    }
}

impl<T: Real> Rule<T> for Sm3 {
    fn slots(&self, shape: &[usize], _lr: f64) -> Slots<T> {
        let axes: &[usize] = if shape.is_empty() { &[1] } else { shape };
        let mut slots = Slots::new(shape, &[("b", 0.0)]);
        for (i, &length) in axes.iter().enumerate() {
            slots = slots.with_tensor(format!("mu{i}"), &[length]);
        }
        // The new mu, while the old ones are still needed.
        slots.scratch = vec![T::zero(); axes.iter().sum()];
        slots
    }

    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]) {
        let (keep, take) = (T::of(self.momentum), T::of(1.0 - self.momentum));
        let (h, eps) = (T::of(step.h), T::of(EPS));
        let (b, mu) = slots.tensors.split_first_mut().expect("the slot b");
        let (last, leading) = mu.split_last_mut().expect("one mu an axis");
        let line = last.data.len();
        slots.scratch.fill(T::zero());
        let (new_leading, new_last) = {
            let all = slots.scratch.as_mut_slice();
            let at = all.len() - line;
            all.split_at_mut(at)
        };
        if theta.is_empty() {
            return;
        }
        let lines = theta.chunks_mut(line).zip(g.chunks(line)).zip(b.data.chunks_mut(line));
        for (number, ((theta, g), b)) in lines.enumerate() {
            let mut bound = T::infinity();
            each_index(leading.iter().map(|m| m.data.len()), number, |axis, _, index| {
                bound = num_traits::Float::min(bound, leading[axis].data[index]);
            });
            let mut largest = T::zero();
            for j in 0..line {
                let a = g[j] * g[j] + num_traits::Float::min(bound, last.data[j]);
                let z = if a > T::zero() { g[j] / (a + eps).sqrt() } else { T::zero() };
                b[j] = keep * b[j] + take * z;
                theta[j] -= h * b[j];
                new_last[j] = num_traits::Float::max(new_last[j], a);
                largest = num_traits::Float::max(largest, a);
            }
            each_index(leading.iter().map(|m| m.data.len()), number, |_, offset, index| {
                let new = &mut new_leading[offset + index];
                *new = num_traits::Float::max(*new, largest);
            });
        }
        let mut offset = 0;
        for mu in mu {
            let length = mu.data.len();
            mu.data.copy_from_slice(&slots.scratch[offset..offset + length]);
            offset += length;
        }
    }

    fn numbers(&self, step: &Step) -> Vec<f64> {
        vec![self.momentum, 1.0 - self.momentum, step.h, EPS]
    }

    /// The update, the new `mu` beside the old, and then in their place.
    fn plan(&self, shape: &[usize]) -> Plan {
        let axes: &[usize] = if shape.is_empty() { &[1] } else { shape };
        assert!(axes.len() <= AXES, "a tensor of {} axes", axes.len());
        let entries = axes.iter().sum::<usize>();
        let sizes: Vec<u32> =
            [0, axes.len()].iter().chain(axes).map(|length| *length as u32).collect();
        let mut plan = Plan::elementwise("sm3.update", shape);
        plan.stages[0].sizes = sizes.clone();
        plan.stages.push(Stage::new("sm3.maxima", 0, &sizes, entries));
        plan.stages.push(Stage::new("sm3.keep", 0, &sizes, entries.div_ceil(64)));
        plan.packed = 1..1 + axes.len();
        plan.room = entries;
        plan
    }
}

/// `f(axis, sum of the lengths before it, index on the axis)` for every axis but the last, for the
/// line of that number.
fn each_index(
    lengths: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + Clone,
    number: usize,
    mut f: impl FnMut(usize, usize, usize),
) {
    let mut offset: usize = lengths.clone().sum();
    let mut rest = number;
    for (axis, length) in lengths.enumerate().rev() {
        offset -= length;
        f(axis, offset, rest % length);
        rest /= length;
    }
}
