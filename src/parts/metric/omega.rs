//! The distance under one linear map, `D_ij = |(x_i - w_j) Om|^2` with `Om` of `d x l` (Schneider, Biehl and Hammer, 2009).
//!
//! Forward: `Z = X Om`, `V = W Om` (once a step), `D = |z|^2 + |v|^2 - 2 z.v`, clamped at 0.
//!
//! Backward, with `g_j = sum_i G_ij` and `r_i = sum_j G_ij`:
//!
//! ```text
//! dZ  = 2 (diag(r) Z - G V)       (row i: 2 sum_j G_ij (z_i - v_j))
//! dV  = 2 (diag(g) V - G^T Z)     (row j: -2 sum_i G_ij (z_i - v_j))
//! dOm = X^T dZ + W^T dV
//! dW  = dV Om^T
//! ```
//!
//! The sums hold `dV / 2` and `X^T dZ / 2`. With rounded operands `Z` and `V` are rounded after their products.

use super::block::{
    add_column_sums, add_scaled_rows, expansion_slack, grow, largest, pair_distances,
    squared_expansion, squared_norms,
};
use super::{Bent, Inputs, Metric, Operand, Pair, Scratch, Squares, Sums};
use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;
use crate::parts::simd::{reduce, squared_distance};
use crate::vectorized;

/// See the [module](self).
pub struct Omega<T: Real> {
    d: usize,
    l: usize,
    w: Vec<T>,
    omega: Vec<T>,
    /// `W Om`, `p x l`.
    v: Vec<T>,
    norms: Vec<T>,
    /// The largest of them.
    largest: T,
    learn_prototypes: bool,
    learn_own: bool,
    operand: Operand,
}

impl<T: Real> Omega<T> {
    /// `inputs.own` is `Om`, `d x l`. Copies it and the prototypes (rounded as the operands are).
    pub fn new(inputs: Inputs<'_, T>, l: usize) -> Self {
        let d = inputs.d;
        assert_eq!(inputs.own.len(), d * l, "omega of {d} x {l}");
        let mut w = inputs.prototypes.to_vec();
        inputs.operand.round(&mut w);
        let p = w.len() / d;
        let mut v = vec![T::zero(); p * l];
        gemm(&mut v, false, T::one(), Mat::new(&w, p, d), Mat::new(inputs.own, d, l));
        inputs.operand.round(&mut v);
        let mut norms = vec![T::zero(); p];
        squared_norms(&v, l, &mut norms);
        Omega {
            d,
            l,
            w,
            omega: inputs.own.to_vec(),
            v,
            largest: largest(&norms),
            norms,
            learn_prototypes: inputs.learn_prototypes,
            learn_own: inputs.learn_own,
            operand: inputs.operand,
        }
    }

    /// `Z`, kept for the backward.
    fn keep<'a>(&self, x: &[T], kept: &'a mut Vec<T>) -> &'a [T] {
        let b = x.len() / self.d;
        let z = grow(kept, b * self.l);
        let omega = Mat::new(&self.omega, self.d, self.l);
        gemm(z, false, T::one(), Mat::new(x, b, self.d), omega);
        self.operand.round(z);
        z
    }
}

vectorized! {
    /// `dz_i += g (z_i - v_j)` and `dv_j -= g (z_i - v_j)` for every pair.
    fn scatter<T>(z: &[T], v: &[T], l: usize, pairs: &[Pair<T>], dz: &mut [T], dv: &mut [T]) {
        for pair in pairs {
            let (i, j) = (pair.row as usize * l, pair.prototype as usize * l);
            let (z, v) = (&z[i..i + l], &v[j..j + l]);
            let (dz, dv) = (&mut dz[i..i + l], &mut dv[j..j + l]);
            for (((dz, dv), z), v) in dz.iter_mut().zip(dv).zip(z).zip(v) {
                let step = pair.g * (*z - *v);
                *dz += step;
                *dv -= step;
            }
        }
    }

    /// The same for `dv` alone.
    fn scatter_prototypes<T>(z: &[T], v: &[T], l: usize, pairs: &[Pair<T>], dv: &mut [T]) {
        for pair in pairs {
            let (i, j) = (pair.row as usize * l, pair.prototype as usize * l);
            for ((dv, z), v) in dv[j..j + l].iter_mut().zip(&z[i..i + l]).zip(&v[j..j + l]) {
                *dv -= pair.g * (*z - *v);
            }
        }
    }

    /// `dz_i += r_i z_i`.
    fn add_row_sums<T>(g: &[T], p: usize, z: &[T], l: usize, dz: &mut [T]) {
        for ((dz, z), g) in dz.chunks_exact_mut(l).zip(z.chunks_exact(l)).zip(g.chunks_exact(p)) {
            let r = reduce(g, g, |g, _| g);
            for (dz, z) in dz.iter_mut().zip(z) {
                *dz += r * *z;
            }
        }
    }
}

impl<T: Real> Metric<T> for Omega<T> {
    /// Keeps `Z`.
    fn forward(&self, x: &[T], dist: &mut [T], scratch: &mut Scratch<T>) {
        let z = self.keep(x, &mut scratch.kept);
        squared_expansion(z, &self.v, &self.norms, self.l, dist, &mut scratch.norms);
    }

