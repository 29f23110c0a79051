//! The election port: connections on which servers tell their votes.
//!
//! One task serves a connection, and does what [`Links`] says about it. A peer that does not answer
//! keeps nobody but its own task waiting.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tracing::debug;
use zk_core::QuorumInput;
use zk_core::election::links::{Accepted, Dialled, LinkEffect, LinkId, Links, LinksConfig};
use zk_proto::quorum::{
    Address, InitialForm, InitialMessage, InitialMessageError, NOTIFICATION_BYTES_MAX,
    Notification, ServerAddress,
};
use zk_proto::{FrameError, ServerId, split_frame};

use super::{FromPeer, Peers, socket};
use crate::complaints::complain;

/// Connections that may be accepted at the same time.
const ACCEPTED_MAX: usize = 1024;
/// Bytes of one read, and of the room that is made for it.
const READ_BYTES: usize = 4 << 10;

/// What the loop hears of the election port.
#[derive(Debug)]
pub(crate) enum ElectionEvent {
    /// Somebody called, and said who it is.
    Accepted {
        /// The connection.
        link: LinkId,
        /// Who calls.
        from: ServerId,
        /// Where that server listens.
        listens_at: Vec<Address>,
        /// From where it calls.
        peer: SocketAddr,
        /// To the connection's task, which closes it when this is dropped.
        to_task: ToTask,
    },
    /// A server was dialled, and answers.
    Dialled {
        /// The connection.
        link: LinkId,
        /// Which server.
        to: ServerId,
        /// To the connection's task.
        to_task: ToTask,
    },
    /// A server was dialled in vain.
    DialFailed {
        /// Which server.
        to: ServerId,
    },
    /// A vote came.
    Vote {
        /// The connection.
        link: LinkId,
        /// The vote.
        notification: Notification,
    },
    /// The last message is written.
    Written {
        /// The connection.
        link: LinkId,
    },
    /// The connection is gone.
    Closed {
        /// The connection.
        link: LinkId,
    },
}

/// To a connection's task: what is to be written. The connection is closed once that is done and no
/// more can come.
type ToTask = mpsc::UnboundedSender<Outgoing>;

/// Something to be written on a connection of the election port.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Who this server is.
    Initial(Bytes),
    /// A vote; that it is written is told to the loop.
    Vote(Bytes),
}

/// The connections of the election port as the loop has them.
#[derive(Debug)]
pub(crate) struct ElectionLinks {
    links: Links<Bytes>,
    peers: Arc<Peers>,
    initial: Bytes,
    /// The connections that are kept.
    kept: BTreeMap<LinkId, Kept>,
}

#[derive(Debug)]
struct Kept {
    peer: ServerId,
    to_task: ToTask,
}

impl ElectionLinks {
    /// Begins to dial the voters.
    pub(crate) fn new(peers: Arc<Peers>, now: Duration) -> Self {
        let me = peers.me;
        let config = LinksConfig {
            dial_timeout: peers.config.election_connect_timeout,
            ..LinksConfig::new(me, rand::random())
        };
        let mut links = Links::new(config);
        links.set_members(now, peers.voters());
        Self {
            links,
            initial: initial_message(&peers),
            peers,
            kept: BTreeMap::new(),
        }
    }

    /// The voters, or their addresses, are others.
    pub(crate) fn set_members(&mut self, now: Duration) {
        self.initial = initial_message(&self.peers);
        self.links.set_members(now, self.peers.voters());
    }

