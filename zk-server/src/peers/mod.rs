//! Sockets between the servers of an ensemble.
//!
//! ```text
//! quorum port    accepted, dialled ──> a task a link: packets in batches ──> loop
//!                                  <── a queue of bounded bytes ───────────── loop
//! election port  accepted, dialled ──> a task a connection: votes ─────────> loop
//!                                  <── one message at a time ──────────────── loop
//! ```
//!
//! It knows names, sockets, frames and bounds. Who dials whom, which connection lives, and what a
//! packet means is decided in zk-core.

mod election;
mod outgoing;
mod quorum;
mod socket;

use std::net::TcpListener as StdTcpListener;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;
use zk_proto::ServerId;
use zk_proto::quorum::{Address, EnsembleConfig, EnsembleServer, ServerAddress};

use crate::complaints::PeerComplaints;
use crate::config::{Config, Membership, QuorumConfig};
use crate::error::ServerError;
pub(crate) use election::{ElectionEvent, ElectionLinks};
pub(crate) use outgoing::{Outgoing, ToPeer};
pub(crate) use quorum::{StateStream, dial_leader};

/// Messages of one kind that wait for the loop at most; senders wait for room.
const MESSAGES_WAITING_MAX: usize = 256;
/// Added to the longest record: what a packet holds besides it.
const PACKET_OVERHEAD_BYTES: usize = 1024;

/// A message to the loop about another server.
#[derive(Debug)]
pub(crate) enum FromPeer {
    /// About the election port.
    Election(ElectionEvent),
    /// About a link of the quorum port.
    Quorum(quorum::Event),
    /// A port cannot be opened where this server is to be found from now on.
    PortFailed(ServerError),
}

pub(crate) use quorum::Event as QuorumEvent;

