//! Transactions after a state that shows some of them already, as Apache's server sends it when it is
//! busy.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::BytesMut;
use zk_proto::{Acl, CreateTxn, Record as _, SessionId, TxnRecord, Xid};

use super::*;
use crate::tree::{Loader, Replay, TreeOptions};
use crate::{CoreConfig, Now};

const OPTIONS: TreeOptions = TreeOptions {
    extended_types: false,
    hash_seed: 1,
};

fn create(path: &str, parent_cversion: i32) -> (OpCode, Txn) {
    let txn = Txn::Create(CreateTxn {
        path: path.into(),
        data: None,
        acl: Vec::from([Acl::open()]),
        ephemeral: false,
        parent_cversion,
    });
    (OpCode::CREATE, txn)
}

/// The transactions from 1 on, with the tree's digest after each.
fn log() -> Vec<TxnRecord> {
    let txns = [
        create("/a", 1),
        (OpCode::DELETE, Txn::Delete { path: "/a".into() }),
        create("/a", 3),
        create("/a/b", 1),
        create("/c", 4),
    ];
    let mut tree = Replay::empty(OPTIONS).finish().tree;
    let record = |(zxid, (op, txn)): (i64, (OpCode, Txn))| {
        let header = TxnHeader {
            session: SessionId(1),
            cxid: Xid(1),
            zxid: Zxid(zxid),
            time_ms: 1,
            op,
        };
        tree.apply(&header, &txn);
        let digest = TxnDigest {
            version: TxnDigest::VERSION,
            tree_digest: tree.digest(),
        };
        TxnRecord {
            header,
            txn,
            digest: Some(digest),
        }
    };
    (1..).zip(txns).map(record).collect()
}

/// Begins with the state after the fourth transaction, sent as the one after the first; which of the
/// others come out as expected.
fn follow(log: &[TxnRecord], digest: TxnDigest) -> Vec<bool> {
    let mut replay = Replay::empty(OPTIONS);
    for record in log.iter().take(4) {
        replay.replay(record).unwrap();
    }
    let view = replay.finish().tree.view();
    let mut loader = Loader::new(OPTIONS);
    for (number, list) in view.acls() {
        loader.acl(number, list);
    }
    let mut nodes = view.nodes();
    while let Some(node) = nodes.next_node() {
        loader.node(&node).unwrap();
    }
    let loaded = loader.finish_snapshot(Zxid(1), Some((Zxid(4), digest)));
    let now = Now {
        monotonic: Duration::ZERO,
        wall_ms: 1,
    };
    let recovered = loaded.unwrap().finish();
    let mut replica = Replica::new(CoreConfig::default(), recovered, 10, now);
    let apply = |record: &TxnRecord| {
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes);
        replica.apply(&Unapplied::decode(bytes.freeze()).unwrap())
    };
    log.iter().skip(1).map(apply).collect()
}

#[test]
fn what_a_state_shows_already_is_applied_again_and_judged_in_the_end() {
    let log = log();
    let digest = log.get(3).and_then(|record| record.digest).unwrap();
    assert_eq!(follow(&log, digest), [true; 4]);
    let other = TxnDigest {
        tree_digest: digest.tree_digest + 1,
        ..digest
    };
    assert_eq!(follow(&log, other), [true, true, false, true]);
}