    /// When [`on_tick`](Self::on_tick) is due.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.links.next_deadline()
    }

    pub(crate) fn on_tick(&mut self, now: Duration) {
        self.links.on_tick(now);
    }

    /// Sends a vote in place of whatever waits for the server.
    pub(crate) fn send(&mut self, to: ServerId, notification: &Notification) {
        let mut frame = BytesMut::new();
        notification.encode_frame(&mut frame);
        self.links.send(to, frame.freeze());
    }

    /// Takes what happened; gives out the vote, if it is one that counts.
    pub(crate) fn on_event(&mut self, now: Duration, event: ElectionEvent) -> Option<QuorumInput> {
        match event {
            ElectionEvent::Accepted {
                link,
                from,
                listens_at,
                peer,
                to_task,
            } => match self.links.on_accepted(now, link, from, listens_at) {
                Accepted::Keep(peer) => self.keep(link, peer, to_task),
                Accepted::CallBack => debug!(%from, "called by a server of a smaller id"),
                Accepted::Refuse(reason) => {
                    let kind = &self.peers.complaints.voter_refused;
                    complain!(kind, %from, %peer, ?reason, "connection to the election port refused");
                }
            },
            ElectionEvent::Dialled { link, to, to_task } => {
                match self.links.on_dialled(now, to, link) {
                    Dialled::Keep => {
                        post(&to_task, Outgoing::Initial(self.initial.clone()));
                        self.keep(link, to, to_task);
                    }
                    Dialled::Announce => post(&to_task, Outgoing::Initial(self.initial.clone())),
                    Dialled::Drop => {}
                }
            }
            ElectionEvent::DialFailed { to } => self.links.on_dial_failed(now, to),
            ElectionEvent::Vote { link, notification } => {
                let from = self.kept.get(&link)?.peer;
                let counts = self.links.is_current(from, link);
                return counts.then_some(QuorumInput::Vote { from, notification });
            }
            ElectionEvent::Written { link } => {
                if let Some(kept) = self.kept.get(&link) {
                    self.links.on_written(kept.peer, link);
                }
            }
            ElectionEvent::Closed { link } => {
                if let Some(kept) = self.kept.remove(&link) {
                    self.links.on_closed(now, kept.peer, link);
                }
            }
        }
        None
    }

    fn keep(&mut self, link: LinkId, peer: ServerId, to_task: ToTask) {
        self.kept.insert(link, Kept { peer, to_task });
    }

    /// Does what is due, up to something that the core is to be told before the rest is done.
    pub(crate) fn next_input(&mut self) -> Option<QuorumInput> {
        while let Some(effect) = self.links.next_effect() {
            match effect {
                LinkEffect::Dial {
                    peer,
                    called_from,
                    timeout,
                } => dial(&self.peers, peer, called_from, timeout),
                LinkEffect::Write { link, message, .. } => {
                    if let Some(kept) = self.kept.get(&link) {
                        post(&kept.to_task, Outgoing::Vote(message));
                    }
                }
                LinkEffect::Close { link } => {
                    self.kept.remove(&link);
                }
                LinkEffect::Up { peer } => return Some(QuorumInput::VoterConnected(peer)),
                LinkEffect::Down { peer } => return Some(QuorumInput::VoterDisconnected(peer)),
                LinkEffect::Unreachable { peer } => {
                    return Some(QuorumInput::VoterUnreachable(peer));
                }
            }
        }
        None
    }
}

/// What this server says first where it calls.
fn initial_message(peers: &Peers) -> Bytes {
    let message = InitialMessage {
        form: match peers.config.allows_many_addresses {
            true => InitialForm::V2,
            false => InitialForm::V1,
        },
        server: peers.me,
        addresses: peers.own_addresses(ServerAddress::election),
    };
    let mut initial = BytesMut::new();
    message.encode(&mut initial);
    initial.freeze()
}

/// Gives a task something to write. One that is gone has told so.
fn post(to_task: &ToTask, message: Outgoing) {
    _ = to_task.send(message);
}

/// Accepts connections.
pub(super) async fn accept_all(listener: TcpListener, peers: Arc<Peers>) {
    let room = Arc::new(Semaphore::new(ACCEPTED_MAX));
    loop {
        let (stream, peer) = socket::accept(&listener, peers.config.has_keep_alive).await;
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            let kind = &peers.complaints.too_many_voters;
            complain!(kind, %peer, max = ACCEPTED_MAX, "too many connections to the election port");
            continue;
        };
        let serving = Arc::clone(&peers);
        peers.spawn(async move {
            let _permit = permit;
            answer(serving, stream, peer).await;
        });
    }
}

/// Hears who calls, and serves the connection.
async fn answer(peers: Arc<Peers>, mut stream: TcpStream, peer: SocketAddr) {
    let mut input = BytesMut::new();
    let within = peers.config.election_connect_timeout;
    let initial = timeout(within, read_initial(&mut stream, &mut input)).await;
    let message = match initial {
        Ok(Ok(message)) => message,
        Ok(Err(ended)) => {
            debug!(%peer, %ended, "no server called the election port");
            return;
        }
        Err(_) => {
            debug!(%peer, "nothing was said on the election port");
            return;
        }
    };
    let link = peers.election_link();
    let (to_task, orders) = mpsc::unbounded_channel();
    let event = ElectionEvent::Accepted {
        link,
        from: message.server,
        listens_at: message.addresses,
        peer,
        to_task,
    };
    tell(&peers, event).await;
    serve(&peers, link, stream, input, orders).await;
}

