//! Rules that end in the same tree however a log is replayed, what is refused, and what it costs.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use zk_proto::{
    Acl, CreateTxn, EphemeralOwner, ErrorCode, Id, OpCode, Perms, SessionId, SnapshotNode,
    SnapshotSession, Stat, StatPersisted, Txn, TxnDigest, TxnRecord, Zxid,
};

use super::model::header;
use crate::tree::{
    Change, ChangeKind, Loader, Outcome, QuotaFigures, RecoveryError, Replay, Tree, TreeOptions,
};

const OPTIONS: TreeOptions = TreeOptions {
    extended_types: false,
    hash_seed: 3,
};
const READABLE: Perms = Perms::READ;

fn create(path: &str, parent_cversion: i32) -> Txn {
    Txn::Create(CreateTxn {
        path: path.into(),
        data: Some(Bytes::from_static(b"data")),
        acl: [Acl::open()].into(),
        ephemeral: false,
        parent_cversion,
    })
}

fn ephemeral(path: &str) -> Txn {
    let Txn::Create(create) = create(path, -1) else {
        unreachable!("made above")
    };
    Txn::Create(CreateTxn {
        ephemeral: true,
        ..create
    })
}

fn set_data(path: &str, data: &[u8]) -> Txn {
    Txn::SetData {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data)),
        version: 1,
    }
}

fn delete(path: &str) -> Txn {
    Txn::Delete { path: path.into() }
}

fn apply(tree: &mut Tree, txn: &Txn) -> (Outcome, Vec<Change>) {
    apply_for(tree, SessionId(7), txn)
}

fn apply_for(tree: &mut Tree, session: SessionId, txn: &Txn) -> (Outcome, Vec<Change>) {
    let header = header(tree.last_zxid().0 + 1, session, OpCode::CREATE);
    let applied = tree.apply(&header, txn);
    (applied.outcome, applied.changes)
}

fn stat(tree: &Tree, path: &str) -> Stat {
    tree.get(path).unwrap().stat()
}

#[test]
fn the_empty_tree_is_apaches() {
    let tree = Tree::new(OPTIONS);
    assert_eq!(tree.node_count(), 5);
    assert_eq!(tree.approximate_data_size(), 44);
    assert_eq!(tree.digest(), 1_371_985_504);
    let config = tree.get("/zookeeper/config").unwrap();
    assert_eq!(config.acl()[..], [Acl::new(READABLE, Id::anyone())]);
    assert_eq!(config.stat().aversion, -1);
    let names: Vec<&str> = tree.get("/zookeeper").unwrap().children().collect();
    assert_eq!(names, ["quota", "config"]);
    assert_eq!(stat(&tree, "/").cversion, -1);
    assert_eq!(stat(&tree, "/zookeeper").cversion, -2);
}

#[test]
fn the_root_has_two_paths_and_text_that_is_no_path_has_no_node() {
    let mut tree = Tree::new(OPTIONS);
    apply(&mut tree, &create("/a", 1));
    assert_eq!(stat(&tree, ""), stat(&tree, "/"));
    for path in ["a", "/a/", "//a", "/a//b", "//", "/A"] {
        assert!(tree.get(path).is_none(), "{path:?}");
        let (outcome, changes) = apply(&mut tree, &set_data(path, b""));
        assert_eq!(outcome, Outcome::Error(ErrorCode::NO_NODE), "{path:?}");
        assert_eq!(changes, []);
    }
    for path in ["a", "/a/", "//a", "", "/"] {
        let (outcome, _) = apply(&mut tree, &create(path, 1));
        assert!(matches!(outcome, Outcome::Error(_)), "{path:?}");
    }
    assert_eq!(tree.node_count(), 6);
}

#[test]
fn a_creation_takes_the_parents_cversion_from_the_transaction_but_never_back() {
    let mut tree = Tree::new(OPTIONS);
    let after = |tree: &mut Tree, txn: &Txn| {
        apply(tree, txn);
        let root = tree.get("/").unwrap();
        (root.persisted().cversion, root.persisted().pzxid)
    };
    assert_eq!(after(&mut tree, &create("/a", 5)), (5, Zxid(1)));
    assert_eq!(after(&mut tree, &create("/b", 3)), (5, Zxid(1)));
    assert_eq!(after(&mut tree, &create("/c", -1)), (6, Zxid(3)));
    assert_eq!(after(&mut tree, &delete("/a")), (6, Zxid(4)));
}

