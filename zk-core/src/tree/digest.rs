//! The digest of the tree (`DigestCalculator`, 3.9.5, digest version 2).
//!
//! ```text
//! digest of a node = CRC-32(path, data, stat), 0 below /zookeeper/
//! stat             = long czxid, mzxid, pzxid, ctime, mtime, int version, cversion, aversion, long ephemeralOwner
//! digest of a tree = sum of its nodes' digests, modulo 2⁶⁴
//! ```
//!
//! The root's path is empty, and null data counts as empty. The nodes below /zookeeper/ are left out
//! because quota statistics change on every server by itself.

use crc32fast::Hasher;
use zk_proto::StatPersisted;

/// The digest of one node, `"/"` or `""` being the root.
#[must_use]
pub fn node_digest(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> u32 {
    ContentDigest::of(path, data).with(stat)
}

/// The part of a node's digest that its path and data make; `None` of a node that counts 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ContentDigest(pub(super) Option<u32>);

impl ContentDigest {
    /// Of a node with this path and data.
    pub(crate) fn of(path: &str, data: Option<&[u8]>) -> Self {
        Self(is_counted(path).then(|| content_crc(path, data)))
    }

    /// The digest of the node with this stat.
    pub(crate) fn with(self, stat: &StatPersisted) -> u32 {
        self.0.map_or(0, |crc| finish(crc, stat))
    }
}

/// Whether the node at `path` is part of the digest.
pub(super) fn is_counted(path: &str) -> bool {
    !path.starts_with("/zookeeper/")
}

/// The part of a node's digest that its stat does not change.
pub(super) fn content_crc(path: &str, data: Option<&[u8]>) -> u32 {
    let mut crc = Hasher::new();
    crc.update(if path == "/" { b"" } else { path.as_bytes() });
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// A node's digest from its [`content_crc`].
pub(super) fn finish(content_crc: u32, stat: &StatPersisted) -> u32 {
    let mut bytes = [0; 60];
    let (longs, rest) = bytes.split_at_mut(40);
    let (ints, owner) = rest.split_at_mut(12);
    let zxids = [stat.czxid.0, stat.mzxid.0, stat.pzxid.0];
    let times = [stat.ctime, stat.mtime];
    for (bytes, long) in longs
        .chunks_exact_mut(8)
        .zip(zxids.into_iter().chain(times))
    {
        bytes.copy_from_slice(&long.to_be_bytes());
    }
    let versions = [stat.version, stat.cversion, stat.aversion];
    for (bytes, int) in ints.chunks_exact_mut(4).zip(versions) {
        bytes.copy_from_slice(&int.to_be_bytes());
    }
    owner.copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
    let mut crc = Hasher::new_with_initial(content_crc);
    crc.update(&bytes);
    crc.finalize()
}
