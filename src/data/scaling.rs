//! Transformers learnt from data. One that exists is fitted: there is no unfitted state to misuse.
//!
//! Statistics are in `f64` whatever the precision of the features; results are in the precision of the
//! features.

use faer::Side;
use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};

use super::dataset::Features;
use crate::error::{Error, Result};
use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;

/// (x - mean) / std for each column, with std = sqrt(sum (x - mean)^2 / n); 1 for a constant column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandardScaler {
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Standard deviation of each column, 1 where it is 0.
    pub std: Vec<f64>,
}

impl StandardScaler {
    /// Learns means and deviations in two passes. Errors: no row, a column whose sums overflow.
    pub fn fit(features: &Features) -> Result<Self> {
        let (min, max) = extremes(features)?;
        let mut mean = features.column_means();
        let squares = features.column_sums(|column, x| (x - mean[column]).powi(2));
        let mut std = Vec::with_capacity(mean.len());
        for (column, sum) in squares.into_iter().enumerate() {
            if min[column] == max[column] {
                // The mean of equal values is rounded; its distance to them is no deviation.
                mean[column] = min[column];
                std.push(1.0);
            } else {
                let deviation = (sum / features.rows() as f64).sqrt();
                check_range("standardize", column, deviation)?;
                std.push(if deviation == 0.0 { 1.0 } else { deviation });
            }
        }
        Ok(StandardScaler { mean, std })
    }

    /// (x - mean) / std. Error: another number of columns.
    pub fn transform(&self, features: &Features) -> Result<Features> {
        check_columns(features, self.mean.len())?;
        Ok(features.map_columns(|column, x| (x - self.mean[column]) / self.std[column]))
    }

    /// x std + mean. Error: another number of columns.
    pub fn inverse_transform(&self, features: &Features) -> Result<Features> {
        check_columns(features, self.mean.len())?;
        Ok(features.map_columns(|column, x| x * self.std[column] + self.mean[column]))
    }
}

/// (x - min) / (max - min) for each column; the divisor is 1 for a constant column. New data may fall
/// outside of [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinMaxScaler {
    /// Smallest value of each column.
    pub min: Vec<f64>,
    /// Largest value of each column.
    pub max: Vec<f64>,
}

impl MinMaxScaler {
    /// Learns the extremes. Errors: no row, a column whose range overflows.
    pub fn fit(features: &Features) -> Result<Self> {
        let (min, max) = extremes(features)?;
        for (column, (min, max)) in min.iter().zip(&max).enumerate() {
            check_range("min-max scaling", column, max - min)?;
        }
        Ok(MinMaxScaler { min, max })
    }

    fn range(&self, column: usize) -> f64 {
        let range = self.max[column] - self.min[column];
        if range == 0.0 { 1.0 } else { range }
    }

    /// (x - min) / (max - min). Error: another number of columns.
    pub fn transform(&self, features: &Features) -> Result<Features> {
        check_columns(features, self.min.len())?;
        Ok(features.map_columns(|column, x| (x - self.min[column]) / self.range(column)))
    }

    /// x (max - min) + min. Error: another number of columns.
    pub fn inverse_transform(&self, features: &Features) -> Result<Features> {
        check_columns(features, self.min.len())?;
        Ok(features.map_columns(|column, x| x * self.range(column) + self.min[column]))
    }
}

/// Principal components: (x - mean) V^T with the leading eigenvectors of the covariance
/// sum (x - mean)(x - mean)^T / (n - 1) in the rows of V (Pearson 1901). The largest entry by magnitude
/// of each row (the first on ties) is positive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Components, k x d, by descending variance.
    pub components: Array2<f64>,
    /// Variance along each component.
    pub explained_variance: Vec<f64>,
    /// Share of each component in the variance of all d; 0 if all rows are equal.
    pub explained_variance_ratio: Vec<f64>,
}

