//! Primitive encodings (Jute's binary archive) and the [`Record`] trait that everything else is
//! written in.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

/// Why bytes are not a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("{what}: needs {needed} bytes, {left} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes the value needs.
        needed: usize,
        /// Bytes the input still holds.
        left: usize,
    },
    /// A length is below −1, or null where null has no meaning.
    #[error("{what}: length {seen}, expected 0 or more")]
    BadLength {
        /// What was being read.
        what: &'static str,
        /// The length as read.
        seen: i32,
    },
    /// A string is not UTF-8, nor the CESU-8 that Java writes for characters above U+FFFF.
    #[error("string: bytes are neither UTF-8 nor CESU-8")]
    BadString,
    /// A number is outside its set of values.
    #[error("{what}: {seen} is not a known value")]
    BadValue {
        /// What was being read.
        what: &'static str,
        /// The number as read.
        seen: i64,
    },
    /// More elements than the stated bound.
    #[error("{what}: more than {limit} elements")]
    TooMany {
        /// What was being read.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A length above the stated bound.
    #[error("{what}: {seen} bytes, expected at most {limit}")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// The length as read.
        seen: usize,
        /// The bound.
        limit: usize,
    },
    /// A checksum does not match its bytes.
    #[error("{what}: checksum {seen:#x}, computed {computed:#x}")]
    BadChecksum {
        /// What was being read.
        what: &'static str,
        /// The checksum as read.
        seen: u64,
        /// The checksum of the bytes as read.
        computed: u64,
    },
}

