//! A server from its start to its stop.
//!
//! ```text
//! start: directories and state ──> listen ──> storage, links to other servers, loop
//! stop:  no more connections ──> no more requests ──> everything appended is on disk
//!        ──> links to other servers closed ──> replies written, sockets closed
//!        ──> threads joined, directories free
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};
use zk_storage::{FileSystem, RealFileSystem};

use crate::clock::Clock;
use crate::config::{ClientPortConfig, Config, ListenAddress, Membership};
use crate::driver::{Driver, MESSAGES_WAITING_MAX};
use crate::error::ServerError;
use crate::net;
use crate::peers::{PeerListeners, Peers};
use crate::recovery;
use crate::shared::Shared;
use crate::stats::ServerStats;
use crate::status::Status;
use crate::storage::{StorageJoin, StorageThread};

/// How long clients may take for their last replies when the server stops.
const DRAIN: Duration = Duration::from_secs(3);

/// A ZooKeeper server within this process.
///
/// ```no_run
/// # async fn example() -> Result<(), zk_server::ServerError> {
/// let server = zk_server::Server::builder().data_dir("/tmp/zk".as_ref()).start().await?;
/// println!("connect to {}", server.local_addr());
/// server.shutdown().await
/// # }
/// ```
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Begins with the settings of [`Config::dev`]: data under `./zk-data`, a free port of
    /// loopback.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            config: Config::dev(Path::new("zk-data"), 0),
            file_system: Arc::new(RealFileSystem),
            peer_listeners: None,
        }
    }
}

/// A server to be started.
#[derive(Debug)]
pub struct ServerBuilder {
    config: Config,
    file_system: Arc<dyn FileSystem>,
    peer_listeners: Option<PeerListeners>,
}

impl ServerBuilder {
    /// Replaces all settings.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Keeps snapshots and logs in `dir`, which no other server may use meanwhile.
    #[must_use]
    pub fn data_dir(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.config.data_dir);
        dir.clone_into(&mut self.config.data_log_dir);
        self
    }

    /// Listens on `port`; zero lets the system choose.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.config.client_port.port = port;
        self
    }

    /// Keeps everything in another file system than the machine's, such as one that fails when a
    /// test says so.
    #[must_use]
    pub fn file_system(mut self, file_system: Arc<dyn FileSystem>) -> Self {
        self.file_system = file_system;
        self
    }

    /// Makes the server a member of an ensemble. The configuration has to have its `initLimit` and
    /// `syncLimit`, as that of [`Config::dev`] has.
    #[must_use]
    pub fn member(mut self, membership: Membership) -> Self {
        self.config.my_id = Some(membership.id);
        self.config.membership = Some(membership);
        self
    }

    /// Takes the quorum and the election port as they are open already, so that others can be told
    /// of ports that the system chose. A server that is no member closes them.
    #[must_use]
    pub fn peer_listeners(mut self, listeners: PeerListeners) -> Self {
        self.peer_listeners = Some(listeners);
        self
    }

    /// Recovers the state, then listens. Clients are served once this returns; a member of an
    /// ensemble serves them once it follows a leader, or leads.
    ///
    /// # Errors
    /// [`ServerError`]: the directories are not usable or not readable whole, or a port is taken.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    ///
    /// Cancel safety: a start that is dropped ends by itself; the directories are free soon after.
    pub async fn start(self) -> Result<Running, ServerError> {
        let Self {
            config,
            file_system,
            peer_listeners,
        } = self;
        let clock = Clock::start();
        let stats = Arc::new(ServerStats::default());
        let start_stats = Arc::clone(&stats);
        let (config, opened) = tokio::task::spawn_blocking(move || {
            let opened = recovery::open(&config, file_system, clock, &start_stats);
            (config, opened)
        })
        .await
        .map_err(|_| ServerError::Ended("the start"))?;
        let opened = opened?;
        let listeners = listen(&config.client_port)?;
        let local_addr = match listeners.first().map(TcpListener::local_addr) {
            Some(Ok(address)) => address,
            Some(Err(source)) => {
                let what = "cannot tell the address of the client port";
                return Err(ServerError::System { what, source });
            }
            None => return Err(ServerError::Ended("the listener")),
        };
        let (to_loop, from_storage) = mpsc::unbounded_channel();
        let membership = config.membership.clone();
        let peers = membership.map(|membership| Peers::new(&config, membership));
        let peer_ports = match &peers {
            Some((peers, _)) => Some(peers.bind(peer_listeners).await?),
            None => None,
        };
        let (storage, storage_thread) =
            StorageThread::start(opened.disk, &config, &stats, &to_loop)?;
        let (to_core, messages) = mpsc::channel(MESSAGES_WAITING_MAX);
        let server = Arc::new(Shared::new(config, clock, stats, to_core));
        server.client_port.store(local_addr.port(), Relaxed);
        let stop = server.stop.clone();
        let status = server.status.subscribe();
        let links = peers.as_ref().map(|(peers, _)| Arc::clone(peers));
        if let (Some(peers), Some(ports)) = (&links, peer_ports) {
            peers.serve(ports);
        }
        let driver = Driver {
            core: opened.core,
            server: Arc::clone(&server),
            messages,
            storage,
            from_storage,
            peers,
        };
        info!(address = %local_addr, "serving");
        let whole = Whole {
            server,
            driver,
            listeners,
            peers: links,
            storage_thread,
        };
        Ok(Running {
            local_addr,
            status,
            stop,
            task: Some(tokio::spawn(whole.run())),
        })
    }
}

