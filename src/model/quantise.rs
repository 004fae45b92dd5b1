//! Quantisation of trained tensors: smaller files and less memory traffic, some accuracy lost.
//!
//! `float16` and `bfloat16` round every value. `int8` takes one scale a block, s = max|v| / 127, and
//! stores code = round_half_even(v / s); the value is code * s. A block is a whole tensor, or one row of
//! its first axis. Values pass through `f32` first, the precision in which models are used.

use half::{bf16, f16};

use crate::data::stored::{Dtype, StoredTensor};
use crate::error::{Error, Result};
use crate::parts::tensor::Tensor;

/// Largest code; -128 is not used, so that the range is symmetric.
const LARGEST_CODE: f32 = 127.0;

/// How values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// IEEE half precision: 11 significant bits, up to 65504.
    Float16,
    /// The upper half of an `f32`: 8 significant bits, the range of `f32`.
    Bfloat16,
    /// Whole numbers -127..127 times a scale.
    Int8,
}

impl Precision {
    /// The names, as users write them.
    pub const NAMES: [&str; 3] = ["float16", "bfloat16", "int8"];

    /// By name. Error listing the names for any other.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "float16" => Ok(Precision::Float16),
            "bfloat16" => Ok(Precision::Bfloat16),
            "int8" => Ok(Precision::Int8),
            _ => Err(Error::unknown("quantize", name, &Self::NAMES)),
        }
    }

    /// The name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// The stored values of a quantised tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Codes {
    /// Half precision.
    Float16(Vec<f16>),
    /// Brain floating point.
    Bfloat16(Vec<bf16>),
    /// Codes and scales: one scale for the tensor, or one for each row of its first axis.
    Int8 {
        /// Codes, -127..127.
        codes: Vec<i8>,
        /// Scales, >= 0; 0 where every value is 0.
        scales: Vec<f32>,
    },
}

/// A quantised tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantised {
    /// Name of the tensor.
    pub name: String,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// The values.
    pub codes: Codes,
}

impl Quantised {
    /// Quantises a tensor. `per_row` takes one `int8` scale for each row of the first axis of a tensor
    /// with at least two axes; elsewhere one scale serves the whole tensor.
    ///
    /// Errors, naming the tensor: a value that is NaN or infinite; a value too large for the precision;
    /// `int8` where the scale is too small for an `f32` (it would turn the block into zeros); `per_row`
    /// with another precision than `int8`.
    pub fn new(tensor: &Tensor<f64>, precision: Precision, per_row: bool) -> Result<Self> {
        if per_row && precision != Precision::Int8 {
            return Err(Error::parameter(
                "per_row",
                format!("is for int8 only; {} has no scales", precision.name()),
            ));
        }
        let overflow = |value: f32| {
            Error::data(format!(
                "{}: {value} is too large for {}; scale the data or choose another precision",
                tensor.name,
                precision.name()
            ))
        };
        let mut values = Vec::with_capacity(tensor.data.len());
        for &wide in &tensor.data {
            let value = wide as f32;
            if !wide.is_finite() {
                return Err(Error::data(format!("{}: {wide} is not finite", tensor.name)));
            }
            if !value.is_finite() {
                return Err(overflow(value));
            }
            values.push(value);
        }

        let codes = match precision {
            Precision::Float16 => {
                let codes: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
                if let Some(i) = codes.iter().position(|code| !code.is_finite()) {
                    return Err(overflow(values[i]));
                }
                Codes::Float16(codes)
            }
            Precision::Bfloat16 => {
                let codes: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
                if let Some(i) = codes.iter().position(|code| !code.is_finite()) {
                    return Err(overflow(values[i]));
                }
                Codes::Bfloat16(codes)
            }
            Precision::Int8 => {
                let rows = if per_row { scales_per_row(&tensor.shape) } else { 1 };
                let mut codes = Vec::with_capacity(values.len());
                let mut scales = Vec::with_capacity(rows);
                for block in blocks(&values, rows) {
                    let largest = block.iter().fold(0f32, |m, v| m.max(v.abs()));
                    let scale = largest / LARGEST_CODE;
                    if largest > 0.0 && scale < f32::MIN_POSITIVE {
                        return Err(Error::data(format!(
                            "{}: no value exceeds {largest}, too small for an int8 scale; scale the data",
                            tensor.name
                        )));
                    }
                    scales.push(scale);
                    codes.extend(block.iter().map(|&v| code(v, scale)));
                }
                Codes::Int8 { codes, scales }
            }
        };
        Ok(Quantised { name: tensor.name.clone(), shape: tensor.shape.clone(), codes })
    }

    /// How the values are stored.
    pub fn precision(&self) -> Precision {
        match self.codes {
            Codes::Float16(_) => Precision::Float16,
            Codes::Bfloat16(_) => Precision::Bfloat16,
            Codes::Int8 { .. } => Precision::Int8,
        }
    }

