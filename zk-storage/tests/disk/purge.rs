//! What may be removed.

use std::num::NonZeroUsize;

use zk_storage::memory::{Fault, MemoryFileSystem};

use crate::common::{Random, Server, config, path};

fn three() -> NonZeroUsize {
    NonZeroUsize::new(3).unwrap()
}

fn names(disk: &MemoryFileSystem) -> Vec<String> {
    let names = disk.paths().into_iter();
    let names = names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    names
        .filter(|name| name.starts_with("log.") || name.starts_with("snapshot."))
        .collect()
}

/// The zxids that logs are named by, oldest first.
fn logs(disk: &MemoryFileSystem) -> Vec<i64> {
    let names = names(disk).into_iter();
    let zxid = |name: String| Some(i64::from_str_radix(name.strip_prefix("log.")?, 16).unwrap());
    let mut logs: Vec<_> = names.filter_map(zxid).collect();
    logs.sort_unstable();
    logs
}

/// Snapshots and rolls in every order, so that logs start before, at and after snapshots.
fn history(seed: u64) -> (MemoryFileSystem, Server) {
    let mut random = Random(seed);
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    for _ in 0..30 {
        match random.below(4) {
            0 => {
                server.snapshot();
            }
            1 => server.recovered.log.roll().unwrap(),
            _ => {
                server.batch(1 + random.below(3), 10).unwrap();
            }
        }
    }
    (disk, server)
}

/// Every snapshot that is there leads to the whole history when it is the newest.
fn assert_every_snapshot_is_restorable(disk: &MemoryFileSystem, last: i64, what: &str) {
    let snapshots: Vec<_> = names(disk)
        .into_iter()
        .filter(|name| name.starts_with("snapshot."))
        .collect();
    assert!(!snapshots.is_empty(), "{what}");
    for kept in &snapshots {
        let disk = disk.fork();
        for other in snapshots.iter().filter(|other| *other != kept) {
            disk.lose(&path(other));
        }
        disk.kill();
        let server = Server::start_with(&disk, config()).unwrap();
        assert_eq!(server.last(), last, "{what}, from {kept}");
    }
}

#[test]
fn the_newest_snapshots_stay_and_each_with_its_logs() {
    for seed in 1..200 {
        let (disk, mut server) = history(seed);
        let before = names(&disk);
        let removed = server.recovered.snapshots.purge(three()).unwrap();
        let after = names(&disk);
        assert_eq!(before.len(), after.len() + removed.len());
        let count = |names: &[String]| names.iter().filter(|n| n.starts_with("snap")).count();
        assert_eq!(count(&after), count(&before).min(3), "seed {seed}");
        assert_every_snapshot_is_restorable(&disk, server.last(), &format!("seed {seed}"));
    }
}

#[test]
fn the_log_that_starts_before_the_oldest_snapshot_stays() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    for _ in 0..5 {
        server.batch(2, 10).unwrap();
        server.recovered.log.roll().unwrap();
        server.batch(1, 10).unwrap();
        server.snapshot();
    }
    server.recovered.snapshots.purge(three()).unwrap();
    assert_eq!(
        names(&disk),
        [
            "log.9",
            "log.c",
            "log.f",
            "snapshot.9",
            "snapshot.c",
            "snapshot.f"
        ]
    );
}

#[test]
fn a_purge_that_is_interrupted_anywhere_leaves_every_snapshot_restorable() {
    let mut interrupted = 0;
    for seed in 1..12 {
        for call in 0.. {
            let (disk, mut server) = history(seed);
            let before = logs(&disk);
            disk.fail_at(disk.calls() + call, Fault::PowerOff);
            if server.recovered.snapshots.purge(three()).is_ok() {
                break;
            }
            interrupted += 1;
            let last = server.last();
            drop(server);
            let mut random = Random(seed * 1000 + call + 1);
            for round in 0..6 {
                let disk = disk.fork();
                disk.power_cut(|| round == 0 || random.flip());
                let what = format!("seed {seed}, call {call}, round {round}");
                assert!(before.ends_with(&logs(&disk)), "{what}: a hole in the logs");
                let server = Server::start_with(&disk, config()).unwrap();
                assert_eq!(server.last(), last, "{what}");
            }
            disk.kill();
            assert_every_snapshot_is_restorable(&disk, last, &format!("seed {seed}, call {call}"));
        }
    }
    assert!(interrupted > 50, "{interrupted}");
}

#[test]
fn an_unfinished_snapshot_is_not_counted_and_the_last_good_one_stays() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.batch(2, 10).unwrap();
    server.snapshot();
    // As a full disk leaves them with Apache's server.
    for zxid in 3..9 {
        disk.place(&path(&format!("snapshot.{zxid}")), b"");
    }
    server.recovered.snapshots.purge(NonZeroUsize::MIN).unwrap();
    assert!(names(&disk).contains(&"snapshot.2".to_owned()));
    // Nor does one that only looks finished push out the one that was read.
    disk.place(&path("snapshot.a"), b"ZKSN and then\0\0\0\x01/");
    server.recovered.snapshots.purge(NonZeroUsize::MIN).unwrap();
    assert!(names(&disk).contains(&"snapshot.2".to_owned()));
    disk.lose(&path("snapshot.a"));
    drop(server);
    assert_eq!(Server::start(&disk).last(), 2);
}