#[test]
fn a_creation_that_finds_its_node_brings_the_parent_and_the_acl_forward_only() {
    let mut tree = Tree::new(OPTIONS);
    apply(&mut tree, &create("/a", 1));
    apply(&mut tree, &set_data("/a", b"newer"));
    let Txn::Create(again) = create("/a", 4) else {
        unreachable!("made above")
    };
    let acl = [Acl::new(READABLE, Id::anyone())];
    let again = Txn::Create(CreateTxn {
        acl: acl.to_vec(),
        ..again
    });
    let (outcome, changes) = apply(&mut tree, &again);
    assert_eq!(outcome, Outcome::Error(ErrorCode::NODE_EXISTS));
    assert_eq!(changes, []);
    let (root, node) = (tree.get("/").unwrap(), tree.get("/a").unwrap());
    assert_eq!(root.persisted().cversion, 4);
    assert_eq!(root.persisted().pzxid, Zxid(3));
    assert_eq!(node.data(), Some(&b"newer"[..]));
    assert_eq!(node.acl()[..], acl);
    assert_eq!(node.stat().czxid, Zxid(1));
}

#[test]
fn a_deletion_that_misses_its_node_still_brings_the_parents_pzxid_forward() {
    let mut tree = Tree::new(OPTIONS);
    apply(&mut tree, &create("/a", 1));
    let (outcome, _) = apply(&mut tree, &delete("/gone"));
    assert_eq!(outcome, Outcome::Error(ErrorCode::NO_NODE));
    assert_eq!(stat(&tree, "/").pzxid, Zxid(2));
}

#[test]
fn a_multi_is_one_zxid_and_its_changes_come_in_order_with_the_acls_of_their_moment() {
    let mut tree = Tree::new(OPTIONS);
    let readable = Vec::from([Acl::new(READABLE, Id::anyone())]);
    let guarded = Txn::CreateContainer {
        path: "/a".into(),
        data: None,
        acl: readable.clone(),
        parent_cversion: 1,
    };
    let parts = [
        (OpCode::CREATE_CONTAINER, guarded),
        (OpCode::CREATE, create("/a/b", 1)),
        (
            OpCode::CHECK,
            Txn::Check {
                path: "/a".into(),
                version: 1,
            },
        ),
        (OpCode::SET_DATA, set_data("/a/b", b"new")),
        (OpCode::DELETE, delete("/a/b")),
    ];
    let (outcome, changes) = apply(&mut tree, &Txn::Multi(parts.into()));
    let Outcome::Multi(outcomes) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        matches!(&outcomes[0], Outcome::Created { path, stat } if path == "/a" && stat.num_children == 0)
    );
    assert!(matches!(&outcomes[1], Outcome::Created { path, .. } if path == "/a/b"));
    assert_eq!(outcomes[2], Outcome::Checked);
    assert!(matches!(outcomes[3], Outcome::Changed(stat) if stat.version == 1));
    assert_eq!(outcomes[4], Outcome::Deleted);

    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.kind, &*change.path))
        .collect();
    let expected = [
        (ChangeKind::Created, "/a"),
        (ChangeKind::Created, "/a/b"),
        (ChangeKind::DataChanged, "/a/b"),
        (ChangeKind::Deleted, "/a/b"),
    ];
    assert_eq!(told, expected);
    assert_eq!(changes[0].acl[..], readable);
    assert_eq!(changes[0].parent_acl[..], [Acl::open()]);
    assert_eq!(changes[3].acl[..], [Acl::open()]);
    assert_eq!(changes[3].parent_acl[..], readable);
    assert_eq!(tree.last_zxid(), Zxid(1));
    assert_eq!(stat(&tree, "/a").ephemeral_owner, 0);
    assert_eq!(tree.get("/a").unwrap().owner(), EphemeralOwner::Container);
}

#[test]
fn of_a_refused_multi_nothing_is_applied_and_each_part_has_its_code() {
    let mut tree = Tree::new(OPTIONS);
    let digest = tree.digest();
    let parts = [
        (OpCode::CREATE, create("/a", 1)),
        (OpCode::ERROR, Txn::Error(ErrorCode::BAD_VERSION)),
        (OpCode::ERROR, Txn::Error(ErrorCode::RUNTIME_INCONSISTENCY)),
    ];
    let (outcome, changes) = apply(&mut tree, &Txn::Multi(parts.into()));
    let codes = [
        ErrorCode::OK,
        ErrorCode::BAD_VERSION,
        ErrorCode::RUNTIME_INCONSISTENCY,
    ];
    assert_eq!(outcome, Outcome::Multi(codes.map(Outcome::Error).into()));
    assert_eq!(changes, []);
    assert_eq!((tree.digest(), tree.last_zxid()), (digest, Zxid(1)));
}

