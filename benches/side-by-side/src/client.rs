//! A client over one blocking socket, which sends whatever it is told to.
#![expect(clippy::disallowed_methods, reason = "a load generator opens sockets")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use zk_proto::{
    Acl, ConnectRequest, ConnectResponse, Create, CreateMode, ErrorCode, OpCode, PASSWORD_BYTES,
    Reader, Record, ReplyHeader, Request, RequestHeader, SessionId, Writer, Xid, Zxid, split_frame,
    write_frame,
};

/// Longest reply accepted: the names of a hundred thousand znodes fit.
const FRAME_BYTES_MAX: usize = 64 << 20;
const READ_BYTES: usize = 64 << 10;
/// How long an answer may take before the client gives up.
const PATIENCE: Duration = Duration::from_secs(20);
const SESSION_TIMEOUT_MS: i32 = 30_000;

/// A session.
#[derive(Debug)]
pub(crate) struct Client {
    socket: TcpStream,
    input: BytesMut,
}

/// A socket on which nothing was sent yet.
pub(crate) fn socket(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(server)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// The frame that opens a session.
pub(crate) fn handshake() -> BytesMut {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: SESSION_TIMEOUT_MS,
        session_id: SessionId(0),
        password: Bytes::from_static(&[0; PASSWORD_BYTES]),
        read_only: Some(false),
    };
    let mut out = BytesMut::new();
    write_frame(&mut out, |out| request.encode(out));
    out
}

/// A request as it is sent.
pub(crate) fn frame(request: &Request) -> BytesMut {
    let mut out = BytesMut::new();
    write_frame(&mut out, |out| {
        let op = request.op();
        RequestHeader { xid: Xid(1), op }.encode(out);
        request.encode(out);
    });
    out
}

/// A request of any code, with any content.
pub(crate) fn frame_of(op: OpCode, content: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    write_frame(&mut out, |out| {
        RequestHeader { xid: Xid(1), op }.encode(out);
        out.put(content);
    });
    out
}

/// A request for a persistent znode that is open to everybody.
pub(crate) fn create(path: String, value_bytes: usize) -> Request {
    Request::Create(Create {
        op: OpCode::CREATE,
        path,
        data: Some(Bytes::from(vec![b'v'; value_bytes])),
        acl: vec![Acl::open()],
        flags: CreateMode::Persistent.to_flags(),
        ttl_ms: 0,
    })
}

/// Sends bytes on a connection of their own, and takes what comes until the server closes it.
pub(crate) fn send_and_drain(server: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut socket = socket(server)?;
    socket.write_all(bytes)?;
    socket.shutdown(Shutdown::Write)?;
    io::copy(&mut socket, &mut io::sink()).map(drop)
}

impl Client {
    /// Opens a session.
    pub(crate) fn open(server: SocketAddr) -> io::Result<Self> {
        let mut client = Self {
            socket: socket(server)?,
            input: BytesMut::new(),
        };
        client.send(&handshake())?;
        let answer = client.frame()?;
        let answer = ConnectResponse::decode(&mut Reader::new(&answer)).map_err(invalid)?;
        if answer.timeout_ms <= 0 {
            return Err(invalid("the server opened no session"));
        }
        Ok(client)
    }

    /// Sends frames.
    pub(crate) fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.socket.write_all(frames)
    }

    /// Takes the next reply, whatever it says; events before it are dropped.
    pub(crate) fn receive(&mut self) -> io::Result<ReplyHeader> {
        loop {
            let frame = self.frame()?;
            let header = ReplyHeader::decode(&mut Reader::new(&frame)).map_err(invalid)?;
            if header.xid != Xid::NOTIFICATION {
                return Ok(header);
            }
        }
    }

    /// Takes the next reply, which has to tell of success.
    pub(crate) fn receive_success(&mut self) -> io::Result<()> {
        let header = self.receive()?;
        if header.err.is_ok() {
            Ok(())
        } else {
            Err(invalid(format!("the server says {}", header.err)))
        }
    }

    /// Sends a request; gives what is said of it.
    pub(crate) fn ask(&mut self, request: &Request) -> io::Result<ErrorCode> {
        self.send(&frame(request))?;
        Ok(self.receive()?.err)
    }

    /// Sends a request, which has to succeed.
    pub(crate) fn call(&mut self, request: &Request) -> io::Result<()> {
        self.send(&frame(request))?;
        self.receive_success()
    }

    /// Takes whatever comes within `patience`.
    pub(crate) fn drain(&mut self, patience: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(patience))?;
        let drained = match self.read() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            drained => drained,
        };
        self.input.clear();
        self.socket.set_read_timeout(Some(PATIENCE))?;
        drained
    }

    fn frame(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(frame) = split_frame(&mut self.input, FRAME_BYTES_MAX).map_err(invalid)? {
                return Ok(frame);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; READ_BYTES];
        let count = self.socket.read(&mut piece)?;
        self.input
            .extend_from_slice(piece.get(..count).unwrap_or_default());
        match count {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
