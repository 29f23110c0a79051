//! Frames as they are, and their text: what a test needs to compare the answers of two servers.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use zk_proto::{
    ConnectRequest, ConnectResponse, DecodeError, ErrorCode, MultiResult, OpCode, Reader, Record,
    ReplyHeader, Request, RequestHeader, Response, SessionId, Stat, WatcherEvent, Xid, Zxid,
};

const HEADER_BYTES: usize = 16;
const STAT_BYTES: usize = 68;
const FRAME_BYTES_MAX: usize = 64 << 20;
/// How long [`Wire::receive`] waits before it says that the server is silent.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// One connection that sends and receives any frame at all.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    input: BytesMut,
    dialogue: Dialogue,
}

/// Which requests of a connection wait for their replies: what is needed to read the server's
/// frames.
#[derive(Debug, Default)]
pub struct Dialogue {
    begun: bool,
    unanswered: VecDeque<RequestHeader>,
}

/// What came from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The answer to the handshake.
    Session(ConnectResponse),
    /// An event.
    Event(Zxid, WatcherEvent),
    /// A reply to the request of this header: reply header, content, bytes that were not looked at.
    Reply(RequestHeader, ReplyHeader, Option<Response>, usize),
    /// A frame that is none of these.
    Other(Bytes),
    /// The server closed the connection.
    Closed,
    /// Nothing came for a while.
    Silence,
}

impl Wire {
    /// Connects a socket; the handshake is the first frame.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENT_AFTER))?;
        Ok(Self {
            socket,
            input: BytesMut::new(),
            dialogue: Dialogue::default(),
        })
    }

    /// Opens or resumes a session.
    ///
    /// # Errors
    /// When the socket fails; a refusal is no error but an answer.
    pub fn connect(address: SocketAddr, request: &ConnectRequest) -> io::Result<(Self, Received)> {
        let mut wire = Self::open(address)?;
        wire.send(&request.to_bytes())?;
        let answer = wire.receive();
        Ok((wire, answer))
    }

    /// Sends one frame. Every frame but the first is taken for a request, so that its reply can be
    /// read.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn send(&mut self, frame: &Bytes) -> io::Result<()> {
        self.dialogue.sent(frame);
        let mut out = BytesMut::new();
        zk_proto::write_frame(&mut out, |out| out.extend_from_slice(frame));
        self.socket.write_all(&out)
    }

    /// Sends requests in one write, numbered from `xid`.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn ask(&mut self, mut xid: i32, requests: &[Request]) -> io::Result<()> {
        let mut out = BytesMut::new();
        for request in requests {
            let op = request.op();
            let header = RequestHeader { xid: Xid(xid), op };
            xid += 1;
            zk_proto::write_frame(&mut out, |out| {
                header.encode(out);
                request.encode(out);
            });
            self.dialogue.unanswered.push_back(header);
        }
        self.socket.write_all(&out)
    }

    /// Waits for the server's next frame.
    pub fn receive(&mut self) -> Received {
        match self.read_frame() {
            Ok(frame) => self.dialogue.received(&frame),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Received::Silence,
                _ => Received::Closed,
            },
        }
    }

    fn read_frame(&mut self) -> io::Result<Bytes> {
        let mut chunk = [0; 16 << 10];
        loop {
            let split = zk_proto::split_frame(&mut self.input, FRAME_BYTES_MAX);
            if let Some(frame) = split.map_err(io::Error::other)? {
                return Ok(frame);
            }
            match self.socket.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self
                    .input
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
        }
    }
}

impl Dialogue {
    /// Whether nothing was sent yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.begun
    }

    /// Whether a request has no reply yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Takes note of a frame that the client sends. Every frame but the first is a request.
    pub fn sent(&mut self, frame: &Bytes) {
        if !std::mem::replace(&mut self.begun, true) {
            let xid = Xid(0);
            let op = OpCode::CREATE_SESSION;
            self.unanswered.push_back(RequestHeader { xid, op });
        } else if let Ok(header) = RequestHeader::decode(&mut Reader::new(frame)) {
            self.unanswered.push_back(header);
        }
    }

    /// Reads a frame that the server sent.
    pub fn received(&mut self, frame: &Bytes) -> Received {
        let understood = self.understand(frame);
        understood.unwrap_or_else(|_| Received::Other(frame.clone()))
    }

    fn understand(&mut self, frame: &Bytes) -> Result<Received, DecodeError> {
        let mut reader = Reader::new(frame);
        let first = self.unanswered.front().map(|first| first.op);
        if first == Some(OpCode::CREATE_SESSION) && reader.remaining() > HEADER_BYTES {
            self.unanswered.pop_front();
            return ConnectResponse::decode(&mut reader).map(Received::Session);
        }
        let header = ReplyHeader::decode(&mut reader)?;
        // xid −1 is also what a client may have chosen; then the frame carries a whole Stat.
        if header.xid == Xid::NOTIFICATION && reader.remaining() < STAT_BYTES {
            let event = WatcherEvent::decode(&mut reader)?;
            return Ok(Received::Event(header.zxid, event));
        }
        let asked = self.request_of(header.xid)?;
        let response = match header.err {
            ErrorCode::OK => Some(Response::decode(asked.op, &mut reader)?),
            _ => None,
        };
        let rest = reader.remaining();
        Ok(Received::Reply(asked, header, response, rest))
    }

    /// The oldest request with this xid; a request that was never answered may stand before it.
    /// A ping's reply has an xid of its own.
    fn request_of(&mut self, xid: Xid) -> Result<RequestHeader, DecodeError> {
        let mut waiting = self.unanswered.iter();
        let at = waiting
            .position(|asked| asked.xid == xid || (asked.op == OpCode::PING && xid == Xid::PING));
        let seen = i64::from(xid.0);
        let what = "xid of a reply";
        at.and_then(|at| self.unanswered.drain(..=at).next_back())
            .ok_or(DecodeError::BadValue { what, seen })
    }
}