#[test]
fn closing_a_session_deletes_what_it_owns_with_and_without_the_list() {
    let listed = Some(["/a".into(), "/b".into()].into());
    for paths in [None, listed, Some(Vec::new())] {
        let mut tree = Tree::new(OPTIONS);
        for path in ["/a", "/b"] {
            apply_for(&mut tree, SessionId(5), &ephemeral(path));
        }
        apply_for(&mut tree, SessionId(6), &ephemeral("/c"));
        let close = Txn::CloseSession { paths };
        let (outcome, changes) = apply_for(&mut tree, SessionId(5), &close);
        assert_eq!(outcome, Outcome::Session);
        let told: Vec<_> = changes
            .iter()
            .map(|change| (change.kind, &*change.path))
            .collect();
        assert_eq!(
            told,
            [(ChangeKind::Deleted, "/a"), (ChangeKind::Deleted, "/b")]
        );
        assert_eq!(
            tree.sessions_with_ephemerals().collect::<Vec<_>>(),
            [SessionId(6)]
        );
        assert_eq!(stat(&tree, "/").pzxid, Zxid(4));
        assert_eq!(stat(&tree, "/c").ephemeral_owner, 6);
    }
}

#[test]
fn without_extended_types_a_time_to_live_reads_as_a_session() {
    let txn = |ttl_ms| Txn::CreateTtl {
        path: "/a".into(),
        data: None,
        acl: [Acl::open()].into(),
        parent_cversion: 1,
        ttl_ms,
    };
    for extended_types in [false, true] {
        let mut tree = Tree::new(TreeOptions {
            extended_types,
            ..OPTIONS
        });
        for ttl_ms in [0, -1, 1 << 40] {
            let (outcome, _) = apply(&mut tree, &txn(ttl_ms));
            assert_eq!(outcome, Outcome::Error(ErrorCode::BAD_ARGUMENTS));
        }
        apply(&mut tree, &txn(60_000));
        assert_eq!(tree.ttls().count(), usize::from(extended_types));
        assert_eq!(tree.ephemeral_count(), usize::from(!extended_types));
        assert_eq!(stat(&tree, "/a").ephemeral_owner == 0, extended_types);
    }
}

#[test]
fn data_is_copied_or_shared_and_null_is_not_empty() {
    let mut tree = Tree::new(OPTIONS);
    apply(&mut tree, &create("/node", 1));
    for len in [0, 1, 1024, 1025, 1 << 20] {
        let data: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
        apply(&mut tree, &set_data("/node", &data));
        let kept = tree.get("/node").unwrap().data_bytes();
        apply(&mut tree, &set_data("/node", b"other"));
        assert_eq!(kept.as_deref(), Some(&data[..]));
    }
    let null = Txn::SetData {
        path: "/node".into(),
        data: None,
        version: 9,
    };
    apply(&mut tree, &null);
    let node = tree.get("/node").unwrap();
    assert_eq!((node.data(), node.data_bytes()), (None, None));
}

