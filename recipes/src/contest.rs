//! Contending for the first place in a directory.
//!
//! ```text
//!            ┌──────────────── own znode gone, session over ─────────────────┐
//!            ▼                                                               │
//!   live session ─► create2 (ephemeral, sequential, protected) ─► list ─► place?
//!                                                                  ▲    │      │
//!                                            watch of the one ─────┘    │      └─► first: won,
//!                                            before fires, or it ◄──────┘          if the session
//!                                            is gone already        behind         still lives
//! ```
//!
//! The create, what becomes of it when its reply is lost or nobody waits any longer, and the check
//! of the owner when it is found again, are the client's ([`zk_client::Create::owned`]). Uncontended
//! it is two round trips. Only the contender right before is watched, so that a release wakes one.

use bytes::Bytes;
use tracing::{Instrument, Span, debug_span, warn};
use zk_client::{Acl, Handle, Kind, OneShot, OwnedNode, Parents, Path, Zxid};

use crate::error::{Result, passes};
use crate::layout::{Layout, Place, Queue, child};
use crate::term::{Holding, LossPolicy};

/// What a contender is made from.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) handle: Handle,
    pub(crate) directory: String,
    pub(crate) layout: Layout,
    pub(crate) data: Bytes,
    pub(crate) acl: Option<Vec<Acl>>,
    pub(crate) parents: Parents,
    pub(crate) policy: LossPolicy,
}

impl Entry {
    pub(crate) fn new(handle: &Handle, directory: String, layout: Layout) -> Self {
        Self {
            handle: handle.clone(),
            directory,
            layout,
            data: Bytes::new(),
            acl: None,
            parents: Parents::Container,
            policy: LossPolicy::default(),
        }
    }

    pub(crate) fn checked(self) -> Result<Self> {
        Path::parse(&self.directory)?;
        Ok(self)
    }

    /// Contends until it has won, again after every loss of the place.
    pub(crate) async fn win(&self) -> Result<Holding> {
        let winning = async {
            loop {
                let contender = self.enter().await?;
                if let Some(holding) = contender.win(self.policy).await? {
                    return Ok(holding);
                }
            }
        };
        winning.instrument(self.wait_span()).await
    }

    /// Spans the wait for the first place.
    pub(crate) fn wait_span(&self) -> Span {
        debug_span!(target: "zk_recipes", "wait", zk.path = self.directory)
    }

