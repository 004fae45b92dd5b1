//! Distances of all rows of one matrix to all rows of another.

use super::lanes::{self, Goes, Labelled, Packed};
use crate::error::{Error, Result};
use crate::parts::composition::MetricName;
use crate::parts::metric::{Bent, Inputs, Operand, Scratch, Squares, plain::plain};
use crate::parts::real::Real;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// Values that a thread works on at a time.
const BLOCK: usize = 1 << 17;
/// Bytes of a matrix that no cache keeps.
const LARGE: usize = 32 << 20;
/// Columns from which on most of a row are whole lines of a cache.
const WIDE: usize = 128;

/// The `n x p` distances of the rows of `x` (`n x d`) to those of `w` (`p x d`), on the threads of the surrounding pool.
///
/// The squared Euclidean distance is one matrix product, of rows from which the mean of `w` is subtracted: an error of some units in the last
/// place of `|x|^2 + |w|^2` after that. The other metrics are sums of differences.
///
/// # Errors
/// Matrices of different widths or without columns, and metrics that have a tensor of their own.
pub fn distance_matrix<T: Real>(
    metric: MetricName,
    x: ArrayView2<'_, T>,
    w: ArrayView2<'_, T>,
) -> Result<Array2<T>> {
    let mut distances = Array2::zeros((x.nrows(), w.nrows()));
    distance_matrix_into(metric, x, w, &mut distances)?;
    Ok(distances)
}

/// The same into a matrix that is there: large ones take longer to come by than to fill.
///
/// # Errors
/// Those of [`distance_matrix`], and a matrix that is not `n x p` in the standard layout.
pub fn distance_matrix_into<T: Real>(
    metric: MetricName,
    x: ArrayView2<'_, T>,
    w: ArrayView2<'_, T>,
    distances: &mut Array2<T>,
) -> Result<()> {
    let (n, d, p) = (x.nrows(), x.ncols(), w.nrows());
    if d == 0 || w.ncols() != d {
        let why = format!("rows of {d} features against rows of {}", w.ncols());
        return Err(Error::data(why));
    }
    let shape = distances.dim();
    let distances = distances.as_slice_mut().filter(|_| shape == (n, p));
    let distances = distances.ok_or_else(|| {
        Error::data(format!("{shape:?} distances where a matrix of {n} x {p} row by row is wanted"))
    })?;
    // The cosine is about the origin.
    let centre: Vec<f64> = match metric {
        MetricName::Cosine => vec![0.0; d],
        _ => {
            let mean = |column: ArrayView1<'_, T>| column.iter().map(|v| v.f64()).sum::<f64>();
            w.axis_iter(Axis(1)).map(|column| mean(column) / p.max(1) as f64).collect()
        }
    };
    let centre_t: Vec<T> = centre.iter().map(|c| T::of(*c)).collect();
    let centred = |row: ArrayView1<'_, T>, out: &mut [T]| match row.as_slice() {
        Some(row) => subtract(row, &centre_t, out),
        None => {
            for ((o, v), c) in out.iter_mut().zip(row).zip(&centre_t) {
                *o = *v - *c;
            }
        }
    };
    let mut prototypes = vec![T::zero(); p * d];
    for (row, out) in w.rows().into_iter().zip(prototypes.chunks_exact_mut(d)) {
        centred(row, out);
    }
    let inputs = Inputs {
        d,
        prototypes: &prototypes,
        own: &[],
        learn_prototypes: false,
        learn_own: false,
        operand: Operand::Full,
    };
    let name = metric;
    let metric = plain(name, inputs).ok_or_else(|| {
        let why = "must be one without a tensor of its own for a matrix of distances";
        Error::parameter("metric", why)
    })?;
    if p == 0 {
        return Ok(());
    }
    let rows = (BLOCK / (p + d)).clamp(16, 512);
    let labels = vec![0; p];
    let squares = Squares { w: &prototypes, lam: None, bent: Bent::Not };
    let tiles = (name == MetricName::SquaredEuclidean)
        .then(|| Packed::new(squares, &labels, false))
        .flatten();
    if let (Some(tiles), Some(x)) = (tiles, x.as_slice()) {
        // Whole tiles.
        let rows = rows.next_multiple_of(32);
        let of = vec![0; rows];
        let large = p >= WIDE && size_of_val(&*distances) >= LARGE;
        let goes = if large { Goes::Past } else { Goes::Near };
        distances.par_chunks_mut(rows * p).enumerate().for_each_init(
            lanes::Room::default,
            |room, (i, out)| {
                let count = out.len() / p;
                let x = &x[i * rows * d..][..count * d];
                let of = &of[..count];
                let rows = Labelled {
                    x,
                    of,
                    labels: &labels,
                    ahead: &[],
                    stored: true,
                    centre: &centre_t,
                };
                tiles.squares_of_all(&rows, room, goes, out);
            },
        );
        return Ok(());
    }
    distances.par_chunks_mut(rows * p).enumerate().for_each_init(
        || (Vec::new(), Scratch::default()),
        |(block, scratch), (i, out)| {
            let count = out.len() / p;
            block.resize(count * d, T::zero());
            for (k, row) in block.chunks_exact_mut(d).enumerate() {
                centred(x.row(i * rows + k), row);
            }
            metric.forward(block, out, scratch);
        },
    );
    Ok(())
}