    fn squares(&self) -> Option<Squares<'_, T>> {
        Some(Squares { w: &self.v, lam: None, bent: Bent::Not })
    }

    fn project_block(&self, x: &[T], scratch: &mut Scratch<T>) -> Option<usize> {
        self.keep(x, &mut scratch.kept);
        Some(self.l)
    }

    fn exact(&self, _: &[T], row: usize, prototype: usize, scratch: &mut Scratch<T>) -> T {
        let l = self.l;
        squared_distance(&scratch.kept[row * l..][..l], &self.v[prototype * l..][..l])
    }

    fn exact_pairs(&self, _: &[T], pairs: &[[u32; 2]], scratch: &mut Scratch<T>, out: &mut [T]) {
        pair_distances(&scratch.kept, &self.v, self.l, pairs, out);
    }

    fn slack(&self, row: usize, scratch: &Scratch<T>) -> T {
        expansion_slack(scratch.norms[row], self.largest)
    }

    /// If anything learns `dV / 2` (`p x l`); if omega learns `X^T dZ / 2` (`d x l`).
    fn sums(&self) -> Vec<usize> {
        match (self.learn_prototypes, self.learn_own) {
            (false, false) => vec![],
            (true, false) => vec![self.v.len()],
            (_, true) => vec![self.v.len(), self.omega.len()],
        }
    }

    fn backward_pairs(
        &self,
        x: &[T],
        pairs: &[Pair<T>],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        let (b, d, l) = (x.len() / self.d, self.d, self.l);
        let z = &scratch.kept;
        match &mut sums[..] {
            [dv, domega] => {
                let dz = grow(&mut scratch.work, b * l);
                dz.fill(T::zero());
                scatter(z, &self.v, l, pairs, dz, dv);
                gemm(domega, true, T::one(), Mat::new(x, b, d).t(), Mat::new(dz, b, l));
            }
            [dv] => scatter_prototypes(z, &self.v, l, pairs, dv),
            _ => {}
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
        let (b, d, l, p) = (x.len() / self.d, self.d, self.l, self.norms.len());
        let z = &scratch.kept[..];
        let weights = Mat::new(g, b, p);
        if let [dv, ..] = &mut sums[..] {
            gemm(dv, true, -T::one(), weights.t(), Mat::new(z, b, l));
            let totals = grow(&mut scratch.more, p);
            totals.fill(T::zero());
            add_column_sums(g, totals);
            add_scaled_rows(dv, totals, &self.v, l);
        }
        if let [_, domega] = &mut sums[..] {
            let dz = grow(&mut scratch.work, b * l);
            gemm(dz, false, -T::one(), weights, Mat::new(&self.v, p, l));
            add_row_sums(g, p, z, l, dz);
            gemm(domega, true, T::one(), Mat::new(x, b, d).t(), Mat::new(dz, b, l));
        }
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        let (d, l, p) = (self.d, self.l, self.norms.len());
        let mut gradients = vec![];
        let Some(dv) = sums.first() else { return gradients };
        let two = T::of(2.0);
        if self.learn_prototypes {
            let mut dw = vec![T::zero(); p * d];
            gemm(&mut dw, false, two, Mat::new(dv, p, l), Mat::new(&self.omega, d, l).t());
            gradients.push(("prototypes", dw));
        }
        if let Some(domega) = sums.get(1) {
            let mut domega: Vec<T> = domega.iter().map(|v| two * *v).collect();
            gemm(&mut domega, true, two, Mat::new(&self.w, p, d).t(), Mat::new(dv, p, l));
            gradients.push(("omega", domega));
        }
        gradients
    }

    fn project(&self, x: &[T]) -> Option<(Vec<T>, usize)> {
        let b = x.len() / self.d;
        let mut z = vec![T::zero(); b * self.l];
        let omega = Mat::new(&self.omega, self.d, self.l);
        gemm(&mut z, false, T::one(), Mat::new(x, b, self.d), omega);
        Some((z, self.l))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{self, Subject};
    use super::*;

    struct Map(usize);

    impl Subject for Map {
        const OWN: &'static str = "omega";

        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            Box::new(Omega::new(inputs, self.0))
        }
        fn own_shape(&self, d: usize) -> (usize, bool) {
            (d * self.0, false)
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
            check::all(&Map(l));
        }
    }

    #[test]
    fn worked_example() {
        let dw = [-0.19830931, 0.24178375, -0.07927151, -0.21465131, 0.10317432, -0.28971397];
        let domega = [0.01696696, 0.26364408, 0.36570832, -0.07648256];
        let omega = [1.0, 0.5, -0.25, 0.75];
        check::example_gradients(&Map(2), &omega, -0.3009877672, &dw, &domega);
    }

    #[test]
    fn zero_distance_has_no_gradient() {
        let (d, dw) = check::at_zero_distance(&Map(1), &[1.0, 2.0, 3.0]);
        assert_eq!((d, dw), (0.0, vec![0.0; 3]));
    }

    /// Zero columns (an identity map with more columns than features) change nothing and do not learn.
    #[test]
    fn zero_columns_stay() {
        let (x, w) = ([0.5, -1.0], [2.0, 1.0]);
        let mut own = vec![0.0; 8];
        (own[0], own[5]) = (1.0, 1.0);
        let (_, domega) = Map(4).gradient(&x, &w, &own);
        let metric = Omega::new(
            Inputs {
                d: 2,
                prototypes: &w,
                own: &own,
                learn_prototypes: true,
                learn_own: true,
                operand: Operand::Full,
            },
            4,
        );
        let mut scratch = Scratch::default();
        let mut dist = [0.0];
        metric.forward(&x, &mut dist, &mut scratch);
        assert_eq!(dist, [6.25]);
        let mut sums: Sums<f64> = metric.sums().into_iter().map(|n| vec![0.0; n]).collect();
        let pair = Pair { row: 0, prototype: 0, g: 1.0 };
        metric.backward_pairs(&x, &[pair], &mut scratch, &mut sums);
        assert_eq!(metric.finish(&sums)[1].1, domega);
        assert!((0..8).all(|i| i % 4 < 2 || domega[i] == 0.0));
        assert_eq!(metric.project(&x).unwrap(), (vec![0.5, -1.0, 0.0, 0.0], 4));
    }
}
