//! A history that was cut is cut everywhere, whatever happens meanwhile; one that cannot be cut is as
//! it was.

use zk_proto::Zxid;
use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{RecoverError, TruncateError};

use crate::common::{
    EPOCHS, NoStart, Random, Server, config, disk_of_epochs, epoch, fates, files, path, stored,
    unsynced_changes,
};

fn truncate(disk: &MemoryFileSystem, target: i64) -> Result<(), TruncateError> {
    Server::start(disk).into_storage().truncate(Zxid(target))
}

fn up_to(target: i64) -> Vec<i64> {
    EPOCHS.into_iter().filter(|&zxid| zxid <= target).collect()
}

/// Nothing on the disk holds a transaction after the target, and a server goes on from there.
fn assert_is_cut(disk: &MemoryFileSystem, target: i64, what: &str) {
    let (txns, snapshots) = stored(disk);
    assert_eq!(txns, up_to(target), "{what}");
    assert!(snapshots.iter().all(|&zxid| zxid <= target), "{what}");
    assert_eq!(disk.content(&path("intent")), None, "{what}");
    for next in [target + 1, epoch(7) + 1] {
        let disk = disk.fork();
        disk.kill();
        let mut server = Server::start(&disk);
        assert_eq!(server.state.history(), up_to(target), "{what}");
        let before = server.last();
        if next == target + 1 && before != target && next != epoch(next >> 32) + 1 {
            continue;
        }
        server.append([next]);
        server.snapshot();
        server.append([next + 1]);
        drop(server);
        disk.power_cut(|| false);
        let mut expected = up_to(target);
        expected.extend([next, next + 1]);
        assert_eq!(Server::start(&disk).state.history(), expected, "{what}");
    }
}

#[test]
fn a_history_is_cut_behind_any_of_its_transactions() {
    let starts = [0, epoch(1), epoch(3)];
    for target in EPOCHS.into_iter().chain(starts) {
        let disk = disk_of_epochs();
        truncate(&disk, target).unwrap();
        assert_is_cut(&disk, target, &format!("target {target:#x}"));
        disk.power_cut(|| false);
        assert_is_cut(&disk, target, &format!("target {target:#x}, power cut"));
        // Once more is no change. What was allocated ahead is cut by a start.
        drop(Server::start(&disk));
        let before = files(&disk);
        if up_to(target).last() == Some(&target) {
            truncate(&disk, target).unwrap();
            assert_eq!(files(&disk), before);
        }
    }
}

#[test]
fn the_log_that_was_cut_is_marked() {
    let disk = disk_of_epochs();
    truncate(&disk, epoch(1) + 1).unwrap();
    let log = path("log.4");
    let mut content = disk.content(&log).unwrap();
    let last = content.len() - 1;
    content.truncate(last);
    disk.place(&log, &content);
    let Err(NoStart::Recover(error)) = Server::start_with(&disk, config()) else {
        panic!("a torn tail was taken for one that nobody was told of")
    };
    assert!(matches!(error, RecoverError::Damaged { .. }), "{error}");
}

#[test]
fn a_transaction_that_the_history_does_not_go_through_is_refused_and_nothing_changes() {
    for (target, before, after) in [
        (6, 5, Some(epoch(1) + 1)),
        (epoch(1) + 4, epoch(1) + 3, Some(epoch(3) + 1)),
        // Nobody can tell that the history was there when the epoch began.
        (epoch(2), epoch(1) + 3, Some(epoch(3) + 1)),
        (epoch(3) + 4, epoch(3) + 3, None),
        (epoch(4), epoch(3) + 3, None),
    ] {
        let disk = disk_of_epochs();
        let content = files(&disk);
        match truncate(&disk, target).unwrap_err() {
            TruncateError::NotInHistory {
                target: seen,
                before: last,
                after: next,
            } => assert_eq!(
                (seen, last, next),
                (Zxid(target), Zxid(before), after.map(Zxid))
            ),
            error => panic!("{error}"),
        }
        assert_eq!(files(&disk), content);
        assert_eq!(Server::start(&disk).state.history(), EPOCHS);
    }
}

#[test]
fn a_history_without_a_snapshot_before_the_transaction_is_not_cut() {
    let disk = disk_of_epochs();
    disk.lose(&path("snapshot.0"));
    disk.lose(&path("snapshot.3"));
    let content = files(&disk);
    let error = truncate(&disk, epoch(1) + 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no snapshot up to 0x100000002 can be read"
    );
    assert_eq!(files(&disk), content);
    truncate(&disk, epoch(1) + 3).unwrap();
    assert_eq!(Server::start(&disk).last(), epoch(1) + 3);
}

