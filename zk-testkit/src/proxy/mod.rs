//! A proxy between clients and a server that understands their frames and breaks what it is told.
//!
//! ```text
//!             ┌────────────── FaultProxy ───────────────┐
//!  client ───►│ hold, delay ─► faults ─► record ─► write │───► server
//!         ◄───│ write ◄─ record ◄─ faults ◄─ hold, delay │◄───
//!             └──────────────────────────────────────────┘
//! ```
//!
//! It knows frames and operations. It does not know what a request does, and it never reorders the
//! frames of one direction.

mod control;
mod frames;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use zk_proto::{OpCode, split_frame};

use control::{Control, Exchange, Trigger};
pub use frames::{Content, Direction, Frame};

const FRAME_BYTES_MAX: usize = 64 << 20;

/// A proxy on loopback in front of one server. Dropping it cuts its connections and frees its port.
///
/// Faults that wait for their moment are handles: [`Fault::struck`] tells when it came, and
/// dropping the handle calls the fault off.
///
/// ```
/// # async fn doc(server: std::net::SocketAddr) -> std::io::Result<()> {
/// use zk_testkit::{FaultProxy, OpCode};
/// let proxy = FaultProxy::start(server).await?;
/// let reply_lost = proxy.drop_reply(OpCode::CREATE2);
/// // … a client of `proxy.address()` creates a znode …
/// reply_lost.struck().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    control: Shared,
    _accepting: AbortOnDropHandle<()>,
}

type Shared = Arc<watch::Sender<Control>>;

impl FaultProxy {
    /// Listens on a free port of loopback for connections to pass on to `server`.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let control = Arc::new(watch::Sender::new(Control::new(server)));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&control)));
        Ok(Self {
            address,
            control,
            _accepting: AbortOnDropHandle::new(accepting),
        })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The client's connect string: [`address`](Self::address) as text.
    #[must_use]
    pub fn connect_string(&self) -> String {
        self.address.to_string()
    }

    /// Passes later connections on to another server.
    pub fn set_server(&self, server: SocketAddr) {
        self.control.send_modify(|control| control.server = server);
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.control
            .send_modify(|control| control.cut_below = control.accepted);
    }

    /// Cuts the connection of the next request for `op`, which reaches the server, instead of
    /// passing its reply on.
    pub fn drop_reply(&self, op: OpCode) -> Fault {
        self.arm(Trigger::Reply(op))
    }

    /// Cuts the connection of the next request for `op` instead of passing the request on.
    pub fn drop_request(&self, op: OpCode) -> Fault {
        self.arm(Trigger::Request(op))
    }

    /// Cuts the connection on which the `bytes`-th byte from here on goes in `direction`, right
    /// behind it.
    pub fn cut_after(&self, direction: Direction, bytes: usize) -> Fault {
        self.arm(Trigger::Bytes(direction, bytes))
    }

    /// Makes the next attempt to resume a session open another one, which some servers do by
    /// mistake.
    pub fn new_session_on_resume(&self) -> Fault {
        self.arm(Trigger::Resume)
    }

    fn arm(&self, trigger: Trigger) -> Fault {
        let mut struck = None;
        self.control
            .send_modify(|control| struck = Some(control.arm(trigger)));
        Fault(struck.expect("arming gives a receiver"))
    }

    /// Holds all frames in `direction`, pings included, until the handle is dropped.
    pub fn hold(&self, direction: Direction) -> Hold {
        self.control
            .send_modify(|control| *control.holds_mut(direction) += 1);
        Hold {
            control: Arc::clone(&self.control),
            direction,
        }
    }

