//! Creating znodes.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;
use zk_proto::{Acl, CreateMode, MultiOp, OpCode, Path, Request, Response, Stat};

use super::{operation, protect};
use crate::error::{Error, Kind, Result};
use crate::handle::Handle;
use crate::owned::OwnedNode;
use crate::pending::{Outgoing, Pending, WhenFull};

/// What to do about ancestors that do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Parents {
    /// Fail with [`Kind::NoNode`].
    #[default]
    Require,
    /// Create them as persistent znodes.
    Persistent,
    /// Create them as containers, which the server deletes some time after their last child.
    Container,
}

/// A znode that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    path: String,
    stat: Stat,
    seq: Option<i32>,
}

impl Created {
    /// From the server's names of what was asked for and of what was created.
    pub(crate) fn new(handle: &Handle, asked: &str, path: String, stat: Stat) -> Self {
        Self {
            seq: sequence(asked, &path),
            path: handle.local(path),
            stat,
        }
    }

    /// The path, completed by the server for a sequential znode.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path, taken out.
    #[must_use]
    pub fn into_path(self) -> String {
        self.path
    }

    /// The path's last part.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or("")
    }

    /// The bookkeeping. Its `czxid` is unique over the ensemble's life and grows: a fencing token.
    #[must_use]
    pub const fn stat(&self) -> &Stat {
        &self.stat
    }

    /// The sequence number of a sequential znode. After `i32::MAX` come the negative numbers, and
    /// a parent that was deleted and created again starts over at zero.
    #[must_use]
    pub const fn seq(&self) -> Option<i32> {
        self.seq
    }
}

/// The number by which the server has completed a name.
pub(crate) fn sequence(asked: &str, created: &str) -> Option<i32> {
    created.strip_prefix(asked)?.parse().ok()
}

/// Creates a znode: persistent, with the client's default ACL and without data, unless told
/// otherwise.
#[derive(Debug, Clone)]
#[must_use = "a request is sent by .await or .submit()"]
pub struct Create {
    pub(crate) handle: Handle,
    pub(crate) path: String,
    data: Bytes,
    mode: CreateMode,
    sequential: bool,
    ttl: Option<Duration>,
    acl: Option<Vec<Acl>>,
    pub(crate) protected: bool,
    pub(crate) parents: Parents,
    pub(crate) timeout: Option<Duration>,
}

impl Create {
    /// The data.
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// The znode is deleted with the session.
    pub fn ephemeral(mut self) -> Self {
        self.mode = CreateMode::Ephemeral;
        self
    }

    /// The server completes the name by the parent's counter. The path may then end with a slash.
    pub fn sequential(mut self) -> Self {
        self.sequential = true;
        self
    }

    /// The server deletes the znode some time after its last child.
    pub fn container(mut self) -> Self {
        self.mode = CreateMode::Container;
        self
    }

    /// The server deletes the znode when it has no children and was not changed for so long.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.mode = CreateMode::PersistentWithTtl;
        self.ttl = Some(ttl);
        self
    }

    /// The ACL, instead of the client's default.
    pub fn acl(mut self, acl: impl Into<Vec<Acl>>) -> Self {
        self.acl = Some(acl.into());
        self
    }

    /// What to do about ancestors that do not exist.
    pub fn parents(mut self, parents: Parents) -> Self {
        self.parents = parents;
        self
    }

    /// Makes the outcome certain, as Curator's protection does: the name gets a prefix, `_c_`, a
    /// UUID and `-`. When the reply is lost, the client finds the znode by it after the reconnect;
    /// one that belongs to another session is deleted and created anew. When the future is dropped
    /// before it is ready, or times out, the client deletes in the background what it may have
    /// created.
    pub fn protected(mut self) -> Self {
        self.protected = true;
        self
    }

    /// Gives the znode to a value that deletes it when dropped. It must be recognizable after a
    /// lost reply: a sequential znode is [`protected`](Self::protected) implicitly, any other one
    /// must be protected or ephemeral. Like a protected create, this leaves no znode behind when
    /// the future is dropped.
    pub fn owned(mut self) -> CreateOwned {
        self.protected |= self.sequential;
        CreateOwned {
            timeout: self.timeout,
            create: self,
        }
    }

    fn start(self, full: WhenFull) -> Pending<Created> {
        if self.protected || self.parents != Parents::Require {
            return protect::start(self, false, full, protect::Run::into_created);
        }
        match self.prepare(None) {
            Ok(prepared) => prepared.send(self.handle, full, self.timeout),
            Err(error) => Pending::failed(error),
        }
    }

    pub(crate) fn is_ephemeral(&self) -> bool {
        self.mode.is_ephemeral()
    }

    pub(crate) fn refuse(&self, kind: Kind) -> Error {
        Error::not_applied(OpCode::CREATE2, Some(self.path.clone()), kind)
    }

    /// The request, its name protected by `uuid`.
    pub(crate) fn prepare(&self, uuid: Option<&Uuid>) -> Result<Prepared> {
        let mode = self.full_mode()?;
        let path = match uuid {
            None => self.path.clone(),
            Some(uuid) => {
                let at = self.path.rfind('/').map_or(0, |slash| slash + 1);
                let (parent, name) = self.path.split_at(at);
                format!("{parent}{}{name}", protection(uuid))
            }
        };
        // The server checks a sequential path as if its number stood there already.
        let checked = if mode.is_sequential() {
            Path::parse(&format!("{path}1")).map(drop)
        } else {
            Path::parse(&path).map(drop)
        };
        checked.map_err(|error| self.refuse(Kind::InvalidPath(error)))?;
        let ttl_ms = match self.ttl {
            None => 0,
            Some(ttl) => i64::try_from(ttl.as_millis())
                .ok()
                .filter(|ttl_ms| (1..=zk_proto::TTL_MS_MAX).contains(ttl_ms))
                .ok_or_else(|| self.refuse(Kind::BadArguments("time to live out of range")))?,
        };
        let op = match mode {
            CreateMode::Container => OpCode::CREATE_CONTAINER,
            CreateMode::PersistentWithTtl | CreateMode::PersistentSequentialWithTtl => {
                OpCode::CREATE_TTL
            }
            CreateMode::Persistent
            | CreateMode::Ephemeral
            | CreateMode::PersistentSequential
            | CreateMode::EphemeralSequential => OpCode::CREATE2,
        };
        let default_acl = || self.handle.shared().default_acl.clone();
        Ok(Prepared(zk_proto::Create {
            op,
            path: self.handle.absolute_unchecked(path),
            data: Some(self.data.clone()),
            acl: self.acl.clone().unwrap_or_else(default_acl),
            flags: mode.to_flags(),
            ttl_ms,
        }))
    }

    fn full_mode(&self) -> Result<CreateMode> {
        if self.ttl.is_some() && self.mode != CreateMode::PersistentWithTtl {
            return Err(self.refuse(Kind::BadArguments("a time to live with another mode")));
        }
        Ok(match (self.mode, self.sequential) {
            (mode, false) => mode,
            (CreateMode::Ephemeral, true) => CreateMode::EphemeralSequential,
            (CreateMode::PersistentWithTtl, true) => CreateMode::PersistentSequentialWithTtl,
            (CreateMode::Container, true) => {
                return Err(self.refuse(Kind::BadArguments("a container cannot be sequential")));
            }
            (_, true) => CreateMode::PersistentSequential,
        })
    }

    pub(crate) fn into_multi_op(self) -> Result<MultiOp> {
        if self.protected || self.parents != Parents::Require {
            let kind = "a transaction has no protected creates and makes no parents";
            return Err(self.refuse(Kind::BadArguments(kind)));
        }
        self.prepare(None)
            .map(|prepared| MultiOp::Create(prepared.0))
    }
}

