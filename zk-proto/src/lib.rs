//! What the bytes of ZooKeeper mean: records of the client port, the [`quorum`] and election ports,
//! transactions, and the framing of transaction logs and snapshots.
//!
//! This crate knows layouts, ids and the rules that make a value valid (paths, ACLs, error codes).
//! It does not know what a request does, where bytes come from, or when they are written.
//!
//! All integers are big-endian. Strings, buffers and vectors carry an `i32` length, −1 for null.
//! Decoders are total: any input gives a value or a [`DecodeError`], every length is checked against
//! the bytes that are there before anything is allocated, and nothing recurses.
#![no_std]

extern crate alloc;

mod acl;
mod codec;
mod connect;
mod error_code;
mod frame;
mod ids;
mod op;
mod path;
pub mod quorum;
mod request;
mod response;
mod snapshot;
mod stat;
mod txn;
mod txnlog;
mod watch;

pub use acl::{Acl, Id, Perms};
pub use codec::{DecodeError, Reader, Record, Writer};
pub use connect::{ConnectRequest, ConnectResponse, PASSWORD_BYTES, session_password};
pub use error_code::ErrorCode;
pub use frame::{FrameError, split_frame, write_frame};
pub use ids::{ServerId, SessionId, Xid, Zxid};
pub use op::OpCode;
pub use path::{Path, PathError};
pub use request::{
    AddWatch, Auth, Create, CreateMode, MultiOp, ReadOp, Reconfig, Request, RequestHeader,
    SetWatches,
};
pub use response::{MultiResult, ReplyHeader, Response};
pub use snapshot::{SnapshotHeader, SnapshotNode, SnapshotSession, snapshot_magic};
pub use stat::{EphemeralOwner, Stat, StatPersisted, TTL_MS_MAX};
pub use txn::{CreateTxn, Txn, TxnDigest, TxnHeader, TxnRecord};
pub use txnlog::{LOG_HEADER_BYTES, LogEntry, LogHeader, decode_entry, encode_entry};
pub use watch::{AddWatchMode, EventType, KeeperState, WatcherEvent, WatcherType};
