//! The additive spread of Wasserstein LVQ: `D_ij + s_j`, `s_j = sum_a exp(v_ja)`, for any metric D.
//!
//! A prototype stands for the Gaussian with mean `w_j` and variances `exp v_j`, a row for a point; with D squared Euclidean the sum is the
//! squared 2-Wasserstein distance of the two (Givens & Shortt 1984). Backward: `dv_ja = (sum_i G_ij) exp(v_ja)`.

use super::{Metric, Pair, Scratch, Sums};
use crate::parts::real::Real;

/// See the [module](self).
pub struct Spread<T: Real> {
    inner: Box<dyn Metric<T>>,
    d: usize,
    variances: Vec<T>,
    spread: Vec<T>,
    learn: bool,
}

impl<T: Real> Spread<T> {
    /// Around a metric; `log_variances` are `p x d`.
    pub fn new(inner: Box<dyn Metric<T>>, log_variances: &[T], d: usize, learn: bool) -> Self {
        let variances: Vec<T> = log_variances.iter().map(|v| num_traits::Float::exp(*v)).collect();
        let spread = variances.chunks_exact(d).map(|v| v.iter().copied().sum()).collect();
        Spread { inner, d, variances, spread, learn }
    }
}

impl<T: Real> Metric<T> for Spread<T> {
    fn forward(&self, x: &[T], dist: &mut [T], scratch: &mut Scratch<T>) {
        self.inner.forward(x, dist, scratch);
        for row in dist.chunks_exact_mut(self.spread.len()) {
            row.iter_mut().zip(&self.spread).for_each(|(d, s)| *d += *s);
        }
    }

    fn exact(&self, x: &[T], row: usize, prototype: usize, scratch: &mut Scratch<T>) -> T {
        self.inner.exact(x, row, prototype, scratch) + self.spread[prototype]
    }

    fn exact_pairs(&self, x: &[T], pairs: &[[u32; 2]], scratch: &mut Scratch<T>, out: &mut [T]) {
        self.inner.exact_pairs(x, pairs, scratch, out);
        out.iter_mut().zip(pairs).for_each(|(d, [_, j])| *d += self.spread[*j as usize]);
    }

    fn slack(&self, row: usize, scratch: &Scratch<T>) -> T {
        self.inner.slack(row, scratch)
    }

    /// The inner metric's, then, if the variances learn, the column sums of `G` (`p`).
    fn sums(&self) -> Vec<usize> {
        let mut sums = self.inner.sums();
        if self.learn {
            sums.push(self.spread.len());
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
        self.inner.backward_pairs(x, pairs, scratch, sums);
        if let Some(mut totals) = mine {
            pairs.iter().for_each(|pair| totals[pair.prototype as usize] += pair.g);
            sums.push(totals);
        }
    }

    fn backward_dense(
        &self,
        x: &[T],
        d: &[T],
        g: &[T],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        let mine = if self.learn { sums.pop() } else { None };
        self.inner.backward_dense(x, d, g, scratch, sums);
        if let Some(mut totals) = mine {
            super::block::add_column_sums(g, &mut totals);
            sums.push(totals);
        }
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        if !self.learn {
            return self.inner.finish(sums);
        }
        let (totals, rest) = sums.split_last().expect("the column sums are last");
        let mut gradients = self.inner.finish(&rest.to_vec());
        let dv = self.variances.iter().enumerate().map(|(i, v)| totals[i / self.d] * *v);
        gradients.push(("log_variances", dv.collect()));
        gradients
    }

    fn project(&self, x: &[T]) -> Option<(Vec<T>, usize)> {
        self.inner.project(x)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Inputs;
    use super::super::check::{self, Subject};
    use super::super::squared_euclidean::SquaredEuclidean;
    use super::*;

    struct Wasserstein;

    impl Subject for Wasserstein {
        const OWN: &'static str = "log_variances";

        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            let inner = Box::new(SquaredEuclidean::new(Inputs { own: &[], ..inputs }));
            Box::new(Spread::new(inner, inputs.own, inputs.d, inputs.learn_own))
        }
        fn own_shape(&self, d: usize) -> (usize, bool) {
            (d, true)
        }
        fn distance(&self, x: &[f64], w: &[f64], own: &[f64]) -> f64 {
            let square: f64 = x.iter().zip(w).map(|(x, w)| (x - w) * (x - w)).sum();
            square + own.iter().map(|v| v.exp()).sum::<f64>()
        }
        fn gradient(&self, x: &[f64], w: &[f64], own: &[f64]) -> (Vec<f64>, Vec<f64>) {
            let dw = x.iter().zip(w).map(|(x, w)| 2.0 * (w - x)).collect();
            (dw, own.iter().map(|v| v.exp()).collect())
        }
    }

    #[test]
    fn all_checks() {
        check::all(&Wasserstein);
    }
}
