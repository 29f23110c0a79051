//! A tree written down from the documents with nothing but a map by path, and transactions that a
//! server's first stage would make for it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use zk_proto::{
    Acl, CreateTxn, EphemeralOwner, ErrorCode, Id, OpCode, Perms, SessionId, StatPersisted, Txn,
    TxnHeader, Xid, Zxid,
};

use crate::tree::{Tree, node_digest};

/// Sessions open at a time.
const SESSIONS: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelNode {
    pub(super) data: Option<Vec<u8>>,
    pub(super) acl: Vec<Acl>,
    pub(super) stat: StatPersisted,
}

/// Nodes by path, the root's being empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) nodes: BTreeMap<String, ModelNode>,
    pub(super) zxid: i64,
    /// The open sessions; a closed one gives its place to another.
    pub(super) sessions: [i64; SESSIONS],
}

/// What a client asks for; numbers choose among what there is.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Create {
        parent: usize,
        name: u8,
        kind: u8,
        data: Option<Vec<u8>>,
        acl: u8,
    },
    Delete(usize),
    SetData(usize, Option<Vec<u8>>),
    SetAcl(usize, u8),
    Check(usize),
    Quota(usize),
    CloseSession(usize),
    Multi(Vec<Self>),
    FailedMulti(Vec<Self>),
    Refused,
}

pub(super) fn actions() -> impl Strategy<Value = Vec<Action>> {
    let single = prop_oneof![
        8 => (any::<usize>(), 0..6_u8, 0..8_u8, data(), 0..4_u8).prop_map(
            |(parent, name, kind, data, acl)| Action::Create { parent, name, kind, data, acl }
        ),
        4 => any::<usize>().prop_map(Action::Delete),
        4 => (any::<usize>(), data()).prop_map(|(node, data)| Action::SetData(node, data)),
        2 => (any::<usize>(), 0..4_u8).prop_map(|(node, acl)| Action::SetAcl(node, acl)),
        1 => any::<usize>().prop_map(Action::Check),
        1 => any::<usize>().prop_map(Action::Quota),
    ];
    let parts = proptest::collection::vec(single.clone(), 1..6);
    let any_action = prop_oneof![
        12 => single,
        2 => parts.clone().prop_map(Action::Multi),
        1 => parts.prop_map(Action::FailedMulti),
        2 => (0..SESSIONS).prop_map(Action::CloseSession),
        1 => Just(Action::Refused),
    ];
    proptest::collection::vec(any_action, 1..80)
}

fn data() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..20))
}

fn acl(choice: u8) -> Vec<Acl> {
    match choice {
        0 | 1 => [Acl::open()].into(),
        2 => [Acl::new(Perms::READ, Id::anyone())].into(),
        _ => [
            Acl::new(Perms::ALL, Id::new("digest", "user:hash")),
            Acl::new(Perms::READ, Id::anyone()),
        ]
        .into(),
    }
}

impl Model {
    /// What the empty tree is by the documents.
    pub(super) fn new() -> Self {
        let node = |acl, aversion| ModelNode {
            data: Some(Vec::new()),
            acl,
            stat: StatPersisted {
                aversion,
                ..StatPersisted::default()
            },
        };
        let nodes = [
            ("", node(acl(0), 0)),
            ("/zookeeper", node(acl(0), 0)),
            ("/zookeeper/quota", node(acl(0), 0)),
            ("/zookeeper/config", node(acl(2), -1)),
        ];
        Self {
            nodes: nodes.map(|(path, node)| (path.into(), node)).into(),
            zxid: 0,
            sessions: [1, 2, 3, 4],
        }
    }

