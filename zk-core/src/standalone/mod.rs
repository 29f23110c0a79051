//! A standalone server: all of the pipeline in one value.
//!
//! ```text
//! request ── write ──> prep ──> Append ─ ─ Flushed ──> apply ──> events ──> reply
//!         └─ read, ping, … ──(behind the session's own writes)──────────> reply
//! ```
//!
//! A write is prepared and appended at once, so that the disk works on many. It is applied when it is
//! on disk, in the order of the zxids, and its events leave before any reply that shows the change.
//! Whatever is no write is answered at once, unless its session has writes that are not applied yet:
//! then it waits for the newest of them, behind what waits already. So each session has its answers
//! in the order of its requests, also when it comes back on another connection in between.

mod commit;
mod connect;
mod requests;
#[cfg(test)]
mod tests;
mod watching;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::BytesMut;
use zk_proto::{
    ErrorCode, Record as _, ReplyHeader, Response, SessionId, Txn, TxnDigest, TxnHeader, Xid, Zxid,
};

use crate::auth::{Identities, Policy};
use crate::connections::Connections;
use crate::prep::{Prep, Prepared};
use crate::reaper::Reaper;
use crate::sessions::{SessionState, Sessions, first_session_id};
use crate::snapshots::Snapshots;
use crate::tree::{Recovered, Tree};
use crate::watches::{About, Watches};
use crate::{
    CloseReason, ConnId, CoreConfig, Counters, DigestAt, Effect, Input, Now, SessionInfo,
    SnapshotView, WatchSummary,
};

/// Every such transaction's digest is kept, and so many of them (`DataTree`).
const DIGEST_INTERVAL: i64 = 128;
const DIGESTS_MAX: usize = 1024;

/// Records are encoded into blocks of this size, as long as there is room for an ordinary one. A
/// block lives until its last record is written.
const ENCODE_BYTES: usize = 64 << 10;
const RECORD_ROOM: usize = 4 << 10;

/// A standalone server. See the [crate](crate) for how it is driven.
#[derive(Debug)]
pub struct Standalone {
    config: CoreConfig,
    policy: Policy,
    tree: Tree,
    sessions: Sessions,
    conns: Connections,
    watches: Watches,
    prep: Prep,
    pending: VecDeque<Pending>,
    reaper: Reaper,
    snapshots: Snapshots,
    digests: VecDeque<DigestAt>,
    counters: Counters,
    effects: Vec<Effect>,
    /// Records are encoded into one buffer and split off.
    encoded: BytesMut,
    /// Slots that an event is told to; kept for its memory.
    told: Vec<u32>,
}

/// A transaction on its way to the disk.
#[derive(Debug)]
struct Pending {
    header: TxnHeader,
    txn: Txn,
    digest: Option<u64>,
    origin: Origin,
}

/// Where a transaction comes from. A session's slot stays valid: its closeSession is the last.
#[derive(Debug, Clone, Copy)]
enum Origin {
    /// A client, which awaits the reply on this connection.
    Client {
        session: u32,
        conn: ConnId,
    },
    /// The server ends a session that was not heard of.
    Expiry {
        session: u32,
    },
    Reaper,
}

impl Standalone {
    /// Starts from what storage recovered. Every session gets its whole timeout from `now` on.
    #[must_use]
    pub fn new(config: CoreConfig, recovered: Recovered, now: Now) -> Self {
        let Recovered { tree, sessions, .. } = recovered;
        let first_id = first_session_id(config.server_id, now.wall_ms, &sessions);
        Self {
            policy: Policy::new(&config),
            sessions: Sessions::new(config.tick, first_id, &sessions, now.monotonic),
            conns: Connections::default(),
            watches: Watches::default(),
            prep: Prep::new(&config, &tree),
            pending: VecDeque::new(),
            reaper: Reaper::new(&config, now.monotonic),
            snapshots: Snapshots::new(&config),
            digests: VecDeque::new(),
            counters: Counters::default(),
            effects: Vec::new(),
            encoded: BytesMut::new(),
            told: Vec::new(),
            tree,
            config,
        }
    }

