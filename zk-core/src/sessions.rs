//! The sessions that are open, as every server of an ensemble knows them, and what those on this
//! server wait for.
//!
//! A session of the ensemble is here from the moment its createSession is applied until its closeSession
//! is. When it expires is the [tracker](crate::tracker)'s to know, on the one server that makes
//! transactions. Sessions that no transaction tells of are [local](crate::replica) ones.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use hashbrown::HashMap;
use zk_proto::{SessionId, SnapshotSession, Xid, Zxid};

use crate::ConnId;
use crate::slab::Slab;

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// The timeout of its createSession, which outlives restarts.
    pub(crate) timeout_ms: i32,
    /// Whether the whole ensemble knows it: its createSession is applied.
    pub(crate) is_global: bool,
    /// The slot of the connection that it is on.
    pub(crate) conn: Option<u32>,
    /// Its requests that wait for a transaction or for the leader, in the order asked here.
    submitted: VecDeque<Submitted>,
    /// Number of requests that waited and do so no longer.
    answered: u64,
}

/// A request that waits for a transaction, or for the leader's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Submitted {
    pub(crate) xid: Xid,
    /// Where the answer goes.
    pub(crate) conn: ConnId,
    /// The newest transaction made when it was asked: its own is newer.
    pub(crate) after: Zxid,
    /// It wants an ephemeral for a session that is local and stays so. The leader may not know more than that
    /// there is no such session.
    pub(crate) wants_too_much: bool,
}

impl Session {
    /// A request is to wait.
    pub(crate) fn submit(&mut self, request: Submitted) {
        self.submitted.push_back(request);
    }

    /// What is asked now has its turn when so many requests are [answered](Self::answered).
    pub(crate) fn turn(&self) -> u64 {
        self.answered + self.submitted.len() as u64
    }

    /// Number of requests that waited and do so no longer.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Takes the request that the transaction answers. A transaction that was asked for on another
    /// server, where the session was before, answers none: the client may have begun to count anew,
    /// but what it asks for here becomes a newer transaction.
    pub(crate) fn take_answered(&mut self, xid: Xid, zxid: Zxid) -> Option<Submitted> {
        let is_answered = |first: &mut Submitted| first.xid == xid && first.after < zxid;
        let first = self.submitted.pop_front_if(is_answered)?;
        self.answered += 1;
        Some(first)
    }
}

/// The sessions, in slots that stay valid until [`remove`](Self::remove).
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    slots: Slab<Session>,
    by_id: HashMap<SessionId, u32>,
    /// How many are known here only.
    here_only: usize,
}

impl Sessions {
    /// The sessions that recovery found.
    pub(crate) fn new(recovered: &BTreeMap<SessionId, i32>) -> Self {
        let mut sessions = Self::default();
        for (&id, &timeout_ms) in recovered {
            sessions.open(id, timeout_ms);
        }
        sessions
    }

    /// Opens a session of the ensemble; one that is open already gets the timeout.
    pub(crate) fn open(&mut self, id: SessionId, timeout_ms: i32) -> u32 {
        let Some(slot) = self.slot_of(id) else {
            return self.insert(id, timeout_ms, true);
        };
        let session = self.slots.get_mut(slot);
        session.timeout_ms = timeout_ms;
        if !core::mem::replace(&mut session.is_global, true) {
            self.here_only -= 1;
        }
        slot
    }

    /// Opens a session that is known here only.
    pub(crate) fn open_here(&mut self, id: SessionId, timeout_ms: i32) -> u32 {
        assert!(self.slot_of(id).is_none(), "session {id} is open");
        self.here_only += 1;
        self.insert(id, timeout_ms, false)
    }

    fn insert(&mut self, id: SessionId, timeout_ms: i32, is_global: bool) -> u32 {
        let slot = self.slots.insert(Session {
            id,
            timeout_ms,
            is_global,
            conn: None,
            submitted: VecDeque::new(),
            answered: 0,
        });
        self.by_id.insert(id, slot);
        slot
    }