impl Pca {
    /// Learns `n_components` components. Errors: `n_components` not in 1..=d, fewer than two rows, a
    /// covariance that overflows.
    pub fn fit(features: &Features, n_components: usize) -> Result<Self> {
        let (n, d) = (features.rows(), features.columns());
        if n_components == 0 || n_components > d {
            return Err(Error::parameter(
                "n_components",
                format!("got {n_components}, expected 1 to {d}, the number of features"),
            ));
        }
        if n < 2 {
            return Err(Error::data(format!("PCA needs at least two rows, got {n}")));
        }
        let mean = features.column_means();
        let covariance = covariance(features, &mean);
        if covariance.iter().any(|c| !c.is_finite()) {
            return Err(Error::data("PCA: the covariance overflows; scale the data"));
        }
        let matrix = faer::MatRef::from_row_major_slice(&covariance, d, d);
        let eigen = matrix
            .self_adjoint_eigen(Side::Lower)
            .map_err(|error| Error::data(format!("PCA: no eigenvalues found ({error:?})")))?;
        // faer sorts ascending. Rounding can push a zero variance below 0.
        let variance = |j: usize| eigen.S()[d - 1 - j].max(0.0);
        let total: f64 = (0..d).map(variance).sum();

        let mut components = Array2::zeros((n_components, d));
        for (j, mut row) in components.rows_mut().into_iter().enumerate() {
            let vector = eigen.U().col(d - 1 - j);
            let mut largest = 0.0f64;
            for (r, v) in row.iter_mut().zip(vector.iter()) {
                *r = *v;
                if v.abs() > largest.abs() {
                    largest = *v;
                }
            }
            if largest < 0.0 {
                row.mapv_inplace(|v| -v);
            }
        }
        let explained_variance: Vec<f64> = (0..n_components).map(variance).collect();
        let share = |v: &f64| if total > 0.0 { v / total } else { 0.0 };
        let explained_variance_ratio = explained_variance.iter().map(share).collect();
        Ok(Pca { mean, components, explained_variance, explained_variance_ratio })
    }

    /// (x - mean) V^T, n x k. Error: another number of columns.
    pub fn transform(&self, features: &Features) -> Result<Features> {
        check_columns(features, self.mean.len())?;
        let (n, d, k) = (features.rows(), self.mean.len(), self.components.nrows());
        let blocks = features.fold_blocks(
            |first, last| {
                let centred = centred(features, &self.mean, first, last);
                let components = self.components.as_standard_layout();
                let v = components.as_slice().expect("standard layout");
                let mut out = vec![0.0; (last - first) * k];
                gemm(
                    &mut out,
                    false,
                    1.0,
                    Mat::new(&centred, last - first, d),
                    Mat::new(v, k, d).t(),
                );
                out
            },
            |all, block| all.extend(block),
        );
        let projected = Array2::from_shape_vec((n, k), blocks.unwrap_or_default())
            .map_err(|error| Error::data(error.to_string()))?;
        Ok(match features {
            Features::F32(_) => Features::from(projected.mapv(|v| v as f32)),
            Features::F64(_) => Features::from(projected),
        })
    }
}

/// Rows `first..last` minus the mean, row by row.
fn centred(features: &Features, mean: &[f64], first: usize, last: usize) -> Vec<f64> {
    fn run<T: Real>(rows: ndarray::ArrayView2<'_, T>, mean: &[f64]) -> Vec<f64> {
        let columns = mean.iter().cycle();
        rows.iter().zip(columns).map(|(x, m)| x.f64() - m).collect()
    }
    match features {
        Features::F32(a) => run(a.view().slice(s![first..last, ..]), mean),
        Features::F64(a) => run(a.view().slice(s![first..last, ..]), mean),
    }
}

