//! The relevance-weighted squared Euclidean distance of GRLVQ, `D_ij = sum_a lam_a (x_ia - w_ja)^2`, with
//! `lam = softmax(rho)` (Hammer and Villmann, 2002; the softmax keeps `lam` positive with sum 1).
//!
//! Forward: `D = sum_a lam_a x_a^2 + sum_a lam_a w_a^2 - 2 x . (lam w)`, clamped at 0 (one product).
//!
//! Backward, with `g_j = sum_i G_ij`, `r_i = sum_j G_ij`, `H = G^T X`:
//!
//! ```text
//! dW     = 2 (diag(g) W - H) diag(lam)
//! dlam_a = sum_ij G_ij (x_ia - w_ja)^2
//!        = sum_i r_i x_ia^2 - 2 sum_j w_ja H_ja + sum_j g_j w_ja^2
//! drho   = lam (dlam - <lam, dlam>)
//! ```
//!
//! Pairs sum `H_j += G_ij (x_i - w_j)` without `g`, as in [`squared_euclidean`](super::squared_euclidean). The first form of `dlam` is used for pairs, the second (which needs centred rows) for a dense `G`.

use super::block::{add_column_sums, expansion_slack, grow, largest, scatter_differences};
use super::{Bent, Inputs, Metric, Pair, Scratch, Squares, Sums};
use crate::parts::linalg::{Mat, gemm, softmax};
use crate::parts::real::Real;
use crate::parts::simd::{reduce, weighted_squared_difference};
use crate::vectorized;

/// See the [module](self).
pub struct Relevance<T: Real> {
    d: usize,
    w: Vec<T>,
    lam: Vec<T>,
    /// `lam w`, `p x d`.
    weighted: Vec<T>,
    norms: Vec<T>,
    /// The largest of them.
    largest: T,
    zeros: Vec<T>,
    learn_prototypes: bool,
    learn_own: bool,
}

impl<T: Real> Relevance<T> {
    /// `inputs.own` holds the `d` logits `rho`. Copies the prototypes (rounded as the operands are).
    pub fn new(inputs: Inputs<'_, T>) -> Self {
        let d = inputs.d;
        assert_eq!(inputs.own.len(), d, "logits of {d} relevances");
        let mut w = inputs.prototypes.to_vec();
        inputs.operand.round(&mut w);
        let mut lam = inputs.own.to_vec();
        softmax(&mut lam);
        let weighted: Vec<T> = w.iter().enumerate().map(|(i, w)| *w * lam[i % d]).collect();
        let zeros = vec![T::zero(); d];
        let mut norms = vec![T::zero(); w.len() / d];
        weighted_norms(&w, &lam, &zeros, &mut norms);
        Relevance {
            d,
            w,
            lam,
            weighted,
            largest: largest(&norms),
            norms,
            zeros,
            learn_prototypes: inputs.learn_prototypes,
            learn_own: inputs.learn_own,
        }
    }
}

