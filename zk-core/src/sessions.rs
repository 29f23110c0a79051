//! The sessions that are open, and when they expire (`SessionTrackerImpl`, `ExpiryQueue`, 3.9.5).
//!
//! ```text
//!            createSession flushed        closeSession prepared        closeSession applied
//! Opening ───────────────────────> Open ───────────────────────> Closing ────────────────> gone
//! ```
//!
//! A session expires at the end of a bucket of one tick, `(t / tick + 1) * tick`, so that many expire
//! in one step. It stands in the queue once: to touch it is to write down its bucket, and the queue
//! notices when it comes to the session's old place. Only monotonic time counts here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::{SessionId, SnapshotSession, Zxid};

use crate::slab::Slab;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionState {
    /// Its createSession is on the way to the disk.
    Opening,
    Open,
    /// Its closeSession is on the way to the disk: nothing is taken from it any more.
    Closing,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) state: SessionState,
    /// The timeout of its createSession, which outlives restarts.
    pub(crate) timeout_ms: i32,
    /// The timeout granted to the connection that it is on.
    pub(crate) granted: Duration,
    /// The slot of the connection that it is on.
    pub(crate) conn: Option<u32>,
    /// Its newest transaction; what it asks for afterwards waits for that to be applied.
    pub(crate) last_write: Zxid,
    bucket: u64,
    queued: u64,
}

/// The sessions, in slots that stay valid until [`remove`](Self::remove).
#[derive(Debug)]
pub(crate) struct Sessions {
    tick_ms: u64,
    slots: Slab<Session>,
    by_id: BTreeMap<SessionId, u32>,
    /// Buckets by number. An entry whose session is gone, or queued elsewhere, means nothing.
    queue: BTreeMap<u64, Vec<SessionId>>,
    next_id: SessionId,
}

impl Sessions {
    /// The sessions that recovery found; each gets its whole timeout from `now` on.
    pub(crate) fn new(
        tick: Duration,
        first_id: SessionId,
        recovered: &BTreeMap<SessionId, i32>,
        now: Duration,
    ) -> Self {
        let mut sessions = Self {
            tick_ms: ms(tick).max(1),
            slots: Slab::new(),
            by_id: BTreeMap::new(),
            queue: BTreeMap::new(),
            next_id: first_id,
        };
        for (&id, &timeout_ms) in recovered {
            sessions.insert(id, timeout_ms, SessionState::Open, now);
        }
        sessions
    }

    /// Opens a session under an id that no other has.
    pub(crate) fn open(&mut self, timeout_ms: i32, now: Duration) -> u32 {
        while self.by_id.contains_key(&self.next_id) || !is_session_id(self.next_id) {
            self.next_id = following(self.next_id);
        }
        let id = self.next_id;
        self.next_id = following(id);
        self.insert(id, timeout_ms, SessionState::Opening, now)
    }

    fn insert(
        &mut self,
        id: SessionId,
        timeout_ms: i32,
        state: SessionState,
        now: Duration,
    ) -> u32 {
        let granted = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        let bucket = self.bucket(now, granted);
        let session = Session {
            id,
            state,
            timeout_ms,
            granted,
            conn: None,
            last_write: Zxid(i64::MIN),
            bucket,
            queued: bucket,
        };
        let slot = self.slots.insert(session);
        self.by_id.insert(id, slot);
        self.queue.entry(bucket).or_default().push(id);
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
        self.by_id.values().map(|&slot| self.get(slot))
    }

    /// Those whose createSession is applied and whose closeSession is not, in order of their ids.
    pub(crate) fn persisted(&self) -> Vec<SnapshotSession> {
        self.iter()
            .filter(|session| session.state != SessionState::Opening)
            .map(|session| SnapshotSession {
                id: session.id,
                timeout_ms: session.timeout_ms,
            })
            .collect()
    }

    /// Grants the session's whole timeout from `now` on.
    pub(crate) fn touch(&mut self, slot: u32, now: Duration) {
        let tick_ms = self.tick_ms;
        let session = self.get_mut(slot);
        session.bucket = bucket(tick_ms, now, session.granted);
        if session.bucket < session.queued {
            session.queued = session.bucket;
            let (id, bucket) = (session.id, session.bucket);
            self.queue.entry(bucket).or_default().push(id);
        }
    }