operation!(Create => Created);

/// The prefix by which a znode is found again.
pub(crate) fn protection(uuid: &Uuid) -> String {
    format!("_c_{uuid}-")
}

/// A create as it is sent.
pub(crate) struct Prepared(zk_proto::Create);

impl Prepared {
    pub(crate) fn send(
        self,
        handle: Handle,
        full: WhenFull,
        timeout: Option<Duration>,
    ) -> Pending<Created> {
        let sequential = self.0.mode().is_some_and(CreateMode::is_sequential);
        let asked = sequential.then(|| (handle.clone(), self.0.path.clone()));
        let outgoing = Outgoing::new(Request::Create(self.0), timeout);
        match asked {
            None => outgoing.send(handle, full, |handle, response| match response {
                Response::PathAndStat(path, stat) => Some(Created::new(handle, "", path, stat)),
                _ => None,
            }),
            Some((local, asked)) => {
                let reply = outgoing.send(handle, full, |_, response| match response {
                    Response::PathAndStat(path, stat) => Some((path, stat)),
                    _ => None,
                });
                Pending::steps(async move {
                    let (path, stat) = reply.await?;
                    Ok(Created::new(&local, &asked, path, stat))
                })
            }
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.0.path
    }
}

/// Creates a znode that is deleted when the value that holds it is dropped; see
/// [`Create::owned`].
#[derive(Debug, Clone)]
#[must_use = "a request is sent by .await or .submit()"]
pub struct CreateOwned {
    create: Create,
    timeout: Option<Duration>,
}

impl CreateOwned {
    fn start(mut self, full: WhenFull) -> Pending<OwnedNode> {
        self.create.timeout = self.timeout;
        if !self.create.protected && !self.create.is_ephemeral() {
            let kind = Kind::BadArguments("an owned znode is protected or ephemeral");
            return Pending::failed(self.create.refuse(kind));
        }
        protect::start(self.create, true, full, protect::Run::into_owned)
    }
}

operation!(CreateOwned => OwnedNode);

impl Handle {
    /// Creates a znode.
    ///
    /// ```no_run
    /// # async fn doc(zk: zk_client::Client) -> zk_client::Result<()> {
    /// use zk_client::Parents;
    /// let job = zk
    ///     .create("/jobs/job-")
    ///     .data("42")
    ///     .ephemeral()
    ///     .sequential()
    ///     .protected()
    ///     .parents(Parents::Container)
    ///     .await?;
    /// println!("{} is number {:?}", job.path(), job.seq());
    /// # Ok(())
    /// # }
    /// ```
    pub fn create(&self, path: impl Into<String>) -> Create {
        Create {
            handle: self.clone(),
            path: path.into(),
            data: Bytes::new(),
            mode: CreateMode::Persistent,
            sequential: false,
            ttl: None,
            acl: None,
            protected: false,
            parents: Parents::default(),
            timeout: None,
        }
    }
}