/// sum (x - mean)(x - mean)^T / (n - 1), d x d; blocks of rows in a fixed order.
fn covariance(features: &Features, mean: &[f64]) -> Vec<f64> {
    let (n, d) = (features.rows(), features.columns());
    // Few, large pieces: each one holds a d x d sum.
    let pieces = n.div_ceil(4096).min(16);
    let mut total = vec![0.0; d * d];
    let sums: Vec<Vec<f64>> = {
        use rayon::prelude::*;
        (0..pieces)
            .into_par_iter()
            .map(|piece| {
                let (mut at, end) = (piece * n / pieces, (piece + 1) * n / pieces);
                let mut sum = vec![0.0; d * d];
                while at < end {
                    let last = end.min(at + 4096);
                    let rows = centred(features, mean, at, last);
                    let rows = Mat::new(&rows, last - at, d);
                    gemm(&mut sum, true, 1.0, rows.t(), rows);
                    at = last;
                }
                sum
            })
            .collect()
    };
    for sum in sums {
        for (t, s) in total.iter_mut().zip(sum) {
            *t += s;
        }
    }
    total.iter_mut().for_each(|c| *c /= (n - 1) as f64);
    total
}

/// Smallest and largest value of each column.
fn extremes(features: &Features) -> Result<(Vec<f64>, Vec<f64>)> {
    fn run<T: Real>(rows: ndarray::ArrayView2<'_, T>) -> (Vec<f64>, Vec<f64>) {
        let (mut min, mut max) =
            (vec![f64::INFINITY; rows.ncols()], vec![f64::NEG_INFINITY; rows.ncols()]);
        for row in rows.rows() {
            for ((x, min), max) in row.iter().zip(&mut min).zip(&mut max) {
                *min = min.min(x.f64());
                *max = max.max(x.f64());
            }
        }
        (min, max)
    }
    features
        .fold_blocks(
            |first, last| match features {
                Features::F32(a) => run(a.view().slice(s![first..last, ..])),
                Features::F64(a) => run(a.view().slice(s![first..last, ..])),
            },
            |(min, max), (other_min, other_max)| {
                min.iter_mut().zip(other_min).for_each(|(m, o)| *m = m.min(o));
                max.iter_mut().zip(other_max).for_each(|(m, o)| *m = m.max(o));
            },
        )
        .ok_or_else(|| Error::data("scaling needs at least one row"))
}

fn check_range(what: &str, column: usize, width: f64) -> Result<()> {
    if width.is_finite() {
        Ok(())
    } else {
        Err(Error::data(format!(
            "{what}: column {column} is not finite or its values are too far apart"
        )))
    }
}

