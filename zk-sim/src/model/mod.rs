//! What a tree of znodes is, once more: maps, with all that they ever held, written from ZooKeeper's
//! guide and independent of the core's tree.
//!
//! Writes are asked of it in the order of their zxids, and it says how each has to come out. Reads
//! are asked of the state after any transaction.

mod read;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use zk_proto::{Acl, Perms, SessionId, Stat, Zxid};

pub(crate) use read::sort;
pub(crate) use write::Place;

#[derive(Debug)]
pub(crate) struct Model {
    nodes: BTreeMap<String, History>,
    /// The open sessions, with their timeouts.
    pub(crate) sessions: BTreeMap<SessionId, i32>,
    /// What the open sessions own.
    ephemerals: BTreeMap<SessionId, BTreeSet<String>>,
    /// All changes, in order.
    pub(crate) changes: Vec<Change>,
}

/// The owner by which a container is known.
const CONTAINER: i64 = i64::MIN;

/// What happened at a path.
#[derive(Debug, Default)]
struct History {
    /// The state from a transaction on.
    states: Vec<(Zxid, Option<State>)>,
    /// Names of the children as of the last transaction.
    children: BTreeSet<String>,
    /// Which came (`true`) and went, when.
    moves: Vec<(Zxid, bool, String)>,
}

/// A znode.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) data: Option<Bytes>,
    pub(crate) acl: Rc<[Acl]>,
    pub(crate) czxid: Zxid,
    pub(crate) mzxid: Zxid,
    pub(crate) pzxid: Zxid,
    pub(crate) ctime: i64,
    pub(crate) mtime: i64,
    pub(crate) version: i32,
    /// Children that were ever created.
    pub(crate) creations: i32,
    pub(crate) aversion: i32,
    pub(crate) owner: i64,
    pub(crate) children: i32,
}

/// A change that watches may wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) zxid: Zxid,
    pub(crate) kind: ChangeKind,
    pub(crate) path: String,
    /// Whether everybody may read the znode, and its parent.
    pub(crate) is_readable: bool,
    pub(crate) is_parent_readable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Created,
    Deleted,
    DataChanged,
}

impl State {
    fn new(zxid: Zxid, time_ms: i64, owner: i64, data: Option<Bytes>, acl: Rc<[Acl]>) -> Self {
        Self {
            data,
            acl,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time_ms,
            mtime: time_ms,
            version: 0,
            creations: 0,
            aversion: 0,
            owner,
            children: 0,
        }
    }

    pub(crate) fn stat(&self) -> Stat {
        let data_bytes = self.data.as_ref().map_or(0, Bytes::len);
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.creations * 2 - self.children,
            aversion: self.aversion,
            // Clients are not told of the marks of containers and of times to live.
            ephemeral_owner: if self.is_ephemeral(true) {
                self.owner
            } else {
                0
            },
            data_length: i32::try_from(data_bytes).expect("data is short"),
            num_children: self.children,
            pzxid: self.pzxid,
        }
    }

    /// Whether everybody may do one of these.
    pub(crate) fn permits(&self, perms: Perms) -> bool {
        (self.acl.iter()).any(|entry| entry.id.scheme == "world" && entry.perms.intersects(perms))
    }

    fn is_ephemeral(&self, extended_types: bool) -> bool {
        let owner = zk_proto::EphemeralOwner::from_raw(self.owner, extended_types);
        matches!(owner, zk_proto::EphemeralOwner::Session(_))
    }
}

impl Model {
    /// The tree before the first transaction.
    pub(crate) fn new() -> Self {
        let open: Rc<[Acl]> = Rc::new([Acl::open()]);
        let mut nodes = BTreeMap::new();
        for (path, children) in [
            ("/", ["zookeeper"].as_slice()),
            ("/zookeeper", &["config", "quota"]),
            ("/zookeeper/config", &[]),
            ("/zookeeper/quota", &[]),
        ] {
            let mut state = State::new(Zxid::ZERO, 0, 0, None, Rc::clone(&open));
            state.children = i32::try_from(children.len()).expect("few children");
            let history = History {
                states: vec![(Zxid::ZERO, Some(state))],
                children: children.iter().map(|&name| name.to_owned()).collect(),
                moves: Vec::new(),
            };
            nodes.insert(path.to_owned(), history);
        }
        Self {
            nodes,
            sessions: BTreeMap::new(),
            ephemerals: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// The znode after the last transaction.
    pub(crate) fn now(&self, path: &str) -> Option<&State> {
        self.nodes.get(path)?.states.last()?.1.as_ref()
    }

    /// The znode after a transaction.
    pub(crate) fn at(&self, path: &str, zxid: Zxid) -> Option<&State> {
        let states = &self.nodes.get(path)?.states;
        let after = states.partition_point(|&(since, _)| since <= zxid);
        states.get(after.checked_sub(1)?)?.1.as_ref()
    }

    /// The znodes that are there after the last transaction, but the server's own.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &State)> {
        (self.nodes.iter()).filter_map(|(path, history)| {
            let (_, state) = history.states.last()?;
            let is_own = path == "/" || path.starts_with("/zookeeper");
            Some((path.as_str(), state.as_ref().filter(|_| !is_own)?))
        })
    }
}

/// The path of the znode above.
pub(crate) fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => path.get(..slash).unwrap_or("/"),
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
