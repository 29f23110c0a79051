//! Replies: what servers answer.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use smol_str::SmolStr;

use crate::acl::decode_acls;
use crate::request::MultiHeader;
use crate::{Acl, DecodeError, ErrorCode, Id, OpCode, Reader, Record, Stat, Writer, Xid, Zxid};

/// Stands before every reply but the handshake's. Layout: int xid, long zxid, int err. When `err`
/// is not [`ErrorCode::OK`] no content follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The request's number, or a reserved one.
    pub xid: Xid,
    /// The newest transaction whose effect the reply may show.
    pub zxid: Zxid,
    /// Success or failure.
    pub err: ErrorCode,
}

impl Record for ReplyHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            xid: Xid(reader.i32()?),
            zxid: Zxid(reader.i64()?),
            err: ErrorCode(reader.i32()?),
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(self.xid.0);
        out.put_long(self.zxid.0);
        out.put_int(self.err.0);
    }
}

/// A successful reply's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// Nothing: delete, ping, auth, setWatches, check- and removeWatches, closeSession.
    Empty,
    /// create and sync.
    Path(String),
    /// create2, createContainer and createTTL.
    PathAndStat(String, Stat),
    /// exists, setData and setACL.
    Stat(Stat),
    /// getData and reconfig; null and empty data differ.
    Data(Option<Bytes>, Stat),
    /// getACL.
    Acl(Vec<Acl>, Stat),
    /// getChildren: names, in no order.
    Children(Vec<SmolStr>),
    /// getChildren2.
    ChildrenAndStat(Vec<SmolStr>, Stat),
    /// multi and multiRead: one result an operation.
    Multi(Vec<MultiResult>),
    /// getEphemerals: paths, in no order.
    Ephemerals(Vec<String>),
    /// getAllChildrenNumber.
    Number(i32),
    /// addWatch: always [`ErrorCode::OK`].
    Code(ErrorCode),
    /// whoAmI: scheme and user of each identity. [`Id`] has the layout of `ClientInfo`.
    Identities(Vec<Id>),
    /// sasl.
    Token(Option<Bytes>),
}

/// The result of one operation of a multi or multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiResult {
    /// Of create.
    Create(String),
    /// Of create2, createContainer and createTTL.
    Create2(String, Stat),
    /// Of delete.
    Delete,
    /// Of setData.
    SetData(Stat),
    /// Of check.
    Check,
    /// Of getData.
    GetData(Option<Bytes>, Stat),
    /// Of getChildren.
    GetChildren(Vec<SmolStr>),
    /// Of an operation that failed or was not tried; [`ErrorCode::OK`] before the one that failed.
    Error(ErrorCode),
}

