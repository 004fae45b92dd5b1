//! Projections of the differences by one matrix a prototype, `t_ij = (x_i - w_j) Om_j`: what local omega and tangent
//! share.
//!
//! For all prototypes at once the block is multiplied with the matrices side by side, `X [Om_1 .. Om_p]`, and
//! `v_j = w_j Om_j` is subtracted. Of a block's projections the backward needs
//!
//! ```text
//! B_j = sum_i G_ij (x_i - w_j)^T t_ij     (d x l)
//! a_j = sum_i G_ij t_ij                   (l)
//! ```
//!
//! Dense: `[B_1 .. B_p] = X^T [diag(G_1) T_1 .. diag(G_p) T_p]`, then `B_j -= w_j^T a_j`. Pairs: the pairs are sorted by
//! prototype, the differences of a bucket gathered, and `B_j` is one small product.
//!
//! While a block's projections fit [`KEPT`] they stay from the forward to the backward; beyond, prototypes are taken
//! a group at a time and their projections computed again where they are needed.

use super::block::{add_column_sums, buckets, grow};
use super::{Inputs, Operand, Pair, Scratch};
use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;
use crate::parts::simd::axpy;
use crate::vectorized;

/// Number of projection values of a block that are computed at once (4 MiB of f32).
pub const KEPT: usize = 1 << 20;

/// The matrices, side by side, and the projected prototypes.
pub struct Bank<T: Real> {
    pub d: usize,
    pub l: usize,
    pub p: usize,
    /// Prototypes, `p x d`, rounded as the operands are.
    pub w: Vec<T>,
    /// The matrices as stored, `p x d x l`.
    pub own: Vec<T>,
    /// The matrices side by side, `d x (p l)`.
    side_by_side: Vec<T>,
    /// `w_j Om_j`, `p x l`.
    v: Vec<T>,
    /// Rounding of `X Om_j` and `v_j`.
    rounding: Operand,
    /// Number of values computed at once, [`KEPT`] outside tests.
    limit: usize,
}

vectorized! {
    /// `t_i -= v` for every row `t_i`.
    fn subtract<T>(t: &mut [T], v: &[T]) {
        for t in t.chunks_exact_mut(v.len()) {
            for (t, v) in t.iter_mut().zip(v) {
                *t -= *v;
            }
        }
    }

    /// `a_ij = G_ij t_ij` for `count` prototypes from `first` on; `p` weights a row.
    fn weigh<T>(t: &[T], g: &[T], l: usize, columns: (usize, usize, usize), a: &mut [T]) {
        let (p, first, count) = columns;
        let rows = t.chunks_exact(count * l).zip(a.chunks_exact_mut(count * l));
        for ((t, a), g) in rows.zip(g.chunks_exact(p)) {
            let g = &g[first..first + count];
            for ((t, a), g) in t.chunks_exact(l).zip(a.chunks_exact_mut(l)).zip(g) {
                for (a, t) in a.iter_mut().zip(t) {
                    *a = *g * *t;
                }
            }
        }
    }

    /// `B_j += C_j - w_j^T a_j`, where `C` is `d x (count l)` and `B` is `count x d x l`.
    fn add_corrected<T>(b: &mut [T], c: &[T], w: &[T], a: &[T], l: usize) {
        let d = c.len() / a.len();
        for (j, (b, w)) in b.chunks_exact_mut(d * l).zip(w.chunks_exact(d)).enumerate() {
            let a = &a[j * l..][..l];
            for ((b, c), w) in b.chunks_exact_mut(l).zip(c.chunks_exact(c.len() / d)).zip(w) {
                for ((b, c), a) in b.iter_mut().zip(&c[j * l..][..l]).zip(a) {
                    *b += *c - *w * *a;
                }
            }
        }
    }

    /// The differences `x_i - w` of a bucket's rows, one after the other.
    fn gather_differences<T>(x: &[T], w: &[T], pairs: &[Pair<T>], bucket: &[u32], e: &mut [T]) {
        let d = w.len();
        for (pair, e) in bucket.iter().zip(e.chunks_exact_mut(d)) {
            let x = &x[pairs[*pair as usize].row as usize * d..][..d];
            for ((e, x), w) in e.iter_mut().zip(x).zip(w) {
                *e = *x - *w;
            }
        }
    }

    /// The kept projections of a bucket's rows on prototype `j`.
    fn gather_kept<T>(kept: &[T], p: usize, j: usize, l: usize, pairs: &[Pair<T>], bucket: &[u32], t: &mut [T]) {
        for (pair, t) in bucket.iter().zip(t.chunks_exact_mut(l)) {
            let i = pairs[*pair as usize].row as usize;
            t.copy_from_slice(&kept[(i * p + j) * l..][..l]);
        }
    }

    /// Scales each of a bucket's rows by its pair's `g` and, unless `total` is empty, adds the scaled rows to it.
    fn scale_rows<T>(rows: &mut [T], width: usize, pairs: &[Pair<T>], bucket: &[u32], total: &mut [T]) {
        for (pair, row) in bucket.iter().zip(rows.chunks_exact_mut(width)) {
            let g = pairs[*pair as usize].g;
            for v in row.iter_mut() {
                *v *= g;
            }
            for (total, v) in total.iter_mut().zip(row) {
                *total += *v;
            }
        }
    }

    /// `total += sum of g times row`.
    fn add_weighted_rows<T>(rows: &[T], pairs: &[Pair<T>], bucket: &[u32], total: &mut [T]) {
        for (pair, row) in bucket.iter().zip(rows.chunks_exact(total.len())) {
            axpy(total, pairs[*pair as usize].g, row);
        }
    }
}