#[test]
fn a_quota_counts_from_its_statistics_node_on_at_the_nearest_limits() {
    let mut tree = Tree::new(OPTIONS);
    let stats = |tree: &Tree, path: &str| {
        let node = tree.get(&format!("/zookeeper/quota{path}/zookeeper_stats"));
        String::from_utf8(node.unwrap().data().unwrap().to_vec()).unwrap()
    };
    for path in ["/a", "/a/b", "/zookeeper/quota/a"] {
        apply(&mut tree, &create(path, -1));
    }
    assert_eq!(tree.quota_for("/a/b"), None);
    apply(
        &mut tree,
        &create("/zookeeper/quota/a/zookeeper_limits", -1),
    );
    assert_eq!(tree.quota_for("/a/b"), None);
    apply(&mut tree, &create("/zookeeper/quota/a/zookeeper_stats", -1));
    assert_eq!(stats(&tree, "/a"), "count=2,bytes=8");

    let limits = b"count=3,bytes=-1=;byteHardLimit=12;countHardLimit=5";
    apply(
        &mut tree,
        &set_data("/zookeeper/quota/a/zookeeper_limits", limits),
    );
    apply(&mut tree, &create("/a/c", -1));
    apply(&mut tree, &set_data("/a", b"four and some"));
    apply(&mut tree, &delete("/a/b"));
    apply(&mut tree, &create("/ab", -1));
    assert_eq!(stats(&tree, "/a"), "count=2,bytes=17");
    let quota = tree.quota_for("/a/not/there").unwrap();
    let figures = |count, bytes, count_hard, bytes_hard| QuotaFigures {
        count,
        bytes,
        count_hard,
        bytes_hard,
    };
    assert_eq!(quota.path, "/a");
    assert_eq!(quota.limits, figures(3, -1, 5, 12));
    assert_eq!(quota.usage, figures(2, 17, -1, -1));
    assert_eq!(tree.quota_for("/ab"), None);
    assert_eq!(tree.quota_for("/"), None);

    let odd = b";,=,bytes=7=;x=1;count=no;y;countHardLimit=9;\xff=1";
    apply(
        &mut tree,
        &set_data("/zookeeper/quota/a/zookeeper_stats", odd),
    );
    apply(&mut tree, &create("/a/d", -1));
    assert_eq!(stats(&tree, "/a"), "count=0,bytes=3");
    let odd = b"z=1;y;bytes=7=;count=no,countHardLimit=9";
    apply(
        &mut tree,
        &set_data("/zookeeper/quota/a/zookeeper_stats", odd),
    );
    apply(&mut tree, &delete("/a/d"));
    assert_eq!(stats(&tree, "/a"), "count=-2,bytes=3=;countHardLimit=9;z=1");
}

#[test]
fn usage_is_counted_anew_when_a_snapshot_is_loaded() {
    let mut tree = Tree::new(OPTIONS);
    for path in [
        "/a",
        "/a/b",
        "/zookeeper/quota/a",
        "/zookeeper/quota/a/zookeeper_limits",
        "/zookeeper/quota/a/zookeeper_stats",
    ] {
        apply(&mut tree, &create(path, -1));
    }
    apply(
        &mut tree,
        &set_data("/zookeeper/quota/a/zookeeper_stats", b"old"),
    );
    let recovered = load(&nodes_of(&tree)).unwrap().finish();
    let usage = recovered.tree.quota_for("/a").unwrap().usage;
    assert_eq!((usage.count, usage.bytes), (2, 8));
}

#[test]
fn a_very_deep_tree_is_found_walked_loaded_and_dropped_without_recursion() {
    let mut tree = Tree::new(OPTIONS);
    let mut path = String::new();
    let depth = 30_000;
    let mut loader = Loader::new(OPTIONS);
    loader.node(&bare("")).unwrap();
    for _ in 0..depth {
        path.push_str("/d");
        loader.node(&bare(&path)).unwrap();
    }
    let loaded = loader.finish_snapshot(Zxid(1), None).unwrap().finish();
    assert_eq!(loaded.tree.descendant_count("/"), Some(depth));
    assert_eq!(loaded.tree.get(&path).unwrap().path(), path);
    let view = loaded.tree.view();
    drop(loaded);
    let (mut walk, mut count) = (view.nodes(), 0);
    while walk.next_node().is_some() {
        count += 1;
    }
    assert_eq!(count, depth + 1);
    let (outcome, _) = apply(&mut tree, &create(&path, 1));
    assert_eq!(outcome, Outcome::Error(ErrorCode::NO_NODE));
}

#[test]
fn a_snapshot_loads_in_any_order_that_has_parents_first_and_in_no_other() {
    let mut tree = Tree::new(OPTIONS);
    for path in ["/a", "/b", "/a/x", "/b/x", "/a/x/y"] {
        apply(&mut tree, &create(path, -1));
    }
    let nodes = nodes_of(&tree);
    let mut by_depth = nodes.clone();
    by_depth.sort_by_key(|(path, _)| path.matches('/').count());
    let loaded = load(&by_depth).unwrap().finish().tree;
    assert_eq!(loaded.digest(), tree.digest());
    assert_eq!(stat(&loaded, "/a/x/y"), stat(&tree, "/a/x/y"));
    for (path, _) in &nodes {
        let (seen, expected) = (loaded.descendant_count(path), tree.descendant_count(path));
        assert_eq!(seen, expected, "{path:?}");
    }

    let without = |gone: &str| -> Vec<_> {
        let nodes = nodes.iter().filter(|(path, _)| path != gone);
        nodes.cloned().collect()
    };
    let no_parent = |path: &str| RecoveryError::NoParent { path: path.into() };
    let no_root = |path: Option<&str>| RecoveryError::NoRoot {
        path: path.map(Into::into),
    };
    assert_eq!(load(&without("/a/x")).unwrap_err(), no_parent("/a/x/y"));
    assert_eq!(load(&without("")).unwrap_err(), no_root(Some("/zookeeper")));
    assert_eq!(load(&[]).unwrap_err(), no_root(None));
    for odd in ["x", "/a/", "//", ""] {
        let mut nodes = nodes.clone();
        nodes.push((odd.into(), StatPersisted::default()));
        assert_eq!(load(&nodes).unwrap_err(), no_parent(odd), "{odd:?}");
    }
    for twice in ["/b", "/a/x"] {
        let mut nodes = nodes.clone();
        nodes.push((twice.into(), StatPersisted::default()));
        let path = twice.into();
        assert_eq!(load(&nodes).unwrap_err(), RecoveryError::Duplicate { path });
    }
}

