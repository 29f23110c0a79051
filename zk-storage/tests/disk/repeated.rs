//! A learner of Apache's server that is synchronized anew, from a transaction before the newest that
//! it had logged, logs what comes after it a second time (`Learner.syncWithLeader`, 3.8.0 and 3.9.5).
//! Such a log goes back, and is one history. One that goes back and leaves something out is not.

use zk_proto::{LogHeader, Record, Zxid, encode_entry};
use zk_storage::RecoverError;
use zk_storage::memory::MemoryFileSystem;

use crate::common::{NoStart, Server, config, epoch, path, record, stored};

const E1: i64 = epoch(1);
const E2: i64 = epoch(2);

/// Goes back within an epoch, over a change of epochs, before the snapshot's transaction, and again
/// before it has caught up.
const REPEATING: &[i64] = &[
    1,
    2,
    3,
    4,
    5,
    3,
    4,
    5,
    6,
    E1 + 1,
    E1 + 2,
    2,
    3,
    4,
    5,
    6,
    E1 + 1,
    6,
    E1 + 1,
    E1 + 2,
    E1 + 3,
    E1 + 2,
    E1 + 3,
    E2 + 1,
];
const HISTORY: &[i64] = &[1, 2, 3, 4, 5, 6, E1 + 1, E1 + 2, E1 + 3, E2 + 1];

/// A disk with the snapshot of the first `base` transactions and logs of these.
fn disk_with(base: usize, logs: &[&[i64]]) -> MemoryFileSystem {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.batch(base, 20).unwrap();
    server.snapshot();
    drop(server);
    disk.lose(&path("flushed"));
    disk.lose(&path("log.1"));
    for zxids in logs {
        let mut log = Vec::new();
        LogHeader::default().encode(&mut log);
        for &zxid in *zxids {
            encode_entry(&record(zxid, 20).to_bytes(), &mut log);
        }
        disk.place(&path(&format!("log.{:x}", zxids[0])), &log);
    }
    disk.kill();
    disk
}

#[test]
fn what_is_logged_twice_is_applied_once() {
    for base in [0, 1, 3, 5, 6] {
        let disk = disk_with(base, &[REPEATING]);
        let mut server = Server::start(&disk);
        assert_eq!(server.state.history(), HISTORY, "snapshot of {base}");
        server.append([E2 + 2]);
        drop(server);
        disk.kill();
        let expected = [HISTORY, &[E2 + 2]].concat();
        assert_eq!(Server::start(&disk).state.history(), expected);
    }
}

#[test]
fn what_is_logged_twice_may_stand_in_two_logs() {
    let logs: [&[i64]; 2] = [&[1, 2, 3, 4, 5, 6, E1 + 1, 4, 5], &[6, E1 + 1, E1 + 2]];
    let disk = disk_with(0, &logs);
    let expected = [1, 2, 3, 4, 5, 6, E1 + 1, E1 + 2];
    assert_eq!(Server::start(&disk).state.history(), expected);
}

#[test]
fn what_is_logged_twice_is_sent_once() {
    let history = Server::start(&disk_with(1, &[REPEATING])).recovered.history;
    for from in HISTORY {
        let mut txns = history.after(Zxid(*from), Zxid(E2 + 1)).unwrap();
        assert_eq!(txns.start(), Zxid(*from));
        let mut sent = Vec::new();
        loop {
            let batch = txns.next_batch(1).unwrap();
            if batch.is_empty() {
                break;
            }
            sent.extend(batch.iter().map(|(zxid, _)| zxid.0));
        }
        let after: Vec<_> = HISTORY.iter().copied().filter(|zxid| zxid > from).collect();
        assert_eq!(sent, after, "after {from:#x}");
    }
}

#[test]
fn what_is_logged_twice_is_cut_once() {
    for (index, target) in HISTORY.iter().enumerate() {
        let disk = disk_with(1, &[REPEATING]);
        let truncated = Server::start(&disk).into_storage().truncate(Zxid(*target));
        truncated.unwrap();
        let (txns, _) = stored(&disk);
        assert!(txns.iter().all(|zxid| zxid <= target), "{txns:x?}");
        disk.kill();
        assert_eq!(Server::start(&disk).state.history(), HISTORY[..=index]);
    }
}

#[test]
fn a_log_that_goes_back_to_what_was_never_there_is_refused() {
    let cases: &[(&[i64], i64, i64)] = &[
        (&[1, 2, 3, E1 + 1, E1 + 2, 3, 4], E1 + 2, 4),
        (&[1, 2, 3, E2 + 1, 3, E1 + 1], E2 + 1, E1 + 1),
        (&[1, 2, 3, 4, 5, 2, 3, 7], 5, 7),
    ];
    for &(zxids, last, then) in cases {
        let disk = disk_with(0, &[zxids]);
        match Server::start_with(&disk, config()) {
            Err(NoStart::Recover(RecoverError::Gap { after, next, .. })) => {
                assert_eq!((after, next), (Zxid(last), Zxid(then)), "{zxids:x?}");
            }
            other => panic!("{zxids:x?}: {:?}", other.map(|server| server.state)),
        }
    }
}

#[test]
fn two_transactions_of_one_zxid_are_refused() {
    let disk = disk_with(0, &[&[1, 2, 3]]);
    let mut log = disk.content(&path("log.1")).unwrap();
    encode_entry(&record(2, 21).to_bytes(), &mut log);
    disk.place(&path("log.1"), &log);
    match Server::start_with(&disk, config()) {
        Err(NoStart::Recover(RecoverError::Taken { zxid, .. })) => assert_eq!(zxid, Zxid(2)),
        other => panic!("{:?}", other.map(|server| server.state)),
    }
}
