//! Data sets that are made, not measured: for examples, tests and benchmarks. Same seed, same data, for
//! any number of threads.

use std::f64::consts::PI;
use std::io::{self, Write};
use std::sync::Arc;

use ndarray::Array2;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::dataset::{Dataset, Features};
use super::labels::{Label, Labels};
use super::table::Table;
use crate::backend::mapped;
use crate::error::{Error, Result};
use crate::parts::random::{Stream, stream};

/// Two interleaved half circles, n x 2, in random order.
///
/// Class 0: (cos a, sin a) for floor(n/2) values of a, evenly from 0 to pi; class 1: (1 - cos a, 0.5 -
/// sin a) for the others. To each coordinate a draw from N(0, `noise`^2) is added.
///
/// Errors: fewer than two rows, noise that is negative or not finite.
pub fn moons(n: usize, noise: f64, seed: u64) -> Result<Dataset> {
    if n < 2 {
        return Err(Error::parameter("n", format!("got {n}, expected at least 2 rows")));
    }
    check_deviation("noise", noise)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut stream(seed, "moons order", 0));

    let outer = n / 2;
    let mut random = stream(seed, "moons noise", 0);
    let mut points = Array2::zeros((n, 2));
    let mut codes = Vec::with_capacity(n);
    for (position, mut point) in order.into_iter().zip(points.rows_mut()) {
        let inner = position >= outer;
        let (index, count) = if inner { (position - outer, n - outer) } else { (position, outer) };
        let a = PI * index as f64 / (count - 1).max(1) as f64;
        let (x, y) = if inner { (1.0 - a.cos(), 0.5 - a.sin()) } else { (a.cos(), a.sin()) };
        point[0] = x + noise * normal(&mut random);
        point[1] = y + noise * normal(&mut random);
        codes.push(i64::from(inner));
    }
    named(Dataset::new(points, Some(Labels::new(&codes)?))?, "moons")
}

/// Normally distributed clouds, cloud by cloud: `sizes[c]` rows around `centers` row c with standard
/// deviation `deviations[c]` in every direction, of class c.
///
/// Errors: other numbers of sizes, centres and deviations, no row at all, a centre that is not finite,
/// a deviation that is negative or not finite.
pub fn blobs(
    sizes: &[usize],
    centers: &Array2<f64>,
    deviations: &[f64],
    seed: u64,
) -> Result<Dataset> {
    let classes = centers.nrows();
    for (what, got) in [("sizes", sizes.len()), ("deviations", deviations.len())] {
        if got != classes {
            return Err(Error::shape(what, format!("{classes} (one for each centre)"), got));
        }
    }
    Features::from(centers.view()).check_finite("centers")?;
    for &deviation in deviations {
        check_deviation("deviations", deviation)?;
    }

    let (n, d) = (sizes.iter().sum(), centers.ncols());
    let mut points = Array2::zeros((n, d));
    let mut codes = Vec::with_capacity(n);
    let mut rows = points.rows_mut().into_iter();
    for (class, ((&size, center), &deviation)) in
        sizes.iter().zip(centers.rows()).zip(deviations).enumerate()
    {
        let mut random = stream(seed, "blobs", class as u64);
        for mut row in rows.by_ref().take(size) {
            for (x, c) in row.iter_mut().zip(center) {
                *x = c + deviation * normal(&mut random);
            }
            codes.push(class as i64);
        }
    }
    named(Dataset::new(points, Some(Labels::new(&codes)?))?, "blobs")
}

/// `classes` normally distributed clouds of deviation 1 in `f32`, for benchmarks: centres are drawn from
/// N(0, 3^2) in every coordinate; row i is of class i mod `classes`.
///
/// Errors: no row, no column, no class, more classes than rows.
pub fn gaussian_blobs(n: usize, d: usize, classes: usize, seed: u64) -> Result<Dataset> {
    let clouds = Clouds::new(n, d, classes, seed)?;
    let mut points = Array2::<f32>::zeros((n, d));
    clouds.fill(0, points.as_slice_mut().expect("just made, row by row"));
    named(Dataset::new(points, Some(clouds.labels()))?, "blobs")
}

