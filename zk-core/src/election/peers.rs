//! What is known of the other servers while a leader is elected.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use zk_proto::ServerId;

use super::vote::Heard;

/// Servers outside the ensemble that are remembered. Beyond the bound none is answered.
pub(super) const STRANGERS_MAX: usize = 1_024;

/// One of the other servers.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// What it said last, in this election or just before.
    pub(super) heard: Option<Heard>,
    /// When it was last answered on this link, and not since it said something else.
    pub(super) answered_at: Option<Duration>,
    /// Whether it was sent the proposal of this moment while it was looking, as far as is known.
    pub(super) knows_proposal: bool,
    was_linked: bool,
    absent_from: Option<Duration>,
}

impl Peer {
    pub(super) fn on_connected(&mut self) {
        self.was_linked = true;
        self.absent_from = None;
        self.on_disconnected();
    }

    pub(super) fn on_disconnected(&mut self) {
        self.answered_at = None;
        self.knows_proposal = false;
    }

    /// One that was never linked may be starting, and gets the grace.
    pub(super) fn on_unreachable(&mut self, now: Duration, grace: Duration) {
        let from = if self.was_linked { now } else { now + grace };
        self.absent_from.get_or_insert(from);
    }

    /// Since when, or from when on, an election need not wait for it.
    pub(super) fn absent_from(&self) -> Option<Duration> {
        self.absent_from
    }
}

/// The other servers, in the order of their ids. Those that do not vote are bounded in number, and
/// forgotten with their link.
#[derive(Debug, Default)]
pub(super) struct Peers {
    all: BTreeMap<ServerId, Peer>,
}

impl Peers {
    pub(super) fn get(&self, id: ServerId) -> Option<&Peer> {
        self.all.get(&id)
    }

    pub(super) fn heard(&self, id: ServerId) -> Option<&Heard> {
        self.get(id)?.heard.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: ServerId) -> Option<&mut Peer> {
        self.all.get_mut(&id)
    }

    pub(super) fn voter_mut(&mut self, id: ServerId) -> &mut Peer {
        self.all.entry(id).or_default()
    }

    /// A server that is not one of the voters; `None` for one too many.
    pub(super) fn stranger_mut(
        &mut self,
        id: ServerId,
        voters: &BTreeSet<ServerId>,
    ) -> Option<&mut Peer> {
        let strangers = || self.all.keys().filter(|id| !voters.contains(id)).count();
        if !self.all.contains_key(&id) && strangers() >= STRANGERS_MAX {
            return None;
        }
        Some(self.all.entry(id).or_default())
    }

    pub(super) fn forget(&mut self, id: ServerId) {
        self.all.remove(&id);
    }

    pub(super) fn retain(&mut self, ids: &BTreeSet<ServerId>) {
        self.all.retain(|id, _| ids.contains(id));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ServerId, &Peer)> {
        self.all.iter().map(|(&id, peer)| (id, peer))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ServerId, &mut Peer)> {
        self.all.iter_mut().map(|(&id, peer)| (id, peer))
    }
}
