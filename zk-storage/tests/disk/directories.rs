//! Which directories are accepted.

use std::path::Path;
use std::sync::Arc;

use zk_proto::Zxid;
use zk_storage::memory::MemoryFileSystem;
use zk_storage::{
    FileSystem, OpenError, RealFileSystem, RecoveredFrom, Storage, StorageConfig, send_snapshot,
};

use crate::common::{NoStart, Server, State, config, epoch, path};

#[test]
fn a_directory_belongs_to_one_process() {
    let disk = MemoryFileSystem::new();
    let server = Server::start(&disk);
    match Server::start_with(&disk, config()) {
        Err(NoStart::Open(OpenError::Locked { path: lock })) => assert_eq!(lock, path("lock")),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("two servers in one directory"),
    }
    // Each handle keeps it.
    let zk_storage::Recovered {
        log,
        snapshots,
        epochs,
        history,
        space,
        ..
    } = server.recovered;
    drop(log);
    assert!(Server::start_with(&disk, config()).is_err());
    drop(snapshots);
    assert!(Server::start_with(&disk, config()).is_err());
    drop(epochs);
    assert!(Server::start_with(&disk, config()).is_err());
    drop(history);
    assert!(Server::start_with(&disk, config()).is_err());
    drop(space);
    assert!(Server::start_with(&disk, config()).is_ok());
}

#[test]
fn a_directory_of_the_machine_belongs_to_one_storage() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Storage::open(Arc::new(RealFileSystem), StorageConfig::new(folder.path()));
    let first = open().unwrap();
    assert!(matches!(open().unwrap_err(), OpenError::Locked { .. }));
    drop(first);
    open().unwrap();
}

