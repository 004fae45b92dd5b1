//! Small dense linear algebra over row-major slices, by `faer`.

use super::real::Real;
use crate::error::{Error, Result};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A row-major matrix operand: its values, its two lengths as stored, and whether it is used transposed.
#[derive(Clone, Copy)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    stride: usize,
    transposed: bool,
}

impl<'a, T: Real> Mat<'a, T> {
    /// A `rows x cols` matrix stored row by row.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Mat::columns(data, rows, cols, 0, cols)
    }

    /// Columns `first .. first + cols` of a matrix stored row by row, `stride` values a row.
    pub fn columns(data: &'a [T], rows: usize, stride: usize, first: usize, cols: usize) -> Self {
        assert!(
            first + cols <= stride && data.len() >= rows * stride,
            "columns {first} to {} of a matrix of {rows} x {stride} over {} values",
            first + cols,
            data.len()
        );
        let data = if rows == 0 { &[] } else { &data[first..(rows - 1) * stride + first + cols] };
        Mat { data, rows, cols, stride, transposed: false }
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Self {
        Mat { transposed: !self.transposed, ..self }
    }

    fn view(&self) -> MatRef<'a, T> {
        let m =
            MatRef::from_row_major_slice_with_stride(self.data, self.rows, self.cols, self.stride);
        if self.transposed { m.transpose() } else { m }
    }
}

/// `c = beta c + alpha a b` with `beta` 0 (`accumulate` false) or 1; `c` is `m x n`, row-major.
///
/// One thread: parallelism is over blocks of rows, one level up.
pub fn gemm<T: Real>(c: &mut [T], accumulate: bool, alpha: T, a: Mat<'_, T>, b: Mat<'_, T>) {
    let (a, b) = (a.view(), b.view());
    let (m, n) = (a.nrows(), b.ncols());
    assert_eq!(a.ncols(), b.nrows(), "inner lengths of a product");
    let c = MatMut::from_row_major_slice_mut(&mut c[..m * n], m, n);
    let beta = if accumulate { Accum::Add } else { Accum::Replace };
    matmul(c, beta, a, b, alpha, Par::Seq);
}

/// `softmax(v)_a = exp(v_a - max v) / sum_c exp(v_c - max v)`, in place.
pub fn softmax<T: Real>(values: &mut [T]) {
    let max = values.iter().fold(T::neg_infinity(), |m, v| if *v > m { *v } else { m });
    let mut sum = T::zero();
    for v in values.iter_mut() {
        *v = num_traits::Float::exp(*v - max);
        sum += *v;
    }
    for v in values {
        *v /= sum;
    }
}

/// The polar factor of a `rows x cols` matrix, in place: `U V^T` of its thin SVD `U S V^T`, the nearest matrix with
/// orthonormal columns (orthonormal rows where `cols > rows`).
///
/// It is unique for full rank. Otherwise the missing directions are completed by some orthonormal set, so the
/// result is orthonormal for every finite matrix, zero included. A matrix with a NaN or an infinity is left as it is.
///
/// Near an orthonormal matrix (where an optimizer's step leaves it) this is the Newton-Schulz iteration
/// `Y <- Y (3 I - Y^T Y) / 2`, which converges quadratically while every singular value is below `sqrt 3`
/// (Higham, Functions of Matrices, 2008, chapter 8); elsewhere the SVD, in f64.
pub fn polar<T: Real>(matrix: &mut [T], rows: usize, cols: usize) {
    assert_eq!(matrix.len(), rows * cols, "polar factor of a {rows} x {cols} matrix");
    if matrix.iter().any(|v| !num_traits::Float::is_finite(*v)) || matrix.is_empty() {
        return;
    }
    if cols > rows {
        let mut t = transpose(matrix, rows, cols);
        polar(&mut t, cols, rows);
        matrix.copy_from_slice(&transpose(&t, cols, rows));
    } else if !newton_schulz(matrix, rows, cols) {
        polar_by_svd(matrix, rows, cols);
    }
}

/// The transpose of a `rows x cols` matrix.
pub fn transpose<T: Copy>(matrix: &[T], rows: usize, cols: usize) -> Vec<T> {
    (0..cols).flat_map(|c| (0..rows).map(move |r| matrix[r * cols + c])).collect()
}

