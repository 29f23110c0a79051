//! The quorum port: links between a leader and its learners.
//!
//! One task serves a link. What the socket has is one message to the loop; what the loop hands over
//! in one turn is one write. Behind a SNAP packet the stream is no packets but a state, which goes to
//! storage as it is, until that has found its end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice, Write};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{debug, info};
use zk_core::{QuorumLink, SnapshotView};
use zk_proto::quorum::{FromLeader, FromLearner, Packet, ServerAddress, split_packet};
use zk_proto::{DecodeError, ServerId};
use zk_storage::send_snapshot;

use super::outgoing::FINISH_WITHIN;
use super::{FromPeer, Outgoing, Peers, ToPeer, socket};
use crate::complaints::complain;
use crate::recovery::ViewSource;

/// Learners that may be connected at the same time.
const LEARNERS_MAX: usize = 1024;
/// Room for reading that is made at once, and what must be left of it before more is made.
const READ_BYTES: usize = 128 << 10;
const READ_BYTES_MIN: usize = 4 << 10;
/// Packets of one message to the loop; the rest of the input follows in another.
const PACKETS_PER_MESSAGE: usize = 1024;
/// Pieces of one write.
const SLICES_PER_WRITE: usize = 256;
/// Pieces of a state that wait for whoever takes them.
const PIECES_WAITING_MAX: usize = 8;

/// What the loop hears of a link.
#[derive(Debug)]
pub(crate) enum Event {
    /// A learner connected.
    Accepted {
        /// The link.
        link: QuorumLink,
        /// Where the learner is.
        peer: SocketAddr,
        /// What is to be sent to it.
        outgoing: Arc<Outgoing>,
    },
    /// Packets of a learner, at least one.
    FromLearner {
        /// The link.
        link: QuorumLink,
        /// The packets, in order.
        packets: Vec<FromLearner>,
    },
    /// The leader is connected.
    Dialled {
        /// As it was asked.
        attempt: u64,
        /// The link.
        link: QuorumLink,
        /// Where the leader is.
        peer: SocketAddr,
        /// What is to be sent to it.
        outgoing: Arc<Outgoing>,
    },
    /// The leader does not answer.
    DialFailed {
        /// As it was asked.
        attempt: u64,
    },
    /// Packets of the leader, at least one.
    FromLeader {
        /// The link.
        link: QuorumLink,
        /// The packets, in order.
        packets: Vec<FromLeader>,
        /// What follows the last one, if that is SNAP.
        state: Option<StateStream>,
    },
    /// More of a state was written to a learner, or all of it.
    Taken(QuorumLink),
    /// The link is gone.
    Closed(QuorumLink),
}

/// The state that follows a SNAP packet.
#[derive(Debug)]
pub(crate) struct StateStream {
    /// The stream, and more than the state from some piece on. It ends with the link.
    pub(crate) pieces: mpsc::Receiver<Bytes>,
    /// Takes back what follows the state, once packets may be read again.
    pub(crate) rest: oneshot::Sender<Bytes>,
}

impl StateStream {
    /// One that broke before it began.
    pub(crate) fn ended() -> Self {
        let (_, pieces) = mpsc::channel(1);
        let (rest, _) = oneshot::channel();
        Self { pieces, rest }
    }
}

/// Accepts learners, whether this server leads or not: what becomes of them is not decided here.
pub(super) async fn accept_all(listener: TcpListener, peers: Arc<Peers>) {
    let room = Arc::new(Semaphore::new(LEARNERS_MAX));
    loop {
        let (stream, peer) = socket::accept(&listener, peers.config.has_keep_alive).await;
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            let kind = &peers.complaints.too_many_learners;
            complain!(kind, %peer, max = LEARNERS_MAX, "too many learners, the connection is closed");
            continue;
        };
        let (link, outgoing) = peers.link();
        let serving = Arc::clone(&peers);
        peers.spawn(async move {
            let _permit = permit;
            let to_loop = &serving.to_loop;
            let begin = Event::Accepted {
                link,
                peer,
                outgoing: Arc::clone(&outgoing),
            };
            let reading = Reading::<FromLearner>::new(&serving, to_loop, link);
            serve(&serving, peer, stream, &outgoing, begin, reading).await;
        });
    }
}

/// Connects to the leader.
pub(crate) fn dial_leader(peers: &Arc<Peers>, to: ServerId, attempt: u64) {
    let dialling = Arc::clone(peers);
    peers.spawn(async move {
        let to_loop = &dialling.from_leader;
        let addresses = dialling.addresses(to, ServerAddress::quorum);
        let within = dialling.leader_connect_timeout;
        let dialled = socket::dial(&addresses, within, dialling.config.has_keep_alive).await;
        let stream_and_peer = dialled.and_then(|stream| {
            let peer = stream.peer_addr()?;
            Ok((stream, peer))
        });
        let (stream, peer) = match stream_and_peer {
            Ok(connected) => connected,
            Err(error) => {
                info!(leader = %to, %error, "cannot connect to the leader");
                tell(to_loop, Event::DialFailed { attempt }).await;
                return;
            }
        };
        let (link, outgoing) = dialling.link();
        let begin = Event::Dialled {
            attempt,
            link,
            peer,
            outgoing: Arc::clone(&outgoing),
        };
        let reading = Reading::<FromLeader>::new(&dialling, to_loop, link);
        serve(&dialling, peer, stream, &outgoing, begin, reading).await;
    });
}

