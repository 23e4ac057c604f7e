//! `.npy` files: numpy's array format, versions 1.0 to 3.0.
//!
//! A file is taken for hostile until its header has been read: the header's length, grammar, dtype
//! and shape are checked, and the file must be exactly as long as they say, before anything is
//! allocated for the values. The header is parsed here and not by a general parser of Python
//! literals, because such a parser recurses on nested brackets (a stack overflow cannot be caught)
//! and because numpy only ever writes one flat dictionary.

use super::array::{AnyArray, Array, ComplexArray};
use crate::error::{Error, Result};
use crate::files;
use num_complex::Complex32;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest header text that is read; numpy's own is 118 bytes for four axes.
const LONGEST_HEADER: usize = 4096;
const MOST_AXES: usize = 4;
const HOW_TO_SAVE: &str = "save it with numpy.save(path, numpy.ascontiguousarray(a, dtype=numpy.float32)), or numpy.complex64";

/// Reads an array of real or complex numbers.
///
/// Takes little-endian `f4`, `f8`, `i1`, `i2`, `i4`, `u1`, `u2`, `b1` (as 0 and 1), `c8` and `c16`,
/// all rounded to single precision, in C order, with one to four axes and at least one element.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, else [`Error::Data`]: not a `.npy` file, a damaged
/// header, another dtype, big-endian, Fortran order, no or too many axes, no elements, a length
/// that does not fit the header, a NaN, an infinity or a value too large for single precision.
pub fn read_npy(path: impl AsRef<Path>) -> Result<AnyArray> {
    let path = path.as_ref();
    let io = |e| Error::io(path, "read", e);
    // Looked at before it is opened: opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(Error::data(
            path,
            "this is not a file; give the path of a .npy file",
        ));
    }
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    parse(path, BufReader::new(file), length)
}

/// Reads an array of real numbers; see [`read_npy`].
///
/// # Errors
/// As [`read_npy`]; also [`Error::Data`] if the numbers are complex.
pub fn read_real_npy(path: impl AsRef<Path>) -> Result<Array> {
    match read_npy(&path)? {
        AnyArray::Real(array) => Ok(array),
        AnyArray::Complex(_) => Err(Error::data(
            path,
            "the numbers are complex and real ones are needed; save numpy.abs(a) or a.real",
        )),
    }
}

/// Reads an array of complex numbers; real ones get the imaginary part zero. See [`read_npy`].
///
/// # Errors
/// As [`read_npy`].
pub fn read_complex_npy(path: impl AsRef<Path>) -> Result<ComplexArray> {
    Ok(match read_npy(path)? {
        AnyArray::Real(array) => array.to_complex(),
        AnyArray::Complex(array) => array,
    })
}

/// Writes `data` of `shape` as version 1.0, little-endian, C order. The file appears whole or not
/// at all; see [`files::write_atomic`].
///
/// # Errors
/// [`Error::Shape`] if `shape` does not hold `data.len()` values, [`Error::Io`] if the file cannot
/// be written.
pub fn write_npy<T: Element>(path: impl AsRef<Path>, shape: &[usize], data: &[T]) -> Result<()> {
    let elements = shape.iter().try_fold(1_usize, |n, &e| n.checked_mul(e));
    if elements != Some(data.len()) {
        return Err(Error::shape(
            "write_npy",
            format!("the shape {shape:?} does not hold {} values", data.len()),
        ));
    }
    files::write_atomic(path, |file| {
        file.write_all(&header(T::DESCR, shape))?;
        data.iter().try_for_each(|&value| value.write(file))
    })
}

/// A number that [`write_npy`] writes: `f32`, `f64` or [`Complex32`].
pub trait Element: Copy {
    /// numpy's name of the type.
    const DESCR: &'static str;
    /// Writes the number's little-endian bytes.
    ///
    /// # Errors
    /// What the writer says.
    fn write(self, to: &mut dyn Write) -> std::io::Result<()>;
}

impl Element for f32 {
    const DESCR: &'static str = "<f4";
    fn write(self, to: &mut dyn Write) -> std::io::Result<()> {
        to.write_all(&self.to_le_bytes())
    }
}

impl Element for f64 {
    const DESCR: &'static str = "<f8";
    fn write(self, to: &mut dyn Write) -> std::io::Result<()> {
        to.write_all(&self.to_le_bytes())
    }
}

impl Element for Complex32 {
    const DESCR: &'static str = "<c8";
    fn write(self, to: &mut dyn Write) -> std::io::Result<()> {
        self.re.write(to)?;
        self.im.write(to)
    }
}

/// The bytes before the values, padded with spaces to a multiple of 64 as numpy does.
fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if axes.len() == 1 { "," } else { "" };
    let text = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        axes.join(", ")
    );
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).into_bytes());
    bytes
}

/// How one number lies in the file.
#[derive(Clone, Copy)]
enum Number {
    F4,
    F8,
    I1,
    I2,
    I4,
    U1,
    U2,
    B1,
}

impl Number {
    const fn bytes(self) -> usize {
        match self {
            Number::I1 | Number::U1 | Number::B1 => 1,
            Number::I2 | Number::U2 => 2,
            Number::F4 | Number::I4 => 4,
            Number::F8 => 8,
        }
    }

