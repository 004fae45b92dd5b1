//! Arrays as they lie in files: an element type, a shape, and bytes.

use half::{bf16, f16};

use crate::error::{Error, Result};

/// The element types that files may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 | Dtype::U64 => 8,
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::F16 | Dtype::BF16 | Dtype::I16 | Dtype::U16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// Whether every value of this type is a whole number.
    pub fn is_integer(self) -> bool {
        !matches!(self, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
    }

    /// Whether `f32` holds every value of this type exactly.
    pub fn fits_f32(self) -> bool {
        self.size() <= 2 || self == Dtype::F32
    }
}

/// A dense array: row-major, little-endian, whatever the file it came from used.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    /// Element type.
    pub dtype: Dtype,
    /// Lengths of the axes; `[]` for a scalar.
    pub shape: Vec<usize>,
    /// The values, last axis fastest, `dtype.size()` bytes each.
    pub bytes: Vec<u8>,
}

impl StoredTensor {
    /// An array from its parts. Error if the number of bytes does not fit the shape.
    pub fn new(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Result<Self> {
        match byte_count(dtype, shape) {
            Some(count) if count == bytes.len() => {
                Ok(StoredTensor { dtype, shape: shape.to_vec(), bytes })
            }
            _ => Err(Error::shape(
                "stored tensor",
                format!("{dtype:?} values of shape {shape:?}"),
                format!("{} bytes", bytes.len()),
            )),
        }
    }

    /// `f64` values. Error if their number does not fit the shape (also below).
    pub fn from_f64(shape: &[usize], values: &[f64]) -> Result<Self> {
        Self::new(Dtype::F64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// `f32` values.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Result<Self> {
        Self::new(Dtype::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// `f16` values.
    pub fn from_f16(shape: &[usize], values: &[f16]) -> Result<Self> {
        Self::new(Dtype::F16, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// `bf16` values.
    pub fn from_bf16(shape: &[usize], values: &[bf16]) -> Result<Self> {
        Self::new(Dtype::BF16, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// `i64` values.
    pub fn from_i64(shape: &[usize], values: &[i64]) -> Result<Self> {
        Self::new(Dtype::I64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// `i8` values.
    pub fn from_i8(shape: &[usize], values: &[i8]) -> Result<Self> {
        Self::new(Dtype::I8, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The values as `f64`; 64-bit integers beyond 2^53 are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        let b = &self.bytes;
        match self.dtype {
            Dtype::F64 => map(b, f64::from_le_bytes),
            Dtype::F32 => map(b, |v| f64::from(f32::from_le_bytes(v))),
            Dtype::F16 => map(b, |v| f16::from_le_bytes(v).to_f64()),
            Dtype::BF16 => map(b, |v| bf16::from_le_bytes(v).to_f64()),
            Dtype::I64 => map(b, |v| i64::from_le_bytes(v) as f64),
            Dtype::I32 => map(b, |v| f64::from(i32::from_le_bytes(v))),
            Dtype::I16 => map(b, |v| f64::from(i16::from_le_bytes(v))),
            Dtype::I8 => map(b, |v| f64::from(i8::from_le_bytes(v))),
            Dtype::U64 => map(b, |v| u64::from_le_bytes(v) as f64),
            Dtype::U32 => map(b, |v| f64::from(u32::from_le_bytes(v))),
            Dtype::U16 => map(b, |v| f64::from(u16::from_le_bytes(v))),
            Dtype::U8 => map(b, |[v]| f64::from(v)),
            Dtype::Bool => map(b, |[v]| f64::from(u8::from(v != 0))),
        }
    }

    /// The values as `f32`, rounded where [`Dtype::fits_f32`] says no.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => map(&self.bytes, f32::from_le_bytes),
            Dtype::F16 => map(&self.bytes, |v| f16::from_le_bytes(v).to_f32()),
            Dtype::BF16 => map(&self.bytes, |v| bf16::from_le_bytes(v).to_f32()),
            _ => self.to_f64().into_iter().map(|v| v as f32).collect(),
        }
    }

    /// The values as `i64`. `None` for floating-point types and for `u64` values beyond `i64`.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        let b = &self.bytes;
        Some(match self.dtype {
            Dtype::I64 => map(b, i64::from_le_bytes),
            Dtype::I32 => map(b, |v| i64::from(i32::from_le_bytes(v))),
            Dtype::I16 => map(b, |v| i64::from(i16::from_le_bytes(v))),
            Dtype::I8 => map(b, |v| i64::from(i8::from_le_bytes(v))),
            Dtype::U64 => {
                let values = map(b, u64::from_le_bytes);
                return values.into_iter().map(|v| i64::try_from(v).ok()).collect();
            }
            Dtype::U32 => map(b, |v| i64::from(u32::from_le_bytes(v))),
            Dtype::U16 => map(b, |v| i64::from(u16::from_le_bytes(v))),
            Dtype::U8 => map(b, |[v]| i64::from(v)),
            Dtype::Bool => map(b, |[v]| i64::from(v != 0)),
            Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => return None,
        })
    }
}

/// Bytes that an array takes; `None` when the number does not fit a `usize`.
pub(crate) fn byte_count(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(dtype.size(), |product, &length| product.checked_mul(length))
}

/// Applies `convert` to each group of `N` bytes.
fn map<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_converts_exactly() {
        let cases: [(Dtype, Vec<u8>, f64, Option<i64>); 13] = [
            (Dtype::F64, (-2.5f64).to_le_bytes().to_vec(), -2.5, None),
            (Dtype::F32, 0.1f32.to_le_bytes().to_vec(), f64::from(0.1f32), None),
            (Dtype::F16, vec![0x00, 0x3e], 1.5, None),
            (Dtype::BF16, vec![0xc0, 0x3f], 1.5, None),
            (Dtype::I64, (-3i64).to_le_bytes().to_vec(), -3.0, Some(-3)),
            (Dtype::I32, (-3i32).to_le_bytes().to_vec(), -3.0, Some(-3)),
            (Dtype::I16, (-300i16).to_le_bytes().to_vec(), -300.0, Some(-300)),
            (Dtype::I8, vec![0xff], -1.0, Some(-1)),
            (Dtype::U64, u64::MAX.to_le_bytes().to_vec(), 18446744073709551616.0, None),
            (Dtype::U32, u32::MAX.to_le_bytes().to_vec(), 4294967295.0, Some(4294967295)),
            (Dtype::U16, vec![0xff, 0xff], 65535.0, Some(65535)),
            (Dtype::U8, vec![0xff], 255.0, Some(255)),
            (Dtype::Bool, vec![7], 1.0, Some(1)),
        ];
        for (dtype, bytes, real, whole) in cases {
            let tensor = StoredTensor::new(dtype, &[1], bytes).unwrap();
            assert_eq!(tensor.len(), 1);
            assert_eq!(tensor.to_f64(), [real], "{dtype:?}");
            assert_eq!(tensor.to_f32(), [real as f32], "{dtype:?}");
            assert_eq!(tensor.to_i64(), whole.map(|v| vec![v]), "{dtype:?}");
        }
    }

    #[test]
    fn a_wrong_number_of_bytes_is_an_error() {
        assert!(StoredTensor::new(Dtype::F32, &[2, 2], vec![0; 15]).is_err());
        assert!(StoredTensor::new(Dtype::F64, &[usize::MAX, 2], vec![]).is_err());
        assert!(StoredTensor::new(Dtype::F64, &[], vec![0; 8]).is_ok());
    }
}
