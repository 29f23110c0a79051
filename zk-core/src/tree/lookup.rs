//! Where the child of a given name is: one table for the whole tree, keyed by parent and name.
//!
//! The table is split into shards that grow one by one, so that no single insertion pays for moving
//! every entry.

use alloc::boxed::Box;

use hashbrown::HashTable;

use super::hash::HashKey;
use super::node::Nodes;

const SHARDS: u64 = 1024;

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
            .expect("there are as many shards as shard_of tells apart")
            .insert_unique(place.hash, id, hash_of);
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