/// A running server. Dropping it stops it, without waiting for the end.
#[derive(Debug)]
pub struct Running {
    local_addr: SocketAddr,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), ServerError>>>,
}

impl Running {
    /// Where clients connected when it started. A server that listens on every address shows the
    /// unspecified one.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What the server does at present.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Waits until what the server does is as asked, and tells it; `None` when the server ends before.
    ///
    /// Cancel safe.
    pub async fn wait_until(&self, is_it: impl FnMut(&Status) -> bool) -> Option<Status> {
        let mut status = self.status.clone();
        let reached = status.wait_for(is_it).await;
        reached.ok().map(|status| *status)
    }

    /// Waits for the end: after [`shutdown`](Self::shutdown), or when the server stops by itself.
    /// Once it has ended this returns at once.
    ///
    /// # Errors
    /// Why the server stopped by itself.
    ///
    /// Cancel safe.
    pub async fn wait(&mut self) -> Result<(), ServerError> {
        let Some(task) = &mut self.task else {
            return Ok(());
        };
        let ended = task.await;
        self.task = None;
        ended.unwrap_or(Err(ServerError::Ended("the server")))
    }

    /// Stops: requests that were taken are answered, everything appended is on disk, and sessions
    /// and their ephemerals stay for the next start. The directories are free afterwards.
    ///
    /// # Errors
    /// Why the server had stopped by itself, or could not stop in order.
    ///
    /// Cancel safety: the stop goes on when this is dropped.
    pub async fn shutdown(mut self) -> Result<(), ServerError> {
        self.stop.cancel();
        self.wait().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// All parts of a running server.
struct Whole {
    server: Arc<Shared>,
    driver: Driver,
    listeners: Vec<TcpListener>,
    peers: Option<Arc<Peers>>,
    storage_thread: StorageJoin,
}

/// Accepts clients, wherever the port is, until it is cancelled. Connections stay when it moves. Ends
/// when it cannot be opened, neither in the new place nor in the old one.
async fn accept_clients(
    mut listeners: Vec<TcpListener>,
    server: Arc<Shared>,
    connections: TaskTracker,
) -> ServerError {
    let mut wanted = server.client_address.subscribe();
    let mut here = server.config.client_port.clone();
    loop {
        let mut acceptors = JoinSet::new();
        for listener in listeners {
            let server = Arc::clone(&server);
            acceptors.spawn(net::accept_all(listener, server, connections.clone()));
        }
        let is_elsewhere = |to: &(ListenAddress, u16)| (&to.0, to.1) != (&here.address, here.port);
        let moved = tokio::select! {
            _ = acceptors.join_next() => None,
            moved = wanted.wait_for(is_elsewhere) => moved.ok().map(|to| to.clone()),
        };
        let Some((address, port)) = moved else {
            return ServerError::Ended("the acceptor");
        };
        // The new place may be the old port, which is free only now.
        acceptors.shutdown().await;
        let there = ClientPortConfig {
            address,
            port,
            ..here.clone()
        };
        listeners = match listen(&there) {
            Ok(listeners) => {
                info!(address = %there.address, port, "the client port has moved");
                here = there;
                listeners
            }
            Err(error) => {
                error!(%error, "the client port stays where it was");
                let address = (here.address.clone(), here.port);
                server.client_address.send_replace(address);
                match listen(&here) {
                    Ok(listeners) => listeners,
                    Err(error) => return error,
                }
            }
        };
        server.client_port.store(here.port, Relaxed);
    }
}

fn listen(port: &ClientPortConfig) -> Result<Vec<TcpListener>, ServerError> {
    net::bind(port).map_err(|source| ServerError::Listen {
        address: format!("{}, port {}", port.address, port.port),
        source,
    })
}

impl Whole {
    async fn run(self) -> Result<(), ServerError> {
        let connections = TaskTracker::new();
        let server = Arc::clone(&self.server);
        let accepting = accept_clients(self.listeners, server, connections.clone());
        let mut accepting = tokio::spawn(accepting);
        let mut driver = tokio::spawn(self.driver.run());
        let result = tokio::select! {
            ended = &mut driver => ended.unwrap_or(Err(ServerError::Ended("the loop"))),
            failed = &mut accepting => {
                self.server.stop.cancel();
                _ = driver.await;
                Err(failed.unwrap_or(ServerError::Ended("the acceptor")))
            }
            () = self.server.stop.cancelled() => {
                accepting.abort();
                driver.await.unwrap_or(Err(ServerError::Ended("the loop")))
            }
        };
        accepting.abort();
        if let Some(peers) = &self.peers {
            peers.close().await;
        }
        for link in self.server.registry.links() {
            match &result {
                Ok(()) => link.close(),
                Err(_) => link.abort(),
            }
        }
        connections.close();
        if timeout(DRAIN, connections.wait()).await.is_err() {
            warn!(
                open = connections.len(),
                "connections did not close in time"
            );
        }
        let result = result.and(self.storage_thread.join().await);
        match &result {
            Ok(()) => info!("stopped"),
            Err(error) => error!(%error, "stopped"),
        }
        result
    }
}
