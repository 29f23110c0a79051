//! Requests: what clients ask for.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::acl::decode_acls;
use crate::{Acl, DecodeError, OpCode, Reader, Record, Writer, Xid, Zxid};

/// Stands before every request but the handshake. Layout: int xid, int type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader {
    /// The client's number for the request.
    pub xid: Xid,
    /// What is asked for.
    pub op: OpCode,
}

impl Record for RequestHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            xid: Xid(reader.i32()?),
            op: OpCode(reader.i32()?),
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(self.xid.0);
        out.put_int(self.op.0);
    }
}

/// A request's content. Paths are text as sent: whether they are paths is decided where the request
/// is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are those of zookeeper.jute, named in OpCode"
)]
pub enum Request {
    Create(Create),
    Delete {
        path: String,
        version: i32,
    },
    Exists {
        path: String,
        watch: bool,
    },
    GetData {
        path: String,
        watch: bool,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    GetAcl {
        path: String,
    },
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: i32,
    },
    GetChildren {
        path: String,
        watch: bool,
    },
    Sync {
        path: String,
    },
    Ping,
    GetChildren2 {
        path: String,
        watch: bool,
    },
    Multi(Vec<MultiOp>),
    Reconfig(Reconfig),
    CheckWatches {
        path: String,
        kind: i32,
    },
    RemoveWatches {
        path: String,
        kind: i32,
    },
    MultiRead(Vec<ReadOp>),
    Auth(Auth),
    /// setWatches (101) when both lists of persistent watches are `None`, else setWatches2 (105).
    SetWatches(SetWatches),
    Sasl {
        token: Option<Bytes>,
    },
    GetEphemerals {
        prefix: String,
    },
    GetAllChildrenNumber {
        path: String,
    },
    AddWatch(AddWatch),
    WhoAmI,
    CloseSession,
    /// An operation that no client may ask for, or that does not exist. Its content is not read.
    Unsupported(OpCode),
}

/// Content of the four operations that create a znode. Layout: string path, buffer data, vector
/// ACL, int flags and, for createTTL, long ttl in ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// create, create2, createContainer or createTTL.
    pub op: OpCode,
    /// The path, or its prefix for a sequential znode.
    pub path: String,
    /// The data; null and empty differ.
    pub data: Option<Bytes>,
    /// The ACL.
    pub acl: Vec<Acl>,
    /// The mode as sent; see [`Create::mode`].
    pub flags: i32,
    /// Time to live in ms; meaningful and encoded for createTTL alone, zero otherwise.
    pub ttl_ms: i64,
}

impl Create {
    /// The mode that the flags name; `None` when they name none.
    #[must_use]
    pub const fn mode(&self) -> Option<CreateMode> {
        CreateMode::from_flags(self.flags)
    }
}

/// How a znode is created (`CreateMode`, 3.9.5). The discriminants are the flags of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CreateMode {
    /// Lives until deleted.
    Persistent = 0,
    /// Deleted with its session.
    Ephemeral = 1,
    /// Persistent, its name completed by the parent's counter.
    PersistentSequential = 2,
    /// Ephemeral, its name completed by the parent's counter.
    EphemeralSequential = 3,
    /// Deleted by the server some time after its last child.
    Container = 4,
    /// Deleted by the server when childless and unchanged for its time to live.
    PersistentWithTtl = 5,
    /// The same, its name completed by the parent's counter.
    PersistentSequentialWithTtl = 6,
}

impl CreateMode {
    /// The mode of `flags`, if they are one.
    #[must_use]
    pub const fn from_flags(flags: i32) -> Option<Self> {
        Some(match flags {
            0 => Self::Persistent,
            1 => Self::Ephemeral,
            2 => Self::PersistentSequential,
            3 => Self::EphemeralSequential,
            4 => Self::Container,
            5 => Self::PersistentWithTtl,
            6 => Self::PersistentSequentialWithTtl,
            _ => return None,
        })
    }

