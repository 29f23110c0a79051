//! What each server has, and shows.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use zk_core::tree::Recovered;
use zk_core::{Core, Input, Now, QuorumInput};
use zk_proto::quorum::{FromLearner, ServerState};
use zk_proto::{OpCode, SessionId, Zxid};

use super::Checks;
use crate::schedule::{ServerNo, Time};
use crate::server::ReadBack;

/// A transaction that some server logged. There is one for each zxid, and one history before it.
#[derive(Debug)]
pub(super) struct Logged {
    record: Bytes,
    /// The transaction before it.
    after: Zxid,
}

/// What is known of one server.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// The end of its history.
    logged: Zxid,
    is_serving: bool,
    /// The newest transaction that it showed, or has applied.
    seen: Zxid,
    /// The place in the ledger of what it shows next, while it serves.
    place: usize,
    /// While it leads: since when, and when it last heard of each session, with the timeout.
    leads_since: Option<Duration>,
    touched: BTreeMap<SessionId, (Duration, Duration)>,
}

impl Checks {
    fn witness(&mut self, no: ServerNo) -> &mut Witness {
        let witness = self.witnesses.get_mut(usize::from(no));
        witness.expect("a server of the world")
    }

    pub(crate) fn on_started(&mut self, now: Time, no: ServerNo, read: &ReadBack) {
        *self.witness(no) = Witness::default();
        self.on_reloaded(now, no, read);
    }

    /// The history on disk is another one.
    pub(crate) fn on_reloaded(&mut self, now: Time, no: ServerNo, read: &ReadBack) {
        self.witness(no).logged = read.base;
        for (zxid, record) in &read.txns {
            self.log(now, no, *zxid, record);
        }
    }

    /// A server has a transaction in its log.
    fn log(&mut self, now: Time, no: ServerNo, zxid: Zxid, record: &Bytes) {
        let after = std::mem::replace(&mut self.witness(no).logged, zxid);
        match self.logged.get(&zxid) {
            None => {
                let record = record.clone();
                self.logged.insert(zxid, Logged { record, after });
            }
            Some(first) if first.record != record => {
                let what = format!(
                    "server {} logs another transaction {zxid} than others",
                    no + 1
                );
                self.fail(now, "C1", what);
            }
            Some(first) if first.after != after => {
                let (no, other) = (no + 1, first.after);
                let what = format!("server {no} logs {zxid} after {after}, others after {other}");
                self.fail(now, "C1", what);
            }
            Some(_) => {}
        }
    }

    /// The transactions up to one, back to the newest that is not after another, which comes first.
    fn history(&self, last: Zxid, back_to: Zxid) -> (Zxid, Vec<(Zxid, Bytes)>) {
        let mut txns = Vec::new();
        let mut at = last;
        while at > back_to
            && let Some(Logged { record, after }) = self.logged.get(&at)
        {
            txns.push((at, record.clone()));
            at = *after;
        }
        txns.reverse();
        (at, txns)
    }

    pub(crate) fn on_crashed(&mut self, no: ServerNo) {
        *self.witness(no) = Witness::default();
    }

    /// The state was read from disk.
    pub(crate) fn on_recovered(&mut self, now: Time, no: ServerNo, recovered: &Recovered) {
        if let Some(zxid) = recovered.differs_at() {
            let what = format!("server {} reads a state that is not that of {zxid}", no + 1);
            self.fail(now, "C12", what);
        }
        if recovered.nodes_without_acl > 0 {
            let what = format!("server {} reads znodes without an ACL", no + 1);
            self.fail(now, "C12", what);
        }
    }

    /// A server sends a transaction to its disk.
    pub(crate) fn on_append(
        &mut self,
        now: Time,
        no: ServerNo,
        core: &Core,
        zxid: Zxid,
        record: &Bytes,
        local: Now,
    ) {
        let leads = core.state() == Some(ServerState::Leading);
        self.log(now, no, zxid, record);
        if leads {
            self.on_made(now, no, record, local);
        }
    }

