//! Features, labels and weights, checked once.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::labels::Labels;
use super::table::Table;
use crate::error::{Error, Result};
use crate::parts::real::Real;

/// Rows of a block of the parallel loops. Fixed, so that sums do not depend on the number of threads.
const BLOCK_ROWS: usize = 4096;

/// A matrix of features, one row a sample, in one of the two precisions: in memory, or in a file that is mapped. Always stored
/// row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Single precision.
    F32(Table<f32>),
    /// Double precision.
    F64(Table<f64>),
}

/// Runs the same expression for either precision.
macro_rules! either {
    ($features:expr, $table:ident => $body:expr) => {
        match $features {
            Features::F32($table) => $body,
            Features::F64($table) => $body,
        }
    };
}

impl Features {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        either!(self, a => a.nrows())
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        either!(self, a => a.ncols())
    }

    /// Whether they are in a mapped file.
    pub fn is_mapped(&self) -> bool {
        either!(self, a => a.is_mapped())
    }

    /// Copies row `i` to `out`, converted to the precision of `out`.
    /// Panics if there is no such row or `out` is not of length [`Features::columns`].
    pub fn row_into<T: Real>(&self, i: usize, out: &mut [T]) {
        assert_eq!(out.len(), self.columns(), "length of a row");
        either!(self, a => {
            for (o, v) in out.iter_mut().zip(a.row(i)) {
                *o = T::of(v.f64());
            }
        });
    }

    /// Checks that every value is a finite number; `source` (an array or a file) is named in the error
    /// together with the first offending row and column.
    pub fn check_finite(&self, source: &str) -> Result<()> {
        let first = either!(self, a => first_not_finite(a.as_slice(), a.ncols()));
        match first {
            None => Ok(()),
            Some((row, column, value)) => {
                Err(Error::NotFinite { source_name: source.to_string(), row, column, value })
            }
        }
    }

    /// A copy of some rows, in that order. Panics if there is no such row.
    pub fn select(&self, rows: &[usize]) -> Features {
        either!(self, a => a.view().select(Axis(0), rows).into())
    }

    /// The mean of each column, in two passes: `m = sum x / n`, then `m + sum (x - m) / n`, which
    /// removes the rounding error of the first. The order of the sums is fixed.
    pub fn column_means(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.columns()];
        for _pass in 0..2 {
            let rest = self.column_sums(|column, x| x - means[column]);
            for (mean, rest) in means.iter_mut().zip(rest) {
                *mean += rest / self.rows() as f64;
            }
        }
        means
    }

    /// `sum_i f(column, x_i)` for each column: blocks of rows in parallel, their sums added in order.
    pub(crate) fn column_sums(&self, f: impl Fn(usize, f64) -> f64 + Sync) -> Vec<f64> {
        either!(self, a => {
            self.fold_blocks(
                |first, last| {
                    let mut sums = vec![0.0; a.ncols()];
                    for row in (first..last).map(|i| a.row(i)) {
                        for (column, (sum, x)) in sums.iter_mut().zip(row).enumerate() {
                            *sum += f(column, x.f64());
                        }
                    }
                    sums
                },
                |total, block| {
                    for (t, b) in total.iter_mut().zip(block) {
                        *t += b;
                    }
                },
            )
        })
        .unwrap_or_else(|| vec![0.0; self.columns()])
    }

    /// Runs `block` on fixed ranges of rows in parallel and joins the results in the order of the rows.
    pub(crate) fn fold_blocks<A: Send>(
        &self,
        block: impl Fn(usize, usize) -> A + Sync,
        mut join: impl FnMut(&mut A, A),
    ) -> Option<A> {
        let rows = self.rows();
        let blocks: Vec<A> = (0..rows.div_ceil(BLOCK_ROWS))
            .into_par_iter()
            .map(|b| block(b * BLOCK_ROWS, rows.min((b + 1) * BLOCK_ROWS)))
            .collect();
        let mut blocks = blocks.into_iter();
        let mut total = blocks.next()?;
        blocks.for_each(|b| join(&mut total, b));
        Some(total)
    }

    /// The same shape and precision with `f(column, x)` in place of each value, computed in `f64`.
    pub(crate) fn map_columns(&self, f: impl Fn(usize, f64) -> f64 + Sync) -> Features {
        fn run<T: Real>(a: &Table<T>, f: impl Fn(usize, f64) -> f64 + Sync) -> Table<T> {
            let mut out = a.view().to_owned();
            out.as_slice_mut()
                .expect("stored row by row")
                .par_chunks_mut(a.ncols().max(1))
                .for_each(|row| {
                    for (column, x) in row.iter_mut().enumerate() {
                        *x = T::of(f(column, x.f64()));
                    }
                });
            out.into()
        }
        match self {
            Features::F32(a) => Features::F32(run(a, f)),
            Features::F64(a) => Features::F64(run(a, f)),
        }
    }
}