    /// The transaction that the action becomes, `None` when it would be refused. With `quotas` off
    /// none is made below `/zookeeper`.
    pub(super) fn txn(&self, action: &Action, quotas: bool) -> Option<(SessionId, OpCode, Txn)> {
        let session = self.session();
        Some(match action {
            Action::CloseSession(place) => {
                let session = SessionId(self.sessions[*place]);
                let paths = self.owned_by(session);
                let txn = Txn::CloseSession { paths: Some(paths) };
                (session, OpCode::CLOSE_SESSION, txn)
            }
            Action::Multi(actions) => {
                let parts = self.parts(actions, quotas);
                (session, OpCode::MULTI, Txn::Multi(parts))
            }
            Action::FailedMulti(actions) => {
                let mut parts = self.parts(actions, quotas);
                parts.push((OpCode::ERROR, Txn::Error(ErrorCode::NO_NODE)));
                let rest = Txn::Error(ErrorCode::RUNTIME_INCONSISTENCY);
                parts.push((OpCode::ERROR, rest));
                (session, OpCode::MULTI, Txn::Multi(parts))
            }
            Action::Refused => {
                let txn = Txn::Error(ErrorCode::BAD_VERSION);
                (session, OpCode::ERROR, txn)
            }
            action => {
                let (op, txn) = self.part(action, quotas).into_iter().next()?;
                (session, op, txn)
            }
        })
    }

    /// Who asks next.
    fn session(&self) -> SessionId {
        let turn = usize::try_from(self.zxid).unwrap();
        SessionId(self.sessions[turn % SESSIONS])
    }

    fn parts(&self, actions: &[Action], quotas: bool) -> Vec<(OpCode, Txn)> {
        let mut pending = self.clone();
        let mut parts = Vec::new();
        for action in actions {
            if let Some((op, txn)) = pending.part(action, quotas) {
                let header = header(self.zxid + 1, self.session(), op);
                pending.apply_one(&header, &txn);
                parts.push((op, txn));
            }
        }
        parts
    }

    fn part(&self, action: &Action, quotas: bool) -> Option<(OpCode, Txn)> {
        let ours = |path: &&String| quotas || !path.starts_with("/zookeeper");
        let paths: Vec<&String> = self.nodes.keys().filter(ours).collect();
        let choose = |choice: usize| paths[choice % paths.len()].as_str();
        match action {
            Action::Create {
                parent,
                name,
                kind,
                data,
                acl: choice,
            } => {
                let parent = choose(*parent);
                let name = ["a", "b", "ü€😀", "a-name-that-is-rather-long-for-a-name"]
                    .get(usize::from(*name))
                    .copied()
                    .unwrap_or("c");
                self.create(parent, name, *kind, data.clone(), acl(*choice))
            }
            Action::Quota(node) => {
                // Limits first, then statistics, wherever a first node can stand.
                let node = choose(*node);
                let mut missing = String::from("/zookeeper/quota");
                for name in node.split('/').filter(|name| !name.is_empty()) {
                    if !self.nodes.contains_key(&format!("{missing}/{name}")) {
                        return self.create(&missing, name, 0, None, acl(0));
                    }
                    missing = format!("{missing}/{name}");
                }
                let limits = Some(b"count=5,bytes=100=;byteHardLimit=200".to_vec());
                let name = if self
                    .nodes
                    .contains_key(&format!("{missing}/zookeeper_limits"))
                {
                    "zookeeper_stats"
                } else {
                    "zookeeper_limits"
                };
                let root = missing == "/zookeeper/quota";
                (quotas && !root)
                    .then(|| self.create(&missing, name, 0, limits, acl(0)))
                    .flatten()
            }
            Action::Delete(node) => {
                let path = choose(*node);
                let deletable = path.len() > 1
                    && !["/zookeeper", "/zookeeper/quota", "/zookeeper/config"].contains(&path)
                    && self.children(path).is_empty();
                let path = path.to_string();
                deletable.then_some((OpCode::DELETE, Txn::Delete { path }))
            }
            Action::SetData(node, data) => {
                let path = choose(*node);
                let version = self.nodes[path].stat.version + 1;
                let (path, data) = (shown(path), data.clone().map(Bytes::from));
                let txn = Txn::SetData {
                    path,
                    data,
                    version,
                };
                Some((OpCode::SET_DATA, txn))
            }
            Action::SetAcl(node, choice) => {
                let path = choose(*node);
                let version = self.nodes[path].stat.aversion + 1;
                let (path, acl) = (shown(path), acl(*choice));
                Some((OpCode::SET_ACL, Txn::SetAcl { path, acl, version }))
            }
            Action::Check(node) => {
                let (path, version) = (shown(choose(*node)), 1);
                Some((OpCode::CHECK, Txn::Check { path, version }))
            }
            Action::CloseSession(_)
            | Action::Multi(_)
            | Action::FailedMulti(_)
            | Action::Refused => None,
        }
    }

