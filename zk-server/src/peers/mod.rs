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

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
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
}

pub(crate) use quorum::Event as QuorumEvent;

/// What the tasks of all links share.
#[derive(Debug)]
pub(crate) struct Peers {
    me: ServerId,
    members: Mutex<Members>,
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
            members: Mutex::new(Members {
                in_force: membership.ensemble,
                proposed: None,
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

    /// Where a member is reached.
    fn addresses(&self, id: ServerId, port: impl Fn(&ServerAddress) -> Address) -> Vec<Address> {
        let members = self.members();
        let in_either = [Some(&members.in_force), members.proposed.as_ref()];
        let mut servers = in_either.into_iter().flatten().map(EnsembleConfig::servers);
        let server = servers.find_map(|servers| servers.get(&id));
        let addresses = server.map(EnsembleServer::addresses).unwrap_or_default();
        addresses.iter().map(port).collect()
    }

    /// Those who vote, now or soon.
    fn voters(&self) -> Vec<ServerId> {
        let members = self.members();
        let in_either = [Some(&members.in_force), members.proposed.as_ref()];
        let voters = in_either.into_iter().flatten();
        let voters = voters.flat_map(|config| config.participants().map(|(id, _)| id));
        voters.collect()
    }

    /// The members are others, or may be so soon.
    pub(crate) fn change(&self, in_force: EnsembleConfig, proposed: Option<EnsembleConfig>) {
        *self.members() = Members { in_force, proposed };
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
        let me = self.me;
        let all = self.config.listens_on_all;
        let attempts = self.config.bind_attempts;
        let quorum = self.addresses(me, ServerAddress::quorum);
        let election = self.addresses(me, ServerAddress::election);
        Ok(BoundPorts {
            quorum: socket::bind(&quorum, all, attempts).await?,
            election: socket::bind(&election, all, attempts).await?,
        })
    }

    /// Accepts on both ports until the links are to be closed.
    pub(crate) fn serve(self: &Arc<Self>, ports: BoundPorts) {
        for listener in ports.quorum {
            let accepting = quorum::accept_all(listener, Arc::clone(self));
            self.spawn(accepting);
        }
        for listener in ports.election {
            let accepting = election::accept_all(listener, Arc::clone(self));
            self.spawn(accepting);
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
