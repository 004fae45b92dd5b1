//! What the metrics share: loops over the rows of a block.

use super::Pair;
use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;
use crate::parts::simd::{LANES, dot};
use crate::vectorized;

/// The first `len` values of a buffer that only ever grows. What they hold is whatever was there before.
pub fn grow<T: Real>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::zero());
    }
    &mut buffer[..len]
}

vectorized! {
    /// `|x_i|^2` of every row of `width` values.
    pub fn squared_norms<T>(x: &[T], width: usize, norms: &mut [T]) {
        for (row, norm) in x.chunks_exact(width).zip(norms) {
            *norm = dot(row, row);
        }
    }

    /// `D_ij <- max(0, D_ij + r_i + c_j)`.
    pub fn add_norms<T>(dist: &mut [T], rows: &[T], columns: &[T]) {
        for (dist, r) in dist.chunks_exact_mut(columns.len()).zip(rows) {
            for (d, c) in dist.iter_mut().zip(columns) {
                let v = *d + (*r + *c);
                // The expansion of a square may come out below zero by rounding. (A NaN stays one.)
                *d = if v < T::zero() { T::zero() } else { v };
            }
        }
    }

    /// `s_j += sum_i G_ij`.
    pub fn add_column_sums<T>(g: &[T], sums: &mut [T]) {
        for row in g.chunks_exact(sums.len()) {
            for (s, g) in sums.iter_mut().zip(row) {
                *s += *g;
            }
        }
    }

    /// `H_j += g (x_i - w_j)` for every pair.
    pub fn scatter_differences<T>(x: &[T], w: &[T], d: usize, pairs: &[Pair<T>], h: &mut [T]) {
        match d {
            8 => return scatter::<T, 8>(x, w, pairs, h),
            16 => return scatter::<T, 16>(x, w, pairs, h),
            32 => return scatter::<T, 32>(x, w, pairs, h),
            64 => return scatter::<T, 64>(x, w, pairs, h),
            _ => {}
        }
        for pair in pairs {
            let (i, j) = (pair.row as usize * d, pair.prototype as usize * d);
            add_difference(&mut h[j..j + d], pair.g, &x[i..i + d], &w[j..j + d]);
        }
    }

    /// `y_j += s_j x_j` for every row of `width` values.
    pub fn add_scaled_rows<T>(y: &mut [T], s: &[T], x: &[T], width: usize) {
        for ((y, x), s) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(s) {
            for (y, x) in y.iter_mut().zip(x) {
                *y += *s * *x;
            }
        }
    }
}

/// [`scatter_differences`] for rows of `D` values; to be called inside a vectorized function.
#[inline(always)]
fn scatter<T: Real, const D: usize>(x: &[T], w: &[T], pairs: &[Pair<T>], h: &mut [T]) {
    let (x, w, h) = (x.as_chunks::<D>().0, w.as_chunks::<D>().0, h.as_chunks_mut::<D>().0);
    for pair in pairs {
        let (x, w) = (&x[pair.row as usize], &w[pair.prototype as usize]);
        let h = &mut h[pair.prototype as usize];
        // A copy: the compiler need not ask whether they overlap.
        let mut sum = *h;
        for l in 0..D {
            sum[l] += pair.g * (x[l] - w[l]);
        }
        *h = sum;
    }
}

/// `h += g (x - w)`; to be called inside a vectorized function.
#[inline(always)]
fn add_difference<T: Real>(h: &mut [T], g: T, x: &[T], w: &[T]) {
    let (h, rest) = h.as_chunks_mut::<LANES>();
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (w, w_rest) = w.as_chunks::<LANES>();
    for ((h, x), w) in h.iter_mut().zip(x).zip(w) {
        // A copy: the compiler need not ask whether the slices overlap.
        let mut sum = *h;
        for l in 0..LANES {
            sum[l] += g * (x[l] - w[l]);
        }
        *h = sum;
    }
    for ((h, x), w) in rest.iter_mut().zip(x_rest).zip(w_rest) {
        *h += g * (*x - *w);
    }
}

/// `D = max(0, |x|^2 + |w|^2 - 2 x w^T)` for rows of `width` values: one product and one pass. `norms` receives `|x|^2`.
pub fn squared_expansion<T: Real>(
    x: &[T],
    w: &[T],
    w_norms: &[T],
    width: usize,
    dist: &mut [T],
    norms: &mut Vec<T>,
) {
    let (b, p) = (x.len() / width, w_norms.len());
    let norms = grow(norms, b);
    squared_norms(x, width, norms);
    gemm(dist, false, T::of(-2.0), Mat::new(x, b, width), Mat::new(w, p, width).t());
    add_norms(dist, norms, w_norms);
}

