//! NPY, the file format of one NumPy array.
//!
//! A magic number, a version, the length of a text, the text (a Python dictionary with the element type,
//! the order of the axes and the shape), then the elements. Versions 1.0, 2.0 and 3.0 are read.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use super::{Fault, no_matrix, open};
use crate::backend::mapped;
use crate::data::dataset::Features;
use crate::data::stored::{Dtype, StoredTensor};
use crate::data::table::Table;
use crate::error::Result;

/// An array of numbers or of texts, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum NpyArray {
    /// Numbers and truth values.
    Numbers(StoredTensor),
    /// Texts: `<U..` (UTF-32) or `|S..` (UTF-8).
    Texts {
        /// Lengths of the axes.
        shape: Vec<usize>,
        /// The texts, without the NUL characters that fill them up.
        values: Vec<String>,
    },
}

impl NpyArray {
    /// Lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        match self {
            NpyArray::Numbers(tensor) => &tensor.shape,
            NpyArray::Texts { shape, .. } => shape,
        }
    }
}

/// Reads an `.npy` file. Raw two-byte elements (`|V2`) are taken for bfloat16, which NumPy writes so.
pub fn read_npy(path: &Path) -> Result<NpyArray> {
    let file = open(path)?;
    read_file(file).map_err(|fault| fault.at(path))
}

fn read_file(file: File) -> Result<NpyArray, Fault> {
    let bytes = file.metadata()?.len();
    read_array(&mut BufReader::new(file), bytes)
}

/// Maps the matrix of an `.npy` file into memory: nothing but its header is read here, and values when they are looked at.
///
/// The file must not change as long as the features or a clone of them are there: rows would be partly old and partly new, and
/// to read beyond the end of a file that was cut ends the program.
///
/// Errors: those of [`read_npy`] for a damaged file, and [`crate::Error::Format`] for one whose values cannot be used where they
/// are: other numbers than little-endian `f4` and `f8`, columns first, another shape than (rows, columns), values that do not begin
/// at a multiple of their size.
pub fn map_npy(path: &Path) -> Result<Features> {
    let file = open(path)?;
    map_file(&file).map_err(|fault| fault.at(path))
}

fn map_file(file: &File) -> Result<Features, Fault> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(cannot_map("it is no regular file", "read it without mmap"));
    }
    let header = read_header(&mut BufReader::new(file))?;
    let (element, big_endian) = Element::parse(&header.descr)?;
    let [rows, columns] = header.shape[..] else {
        return Err(Fault::Wrong(no_matrix("the array", &header.shape)));
    };
    let Element::Number(dtype @ (Dtype::F32 | Dtype::F64)) = element else {
        return Err(cannot_map(
            format!("its elements are of type '{}'", header.descr),
            "save x.astype('f4') or x.astype('f8'), or read it without mmap",
        ));
    };
    if header.fortran_order {
        return Err(cannot_map(
            "its columns come first (Fortran order)",
            "save numpy.ascontiguousarray(x), or read it without mmap",
        ));
    }
    if big_endian != cfg!(target_endian = "big") {
        return Err(cannot_map(
            format!("the bytes of its numbers ('{}') are in the other order", header.descr),
            "save x.astype(x.dtype.newbyteorder('=')), or read it without mmap",
        ));
    }
    let expected = header.data_len(dtype.size())?;
    let found = metadata.len().saturating_sub(header.data_start as u64);
    if found < expected as u64 {
        return Err(header.truncated(expected, found));
    }
    if found > expected as u64 {
        return Err(header.too_long());
    }
    let (file, start) = (Arc::new(mapped::map(file)?), header.data_start);
    let features = match dtype {
        Dtype::F32 => Table::mapped(file, start, rows, columns).map(Features::F32),
        _ => Table::mapped(file, start, rows, columns).map(Features::F64),
    };
    features.map_err(|why| {
        cannot_map(why, "save it again with NumPy, which aligns them, or read it without mmap")
    })
}

fn cannot_map(why: impl std::fmt::Display, instead: &str) -> Fault {
    Fault::Wrong(format!("cannot be mapped: {why}; {instead}"))
}

