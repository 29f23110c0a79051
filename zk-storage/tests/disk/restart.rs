//! What was stored is there after a restart.

use crate::common::{DIR, Server, config, path};
use std::path::Path;
use zk_proto::Zxid;
use zk_storage::memory::MemoryFileSystem;
use zk_storage::{FileSystem, RecoveredFrom};

fn names(disk: &MemoryFileSystem) -> Vec<String> {
    let entries = disk.list(Path::new(DIR)).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_snapshot_and_the_logs_after_it_come_back_in_order() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    assert_eq!(server.recovered.report.from, RecoveredFrom::Empty);
    server.batch(3, 10).unwrap();
    let snapshot = server.snapshot();
    assert_eq!(snapshot.path, path("snapshot.3"));
    server.batch(2, 10).unwrap();
    server.recovered.log.roll().unwrap();
    assert_eq!(server.batch(4, 10).unwrap(), Zxid(9));
    let state = server.state.clone();
    drop(server);

    let again = Server::start(&disk);
    assert_eq!(again.state.history(), (1..=9).collect::<Vec<_>>());
    assert_eq!(again.state.nodes, state.nodes);
    assert_eq!(again.state.sessions, state.sessions);
    assert_eq!(again.state.acls, state.acls);
    assert_eq!(again.state.txns, [4, 5, 6, 7, 8, 9]);
    assert_eq!(again.recovered.report.txns, 6);
    assert_eq!(again.recovered.report.last_zxid, Zxid(9));
    assert_eq!(
        names(&disk),
        ["flushed", "log.1", "log.6", "snapshot.0", "snapshot.3"]
    );
}

#[test]
fn each_start_goes_on_in_a_file_of_its_own() {
    let disk = MemoryFileSystem::new();
    for _ in 0..3 {
        Server::start(&disk).batch(2, 10).unwrap();
    }
    assert_eq!(Server::start(&disk).last(), 6);
    let logs: Vec<_> = names(&disk)
        .into_iter()
        .filter(|name| name.starts_with("log."))
        .collect();
    assert_eq!(logs, ["log.1", "log.3", "log.5"]);
}

#[test]
fn a_log_beyond_the_size_limit_is_followed_by_another() {
    let disk = MemoryFileSystem::new();
    Server::start(&disk);
    let config = zk_storage::StorageConfig {
        txn_log_size_limit_bytes: std::num::NonZeroU64::new(300),
        ..config()
    };
    let mut server = Server::start_with(&disk, config).unwrap();
    for _ in 0..6 {
        server.batch(1, 100).unwrap();
    }
    drop(server);
    assert_eq!(Server::start(&disk).last(), 6);
    assert!(
        names(&disk).contains(&"log.3".to_owned()),
        "{:?}",
        names(&disk)
    );
}
