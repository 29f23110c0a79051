//! What a learner sends to its leader.

use alloc::vec::Vec;

use bytes::Bytes;

use super::LearnerInfo;
use super::packet::{Envelope, Packet, kind, put_packet};
use crate::{DecodeError, Id, OpCode, Reader, Record, SessionId, Writer, Xid, Zxid};

/// Bytes of one touched session in a ping: long session, int timeout.
const TOUCH_BYTES: usize = 12;

/// A packet from a follower or an observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromLearner {
    /// FOLLOWERINFO (11), the first packet of a learner that votes.
    FollowerInfo {
        /// The first zxid of the newest epoch that the learner accepted.
        accepted: Zxid,
        /// Who it is; `None` where it does not say, as a server of 3.3 does.
        info: Option<LearnerInfo>,
    },
    /// OBSERVERINFO (16), the first packet of an observer.
    ObserverInfo {
        /// As in [`FollowerInfo`](Self::FollowerInfo).
        accepted: Zxid,
        /// As in [`FollowerInfo`](Self::FollowerInfo).
        info: Option<LearnerInfo>,
    },
    /// ACKEPOCH (18), the answer to LEADERINFO.
    AckEpoch {
        /// The last transaction in the learner's log.
        last_zxid: Zxid,
        /// The epoch whose leader it followed last; `None` where it had accepted the new epoch
        /// before, so that this counts for no quorum. At most `i32::MAX`.
        current_epoch: Option<u32>,
    },
    /// ACK (3): the proposal, or all before NEWLEADER, is on disk. After UPTODATE comes one more for
    /// the epoch's first zxid, which says nothing.
    Ack {
        /// What is acknowledged.
        zxid: Zxid,
    },
    /// REQUEST (1): a client's write or sync, or a session that begins or ends.
    Request {
        /// The client's session.
        session: SessionId,
        /// The client's number for the request.
        xid: Xid,
        /// The operation.
        op: OpCode,
        /// The request's record; empty where the operation has none.
        content: Bytes,
        /// The client's identities.
        who: Vec<Id>,
    },
    /// PING (5), the answer to the leader's.
    Ping {
        /// As the leader sent it.
        zxid: Zxid,
        /// Sessions heard of since the last answer, with their timeouts in ms.
        touched: Vec<(SessionId, i32)>,
    },
    /// REVALIDATE (6): a client comes back to this server with a session of another.
    Revalidate {
        /// Its session.
        session: SessionId,
        /// The timeout agreed with the client, in ms.
        timeout_ms: i32,
    },
}

impl Packet for FromLearner {}

