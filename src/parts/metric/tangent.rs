//! The distance orthogonal to a subspace a prototype, `D_ij = |(I - Om_j Om_j^T) (x_i - w_j)|^2` with `Om_j` of `d x s`
//! (Saralajew and Villmann, 2016). The columns of `Om_j` are kept orthonormal by a constraint, but everything here holds
//! for any `Om_j`.
//!
//! Forward: with `e = x_i - w_j`, `p = Om_j^T e`, `H_j = Om_j^T Om_j` and `M_j = 2 I - H_j` (`I` for orthonormal columns)
//!
//! ```text
//! D_ij = |e - Om_j p|^2 = |e|^2 - 2 |p|^2 + p^T H_j p = |e|^2 - p^T M_j p
//! ```
//!
//! `|e|^2` comes from one product, all `p` from another (see `bank`). The difference cancels where the residual is small:
//! below `|e|^2 / 1000`, or where it is no more than the rounding of the expanded `|e|^2`, the residual `e - Om_j p` is
//! formed explicitly. [`Metric::exact`] always does that.
//!
//! Backward, with `h_j = sum_i G_ij e` (`d`) and `B_j = sum_i G_ij e p^T` (`d x s`), and as `sum_i G_ij p p^T = Om_j^T B_j`:
//!
//! ```text
//! dw_j  = -2 (h_j - Om_j M_j Om_j^T h_j)
//! dOm_j = -2 sum_i G_ij (r p^T + e q^T),   r = e - Om_j p,   q = Om_j^T r = (I - H_j) p
//!       = -2 (B_j - Om_j Om_j^T B_j + B_j (I - H_j))
//!       = -2 (B_j M_j - Om_j Om_j^T B_j)
//! ```
//!
//! Both are linear in the sums, so the small matrices are applied once a step, in f64.
//!
//! With rounded operands the projections stay as they are: rounding them would be most of a small residual.

use super::bank::{Bank, Shares};
use super::block::{add_column_sums, add_scaled_rows, grow, squared_expansion, squared_norms};
use super::{Inputs, Metric, Operand, Pair, Scratch, Sums};
use crate::parts::linalg::{Mat, gemm, transpose};
use crate::parts::real::Real;
use crate::parts::simd::{axpy, dot};
use crate::vectorized;

/// See the [module](self).
pub struct Tangent<T: Real> {
    bank: Bank<T>,
    norms: Vec<T>,
    /// `Om_j^T`, `p x s x d`: rows to take products with.
    rows: Vec<T>,
    /// `M_j`, `p x s x s`.
    m: Vec<T>,
    learn_prototypes: bool,
    learn_own: bool,
}

impl<T: Real> Tangent<T> {
    /// `inputs.own` holds the bases, `p x d x s`. Copies them and the prototypes (rounded as the operands are).
    pub fn new(inputs: Inputs<'_, T>, s: usize) -> Self {
        let bank = Bank::new(&inputs, s, Operand::Full);
        let d = inputs.d;
        let mut norms = vec![T::zero(); bank.p];
        squared_norms(&bank.w, d, &mut norms);
        let mut rows = Vec::with_capacity(bank.own.len());
        let mut m = vec![T::zero(); bank.p * s * s];
        for (j, m) in m.chunks_exact_mut(s * s).enumerate() {
            rows.extend(transpose(bank.matrix(j), d, s));
            let basis = Mat::new(bank.matrix(j), d, s);
            gemm(m, false, -T::one(), basis.t(), basis);
            (0..s).for_each(|a| m[a * (s + 1)] += T::of(2.0));
        }
        let Inputs { learn_prototypes, learn_own, .. } = inputs;
        Tangent { bank, norms, rows, m, learn_prototypes, learn_own }
    }

    /// `|e - Om_j Om_j^T e|^2` step by step.
    fn residual(&self, x: &[T], i: usize, j: usize, work: &mut Vec<T>) -> T {
        let (d, s) = (self.bank.d, self.bank.l);
        let (e, p) = grow(work, d + s).split_at_mut(d);
        explicit(&x[i * d..][..d], self.bank.prototype(j), &self.rows[j * d * s..][..d * s], e, p)
    }
}

