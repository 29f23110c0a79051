//! Transactions after a state that shows some of them already, as Apache's server sends it when it is
//! busy.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::BytesMut;
use zk_proto::{Acl, CreateTxn, Record as _, SessionId, TxnDigest, TxnRecord, Xid};

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

fn without_digests(mut log: Vec<TxnRecord>) -> Vec<TxnRecord> {
    for record in &mut log {
        record.digest = None;
    }
    log
}

/// Begins with the state after the first `shown` transactions, sent as the one after the first, which
/// says that it may show them up to the one `said`; zero for nothing. What is counted once those up to `last` are applied.
fn mismatches(log: &[TxnRecord], said: Zxid, shown: usize, last: usize) -> u64 {
    let mut replay = Replay::empty(OPTIONS);
    for record in log.iter().take(shown) {
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
    let of_it = log.iter().find(|record| record.header.zxid == said);
    let digest = of_it.and_then(|record| record.digest);
    let loaded = loader.finish_snapshot(Zxid(1), digest.map(|digest| (said, digest)));
    let now = Now {
        monotonic: Duration::ZERO,
        wall_ms: 1,
    };
    let recovered = loaded.unwrap().finish();
    let mut replica = Replica::new(CoreConfig::default(), recovered, 10, now);
    for record in log.iter().take(last).skip(1) {
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes);
        replica.catch_up(&Unapplied::decode(bytes.freeze()).unwrap());
    }
    replica.caught_up();
    replica.counters.digest_mismatches
}

#[test]
fn what_a_state_shows_already_is_applied_again_and_judged_in_the_end() {
    let log = log();
    assert_eq!(mismatches(&log, Zxid(4), 4, 5), 0);
    let mut other = log;
    for record in other.iter_mut().skip(3) {
        let digest = record.digest.as_mut().unwrap();
        digest.tree_digest = digest.tree_digest.wrapping_add(1);
    }
    assert_eq!(mismatches(&other, Zxid(4), 4, 5), 1);
    assert_eq!(mismatches(&other, Zxid(4), 4, 4), 1, "none follows");
}

#[test]
fn the_transaction_after_the_last_that_a_state_says_it_shows_may_be_shown_too() {
    let log = log();
    assert_eq!(mismatches(&log, Zxid(4), 5, 5), 0);
    assert_eq!(mismatches(&log, Zxid(4), 5, 4), 1, "it never comes");
}

#[test]
fn a_state_that_says_nothing_of_itself_is_judged_when_it_is_served() {
    let log = log();
    let said = Zxid(0);
    assert_eq!(mismatches(&log, said, 5, 5), 0);
    assert_eq!(mismatches(&log, said, 5, 3), 1, "the rest never comes");
    assert_eq!(mismatches(&without_digests(log), said, 4, 5), 0);
}
