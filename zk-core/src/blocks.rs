//! Memory that is filled with one encoding behind the other.

use bytes::{Bytes, BytesMut};

/// A block has this size, as long as what is encoded is of ordinary length.
const BLOCK_BYTES: usize = 64 << 10;
/// What is left of a block when another is begun.
const ROOM_BYTES_MIN: usize = 4 << 10;

/// A block, of which each encoding is split off. It lives until the last of them is gone.
#[derive(Debug, Default)]
pub(crate) struct Blocks(BytesMut);

impl Blocks {
    /// Gives out what `encode` writes.
    pub(crate) fn encode(&mut self, encode: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.0.capacity() < ROOM_BYTES_MIN {
            self.0.reserve(BLOCK_BYTES);
        }
        encode(&mut self.0);
        self.0.split().freeze()
    }
}