    pub(crate) fn get(&self, slot: u32) -> &Session {
        self.slots.get(slot)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Session {
        self.slots.get_mut(slot)
    }

    pub(crate) fn slot_of(&self, id: SessionId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Number of sessions of the ensemble.
    pub(crate) fn global_len(&self) -> usize {
        self.by_id.len() - self.here_only
    }

    /// Whether the session is one of the ensemble.
    pub(crate) fn is_global(&self, id: SessionId) -> bool {
        (self.slot_of(id)).is_some_and(|slot| self.get(slot).is_global)
    }

    /// All sessions, in order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        let mut slots: Vec<_> = self.by_id.iter().map(|(&id, &slot)| (id, slot)).collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| self.get(slot))
    }

    /// The sessions of the ensemble with their timeouts, in order of their ids.
    pub(crate) fn persisted(&self) -> Vec<SnapshotSession> {
        let sessions = self.iter().filter(|session| session.is_global);
        let sessions = sessions.map(|session| SnapshotSession {
            id: session.id,
            timeout_ms: session.timeout_ms,
        });
        sessions.collect()
    }

    /// Nothing waits any more: whoever would answer is gone.
    pub(crate) fn forget_submitted(&mut self) {
        for &slot in self.by_id.values() {
            let session = self.slots.get_mut(slot);
            session.submitted = VecDeque::new();
            session.answered = 0;
        }
    }

    /// Forgets a session.
    pub(crate) fn remove(&mut self, slot: u32) -> Session {
        let session = self.slots.remove(slot);
        self.by_id.remove(&session.id);
        self.here_only -= usize::from(!session.is_global);
        session
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const CONN: ConnId = ConnId(1);

    fn submitted(xid: i32, after: i64) -> Submitted {
        Submitted {
            xid: Xid(xid),
            conn: CONN,
            after: Zxid(after),
            wants_too_much: false,
        }
    }

    #[test]
    fn requests_are_answered_in_their_order_and_by_their_own_transactions() {
        let mut sessions = Sessions::default();
        let slot = sessions.open(SessionId(5), 1_000);
        let session = sessions.get_mut(slot);
        session.submit(submitted(1, 10));
        session.submit(submitted(2, 10));
        assert_eq!(session.turn(), 2);
        assert_eq!(
            session.take_answered(Xid(1), Zxid(10)),
            None,
            "asked elsewhere"
        );
        assert_eq!(
            session.take_answered(Xid(2), Zxid(11)),
            None,
            "not the first"
        );
        assert_eq!(
            session.take_answered(Xid(1), Zxid(11)),
            Some(submitted(1, 10))
        );
        assert_eq!(
            session.take_answered(Xid(2), Zxid(12)),
            Some(submitted(2, 10))
        );
        assert_eq!((session.answered(), session.turn()), (2, 2));
    }

    #[test]
    fn sessions_are_told_in_the_order_of_their_ids() {
        let mut sessions = Sessions::default();
        for id in [3, -1, 2] {
            sessions.open(SessionId(id), 1_000);
        }
        sessions.open_here(SessionId(1), 1_000);
        let ids: Vec<_> = sessions
            .persisted()
            .iter()
            .map(|session| session.id.0)
            .collect();
        assert_eq!(ids, vec![-1, 2, 3]);
    }

    #[test]
    fn sessions_that_are_known_here_only_are_counted_apart() {
        let mut sessions = Sessions::default();
        sessions.open(SessionId(1), 1_000);
        let slots = [2, 3].map(|id| sessions.open_here(SessionId(id), 1_000));
        assert_eq!((sessions.len(), sessions.global_len()), (3, 1));
        assert_eq!(sessions.open(SessionId(2), 2_000), slots[0]);
        assert_eq!((sessions.len(), sessions.global_len()), (3, 2));
        assert!(sessions.is_global(SessionId(2)) && !sessions.is_global(SessionId(3)));
        sessions.remove(slots[1]);
        assert_eq!((sessions.len(), sessions.global_len()), (2, 2));
    }
}
