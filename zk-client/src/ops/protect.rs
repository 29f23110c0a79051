//! Creates of more than one step: missing parents are made, a lost reply is resolved, and what was
//! begun is undone when nobody waits any longer.
//!
//! ```text
//!            ┌────────────── parents made ◄──────────────┐
//!            ▼                                           │ no parent
//!   create (session S, uuid) ──► reply ──► ok            │
//!            ▲                     ├─────────────────────┘
//!            │ none                ▼ lost
//!            └── sync, list ◄──────┘
//!                  └──► found: of session S ──► ok; of another ──► discard, create
//!   session over: of a pinned handle ──► error; else the next session, another uuid
//! ```

use uuid::Uuid;
use zk_proto::{OpCode, Path};

use super::create::{Create, Created, Parents, protection};
use crate::error::{Error, Kind, Outcome, Result};
use crate::handle::{Handle, SessionRef};
use crate::owned::{OwnedNode, Undo};
use crate::pending::{Pending, WhenFull};
use crate::session::CleanupTarget;

/// How often parents are made again that vanish before the znode is created.
const PARENT_ROUNDS_MAX: u32 = 8;

/// One create under way.
pub(crate) struct Run {
    create: Create,
    /// The session in which it is tried.
    session: SessionRef,
    /// Marks the name of a protected create.
    uuid: Option<Uuid>,
    owned: bool,
    undo: Undo,
}

/// What becomes of the created znode.
pub(crate) type Finish<T> = fn(Run, Created) -> T;

/// Sends the first request now; the others follow as the future is polled.
pub(crate) fn start<T: Send + 'static>(
    create: Create,
    owned: bool,
    full: WhenFull,
    finish: Finish<T>,
) -> Pending<T> {
    let timeout = create.timeout.or(create.handle.shared().request_timeout);
    let late = create.refuse(Kind::Timeout).with_outcome(Outcome::Unknown);
    let mut run = Run::new(create, owned);
    let first = match run.send(full) {
        Ok(first) => first,
        Err(error) => return Pending::failed(error),
    };
    let steps = async move {
        let created = run.finish(first).await?;
        Ok(finish(run, created))
    };
    match timeout {
        None => Pending::steps(steps),
        Some(timeout) => Pending::steps(async move {
            tokio::time::timeout(timeout, steps)
                .await
                .unwrap_or(Err(late))
        }),
    }
}

impl Run {
    fn new(create: Create, owned: bool) -> Self {
        let session = create.handle.session();
        let undo = Undo::idle(&create.handle, &session, create.is_ephemeral());
        Self {
            uuid: create.protected.then(Uuid::new_v4),
            create,
            session,
            owned,
            undo,
        }
    }

    /// Arms the undo, then sends the create.
    fn send(&mut self, full: WhenFull) -> Result<Pending<Created>> {
        let prepared = self.create.prepare(self.uuid.as_ref())?;
        let handle: &Handle = match &self.uuid {
            Some(uuid) => {
                self.undo.target = Some(CleanupTarget::Prefix {
                    parent: self.create.handle.absolute_unchecked(self.parent()),
                    prefix: protection(uuid),
                });
                &self.session
            }
            None if self.owned => {
                self.undo.target = Some(CleanupTarget::Ephemeral(prepared.path().to_owned()));
                &self.session
            }
            None => &self.create.handle,
        };
        Ok(prepared.send(handle.clone(), full, self.create.timeout))
    }

    async fn finish(&mut self, mut reply: Pending<Created>) -> Result<Created> {
        let mut parent_rounds = 0;
        loop {
            let error = match reply.await {
                Ok(created) => return Ok(created),
                Err(error) => error,
            };
            match error.kind() {
                Kind::NoNode
                    if self.create.parents != Parents::Require
                        && parent_rounds < PARENT_ROUNDS_MAX =>
                {
                    parent_rounds += 1;
                    self.undo.disarm();
                    make_parents(&self.create).await?;
                }
                Kind::SessionEnded(_) if self.may_change_session() => self.next_session().await?,
                Kind::ConnectionLoss | Kind::Timeout if self.uuid.is_some() => {
                    match self.find().await {
                        Ok(Some(created)) => return Ok(created),
                        Ok(None) => {}
                        Err(error) => match error.kind() {
                            Kind::SessionEnded(_) if self.may_change_session() => {
                                self.next_session().await?;
                            }
                            _ => return Err(error),
                        },
                    }
                }
                _ => {
                    if error.outcome() == Outcome::NotApplied {
                        self.undo.disarm();
                    }
                    return Err(error);
                }
            }
            reply = self.send(WhenFull::Wait)?;
        }
    }