macro_rules! features_from {
    ($element:ty, $variant:ident) => {
        impl From<Array2<$element>> for Features {
            fn from(array: Array2<$element>) -> Self {
                Features::$variant(array.into())
            }
        }

        impl From<ArrayView2<'_, $element>> for Features {
            fn from(array: ArrayView2<'_, $element>) -> Self {
                Features::$variant(array.as_standard_layout().into_owned().into())
            }
        }
    };
}

features_from!(f32, F32);
features_from!(f64, F64);

/// Row, column and value of the first NaN or infinity.
fn first_not_finite<T: Real>(values: &[T], columns: usize) -> Option<(usize, usize, f64)> {
    const CHUNK: usize = 1 << 16;
    let bad = |v: &T| !v.f64().is_finite();
    // No early exit inside a chunk: the loop stays free of branches and is limited by memory alone.
    let chunk = values
        .par_chunks(CHUNK)
        .position_first(|chunk| chunk.iter().fold(false, |any, v| any | bad(v)))?;
    let at = chunk * CHUNK + values[chunk * CHUNK..].iter().position(bad)?;
    Some((at / columns, at % columns, values[at].f64()))
}

/// What a model learns from or is applied to.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The features, n x d.
    pub features: Features,
    /// The class of each row.
    pub labels: Option<Labels>,
    /// Names of the columns; empty when they have none.
    pub feature_names: Vec<String>,
    /// A weight for each row; not all zero, none negative.
    pub weights: Option<Vec<f64>>,
    /// Where it comes from, for messages: a file, or `X`.
    pub source: String,
}

impl Dataset {
    /// A data set from arrays (`X` in messages).
    ///
    /// Errors: no row, no column, a value that is not finite (row and column named), another number of
    /// labels than of rows.
    pub fn new(features: impl Into<Features>, labels: Option<Labels>) -> Result<Self> {
        let dataset = Dataset {
            features: features.into(),
            labels,
            feature_names: Vec::new(),
            weights: None,
            source: "X".to_string(),
        };
        dataset.validate()?;
        Ok(dataset)
    }

    /// With a weight for each row. Errors: another number of weights than of rows, a weight that is
    /// negative or not finite (row named), all weights 0.
    pub fn with_weights(mut self, weights: Vec<f64>) -> Result<Self> {
        self.weights = Some(weights);
        self.validate_weights()?;
        Ok(self)
    }

    /// With names for the columns. Error: another number of names than of columns.
    pub fn with_feature_names(mut self, names: Vec<String>) -> Result<Self> {
        self.feature_names = names;
        self.validate_names()?;
        Ok(self)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.features.rows()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.features.columns()
    }

    /// The name of a column; `feature j` when the columns have no names.
    pub fn feature_name(&self, column: usize) -> String {
        self.feature_names.get(column).cloned().unwrap_or_else(|| format!("feature {column}"))
    }

    /// Everything that [`Dataset::new`] and the `with_` functions check.
    pub fn validate(&self) -> Result<()> {
        let (n, d) = (self.rows(), self.columns());
        if n == 0 || d == 0 {
            return Err(Error::shape(
                &self.source,
                "at least one row and one column",
                format!("({n}, {d})"),
            ));
        }
        if let Some(labels) = &self.labels
            && labels.len() != n
        {
            return Err(self.wrong_length("labels", "one for each row", n, labels.len()));
        }
        self.validate_names()?;
        self.validate_weights()?;
        self.features.check_finite(&self.source)
    }

    fn validate_names(&self) -> Result<()> {
        let (d, given) = (self.columns(), self.feature_names.len());
        if given != 0 && given != d {
            return Err(self.wrong_length("feature names", "one for each column", d, given));
        }
        Ok(())
    }