/// Where the backward puts a block's share. What is not wanted is empty.
pub struct Shares<'a, T> {
    /// `B_j`, `p x d x l`.
    pub b: &'a mut [T],
    /// `a_j = sum_i G_ij t_ij`, `p x l`.
    pub a: &'a mut [T],
    /// `h_j = sum_i G_ij (x_i - w_j)`, `p x d`; for pairs only.
    pub h: &'a mut [T],
}

impl<T: Real> Bank<T> {
    /// Copies the prototypes (rounded) and the matrices `inputs.own` (`p x d x l`).
    pub fn new(inputs: &Inputs<'_, T>, l: usize, rounding: Operand) -> Self {
        let (d, p) = (inputs.d, inputs.prototypes.len() / inputs.d);
        assert_eq!(inputs.own.len(), p * d * l, "{p} matrices of {d} x {l}");
        let mut w = inputs.prototypes.to_vec();
        inputs.operand.round(&mut w);
        let mut side_by_side = vec![T::zero(); inputs.own.len()];
        let mut v = vec![T::zero(); p * l];
        for j in 0..p {
            let matrix = &inputs.own[j * d * l..][..d * l];
            for a in 0..d {
                side_by_side[a * p * l + j * l..][..l].copy_from_slice(&matrix[a * l..][..l]);
            }
            let (w, v) = (&w[j * d..][..d], &mut v[j * l..][..l]);
            gemm(v, false, T::one(), Mat::new(w, 1, d), Mat::new(matrix, d, l));
        }
        rounding.round(&mut v);
        Bank { d, l, p, w, own: inputs.own.to_vec(), side_by_side, v, rounding, limit: KEPT }
    }

    /// The same, with another limit than [`KEPT`].
    #[cfg(test)]
    pub fn with_limit(self, limit: usize) -> Self {
        Bank { limit, ..self }
    }

    /// Prototype `j`.
    pub fn prototype(&self, j: usize) -> &[T] {
        &self.w[j * self.d..][..self.d]
    }

    /// Matrix `j`, `d x l`.
    pub fn matrix(&self, j: usize) -> &[T] {
        &self.own[j * self.d * self.l..][..self.d * self.l]
    }

    /// Number of prototypes whose projections of `b` rows are computed at once.
    fn group(&self, b: usize) -> usize {
        (self.limit / (b * self.l).max(1)).clamp(1, self.p)
    }

    /// Whether the forward keeps all projections of a block of `b` rows.
    fn keeps(&self, b: usize) -> bool {
        self.group(b) == self.p
    }

    /// The groups, as `(first, count)`.
    fn groups(&self, b: usize) -> impl Iterator<Item = (usize, usize)> {
        let (group, p) = (self.group(b), self.p);
        (0..p).step_by(group).map(move |first| (first, group.min(p - first)))
    }

    /// The projections of the block on `count` prototypes from `first` on, `b x count x l`.
    fn project_group(&self, x: &[T], first: usize, count: usize, t: &mut [T]) {
        let (d, l, b) = (self.d, self.l, x.len() / self.d);
        let matrices = Mat::columns(&self.side_by_side, d, self.p * l, first * l, count * l);
        gemm(t, false, T::one(), Mat::new(x, b, d), matrices);
        self.rounding.round(t);
        subtract(t, &self.v[first * l..][..count * l]);
    }

