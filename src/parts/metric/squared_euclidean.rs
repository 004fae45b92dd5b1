//! The squared Euclidean distance, `D_ij = sum_a (x_ia - w_ja)^2`.
//!
//! Forward: `D = |x|^2 + |w|^2 - 2 x.w`, clamped at 0 (one product).
//!
//! Backward: `dD_ij/dw_j = 2 (w_j - x_i)`, so with `g_j = sum_i G_ij` and `H = G^T X`
//!
//! ```text
//! dW = 2 (diag(g) W - H)
//! ```
//!
//! For a few pairs a row the difference itself is summed, `H_j += G_ij (x_i - w_j)` without `g`: where attraction and
//! repulsion cancel, or a prototype sits on a row, nothing of the size of `w` is left to round.
//!
//! The clamp is ignored: it acts where `x_i = w_j` up to rounding, and there the gradient is zero anyway.

use super::block::{
    add_column_sums, expansion_slack, largest, pair_distances, scatter_differences,
    squared_expansion, squared_norms,
};
use super::{Bent, Inputs, Metric, Pair, Scratch, Squares, Sums};
use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;
use crate::parts::simd::squared_distance;

/// See the [module](self).
pub struct SquaredEuclidean<T: Real> {
    d: usize,
    w: Vec<T>,
    norms: Vec<T>,
    /// The largest of them.
    largest: T,
    learn: bool,
}

impl<T: Real> SquaredEuclidean<T> {
    /// Copies the prototypes (rounded as the operands are) and takes their norms.
    pub fn new(inputs: Inputs<'_, T>) -> Self {
        let mut w = inputs.prototypes.to_vec();
        inputs.operand.round(&mut w);
        let mut norms = vec![T::zero(); w.len() / inputs.d];
        squared_norms(&w, inputs.d, &mut norms);
        SquaredEuclidean {
            d: inputs.d,
            w,
            largest: largest(&norms),
            norms,
            learn: inputs.learn_prototypes,
        }
    }
}

crate::vectorized! {
    /// `H_j <- 2 (g_j w_j - H_j)`.
    fn pulled<T>(h: &mut [T], g: &[T], w: &[T], d: usize) {
        let two = T::of(2.0);
        for ((h, w), g) in h.chunks_exact_mut(d).zip(w.chunks_exact(d)).zip(g) {
            for (h, w) in h.iter_mut().zip(w) {
                *h = two * (*g * *w - *h);
            }
        }
    }
}

impl<T: Real> Metric<T> for SquaredEuclidean<T> {
    fn forward(&self, x: &[T], dist: &mut [T], scratch: &mut Scratch<T>) {
        squared_expansion(x, &self.w, &self.norms, self.d, dist, &mut scratch.norms);
    }

    fn exact(&self, x: &[T], row: usize, prototype: usize, _: &mut Scratch<T>) -> T {
        let d = self.d;
        squared_distance(&x[row * d..][..d], &self.w[prototype * d..][..d])
    }

    fn exact_pairs(&self, x: &[T], pairs: &[[u32; 2]], _: &mut Scratch<T>, out: &mut [T]) {
        pair_distances(x, &self.w, self.d, pairs, out);
    }

    fn squares(&self) -> Option<Squares<'_, T>> {
        Some(Squares { w: &self.w, lam: None, bent: Bent::Not })
    }

    fn sums_differences(&self) -> bool {
        true
    }

    fn slack(&self, row: usize, scratch: &Scratch<T>) -> T {
        expansion_slack(scratch.norms[row], self.largest)
    }

    /// `H` (`p x d`) and `g` (`p`).
    fn sums(&self) -> Vec<usize> {
        if self.learn { vec![self.w.len(), self.norms.len()] } else { vec![] }
    }

    fn backward_pairs(&self, x: &[T], pairs: &[Pair<T>], _: &mut Scratch<T>, sums: &mut Sums<T>) {
        if let [h, _] = &mut sums[..] {
            scatter_differences(x, &self.w, self.d, pairs, h);
        }
    }

    fn backward_dense(&self, x: &[T], _: &[T], g: &[T], _: &mut Scratch<T>, sums: &mut Sums<T>) {
        if let [h, gs] = &mut sums[..] {
            let (b, p) = (x.len() / self.d, gs.len());
            gemm(h, true, T::one(), Mat::new(g, b, p).t(), Mat::new(x, b, self.d));
            add_column_sums(g, gs);
        }
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        let [h, gs] = &sums[..] else { return vec![] };
        let mut dw = h.clone();
        pulled(&mut dw, gs, &self.w, self.d);
        vec![("prototypes", dw)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{self, Subject};
    use super::*;

    pub struct Plain;

    impl Subject for Plain {
        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            Box::new(SquaredEuclidean::new(inputs))
        }
        fn distance(&self, x: &[f64], w: &[f64], _: &[f64]) -> f64 {
            x.iter().zip(w).map(|(x, w)| (x - w) * (x - w)).sum()
        }
        fn gradient(&self, x: &[f64], w: &[f64], _: &[f64]) -> (Vec<f64>, Vec<f64>) {
            (x.iter().zip(w).map(|(x, w)| 2.0 * (w - x)).collect(), vec![])
        }
    }

    #[test]
    fn all_checks() {
        check::all(&Plain);
    }

    #[test]
    fn worked_example() {
        let distances = [0.37, 0.5, 2.72, 0.82, 0.65, 0.97, 1.45, 5.12, 1.7, 3.65, 4.66, 0.8];
        check::example_distances(&Plain, &[], &distances);
        let dw = [-0.11303095, 0.38167758, -0.03696083, -0.29568663, 0.12608595, -0.34402477];
        check::example_gradients(&Plain, &[], -0.3797832556, &dw, &[]);
    }

    #[test]
    fn zero_distance_has_no_gradient() {
        let (d, dw) = check::at_zero_distance(&Plain, &[]);
        assert_eq!((d, dw), (0.0, vec![0.0; 3]));
    }
}
