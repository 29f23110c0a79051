//! Where the child of a given name is: one table for the whole tree, keyed by parent and name.
//!
//! The table is split into shards that grow one by one, so that no single insertion pays for moving
//! every entry.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::hash::HashKey;
use super::node::Nodes;

const SHARDS: u64 = 1024;
const ALL_SHARDS: &str = "there are as many shards as shard_of tells apart";
/// Nodes that are sorted before they are added.
const BATCH: u32 = 1 << 16;
/// Room is made beforehand from this many nodes a shard on.
const RESERVED_MIN: usize = 8;

#[derive(Debug)]
pub(super) struct Lookup {
    key: HashKey,
    shards: Box<[HashTable<u32>]>,
}

/// Where a node is or would be: its hash, computed once for all that is done with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) parent: u32,
    pub(super) name: &'a str,
    hash: u64,
}

impl Lookup {
    pub(super) fn new(key: HashKey) -> Self {
        Self {
            key,
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
        }
    }

    pub(super) fn place<'a>(&self, parent: u32, name: &'a str) -> Place<'a> {
        Place {
            parent,
            name,
            hash: self.key.place(parent, name.as_bytes()),
        }
    }

    pub(super) fn find(&self, nodes: &Nodes, place: Place<'_>) -> Option<u32> {
        let shard = self.shards.get(shard_of(place.hash))?;
        shard
            .find(place.hash, |&id| is_at(nodes, id, place))
            .copied()
    }

    /// Adds a node that is in `nodes` already.
    pub(super) fn insert(&mut self, nodes: &Nodes, place: Place<'_>, id: u32) {
        let key = &self.key;
        let hash_of = |&id: &u32| {
            let node = nodes.get(id);
            key.place(node.parent, node.name_bytes())
        };
        let shard = self.shards.get_mut(shard_of(place.hash));
        shard
            .expect(ALL_SHARDS)
            .insert_unique(place.hash, id, hash_of);
    }

    /// Adds the nodes of a range that are in `nodes` already, at a fraction of the cost of adding each.
    ///
    /// # Errors
    /// A node whose parent has another child of its name.
    pub(super) fn extend(&mut self, nodes: &Nodes, ids: Range<u32>) -> Result<(), u32> {
        let Self { key, shards } = self;
        let hash_of = |&id: &u32| {
            let node = nodes.get(id);
            key.place(node.parent, node.name_bytes())
        };
        let each = ids.len() / shards.len();
        if each >= RESERVED_MIN {
            for shard in shards.iter_mut() {
                shard.reserve(each + each / 8, hash_of);
            }
        }
        for start in ids.clone().step_by(BATCH as usize) {
            let batch = start..ids.end.min(start.saturating_add(BATCH));
            let mut batch: Vec<(u64, u32)> = batch.map(|id| (hash_of(&id), id)).collect();
            // Shard by shard, each is fetched from memory once a batch rather than once a node.
            batch.sort_unstable_by_key(|&(hash, _)| shard_of(hash));
            for (hash, id) in batch {
                let shard = shards.get_mut(shard_of(hash)).expect(ALL_SHARDS);
                let node = nodes.get(id);
                let same = |&other: &u32| {
                    let other = nodes.get(other);
                    other.parent == node.parent && other.name_bytes() == node.name_bytes()
                };
                match shard.entry(hash, same, hash_of) {
                    Entry::Occupied(_) => return Err(id),
                    Entry::Vacant(vacant) => vacant.insert(id),
                };
            }
        }
        Ok(())
    }

    /// Bytes of the tables.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        let shards = self.shards.iter();
        shards
            .map(|shard| shard.allocation_size() + size_of_val(shard))
            .sum()
    }

    /// Removes a node that is in `nodes` still.
    ///
    /// # Panics
    /// When it is not in the table.
    pub(super) fn remove(&mut self, nodes: &Nodes, place: Place<'_>) {
        self.shards
            .get_mut(shard_of(place.hash))
            .and_then(|shard| {
                shard
                    .find_entry(place.hash, |&id| is_at(nodes, id, place))
                    .ok()
            })
            .expect("every node but the root is in the table")
            .remove();
    }
}

fn is_at(nodes: &Nodes, id: u32, place: Place<'_>) -> bool {
    let node = nodes.get(id);
    node.parent == place.parent && node.name_bytes() == place.name.as_bytes()
}

/// A table takes its buckets from the low bits and its tags from the high ones; shards take theirs
/// from between.
fn shard_of(hash: u64) -> usize {
    usize::try_from((hash >> 32) % SHARDS).expect("there are few shards")
}