#[test]
fn a_node_whose_acl_is_missing_is_closed_to_everybody_until_the_log_brings_it() {
    let loader = || {
        let mut loader = Loader::new(OPTIONS);
        for (path, acl) in [("", -1), ("/a", 4), ("/b", 4)] {
            let node = SnapshotNode { acl, ..bare(path) };
            loader.node(&node).unwrap();
        }
        loader.finish_snapshot(Zxid(1), None).unwrap()
    };
    let recovered = loader().finish();
    assert_eq!(recovered.nodes_without_acl, 2);
    let acl = recovered.tree.get("/a").unwrap().acl();
    assert!(!acl.is_empty());
    assert!(acl.iter().all(|entry| !entry.perms.intersects(Perms::ALL)));

    let mut replay = loader();
    let header = header(2, SessionId(1), OpCode::SET_ACL);
    let txn = Txn::SetAcl {
        path: "/a".into(),
        acl: [Acl::open()].into(),
        version: 1,
    };
    let record = TxnRecord {
        header,
        txn,
        digest: None,
    };
    replay.replay(&record).unwrap();
    assert_eq!(replay.finish().nodes_without_acl, 1);
}

#[test]
fn ephemerals_of_sessions_that_are_not_open_are_gone_after_recovery() {
    let mut loader = Loader::new(OPTIONS);
    loader.session(SnapshotSession {
        id: SessionId(1),
        timeout_ms: 5,
    });
    for (path, ephemeral_owner) in [("", 0), ("/mine", 1), ("/orphan", 2)] {
        let stat = StatPersisted {
            ephemeral_owner,
            ..StatPersisted::default()
        };
        let node = SnapshotNode { stat, ..bare(path) };
        loader.node(&node).unwrap();
    }
    let recovered = loader.finish_snapshot(Zxid(9), None).unwrap().finish();
    let names: Vec<&str> = recovered.tree.get("/").unwrap().children().collect();
    assert_eq!(names, ["mine"]);
    assert_eq!(recovered.last_zxid, Zxid(9));
}

#[test]
fn a_log_with_a_gap_is_refused_unless_a_digest_proves_it_harmless() {
    let record = |zxid, txn, digest: Option<u64>| TxnRecord {
        header: header(zxid, SessionId(1), OpCode::CREATE),
        txn,
        digest: digest.map(|tree_digest| TxnDigest {
            version: TxnDigest::VERSION,
            tree_digest,
        }),
    };
    let gap = |after, seen| RecoveryError::Gap {
        after: Zxid(after),
        seen: Zxid(seen),
    };
    let lost = RecoveryError::Lost {
        after: Zxid(1),
        seen: Zxid(4),
    };
    let mut tree = Tree::new(OPTIONS);
    tree.apply(&header(1, SessionId(1), OpCode::CREATE), &create("/a", 1));
    tree.apply(&header(4, SessionId(1), OpCode::CREATE), &create("/b", 2));
    let right = tree.digest();
    let after_one = || {
        let mut replay = Replay::empty(OPTIONS);
        replay.replay(&record(1, create("/a", 1), None)).unwrap();
        replay
    };
    let next = |digest| after_one().replay(&record(4, create("/b", 2), digest));
    assert_eq!(next(None), Err(gap(1, 4)));
    assert_eq!(next(Some(right + 1)), Err(lost.clone()));
    assert_eq!(next(Some(right)), Ok(()));

    let accepted = |digest| {
        let mut replay = after_one();
        replay.accept_holes();
        replay.replay(&record(4, create("/b", 2), digest))?;
        Ok::<_, RecoveryError>(replay.finish())
    };
    let recovered = accepted(None).unwrap();
    assert_eq!(
        (recovered.holes, recovered.first_hole),
        (1, Some((Zxid(1), Zxid(4))))
    );
    assert_eq!(accepted(Some(right + 1)).unwrap_err(), lost);

    let mut replay = after_one();
    let first_of_epoch = (3 << 32) | 1;
    replay
        .replay(&record(first_of_epoch, create("/b", 2), None))
        .unwrap();
    assert_eq!(replay.last_zxid(), Zxid(first_of_epoch));
    let mut replay = after_one();
    let second_of_epoch = first_of_epoch + 1;
    let refused = replay.replay(&record(second_of_epoch, create("/b", 2), None));
    assert_eq!(refused, Err(gap(1, second_of_epoch)));
    assert_eq!(
        after_one().replay(&record(1, delete("/a"), None)),
        Err(gap(1, 1))
    );
}