crate::vectorized! {
    fn subtract<T>(row: &[T], centre: &[T], out: &mut [T]) {
        for ((o, v), c) in out.iter_mut().zip(row).zip(centre) {
            *o = *v - *c;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_by_its_definition() {
        let value = |i: usize, j: usize| ((i * 31 + j * 17) % 23) as f64 / 7.0 - 100.0;
        let x = Array2::from_shape_fn((1037, 5), |(i, j)| value(i, j));
        let w = Array2::from_shape_fn((9, 5), |(i, j)| value(i + 3, 2 * j));
        type Of = fn(f64) -> f64;
        let metrics: [(MetricName, Of, Of); 3] = [
            (MetricName::SquaredEuclidean, |e| e * e, |s| s),
            (MetricName::Euclidean, |e| e * e, f64::sqrt),
            (MetricName::Manhattan, f64::abs, |s| s),
        ];
        for (metric, term, last) in metrics {
            let got = distance_matrix(metric, x.view(), w.view()).unwrap();
            for ((i, j), got) in got.indexed_iter() {
                let sum: f64 = x.row(i).iter().zip(w.row(j)).map(|(a, b)| term(a - b)).sum();
                assert!((got - last(sum)).abs() < 1e-12 * (1.0 + sum), "{metric:?} {i} {j}");
            }
        }
        let got = distance_matrix(MetricName::Cosine, x.view(), w.view()).unwrap();
        let (a, b) = (x.row(3), w.row(4));
        let cosine = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
        assert!((got[(3, 4)] - (1.0 - cosine)).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let x = Array2::<f32>::zeros((3, 2));
        for w in [Array2::zeros((3, 3)), Array2::zeros((3, 0))] {
            assert!(distance_matrix(MetricName::Manhattan, x.view(), w.view()).is_err());
        }
        assert!(distance_matrix(MetricName::Omega, x.view(), x.view()).is_err());
        let mut small = Array2::zeros((3, 2));
        let metric = MetricName::Manhattan;
        assert!(distance_matrix_into(metric, x.view(), x.view(), &mut small).is_err());
        let none = Array2::zeros((0, 2));
        let shape = |x: &Array2<f32>, w: &Array2<f32>| {
            distance_matrix(MetricName::SquaredEuclidean, x.view(), w.view()).unwrap().dim()
        };
        assert_eq!((shape(&none, &x), shape(&x, &none)), ((0, 3), (3, 0)));
    }
}
