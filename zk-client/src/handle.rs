//! The handles that users hold: [`Client`], [`SessionRef`], and the operations common to both.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zk_proto::{Acl, OpCode, Path, PathError, SessionId};

use crate::config::{Builder, Settings};
use crate::driver::{self, Command, Flow};
use crate::error::{Error, Kind, Outcome, Result};
use crate::session::WatcherId;
use crate::state::{CloseReport, SessionEnd, SessionInfo, State, StateChange, StateStream};
use crate::token::SessionToken;

/// What all handles of one client share.
pub(crate) struct Shared {
    commands: mpsc::UnboundedSender<Command>,
    pub(crate) flow: Arc<Flow>,
    /// The newest session; `None` before the first.
    sessions: watch::Receiver<Option<Arc<SessionInfo>>>,
    state: watch::Receiver<State>,
    /// The task's own, so that streams end with it.
    changes: broadcast::WeakSender<StateChange>,
    next_watcher: AtomicU64,
    pub(crate) default_acl: Vec<Acl>,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) watch_events_max: usize,
}

/// The operations on znodes. A [`Client`] and a [`SessionRef`] both are one (by `Deref`), so that
/// code which only uses znodes takes a `&Handle` and leaves the choice to its caller.
///
/// Requests take their place in the session's order when they are awaited, or, with `submit()`, at
/// once: requests submitted one after the other are sent, applied and answered in that order,
/// without waiting for one another.
#[derive(Clone)]
pub struct Handle(Arc<HandleInner>);

struct HandleInner {
    shared: Arc<Shared>,
    /// `None` for the root; otherwise a path without a slash at its end.
    chroot: Option<String>,
    /// The session outside of which nothing is done; `None` for whichever is current.
    pin: Option<Arc<SessionInfo>>,
}