#[test]
fn a_log_directory_of_its_own_is_locked_and_used() {
    let disk = MemoryFileSystem::new();
    let apart = StorageConfig {
        data_log_dir: "/logs".into(),
        ..config()
    };
    let mut server = Server::start_with(&disk, apart.clone()).unwrap();
    server.snapshot();
    server.batch(2, 10).unwrap();
    let names: Vec<_> = disk.paths();
    let expected = [
        "/data/version-2/snapshot.0",
        "/logs/version-2/flushed",
        "/logs/version-2/log.1",
    ];
    assert_eq!(names, expected.map(std::path::PathBuf::from));
    let other = StorageConfig {
        data_dir: "/other".into(),
        ..apart.clone()
    };
    match Server::start_with(&disk, other) {
        Err(NoStart::Open(OpenError::Locked { path })) => {
            assert_eq!(path, Path::new("/logs/version-2/lock"));
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("two servers with one log directory"),
    }
    drop(server);
    assert_eq!(Server::start_with(&disk, apart).unwrap().last(), 2);
}

#[test]
fn directories_that_were_mixed_up_are_refused_by_name() {
    let disk = MemoryFileSystem::new();
    Server::start(&disk).batch(1, 10).unwrap();
    let apart = |data: &str, logs: &str| StorageConfig {
        data_log_dir: logs.into(),
        ..StorageConfig::new(data)
    };
    match Server::start_with(&disk, apart("/empty", "/data")) {
        Err(NoStart::Open(OpenError::SnapshotInLogDir { path: wrong })) => {
            assert_eq!(wrong, path("snapshot.0"));
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("snapshots in the log directory are ignored"),
    }
    match Server::start_with(&disk, apart("/data", "/empty")) {
        Err(NoStart::Open(OpenError::LogInSnapshotDir { path: wrong })) => {
            assert_eq!(wrong, path("log.1"));
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("logs in the snapshot directory are ignored"),
    }
}

#[test]
fn a_missing_directory_is_made_only_if_allowed() {
    let disk = MemoryFileSystem::new();
    let strict = StorageConfig {
        datadir_autocreate: false,
        ..config()
    };
    match Server::start_with(&disk, strict.clone()) {
        Err(NoStart::Open(OpenError::Missing { path })) => {
            assert_eq!(path, Path::new("/data/version-2"));
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was made"),
    }
    disk.create_dir_all(Path::new("/data/version-2")).unwrap();
    assert!(Server::start_with(&disk, strict).is_ok());
}

#[test]
fn an_empty_directory_is_an_empty_database_if_that_is_expected() {
    let wary = StorageConfig {
        db_autocreate: false,
        data_log_dir: "/logs".into(),
        ..config()
    };
    for (file, expected) in [
        (None, RecoveredFrom::Unexpected),
        (Some("/data/initialize"), RecoveredFrom::Empty),
        (Some("/logs/initialize"), RecoveredFrom::Empty),
    ] {
        let disk = MemoryFileSystem::new();
        if let Some(file) = file {
            disk.place(Path::new(file), b"");
        }
        let server = Server::start_with(&disk, wary.clone()).unwrap();
        assert_eq!(server.recovered.report.from, expected);
        drop(server);
        // The word holds once.
        let again = Server::start_with(&disk, wary.clone()).unwrap();
        assert_eq!(again.recovered.report.from, RecoveredFrom::Unexpected);
    }
}

#[test]
fn files_of_other_kinds_are_left_alone() {
    let disk = MemoryFileSystem::new();
    Server::start(&disk).batch(3, 10).unwrap();
    let others = [
        "acceptedEpoch",
        "log.2.bak",
        "log.0a",
        "snapshot.9.tmp",
        "snapshot.",
        "x",
    ];
    for name in others {
        disk.place(&path(name), b"something");
    }
    disk.place(&path("partial.snapshot.3"), b"half");
    let server = Server::start(&disk);
    assert_eq!(server.last(), 3);
    for name in others {
        assert_eq!(disk.content(&path(name)).unwrap(), b"something");
    }
    assert_eq!(disk.content(&path("partial.snapshot.3")), None);
}

#[test]
fn the_machines_file_system_keeps_a_history() {
    let folder = tempfile::tempdir().unwrap();
    let config = StorageConfig::new(folder.path().join("not/yet/there"));
    let open = || {
        let storage = Storage::open(Arc::new(RealFileSystem), config.clone()).unwrap();
        let mut state = State::default();
        let recovered = storage.recover(&mut state).unwrap();
        Server { state, recovered }
    };
    let mut server = open();
    server.state = State::with_one_of_each();
    server.snapshot();
    server.batch(3, 400_000).unwrap();
    server.recovered.log.roll().unwrap();
    server.batch(2, 10).unwrap();
    drop(server);
    let mut server = open();
    assert_eq!(server.state.history(), [1, 2, 3, 4, 5]);
    server.snapshot();
    server.batch(1, 10).unwrap();
    assert!(server.recovered.snapshots.sizes().unwrap().0 > 1_200_000);
    server.recovered.log.roll().unwrap();
    drop(server);
    let server = open();
    assert_eq!(server.state.history(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(server.state.txns, [6]);
}

#[test]
fn the_machines_file_system_has_its_history_cut_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let config = StorageConfig::new(folder.path());
        let storage = Storage::open(Arc::new(RealFileSystem), config).unwrap();
        let mut state = State::default();
        let recovered = storage.recover(&mut state).unwrap();
        Server { state, recovered }
    };
    let mut server = open();
    server.state = State::with_one_of_each();
    server.snapshot();
    server.append(1..=3);
    server.snapshot();
    server.recovered.log.roll().unwrap();
    server.append([epoch(1) + 1]);
    let mut storage = server.into_storage();
    storage.truncate(Zxid(2)).unwrap();
    drop(storage);
    let mut server = open();
    assert_eq!(server.state.history(), [1, 2]);
    server.append([epoch(2) + 1]);

    let mut stream = Vec::new();
    send_snapshot(&server.state, &mut stream).unwrap();
    let (mut state, zxid) = (State::default(), epoch(2) + 5);
    let storage = server.into_storage();
    let mut install = storage.receive_snapshot(Zxid(zxid), &mut state).unwrap();
    install.feed(stream.into(), &mut state).unwrap().unwrap();
    let recovered = install.finish(None).unwrap();
    let mut epochs = recovered.epochs.load().unwrap();
    epochs.set_accepted(3).unwrap();
    epochs.set_current(3).unwrap();
    drop((
        recovered.log,
        recovered.snapshots,
        recovered.history,
        recovered.space,
        epochs,
    ));
    let mut server = open();
    assert_eq!(server.state.history(), [1, 2, epoch(2) + 1]);
    assert_eq!(server.recovered.report.last_zxid, Zxid(zxid));
    server.append([zxid + 1]);
    let mut txns = server
        .recovered
        .history
        .after(Zxid(zxid), Zxid(zxid + 1))
        .unwrap();
    assert_eq!(txns.next_batch(1).unwrap()[0].0, Zxid(zxid + 1));
    let epochs = server.recovered.epochs.load().unwrap();
    assert_eq!((epochs.accepted(), epochs.current()), (3, 3));
}
