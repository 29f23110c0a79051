//! What one znode costs: a record of 120 bytes, and one allocation for its name and data.

use alloc::sync::Arc;

use zk_proto::{Stat, StatPersisted, Zxid};

use super::acl::AclId;
use super::arena::{Arena, NIL, Pages};
use super::digest::{self, ContentDigest};

/// Records in a page: with the count of its references a page is an allocation of 4 KiB.
pub(super) const NODE_PAGE: usize = 34;
pub(super) type Nodes = Pages<Record, NODE_PAGE>;
pub(super) type NodeArena = Arena<Record, NODE_PAGE>;

/// Longest name, in bytes.
pub(super) const NAME_BYTES_MAX: usize = NAME_BYTES as usize;

const NAME_BYTES: u32 = (1 << 30) - 1;
/// The data is null, which clients tell from empty.
const NULL_DATA: u32 = 1 << 31;
/// The node counts in the digest.
const COUNTED: u32 = 1 << 30;

/// A znode. Children are a list through `first_child` and `next`, in order of creation; the first
/// one's `prev` is the last one.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// The name, then the data.
    bytes: Arc<[u8]>,
    /// Of data in the nodes below.
    pub(super) bytes_below: u64,
    pub(super) stat: PackedStat,
    /// Length of the name, and flags.
    bits: u32,
    /// The part of the digest that the stat does not change.
    content_crc: u32,
    pub(super) acl: AclId,
    pub(super) child_count: u32,
    /// Nodes below, children included.
    pub(super) nodes_below: u32,
    pub(super) parent: u32,
    pub(super) first_child: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
}

const _: () = assert!(size_of::<Option<Record>>() == 120);

/// A [`StatPersisted`] without the gap that the alignment of its longs would leave.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
pub(super) struct PackedStat {
    czxid: Zxid,
    pub(super) mzxid: Zxid,
    ctime: i64,
    pub(super) mtime: i64,
    pub(super) version: i32,
    pub(super) cversion: i32,
    pub(super) aversion: i32,
    pub(super) ephemeral_owner: i64,
    pub(super) pzxid: Zxid,
}

impl From<StatPersisted> for PackedStat {
    fn from(stat: StatPersisted) -> Self {
        Self {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            ephemeral_owner: stat.ephemeral_owner,
            pzxid: stat.pzxid,
        }
    }
}

impl From<PackedStat> for StatPersisted {
    fn from(stat: PackedStat) -> Self {
        Self {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            ephemeral_owner: stat.ephemeral_owner,
            pzxid: stat.pzxid,
        }
    }
}

impl Record {
    /// A node without children or siblings. `name` is the last part of `path`.
    pub(super) fn new(
        path: &str,
        name: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: StatPersisted,
        parent: u32,
    ) -> Self {
        assert!(
            name.len() <= NAME_BYTES_MAX,
            "a name of {} bytes",
            name.len()
        );
        let counted = if digest::is_counted(path) { COUNTED } else { 0 };
        let mut record = Self {
            bytes: Arc::default(),
            bytes_below: 0,
            stat: stat.into(),
            bits: u32::try_from(name.len()).expect("checked above") | counted,
            content_crc: 0,
            acl,
            child_count: 0,
            nodes_below: 0,
            parent,
            first_child: NIL,
            prev: NIL,
            next: NIL,
        };
        record.fill(path, name.as_bytes(), data);
        record
    }

    /// Replaces the data.
    pub(super) fn set_data(&mut self, path: &str, data: Option<&[u8]>) {
        let old = Arc::clone(&self.bytes);
        self.fill(path, old.get(..self.name_len()).expect(NAME_FIRST), data);
    }

