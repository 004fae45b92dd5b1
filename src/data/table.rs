//! A matrix row by row, in memory of its own or in a file that is mapped.

use memmap2::Mmap;
use ndarray::{Array2, ArrayView2};
use std::fmt::{self, Debug};
use std::sync::Arc;

use crate::parts::real::Real;

/// A matrix that is only read, stored row by row.
///
/// It owns its values, or it is part of a file mapped into memory: pages of the file come when they are read and go
/// when memory is short, and clones share the mapping.
pub struct Table<T> {
    rows: usize,
    columns: usize,
    values: Values<T>,
}

enum Values<T> {
    /// From value `start` on.
    Owned { values: Vec<T>, start: usize },
    /// From byte `start` of the file on.
    Mapped { file: Arc<Mmap>, start: usize },
}

/// Bytes of a line of the cache. Values of a table that owns them begin at a multiple: a short row in two lines takes two reads where one would do, which
/// costs a step of short rows up to a fifth.
const LINE: usize = 64;

impl<T: Real> Values<T> {
    /// Moved within their memory by less than a line.
    fn owned(mut values: Vec<T>) -> Self {
        let count = values.len();
        values.reserve_exact(LINE / size_of::<T>() - 1);
        // (Where that is not to be told, they stay where they are.)
        let start = Some(values.as_ptr().align_offset(LINE)).filter(|s| *s < LINE / size_of::<T>());
        let start = start.unwrap_or(0);
        values.resize(start + count, T::zero());
        values.copy_within(..count, start);
        Values::Owned { values, start }
    }
}

impl<T: Real> Clone for Table<T> {
    fn clone(&self) -> Self {
        let values = match &self.values {
            Values::Owned { values, start } => {
                let mut copy = Vec::with_capacity(values.len() - start + LINE / size_of::<T>());
                copy.extend_from_slice(&values[*start..]);
                Values::owned(copy)
            }
            Values::Mapped { file, start } => Values::Mapped { file: file.clone(), start: *start },
        };
        Table { rows: self.rows, columns: self.columns, values }
    }
}

impl<T: Real> Table<T> {
    /// `rows x columns` values from byte `start` of a mapped file on, in the byte order of this machine.
    ///
    /// Errors, as a reason: the values do not begin at a multiple of their size, or the file is too short.
    pub(crate) fn mapped(
        file: Arc<Mmap>,
        start: usize,
        rows: usize,
        columns: usize,
    ) -> Result<Self, String> {
        let size = size_of::<T>();
        let bytes = rows.checked_mul(columns).and_then(|count| count.checked_mul(size));
        let end = bytes.and_then(|bytes| bytes.checked_add(start));
        if end.is_none_or(|end| end > file.len()) {
            return Err(format!("{rows} x {columns} numbers do not fit in {} bytes", file.len()));
        }
        if !start.is_multiple_of(size) {
            return Err(format!(
                "its numbers begin at byte {start}, which is no multiple of {size}"
            ));
        }
        Ok(Table { rows, columns, values: Values::Mapped { file, start } })
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.columns
    }

    /// Whether the values are in a mapped file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.values, Values::Mapped { .. })
    }

    /// All values, row by row.
    pub fn as_slice(&self) -> &[T] {
        match &self.values {
            Values::Owned { values, start } => &values[*start..],
            Values::Mapped { file, start } => {
                let bytes = self.rows * self.columns * size_of::<T>();
                bytemuck::cast_slice(&file[*start..*start + bytes])
            }
        }
    }

    /// Row `i`. Panics if there is no such row.
    #[inline]
    pub fn row(&self, i: usize) -> &[T] {
        &self.as_slice()[i * self.columns..][..self.columns]
    }

    /// The matrix as an array that is only looked at.
    pub fn view(&self) -> ArrayView2<'_, T> {
        ArrayView2::from_shape((self.rows, self.columns), self.as_slice())
            .expect("as many values as rows times columns")
    }

    /// The matrix as an array of its own; the values of a mapped file are copied.
    pub fn into_array(self) -> Array2<T> {
        match self.values {
            Values::Owned { mut values, start } => {
                values.drain(..start);
                Array2::from_shape_vec((self.rows, self.columns), values)
                    .expect("as many values as rows times columns")
            }
            Values::Mapped { .. } => self.view().to_owned(),
        }
    }
}