fn check_columns(features: &Features, expected: usize) -> Result<()> {
    if features.columns() == expected {
        Ok(())
    } else {
        Err(Error::shape("X", format!("{expected} columns"), features.columns()))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn f64s(features: Features) -> Array2<f64> {
        match features {
            Features::F64(a) => a.into_array(),
            Features::F32(a) => a.into_array().mapv(f64::from),
        }
    }

    #[test]
    fn standard_by_hand() {
        // Column 0: mean 3, variance ((-2)^2 + 0 + 2^2) / 3 = 8/3. Column 1 is constant.
        let x = Features::from(array![[1.0, 0.1], [3.0, 0.1], [5.0, 0.1]]);
        let scaler = StandardScaler::fit(&x).unwrap();
        assert_eq!(scaler.mean, [3.0, 0.1]);
        assert_eq!(scaler.std, [(8.0f64 / 3.0).sqrt(), 1.0]);
        let z = scaler.transform(&x).unwrap();
        let edge = 2.0 / (8.0f64 / 3.0).sqrt();
        assert_eq!(z, Features::from(array![[-edge, 0.0], [0.0, 0.0], [edge, 0.0]]));
        let back = f64s(scaler.inverse_transform(&z).unwrap());
        assert!((back - f64s(x)).iter().all(|e| e.abs() < 1e-15));
    }

    #[test]
    fn min_max_by_hand() {
        let x = Features::from(array![[1f32, 7.0], [3.0, 7.0], [5.0, 7.0]]);
        let scaler = MinMaxScaler::fit(&x).unwrap();
        let z = scaler.transform(&x).unwrap();
        assert_eq!(z, Features::from(array![[0f32, 0.0], [0.5, 0.0], [1.0, 0.0]]));
        assert_eq!(scaler.inverse_transform(&z).unwrap(), x);
        let outside = scaler.transform(&Features::from(array![[7.0, 8.0]])).unwrap();
        assert_eq!(outside, Features::from(array![[1.5, 1.0]]));
    }

    #[test]
    fn pca_by_hand() {
        // Points on a line along (3, -4)/5 at distances -1, 0, 1 from (10, 20): variance 1 along it.
        let x = Features::from(array![[9.4, 20.8], [10.0, 20.0], [10.6, 19.2]]);
        let pca = Pca::fit(&x, 2).unwrap();
        // The largest entry, -0.8, is made positive.
        let expected = array![[-0.6, 0.8], [0.8, 0.6]];
        assert!(
            (&pca.components - expected).iter().all(|e| e.abs() < 1e-12),
            "{:?}",
            pca.components
        );
        assert!((pca.explained_variance[0] - 1.0).abs() < 1e-12);
        assert!((pca.explained_variance_ratio[0] - 1.0).abs() < 1e-12);
        let z = f64s(pca.transform(&x).unwrap());
        assert!((z - array![[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]).iter().all(|e| e.abs() < 1e-12));
    }

    #[test]
    fn pca_of_many_rows_keeps_the_total_variance() {
        let x = Array2::from_shape_fn((9000, 3), |(i, j)| ((i * (j + 2)) as f64).sin() + j as f64);
        let features = Features::from(x.view());
        let pca = Pca::fit(&features, 3).unwrap();
        let mean = features.column_means();
        let squares: f64 = features.column_sums(|c, v| (v - mean[c]).powi(2)).iter().sum();
        let total: f64 = pca.explained_variance.iter().sum();
        assert!((total / (squares / 8999.0) - 1.0).abs() < 1e-10);
        // Projections on all components are a rotation: distances stay.
        let z = f64s(pca.transform(&features).unwrap());
        let distance = |a: &Array2<f64>| (&a.row(0) - &a.row(8999)).mapv(|v| v * v).sum();
        assert!((distance(&z) / distance(&x) - 1.0).abs() < 1e-10);
    }

    #[test]
    fn what_cannot_be_learnt_is_an_error() {
        let one = Features::from(array![[1.0, 2.0]]);
        let none = Features::from(Array2::<f64>::zeros((0, 2)));
        let huge = Features::from(array![[f64::MAX], [-f64::MAX]]);
        assert!(StandardScaler::fit(&none).is_err());
        assert!(MinMaxScaler::fit(&none).is_err());
        assert!(StandardScaler::fit(&huge).unwrap_err().to_string().contains("column 0"));
        assert!(MinMaxScaler::fit(&huge).unwrap_err().to_string().contains("column 0"));
        assert!(Pca::fit(&one, 1).unwrap_err().to_string().contains("two rows"));
        for k in [0, 3] {
            let message = Pca::fit(&one, k).unwrap_err().to_string();
            assert!(message.contains("n_components"), "{message}");
        }
        let scaler = StandardScaler::fit(&one).unwrap();
        assert!(scaler.transform(&huge).unwrap_err().to_string().contains("2 columns"));
    }

    #[test]
    fn scalers_go_through_json_without_loss() {
        let x = Features::from(array![[0.1, 2.0], [0.7, 1e-9]]);
        let scaler = StandardScaler::fit(&x).unwrap();
        let json = serde_json::to_string(&scaler).unwrap();
        assert_eq!(serde_json::from_str::<StandardScaler>(&json).unwrap(), scaler);
        let pca = Pca::fit(&x, 1).unwrap();
        let json = serde_json::to_string(&pca).unwrap();
        assert_eq!(serde_json::from_str::<Pca>(&json).unwrap(), pca);
    }
}