    fn validate_weights(&self) -> Result<()> {
        let Some(weights) = &self.weights else { return Ok(()) };
        if weights.len() != self.rows() {
            return Err(self.wrong_length(
                "weights",
                "one for each row",
                self.rows(),
                weights.len(),
            ));
        }
        if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return Err(Error::data(format!(
                "{}: weight of row {row}: {} is not a finite number >= 0",
                self.source, weights[row]
            )));
        }
        if weights.iter().all(|&w| w == 0.0) {
            return Err(Error::data(format!("{}: all weights are 0", self.source)));
        }
        Ok(())
    }

    fn wrong_length(&self, what: &str, rule: &str, expected: usize, got: usize) -> Error {
        Error::shape(format!("{}: {what}", self.source), format!("{expected} ({rule})"), got)
    }

    /// Some rows, in that order, with their labels and weights. The classes stay whole.
    /// Panics if there is no such row.
    pub fn select(&self, rows: &[usize]) -> Dataset {
        Dataset {
            features: self.features.select(rows),
            labels: self.labels.as_ref().map(|labels| labels.select(rows)),
            feature_names: self.feature_names.clone(),
            weights: self.weights.as_ref().map(|w| rows.iter().map(|&row| w[row]).collect()),
            source: self.source.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn columns_first_arrays_are_turned() {
        let transposed = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].reversed_axes();
        let features = Features::from(transposed.view());
        assert_eq!((features.rows(), features.columns()), (3, 2));
        let mut row = [0f32; 2];
        features.row_into(1, &mut row);
        assert_eq!(row, [2.0, 5.0]);
        assert_eq!(features, Features::from(transposed));
        assert_eq!(Features::from(array![[1f32]].view()), Features::from(array![[1f32]]));
    }

    #[test]
    fn the_first_bad_value_is_named() {
        let mut array = Array2::<f32>::zeros((200_000, 3));
        array[[150_001, 2]] = f32::INFINITY;
        array[[199_999, 0]] = f32::NAN;
        match Features::from(array).check_finite("train.csv") {
            Err(Error::NotFinite { source_name, row, column, value }) => {
                assert_eq!((source_name.as_str(), row, column), ("train.csv", 150_001, 2));
                assert_eq!(value, f64::INFINITY);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn means_far_from_zero_keep_their_digits() {
        // 1e9 + {0, 0.25, 0.5, 0.75} repeated: the mean is 1e9 + 0.375 exactly.
        let array = Array2::from_shape_fn((10_000, 1), |(i, _)| 1e9 + 0.25 * (i % 4) as f64);
        assert_eq!(Features::from(array).column_means(), [1e9 + 0.375]);
    }

    #[test]
    fn means_do_not_depend_on_the_number_of_threads() {
        let array = Array2::from_shape_fn((20_000, 2), |(i, j)| ((i * 7 + j) as f64).sin());
        let features = Features::from(array);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| features.column_means())
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn wrong_data_sets_are_refused() {
        let x = array![[1.0, 2.0], [3.0, 4.0]];
        let labels = |n: usize| Some(Labels::new(&vec![0i64; n]).unwrap());
        let text = |result: Result<Dataset>| result.unwrap_err().to_string();

        assert!(text(Dataset::new(Array2::<f64>::zeros((0, 2)), None)).contains("(0, 2)"));
        assert!(text(Dataset::new(Array2::<f64>::zeros((2, 0)), None)).contains("(2, 0)"));
        let message = text(Dataset::new(x.clone(), labels(3)));
        assert!(message.contains('2') && message.contains('3'), "{message}");
        let message = text(Dataset::new(array![[1.0, f64::NAN]], None));
        assert!(message.contains("row 0, column 1"), "{message}");

        let good = Dataset::new(x, labels(2)).unwrap();
        assert!(text(good.clone().with_weights(vec![1.0])).contains("weights"));
        assert!(text(good.clone().with_weights(vec![1.0, -1.0])).contains("row 1"));
        assert!(text(good.clone().with_weights(vec![f64::NAN, 1.0])).contains("row 0"));
        assert!(text(good.clone().with_weights(vec![0.0, 0.0])).contains("all weights are 0"));
        assert!(text(good.clone().with_feature_names(vec!["a".into()])).contains("feature names"));

        let chosen = good.with_weights(vec![0.0, 2.0]).unwrap().select(&[1, 1]);
        assert_eq!(chosen.features, Features::from(array![[3.0, 4.0], [3.0, 4.0]]));
        assert_eq!(chosen.weights, Some(vec![2.0, 2.0]));
        assert_eq!(chosen.labels.unwrap().codes, [0, 0]);
    }
}