    /// Takes one input. What is to be done about it waits in [`drain_effects`](Self::drain_effects).
    ///
    /// # Panics
    /// When the driver breaks its contract (a connection numbered twice, a flush of what was not
    /// appended), or an invariant of the core is broken.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Connect {
                conn,
                peer,
                request,
            } => self.on_connect(now, conn, Identities::of_peer(peer), &request),
            Input::Requests { conn, requests } => self.on_requests(now, conn, requests),
            Input::Disconnected { conn } => {
                if let Some(slot) = self.conns.slot_of(conn) {
                    self.forget_connection(slot);
                }
            }
            Input::Flushed { zxid } => self.on_flushed(zxid),
            Input::SnapshotWritten { .. } => self.snapshots.on_written(),
            Input::Tick => self.on_tick(now),
        }
    }

    /// The effects of all inputs since the last drain, in order.
    pub fn drain_effects(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.effects.drain(..)
    }

    /// When [`Input::Tick`] is due, on the monotonic clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let reaper = self.reaper.next_deadline();
        let sessions = self.sessions.next_deadline();
        Some(sessions.map_or(reaper, |sessions| sessions.min(reaper)))
    }

    /// Asks for a snapshot of the present state with [`Effect::Snapshot`]; `false` when one is
    /// being written already.
    pub fn begin_snapshot(&mut self) -> bool {
        if !self.snapshots.begin() {
            return false;
        }
        self.effects.push(Effect::Snapshot(SnapshotView {
            zxid: self.tree.last_zxid(),
            sessions: self.sessions.persisted(),
            tree: self.tree.view(),
        }));
        true
    }

    fn on_tick(&mut self, now: Now) {
        for slot in self.sessions.take_expired(now.monotonic) {
            self.counters.sessions_expired += 1;
            let id = self.sessions.get(slot).id;
            let prepared = self.prep.close_session(&self.tree, id, Xid(0), now.wall_ms);
            self.sessions.get_mut(slot).state = SessionState::Closing;
            self.append(prepared, Origin::Expiry { session: slot });
        }
        self.reaper.check(&self.tree, now.monotonic, now.wall_ms);
        while let Some(path) = self.reaper.next(now.monotonic) {
            let is_due = |stat: &_| self.reaper.is_due(stat, now.wall_ms);
            let prepared = self
                .prep
                .delete_container(&self.tree, path, now.wall_ms, is_due);
            if let Some(prepared) = prepared {
                self.counters.reaped += 1;
                self.append(prepared, Origin::Reaper);
            }
        }
    }

    /// Sends a transaction to the disk.
    fn append(&mut self, prepared: Prepared, origin: Origin) {
        let Prepared {
            header,
            txn,
            digest,
        } = prepared;
        if self.encoded.capacity() < RECORD_ROOM {
            self.encoded.reserve(ENCODE_BYTES);
        }
        header.encode(&mut self.encoded);
        txn.encode(&mut self.encoded);
        if let Some(tree_digest) = digest {
            let version = TxnDigest::VERSION;
            TxnDigest {
                version,
                tree_digest,
            }
            .encode(&mut self.encoded);
        }
        let record = self.encoded.split().freeze();
        self.snapshots.on_append(record.len());
        if let Origin::Client { session, .. } | Origin::Expiry { session } = origin {
            self.sessions.get_mut(session).last_write = header.zxid;
        }
        let zxid = header.zxid;
        self.effects.push(Effect::Append { zxid, record });
        self.pending.push_back(Pending {
            header,
            txn,
            digest,
            origin,
        });
    }

    fn reply(&mut self, conn: ConnId, xid: Xid, zxid: Zxid, result: Result<Response, ErrorCode>) {
        let (err, response) = match result {
            Ok(response) => (ErrorCode::OK, response),
            Err(code) => (code, Response::Empty),
        };
        let header = ReplyHeader { xid, zxid, err };
        self.effects.push(Effect::Reply {
            conn,
            header,
            response,
        });
    }

    /// Closes a connection from this side; whatever still comes from it is ignored.
    fn close(&mut self, slot: u32, reason: CloseReason) {
        let conn = self.conns.get(slot).id;
        self.effects.push(Effect::Close { conn, reason });
        self.forget_connection(slot);
    }

    fn forget_connection(&mut self, slot: u32) {
        self.watches.remove_all(slot);
        let conn = self.conns.remove(slot);
        let session = self.sessions.get_mut(conn.session);
        if session.conn == Some(slot) {
            session.conn = None;
        }
    }
}

/// What the server tells about itself.
impl Standalone {
    /// The data tree: its counters, znodes and ephemerals.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The newest transaction applied.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.tree.last_zxid()
    }

    /// Transactions appended and not yet flushed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.pending.len()
    }

    /// The open sessions, in order of their ids.
    pub fn sessions(&self) -> impl Iterator<Item = SessionInfo> + '_ {
        self.sessions.iter().map(|session| SessionInfo {
            id: session.id,
            timeout: session.granted,
            expires: self.sessions.expires(session),
            conn: session.conn.map(|slot| self.conns.get(slot).id),
        })
    }

    /// Number of open sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The session that a connection carries or opens.
    #[must_use]
    pub fn session_of(&self, conn: ConnId) -> Option<SessionInfo> {
        let conn = self.conns.get(self.conns.slot_of(conn)?);
        let session = self.sessions.get(conn.session);
        Some(SessionInfo {
            id: session.id,
            timeout: session.granted,
            expires: self.sessions.expires(session),
            conn: Some(conn.id),
        })
    }

    /// How many watches there are.
    #[must_use]
    pub const fn watch_summary(&self) -> WatchSummary {
        self.watches.summary()
    }

    /// The data watches by path, in order: each path with the sessions that watch it (`wchp`).
    #[must_use]
    pub fn watches_by_path(&self) -> Vec<(&str, Vec<SessionId>)> {
        let of_slots = |slots: Vec<u32>| {
            let mut ids: Vec<_> = slots.iter().map(|&slot| self.session_id(slot)).collect();
            ids.sort_unstable();
            ids
        };
        let by_path = self.watches.by_path(About::Data).into_iter();
        by_path
            .map(|(path, slots)| (path, of_slots(slots)))
            .collect()
    }

    /// The data watches by session, in order: each session with the paths that it watches (`wchc`).
    #[must_use]
    pub fn watches_by_session(&self) -> Vec<(SessionId, Vec<&str>)> {
        let mut by_session: BTreeMap<SessionId, Vec<&str>> = BTreeMap::new();
        for (path, slots) in self.watches.by_path(About::Data) {
            for slot in slots {
                by_session
                    .entry(self.session_id(slot))
                    .or_default()
                    .push(path);
            }
        }
        by_session.into_iter().collect()
    }

    /// The tree's digest at every 128th transaction since the start, oldest first, the last 1,024 of
    /// them.
    pub fn digest_history(&self) -> impl Iterator<Item = DigestAt> + '_ {
        self.digests.iter().copied()
    }

    /// What was counted since the start.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn session_id(&self, conn: u32) -> SessionId {
        self.sessions.get(self.conns.get(conn).session).id
    }
}
