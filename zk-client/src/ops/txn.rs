//! Several writes, all or none; and several reads in one.

use std::time::Duration;

use bytes::Bytes;
use zk_proto::{ErrorCode, MultiOp, MultiResult, OpCode, ReadOp, Request, Response, Stat};

use super::create::{Create, sequence};
use super::operation;
use super::read::{Node, own};
use super::write::{ANY_VERSION, Delete, Set};
use crate::error::{Error, Kind, Outcome, Result};
use crate::handle::Handle;
use crate::pending::{Outgoing, Pending, WhenFull};

/// One operation of a transaction, made from the builder of the same operation outside of one.
#[derive(Debug, Clone)]
pub struct TxnOp(pub(crate) Result<MultiOp>);

impl From<Create> for TxnOp {
    fn from(create: Create) -> Self {
        Self(create.into_multi_op())
    }
}

impl From<Set> for TxnOp {
    fn from(set: Set) -> Self {
        Self(
            set.handle
                .absolute(OpCode::SET_DATA, set.path)
                .map(|path| MultiOp::SetData {
                    path,
                    data: Some(set.data),
                    version: set.version.unwrap_or(ANY_VERSION),
                }),
        )
    }
}

impl From<Delete> for TxnOp {
    fn from(delete: Delete) -> Self {
        Self(
            delete
                .handle
                .absolute(OpCode::DELETE, delete.path)
                .map(|path| MultiOp::Delete {
                    path,
                    version: delete.version.unwrap_or(ANY_VERSION),
                }),
        )
    }
}

/// The result of one operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TxnResult {
    /// Of a create.
    Created {
        /// The path, completed by the server for a sequential znode.
        path: String,
        /// The sequence number of a sequential znode.
        seq: Option<i32>,
        /// The bookkeeping, where the server gives it: Apache's does for containers and znodes with
        /// a time to live alone.
        stat: Option<Stat>,
    },
    /// Of a set.
    Set(Stat),
    /// Of a delete.
    Deleted,
    /// Of a check.
    Checked,
}

/// Several writes that are applied together, in their order, or not at all.
///
/// ```no_run
/// # async fn doc(zk: zk_client::Client) -> zk_client::Result<()> {
/// zk.txn()
///     .check("/config", Some(3))
///     .set("/config/a", "1")
///     .op(zk.create("/config/log-").data("a = 1").sequential())
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// When an operation fails, the error carries its kind, its path and its
/// [index](Error::txn_index).
#[derive(Debug, Clone)]
#[must_use = "a request is sent by .await or .submit()"]
pub struct Txn {
    handle: Handle,
    ops: Vec<MultiOp>,
    fault: Option<Error>,
    timeout: Option<Duration>,
}

impl Txn {
    /// Adds an operation that needs more than the methods below.
    pub fn op(mut self, op: impl Into<TxnOp>) -> Self {
        match op.into().0 {
            Ok(op) => self.ops.push(op),
            Err(error) => {
                let index = self.ops.len();
                self.fault.get_or_insert(error.with_txn_index(index));
            }
        }
        self
    }

    /// The transaction fails unless the znode exists and, where given, has this version.
    pub fn check(self, path: impl Into<String>, version: Option<i32>) -> Self {
        let path = self.handle.absolute(OpCode::CHECK, path.into());
        self.op(TxnOp(path.map(|path| MultiOp::Check {
            path,
            version: version.unwrap_or(ANY_VERSION),
        })))
    }

    /// Creates a persistent znode.
    pub fn create(self, path: impl Into<String>, data: impl Into<Bytes>) -> Self {
        let create = self.handle.create(path).data(data);
        self.op(create)
    }

    /// Replaces a znode's data, whatever its version.
    pub fn set(self, path: impl Into<String>, data: impl Into<Bytes>) -> Self {
        let set = self.handle.set(path, data);
        self.op(set)
    }

    /// Deletes a znode, whatever its version.
    pub fn delete(self, path: impl Into<String>) -> Self {
        let delete = self.handle.delete(path);
        self.op(delete)
    }

    /// Lets `add` add to the transaction, such as a lock's check of its own znode.
    pub fn with(self, add: impl FnOnce(Self) -> Self) -> Self {
        add(self)
    }

    /// The number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is no operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Sends the transaction; the same as awaiting it.
    ///
    /// # Errors
    /// That of the first operation that failed.
    pub async fn commit(self) -> Result<Vec<TxnResult>> {
        self.await
    }

    pub(crate) fn start(self, full: WhenFull) -> Pending<Vec<TxnResult>> {
        if let Some(fault) = self.fault {
            return Pending::failed(fault);
        }
        let places = self.ops.iter().map(place).collect::<Vec<_>>();
        let local = self.handle.clone();
        let reply = Outgoing::new(Request::Multi(self.ops), self.timeout).send(
            self.handle,
            full,
            |_, response| match response {
                Response::Multi(results) => Some(results),
                _ => None,
            },
        );
        Pending::steps(async move { to_results(&local, &places, reply.await?) })
    }
}

operation!(Txn => Vec<TxnResult>);

fn place(op: &MultiOp) -> (OpCode, String) {
    match op {
        MultiOp::Create(create) => (create.op, create.path.clone()),
        MultiOp::Delete { path, .. } => (OpCode::DELETE, path.clone()),
        MultiOp::SetData { path, .. } => (OpCode::SET_DATA, path.clone()),
        MultiOp::Check { path, .. } => (OpCode::CHECK, path.clone()),
    }
}