    /// The number in the first bytes of `b`, which holds at least [`bytes`](Self::bytes).
    fn decode(self, b: &[u8; 8]) -> f64 {
        let [b0, b1, b2, b3, ..] = *b;
        match self {
            Number::F4 => f32::from_le_bytes([b0, b1, b2, b3]).into(),
            Number::F8 => f64::from_le_bytes(*b),
            Number::I1 => i8::from_le_bytes([b0]).into(),
            Number::I2 => i16::from_le_bytes([b0, b1]).into(),
            Number::I4 => i32::from_le_bytes([b0, b1, b2, b3]).into(),
            Number::U1 => b0.into(),
            Number::U2 => u16::from_le_bytes([b0, b1]).into(),
            Number::B1 => u8::from(b0 != 0).into(),
        }
    }
}

/// The number type that `descr` names, and whether pairs of them are complex numbers.
fn dtype(descr: &str) -> Result<(Number, bool), String> {
    let real = |number| Ok((number, false));
    match descr {
        "<f4" => real(Number::F4),
        "<f8" => real(Number::F8),
        "<i2" => real(Number::I2),
        "<i4" => real(Number::I4),
        "<u2" => real(Number::U2),
        "|i1" | "<i1" => real(Number::I1),
        "|u1" | "<u1" => real(Number::U1),
        "|b1" | "<b1" => real(Number::B1),
        "<c8" => Ok((Number::F4, true)),
        "<c16" => Ok((Number::F8, true)),
        _ if descr.starts_with('>') => Err(format!(
            "the numbers are big-endian ('{descr}'), which is not read; {HOW_TO_SAVE}"
        )),
        _ => Err(format!(
            "the dtype '{descr}' is not read (f4, f8, i1, i2, i4, u1, u2, b1, c8, c16 are); {HOW_TO_SAVE}"
        )),
    }
}

/// Parses the file of `length` bytes that `reader` is at the start of.
fn parse(path: &Path, mut reader: impl Read, length: u64) -> Result<AnyArray> {
    let bad = |message: String| Error::data(path, message);
    let io = |e| Error::io(path, "read", e);
    let truncated = || {
        bad(format!(
            "the file ends inside its header, after {length} bytes; copy or save it again"
        ))
    };

    let mut prefix = [0; 10];
    if length < 10 {
        return Err(truncated());
    }
    reader.read_exact(&mut prefix).map_err(io)?;
    if prefix[..6] != *MAGIC {
        return Err(bad(format!(
            "this is not a .npy file (its first bytes are not numpy's); {HOW_TO_SAVE}"
        )));
    }
    let low = u16::from_le_bytes([prefix[8], prefix[9]]);
    let (text_length, before_text) = match (prefix[6], prefix[7]) {
        (1, 0) => (usize::from(low), 10),
        (2 | 3, 0) => {
            let mut high = [0; 2];
            if length < 12 {
                return Err(truncated());
            }
            reader.read_exact(&mut high).map_err(io)?;
            (
                usize::from(low) | usize::from(u16::from_le_bytes(high)) << 16,
                12,
            )
        }
        (major, minor) => {
            return Err(bad(format!(
                "this is version {major}.{minor} of the .npy format, and versions 1.0 to 3.0 are read; {HOW_TO_SAVE}"
            )));
        }
    };
    if text_length > LONGEST_HEADER {
        return Err(bad(format!(
            "the header claims {text_length} bytes, and a plain array needs fewer than {LONGEST_HEADER}; the file is damaged or holds records: {HOW_TO_SAVE}"
        )));
    }
    if length < (before_text + text_length) as u64 {
        return Err(truncated());
    }
    let mut text = vec![0; text_length];
    reader.read_exact(&mut text).map_err(io)?;

    let header = Header::parse(&text).map_err(|reason| {
        bad(format!(
            "the header is damaged: {reason}; save the array again"
        ))
    })?;
    let Some(descr) = header.descr else {
        return Err(bad(format!(
            "the numbers are records with named fields; {HOW_TO_SAVE}"
        )));
    };
    let (number, complex) = dtype(&descr).map_err(bad)?;
    let shape = header.shape;
    if shape.is_empty() || shape.len() > MOST_AXES {
        return Err(bad(format!(
            "the array has {} axes (shape {shape:?}), and 1 to {MOST_AXES} are read; reshape it to [H, W] or [N, H, W]",
            shape.len()
        )));
    }
    if header.fortran_order {
        return Err(bad(format!("the array is in Fortran order; {HOW_TO_SAVE}")));
    }
    if shape.contains(&0) {
        return Err(bad(format!(
            "the array has no elements (shape {shape:?}); give at least one image"
        )));
    }
    let parts = if complex { 2 } else { 1 };
    let bytes = shape
        .iter()
        .try_fold((parts * number.bytes()) as u64, |n, &extent| {
            n.checked_mul(extent)
        });
    let present = length - (before_text + text_length) as u64;
    if bytes != Some(present) {
        let needed = bytes.map_or("more than 2^64".to_string(), |n| n.to_string());
        return Err(bad(format!(
            "the shape {shape:?} of '{descr}' needs {needed} bytes after the header and the file has {present}; it is truncated or damaged: copy or save it again"
        )));
    }
    let Ok(count) = usize::try_from(present / number.bytes() as u64) else {
        return Err(bad(
            "the array is larger than this machine can address; split it".into(),
        ));
    };

    let values = read_values(path, reader, number, count)?;
    let shape: Vec<usize> = shape.iter().map(|&extent| extent as usize).collect();
    Ok(if complex {
        let pairs = values.chunks_exact(2).map(|z| Complex32::new(z[0], z[1]));
        AnyArray::Complex(Array {
            data: pairs.collect(),
            shape,
        })
    } else {
        AnyArray::Real(Array {
            data: values,
            shape,
        })
    })
}

