//! Listening and connecting, by names that are resolved anew each time.
#![expect(
    clippy::disallowed_methods,
    reason = "this is where the sockets between servers are opened"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdTcpListener};
use std::num::NonZeroU32;
use std::time::Duration;

use futures::future::select_ok;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use zk_proto::quorum::Address;

use crate::error::ServerError;
use crate::net::listen;

/// Connections of one port that wait to be accepted.
const BACKLOG: u32 = 128;
/// The wait between two attempts to listen.
const BIND_PAUSE: Duration = Duration::from_secs(1);
/// How much later each further address of a server is tried.
const ADDRESS_STAGGER: Duration = Duration::from_millis(100);
/// The wait after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on each address, or on their ports at every interface.
pub(super) async fn bind(
    addresses: &[Address],
    on_all: bool,
    attempts: Option<NonZeroU32>,
) -> Result<Vec<TcpListener>, ServerError> {
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    for address in addresses {
        if on_all && bound.contains(&address.port) {
            continue;
        }
        bound.push(address.port);
        listeners.push(bind_one(address, on_all, attempts).await?);
    }
    Ok(listeners)
}

async fn bind_one(
    address: &Address,
    on_all: bool,
    attempts: Option<NonZeroU32>,
) -> Result<TcpListener, ServerError> {
    let mut tried = 0;
    loop {
        let error = match try_bind(address, on_all).await {
            Ok(listener) => return Ok(listener),
            Err(error) => error,
        };
        tried += 1;
        if attempts.is_some_and(|attempts| tried >= attempts.get()) {
            let address = address.to_string();
            return Err(ServerError::QuorumPort {
                address,
                source: error,
            });
        }
        warn!(%address, %error, tried, "cannot listen, it is tried again");
        sleep(BIND_PAUSE).await;
    }
}

async fn try_bind(address: &Address, on_all: bool) -> io::Result<TcpListener> {
    if on_all || address.host.is_wildcard() {
        return listen_on_all(address.port);
    }
    let mut resolved = resolve(address).await?.into_iter();
    let first = resolved.next();
    listen(first.ok_or_else(no_address)?, BACKLOG, false)
}

fn listen_on_all(port: u16) -> io::Result<TcpListener> {
    let any = SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port);
    match listen(any, BACKLOG, true) {
        Err(error) if crate::net::is_family_missing(&error) => {
            let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
            listen(any, BACKLOG, false)
        }
        listener => listener,
    }
}

/// Takes a socket that somebody else opened.
pub(super) fn adopt(listener: StdTcpListener) -> Result<TcpListener, ServerError> {
    let adopted = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener));
    adopted.map_err(|source| ServerError::System {
        what: "cannot use the listening socket",
        source,
    })
}

/// The next connection.
pub(super) async fn accept(
    listener: &TcpListener,
    has_keep_alive: bool,
) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                set_options(&stream, has_keep_alive);
                return (
                    stream,
                    SocketAddr::new(peer.ip().to_canonical(), peer.port()),
                );
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection of another server");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connects to the first of a server's addresses that answers. They are tried side by side, the
/// later ones a little later.
pub(super) async fn dial(
    addresses: &[Address],
    within: Duration,
    has_keep_alive: bool,
) -> io::Result<TcpStream> {
    if addresses.is_empty() {
        return Err(no_address());
    }
    let tries = addresses.iter().zip(0..).map(|(address, index)| {
        Box::pin(async move {
            sleep(ADDRESS_STAGGER * index).await;
            TcpStream::connect(&*resolve(address).await?).await
        })
    });
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    let connected = timeout(within, select_ok(tries)).await;
    let (stream, _) = connected.map_err(|_| late())??;
    set_options(&stream, has_keep_alive);
    Ok(stream)
}

async fn resolve(address: &Address) -> io::Result<Vec<SocketAddr>> {
    let found = lookup_host((address.host.as_str(), address.port)).await?;
    Ok(found.collect())
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the host has no address")
}

fn set_options(stream: &TcpStream, has_keep_alive: bool) {
    let set = || {
        stream.set_nodelay(true)?;
        if has_keep_alive {
            SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new())?;
        }
        Ok::<_, io::Error>(())
    };
    if let Err(error) = set() {
        info!(%error, "cannot set the options of a socket");
    }
}