#[test]
fn a_snapshot_that_cannot_be_read_is_no_base_and_goes() {
    let disk = disk_of_epochs();
    let mut damaged = disk.content(&path("snapshot.3")).unwrap();
    damaged[40] ^= 1;
    disk.place(&path("snapshot.3"), &damaged);
    truncate(&disk, epoch(1) + 2).unwrap();
    assert_eq!(stored(&disk), (up_to(epoch(1) + 2), vec![0]));
    assert_eq!(Server::start(&disk).last(), epoch(1) + 2);

    let disk = disk_of_epochs();
    disk.lose(&path("snapshot.0"));
    disk.place(&path("snapshot.3"), &damaged);
    let error = truncate(&disk, epoch(1) + 2).unwrap_err().to_string();
    assert!(error.contains("snapshot.3: offset"), "{error}");
}

#[test]
fn a_snapshot_that_holds_parts_of_later_transactions_is_no_base_and_goes() {
    // As Apache's server names it: after the transaction at which it began.
    let disk = disk_of_epochs();
    let fuzzy = disk.content(&path("snapshot.100000003")).unwrap();
    disk.place(&path("snapshot.5"), &fuzzy);
    truncate(&disk, epoch(1) + 2).unwrap();
    assert_eq!(stored(&disk), (up_to(epoch(1) + 2), vec![0, 3]));
    assert_is_cut(&disk, epoch(1) + 2, "");
}

