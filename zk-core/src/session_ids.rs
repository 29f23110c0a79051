//! Ids for the sessions that begin on this server.

use alloc::collections::BTreeMap;

use zk_proto::SessionId;

/// How far ids start beyond those of sessions that a clock shows in the future: as many ms have room
/// for 2^36 ids.
const AHEAD_MS: u64 = 1 << 20;

/// Gives out ids, each once.
#[derive(Debug)]
pub(crate) struct SessionIds {
    next: SessionId,
}

impl SessionIds {
    /// Starts with the low 40 bits of the time in ms, and the server's number above them
    /// (`SessionTrackerImpl.initializeNextSessionId`, 3.9.5).
    ///
    /// Open sessions with ids that would follow say that the clock went back. Then ids beyond theirs
    /// may have been given to sessions that are over, whose clients may not know it yet: the ids start
    /// well beyond, at a place that is another one at every start.
    #[expect(clippy::cast_sign_loss, reason = "an id is a bit pattern")]
    #[expect(clippy::cast_possible_wrap, reason = "an id is a bit pattern")]
    pub(crate) fn new(server_id: u8, wall_ms: i64, recovered: &BTreeMap<SessionId, i32>) -> Self {
        let number = u64::from(server_id) << 56;
        let id = |ms: u64| SessionId(((ms << 24 >> 8) | number) as i64);
        let first = id(wall_ms as u64);
        let last = SessionId((number | 0xff_ffff_ffff_ffff) as i64);
        let next = match recovered.range(first..=last).next_back() {
            Some((&newest, _)) => {
                let newest_ms = newest.0 as u64 >> 16 & 0xff_ffff_ffff;
                id(newest_ms + AHEAD_MS + (wall_ms as u64 & (AHEAD_MS - 1)))
            }
            None => first,
        };
        Self { next }
    }

    /// An id that no session has.
    pub(crate) fn next(&mut self, is_taken: impl Fn(SessionId) -> bool) -> SessionId {
        while is_taken(self.next) || !is_session_id(self.next) {
            self.next = following(self.next);
        }
        let id = self.next;
        self.next = following(id);
        id
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
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    fn free(_: SessionId) -> bool {
        false
    }

    #[test]
    fn ids_are_unique_beside_open_sessions() {
        let mut ids = SessionIds {
            next: SessionId(0x100),
        };
        let given = [(); 3].map(|()| ids.next(|id| id == SessionId(0x101)));
        assert_eq!(given, [0x100, 0x102, 0x103].map(SessionId));
    }

    #[test]
    fn ids_hold_the_server_and_the_time() {
        let none = BTreeMap::new();
        let mut ids = SessionIds::new(1, 0x0123_4567_89ab, &none);
        assert_eq!(ids.next(free), SessionId(0x0123_4567_89ab_0000));
        let id = SessionIds::new(0xfe, 0x0023_4567_89ab, &none).next(free);
        assert_eq!(
            id.0,
            i64::from_be_bytes([0xfe, 0x23, 0x45, 0x67, 0x89, 0xab, 0, 0])
        );
        let later = SessionId(id.0 + 77);
        let recovered = BTreeMap::from([(SessionId(5), 1), (later, 1)]);
        let next = SessionIds::new(0xfe, 0x0023_4567_89ab, &recovered).next(free);
        assert!(next > SessionId(later.0 + (1 << 36)), "{next}");
    }

    #[test]
    fn a_clock_that_went_back_gives_no_id_of_the_life_before() {
        let none = BTreeMap::new();
        let mut before = SessionIds::new(1, 2_000_000, &none);
        let open = before.next(free);
        let ended: Vec<_> = (0..100).map(|_| before.next(free)).collect();
        let recovered = BTreeMap::from([(open, 1)]);
        let mut given = Vec::new();
        // The second start has another time, or the ids would be those of the first.
        for wall_ms in [1_000_000, 1_000_001] {
            let mut ids = SessionIds::new(1, wall_ms, &recovered);
            given.extend((0..100).map(|_| ids.next(free)));
        }
        let all: BTreeSet<_> = ended.iter().chain(&given).collect();
        assert_eq!(all.len(), 300);
    }

    #[test]
    fn zero_and_the_container_owner_are_no_sessions() {
        let mut ids = SessionIds { next: SessionId(0) };
        assert_eq!(ids.next(free), SessionId(1));
        let mut ids = SessionIds {
            next: SessionId(i64::MIN),
        };
        assert_eq!(ids.next(free), SessionId(i64::MIN + 1));
    }
}