    fn create(
        &self,
        parent: &str,
        name: &str,
        kind: u8,
        data: Option<Vec<u8>>,
        acl: Vec<Acl>,
    ) -> Option<(OpCode, Txn)> {
        let parent_stat = self.nodes.get(parent)?.stat;
        let owner = EphemeralOwner::from_raw(parent_stat.ephemeral_owner, true);
        let path = format!("{parent}/{name}");
        if matches!(owner, EphemeralOwner::Session(_)) || self.nodes.contains_key(&path) {
            return None;
        }
        let (data, parent_cversion) = (data.map(Bytes::from), parent_stat.cversion + 1);
        Some(match kind {
            0 => (
                OpCode::CREATE_CONTAINER,
                Txn::CreateContainer {
                    path,
                    data,
                    acl,
                    parent_cversion,
                },
            ),
            1 => (
                OpCode::CREATE_TTL,
                Txn::CreateTtl {
                    path,
                    data,
                    acl,
                    parent_cversion,
                    ttl_ms: 1_000,
                },
            ),
            kind => (
                if kind < 5 {
                    OpCode::CREATE
                } else {
                    OpCode::CREATE2
                },
                Txn::Create(CreateTxn {
                    path,
                    data,
                    acl,
                    ephemeral: kind % 2 == 0,
                    parent_cversion,
                }),
            ),
        })
    }

    /// Does what the documents say.
    pub(super) fn apply(&mut self, header: &TxnHeader, txn: &Txn) {
        self.zxid = header.zxid.0;
        match txn {
            Txn::Multi(parts) if parts.iter().any(|(op, _)| *op == OpCode::ERROR) => {}
            Txn::Multi(parts) => {
                for (_, part) in parts {
                    self.apply_one(header, part);
                }
            }
            txn => self.apply_one(header, txn),
        }
    }

    fn apply_one(&mut self, header: &TxnHeader, txn: &Txn) {
        match txn {
            Txn::Create(create) => {
                let owner = if create.ephemeral {
                    header.session.0
                } else {
                    0
                };
                self.add(header, &create.path, &create.data, &create.acl, owner);
            }
            Txn::CreateContainer {
                path, data, acl, ..
            } => self.add(header, path, data, acl, i64::MIN),
            Txn::CreateTtl {
                path,
                data,
                acl,
                ttl_ms,
                ..
            } => self.add(header, path, data, acl, (0xff << 56) | ttl_ms),
            Txn::Delete { path } => self.remove(path, header.zxid),
            Txn::SetData {
                path,
                data,
                version,
            } => {
                let node = self.nodes.get_mut(path.trim_end_matches('/')).unwrap();
                let before = len(&node.data);
                node.data = data.as_ref().map(|data| data.to_vec());
                node.stat.mzxid = header.zxid;
                node.stat.mtime = header.time_ms;
                node.stat.version = *version;
                let grown = len(&node.data) - before;
                self.book(path, 0, grown);
            }
            Txn::SetAcl { path, acl, version } => {
                let node = self.nodes.get_mut(path.trim_end_matches('/')).unwrap();
                node.acl.clone_from(acl);
                node.stat.aversion = *version;
            }
            Txn::CloseSession { .. } => {
                for path in self.owned_by(header.session) {
                    self.remove(&path, header.zxid);
                }
                for session in &mut self.sessions {
                    if *session == header.session.0 {
                        *session += SESSIONS as i64;
                    }
                }
            }
            Txn::Check { .. } | Txn::Error(_) => {}
            other => panic!("{other:?} is not made here"),
        }
    }

