//! The Gaussian kernel's exponent with a bandwidth per prototype, `u_ij = q_ij / (2 s_j^2)`, `s_j = max(sigma_j, sigma_min)`, for any
//! metric q.
//!
//! The squared distance that the kernel induces in its feature space (Villmann, Haase & Kaden 2015) is `D = 2 (1 - exp(-u)) =
//! -2 expm1(-u)`: [`distance`]. Winners and ranks are decided on `u`, which orders as D does and does not saturate.
//!
//! Backward: `dD/du = 2 exp(-u)`, `du/dq = 1/(2 s^2)`, `du/dsigma = -2 u / s`. At `sigma = sigma_min` half of that passes, below it
//! nothing.

use crate::parts::exp::share;
use crate::parts::metric::{Metric, Pair, Scratch, Sums};
use crate::parts::real::Real;

/// `-2 expm1(-u)` and its derivative `2 exp(-u)`.
pub fn distance<T: Real>(u: T) -> (T, T) {
    let two = T::of(2.0);
    (-two * num_traits::Float::exp_m1(-u), two * share(-u))
}

/// See the [module](self).
pub struct Bandwidth<T: Real> {
    inner: Box<dyn Metric<T>>,
    /// `s_j`
    widths: Vec<T>,
    /// `1/(2 s_j^2)`
    scales: Vec<T>,
    /// What the clamp lets through: 1, 1/2 or 0.
    passes: Vec<T>,
    learn: bool,
}

impl<T: Real> Bandwidth<T> {
    /// Around a metric; `sigmas` are `p` bandwidths, `sigma_min` their floor.
    pub fn new(inner: Box<dyn Metric<T>>, sigmas: &[T], sigma_min: T, learn: bool) -> Self {
        let widths: Vec<T> = sigmas.iter().map(|s| num_traits::Float::max(*s, sigma_min)).collect();
        let scales = widths.iter().map(|s| T::of(0.5) / *s / *s).collect();
        let passes = sigmas
            .iter()
            .map(|s| {
                if *s > sigma_min {
                    T::one()
                } else if *s == sigma_min {
                    T::of(0.5)
                } else {
                    T::zero()
                }
            })
            .collect();
        Bandwidth { inner, widths, scales, passes, learn }
    }
}

impl<T: Real> Metric<T> for Bandwidth<T> {
    fn forward(&self, x: &[T], u: &mut [T], scratch: &mut Scratch<T>) {
        self.inner.forward(x, u, scratch);
        for row in u.chunks_exact_mut(self.scales.len()) {
            row.iter_mut().zip(&self.scales).for_each(|(u, s)| *u *= *s);
        }
    }

    fn exact(&self, x: &[T], row: usize, prototype: usize, scratch: &mut Scratch<T>) -> T {
        self.inner.exact(x, row, prototype, scratch) * self.scales[prototype]
    }

    fn exact_pairs(&self, x: &[T], pairs: &[[u32; 2]], scratch: &mut Scratch<T>, out: &mut [T]) {
        self.inner.exact_pairs(x, pairs, scratch, out);
        out.iter_mut().zip(pairs).for_each(|(u, [_, j])| *u *= self.scales[*j as usize]);
    }

    fn slack(&self, row: usize, scratch: &Scratch<T>) -> T {
        let largest = self.scales.iter().copied().fold(T::zero(), num_traits::Float::max);
        self.inner.slack(row, scratch) * largest
    }

    /// The inner metric's, then, if the bandwidths learn, `sum_i G_ij u_ij` (`p`).
    fn sums(&self) -> Vec<usize> {
        let mut sums = self.inner.sums();
        if self.learn {
            sums.push(self.scales.len());
        }
        sums
    }

    fn backward_pairs(
        &self,
        x: &[T],
        pairs: &[Pair<T>],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        let mine = if self.learn { sums.pop() } else { None };
        let mut scaled = Vec::with_capacity(pairs.len());
        let mut totals = mine;
        for pair in pairs {
            let j = pair.prototype as usize;
            if let Some(totals) = &mut totals {
                totals[j] += pair.g * self.exact(x, pair.row as usize, j, scratch);
            }
            scaled.push(Pair { g: pair.g * self.scales[j], ..*pair });
        }
        self.inner.backward_pairs(x, &scaled, scratch, sums);
        sums.extend(totals);
    }

    fn backward_dense(
        &self,
        x: &[T],
        u: &[T],
        g: &[T],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        let p = self.scales.len();
        let mut mine = if self.learn { sums.pop() } else { None };
        let (mut q, mut scaled) = (u.to_vec(), g.to_vec());
        for (q, g) in q.chunks_exact_mut(p).zip(scaled.chunks_exact_mut(p)) {
            for j in 0..p {
                if let Some(totals) = &mut mine {
                    totals[j] += g[j] * q[j];
                }
                q[j] /= self.scales[j];
                g[j] *= self.scales[j];
            }
        }
        self.inner.backward_dense(x, &q, &scaled, scratch, sums);
        sums.extend(mine);
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        if !self.learn {
            return self.inner.finish(sums);
        }
        let (totals, rest) = sums.split_last().expect("the bandwidths' sums are last");
        let mut gradients = self.inner.finish(&rest.to_vec());
        let slope = |j: usize| -T::of(2.0) * self.passes[j] * totals[j] / self.widths[j];
        gradients.push(("sigmas", (0..totals.len()).map(slope).collect()));
        gradients
    }

    fn project(&self, x: &[T]) -> Option<(Vec<T>, usize)> {
        self.inner.project(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metric::Inputs;
    use crate::parts::metric::check::{self, Subject};
    use crate::parts::metric::squared_euclidean::SquaredEuclidean;

    const FLOOR: f64 = 0.3;

    struct Width;

    impl Subject for Width {
        const OWN: &'static str = "sigmas";

        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            let inner = Box::new(SquaredEuclidean::new(Inputs { own: &[], ..inputs }));
            Box::new(Bandwidth::new(inner, inputs.own, T::of(FLOOR), inputs.learn_own))
        }
        fn own_shape(&self, _: usize) -> (usize, bool) {
            (1, true)
        }
        fn distance(&self, x: &[f64], w: &[f64], own: &[f64]) -> f64 {
            let q: f64 = x.iter().zip(w).map(|(x, w)| (x - w) * (x - w)).sum();
            let s = own[0].max(FLOOR);
            q / (2.0 * s * s)
        }
        fn gradient(&self, x: &[f64], w: &[f64], own: &[f64]) -> (Vec<f64>, Vec<f64>) {
            let s = own[0].max(FLOOR);
            let dw = x.iter().zip(w).map(|(x, w)| (w - x) / (s * s)).collect();
            let ds = if own[0] > FLOOR { -2.0 * self.distance(x, w, own) / s } else { 0.0 };
            (dw, vec![ds])
        }
    }

    #[test]
    fn all_checks() {
        check::all(&Width);
    }

    #[test]
    fn distance_keeps_its_digits() {
        let (d, slope) = distance(1e-9f32);
        assert!((d / 2e-9 - 1.0).abs() < 1e-6 && slope == 2.0);
        let (d, slope) = distance(40.0f32);
        assert!(d == 2.0 && (slope / (2.0 * (-40.0f32).exp()) - 1.0).abs() < 1e-6);
        assert_eq!(distance(51.0f32), (2.0, 0.0));
    }
}