/// The Newton-Schulz iteration of [`polar`]; false (and the matrix unchanged) where the matrix is too far from
/// orthonormal for it.
fn newton_schulz<T: Real>(matrix: &mut [T], rows: usize, cols: usize) -> bool {
    let mut y = matrix.to_vec();
    let mut next = vec![T::zero(); rows * cols];
    let mut gram = vec![T::zero(); cols * cols];
    // Rounding of a Gram matrix of this size: what the iteration cannot get below.
    let enough = T::of(4.0) * T::epsilon() * T::of((rows.max(4) as f64).sqrt());
    let mut last = T::of(0.5);
    for _ in 0..20 {
        gemm(&mut gram, false, T::one(), Mat::new(&y, rows, cols).t(), Mat::new(&y, rows, cols));
        // |Y^T Y - I| in the Frobenius norm bounds |s^2 - 1| for every singular value s: below 1/2, s is in
        // (0.7, 1.23), and the error falls from step to step down to rounding.
        let mut error = T::zero();
        for a in 0..cols {
            for b in 0..cols {
                let e = gram[a * cols + b] - if a == b { T::one() } else { T::zero() };
                error += e * e;
            }
        }
        let error = num_traits::Float::sqrt(error);
        if error <= enough {
            matrix.copy_from_slice(&y);
            return true;
        }
        if error.is_nan() || error >= last {
            return false;
        }
        last = error;
        for (i, v) in gram.iter_mut().enumerate() {
            let three = if i % (cols + 1) == 0 { T::of(3.0) } else { T::zero() };
            *v = T::of(0.5) * (three - *v);
        }
        gemm(&mut next, false, T::one(), Mat::new(&y, rows, cols), Mat::new(&gram, cols, cols));
        std::mem::swap(&mut y, &mut next);
    }
    false
}

/// The SVD of [`polar`], `rows >= cols`.
fn polar_by_svd<T: Real>(matrix: &mut [T], rows: usize, cols: usize) {
    let largest = matrix.iter().fold(0.0f64, |m, v| m.max(v.f64().abs()));
    // Scaled to a largest entry of 1, so that no square overflows or vanishes.
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let a = faer::Mat::from_fn(rows, cols, |r, c| matrix[r * cols + c].f64() / scale);
    let factor = match a.thin_svd() {
        Ok(svd) => svd.U() * svd.V().transpose(),
        // No convergence (not seen): any orthonormal basis of the column space is better than none.
        Err(_) => a.qr().compute_thin_Q(),
    };
    for (i, v) in matrix.iter_mut().enumerate() {
        *v = T::of(factor[(i / cols, i % cols)]);
    }
}

/// The `Q` factor of a thin QR decomposition: `rows x min(rows, cols)`, row-major, with orthonormal columns. The signs
/// of its columns are those of the Householder reflections.
pub fn thin_q<T: Real>(matrix: &[T], rows: usize, cols: usize) -> Vec<T> {
    let q = Mat::new(matrix, rows, cols).view().qr().compute_thin_Q();
    let width = rows.min(cols);
    (0..rows * width).map(|i| q[(i / width, i % width)]).collect()
}