impl Handle {
    fn new(shared: Arc<Shared>, chroot: Option<String>, pin: Option<Arc<SessionInfo>>) -> Self {
        Self(Arc::new(HandleInner {
            shared,
            chroot,
            pin,
        }))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Hands a command to the client's task. When the task is gone, so is everything that the
    /// command could be about; whoever waits for its effect is told.
    pub(crate) fn send(&self, command: Command) {
        if let Err(unsent) = self.0.shared.commands.send(command) {
            unsent.0.refuse();
        }
    }

    pub(crate) fn pin(&self) -> Option<&Arc<SessionInfo>> {
        self.0.pin.as_ref()
    }

    pub(crate) fn next_watcher(&self) -> WatcherId {
        WatcherId(self.0.shared.next_watcher.fetch_add(1, Ordering::Relaxed))
    }

    /// The path below which this handle works; `/` for the whole tree.
    #[must_use]
    pub fn root(&self) -> &str {
        self.0.chroot.as_deref().unwrap_or("/")
    }

    /// The server's name for `path`, which `op` is about.
    pub(crate) fn absolute(&self, op: OpCode, path: String) -> Result<String> {
        match Path::parse(&path).map(drop) {
            Ok(()) => Ok(self.absolute_unchecked(path)),
            Err(error) => Err(Error::not_applied(op, Some(path), Kind::InvalidPath(error))),
        }
    }

    pub(crate) fn absolute_unchecked(&self, path: String) -> String {
        match &self.0.chroot {
            None => path,
            Some(chroot) if path == "/" => chroot.clone(),
            Some(chroot) => format!("{chroot}{path}"),
        }
    }

    /// This handle's name for a path of the server.
    pub(crate) fn local(&self, path: String) -> String {
        let Some(chroot) = &self.0.chroot else {
            return path;
        };
        match path.strip_prefix(chroot.as_str()) {
            Some("") => "/".to_owned(),
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            Some(_) | None => path,
        }
    }

    /// The same without a root of its own.
    pub(crate) fn unrooted(&self) -> Self {
        Self::new(Arc::clone(&self.0.shared), None, self.0.pin.clone())
    }

    /// Whether a path of the server is this handle's root or lies below it.
    pub(crate) fn is_inside(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.0.chroot.as_deref().unwrap_or(""));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn below(&self, path: &str) -> std::result::Result<Self, PathError> {
        let path = Path::parse(path)?.as_str().to_owned();
        let chroot = match self.absolute_unchecked(path) {
            root if root == "/" => None,
            chroot => Some(chroot),
        };
        Ok(Self::new(
            Arc::clone(&self.0.shared),
            chroot,
            self.0.pin.clone(),
        ))
    }

    /// The newest session, with this handle's root. It may be over already.
    #[must_use]
    pub fn session(&self) -> SessionRef {
        let info = match &self.0.pin {
            Some(pin) => Arc::clone(pin),
            None => Arc::clone(
                self.0
                    .shared
                    .sessions
                    .borrow()
                    .as_ref()
                    .expect("a client is handed out with its first session"),
            ),
        };
        self.pinned_to(info)
    }

    /// The session that is open, waiting for one to be opened when the last is over. A
    /// [`SessionRef`] gives itself.
    ///
    /// # Errors
    /// [`Kind::Closed`], [`Kind::AuthFailed`]; of a [`SessionRef`], [`Kind::SessionEnded`].
    pub async fn live_session(&self) -> Result<SessionRef> {
        let mut sessions = self.0.shared.sessions.clone();
        loop {
            let session = self.session();
            let Some(end) = session.end() else {
                return Ok(session);
            };
            let refuse = |kind| Err(Error::not_applied(OpCode::CREATE_SESSION, None, kind));
            match end {
                _ if self.0.pin.is_some() => return refuse(Kind::SessionEnded(end)),
                SessionEnd::AuthFailed => return refuse(Kind::AuthFailed),
                SessionEnd::Closed | SessionEnd::Detached => return refuse(Kind::Closed),
                SessionEnd::Expired | SessionEnd::ExpiredLocally => {}
            }
            let epoch = session.epoch();
            let newer = |info: &Option<Arc<SessionInfo>>| {
                info.as_ref().is_some_and(|info| info.epoch > epoch)
            };
            if sessions.wait_for(newer).await.is_err() {
                return refuse(Kind::Closed);
            }
        }
    }

    fn pinned_to(&self, info: Arc<SessionInfo>) -> SessionRef {
        let handle = Self::new(
            Arc::clone(&self.0.shared),
            self.0.chroot.clone(),
            Some(info),
        );
        SessionRef { handle }
    }

    /// What the client is doing.
    #[must_use]
    pub fn state(&self) -> State {
        *self.0.shared.state.borrow()
    }

    /// Changes of state from here on; none when the client is closed.
    #[must_use]
    pub fn states(&self) -> StateStream {
        let changes = self.0.shared.changes.upgrade();
        StateStream::new(changes.map(|changes| changes.subscribe()))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("root", &self.root())
            .field("pinned_epoch", &self.0.pin.as_ref().map(|pin| pin.epoch))
            .finish_non_exhaustive()
    }
}

/// A client of an ensemble. It has one session at a time, and when that is over opens another, with
/// the next epoch; its operations then go on in the other session. Where that would be wrong (locks,
/// ephemeral znodes), use [`session`](Handle::session).
///
/// Clones are cheap and share everything. The client lives until it is closed, or until the last
/// clone, [`SessionRef`], watch and [`OwnedNode`](crate::OwnedNode) is dropped; then it closes its
/// session in the background. It never goes back in time: a server that has seen less than the
/// client is refused, also by later sessions.
///
/// ```no_run
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// use zk_client::Client;
/// let zk = Client::connect("localhost:2181/app").await?;
/// let created = zk.create("/job-").data("work").ephemeral().sequential().await?;
/// let node = zk.get(created.path()).await?;
/// assert_eq!(&node.data[..], b"work");
/// zk.set(created.path(), "done").version(node.stat.version).await?;
/// zk.close(std::time::Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    handle: Handle,
}

impl Deref for Client {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Client {
    /// Settings to start from.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client of these servers with default settings; see [`Builder::build`].
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn connect(servers: impl Into<String>) -> Result<Self> {
        Self::builder().connect(servers).build().await
    }

    pub(crate) async fn start(settings: Settings) -> Result<Self> {
        let connect_timeout = settings.config.connect_timeout;
        let chroot = Some(settings.servers.chroot().to_owned()).filter(|chroot| chroot != "/");
        let request_timeout = settings.config.request_timeout;
        let watch_events_max = settings.config.watch_events_max;
        let default_acl = settings.default_acl.clone();
        let started = driver::start(settings);
        let client = Self {
            handle: Handle::new(
                Arc::new(Shared {
                    commands: started.commands,
                    flow: started.flow,
                    sessions: started.sessions,
                    state: started.state,
                    changes: started.changes,
                    next_watcher: AtomicU64::new(0),
                    default_acl,
                    request_timeout,
                    watch_events_max,
                }),
                chroot,
                None,
            ),
        };
        let refuse = |kind| Err(Error::not_applied(OpCode::CREATE_SESSION, None, kind));
        match tokio::time::timeout(connect_timeout, started.first).await {
            Ok(Ok(Ok(()))) => Ok(client),
            Ok(Ok(Err(end))) => refuse(match end {
                SessionEnd::AuthFailed => Kind::AuthFailed,
                end => Kind::SessionEnded(end),
            }),
            Ok(Err(_)) => refuse(Kind::Closed),
            Err(_) => refuse(Kind::Unreachable(started.last_failure.borrow().to_string())),
        }
    }

