//! The links between members, and what goes wrong with them.
//!
//! ```text
//!            ┌──────────────── relay i → j, one a port ────────────────┐
//! member i ─►│ accept ─► (address told) ─► queue ─► delay, block ─► … │─► member j
//!          ◄─│ …                ◄─ delay, block ◄─ queue ◄─            │◄─
//!            └──────────────────────────────────────────────────────────┘
//! ```
//!
//! A blocked direction keeps its bytes and passes them on later, as TCP does; the end of a
//! connection is kept back likewise. While either direction is blocked no connection gets through,
//! because a handshake needs both. It knows bytes, and of the election port the first message: a
//! member tells there where it wants to be dialled back, and that has to be a relay too.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::subnet::{Port, Subnet};

/// How long a relay tries to reach a member that does not listen on its quorum port: a leader
/// listens a moment after it is elected. A dead member's election port refuses at once.
const QUORUM_PORT_WITHIN: Duration = Duration::from_secs(1);
const DIAL_AGAIN_EVERY: Duration = Duration::from_millis(10);
/// Chunks on their way in one direction of a connection.
const CHUNKS_MAX: usize = 256;
const CHUNK_BYTES: usize = 64 << 10;
/// Version, sid and length come before the address in the first message of an election port.
const FIRST_BYTES: usize = 20;
const ADDRESS_BYTES_MAX: usize = 2048;

/// What is wrong with which links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Faults {
    /// Directions, from and to, whose bytes are kept back.
    blocked: BTreeSet<(u8, u8)>,
    /// Links whose connections are closed as soon as they are made; the smaller number first.
    cut: BTreeSet<(u8, u8)>,
    delays: BTreeMap<(u8, u8), Duration>,
}

impl Faults {
    fn is_blocked(&self, from: u8, to: u8) -> bool {
        self.blocked.contains(&(from, to))
    }

    fn is_cut(&self, one: u8, other: u8) -> bool {
        self.cut.contains(&(one.min(other), one.max(other)))
    }

    fn delay(&self, from: u8, to: u8) -> Duration {
        self.delays.get(&(from, to)).copied().unwrap_or_default()
    }
}

/// Relays between all members. Dropping it closes every connection.
#[derive(Debug)]
pub struct Links {
    faults: watch::Sender<Faults>,
    _runtime: Runtime,
}

impl Links {
    pub(super) fn start(subnet: &Subnet, sids: &[u8]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let faults = watch::Sender::default();
        for (from, to) in pairs(sids, sids) {
            for port in [Port::Quorum, Port::Election] {
                let relay = Relay {
                    from,
                    to,
                    port,
                    member: subnet.port(to, port),
                    back: subnet.relay(to, from, port),
                    faults: faults.subscribe(),
                };
                let at = subnet.relay(from, to, port);
                let listener = runtime
                    .block_on(TcpListener::bind(at))
                    .unwrap_or_else(|error| panic!("{at}: {error}"));
                runtime.spawn(relay.accept(listener));
            }
        }
        Self {
            faults,
            _runtime: runtime,
        }
    }

    /// Keeps the bytes from one member to another back.
    pub fn block(&self, from: u8, to: u8) {
        self.change(|faults| _ = faults.blocked.insert((from, to)));
    }

    /// Keeps all bytes between two groups back.
    pub fn part(&self, some: &[u8], others: &[u8]) {
        self.change(|faults| {
            faults.blocked.extend(pairs(some, others));
            faults.blocked.extend(pairs(others, some));
        });
    }

    /// Closes the connections between two groups, and every one that is made later.
    pub fn cut(&self, some: &[u8], others: &[u8]) {
        let links = pairs(some, others).map(|(one, other)| (one.min(other), one.max(other)));
        self.change(|faults| faults.cut.extend(links));
    }

    /// Lets each byte from one member to another take `delay`.
    pub fn delay(&self, from: u8, to: u8, delay: Duration) {
        self.change(|faults| _ = faults.delays.insert((from, to), delay));
    }

    /// Ends all faults; what was kept back arrives.
    pub fn heal(&self) {
        self.change(|faults| *faults = Faults::default());
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }
}

/// Every one of `some` with every one of `others`, but none with itself.
fn pairs(some: &[u8], others: &[u8]) -> impl Iterator<Item = (u8, u8)> {
    let pairs = some
        .iter()
        .flat_map(|&one| others.iter().map(move |&other| (one, other)));
    pairs.filter(|(one, other)| one != other)
}

/// Where one member finds one port of another.
#[derive(Debug, Clone)]
struct Relay {
    from: u8,
    to: u8,
    port: Port,
    /// The member's own address.
    member: SocketAddr,
    /// Where the dialled member finds the dialling one.
    back: SocketAddr,
    faults: watch::Receiver<Faults>,
}

