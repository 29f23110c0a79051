//! What makes transactions: a standalone server has it, or the leader of an ensemble.
//!
//! ```text
//! request, expiry, reaping ── prep ──> made (to the disk, and to the followers) ─ ─ commit ──> replica
//! ```
//!
//! A transaction is made on top of all that were made before, applied or not, so that disks and peers
//! work on many at once. The authority does not know when one is agreed on: it is told.

use alloc::collections::VecDeque;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use zk_proto::quorum::EnsembleConfig;
use zk_proto::{ErrorCode, OpCode, Record as _, Request, SessionId, Txn, TxnDigest, Xid, Zxid};

use crate::blocks::Blocks;
use crate::elsewhere::Elsewhere;
use crate::prep::{Asked, Prep, Prepared};
use crate::reaper::Reaper;
use crate::replica::Replica;
use crate::tracker::{Owner, Tracker};
use crate::unapplied::Unapplied;
use crate::{LocalSessions, Now};

#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) tracker: Tracker,
    prep: Prep,
    reaper: Reaper,
    /// Local sessions of other servers; `None` where there are none.
    elsewhere: Option<Elsewhere>,
    /// Made and not yet applied.
    pending: VecDeque<Unapplied>,
    /// Made since [`take_made`](Self::take_made).
    made: Vec<Made>,
    records: Blocks,
}

/// What a session that asks for something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// One of the ensemble.
    Global,
    /// Known only to the server that its client is connected to: it may own nothing.
    Local,
}

/// A transaction to be sent to disks.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) zxid: Zxid,
    pub(crate) record: Bytes,
}

impl Authority {
    /// On top of the replica, with nothing pending; the first transaction follows `after`. Every
    /// session gets its whole timeout from `now` on.
    pub(crate) fn new(replica: &mut Replica, after: Zxid, now: Now) -> Self {
        replica.caught_up();
        let mut tracker = Tracker::new(replica.config.tick);
        for session in replica.sessions.iter() {
            tracker.open(session.id, timeout(session.timeout_ms), None, now.monotonic);
        }
        Self {
            tracker,
            prep: Prep::new(&replica.config, &replica.tree, after),
            reaper: Reaper::new(&replica.config, now.monotonic),
            elsewhere: (replica.config.local_sessions != LocalSessions::Off)
                .then(|| Elsewhere::new(replica.config.server_id)),
            pending: VecDeque::new(),
            made: Vec::new(),
            records: Blocks::default(),
        }
    }

    /// The newest transaction made.
    pub(crate) const fn last_zxid(&self) -> Zxid {
        self.prep.last_zxid()
    }

    /// Number of transactions made and not yet applied.
    pub(crate) fn outstanding(&self) -> usize {
        self.pending.len()
    }

    /// When [`on_tick`](Self::on_tick) is due.
    pub(crate) fn next_deadline(&self, is_retiring: bool) -> Option<Duration> {
        if is_retiring {
            return None;
        }
        let reaper = self.reaper.next_deadline();
        let sessions = self.tracker.next_deadline();
        Some(sessions.map_or(reaper, |sessions| sessions.min(reaper)))
    }

    /// Takes what was made since the last time, in the order of the zxids.
    pub(crate) fn take_made(&mut self) -> Vec<Made> {
        core::mem::take(&mut self.made)
    }

    /// What was made and is not applied, oldest first.
    pub(crate) fn unapplied(&self) -> impl Iterator<Item = (Zxid, &Bytes)> {
        let pending = self.pending.iter();
        pending.map(|pending| (pending.header.zxid, &pending.record))
    }

    /// Ends, and leaves what was sent to disks and is not applied. What was made just now, and not
    /// even sent to the own disk, never happened.
    pub(crate) fn into_unapplied(mut self) -> VecDeque<Unapplied> {
        self.pending.truncate(self.pending.len() - self.made.len());
        self.pending
    }

    /// As what a session may ask for something through this server.
    ///
    /// # Errors
    /// SESSIONEXPIRED when it is over, SESSIONMOVED when its client went to another server.
    pub(crate) fn claim(
        &mut self,
        replica: &Replica,
        session: SessionId,
        owner: Owner,
    ) -> Result<Claim, ErrorCode> {
        if !self.tracker.is_open(session) {
            let is_local = match owner {
                Owner::Here => replica.is_local(session),
                Owner::Learner(_) => {
                    (self.elsewhere.as_ref()).is_some_and(|elsewhere| elsewhere.may_be(session))
                }
            };
            return match is_local {
                true => Ok(Claim::Local),
                false => Err(ErrorCode::SESSION_EXPIRED),
            };
        }
        match self.tracker.owner(session) {
            Some(other) if other != owner => return Err(ErrorCode::SESSION_MOVED),
            Some(_) => {}
            None => {
                self.tracker.set_owner(session, owner);
            }
        }
        Ok(Claim::Global)
    }