    /// The flags on the wire.
    #[must_use]
    pub const fn to_flags(self) -> i32 {
        self as i32
    }

    /// Whether the znode is deleted with its session.
    #[must_use]
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Whether the parent's counter completes the name.
    #[must_use]
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential
                | Self::EphemeralSequential
                | Self::PersistentSequentialWithTtl
        )
    }

    /// Whether the znode is a container.
    #[must_use]
    pub const fn is_container(self) -> bool {
        matches!(self, Self::Container)
    }

    /// Whether the znode has a time to live.
    #[must_use]
    pub const fn is_ttl(self) -> bool {
        matches!(
            self,
            Self::PersistentWithTtl | Self::PersistentSequentialWithTtl
        )
    }
}

/// One operation of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are those of the operations outside multi"
)]
pub enum MultiOp {
    Create(Create),
    Delete {
        path: String,
        version: i32,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    Check {
        path: String,
        version: i32,
    },
}

/// One operation of a multiRead. The wire carries a watch flag, which the server ignores.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are those of the operations outside multiRead"
)]
pub enum ReadOp {
    GetData { path: String, watch: bool },
    GetChildren { path: String, watch: bool },
}

/// A change of membership, by difference (joining, leaving) or in full (newMembers); the other is
/// null. Layout: string joining, leaving, newMembers, long curConfigId.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of ReconfigRequest")]
pub struct Reconfig {
    pub joining: Option<String>,
    pub leaving: Option<String>,
    pub new_members: Option<String>,
    pub current_config: Zxid,
}

/// An identity to prove. Layout: int type, string scheme, buffer auth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Zero.
    pub kind: i32,
    /// The scheme: `digest`, …
    pub scheme: String,
    /// The proof in the scheme's form.
    pub auth: Bytes,
}

/// Watches to restore. Layout: long relativeZxid, vectors of strings data, exist, child and, for
/// setWatches2, persistent and persistentRecursive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetWatches {
    /// Changes after this transaction fire at once.
    pub relative_zxid: Zxid,
    /// Paths watched by getData, or by exists while present.
    pub data: Vec<String>,
    /// Paths watched by exists while absent.
    pub exist: Vec<String>,
    /// Paths watched by getChildren.
    pub child: Vec<String>,
    /// Paths with persistent, and with persistent recursive watches; `None` for setWatches.
    pub persistent: Option<(Vec<String>, Vec<String>)>,
}

/// A persistent watch to add. Layout: string path, int mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddWatch {
    /// The znode.
    pub path: String,
    /// The mode as sent; see [`AddWatchMode`](crate::AddWatchMode).
    pub mode: i32,
}

