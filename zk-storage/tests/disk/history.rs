//! What a leader reads from its logs for a learner is the history, without a hole, or nothing.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use bytes::Bytes;
use zk_proto::{Record, Zxid};
use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{
    History, HistoryError, HistorySize, RealFileSystem, RecoverError, Storage, StorageConfig,
};

use crate::common::{EPOCHS, Server, State, disk_of_epochs, epoch, path, record};

const LAST: i64 = EPOCHS[EPOCHS.len() - 1];

/// Where the history goes on, and what follows.
fn read(history: &History, from: i64, flushed: i64) -> Result<(i64, Vec<i64>), HistoryError> {
    let mut txns = history.after(Zxid(from), Zxid(flushed))?;
    let mut zxids = Vec::new();
    loop {
        let batch = txns.next_batch(1)?;
        if batch.is_empty() {
            return Ok((txns.start().0, zxids));
        }
        for (zxid, bytes) in batch {
            assert_eq!(bytes[12..20], zxid.0.to_be_bytes());
            zxids.push(zxid.0);
        }
    }
}

fn after(from: i64) -> Vec<i64> {
    EPOCHS.into_iter().filter(|&zxid| zxid > from).collect()
}

fn history(disk: &MemoryFileSystem) -> History {
    Server::start(disk).recovered.history
}

#[test]
fn what_follows_any_transaction_is_read() {
    let history = history(&disk_of_epochs());
    for from in [0, epoch(1), epoch(3)].into_iter().chain(EPOCHS) {
        for flushed in EPOCHS.into_iter().filter(|&flushed| flushed >= from) {
            let (start, mut zxids) = read(&history, from, flushed).unwrap();
            assert_eq!(start, from);
            let mut expected = after(from);
            expected.retain(|&zxid| zxid <= flushed);
            assert_eq!(zxids, expected, "after {from:#x} up to {flushed:#x}");
            zxids.clear();
        }
    }
}

#[test]
fn where_the_history_does_not_have_a_transaction_the_one_before_is_the_start() {
    let history = history(&disk_of_epochs());
    for (from, start) in [
        (6, 5),
        (epoch(1) + 4, epoch(1) + 3),
        (epoch(2), epoch(1) + 3),
        (epoch(2) + 7, epoch(1) + 3),
        (LAST + 1, LAST),
        (epoch(4), LAST),
    ] {
        let found = read(&history, from, LAST).unwrap();
        assert_eq!(found, (start, after(from)), "{from:#x}");
    }
}

#[test]
fn batches_are_as_long_as_asked_for_and_hold_what_was_appended() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.batch(20, 1000).unwrap();
    server.recovered.log.roll().unwrap();
    server.batch(20, 1000).unwrap();
    let length = record(1, 1000).to_bytes().len();
    for (bytes_max, expected) in [
        (0, 1),
        (1, 1),
        (length, 1),
        (length + 2, 2),
        (10 * length, 10),
    ] {
        let mut txns = server.recovered.history.after(Zxid(3), Zxid(40)).unwrap();
        let mut next = 4;
        loop {
            let batch = txns.next_batch(bytes_max).unwrap();
            if batch.is_empty() {
                break;
            }
            assert!(batch.len() == expected || next + 10 > 40, "{}", batch.len());
            for (zxid, bytes) in batch {
                assert_eq!(zxid, Zxid(next));
                assert_eq!(bytes, record(next, 1000).to_bytes());
                next += 1;
            }
        }
        assert_eq!(next, 41);
    }
}

#[test]
fn what_is_not_flushed_is_not_looked_at() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.batch(5, 10).unwrap();
    let history = server.recovered.history.clone();
    // As a write leaves the file while it is under way: in the log, and in one that begins with it.
    let mut content = disk.content(&path("log.1")).unwrap();
    let end = content.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    content[end + 3..end + 40].fill(0x77);
    disk.place(&path("log.1"), &content);
    disk.place(&path("log.6"), b"ZKL");
    for from in 0..=5 {
        let expected = (from + 1..=5).collect();
        assert_eq!(read(&history, from, 5).unwrap(), (from, expected));
    }
    let error = read(&history, 2, 6).unwrap_err();
    assert!(matches!(error, HistoryError::Unreadable(_)), "{error}");
}