#[test]
fn a_digest_that_differs_is_reported_with_its_transaction() {
    let record = |zxid, tree_digest| TxnRecord {
        header: header(zxid, SessionId(1), OpCode::ERROR),
        txn: Txn::Error(ErrorCode::NO_NODE),
        digest: Some(TxnDigest {
            version: TxnDigest::VERSION,
            tree_digest,
        }),
    };
    let right = Tree::new(OPTIONS).digest();
    let mut replay = Replay::empty(OPTIONS);
    for (zxid, digest) in [(1, right), (2, 0), (3, right), (4, 1)] {
        replay.replay(&record(zxid, digest)).unwrap();
    }
    let recovered = replay.finish();
    assert_eq!(recovered.digest_mismatches, 2);
    assert_eq!(recovered.first_digest_mismatch, Some(Zxid(2)));
}

#[test]
#[should_panic(expected = "applied after")]
fn applying_a_transaction_twice_panics() {
    let mut tree = Tree::new(OPTIONS);
    let header = header(1, SessionId(1), OpCode::CREATE);
    tree.apply(&header, &create("/a", 1));
    tree.apply(&header, &create("/b", 1));
}

#[test]
#[should_panic(expected = "is deleted and has children")]
fn deleting_a_node_with_children_outside_a_replay_panics() {
    let mut tree = Tree::new(OPTIONS);
    apply(&mut tree, &create("/a", 1));
    apply(&mut tree, &create("/a/b", 1));
    apply(&mut tree, &delete("/a"));
}

#[test]
fn a_million_nodes_of_100_bytes_cost_less_than_280_bytes_each() {
    let mut loader = Loader::new(OPTIONS);
    let nodes = 1_000_000_usize / 8;
    let data = [b'x'; 100];
    let mut path = String::new();
    for number in 0..nodes {
        if number > 0 {
            path = format!("/n{number:09}");
        }
        let data = Some(&data[..]);
        let node = SnapshotNode {
            data,
            ..bare(&path)
        };
        loader.node(&node).unwrap();
    }
    let tree = loader.finish_snapshot(Zxid(1), None).unwrap().finish().tree;
    // An allocation of the name, the data and two counts, in the 128 bytes that allocators give it.
    let content = (10 + data.len() + 2 * size_of::<usize>()).next_power_of_two();
    let used = tree.nodes.allocated_bytes() + tree.lookup.allocated_bytes() + nodes * content;
    assert!(used / nodes < 280, "{} bytes a node", used / nodes);
}

fn bare(path: &str) -> SnapshotNode<'_> {
    SnapshotNode {
        path,
        data: None,
        acl: -1,
        stat: StatPersisted::default(),
    }
}

fn nodes_of(tree: &Tree) -> Vec<(String, StatPersisted)> {
    let view = tree.view();
    let (mut walk, mut nodes) = (view.nodes(), Vec::new());
    while let Some(node) = walk.next_node() {
        nodes.push((node.path.into(), node.stat));
    }
    nodes
}

/// Nodes with the data that [`create`] gives, but none for those of the empty tree.
fn load(nodes: &[(String, StatPersisted)]) -> Result<Replay, RecoveryError> {
    let mut loader = Loader::new(OPTIONS);
    for (path, stat) in nodes {
        let data = if stat.czxid == Zxid::ZERO {
            &b""[..]
        } else {
            b"data"
        };
        let (data, stat) = (Some(data), *stat);
        loader.node(&SnapshotNode {
            data,
            stat,
            ..bare(path)
        })?;
    }
    loader.finish_snapshot(Zxid(100), None)
}
