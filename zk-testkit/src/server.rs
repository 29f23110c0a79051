//! A server within the test's process.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zk_client::Client;
use zk_proto::SessionId;
use zk_server::{Config, Running, Server};

use crate::{FaultProxy, RawSession};

/// What goes wrong in setting up a test, as the test prints it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Sockets or files of this machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server does not start or stop.
    #[error(transparent)]
    Server(#[from] zk_server::ServerError),
    /// The client finds no session.
    #[error(transparent)]
    Client(#[from] zk_client::Error),
    /// The session to expire is over already.
    #[error("session {0} is over already")]
    SessionOver(SessionId),
    /// Nodes or watches are left.
    #[error("left behind: {0}")]
    Leak(String),
}

/// A standalone server with its data in a temporary folder, which goes when this is dropped. Its
/// tick is short, so sessions may time out within tenths of a second, and it does not wait for the
/// disk: the data survives a restart, not a power cut.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use zk_testkit::TestServer;
/// let server = TestServer::start().await?;
/// let zk = server.client().await?;
/// zk.create("/a").data("1").await?;
/// server.expire(zk.session().id()).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct TestServer {
    config: Config,
    running: Option<Running>,
    address: SocketAddr,
    _dir: TempDir,
}

impl TestServer {
    /// The tick: sessions time out in steps of it, and after two of them at the earliest.
    pub const TICK: Duration = Duration::from_millis(50);

    /// Starts a server on a free port of loopback.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Server`].
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(|_| {}).await
    }

    /// Starts a server with settings that `change` has changed.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Result<Self, Error> {
        let dir = tempfile::tempdir()?;
        let mut config = Config::dev(dir.path(), 0);
        config.tick_time = Self::TICK;
        config.sessions.min_timeout = Self::TICK * 2;
        config.sessions.max_timeout = Duration::from_secs(60);
        config.storage.force_sync = false;
        change(&mut config);
        let running = Server::builder().config(config.clone()).start().await?;
        let address = running.local_addr();
        config.client_port.port = address.port();
        Ok(Self {
            config,
            running: Some(running),
            address,
            _dir: dir,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server. Sessions and znodes stay for [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`Error::Server`].
    pub async fn stop(&mut self) -> Result<(), Error> {
        match self.running.take() {
            None => Ok(()),
            Some(running) => Ok(running.shutdown().await?),
        }
    }

    /// Starts a stopped server again, with its data and on its port.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub async fn resume(&mut self) -> Result<(), Error> {
        if self.running.is_none() {
            let server = Server::builder().config(self.config.clone());
            self.running = Some(server.start().await?);
        }
        Ok(())
    }

    /// A client with a session timeout of 10 s.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub async fn client(&self) -> Result<Client, Error> {
        Ok(Client::connect(self.address.to_string()).await?)
    }

    /// A proxy in front of this server.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn proxy(&self) -> Result<FaultProxy, Error> {
        Ok(FaultProxy::start(self.address).await?)
    }

    /// Ends a session on the server at once, as if it had timed out: its ephemeral znodes are gone
    /// when this returns. Its client learns of it when it reconnects.
    ///
    /// # Errors
    /// [`Error::SessionOver`], [`Error::Io`].
    pub async fn expire(&self, session: SessionId) -> Result<(), Error> {
        let mut taken = false;
        loop {
            let raw = match RawSession::resume(self.address, session).await {
                Ok(Some(raw)) => raw,
                // It was the close whose reply was lost.
                Ok(None) if taken => return Ok(()),
                Ok(None) => return Err(Error::SessionOver(session)),
                Err(error) if is_cut(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            taken = true;
            match raw.close().await {
                Ok(()) => return Ok(()),
                // The session's client has resumed it in between, which costs this connection.
                Err(error) if is_cut(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a four-letter word and gives the answer.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn ask(&self, word: &str) -> Result<String, Error> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.write_all(word.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}
