//! What a leader sends to a learner.

use alloc::string::String;

use bytes::Bytes;

use super::packet::{Envelope, Packet, kind, put_packet};
use crate::{DecodeError, Reader, Record, ServerId, SessionId, Writer, Zxid};

/// Ends the nodes that follow [`FromLeader::Snap`], as a string.
pub const SNAPSHOT_SIGNATURE: &str = "BenWasHere";

/// A packet from a leader, or from the follower that an observer follows instead of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromLeader {
    /// LEADERINFO (17), the answer to the learner's info: the epoch that begins.
    LeaderInfo {
        /// The epoch's first zxid.
        zxid: Zxid,
        /// [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION).
        protocol_version: i32,
    },
    /// DIFF (13): proposals and commits follow, up to `zxid` at least.
    Diff {
        /// The leader's last transaction.
        zxid: Zxid,
    },
    /// TRUNC (14): the learner forgets what lies behind `zxid`.
    Trunc {
        /// The last transaction to keep.
        zxid: Zxid,
    },
    /// SNAP (15). On the stream follow the sessions, ACLs and nodes of a snapshot without header
    /// and seals, and the string [`SNAPSHOT_SIGNATURE`].
    Snap {
        /// The last transaction that the snapshot has whole.
        zxid: Zxid,
    },
    /// NEWLEADER (10), the end of what the learner must have on disk before it acknowledges.
    NewLeader {
        /// The epoch's first zxid.
        zxid: Zxid,
        /// The text of an [`EnsembleConfig`](super::EnsembleConfig), or empty.
        config: String,
    },
    /// UPTODATE (12): the learner may serve clients.
    UpToDate,
    /// PROPOSAL (2): a transaction to log and acknowledge.
    Proposal {
        /// The transaction's id.
        zxid: Zxid,
        /// A [`TxnRecord`](crate::TxnRecord)'s encoding.
        record: Bytes,
    },
    /// COMMIT (4): the oldest proposal that is not committed yet has its quorum.
    Commit {
        /// Its id.
        zxid: Zxid,
    },
    /// COMMITANDACTIVATE (9): the same, where the transaction is a reconfig.
    CommitAndActivate {
        /// Its id.
        zxid: Zxid,
        /// Who leads the ensemble from here on.
        leader: ServerId,
    },
    /// INFORM (8): a committed transaction, for an observer.
    Inform {
        /// The transaction's id.
        zxid: Zxid,
        /// A [`TxnRecord`](crate::TxnRecord)'s encoding.
        record: Bytes,
    },
    /// INFORMANDACTIVATE (19): the same, where the transaction is a reconfig.
    InformAndActivate {
        /// The transaction's id.
        zxid: Zxid,
        /// Who leads the ensemble from here on.
        leader: ServerId,
        /// A [`TxnRecord`](crate::TxnRecord)'s encoding.
        record: Bytes,
    },
    /// SYNC (7), the answer to the oldest sync request that has none.
    Sync,
    /// PING (5).
    Ping {
        /// The last proposal; the answer repeats it.
        zxid: Zxid,
    },
    /// REVALIDATE (6), the answer to [`FromLearner::Revalidate`](super::FromLearner::Revalidate).
    Revalidated {
        /// The session asked for.
        session: SessionId,
        /// Whether it is alive, and the asking server owns it now.
        valid: bool,
    },
}

/// Appends a PROPOSAL of a record that is encoded already.
pub fn put_proposal(out: &mut impl Writer, zxid: Zxid, record: &[u8]) {
    put_packet(out, kind::PROPOSAL, zxid, Some(&[record]), &[]);
}

/// Appends an INFORM of a record that is encoded already.
pub fn put_inform(out: &mut impl Writer, zxid: Zxid, record: &[u8]) {
    put_packet(out, kind::INFORM, zxid, Some(&[record]), &[]);
}

impl Packet for FromLeader {}