    /// Computes the block's projections and hands them to `each(first, count, t)`, with `t` of `b x count x l`. They
    /// are kept if there is room.
    pub fn forward(&self, x: &[T], kept: &mut Vec<T>, mut each: impl FnMut(usize, usize, &[T])) {
        let b = x.len() / self.d;
        for (first, count) in self.groups(b) {
            let t = grow(kept, b * count * self.l);
            self.project_group(x, first, count, t);
            each(first, count, t);
        }
    }

    /// The projection of one row on one prototype, in `work` or where it was kept.
    pub fn project_one<'a>(
        &self,
        x: &[T],
        i: usize,
        j: usize,
        kept: &'a [T],
        work: &'a mut Vec<T>,
    ) -> &'a [T] {
        let (d, l, p) = (self.d, self.l, self.p);
        if self.keeps(x.len() / d) {
            return &kept[(i * p + j) * l..][..l];
        }
        let t = grow(work, l);
        let row = Mat::new(&x[i * d..][..d], 1, d);
        gemm(t, false, T::one(), row, Mat::new(self.matrix(j), d, l));
        self.rounding.round(t);
        subtract(t, &self.v[j * l..][..l]);
        t
    }

    /// Adds the shares of a dense `G`; `h` is left alone.
    pub fn backward_dense(&self, x: &[T], g: &[T], scratch: &mut Scratch<T>, to: Shares<'_, T>) {
        let (b, d, l, p) = (x.len() / self.d, self.d, self.l, self.p);
        let Scratch { kept, work, more, norms, .. } = scratch;
        for (first, count) in self.groups(b) {
            let width = count * l;
            let weighted = grow(work, b * width);
            if self.keeps(b) {
                weigh(&kept[..b * width], g, l, (p, first, count), weighted);
            } else {
                let t = grow(kept, b * width);
                self.project_group(x, first, count, t);
                weigh(t, g, l, (p, first, count), weighted);
            }
            let a = grow(norms, width);
            a.fill(T::zero());
            add_column_sums(weighted, a);
            if !to.a.is_empty() {
                to.a[first * l..][..width].iter_mut().zip(&*a).for_each(|(s, a)| *s += *a);
            }
            if !to.b.is_empty() {
                let c = grow(more, d * width);
                gemm(c, false, T::one(), Mat::new(x, b, d).t(), Mat::new(weighted, b, width));
                let (w, share) = (&self.w[first * d..][..count * d], &mut to.b[first * d * l..]);
                add_corrected(&mut share[..d * width], c, w, a, l);
            }
        }
    }

    /// Adds the shares of a sparse `G`.
    pub fn backward_pairs(
        &self,
        x: &[T],
        pairs: &[Pair<T>],
        scratch: &mut Scratch<T>,
        to: Shares<'_, T>,
    ) {
        let (d, l, p) = (self.d, self.l, self.p);
        let Scratch { kept, work, more, order, .. } = scratch;
        let keeps = self.keeps(x.len() / d);
        let (limits, indices) = buckets(pairs, p, order);
        for j in 0..p {
            let bucket = &indices[limits[j] as usize..limits[j + 1] as usize];
            let q = bucket.len();
            if q == 0 {
                continue;
            }
            let e = grow(work, q * d);
            gather_differences(x, self.prototype(j), pairs, bucket, e);
            if !to.h.is_empty() {
                add_weighted_rows(e, pairs, bucket, &mut to.h[j * d..][..d]);
            }
            if to.a.is_empty() && to.b.is_empty() {
                continue;
            }
            let t = grow(more, q * l);
            if keeps {
                gather_kept(kept, p, j, l, pairs, bucket, t);
            } else {
                // The same up to rounding as `x Om_j - v_j`, and the differences are here already.
                gemm(t, false, T::one(), Mat::new(e, q, d), Mat::new(self.matrix(j), d, l));
            }
            let total = if to.a.is_empty() { &mut [][..] } else { &mut to.a[j * l..][..l] };
            scale_rows(t, l, pairs, bucket, total);
            if !to.b.is_empty() {
                let share = &mut to.b[j * d * l..][..d * l];
                gemm(share, true, T::one(), Mat::new(e, q, d).t(), Mat::new(t, q, l));
            }
        }
    }
}
