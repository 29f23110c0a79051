//! The listening sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::serve;
use crate::clock::wall_ms;
use crate::complaints::complain;
use crate::config::{ClientPortConfig, ListenAddress};
use crate::shared::Shared;

/// Connections that wait to be accepted, where the configuration does not say.
const BACKLOG: u32 = 1024;
/// The wait after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that are accepted before all else that is ready has its turn.
const ACCEPTS_PER_TURN: u32 = 16;

/// Opens the sockets of the client port. With port 0 the system chooses one, the same for all.
pub(crate) fn bind(config: &ClientPortConfig) -> io::Result<Vec<TcpListener>> {
    let backlog = config.backlog.map_or(BACKLOG, std::num::NonZeroU32::get);
    let listen = |address: IpAddr, port| listen(SocketAddr::new(address, port), backlog, false);
    match &config.address {
        ListenAddress::Any => {
            let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), config.port);
            let listener = match self::listen(any, backlog, true) {
                Err(error) if is_family_missing(&error) => {
                    listen(Ipv4Addr::UNSPECIFIED.into(), config.port)
                }
                listener => listener,
            };
            Ok(vec![listener?])
        }
        ListenAddress::AnyIpv4 => Ok(vec![listen(Ipv4Addr::UNSPECIFIED.into(), config.port)?]),
        ListenAddress::Loopback => {
            let first = listen(Ipv4Addr::LOCALHOST.into(), config.port)?;
            let port = first.local_addr()?.port();
            match listen(Ipv6Addr::LOCALHOST.into(), port) {
                Ok(second) => Ok(vec![first, second]),
                Err(error) => {
                    debug!(%error, "not listening on ::1");
                    Ok(vec![first])
                }
            }
        }
        ListenAddress::Host(host) => {
            let mut addresses = (host.as_str(), config.port).to_socket_addrs()?;
            let address = addresses.next().ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the host has no address")
            })?;
            Ok(vec![self::listen(address, backlog, false)?])
        }
    }
}

/// Listens on one address, or, at the unspecified one of IPv6, on both families.
pub(crate) fn listen(
    address: SocketAddr,
    backlog: u32,
    both_families: bool,
) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!both_families)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Whether this machine has no IPv6.
pub(crate) fn is_family_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Accepts connections and starts a task for each, until it is cancelled.
pub(crate) async fn accept_all(listener: TcpListener, server: Arc<Shared>, tasks: TaskTracker) {
    loop {
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.accept().await {
                Ok((stream, peer)) => admit(stream, peer, &server, &tasks),
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        yield_now().await;
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, server: &Arc<Shared>, tasks: &TaskTracker) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let link = match server.registry.admit(peer, wall_ms()) {
        Ok(link) => link,
        Err(refusal) => {
            server.stats.connections_rejected.fetch_add(1, Relaxed);
            complain!(server.complaints.refused, %peer, %refusal, "connection refused");
            return;
        }
    };
    if let Err(error) = set_options(&stream, server.config.client_port.has_keep_alive) {
        let kind = &server.complaints.socket_options;
        complain!(kind, %peer, %error, "cannot set the options of a socket");
    }
    tasks.spawn(serve(stream, link, Arc::clone(server)));
}

fn set_options(stream: &TcpStream, keep_alive: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if keep_alive {
        SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new())?;
    }
    Ok(())
}