/// What replaces a distance in the pass over a group that has to be computed by the residual.
fn again<T: Real>() -> T {
    -T::one()
}

vectorized! {
    /// `|e - sum_k p_k o_k|^2` with `p_k = <o_k, e>`, where `o_k` are the rows of `rows`.
    fn explicit<T>(x: &[T], w: &[T], rows: &[T], e: &mut [T], p: &mut [T]) -> T {
        for ((e, x), w) in e.iter_mut().zip(x).zip(w) {
            *e = *x - *w;
        }
        for (p, row) in p.iter_mut().zip(rows.chunks_exact(x.len())) {
            *p = dot(row, e);
        }
        for (p, row) in p.iter().zip(rows.chunks_exact(x.len())) {
            axpy(e, -*p, row);
        }
        dot(e, e)
    }

    /// `D_ij -= p^T M_j p` for the prototypes from `first` on, or [`again`] where too little is left.
    fn subtract_tangential<T>(
        t: &[T], m: &[T], s: usize, first: usize, count: usize, norms: (&[T], &[T]), dist: &mut [T],
    ) {
        let (x_norms, w_norms) = norms;
        let rounding = T::of(1e3) * T::epsilon();
        let rows = t.chunks_exact(count * s).zip(dist.chunks_exact_mut(w_norms.len())).zip(x_norms);
        for ((t, dist), x_norm) in rows {
            let columns = dist[first..].iter_mut().zip(t.chunks_exact(s)).zip(&w_norms[first..]);
            for (((dist, p), w_norm), m) in columns.zip(m[first * s * s..].chunks_exact(s * s)) {
                let mut tangential = T::zero();
                for (a, row) in p.iter().zip(m.chunks_exact(s)) {
                    // A plain loop: there are a few values only, mostly two.
                    let mut product = T::zero();
                    for (m, b) in row.iter().zip(p) {
                        product += *m * *b;
                    }
                    tangential += *a * product;
                }
                let left = *dist - tangential;
                let unsure = left < T::of(1e-3) * *dist || left < rounding * (*x_norm + *w_norm);
                *dist = if unsure { again() } else { left };
            }
        }
    }
}

impl<T: Real> Metric<T> for Tangent<T> {
    fn forward(&self, x: &[T], dist: &mut [T], scratch: &mut Scratch<T>) {
        let (s, p) = (self.bank.l, self.bank.p);
        let Scratch { kept, norms, work, .. } = scratch;
        squared_expansion(x, &self.bank.w, &self.norms, self.bank.d, dist, norms);
        self.bank.forward(x, kept, |first, count, t| {
            let norms = (&norms[..], &self.norms[..]);
            subtract_tangential(t, &self.m, s, first, count, norms, dist);
        });
        for (i, dist) in dist.chunks_exact_mut(p).enumerate() {
            for (j, dist) in dist.iter_mut().enumerate() {
                if *dist == again() {
                    *dist = self.residual(x, i, j, work);
                }
            }
        }
    }

    fn exact(&self, x: &[T], row: usize, prototype: usize, scratch: &mut Scratch<T>) -> T {
        self.residual(x, row, prototype, &mut scratch.work)
    }

