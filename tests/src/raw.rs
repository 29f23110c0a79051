//! A client that hides nothing: one socket, one frame at a time.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use zk_proto::{
    ConnectRequest, ConnectResponse, ErrorCode, OpCode, PASSWORD_BYTES, Reader, Record,
    ReplyHeader, Request, RequestHeader, Response, SessionId, WatcherEvent, Xid, Zxid, write_frame,
};

const FRAME_BYTES_MAX: usize = 64 << 20;
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection with a session.
#[derive(Debug)]
pub struct RawClient {
    socket: TcpStream,
    input: BytesMut,
    session: ConnectResponse,
    seen: Zxid,
    next_xid: i32,
    unanswered: VecDeque<(Xid, OpCode)>,
    events: Vec<(Zxid, WatcherEvent)>,
}

/// A reply: its header, and its content when the header tells of success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawReply {
    /// The header.
    pub header: ReplyHeader,
    /// The content.
    pub response: Option<Response>,
}

impl RawClient {
    /// Opens a session.
    ///
    /// # Errors
    /// When the socket fails, or the server closes it.
    pub fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        Self::resume(
            address,
            timeout,
            SessionId(0),
            &Bytes::from_static(&[0; PASSWORD_BYTES]),
        )
    }

    /// Resumes a session; a session that is over shows as [`session`](Self::session) zero.
    ///
    /// # Errors
    /// When the socket fails, or the server closes it.
    pub fn resume(
        address: SocketAddr,
        timeout: Duration,
        session_id: SessionId,
        password: &Bytes,
    ) -> io::Result<Self> {
        let request = connect_request(timeout, (session_id, password), Zxid(0));
        Self::handshake(address, &request, READ_TIMEOUT)
    }

    /// Opens a session, or resumes the one that `before` had, seeing nothing older than what that
    /// saw. No wait for the server is longer than `patience`.
    ///
    /// # Errors
    /// As [`resume`](Self::resume); a server that is behind `before` closes the socket.
    pub fn reconnect(
        before: Option<&Self>,
        address: SocketAddr,
        timeout: Duration,
        patience: Duration,
    ) -> io::Result<Self> {
        let none = Bytes::from_static(&[0; PASSWORD_BYTES]);
        let (session, seen) = before.map_or(((SessionId(0), &none), Zxid(0)), |before| {
            let session = &before.session;
            ((session.session_id, &session.password), before.seen)
        });
        Self::handshake(address, &connect_request(timeout, session, seen), patience)
    }

    /// Opens or resumes a session as the request says. No wait for the server is longer than
    /// `patience`.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn handshake(
        address: SocketAddr,
        request: &ConnectRequest,
        patience: Duration,
    ) -> io::Result<Self> {
        let mut socket = TcpStream::connect_timeout(&address, patience)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        let mut out = BytesMut::new();
        write_frame(&mut out, |out| request.encode(out));
        socket.write_all(&out)?;
        let mut input = BytesMut::new();
        let frame = read_frame(&mut socket, &mut input)?;
        let session = ConnectResponse::decode(&mut Reader::new(&frame)).map_err(invalid)?;
        Ok(Self {
            socket,
            input,
            session,
            seen: request.last_zxid_seen,
            next_xid: 1,
            unanswered: VecDeque::new(),
            events: Vec::new(),
        })
    }

    /// The answer to the handshake.
    #[must_use]
    pub const fn session(&self) -> &ConnectResponse {
        &self.session
    }

    /// The events that came so far, each with the zxid of its header.
    #[must_use]
    pub fn events(&self) -> &[(Zxid, WatcherEvent)] {
        &self.events
    }

    /// Sends requests in one write, without waiting for replies.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn send(&mut self, requests: &[Request]) -> io::Result<()> {
        let mut out = BytesMut::new();
        for request in requests {
            let header = RequestHeader {
                xid: self.xid_of(request),
                op: request.op(),
            };
            write_frame(&mut out, |out| {
                header.encode(out);
                request.encode(out);
            });
            self.unanswered.push_back((header.xid, header.op));
        }
        self.socket.write_all(&out)
    }

    /// Reads the reply to the oldest request without one; events before it are kept.
    ///
    /// # Errors
    /// When the socket fails or closes, or the reply belongs to another request.
    pub fn receive(&mut self) -> io::Result<RawReply> {
        let (expected, op) = self
            .unanswered
            .pop_front()
            .expect("a request waits for a reply");
        loop {
            let frame = read_frame(&mut self.socket, &mut self.input)?;
            let mut reader = Reader::new(&frame);
            let header = ReplyHeader::decode(&mut reader).map_err(invalid)?;
            if header.xid == Xid::NOTIFICATION {
                let event = WatcherEvent::decode(&mut reader).map_err(invalid)?;
                self.events.push((header.zxid, event));
                continue;
            }
            if header.xid != expected {
                return Err(invalid(format!(
                    "reply to {:?}, expected {expected:?}",
                    header.xid
                )));
            }
            self.seen = self.seen.max(header.zxid);
            let response = match header.err {
                ErrorCode::OK => Some(Response::decode(op, &mut reader).map_err(invalid)?),
                _ => None,
            };
            return Ok(RawReply { header, response });
        }
    }

    /// Sends one request and reads its reply.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`receive`](Self::receive).
    pub fn call(&mut self, request: Request) -> io::Result<RawReply> {
        self.send(&[request])?;
        self.receive()
    }

    /// Sends one request and gives the content of its reply.
    ///
    /// # Errors
    /// As [`call`](Self::call); also when the reply tells of an error.
    pub fn get(&mut self, request: Request) -> io::Result<Response> {
        let op = request.op();
        let reply = self.call(request)?;
        reply
            .response
            .ok_or_else(|| invalid(format!("{op}: {}", reply.header.err)))
    }

    /// Waits until the server closes the socket, which it does without another frame.
    ///
    /// # Errors
    /// When the socket fails, or another frame comes.
    pub fn wait_for_close(mut self) -> io::Result<()> {
        match read_frame(&mut self.socket, &mut self.input) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error),
            Ok(frame) => Err(invalid(format!("a frame of {} bytes", frame.len()))),
        }
    }

    fn xid_of(&mut self, request: &Request) -> Xid {
        match request {
            Request::Ping => Xid::PING,
            Request::Auth(_) => Xid::AUTH,
            Request::SetWatches(_) => Xid::SET_WATCHES,
            _ => {
                let xid = Xid(self.next_xid);
                self.next_xid += 1;
                xid
            }
        }
    }
}

fn connect_request(
    timeout: Duration,
    (session_id, password): (SessionId, &Bytes),
    seen: Zxid,
) -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: seen,
        timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
        session_id,
        password: password.clone(),
        read_only: Some(false),
    }
}

fn read_frame(socket: &mut TcpStream, input: &mut BytesMut) -> io::Result<Bytes> {
    let mut chunk = [0; 16 << 10];
    loop {
        if let Some(frame) = zk_proto::split_frame(input, FRAME_BYTES_MAX).map_err(invalid)? {
            return Ok(frame);
        }
        match socket.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => input.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