#[test]
fn logs_that_do_not_reach_back_are_refused() {
    let disk = disk_of_epochs();
    let mut server = Server::start(&disk);
    server.recovered.snapshots.purge(NonZeroUsize::MIN).unwrap();
    let history = &server.recovered.history;
    // The oldest log that is left begins with the third of the epoch, the snapshot is of that one.
    for from in [epoch(1) + 2, epoch(1) + 3, epoch(3) + 1] {
        assert_eq!(read(history, from, LAST).unwrap(), (from, after(from)));
    }
    for from in [-1, 0, 5, epoch(1) + 1] {
        match read(history, from, LAST).unwrap_err() {
            HistoryError::TooOld { from: seen, oldest } => {
                assert_eq!(seen, Zxid(from));
                assert_eq!(oldest, Some(Zxid(epoch(1) + 3)));
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_hole_is_never_read_across() {
    // A log is gone; a log and the epoch's end, as zxids alone do not tell: the snapshot does.
    for (lost, from, last_before) in [
        (&["log.4"][..], 2, 3),
        (&["log.4", "log.100000003"][..], 3, 3),
        (&["log.100000003"][..], 4, epoch(1) + 2),
    ] {
        let disk = disk_of_epochs();
        for name in lost {
            disk.lose(&path(name));
        }
        match read(&history(&disk), from, LAST).unwrap_err() {
            HistoryError::Hole { after, next } => {
                assert_eq!(after, Zxid(last_before), "{lost:?}");
                assert!(next > after);
            }
            error => panic!("{lost:?}: {error}"),
        }
    }
    // The end is missing.
    let disk = disk_of_epochs();
    let history = history(&disk);
    disk.lose(&path("log.300000001"));
    match read(&history, 5, LAST).unwrap_err() {
        HistoryError::Hole { after, next } => {
            assert_eq!((after, next), (Zxid(epoch(1) + 3), Zxid(LAST)));
        }
        error => panic!("{error}"),
    }
}

#[test]
fn after_a_snapshot_was_installed_the_history_begins_with_it() {
    let disk = disk_of_epochs();
    let storage = Server::start(&disk).into_storage();
    let mut state = State::default();
    let mut install = storage
        .receive_snapshot(Zxid(epoch(5) + 9), &mut state)
        .unwrap();
    let mut stream = Vec::new();
    zk_storage::send_snapshot(&State::with_one_of_each(), &mut stream).unwrap();
    install.feed(Bytes::from(stream), &mut state).unwrap();
    let recovered = install.finish(None).unwrap();
    let mut server = Server { state, recovered };
    let history = server.recovered.history.clone();
    let zxid = epoch(5) + 9;
    assert_eq!(read(&history, zxid, zxid).unwrap(), (zxid, vec![]));
    server.append([epoch(6) + 1, epoch(6) + 2]);
    let flushed = epoch(6) + 2;
    let all = vec![epoch(6) + 1, epoch(6) + 2];
    assert_eq!(read(&history, zxid, flushed).unwrap(), (zxid, all.clone()));
    assert_eq!(read(&history, epoch(6), flushed).unwrap(), (epoch(6), all));
    let error = read(&history, zxid - 1, flushed).unwrap_err();
    assert!(matches!(error, HistoryError::TooOld { .. }), "{error}");
}

#[test]
fn a_reader_of_a_history_that_is_cut_notices() {
    let disk = disk_of_epochs();
    let server = Server::start(&disk);
    let history = server.recovered.history.clone();
    let mut txns = history.after(Zxid(1), Zxid(LAST)).unwrap();
    assert_eq!(txns.next_batch(1).unwrap()[0].0, Zxid(2));
    let mut storage = server.into_storage();
    storage.truncate(Zxid(4)).unwrap();
    let error = txns.next_batch(1).unwrap_err();
    assert!(matches!(error, HistoryError::Replaced), "{error}");
    assert_eq!(read(&history, 1, 4).unwrap(), (1, vec![2, 3, 4]));
}

#[test]
fn a_log_that_is_purged_before_it_is_read_is_named() {
    let disk = disk_of_epochs();
    let mut server = Server::start(&disk);
    let mut txns = server.recovered.history.after(Zxid(1), Zxid(LAST)).unwrap();
    server.recovered.snapshots.purge(NonZeroUsize::MIN).unwrap();
    // The log that is open is read on.
    assert_eq!(txns.next_batch(1).unwrap()[0].0, Zxid(2));
    assert_eq!(txns.next_batch(1).unwrap()[0].0, Zxid(3));
    match txns.next_batch(1).unwrap_err() {
        HistoryError::Purged { path: by } => assert_eq!(by, path("log.4")),
        error => panic!("{error}"),
    }
}

#[test]
fn damage_is_named_and_a_tail_that_the_next_log_makes_up_for_is_passed_over() {
    let disk = disk_of_epochs();
    let history = history(&disk);
    let log = path("log.4");
    let whole = disk.content(&log).unwrap();
    let mut damaged = whole.clone();
    damaged[150] ^= 1;
    disk.place(&log, &damaged);
    match read(&history, 2, LAST).unwrap_err() {
        HistoryError::Unreadable(RecoverError::Damaged { path: by, .. }) => assert_eq!(by, log),
        error => panic!("{error}"),
    }
    let mut torn = whole;
    torn.extend_from_slice(&[0x11; 30]);
    disk.place(&log, &torn);
    assert_eq!(read(&history, 2, LAST).unwrap(), (2, after(2)));
}

#[test]
fn an_error_at_any_call_is_an_error_and_no_end() {
    let disk = disk_of_epochs();
    let history = history(&disk);
    let mut failures = 0;
    for call in 0.. {
        disk.fail_at(disk.calls() + call, Fault::DeviceError);
        match read(&history, 2, LAST) {
            Ok(found) => {
                assert_eq!(found, (2, after(2)));
                break;
            }
            Err(HistoryError::Unreadable(RecoverError::Io(_))) => failures += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failures > 10, "{failures}");
}

#[test]
fn the_size_counts_what_is_written_and_the_newest_finished_snapshot() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.batch(3, 100).unwrap();
    let history = server.recovered.history.clone();
    let snapshot_bytes = Some(disk.content(&path("snapshot.0")).unwrap().len() as u64);
    let log_bytes = server.recovered.log.file_bytes();
    assert!(disk.content(&path("log.1")).unwrap().len() as u64 > log_bytes);
    let size = HistorySize {
        log_bytes,
        snapshot_bytes,
    };
    assert_eq!(history.size_after(Zxid(1)).unwrap(), size);

    server.recovered.log.roll().unwrap();
    server.space().unwrap();
    let snapshot = server.snapshot();
    disk.place(&path("snapshot.7"), b"");
    server.batch(1, 100).unwrap();
    let newest = server.recovered.log.file_bytes();
    let snapshot_bytes = Some(snapshot.bytes);
    for (from, log_bytes) in [
        (0, log_bytes + newest),
        (2, log_bytes + newest),
        (3, newest),
    ] {
        let size = HistorySize {
            log_bytes,
            snapshot_bytes,
        };
        assert_eq!(history.size_after(Zxid(from)).unwrap(), size, "{from}");
    }
}

#[test]
fn the_history_is_read_while_it_is_written_rolled_and_purged() {
    const TXNS: i64 = 3000;
    let folder = tempfile::tempdir().unwrap();
    let config = StorageConfig {
        pre_alloc_bytes: 1 << 16,
        ..StorageConfig::new(folder.path())
    };
    let storage = Storage::open(Arc::new(RealFileSystem), config).unwrap();
    let mut state = State::default();
    let recovered = storage.recover(&mut state).unwrap();
    let state = State::with_one_of_each();
    let mut server = Server { state, recovered };
    server.snapshot();
    let history = server.recovered.history.clone();
    let (flushed, is_over) = (AtomicI64::new(0), AtomicBool::new(false));
    let data_bytes = |zxid: i64| usize::try_from(zxid * 37 % 2000).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut rounds, mut read) = (0, 0);
            let mut is_last = false;
            while !is_last {
                let may_end = is_over.load(Ordering::Acquire);
                let up_to = flushed.load(Ordering::Acquire);
                let from = (up_to - 1 - rounds * 13 % 300).max(0);
                rounds += 1;
                let mut next = from + 1;
                let mut txns = match history.after(Zxid(from), Zxid(up_to)) {
                    Ok(txns) => txns,
                    Err(HistoryError::TooOld { .. } | HistoryError::Purged { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                loop {
                    match txns.next_batch(5000) {
                        Ok(batch) if batch.is_empty() => {
                            assert_eq!(next, up_to + 1);
                            is_last = may_end;
                            break;
                        }
                        Ok(batch) => {
                            for (zxid, bytes) in batch {
                                assert_eq!(zxid, Zxid(next));
                                assert_eq!(bytes, record(next, data_bytes(next)).to_bytes());
                                next += 1;
                                read += 1;
                            }
                        }
                        Err(HistoryError::Purged { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            read
        });
        for zxid in 1..=TXNS {
            server.batch(1, data_bytes(zxid)).unwrap();
            flushed.store(zxid, Ordering::Release);
            if zxid % 150 == 0 {
                server.recovered.log.roll().unwrap();
            }
            if zxid % 400 == 0 {
                server.snapshot();
                server.recovered.snapshots.purge(NonZeroUsize::MIN).unwrap();
            }
            if zxid % 20 == 0 {
                server.space().unwrap();
            }
        }
        is_over.store(true, Ordering::Release);
        assert!(reader.join().unwrap() > 0);
    });
}