impl Response {
    /// Reads the content of a successful reply to `op`.
    ///
    /// # Errors
    /// [`DecodeError`]; also for an operation that has no reply.
    pub fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::DELETE
            | OpCode::PING
            | OpCode::AUTH
            | OpCode::SET_WATCHES
            | OpCode::SET_WATCHES2
            | OpCode::CHECK_WATCHES
            | OpCode::REMOVE_WATCHES
            | OpCode::CLOSE_SESSION => Self::Empty,
            OpCode::CREATE | OpCode::SYNC => Self::Path(reader.string()?),
            OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                Self::PathAndStat(reader.string()?, Stat::decode(reader)?)
            }
            OpCode::EXISTS | OpCode::SET_DATA | OpCode::SET_ACL => {
                Self::Stat(Stat::decode(reader)?)
            }
            OpCode::GET_DATA | OpCode::RECONFIG => {
                Self::Data(reader.buffer()?, Stat::decode(reader)?)
            }
            OpCode::GET_ACL => Self::Acl(decode_acls(reader)?, Stat::decode(reader)?),
            OpCode::GET_CHILDREN => Self::Children(decode_names(reader)?),
            OpCode::GET_CHILDREN2 => {
                Self::ChildrenAndStat(decode_names(reader)?, Stat::decode(reader)?)
            }
            OpCode::MULTI | OpCode::MULTI_READ => Self::Multi(decode_results(reader)?),
            OpCode::GET_EPHEMERALS => Self::Ephemerals(reader.strings()?),
            OpCode::GET_ALL_CHILDREN_NUMBER => Self::Number(reader.i32()?),
            OpCode::ADD_WATCH => Self::Code(ErrorCode(reader.i32()?)),
            OpCode::WHO_AM_I => Self::Identities(reader.vec(8, Id::decode)?),
            OpCode::SASL => Self::Token(reader.buffer()?),
            OpCode(seen) => {
                return Err(DecodeError::BadValue {
                    what: "reply's op",
                    seen: i64::from(seen),
                });
            }
        })
    }

    /// Appends the content.
    pub fn encode(&self, out: &mut impl Writer) {
        match self {
            Self::Empty => {}
            Self::Path(path) => out.put_string(path),
            Self::PathAndStat(path, stat) => {
                out.put_string(path);
                stat.encode(out);
            }
            Self::Stat(stat) => stat.encode(out),
            Self::Data(data, stat) => {
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            Self::Acl(acl, stat) => {
                out.put_records(acl);
                stat.encode(out);
            }
            Self::Children(names) => out.put_strings(names),
            Self::ChildrenAndStat(names, stat) => {
                out.put_strings(names);
                stat.encode(out);
            }
            Self::Multi(results) => {
                for result in results {
                    result.encode(out);
                }
                MultiHeader::END.encode(out);
            }
            Self::Ephemerals(paths) => out.put_strings(paths),
            Self::Number(number) => out.put_int(*number),
            Self::Code(code) => out.put_int(code.0),
            Self::Identities(ids) => out.put_records(ids),
            Self::Token(token) => out.put_buffer(token.as_deref()),
        }
    }
}

fn decode_names(reader: &mut Reader<'_>) -> Result<Vec<SmolStr>, DecodeError> {
    reader.vec(4, |reader| Ok(SmolStr::new(reader.str()?)))
}

fn decode_results(reader: &mut Reader<'_>) -> Result<Vec<MultiResult>, DecodeError> {
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(results);
        }
        results.push(match header.op {
            OpCode::CREATE => MultiResult::Create(reader.string()?),
            OpCode::CREATE2 => MultiResult::Create2(reader.string()?, Stat::decode(reader)?),
            OpCode::DELETE => MultiResult::Delete,
            OpCode::SET_DATA => MultiResult::SetData(Stat::decode(reader)?),
            OpCode::CHECK => MultiResult::Check,
            OpCode::GET_DATA => MultiResult::GetData(reader.buffer()?, Stat::decode(reader)?),
            OpCode::GET_CHILDREN => MultiResult::GetChildren(decode_names(reader)?),
            OpCode::ERROR => MultiResult::Error(ErrorCode(reader.i32()?)),
            OpCode(seen) => {
                let seen = i64::from(seen);
                return Err(DecodeError::BadValue {
                    what: "result in multi",
                    seen,
                });
            }
        });
    }
}

impl MultiResult {
    /// Header {type, false, 0} and content; a failure is {−1, false, code} and the code again.
    fn encode(&self, out: &mut impl Writer) {
        let mut header = |op, err| {
            MultiHeader {
                op,
                done: false,
                err,
            }
            .encode(out)
        };
        match self {
            Self::Create(path) => {
                header(OpCode::CREATE, 0);
                out.put_string(path);
            }
            Self::Create2(path, stat) => {
                header(OpCode::CREATE2, 0);
                out.put_string(path);
                stat.encode(out);
            }
            Self::Delete => header(OpCode::DELETE, 0),
            Self::SetData(stat) => {
                header(OpCode::SET_DATA, 0);
                stat.encode(out);
            }
            Self::Check => header(OpCode::CHECK, 0),
            Self::GetData(data, stat) => {
                header(OpCode::GET_DATA, 0);
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            Self::GetChildren(names) => {
                header(OpCode::GET_CHILDREN, 0);
                out.put_strings(names);
            }
            Self::Error(code) => {
                header(OpCode::ERROR, code.0);
                out.put_int(code.0);
            }
        }
    }
}