    /// When the session expires if it is not touched.
    pub(crate) fn expires(&self, session: &Session) -> Duration {
        Duration::from_millis(session.bucket.saturating_mul(self.tick_ms))
    }

    /// When the first bucket ends. The sessions in it may have been touched since.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let (bucket, _) = self.queue.first_key_value()?;
        Some(Duration::from_millis(bucket.saturating_mul(self.tick_ms)))
    }

    /// Takes the sessions that are open and whose bucket has ended.
    pub(crate) fn take_expired(&mut self, now: Duration) -> Vec<u32> {
        let mut expired = Vec::new();
        while let Some(entry) = self.queue.first_entry()
            && entry.key().saturating_mul(self.tick_ms) <= ms(now)
        {
            let (ended, ids) = entry.remove_entry();
            for id in ids {
                let Some(slot) = self.slot_of(id) else {
                    continue;
                };
                let session = self.get_mut(slot);
                if session.queued != ended {
                    continue;
                }
                if session.bucket > ended {
                    session.queued = session.bucket;
                    let bucket = session.bucket;
                    self.queue.entry(bucket).or_default().push(id);
                } else if session.state == SessionState::Open {
                    // Another entry of this bucket may name it, left from a longer timeout.
                    session.queued = NOWHERE;
                    expired.push(slot);
                } else if session.state == SessionState::Opening {
                    // Its birth is not on disk yet, so it cannot end: it gets another tick.
                    session.bucket += 1;
                    session.queued = session.bucket;
                    let bucket = session.bucket;
                    self.queue.entry(bucket).or_default().push(id);
                }
            }
        }
        expired
    }

    /// Forgets a session.
    pub(crate) fn remove(&mut self, slot: u32) {
        let session = self.slots.remove(slot);
        self.by_id.remove(&session.id);
    }

    fn bucket(&self, now: Duration, timeout: Duration) -> u64 {
        bucket(self.tick_ms, now, timeout)
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

/// The first id that a server gives: the low 40 bits of the time in ms, and its number above them
/// (`SessionTrackerImpl.initializeNextSessionId`). Ids of sessions that are open and would follow are
/// left behind, so that a clock that went back gives no id twice while its session is open.
#[expect(clippy::cast_sign_loss, reason = "an id is a bit pattern")]
#[expect(clippy::cast_possible_wrap, reason = "an id is a bit pattern")]
pub(crate) fn first_session_id(
    server_id: u8,
    wall_ms: i64,
    recovered: &BTreeMap<SessionId, i32>,
) -> SessionId {
    let number = u64::from(server_id) << 56;
    let first = SessionId((((wall_ms as u64) << 24 >> 8) | number) as i64);
    let last = SessionId((number | 0xff_ffff_ffff_ffff) as i64);
    match recovered.range(first..=last).next_back() {
        Some((&newest, _)) => following(newest),
        None => first,
    }
}

/// Zero means no session, and the lowest id means a container.
fn is_session_id(id: SessionId) -> bool {
    id.0 != 0 && id.0 != i64::MIN
}

fn following(id: SessionId) -> SessionId {
    SessionId(id.0.wrapping_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const TICK: Duration = Duration::from_millis(1_000);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn empty() -> Sessions {
        Sessions::new(TICK, SessionId(0x100), &BTreeMap::new(), at(0))
    }

    fn opened(sessions: &mut Sessions, timeout_ms: i32, now: u64) -> u32 {
        let slot = sessions.open(timeout_ms, at(now));
        sessions.get_mut(slot).state = SessionState::Open;
        slot
    }

    #[test]
    fn a_session_expires_at_the_end_of_its_bucket() {
        let mut sessions = empty();
        let slot = opened(&mut sessions, 4_000, 500);
        assert_eq!(sessions.next_deadline(), Some(at(5_000)));
        assert_eq!(sessions.take_expired(at(4_999)), []);
        assert_eq!(sessions.take_expired(at(5_000)), [slot]);
        assert_eq!(sessions.next_deadline(), None);
    }

    #[test]
    fn a_touched_session_lives_on() {
        let mut sessions = empty();
        let slot = opened(&mut sessions, 4_000, 0);
        sessions.touch(slot, at(3_000));
        assert_eq!(sessions.take_expired(at(5_000)), []);
        assert_eq!(sessions.next_deadline(), Some(at(8_000)));
        assert_eq!(sessions.take_expired(at(8_000)), [slot]);
    }

    #[test]
    fn a_shorter_timeout_expires_sooner_and_once() {
        let mut sessions = empty();
        let slot = opened(&mut sessions, 40_000, 0);
        sessions.get_mut(slot).granted = at(4_000);
        sessions.touch(slot, at(0));
        assert_eq!(sessions.take_expired(at(5_000)), [slot]);
        sessions.remove(slot);
        assert_eq!(sessions.take_expired(at(50_000)), []);
    }

    #[test]
    fn a_session_queued_twice_in_a_bucket_expires_once() {
        let mut sessions = empty();
        let slot = opened(&mut sessions, 9_000, 0);
        sessions.get_mut(slot).granted = at(4_000);
        sessions.touch(slot, at(0));
        sessions.touch(slot, at(5_000));
        assert_eq!(sessions.take_expired(at(5_000)), []);
        assert_eq!(sessions.take_expired(at(10_000)), [slot]);
    }

    #[test]
    fn a_session_that_opens_or_closes_does_not_expire() {
        let mut sessions = empty();
        let opening = sessions.open(1_000, at(0));
        let closing = opened(&mut sessions, 1_000, 0);
        sessions.get_mut(closing).state = SessionState::Closing;
        assert_eq!(sessions.take_expired(at(2_000)), []);
        sessions.get_mut(opening).state = SessionState::Open;
        assert_eq!(sessions.take_expired(at(3_000)), [opening]);
    }

    #[test]
    fn ids_are_unique_beside_recovered_sessions() {
        let recovered = BTreeMap::from([(SessionId(0x101), 1_000)]);
        let mut sessions = Sessions::new(TICK, SessionId(0x100), &recovered, at(0));
        let ids = [(); 3].map(|()| {
            let slot = sessions.open(1_000, at(0));
            sessions.get(slot).id
        });
        assert_eq!(ids, [0x100, 0x102, 0x103].map(SessionId));
    }

    #[test]
    fn a_recovered_session_gets_its_whole_timeout() {
        let recovered = BTreeMap::from([(SessionId(9), 6_000)]);
        let mut sessions = Sessions::new(TICK, SessionId(1), &recovered, at(90_000));
        assert_eq!(sessions.take_expired(at(96_999)), []);
        assert_eq!(sessions.take_expired(at(97_000)).len(), 1);
    }

    #[test]
    fn ids_hold_the_server_and_the_time() {
        let none = BTreeMap::new();
        let id = first_session_id(1, 0x0123_4567_89ab, &none);
        assert_eq!(id, SessionId(0x0123_4567_89ab_0000));
        let id = first_session_id(0xfe, 0x0023_4567_89ab, &none);
        assert_eq!(
            id.0,
            i64::from_be_bytes([0xfe, 0x23, 0x45, 0x67, 0x89, 0xab, 0, 0])
        );
        let later = SessionId(id.0 + 77);
        let recovered = BTreeMap::from([(SessionId(5), 1), (later, 1)]);
        assert_eq!(
            first_session_id(0xfe, 0x0023_4567_89ab, &recovered),
            SessionId(later.0 + 1)
        );
    }

    #[test]
    fn zero_and_the_container_owner_are_no_sessions() {
        let mut sessions = Sessions::new(TICK, SessionId(0), &BTreeMap::new(), at(0));
        let slot = sessions.open(1_000, at(0));
        assert_eq!(sessions.get(slot).id, SessionId(1));
        let mut sessions = Sessions::new(TICK, SessionId(i64::MIN), &BTreeMap::new(), at(0));
        let slot = sessions.open(1_000, at(0));
        assert_eq!(sessions.get(slot).id, SessionId(i64::MIN + 1));
    }

    #[test]
    fn only_sessions_on_disk_are_persisted() {
        let mut sessions = empty();
        sessions.open(1_000, at(0));
        let open = opened(&mut sessions, 2_000, 0);
        let closing = opened(&mut sessions, 3_000, 0);
        sessions.get_mut(closing).state = SessionState::Closing;
        let timeouts: Vec<i32> = sessions
            .persisted()
            .iter()
            .map(|session| session.timeout_ms)
            .collect();
        assert_eq!(timeouts, vec![2_000, 3_000]);
        assert_eq!(sessions.expires(sessions.get(open)), at(3_000));
    }
}
