//! What every server of an ensemble has: the tree as far as it is applied, the clients connected
//! here, and their watches.
//!
//! ```text
//! request ── write ──> submitted ─ ─ (made and agreed elsewhere) ─ ─ apply ──> events ──> reply
//!         └─ read, ping, … ──(behind the session's own writes)─────────────────────────> reply
//! ```
//!
//! Transactions come from the [authority](crate::authority), or from a leader, and are applied in the
//! order of the zxids. Their events leave before any reply that shows the change. Whatever is no write
//! is answered at once, unless its session has requests that are not answered yet: then it waits for
//! the newest of them, behind what waits already. So each session has its answers in the order of
//! its requests, also when it comes back on another connection in between.
//!
//! The replica does not know who makes transactions, nor when one is agreed on.

mod apply;
mod connect;
mod local;
mod requests;
mod watching;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;
use zk_proto::{ErrorCode, ReplyHeader, Response, SessionId, Xid, Zxid};

use crate::auth::Policy;
use crate::connections::Connections;
use crate::recent::Recent;
use crate::session_ids::SessionIds;
use crate::sessions::Sessions;
use crate::snapshots::Snapshots;
use crate::tracker::Tracker;
use crate::tree::{Fuzzy, Recovered, Tree};
use crate::watches::{About, Watches};
use crate::{CloseReason, ConnId, CoreConfig, Counters, DigestAt, Effect, Now, SnapshotView};

pub(crate) use connect::Resuming;
pub(crate) use local::Ask;
pub(crate) use requests::is_write;

/// Every such transaction's digest is kept, and so many of them (`DataTree`).
const DIGEST_INTERVAL: i64 = 128;
const DIGESTS_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) config: CoreConfig,
    pub(crate) policy: Policy,
    pub(crate) tree: Tree,
    pub(crate) sessions: Sessions,
    /// When the local sessions expire.
    pub(crate) local: Tracker,
    pub(crate) conns: Connections,
    pub(crate) watches: Watches,
    pub(crate) counters: Counters,
    pub(crate) effects: Vec<Effect>,
    /// Clients are told that they may only read.
    pub(crate) is_read_only: bool,
    /// Nothing more is taken, nor does anything begin.
    pub(crate) is_retiring: bool,
    pub(crate) recent: Recent,
    session_ids: SessionIds,
    snapshots: Snapshots,
    digests: VecDeque<DigestAt>,
    /// Where the tree may show what is still to be applied.
    fuzzy: Option<Fuzzy>,
    /// Slots that an event is told to; kept for its memory.
    told: Vec<u32>,
}

impl Replica {
    pub(crate) fn new(
        config: CoreConfig,
        recovered: Recovered,
        recent_txns: usize,
        now: Now,
    ) -> Self {
        let Recovered {
            tree,
            sessions,
            fuzzy,
            ..
        } = recovered;
        Self {
            fuzzy,
            policy: Policy::new(&config),
            session_ids: SessionIds::new(config.server_id, now.wall_ms, &sessions),
            sessions: Sessions::new(&sessions),
            local: Tracker::new(config.tick),
            conns: Connections::default(),
            watches: Watches::default(),
            recent: Recent::new(recent_txns),
            snapshots: Snapshots::new(&config),
            digests: VecDeque::new(),
            counters: Counters::default(),
            effects: Vec::new(),
            is_read_only: false,
            is_retiring: false,
            told: Vec::new(),
            tree,
            config,
        }
    }

    /// Another state takes the place of this one. There are no clients.
    pub(crate) fn replace(&mut self, recovered: Recovered) {
        assert!(self.conns.is_empty(), "clients saw another state");
        assert_eq!(self.local.len(), 0, "local sessions end with a role");
        self.tree = recovered.tree;
        self.sessions = Sessions::new(&recovered.sessions);
        self.recent.clear();
        self.digests.clear();
        self.fuzzy = recovered.fuzzy;
    }

    /// Sends a transaction to the disk.
    pub(crate) fn append(&mut self, zxid: Zxid, record: Bytes) {
        self.snapshots.on_append(record.len());
        self.effects.push(Effect::Append { zxid, record });
    }

    /// Asks for a snapshot if one is due.
    pub(crate) fn snapshot_if_due(&mut self) {
        if self.snapshots.is_due() {
            self.begin_snapshot();
        }
    }

    pub(crate) fn begin_snapshot(&mut self) -> bool {
        if !self.snapshots.begin() {
            return false;
        }
        self.effects.push(Effect::Snapshot(self.view()));
        true
    }

    pub(crate) fn on_snapshot_written(&mut self) {
        self.snapshots.on_written();
    }

    /// The whole state as it is.
    pub(crate) fn view(&self) -> SnapshotView {
        SnapshotView {
            zxid: self.tree.last_zxid(),
            sessions: self.sessions.persisted(),
            tree: self.tree.view(),
        }
    }

    pub(crate) fn reply(
        &mut self,
        conn: ConnId,
        xid: Xid,
        zxid: Zxid,
        result: Result<Response, ErrorCode>,
    ) {
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
    pub(crate) fn close(&mut self, slot: u32, reason: CloseReason) {
        let conn = self.conns.get(slot).id;
        self.effects.push(Effect::Close { conn, reason });
        self.forget_connection(slot);
    }

    pub(crate) fn forget_connection(&mut self, slot: u32) {
        self.watches.remove_all(slot);
        let conn = self.conns.remove(slot);
        if let Some(session) = conn.attached {
            let session = self.sessions.get_mut(session);
            if session.conn == Some(slot) {
                session.conn = None;
            }
        }
    }
}

/// What the server tells about itself.
impl Replica {
    pub(crate) fn watches_by_path(&self) -> Vec<(&str, Vec<SessionId>)> {
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

    pub(crate) fn watches_by_session(&self) -> Vec<(SessionId, Vec<&str>)> {
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

    pub(crate) fn digest_history(&self) -> impl Iterator<Item = DigestAt> + '_ {
        self.digests.iter().copied()
    }

    fn session_id(&self, conn: u32) -> SessionId {
        self.conns.get(conn).session
    }
}
