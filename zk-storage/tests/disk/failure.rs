//! A file system that refuses: the error names file and operation, and the log is final after it.

use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{IoError, LogError, LogWriter, OpenError, RecoverError, SnapshotError};

use crate::common::{NoStart, Server, config, record};
use zk_proto::{Record, Zxid};

fn assert_names_file_and_cause(error: &IoError, fault: Fault) {
    let text = error.to_string();
    assert!(text.starts_with("cannot "), "{text}");
    assert!(error.path.starts_with("/data"), "{text}");
    assert!(text.contains(error.path.to_str().unwrap()), "{text}");
    let expected = match fault {
        Fault::DeviceError => 5,
        Fault::NoSpace => 28,
        Fault::PowerOff => unreachable!("not used here"),
    };
    assert_eq!(error.source.raw_os_error(), Some(expected), "{text}");
}

/// What a log does in its life: create, allocate, write, sync, roll.
fn work(log: &mut LogWriter) -> Result<i64, LogError> {
    let mut zxid = 0;
    for data_bytes in [10, 5000, 10] {
        zxid += 1;
        log.append(Zxid(zxid), &record(zxid, data_bytes).to_bytes());
        log.flush()?;
    }
    log.roll()?;
    log.append(Zxid(4), &record(4, 10).to_bytes());
    log.flush()?;
    log.settle()?;
    Ok(4)
}

#[test]
fn any_failed_call_of_the_log_is_final_and_nothing_acknowledged_is_lost() {
    let mut failures = 0;
    for fault in [Fault::DeviceError, Fault::NoSpace] {
        for call in 0.. {
            let disk = MemoryFileSystem::new();
            let mut server = Server::start(&disk);
            disk.fail_at(disk.calls() + call, fault);
            let log = &mut server.recovered.log;
            match work(log) {
                Ok(_) => break,
                Err(LogError::Io(error)) => assert_names_file_and_cause(&error, fault),
                Err(error) => panic!("{error}"),
            }
            failures += 1;
            let flushed = log.flushed_zxid();
            // The fault is gone, but nobody knows what it left.
            assert!(matches!(log.flush(), Err(LogError::Poisoned)));
            assert!(matches!(log.roll(), Err(LogError::Poisoned)));
            assert!(matches!(log.settle(), Err(LogError::Poisoned)));
            drop(server);
            let again = Server::start(&disk.fork());
            assert!(again.last() >= flushed.0, "{fault:?} at call {call}");
            disk.power_cut(|| false);
            let again = Server::start(&disk);
            assert!(again.last() >= flushed.0, "{fault:?} at call {call}");
        }
    }
    assert!(failures > 35, "{failures}");
}

/// What a server goes on from after a restart has to be on disk before anything is appended to it: the
/// page cache still shows what a failed sync left there.
#[test]
fn what_only_the_page_cache_held_is_on_disk_after_a_restart() {
    for (fault, pre_alloc_bytes) in [
        (Fault::DeviceError, 4096),
        (Fault::DeviceError, 0),
        (Fault::PowerOff, 4096),
        (Fault::PowerOff, 0),
    ] {
        for call in 0.. {
            let disk = MemoryFileSystem::new();
            drop(Server::start(&disk));
            let config = zk_storage::StorageConfig {
                pre_alloc_bytes,
                ..config()
            };
            let mut server = Server::start_with(&disk, config.clone()).unwrap();
            disk.fail_at(disk.calls() + call, fault);
            let is_done = work(&mut server.recovered.log).is_ok();
            drop(server);
            disk.kill();

            let mut server = Server::start_with(&disk, config.clone()).unwrap();
            let last = server.last();
            let acknowledged = server.batch(2, 10).unwrap().0;
            assert_eq!(acknowledged, last + 2);
            drop(server);
            disk.power_cut(|| false);
            let what = format!("{fault:?} at call {call}, {pre_alloc_bytes} ahead");
            match Server::start_with(&disk, config) {
                Ok(server) => assert_eq!(server.last(), acknowledged, "{what}"),
                Err(error) => panic!("{what}: {error:?}"),
            }
            if is_done {
                break;
            }
        }
    }
}

#[test]
fn a_failed_snapshot_leaves_the_log_and_the_older_snapshots_alone() {
    for fault in [Fault::DeviceError, Fault::NoSpace] {
        for call in 0.. {
            let disk = MemoryFileSystem::new();
            let mut server = Server::start(&disk);
            server.batch(3, 10).unwrap();
            disk.fail_at(disk.calls() + call, fault);
            match server.try_snapshot() {
                Ok(_) => {
                    assert!(call > 5);
                    break;
                }
                Err(SnapshotError::Io(error)) => assert_names_file_and_cause(&error, fault),
                Err(error) => panic!("{error}"),
            }
            server.batch(1, 10).unwrap();
            server.snapshot();
            drop(server);
            let again = Server::start(&disk);
            assert_eq!(again.last(), 4);
            assert_eq!(again.state.txns, Vec::<i64>::new());
        }
    }
}

#[test]
fn a_failed_start_names_the_file_or_recovers_everything() {
    let whole = MemoryFileSystem::new();
    let mut server = Server::start(&whole);
    server.batch(3, 10).unwrap();
    server.snapshot();
    server.batch(2, 2000).unwrap();
    drop(server);
    for call in 0.. {
        let disk = whole.fork();
        disk.fail_at(call, Fault::DeviceError);
        let calls_before_the_fault = call;
        match Server::start_with(&disk, config()) {
            Ok(server) => {
                assert_eq!(server.last(), 5, "call {call}");
                if disk.calls() <= calls_before_the_fault {
                    break;
                }
            }
            Err(
                NoStart::Open(OpenError::Io(error)) | NoStart::Recover(RecoverError::Io(error)),
            ) => assert_names_file_and_cause(&error, Fault::DeviceError),
            Err(error) => panic!("{error:?}"),
        }
        drop(Server::start(&disk));
        assert_eq!(Server::start(&disk).last(), 5, "call {call}");
    }
}

#[test]
#[should_panic(expected = "a snapshot has to be written before the first flush")]
fn a_log_without_a_snapshot_is_not_begun() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start_with(&disk, config()).unwrap();
    let _never = server.batch(1, 10);
}

#[test]
#[should_panic(expected = "transaction 0x3 does not follow 0x1")]
fn a_hole_in_the_order_is_not_appended() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.batch(1, 10).unwrap();
    server
        .recovered
        .log
        .append(Zxid(3), &record(3, 10).to_bytes());
}