    /// If the prototypes learn `h` (`p x d`); then, if the bases learn, `B` (`p x d x s`).
    fn sums(&self) -> Vec<usize> {
        let mut sums = vec![];
        if self.learn_prototypes {
            sums.push(self.bank.w.len());
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
        let nothing = || &mut [][..];
        let shares = match (&mut sums[..], self.learn_own) {
            ([h, b], _) => Shares { a: nothing(), b, h },
            ([b], true) => Shares { a: nothing(), b, h: nothing() },
            ([h], false) => Shares { a: nothing(), b: nothing(), h },
            _ => return,
        };
        self.bank.backward_pairs(x, pairs, scratch, shares);
    }

    fn backward_dense(
        &self,
        x: &[T],
        _: &[T],
        g: &[T],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        let (b, d, p) = (x.len() / self.bank.d, self.bank.d, self.bank.p);
        if self.learn_own
            && let Some(share) = sums.last_mut()
        {
            let shares = Shares { a: &mut [], b: share, h: &mut [] };
            self.bank.backward_dense(x, g, scratch, shares);
        }
        if self.learn_prototypes
            && let Some(h) = sums.first_mut()
        {
            // h_j = (G^T X)_j - g_j w_j, the second term as a sum of -g_j.
            gemm(h, true, T::one(), Mat::new(g, b, p).t(), Mat::new(x, b, d));
            let totals = grow(&mut scratch.more, p);
            totals.fill(T::zero());
            add_column_sums(g, totals);
            totals.iter_mut().for_each(|g| *g = -*g);
            add_scaled_rows(h, totals, &self.bank.w, d);
        }
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        let (d, s, p) = (self.bank.d, self.bank.l, self.bank.p);
        let wide = |values: &[T]| values.iter().map(|v| v.f64()).collect::<Vec<f64>>();
        let narrow = |values: Vec<f64>| values.iter().map(|v| T::of(*v)).collect::<Vec<T>>();
        let mut gradients = vec![];
        let bases: Vec<Vec<f64>> = (0..p).map(|j| wide(self.bank.matrix(j))).collect();
        // M_j from the bases again, in f64.
        let grams: Vec<Vec<f64>> = bases
            .iter()
            .map(|basis| {
                let basis = Mat::new(basis, d, s);
                let mut m = vec![0.0; s * s];
                gemm(&mut m, false, -1.0, basis.t(), basis);
                (0..s).for_each(|a| m[a * (s + 1)] += 2.0);
                m
            })
            .collect();
        if self.learn_prototypes {
            let mut dw = Vec::with_capacity(p * d);
            for (h, (basis, m)) in sums[0].chunks_exact(d).zip(bases.iter().zip(&grams)) {
                let (basis, mut h) = (Mat::new(basis, d, s), wide(h));
                let (mut first, mut second) = (vec![0.0; s], vec![0.0; s]);
                gemm(&mut first, false, 1.0, basis.t(), Mat::new(&h, d, 1));
                gemm(&mut second, false, 1.0, Mat::new(m, s, s), Mat::new(&first, s, 1));
                gemm(&mut h, true, -1.0, basis, Mat::new(&second, s, 1));
                dw.extend(h.iter().map(|v| T::of(-2.0 * v)));
            }
            gradients.push(("prototypes", dw));
        }
        if self.learn_own
            && let Some(b) = sums.last()
        {
            let mut domegas = Vec::with_capacity(p * d * s);
            for (b, (basis, m)) in b.chunks_exact(d * s).zip(bases.iter().zip(&grams)) {
                let (basis, b) = (Mat::new(basis, d, s), wide(b));
                let b = Mat::new(&b, d, s);
                let (mut k, mut domega) = (vec![0.0; s * s], vec![0.0; d * s]);
                gemm(&mut k, false, 1.0, basis.t(), b);
                gemm(&mut domega, false, -2.0, b, Mat::new(m, s, s));
                gemm(&mut domega, true, 2.0, basis, Mat::new(&k, s, s));
                domegas.extend(narrow(domega));
            }
            gradients.push(("omegas", domegas));
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{self, Subject};
    use super::*;
    use crate::parts::linalg::polar;

    /// Dimension of the subspace, and the limit on what is computed at once.
    struct Subspaces(usize, usize);

    /// `p` and the residual `e - Om p`.
    fn parts(x: &[f64], w: &[f64], own: &[f64], s: usize) -> (Vec<f64>, Vec<f64>) {
        let p = check::projected_difference(x, w, own, s);
        let r = (0..x.len())
            .map(|a| x[a] - w[a] - (0..s).map(|k| own[a * s + k] * p[k]).sum::<f64>())
            .collect();
        (p, r)
    }

    impl Subject for Subspaces {
        const OWN: &'static str = "omegas";

        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            let metric = Tangent::new(inputs, self.0);
            Box::new(Tangent { bank: metric.bank.with_limit(self.1), ..metric })
        }
        fn own_shape(&self, d: usize) -> (usize, bool) {
            (d * self.0, true)
        }
        fn distance(&self, x: &[f64], w: &[f64], own: &[f64]) -> f64 {
            parts(x, w, own, self.0).1.iter().map(|r| r * r).sum()
        }
        fn gradient(&self, x: &[f64], w: &[f64], own: &[f64]) -> (Vec<f64>, Vec<f64>) {
            let s = self.0;
            let (p, r) = parts(x, w, own, s);
            let q: Vec<f64> =
                (0..s).map(|k| (0..x.len()).map(|a| own[a * s + k] * r[a]).sum()).collect();
            let dw = |a: usize| -2.0 * (r[a] - (0..s).map(|k| own[a * s + k] * q[k]).sum::<f64>());
            let dw = (0..x.len()).map(dw).collect();
            let domega = |i: usize| {
                let (a, k) = (i / s, i % s);
                -2.0 * (r[a] * p[k] + (x[a] - w[a]) * q[k])
            };
            (dw, (0..own.len()).map(domega).collect())
        }
    }

    #[test]
    fn all_checks() {
        for s in [1, 2, 4] {
            check::all(&Subspaces(s, super::super::bank::KEPT));
        }
    }

    #[test]
    fn all_checks_in_groups() {
        check::all(&Subspaces(2, 70));
    }

    #[test]
    fn worked_example() {
        let own = [0.6, 0.8, 1.0, 0.0, -0.8, 0.6];
        let dw = [-0.20641133, 0.15480849, 0.0, -0.04291029, -0.16798419, -0.22397893];
        let domegas = [0.21385363, -0.16039022, 0.0, 0.03003720, 0.41583543, 0.55444724];
        let subspaces = Subspaces(1, super::super::bank::KEPT);
        check::example_gradients(&subspaces, &own, -0.0267777792, &dw, &domegas);
    }

    #[test]
    fn zero_distance_has_no_gradient() {
        let (d, dw) = check::at_zero_distance(&Subspaces(1, 100), &[1.0, 0.0, 0.0]);
        assert_eq!((d, dw), (0.0, vec![0.0; 3]));
    }

    /// Rows that lie in the subspace up to a ten-thousandth: the f32 distance keeps its digits.
    #[test]
    fn small_residuals_keep_their_digits() {
        let d = 7;
        let mut basis: Vec<f64> = (0..d * 2).map(|i| ((i * i + 3 * i) % 11) as f64 - 4.0).collect();
        polar(&mut basis, d, 2);
        let basis: Vec<f32> = basis.iter().map(|v| *v as f32).collect();
        let x: Vec<f32> = (0..5)
            .flat_map(|i| {
                let basis = &basis;
                (0..d).map(move |a| {
                    let inside = 3.0 * basis[2 * a] - i as f32 * basis[2 * a + 1];
                    inside + if a == i { 3e-4 } else { 0.0 }
                })
            })
            .collect();
        let inputs = Inputs {
            d,
            prototypes: &vec![0.0; d],
            own: &basis,
            learn_prototypes: true,
            learn_own: true,
            operand: Operand::Full,
        };
        let metric = Tangent::new(inputs, 2);
        let mut scratch = Scratch::default();
        let mut dist = vec![0.0; 5];
        metric.forward(&x, &mut dist, &mut scratch);
        for (i, dist) in dist.iter().enumerate() {
            let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            let subject = Subspaces(2, 0);
            let naive = subject.distance(&wide(&x[i * d..][..d]), &vec![0.0; d], &wide(&basis));
            assert!((f64::from(*dist) / naive - 1.0).abs() < 1e-2, "{dist} {naive}");
            assert_eq!(*dist, metric.exact(&x, i, 0, &mut scratch));
        }
    }
}
