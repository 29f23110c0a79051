//! Deletions that must happen: each is tried on every link until the znode is gone, a server refuses
//! for good, or the session that owns it is over.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use zk_proto::{ErrorCode, OpCode, Request, Response, SessionId};

use super::link::{Entry, Origin};
use super::{Phase, Reply, Session};
use crate::error::{Error, Kind, Outcome, Result};
use crate::state::SessionEnd;

/// Most deletions under way at a time.
const RUNNING_MAX: usize = 256;

/// The wait after a server could not serve a deletion.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// What is to be deleted. Paths are the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanupTarget {
    /// The znode, whatever it is.
    Path(String),
    /// The znode, if it is an ephemeral one of the session.
    Ephemeral(String),
    /// Every child of `parent` whose name begins with `prefix`, as of everything that the ensemble
    /// has committed.
    Prefix {
        /// The parent.
        parent: String,
        /// The beginning of the names.
        prefix: String,
    },
}

impl CleanupTarget {
    fn path(&self) -> &str {
        match self {
            Self::Path(path) | Self::Ephemeral(path) | Self::Prefix { parent: path, .. } => path,
        }
    }
}

#[derive(Debug)]
struct Cleanup<T> {
    target: CleanupTarget,
    /// The epoch whose end is its end.
    epoch: Option<u64>,
    waiter: Option<T>,
    /// Counts its tries, so that replies to an earlier one are told apart.
    round: u32,
    /// Deletes without a reply, while it is under way.
    left: usize,
}

/// One request of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CleanupStep {
    id: u64,
    round: u32,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Sync,
    List,
    Check,
    Delete,
}

#[derive(Debug)]
pub(super) struct Cleanups<T> {
    all: BTreeMap<u64, Cleanup<T>>,
    /// Those that wait for a place, in order.
    ready: VecDeque<u64>,
    /// Those that wait for a server to recover, and until when.
    resting: VecDeque<(Duration, u64)>,
    running: usize,
    next: u64,
}

impl<T> Default for Cleanups<T> {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            ready: VecDeque::new(),
            resting: VecDeque::new(),
            running: 0,
            next: 0,
        }
    }
}

impl<T> Cleanups<T> {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn retry_at(&self) -> Option<Duration> {
        self.resting.front().map(|(at, _)| *at)
    }
}

impl<T> Session<T> {
    /// Deletes a znode, whatever happens to links. With an `epoch`, the end of that session is the
    /// end of it. The token is completed when the znode is gone or will not be.
    pub fn clean_up(
        &mut self,
        now: Duration,
        target: CleanupTarget,
        epoch: Option<u64>,
        waiter: Option<T>,
    ) {
        let over = if self.is_over() {
            Some(Kind::Closed)
        } else if epoch.is_some_and(|epoch| self.open.is_none() || epoch != self.epoch) {
            Some(Kind::SessionEnded(self.last_end))
        } else {
            None
        };
        let cleanup = Cleanup {
            target,
            epoch,
            waiter,
            round: 0,
            left: 0,
        };
        if let Some(kind) = over {
            return self.finish_cleanup(cleanup, Err(kind));
        }
        let id = self.cleanups.next;
        self.cleanups.next += 1;
        self.cleanups.all.insert(id, cleanup);
        self.cleanups.ready.push_back(id);
        self.start_cleanups(now);
    }

    /// Starts as many as there is room for.
    pub(super) fn start_cleanups(&mut self, now: Duration) {
        while matches!(self.phase, Phase::Linked(_)) && self.cleanups.running < RUNNING_MAX {
            let Some(id) = self.cleanups.ready.pop_front() else {
                return;
            };
            let Some(cleanup) = self.cleanups.all.get_mut(&id) else {
                continue;
            };
            cleanup.round += 1;
            let step = |what| CleanupStep {
                id,
                round: cleanup.round,
                what,
            };
            let requests = match cleanup.target.clone() {
                CleanupTarget::Path(path) => {
                    cleanup.left = 1;
                    vec![(step(What::Delete), delete(path))]
                }
                CleanupTarget::Ephemeral(path) => {
                    let watch = false;
                    vec![(step(What::Check), Request::Exists { path, watch })]
                }
                CleanupTarget::Prefix { parent: path, .. } => {
                    let sync = Request::Sync { path: path.clone() };
                    let watch = false;
                    let list = Request::GetChildren { path, watch };
                    vec![(step(What::Sync), sync), (step(What::List), list)]
                }
            };
            self.cleanups.running += 1;
            for (step, request) in requests {
                self.send(now, Entry::internal(Origin::Cleanup(step), request));
            }
        }
    }

