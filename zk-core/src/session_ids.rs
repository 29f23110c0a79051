//! Ids for the sessions that begin on this server.

use alloc::collections::BTreeMap;

use zk_proto::SessionId;

/// Gives out ids, each once.
#[derive(Debug)]
pub(crate) struct SessionIds {
    next: SessionId,
}

impl SessionIds {
    /// Starts with the low 40 bits of the time in ms, and the server's number above them
    /// (`SessionTrackerImpl.initializeNextSessionId`, 3.9.5). Ids of sessions that are open and would
    /// follow are left behind, so that a clock that went back gives no id twice while its session is
    /// open.
    #[expect(clippy::cast_sign_loss, reason = "an id is a bit pattern")]
    #[expect(clippy::cast_possible_wrap, reason = "an id is a bit pattern")]
    pub(crate) fn new(server_id: u8, wall_ms: i64, recovered: &BTreeMap<SessionId, i32>) -> Self {
        let number = u64::from(server_id) << 56;
        let first = SessionId((((wall_ms as u64) << 24 >> 8) | number) as i64);
        let last = SessionId((number | 0xff_ffff_ffff_ffff) as i64);
        let next = match recovered.range(first..=last).next_back() {
            Some((&newest, _)) => following(newest),
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
        assert_eq!(
            SessionIds::new(0xfe, 0x0023_4567_89ab, &recovered).next(free),
            SessionId(later.0 + 1)
        );
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
