//! The leader's side of SNAP.

use std::io::{self, Write};

use zk_proto::Writer;
use zk_proto::quorum::SNAPSHOT_SIGNATURE;

use super::{SnapshotSource, body};

/// Bytes that are encoded before they are sent.
const PIECE_BYTES: usize = 64 << 10;

/// Sends a snapshot as it follows SNAP: the body of a snapshot file, then the signature. `sink` is
/// given pieces of some 64 KiB, or a znode, and may block: the source is a view of its own. Returns
/// the number of bytes.
///
/// # Errors
/// What the sink says; the learner has no whole snapshot then.
pub fn send_snapshot(source: &dyn SnapshotSource, sink: &mut dyn Write) -> io::Result<u64> {
    let mut sent = 0;
    let mut send = |buffer: &mut Vec<u8>| {
        sink.write_all(buffer)?;
        sent += buffer.len() as u64;
        buffer.clear();
        Ok::<_, io::Error>(())
    };
    let mut buffer = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
    body::encode(source, &mut buffer, PIECE_BYTES, &mut send)?;
    buffer.put_string(SNAPSHOT_SIGNATURE);
    send(&mut buffer)?;
    sink.flush()?;
    Ok(sent)
}
