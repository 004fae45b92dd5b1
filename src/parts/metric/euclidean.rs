//! The Euclidean distance, `D_ij = sqrt(sum_a (x_ia - w_ja)^2)`.
//!
//! Forward: the root of the expanded square. A root halves the digits that the expansion lost, so where
//! the square is below a thousandth of the norms it came from it is taken again by differences.
//!
//! Backward: `dD_ij/dw_j = (w_j - x_i) / D_ij`, so with `Q = G / D` and `q_j = sum_i Q_ij`
//!
//! ```text
//! dW = diag(q) W - Q^T X
//! ```
//!
//! At `D_ij = 0` the subgradient is taken as 0. The pairs that the forward took by differences are added by differences
//! here too: `Q_ij` is large there, and `q_j w_j - (Q^T X)_j` would cancel.

use super::block::{add_column_sums, add_scaled_rows, grow, squared_expansion, squared_norms};
use super::{Inputs, Metric, Pair, Scratch, Sums};
use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;
use crate::parts::simd::{squared_difference, squared_distance};
use crate::vectorized;

/// See the [module](self).
pub struct Euclidean<T: Real> {
    d: usize,
    w: Vec<T>,
    norms: Vec<T>,
    learn: bool,
}

impl<T: Real> Euclidean<T> {
    /// Copies the prototypes (rounded as the operands are) and takes their norms.
    pub fn new(inputs: Inputs<'_, T>) -> Self {
        let mut w = inputs.prototypes.to_vec();
        inputs.operand.round(&mut w);
        let mut norms = vec![T::zero(); w.len() / inputs.d];
        squared_norms(&w, inputs.d, &mut norms);
        Euclidean { d: inputs.d, w, norms, learn: inputs.learn_prototypes }
    }
}

/// Whether a square is so small against the norms it was expanded from that differences are needed.
#[inline(always)]
fn cancelled<T: Real>(square: T, norms: T) -> bool {
    square < T::of(1e-3) * norms
}

/// `dw_j += g (w_j - x_i) / D`, nothing where `D = 0`.
#[inline(always)]
fn add_pair<T: Real>(dw: &mut [T], g: T, x: &[T], w: &[T]) {
    let dist = num_traits::Float::sqrt(squared_difference(x, w));
    if dist > T::zero() {
        let q = g / dist;
        for ((dw, x), w) in dw.iter_mut().zip(x).zip(w) {
            *dw += q * (*w - *x);
        }
    }
}

vectorized! {
    /// Squares to distances.
    fn roots<T>(x: &[T], w: &[T], d: usize, x_norms: &[T], w_norms: &[T], dist: &mut [T]) {
        for (i, dist) in dist.chunks_exact_mut(w_norms.len()).enumerate() {
            for (j, dist) in dist.iter_mut().enumerate() {
                if cancelled(*dist, x_norms[i] + w_norms[j]) {
                    *dist = squared_difference(&x[i * d..][..d], &w[j * d..][..d]);
                }
            }
            for dist in dist {
                *dist = num_traits::Float::sqrt(*dist);
            }
        }
    }

    /// Adds the pairs' shares by differences.
    fn scatter<T>(x: &[T], w: &[T], d: usize, pairs: &[Pair<T>], dw: &mut [T]) {
        for pair in pairs {
            let (i, j) = (pair.row as usize, pair.prototype as usize);
            add_pair(&mut dw[j * d..][..d], pair.g, &x[i * d..][..d], &w[j * d..][..d]);
        }
    }

    /// `Q = G / D`, with the close pairs added to `dw` and left out of `Q`.
    fn quotients<T>(
        points: (&[T], &[T]), d: usize, norms: (&[T], &[T]), dist: &[T], g: &[T], q: &mut [T], dw: &mut [T],
    ) {
        let ((x, w), (x_norms, w_norms)) = (points, norms);
        for (i, q) in q.chunks_exact_mut(w_norms.len()).enumerate() {
            for (j, q) in q.iter_mut().enumerate() {
                let at = i * w_norms.len() + j;
                if cancelled(dist[at] * dist[at], x_norms[i] + w_norms[j]) {
                    *q = T::zero();
                    add_pair(&mut dw[j * d..][..d], g[at], &x[i * d..][..d], &w[j * d..][..d]);
                } else {
                    // D = 0 here only where x and w are both zero.
                    *q = if dist[at] > T::zero() { g[at] / dist[at] } else { T::zero() };
                }
            }
        }
    }
}

