//! A leader's snapshot, as a learner takes it from the stream: the pieces in which it comes make no difference;
//! one that is not whole leaves the history alone, and a whole one is what the next start finds.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use zk_fuzz::{Choices, History, Image, State, bounded, record};
use zk_proto::{Record, Zxid};
use zk_storage::memory::MemoryFileSystem;
use zk_storage::{Storage, StorageConfig};

const BASE_BYTES: usize = 4 << 20;
const GROWTH: usize = 64;
const ZXID: Zxid = Zxid(5 << 32 | 9);

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let piece = match choices.byte() {
        0 => usize::MAX,
        piece => usize::from(piece) * usize::from(piece),
    };
    let stream = choices.0;
    let whole = bounded(BASE_BYTES + GROWTH * stream.len(), || {
        receive(stream, usize::MAX)
    });
    assert_eq!(whole, receive(stream, piece));
});

/// The state that was taken and how many bytes it had, or why it was not.
fn receive(stream: &[u8], piece: usize) -> Result<(Image, usize), String> {
    let disk = disk();
    let before = disk.fork();
    let mut state = State::default();
    let mut install = open(&disk).receive_snapshot(ZXID, &mut state).unwrap();
    let mut fed = 0;
    for bytes in stream.chunks(piece.min(stream.len().max(1))) {
        fed += bytes.len();
        match install.feed(Bytes::copy_from_slice(bytes), &mut state) {
            Ok(None) => {}
            Ok(Some(rest)) => {
                let (start, end) = (fed - rest.len(), fed);
                assert_eq!(stream.get(start..end), Some(&rest[..]));
                drop(install.finish(None).unwrap());
                let received = Image::of(&state.finish());
                assert_eq!(recover(&disk), received);
                return Ok((received, start));
            }
            Err(error) => {
                drop(install.abandon().unwrap());
                assert_is_as_before(&disk, &before);
                return Err(error.to_string());
            }
        }
    }
    // The link breaks, and the server may end with it.
    drop(install);
    disk.kill();
    assert_eq!(recover(&disk), recover(&before));
    assert_is_as_before(&disk, &before);
    Err("it does not end".to_owned())
}

/// A learner with some history of its own.
fn disk() -> MemoryFileSystem {
    let disk = MemoryFileSystem::new();
    let mut history = History::default();
    let mut recovered = open(&disk).recover(&mut history).unwrap();
    recovered
        .snapshots
        .write(&history, Zxid::ZERO, None)
        .unwrap();
    recovered
        .log
        .append(Zxid(1), &record(Zxid(1), 30).to_bytes());
    recovered.log.close().unwrap();
    disk.kill();
    recover(&disk);
    disk.kill();
    disk
}

fn open(disk: &MemoryFileSystem) -> Storage {
    let config = StorageConfig {
        pre_alloc_bytes: 0,
        ..StorageConfig::new("/data")
    };
    Storage::open(Arc::new(disk.clone()), config).unwrap()
}

fn recover(disk: &MemoryFileSystem) -> Image {
    disk.kill();
    let mut state = State::default();
    open(disk).recover(&mut state).unwrap();
    Image::of(&state.finish())
}

fn assert_is_as_before(disk: &MemoryFileSystem, before: &MemoryFileSystem) {
    let files = |disk: &MemoryFileSystem| {
        let paths = disk.paths().into_iter();
        paths
            .map(|path| (disk.content(&path), path))
            .collect::<Vec<_>>()
    };
    assert_eq!(files(disk), files(before));
}