/// The same rows in a mapped file without a name, in the system's folder for temporary files: they are never whole in memory (unless that
/// folder is memory itself), and the file is gone with the data set.
///
/// Errors: those of [`gaussian_blobs`], and [`Error::Io`] where the file cannot be written.
pub fn gaussian_blobs_mapped(n: usize, d: usize, classes: usize, seed: u64) -> Result<Dataset> {
    let clouds = Clouds::new(n, d, classes, seed)?;
    let file = clouds.write().and_then(|file| mapped::map(&file));
    let file = file.map_err(|source| Error::io(&std::env::temp_dir(), source))?;
    let points = Table::mapped(Arc::new(file), 0, n, d).map_err(Error::data)?;
    named(Dataset::new(Features::F32(points), Some(clouds.labels()))?, "blobs")
}

/// The rows of [`gaussian_blobs`]; those of a block follow from its number alone.
struct Clouds {
    rows: usize,
    centers: Array2<f64>,
    seed: u64,
}

impl Clouds {
    const BLOCK_ROWS: usize = 1024;

    fn new(n: usize, d: usize, classes: usize, seed: u64) -> Result<Self> {
        const SPREAD: f64 = 3.0;
        if n == 0 || d == 0 {
            return Err(Error::shape(
                "blobs",
                "at least one row and one column",
                format!("({n}, {d})"),
            ));
        }
        if classes == 0 || classes > n {
            let reason = format!("got {classes}, expected 1 to {n}, the number of rows");
            return Err(Error::parameter("classes", reason));
        }
        let mut random = stream(seed, "gaussian_blobs centres", 0);
        let centers = Array2::from_shape_simple_fn((classes, d), || SPREAD * normal(&mut random));
        Ok(Clouds { rows: n, centers, seed })
    }

    /// Fills whole rows, from the block of that number on.
    fn fill(&self, first_block: usize, values: &mut [f32]) {
        let (classes, d) = self.centers.dim();
        values.par_chunks_mut(Self::BLOCK_ROWS * d).enumerate().for_each(|(block, values)| {
            let block = first_block + block;
            let mut random = stream(self.seed, "gaussian_blobs", block as u64);
            for (row, values) in values.chunks_mut(d).enumerate() {
                let class = (block * Self::BLOCK_ROWS + row) % classes;
                for (x, c) in values.iter_mut().zip(self.centers.row(class)) {
                    *x = (c + normal(&mut random)) as f32;
                }
            }
        });
    }

    /// All rows in a file, some blocks at a time.
    fn write(&self) -> io::Result<std::fs::File> {
        let (d, together) = (self.centers.ncols(), rayon::current_num_threads());
        let mut file = tempfile::tempfile()?;
        let mut values = vec![0.0f32; Self::BLOCK_ROWS.min(self.rows) * together * d];
        for first_block in (0..self.rows.div_ceil(Self::BLOCK_ROWS)).step_by(together) {
            let left = self.rows - first_block * Self::BLOCK_ROWS;
            let values = &mut values[..left.min(Self::BLOCK_ROWS * together) * d];
            self.fill(first_block, values);
            file.write_all(bytemuck::cast_slice(values))?;
        }
        Ok(file)
    }

    fn labels(&self) -> Labels {
        let classes = self.centers.nrows();
        Labels {
            classes: (0..classes as i64).map(Label::Int).collect(),
            codes: (0..self.rows).map(|row| (row % classes) as u32).collect(),
        }
    }
}

fn normal(random: &mut Stream) -> f64 {
    StandardNormal.sample(random)
}

fn named(mut dataset: Dataset, name: &str) -> Result<Dataset> {
    dataset.source = name.to_string();
    Ok(dataset)
}