impl Request {
    /// Reads the content of an `op`. A multi or multiRead may have up to `multi_ops_max` operations.
    ///
    /// # Errors
    /// [`DecodeError`]; an operation that clients may not ask for is no error but
    /// [`Request::Unsupported`].
    pub fn decode(
        op: OpCode,
        reader: &mut Reader<'_>,
        multi_ops_max: usize,
    ) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                Self::Create(decode_create(op, reader)?)
            }
            OpCode::DELETE => Self::Delete {
                path: reader.string()?,
                version: reader.i32()?,
            },
            OpCode::EXISTS => Self::Exists {
                path: reader.string()?,
                watch: reader.bool()?,
            },
            OpCode::GET_DATA => Self::GetData {
                path: reader.string()?,
                watch: reader.bool()?,
            },
            OpCode::SET_DATA => Self::SetData {
                path: reader.string()?,
                data: reader.buffer()?,
                version: reader.i32()?,
            },
            OpCode::GET_ACL => Self::GetAcl {
                path: reader.string()?,
            },
            OpCode::SET_ACL => Self::SetAcl {
                path: reader.string()?,
                acl: decode_acls(reader)?,
                version: reader.i32()?,
            },
            OpCode::GET_CHILDREN => Self::GetChildren {
                path: reader.string()?,
                watch: reader.bool()?,
            },
            OpCode::SYNC => Self::Sync {
                path: reader.string()?,
            },
            OpCode::PING => Self::Ping,
            OpCode::GET_CHILDREN2 => Self::GetChildren2 {
                path: reader.string()?,
                watch: reader.bool()?,
            },
            OpCode::MULTI => Self::Multi(decode_multi(reader, multi_ops_max, decode_multi_op)?),
            OpCode::RECONFIG => Self::Reconfig(Reconfig {
                joining: reader.nullable_string()?,
                leaving: reader.nullable_string()?,
                new_members: reader.nullable_string()?,
                current_config: Zxid(reader.i64()?),
            }),
            OpCode::CHECK_WATCHES => Self::CheckWatches {
                path: reader.string()?,
                kind: reader.i32()?,
            },
            OpCode::REMOVE_WATCHES => Self::RemoveWatches {
                path: reader.string()?,
                kind: reader.i32()?,
            },
            OpCode::MULTI_READ => {
                Self::MultiRead(decode_multi(reader, multi_ops_max, decode_read_op)?)
            }
            OpCode::AUTH => Self::Auth(Auth {
                kind: reader.i32()?,
                scheme: reader.string()?,
                auth: reader.buffer()?.unwrap_or_default(),
            }),
            OpCode::SET_WATCHES | OpCode::SET_WATCHES2 => {
                Self::SetWatches(decode_set_watches(op, reader)?)
            }
            OpCode::SASL => Self::Sasl {
                token: reader.buffer()?,
            },
            OpCode::GET_EPHEMERALS => Self::GetEphemerals {
                prefix: reader.string()?,
            },
            OpCode::GET_ALL_CHILDREN_NUMBER => Self::GetAllChildrenNumber {
                path: reader.string()?,
            },
            OpCode::ADD_WATCH => Self::AddWatch(AddWatch {
                path: reader.string()?,
                mode: reader.i32()?,
            }),
            OpCode::WHO_AM_I => Self::WhoAmI,
            OpCode::CLOSE_SESSION => Self::CloseSession,
            _ => Self::Unsupported(op),
        })
    }

    /// The operation that this asks for.
    #[must_use]
    pub const fn op(&self) -> OpCode {
        match self {
            Self::Create(create) => create.op,
            Self::Delete { .. } => OpCode::DELETE,
            Self::Exists { .. } => OpCode::EXISTS,
            Self::GetData { .. } => OpCode::GET_DATA,
            Self::SetData { .. } => OpCode::SET_DATA,
            Self::GetAcl { .. } => OpCode::GET_ACL,
            Self::SetAcl { .. } => OpCode::SET_ACL,
            Self::GetChildren { .. } => OpCode::GET_CHILDREN,
            Self::Sync { .. } => OpCode::SYNC,
            Self::Ping => OpCode::PING,
            Self::GetChildren2 { .. } => OpCode::GET_CHILDREN2,
            Self::Multi(_) => OpCode::MULTI,
            Self::Reconfig(_) => OpCode::RECONFIG,
            Self::CheckWatches { .. } => OpCode::CHECK_WATCHES,
            Self::RemoveWatches { .. } => OpCode::REMOVE_WATCHES,
            Self::MultiRead(_) => OpCode::MULTI_READ,
            Self::Auth(_) => OpCode::AUTH,
            Self::SetWatches(watches) if watches.persistent.is_some() => OpCode::SET_WATCHES2,
            Self::SetWatches(_) => OpCode::SET_WATCHES,
            Self::Sasl { .. } => OpCode::SASL,
            Self::GetEphemerals { .. } => OpCode::GET_EPHEMERALS,
            Self::GetAllChildrenNumber { .. } => OpCode::GET_ALL_CHILDREN_NUMBER,
            Self::AddWatch(_) => OpCode::ADD_WATCH,
            Self::WhoAmI => OpCode::WHO_AM_I,
            Self::CloseSession => OpCode::CLOSE_SESSION,
            Self::Unsupported(op) => *op,
        }
    }

    /// Appends the content, without header.
    pub fn encode(&self, out: &mut impl Writer) {
        match self {
            Self::Create(create) => encode_create(create, out),
            Self::Delete { path, version } => encode_versioned(path, *version, out),
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch }
            | Self::GetChildren2 { path, watch } => encode_watched(path, *watch, out),
            Self::SetData {
                path,
                data,
                version,
            } => {
                encode_set_data(path, data.as_ref(), *version, out);
            }
            Self::GetAcl { path }
            | Self::Sync { path }
            | Self::GetEphemerals { prefix: path }
            | Self::GetAllChildrenNumber { path } => out.put_string(path),
            Self::SetAcl { path, acl, version } => {
                out.put_string(path);
                out.put_records(acl);
                out.put_int(*version);
            }
            Self::Ping | Self::WhoAmI | Self::CloseSession | Self::Unsupported(_) => {}
            Self::Multi(ops) => encode_multi(ops, encode_multi_op, out),
            Self::Reconfig(reconfig) => {
                for servers in [&reconfig.joining, &reconfig.leaving, &reconfig.new_members] {
                    out.put_buffer(servers.as_ref().map(String::as_bytes));
                }
                out.put_long(reconfig.current_config.0);
            }
            Self::CheckWatches { path, kind } | Self::RemoveWatches { path, kind } => {
                encode_versioned(path, *kind, out);
            }
            Self::MultiRead(ops) => encode_multi(ops, encode_read_op, out),
            Self::Auth(auth) => {
                out.put_int(auth.kind);
                out.put_string(&auth.scheme);
                out.put_buffer(Some(&auth.auth));
            }
            Self::SetWatches(watches) => encode_set_watches(watches, out),
            Self::Sasl { token } => out.put_buffer(token.as_deref()),
            Self::AddWatch(add) => encode_versioned(&add.path, add.mode, out),
        }
    }
}