impl Peers {
    fn link(&self) -> (QuorumLink, Arc<Outgoing>) {
        let outgoing = Arc::new(Outgoing::new(self.queue_bytes_max));
        (QuorumLink(self.next_number()), outgoing)
    }
}

/// Tells the loop. A loop that is gone needs no word of it.
async fn tell(to_loop: &mpsc::Sender<FromPeer>, event: Event) {
    _ = to_loop.send(FromPeer::Quorum(event)).await;
}

/// Why a link ends.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("closed here")]
    Here,
    #[error("closed by the other server")]
    There,
    #[error("the server stops")]
    Stopped,
    #[error("not a packet: {0}")]
    BadPacket(#[from] DecodeError),
    #[error("the state was not taken")]
    StateNotTaken,
    #[error("the state cannot be sent")]
    StateNotSent,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves a link until it ends, however it ends.
async fn serve<P: Incoming>(
    peers: &Peers,
    peer: SocketAddr,
    mut stream: TcpStream,
    outgoing: &Outgoing,
    begin: Event,
    reading: Reading<'_, P>,
) {
    let (to_loop, link) = (reading.to_loop, reading.link);
    tell(to_loop, begin).await;
    let (input, output) = stream.split();
    let ended = tokio::select! {
        biased;
        () = outgoing.must_close() => Ended::Here,
        ended = write_all(outgoing, output, to_loop, link) => ended,
        ended = reading.read_all(input) => ended,
    };
    if matches!(ended, Ended::Here) && outgoing.is_finishing() {
        // What was sent last may be lost otherwise, which then only the next leader makes good.
        _ = timeout(FINISH_WITHIN, hang_up(&mut stream)).await;
    }
    outgoing.close();
    drop(stream);
    match ended {
        Ended::BadPacket(_) => {
            let kind = &peers.complaints.bad_packet;
            complain!(kind, ?link, %peer, %ended, "link between servers lost");
        }
        _ => debug!(?link, %peer, %ended, "link between servers ended"),
    }
    tell(to_loop, Event::Closed(link)).await;
}

/// Ends the link so that the other server can take all that was sent: a socket that is closed with
/// unread input is reset.
async fn hang_up(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 512];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Packets of one direction.
trait Incoming: Packet {
    /// Whether a state follows.
    fn is_snap(&self) -> bool;

    fn event(link: QuorumLink, packets: Vec<Self>, state: Option<StateStream>) -> Event;
}

impl Incoming for FromLearner {
    fn is_snap(&self) -> bool {
        false
    }

    fn event(link: QuorumLink, packets: Vec<Self>, _: Option<StateStream>) -> Event {
        Event::FromLearner { link, packets }
    }
}

impl Incoming for FromLeader {
    fn is_snap(&self) -> bool {
        matches!(self, Self::Snap { .. })
    }

    fn event(link: QuorumLink, packets: Vec<Self>, state: Option<StateStream>) -> Event {
        Event::FromLeader {
            link,
            packets,
            state,
        }
    }
}

/// How packets are read, and whom they are told.
struct Reading<'a, P> {
    to_loop: &'a mpsc::Sender<FromPeer>,
    link: QuorumLink,
    packet_bytes_max: usize,
    packets: PhantomData<P>,
}

impl<'a, P: Incoming> Reading<'a, P> {
    fn new(peers: &Peers, to_loop: &'a mpsc::Sender<FromPeer>, link: QuorumLink) -> Self {
        Self {
            to_loop,
            link,
            packet_bytes_max: peers.packet_bytes_max,
            packets: PhantomData,
        }
    }