impl<T: Real> Metric<T> for Euclidean<T> {
    fn forward(&self, x: &[T], dist: &mut [T], scratch: &mut Scratch<T>) {
        squared_expansion(x, &self.w, &self.norms, self.d, dist, &mut scratch.norms);
        roots(x, &self.w, self.d, &scratch.norms, &self.norms, dist);
    }

    fn exact(&self, x: &[T], row: usize, prototype: usize, _: &mut Scratch<T>) -> T {
        let d = self.d;
        num_traits::Float::sqrt(squared_distance(&x[row * d..][..d], &self.w[prototype * d..][..d]))
    }

    /// `dW` (`p x d`).
    fn sums(&self) -> Vec<usize> {
        if self.learn { vec![self.w.len()] } else { vec![] }
    }

    fn backward_pairs(&self, x: &[T], pairs: &[Pair<T>], _: &mut Scratch<T>, sums: &mut Sums<T>) {
        if let [dw] = &mut sums[..] {
            scatter(x, &self.w, self.d, pairs, dw);
        }
    }

    fn backward_dense(
        &self,
        x: &[T],
        dist: &[T],
        g: &[T],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        if let [dw] = &mut sums[..] {
            let (b, p, d) = (x.len() / self.d, self.norms.len(), self.d);
            let q = grow(&mut scratch.work, b * p);
            let norms = (&scratch.norms[..], &self.norms[..]);
            quotients((x, &self.w), d, norms, dist, g, q, dw);
            gemm(dw, true, -T::one(), Mat::new(q, b, p).t(), Mat::new(x, b, d));
            let totals = grow(&mut scratch.more, p);
            totals.fill(T::zero());
            add_column_sums(q, totals);
            add_scaled_rows(dw, totals, &self.w, d);
        }
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        sums.iter().map(|dw| ("prototypes", dw.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{self, Subject};
    use super::*;

    struct Root;

    impl Subject for Root {
        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            Box::new(Euclidean::new(inputs))
        }
        fn distance(&self, x: &[f64], w: &[f64], _: &[f64]) -> f64 {
            x.iter().zip(w).map(|(x, w)| (x - w) * (x - w)).sum::<f64>().sqrt()
        }
        fn gradient(&self, x: &[f64], w: &[f64], _: &[f64]) -> (Vec<f64>, Vec<f64>) {
            let dist = self.distance(x, w, &[]);
            (x.iter().zip(w).map(|(x, w)| (w - x) / dist).collect(), vec![])
        }
    }

    #[test]
    fn all_checks() {
        check::all(&Root);
    }

    #[test]
    fn worked_example() {
        let dw = [-0.05677865, 0.27872083, -0.01903943, -0.15231543, 0.02339961, -0.21967811];
        check::example_gradients(&Root, &[], -0.2208396766, &dw, &[]);
    }

    #[test]
    fn zero_distance_has_no_gradient() {
        let (d, dw) = check::at_zero_distance(&Root, &[]);
        assert_eq!((d, dw), (0.0, vec![0.0; 3]));
    }

    /// Rows a thousandth of their norm away from the prototype, in f32: distance and gradient keep their digits.
    #[test]
    fn close_rows_keep_their_digits() {
        let w = [3.0f32, -4.0, 12.0];
        let x: Vec<f32> = (0..4)
            .flat_map(|i| {
                let step = (i + 1) as f32 / 1024.0;
                [3.0 + step, -4.0, 12.0 - step]
            })
            .collect();
        let inputs = Inputs {
            d: 3,
            prototypes: &w,
            own: &[],
            learn_prototypes: true,
            learn_own: false,
            operand: Default::default(),
        };
        let metric = Euclidean::new(inputs);
        let mut scratch = Scratch::default();
        let mut dist = [0.0; 4];
        metric.forward(&x, &mut dist, &mut scratch);
        for (i, dist) in dist.iter().enumerate() {
            let step = (i + 1) as f32 / 1024.0;
            assert!((dist / (step * 2f32.sqrt()) - 1.0).abs() < 1e-6);
        }
        let mut sums = vec![vec![0.0; 3]];
        metric.backward_dense(&x, &dist, &[1.0; 4], &mut scratch, &mut sums);
        let half = 0.5f32.sqrt();
        for (dw, expected) in sums[0].iter().zip([-4.0 * half, 0.0, 4.0 * half]) {
            assert!((dw - expected).abs() < 1e-5, "{:?}", sums[0]);
        }
    }
}