/// Reads `count` numbers, each of which must be finite in single precision.
fn read_values(
    path: &Path,
    mut reader: impl Read,
    number: Number,
    count: usize,
) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    if values.try_reserve_exact(count).is_err() {
        return Err(Error::data(
            path,
            format!("there is not enough memory for its {count} numbers; split the array"),
        ));
    }
    let mut bytes = [0; 8];
    for index in 0..count {
        let read = reader.read_exact(&mut bytes[..number.bytes()]);
        read.map_err(|e| Error::io(path, "read", e))?;
        let wide = number.decode(&bytes);
        let value = wide as f32;
        if !value.is_finite() {
            let message = if wide.is_nan() {
                format!(
                    "value {index} is NaN; replace such values, for example with numpy.nan_to_num"
                )
            } else if wide.is_infinite() {
                format!(
                    "value {index} is infinite; replace such values, for example with numpy.nan_to_num"
                )
            } else {
                format!(
                    "value {index} is {wide:e}, too large for single precision; rescale the array"
                )
            };
            return Err(Error::data(path, message));
        }
        values.push(value);
    }
    Ok(values)
}

/// The dictionary that describes the values.
struct Header {
    /// `None` for a structured dtype.
    descr: Option<String>,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl Header {
    /// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, keys in any order.
    fn parse(text: &[u8]) -> Result<Header, String> {
        let mut cursor = Cursor { rest: text };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        cursor.expect(b'{')?;
        while !cursor.accept(b'}') {
            let key = cursor.string()?;
            cursor.expect(b':')?;
            let again = match key.as_str() {
                "descr" if cursor.peek() == Some(b'[') => {
                    // Records can nest; nothing after this is of use.
                    return Ok(Header {
                        descr: None,
                        fortran_order: false,
                        shape: vec![],
                    });
                }
                "descr" => descr.replace(cursor.string()?).is_some(),
                "fortran_order" => fortran_order.replace(cursor.boolean()?).is_some(),
                "shape" => shape.replace(cursor.extents()?).is_some(),
                _ => return Err(format!("it has an unknown key '{key}'")),
            };
            if again {
                return Err(format!("it has the key '{key}' twice"));
            }
            if !cursor.accept(b',') {
                cursor.expect(b'}')?;
                break;
            }
        }
        if cursor.peek().is_some() {
            return Err("something follows its dictionary".into());
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header {
                descr: Some(descr),
                fortran_order,
                shape,
            }),
            _ => Err("'descr', 'fortran_order' or 'shape' is missing".into()),
        }
    }
}

/// A reader of the few Python literals that a header is made of.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.accept(byte) {
            return Ok(());
        }
        Err(format!("'{}' is missing", byte as char))
    }

    /// The longest run of bytes that satisfy `keep`, from the next byte on.
    fn run(&mut self, keep: impl Fn(u8) -> bool) -> String {
        let length = self.rest.iter().take_while(|&&b| keep(b)).count();
        let (run, rest) = self.rest.split_at(length);
        self.rest = rest;
        String::from_utf8_lossy(run).into_owned()
    }

    fn string(&mut self) -> Result<String, String> {
        let Some(quote @ (b'\'' | b'"')) = self.peek() else {
            return Err("a quoted word is missing".into());
        };
        self.rest = &self.rest[1..];
        let word = self.run(|b| b != quote && b.is_ascii_graphic());
        if self.rest.first() != Some(&quote) {
            return Err("a quoted word does not end".into());
        }
        self.rest = &self.rest[1..];
        Ok(word)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.peek();
        match self.run(|b| b.is_ascii_alphabetic()).as_str() {
            "True" => Ok(true),
            "False" => Ok(false),
            other => Err(format!(
                "'fortran_order' is '{other}', neither True nor False"
            )),
        }
    }

    fn extents(&mut self) -> Result<Vec<u64>, String> {
        let mut extents = Vec::new();
        self.expect(b'(')?;
        while !self.accept(b')') {
            self.peek();
            let digits = self.run(|b| b.is_ascii_digit());
            let extent = digits.parse();
            extents.push(extent.map_err(|_| format!("'{digits}' is not an extent of 'shape'"))?);
            if digits.len() > 1 && digits.starts_with('0') {
                return Err(format!("'{digits}' is not an extent of 'shape'"));
            }
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(extents)
    }
}

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;