fn decode_create(op: OpCode, reader: &mut Reader<'_>) -> Result<Create, DecodeError> {
    Ok(Create {
        op,
        path: reader.string()?,
        data: reader.buffer()?,
        acl: decode_acls(reader)?,
        flags: reader.i32()?,
        ttl_ms: if op == OpCode::CREATE_TTL {
            reader.i64()?
        } else {
            0
        },
    })
}

fn encode_create(create: &Create, out: &mut impl Writer) {
    out.put_string(&create.path);
    out.put_buffer(create.data.as_deref());
    out.put_records(&create.acl);
    out.put_int(create.flags);
    if create.op == OpCode::CREATE_TTL {
        out.put_long(create.ttl_ms);
    }
}

fn encode_versioned(path: &str, version: i32, out: &mut impl Writer) {
    out.put_string(path);
    out.put_int(version);
}

fn encode_watched(path: &str, watch: bool, out: &mut impl Writer) {
    out.put_string(path);
    out.put_bool(watch);
}

fn encode_set_data(path: &str, data: Option<&Bytes>, version: i32, out: &mut impl Writer) {
    out.put_string(path);
    out.put_buffer(data.map(AsRef::as_ref));
    out.put_int(version);
}

fn decode_set_watches(op: OpCode, reader: &mut Reader<'_>) -> Result<SetWatches, DecodeError> {
    Ok(SetWatches {
        relative_zxid: Zxid(reader.i64()?),
        data: reader.strings()?,
        exist: reader.strings()?,
        child: reader.strings()?,
        persistent: if op == OpCode::SET_WATCHES2 {
            Some((reader.strings()?, reader.strings()?))
        } else {
            None
        },
    })
}

fn encode_set_watches(watches: &SetWatches, out: &mut impl Writer) {
    out.put_long(watches.relative_zxid.0);
    out.put_strings(&watches.data);
    out.put_strings(&watches.exist);
    out.put_strings(&watches.child);
    if let Some((persistent, recursive)) = &watches.persistent {
        out.put_strings(persistent);
        out.put_strings(recursive);
    }
}