impl Relay {
    async fn accept(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((dialler, _)) = accepted else { continue };
                    connections.spawn(self.clone().carry(dialler));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Carries one connection until either member closes it or the link is cut. Any failure looks
    /// to both members like a close.
    async fn carry(self, mut dialler: TcpStream) {
        let (from, to) = (self.from, self.to);
        let mut faults = self.faults.clone();
        let both_ways = async {
            let mut faults = self.faults.clone();
            let passes =
                |faults: &Faults| !faults.is_blocked(from, to) && !faults.is_blocked(to, from);
            faults.wait_for(passes).await.map_err(io::Error::other)?;
            let mut member = self.dial().await?;
            dialler.set_nodelay(true)?;
            member.set_nodelay(true)?;
            let (mut from_dialler, to_dialler) = dialler.split();
            let (from_member, to_member) = member.split();
            let first = match self.port {
                Port::Quorum => Bytes::new(),
                Port::Election => first_message(&mut from_dialler, self.back).await?,
            };
            let there = self.direction(from, to);
            let back = self.direction(to, from);
            tokio::select! {
                ended = there.pump(first, from_dialler, to_member) => ended,
                ended = back.pump(Bytes::new(), from_member, to_dialler) => ended,
            }
        };
        tokio::select! {
            _ended = both_ways => {}
            _cut = faults.wait_for(|faults| faults.is_cut(from, to)) => {}
        }
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let began = Instant::now();
        loop {
            match TcpStream::connect(self.member).await {
                Err(_) if self.port == Port::Quorum && began.elapsed() < QUORUM_PORT_WITHIN => {
                    tokio::time::sleep(DIAL_AGAIN_EVERY).await;
                }
                dialled => return dialled,
            }
        }
    }

    fn direction(&self, from: u8, to: u8) -> Direction {
        let faults = self.faults.clone();
        Direction { from, to, faults }
    }
}

/// Reads the first message of an election port, and puts the relay that leads back in the place of
/// the address told.
///
/// ```text
/// 0        8      16       20
/// │version │ sid  │ length │ host:port …
/// ```
async fn first_message(from: &mut ReadHalf<'_>, back: SocketAddr) -> io::Result<Bytes> {
    let mut head = [0; FIRST_BYTES];
    from.read_exact(&mut head).await?;
    let mut fields = &head[..];
    let (version, sid, length) = (fields.get_i64(), fields.get_i64(), fields.get_i32());
    let length = usize::try_from(length).ok();
    let length = length.filter(|length| version < 0 && *length <= ADDRESS_BYTES_MAX);
    let length = length.ok_or(io::ErrorKind::InvalidData)?;
    from.read_exact(&mut vec![0; length]).await?;
    let back = back.to_string();
    let mut first = BytesMut::new();
    first.put_i64(version);
    first.put_i64(sid);
    first.put_i32(i32::try_from(back.len()).expect("an address is short"));
    first.put_slice(back.as_bytes());
    Ok(first.freeze())
}

/// One direction of a connection.
struct Direction {
    from: u8,
    to: u8,
    faults: watch::Receiver<Faults>,
}

impl Direction {
    /// Carries bytes until one side closes, and that has passed too.
    async fn pump(
        mut self,
        first: Bytes,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
    ) -> io::Result<()> {
        let (sender, mut chunks) = mpsc::channel::<(Instant, Bytes)>(CHUNKS_MAX);
        let faults = self.faults.clone();
        let (source, target) = (self.from, self.to);
        let due = move || Instant::now() + faults.borrow().delay(source, target);
        let read = async move {
            let mut next = BytesMut::from(first);
            if next.is_empty() {
                from.read_buf(&mut next).await?;
            }
            // No byte is the end, which waits for its turn like any other chunk.
            loop {
                let chunk = std::mem::replace(&mut next, BytesMut::with_capacity(CHUNK_BYTES));
                let end = chunk.is_empty();
                let sent = sender.send((due(), chunk.freeze())).await;
                sent.map_err(io::Error::other)?;
                if end {
                    return Ok(());
                }
                // To the other side, a connection that breaks has ended.
                if from.read_buf(&mut next).await.is_err() {
                    next.clear();
                }
            }
        };
        let write = async move {
            while let Some((due, chunk)) = chunks.recv().await {
                tokio::time::sleep_until(due).await;
                let passes = |faults: &Faults| !faults.is_blocked(source, target);
                drop(
                    self.faults
                        .wait_for(passes)
                        .await
                        .map_err(io::Error::other)?,
                );
                to.write_all(&chunk).await?;
            }
            Ok(())
        };
        tokio::try_join!(read, write).map(drop)
    }
}