    /// The values; each is exactly an `f32`. What the rounding lost stays lost.
    pub fn dequantise(&self) -> Tensor<f64> {
        let data = match &self.codes {
            Codes::Float16(codes) => codes.iter().map(|code| code.to_f64()).collect(),
            Codes::Bfloat16(codes) => codes.iter().map(|code| code.to_f64()).collect(),
            Codes::Int8 { codes, scales } => blocks(codes, scales.len())
                .zip(scales)
                .flat_map(|(block, &scale)| {
                    block.iter().map(move |&c| f64::from(f32::from(c) * scale))
                })
                .collect(),
        };
        Tensor { name: self.name.clone(), shape: self.shape.clone(), data }
    }

    /// The same tensor in another precision, by way of its dequantised values. Errors as
    /// [`Quantised::new`].
    pub fn requantise(&self, precision: Precision, per_row: bool) -> Result<Self> {
        Self::new(&self.dequantise(), precision, per_row)
    }

    /// The codes as they are stored in a file, and the scales that belong in its header (none but for
    /// `int8`).
    pub fn to_stored(&self) -> (StoredTensor, &[f32]) {
        let (dtype, bytes, scales): (_, Vec<u8>, &[f32]) = match &self.codes {
            Codes::Float16(codes) => {
                (Dtype::F16, codes.iter().flat_map(|c| c.to_le_bytes()).collect(), &[])
            }
            Codes::Bfloat16(codes) => {
                (Dtype::BF16, codes.iter().flat_map(|c| c.to_le_bytes()).collect(), &[])
            }
            Codes::Int8 { codes, scales } => {
                (Dtype::I8, codes.iter().flat_map(|c| c.to_le_bytes()).collect(), scales)
            }
        };
        (StoredTensor { dtype, shape: self.shape.clone(), bytes }, scales)
    }

    /// The reverse of [`Quantised::to_stored`]. Errors: an element type that is none of the three, a
    /// number of scales that does not fit, a scale that is negative or not finite.
    pub fn from_stored(name: &str, stored: &StoredTensor, scales: &[f32]) -> Result<Self> {
        let words = || stored.bytes.as_chunks::<2>().0.iter();
        let allowed: &[usize] = match stored.dtype {
            Dtype::I8 => &[1, scales_per_row(&stored.shape)],
            _ => &[0],
        };
        if !allowed.contains(&scales.len()) {
            return Err(Error::shape(
                format!("{name}: scales"),
                format!("{allowed:?}"),
                scales.len(),
            ));
        }
        if let Some(scale) = scales.iter().find(|s| !(s.is_finite() && **s >= 0.0)) {
            return Err(Error::data(format!("{name}: scale {scale} is not a finite number >= 0")));
        }
        let codes = match stored.dtype {
            Dtype::F16 => Codes::Float16(words().map(|&w| f16::from_le_bytes(w)).collect()),
            Dtype::BF16 => Codes::Bfloat16(words().map(|&w| bf16::from_le_bytes(w)).collect()),
            Dtype::I8 => Codes::Int8 {
                codes: stored.bytes.iter().map(|&byte| byte as i8).collect(),
                scales: scales.to_vec(),
            },
            other => {
                return Err(Error::data(format!(
                    "{name}: {other:?} is not a quantised element type"
                )));
            }
        };
        Ok(Quantised { name: name.to_string(), shape: stored.shape.clone(), codes })
    }
}

/// Number of scales with one a row: the length of the first of several axes, otherwise 1.
fn scales_per_row(shape: &[usize]) -> usize {
    if shape.len() > 1 { shape[0] } else { 1 }
}

/// `values` in `rows` equal pieces (empty ones where there is nothing).
fn blocks<T>(values: &[T], rows: usize) -> impl Iterator<Item = &[T]> {
    let length = values.len() / rows.max(1);
    (0..rows).map(move |row| &values[row * length..(row + 1) * length])
}