vectorized! {
    /// `sum_a lam_a (x_ia - o_a)^2` of every row.
    fn weighted_norms<T>(x: &[T], lam: &[T], origin: &[T], norms: &mut [T]) {
        for (row, norm) in x.chunks_exact(lam.len()).zip(norms) {
            *norm = weighted_squared_difference(lam, row, origin);
        }
    }

    fn one_distance<T>(lam: &[T], x: &[T], w: &[T]) -> T {
        weighted_squared_difference(lam, x, w)
    }

    fn pair_distances<T>(lam: &[T], x: &[T], w: &[T], pairs: &[[u32; 2]], out: &mut [T]) {
        let d = lam.len();
        for ([i, j], out) in pairs.iter().zip(out) {
            let x = &x[*i as usize * d..][..d];
            *out = weighted_squared_difference(lam, x, &w[*j as usize * d..][..d]);
        }
    }

    /// `dlam_a += g (x_ia - w_ja)^2` for every pair.
    fn squares<T>(x: &[T], w: &[T], pairs: &[Pair<T>], dlam: &mut [T]) {
        let d = dlam.len();
        for pair in pairs {
            let (i, j) = (pair.row as usize, pair.prototype as usize);
            for ((s, x), w) in dlam.iter_mut().zip(&x[i * d..][..d]).zip(&w[j * d..][..d]) {
                let e = *x - *w;
                *s += pair.g * e * e;
            }
        }
    }

    /// `dlam_a += sum_i r_i x_ia^2`.
    fn row_squares<T>(x: &[T], g: &[T], dlam: &mut [T]) {
        let d = dlam.len();
        let p = g.len() / (x.len() / d);
        for (x, g) in x.chunks_exact(d).zip(g.chunks_exact(p)) {
            let r = reduce(g, g, |g, _| g);
            for (s, x) in dlam.iter_mut().zip(x) {
                *s += r * *x * *x;
            }
        }
    }

    /// `dlam_a += sum_j w_ja (g_j w_ja - 2 H_ja)`.
    fn prototype_squares<T>(w: &[T], h: &[T], gs: &[T], dlam: &mut [T]) {
        let d = dlam.len();
        for ((w, h), g) in w.chunks_exact(d).zip(h.chunks_exact(d)).zip(gs) {
            for ((s, w), h) in dlam.iter_mut().zip(w).zip(h) {
                *s += *w * (*g * *w - (*h + *h));
            }
        }
    }
}

impl<T: Real> Metric<T> for Relevance<T> {
    fn forward(&self, x: &[T], dist: &mut [T], scratch: &mut Scratch<T>) {
        let (b, p) = (x.len() / self.d, self.norms.len());
        let norms = grow(&mut scratch.norms, b);
        weighted_norms(x, &self.lam, &self.zeros, norms);
        let weighted = Mat::new(&self.weighted, p, self.d);
        gemm(dist, false, T::of(-2.0), Mat::new(x, b, self.d), weighted.t());
        super::block::add_norms(dist, norms, &self.norms);
    }

    fn exact(&self, x: &[T], row: usize, prototype: usize, _: &mut Scratch<T>) -> T {
        let d = self.d;
        one_distance(&self.lam, &x[row * d..][..d], &self.w[prototype * d..][..d])
    }

    fn exact_pairs(&self, x: &[T], pairs: &[[u32; 2]], _: &mut Scratch<T>, out: &mut [T]) {
        pair_distances(&self.lam, x, &self.w, pairs, out);
    }

