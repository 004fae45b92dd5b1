//! Metrics without a matrix form: computed pair by pair from the differences.

use super::block::{side_by_side, sums_of_rows};
use super::{Inputs, Metric, Pair, Scratch, Sums};
use crate::parts::real::Real;
use crate::vectorized;

/// A distance of one row to one prototype and its derivative. Implementations are `#[inline(always)]`, so that they are
/// compiled for the instruction set of the loop they are in.
pub trait Pairwise<T>: Send + Sync {
    /// The distance.
    fn distance(&self, x: &[T], w: &[T]) -> T;

    /// Whether the distance is `finish(sum_a term(x_a - w_a))`.
    const BY_TERMS: bool = false;

    /// What is summed over the coordinates.
    fn term(&self, e: T) -> T {
        e
    }

    /// The distance from the sum.
    fn finish(&self, sum: T) -> T {
        sum
    }

    /// `dw += g dD/dw`.
    fn add_gradient(&self, g: T, x: &[T], w: &[T], dw: &mut [T]);
}

/// A metric made of a [`Pairwise`] distance.
pub struct Direct<T, K> {
    d: usize,
    w: Vec<T>,
    /// The same side by side, of distances by terms.
    side_by_side: Vec<T>,
    learn: bool,
    kind: K,
}

impl<T: Real, K: Pairwise<T>> Direct<T, K> {
    /// Copies the prototypes (rounded as the operands are).
    pub(super) fn with(inputs: Inputs<'_, T>, kind: K) -> Self {
        let mut w = inputs.prototypes.to_vec();
        inputs.operand.round(&mut w);
        let side_by_side = if K::BY_TERMS { side_by_side(&w, inputs.d) } else { vec![] };
        Direct { d: inputs.d, w, side_by_side, learn: inputs.learn_prototypes, kind }
    }
}

vectorized! {
    fn one_distance<T, K: Pairwise<T>>(kind: &K, x: &[T], w: &[T]) -> T {
        kind.distance(x, w)
    }

    fn pair_distances<T, K: Pairwise<T>>(kind: &K, x: &[T], w: &[T], d: usize, pairs: &[[u32; 2]], out: &mut [T]) {
        for ([i, j], out) in pairs.iter().zip(out) {
            *out = kind.distance(&x[*i as usize * d..][..d], &w[*j as usize * d..][..d]);
        }
    }

    fn distances<T, K: Pairwise<T>>(kind: &K, x: &[T], w: &[T], d: usize, dist: &mut [T]) {
        for (x, dist) in x.chunks_exact(d).zip(dist.chunks_exact_mut(w.len() / d)) {
            for (w, dist) in w.chunks_exact(d).zip(dist) {
                *dist = kind.distance(x, w);
            }
        }
    }

    wide fn distances_by_terms<T, K: Pairwise<T>>(kind: &K, x: &[T], w: &[T], d: usize, p: usize, dist: &mut [T]) {
        let (term, finish) = (|e| kind.term(e), |sum| kind.finish(sum));
        // As many sums as there are registers for.
        if crate::parts::simd::is_wide() {
            sums_of_rows::<T, 4>((x, d), (w, p), term, finish, dist);
        } else {
            sums_of_rows::<T, 1>((x, d), (w, p), term, finish, dist);
        }
    }

    fn add_pairs<T, K: Pairwise<T>>(kind: &K, x: &[T], w: &[T], d: usize, pairs: &[Pair<T>], dw: &mut [T]) {
        for pair in pairs {
            let (i, j) = (pair.row as usize * d, pair.prototype as usize * d);
            kind.add_gradient(pair.g, &x[i..i + d], &w[j..j + d], &mut dw[j..j + d]);
        }
    }

    fn add_dense<T, K: Pairwise<T>>(kind: &K, x: &[T], w: &[T], d: usize, g: &[T], dw: &mut [T]) {
        for (x, g) in x.chunks_exact(d).zip(g.chunks_exact(w.len() / d)) {
            for ((w, dw), g) in w.chunks_exact(d).zip(dw.chunks_exact_mut(d)).zip(g) {
                if *g != T::zero() {
                    kind.add_gradient(*g, x, w, dw);
                }
            }
        }
    }
}

impl<T: Real, K: Pairwise<T>> Metric<T> for Direct<T, K> {
    fn forward(&self, x: &[T], dist: &mut [T], _: &mut Scratch<T>) {
        let (kind, d) = (&self.kind, self.d);
        if K::BY_TERMS {
            distances_by_terms(kind, x, &self.side_by_side, d, self.w.len() / d, dist);
        } else {
            distances(kind, x, &self.w, d, dist);
        }
    }

    fn exact(&self, x: &[T], row: usize, prototype: usize, _: &mut Scratch<T>) -> T {
        let d = self.d;
        one_distance(&self.kind, &x[row * d..][..d], &self.w[prototype * d..][..d])
    }

    fn exact_pairs(&self, x: &[T], pairs: &[[u32; 2]], _: &mut Scratch<T>, out: &mut [T]) {
        pair_distances(&self.kind, x, &self.w, self.d, pairs, out);
    }

    /// `dW` (`p x d`).
    fn sums(&self) -> Vec<usize> {
        if self.learn { vec![self.w.len()] } else { vec![] }
    }

    fn backward_pairs(&self, x: &[T], pairs: &[Pair<T>], _: &mut Scratch<T>, sums: &mut Sums<T>) {
        if let [dw] = &mut sums[..] {
            add_pairs(&self.kind, x, &self.w, self.d, pairs, dw);
        }
    }

    fn backward_dense(&self, x: &[T], _: &[T], g: &[T], _: &mut Scratch<T>, sums: &mut Sums<T>) {
        if let [dw] = &mut sums[..] {
            add_dense(&self.kind, x, &self.w, self.d, g, dw);
        }
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        sums.iter().map(|dw| ("prototypes", dw.clone())).collect()
    }
}
