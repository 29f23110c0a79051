//! A session spoken by hand, one request at a time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zk_proto::{
    ConnectRequest, ConnectResponse, DecodeError, ErrorCode, PASSWORD_BYTES, Reader, Record,
    ReplyHeader, Request, RequestHeader, Response, SessionId, WatcherEvent, Xid, Zxid,
    session_password, split_frame, write_frame,
};

const FRAME_BYTES_MAX: usize = 64 << 20;

/// A session without a client library: no pings, no reconnecting, every request waits for its
/// reply. It is for what a client does not let its user do. Dropping it leaves the session to
/// expire.
#[derive(Debug)]
pub struct RawSession {
    stream: TcpStream,
    input: BytesMut,
    id: SessionId,
    last_xid: i32,
    events: Vec<WatcherEvent>,
}

impl RawSession {
    /// Opens a session.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not answer as a ZooKeeper server.
    pub async fn open(server: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let password = Bytes::from_static(&[0; PASSWORD_BYTES]);
        let opened = Self::connect(server, SessionId(0), password, timeout).await?;
        opened.ok_or_else(|| io::Error::other("the server gave no session"))
    }

    /// Takes over a session whose password is derived from its id, as Apache's servers do. `None`
    /// when the session is over.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn resume(server: SocketAddr, session: SessionId) -> io::Result<Option<Self>> {
        let password = Bytes::copy_from_slice(&session_password(session));
        Self::connect(server, session, password, Duration::from_secs(10)).await
    }

    async fn connect(
        server: SocketAddr,
        session_id: SessionId,
        password: Bytes,
        timeout: Duration,
    ) -> io::Result<Option<Self>> {
        let mut session = Self {
            stream: TcpStream::connect(server).await?,
            input: BytesMut::new(),
            id: session_id,
            last_xid: 0,
            events: Vec::new(),
        };
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: i32::try_from(timeout.as_millis()).map_err(io::Error::other)?,
            session_id,
            password,
            read_only: Some(false),
        };
        session.write(|out| connect.encode(out)).await?;
        let frame = session.read().await?;
        let response =
            ConnectResponse::decode(&mut Reader::new(&frame)).map_err(io::Error::other)?;
        session.id = response.session_id;
        Ok((response.timeout_ms > 0).then_some(session))
    }

    /// The session's id.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// The watch events that came before the last reply, and forgets them.
    pub fn take_events(&mut self) -> Vec<WatcherEvent> {
        std::mem::take(&mut self.events)
    }

    /// Makes a request and waits for its reply.
    ///
    /// # Errors
    /// The server's refusal is the inner error; the outer one is a lost connection, or bytes
    /// without a meaning.
    pub async fn call(&mut self, request: &Request) -> io::Result<Result<Response, ErrorCode>> {
        self.last_xid += 1;
        let header = RequestHeader {
            xid: Xid(self.last_xid),
            op: request.op(),
        };
        self.write(|out| {
            header.encode(out);
            request.encode(out);
        })
        .await?;
        loop {
            let frame = self.read().await?;
            let mut reader = Reader::new(&frame);
            let header = ReplyHeader::decode(&mut reader).map_err(io::Error::other)?;
            if header.xid == Xid::NOTIFICATION {
                let event = WatcherEvent::decode(&mut reader).map_err(io::Error::other)?;
                self.events.push(event);
                continue;
            }
            return decode(header, request, &mut reader).map_err(io::Error::other);
        }
    }

    /// Ends the session, with its ephemeral znodes.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn close(mut self) -> io::Result<()> {
        match self.call(&Request::CloseSession).await? {
            Ok(_) => Ok(()),
            Err(code) => Err(io::Error::other(format!("closeSession: {code}"))),
        }
    }

    async fn write(&mut self, content: impl FnOnce(&mut BytesMut)) -> io::Result<()> {
        let mut output = BytesMut::new();
        write_frame(&mut output, content);
        self.stream.write_all(&output).await
    }

    async fn read(&mut self) -> io::Result<Bytes> {
        loop {
            let frame = split_frame(&mut self.input, FRAME_BYTES_MAX).map_err(io::Error::other)?;
            if let Some(frame) = frame {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn decode(
    header: ReplyHeader,
    request: &Request,
    reader: &mut Reader<'_>,
) -> Result<Result<Response, ErrorCode>, DecodeError> {
    if header.err.is_ok() {
        Response::decode(request.op(), reader).map(Ok)
    } else {
        Ok(Err(header.err))
    }
}
