//! When sessions expire, and which server speaks for each (`SessionTrackerImpl`, `ExpiryQueue`,
//! 3.9.5). The one server that makes transactions has it: a standalone server, or the leader. Every
//! server has another for its local sessions.
//!
//! A session expires at the end of a bucket of one tick, `(t / tick + 1) * tick`, so that many expire
//! in one step. It stands in the queue once: to touch it is to write down its bucket, and the queue
//! notices when it comes to the session's old place. Only monotonic time counts here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashMap;
use zk_proto::SessionId;

use crate::QuorumLink;

/// Through which server a session's requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This one.
    Here,
    /// The learner at the other end of a link.
    Learner(QuorumLink),
}

#[derive(Debug)]
struct Tracked {
    granted: Duration,
    bucket: u64,
    queued: u64,
    /// `None` until somebody speaks for it: its client has not come back since this tracker began.
    owner: Option<Owner>,
    /// Its closeSession is on the way: nothing is taken from it any more.
    is_closing: bool,
}

/// The open sessions by when they expire.
#[derive(Debug)]
pub(crate) struct Tracker {
    tick_ms: u64,
    sessions: HashMap<SessionId, Tracked>,
    /// Buckets by number. An entry whose session is gone, or queued elsewhere, means nothing.
    queue: BTreeMap<u64, Vec<SessionId>>,
}

impl Tracker {
    /// With no session.
    pub(crate) fn new(tick: Duration) -> Self {
        Self {
            tick_ms: ms(tick).max(1),
            sessions: HashMap::new(),
            queue: BTreeMap::new(),
        }
    }

    /// Begins to track a session, which gets its whole timeout from `now` on. One that is tracked
    /// already is touched.
    pub(crate) fn open(
        &mut self,
        id: SessionId,
        granted: Duration,
        owner: Option<Owner>,
        now: Duration,
    ) {
        if self.sessions.contains_key(&id) {
            self.touch(id, granted, now);
            return;
        }
        let bucket = bucket(self.tick_ms, now, granted);
        let tracked = Tracked {
            granted,
            bucket,
            queued: bucket,
            owner,
            is_closing: false,
        };
        self.sessions.insert(id, tracked);
        self.queue.entry(bucket).or_default().push(id);
    }

    /// Grants a session, if it is tracked, this whole timeout from `now` on.
    pub(crate) fn touch(&mut self, id: SessionId, granted: Duration, now: Duration) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.granted = granted;
        session.bucket = bucket(self.tick_ms, now, granted);
        if session.bucket < session.queued {
            session.queued = session.bucket;
            self.queue.entry(session.bucket).or_default().push(id);
        }
    }

    /// Whether the session is open and not about to end.
    pub(crate) fn is_open(&self, id: SessionId) -> bool {
        (self.sessions.get(&id)).is_some_and(|session| !session.is_closing)
    }

    /// Gives the session to the server that its client came to; `false` when it is over.
    pub(crate) fn set_owner(&mut self, id: SessionId, owner: Owner) -> bool {
        match self.sessions.get_mut(&id) {
            Some(session) if !session.is_closing => {
                session.owner = Some(owner);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Who speaks for the session.
    pub(crate) fn owner(&self, id: SessionId) -> Option<Owner> {
        self.sessions.get(&id)?.owner
    }

    /// The session is about to end: it does not expire, and nothing is taken from it any more.
    pub(crate) fn set_closing(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.is_closing = true;
        }
    }

    /// Forgets a session.
    pub(crate) fn remove(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// When the session expires if it is not touched.
    pub(crate) fn expires(&self, id: SessionId) -> Option<Duration> {
        let session = self.sessions.get(&id)?;
        Some(self.end_of(session.bucket))
    }

    /// When the first bucket ends. The sessions in it may have been touched since.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let (&bucket, _) = self.queue.first_key_value()?;
        Some(self.end_of(bucket))
    }

    /// Takes the sessions whose bucket has ended, and which are about to end from here on.
    pub(crate) fn take_expired(&mut self, now: Duration) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(entry) = self.queue.first_entry()
            && entry.key().saturating_mul(self.tick_ms) <= ms(now)
        {
            let (ended, ids) = entry.remove_entry();
            for id in ids {
                let Some(session) = self.sessions.get_mut(&id) else {
                    continue;
                };
                if session.queued != ended {
                    continue;
                }
                if session.bucket > ended {
                    session.queued = session.bucket;
                    self.queue.entry(session.bucket).or_default().push(id);
                } else if !session.is_closing {
                    // Another entry of this bucket may name it, left from a longer timeout.
                    session.queued = NOWHERE;
                    session.is_closing = true;
                    expired.push(id);
                }
            }
        }
        expired
    }

    fn end_of(&self, bucket: u64) -> Duration {
        Duration::from_millis(bucket.saturating_mul(self.tick_ms))
    }
}