    fn add(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: &Option<Bytes>,
        acl: &[Acl],
        owner: i64,
    ) {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent_stat = &mut self.nodes.get_mut(parent).unwrap().stat;
        parent_stat.cversion += 1;
        parent_stat.pzxid = header.zxid;
        let node = ModelNode {
            data: data.as_ref().map(|data| data.to_vec()),
            acl: acl.into(),
            stat: StatPersisted {
                czxid: header.zxid,
                mzxid: header.zxid,
                ctime: header.time_ms,
                mtime: header.time_ms,
                ephemeral_owner: owner,
                pzxid: header.zxid,
                ..StatPersisted::default()
            },
        };
        let bytes = len(&node.data);
        self.nodes.insert(path.into(), node);
        if let Some(top) = parent.strip_prefix("/zookeeper/quota")
            && name == "zookeeper_stats"
        {
            let below = format!("{top}/");
            let counted = self
                .nodes
                .iter()
                .filter(|(path, _)| *path == top || path.starts_with(&below));
            let (count, bytes) = counted.fold((0, 0), |(count, bytes), (_, node)| {
                (count + 1, bytes + len(&node.data))
            });
            let text = format!("count={count},bytes={bytes}");
            self.nodes.get_mut(path).unwrap().data = Some(text.into_bytes());
        }
        self.book(path, 1, bytes);
    }

    fn remove(&mut self, path: &str, zxid: Zxid) {
        let (parent, _) = path.rsplit_once('/').unwrap();
        self.nodes.get_mut(parent).unwrap().stat.pzxid = zxid;
        let node = self.nodes.remove(path).unwrap();
        self.book(path, -1, -len(&node.data));
    }

    /// Books on the statistics of the longest prefix with limits.
    fn book(&mut self, path: &str, count: i64, bytes: i64) {
        let prefixes = path.char_indices().filter(|&(at, c)| c == '/' && at > 0);
        let ends = prefixes.map(|(at, _)| at).chain([path.len()]);
        let limited = |end: &usize| {
            let limits = format!("/zookeeper/quota{}/zookeeper_limits", &path[..*end]);
            *end > 1 && self.nodes.contains_key(&limits)
        };
        let Some(end) = ends.filter(limited).max() else {
            return;
        };
        let stats = format!("/zookeeper/quota{}/zookeeper_stats", &path[..end]);
        let Some(stats) = self.nodes.get_mut(&stats) else {
            return;
        };
        let text = String::from_utf8(stats.data.clone().unwrap_or_default()).unwrap_or_default();
        let mut figures: BTreeMap<&str, i64> = text
            .split([',', ';'])
            .filter_map(|pair| pair.split_once('='))
            .filter_map(|(name, value)| Some((name, value.trim_end_matches('=').parse().ok()?)))
            .collect();
        *figures.entry("count").or_insert(-1) += count;
        *figures.entry("bytes").or_insert(-1) += bytes;
        let mut text = format!("count={},bytes={}", figures["count"], figures["bytes"]);
        figures.retain(|name, _| *name != "count" && *name != "bytes");
        for (at, (name, value)) in figures.iter().enumerate() {
            let separator = if at == 0 { "=;" } else { ";" };
            text.push_str(&format!("{separator}{name}={value}"));
        }
        stats.data = Some(text.into_bytes());
    }

    fn children(&self, path: &str) -> BTreeSet<&str> {
        let below = format!("{path}/");
        self.nodes
            .keys()
            .filter_map(|other| other.strip_prefix(&below))
            .filter(|rest| !rest.contains('/'))
            .collect()
    }

    fn owned_by(&self, session: SessionId) -> Vec<String> {
        let owned = self
            .nodes
            .iter()
            .filter(|(_, node)| node.stat.ephemeral_owner == session.0);
        owned.map(|(path, _)| path.clone()).collect()
    }

