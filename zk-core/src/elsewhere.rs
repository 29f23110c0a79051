//! Local sessions of the servers that follow this one, of which it is told nothing.
//!
//! A request of theirs comes like that of any session, but under an id that is not known. So does a late
//! request of a session that is over: its server had not heard of the end yet. Only the leader can tell
//! them apart, and has to, since what such a session owned is gone. Apache's server does not.

use alloc::collections::VecDeque;

use hashbrown::HashSet;
use zk_proto::SessionId;

/// So many sessions that are over are known, the newest ones. A server hears of an end long before
/// as many sessions of the ensemble have ended.
const ENDED_MAX: usize = 1 << 16;

#[derive(Debug)]
pub(crate) struct Elsewhere {
    /// The top byte of the ids that begin here.
    here: u8,
    ended: HashSet<SessionId>,
    oldest_first: VecDeque<SessionId>,
}

impl Elsewhere {
    pub(crate) fn new(here: u8) -> Self {
        Self {
            here,
            ended: HashSet::new(),
            oldest_first: VecDeque::new(),
        }
    }

    /// A session of the ensemble is over.
    pub(crate) fn on_ended(&mut self, session: SessionId) {
        if !self.ended.insert(session) {
            return;
        }
        self.oldest_first.push_back(session);
        if self.oldest_first.len() > ENDED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    /// Whether a session that is not one of the ensemble may be a local one of another server.
    pub(crate) fn may_be(&self, session: SessionId) -> bool {
        let [began_at, ..] = session.0.to_be_bytes();
        began_at != self.here && !self.ended.contains(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_server(server: i64, n: i64) -> SessionId {
        SessionId(server << 56 | n)
    }

    #[test]
    fn sessions_of_other_servers_are_local_until_they_are_known_to_be_over() {
        let mut elsewhere = Elsewhere::new(1);
        assert!(!elsewhere.may_be(of_server(1, 5)), "it would be known here");
        assert!(elsewhere.may_be(of_server(2, 5)));
        elsewhere.on_ended(of_server(2, 5));
        elsewhere.on_ended(of_server(2, 5));
        assert!(!elsewhere.may_be(of_server(2, 5)));
    }

    #[test]
    fn the_newest_ends_are_known() {
        let mut elsewhere = Elsewhere::new(1);
        let ended = i64::try_from(ENDED_MAX).unwrap() + 1;
        for n in 0..ended {
            elsewhere.on_ended(of_server(2, n));
        }
        assert!(elsewhere.may_be(of_server(2, 0)));
        assert!(!elsewhere.may_be(of_server(2, 1)));
        assert!(!elsewhere.may_be(of_server(2, ended - 1)));
        assert_eq!(elsewhere.ended.len(), ENDED_MAX);
    }
}