/// round_half_even(v / s). The quotient can exceed 127 by rounding; the code cannot.
fn code(value: f32, scale: f32) -> i8 {
    if scale == 0.0 {
        return 0;
    }
    (value / scale).round_ties_even().clamp(-LARGEST_CODE, LARGEST_CODE) as i8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tensor(shape: &[usize], data: &[f64]) -> Tensor<f64> {
        Tensor::new("omega", shape, data.to_vec())
    }

    #[test]
    fn int8_by_hand() {
        // max 254, so s = 2; 5 / 2 = 2.5 and 7 / 2 = 3.5 go to the even neighbour.
        let q =
            Quantised::new(&tensor(&[5], &[254.0, 5.0, 7.0, -5.0, 0.9]), Precision::Int8, false);
        let q = q.unwrap();
        assert_eq!(q.codes, Codes::Int8 { codes: vec![127, 2, 4, -2, 0], scales: vec![2.0] });
        assert_eq!(q.dequantise().data, [254.0, 4.0, 8.0, -4.0, 0.0]);
    }

    #[test]
    fn int8_with_a_scale_for_each_row() {
        let t = tensor(&[3, 2], &[127.0, 1.0, 0.0, 0.0, -12.7, 0.1]);
        let Codes::Int8 { codes, scales } =
            Quantised::new(&t, Precision::Int8, true).unwrap().codes
        else {
            panic!()
        };
        assert_eq!(codes, [127, 1, 0, 0, -127, 1]);
        assert_eq!(scales, [1.0, 0.0, 12.7f32 / 127.0]);
        let whole = Quantised::new(&t, Precision::Int8, false).unwrap().dequantise();
        assert_eq!(whole.data[5], 0.0);
    }

    #[test]
    fn small_blocks_are_not_lost() {
        // The reference divides by s + 1e-10, which turns this block into zeros.
        let t = tensor(&[2], &[1e-12, -0.5e-12]);
        let back = Quantised::new(&t, Precision::Int8, false).unwrap().dequantise();
        assert!((back.data[0] / 1e-12 - 1.0).abs() < 1e-6);
        assert!((back.data[1] / -0.5e-12 - 1.0).abs() < 0.01);
    }

    #[test]
    fn half_precisions_round_to_nearest() {
        // f16 has 10 bits behind the point: 2049 is half way and goes to the even 2048.
        let q =
            Quantised::new(&tensor(&[2], &[2049.0, 2051.0]), Precision::Float16, false).unwrap();
        assert_eq!(q.dequantise().data, [2048.0, 2052.0]);
        // bf16 has 7: 257 is half way between 256 and 258.
        let q = Quantised::new(&tensor(&[2], &[257.0, 259.0]), Precision::Bfloat16, false).unwrap();
        assert_eq!(q.dequantise().data, [256.0, 260.0]);
    }

    #[test]
    fn what_does_not_fit_names_the_tensor() {
        let cases = [
            (7e4, Precision::Float16, false),
            (3.4e38, Precision::Bfloat16, false),
            (1e300, Precision::Int8, false),
            (1e-44, Precision::Int8, false),
            (f64::NAN, Precision::Int8, false),
            (f64::INFINITY, Precision::Bfloat16, false),
        ];
        for (value, precision, per_row) in cases {
            let error = Quantised::new(&tensor(&[1], &[value]), precision, per_row).unwrap_err();
            assert!(error.to_string().contains("omega"), "{error}");
        }
        assert!(Quantised::new(&tensor(&[1], &[1.0]), Precision::Float16, true).is_err());
        // The largest that still rounds to a finite half.
        assert!(Quantised::new(&tensor(&[1], &[65519.0]), Precision::Float16, false).is_ok());
    }

    #[test]
    fn requantising_uses_values_not_codes() {
        let q = Quantised::new(&tensor(&[2], &[12.7, 0.04]), Precision::Int8, false).unwrap();
        let again = q.requantise(Precision::Int8, false).unwrap();
        assert_eq!(again.dequantise(), q.dequantise());
        let half = q.requantise(Precision::Float16, false).unwrap();
        assert!((half.dequantise().data[0] - 12.7).abs() < 0.01);
    }

    #[test]
    fn names() {
        for name in Precision::NAMES {
            assert_eq!(Precision::parse(name).unwrap().name(), name);
        }
        let message = Precision::parse("int4").unwrap_err().to_string();
        assert!(message.contains("int8") && message.contains("bfloat16"), "{message}");
    }

    #[test]
    fn wrong_scales_are_refused() {
        let t = tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let q = Quantised::new(&t, Precision::Int8, false).unwrap();
        let (stored, _) = q.to_stored();
        assert!(Quantised::from_stored("w", &stored, &[]).is_err());
        assert!(Quantised::from_stored("w", &stored, &[1.0, 1.0, 1.0]).is_err());
        assert!(Quantised::from_stored("w", &stored, &[f32::NAN]).is_err());
        let wide = StoredTensor::from_f64(&[1], &[1.0]).unwrap();
        assert!(Quantised::from_stored("w", &wide, &[]).is_err());
    }

    proptest! {
        #[test]
        fn int8_is_within_half_a_step_and_files_keep_it(
            data in prop::collection::vec(-1e6f64..1e6, 6),
            per_row: bool,
        ) {
            let t = tensor(&[3, 2], &data);
            let q = Quantised::new(&t, Precision::Int8, per_row).unwrap();
            let back = q.dequantise();
            let Codes::Int8 { scales, .. } = &q.codes else { panic!() };
            for (i, (v, b)) in t.data.iter().zip(&back.data).enumerate() {
                let scale = f64::from(scales[if per_row { i / 2 } else { 0 }]);
                // Half a step, and the rounding of the values to f32.
                prop_assert!((v - b).abs() <= 0.5 * scale * (1.0 + 1e-4) + v.abs() * 1e-6);
            }
            let (stored, scales) = q.to_stored();
            prop_assert_eq!(Quantised::from_stored("omega", &stored, scales).unwrap(), q);
        }
    }
}