fn check_deviation(name: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::parameter(name, format!("got {value}, expected a finite number >= 0")))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn rows(dataset: &Dataset) -> Vec<(Vec<f64>, u32)> {
        let codes = &dataset.labels.as_ref().unwrap().codes;
        (0..dataset.rows())
            .map(|i| {
                let mut row = vec![0.0; dataset.columns()];
                dataset.features.row_into(i, &mut row);
                (row, codes[i])
            })
            .collect()
    }

    #[test]
    fn moons_without_noise_lie_on_their_circles() {
        let dataset = moons(51, 0.0, 3).unwrap();
        assert_eq!(dataset.labels.as_ref().unwrap().counts(), [25, 26]);
        for (p, class) in rows(&dataset) {
            // Class 0: the upper half of the unit circle; class 1: the lower half around (1, 0.5).
            let (x, y) = if class == 0 { (p[0], p[1]) } else { (1.0 - p[0], 0.5 - p[1]) };
            assert!((x * x + y * y - 1.0).abs() < 1e-12 && y > -1e-12, "{p:?} of class {class}");
        }
        assert!(!dataset.labels.unwrap().codes.is_sorted(), "rows are in random order");
        assert!(moons(2, 0.0, 0).is_ok());
    }

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let clean = rows(&moons(4000, 0.0, 9).unwrap());
        let noisy = rows(&moons(4000, 0.3, 9).unwrap());
        // The order and the angles are the same, so the difference is the noise.
        let squares: f64 = clean
            .iter()
            .zip(&noisy)
            .flat_map(|(c, n)| [c.0[0] - n.0[0], c.0[1] - n.0[1]])
            .map(|e| e * e)
            .sum();
        let deviation = (squares / 8000.0).sqrt();
        // The standard error of a deviation is sigma / sqrt(2 m) = 0.0024; five of them.
        assert!((deviation - 0.3).abs() < 0.012, "{deviation}");
    }

    #[test]
    fn blobs_are_where_they_should_be() {
        let dataset =
            blobs(&[2000, 1000], &array![[0.0, 0.0], [20.0, -20.0]], &[1.2, 0.0], 4).unwrap();
        let labels = dataset.labels.as_ref().unwrap();
        assert_eq!(labels.counts(), [2000, 1000]);
        assert!(labels.codes.is_sorted());
        let first = dataset.select(&(0..2000).collect::<Vec<_>>());
        // Five standard errors of the mean, 1.2 / sqrt(2000).
        assert!(first.features.column_means().iter().all(|m| m.abs() < 0.135));
        assert!(rows(&dataset)[2000..].iter().all(|(p, _)| p == &[20.0, -20.0]));
    }

    #[test]
    fn benchmark_data_is_the_same_for_any_number_of_threads() {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| gaussian_blobs(5000, 3, 4, 1).unwrap())
        };
        let dataset = with(1);
        assert_eq!(dataset, with(3));
        assert_eq!(dataset.labels.unwrap().counts(), [1250; 4]);
        assert_ne!(dataset.features, gaussian_blobs(5000, 3, 4, 2).unwrap().features);
    }

    #[test]
    fn benchmark_data_in_a_file_is_the_same() {
        // Fewer rows than a block, whole blocks, and a rest.
        for rows in [7, 2048, 5000] {
            let mapped = gaussian_blobs_mapped(rows, 3, 4, 1).unwrap();
            assert!(matches!(&mapped.features, Features::F32(table) if table.is_mapped()));
            assert_eq!(mapped, gaussian_blobs(rows, 3, 4, 1).unwrap());
        }
        assert!(gaussian_blobs_mapped(3, 1, 4, 0).is_err());
    }

    #[test]
    fn impossible_sets_are_errors() {
        assert!(moons(1, 0.0, 0).is_err());
        assert!(moons(10, -1.0, 0).is_err());
        assert!(moons(10, f64::NAN, 0).is_err());
        let centers = array![[0.0], [1.0]];
        assert!(blobs(&[1], &centers, &[1.0, 1.0], 0).is_err());
        assert!(blobs(&[1, 1], &centers, &[1.0], 0).is_err());
        assert!(blobs(&[1, 1], &centers, &[1.0, -1.0], 0).is_err());
        assert!(blobs(&[0, 0], &centers, &[1.0, 1.0], 0).is_err());
        assert!(blobs(&[1], &array![[f64::NAN]], &[1.0], 0).is_err());
        for (n, d, classes) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (3, 1, 4)] {
            assert!(gaussian_blobs(n, d, classes, 0).is_err());
        }
    }
}
