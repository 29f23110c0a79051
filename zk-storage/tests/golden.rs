//! Data directories that Apache ZooKeeper 3.8.0 wrote are read whole.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do, and read files"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use zk_proto::{Acl, Record, SnapshotNode, SnapshotSession, TxnRecord, Zxid};
use zk_storage::memory::MemoryFileSystem;
use zk_storage::{
    Restore, RestoreError, SnapshotPart, SnapshotTrailer, Storage, StorageConfig, TxnLogItem,
    TxnLogReader, read_snapshot,
};

fn directories() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/data");
    let mut directories: Vec<_> = fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    directories.sort();
    assert!(directories.len() >= 9, "{directories:?}");
    directories
}

/// A copy that may be changed.
fn copy(directory: &Path) -> MemoryFileSystem {
    let disk = MemoryFileSystem::new();
    for entry in fs::read_dir(directory.join("version-2")).unwrap() {
        let path = entry.unwrap().path();
        let to = Path::new("/data/version-2").join(path.file_name().unwrap());
        disk.place(&to, &fs::read(&path).unwrap());
    }
    disk
}

#[derive(Default)]
struct Counts {
    sessions: usize,
    acls: usize,
    nodes: usize,
    snapshot: Option<(Zxid, SnapshotTrailer)>,
    txns: usize,
    with_digest: usize,
}

impl Restore for Counts {
    fn begin(&mut self) {
        *self = Self::default();
    }

    fn session(&mut self, _: SnapshotSession) -> Result<(), RestoreError> {
        self.sessions += 1;
        Ok(())
    }

    fn acl(&mut self, _: i64, _: Vec<Acl>) -> Result<(), RestoreError> {
        self.acls += 1;
        Ok(())
    }

    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError> {
        assert!(node.path.is_empty() || node.path.starts_with('/'));
        self.nodes += 1;
        Ok(())
    }

    fn snapshot_done(&mut self, zxid: Zxid, trailer: SnapshotTrailer) -> Result<(), RestoreError> {
        self.snapshot = Some((zxid, trailer));
        Ok(())
    }

    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError> {
        self.txns += 1;
        self.with_digest += usize::from(record.digest.is_some());
        Ok(())
    }
}

#[test]
fn every_directory_of_apaches_server_is_recovered_up_to_its_last_transaction() {
    for directory in directories() {
        let name = directory.file_name().unwrap().to_str().unwrap();
        let disk = copy(&directory);
        let config = StorageConfig::new("/data");
        let storage = Storage::open(Arc::new(disk.clone()), config.clone()).unwrap();
        let mut counts = Counts::default();
        let report = storage.recover(&mut counts).unwrap().report;
        let srvr = fs::read_to_string(directory.join("srvr.txt")).unwrap();
        let zxid = srvr.lines().find_map(|line| line.strip_prefix("Zxid: 0x"));
        let zxid = i64::from_str_radix(zxid.unwrap(), 16).unwrap();
        assert_eq!(report.last_zxid, Zxid(zxid), "{name}");
        assert_eq!(report.torn, None, "{name}");
        assert!(report.skipped.is_empty(), "{name}");
        let (_, trailer) = counts.snapshot.unwrap();
        assert!(counts.nodes >= 4, "{name}: {}", counts.nodes);
        assert_eq!(trailer.last_zxid, None, "{name}: 3.9 writes it");
        let has_digests = counts.with_digest > 0;
        assert_eq!(
            has_digests,
            counts.txns > 0 && name != "old-style",
            "{name}"
        );

        // Once more, after the zeros were cut off: nothing else was changed.
        let storage = Storage::open(Arc::new(disk), config).unwrap();
        let again = storage.recover(&mut Counts::default()).unwrap().report;
        assert_eq!(again, report, "{name}");
    }
}

/// Where the first seal of a snapshot stands: a digest and its seal may follow.
fn end_of_body(file: &[u8]) -> usize {
    let mut ends = [46, 13]
        .into_iter()
        .filter_map(|tail| file.len().checked_sub(tail));
    let is_sealed = |&end: &usize| {
        let sum = u64::from(simd_adler32::adler32(&&file[..end]));
        file[end..].starts_with(&sum.to_be_bytes())
    };
    ends.find(is_sealed).unwrap()
}

#[test]
fn the_body_of_every_snapshot_of_apaches_server_is_taken_from_a_stream() {
    let mut snapshots = 0;
    for directory in directories() {
        let disk = copy(&directory);
        for path in disk.paths() {
            let name = path.file_name().unwrap().to_str().unwrap();
            if !name.starts_with("snapshot.") || name.ends_with(".gz") || name.ends_with(".snappy")
            {
                continue;
            }
            let file = disk.content(&path).unwrap();
            let mut from_file = Counts::default();
            read_snapshot(&disk, &path, |_, part| match part {
                SnapshotPart::Session(session) => from_file.session(session),
                SnapshotPart::Acl(id, acl) => from_file.acl(id, acl),
                SnapshotPart::Node(node) => from_file.node(node),
            })
            .unwrap();

            let learner = MemoryFileSystem::new();
            let storage = Storage::open(Arc::new(learner), StorageConfig::new("/data")).unwrap();
            let mut counts = Counts::default();
            let mut install = storage.receive_snapshot(Zxid(1), &mut counts).unwrap();
            let mut stream = file[16..end_of_body(&file)].to_vec();
            stream.extend_from_slice(b"\0\0\0\x0aBenWasHere");
            let mut rest = None;
            for bytes in stream.chunks(1000) {
                assert_eq!(rest, None);
                rest = install
                    .feed(Bytes::copy_from_slice(bytes), &mut counts)
                    .unwrap();
            }
            assert_eq!(rest, Some(Bytes::new()), "{}", path.display());
            install.finish(None).unwrap();
            assert_eq!(
                (counts.sessions, counts.acls, counts.nodes),
                (from_file.sessions, from_file.acls, from_file.nodes)
            );
            snapshots += 1;
        }
    }
    assert!(snapshots >= 5, "{snapshots}");
}

#[test]
fn every_entry_of_apaches_logs_encodes_to_the_same_bytes() {
    let mut entries = 0;
    for directory in directories() {
        let disk = copy(&directory);
        for path in disk.paths() {
            if !path
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("log.")
            {
                continue;
            }
            let content = Bytes::from(disk.content(&path).unwrap());
            for item in TxnLogReader::open(&disk, &path).unwrap() {
                match item.unwrap() {
                    TxnLogItem::Txn {
                        offset,
                        bytes,
                        record,
                    } => {
                        let offset = usize::try_from(offset).unwrap();
                        let end = offset + usize::try_from(bytes).unwrap() - 1;
                        let body = content.slice(offset + 12..end);
                        let record = record.unwrap();
                        assert_eq!(record.to_bytes(), body, "{} {record:?}", path.display());
                        entries += 1;
                    }
                    damage @ TxnLogItem::Damage { .. } => panic!("{damage:?}"),
                    TxnLogItem::Header(_) | TxnLogItem::End { .. } => {}
                }
            }
        }
    }
    assert!(entries > 1000, "{entries}");
}
