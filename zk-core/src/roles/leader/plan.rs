//! How a learner gets the leader's history (`LearnerHandler.syncFollower`, 3.9.5).

use zk_proto::Zxid;

use crate::recent::Recent;

/// What the leader sends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// The transactions after the learner's last one, from memory.
    Diff,
    /// The learner forgets what follows this one, and gets the transactions after it.
    Trunc(Zxid),
    /// The transactions after the learner's last one, if the log has them all.
    Log,
    /// The whole state.
    Snapshot,
}

/// Chooses for a learner whose last transaction is `peer`; the leader's is `last`.
///
/// A learner is told to forget only what the same leader made after a transaction that both have:
/// two logs that share a transaction of an epoch share all of that epoch before it. Where the epochs
/// differ it gets the whole state, since its history may have parted anywhere.
///
/// The number of no transaction, with counter 0, stands for a leader's state before its first
/// transaction. A quorum had that state, so that it is part of every later history.
pub(super) fn plan(peer: Zxid, last: Zxid, recent: &Recent) -> Plan {
    if peer == last || peer > last && peer.counter() == 0 {
        return Plan::Diff;
    }
    if peer > last {
        return trunc(peer, last);
    }
    match recent.first() {
        Some(first) if peer >= first => {
            if recent.contains(peer) || peer.counter() == 0 {
                Plan::Diff
            } else {
                let before = recent.last_before(peer).unwrap_or(first);
                trunc(peer, before)
            }
        }
        Some(first) if peer.next() == first => Plan::Diff,
        Some(_) | None => Plan::Log,
    }
}

fn trunc(peer: Zxid, to: Zxid) -> Plan {
    if to.epoch() == peer.epoch() && to.counter() > 0 {
        Plan::Trunc(to)
    } else {
        Plan::Snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn zxid(epoch: u32, counter: i64) -> Zxid {
        Zxid(Zxid::of_epoch(epoch).0 + counter)
    }

    /// The history 3.1 … 3.5, 5.1, 5.2, of which the last four are in memory.
    fn planned(peer: Zxid) -> Plan {
        let mut recent = Recent::new(4);
        let history = (1..=5).map(|counter| zxid(3, counter));
        for txn in history.chain([zxid(5, 1), zxid(5, 2)]) {
            recent.push(txn, &Bytes::new());
        }
        plan(peer, zxid(5, 2), &recent)
    }

    #[test]
    fn a_learner_that_is_equal_or_little_behind_gets_a_diff() {
        for peer in [zxid(5, 2), zxid(5, 1), zxid(3, 5), zxid(3, 4), zxid(3, 3)] {
            assert_eq!(planned(peer), Plan::Diff, "{peer}");
        }
    }

    #[test]
    fn a_leader_without_transactions_counts_as_part_of_the_history() {
        assert_eq!(planned(zxid(5, 0)), Plan::Diff);
        assert_eq!(planned(zxid(4, 0)), Plan::Diff);
        assert_eq!(planned(zxid(6, 0)), Plan::Diff, "nothing came after it");
    }

    #[test]
    fn a_learner_with_more_of_the_same_epoch_is_truncated() {
        assert_eq!(planned(zxid(5, 3)), Plan::Trunc(zxid(5, 2)));
        assert_eq!(planned(zxid(3, 6)), Plan::Trunc(zxid(3, 5)));
    }

    #[test]
    fn a_learner_with_transactions_of_an_epoch_that_is_not_here_gets_the_state() {
        assert_eq!(planned(zxid(4, 1)), Plan::Snapshot);
        assert_eq!(planned(zxid(6, 1)), Plan::Snapshot);
    }

    #[test]
    fn a_learner_far_behind_is_served_from_the_log() {
        assert_eq!(planned(zxid(3, 1)), Plan::Log);
        assert_eq!(planned(Zxid::ZERO), Plan::Log);
        assert_eq!(plan(zxid(1, 1), zxid(1, 2), &Recent::new(5)), Plan::Log);
    }

    #[test]
    fn a_state_without_a_transaction_is_no_place_to_truncate_to() {
        let recent = Recent::new(5);
        assert_eq!(plan(zxid(2, 1), zxid(2, 0), &recent), Plan::Snapshot);
    }
}
