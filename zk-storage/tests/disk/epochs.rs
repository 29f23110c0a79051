//! What a member of an ensemble promised outlives any crash.

use zk_proto::Zxid;
use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{EpochError, Epochs};

use crate::common::{Server, fates, path, unsynced_changes};

const FILES: [&str; 2] = ["acceptedEpoch", "currentEpoch"];

fn load(disk: &MemoryFileSystem) -> Result<Epochs, EpochError> {
    Server::start(disk).recovered.epochs.load()
}

fn loaded(disk: &MemoryFileSystem, what: &str) -> (u32, u32) {
    let epochs = load(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    (epochs.accepted(), epochs.current())
}

fn text(disk: &MemoryFileSystem, name: &str) -> Option<String> {
    Some(String::from_utf8(disk.content(&path(name))?).unwrap())
}

/// A disk whose history ends in an epoch, with these epoch files.
fn disk(epoch: i64, accepted: Option<&str>, current: Option<&str>) -> MemoryFileSystem {
    let disk = MemoryFileSystem::new();
    Server::start(&disk).append([(epoch << 32) + 1]);
    for (name, content) in FILES.into_iter().zip([accepted, current]) {
        if let Some(content) = content {
            disk.place(&path(name), content.as_bytes());
        }
    }
    disk
}

#[test]
fn a_standalone_server_neither_reads_nor_makes_them() {
    let disk = disk(5, Some("what"), None);
    Server::start(&disk).append([(5 << 32) + 2]);
    assert_eq!(text(&disk, "currentEpoch"), None);
    assert_eq!(text(&disk, "acceptedEpoch").unwrap(), "what");
}

#[test]
fn missing_ones_are_made_with_the_epoch_of_the_newest_transaction() {
    assert_eq!(loaded(&MemoryFileSystem::new(), "empty"), (0, 0));
    let disk = disk(5, None, None);
    assert_eq!(loaded(&disk, "both missing"), (5, 5));
    for name in FILES {
        assert_eq!(text(&disk, name).unwrap(), "5");
    }
    disk.power_cut(|| false);
    assert_eq!(loaded(&disk, "after a power cut"), (5, 5));
    disk.place(&path("acceptedEpoch"), b"9");
    disk.lose(&path("currentEpoch"));
    assert_eq!(loaded(&disk, "one missing"), (9, 5));
}

#[test]
fn what_is_set_is_in_the_files_as_apaches_server_writes_them() {
    let disk = disk(5, None, None);
    let mut epochs = load(&disk).unwrap();
    epochs.set_accepted(12).unwrap();
    epochs.set_current(12).unwrap();
    epochs.set_accepted(4_294_967_295).unwrap();
    assert_eq!((epochs.accepted(), epochs.current()), (4_294_967_295, 12));
    drop(epochs);
    assert_eq!(text(&disk, "acceptedEpoch").unwrap(), "4294967295");
    assert_eq!(text(&disk, "currentEpoch").unwrap(), "12");
    disk.power_cut(|| false);
    assert_eq!(loaded(&disk, ""), (4_294_967_295, 12));
}

#[test]
fn a_line_end_and_what_follows_it_are_passed_over_as_apaches_server_does() {
    assert_eq!(loaded(&disk(5, Some("7\n"), Some("6\r\nx")), ""), (7, 6));
}

#[test]
fn what_holds_no_epoch_is_refused_by_name() {
    for content in [
        "",
        "\n7",
        "7 ",
        "x",
        "-1",
        "0x7",
        "4294967296",
        "9999999999999999999999",
    ] {
        for name in FILES {
            let disk = disk(5, Some("7"), Some("6"));
            disk.place(&path(name), content.as_bytes());
            match load(&disk).unwrap_err() {
                EpochError::Unreadable { path: by, .. } => assert_eq!(by, path(name)),
                error => panic!("{content:?}: {error}"),
            }
        }
    }
    // No text at all, and a number that goes on beyond what is looked at.
    for byte in [0xff, b'0'] {
        let disk = disk(5, Some("7"), Some("6"));
        disk.place(&path("currentEpoch"), &[byte; 5000]);
        let error = load(&disk).unwrap_err();
        assert!(matches!(error, EpochError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn an_epoch_that_is_current_and_not_accepted_is_refused() {
    let error = load(&disk(5, Some("6"), Some("7")))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "acceptedEpoch in /data/version-2 is 6, older than currentEpoch, 7"
    );
    // The missing one is that of the history.
    let error = load(&disk(5, None, Some("7"))).unwrap_err();
    assert!(matches!(error, EpochError::Contradiction { .. }), "{error}");
}

#[test]
fn a_crash_between_a_leaders_history_and_its_epoch_is_made_up_for() {
    // The unfinished file of Apache's server decides nothing, whatever it holds.
    for unfinished in [None, Some("5"), Some("7"), Some("")] {
        let disk = disk(5, Some("6"), Some("4"));
        if let Some(content) = unfinished {
            disk.place(&path("currentEpoch.tmp"), content.as_bytes());
        }
        assert_eq!(loaded(&disk, ""), (6, 5));
        disk.power_cut(|| false);
        assert_eq!(text(&disk, "currentEpoch").unwrap(), "5");
    }
}

#[test]
fn a_history_of_an_epoch_that_was_never_accepted_is_refused() {
    match load(&disk(5, Some("4"), Some("4"))).unwrap_err() {
        EpochError::Lost {
            accepted: 4,
            last_zxid: Zxid(0x5_0000_0001),
            ..
        } => {}
        error => panic!("{error}"),
    }
}

#[test]
fn a_promise_survives_a_crash_at_any_call_once_it_was_made() {
    let whole = disk(5, None, None);
    drop(load(&whole));
    let mut crashes = 0;
    for (first, then) in [((6, 5), (6, 6)), ((123_456, 5), (123_456, 6))] {
        for call in 0.. {
            let disk = whole.fork();
            let mut epochs = load(&disk).unwrap();
            disk.fail_at(disk.calls() + call, Fault::PowerOff);
            let accepts = epochs.set_accepted(first.0).is_ok();
            let sets = accepts && epochs.set_current(then.1).is_ok();
            assert_eq!(accepts, epochs.accepted() == first.0);
            assert_eq!(sets, epochs.current() == then.1);
            drop(epochs);
            if sets {
                break;
            }
            for (number, fate) in fates(unsynced_changes(&disk), call).into_iter().enumerate() {
                let disk = disk.fork();
                disk.power_cut(fate);
                let what = format!("call {call}, fate {number}");
                let seen = loaded(&disk, &what);
                let allowed: &[_] = if accepts {
                    &[first, then]
                } else {
                    &[(5, 5), first]
                };
                assert!(allowed.contains(&seen), "{what}: {seen:?}");
                crashes += 1;
            }
            disk.kill();
            let what = format!("call {call}, process killed");
            let seen = loaded(&disk, &what);
            assert!([(5, 5), first, then].contains(&seen), "{what}: {seen:?}");
        }
    }
    assert!(crashes > 300, "{crashes}");
}

#[test]
fn a_promise_that_a_start_reads_is_durable_before_it_is_kept() {
    // The process ends when the file has its name, and the name is in the cache alone.
    let whole = disk(5, None, None);
    drop(load(&whole));
    for call in 0.. {
        let disk = whole.fork();
        let mut epochs = load(&disk).unwrap();
        disk.fail_at(disk.calls() + call, Fault::DeviceError);
        let is_done = epochs.set_accepted(6).is_ok();
        drop(epochs);
        disk.kill();
        let promised = loaded(&disk, &format!("call {call}"));
        disk.power_cut(|| false);
        assert_eq!(loaded(&disk, &format!("call {call}, power cut")), promised);
        if is_done {
            break;
        }
    }
}

#[test]
fn a_first_start_that_crashes_anywhere_leaves_a_next_one_that_succeeds() {
    let whole = disk(5, None, None);
    for call in 0.. {
        let disk = whole.fork();
        let server = Server::start(&disk);
        disk.fail_at(disk.calls() + call, Fault::PowerOff);
        if server.recovered.epochs.load().is_ok() {
            break;
        }
        for fate in fates(unsynced_changes(&disk), call) {
            let disk = disk.fork();
            disk.power_cut(fate);
            assert_eq!(loaded(&disk, &format!("call {call}")), (5, 5));
        }
    }
}

#[test]
fn a_failed_write_changes_no_promise_in_memory_and_leaves_one_of_the_two_on_disk() {
    let whole = disk(5, None, None);
    drop(load(&whole));
    let mut failures = 0;
    for fault in [Fault::DeviceError, Fault::NoSpace] {
        for call in 0.. {
            let disk = whole.fork();
            let mut epochs = load(&disk).unwrap();
            disk.fail_at(disk.calls() + call, fault);
            let Err(error) = epochs.set_accepted(17) else {
                break;
            };
            failures += 1;
            assert!(error.path.starts_with("/data/version-2"), "{error}");
            assert_eq!(epochs.accepted(), 5);
            drop(epochs);
            disk.power_cut(|| false);
            let (accepted, _) = loaded(&disk, &format!("call {call}"));
            assert!([5, 17].contains(&accepted), "{accepted}");
        }
    }
    assert!(failures >= 12, "{failures}");
}

#[test]
#[should_panic(expected = "epoch 7 was accepted, 6 is older")]
fn an_accepted_epoch_never_goes_back() {
    let mut epochs = load(&disk(5, Some("7"), Some("5"))).unwrap();
    _ = epochs.set_accepted(6);
}

#[test]
#[should_panic(expected = "epoch 6 was current and 7 accepted, 5 lies not between them")]
fn a_current_epoch_never_goes_back() {
    let mut epochs = load(&disk(5, Some("7"), Some("6"))).unwrap();
    _ = epochs.set_current(5);
}

#[test]
#[should_panic(expected = "epoch 5 was current and 7 accepted, 8 lies not between them")]
fn an_epoch_is_current_only_after_it_was_accepted() {
    let mut epochs = load(&disk(5, Some("7"), Some("5"))).unwrap();
    _ = epochs.set_current(8);
}