    fn may_change_session(&self) -> bool {
        self.create.handle.pin().is_none()
    }

    /// Goes on in the next session, under another name: what an earlier session may have created is
    /// left to its undo.
    async fn next_session(&mut self) -> Result<()> {
        self.session = self.create.handle.live_session().await?;
        self.uuid = self.uuid.map(|_| Uuid::new_v4());
        self.undo = Undo::idle(
            &self.create.handle,
            &self.session,
            self.create.is_ephemeral(),
        );
        Ok(())
    }

    fn parent(&self) -> String {
        match self.create.path.rfind('/') {
            None | Some(0) => "/".to_owned(),
            Some(slash) => self.create.path.split_at(slash).0.to_owned(),
        }
    }

    /// The znode that a create without a reply has made in this session, if it has. The sync comes
    /// first because the server that answers now may be behind the one that was asked then.
    async fn find(&self) -> Result<Option<Created>> {
        let Some(uuid) = &self.uuid else {
            return Ok(None);
        };
        let prefix = protection(uuid);
        let parent = self.parent();
        let lost = |error: Error| {
            let path = self.create.path.clone();
            error.within(OpCode::CREATE2, path, Outcome::Unknown)
        };
        let names = loop {
            let sync = self.session.sync(parent.clone()).into_future();
            let list = self.session.children(parent.clone()).into_future();
            let listed = match sync.await {
                Ok(()) => list.await,
                Err(error) => Err(error),
            };
            match listed {
                Ok(children) => break children.names,
                Err(error) => match error.kind() {
                    Kind::NoNode => return Ok(None),
                    Kind::ConnectionLoss | Kind::Timeout | Kind::Throttled => {}
                    _ => return Err(lost(error)),
                },
            }
        };
        let parent = if parent == "/" { "" } else { parent.as_str() };
        for name in names.iter().filter(|name| name.starts_with(&prefix)) {
            let path = format!("{parent}/{name}");
            let Some(stat) = self.session.exists(path.clone()).await.map_err(lost)? else {
                continue;
            };
            if self.create.is_ephemeral() && stat.ephemeral_owner != self.session.id().0 {
                self.create.handle.discard(&path)?;
                continue;
            }
            let asked = self.create.prepare(Some(uuid))?;
            let path = self.create.handle.absolute_unchecked(path);
            return Ok(Some(Created::new(
                &self.create.handle,
                asked.path(),
                path,
                stat,
            )));
        }
        Ok(None)
    }

    /// The znode stays.
    pub(crate) fn into_created(mut self, created: Created) -> Created {
        self.undo.disarm();
        created
    }

    /// The znode goes with its owner.
    pub(crate) fn into_owned(mut self, created: Created) -> OwnedNode {
        let path = self
            .create
            .handle
            .absolute_unchecked(created.path().to_owned());
        self.undo.target = Some(match self.uuid {
            Some(_) => CleanupTarget::Path(path),
            None => CleanupTarget::Ephemeral(path),
        });
        OwnedNode::new(created, self.session, self.undo)
    }
}

/// Makes the ancestors that are missing, the handle's root included. Finding out first costs one
/// round trip and spares the ensemble a transaction for each ancestor that exists.
async fn make_parents(create: &Create) -> Result<()> {
    let top = create.handle.unrooted();
    let wrap = |error: Error| {
        let path = create.path.clone();
        error.within(OpCode::CREATE2, path, Outcome::NotApplied)
    };
    let absolute = create.handle.absolute_unchecked(create.path.clone());
    let ancestors = absolute
        .match_indices('/')
        .map(|(slash, _)| absolute.split_at(slash).0.to_owned())
        .filter(|ancestor| Path::parse(ancestor).is_ok());
    let asked = ancestors
        .map(|ancestor| (top.exists(ancestor.clone()).into_future(), ancestor))
        .collect::<Vec<_>>();
    let mut missing = Vec::new();
    for (exists, ancestor) in asked {
        match exists.await.map_err(wrap)? {
            Some(_) => missing.clear(),
            None => missing.push(ancestor),
        }
    }
    let made = missing
        .into_iter()
        .map(|ancestor| {
            let parent = top.create(ancestor);
            match create.parents {
                Parents::Container => parent.container(),
                Parents::Persistent | Parents::Require => parent,
            }
            .into_future()
        })
        .collect::<Vec<_>>();
    for made in made {
        match made.await {
            Ok(_) => {}
            // Somebody else was faster, or an ancestor was deleted meanwhile; the create tells.
            Err(error) if matches!(error.kind(), Kind::NodeExists | Kind::NoNode) => {}
            Err(error) => return Err(wrap(error)),
        }
    }
    Ok(())
}