/// Layout: that of the module `packet`; the data is drawn at each arm.
impl Record for FromLeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let packet = Envelope::decode(reader)?;
        let zxid = packet.zxid;
        Ok(match packet.kind {
            // int protocol version
            kind::LEADER_INFO => Self::LeaderInfo {
                zxid,
                protocol_version: Reader::new(packet.content("leader info")?).i32()?,
            },
            kind::DIFF => Self::Diff { zxid },
            kind::TRUNC => Self::Trunc { zxid },
            kind::SNAP => Self::Snap { zxid },
            // text of the config, null for none
            kind::NEW_LEADER => Self::NewLeader {
                zxid,
                config: utf8(packet.data.as_deref().unwrap_or_default())?,
            },
            kind::UP_TO_DATE => Self::UpToDate,
            // record
            kind::PROPOSAL => Self::Proposal {
                zxid,
                record: packet.content("proposal")?.clone(),
            },
            kind::COMMIT => Self::Commit { zxid },
            // long leader
            kind::COMMIT_AND_ACTIVATE => Self::CommitAndActivate {
                zxid,
                leader: ServerId(Reader::new(packet.content("designated leader")?).i64()?),
            },
            // record
            kind::INFORM => Self::Inform {
                zxid,
                record: packet.content("inform")?.clone(),
            },
            // long leader, record
            kind::INFORM_AND_ACTIVATE => {
                let mut content = Reader::new(packet.content("inform")?);
                Self::InformAndActivate {
                    zxid,
                    leader: ServerId(content.i64()?),
                    record: content.rest(),
                }
            }
            kind::SYNC => Self::Sync,
            kind::PING => Self::Ping { zxid },
            // long session, bool valid
            kind::REVALIDATE => {
                let mut content = Reader::new(packet.content("revalidated session")?);
                Self::Revalidated {
                    session: SessionId(content.i64()?),
                    valid: content.bool()?,
                }
            }
            _ => return Err(packet.unknown()),
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        let mut put = |kind, zxid, data| put_packet(out, kind, zxid, data, &[]);
        match self {
            Self::LeaderInfo {
                zxid,
                protocol_version,
            } => {
                let data = protocol_version.to_be_bytes();
                put(kind::LEADER_INFO, *zxid, Some(&[&data]));
            }
            Self::Diff { zxid } => put(kind::DIFF, *zxid, None),
            Self::Trunc { zxid } => put(kind::TRUNC, *zxid, None),
            Self::Snap { zxid } => put(kind::SNAP, *zxid, None),
            Self::NewLeader { zxid, config } if config.is_empty() => {
                put(kind::NEW_LEADER, *zxid, None);
            }
            Self::NewLeader { zxid, config } => {
                put(kind::NEW_LEADER, *zxid, Some(&[config.as_bytes()]));
            }
            Self::UpToDate => put(kind::UP_TO_DATE, Zxid(-1), None),
            Self::Proposal { zxid, record } => put(kind::PROPOSAL, *zxid, Some(&[record])),
            Self::Commit { zxid } => put(kind::COMMIT, *zxid, None),
            Self::CommitAndActivate { zxid, leader } => {
                let data = leader.0.to_be_bytes();
                put(kind::COMMIT_AND_ACTIVATE, *zxid, Some(&[&data]));
            }
            Self::Inform { zxid, record } => put(kind::INFORM, *zxid, Some(&[record])),
            Self::InformAndActivate {
                zxid,
                leader,
                record,
            } => {
                let data = leader.0.to_be_bytes();
                put(kind::INFORM_AND_ACTIVATE, *zxid, Some(&[&data, record]));
            }
            Self::Sync => put(kind::SYNC, Zxid::ZERO, None),
            Self::Ping { zxid } => put(kind::PING, *zxid, None),
            Self::Revalidated { session, valid } => {
                let data = [&session.0.to_be_bytes()[..], &[u8::from(*valid)]];
                put(kind::REVALIDATE, Zxid(-1), Some(&data));
            }
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<String, DecodeError> {
    match core::str::from_utf8(bytes) {
        Ok(text) => Ok(String::from(text)),
        Err(_) => Err(DecodeError::BadString),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_of_an_encoded_record_is_the_packet() {
        let (zxid, record) = (Zxid(5), Bytes::from_static(b"record"));
        let proposal = FromLeader::Proposal {
            zxid,
            record: record.clone(),
        };
        let mut out = bytes::BytesMut::new();
        put_proposal(&mut out, zxid, &record);
        assert_eq!(out.split(), proposal.to_bytes());
        let inform = FromLeader::Inform {
            zxid,
            record: record.clone(),
        };
        put_inform(&mut out, zxid, &record);
        assert_eq!(out, inform.to_bytes());
    }

    #[test]
    fn a_packet_without_its_data_is_refused() {
        for kind in [2, 6, 8, 9, 17, 19] {
            let mut out = bytes::BytesMut::new();
            put_packet(&mut out, kind, Zxid(1), None, &[]);
            let seen = FromLeader::decode(&mut Reader::new(&out.freeze()));
            let is_refused = matches!(seen, Err(DecodeError::BadLength { seen: -1, .. }));
            assert!(is_refused, "{kind}: {seen:?}");
        }
    }
}
