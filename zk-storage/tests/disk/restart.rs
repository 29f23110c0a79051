//! What was stored is there after a restart.

use crate::common::{DIR, EPOCHS, Server, config, disk_of_epochs, epoch, path};
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
fn epochs_follow_one_another_even_where_one_has_no_transaction() {
    let disk = disk_of_epochs();
    let mut server = Server::start(&disk);
    assert_eq!(server.state.history(), EPOCHS);
    server.append([epoch(3) + 4, epoch(9) + 1]);
    drop(server);
    let mut server = Server::start(&disk);
    server.append([epoch(10) + 1]);
    drop(server);
    assert_eq!(
        Server::start(&disk).state.txns.last(),
        Some(&(epoch(10) + 1))
    );
}

#[test]
#[should_panic(expected = "transaction 0x400000002 does not follow 0x300000003")]
fn an_epoch_begins_with_its_first_transaction() {
    Server::start(&disk_of_epochs()).append([epoch(4) + 2]);
}

#[test]
fn a_directory_of_apaches_learner_that_was_sent_a_snapshot_is_read_from_there() {
    // Its logs of before stay, with a hole up to the snapshot.
    for zxid in [epoch(2), epoch(2) + 7, epoch(3)] {
        let disk = disk_of_epochs();
        for name in ["log.300000001", "snapshot.100000003", "flushed"] {
            disk.lose(&path(name));
        }
        let sent = Server::start(&disk).state;
        let leader = MemoryFileSystem::new();
        let mut snapshots = Server::start(&leader).recovered.snapshots;
        let file = snapshots.write(&sent, Zxid(zxid), None).unwrap();
        disk.place(&file.path, &leader.content(&file.path).unwrap());

        let mut server = Server::start(&disk);
        assert_eq!(server.recovered.report.last_zxid, Zxid(zxid));
        assert_eq!(server.state.txns, Vec::<i64>::new());
        server.append([zxid + 1]);
        server.append([epoch(4) + 1]);
        server.snapshot();
        server
            .recovered
            .snapshots
            .purge(std::num::NonZeroUsize::MIN)
            .unwrap();
        server.append([epoch(4) + 2]);
        drop(server);
        disk.power_cut(|| false);
        assert_eq!(Server::start(&disk).state.txns, [epoch(4) + 2]);
    }
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
