//! What must hold, looked at while it happens.
//!
//! | check | what must hold | where |
//! |---|---|---|
//! | C1 | all servers have the same transactions, of each epoch from one leader | [`ledger`], `servers` |
//! | C2 | a write that began after another one was answered has a higher zxid | [`ledger`] |
//! | C3 | each write comes out as the model says | [`ledger`] |
//! | C4 | each read shows the model's state at its zxid | `replies` |
//! | C5 | a session's answers come in order, its writes take place in order, time does not go back | `replies`, [`ledger`] |
//! | C6 | what was answered before a sync is seen after it; counted, as Apache's form allows it | `replies` |
//! | C7 | every change is told once, to those who watch it, before it is seen | [`watches`] |
//! | C8 | ephemerals end with their sessions, and sessions not before their time | [`ledger`], `servers` |
//! | C9 | once all faults are over, everything goes on | [`crate::world`] |
//! | C12 | what was acknowledged is there | `servers` |
//!
//! The ledger is the one history that all servers must agree on: a transaction enters it when the
//! first server shows it to clients. Nothing is ever taken out of it.

pub(crate) mod ledger;
pub(crate) mod replies;
mod servers;
pub(crate) mod watches;

use std::collections::BTreeMap;

use zk_proto::{Request, SessionId, Xid, Zxid};

use crate::model::Model;
use crate::plan::Plan;
use crate::schedule::{ServerNo, Time};
use ledger::{Entry, Result};
use servers::{Logged, Witness};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which check found it.
    pub check: &'static str,
    /// What it is.
    pub what: String,
    /// When, in seconds since the world began.
    pub at: String,
}

/// States that a world was in, by how often. A check of something that never happens finds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Coverage {
    pub leaders: u64,
    pub commits: u64,
    pub reads: u64,
    pub watch_events: u64,
    pub sessions_resumed: u64,
    pub sessions_expired: u64,
    pub truncations: u64,
    pub snapshots_received: u64,
    pub snapshots_lost: u64,
    pub log_reads: u64,
    pub stale_syncs: u64,
    pub moved: u64,
    pub retired: u64,
}

impl Coverage {
    /// Counts what another world was in.
    pub fn add(&mut self, other: &Self) {
        let Self {
            leaders,
            commits,
            reads,
            watch_events,
            sessions_resumed,
            sessions_expired,
            truncations,
            snapshots_received,
            snapshots_lost,
            log_reads,
            stale_syncs,
            moved,
            retired,
        } = other;
        self.leaders += leaders;
        self.commits += commits;
        self.reads += reads;
        self.watch_events += watch_events;
        self.sessions_resumed += sessions_resumed;
        self.sessions_expired += sessions_expired;
        self.truncations += truncations;
        self.snapshots_received += snapshots_received;
        self.snapshots_lost += snapshots_lost;
        self.log_reads += log_reads;
        self.stale_syncs += stale_syncs;
        self.moved += moved;
        self.retired += retired;
    }
}

/// A request of a client that becomes a transaction.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// The newest write that was answered, to anybody, before this one was asked.
    pub(crate) floor: Zxid,
    /// How it came out, once it did.
    pub(crate) done: Option<(Zxid, Result)>,
}

#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) violation: Option<Violation>,
    pub(crate) model: Model,
    pub(crate) coverage: Coverage,
    ledger: Vec<Entry>,
    asked: BTreeMap<(SessionId, Xid), Asked>,
    /// The newest of each session's writes that took place.
    newest_xid: BTreeMap<SessionId, Xid>,
    /// The newest write that was answered, to anybody.
    floor: Zxid,
    /// Whatever any server has logged.
    logged: BTreeMap<Zxid, Logged>,
    witnesses: Vec<Witness>,
    leaders: BTreeMap<u32, ServerNo>,
    /// All is well, and sessions that are kept alive stay.
    pub(crate) is_calm: bool,
    leader_serves: bool,
    extended_types: bool,
    close_session_paths: bool,
}

impl Checks {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            violation: None,
            model: Model::new(),
            coverage: Coverage::default(),
            ledger: Vec::new(),
            asked: BTreeMap::new(),
            newest_xid: BTreeMap::new(),
            floor: Zxid::ZERO,
            logged: BTreeMap::new(),
            witnesses: (0..plan.servers()).map(|_| Witness::default()).collect(),
            leaders: BTreeMap::new(),
            is_calm: false,
            leader_serves: plan.leader_serves,
            extended_types: plan.extended_types,
            close_session_paths: plan.close_session_paths,
        }
    }

    /// Notes that something is wrong. The first time counts: what follows may follow from it.
    pub(crate) fn fail(&mut self, now: Time, check: &'static str, what: String) {
        let at = now.to_string();
        self.violation.get_or_insert(Violation { check, what, at });
    }

    /// The newest transaction that anybody has shown.
    pub(crate) fn newest(&self) -> Zxid {
        self.ledger.last().map_or(Zxid::ZERO, |entry| entry.zxid)
    }
}