/// Reads an array to the end of `input`, which holds about `bytes` bytes (only a hint for memory).
pub(super) fn read_array(input: &mut impl Read, bytes: u64) -> Result<NpyArray, Fault> {
    let header = read_header(input)?;
    let (element, big_endian) = Element::parse(&header.descr)?;
    let size = element.size();
    let expected = header.data_len(size)?;

    // The shape may be damaged: memory grows with what is really there.
    let mut data = Vec::with_capacity(expected.min(usize::try_from(bytes).unwrap_or(0)));
    input.take(expected as u64).read_to_end(&mut data)?;
    if data.len() < expected {
        return Err(header.truncated(expected, data.len() as u64));
    }
    if input.read(&mut [0])? != 0 {
        return Err(header.too_long());
    }

    if header.fortran_order {
        data = rows_first(&data, &header.shape, size);
    }
    if big_endian {
        let word = if let Element::Utf32(_) = element { 4 } else { size };
        data.chunks_exact_mut(word).for_each(<[u8]>::reverse);
    }
    let texts = |values: Result<Vec<String>, String>| {
        Ok(NpyArray::Texts { shape: header.shape.clone(), values: values? })
    };
    match element {
        Element::Number(dtype) => {
            Ok(NpyArray::Numbers(StoredTensor { dtype, shape: header.shape, bytes: data }))
        }
        Element::Utf32(_) => texts(data.chunks_exact(size).enumerate().map(utf32).collect()),
        Element::Bytes(_) => texts(data.chunks_exact(size).enumerate().map(utf8).collect()),
    }
}

fn utf32((index, bytes): (usize, &[u8])) -> Result<String, String> {
    let text: Option<String> =
        bytes.as_chunks::<4>().0.iter().map(|&b| char::from_u32(u32::from_le_bytes(b))).collect();
    let text = text.ok_or_else(|| format!("element {index} is not valid UTF-32 text"))?;
    Ok(text.trim_end_matches('\0').to_string())
}

fn utf8((index, bytes): (usize, &[u8])) -> Result<String, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| format!("element {index} is not valid UTF-8 text"))?;
    Ok(text.trim_end_matches('\0').to_string())
}

/// The elements of an array with the first axis fastest, in the order with the last axis fastest.
fn rows_first(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut at = vec![0; shape.len()];
    while out.len() < data.len() {
        let (mut offset, mut stride) = (0, 1);
        for (index, length) in at.iter().zip(shape) {
            offset += index * stride;
            stride *= length;
        }
        out.extend_from_slice(&data[offset * size..(offset + 1) * size]);
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    out
}

/// What an element is; the widths are in characters and bytes.
#[derive(Clone, Copy)]
enum Element {
    Number(Dtype),
    Utf32(usize),
    Bytes(usize),
}

impl Element {
    /// The element type and whether it is big-endian, from NumPy's description, e.g. `<f8`.
    fn parse(descr: &str) -> Result<(Element, bool), String> {
        let unknown = || {
            let reason = if descr.contains('O') {
                "Python objects, which only Python can read; save numbers or fixed-width texts"
            } else {
                "expected real numbers, truth values or texts"
            };
            format!("has elements of type '{descr}': {reason}")
        };
        let (order, kind) = match descr.split_at_checked(1) {
            Some((order @ ("<" | ">" | "|" | "="), kind)) => (order, kind),
            _ => return Err(unknown()),
        };
        let number = match kind {
            "f8" => Some(Dtype::F64),
            "f4" => Some(Dtype::F32),
            "f2" => Some(Dtype::F16),
            "V2" => Some(Dtype::BF16),
            "i8" => Some(Dtype::I64),
            "i4" => Some(Dtype::I32),
            "i2" => Some(Dtype::I16),
            "i1" => Some(Dtype::I8),
            "u8" => Some(Dtype::U64),
            "u4" => Some(Dtype::U32),
            "u2" => Some(Dtype::U16),
            "u1" => Some(Dtype::U8),
            "b1" => Some(Dtype::Bool),
            _ => None,
        };
        let element = match (number, kind.split_at_checked(1)) {
            (Some(dtype), _) => Element::Number(dtype),
            (None, Some((letter @ ("U" | "S"), width))) => {
                // Text of width 0 takes no bytes, so nothing would limit the number of elements.
                let width = width.parse::<u32>().ok().filter(|&w| w > 0).ok_or_else(unknown)?;
                if letter == "U" {
                    Element::Utf32(width as usize)
                } else {
                    Element::Bytes(width as usize)
                }
            }
            _ => return Err(unknown()),
        };
        Ok((element, order == ">"))
    }

    fn size(self) -> usize {
        match self {
            Element::Number(dtype) => dtype.size(),
            Element::Utf32(width) => 4 * width,
            Element::Bytes(width) => width,
        }
    }
}

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
    /// The byte of the file at which the elements begin.
    data_start: usize,
}