/// A cursor over one frame. Buffers that it returns share the frame's memory.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `frame`.
    #[must_use]
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0 }
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.frame.len() - self.at
    }

    /// Offset of the next byte in the frame.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// All bytes not yet read, without reading them.
    #[must_use]
    pub fn rest(&self) -> Bytes {
        self.frame.slice(self.at..)
    }

    fn take(&mut self, what: &'static str, needed: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self
            .frame
            .get(self.at..self.at.saturating_add(needed))
            .ok_or(DecodeError::Truncated {
                what,
                needed,
                left: self.remaining(),
            })?;
        self.at += needed;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(what, N)?);
        Ok(array)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end of the frame; the same holds for every reader below.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array("byte")?))
    }

    /// Reads one byte as a boolean; every value but zero is true, as in Java.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// Reads an `i32`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array("int")?))
    }

    /// Reads an `i64`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array("long")?))
    }

    fn length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            seen => match usize::try_from(seen) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(DecodeError::BadLength { what, seen }),
            },
        }
    }

    /// Reads a buffer; `None` is null. The result shares the frame's memory.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::BadLength`].
    pub fn buffer(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(length) = self.length("buffer")? else {
            return Ok(None);
        };
        let start = self.at;
        self.take("buffer", length)?;
        Ok(Some(self.frame.slice(start..start + length)))
    }

    /// Reads a buffer without sharing it; `None` is null.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::BadLength`].
    pub fn slice(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.length("buffer")? {
            None => Ok(None),
            Some(length) => self.take("buffer", length).map(Some),
        }
    }

    /// Reads a string without copying it; null is the empty string. Only plain UTF-8 can be
    /// borrowed, so characters that Java wrote as surrogate pairs are refused here: callers that
    /// must accept them use [`string`](Self::string).
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::BadLength`], [`DecodeError::BadString`].
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        let Some(length) = self.length("string")? else {
            return Ok("");
        };
        let bytes = self.take("string", length)?;
        core::str::from_utf8(bytes).map_err(|_| DecodeError::BadString)
    }

    /// Reads a string; null is the empty string. Characters above U+FFFF may stand as UTF-8 or as
    /// two three-byte surrogates (CESU-8, `BinaryOutputArchive.stringToByteBuffer`).
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::BadLength`], [`DecodeError::BadString`].
    pub fn string(&mut self) -> Result<String, DecodeError> {
        self.nullable_string().map(Option::unwrap_or_default)
    }

    /// Reads a string whose null differs from the empty string.
    ///
    /// # Errors
    /// As [`string`](Self::string).
    pub fn nullable_string(&mut self) -> Result<Option<String>, DecodeError> {
        let Some(length) = self.length("string")? else {
            return Ok(None);
        };
        let bytes = self.take("string", length)?;
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(String::from(text))),
            Err(_) => decode_cesu8(bytes).map(Some).ok_or(DecodeError::BadString),
        }
    }

    /// Reads a vector; null is the empty vector. `element_bytes_min` is the smallest encoding of
    /// one element, so that no more is reserved than the frame can hold.
    ///
    /// # Errors
    /// [`DecodeError`] of the length or of any element.
    pub fn vec<T>(
        &mut self,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.length("vector")?.unwrap_or(0);
        let needed = count.saturating_mul(element_bytes_min);
        if needed > self.remaining() {
            return Err(DecodeError::Truncated {
                what: "vector",
                needed,
                left: self.remaining(),
            });
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Reads a vector of strings.
    ///
    /// # Errors
    /// As [`vec`](Self::vec) and [`string`](Self::string).
    pub fn strings(&mut self) -> Result<Vec<String>, DecodeError> {
        self.vec(4, Self::string)
    }
}

/// Decodes UTF-8 in which a character above U+FFFF may also be a surrogate pair of 2 × 3 bytes.
fn decode_cesu8(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let valid = match core::str::from_utf8(rest) {
            Ok(all) => all,
            Err(error) => core::str::from_utf8(rest.get(..error.valid_up_to())?).ok()?,
        };
        text.push_str(valid);
        rest = rest.get(valid.len()..)?;
        if let Some(pair) = rest.get(..6) {
            let (high, low) = (surrogate(pair.get(..3)?)?, surrogate(pair.get(3..)?)?);
            text.push(char::decode_utf16([high, low]).next()?.ok()?);
            rest = rest.get(6..)?;
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(text)
}

fn surrogate(bytes: &[u8]) -> Option<u16> {
    match bytes {
        [0xed, b @ 0xa0..=0xbf, c @ 0x80..=0xbf] => {
            Some(0xd000 | (u16::from(b & 0x3f) << 6) | u16::from(c & 0x3f))
        }
        _ => None,
    }
}

/// Primitive encodings onto a growing buffer.
pub trait Writer {
    /// Appends raw bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Appends one byte.
    fn put_byte(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Appends a boolean as one byte.
    fn put_bool(&mut self, value: bool) {
        self.put_byte(u8::from(value));
    }

    /// Appends an `i32`.
    fn put_int(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    /// Appends an `i64`.
    fn put_long(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    /// Appends the length of a string, buffer or vector.
    ///
    /// # Panics
    /// When `length` exceeds `i32::MAX`; values are bounded by their frames, far below it.
    fn put_length(&mut self, length: usize) {
        self.put_int(i32::try_from(length).expect("values are bounded by a frame"));
    }

    /// Appends a buffer; `None` is null.
    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.put_int(-1),
            Some(bytes) => {
                self.put_length(bytes.len());
                self.put(bytes);
            }
        }
    }

    /// Appends a string as UTF-8.
    fn put_string(&mut self, value: &str) {
        self.put_buffer(Some(value.as_bytes()));
    }

    /// Appends a vector of records.
    fn put_records<R: Record>(&mut self, values: &[R])
    where
        Self: Sized,
    {
        self.put_length(values.len());
        for value in values {
            value.encode(self);
        }
    }

    /// Appends a vector of strings.
    fn put_strings<S: AsRef<str>>(&mut self, values: &[S])
    where
        Self: Sized,
    {
        self.put_length(values.len());
        for value in values {
            self.put_string(value.as_ref());
        }
    }
}

impl Writer for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

impl Writer for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A value with one encoding: `decode(encode(value)) == value`.
pub trait Record: Sized {
    /// Reads one value and leaves the cursor behind it.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no such value; the cursor is then anywhere.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Appends the value's encoding.
    fn encode(&self, out: &mut impl Writer);

    /// The encoding alone.
    fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_surrogate_pair_of_java_is_read_as_one_character() {
        let mut out = Vec::new();
        out.put_buffer(Some(b"a\xed\xa0\xbd\xed\xb8\x80b"));
        let frame = Bytes::from(out);
        assert_eq!(Reader::new(&frame).string().unwrap(), "a\u{1f600}b");
    }

    #[test]
    fn bytes_that_are_no_string_are_refused() {
        for bytes in [&b"\xff"[..], b"\xed\xa0\xbd", b"\xed\xa0\xbdabc", b"\xc3"] {
            let mut out = Vec::new();
            out.put_buffer(Some(bytes));
            assert_eq!(
                Reader::new(&out.into()).string(),
                Err(DecodeError::BadString)
            );
        }
    }

    #[test]
    fn a_vector_length_beyond_the_frame_reserves_nothing() {
        let frame = Bytes::from(vec![0x7f, 0xff, 0xff, 0xff, 0, 0]);
        let seen = Reader::new(&frame).strings();
        assert!(matches!(
            seen,
            Err(DecodeError::Truncated { what: "vector", .. })
        ));
    }

    #[test]
    fn a_length_below_minus_one_is_refused() {
        let frame = Bytes::from(vec![0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(
            Reader::new(&frame).buffer(),
            Err(DecodeError::BadLength {
                what: "buffer",
                seen: -2
            })
        );
    }
}