/// Layout: that of the module `packet`; the data is drawn at each arm.
impl Record for FromLearner {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let packet = Envelope::decode(reader)?;
        let zxid = packet.zxid;
        Ok(match packet.kind {
            // LearnerInfo, or null
            kind::FOLLOWER_INFO => Self::FollowerInfo {
                accepted: zxid,
                info: learner_info(&packet)?,
            },
            kind::OBSERVER_INFO => Self::ObserverInfo {
                accepted: zxid,
                info: learner_info(&packet)?,
            },
            // int epoch, or −1
            kind::ACK_EPOCH => Self::AckEpoch {
                last_zxid: zxid,
                current_epoch: current_epoch(packet.content("current epoch")?)?,
            },
            kind::ACK => Self::Ack { zxid },
            // long session, int xid, int op, record
            kind::REQUEST => {
                let mut content = Reader::new(packet.content("request")?);
                Self::Request {
                    session: SessionId(content.i64()?),
                    xid: Xid(content.i32()?),
                    op: OpCode(content.i32()?),
                    content: content.rest(),
                    who: packet.who,
                }
            }
            // { long session, int timeout }
            kind::PING => Self::Ping {
                zxid,
                touched: touched(packet.content("touched sessions")?)?,
            },
            // long session, int timeout
            kind::REVALIDATE => {
                let mut content = Reader::new(packet.content("session to revalidate")?);
                Self::Revalidate {
                    session: SessionId(content.i64()?),
                    timeout_ms: content.i32()?,
                }
            }
            _ => return Err(packet.unknown()),
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        match self {
            Self::FollowerInfo { accepted, info } => {
                put_info(out, kind::FOLLOWER_INFO, *accepted, *info);
            }
            Self::ObserverInfo { accepted, info } => {
                put_info(out, kind::OBSERVER_INFO, *accepted, *info);
            }
            Self::AckEpoch {
                last_zxid,
                current_epoch,
            } => {
                let data = current_epoch.unwrap_or(u32::MAX).to_be_bytes();
                put_packet(out, kind::ACK_EPOCH, *last_zxid, Some(&[&data]), &[]);
            }
            Self::Ack { zxid } => put_packet(out, kind::ACK, *zxid, None, &[]),
            Self::Request {
                session,
                xid,
                op,
                content,
                who,
            } => {
                let (session, xid) = (session.0.to_be_bytes(), xid.0.to_be_bytes());
                let data: [&[u8]; 4] = [&session, &xid, &op.0.to_be_bytes(), content];
                put_packet(out, kind::REQUEST, Zxid(-1), Some(&data), who);
            }
            Self::Ping { zxid, touched } => {
                let mut data = Vec::with_capacity(touched.len() * TOUCH_BYTES);
                for (session, timeout_ms) in touched {
                    data.put_long(session.0);
                    data.put_int(*timeout_ms);
                }
                put_packet(out, kind::PING, *zxid, Some(&[&data]), &[]);
            }
            Self::Revalidate {
                session,
                timeout_ms,
            } => {
                let data = [&session.0.to_be_bytes()[..], &timeout_ms.to_be_bytes()];
                put_packet(out, kind::REVALIDATE, Zxid(-1), Some(&data), &[]);
            }
        }
    }
}

fn learner_info(packet: &Envelope) -> Result<Option<LearnerInfo>, DecodeError> {
    packet.data.as_ref().map(LearnerInfo::decode).transpose()
}

fn put_info(out: &mut impl Writer, kind: i32, accepted: Zxid, info: Option<LearnerInfo>) {
    match info.map(LearnerInfo::to_array) {
        None => put_packet(out, kind, accepted, None, &[]),
        Some(data) => put_packet(out, kind, accepted, Some(&[&data]), &[]),
    }
}

fn current_epoch(data: &Bytes) -> Result<Option<u32>, DecodeError> {
    match Reader::new(data).i32()? {
        -1 => Ok(None),
        seen => match u32::try_from(seen) {
            Ok(epoch) => Ok(Some(epoch)),
            Err(_) => Err(DecodeError::BadValue {
                what: "current epoch",
                seen: i64::from(seen),
            }),
        },
    }
}

fn touched(data: &Bytes) -> Result<Vec<(SessionId, i32)>, DecodeError> {
    let mut reader = Reader::new(data);
    let mut touched = Vec::with_capacity(data.len() / TOUCH_BYTES);
    while reader.remaining() > 0 {
        touched.push((SessionId(reader.i64()?), reader.i32()?));
    }
    Ok(touched)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(kind: i32, data: &[u8]) -> Result<FromLearner, DecodeError> {
        let mut out = bytes::BytesMut::new();
        put_packet(&mut out, kind, Zxid(1), Some(&[data]), &[]);
        FromLearner::decode(&mut Reader::new(&out.freeze()))
    }

    #[test]
    fn an_epoch_is_a_natural_number_or_minus_one() {
        let epoch = |number: i32| match again(kind::ACK_EPOCH, &number.to_be_bytes()) {
            Ok(FromLearner::AckEpoch { current_epoch, .. }) => Ok(current_epoch),
            other => Err(other),
        };
        assert_eq!(epoch(0), Ok(Some(0)));
        assert_eq!(epoch(i32::MAX), Ok(Some(0x7fff_ffff)));
        assert_eq!(epoch(-1), Ok(None));
        assert!(matches!(
            epoch(-2),
            Err(Err(DecodeError::BadValue { seen: -2, .. }))
        ));
    }

    #[test]
    fn a_ping_ends_with_a_whole_session() {
        assert!(again(kind::PING, &[0; 24]).is_ok());
        for length in [1, 11, 13, 23] {
            let seen = again(kind::PING, &[0; 24][..length]);
            assert!(
                matches!(seen, Err(DecodeError::Truncated { .. })),
                "{seen:?}"
            );
        }
    }
}