/// The first `count` right singular vectors of `x - mean(x)` (the principal axes), as the columns of a `d x count`
/// matrix, row-major, in falling order of singular values. Each column's sign makes its largest entry positive.
///
/// `x` is `n x d`; `rows(i, out)` copies its row i. The rows are taken in blocks and only a triangular factor is kept (a QR of the factor so far on
/// top of the next block), in f64, so memory stays at O(d^2) and no square of the data is formed.
///
/// # Errors
/// `latent_dim` is named when `count` is 0 or above `min(n, d)`.
pub fn principal_axes(
    n: usize,
    d: usize,
    count: usize,
    rows: &dyn Fn(usize, &mut [f64]),
) -> Result<Vec<f64>> {
    if count == 0 || count > n.min(d) {
        return Err(Error::parameter(
            "latent_dim",
            format!(
                "{count} principal axes of {n} rows and {d} features: expected 1 to {}",
                n.min(d)
            ),
        ));
    }
    let mut mean = vec![0.0f64; d];
    let mut row = vec![0.0f64; d];
    for i in 0..n {
        rows(i, &mut row);
        for (m, v) in mean.iter_mut().zip(&row) {
            *m += v;
        }
    }
    for m in &mut mean {
        *m /= n as f64;
    }
    let mut factor = faer::Mat::<f64>::zeros(0, d);
    let size = d.max(256);
    for first in (0..n).step_by(size) {
        let (kept, more) = (factor.nrows(), size.min(n - first));
        let mut stacked = faer::Mat::zeros(kept + more, d);
        stacked.as_mut().subrows_mut(0, kept).copy_from(&factor);
        for r in 0..more {
            rows(first + r, &mut row);
            for (c, (v, m)) in row.iter().zip(&mean).enumerate() {
                stacked[(kept + r, c)] = v - m;
            }
        }
        factor = if stacked.nrows() > d { stacked.qr().thin_R().to_owned() } else { stacked };
    }
    let largest = (0..factor.nrows())
        .flat_map(|r| (0..d).map(move |c| (r, c)))
        .fold(0.0f64, |m, at| m.max(factor[at].abs()));
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let factor = faer::Mat::from_fn(factor.nrows(), d, |r, c| factor[(r, c)] / scale);
    let svd = factor.thin_svd().map_err(|_| {
        Error::data("the singular value decomposition of the features did not converge")
    })?;
    let v = svd.V();
    let mut axes = vec![0.0; d * count];
    for k in 0..count {
        let sign =
            (0..d).map(|a| v[(a, k)]).fold(0.0f64, |m, e| if e.abs() > m.abs() { e } else { m });
        for a in 0..d {
            axes[a * count + k] = v[(a, k)] * sign.signum();
        }
    }
    Ok(axes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::random::stream;
    use rand_distr::{Distribution, StandardNormal};

    fn normal(n: usize, index: u64) -> Vec<f64> {
        let mut rng = stream(5, "linalg", index);
        (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
    }

    fn product(a: &[f64], m: usize, k: usize, b: &[f64], n: usize) -> Vec<f64> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                c[i * n + j] = (0..k).map(|t| a[i * k + t] * b[t * n + j]).sum();
            }
        }
        c
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).fold(0.0, |m, (x, y)| m.max((x - y).abs()))
    }

    /// Largest entry of |M^T M - I|, or of |M M^T - I| for a wide matrix.
    fn not_orthonormal(m: &[f64], rows: usize, cols: usize) -> f64 {
        let t = transpose(m, rows, cols);
        let (gram, n) = if cols <= rows {
            (product(&t, cols, rows, m, cols), cols)
        } else {
            (product(m, rows, cols, &t, rows), rows)
        };
        let identity: Vec<f64> =
            (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
        distance(&gram, &identity)
    }

    #[test]
    fn gemm_with_transposes_and_column_ranges() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (17, 4, 9), (33, 20, 16)] {
            let (a, b) = (normal(m * k, 1), normal(k * n, 2));
            let expected = product(&a, m, k, &b, n);
            let (at, bt) = (transpose(&a, m, k), transpose(&b, k, n));
            let mut c = vec![9.0; m * n];
            gemm(&mut c, false, 1.0, Mat::new(&a, m, k), Mat::new(&b, k, n));
            assert!(distance(&c, &expected) < 1e-12);
            gemm(&mut c, false, 1.0, Mat::new(&at, k, m).t(), Mat::new(&bt, n, k).t());
            assert!(distance(&c, &expected) < 1e-12);
            // Accumulated with a factor: c - c = 0.
            gemm(&mut c, true, -1.0, Mat::new(&a, m, k), Mat::new(&b, k, n));
            assert!(c.iter().all(|v| v.abs() < 1e-12));
            // The last column alone.
            let mut last = vec![0.0; m];
            gemm(&mut last, false, 1.0, Mat::new(&a, m, k), Mat::columns(&b, k, n, n - 1, 1));
            assert!((0..m).all(|i| (last[i] - expected[i * n + n - 1]).abs() < 1e-12));
        }
    }

    #[test]
    fn softmax_is_shift_invariant_and_does_not_overflow() {
        let mut v = [1000.0, 1000.0 + 2.0f64.ln(), -1e300];
        softmax(&mut v);
        assert!(distance(&v, &[1.0 / 3.0, 2.0 / 3.0, 0.0]) < 1e-13);
    }

    /// The example of the specification, six digits.
    #[test]
    fn polar_factor_of_the_example() {
        let mut m = [1.0, 0.5, -0.25, 0.75, 0.3, 0.2];
        polar(&mut m, 3, 2);
        let expected = [0.88020662, 0.36824812, -0.40107814, 0.91442515, 0.25371762, 0.16798799];
        assert!(distance(&m, &expected) < 1e-8);
    }

    #[test]
    fn polar_factor_by_both_ways() {
        for (rows, cols) in [(1, 1), (3, 2), (5, 5), (17, 3), (3, 7), (40, 12)] {
            let q = {
                let mut q = normal(rows * cols, 3);
                polar(&mut q, rows, cols);
                q
            };
            assert!(not_orthonormal(&q, rows, cols) < 1e-13, "{rows} x {cols}");
            let mut again = q.clone();
            polar(&mut again, rows, cols);
            assert!(distance(&again, &q) < 1e-13);
            if cols <= rows {
                // A = Q P with P symmetric and positive definite has polar factor Q, near (0.05) and far (5).
                for size in [0.05, 5.0] {
                    let e = normal(cols * cols, 4);
                    let mut p = product(&transpose(&e, cols, cols), cols, cols, &e, cols);
                    for (i, v) in p.iter_mut().enumerate() {
                        *v *= size / cols as f64;
                        if i % (cols + 1) == 0 {
                            *v += 1.0;
                        }
                    }
                    let mut a = product(&q, rows, cols, &p, cols);
                    polar(&mut a, rows, cols);
                    assert!(distance(&a, &q) < 1e-12, "{rows} x {cols}, {size}");
                    let mut single: Vec<f32> =
                        product(&q, rows, cols, &p, cols).iter().map(|v| *v as f32).collect();
                    polar(&mut single, rows, cols);
                    let single: Vec<f64> = single.iter().map(|v| f64::from(*v)).collect();
                    assert!(distance(&single, &q) < 1e-5);
                }
            }
        }
    }

    #[test]
    fn polar_factor_of_deficient_and_extreme_matrices() {
        let rank_one: Vec<f64> = (0..12).map(|i| (1 + i / 3) as f64 * (1 + i % 3) as f64).collect();
        for m in [vec![0.0; 12], rank_one.clone(), vec![1e-300; 12], vec![1e300; 12], {
            let mut m = normal(12, 6);
            (0..4).for_each(|r| m[3 * r + 1] = m[3 * r]);
            m
        }] {
            let mut q = m.clone();
            polar(&mut q, 4, 3);
            assert!(not_orthonormal(&q, 4, 3) < 1e-12, "{m:?} -> {q:?}");
        }
        let mut bad = [f64::NAN, 1.0];
        polar(&mut bad, 2, 1);
        assert!(bad[0].is_nan() && bad[1] == 1.0);
    }

    #[test]
    fn thin_q_spans_the_columns() {
        for (rows, cols) in [(5, 2), (4, 4), (3, 6)] {
            let a = normal(rows * cols, 7);
            let q = thin_q(&a, rows, cols);
            let width = rows.min(cols);
            assert!(not_orthonormal(&q, rows, width) < 1e-13);
            // Q Q^T A = A.
            let qt = transpose(&q, rows, width);
            let back = product(&q, rows, width, &product(&qt, width, rows, &a, cols), cols);
            assert!(distance(&back, &a) < 1e-13);
        }
    }

    #[test]
    fn principal_axes_diagonalise_the_scatter() {
        // 700 rows: several blocks; 4 rows of 6 features: fewer rows than features.
        for (n, d, count) in [(700, 5, 3), (4, 6, 4), (30, 1, 1)] {
            let mut x = normal(n * d, 8);
            for (i, v) in x.iter_mut().enumerate() {
                *v = *v * (1.0 + (i % d) as f64) + 100.0;
            }
            let rows = |i: usize, out: &mut [f64]| out.copy_from_slice(&x[i * d..][..d]);
            let axes = principal_axes(n, d, count, &rows).unwrap();
            assert!(not_orthonormal(&axes, d, count) < 1e-10);
            for a in 0..d {
                let mean = (0..n).map(|i| x[i * d + a]).sum::<f64>() / n as f64;
                (0..n).for_each(|i| x[i * d + a] -= mean);
            }
            let z = product(&x, n, d, &axes, count);
            let scatter = product(&transpose(&z, n, count), count, n, &z, count);
            for k in 0..count {
                for m in 0..count {
                    if k != m {
                        assert!(scatter[k * count + m].abs() < 1e-9 * scatter[0]);
                    } else if k > 0 {
                        assert!(scatter[k * count + k] <= scatter[(k - 1) * (count + 1)]);
                    }
                }
            }
            // Nothing outside the first axes varies more: the total is bounded by count leading shares.
            let total: f64 = x.iter().map(|v| v * v).sum();
            let share: f64 = (0..count).map(|k| scatter[k * (count + 1)]).sum();
            assert!(share >= total * count as f64 / d as f64 - 1e-9);
        }
        assert!(principal_axes(2, 2, 3, &|i, out| out.fill(i as f64)).is_err());
    }
}
