//! What is written is read back, whatever its sizes.

use std::path::Path;

use proptest::prelude::*;
use zk_proto::{Record, SessionId, SnapshotSession, Zxid};
use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{StorageConfig, TxnLogItem, TxnLogReader, read_snapshot};

use crate::common::{Server, State, config, path, record};

fn with_step(pre_alloc_bytes: u64) -> StorageConfig {
    StorageConfig {
        pre_alloc_bytes,
        ..config()
    }
}

/// The transactions and the end of a log that must have no damage.
fn read_log(disk: &MemoryFileSystem, name: &str) -> (Vec<i64>, u64) {
    let mut zxids = Vec::new();
    for item in TxnLogReader::open(disk, &path(name)).unwrap() {
        match item.unwrap() {
            TxnLogItem::Header(_) => {}
            TxnLogItem::Txn { record, .. } => zxids.push(record.unwrap().header.zxid.0),
            TxnLogItem::End { offset, zeros } => return (zxids, offset + zeros),
            damage @ TxnLogItem::Damage { .. } => panic!("{damage:?}"),
        }
    }
    panic!("the log has no end")
}

#[test]
fn batches_around_the_edges_of_the_allocated_space_are_read_back() {
    // A header and an entry without data are 16 and 79 bytes; the space kept ahead is 4096.
    for step in [4096, 8192] {
        for data_bytes in (0..step + 200).step_by(61).chain(step - 200..step + 200) {
            let disk = MemoryFileSystem::new();
            drop(Server::start(&disk));
            let mut server = Server::start_with(&disk, with_step(step as u64)).unwrap();
            server.batch(1, data_bytes).unwrap();
            server.batch(1, 10).unwrap();
            server.batch(1, 4096).unwrap();
            let (zxids, bytes) = read_log(&disk, "log.1");
            assert_eq!(zxids, [1, 2, 3], "{data_bytes} bytes, steps of {step}");
            assert_eq!(bytes % step as u64, 0);
            drop(server);
            assert_eq!(Server::start(&disk).last(), 3);
        }
    }
}

#[test]
fn a_batch_beyond_its_bound_is_written_in_parts() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    for zxid in 1..=9 {
        let record = record(zxid, 1 << 20);
        let log = &mut server.recovered.log;
        log.append(Zxid(zxid), &record.to_bytes());
    }
    let log = &mut server.recovered.log;
    assert!(log.batch_bytes() > 9 << 20);
    assert_eq!(log.flushed_zxid(), Zxid::ZERO);
    // The second part fails when it is written; the first has been flushed.
    disk.fail_at(disk.calls() + 7, Fault::PowerOff);
    assert!(log.flush().is_err());
    assert_eq!(log.flushed_zxid(), Zxid(7));
    drop(server);
    disk.power_cut(|| false);
    let mut server = Server::start(&disk);
    assert_eq!(server.last(), 7);

    // One transaction may be longer than a part.
    let log = &mut server.recovered.log;
    log.append(Zxid(8), &record(8, 9 << 20).to_bytes());
    log.flush().unwrap();
    drop(server);
    assert_eq!(Server::start(&disk).last(), 8);
}

#[test]
fn a_node_of_java_with_surrogates_in_its_path_is_read() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server
        .state
        .nodes
        .push(("/a-------b".to_owned(), b"x".to_vec(), 1));
    let file = server.snapshot();
    let mut content = disk.content(&file.path).unwrap();
    // Six bytes of the path become U+1F600 as Java writes it; the seals follow.
    let at = content
        .windows(7)
        .position(|bytes| bytes == b"-------")
        .unwrap();
    content[at..at + 6].copy_from_slice(b"\xed\xa0\xbd\xed\xb8\x80");
    let body = content.len() - (13 + 33 + 21) + 13;
    for (end, next) in [(body, 20 + 13), (body + 33, 8 + 13), (body + 54, 0)] {
        let seal = end - 13;
        let sum = u64::from(simd_adler32::adler32(&&content[..seal]));
        content[seal..seal + 8].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(content[seal + 8..end], [0, 0, 0, 1, b'/'], "{next}");
    }
    disk.place(&file.path, &content);
    let mut paths = Vec::new();
    read_snapshot(&disk, &file.path, |_, part| {
        if let zk_storage::SnapshotPart::Node(node) = part {
            paths.push(node.path.to_owned());
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(paths, ["", "/a\u{1f600}-b"]);
}

prop_compose! {
    fn any_state()(
        sessions in prop::collection::vec((any::<i64>(), any::<i32>()), 0..40),
        nodes in prop::collection::vec(
            ("(/[a-zé😀]{1,9}){1,3}", prop::collection::vec(any::<u8>(), 0..300_000), any::<i64>()),
            0..12,
        ),
    ) -> State {
        let mut state = State::with_one_of_each();
        state.sessions = sessions
            .into_iter()
            .map(|(id, timeout_ms)| SnapshotSession { id: SessionId(id), timeout_ms })
            .collect();
        state.nodes.extend(nodes);
        state
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_snapshot_is_read_back(state in any_state()) {
        let disk = MemoryFileSystem::new();
        let mut server = Server::start(&disk);
        server.state = state;
        let mut written = server.state.clone();
        server.recovered.snapshots.write(&written, Zxid(0), None).unwrap();
        drop(server);
        let read = Server::start(&disk).state;
        written.snapshot = read.snapshot;
        prop_assert_eq!(read.snapshot.unwrap().1.last_zxid, Some(Zxid(0)));
        prop_assert_eq!(read, written);
    }

    #[test]
    fn any_batches_are_read_back(
        batches in prop::collection::vec((1..20_usize, 0..3000_usize, any::<bool>()), 1..12),
        step in prop::sample::select(vec![0, 1, 512, 4096, 100_000]),
    ) {
        let disk = MemoryFileSystem::new();
        drop(Server::start(&disk));
        let mut server = Server::start_with(&disk, with_step(step)).unwrap();
        for (count, data_bytes, roll) in batches {
            server.batch(count, data_bytes).unwrap();
            if roll {
                server.recovered.log.roll().unwrap();
            }
        }
        let written = server.state.clone();
        drop(server);
        prop_assert_eq!(Server::start(&disk).state.nodes, written.nodes);
    }

    #[test]
    fn any_bytes_as_any_file_never_panic(
        name in prop::sample::select(vec![
            "log.1", "log.2", "snapshot.0", "snapshot.1", "snapshot.1.gz", "snapshot.1.snappy", "flushed", "intent",
        ]),
        start in prop::sample::select(vec![
            &b""[..], b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0", b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\0",
            b"\x1f\x8b\x08\0", b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", b"ZKFL\0\0\0\x01",
            b"ZKIN\0\0\0\x01\0\0\0\x01",
        ]),
        rest in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..2000),
    ) {
        let disk = MemoryFileSystem::new();
        Server::start(&disk).batch(1, 10).unwrap();
        disk.place(&path(name), &[start, &rest].concat());
        drop(Server::start_with(&disk, config()));
        let reader = TxnLogReader::open(&disk, &path(name)).unwrap();
        prop_assert!(reader.count() < 3000);
        // What is no snapshot has no parts that anyone believes.
        prop_assert!(read_snapshot(&disk, Path::new(&path(name)), |_, _| Ok(())).is_err());
    }
}
