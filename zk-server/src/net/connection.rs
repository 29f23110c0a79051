//! The task that serves one connection.
//!
//! ```text
//! first 4 bytes ── four-letter word ──> answer ──> close
//!      └─ length ──> handshake ──> Connect ──> Accept ──> requests, replies, events ──> close
//! ```
//!
//! One task reads and writes. A read yields a batch of requests, which is one message to the loop;
//! the replies that wait are encoded into one buffer, which is one write. Buffers are released
//! whenever nothing is under way, so that an idle session costs little.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures::FutureExt;
use futures::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;
use tracing::{debug, error};
use zk_core::Incoming;
use zk_proto::{
    DecodeError, FrameError, OpCode, Reader, Record, Request, RequestHeader, Xid, split_frame,
    write_frame,
};

use super::Link;
use super::link::{Order, Outgoing};
use super::opening::{self, Opening, OpeningKind};
use crate::complaints::complain;
use crate::driver::ToCore;
use crate::shared::Shared;
use crate::stats::{Timed, whole_ms};
use crate::words::{self, Word};

/// Bytes asked of the socket at once while no frame is known to be longer.
const READ_BYTES: usize = 16 * 1024;
/// Requests of one message to the loop; the rest of the input follows in another.
const REQUESTS_PER_MESSAGE: usize = 64;
/// How long a closed connection's client may take for what was written last.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a connection until it ends, however it ends, and then forgets it.
pub(crate) async fn serve(stream: TcpStream, link: Arc<Link>, server: Arc<Shared>) {
    // Boxed, here and below: it is over soon, and an idle session keeps no room for it.
    let opening = Box::pin(opening::read(stream, &link, &server));
    match AssertUnwindSafe(opening).catch_unwind().await {
        Ok(Ok(Opening { stream, rest, kind })) => {
            let mut connection = Connection::new(stream, rest, &link, &server);
            connection.serve(Box::new(kind)).await;
        }
        Ok(Err(ended)) => _ = ended.log(link.peer, &server),
        Err(_) => note_bug(&link, &server),
    }
    server.registry.remove(&link);
}

