//! `QuorumPacket`: the envelope of everything on the quorum port.
//!
//! ```text
//! packet  0  int   type
//!         4  long  zxid
//!        12  int   length n of the data, −1 for null
//!        16  n     data
//!      16+n  int   number of ids, −1 for null; then each: string scheme, string id
//! ```
//!
//! Nothing stands around a packet: it ends where its last field does.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::{DecodeError, Id, Reader, Record, Writer, Zxid};

/// Ids that one packet may carry. Apache's server has no bound; a client needs as many
/// authentications on one connection to get here.
pub const PACKET_IDS_MAX: usize = 10_000;

/// Two empty strings.
const ID_BYTES_MIN: usize = 8;

/// What stands in the type field (`Leader.java`).
pub(super) mod kind {
    pub(crate) const REQUEST: i32 = 1;
    pub(crate) const PROPOSAL: i32 = 2;
    pub(crate) const ACK: i32 = 3;
    pub(crate) const COMMIT: i32 = 4;
    pub(crate) const PING: i32 = 5;
    pub(crate) const REVALIDATE: i32 = 6;
    pub(crate) const SYNC: i32 = 7;
    pub(crate) const INFORM: i32 = 8;
    pub(crate) const COMMIT_AND_ACTIVATE: i32 = 9;
    pub(crate) const NEW_LEADER: i32 = 10;
    pub(crate) const FOLLOWER_INFO: i32 = 11;
    pub(crate) const UP_TO_DATE: i32 = 12;
    pub(crate) const DIFF: i32 = 13;
    pub(crate) const TRUNC: i32 = 14;
    pub(crate) const SNAP: i32 = 15;
    pub(crate) const OBSERVER_INFO: i32 = 16;
    pub(crate) const LEADER_INFO: i32 = 17;
    pub(crate) const ACK_EPOCH: i32 = 18;
    pub(crate) const INFORM_AND_ACTIVATE: i32 = 19;
}

/// One direction of the quorum port: [`FromLeader`](super::FromLeader) or
/// [`FromLearner`](super::FromLearner).
pub trait Packet: Record {}

/// Takes the first whole packet off `input`, and not a byte more; `None` while it is incomplete.
/// Contents share the memory of `input`.
///
/// `limit` bounds the data of a packet, and all its ids together. A call on an incomplete packet
/// costs at most a walk over the ids that are there, however much data stands before them.
///
/// # Errors
/// [`DecodeError`] for a length out of bounds, as soon as the length is there and before anything
/// is reserved for it, and for a whole packet that this direction does not have. The stream has
/// then no meaning any more.
pub fn split_packet<P: Packet>(
    input: &mut BytesMut,
    limit: usize,
) -> Result<Option<P>, DecodeError> {
    let Some(length) = whole_packet_bytes(input, limit)? else {
        return Ok(None);
    };
    let packet = input.split_to(length).freeze();
    P::decode(&mut Reader::new(&packet)).map(Some)
}

/// The length of the packet at the start of `input`, once all of it is there.
fn whole_packet_bytes(input: &[u8], limit: usize) -> Result<Option<usize>, DecodeError> {
    let mut walk = Walk { input, at: 12 };
    let Some(data) = walk.length("packet data", limit)? else {
        return Ok(None);
    };
    walk.at += data;
    let Some(count) = walk.count()? else {
        return Ok(None);
    };
    let ids = walk.at;
    for _ in 0..count * 2 {
        let Some(length) = walk.length("packet id", limit)? else {
            return Ok(None);
        };
        walk.at += length;
        let seen = walk.at - ids;
        if seen > limit {
            let what = "packet ids";
            return Err(DecodeError::TooLong { what, seen, limit });
        }
    }
    Ok((walk.at <= input.len()).then_some(walk.at))
}

/// A cursor that may stand behind what has arrived.
struct Walk<'a> {
    input: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// Reads an `i32`; `None` while it is not there.
    fn int(&mut self) -> Option<i32> {
        let &bytes = self.input.get(self.at..)?.first_chunk()?;
        self.at += 4;
        Some(i32::from_be_bytes(bytes))
    }

    fn length(&mut self, what: &'static str, limit: usize) -> Result<Option<usize>, DecodeError> {
        match self.int() {
            None => Ok(None),
            Some(-1) => Ok(Some(0)),
            Some(seen) => match usize::try_from(seen) {
                Err(_) => Err(DecodeError::BadLength { what, seen }),
                Ok(seen) if seen > limit => Err(DecodeError::TooLong { what, seen, limit }),
                Ok(length) => Ok(Some(length)),
            },
        }
    }

    fn count(&mut self) -> Result<Option<usize>, DecodeError> {
        let (what, limit) = ("packet ids", PACKET_IDS_MAX);
        match self.int() {
            None => Ok(None),
            Some(-1) => Ok(Some(0)),
            Some(seen) => match usize::try_from(seen) {
                Err(_) => Err(DecodeError::BadLength { what, seen }),
                Ok(count) if count > limit => Err(DecodeError::TooMany { what, limit }),
                Ok(count) => Ok(Some(count)),
            },
        }
    }
}