    /// A session's client comes to a server; whether the session is open. One whose createSession is not
    /// applied is known to the server alone that upgrades it: at another its client is told that it is
    /// over, and then it has to be.
    pub(crate) fn resume(
        &mut self,
        replica: &Replica,
        session: SessionId,
        owner: Owner,
        granted: Duration,
        now: Now,
    ) -> bool {
        if !self.tracker.is_open(session) {
            return false;
        }
        let is_opening = !replica.sessions.is_global(session);
        if is_opening && self.tracker.owner(session) != Some(owner) {
            self.close_session(replica, session, Xid(0), now);
            return false;
        }
        self.tracker.set_owner(session, owner);
        self.tracker.touch(session, granted, now.monotonic);
        true
    }

    /// Makes a transaction of a write.
    pub(crate) fn write(&mut self, asked: Asked<'_>, request: Request) {
        let prepared = self.prep.write(asked, request);
        self.make(prepared);
    }

    /// Makes a transaction of a reconfig; whether it is one that puts the membership in force.
    pub(crate) fn reconfig(&mut self, asked: &Asked<'_>, config: &EnsembleConfig) -> bool {
        let prepared = self.prep.reconfig(asked, &config.to_string());
        let is_made = prepared.header.op == OpCode::RECONFIG;
        self.make(prepared);
        is_made
    }

    /// Makes a transaction of a request that is refused whatever it asks for.
    pub(crate) fn refuse(&mut self, session: SessionId, xid: Xid, now: Now, code: ErrorCode) {
        let prepared = self.prep.refuse(session, xid, now.wall_ms, code);
        self.make(prepared);
    }

    /// Begins a session that comes through `owner`, or makes a local one of that server global. It may
    /// ask for something before the transaction is applied.
    pub(crate) fn create_session(
        &mut self,
        session: SessionId,
        xid: Xid,
        timeout_ms: i32,
        owner: Owner,
        now: Now,
    ) {
        let granted = timeout(timeout_ms);
        (self.tracker).open(session, granted, Some(owner), now.monotonic);
        let prepared = (self.prep).create_session(session, xid, timeout_ms, now.wall_ms);
        self.make(prepared);
    }

    /// Ends a session, as its client asks with `xid`, or because it expired: then that is zero.
    pub(crate) fn close_session(
        &mut self,
        replica: &Replica,
        session: SessionId,
        xid: Xid,
        now: Now,
    ) {
        self.tracker.set_closing(session);
        if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere.on_ended(session);
        }
        let prepared = (self.prep).close_session(&replica.tree, session, xid, now.wall_ms);
        self.make(prepared);
    }

    /// Ends the sessions that expired, and deletes what is due to be reaped.
    pub(crate) fn on_tick(&mut self, replica: &mut Replica, now: Now) {
        if replica.is_retiring {
            return;
        }
        for session in self.tracker.take_expired(now.monotonic) {
            replica.counters.sessions_expired += 1;
            self.close_session(replica, session, Xid(0), now);
        }
        self.reaper.check(&replica.tree, now.monotonic, now.wall_ms);
        while let Some(path) = self.reaper.next(now.monotonic) {
            let is_due = |stat: &_| self.reaper.is_due(stat, now.wall_ms);
            let prepared = self
                .prep
                .delete_container(&replica.tree, path, now.wall_ms, is_due);
            if let Some(prepared) = prepared {
                replica.counters.reaped += 1;
                self.make(prepared);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.prep.is_idle()
    }

    fn make(&mut self, prepared: Prepared) {
        let Prepared {
            header,
            txn,
            digest,
        } = prepared;
        let record = self.records.encode(|out| {
            header.encode(out);
            txn.encode(out);
            if let Some(tree_digest) = digest {
                let version = TxnDigest::VERSION;
                TxnDigest {
                    version,
                    tree_digest,
                }
                .encode(out);
            }
        });
        self.made.push(Made {
            zxid: header.zxid,
            record: record.clone(),
        });
        self.pending.push_back(Unapplied {
            header,
            txn,
            digest,
            record,
        });
    }

    /// Applies what is agreed on: every transaction up to `zxid`.
    ///
    /// # Panics
    /// When a transaction does not come out as it was prepared, or was not made.
    pub(crate) fn commit(&mut self, replica: &mut Replica, zxid: Zxid, now: Now) {
        assert!(
            zxid <= self.last_zxid(),
            "to commit {zxid}, made up to {}",
            self.last_zxid()
        );
        while let Some(pending) = (self.pending).pop_front_if(|next| next.header.zxid <= zxid) {
            let is_expected = replica.apply(&pending);
            assert!(is_expected, "prepared otherwise: {pending:?}");
            let Unapplied { header, txn, .. } = pending;
            self.prep.on_applied(header.zxid);
            match txn {
                // Its client waited, and has its whole timeout from now on.
                Txn::CreateSession { timeout_ms } => {
                    let granted = timeout(timeout_ms);
                    (self.tracker).touch(header.session, granted, now.monotonic);
                }
                Txn::CloseSession { .. } => self.tracker.remove(header.session),
                _ => {}
            }
        }
    }
}

fn timeout(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
