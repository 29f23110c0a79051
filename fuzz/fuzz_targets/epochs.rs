//! The files that hold a member's promises, with any text in them, beside a history of any epoch. They are
//! refused, or agree with each other and the history; and a promise outlives a crash once it was made.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use zk_fuzz::{Choices, DIR, History, sealed_snapshot};
use zk_proto::{Record, SnapshotHeader, SnapshotNode, StatPersisted, Writer, Zxid};
use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{EpochError, Epochs, Storage, StorageConfig};

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let present = choices.byte();
    let epoch = u32::from(choices.byte()) << (choices.byte() % 24);
    let (steps, calls, mut fates) = (choices.byte(), choices.byte(), choices.byte());
    let length = usize::from(choices.byte());
    let (accepted, current) = (choices.bytes(length), choices.0);

    let disk = disk_of(epoch);
    for (bit, name, text) in [
        (1, "acceptedEpoch", accepted),
        (2, "currentEpoch", current),
        (4, "acceptedEpoch.tmp", current),
        (8, "currentEpoch.tmp", accepted),
    ] {
        if present & bit != 0 {
            disk.place(&Path::new(DIR).join(name), text);
        }
    }
    let mut epochs = match load(&disk) {
        Ok(epochs) => epochs,
        Err(error) => {
            assert!(error.to_string().contains(DIR), "{error}");
            return;
        }
    };
    assert_agrees(&disk, &epochs, epoch);

    // New promises, until the power goes.
    disk.fail_at(disk.calls() + u64::from(calls % 32), Fault::PowerOff);
    let mut made = (epochs.accepted(), epochs.current());
    let mut asked = made;
    for step in 0..8 {
        let result = if steps >> step & 1 == 0 {
            asked.0 = made.0.saturating_add(step);
            epochs.set_accepted(asked.0)
        } else {
            asked.1 = made.0;
            epochs.set_current(asked.1)
        };
        if result.is_err() {
            break;
        }
        made = asked;
        assert_eq!((epochs.accepted(), epochs.current()), made);
    }
    drop(epochs);
    disk.power_cut(|| {
        fates = fates.rotate_left(1);
        fates & 1 == 1
    });
    let epochs = load(&disk).unwrap();
    assert_agrees(&disk, &epochs, epoch);
    let found = (epochs.accepted(), epochs.current());
    assert!((made.0..=asked.0).contains(&found.0) && (made.1..=asked.1).contains(&found.1));
});

fn load(disk: &MemoryFileSystem) -> Result<Epochs, EpochError> {
    disk.kill();
    let config = StorageConfig {
        pre_alloc_bytes: 0,
        ..StorageConfig::new("/data")
    };
    let storage = Storage::open(Arc::new(disk.clone()), config).unwrap();
    storage
        .recover(&mut History::default())
        .unwrap()
        .epochs
        .load()
}

fn assert_agrees(disk: &MemoryFileSystem, epochs: &Epochs, of_history: u32) {
    assert!(epochs.accepted() >= epochs.current() && epochs.current() >= of_history);
    for (name, epoch) in [
        ("acceptedEpoch", epochs.accepted()),
        ("currentEpoch", epochs.current()),
    ] {
        let content = disk.content(&Path::new(DIR).join(name)).unwrap();
        let text = String::from_utf8_lossy(&content);
        assert_eq!(text.lines().next().unwrap().parse(), Ok(epoch), "{text:?}");
    }
}

/// A disk with a snapshot that ends in the epoch.
fn disk_of(epoch: u32) -> MemoryFileSystem {
    let zxid = Zxid::of_epoch(epoch);
    let root = SnapshotNode {
        path: "",
        data: None,
        acl: -1,
        stat: StatPersisted::default(),
    };
    let mut body = BytesMut::new();
    SnapshotHeader::default().encode(&mut body);
    body.put_int(0);
    body.put_int(0);
    root.encode(&mut body);
    body.put_string("/");
    let disk = MemoryFileSystem::new();
    let path = Path::new(DIR).join(format!("snapshot.{:x}", zxid.0));
    disk.place(&path, &sealed_snapshot(body.to_vec()));
    disk
}