/// The bucket of a session that is not queued.
const NOWHERE: u64 = u64::MAX;

fn bucket(tick_ms: u64, now: Duration, timeout: Duration) -> u64 {
    (ms(now) + ms(timeout)) / tick_ms + 1
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a clock in ms fits in 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1_000);
    const ID: SessionId = SessionId(7);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn opened(timeout_ms: u64, now: u64) -> Tracker {
        let mut tracker = Tracker::new(TICK);
        tracker.open(ID, at(timeout_ms), None, at(now));
        tracker
    }

    #[test]
    fn a_session_expires_at_the_end_of_its_bucket() {
        let mut tracker = opened(4_000, 500);
        assert_eq!(tracker.next_deadline(), Some(at(5_000)));
        assert_eq!(tracker.expires(ID), Some(at(5_000)));
        assert_eq!(tracker.take_expired(at(4_999)), []);
        assert_eq!(tracker.take_expired(at(5_000)), [ID]);
        assert_eq!(tracker.next_deadline(), None);
        assert!(!tracker.is_open(ID), "it is about to end");
    }

    #[test]
    fn a_touched_session_lives_on() {
        let mut tracker = opened(4_000, 0);
        tracker.touch(ID, at(4_000), at(3_000));
        assert_eq!(tracker.take_expired(at(5_000)), []);
        assert_eq!(tracker.next_deadline(), Some(at(8_000)));
        assert_eq!(tracker.take_expired(at(8_000)), [ID]);
    }

    #[test]
    fn a_shorter_timeout_expires_sooner_and_once() {
        let mut tracker = opened(40_000, 0);
        tracker.touch(ID, at(4_000), at(0));
        assert_eq!(tracker.take_expired(at(5_000)), [ID]);
        tracker.remove(ID);
        assert_eq!(tracker.take_expired(at(50_000)), []);
    }

    #[test]
    fn a_session_queued_twice_in_a_bucket_expires_once() {
        let mut tracker = opened(9_000, 0);
        tracker.touch(ID, at(4_000), at(0));
        tracker.touch(ID, at(4_000), at(5_000));
        assert_eq!(tracker.take_expired(at(5_000)), []);
        assert_eq!(tracker.take_expired(at(10_000)), [ID]);
    }

    #[test]
    fn a_session_that_closes_does_not_expire() {
        let mut tracker = opened(1_000, 0);
        tracker.set_closing(ID);
        assert!(!tracker.set_owner(ID, Owner::Here));
        assert_eq!(tracker.take_expired(at(2_000)), []);
    }

    #[test]
    fn a_session_has_the_owner_that_its_client_came_to_last() {
        let mut tracker = opened(1_000, 0);
        assert_eq!(tracker.owner(ID), None);
        for owner in [Owner::Here, Owner::Learner(QuorumLink(3))] {
            assert!(tracker.set_owner(ID, owner));
            assert_eq!(tracker.owner(ID), Some(owner));
        }
    }
}
