//! One session over bare frames.
//!
//! ```text
//! push, push, … ──► output ──► socket ──► input ──► next_frame, next_frame, …
//!                      └── exchange(): writes what it can, waits, reads what is there ──┘
//! ```
#![expect(clippy::disallowed_methods, reason = "a load generator opens sockets")]

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;
use zk_proto::{
    Auth, ConnectRequest, ConnectResponse, ErrorCode, EventType, Reader, Record, ReplyHeader,
    Request, RequestHeader, Response, SessionId, WatcherEvent, Xid, Zxid, split_frame, write_frame,
};

use super::Target;

/// Longest reply accepted: the names of a million znodes fit.
const FRAME_BYTES_MAX: usize = 64 << 20;
const READ_BYTES: usize = 64 << 10;

/// A session.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
    last_xid: i32,
    timeout: Duration,
    events: VecDeque<WatcherEvent>,
}

impl Connection {
    /// Opens a session, the `index`-th, and proves its identities.
    pub(crate) async fn open(target: &Target, index: usize) -> anyhow::Result<Self> {
        let server = target.servers.get(index % target.servers.len().max(1));
        let server = *server.context("there is no server")?;
        let timeout = target.session_timeout;
        let stream = TcpStream::connect(server)
            .await
            .with_context(|| format!("cannot connect to {server}"))?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            last_xid: 0,
            timeout,
            events: VecDeque::new(),
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: i32::try_from(timeout.as_millis()).context("the session timeout")?,
            session_id: SessionId(0),
            password: Bytes::from_static(&[0; zk_proto::PASSWORD_BYTES]),
            read_only: Some(target.read_only),
        };
        write_frame(&mut connection.output, |out| request.encode(out));
        let frame = connection
            .frame()
            .await
            .with_context(|| format!("{server} did not open a session (see maxClientCnxns)"))?;
        let response = ConnectResponse::decode(&mut Reader::new(&frame))?;
        ensure!(response.timeout_ms > 0, "{server} did not open a session");
        let granted = u64::try_from(response.timeout_ms).context("the granted timeout")?;
        connection.timeout = Duration::from_millis(granted);
        for (scheme, auth) in &target.auth {
            connection.prove(scheme, auth).await?;
        }
        Ok(connection)
    }

    async fn prove(&mut self, scheme: &str, auth: &str) -> anyhow::Result<()> {
        let request = Request::Auth(Auth {
            kind: 0,
            scheme: scheme.to_owned(),
            auth: Bytes::copy_from_slice(auth.as_bytes()),
        });
        let what = format!("the identity of {scheme}");
        granted(self.call(&request).await?, &what).map(drop)
    }

    /// The session timeout that was granted.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Where further requests are written: whole frames, sent by the next
    /// [`exchange`](Self::exchange).
    pub(crate) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// The number of the next request.
    pub(crate) fn next_xid(&mut self) -> Xid {
        self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
        Xid(self.last_xid)
    }

    /// Writes a request.
    pub(crate) fn push(&mut self, request: &Request) -> Xid {
        let xid = match request {
            Request::Ping => Xid::PING,
            Request::Auth(_) => Xid::AUTH,
            _ => self.next_xid(),
        };
        let op = request.op();
        write_frame(&mut self.output, |out| {
            RequestHeader { xid, op }.encode(out);
            request.encode(out);
        });
        xid
    }

    /// Sends as much as the socket takes and reads what is there, waiting until one of the two
    /// happened. Cancel-safe: it waits for readiness only.
    pub(crate) async fn exchange(&mut self) -> anyhow::Result<()> {
        self.send_some()?;
        loop {
            let interest = if self.output.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = self.stream.ready(interest).await?;
            let sent = ready.is_writable() && self.send_some()?;
            if self.receive_some()? || sent {
                return Ok(());
            }
        }
    }

    fn send_some(&mut self) -> anyhow::Result<bool> {
        let mut sent = false;
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => self.output.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot send"),
            }
            sent = true;
        }
        Ok(sent)
    }

    fn receive_some(&mut self) -> anyhow::Result<bool> {
        self.input.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("cannot receive"),
        }
    }

    /// Takes the next frame that is whole already.
    pub(crate) fn next_frame(&mut self) -> anyhow::Result<Option<Bytes>> {
        Ok(split_frame(&mut self.input, FRAME_BYTES_MAX)?)
    }

    async fn frame(&mut self) -> anyhow::Result<Bytes> {
        loop {
            match self.next_frame()? {
                Some(frame) => return Ok(frame),
                None => self.exchange().await?,
            }
        }
    }

    /// Sends a request and waits for its reply. Events that come in between are kept.
    pub(crate) async fn call(&mut self, request: &Request) -> anyhow::Result<Answer> {
        let sent = self.push(request);
        loop {
            let frame = self.frame().await?;
            let mut reader = Reader::new(&frame);
            let header = ReplyHeader::decode(&mut reader)?;
            match header.xid {
                Xid::NOTIFICATION => self.events.push_back(WatcherEvent::decode(&mut reader)?),
                Xid::PING => {}
                xid if xid != sent => bail!("reply {} to request {}", xid.0, sent.0),
                _ if header.err.is_ok() => {
                    return Ok(Ok(Response::decode(request.op(), &mut reader)?));
                }
                _ => return Ok(Err(header.err)),
            }
        }
    }

    /// Ends the session. The server closes the connection after its answer.
    pub(crate) async fn close(&mut self) -> anyhow::Result<()> {
        self.call(&Request::CloseSession).await.map(drop)
    }

    /// Waits for the next event about a znode.
    pub(crate) async fn event(&mut self) -> anyhow::Result<WatcherEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let frame = self.frame().await?;
            let mut reader = Reader::new(&frame);
            let header = ReplyHeader::decode(&mut reader)?;
            match header.xid {
                Xid::NOTIFICATION => {
                    let event = WatcherEvent::decode(&mut reader)?;
                    if event.event != EventType::None {
                        return Ok(event);
                    }
                }
                Xid::PING => {}
                xid => bail!("reply {} to no request", xid.0),
            }
        }
    }
}

/// What a server says to a request.
pub(crate) type Answer = Result<Response, ErrorCode>;

/// An answer that has to be a success.
pub(crate) fn granted(answer: Answer, what: &str) -> anyhow::Result<Response> {
    answer.map_err(|code| anyhow::anyhow!("{what}: the server says {code}"))
}