    /// Everything that can be asked of a tree answers what the map says.
    pub(super) fn assert_is(&self, tree: &Tree) {
        assert_eq!(tree.last_zxid().0, self.zxid);
        assert_eq!(tree.node_count(), self.nodes.len() + 1);
        for (path, expected) in &self.nodes {
            let node = tree.get(path).unwrap_or_else(|| panic!("no {path:?}"));
            let seen = ModelNode {
                data: node.data().map(Into::into),
                acl: node.acl()[..].into(),
                stat: node.persisted(),
            };
            assert_eq!(&seen, expected, "{path:?}");
            assert_eq!(node.data_bytes().as_deref(), expected.data.as_deref());
            assert_eq!(node.path(), shown(path));
            let (names, children) = (self.children(path), node.children().collect::<Vec<_>>());
            assert_eq!(children.iter().copied().collect::<BTreeSet<_>>(), names);
            assert_eq!(children.len(), names.len());
            let stat = node.stat();
            assert_eq!(stat.num_children as usize, names.len());
            assert_eq!(
                stat.cversion,
                expected.stat.cversion * 2 - stat.num_children
            );
            assert_eq!(
                stat.data_length as usize,
                node.data().map_or(0, <[u8]>::len)
            );
            let digest = node_digest(path, expected.data.as_deref(), &expected.stat);
            assert_eq!(node.digest(), digest, "{path:?}");
            let below = self.below(path);
            assert_eq!(tree.descendant_count(path), Some(below.clone().count()));
            let bytes = below.map(|(_, node)| len(&node.data)).sum::<i64>();
            let record = tree.nodes.get(tree.find(path).unwrap());
            assert_eq!(record.bytes_below, bytes as u64, "{path:?}");
        }
        self.assert_sums_are(tree);
    }

    fn assert_sums_are(&self, tree: &Tree) {
        let digests = self
            .nodes
            .iter()
            .map(|(path, node)| u64::from(node_digest(path, node.data.as_deref(), &node.stat)));
        assert_eq!(tree.digest(), digests.fold(0, u64::wrapping_add));
        let sizes = self
            .nodes
            .iter()
            .map(|(path, node)| path.encode_utf16().count() as i64 + len(&node.data));
        let size = i64::try_from(tree.approximate_data_size()).unwrap();
        assert_eq!(size, sizes.sum::<i64>() + 1);

        let owners = self.nodes.values().map(|node| node.stat.ephemeral_owner);
        let sessions: BTreeSet<i64> = owners.clone().filter(|&owner| owner > 0).collect();
        let listed = tree.sessions_with_ephemerals().map(|session| session.0);
        assert_eq!(listed.collect::<BTreeSet<_>>(), sessions);
        for session in sessions.into_iter().map(SessionId) {
            let mut paths: Vec<String> = tree.ephemerals_of(session).collect();
            paths.sort();
            assert_eq!(paths, self.owned_by(session));
        }
        assert_eq!(
            tree.ephemeral_count(),
            owners.filter(|&owner| owner > 0).count()
        );
        let kept = |owner| {
            let nodes = self.nodes.iter();
            let kept = nodes.filter(move |(_, node)| node.stat.ephemeral_owner == owner);
            kept.map(|(path, _)| path.clone()).collect::<BTreeSet<_>>()
        };
        let containers = tree.containers().map(|node| node.path());
        assert_eq!(containers.collect::<BTreeSet<_>>(), kept(i64::MIN));
        let ttls = tree.ttls().map(|node| node.path());
        assert_eq!(ttls.collect::<BTreeSet<_>>(), kept((0xff << 56) | 1_000));
    }

    fn below(&self, path: &str) -> impl Iterator<Item = (&String, &ModelNode)> + Clone {
        let below = format!("{path}/");
        let nodes = self.nodes.iter();
        nodes.filter(move |(other, _)| other.starts_with(&below))
    }
}

pub(super) fn header(zxid: i64, session: SessionId, op: OpCode) -> TxnHeader {
    TxnHeader {
        session,
        cxid: Xid(0),
        zxid: Zxid(zxid),
        time_ms: 1_000_000 + zxid,
        op,
    }
}

/// The root's path as transactions write it.
fn shown(path: &str) -> String {
    if path.is_empty() { "/" } else { path }.into()
}

fn len(data: &Option<Vec<u8>>) -> i64 {
    data.as_ref().map_or(0, |data| data.len() as i64)
}