fn note_bug(link: &Link, server: &Shared) {
    server.stats.bugs.fetch_add(1, Relaxed);
    error!(peer = %link.peer, "bug: the connection's task panicked, it is closed");
}

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Ended {
    /// The loop said so, or a four-letter word is answered; everything is written.
    Closed,
    /// The client closed it.
    ByClient,
    /// The client does not take what is written.
    TooSlow,
    /// No handshake came in time.
    HandshakeDeadline,
    /// The first frame is no handshake.
    BadHandshake(DecodeError),
    /// A frame's length is out of bounds.
    BadFrame(FrameError),
    /// A frame has no room for a request header.
    NoHeader(DecodeError),
    /// Reading or writing failed.
    Io(io::Error),
    /// The server stops.
    Stopped,
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FrameError> for Ended {
    fn from(error: FrameError) -> Self {
        Self::BadFrame(error)
    }
}

impl Ended {
    /// Says why a connection ends, and whether its client may take what was written last.
    fn log(self, peer: SocketAddr, server: &Shared) -> bool {
        let complaints = &server.complaints;
        match self {
            Self::Closed => return true,
            Self::ByClient => {
                server.stats.connections_dropped.fetch_add(1, Relaxed);
                debug!(%peer, "the client closed its connection");
            }
            Self::Io(error) => {
                debug!(%peer, %error, "connection lost");
            }
            Self::HandshakeDeadline => {
                server.stats.sessionless_expired.fetch_add(1, Relaxed);
                let kind = &complaints.handshake_deadline;
                complain!(kind, %peer, "no handshake in time, the connection is closed");
            }
            Self::TooSlow => {
                let kind = &complaints.too_slow;
                complain!(kind, %peer, "the client does not take its replies, the connection is closed");
            }
            Self::BadHandshake(error) => {
                let kind = &complaints.bad_handshake;
                complain!(kind, %peer, %error, "not a handshake, the connection is closed");
            }
            Self::BadFrame(error) => {
                let kind = &complaints.bad_frame;
                complain!(kind, %peer, %error, "length out of bounds, the connection is closed");
            }
            Self::NoHeader(error) => {
                let kind = &complaints.no_header;
                complain!(kind, %peer, %error, "not a request, the connection is closed");
            }
            Self::Stopped => {}
        }
        false
    }
}

/// A request that is not yet answered.
#[derive(Debug)]
struct InFlight {
    received_ms: u64,
    bytes: usize,
    xid: Xid,
    op: OpCode,
    timed: Timed,
}

struct Connection {
    stream: TcpStream,
    link: Arc<Link>,
    server: Arc<Shared>,
    /// Read and not yet split into frames.
    input: BytesMut,
    /// Encoded and not yet written.
    output: BytesMut,
    /// Not yet answered, in the order sent. The handshake is one of them.
    requests: VecDeque<InFlight>,
    request_bytes: usize,
    /// Weight of the replies that `output` was encoded from.
    reply_weight: usize,
    is_known_to_core: bool,
    is_accepted: bool,
}

impl Connection {
    fn new(stream: TcpStream, input: BytesMut, link: &Arc<Link>, server: &Arc<Shared>) -> Self {
        Self {
            stream,
            link: Arc::clone(link),
            server: Arc::clone(server),
            input,
            output: BytesMut::new(),
            requests: VecDeque::new(),
            request_bytes: 0,
            reply_weight: 0,
            is_known_to_core: false,
            is_accepted: false,
        }
    }

    async fn serve(&mut self, kind: Box<OpeningKind>) {
        let ended = AssertUnwindSafe(self.run(kind)).catch_unwind().await;
        let stats = &self.server.stats;
        stats.outstanding.fetch_sub(self.outstanding(), Relaxed);
        if self.is_known_to_core {
            // A core that is gone needs no word of it.
            let gone = ToCore::Disconnected { conn: self.link.id };
            _ = self.server.core.send(gone).await;
        }
        match ended {
            Ok(ended) => {
                if ended.log(self.link.peer, &self.server) {
                    Box::pin(self.finish()).await;
                }
            }
            Err(_) => note_bug(&self.link, &self.server),
        }
    }

    async fn run(&mut self, kind: Box<OpeningKind>) -> Ended {
        match *kind {
            OpeningKind::Word(word, mask) => Box::pin(self.answer(word, mask)).await,
            OpeningKind::Handshake(request, bytes) => {
                let timed = match request.session_id.0 {
                    0 => Timed::Update,
                    _ => Timed::Not,
                };
                if timed == Timed::Update {
                    self.server.stats.prep.requests.fetch_add(1, Relaxed);
                }
                self.note_request(OpCode::CREATE_SESSION, Xid(0), timed, bytes);
                self.is_known_to_core = true;
                let connect = ToCore::Connect {
                    link: Arc::clone(&self.link),
                    request,
                };
                if self.server.core.send(connect).await.is_err() {
                    return Ended::Stopped;
                }
                self.serve_session().await
            }
        }
    }

    /// Answers a four-letter word.
    async fn answer(&mut self, word: Word, mask: i64) -> Ended {
        let text = words::answer(word, mask, &self.server).await;
        if !text.is_empty() {
            self.server.stats.packets_sent.fetch_add(1, Relaxed);
        }
        match timeout(
            self.server.config.limits.handshake_deadline,
            self.stream.write_all(text.as_bytes()),
        )
        .await
        {
            Ok(Ok(())) => Ended::Closed,
            Ok(Err(error)) => Ended::Io(error),
            Err(_) => Ended::TooSlow,
        }
    }

    async fn serve_session(&mut self) -> Ended {
        loop {
            match poll_fn(|context| self.poll_session(context)).await {
                Ok(requests) => {
                    let conn = self.link.id;
                    let message = ToCore::Requests {
                        conn,
                        requests,
                        sent_ms: self.requests.back().map_or(0, |last| last.received_ms),
                    };
                    if self.server.core.send(message).await.is_err() {
                        return Ended::Stopped;
                    }
                }
                Err(ended) => return ended,
            }
        }
    }

    /// Writes what can be written and reads what can be read, until requests are to be handed over
    /// or the connection ends.
    fn poll_session(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Incoming>, Ended>> {
        loop {
            let order = self.take_replies(context);
            if order == Order::Abort {
                return Poll::Ready(Err(Ended::TooSlow));
            }
            if !self.output.is_empty() {
                if let Poll::Ready(written) = self.poll_write(context) {
                    written?;
                    continue;
                }
            } else if order == Order::Close {
                return Poll::Ready(Err(Ended::Closed));
            }
            if order == Order::Close {
                return Poll::Ready(Err(Ended::Closed));
            }
            if !self.may_read() {
                return Poll::Pending;
            }
            if !self.has_whole_frame() {
                if self.input.is_empty() && self.requests.is_empty() && self.output.is_empty() {
                    self.release_buffers();
                }
                ready!(self.stream.poll_read_ready(context))?;
            }
            if self.link.awaits_loop() {
                return Poll::Pending;
            }
            let requests = self.take_requests()?;
            if !requests.is_empty() {
                self.link.begin_message();
                return Poll::Ready(Ok(requests));
            }
            self.reserve_input();
            let stream = Pin::new(&mut self.stream);
            if ready!(poll_read_buf(stream, context, &mut self.input))? == 0 {
                return Poll::Ready(Err(Ended::ByClient));
            }
        }
    }

    /// Encodes what is posted, once everything before it is written.
    fn take_replies(&mut self, context: &Context<'_>) -> Order {
        if !self.output.is_empty() {
            return self.link.order(context);
        }
        let (replies, order) = self.link.take(context);
        if !replies.is_empty() {
            self.encode(replies);
        }
        order
    }

    fn encode(&mut self, replies: Vec<Outgoing>) {
        let now_ms = whole_ms(self.server.clock.elapsed());
        let server_stats = &self.server.stats;
        let mut reads = server_stats.read_latency.batch();
        let mut updates = server_stats.update_latency.batch();
        let (mut answered, mut event_bytes, mut reply_bytes) = (0, 0, 0);
        let (mut size_min, mut size_max, mut size_last) = (usize::MAX, 0, 0);
        let weight: usize = replies.iter().map(Outgoing::weight).sum();
        self.output.reserve(weight);
        self.reply_weight += weight;
        let count = replies.len();
        {
            let mut stats = self.link.stats();
            stats.sent += count as u64;
            for reply in replies {
                let start = self.output.len();
                let zxid = match reply {
                    Outgoing::Event(frame) => {
                        self.output.extend_from_slice(&frame);
                        event_bytes += frame.len() - 4;
                        continue;
                    }
                    Outgoing::Accept(response) => {
                        self.is_accepted = true;
                        self.link
                            .set_session(response.session_id, response.timeout_ms);
                        write_frame(&mut self.output, |out| response.encode(out));
                        None
                    }
                    Outgoing::Reply(header, response) => {
                        write_frame(&mut self.output, |out| {
                            header.encode(out);
                            if header.err.is_ok() {
                                response.encode(out);
                            }
                        });
                        Some(header.zxid)
                    }
                };
                let request = self
                    .requests
                    .pop_front()
                    .expect("the core answers each request once");
                self.request_bytes -= request.bytes;
                let latency_ms = now_ms.saturating_sub(request.received_ms);
                match request.timed {
                    Timed::Read => reads.add(latency_ms),
                    Timed::Update => updates.add(latency_ms),
                    Timed::Not => {}
                }
                answered += 1;
                stats.answered(request.op, request.xid, zxid, now_ms, latency_ms);
                let size = self.output.len() - start - 4;
                if counts_as_response(request.op) {
                    reply_bytes += size;
                }
                size_last = size;
                size_min = size_min.min(size);
                size_max = size_max.max(size);
            }
        }
        reads.finish();
        updates.finish();
        let stats = server_stats;
        stats.packets_sent.fetch_add(count as u64, Relaxed);
        if event_bytes > 0 {
            stats.event_bytes.fetch_add(event_bytes as u64, Relaxed);
        }
        if answered > 0 {
            stats.reply_bytes.fetch_add(reply_bytes as u64, Relaxed);
            stats.responses.add(size_last, size_min, size_max);
            stats.outstanding.fetch_sub(answered, Relaxed);
            self.link.set_outstanding(self.requests.len());
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let stream = Pin::new(&mut self.stream);
        let written = ready!(stream.poll_write(context, &self.output))?;
        if written == 0 {
            return Poll::Ready(Err(Ended::ByClient));
        }
        self.output.advance(written);
        if self.output.is_empty() {
            self.output.clear();
            self.link.written(std::mem::take(&mut self.reply_weight));
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the input starts with a whole frame, or one that is out of bounds.
    fn has_whole_frame(&self) -> bool {
        let frame_max = self.server.config.limits.frame_bytes_max.get();
        self.input.first_chunk::<4>().is_some_and(|&length| {
            let length = u32::from_be_bytes(length) as usize;
            length > frame_max || self.input.len() - 4 >= length
        })
    }

    /// Whether another request may be read: the limits on what is under way are not reached.
    /// Whatever ends the wait is a reply, which wakes the task.
    fn may_read(&self) -> bool {
        let limits = &self.server.config.limits;
        let is_full = self.request_bytes >= limits.outstanding_bytes_per_connection_max.get()
            || self.link.unwritten() >= limits.reply_bytes_per_connection_max.get() / 4;
        let has_none = self.requests.is_empty();
        self.is_accepted && !is_full && (has_none || !self.server.is_saturated())
    }

    /// Takes whole frames off the input.
    fn take_requests(&mut self) -> Result<Vec<Incoming>, Ended> {
        let mut incoming = Vec::new();
        let before = self.request_bytes;
        let limits = &self.server.config.limits;
        let (frame_max, bytes_max, ops_max) = (
            limits.frame_bytes_max.get(),
            limits.outstanding_bytes_per_connection_max.get(),
            limits.multi_ops_max.get(),
        );
        while incoming.len() < REQUESTS_PER_MESSAGE && self.request_bytes < bytes_max {
            let Some(frame) = split_frame(&mut self.input, frame_max)? else {
                break;
            };
            let mut reader = Reader::new(&frame);
            let header = RequestHeader::decode(&mut reader).map_err(Ended::NoHeader)?;
            let request = Request::decode(header.op, &mut reader, ops_max);
            let timed = Timed::of(header.op);
            self.note_request(header.op, header.xid, timed, frame.len());
            incoming.push(Incoming { header, request });
        }
        if !incoming.is_empty() {
            let bytes = self.request_bytes - before + 4 * incoming.len();
            self.link
                .count_received(&self.server.stats, incoming.len(), bytes);
            self.link.set_outstanding(self.requests.len());
        }
        Ok(incoming)
    }

    fn note_request(&mut self, op: OpCode, xid: Xid, timed: Timed, bytes: usize) {
        self.request_bytes += bytes;
        self.requests.push_back(InFlight {
            received_ms: whole_ms(self.server.clock.elapsed()),
            bytes,
            xid,
            op,
            timed,
        });
        self.server.stats.outstanding.fetch_add(1, Relaxed);
    }

    /// Makes room for what is read next: for the rest of a long frame, but never far ahead of what
    /// the client has sent.
    fn reserve_input(&mut self) {
        let frame = match self.input.first_chunk::<4>() {
            Some(&length) => 4 + u32::from_be_bytes(length) as usize,
            None => 4,
        };
        let missing = frame.saturating_sub(self.input.len());
        self.input
            .reserve(missing.min(self.input.len()).max(READ_BYTES));
    }

    fn release_buffers(&mut self) {
        if self.input.capacity() > 0 {
            self.input = BytesMut::new();
        }
        if self.output.capacity() > 0 {
            self.output = BytesMut::new();
        }
        if self.requests.capacity() > 0 {
            self.requests = VecDeque::new();
        }
    }

    fn outstanding(&self) -> i64 {
        self.requests.len().cast_signed() as i64
    }

    /// Lets the client take what was written last.
    async fn finish(&mut self) {
        let peer = self.link.peer;
        // Whoever reads the end finds a server that does not know the connection any more.
        self.server.registry.retire(&self.link);
        // A socket closed with unread input is reset, and the client may lose what it has not yet
        // read: so the end is announced and the input drained, for a bounded time.
        let linger = async {
            while !self.output.is_empty() {
                self.stream.write_all_buf(&mut self.output).await?;
                self.encode(self.link.take_rest());
            }
            self.stream.shutdown().await?;
            self.release_buffers();
            if self.server.stop.is_cancelled() {
                return Ok(());
            }
            let mut rest = [0; 512];
            while self.stream.read(&mut rest).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        if let Ok(Err(error)) = timeout(LINGER, linger).await {
            debug!(%peer, %error, "connection lost while it was closed");
        }
    }
}

/// Whether a reply counts among `response_bytes`: only those to requests that pass through the
/// whole of Apache's pipeline do (`FinalRequestProcessor`, 3.9.5).
const fn counts_as_response(op: OpCode) -> bool {
    !matches!(
        op,
        OpCode::CREATE_SESSION | OpCode::PING | OpCode::AUTH | OpCode::SASL
    )
}