async fn read_initial(
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Result<InitialMessage, Ended> {
    loop {
        if let Some(message) = InitialMessage::split(input)? {
            return Ok(message);
        }
        input.reserve(READ_BYTES);
        if stream.read_buf(input).await? == 0 {
            return Err(Ended::There);
        }
    }
}

/// Connects to a server: where it is configured to be, or else where it said that it listens.
fn dial(peers: &Arc<Peers>, to: ServerId, called_from: Vec<Address>, within: Duration) {
    let dialling = Arc::clone(peers);
    peers.spawn(async move {
        let mut addresses = dialling.addresses(to, ServerAddress::election);
        for address in called_from {
            if !address.host.is_wildcard() && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let has_keep_alive = dialling.config.has_keep_alive;
        match socket::dial(&addresses, within, has_keep_alive).await {
            Ok(stream) => {
                let link = dialling.election_link();
                let (to_task, orders) = mpsc::unbounded_channel();
                tell(&dialling, ElectionEvent::Dialled { link, to, to_task }).await;
                serve(&dialling, link, stream, BytesMut::new(), orders).await;
            }
            Err(error) => {
                debug!(%to, %error, "cannot connect to an election port");
                tell(&dialling, ElectionEvent::DialFailed { to }).await;
            }
        }
    });
}

impl Peers {
    fn election_link(&self) -> LinkId {
        LinkId(self.next_number())
    }
}

/// Tells the loop. A loop that is gone needs no word of it.
async fn tell(peers: &Peers, event: ElectionEvent) {
    _ = peers.to_loop.send(FromPeer::Election(event)).await;
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("closed here")]
    Here,
    #[error("closed by the other server")]
    There,
    #[error("the other server takes nothing")]
    Stuck,
    #[error(transparent)]
    BadInitial(#[from] InitialMessageError),
    #[error("not a frame: {0}")]
    BadFrame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves a connection until it ends, however it ends.
async fn serve(
    peers: &Peers,
    link: LinkId,
    mut stream: TcpStream,
    input: BytesMut,
    orders: mpsc::UnboundedReceiver<Outgoing>,
) {
    let (reader, writer) = stream.split();
    let ended = tokio::select! {
        biased;
        ended = write_all(peers, link, writer, orders) => ended,
        ended = read_all(peers, link, reader, input) => ended,
    };
    drop(stream);
    debug!(?link, %ended, "connection of the election port ended");
    tell(peers, ElectionEvent::Closed { link }).await;
}

async fn write_all(
    peers: &Peers,
    link: LinkId,
    mut socket: WriteHalf<'_>,
    mut orders: mpsc::UnboundedReceiver<Outgoing>,
) -> Ended {
    let within = peers.config.election_connect_timeout;
    while let Some(order) = orders.recv().await {
        let (bytes, is_vote) = match order {
            Outgoing::Initial(bytes) => (bytes, false),
            Outgoing::Vote(bytes) => (bytes, true),
        };
        match timeout(within, socket.write_all(&bytes)).await {
            Ok(Ok(())) if is_vote => tell(peers, ElectionEvent::Written { link }).await,
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return Ended::Stuck,
        }
    }
    Ended::Here
}

async fn read_all(
    peers: &Peers,
    link: LinkId,
    mut socket: ReadHalf<'_>,
    mut input: BytesMut,
) -> Ended {
    loop {
        match split_frame(&mut input, NOTIFICATION_BYTES_MAX) {
            Ok(Some(frame)) => match Notification::decode(&frame) {
                Ok(notification) => {
                    tell(peers, ElectionEvent::Vote { link, notification }).await;
                }
                Err(error) => {
                    let kind = &peers.complaints.bad_vote;
                    complain!(kind, ?link, %error, "not a vote, it is ignored");
                }
            },
            Ok(None) => {
                input.reserve(READ_BYTES);
                match socket.read_buf(&mut input).await {
                    Ok(0) => return Ended::There,
                    Ok(_) => {}
                    Err(error) => return error.into(),
                }
            }
            Err(error) => return error.into(),
        }
    }
}