/// Prototypes (`p x d`) side by side: `d` rows of p and some zeros, for [`sums_of_terms`], which takes 64 prototypes at a time, the last ones
/// by 64, 32 or 16.
pub fn side_by_side<T: Real>(w: &[T], d: usize) -> Vec<T> {
    let p = w.len() / d.max(1);
    let last = match p % 64 {
        0 => 0,
        1..=16 => 16,
        17..=32 => 32,
        _ => 64,
    };
    let width = p / 64 * 64 + last;
    let mut all = vec![T::zero(); d * width];
    for (j, w) in w.chunks_exact(d.max(1)).enumerate() {
        w.iter().enumerate().for_each(|(a, w)| all[a * width + j] = *w);
    }
    all
}

/// `sum_a term(x_a - w_ja)` for all prototypes, which stand [`side_by_side`]; to be called inside a vectorized function.
#[inline(always)]
pub fn sums_of_terms<T: Real>(x: &[T], w: &[T], term: impl Fn(T) -> T, sums: &mut [T]) {
    let width = w.len() / x.len().max(1);
    let mut j = 0;
    while j < width {
        match width - j {
            16 => some_sums::<T, 16>(x, w, &term, j, sums),
            32 => some_sums::<T, 32>(x, w, &term, j, sums),
            _ => some_sums::<T, 64>(x, w, &term, j, sums),
        }
        j += 64;
    }
}

/// The same for `N` prototypes from `first` on, as far as there are so many.
#[inline(always)]
fn some_sums<T: Real, const N: usize>(
    x: &[T],
    w: &[T],
    term: &impl Fn(T) -> T,
    first: usize,
    sums: &mut [T],
) {
    let width = w.len() / x.len().max(1);
    let mut lanes = [T::zero(); N];
    for (x, w) in x.iter().zip(w.chunks_exact(width)) {
        let w = &w[first..first + N];
        for l in 0..N {
            lanes[l] += term(*x - w[l]);
        }
    }
    let sums = &mut sums[first..];
    let count = sums.len().min(N);
    sums[..count].copy_from_slice(&lanes[..count]);
}

crate::vectorized! {
    /// `|x_i - w_j|^2` of pairs of rows `width` long.
    pub fn pair_distances<T>(x: &[T], w: &[T], width: usize, pairs: &[[u32; 2]], out: &mut [T]) {
        for ([i, j], out) in pairs.iter().zip(out) {
            let x = &x[*i as usize * width..][..width];
            *out = crate::parts::simd::squared_difference(x, &w[*j as usize * width..][..width]);
        }
    }
}

/// How far the expansion may be off for a row of squared norm `norm`, where `largest` is the prototypes' largest: a few units in the last
/// place of its terms.
pub fn expansion_slack<T: Real>(norm: T, largest: T) -> T {
    T::of(32.0) * T::epsilon() * (norm + largest)
}

/// The largest of some norms.
pub fn largest<T: Real>(norms: &[T]) -> T {
    norms.iter().copied().fold(T::zero(), num_traits::Float::max)
}

/// Sorts the pairs by prototype, keeping their order within one (a counting sort). The first list holds `p + 1`
/// limits: the pairs of prototype `j` are `indices[limits[j]..limits[j + 1]]`.
pub fn buckets<'a, T: Real>(
    pairs: &[Pair<T>],
    p: usize,
    order: &'a mut Vec<u32>,
) -> (&'a [u32], &'a [u32]) {
    order.clear();
    order.resize(p + 1 + pairs.len(), 0);
    let (limits, indices) = order.split_at_mut(p + 1);
    for pair in pairs {
        limits[pair.prototype as usize + 1] += 1;
    }
    // Slot j + 1: first the start of bucket j, then, one pair after the other, its end.
    let mut start = 0;
    for slot in &mut limits[1..] {
        let count = *slot;
        *slot = start;
        start += count;
    }
    for (i, pair) in pairs.iter().enumerate() {
        let slot = &mut limits[pair.prototype as usize + 1];
        indices[*slot as usize] = i as u32;
        *slot += 1;
    }
    (limits, indices)
}

/// `v sgn(e)`, with `sgn(0)` taken as +1.
#[inline(always)]
pub fn with_sign<T: Real>(v: T, e: T) -> T {
    if e >= T::zero() { v } else { -v }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_keep_the_order_within_a_prototype() {
        let pair = |row, prototype| Pair { row, prototype, g: 1.0f64 };
        let pairs = [pair(0, 2), pair(0, 0), pair(1, 2), pair(2, 2), pair(3, 0)];
        let mut order = vec![7; 3];
        let (limits, indices) = buckets(&pairs, 4, &mut order);
        assert_eq!(limits, [0, 2, 2, 5, 5]);
        assert_eq!(indices, [1, 4, 0, 2, 3]);
        let (limits, indices) = buckets::<f64>(&[], 1, &mut order);
        assert_eq!((limits, indices), (&[0, 0][..], &[][..]));
    }
}
