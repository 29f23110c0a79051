//! Transactions: what a write became, as logs and proposals carry it.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::acl::decode_acls;
use crate::{Acl, DecodeError, ErrorCode, OpCode, Reader, Record, SessionId, Writer, Xid, Zxid};

/// Stands before every transaction. Layout: long clientId, int cxid, long zxid, long time, int
/// type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked for it.
    pub session: SessionId,
    /// The session's number for the request.
    pub cxid: Xid,
    /// The transaction's id.
    pub zxid: Zxid,
    /// The leader's clock, ms since the Unix epoch.
    pub time_ms: i64,
    /// What kind of transaction follows.
    pub op: OpCode,
}

impl Record for TxnHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            session: SessionId(reader.i64()?),
            cxid: Xid(reader.i32()?),
            zxid: Zxid(reader.i64()?),
            time_ms: reader.i64()?,
            op: OpCode(reader.i32()?),
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_long(self.session.0);
        out.put_int(self.cxid.0);
        out.put_long(self.zxid.0);
        out.put_long(self.time_ms);
        out.put_int(self.op.0);
    }
}

/// What changes. Which kind it is stands in [`TxnHeader::op`], or before each part of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of zookeeper.jute")]
pub enum Txn {
    /// create (1) and create2 (15).
    Create(CreateTxn),
    /// createContainer (19): [`CreateTxn`] without `ephemeral`.
    CreateContainer {
        path: String,
        data: Option<Bytes>,
        acl: Vec<Acl>,
        parent_cversion: i32,
    },
    /// createTTL (21): the same, then long ttl in ms.
    CreateTtl {
        path: String,
        data: Option<Bytes>,
        acl: Vec<Acl>,
        parent_cversion: i32,
        ttl_ms: i64,
    },
    /// delete (2) and deleteContainer (20).
    Delete { path: String },
    /// setData (5) and reconfig (16). `version` is the version after the change.
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    /// setACL (7). `version` is the aversion after the change.
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: i32,
    },
    /// check (13), in multi only. `version` is the version found, plus one.
    Check { path: String, version: i32 },
    /// multi (14). A part is no multi itself. A create2 is written as a create, which is the same
    /// record: servers before 3.9 know no create2 here, and drop the whole multi at replay.
    Multi(Vec<(OpCode, Self)>),
    /// createSession (−10).
    CreateSession { timeout_ms: i32 },
    /// closeSession (−11); `None` when the log was written without the list of ephemerals.
    CloseSession { paths: Option<Vec<String>> },
    /// error (−1): a refused write, which takes a zxid all the same.
    Error(ErrorCode),
}

/// A znode that is created. Layout: string path, buffer data, vector ACL, bool ephemeral, int
/// parentCVersion. The last is missing in logs of ZooKeeper before 3.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTxn {
    /// The whole path, its sequence suffix included.
    pub path: String,
    /// The data.
    pub data: Option<Bytes>,
    /// The ACL.
    pub acl: Vec<Acl>,
    /// Whether the header's session owns it.
    pub ephemeral: bool,
    /// The parent's count of creations after this one; −1 for one more than before.
    pub parent_cversion: i32,
}