/// Stands before every operation and result of a multi. Layout: int type, bool done, int err.
pub(crate) struct MultiHeader {
    pub(crate) op: OpCode,
    pub(crate) done: bool,
    pub(crate) err: i32,
}

impl MultiHeader {
    pub(crate) const END: Self = Self {
        op: OpCode(-1),
        done: true,
        err: -1,
    };
}

impl Record for MultiHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            op: OpCode(reader.i32()?),
            done: reader.bool()?,
            err: reader.i32()?,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(self.op.0);
        out.put_bool(self.done);
        out.put_int(self.err);
    }
}

/// Reads headers and what follows them, until the header that is done.
fn decode_multi<T>(
    reader: &mut Reader<'_>,
    ops_max: usize,
    decode_op: impl Fn(OpCode, &mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut ops = Vec::new();
    loop {
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(ops);
        }
        if ops.len() == ops_max {
            return Err(DecodeError::TooMany {
                what: "multi",
                limit: ops_max,
            });
        }
        ops.push(decode_op(header.op, reader)?);
    }
}

fn encode_multi<T, W: Writer>(ops: &[T], encode_op: impl Fn(&T, &mut W), out: &mut W) {
    for op in ops {
        encode_op(op, out);
    }
    MultiHeader::END.encode(out);
}

fn decode_multi_op(op: OpCode, reader: &mut Reader<'_>) -> Result<MultiOp, DecodeError> {
    Ok(match op {
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
            MultiOp::Create(decode_create(op, reader)?)
        }
        OpCode::DELETE => MultiOp::Delete {
            path: reader.string()?,
            version: reader.i32()?,
        },
        OpCode::SET_DATA => MultiOp::SetData {
            path: reader.string()?,
            data: reader.buffer()?,
            version: reader.i32()?,
        },
        OpCode::CHECK => MultiOp::Check {
            path: reader.string()?,
            version: reader.i32()?,
        },
        OpCode(seen) => return Err(not_in_multi(seen)),
    })
}

fn encode_multi_op<W: Writer>(op: &MultiOp, out: &mut W) {
    let mut header = |op| {
        MultiHeader {
            op,
            done: false,
            err: -1,
        }
        .encode(out)
    };
    match op {
        MultiOp::Create(create) => {
            header(create.op);
            encode_create(create, out);
        }
        MultiOp::Delete { path, version } => {
            header(OpCode::DELETE);
            encode_versioned(path, *version, out);
        }
        MultiOp::SetData {
            path,
            data,
            version,
        } => {
            header(OpCode::SET_DATA);
            encode_set_data(path, data.as_ref(), *version, out);
        }
        MultiOp::Check { path, version } => {
            header(OpCode::CHECK);
            encode_versioned(path, *version, out);
        }
    }
}

fn decode_read_op(op: OpCode, reader: &mut Reader<'_>) -> Result<ReadOp, DecodeError> {
    Ok(match op {
        OpCode::GET_DATA => ReadOp::GetData {
            path: reader.string()?,
            watch: reader.bool()?,
        },
        OpCode::GET_CHILDREN => ReadOp::GetChildren {
            path: reader.string()?,
            watch: reader.bool()?,
        },
        OpCode(seen) => return Err(not_in_multi(seen)),
    })
}

fn encode_read_op<W: Writer>(op: &ReadOp, out: &mut W) {
    let (code, path, watch) = match op {
        ReadOp::GetData { path, watch } => (OpCode::GET_DATA, path, *watch),
        ReadOp::GetChildren { path, watch } => (OpCode::GET_CHILDREN, path, *watch),
    };
    MultiHeader {
        op: code,
        done: false,
        err: -1,
    }
    .encode(out);
    encode_watched(path, watch, out);
}

fn not_in_multi(seen: i32) -> DecodeError {
    DecodeError::BadValue {
        what: "operation in multi",
        seen: i64::from(seen),
    }
}
