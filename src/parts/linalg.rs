//! Small dense linear algebra over row-major slices, by `faer`.

use super::real::Real;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A row-major matrix operand: its values and its two lengths as stored, and whether it is used transposed.
#[derive(Clone, Copy)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    transposed: bool,
}

impl<'a, T: Real> Mat<'a, T> {
    /// A `rows x cols` matrix stored row by row.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert!(data.len() >= rows * cols, "matrix of {rows} x {cols} over {} values", data.len());
        Mat { data, rows, cols, transposed: false }
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Self {
        Mat { transposed: !self.transposed, ..self }
    }

    fn view(&self) -> MatRef<'a, T> {
        let m = MatRef::from_row_major_slice(&self.data[..self.rows * self.cols], self.rows, self.cols);
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