    /// Delays each frame in `direction` by `delay`; zero ends that.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.control
            .send_modify(|control| control.set_delay(direction, delay));
    }

    /// Closes connections as soon as they are made, until the handle is dropped. Those that exist
    /// stay.
    pub fn refuse(&self) -> Refusal {
        self.control.send_modify(|control| control.refusals += 1);
        Refusal(Arc::clone(&self.control))
    }

    /// The frames that passed, in the order of passing.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        self.control.borrow().frames.clone()
    }

    /// Waits for a request for `op` to pass, counting from this call, not from the first poll.
    pub fn wait_for(&self, op: OpCode) -> impl Future<Output = Frame> + Send + use<> {
        self.wait_for_frame(move |frame| frame.is_request(op))
    }

    /// Waits for a frame to pass, counting from this call, not from the first poll.
    pub fn wait_for_frame<F>(&self, mut matches: F) -> impl Future<Output = Frame> + Send + use<F>
    where
        F: FnMut(&Frame) -> bool + Send,
    {
        let mut control = self.control.subscribe();
        let mut from = control.borrow().frames.len();
        async move {
            let mut found = None;
            let passed = control.wait_for(|control| {
                let mut later = control.frames.iter().skip(from);
                found = later.find(|frame| matches(frame)).cloned();
                from = control.frames.len();
                found.is_some()
            });
            if passed.await.is_err() {
                // A proxy that is dropped passes nothing more.
                std::future::pending::<()>().await;
            }
            found.expect("the wait ended because a frame was found")
        }
    }

    /// Waits until exactly `count` connections are open.
    pub async fn wait_for_connections(&self, count: usize) {
        let mut control = self.control.subscribe();
        if control
            .wait_for(|control| control.open == count)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }
}

/// A fault that waits for its moment. Dropping the handle calls it off.
#[derive(Debug)]
#[must_use = "dropping the handle calls the fault off"]
pub struct Fault(oneshot::Receiver<()>);

impl Fault {
    /// Waits until the fault has struck.
    ///
    /// # Panics
    /// When the proxy is gone and the fault can strike no more.
    pub async fn struck(self) {
        self.0.await.expect("the proxy outlives its faults");
    }
}

/// Frames are held while this lives.
#[derive(Debug)]
#[must_use = "dropping the handle releases the frames"]
pub struct Hold {
    control: Shared,
    direction: Direction,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.control
            .send_modify(|control| *control.holds_mut(self.direction) -= 1);
    }
}

/// Connections are refused while this lives.
#[derive(Debug)]
#[must_use = "dropping the handle lets connections in"]
pub struct Refusal(Shared);

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.send_modify(|control| control.refusals -= 1);
    }
}

async fn accept(listener: TcpListener, control: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if control.borrow().refusals > 0 {
                    continue;
                }
                connections.spawn(connection(client, Arc::clone(&control)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until either side closes it or a fault cuts it. Failing to reach the
/// server looks to the client like a cut.
async fn connection(mut client: TcpStream, control: Shared) {
    let open = Open::new(control);
    let mut watching = open.control.subscribe();
    let carry = async {
        let address = open.control.borrow().server;
        let mut server = TcpStream::connect(address).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            ended = pump(&open, Direction::ToServer, from_client, to_server) => ended,
            ended = pump(&open, Direction::ToClient, from_server, to_client) => ended,
        }
    };
    tokio::select! {
        // Both ends see the connection closed, whatever the reason.
        _ended = carry => {}
        _cut = watching.wait_for(|control| control.cut_below > open.number) => {}
    }
}

/// One connection's place among the others.
struct Open {
    control: Shared,
    number: u64,
    exchange: Mutex<Exchange>,
}

impl Open {
    fn new(control: Shared) -> Self {
        let mut number = 0;
        control.send_modify(|control| {
            number = control.accepted;
            control.accepted += 1;
            control.open += 1;
        });
        Self {
            control,
            number,
            exchange: Mutex::default(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.control.send_modify(|control| control.open -= 1);
    }
}

async fn pump(
    open: &Open,
    direction: Direction,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> io::Result<()> {
    let mut watching = open.control.subscribe();
    let mut input = BytesMut::new();
    loop {
        while let Some(frame) =
            split_frame(&mut input, FRAME_BYTES_MAX).map_err(io::Error::other)?
        {
            let delay = open.control.borrow().delay(direction);
            tokio::time::sleep(delay).await;
            let released = watching
                .wait_for(|control| control.holds(direction) == 0)
                .await;
            drop(released.map_err(io::Error::other)?);
            let mut output = BytesMut::new();
            let mut cut = false;
            open.control.send_modify(|control| {
                let mut exchange = open.exchange.lock().unwrap_or_else(PoisonError::into_inner);
                match exchange.pass(control, open.number, direction, frame) {
                    None => cut = true,
                    Some(frame) => {
                        zk_proto::write_frame(&mut output, |out| out.extend_from_slice(&frame));
                        if let Some(bytes) = control.spend(direction, output.len()) {
                            output.truncate(bytes);
                            cut = true;
                        }
                    }
                }
            });
            to.write_all(&output).await?;
            if cut {
                return Ok(());
            }
        }
        if from.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}
