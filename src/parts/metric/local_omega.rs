//! The distance under one linear map a prototype, `D_ij = |(x_i - w_j) Om_j|^2` with `Om_j` of `d x l` (Schneider, Biehl
//! and Hammer, 2009).
//!
//! Forward: `t_ij = x_i Om_j - w_j Om_j`, all prototypes in one product (see `bank`), `D_ij = |t_ij|^2`.
//!
//! Backward, with `a_j = sum_i G_ij t_ij` and `B_j = sum_i G_ij (x_i - w_j)^T t_ij`:
//!
//! ```text
//! dOm_j = 2 B_j
//! dw_j  = -2 Om_j a_j
//! ```
//!
//! With rounded operands `x Om_j` and `w_j Om_j` are rounded after their products.

use super::bank::{Bank, Shares};
use super::{Inputs, Metric, Pair, Scratch, Sums};
use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;
use crate::parts::simd::{dot, inner};
use crate::vectorized;

/// See the [module](self).
pub struct LocalOmega<T: Real> {
    bank: Bank<T>,
    learn_prototypes: bool,
    learn_own: bool,
}

impl<T: Real> LocalOmega<T> {
    /// `inputs.own` holds the matrices, `p x d x l`. Copies them and the prototypes (rounded as the operands are).
    pub fn new(inputs: Inputs<'_, T>, l: usize) -> Self {
        LocalOmega {
            bank: Bank::new(&inputs, l, inputs.operand),
            learn_prototypes: inputs.learn_prototypes,
            learn_own: inputs.learn_own,
        }
    }

    /// The sums as the bank's shares.
    fn shares<'a>(&self, sums: &'a mut Sums<T>) -> Option<Shares<'a, T>> {
        let nothing = || &mut [][..];
        match (&mut sums[..], self.learn_own) {
            ([a, b], _) => Some(Shares { a, b, h: nothing() }),
            ([b], true) => Some(Shares { a: nothing(), b, h: nothing() }),
            ([a], false) => Some(Shares { a, b: nothing(), h: nothing() }),
            _ => None,
        }
    }
}

vectorized! {
    /// `D_ij = |t_ij|^2` for the prototypes from `first` on.
    fn squares<T>(t: &[T], l: usize, p: usize, first: usize, count: usize, dist: &mut [T]) {
        for (t, dist) in t.chunks_exact(count * l).zip(dist.chunks_exact_mut(p)) {
            for (t, dist) in t.chunks_exact(l).zip(&mut dist[first..first + count]) {
                *dist = dot(t, t);
            }
        }
    }
}

impl<T: Real> Metric<T> for LocalOmega<T> {
    fn forward(&self, x: &[T], dist: &mut [T], scratch: &mut Scratch<T>) {
        let (l, p) = (self.bank.l, self.bank.p);
        self.bank.forward(x, &mut scratch.kept, |first, count, t| {
            squares(t, l, p, first, count, dist);
        });
    }

    fn exact(&self, x: &[T], row: usize, prototype: usize, scratch: &mut Scratch<T>) -> T {
        let Scratch { kept, work, .. } = scratch;
        let t = self.bank.project_one(x, row, prototype, kept, work);
        inner(t, t)
    }

    /// If the prototypes learn `a` (`p x l`); then, if the maps learn, `B` (`p x d x l`).
    fn sums(&self) -> Vec<usize> {
        let mut sums = vec![];
        if self.learn_prototypes {
            sums.push(self.bank.p * self.bank.l);
        }
        if self.learn_own {
            sums.push(self.bank.own.len());
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
        if let Some(shares) = self.shares(sums) {
            self.bank.backward_pairs(x, pairs, scratch, shares);
        }
    }

    fn backward_dense(
        &self,
        x: &[T],
        _: &[T],
        g: &[T],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        if let Some(shares) = self.shares(sums) {
            self.bank.backward_dense(x, g, scratch, shares);
        }
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        let (d, l, two) = (self.bank.d, self.bank.l, T::of(2.0));
        let mut gradients = vec![];
        if self.learn_prototypes {
            let mut dw = vec![T::zero(); self.bank.w.len()];
            for (j, (dw, a)) in dw.chunks_exact_mut(d).zip(sums[0].chunks_exact(l)).enumerate() {
                gemm(dw, false, -two, Mat::new(self.bank.matrix(j), d, l), Mat::new(a, l, 1));
            }
            gradients.push(("prototypes", dw));
        }
        if self.learn_own
            && let Some(b) = sums.last()
        {
            gradients.push(("omegas", b.iter().map(|v| two * *v).collect()));
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{self, Subject};
    use super::*;

    /// Latent dimension, and the limit on what is computed at once.
    struct Maps(usize, usize);

    impl Subject for Maps {
        const OWN: &'static str = "omegas";

        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            let metric = LocalOmega::new(inputs, self.0);
            Box::new(LocalOmega { bank: metric.bank.with_limit(self.1), ..metric })
        }
        fn own_shape(&self, d: usize) -> (usize, bool) {
            (d * self.0, true)
        }
        fn distance(&self, x: &[f64], w: &[f64], own: &[f64]) -> f64 {
            check::projected_difference(x, w, own, self.0).iter().map(|t| t * t).sum()
        }
        fn gradient(&self, x: &[f64], w: &[f64], own: &[f64]) -> (Vec<f64>, Vec<f64>) {
            let l = self.0;
            let t = check::projected_difference(x, w, own, l);
            let dw = |a: usize| (0..l).map(|k| -2.0 * own[a * l + k] * t[k]).sum();
            let dw = (0..x.len()).map(dw).collect();
            (dw, (0..own.len()).map(|i| 2.0 * (x[i / l] - w[i / l]) * t[i % l]).collect())
        }
    }

    #[test]
    fn all_checks() {
        for l in [1, 2, 5, 18] {
            check::all(&Maps(l, super::super::bank::KEPT));
        }
    }

    /// Groups of a few prototypes, and of one.
    #[test]
    fn all_checks_in_groups() {
        check::all(&Maps(2, 70));
        check::all(&Maps(3, 0));
    }

    #[test]
    fn worked_example() {
        let own = [1.0, 0.5, -0.25, 0.75, 0.5, 0.25, -0.125, 0.375, 1.1, 0.6, -0.15, 0.85];
        let dw = [0.0, 0.0, -0.01593055, -0.01428581, -0.05076392, -0.20220202];
        let domegas = [
            0.0,
            0.0,
            0.0,
            0.0,
            -0.22324407,
            0.00356158,
            0.25376285,
            -0.30055407,
            0.19804283,
            0.22838281,
            0.17113240,
            -0.08711431,
        ];
        let maps = Maps(2, super::super::bank::KEPT);
        check::example_gradients(&maps, &own, -0.2254038610, &dw, &domegas);
    }

    #[test]
    fn zero_distance_has_no_gradient() {
        let (d, dw) = check::at_zero_distance(&Maps(1, 100), &[1.0, 2.0, 3.0]);
        assert_eq!((d, dw), (0.0, vec![0.0; 3]));
    }
}
