//! What decides about a connection: the first bytes are a four-letter word or the handshake.
//!
//! A client sends them in one piece. A socket that brought less is let alone for a while, at each
//! further piece for a much longer one, and the poller is not told of it meanwhile. Many sockets that
//! trickle so cost next to nothing, and are not looked at all at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use zk_proto::{ConnectRequest, Reader, Record, split_frame};

use super::Link;
use super::connection::Ended;
use crate::shared::Shared;
use crate::words::{self, Word};

/// The first wait before more is read of what did not come whole; up to twice as long, as connections
/// follow one another.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_GROWTH: u32 = 8;
/// Connections in a row that wait differently long.
const PAUSES: u32 = 256;

/// A connection that said what it is for.
pub(super) struct Opening {
    pub(super) stream: TcpStream,
    /// Read and not part of the opening.
    pub(super) rest: BytesMut,
    pub(super) kind: OpeningKind,
}

pub(super) enum OpeningKind {
    /// With the mask that follows `stmk`.
    Word(Word, i64),
    /// With the length of its frame's body.
    Handshake(ConnectRequest, usize),
}

/// Reads the opening. The stream is dropped if that does not come in time, or at all.
pub(super) async fn read(
    stream: TcpStream,
    link: &Link,
    server: &Arc<Shared>,
) -> Result<Opening, Ended> {
    let deadline = server.config.limits.handshake_deadline;
    let in_time = timeout(deadline, read_whole(stream, link, server)).await;
    in_time.unwrap_or(Err(Ended::HandshakeDeadline))
}

async fn read_whole(
    mut stream: TcpStream,
    link: &Link,
    server: &Arc<Shared>,
) -> Result<Opening, Ended> {
    let limit = server.config.limits.frame_bytes_before_login_max.get();
    let mut input = BytesMut::new();
    let number = u32::try_from(link.id.0 % u64::from(PAUSES)).unwrap_or(0);
    let mut pause = PAUSE + PAUSE * number / PAUSES;
    loop {
        if let Some((kind, bytes)) = parse(&mut input, limit, server)? {
            link.count_received(&server.stats, 1, bytes);
            let rest = input;
            return Ok(Opening { stream, rest, kind });
        }
        if !input.is_empty() {
            stream = leave_alone(stream, pause).await?;
            pause *= PAUSE_GROWTH;
        }
        input.reserve(limit + 4 - input.len().min(limit));
        if stream.read_buf(&mut input).await? == 0 {
            return Err(Ended::ByClient);
        }
    }
}

/// Takes the opening off the input, if it is there: what it is, and its length.
fn parse(
    input: &mut BytesMut,
    limit: usize,
    server: &Shared,
) -> Result<Option<(OpeningKind, usize)>, Ended> {
    if let Some(word) = input.first_chunk::<4>().and_then(Word::parse) {
        let mask = words::mask(word, input, server);
        return Ok(mask.map(|mask| (OpeningKind::Word(word, mask), 4)));
    }
    let Some(frame) = split_frame(input, limit)? else {
        return Ok(None);
    };
    let request = ConnectRequest::decode(&mut Reader::new(&frame)).map_err(Ended::BadHandshake)?;
    server.stats.connection_requests.fetch_add(1, Relaxed);
    let kind = OpeningKind::Handshake(request, frame.len());
    Ok(Some((kind, 4 + frame.len())))
}

/// Takes the socket out of the poller's sight for a while.
async fn leave_alone(stream: TcpStream, pause: Duration) -> Result<TcpStream, Ended> {
    let socket = stream.into_std()?;
    sleep(pause).await;
    Ok(TcpStream::from_std(socket)?)
}