/// The fields of a packet, not yet understood.
pub(super) struct Envelope {
    pub(super) kind: i32,
    pub(super) zxid: Zxid,
    pub(super) data: Option<Bytes>,
    pub(super) who: Vec<Id>,
}

impl Envelope {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: reader.i32()?,
            zxid: Zxid(reader.i64()?),
            data: reader.buffer()?,
            who: reader.vec(ID_BYTES_MIN, Id::decode)?,
        })
    }

    /// The data of a packet that has no meaning without it.
    pub(super) fn content(&self, what: &'static str) -> Result<&Bytes, DecodeError> {
        let seen = -1;
        self.data
            .as_ref()
            .ok_or(DecodeError::BadLength { what, seen })
    }

    pub(super) fn unknown(&self) -> DecodeError {
        DecodeError::BadValue {
            what: "packet type",
            seen: i64::from(self.kind),
        }
    }
}

/// Appends a packet whose data is the concatenation of `data`; `None` is null.
pub(super) fn put_packet(
    out: &mut impl Writer,
    kind: i32,
    zxid: Zxid,
    data: Option<&[&[u8]]>,
    who: &[Id],
) {
    out.put_int(kind);
    out.put_long(zxid.0);
    match data {
        None => out.put_int(-1),
        Some(parts) => {
            out.put_length(parts.iter().map(|part| part.len()).sum());
            for part in parts {
                out.put(part);
            }
        }
    }
    if who.is_empty() {
        out.put_int(-1);
    } else {
        out.put_records(who);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::quorum::{FromLeader, FromLearner};
    use crate::{OpCode, SessionId, Xid};

    const LIMIT: usize = 100;

    fn head(kind: i32, data_length: i32) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_int(kind);
        out.put_long(7);
        out.put_int(data_length);
        out
    }

    #[test]
    fn lengths_out_of_bounds_are_refused_before_their_bytes_come() {
        let what = "packet data";
        let mut long = head(kind::PROPOSAL, 101);
        let (seen, limit) = (101, LIMIT);
        let error = DecodeError::TooLong { what, seen, limit };
        assert_eq!(split_packet::<FromLeader>(&mut long, limit), Err(error));
        let mut negative = head(kind::PROPOSAL, -2);
        let seen = split_packet::<FromLeader>(&mut negative, LIMIT);
        assert_eq!(seen, Err(DecodeError::BadLength { what, seen: -2 }));
        let mut crowded = head(kind::ACK, -1);
        crowded.put_int(10_001);
        let seen = split_packet::<FromLearner>(&mut crowded, LIMIT);
        assert!(matches!(seen, Err(DecodeError::TooMany { .. })), "{seen:?}");
    }

    #[test]
    fn ids_are_bounded_together() {
        let request = FromLearner::Request {
            session: SessionId(1),
            xid: Xid(2),
            op: OpCode::SYNC,
            content: Bytes::new(),
            who: vec![Id::new("digest", "a:b"); 10],
        };
        let mut wire = BytesMut::from(&request.to_bytes()[..]);
        let mut whole = wire.clone();
        let seen = split_packet::<FromLearner>(&mut wire, LIMIT);
        assert!(matches!(seen, Err(DecodeError::TooLong { .. })), "{seen:?}");
        assert_eq!(split_packet(&mut whole, 170), Ok(Some(request)));
    }

    #[test]
    fn what_follows_a_snap_is_left_on_the_stream() {
        let snap = FromLeader::Snap { zxid: Zxid(9) };
        let mut wire = BytesMut::from(&snap.to_bytes()[..]);
        wire.put(b"nodes");
        assert_eq!(split_packet(&mut wire, LIMIT), Ok(Some(snap)));
        assert_eq!(wire, b"nodes"[..]);
    }

    #[test]
    fn a_type_of_the_other_direction_is_refused() {
        let mut wire = BytesMut::from(&FromLearner::Ack { zxid: Zxid(1) }.to_bytes()[..]);
        assert_eq!(
            split_packet::<FromLeader>(&mut wire, LIMIT),
            Err(DecodeError::BadValue {
                what: "packet type",
                seen: 3
            })
        );
    }
}