    fn fill(&mut self, path: &str, name: &[u8], data: Option<&[u8]>) {
        self.bits = (self.bits & !NULL_DATA) | if data.is_none() { NULL_DATA } else { 0 };
        let content = data.unwrap_or_default();
        // One allocation, where a Vec would be a second to copy from.
        self.bytes = core::iter::repeat_n(0, name.len() + content.len()).collect();
        let bytes = Arc::get_mut(&mut self.bytes).expect("nobody shares it yet");
        let (name_bytes, data_bytes) = bytes.split_at_mut(name.len());
        name_bytes.copy_from_slice(name);
        data_bytes.copy_from_slice(content);
        if self.bits & COUNTED != 0 {
            self.content_crc = digest::content_crc(path, data);
        }
    }

    pub(super) fn name_bytes(&self) -> &[u8] {
        self.bytes.get(..self.name_len()).expect(NAME_FIRST)
    }

    pub(super) fn name(&self) -> &str {
        core::str::from_utf8(self.name_bytes()).expect("a name is made of a str")
    }

    pub(super) const fn name_len(&self) -> usize {
        (self.bits & NAME_BYTES) as usize
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        let data = self.bytes.get(self.name_len()..).expect(NAME_FIRST);
        (self.bits & NULL_DATA == 0).then_some(data)
    }

    pub(super) fn data_len(&self) -> usize {
        self.bytes.len() - self.name_len()
    }

    /// The allocation that holds the data from [`name_len`](Self::name_len) on.
    pub(super) const fn shared_bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    pub(super) fn digest(&self) -> u32 {
        self.content_digest().with(&self.stat.into())
    }

    pub(super) fn content_digest(&self) -> ContentDigest {
        ContentDigest((self.bits & COUNTED != 0).then_some(self.content_crc))
    }

    /// The stat as clients see it (`DataNode.copyStat`): the cversion counts creations and deletions,
    /// and each child that is not there any more was deleted once.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "lengths and counts wrap on the wire, as Java's do"
    )]
    pub(super) fn client_stat(&self, client_owner: i64) -> Stat {
        let child_count = self.child_count as i32;
        Stat {
            czxid: self.stat.czxid,
            mzxid: self.stat.mzxid,
            ctime: self.stat.ctime,
            mtime: self.stat.mtime,
            version: self.stat.version,
            cversion: self.stat.cversion.wrapping_mul(2).wrapping_sub(child_count),
            aversion: self.stat.aversion,
            ephemeral_owner: client_owner,
            data_length: self.data_len() as i32,
            num_children: child_count,
            pzxid: self.stat.pzxid,
        }
    }
}

const NAME_FIRST: &str = "the bytes start with the name";

/// Adds a node after its last sibling.
pub(super) fn insert(nodes: &mut NodeArena, record: Record) -> u32 {
    let parent = record.parent;
    let first = nodes.get(parent).first_child;
    let last = if first == NIL {
        NIL
    } else {
        nodes.get(first).prev
    };
    let id = nodes.insert_with(|id| Record {
        prev: if first == NIL { id } else { last },
        ..record
    });
    let parent = nodes.get_mut(parent);
    parent.child_count += 1;
    if first == NIL {
        parent.first_child = id;
    } else {
        nodes.get_mut(first).prev = id;
        nodes.get_mut(last).next = id;
    }
    id
}

/// Takes a leaf out, also out of the list of its siblings.
pub(super) fn remove(nodes: &mut NodeArena, child: u32) -> Record {
    let &Record {
        parent, prev, next, ..
    } = nodes.get(child);
    let record = nodes.get_mut(parent);
    record.child_count -= 1;
    let first = record.first_child;
    if first == child {
        record.first_child = next;
    } else {
        nodes.get_mut(prev).next = next;
    }
    if next != NIL {
        nodes.get_mut(next).prev = prev;
    } else if first != child {
        nodes.get_mut(first).prev = prev;
    }
    nodes.remove(child)
}

/// The node after `id` in pre-order within the subtree of `top`.
pub(super) fn next_in_subtree(nodes: &Nodes, top: u32, id: u32) -> Option<u32> {
    let child = nodes.get(id).first_child;
    if child != NIL {
        return Some(child);
    }
    let mut at = id;
    while at != top {
        let record = nodes.get(at);
        if record.next != NIL {
            return Some(record.next);
        }
        at = record.parent;
    }
    None
}