impl Header {
    /// Bytes that the elements take, `size` each.
    fn data_len(&self, size: usize) -> Result<usize, String> {
        self.shape
            .iter()
            .try_fold(size, |product, &length| product.checked_mul(length))
            .ok_or_else(|| format!("the shape {:?} is too large", self.shape))
    }

    fn truncated(&self, expected: usize, found: u64) -> Fault {
        Fault::Wrong(format!(
            "is truncated: {expected} bytes of data expected for shape {:?}, {found} found",
            self.shape
        ))
    }

    fn too_long(&self) -> Fault {
        Fault::Wrong(format!("has more bytes than an array of shape {:?} takes", self.shape))
    }
}

fn read_header(input: &mut impl Read) -> Result<Header, Fault> {
    const LONGEST: usize = 1 << 16;
    let mut start = [0; 8];
    input.read_exact(&mut start).map_err(|error| match Fault::from(error) {
        Fault::Wrong(_) => Fault::Wrong("is not an .npy file: too short".to_string()),
        other => other,
    })?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(Fault::Wrong(
            "is not an .npy file: it does not begin with '\\x93NUMPY'".into(),
        ));
    }
    let (text_start, length) = match start[6..] {
        [1, 0] => {
            let mut bytes = [0; 2];
            input.read_exact(&mut bytes)?;
            (10, usize::from(u16::from_le_bytes(bytes)))
        }
        [2 | 3, 0] => {
            let mut bytes = [0; 4];
            input.read_exact(&mut bytes)?;
            (12, u32::from_le_bytes(bytes) as usize)
        }
        _ => {
            return Err(Fault::Wrong(format!(
                "has .npy format version {}.{}; 1.0, 2.0 and 3.0 are read",
                start[6], start[7]
            )));
        }
    };
    if length > LONGEST {
        // Only descriptions of structured elements get this long.
        return Err(Fault::Wrong(format!(
            "has a header of {length} bytes; at most {LONGEST} are read"
        )));
    }
    let mut text = vec![0; length];
    input.read_exact(&mut text)?;
    let text = std::str::from_utf8(&text)
        .map_err(|_| Fault::Wrong("has a header that is not text".to_string()))?;
    let header = Literal { rest: text }.header(text_start + length);
    Ok(header.map_err(|what| format!("has a wrong header: {what}"))?)
}

