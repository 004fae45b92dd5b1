//! What every device wants of the matrices it is given.

use crate::{Error, Result};
use ndarray::ArrayView2;
use std::borrow::Cow;

/// Rows `x` (n x dim) and prototypes `w` (p x dim), row-major without gaps.
pub(super) struct Operands<'a> {
    pub x: Cow<'a, [f32]>,
    pub w: Cow<'a, [f32]>,
    pub n: usize,
    pub p: usize,
    pub dim: usize,
}

impl<'a> Operands<'a> {
    /// Copies only what is not row-major already.
    ///
    /// # Errors
    /// [`Error::Shape`] when `x` and `w` differ in columns.
    pub fn new(x: ArrayView2<'a, f32>, w: ArrayView2<'a, f32>) -> Result<Self> {
        let (n, dim) = x.dim();
        if w.ncols() != dim {
            return Err(Error::shape(
                "prototypes",
                format!("{dim} columns, as the data has"),
                w.ncols(),
            ));
        }
        Ok(Operands { n, p: w.nrows(), dim, x: rows(x), w: rows(w) })
    }

    /// Whether there is nothing to compute: every distance, if there is any, is 0.
    pub fn is_empty(&self) -> bool {
        self.n == 0 || self.p == 0 || self.dim == 0
    }
}

fn rows(matrix: ArrayView2<'_, f32>) -> Cow<'_, [f32]> {
    match matrix.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(matrix.iter().copied().collect()),
    }
}