    /// A leader makes a transaction: sessions begin, and do not end before their time.
    fn on_made(&mut self, now: Time, no: ServerNo, record: &Bytes, local: Now) {
        let long = |at: usize| {
            let bytes = record
                .get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok());
            i64::from_be_bytes(bytes.expect("a transaction has a header"))
        };
        let int = |at: usize| {
            let bytes = record
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok());
            i32::from_be_bytes(bytes.expect("a transaction has a header"))
        };
        let (session, cxid, op) = (SessionId(long(0)), int(8), OpCode(int(28)));
        match op {
            OpCode::CREATE_SESSION => {
                let timeout = ms(int(32));
                let touch = (local.monotonic, timeout);
                self.witness(no).touched.insert(session, touch);
            }
            OpCode::CLOSE_SESSION if cxid == 0 => {
                let of_model = self.model.sessions.get(&session).copied();
                let witness = self.witness(no);
                let since = witness.leads_since.unwrap_or_default();
                let (touched, timeout) = match witness.touched.get(&session) {
                    Some(&(touched, timeout)) => (touched.max(since), timeout),
                    None => (since, of_model.map_or(Duration::ZERO, ms)),
                };
                let waited = local.monotonic.saturating_sub(touched);
                if waited < timeout {
                    let what = format!(
                        "leader {} ends session {session} after {waited:?}, its timeout is {timeout:?}",
                        no + 1
                    );
                    self.fail(now, "C8", what);
                }
            }
            _ => {}
        }
    }

    /// Notes of whom a leader hears.
    pub(crate) fn on_input(&mut self, no: ServerNo, core: &Core, input: &Input, local: Now) {
        if core.state() != Some(ServerState::Leading) {
            return;
        }
        let mut touch = |session, timeout| {
            let touched = (local.monotonic, timeout);
            self.witness(no).touched.insert(session, touched);
        };
        match input {
            Input::Requests { conn, .. } => {
                if let Some(session) = core.session_of(*conn) {
                    touch(session.id, session.timeout);
                }
            }
            Input::Quorum(QuorumInput::FromLearner { packets, .. }) => {
                for packet in packets {
                    match packet {
                        FromLearner::Ping { touched, .. } => {
                            for &(session, timeout_ms) in touched {
                                touch(session, ms(timeout_ms));
                            }
                        }
                        FromLearner::Revalidate {
                            session,
                            timeout_ms,
                        } => touch(*session, ms(*timeout_ms)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// A server took an input: what it shows from here on must be the one history.
    pub(crate) fn after_input(
        &mut self,
        now: Time,
        no: ServerNo,
        core: &Core,
        epochs: (u32, u32),
        local: Now,
    ) {
        let is_leading = core.state() == Some(ServerState::Leading);
        // A leader that serves no clients shows its history by its followers.
        let has_followers = || {
            let mut learners = core.learners().into_iter();
            learners.any(|learner| learner.is_synced && !learner.is_observer)
        };
        let is_serving = core.is_serving() && !core.is_read_only()
            || is_leading && !self.leader_serves && has_followers();
        let last = core.last_zxid();
        let newest = self.newest();
        let witness = self.witness(no);
        if is_leading {
            witness.leads_since.get_or_insert(local.monotonic);
        } else if witness.leads_since.take().is_some() {
            witness.touched.clear();
        }
        let was_serving = std::mem::replace(&mut witness.is_serving, is_serving);
        if is_serving && !was_serving {
            if is_leading {
                self.on_leader(now, no, epochs.1, last, newest);
            }
            self.begin_to_show(now, no, core);
        } else if is_serving && last != witness.seen {
            self.show(now, no, last);
        }
        self.witness(no).seen = last;
        if core.counters().digest_mismatches > 0 {
            let what = format!(
                "server {} has another tree at {last} than its leader",
                no + 1
            );
            self.fail(now, "C1", what);
        }
    }

    fn on_leader(&mut self, now: Time, no: ServerNo, epoch: u32, last: Zxid, newest: Zxid) {
        self.coverage.leaders += 1;
        let first = *self.leaders.entry(epoch).or_insert(no);
        if first != no {
            let what = format!(
                "servers {} and {} both lead epoch {epoch}",
                first + 1,
                no + 1
            );
            self.fail(now, "C1", what);
        }
        if last < newest {
            let what = format!(
                "server {} leads epoch {epoch} with {last}, but {newest} was shown to clients",
                no + 1
            );
            self.fail(now, "C12", what);
        }
    }

    /// A server begins to serve: its state is one of the history, or goes on from its end.
    fn begin_to_show(&mut self, now: Time, no: ServerNo, core: &Core) {
        let last = core.last_zxid();
        let newest = self.newest();
        if last > newest {
            let (from, more) = self.history(last, newest);
            if from != newest {
                let what = format!(
                    "server {} serves {last} after {from}, {newest} was shown",
                    no + 1
                );
                return self.fail(now, "C1", what);
            }
            for (zxid, record) in more {
                self.enter(now, zxid, &record);
            }
        }
        let place = match self.place_of(last) {
            Ok(place) => place + 1,
            Err(_) if last == Zxid::ZERO => 0,
            Err(_) => {
                let what = format!(
                    "server {} serves {last}, which is not in the history",
                    no + 1
                );
                return self.fail(now, "C1", what);
            }
        };
        let entry = place
            .checked_sub(1)
            .and_then(|before| self.ledger.get(before));
        if let Some(digest) = entry.and_then(|entry| entry.digest)
            && digest != core.tree().digest()
        {
            let what = format!("server {} serves another tree at {last}", no + 1);
            return self.fail(now, "C1", what);
        }
        self.witness(no).place = place;
    }

    /// A server that serves shows more.
    fn show(&mut self, now: Time, no: ServerNo, last: Zxid) {
        let Witness { seen, place, .. } = self.witness(no);
        let (seen, mut place) = (*seen, *place);
        let (from, more) = self.history(last, seen);
        if from != seen {
            let what = format!(
                "server {} shows {last} after {from}, which it has not shown",
                no + 1
            );
            return self.fail(now, "C1", what);
        }
        for (zxid, record) in more {
            match self.ledger.get(place) {
                None => self.enter(now, zxid, &record),
                Some(entry) if (entry.zxid, &entry.record) == (zxid, &record) => {}
                Some(entry) => {
                    let what = format!(
                        "server {} shows {zxid} where {} was shown",
                        no + 1,
                        entry.zxid
                    );
                    return self.fail(now, "C1", what);
                }
            }
            place += 1;
        }
        self.witness(no).place = place;
    }

    /// At the end: a server has the whole history, and its tree and sessions are the model's.
    pub(crate) fn compare(&mut self, now: Time, no: ServerNo, core: &Core) {
        if let Some(what) = self.difference(core) {
            let what = format!("server {} at {}: {what}", no + 1, core.last_zxid());
            self.fail(now, "C1", what);
        }
    }

    fn difference(&self, core: &Core) -> Option<String> {
        let (last, newest) = (core.last_zxid(), self.newest());
        if last != newest {
            return Some(format!("{newest} was shown"));
        }
        let tree = core.tree();
        // The root counts twice, under both of its names.
        let mut count = 5;
        for (path, state) in self.model.all() {
            count += 1;
            let Some(node) = tree.get(path) else {
                return Some(format!("{path} is missing"));
            };
            let (stat, expected) = (node.stat(), state.stat());
            if stat != expected {
                return Some(format!("{path}: {stat:?}, expected {expected:?}"));
            }
            if node.data() != state.data.as_deref() || node.acl()[..] != state.acl[..] {
                return Some(format!("{path}: other data or another ACL"));
            }
        }
        if tree.node_count() != count {
            let seen = tree.node_count();
            return Some(format!("{seen} znodes, expected {count}"));
        }
        let sessions: Vec<_> = core.sessions().map(|session| session.id).collect();
        let expected: Vec<_> = self.model.sessions.keys().copied().collect();
        (sessions != expected).then(|| format!("sessions {sessions:?}, expected {expected:?}"))
    }
}

fn ms(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
