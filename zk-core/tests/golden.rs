//! Data directories made by Apache ZooKeeper: every transaction leaves the digest that Apache logged
//! with it, and the tree at the end is the one that Apache's client read. The files are described in
//! `tests/golden/README.md`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use zk_core::tree::{Loader, Recovered, Replay, TreeOptions};
use zk_proto::{
    LOG_HEADER_BYTES, LogEntry, Reader, Record, SnapshotHeader, SnapshotNode, SnapshotSession,
    TxnDigest, TxnRecord, Zxid, decode_entry,
};

const OPTIONS: TreeOptions = TreeOptions {
    extended_types: true,
    hash_seed: 7,
};

#[test]
fn replaying_every_log_from_the_start_gives_apaches_tree_and_digests() {
    let mut compared = 0;
    for directory in directories() {
        let mut replay = Replay::empty(OPTIONS);
        for record in log(&directory) {
            compared += usize::from(record.digest.is_some());
            replay.replay(&record).unwrap();
        }
        assert_is_apaches(&directory, &replay.finish());
    }
    assert!(compared > 2_000, "only {compared} digests were there");
}

#[test]
fn loading_every_snapshot_and_the_log_after_it_gives_apaches_tree_and_digests() {
    let mut loaded = 0;
    for directory in directories() {
        for path in files(&directory, "snapshot.") {
            if path
                .extension()
                .is_some_and(|kind| kind == "gz" || kind == "snappy")
            {
                continue;
            }
            let mut replay = snapshot(&path);
            for record in log(&directory) {
                replay.replay(&record).unwrap();
            }
            assert_is_apaches(&directory, &replay.finish());
            loaded += 1;
        }
    }
    assert!(loaded > 15, "only {loaded} snapshots were there");
}

#[test]
fn a_view_holds_what_apache_wrote_into_its_snapshot_of_the_empty_tree() {
    let path = golden().join("fresh/version-2/snapshot.0");
    let recovered = snapshot(&path).finish();
    let ours = zk_core::tree::Tree::new(OPTIONS);
    assert_eq!(recovered.tree.digest(), 1_371_985_504);
    assert_eq!(ours.digest(), 1_371_985_504);
    assert_eq!(recovered.tree.node_count(), ours.node_count());
    let (theirs, ours) = (recovered.tree.view(), ours.view());
    let mut walk = theirs.nodes();
    while let Some(node) = walk.next_node() {
        let mut others = ours.nodes();
        let other = core::iter::from_fn(|| {
            others
                .next_node()
                .map(|other| (other.path.to_owned(), other.data.map(Vec::from), other.stat))
        })
        .find(|(path, ..)| path == node.path);
        let expected = (node.path.to_owned(), node.data.map(Vec::from), node.stat);
        assert_eq!(other, Some(expected));
    }
}

fn assert_is_apaches(directory: &Path, recovered: &Recovered) {
    let name = directory.display();
    assert_eq!(recovered.first_digest_mismatch, None, "{name}");
    assert_eq!(recovered.nodes_without_acl, 0, "{name}");
    let nodes: Value =
        serde_json::from_slice(&fs::read(directory.join("tree.json")).unwrap()).unwrap();
    let nodes = nodes.as_array().unwrap();
    for expected in nodes {
        let path = expected["path"].as_str().unwrap();
        let node = recovered
            .tree
            .get(path)
            .unwrap_or_else(|| panic!("{name}: no {path:?}"));
        let (stat, acl) = (node.stat(), node.acl());
        let seen = json!({
            "path": path,
            "data": node.data().map(|data| STANDARD.encode(data)),
            "stat": {
                "czxid": stat.czxid.0, "mzxid": stat.mzxid.0, "ctime": stat.ctime, "mtime": stat.mtime,
                "version": stat.version, "cversion": stat.cversion, "aversion": stat.aversion,
                "ephemeralOwner": stat.ephemeral_owner, "dataLength": stat.data_length,
                "numChildren": stat.num_children, "pzxid": stat.pzxid.0,
            },
            "acl": acl.iter().map(|acl| json!({
                "perms": acl.perms.0, "scheme": acl.id.scheme, "id": acl.id.id,
            })).collect::<Vec<_>>(),
        });
        // A leader writes its configuration there by itself, without a transaction.
        if !(directory.ends_with("quorum-of-one") && path == "/zookeeper/config") {
            assert_eq!(&seen, expected, "{name}");
        }
    }
    assert_eq!(recovered.tree.node_count(), nodes.len() + 1, "{name}");
    let ephemerals = nodes
        .iter()
        .filter(|node| node["stat"]["ephemeralOwner"] != 0);
    assert_eq!(
        recovered.tree.ephemeral_count(),
        ephemerals.count(),
        "{name}"
    );
}

fn snapshot(path: &Path) -> Replay {
    let zxid = number_in(path);
    let bytes = Bytes::from(fs::read(path).unwrap());
    let mut reader = Reader::new(&bytes);
    SnapshotHeader::decode(&mut reader).unwrap();
    let mut loader = Loader::new(OPTIONS);
    for _ in 0..reader.i32().unwrap() {
        loader.session(SnapshotSession::decode(&mut reader).unwrap());
    }
    for _ in 0..reader.i32().unwrap() {
        let number = reader.i64().unwrap();
        let list = reader.vec(12, zk_proto::Acl::decode).unwrap();
        loader.acl(number, &list);
    }
    while let Some(node) = SnapshotNode::decode(&mut reader).unwrap() {
        loader.node(&node).unwrap();
    }
    let mut skip_seal = || {
        reader.i64().unwrap();
        assert_eq!(reader.str().unwrap(), "/");
        reader.remaining() > 0
    };
    let digest = skip_seal().then(|| {
        let zxid = Zxid(reader.i64().unwrap());
        (zxid, TxnDigest::decode(&mut reader).unwrap())
    });
    loader.finish_snapshot(zxid, digest).unwrap()
}

fn log(directory: &Path) -> Vec<TxnRecord> {
    let mut records = Vec::new();
    for path in files(directory, "log.") {
        let bytes = fs::read(path).unwrap();
        let mut at = LOG_HEADER_BYTES;
        while let LogEntry::Whole { body, consumed } = decode_entry(&bytes[at..]) {
            let body = Bytes::copy_from_slice(body);
            records.push(TxnRecord::decode(&mut Reader::new(&body)).unwrap());
            at += consumed;
        }
    }
    records
}

/// Files of the kind, in order of their numbers.
fn files(directory: &Path, kind: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory.join("version-2"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(kind)
        })
        .collect();
    files.sort_by_key(|path| number_in(path));
    files
}

fn number_in(path: &Path) -> Zxid {
    let name = path.file_name().unwrap().to_str().unwrap();
    let digits = name.split('.').nth(1).unwrap();
    Zxid(i64::from_str_radix(digits, 16).unwrap())
}

fn directories() -> Vec<PathBuf> {
    let directories = fs::read_dir(golden()).unwrap();
    directories.map(|entry| entry.unwrap().path()).collect()
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/data")
}
