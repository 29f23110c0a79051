//! Counters of a member of an ensemble.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use zk_proto::quorum::ServerState;

use super::{Sizes, Summary, whole_ms};

/// Counters of a member of an ensemble. Only the loop adds to them.
#[derive(Debug, Default)]
pub(crate) struct QuorumStats {
    /// Elections that were begun.
    pub(crate) looking: AtomicU64,
    /// From the beginning of an election to its end, in ms.
    pub(crate) election_time: Summary,
    /// When this server began to do what it does, in ms since its start.
    pub(crate) role_since_ms: AtomicU64,
    /// Transactions proposed while leading, since the server does.
    pub(crate) proposal_sizes: Sizes,
    pub(crate) proposals: AtomicU64,
    /// Learners that were sent a state.
    pub(crate) states_sent: AtomicU64,
    /// Proposals and commits of the leader.
    pub(crate) proposals_heard: AtomicU64,
    pub(crate) commits_heard: AtomicU64,
}

impl QuorumStats {
    /// The server has another role.
    pub(crate) fn on_role(&self, role: ServerState, now: Duration) {
        let now_ms = whole_ms(now);
        let since_ms = self.role_since_ms.swap(now_ms, Relaxed);
        match role {
            ServerState::Looking => {
                self.looking.fetch_add(1, Relaxed);
            }
            ServerState::Leading | ServerState::Following | ServerState::Observing => {
                self.election_time.add(now_ms.saturating_sub(since_ms));
            }
        }
        if role == ServerState::Leading {
            self.proposal_sizes.reset();
        }
    }

    /// A leader proposes a transaction.
    pub(crate) fn on_proposal(&self, bytes: usize) {
        self.proposals.fetch_add(1, Relaxed);
        self.proposal_sizes.add(bytes, bytes, bytes);
    }

    pub(super) fn reset(&self) {
        for counter in [
            &self.looking,
            &self.proposals,
            &self.states_sent,
            &self.proposals_heard,
            &self.commits_heard,
        ] {
            counter.store(0, Relaxed);
        }
        self.election_time.reset();
    }
}