    pub(super) fn on_cleanup_answer(
        &mut self,
        now: Duration,
        step: CleanupStep,
        result: std::result::Result<Response, ErrorCode>,
    ) {
        let own_session = self.open.as_ref().map_or(SessionId(0), |open| open.id);
        let Some(cleanup) = self.cleanups.all.get_mut(&step.id) else {
            return;
        };
        if cleanup.round != step.round {
            return;
        }
        let mut deletes = Vec::new();
        match (step.what, result) {
            (What::Sync, Ok(_)) => return,
            (What::List, Ok(Response::Children(names))) => {
                if let CleanupTarget::Prefix { parent, prefix } = &cleanup.target {
                    let parent = if parent == "/" { "" } else { parent };
                    let found = names
                        .iter()
                        .filter(|name| name.starts_with(prefix.as_str()));
                    deletes.extend(found.map(|name| format!("{parent}/{name}")));
                }
                cleanup.left = deletes.len();
            }
            (What::Check, Ok(Response::Stat(stat))) if stat.ephemeral_owner == own_session.0 => {
                deletes.push(cleanup.target.path().to_owned());
                cleanup.left = 1;
            }
            (What::Delete, Ok(_) | Err(ErrorCode::NO_NODE)) => cleanup.left -= 1,
            (What::List | What::Check, Ok(_) | Err(ErrorCode::NO_NODE)) => cleanup.left = 0,
            (_, Err(code)) if is_passing(code) => {
                // Replies to what is left of this round count for nothing.
                cleanup.round += 1;
                self.cleanups.running -= 1;
                let retry = (now + RETRY_WAIT, step.id);
                self.cleanups.resting.push_back(retry);
                return self.start_cleanups(now);
            }
            (_, Err(code)) => {
                return self.remove_cleanup(now, step.id, Err(Kind::of_code(code)));
            }
        }
        if cleanup.left == 0 {
            return self.remove_cleanup(now, step.id, Ok(()));
        }
        let what = What::Delete;
        for path in deletes {
            let origin = Origin::Cleanup(CleanupStep { what, ..step });
            self.send(now, Entry::internal(origin, delete(path)));
        }
    }

    fn remove_cleanup(&mut self, now: Duration, id: u64, result: std::result::Result<(), Kind>) {
        if let Some(cleanup) = self.cleanups.all.remove(&id) {
            self.cleanups.running -= 1;
            self.finish_cleanup(cleanup, result);
        }
        self.start_cleanups(now);
    }

    fn finish_cleanup(&mut self, cleanup: Cleanup<T>, result: std::result::Result<(), Kind>) {
        let path = cleanup.target.path();
        match (cleanup.waiter, result) {
            (Some(token), Ok(())) => {
                let reply = Reply {
                    response: Response::Empty,
                    xid: zk_proto::Xid(0),
                    zxid: self.last_zxid,
                };
                self.push_result(token, Ok(reply));
            }
            (Some(token), Err(kind)) => {
                let path = Some(path.to_owned());
                let error = Error::new(OpCode::DELETE, path, kind, Outcome::Unknown);
                let result: Result<Reply> = Err(error);
                self.push_result(token, result);
            }
            // The end of the session is an end as good as any other.
            (None, Ok(()) | Err(Kind::SessionEnded(_) | Kind::Closed)) => {}
            (None, Err(kind)) => {
                tracing::warn!(target: "zk_client", path, %kind, "a znode is left behind");
            }
        }
    }

    /// The link is lost: all that were under way start over on the next.
    pub(super) fn interrupt_cleanups(&mut self) {
        self.cleanups.running = 0;
        self.cleanups.resting.clear();
        self.cleanups.ready = self.cleanups.all.keys().copied().collect();
    }

    pub(super) fn retry_cleanups(&mut self, now: Duration) {
        while let Some((at, id)) = self.cleanups.resting.front().copied()
            && at <= now
        {
            self.cleanups.resting.pop_front();
            self.cleanups.ready.push_back(id);
        }
        self.start_cleanups(now);
    }

    /// Ends those that end with an epoch, or all.
    pub(super) fn end_cleanups(&mut self, epoch: Option<u64>, end: SessionEnd) {
        let ended = |cleanup: &Cleanup<T>| epoch.is_none() || cleanup.epoch == epoch;
        let (gone, kept) = std::mem::take(&mut self.cleanups.all)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, cleanup)| ended(cleanup));
        self.cleanups.all = kept;
        for cleanup in gone.into_values() {
            let kind = match epoch {
                Some(_) => Kind::SessionEnded(end),
                None => Kind::Closed,
            };
            self.finish_cleanup(cleanup, Err(kind));
        }
    }
}

fn delete(path: String) -> Request {
    Request::Delete { path, version: -1 }
}

/// Whether a refusal passes by itself.
fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::SYSTEM_ERROR
            | ErrorCode::CONNECTION_LOSS
            | ErrorCode::OPERATION_TIMEOUT
            | ErrorCode::REQUEST_TIMEOUT
            | ErrorCode::SESSION_MOVED
            | ErrorCode::NOT_READ_ONLY
            | ErrorCode::THROTTLED_OP
    )
}