/// A failed multi has an error in every place: success before the operation that failed, and
/// "runtime inconsistency" after it.
fn to_results(
    handle: &Handle,
    places: &[(OpCode, String)],
    results: Vec<MultiResult>,
) -> Result<Vec<TxnResult>> {
    let failed = results
        .iter()
        .enumerate()
        .find_map(|(i, result)| match result {
            MultiResult::Error(ErrorCode::OK | ErrorCode::RUNTIME_INCONSISTENCY) => None,
            MultiResult::Error(code) => Some((i, *code)),
            _ => None,
        });
    if let Some((index, code)) = failed {
        let path = places
            .get(index)
            .map(|(_, path)| handle.local(path.clone()));
        let error = Error::not_applied(OpCode::MULTI, path, Kind::of_code(code));
        return Err(error.with_txn_index(index));
    }
    let unexpected = || {
        let kind = Kind::Server(ErrorCode::RUNTIME_INCONSISTENCY);
        Error::new(OpCode::MULTI, None, kind, Outcome::Unknown)
    };
    let created = |asked: &str, path: String, stat| TxnResult::Created {
        seq: sequence(asked, &path),
        path: handle.local(path),
        stat,
    };
    let to_result = |(result, (_, asked)): (MultiResult, &(OpCode, String))| {
        Some(match result {
            MultiResult::Create(path) => created(asked, path, None),
            MultiResult::Create2(path, stat) => created(asked, path, Some(stat)),
            MultiResult::SetData(stat) => TxnResult::Set(stat),
            MultiResult::Delete => TxnResult::Deleted,
            MultiResult::Check => TxnResult::Checked,
            _ => return None,
        })
    };
    if results.len() != places.len() {
        return Err(unexpected());
    }
    results
        .into_iter()
        .zip(places)
        .map(to_result)
        .collect::<Option<Vec<_>>>()
        .ok_or_else(unexpected)
}

/// The result of one read of a [`ReadTxn`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadResult {
    /// Of a get.
    Node(Node),
    /// Of a list of children: their names.
    Children(Vec<String>),
}

/// Several reads in one request; each succeeds or fails by itself. No write comes between them.
#[derive(Debug, Clone)]
#[must_use = "a request is sent by .await or .submit()"]
pub struct ReadTxn {
    handle: Handle,
    ops: Vec<ReadOp>,
    fault: Option<Error>,
    timeout: Option<Duration>,
}

impl ReadTxn {
    /// Adds a read of a znode's data.
    pub fn get(self, path: impl Into<String>) -> Self {
        self.add(OpCode::GET_DATA, path.into(), |path| ReadOp::GetData {
            path,
            watch: false,
        })
    }

    /// Adds a read of the names of a znode's children.
    pub fn children(self, path: impl Into<String>) -> Self {
        self.add(OpCode::GET_CHILDREN, path.into(), |path| {
            ReadOp::GetChildren { path, watch: false }
        })
    }

    fn add(mut self, op: OpCode, path: String, read: impl FnOnce(String) -> ReadOp) -> Self {
        match self.handle.absolute(op, path) {
            Ok(path) => self.ops.push(read(path)),
            Err(error) => {
                self.fault.get_or_insert(error);
            }
        }
        self
    }

    fn start(self, full: WhenFull) -> Pending<Vec<Result<ReadResult>>> {
        if let Some(fault) = self.fault {
            return Pending::failed(fault);
        }
        let paths = self.ops.iter().map(|op| match op {
            ReadOp::GetData { path, .. } => (OpCode::GET_DATA, path.clone()),
            ReadOp::GetChildren { path, .. } => (OpCode::GET_CHILDREN, path.clone()),
        });
        let places = paths.collect::<Vec<_>>();
        let local = self.handle.clone();
        let reply = Outgoing::new(Request::MultiRead(self.ops), self.timeout).send(
            self.handle,
            full,
            |_, response| match response {
                Response::Multi(results) => Some(results),
                _ => None,
            },
        );
        Pending::steps(async move {
            let results = reply.await?.into_iter().zip(places);
            Ok(results
                .map(|(result, (op, path))| to_read_result(&local, op, path, result))
                .collect())
        })
    }
}

operation!(ReadTxn => Vec<Result<ReadResult>>);

fn to_read_result(
    handle: &Handle,
    op: OpCode,
    path: String,
    result: MultiResult,
) -> Result<ReadResult> {
    let code = match result {
        MultiResult::GetData(data, stat) => {
            let data = own(data);
            return Ok(ReadResult::Node(Node { data, stat }));
        }
        MultiResult::GetChildren(names) => {
            let names = names.into_iter().map(String::from).collect();
            return Ok(ReadResult::Children(names));
        }
        MultiResult::Error(code) => code,
        _ => ErrorCode::RUNTIME_INCONSISTENCY,
    };
    let path = Some(handle.local(path));
    Err(Error::not_applied(op, path, Kind::of_code(code)))
}

impl Handle {
    /// Starts a transaction of writes.
    pub fn txn(&self) -> Txn {
        Txn {
            handle: self.clone(),
            ops: Vec::new(),
            fault: None,
            timeout: None,
        }
    }

    /// Starts a request of several reads.
    pub fn read_txn(&self) -> ReadTxn {
        ReadTxn {
            handle: self.clone(),
            ops: Vec::new(),
            fault: None,
            timeout: None,
        }
    }
}
