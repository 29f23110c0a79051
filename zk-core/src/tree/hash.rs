//! The keyed hash of the tree's tables. Clients choose the names, so that a fixed hash would let them
//! make every name collide. No table is ever walked in its order, so that the key never shows.

use core::hash::{BuildHasher, Hasher as _};

use siphasher::sip::SipHasher13;

/// Makes hashers that share a key.
#[derive(Debug, Clone)]
pub(super) struct HashKey(SipHasher13);

impl HashKey {
    pub(super) fn new(seed: u64) -> Self {
        Self(SipHasher13::new_with_keys(seed, !seed))
    }

    /// The hash of a node's place: its parent and its name.
    pub(super) fn place(&self, parent: u32, name: &[u8]) -> u64 {
        let mut hasher = self.0;
        hasher.write(&parent.to_ne_bytes());
        hasher.write(name);
        hasher.finish()
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        self.0
    }
}
