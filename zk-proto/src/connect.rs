//! The handshake that opens or resumes a session.

use bytes::Bytes;

use crate::{DecodeError, Reader, Record, SessionId, Writer, Zxid};

/// Length of a session password.
pub const PASSWORD_BYTES: usize = 16;

/// A client's first frame. Layout: int protocolVersion, long lastZxidSeen, int timeOut, long
/// sessionId, buffer passwd, and, since ZooKeeper 3.4, bool readOnly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Zero.
    pub protocol_version: i32,
    /// The newest transaction that the client has seen; a server behind it must refuse.
    pub last_zxid_seen: Zxid,
    /// The session timeout that is asked for, in ms.
    pub timeout_ms: i32,
    /// The session to resume, or zero for another.
    pub session_id: SessionId,
    /// The session's password.
    pub password: Bytes,
    /// Whether a read-only server will do; `None` when the client does not send the byte, and then
    /// the response must not carry it either.
    pub read_only: Option<bool>,
}

impl Record for ConnectRequest {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: reader.i32()?,
            last_zxid_seen: Zxid(reader.i64()?),
            timeout_ms: reader.i32()?,
            session_id: SessionId(reader.i64()?),
            password: reader.buffer()?.unwrap_or_default(),
            read_only: decode_read_only(reader)?,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(self.protocol_version);
        out.put_long(self.last_zxid_seen.0);
        out.put_int(self.timeout_ms);
        out.put_long(self.session_id.0);
        out.put_buffer(Some(&self.password));
        encode_read_only(self.read_only, out);
    }
}

/// A server's first frame, without a reply header. Layout: int protocolVersion, int timeOut, long
/// sessionId, buffer passwd, bool readOnly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Zero.
    pub protocol_version: i32,
    /// The session timeout granted, in ms; zero or less when the session is over.
    pub timeout_ms: i32,
    /// The session; zero when it is over.
    pub session_id: SessionId,
    /// Its password, 16 bytes.
    pub password: Bytes,
    /// Whether the server is read-only; `None` for clients that do not send the byte.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The answer to a session that is over, or to a wrong password.
    #[must_use]
    pub fn expired(read_only: Option<bool>) -> Self {
        Self {
            protocol_version: 0,
            timeout_ms: 0,
            session_id: SessionId(0),
            password: Bytes::from_static(&[0; PASSWORD_BYTES]),
            read_only,
        }
    }
}

impl Record for ConnectResponse {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: reader.i32()?,
            timeout_ms: reader.i32()?,
            session_id: SessionId(reader.i64()?),
            password: reader.buffer()?.unwrap_or_default(),
            read_only: decode_read_only(reader)?,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(self.protocol_version);
        out.put_int(self.timeout_ms);
        out.put_long(self.session_id.0);
        out.put_buffer(Some(&self.password));
        encode_read_only(self.read_only, out);
    }
}

fn decode_read_only(reader: &mut Reader<'_>) -> Result<Option<bool>, DecodeError> {
    if reader.remaining() == 0 {
        Ok(None)
    } else {
        reader.bool().map(Some)
    }
}

fn encode_read_only(read_only: Option<bool>, out: &mut impl Writer) {
    if let Some(read_only) = read_only {
        out.put_bool(read_only);
    }
}

/// The password that Apache's server derives from a session id: 16 bytes of
/// `java.util.Random(id ^ 0xB3415C00)`. It is no secret, but a session can only move between
/// servers that agree on it (`ZooKeeperServer.generatePasswd`, 3.9.5).
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "Random.next(32) is the low 32 bits"
)]
#[expect(clippy::cast_sign_loss, reason = "the generator works on bit patterns")]
pub fn session_password(session: SessionId) -> [u8; PASSWORD_BYTES] {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = ((session.0 ^ 0xB341_5C00) as u64 ^ MULTIPLIER) & MASK;
    let mut password = [0; PASSWORD_BYTES];
    for word in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        word.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    password
}