    /// A client of the znodes below `path` of this one's. It shares everything else.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn chroot(&self, path: &str) -> std::result::Result<Self, PathError> {
        self.handle.below(path).map(|handle| Self { handle })
    }

    /// Proves an identity, now and on every later connection.
    ///
    /// # Errors
    /// [`Kind::AuthFailed`] when it is refused: the identity is forgotten, the connection is lost
    /// and made again. [`Kind::Closed`].
    pub async fn add_auth(
        &self,
        scheme: impl Into<String>,
        auth: impl Into<bytes::Bytes>,
    ) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(Command::Auth {
            scheme: scheme.into(),
            auth: auth.into(),
            done,
        });
        match answer.await {
            Ok(reply) => reply.map(drop),
            Err(_) => Err(Error::new(
                OpCode::AUTH,
                None,
                Kind::Closed,
                Outcome::Unknown,
            )),
        }
    }

    /// Ends the session. Requests without a reply and deletions in the background have until
    /// `drain` to finish; requests made from here on fail with [`Kind::Closed`]. The report of a
    /// client that was closed before is empty.
    ///
    /// # Cancel safety
    /// The client closes also when the future is dropped.
    pub async fn close(&self, drain: Duration) -> CloseReport {
        let (done, report) = oneshot::channel();
        self.send(Command::Close { drain, done });
        // The task of a client that is closed already reports nothing.
        report.await.unwrap_or(CloseReport {
            session_closed: false,
            requests_failed: 0,
            cleanups_left: 0,
        })
    }

    /// Leaves the session without ending it, and gives what another client needs to
    /// [`resume`](Builder::resume) it within its timeout. Requests without a reply and deletions in
    /// the background have until `drain` to finish. Watches do not go along.
    ///
    /// # Errors
    /// [`Kind::SessionEnded`] when there is no session to hand over.
    pub async fn detach(self, drain: Duration) -> Result<SessionToken> {
        let (done, token) = oneshot::channel();
        self.send(Command::Detach { drain, done });
        let end = || {
            let end = self.session().end().unwrap_or(SessionEnd::Closed);
            Error::not_applied(OpCode::CLOSE_SESSION, None, Kind::SessionEnded(end))
        };
        token.await.ok().flatten().ok_or_else(end)
    }
}

/// One session of a [`Client`]: its operations fail with [`Kind::SessionEnded`] once it is over, and
/// nothing of it moves on to another session.
///
/// ```no_run
/// # async fn doc(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let session = zk.session();
/// let mine = session.create("/workers/w-").ephemeral().sequential().await?;
/// tokio::select! {
///     end = session.ended() => eprintln!("{} is gone: {end}", mine.path()),
///     _ = tokio::time::sleep_until(session.valid_until()) => eprintln!("{} may be gone", mine.path()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SessionRef {
    handle: Handle,
}

impl Deref for SessionRef {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl SessionRef {
    fn info(&self) -> &SessionInfo {
        self.handle
            .pin()
            .expect("a session's handle is pinned where it is made")
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.info().id
    }

    /// The session's number within its client, from 1.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.info().epoch
    }

    /// The timeout that the ensemble granted.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.info().timeout
    }

    /// Until when the session surely lives, counted from when the last acknowledged request was
    /// sent: three quarters of the timeout, the rest being left to what servers may not have told
    /// one another when one of them crashes. It moves on with every reply. It is no promise about
    /// a process that is paused: fence with [`czxid`](zk_proto::Stat::czxid) where that matters.
    #[must_use]
    pub fn valid_until(&self) -> Instant {
        self.info().valid_until()
    }

    /// Why the session is over; `None` while it is not, as far as the client knows.
    #[must_use]
    pub fn end(&self) -> Option<SessionEnd> {
        self.info().end()
    }

    /// Waits until the session is over.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn ended(&self) -> SessionEnd {
        self.info().ended().cancelled().await;
        self.end()
            .expect("the reason is stored before the token is cancelled")
    }

    /// A token that is cancelled when the session is over.
    #[must_use]
    pub fn ended_token(&self) -> CancellationToken {
        self.info().ended().child_token()
    }

    /// The same session, seen from `path` of this one's.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn chroot(&self, path: &str) -> std::result::Result<Self, PathError> {
        self.handle.below(path).map(|handle| Self { handle })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_shared_between_threads_and_cloned() {
        fn is_shared<T: Send + Sync + Clone + 'static>() {}
        is_shared::<Client>();
        is_shared::<SessionRef>();
        is_shared::<Handle>();
    }
}
