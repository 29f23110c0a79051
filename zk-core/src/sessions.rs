//! The sessions that are open, as every server of an ensemble knows them, and what those on this
//! server wait for.
//!
//! A session is here from the moment its createSession is applied until its closeSession is. When it
//! expires is the [tracker](crate::tracker)'s to know, on the one server that makes transactions.

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

    /// Opens a session; one that is open already gets the timeout.
    pub(crate) fn open(&mut self, id: SessionId, timeout_ms: i32) -> u32 {
        if let Some(slot) = self.slot_of(id) {
            self.get_mut(slot).timeout_ms = timeout_ms;
            return slot;
        }
        let slot = self.slots.insert(Session {
            id,
            timeout_ms,
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

    /// All sessions, in order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        let mut slots: Vec<_> = self.by_id.iter().map(|(&id, &slot)| (id, slot)).collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| self.get(slot))
    }

    /// All sessions with their timeouts, in order of their ids.
    pub(crate) fn persisted(&self) -> Vec<SnapshotSession> {
        let sessions = self.iter().map(|session| SnapshotSession {
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
        let ids: Vec<_> = sessions
            .persisted()
            .iter()
            .map(|session| session.id.0)
            .collect();
        assert_eq!(ids, vec![-1, 2, 3]);
    }
}
