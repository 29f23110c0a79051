//! `QuorumAuthPacket`: SASL between servers (`server/quorum/auth`, 3.9.5).
//!
//! ```text
//! packet  0  long  5f 24 35 01 35 01 ed cc
//!         8  int   status: 0 goes on, 1 is done, −1 failed
//!        12  int   length n of the token, −1 for null
//!        16  n     token
//! ```
//!
//! Where it is configured, the dialler begins: on the election port behind its initial message, on
//! the quorum port before anything else. The other side answers each packet with one, until one is
//! done or failed.

use bytes::{Bytes, BytesMut};

use crate::{DecodeError, Reader, Record, Writer};

/// The negative of 0xa0dbcafecafe1234, in 64 bits.
const MAGIC: i64 = 0x5f24_3501_3501_edcc;
const HEAD_BYTES: usize = 16;

/// Where a login stands after a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthStatus {
    /// The other side answers; every packet of the dialler has this.
    InProgress,
    /// The login is accepted.
    Success,
    /// The login is refused.
    Error,
}

/// One step of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthPacket {
    /// Where the login stands.
    pub status: AuthStatus,
    /// What the mechanism says.
    pub token: Option<Bytes>,
}

impl AuthPacket {
    /// Whether a stream begins with such a packet; `None` while fewer than 8 bytes are there. No
    /// other packet and no frame begins like it.
    #[must_use]
    pub fn begins(input: &[u8]) -> Option<bool> {
        let &magic = input.first_chunk()?;
        Some(i64::from_be_bytes(magic) == MAGIC)
    }

    /// Takes the packet off the start of a stream, and not a byte more; `None` while it is
    /// incomplete. A token may be as long as `limit` bytes.
    ///
    /// # Errors
    /// [`DecodeError`], for a length as soon as it is there.
    pub fn split(input: &mut BytesMut, limit: usize) -> Result<Option<Self>, DecodeError> {
        let Some(&[.., a, b, c, d]) = input.first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let what = "token";
        let length = match i32::from_be_bytes([a, b, c, d]) {
            -1 => 0,
            seen => usize::try_from(seen).map_err(|_| DecodeError::BadLength { what, seen })?,
        };
        if length > limit {
            let seen = length;
            return Err(DecodeError::TooLong { what, seen, limit });
        }
        if input.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        let packet = input.split_to(HEAD_BYTES + length).freeze();
        Self::decode(&mut Reader::new(&packet)).map(Some)
    }
}

impl Record for AuthPacket {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bad = |what, seen| DecodeError::BadValue { what, seen };
        let magic = reader.i64()?;
        if magic != MAGIC {
            return Err(bad("login magic", magic));
        }
        let status = match reader.i32()? {
            0 => AuthStatus::InProgress,
            1 => AuthStatus::Success,
            -1 => AuthStatus::Error,
            seen => return Err(bad("login status", i64::from(seen))),
        };
        let token = reader.buffer()?;
        Ok(Self { status, token })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_long(MAGIC);
        out.put_int(match self.status {
            AuthStatus::InProgress => 0,
            AuthStatus::Success => 1,
            AuthStatus::Error => -1,
        });
        out.put_buffer(self.token.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_is_incomplete_and_what_follows_is_left() {
        for token in [None, Some(Bytes::new()), Some(Bytes::from_static(b"token"))] {
            let status = AuthStatus::Success;
            let packet = AuthPacket { status, token };
            let wire = packet.to_bytes();
            for cut in 0..wire.len() {
                let mut input = BytesMut::from(&wire[..cut]);
                assert_eq!(AuthPacket::split(&mut input, 5), Ok(None));
                assert_eq!(AuthPacket::begins(&input), (cut >= 8).then_some(true));
            }
            let mut input = BytesMut::from(&wire[..]);
            input.put(b"more");
            assert_eq!(AuthPacket::split(&mut input, 5), Ok(Some(packet)));
            assert_eq!(input, b"more"[..]);
        }
        assert_eq!(AuthPacket::begins(&[0; 8]), Some(false));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        let wire = |magic: i64, status: i32, length: i32| {
            let mut out = BytesMut::new();
            out.put_long(magic);
            out.put_int(status);
            out.put_int(length);
            AuthPacket::split(&mut out, 5)
        };
        let is_value = |seen| matches!(seen, Err(DecodeError::BadValue { .. }));
        assert!(is_value(wire(0, 0, 0)) && is_value(wire(MAGIC, 2, 0)));
        assert!(matches!(
            wire(MAGIC, 0, 6),
            Err(DecodeError::TooLong { seen: 6, .. })
        ));
        assert!(matches!(
            wire(MAGIC, 0, -2),
            Err(DecodeError::BadLength { seen: -2, .. })
        ));
    }
}
