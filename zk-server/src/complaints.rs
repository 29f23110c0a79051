//! Complaints about connections, which anybody who reaches a port can cause in any number: a flood
//! of bad clients must not become a flood of logs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Logs a complaint of one kind, a [`Doublings`] that counts it: as a warning when it is the first
/// or the count has doubled, and for who debugs else. The line tells the count.
macro_rules! complain {
    ($kind:expr, $($line:tt)+) => {
        match $kind.count() {
            Some(count) => ::tracing::warn!(count, $($line)+),
            None => ::tracing::debug!($($line)+),
        }
    };
}

pub(crate) use complain;

/// A counter that tells when it has doubled: 64 times at most in its life.
#[derive(Debug, Default)]
pub(crate) struct Doublings(AtomicU64);

impl Doublings {
    /// Counts one more. The count, when it is a power of two.
    pub(crate) fn count(&self) -> Option<u64> {
        let count = self.0.fetch_add(1, Relaxed) + 1;
        count.is_power_of_two().then_some(count)
    }
}

/// What is complained of about clients, since the start.
#[derive(Debug, Default)]
pub(crate) struct ClientComplaints {
    pub(crate) refused: Doublings,
    pub(crate) socket_options: Doublings,
    pub(crate) handshake_deadline: Doublings,
    pub(crate) bad_handshake: Doublings,
    pub(crate) bad_frame: Doublings,
    pub(crate) no_header: Doublings,
    pub(crate) too_slow: Doublings,
    pub(crate) session_refused: Doublings,
    pub(crate) client_ahead: Doublings,
    pub(crate) auth_failed: Doublings,
    pub(crate) auth_required: Doublings,
    pub(crate) unsupported: Doublings,
    pub(crate) limit: Doublings,
}

/// What is complained of about other servers, and whoever calls their ports, since the start.
#[derive(Debug, Default)]
pub(crate) struct PeerComplaints {
    pub(crate) too_many_learners: Doublings,
    pub(crate) bad_packet: Doublings,
    pub(crate) too_many_voters: Doublings,
    pub(crate) voter_refused: Doublings,
    pub(crate) bad_vote: Doublings,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_at_each_doubling() {
        let complaints = Doublings::default();
        let told: Vec<u64> = (0..100).filter_map(|_| complaints.count()).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64]);
    }
}
