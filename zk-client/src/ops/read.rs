//! Reads: exists, get, children, ACL, and the two ways to be sure of what is read.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use zk_proto::{Acl, OpCode, Request, Response, Stat};

use super::operation;
use crate::driver::Sink;
use crate::error::Result;
use crate::handle::Handle;
use crate::pending::{Convert, Outgoing, Pending, WhenFull};
use crate::watch::{OneShot, Registration};

/// A znode's data and bookkeeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The data; empty also where the server holds none.
    pub data: Bytes,
    /// The bookkeeping.
    pub stat: Stat,
}

/// A znode's children and its own bookkeeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Children {
    /// The names, without the parent's path, in no order.
    pub names: Vec<String>,
    /// The bookkeeping of the parent.
    pub stat: Stat,
}

/// Data shorter than this is copied out of the buffer that it was received in, so that a value which
/// is kept does not keep the replies around it.
const COPY_BYTES_MAX: usize = 16 << 10;

pub(crate) fn own(data: Option<Bytes>) -> Bytes {
    match data {
        None => Bytes::new(),
        Some(data) if data.len() < COPY_BYTES_MAX => Bytes::copy_from_slice(&data),
        Some(data) => data,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of every conversion"
)]
fn to_stat_if_any(_: &Handle, response: Response) -> Option<Option<Stat>> {
    match response {
        Response::Stat(stat) => Some(Some(stat)),
        Response::Empty => Some(None),
        _ => None,
    }
}

fn to_node(_: &Handle, response: Response) -> Option<Node> {
    match response {
        Response::Data(data, stat) => Some(Node {
            data: own(data),
            stat,
        }),
        _ => None,
    }
}

fn to_children(_: &Handle, response: Response) -> Option<Children> {
    match response {
        Response::ChildrenAndStat(names, stat) => Some(Children {
            names: names.into_iter().map(String::from).collect(),
            stat,
        }),
        _ => None,
    }
}

fn to_acl(_: &Handle, response: Response) -> Option<(Vec<Acl>, Stat)> {
    match response {
        Response::Acl(acl, stat) => Some((acl, stat)),
        _ => None,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of every conversion"
)]
fn to_nothing(_: &Handle, response: Response) -> Option<()> {
    match response {
        Response::Path(_) => Some(()),
        _ => None,
    }
}

/// Sends a request on one path.
pub(crate) fn start_on_path<T: Send + 'static>(
    handle: Handle,
    op: OpCode,
    path: String,
    timeout: Option<Duration>,
    full: WhenFull,
    request: impl FnOnce(String) -> Request,
    convert: Convert<T>,
) -> Pending<T> {
    match handle.absolute(op, path) {
        Ok(path) => Outgoing::new(request(path), timeout).send(handle, full, convert),
        Err(error) => Pending::failed(error),
    }
}

/// Sends a read that leaves a one-shot watch.
fn start_watched<T: Send + 'static>(
    handle: Handle,
    op: OpCode,
    path: String,
    timeout: Option<Duration>,
    full: WhenFull,
    request: impl FnOnce(String) -> Request,
    convert: Convert<T>,
) -> Pending<(T, OneShot)> {
    let path = match handle.absolute(op, path) {
        Ok(path) => path,
        Err(error) => return Pending::failed(error),
    };
    let id = handle.next_watcher();
    let (sink, receiver) = oneshot::channel();
    let watch = OneShot::new(receiver, Registration::new(handle.clone(), id));
    let mut outgoing = Outgoing::new(request(path), timeout);
    outgoing.watch = Some((id, Sink::Once(sink)));
    let reply = outgoing.send(handle, full, convert);
    Pending::steps(async move { Ok((reply.await?, watch)) })
}