impl Txn {
    /// Reads a transaction of kind `op`.
    ///
    /// # Errors
    /// [`DecodeError`]; also for a kind that no transaction has, and for a multi within a multi.
    pub fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if op != OpCode::MULTI {
            return Self::decode_part(op, reader);
        }
        let parts = reader.vec(8, |reader| {
            let op = OpCode(reader.i32()?);
            let content = reader.buffer()?.unwrap_or_default();
            Ok((op, Self::decode_part(op, &mut Reader::new(&content))?))
        })?;
        Ok(Self::Multi(parts))
    }

    fn decode_part(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::CREATE | OpCode::CREATE2 => Self::Create(CreateTxn {
                path: reader.string()?,
                data: reader.buffer()?,
                acl: decode_acls(reader)?,
                ephemeral: reader.bool()?,
                parent_cversion: if reader.remaining() == 0 {
                    -1
                } else {
                    reader.i32()?
                },
            }),
            OpCode::CREATE_CONTAINER => Self::CreateContainer {
                path: reader.string()?,
                data: reader.buffer()?,
                acl: decode_acls(reader)?,
                parent_cversion: reader.i32()?,
            },
            OpCode::CREATE_TTL => Self::CreateTtl {
                path: reader.string()?,
                data: reader.buffer()?,
                acl: decode_acls(reader)?,
                parent_cversion: reader.i32()?,
                ttl_ms: reader.i64()?,
            },
            OpCode::DELETE | OpCode::DELETE_CONTAINER => Self::Delete {
                path: reader.string()?,
            },
            OpCode::SET_DATA | OpCode::RECONFIG => Self::SetData {
                path: reader.string()?,
                data: reader.buffer()?,
                version: reader.i32()?,
            },
            OpCode::SET_ACL => Self::SetAcl {
                path: reader.string()?,
                acl: decode_acls(reader)?,
                version: reader.i32()?,
            },
            OpCode::CHECK => Self::Check {
                path: reader.string()?,
                version: reader.i32()?,
            },
            OpCode::CREATE_SESSION => Self::CreateSession {
                timeout_ms: reader.i32()?,
            },
            OpCode::CLOSE_SESSION => Self::CloseSession {
                paths: decode_closed_paths(reader)?,
            },
            OpCode::ERROR => Self::Error(ErrorCode(reader.i32()?)),
            OpCode(seen) => {
                return Err(DecodeError::BadValue {
                    what: "txn type",
                    seen: i64::from(seen),
                });
            }
        })
    }

    /// Appends the transaction, without its kind.
    pub fn encode(&self, out: &mut impl Writer) {
        match self {
            Self::Create(create) => {
                encode_created(&create.path, create.data.as_deref(), &create.acl, out);
                out.put_bool(create.ephemeral);
                out.put_int(create.parent_cversion);
            }
            Self::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            } => {
                encode_created(path, data.as_deref(), acl, out);
                out.put_int(*parent_cversion);
            }
            Self::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl_ms,
            } => {
                encode_created(path, data.as_deref(), acl, out);
                out.put_int(*parent_cversion);
                out.put_long(*ttl_ms);
            }
            Self::Delete { path } => out.put_string(path),
            Self::SetData {
                path,
                data,
                version,
            } => {
                out.put_string(path);
                out.put_buffer(data.as_deref());
                out.put_int(*version);
            }
            Self::SetAcl { path, acl, version } => {
                out.put_string(path);
                out.put_records(acl);
                out.put_int(*version);
            }
            Self::Check { path, version } => {
                out.put_string(path);
                out.put_int(*version);
            }
            Self::Multi(parts) => {
                out.put_length(parts.len());
                let mut content = Vec::new();
                for (op, part) in parts {
                    content.clear();
                    part.encode(&mut content);
                    let written = if *op == OpCode::CREATE2 {
                        OpCode::CREATE
                    } else {
                        *op
                    };
                    out.put_int(written.0);
                    out.put_buffer(Some(&content));
                }
            }
            Self::CreateSession { timeout_ms } => out.put_int(*timeout_ms),
            Self::CloseSession { paths } => {
                if let Some(paths) = paths {
                    out.put_strings(paths);
                }
            }
            Self::Error(code) => out.put_int(code.0),
        }
    }
}

fn encode_created(path: &str, data: Option<&[u8]>, acl: &[Acl], out: &mut impl Writer) {
    out.put_string(path);
    out.put_buffer(data);
    out.put_records(acl);
}

/// The list may be missing, and a digest may follow at once: 12 bytes that start with its version.
/// A list of that length and first word would be two empty paths, which no log holds.
fn decode_closed_paths(reader: &mut Reader<'_>) -> Result<Option<Vec<String>>, DecodeError> {
    let digest_follows =
        reader.remaining() == TxnDigest::BYTES && reader.clone().i32() == Ok(TxnDigest::VERSION);
    if reader.remaining() == 0 || digest_follows {
        Ok(None)
    } else {
        reader.strings().map(Some)
    }
}

/// The digest of the whole tree after a transaction. Layout: int version, long treeDigest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnDigest {
    /// How the digest is computed; [`TxnDigest::VERSION`] is the one known.
    pub version: i32,
    /// The digest's bit pattern.
    pub tree_digest: u64,
}

impl TxnDigest {
    /// The algorithm of ZooKeeper 3.6 and later (`DigestCalculator`, 3.9.5).
    pub const VERSION: i32 = 2;
    const BYTES: usize = 12;
}

impl Record for TxnDigest {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        #[expect(clippy::cast_sign_loss, reason = "the digest is a bit pattern")]
        Ok(Self {
            version: reader.i32()?,
            tree_digest: reader.i64()? as u64,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(self.version);
        out.put(&self.tree_digest.to_be_bytes());
    }
}

/// One entry of a log, or the content of a proposal: TxnHeader, Txn and perhaps TxnDigest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnRecord {
    /// Who, when, which.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn,
    /// The tree's digest afterwards, when digests are on.
    pub digest: Option<TxnDigest>,
}

impl Record for TxnRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let header = TxnHeader::decode(reader)?;
        let txn = Txn::decode(header.op, reader)?;
        let digest = if reader.remaining() == 0 {
            None
        } else {
            Some(TxnDigest::decode(reader)?)
        };
        Ok(Self {
            header,
            txn,
            digest,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        self.header.encode(out);
        self.txn.encode(out);
        if let Some(digest) = &self.digest {
            digest.encode(out);
        }
    }
}
