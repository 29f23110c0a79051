//! A client's session as a value: what happened goes in with the time, what is to be done comes out.
//!
//! It knows the protocol of the client port, the order of requests, watches, deletions that must
//! happen, and when a session is over. It does not know sockets, clocks, names of servers, or how
//! callers wait.

mod request;

pub use request::path_of;
pub(crate) use request::size_of;
use std::time::Duration;

use zk_proto::{Request, Response, Xid, Zxid};

/// Names one watcher of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

/// A request to be made. `T` is what its reply is given back with.
#[derive(Debug)]
pub struct Submission<T> {
    /// Goes with the reply.
    pub token: T,
    /// What is asked for, with the server's paths.
    pub request: Request,
    /// The epoch outside of which it must not be made.
    pub pin: Option<u64>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Who hears of the watch that it leaves.
    pub watcher: Option<WatcherId>,
}

/// A successful reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The content.
    pub response: Response,
    /// The request's number; zero when it was answered without being sent.
    pub xid: Xid,
    /// The newest transaction whose effect the reply may show.
    pub zxid: Zxid,
}

/// What is to be deleted. Paths are the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanupTarget {
    /// The znode, whatever it is.
    Path(String),
    /// The znode, if it is an ephemeral one of the session.
    Ephemeral(String),
    /// Every child of `parent` whose name begins with `prefix`.
    Prefix {
        /// The parent.
        parent: String,
        /// The beginning of the names.
        prefix: String,
    },
}