macro_rules! read {
    (
        $(#[$doc:meta])* $builder:ident, $op:ident, $output:ty, $convert:ident,
        |$path:ident, $watch:ident| $request:expr
        $(, $(#[$wdoc:meta])* watched $watched:ident)?
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "a request is sent by .await or .submit()"]
        pub struct $builder {
            handle: Handle,
            path: String,
            timeout: Option<Duration>,
        }

        impl $builder {
            pub(crate) fn new(handle: &Handle, path: String) -> Self {
                Self { handle: handle.clone(), path, timeout: None }
            }

            fn start(self, full: WhenFull) -> Pending<$output> {
                let $watch = false;
                let request = |$path| $request;
                start_on_path(
                    self.handle, OpCode::$op, self.path, self.timeout, full, request, $convert,
                )
            }
        }

        operation!($builder => $output);

        $(
            impl $builder {
                /// Leaves a one-shot watch as well.
                pub fn watched(self) -> $watched {
                    $watched { handle: self.handle, path: self.path, timeout: self.timeout }
                }
            }

            $(#[$wdoc])*
            #[derive(Debug)]
            #[must_use = "a request is sent by .await or .submit()"]
            pub struct $watched {
                handle: Handle,
                path: String,
                timeout: Option<Duration>,
            }

            impl $watched {
                fn start(self, full: WhenFull) -> Pending<($output, OneShot)> {
                    let $watch = true;
                    let request = |$path| $request;
                    start_watched(
                        self.handle, OpCode::$op, self.path, self.timeout, full, request, $convert,
                    )
                }
            }

            operation!($watched => ($output, OneShot));
        )?
    };
}

read! {
    /// Asks for a znode's bookkeeping; `None` when it does not exist.
    Exists, EXISTS, Option<Stat>, to_stat_if_any,
    |path, watch| Request::Exists { path, watch },
    /// The same, leaving a watch: on a present znode for a change of its data or its deletion, on an
    /// absent one for its creation.
    watched ExistsWatched
}

read! {
    /// Asks for a znode's data.
    Get, GET_DATA, Node, to_node,
    |path, watch| Request::GetData { path, watch },
    /// The same, leaving a watch for a change of the data or the znode's deletion.
    watched GetWatched
}

read! {
    /// Asks for the names of a znode's children.
    GetChildren, GET_CHILDREN2, Children, to_children,
    |path, watch| Request::GetChildren2 { path, watch },
    /// The same, leaving a watch for a child's creation or deletion, or the znode's own deletion.
    watched GetChildrenWatched
}

read! {
    /// Asks for a znode's ACL.
    GetAcl, GET_ACL, (Vec<Acl>, Stat), to_acl,
    |path, _watch| Request::GetAcl { path }
}

read! {
    /// Brings the server up to where the leader was when it was asked. Reads that follow in the same
    /// session see at least that. It is no quorum operation: a leader that is just being replaced may
    /// answer (ZOOKEEPER-1675); where that matters, write.
    Sync, SYNC, (), to_nothing,
    |path, _watch| Request::Sync { path }
}

/// Checks a znode's version, as a transaction of one check: the server refuses a check outside of
/// one.
#[derive(Debug)]
#[must_use = "a request is sent by .await or .submit()"]
pub struct Check {
    handle: Handle,
    path: String,
    version: Option<i32>,
    timeout: Option<Duration>,
}

impl Check {
    /// The version that the data must have; without one the znode must exist.
    pub fn version(mut self, version: i32) -> Self {
        self.version = Some(version);
        self
    }

    fn start(self, full: WhenFull) -> Pending<()> {
        let mut txn = self.handle.txn().check(self.path, self.version);
        if let Some(timeout) = self.timeout {
            txn = txn.timeout(timeout);
        }
        let reply = txn.start(full);
        Pending::steps(async move { reply.await.map(drop) })
    }
}

operation!(Check => ());

impl Handle {
    /// Asks for a znode's bookkeeping; `None` when it does not exist.
    pub fn exists(&self, path: impl Into<String>) -> Exists {
        Exists::new(self, path.into())
    }

    /// Asks for a znode's data.
    pub fn get(&self, path: impl Into<String>) -> Get {
        Get::new(self, path.into())
    }

    /// Asks for the names of a znode's children.
    pub fn children(&self, path: impl Into<String>) -> GetChildren {
        GetChildren::new(self, path.into())
    }

    /// Asks for a znode's ACL.
    pub fn get_acl(&self, path: impl Into<String>) -> GetAcl {
        GetAcl::new(self, path.into())
    }

    /// Brings the server up to the leader; see [`Sync`].
    pub fn sync(&self, path: impl Into<String>) -> Sync {
        Sync::new(self, path.into())
    }

    /// Checks that a znode exists, or has a certain version.
    pub fn check(&self, path: impl Into<String>) -> Check {
        Check {
            handle: self.clone(),
            path: path.into(),
            version: None,
            timeout: None,
        }
    }

    /// Reads a znode's data as it is after [`sync`](Self::sync), in one round trip of two pipelined
    /// requests.
    ///
    /// # Errors
    /// As [`sync`](Self::sync) and [`get`](Self::get).
    pub async fn get_latest(&self, path: impl Into<String>) -> Result<Node> {
        let path = path.into();
        let sync = self.sync(path.clone()).into_future();
        let node = self.get(path).into_future();
        sync.await?;
        node.await
    }
}
