//! Votes: their order, and when two of them are one (`Vote.java`, `totalOrderPredicate`).

use core::time::Duration;

use zk_proto::quorum::{Notification, ServerState};
use zk_proto::{ServerId, Zxid};

/// Who should lead, and why: what that server's log ends with.
///
/// Votes are ordered by epoch, then zxid, then id; which leaves weights out, see
/// [`Quorums::weight`](crate::quorum::Quorums::weight).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The server voted for.
    pub leader: ServerId,
    /// Its last transaction.
    pub zxid: Zxid,
    /// Its current epoch.
    pub epoch: i64,
}

impl Vote {
    /// The vote of a server that has none, which is below all others.
    pub const NONE: Self = Self {
        leader: ServerId(i64::MIN),
        zxid: Zxid(i64::MIN),
        epoch: i64::MIN,
    };

    /// Whether this vote's zxid says that the vote is not to be counted.
    pub(super) fn is_void(&self) -> bool {
        self.zxid == Zxid(-1)
    }

    pub(super) fn is_above(&self, other: &Self) -> bool {
        let rank = |vote: &Self| (vote.epoch, vote.zxid, vote.leader);
        rank(self) > rank(other)
    }
}

/// A notification as it is remembered, the newest of each peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) at: Duration,
    pub(super) state: ServerState,
    pub(super) vote: Vote,
    pub(super) round: i64,
    pub(super) version: i32,
}

impl Heard {
    pub(super) fn new(at: Duration, notification: &Notification) -> Self {
        Self {
            at,
            state: notification.state,
            vote: Vote {
                leader: notification.leader,
                zxid: notification.zxid,
                epoch: notification.peer_epoch,
            },
            round: notification.round,
            version: notification.version,
        }
    }

    /// Whether two notifications say the same.
    pub(super) fn says_what(&self, other: &Self) -> bool {
        let said = |heard: &Self| (heard.state, heard.vote, heard.round, heard.version);
        said(self) == said(other)
    }

    pub(super) fn is_looking(&self) -> bool {
        self.state == ServerState::Looking
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, ServerState::Following | ServerState::Leading)
    }

    /// Whether this supports a candidate of the election of `round`.
    pub(super) fn supports(&self, candidate: &Vote, round: i64) -> bool {
        self.state != ServerState::Observing
            && self.round == round
            && self.vote == *candidate
            && !self.vote.is_void()
    }

    /// Whether this agrees with a settled peer's vote of the same election (`recvset`). A vote that
    /// is still looking must be the same in all parts; among settled ones the leader decides, and
    /// where the peer's form has no version, the epoch as well.
    pub(super) fn agrees_in_round(&self, settled: &Self) -> bool {
        if self.round != settled.round || self.state == ServerState::Observing {
            return false;
        }
        if self.is_looking() {
            return self.vote == settled.vote && !self.vote.is_void();
        }
        self.vote.leader == settled.vote.leader
            && (settled.version > 0 || self.vote.epoch == settled.vote.epoch)
    }

    /// Whether this agrees with a settled peer's vote, whatever the election of either
    /// (`outofelection`). Zxid and round do not count: they depend on when a server joined
    /// (ZOOKEEPER-1805). Nor does the epoch where one of the two has a version and the other none
    /// (ZOOKEEPER-1732).
    pub(super) fn agrees_settled(&self, settled: &Self) -> bool {
        self.is_settled()
            && self.vote.leader == settled.vote.leader
            && ((self.version > 0) != (settled.version > 0)
                || self.vote.epoch == settled.vote.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(leader: i64, zxid: i64, epoch: i64) -> Vote {
        Vote {
            leader: ServerId(leader),
            zxid: Zxid(zxid),
            epoch,
        }
    }

    fn heard(state: ServerState, vote: Vote, round: i64, version: i32) -> Heard {
        let at = Duration::ZERO;
        Heard {
            at,
            state,
            vote,
            round,
            version,
        }
    }

    #[test]
    fn votes_are_ordered_by_epoch_then_zxid_then_id() {
        let ascending = [
            Vote::NONE,
            vote(9, 9, 1),
            vote(1, 8, 2),
            vote(1, 9, 2),
            vote(2, 9, 2),
        ];
        for (low, lower) in ascending.iter().enumerate() {
            for (high, higher) in ascending.iter().enumerate() {
                assert_eq!(higher.is_above(lower), high > low, "{higher:?} {lower:?}");
            }
        }
    }

    #[test]
    fn a_candidate_is_supported_by_the_same_vote_of_the_same_round() {
        let candidate = vote(3, 5, 2);
        for (state, vote, round, supports) in [
            (ServerState::Looking, candidate, 7, true),
            (ServerState::Leading, candidate, 7, true),
            (ServerState::Observing, candidate, 7, false),
            (ServerState::Looking, candidate, 6, false),
            (ServerState::Looking, vote(3, 5, 1), 7, false),
        ] {
            let other = heard(state, vote, round, 2);
            assert_eq!(other.supports(&candidate, 7), supports, "{other:?}");
        }
    }

    #[test]
    fn votes_of_settled_peers_agree_whatever_their_zxid_and_round() {
        let leading = heard(ServerState::Leading, vote(3, 5, 2), 7, 2);
        for (state, vote, round, version, agrees) in [
            (ServerState::Following, vote(3, 5, 2), 7, 2, true),
            (ServerState::Following, vote(3, 4, 2), 9, 2, true),
            (ServerState::Following, vote(3, 5, 1), 7, 2, false),
            (ServerState::Following, vote(2, 5, 2), 7, 2, false),
            (ServerState::Following, vote(3, 5, 1), 7, 0, true),
            (ServerState::Looking, vote(3, 5, 2), 7, 2, false),
            (ServerState::Observing, vote(3, 5, 2), 7, 2, false),
        ] {
            let other = heard(state, vote, round, version);
            assert_eq!(other.agrees_settled(&leading), agrees, "{other:?}");
        }
        let old = heard(ServerState::Leading, vote(3, 5, 2), 7, 0);
        let older = heard(ServerState::Following, vote(3, 5, 1), 7, 0);
        assert!(!older.agrees_settled(&old));
    }

    #[test]
    fn within_a_round_a_looking_vote_agrees_only_as_a_whole() {
        let leading = heard(ServerState::Leading, vote(3, 5, 2), 7, 2);
        for (state, vote, round, agrees) in [
            (ServerState::Looking, vote(3, 5, 2), 7, true),
            (ServerState::Looking, vote(3, 4, 2), 7, false),
            (ServerState::Looking, vote(3, 5, 2), 6, false),
            (ServerState::Following, vote(3, 4, 1), 7, true),
            (ServerState::Following, vote(3, 5, 2), 6, false),
            (ServerState::Following, vote(2, 5, 2), 7, false),
            (ServerState::Observing, vote(3, 5, 2), 7, false),
        ] {
            let other = heard(state, vote, round, 2);
            assert_eq!(other.agrees_in_round(&leading), agrees, "{other:?}");
        }
        let unversioned = heard(ServerState::Leading, vote(3, 5, 2), 7, 0);
        let follower = heard(ServerState::Following, vote(3, 5, 1), 7, 2);
        assert!(!follower.agrees_in_round(&unversioned));
    }
}
