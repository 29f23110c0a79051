//! Space that is no longer needed is given back in pieces: whatever becomes of that, the history is
//! whole.

use std::num::NonZeroUsize;

use zk_proto::Zxid;
use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{GivenBack, StorageConfig};

use crate::common::{Server, config, path};

const MIB: usize = 1 << 20;

fn names(disk: &MemoryFileSystem) -> Vec<String> {
    let names = disk.paths().into_iter();
    names
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "flushed")
        .collect()
}

fn length(disk: &MemoryFileSystem, name: &str) -> Option<usize> {
    disk.content(&path(name)).map(|content| content.len())
}

/// Lengths of a file after each piece.
fn pieces(server: &mut Server, disk: &MemoryFileSystem, name: &str) -> Vec<Option<usize>> {
    let mut lengths = Vec::new();
    while server.recovered.space.give_back().unwrap() == GivenBack::Piece {
        lengths.push(length(disk, name));
    }
    lengths
}

/// A server whose logs are allocated in long steps.
fn spacious(disk: &MemoryFileSystem) -> Server {
    drop(Server::start(disk));
    let config = StorageConfig {
        pre_alloc_bytes: 10 * MIB as u64,
        ..config()
    };
    Server::start_with(disk, config).unwrap()
}

#[test]
fn a_purged_file_loses_its_name_at_once_and_its_space_in_pieces() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.batch(10, MIB).unwrap();
    let content = usize::try_from(server.recovered.log.file_bytes()).unwrap();
    server.recovered.log.roll().unwrap();
    server.space().unwrap();
    server.batch(1, 10).unwrap();
    server.snapshot();
    server.recovered.snapshots.purge(NonZeroUsize::MIN).unwrap();
    assert_eq!(
        names(&disk),
        ["log.b", "removed.log.1", "removed.snapshot.0", "snapshot.b"]
    );
    assert_eq!(length(&disk, "removed.log.1"), Some(content));
    assert_eq!(
        pieces(&mut server, &disk, "removed.log.1"),
        [Some(content - 4 * MIB), Some(content - 8 * MIB), None, None]
    );
    assert_eq!(names(&disk), ["log.b", "snapshot.b"]);
    drop(server);
    assert_eq!(Server::start(&disk).last(), 11);
}

#[test]
fn what_an_earlier_life_left_is_given_back_from_both_directories() {
    let disk = MemoryFileSystem::new();
    let apart = StorageConfig {
        data_log_dir: "/logs".into(),
        ..config()
    };
    let mut server = Server::start_with(&disk, apart).unwrap();
    server.snapshot();
    disk.place(&path("removed.snapshot.0"), b"something");
    disk.place("/logs/version-2/removed.log.1".as_ref(), b"something");
    server.space().unwrap();
    assert_eq!(names(&disk), ["snapshot.0"]);
}

#[test]
fn a_log_that_another_follows_is_cut_in_pieces_and_keeps_its_content() {
    let disk = MemoryFileSystem::new();
    let mut server = spacious(&disk);
    server.batch(1, 100).unwrap();
    server.recovered.log.roll().unwrap();
    server.batch(1, 100).unwrap();
    let content = 16 + 64 + 100;
    assert_eq!(
        pieces(&mut server, &disk, "log.1"),
        [Some(6 * MIB), Some(2 * MIB), Some(content)]
    );
    assert_eq!(length(&disk, "log.2"), Some(10 * MIB));
    drop(server);
    disk.power_cut(|| false);
    assert_eq!(Server::start(&disk).last(), 2);
}

#[test]
fn a_log_is_cut_at_once_when_the_next_ends_too_and_by_an_orderly_stop() {
    let disk = MemoryFileSystem::new();
    let mut server = spacious(&disk);
    for _ in 0..2 {
        server.batch(1, 100).unwrap();
        server.recovered.log.roll().unwrap();
    }
    let content = 16 + 64 + 100;
    assert_eq!(length(&disk, "log.1"), Some(content));
    assert_eq!(length(&disk, "log.2"), Some(10 * MIB));
    server.batch(1, 100).unwrap();
    server.recovered.log.close().unwrap();
    assert_eq!(length(&disk, "log.2"), Some(content));
    assert_eq!(length(&disk, "log.3"), Some(content));
}

#[test]
fn space_that_cannot_be_given_back_is_no_loss() {
    let mut failures = 0;
    for call in 0.. {
        let disk = MemoryFileSystem::new();
        let mut server = spacious(&disk);
        server.batch(1, 10).unwrap();
        server.recovered.log.roll().unwrap();
        server.batch(1, 10).unwrap();
        server.snapshot();
        server.recovered.snapshots.purge(NonZeroUsize::MIN).unwrap();
        server.recovered.log.roll().unwrap();
        server.batch(1, 10).unwrap();
        disk.fail_at(disk.calls() + call, Fault::DeviceError);
        if server.space().is_ok() {
            break;
        }
        failures += 1;
        server.space().unwrap();
        assert_eq!(names(&disk), ["log.2", "log.3", "snapshot.2"]);
        drop(server);
        disk.power_cut(|| false);
        assert_eq!(Server::start(&disk).last(), 3, "call {call}");
    }
    assert!(failures > 10, "{failures}");
}

#[test]
fn what_is_purged_stays_whole_while_it_is_read() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.batch(10, MIB).unwrap();
    server.snapshot();
    server.recovered.log.roll().unwrap();
    server.batch(1, 10).unwrap();
    let history = server.recovered.history.clone();
    let mut txns = history.after(Zxid(0), Zxid(10)).unwrap();
    assert_eq!(txns.next_batch(1).unwrap().len(), 1);
    server.snapshot();
    server.recovered.snapshots.purge(NonZeroUsize::MIN).unwrap();
    server.space().unwrap();
    let read: usize = std::iter::from_fn(|| {
        let batch = txns.next_batch(1).unwrap();
        (!batch.is_empty()).then_some(batch.len())
    })
    .sum();
    assert_eq!(read, 9);
    assert!(names(&disk).contains(&"removed.log.1".to_owned()));
    drop(txns);
    server.space().unwrap();
    assert_eq!(names(&disk), ["log.b", "snapshot.b"]);
}