#[test]
fn what_goes_need_not_be_readable() {
    let disk = disk_of_epochs();
    let log = path("log.300000001");
    let mut content = disk.content(&log).unwrap();
    content[20] ^= 1;
    let disk = {
        let storage = Server::start(&disk).into_storage();
        disk.place(&log, &content);
        let mut storage = storage;
        storage.truncate(Zxid(epoch(1) + 3)).unwrap();
        drop(storage);
        disk
    };
    assert_is_cut(&disk, epoch(1) + 3, "");

    // What stays has to be.
    let disk = disk_of_epochs();
    let mut storage = Server::start(&disk).into_storage();
    let log = path("log.4");
    let mut content = disk.content(&log).unwrap();
    content[20] ^= 1;
    disk.place(&log, &content);
    let error = storage.truncate(Zxid(epoch(1) + 2)).unwrap_err();
    let TruncateError::Unreadable(RecoverError::Damaged { path: by, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(*by, log);
    assert_eq!(disk.content(&path("intent")), None);
}

#[test]
fn a_hole_under_a_snapshot_of_apaches_learner_is_not_cut_across() {
    // It was sent the snapshot after 5, and went on in a newer epoch.
    let disk = disk_of_epochs();
    disk.lose(&path("log.4"));
    disk.lose(&path("log.100000003"));
    let error = truncate(&disk, epoch(3) + 2).map(|()| "cut");
    assert_eq!(error.unwrap(), "cut");
    let disk = disk_of_epochs();
    for name in ["log.4", "log.100000003"] {
        disk.lose(&path(name));
    }
    let mut storage = Server::start(&disk).into_storage();
    disk.place(&path("snapshot.100000003"), b"damaged since");
    let error = storage.truncate(Zxid(epoch(3) + 2)).unwrap_err();
    assert!(
        matches!(error, TruncateError::NotInHistory { .. }),
        "{error}"
    );
}

const TARGETS: [i64; 5] = [0, 2, epoch(1) + 2, epoch(3), epoch(3) + 2];

/// The history is as it was or cut, and cut if that was said.
fn check(disk: &MemoryFileSystem, target: i64, is_done: bool, what: &str) {
    let history = Server::start(disk).state.history();
    let is_cut = history == up_to(target);
    assert!(
        is_cut || history == EPOCHS && !is_done,
        "{what}: {history:?}"
    );
    if is_cut {
        assert_is_cut(disk, target, what);
    } else {
        assert_eq!(stored(disk).0, EPOCHS, "{what}");
    }
}

#[test]
fn a_power_cut_at_any_call_leaves_the_history_whole_or_cut() {
    let whole = disk_of_epochs();
    let mut crashes = 0;
    for target in TARGETS {
        for call in 0.. {
            let disk = whole.fork();
            let mut storage = Server::start(&disk).into_storage();
            disk.fail_at(disk.calls() + call, Fault::PowerOff);
            let is_done = storage.truncate(Zxid(target)).is_ok();
            drop(storage);
            for (number, fate) in fates(unsynced_changes(&disk), call).into_iter().enumerate() {
                let disk = disk.fork();
                disk.power_cut(fate);
                let what = format!("target {target:#x}, call {call}, fate {number}");
                check(&disk, target, is_done, &what);
                crashes += 1;
            }
            disk.kill();
            check(
                &disk,
                target,
                is_done,
                &format!("target {target:#x}, call {call}, killed"),
            );
            if is_done {
                break;
            }
        }
    }
    assert!(crashes > 2000, "{crashes}");
}

#[test]
fn a_second_crash_while_a_cut_is_completed_leaves_it_whole_or_cut() {
    let whole = disk_of_epochs();
    let target = epoch(1) + 2;
    let mut random = Random(77);
    let mut crashes = 0;
    for call in 0.. {
        let disk = whole.fork();
        let mut storage = Server::start(&disk).into_storage();
        disk.fail_at(disk.calls() + call, Fault::PowerOff);
        if storage.truncate(Zxid(target)).is_ok() {
            break;
        }
        drop(storage);
        // The power goes, or the process ends and what it wrote is in the page cache alone.
        let killed = disk.fork();
        killed.kill();
        disk.power_cut(|| random.flip());
        for (disk, what) in [(disk, "power cut"), (killed, "killed")] {
            if disk.content(&path("intent")).is_none() {
                continue;
            }
            let completion = disk.fork();
            drop(Server::start(&completion));
            for second in 0..completion.calls() {
                let disk = disk.fork();
                disk.fail_at(second, Fault::PowerOff);
                drop(Server::start_with(&disk, config()));
                for (number, fate) in fates(unsynced_changes(&disk), second)
                    .into_iter()
                    .enumerate()
                {
                    let disk = disk.fork();
                    disk.power_cut(fate);
                    let what = format!("call {call}, {what}, then {second}, fate {number}");
                    check(&disk, target, false, &what);
                    crashes += 1;
                }
            }
        }
    }
    assert!(crashes > 4000, "{crashes}");
}

#[test]
fn a_disk_that_fails_at_any_call_leaves_the_history_whole_or_cut() {
    let whole = disk_of_epochs();
    let mut failures = 0;
    for fault in [Fault::DeviceError, Fault::NoSpace] {
        for target in TARGETS {
            for call in 0.. {
                let disk = whole.fork();
                let mut storage = Server::start(&disk).into_storage();
                disk.fail_at(disk.calls() + call, fault);
                let result = storage.truncate(Zxid(target));
                drop(storage);
                let what = format!("{fault:?}, target {target:#x}, call {call}");
                let after = disk.fork();
                after.power_cut(|| false);
                check(&after, target, result.is_ok(), &what);
                disk.kill();
                check(&disk, target, result.is_ok(), &what);
                match result {
                    Ok(()) => break,
                    Err(TruncateError::Unreadable(RecoverError::Io(error))) => {
                        assert!(error.path.starts_with("/data"), "{error}");
                    }
                    // A snapshot that cannot be read is no base.
                    Err(TruncateError::NoBase { .. }) => {}
                    Err(error) => panic!("{what}: {error}"),
                }
                failures += 1;
            }
        }
    }
    assert!(failures > 200, "{failures}");
}

/// A disk whose truncation was interrupted when it was sure to happen.
fn interrupted(target: i64) -> MemoryFileSystem {
    let whole = disk_of_epochs();
    for call in 0.. {
        let disk = whole.fork();
        let mut storage = Server::start(&disk).into_storage();
        disk.fail_at(disk.calls() + call, Fault::PowerOff);
        assert!(storage.truncate(Zxid(target)).is_err());
        drop(storage);
        disk.power_cut(|| false);
        if disk.content(&path("intent")).is_some() {
            return disk;
        }
    }
    unreachable!("the calls end")
}

#[test]
fn an_intent_that_cannot_be_read_is_refused_by_name() {
    let disk = interrupted(epoch(1) + 2);
    let mut content = disk.content(&path("intent")).unwrap();
    content[30] ^= 1;
    disk.place(&path("intent"), &content);
    match Server::start_with(&disk, config()) {
        Err(NoStart::Recover(RecoverError::UnreadableIntent { path: by, .. })) => {
            assert_eq!(by, path("intent"));
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it started"),
    }
}

#[test]
fn what_another_server_wrote_after_an_interrupted_cut_is_not_taken_for_what_goes() {
    let target = epoch(1) + 2;
    let another = disk_of_epochs();
    let log = another.content(&path("log.300000001")).unwrap();
    for (name, content) in [
        ("log.500000001", &log[..]),
        ("log.300000001", &log[..log.len() - 10]),
        ("log.4", &log[..20]),
        ("snapshot.500000000", b""),
    ] {
        let disk = interrupted(target);
        disk.place(&path(name), content);
        let before = files(&disk);
        match Server::start_with(&disk, config()) {
            Err(NoStart::Recover(RecoverError::ForeignFile { file, intent })) => {
                assert_eq!((file, intent), (path(name), path("intent")));
            }
            Err(error) => panic!("{name}: {error:?}"),
            Ok(_) => panic!("{name}: it started"),
        }
        if name != "log.4" {
            assert_eq!(files(&disk), before, "{name}");
        }
    }
    check(&interrupted(target), target, true, "");
}

#[test]
fn a_standalone_log_directory_is_cut_as_well() {
    let apart = zk_storage::StorageConfig {
        data_log_dir: "/logs".into(),
        ..config()
    };
    let disk = MemoryFileSystem::new();
    let mut server = Server::start_with(&disk, apart.clone()).unwrap();
    server.snapshot();
    server.append(1..=3);
    server.snapshot();
    server.recovered.log.roll().unwrap();
    server.append([4]);
    let mut storage = server.into_storage();
    storage.truncate(Zxid(2)).unwrap();
    drop(storage);
    disk.power_cut(|| false);
    let server = Server::start_with(&disk, apart).unwrap();
    assert_eq!(server.state.history(), [1, 2]);
    assert_eq!(stored(&disk), (vec![1, 2], vec![0]));
}