impl<T: Real> From<Array2<T>> for Table<T> {
    /// Takes the values when they are stored row by row already: they stay in their memory, moved in it to where a line of the cache begins.
    fn from(array: Array2<T>) -> Self {
        let (rows, columns) = array.dim();
        let plain = array.is_standard_layout();
        let array = if plain { array } else { array.as_standard_layout().into_owned() };
        let count = array.len();
        // An array cut out of a larger one still owns all of it.
        let (mut values, offset) = array.into_raw_vec_and_offset();
        values.drain(..offset.unwrap_or(0));
        values.truncate(count);
        Table { rows, columns, values: Values::owned(values) }
    }
}

impl<T: Real> PartialEq for Table<T> {
    /// Same shape and values, wherever they are.
    fn eq(&self, other: &Self) -> bool {
        (self.rows, self.columns) == (other.rows, other.columns)
            && self.as_slice() == other.as_slice()
    }
}

impl<T: Real> Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An array leaves out most of a large matrix.
        let name = if self.is_mapped() { "Mapped" } else { "Table" };
        f.debug_tuple(name).field(&self.view()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::mapped::map;
    use ndarray::{array, s};
    use std::io::Write;

    /// A mapped file of `bytes`.
    fn file(bytes: &[u8]) -> Arc<Mmap> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(map(&file).unwrap())
    }

    #[test]
    fn arrays_of_every_layout_keep_their_values() {
        let x = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        for array in [
            x.clone(),
            x.clone().reversed_axes(),
            x.clone().slice_move(s![1.., ..]),
            x.clone().slice_move(s![..2, ..]),
            x.clone().slice_move(s![1..2, 1..]),
            x.clone().slice_move(s![..;-1, ..]),
            x.slice_move(s![3.., ..]),
            Array2::zeros((2, 0)),
        ] {
            let table = Table::from(array.clone());
            assert_eq!((table.nrows(), table.ncols()), array.dim());
            assert_eq!(table.view(), array);
            let copy = table.clone();
            assert_eq!(copy, table);
            for table in [&table, &copy] {
                assert!(table.as_slice().as_ptr().cast::<u8>().align_offset(LINE) == 0);
            }
            for (i, row) in array.rows().into_iter().enumerate() {
                assert_eq!(table.row(i), row.to_vec());
            }
            assert_eq!(table.into_array(), array);
        }
    }

    #[test]
    fn a_mapped_table_is_an_owned_one_elsewhere() {
        let x = array![[1.5f32, -2.0], [3.0, 4.0], [f32::MAX, 0.0]];
        let bytes: &[u8] = bytemuck::cast_slice(x.as_slice().unwrap());
        let mapped = Table::<f32>::mapped(file(&[&[9; 12], bytes].concat()), 12, 3, 2).unwrap();
        let owned = Table::from(x.clone());
        assert!(mapped.is_mapped() && !owned.is_mapped());
        assert_eq!(mapped, owned);
        assert_eq!(mapped.row(1), [3.0, 4.0]);
        assert_eq!(mapped.clone().as_slice().as_ptr(), mapped.as_slice().as_ptr(), "shared");
        assert!(format!("{mapped:?}").starts_with("Mapped([[1.5, -2.0],"), "{mapped:?}");
        assert_eq!(mapped.clone().into_array(), x);
        // The same values in another shape are another table.
        let flat = Table::<f32>::mapped(file(bytes), 0, 2, 3).unwrap();
        assert_eq!(flat.as_slice(), mapped.as_slice());
        assert_ne!(flat, mapped);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let bytes = file(&[0; 32]);
        let with = |start, rows, columns| Table::<f64>::mapped(bytes.clone(), start, rows, columns);
        assert!(with(0, 2, 2).is_ok() && with(16, 1, 2).is_ok() && with(32, 0, 2).is_ok());
        for (start, rows, columns, expected) in [
            (8, 2, 2, "2 x 2 numbers do not fit in 32 bytes"),
            (0, usize::MAX, 2, "do not fit"),
            (usize::MAX - 7, 1, 1, "do not fit"),
            (4, 1, 2, "begin at byte 4, which is no multiple of 8"),
        ] {
            let reason = with(start, rows, columns).unwrap_err();
            assert!(reason.contains(expected), "expected '{expected}' in: {reason}");
        }
    }
}