/// The part of Python's notation that headers of plain arrays use:
/// `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn header(mut self, data_start: usize) -> Result<Header, String> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.skip("}") {
            let key = self.string()?;
            self.expect(":")?;
            match key {
                "descr" => descr = Some(self.string().map_err(|_| STRUCTURED)?.to_string()),
                "fortran_order" => fortran_order = Some(self.truth()?),
                "shape" => shape = Some(self.lengths()?),
                _ => return Err(format!("unknown key '{key}'")),
            }
            if !self.skip(",") {
                self.expect("}")?;
                break;
            }
        }
        if !self.rest.trim().is_empty() {
            return Err("text after the closing brace".to_string());
        }
        Ok(Header {
            descr: descr.ok_or("no 'descr'")?,
            fortran_order: fortran_order.ok_or("no 'fortran_order'")?,
            shape: shape.ok_or("no 'shape'")?,
            data_start,
        })
    }

    /// Takes `token` if it comes next.
    fn skip(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.skip(token) {
            return Ok(());
        }
        let found: String = self.rest.trim_start().chars().take(12).collect();
        Err(format!("expected '{token}', found '{found}'"))
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.skip("\"") { '"' } else { self.expect("'").map(|()| '\'')? };
        let (text, rest) = self.rest.split_once(quote).ok_or("a text is not closed")?;
        self.rest = rest;
        Ok(text)
    }

    fn truth(&mut self) -> Result<bool, String> {
        if self.skip("True") { Ok(true) } else { self.expect("False").map(|()| false) }
    }

    fn lengths(&mut self) -> Result<Vec<usize>, String> {
        let mut lengths = Vec::new();
        self.expect("(")?;
        while !self.skip(")") {
            let rest = self.rest.trim_start();
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let length = rest[..digits].parse().map_err(|_| "a length of the shape is wrong")?;
            lengths.push(length);
            // Python 2 wrote long integers as `3L`.
            self.rest = rest[digits..].trim_start_matches('L');
            if !self.skip(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(lengths)
    }
}

const STRUCTURED: &str = "structured elements; expected numbers, truth values or texts";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::write::{npy_bytes, npy_bytes_of_integers, npy_bytes_of_texts};

    fn parse(bytes: &[u8]) -> Result<NpyArray, String> {
        read_array(&mut &bytes[..], bytes.len() as u64).map_err(|fault| match fault {
            Fault::Wrong(reason) => reason,
            Fault::Io(error) => panic!("{error}"),
        })
    }

    fn file(dict: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((dict.len() as u16).to_le_bytes());
        bytes.extend(dict.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn what_we_write_we_read() {
        let matrix = ndarray::array![[0.1, -2.0, 3.0], [4.0, 5.0, 1e300]];
        let NpyArray::Numbers(read) = parse(&npy_bytes(matrix.view())).unwrap() else { panic!() };
        assert_eq!((read.dtype, &read.shape[..]), (Dtype::F64, &[2, 3][..]));
        assert_eq!(read.to_f64(), matrix.as_slice().unwrap());
        // A view with the columns first is written row by row all the same.
        let NpyArray::Numbers(read) = parse(&npy_bytes(matrix.t())).unwrap() else { panic!() };
        assert_eq!(read.to_f64(), [0.1, 4.0, -2.0, 5.0, 3.0, 1e300]);

        let single = matrix.mapv(|v| v as f32);
        let NpyArray::Numbers(read) = parse(&npy_bytes(single.view())).unwrap() else { panic!() };
        assert_eq!((read.dtype, read.to_f32()[0]), (Dtype::F32, 0.1));

        let NpyArray::Numbers(read) = parse(&npy_bytes_of_integers(&[1, -5])).unwrap() else {
            panic!()
        };
        assert_eq!((&read.shape[..], read.to_i64().unwrap()), (&[2][..], vec![1, -5]));

        let texts = ["", "a", "äöü∑𝄞"];
        let NpyArray::Texts { shape, values } = parse(&npy_bytes_of_texts(&texts)).unwrap() else {
            panic!()
        };
        assert_eq!((&shape[..], &values[..]), (&[3][..], &texts.map(String::from)[..]));
    }

    fn mapped(bytes: &[u8]) -> Result<Features, String> {
        use std::io::{Seek, Write};
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        map_file(&file).map_err(|fault| match fault {
            Fault::Wrong(reason) => reason,
            Fault::Io(error) => panic!("{error}"),
        })
    }

    #[test]
    fn a_mapped_matrix_is_the_one_that_is_read() {
        let double = ndarray::array![[0.1, -2.0, 3.0], [4.0, 5.0, 1e300]];
        let single = double.mapv(|v| v as f32);
        assert_eq!(mapped(&npy_bytes(double.view())).unwrap(), Features::from(double));
        let bytes = npy_bytes(single.view());
        assert_eq!(mapped(&bytes).unwrap(), Features::from(single.clone()));
        // A header of another length and version; no row at all, which is for others to refuse.
        let data: &[u8] = bytemuck::cast_slice(single.as_slice().unwrap());
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}   ";
        let version_2 = [b"\x93NUMPY\x02\x00", &60u32.to_le_bytes()[..], text.as_bytes(), data];
        assert_eq!(mapped(&version_2.concat()).unwrap(), Features::from(single));
        let none = ndarray::Array2::<f64>::zeros((0, 4));
        assert_eq!(mapped(&npy_bytes(none.view())).unwrap(), Features::from(none));
    }

    #[test]
    fn what_cannot_be_mapped_is_told_why() {
        // 10 bytes and this text: values begin at byte 72.
        let plain = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1)}     ";
        let data = [0; 16];
        assert!(mapped(&file(plain, &data)).is_ok());
        let with = |from: &str, to: &str| file(&plain.replace(from, to), &data);
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (b"a,b\n1,2\n3,4\n".to_vec(), "NUMPY"),
            (
                file(plain, &data[1..]),
                "is truncated: 16 bytes of data expected for shape [2, 1], 15",
            ),
            (file(plain, &[0; 17]), "more bytes"),
            (with("(2, 1)", "(18446744073709551615, 2)"), "too large"),
            (with("(2, 1)", "(1000000000000, 1)"), "truncated"),
            (with("(2, 1)", "(2,)  "), "shape [2], expected (rows, columns)"),
            (with("(2, 1)", "(2,1,1)"), "shape [2, 1, 1], expected (rows, columns)"),
            (with("<f8", "<f2"), "elements are of type '<f2'; save x.astype('f4')"),
            (with("<f8", "<i8"), "elements are of type '<i8'; save x.astype('f4')"),
            (with("<f8", "<U2"), "elements are of type '<U2'"),
            (with("<f8", "|O"), "Python objects"),
            (with("False", "True "), "numpy.ascontiguousarray(x), or read it without mmap"),
            (with("<f8", ">f8"), "newbyteorder"),
            (
                with("False, ", "False,"),
                "begin at byte 71, which is no multiple of 8; save it again",
            ),
        ];
        for (bytes, expected) in cases {
            let reason = mapped(&bytes).unwrap_err();
            assert!(reason.contains(expected), "expected '{expected}' in: {reason}");
        }
    }

    #[test]
    fn columns_first_and_big_endian_are_turned() {
        // 2 x 3 with the first axis fastest: columns (0,1), (2,3), (4,5).
        let dict = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }";
        let bytes = file(dict, &[0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 1, 5]);
        let NpyArray::Numbers(read) = parse(&bytes).unwrap() else { panic!() };
        assert_eq!(read.to_i64().unwrap(), [0, 2, 4, 1, 3, 261]);
    }

    #[test]
    fn damaged_and_foreign_files_are_refused() {
        let plain = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }";
        assert!(parse(&file(plain, &[0; 16])).is_ok());
        let with = |from: &str, to: &str| file(&plain.replace(from, to), &[0; 16]);
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (vec![], "too short"),
            (b"a,b\n1,2\n3,4\n".to_vec(), "NUMPY"),
            (b"\x93NUMPY\x07\x00\x00\x00".to_vec(), "version 7.0"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "header"),
            (b"\x93NUMPY\x01\x00\xff\x00{".to_vec(), "truncated"),
            (file(plain, &[0; 15]), "truncated"),
            (file(plain, &[0; 17]), "more bytes"),
            (with("(2,)", "(18446744073709551615, 2)"), "too large"),
            (with("(2,)", "(99999999999999999999,)"), "shape"),
            (with("(2,)", "(-2,)"), "shape"),
            (with("(2,)", "(1000000000000,)"), "truncated"),
            (with("(2,)", "((((((((((2,)"), "wrong header"),
            (with("'<f8'", "'|O'"), "Python objects"),
            (with("'<f8'", "'<c16'"), "'<c16'"),
            (with("'<f8'", "'<U0'"), "'<U0'"),
            (with("'<f8'", "'ä'"), "'ä'"),
            (with("'<f8'", "''"), "type ''"),
            (with("'<f8'", "[('a', '<f8')]"), "structured"),
            (with("'shape'", "'form'"), "unknown key 'form'"),
            (with("'shape': (2,), ", ""), "no 'shape'"),
            (with("}", ""), "expected"),
            (with("}", "} x"), "after the closing brace"),
            (file("{'descr': '<U1', 'fortran_order': False, 'shape': ()}", &[0xff; 4]), "UTF-32"),
            (file("{'descr': '|S1', 'fortran_order': False, 'shape': ()}", &[0xff; 1]), "UTF-8"),
        ];
        for (bytes, expected) in cases {
            let reason = parse(&bytes).unwrap_err();
            assert!(reason.contains(expected), "expected '{expected}' in: {reason}");
        }
    }
}