    fn squares(&self) -> Option<Squares<'_, T>> {
        Some(Squares { w: &self.w, lam: Some(&self.lam), bent: Bent::Not })
    }

    fn slack(&self, row: usize, scratch: &Scratch<T>) -> T {
        expansion_slack(scratch.norms[row], self.largest)
    }

    /// If the prototypes learn `H` (`p x d`) and `g` (`p`); then, if the relevances learn, `dlam` (`d`).
    fn sums(&self) -> Vec<usize> {
        let mut sums = vec![];
        if self.learn_prototypes {
            sums.extend([self.w.len(), self.norms.len()]);
        }
        if self.learn_own {
            sums.push(self.d);
        }
        sums
    }

    fn backward_pairs(&self, x: &[T], pairs: &[Pair<T>], _: &mut Scratch<T>, sums: &mut Sums<T>) {
        if let [h, _, ..] = &mut sums[..] {
            scatter_differences(x, &self.w, self.d, pairs, h);
        }
        if self.learn_own
            && let Some(dlam) = sums.last_mut()
        {
            squares(x, &self.w, pairs, dlam);
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
        if sums.is_empty() {
            return;
        }
        let (b, p) = (x.len() / self.d, self.norms.len());
        let h = grow(&mut scratch.work, p * self.d);
        gemm(h, false, T::one(), Mat::new(g, b, p).t(), Mat::new(x, b, self.d));
        let gs = grow(&mut scratch.more, p);
        gs.fill(T::zero());
        add_column_sums(g, gs);
        if let [h_sum, gs_sum, ..] = &mut sums[..] {
            h_sum.iter_mut().zip(&*h).for_each(|(s, h)| *s += *h);
            gs_sum.iter_mut().zip(&*gs).for_each(|(s, g)| *s += *g);
        }
        if self.learn_own
            && let Some(dlam) = sums.last_mut()
        {
            row_squares(x, g, dlam);
            prototype_squares(&self.w, h, gs, dlam);
        }
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        let mut gradients = vec![];
        if let [h, gs, ..] = &sums[..] {
            let two = T::of(2.0);
            let dw = self
                .w
                .iter()
                .zip(h)
                .enumerate()
                .map(|(i, (w, h))| two * self.lam[i % self.d] * (gs[i / self.d] * *w - *h));
            gradients.push(("prototypes", dw.collect()));
        }
        if self.learn_own
            && let Some(dlam) = sums.last()
        {
            let mean: T = self.lam.iter().zip(dlam).map(|(l, g)| *l * *g).sum();
            let drho = self.lam.iter().zip(dlam).map(|(l, g)| *l * (*g - mean));
            gradients.push(("relevances", drho.collect()));
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{self, Subject};
    use super::*;

    struct Weighted;

    fn lam(rho: &[f64]) -> Vec<f64> {
        let sum: f64 = rho.iter().map(|r| r.exp()).sum();
        rho.iter().map(|r| r.exp() / sum).collect()
    }

    impl Subject for Weighted {
        const OWN: &'static str = "relevances";

        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            Box::new(Relevance::new(inputs))
        }
        fn own_shape(&self, d: usize) -> (usize, bool) {
            (d, false)
        }
        fn distance(&self, x: &[f64], w: &[f64], own: &[f64]) -> f64 {
            let lam = lam(own);
            (0..x.len()).map(|a| lam[a] * (x[a] - w[a]) * (x[a] - w[a])).sum()
        }
        fn gradient(&self, x: &[f64], w: &[f64], own: &[f64]) -> (Vec<f64>, Vec<f64>) {
            let lam = lam(own);
            let dist = self.distance(x, w, own);
            (
                (0..x.len()).map(|a| 2.0 * lam[a] * (w[a] - x[a])).collect(),
                (0..x.len()).map(|a| lam[a] * ((x[a] - w[a]) * (x[a] - w[a]) - dist)).collect(),
            )
        }
    }

    #[test]
    fn all_checks() {
        check::all(&Weighted);
    }

    #[test]
    fn worked_example() {
        let dw = [-0.14190705, 0.32911491, -0.05913365, -0.28693098, 0.12819201, -0.30100119];
        let drho = [0.04597233, -0.04597233];
        check::example_gradients(&Weighted, &[0.2, -0.3], -0.3496166083, &dw, &drho);
    }

    #[test]
    fn zero_distance_has_no_gradient() {
        let (d, dw) = check::at_zero_distance(&Weighted, &[0.0; 3]);
        assert_eq!((d, dw), (0.0, vec![0.0; 3]));
    }

    /// A shift of all logits changes nothing, and the gradient sums to 0.
    #[test]
    fn logits_are_free_of_a_shift() {
        let (d, p) = (3, 2);
        let w = [0.5, -1.0, 2.0, 0.0, 1.0, -0.25];
        let x = [1.0, 1.0, -1.0];
        let result = |rho: &[f64]| {
            let metric = Relevance::new(Inputs {
                d,
                prototypes: &w,
                own: rho,
                learn_prototypes: false,
                learn_own: true,
                operand: Default::default(),
            });
            let mut dist = vec![0.0; p];
            let mut scratch = Scratch::default();
            metric.forward(&x, &mut dist, &mut scratch);
            let mut sums: Sums<f64> = metric.sums().into_iter().map(|n| vec![0.0; n]).collect();
            metric.backward_dense(&x, &dist, &[1.0, -2.0], &mut scratch, &mut sums);
            (dist, metric.finish(&sums).remove(0).1)
        };
        let (near, far) = (result(&[0.0, 1.0, -1.0]), result(&[700.0, 701.0, 699.0]));
        assert!(near.0.iter().zip(&far.0).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(near.1.iter().sum::<f64>().abs() < 1e-12);
    }
}