    async fn read_all(&self, mut socket: ReadHalf<'_>) -> Ended {
        match self.try_read_all(&mut socket).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn try_read_all(&self, socket: &mut ReadHalf<'_>) -> Result<Infallible, Ended> {
        let mut input = BytesMut::new();
        loop {
            let (packets, ends_with_snap) = self.split(&mut input)?;
            if packets.is_empty() {
                read_more(socket, &mut input).await?;
                continue;
            }
            let pieces = ends_with_snap.then(|| mpsc::channel(PIECES_WAITING_MAX));
            let (pieces, state) = match pieces {
                None => (None, None),
                Some((to_storage, pieces)) => {
                    let (rest, after) = oneshot::channel();
                    (
                        Some((to_storage, after)),
                        Some(StateStream { pieces, rest }),
                    )
                }
            };
            let event = P::event(self.link, packets, state);
            if self.to_loop.send(FromPeer::Quorum(event)).await.is_err() {
                return Err(Ended::Stopped);
            }
            if let Some((to_storage, after)) = pieces {
                input = read_state(socket, input, &to_storage, after).await?;
            }
        }
    }

    /// Takes whole packets off the input, up to a SNAP at most.
    fn split(&self, input: &mut BytesMut) -> Result<(Vec<P>, bool), DecodeError> {
        let mut packets = Vec::new();
        while packets.len() < PACKETS_PER_MESSAGE {
            let Some(packet) = split_packet::<P>(input, self.packet_bytes_max)? else {
                break;
            };
            let is_snap = packet.is_snap();
            packets.push(packet);
            if is_snap {
                return Ok((packets, true));
            }
        }
        Ok((packets, false))
    }
}

/// Reads what the socket has. What was split off the input before shares memory with what follows,
/// so that a long-lived packet keeps few bytes besides its own.
async fn read_more(socket: &mut ReadHalf<'_>, input: &mut BytesMut) -> Result<(), Ended> {
    if input.capacity() - input.len() < READ_BYTES_MIN {
        input.reserve(READ_BYTES.max(input.len()));
    }
    match socket.read_buf(input).await? {
        0 => Err(Ended::There),
        _ => Ok(()),
    }
}

/// Hands on the stream until its end is found; what is read already of what follows it.
async fn read_state(
    socket: &mut ReadHalf<'_>,
    mut input: BytesMut,
    to_storage: &mpsc::Sender<Bytes>,
    mut rest: oneshot::Receiver<Bytes>,
) -> Result<BytesMut, Ended> {
    // Whoever takes the state may have found the end before this piece.
    let mut late = Bytes::new();
    let rest = loop {
        if !input.is_empty()
            && let Err(SendError(piece)) = to_storage.send(input.split().freeze()).await
        {
            late = piece;
            break rest.await;
        }
        tokio::select! {
            biased;
            rest = &mut rest => break rest,
            read = read_more(socket, &mut input) => read?,
        }
    };
    let rest = rest.map_err(|_| Ended::StateNotTaken)?;
    let mut following = BytesMut::with_capacity(rest.len() + late.len() + input.len());
    for part in [&rest[..], &late, &input] {
        following.extend_from_slice(part);
    }
    Ok(following)
}

/// Writes whatever is to be sent.
async fn write_all(
    outgoing: &Outgoing,
    mut socket: WriteHalf<'_>,
    to_loop: &mpsc::Sender<FromPeer>,
    link: QuorumLink,
) -> Ended {
    let mut packets = VecDeque::new();
    while let Some(items) = outgoing.take().await {
        for item in items {
            match item {
                ToPeer::Packets(bytes) => packets.push_back(bytes),
                ToPeer::State(view) => {
                    let written = write_packets(outgoing, &mut packets, &mut socket).await;
                    if let Err(error) = written {
                        return error.into();
                    }
                    if let Err(ended) = write_state(view, &mut socket, to_loop, link).await {
                        return ended;
                    }
                }
            }
        }
        if let Err(error) = write_packets(outgoing, &mut packets, &mut socket).await {
            return error.into();
        }
    }
    Ended::Here
}

async fn write_packets(
    outgoing: &Outgoing,
    packets: &mut VecDeque<Bytes>,
    socket: &mut WriteHalf<'_>,
) -> io::Result<()> {
    while !packets.is_empty() {
        let written = poll_fn(|context| {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            for (slice, packet) in slices.iter_mut().zip(&*packets) {
                *slice = IoSlice::new(packet);
            }
            let count = packets.len().min(SLICES_PER_WRITE);
            let slices = slices.get(..count).unwrap_or_default();
            Pin::new(&mut *socket).poll_write_vectored(context, slices)
        });
        let written = written.await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        outgoing.written(written);
        advance(packets, written);
    }
    Ok(())
}

/// Drops the first bytes of the packets.
fn advance(packets: &mut VecDeque<Bytes>, mut bytes: usize) {
    while let Some(first) = packets.front_mut() {
        if first.len() > bytes {
            first.advance(bytes);
            return;
        }
        bytes -= first.len();
        packets.pop_front();
    }
}

/// Encodes a state on a thread of its own while it is written.
async fn write_state(
    view: SnapshotView,
    socket: &mut WriteHalf<'_>,
    to_loop: &mpsc::Sender<FromPeer>,
    link: QuorumLink,
) -> Result<(), Ended> {
    let zxid = view.zxid;
    let (to_socket, mut pieces) = mpsc::channel(PIECES_WAITING_MAX);
    let encoding = spawn_blocking(move || {
        // A link that broke takes no more of it, which the writing side knows.
        send_snapshot(&ViewSource(view), &mut Pieces(to_socket)).ok()
    });
    while let Some(piece) = pieces.recv().await {
        socket.write_all(&piece).await?;
        tell(to_loop, Event::Taken(link)).await;
    }
    match encoding.await {
        Ok(Some(bytes)) => {
            info!(%zxid, bytes, "the state is sent to a learner");
            Ok(())
        }
        Ok(None) | Err(_) => Err(Ended::StateNotSent),
    }
}

struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(piece));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
