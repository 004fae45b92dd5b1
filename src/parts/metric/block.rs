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

/// Prototypes whose sums are formed side by side.
const ABREAST: usize = 64;

/// Prototypes (`p x d`) side by side: blocks of 64, the last one of 64, 32 or 16, filled up with zeros. Of a block the first feature of all, then
/// the second.
pub fn side_by_side<T: Real>(w: &[T], d: usize) -> Vec<T> {
    let mut all = vec![];
    for w in w.chunks(ABREAST * d.max(1)) {
        let width = match w.len() / d.max(1) {
            1..=16 => 16,
            17..=32 => 32,
            _ => ABREAST,
        };
        let start = all.len();
        all.resize(start + d * width, T::zero());
        for (j, w) in w.chunks_exact(d.max(1)).enumerate() {
            w.iter().enumerate().for_each(|(a, w)| all[start + a * width + j] = *w);
        }
    }
    all
}

/// `sum_a term(x_a - w_ja)` of one row and all prototypes, which stand [`side_by_side`]; to be called inside a vectorized function.
#[inline(always)]
pub fn sums_of_terms<T: Real>(x: &[T], w: &[T], term: impl Fn(T) -> T, sums: &mut [T]) {
    for (w, sums) in w.chunks(ABREAST * x.len().max(1)).zip(sums.chunks_mut(ABREAST)) {
        sums_of_block::<T, 1>(x, w, &term, |sum| sum, 0, sums.len(), sums);
    }
}

/// `finish` of the same, of all rows (of `d` values) and prototypes (`p` of them), `R` rows at a time.
#[inline(always)]
pub fn sums_of_rows<T: Real, const R: usize>(
    (x, d): (&[T], usize),
    (w, p): (&[T], usize),
    term: impl Fn(T) -> T,
    finish: impl Fn(T) -> T + Copy,
    sums: &mut [T],
) {
    // A block of prototypes stays in the cache while all rows pass.
    for (block, w) in w.chunks(ABREAST * d).enumerate() {
        let first = block * ABREAST;
        for (x, sums) in x.chunks(R * d).zip(sums.chunks_mut(R * p)) {
            if x.len() == R * d {
                sums_of_block::<T, R>(x, w, &term, finish, first, p, sums);
                continue;
            }
            for (x, sums) in x.chunks_exact(d).zip(sums.chunks_exact_mut(p)) {
                sums_of_block::<T, 1>(x, w, &term, finish, first, p, sums);
            }
        }
    }
}

/// The same of a block of prototypes, from `first` on, and `R` rows.
#[inline(always)]
fn sums_of_block<T: Real, const R: usize>(
    x: &[T],
    w: &[T],
    term: &impl Fn(T) -> T,
    finish: impl Fn(T) -> T,
    first: usize,
    p: usize,
    sums: &mut [T],
) {
    match w.len() * R / x.len().max(1) {
        16 => sums_abreast::<T, R, 16>(x, w, term, finish, first, p, sums),
        32 => sums_abreast::<T, R, 32>(x, w, term, finish, first, p, sums),
        _ => sums_abreast::<T, R, ABREAST>(x, w, term, finish, first, p, sums),
    }
}

#[inline(always)]
fn sums_abreast<T: Real, const R: usize, const N: usize>(
    x: &[T],
    w: &[T],
    term: &impl Fn(T) -> T,
    finish: impl Fn(T) -> T,
    first: usize,
    p: usize,
    sums: &mut [T],
) {
    let d = x.len() / R;
    let mut lanes = [[T::zero(); N]; R];
    for (a, w) in w.as_chunks::<N>().0.iter().enumerate() {
        for (r, lanes) in lanes.iter_mut().enumerate() {
            let x = x[r * d + a];
            for l in 0..N {
                lanes[l] += term(x - w[l]);
            }
        }
    }
    for (lanes, sums) in lanes.iter_mut().zip(sums.chunks_exact_mut(p)) {
        for lane in lanes.iter_mut() {
            *lane = finish(*lane);
        }
        let sums = &mut sums[first..];
        let count = sums.len().min(N);
        sums[..count].copy_from_slice(&lanes[..count]);
    }
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