/// What the tasks of all links share.
#[derive(Debug)]
pub(crate) struct Peers {
    me: ServerId,
    members: Mutex<Members>,
    /// Where this server is found, also when it is no member any more.
    own: watch::Sender<EnsembleServer>,
    pub(crate) config: QuorumConfig,
    /// How long an attempt to connect to the leader may take.
    leader_connect_timeout: Duration,
    packet_bytes_max: usize,
    queue_bytes_max: usize,
    last_link: AtomicU64,
    complaints: PeerComplaints,
    /// To the loop, about everything but a leader.
    to_loop: mpsc::Sender<FromPeer>,
    /// To the loop, about the leader, which is not heard while the disk is behind.
    from_leader: mpsc::Sender<FromPeer>,
    /// Cancelled when every link is to be closed.
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Who the members are, in force and, while they change, proposed.
#[derive(Debug)]
struct Members {
    in_force: EnsembleConfig,
    proposed: Option<EnsembleConfig>,
}

/// Both ends of what the loop hears of other servers.
#[derive(Debug)]
pub(crate) struct PeerMessages {
    /// About everything but a leader.
    pub(crate) all: mpsc::Receiver<FromPeer>,
    /// About the leader.
    pub(crate) leader: mpsc::Receiver<FromPeer>,
}

impl PeerMessages {
    /// For a server that has no others: nothing ever comes.
    pub(crate) fn none() -> Self {
        let (_, all) = mpsc::channel(1);
        let (_, leader) = mpsc::channel(1);
        Self { all, leader }
    }
}

/// Sockets that were opened before the server starts, of the quorum and of the election port.
#[derive(Debug)]
pub struct PeerListeners {
    /// The quorum port.
    pub quorum: StdTcpListener,
    /// The election port.
    pub election: StdTcpListener,
}

/// The listening sockets of a member.
#[derive(Debug)]
pub(crate) struct BoundPorts {
    quorum: Vec<TcpListener>,
    election: Vec<TcpListener>,
}

impl Peers {
    /// For the member that `config` describes.
    pub(crate) fn new(config: &Config, membership: Membership) -> (Arc<Self>, PeerMessages) {
        let (to_loop, all) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (from_leader, leader) = mpsc::channel(MESSAGES_WAITING_MAX);
        let quorum = &config.quorum;
        let connect_limit = quorum.connect_limit.map_or(quorum.init_limit, u32::from);
        let peers = Self {
            me: membership.id,
            own: watch::Sender::new(membership.own().clone()),
            members: Mutex::new(Members {
                in_force: membership.ensemble,
                proposed: membership.proposed,
            }),
            leader_connect_timeout: config.tick_time * connect_limit.min(quorum.sync_limit),
            packet_bytes_max: config.limits.record_bytes_max.get() + PACKET_OVERHEAD_BYTES,
            queue_bytes_max: config.limits.bytes_per_peer_max.get(),
            config: quorum.clone(),
            complaints: PeerComplaints::default(),
            last_link: AtomicU64::new(0),
            to_loop,
            from_leader,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        (Arc::new(peers), PeerMessages { all, leader })
    }

    /// A number that no connection had before.
    fn next_number(&self) -> u64 {
        self.last_link.fetch_add(1, Relaxed) + 1
    }

    /// Where another server is reached, while the members change at its old addresses and its new ones.
    fn addresses(&self, id: ServerId, port: fn(&ServerAddress) -> Address) -> Vec<Address> {
        let members = self.members();
        let in_either = [Some(&members.in_force), members.proposed.as_ref()];
        let servers = in_either.into_iter().flatten();
        let servers = servers.filter_map(|config| config.servers().get(&id));
        let mut all = Vec::new();
        for address in servers.flat_map(EnsembleServer::addresses).map(port) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all
    }

    /// Where this server listens.
    fn own_addresses(&self, port: fn(&ServerAddress) -> Address) -> Vec<Address> {
        (self.own.borrow().addresses().iter()).map(port).collect()
    }

    /// Those who vote, now or soon.
    fn voters(&self) -> Vec<ServerId> {
        let members = self.members();
        let in_either = [Some(&members.in_force), members.proposed.as_ref()];
        let voters = in_either.into_iter().flatten();
        let voters = voters.flat_map(|config| config.participants().map(|(id, _)| id));
        voters.collect()
    }

    /// The members are others, or may be so soon. Where this server is in another place, it listens
    /// there from now on. Gives out where its clients are to connect, if that is told and has changed.
    pub(crate) fn change(
        &self,
        in_force: EnsembleConfig,
        proposed: Option<EnsembleConfig>,
    ) -> Option<Address> {
        let mut moved_client_port = None;
        if let Some(line) = in_force.servers().get(&self.me) {
            self.own.send_if_modified(|own| {
                let clients = line.client().filter(|_| own.client() != line.client());
                moved_client_port = clients.cloned();
                let before = std::mem::replace(own, line.clone());
                before != *own
            });
        }
        *self.members() = Members { in_force, proposed };
        moved_client_port
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        let members = self.members.lock();
        members.expect("nothing panics while it holds the members")
    }

    /// Opens both ports, or takes those that are open.
    ///
    /// # Errors
    /// [`ServerError::QuorumPort`] after the last attempt.
    pub(crate) async fn bind(
        &self,
        open: Option<PeerListeners>,
    ) -> Result<BoundPorts, ServerError> {
        if let Some(PeerListeners { quorum, election }) = open {
            let [quorum, election] = [quorum, election].map(socket::adopt);
            return Ok(BoundPorts {
                quorum: vec![quorum?],
                election: vec![election?],
            });
        }
        Ok(BoundPorts {
            quorum: self.bind_port(ServerAddress::quorum).await?,
            election: self.bind_port(ServerAddress::election).await?,
        })
    }

    async fn bind_port(
        &self,
        port: fn(&ServerAddress) -> Address,
    ) -> Result<Vec<TcpListener>, ServerError> {
        let (all, attempts) = (self.config.listens_on_all, self.config.bind_attempts);
        socket::bind(&self.own_addresses(port), all, attempts).await
    }

    /// Accepts on both ports until the links are to be closed.
    pub(crate) fn serve(self: &Arc<Self>, ports: BoundPorts) {
        let BoundPorts { quorum, election } = ports;
        let peers = Arc::clone(self);
        self.spawn(async move {
            let accept = quorum::accept_all;
            peers.listen(quorum, ServerAddress::quorum, accept).await;
        });
        let peers = Arc::clone(self);
        self.spawn(async move {
            let accept = election::accept_all;
            peers
                .listen(election, ServerAddress::election, accept)
                .await;
        });
    }

    /// Accepts on one port, wherever it is. What was accepted before it moved stays.
    async fn listen<F>(
        self: &Arc<Self>,
        mut listeners: Vec<TcpListener>,
        port: fn(&ServerAddress) -> Address,
        accept: fn(TcpListener, Arc<Self>) -> F,
    ) where
        F: Future<Output = ()>,
    {
        let mut own = self.own.subscribe();
        let mut addresses = self.own_addresses(port);
        loop {
            let accepting = listeners.into_iter();
            let accepting = join_all(accepting.map(|open| accept(open, Arc::clone(self))));
            let has_moved = |own: &EnsembleServer| {
                let now = own.addresses().iter().map(port);
                !now.eq(addresses.iter().cloned())
            };
            tokio::select! {
                _ = accepting => return,
                _ = own.wait_for(has_moved) => {}
            }
            addresses = self.own_addresses(port);
            listeners = match self.bind_port(port).await {
                Ok(listeners) => listeners,
                Err(error) => {
                    // A loop that is gone needs no word of it.
                    _ = self.to_loop.send(FromPeer::PortFailed(error)).await;
                    return;
                }
            };
            info!(?addresses, "listening for the other servers elsewhere");
        }
    }

    /// Runs a task until it ends, or until the links are to be closed.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        (self.tasks).spawn(async move { stop.run_until_cancelled(task).await });
    }

    /// Closes every link and both ports.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