/// What differs between two runs and says nothing: session ids, passwords, times.
#[derive(Debug, Default)]
pub struct Sessions(Vec<SessionId>);

impl Sessions {
    /// Takes note of a session, named by the order in which it appeared.
    pub fn learn(&mut self, session: SessionId) {
        if session != SessionId(0) && !self.0.contains(&session) {
            self.0.push(session);
        }
    }

    /// One line that is the same for equal answers of two servers. Names of children and paths of
    /// ephemeral nodes, which have no order, are sorted, and so are identities.
    #[must_use]
    pub fn describe(&self, received: &Received) -> String {
        match received {
            Received::Session(session) => format!(
                "session {} timeout={} password={} read_only={:?}",
                self.name(session.session_id.0),
                session.timeout_ms,
                if session.password.iter().all(|byte| *byte == 0) {
                    "zero"
                } else {
                    "set"
                },
                session.read_only
            ),
            Received::Event(zxid, event) => format!(
                "event {:?} {:?} {:?} zxid={:#x}",
                event.event, event.path, event.state, zxid.0
            ),
            Received::Reply(asked, header, response, rest) => format!(
                "reply {} xid={} zxid={:#x} {}{}{}",
                asked.op,
                header.xid.0,
                header.zxid.0,
                header.err,
                response
                    .as_ref()
                    .map_or_else(String::new, |response| format!(
                        " {}",
                        self.response(response)
                    )),
                if *rest == 0 {
                    String::new()
                } else {
                    format!(" and {rest} bytes")
                }
            ),
            Received::Other(frame) => format!("frame of {} bytes", frame.len()),
            Received::Closed => String::from("closed"),
            Received::Silence => String::from("silence"),
        }
    }

    fn response(&self, response: &Response) -> String {
        match response {
            Response::Empty => String::new(),
            Response::PathAndStat(path, stat) => format!("{path:?} {}", self.stat(stat)),
            Response::Stat(stat) => self.stat(stat),
            Response::Data(data, stat) => format!("{data:?} {}", self.stat(stat)),
            Response::Acl(acl, stat) => format!("{:?} {}", sorted(acl), self.stat(stat)),
            Response::Children(names) => format!("{:?}", sorted(names)),
            Response::ChildrenAndStat(names, stat) => {
                format!("{:?} {}", sorted(names), self.stat(stat))
            }
            Response::Multi(results) => {
                let results = results.iter().map(|result| self.result(result));
                format!("[{}]", results.collect::<Vec<_>>().join(", "))
            }
            Response::Ephemerals(paths) => format!("{:?}", sorted(paths)),
            Response::Identities(ids) => format!("{:?}", sorted(ids)),
            Response::Path(_) | Response::Number(_) | Response::Code(_) | Response::Token(_) => {
                format!("{response:?}")
            }
        }
    }

    fn result(&self, result: &MultiResult) -> String {
        match result {
            MultiResult::Create2(path, stat) => format!("Create2 {path:?} {}", self.stat(stat)),
            MultiResult::SetData(stat) => format!("SetData {}", self.stat(stat)),
            MultiResult::GetData(data, stat) => format!("GetData {data:?} {}", self.stat(stat)),
            MultiResult::GetChildren(names) => format!("GetChildren {:?}", sorted(names)),
            MultiResult::Create(_)
            | MultiResult::Delete
            | MultiResult::Check
            | MultiResult::Error(_) => format!("{result:?}"),
        }
    }

    fn stat(&self, stat: &Stat) -> String {
        let time = |ms: i64| if ms == 0 { "never" } else { "then" };
        format!(
            "stat(c={:#x} m={:#x} p={:#x} ctime={} mtime={} v={} cv={} av={} owner={} length={} \
             children={})",
            stat.czxid.0,
            stat.mzxid.0,
            stat.pzxid.0,
            time(stat.ctime),
            time(stat.mtime),
            stat.version,
            stat.cversion,
            stat.aversion,
            self.name(stat.ephemeral_owner),
            stat.data_length,
            stat.num_children
        )
    }

    fn name(&self, session: i64) -> String {
        match self.0.iter().position(|known| known.0 == session) {
            Some(at) => format!("s{at}"),
            None => format!("{session:#x}"),
        }
    }
}

fn sorted<T: Ord>(values: &[T]) -> Vec<&T> {
    let mut sorted: Vec<_> = values.iter().collect();
    sorted.sort();
    sorted
}
