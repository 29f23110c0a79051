//! Frames of the client port: an `i32` length, then that many bytes.

use bytes::{Buf, Bytes, BytesMut};

use crate::Writer;

/// A length that no frame may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("frame of {seen} bytes, expected 0 to {limit}")]
pub struct FrameError {
    /// The length as read.
    pub seen: i32,
    /// The bound.
    pub limit: usize,
}

/// Takes the first whole frame off `input`, without its length; `None` while it is incomplete.
/// A frame may be as long as `limit` bytes.
///
/// # Errors
/// [`FrameError`] as soon as the length is known to be negative or above `limit`; nothing has then
/// been reserved for it.
pub fn split_frame(input: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(&[a, b, c, d]) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let seen = i32::from_be_bytes([a, b, c, d]);
    let length = match usize::try_from(seen) {
        Ok(length) if length <= limit => length,
        _ => return Err(FrameError { seen, limit }),
    };
    if input.len() < 4 + length {
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(length).freeze()))
}

/// Appends a frame whose content `content` writes.
pub fn write_frame(out: &mut BytesMut, content: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_int(0);
    content(out);
    let length = i32::try_from(out.len() - start - 4).expect("a frame is bounded far below 2 GiB");
    if let Some(prefix) = out.get_mut(start..start + 4) {
        prefix.copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_when_it_is_whole() {
        let mut wire = BytesMut::new();
        write_frame(&mut wire, |out| out.put(b"abc"));
        write_frame(&mut wire, |out| out.put(b""));
        let mut input = BytesMut::new();
        for byte in wire.iter().take(6) {
            input.put(&[*byte]);
            assert_eq!(split_frame(&mut input, 10), Ok(None));
        }
        input.put(&wire[6..]);
        assert_eq!(split_frame(&mut input, 10).unwrap().unwrap(), "abc");
        assert_eq!(split_frame(&mut input, 10).unwrap().unwrap(), "");
        assert_eq!(split_frame(&mut input, 10), Ok(None));
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_its_bytes_come() {
        for (seen, limit) in [(-1, 10), (11, 10), (i32::MAX, 10)] {
            let mut input = BytesMut::from(&seen.to_be_bytes()[..]);
            assert_eq!(
                split_frame(&mut input, limit),
                Err(FrameError { seen, limit })
            );
        }
    }
}