    /// Takes a place in the queue.
    pub(crate) async fn enter(&self) -> Result<Contender> {
        loop {
            let session = self.handle.live_session().await?;
            let prefix = self.layout.prefix(&self.directory);
            let create = session.create(prefix).data(self.data.clone());
            let create = match &self.acl {
                Some(acl) => create.acl(acl.clone()),
                None => create,
            };
            let create = create.ephemeral().sequential().parents(self.parents);
            match create.owned().await {
                Ok(node) => {
                    return Ok(Contender {
                        node,
                        directory: self.directory.clone(),
                        warned: false,
                    });
                }
                Err(error) if session.end().is_some() || passes(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A place in the queue, given up when dropped.
#[derive(Debug)]
pub(crate) struct Contender {
    node: OwnedNode,
    directory: String,
    warned: bool,
}

/// What a look at the directory shows.
pub(crate) enum Standing {
    First,
    /// Behind the contender with this path.
    Behind(String),
    /// The znode is gone, with its session or without.
    Gone,
}

impl Contender {
    pub(crate) fn of(node: OwnedNode, directory: String) -> Self {
        Self {
            node,
            directory,
            warned: true,
        }
    }

    /// Waits to become first. `None` when the place is lost: somebody deleted the znode, or the
    /// session is over.
    pub(crate) async fn win(mut self, policy: LossPolicy) -> Result<Option<Holding>> {
        loop {
            match self.look().await? {
                Standing::First => return Ok(Some(self.into_holding(policy))),
                Standing::Gone => return Ok(None),
                Standing::Behind(path) => {
                    let Some(watch) = self.watch(&path).await? else {
                        continue;
                    };
                    // Whatever ends the watch, the next look says what it means.
                    let _event = watch.await;
                }
            }
        }
    }

    pub(crate) fn into_holding(self, policy: LossPolicy) -> Holding {
        Holding::new(self.node, self.directory, policy)
    }

    /// Deletes the znode and waits until it is gone.
    pub(crate) async fn leave(self) -> Result<()> {
        let session = self.node.session().clone();
        match self.node.release().await {
            // The servers delete the znodes of a session that is over.
            Err(_) if session.end().is_some() => Ok(()),
            left => Ok(left?),
        }
    }

    pub(crate) async fn look(&mut self) -> Result<Standing> {
        let session = self.node.session().clone();
        let names = loop {
            match session.children(self.directory.clone()).await {
                Ok(children) => break children.names,
                Err(_) if session.end().is_some() => return Ok(Standing::Gone),
                Err(error) if *error.kind() == Kind::NoNode => return Ok(self.removed()),
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let queue = match order(&session, &self.directory, &names).await {
            Ok(queue) => queue,
            Err(_) if session.end().is_some() => return Ok(Standing::Gone),
            Err(error) => return Err(error),
        };
        self.warn_of(&queue);
        Ok(match queue.place(self.node.created().name()) {
            // A list that was asked for in a session which is over by now proves nothing.
            _ if !self.is_own() => Standing::Gone,
            Place::First => Standing::First,
            Place::Behind(before) => Standing::Behind(child(&self.directory, before)),
            Place::Absent => self.removed(),
        })
    }

    /// Whether the znode is of the session that contends, and that session is not over.
    fn is_own(&self) -> bool {
        let session = self.node.session();
        session.end().is_none() && self.node.stat().ephemeral_owner == session.id().0
    }

    fn removed(&self) -> Standing {
        warn!(
            path = self.node.path(),
            "the own znode was deleted by somebody else"
        );
        Standing::Gone
    }

    /// Watches a contender; `None` when it is gone.
    async fn watch(&self, path: &str) -> Result<Option<OneShot>> {
        let session = self.node.session();
        loop {
            match session.get(path).watched().await {
                Ok((_, watch)) => return Ok(Some(watch)),
                Err(error) if *error.kind() == Kind::NoNode => return Ok(None),
                Err(_) if session.end().is_some() => return Ok(None),
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says once what may upset the order.
    fn warn_of(&mut self, queue: &Queue<'_>) {
        if std::mem::replace(&mut self.warned, true) {
            return;
        }
        let directory = &self.directory;
        if queue.foreign() > 0 {
            warn!(
                directory,
                foreign = queue.foreign(),
                "children that are no contenders"
            );
        }
        if let Some(family) = queue.blind_family() {
            warn!(
                directory,
                ?family,
                "contenders that do not see this one: both may hold"
            );
        }
    }
}

/// Puts names in order, asking for the znodes' transactions where their numbers do not tell.
pub(crate) async fn order<'a>(
    handle: &Handle,
    directory: &str,
    names: &'a [String],
) -> Result<Queue<'a>> {
    let mut queue = Queue::new(names);
    if queue.is_certain() {
        return Ok(queue);
    }
    warn!(
        directory,
        "the sequence numbers overflow: recreate the directory when it is empty"
    );
    let mut created = Vec::<(&str, Zxid)>::new();
    for contender in queue.contenders() {
        let path = child(directory, contender.name());
        let stat = loop {
            match handle.exists(path.clone()).await {
                Ok(stat) => break stat,
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error.into()),
            }
        };
        created.extend(stat.map(|stat| (contender.name(), stat.czxid)));
    }
    queue.sort_by_zxid(|name| {
        let found = created.iter().find(|(created, _)| *created == name);
        found.map(|(_, czxid)| *czxid)
    });
    Ok(queue)
}
