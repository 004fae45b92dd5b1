//! What training asks of features: centred rows, how far they reach, and a checksum.

use super::{Dataset, Features};
use crate::parts::real::Real;
use std::ops::Range;

crate::vectorized! {
    fn subtract<T>(out: &mut [T], rows: &[T], centre: &[T]) {
        for (out, rows) in out.chunks_mut(centre.len()).zip(rows.chunks(centre.len())) {
            for ((o, v), c) in out.iter_mut().zip(rows).zip(centre) {
                *o = *v - *c;
            }
        }
    }

    fn convert<T, U: Real>(out: &mut [T], rows: &[U], centre: &[f64]) {
        for (out, rows) in out.chunks_mut(centre.len()).zip(rows.chunks(centre.len())) {
            for ((o, v), c) in out.iter_mut().zip(rows).zip(centre) {
                *o = T::of(v.f64() - *c);
            }
        }
    }
}

impl Features {
    /// The values of those of the rows that there are, if they are stored in `T`.
    pub(crate) fn values<T: Real>(&self, rows: Range<usize>) -> &[T] {
        let [start, end] = [rows.start, rows.end].map(|row| row.min(self.rows()) * self.columns());
        match self {
            Features::F32(a) if size_of::<T>() == 4 => {
                bytemuck::cast_slice(&a.as_slice()[start..end])
            }
            Features::F64(a) if size_of::<T>() == 8 => {
                bytemuck::cast_slice(&a.as_slice()[start..end])
            }
            _ => &[],
        }
    }

    /// Rows from `first` on minus a fixed vector, as many as fit `out` (some whole rows), in its precision. `centre`: that vector in both precisions,
    /// once or several times in a row.
    ///
    /// The difference is taken in the wider of the two precisions, so a row far from 0 keeps its digits. Panics if there are
    /// no such rows.
    pub(crate) fn centred_rows_into<T: Real>(
        &self,
        first: usize,
        (centre, centre_t): (&[f64], &[T]),
        out: &mut [T],
    ) {
        let start = first * self.columns();
        let span = start..start + out.len();
        match self {
            // The fast and usual case: single precision throughout.
            Features::F32(a) if size_of::<T>() == 4 => {
                subtract(out, bytemuck::cast_slice(&a.as_slice()[span]), centre_t);
            }
            Features::F32(a) => convert(out, &a.as_slice()[span], centre),
            Features::F64(a) => convert(out, &a.as_slice()[span], centre),
        }
    }

    /// Largest distance of each column from `centre`.
    pub fn deviations(&self, centre: &[f64]) -> Vec<f64> {
        let mut largest = vec![0.0f64; centre.len()];
        let mut row = vec![0.0f64; centre.len()];
        for i in 0..self.rows() {
            self.row_into(i, &mut row);
            for ((l, v), c) in largest.iter_mut().zip(&row).zip(centre) {
                *l = l.max((v - c).abs());
            }
        }
        largest
    }
}

impl Dataset {
    /// CRC-32 of values, labels and weights, in order: tells whether two data sets are the same.
    pub fn crc32(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        match &self.features {
            Features::F32(a) => a.as_slice().iter().for_each(|v| crc.update(&v.to_le_bytes())),
            Features::F64(a) => a.as_slice().iter().for_each(|v| crc.update(&v.to_le_bytes())),
        }
        if let Some(labels) = &self.labels {
            labels.codes.iter().for_each(|c| crc.update(&c.to_le_bytes()));
            labels.classes.iter().for_each(|c| crc.update(c.to_string().as_bytes()));
        }
        for w in self.weights.iter().flatten() {
            crc.update(&w.to_le_bytes());
        }
        crc.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn rows_far_from_zero_keep_their_digits() {
        let x = Features::from(array![[10_000.001_f64, 1.0], [10_000.003, 3.0]]);
        let centre = [10_000.002, 2.0];
        let mut out = [0.0f32; 2];
        x.centred_rows_into(0, (&centre[..], &centre.map(|c| c as f32)[..]), &mut out);
        assert!((out[0] + 0.001).abs() < 1e-9 && out[1] == -1.0);
        let dev = x.deviations(&centre);
        assert!((dev[0] - 0.001).abs() < 1e-9 && dev[1] == 1.0);
    }

    #[test]
    fn checksums_tell_data_apart() {
        let data = |v: f64, l: i64| {
            let labels = crate::data::Labels::new(&[0i64, l]).unwrap();
            Dataset::new(Features::from(array![[1.0], [v]]), Some(labels)).unwrap().crc32()
        };
        assert_eq!(data(2.0, 1), data(2.0, 1));
        assert_ne!(data(2.0, 1), data(3.0, 1));
        assert_ne!(data(2.0, 1), data(2.0, 0));
    }
}
