//! The other servers of an ensemble, as the loop has them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use zk_core::{QuorumInput, QuorumLink};
use zk_proto::ServerId;
use zk_proto::quorum::{Address, EnsembleConfig, Notification};

use crate::peers::{
    ElectionEvent, ElectionLinks, Outgoing, Peers, QuorumEvent, StateStream, ToPeer, dial_leader,
};

/// How long links may take for what was handed over last when the server stops.
const DRAIN: Duration = Duration::from_millis(500);

/// Links to other servers, with what the present turn has for them.
pub(super) struct Ensemble {
    peers: Arc<Peers>,
    election: ElectionLinks,
    links: HashMap<QuorumLink, Link>,
    /// The links that something is to be handed to.
    touched: Vec<QuorumLink>,
}

struct Link {
    outgoing: Arc<Outgoing>,
    items: Vec<ToPeer>,
    /// What follows the SNAP packet that came last.
    state: Option<StateStream>,
}

impl Ensemble {
    pub(super) fn new(peers: Arc<Peers>, now: Duration) -> Self {
        Self {
            election: ElectionLinks::new(Arc::clone(&peers), now),
            peers,
            links: HashMap::new(),
            touched: Vec::new(),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.election.next_deadline()
    }

    pub(super) fn on_time(&mut self, now: Duration) {
        if self.election.next_deadline().is_some_and(|at| at <= now) {
            self.election.on_tick(now);
        }
    }

    /// Takes what happened on the election port; gives out the vote that it is, if it is one.
    pub(super) fn on_election(
        &mut self,
        now: Duration,
        event: ElectionEvent,
    ) -> Option<QuorumInput> {
        self.election.on_event(now, event)
    }

    /// Goes on with what is due on the election port, up to something that the core is to be told.
    pub(super) fn next_input(&mut self) -> Option<QuorumInput> {
        self.election.next_input()
    }

    /// What the core is told of a link.
    ///
    /// # Panics
    /// For packets, which are told one by one.
    pub(super) fn on_quorum(&mut self, event: QuorumEvent) -> QuorumInput {
        match event {
            QuorumEvent::Accepted {
                link,
                peer,
                outgoing,
            } => {
                self.add(link, peer, outgoing);
                QuorumInput::Accepted(link)
            }
            QuorumEvent::Dialled {
                attempt,
                link,
                peer,
                outgoing,
            } => {
                self.add(link, peer, outgoing);
                QuorumInput::Dialled { attempt, link }
            }
            QuorumEvent::DialFailed { attempt } => QuorumInput::DialFailed { attempt },
            QuorumEvent::Taken(link) => QuorumInput::Taken(link),
            QuorumEvent::Closed(link) => {
                self.links.remove(&link);
                QuorumInput::Closed(link)
            }
            QuorumEvent::FromLearner { .. } | QuorumEvent::FromLeader { .. } => {
                unreachable!("packets are told one by one")
            }
        }
    }

    fn add(&mut self, link: QuorumLink, peer: SocketAddr, outgoing: Arc<Outgoing>) {
        debug!(?link, %peer, "link between servers begins");
        let fresh = Link {
            outgoing,
            items: Vec::new(),
            state: None,
        };
        self.links.insert(link, fresh);
    }

    /// Keeps what follows a SNAP packet until it is known what becomes of it.
    pub(super) fn note_state(&mut self, link: QuorumLink, state: Option<StateStream>) {
        if let (Some(state), Some(link)) = (state, self.links.get_mut(&link)) {
            link.state = Some(state);
        }
    }

    /// What follows the SNAP packet; a stream that has ended where the link is gone.
    pub(super) fn take_state(&mut self, link: QuorumLink) -> StateStream {
        let state = self.links.get_mut(&link).and_then(|link| link.state.take());
        state.unwrap_or_else(StateStream::ended)
    }

    /// The members are others, or may be so soon. Gives out where this server's clients are to connect,
    /// if that has changed.
    pub(super) fn change(
        &mut self,
        now: Duration,
        in_force: EnsembleConfig,
        proposed: Option<EnsembleConfig>,
    ) -> Option<Address> {
        let proposal = proposed.as_ref().map(EnsembleConfig::version);
        info!(in_force = %in_force.version(), proposed = ?proposal, "the membership changes");
        let moved_client_port = self.peers.change(in_force, proposed);
        self.election.set_members(now);
        moved_client_port
    }

    pub(super) fn vote(&mut self, to: ServerId, notification: &Notification) {
        self.election.send(to, notification);
    }

    pub(super) fn dial(&self, to: ServerId, attempt: u64) {
        dial_leader(&self.peers, to, attempt);
    }

    /// Notes something for a link. It is dropped if the link is gone.
    pub(super) fn send(&mut self, to: QuorumLink, item: ToPeer) {
        let Some(link) = self.links.get_mut(&to) else {
            return;
        };
        if link.items.is_empty() {
            self.touched.push(to);
        }
        link.items.push(item);
    }

    /// Closes a link, after what was sent before.
    pub(super) fn close(&mut self, link: QuorumLink) {
        if let Some(link) = self.links.remove(&link)
            && (link.items.is_empty() || link.outgoing.post(link.items))
        {
            link.outgoing.finish();
        }
    }

    /// Hands each link what the turn brought, as one batch.
    pub(super) fn post(&mut self) {
        for id in self.touched.drain(..) {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            let items = std::mem::take(&mut link.items);
            if !link.outgoing.post(items) {
                warn!(link = ?id, "another server does not take what it is sent, its link is closed");
            }
        }
    }

    /// Closes the links once they have sent all, within a bounded time.
    pub(super) async fn finish(&self) {
        for link in self.links.values() {
            link.outgoing.finish();
        }
        let all_closed = async {
            for link in self.links.values() {
                link.outgoing.closed().await;
            }
        };
        if timeout(DRAIN, all_closed).await.is_err() {
            debug!("another server did not take what it was sent last in time");
        }
    }
}
