//! Recovery from a data directory with anything in it. It is refused, and logs and snapshots are left alone;
//! or the state agrees with itself, is found again, and goes on.
#![no_main]

use std::path::PathBuf;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use zk_core::tree::Recovered as Tree;
use zk_fuzz::{Directory, Image, Source, State, bounded, record};
use zk_proto::{Record, Zxid};
use zk_storage::{RecoverError, Recovered, RecoveredFrom, Storage, StorageConfig};

/// Buffers that every start takes.
const BASE_BYTES: usize = 4 << 20;
/// A znode in memory is some times as long as the shortest on disk.
const GROWTH: usize = 64;

fuzz_target!(|input: &[u8]| {
    let directory = Directory::new(input);
    let before = directory.files();
    let bytes_max = BASE_BYTES + GROWTH * directory.bytes_max;
    match bounded(bytes_max, || start(&directory)) {
        Err(error) => {
            let is_changing = before.iter().any(|(path, _)| path.ends_with("intent"));
            let history = |mut files: Vec<_>| {
                files.retain(|file| is(file, "log.") || is(file, "snapshot."));
                files
            };
            assert!(!error.to_string().is_empty());
            assert!(
                is_changing || history(before) == history(directory.files()),
                "{error}"
            );
        }
        Ok((image, tree, recovered)) => go_on(&directory, &before, &image, &tree, recovered),
    }
});

type File = (PathBuf, Vec<u8>);

fn is(file: &File, prefix: &str) -> bool {
    file.0
        .file_name()
        .is_some_and(|name| name.to_str().unwrap().starts_with(prefix))
}

fn logs(files: &[File]) -> usize {
    files.iter().filter(|file| is(file, "log.")).count()
}

fn start(directory: &Directory) -> Result<(Image, Tree, Recovered), RecoverError> {
    let config = StorageConfig {
        pre_alloc_bytes: 512,
        snapshot_trust_empty: true,
        ..StorageConfig::new("/data")
    };
    let storage = Storage::open(Arc::new(directory.disk.clone()), config).unwrap();
    let mut state = State::default();
    let recovered = storage.recover(&mut state)?;
    let tree = state.finish();
    assert_eq!(recovered.report.last_zxid, tree.last_zxid);
    Ok((Image::of(&tree), tree, recovered))
}

fn go_on(directory: &Directory, before: &[File], image: &Image, tree: &Tree, recovered: Recovered) {
    let last = recovered.report.last_zxid;
    if matches!(recovered.report.from, RecoveredFrom::Empty) {
        let mut snapshots = recovered.snapshots;
        snapshots.write(&Source::of(tree), last, None).unwrap();
    }
    directory.disk.kill();
    let (again, _, recovered) = match start(directory) {
        Ok(again) => again,
        // A log that holds nothing was removed, which said by its name where the one before it ends: that one
        // is read to its end now, where only the snapshot was needed.
        Err(RecoverError::Damaged { .. }) if logs(&directory.files()) < logs(before) => return,
        Err(error) => panic!("it was read before: {error}"),
    };
    assert_eq!(&again, image);
    let next = match last.counter() {
        u32::MAX => Zxid::of_epoch(last.epoch().wrapping_add(1)).next(),
        _ => last.next(),
    };
    if next <= last || matches!(recovered.report.from, RecoveredFrom::Unexpected) {
        return;
    }
    let mut log = recovered.log;
    log.append(next, &record(next, 600).to_bytes());
    if let Err(error) = log.flush() {
        // A log has the name already, and holds other transactions than it says: nothing is written over.
        let name = format!("log.{:x}", next.0);
        assert!(before.iter().any(|file| file.0.ends_with(&name)), "{error}");
        return;
    }
    drop(log);
    directory.disk.power_cut(|| false);
    let (after, _, recovered) = start(directory).expect("it was read before");
    assert_eq!((after.last_zxid, recovered.report.last_zxid), (next, next));
}
