//! An async ZooKeeper client whose sessions, watches and errors tell the truth.
//!
//! - A [`Client`] survives the expiry of its session by opening another; a [`SessionRef`] does not,
//!   and says when and why it is over. [`SessionRef::valid_until`] says until when it surely lives.
//! - An [`Error`] knows the operation, the path, the kind, and whether the ensemble may have done it
//!   all the same ([`Outcome`]).
//! - Requests are pipelined in the order of their calls: every operation is a builder that is
//!   awaited, or submitted now and awaited later.
//! - Watches are futures and streams, with an explicit [`WatchEvent::Gap`] where events may be
//!   missing, and an end that carries its reason. There are no callbacks.
//! - What was begun is undone: a create whose future is dropped, or an [`OwnedNode`], is deleted by
//!   the client's own task, over lost connections.
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! use zk_client::{Client, Kind};
//!
//! let zk = Client::connect("zk1:2181,zk2:2181,zk3:2181/app").await?;
//! let (node, changed) = zk.get("/config").watched().await?;
//! println!("{} bytes of version {}", node.data.len(), node.stat.version);
//! println!("{:?}", changed.await?);
//!
//! // Pipelined: one round trip.
//! let first = zk.create("/a", ).data("1").submit();
//! let second = zk.create("/a/b").data("2").submit();
//! first.await?;
//! match second.await {
//!     Ok(created) => println!("{}", created.path()),
//!     Err(error) if *error.kind() == Kind::NodeExists => println!("there already"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The protocol lives in [`session`], a state machine without sockets and clocks; one task per
//! client owns it together with the socket.

mod config;
mod connect_string;
mod driver;
mod error;
mod handle;
mod ops;
mod owned;
mod pending;
mod resolve;
pub mod session;
mod state;
mod token;
mod watch;

pub use config::{Builder, ClientConfig, Credentials};
pub use connect_string::{ConnectString, ConnectStringError, DEFAULT_PORT, HostPort};
pub use error::{CreateError, Error, Kind, Outcome, Result};
pub use handle::{Client, Handle, SessionRef};
pub use ops::{
    AllChildrenNumber, Check, Children, Create, CreateOwned, Created, Delete, Exists,
    ExistsWatched, Get, GetAcl, GetChildren, GetChildrenWatched, GetConfig, GetEphemerals,
    GetWatched, Node, Parents, ReadResult, ReadTxn, Reconfig, Set, SetAcl, Sync, Txn, TxnOp,
    TxnResult, Watch, WhoAmI,
};
pub use owned::OwnedNode;
pub use pending::Pending;
pub use resolve::Resolve;
pub use state::{CloseReport, SessionEnd, State, StateChange, StateStream};
pub use token::SessionToken;
pub use watch::{GapCause, OneShot, WatchEnd, WatchEvent, WatchItem, WatchStream};
pub use zk_proto::{
    Acl, CreateMode, ErrorCode, Id, OpCode, Path, PathError, Perms, SessionId, Stat, Zxid,
};
