//! What is damaged is never read as if it were whole: a start either has the whole history, or is
//! refused with the file named.

use std::path::PathBuf;

use std::sync::Arc;

use zk_proto::{
    Acl, LogHeader, Record, SnapshotNode, SnapshotSession, TxnRecord, Zxid, encode_entry,
};
use zk_storage::memory::MemoryFileSystem;
use zk_storage::{
    RecoverError, Restore, RestoreError, SnapshotTrailer, Storage, StorageConfig, TxnLogItem,
    TxnLogReader,
};

use crate::common::{NoStart, Random, Server, State, config, path, record};

/// Twelve transactions in two logs, with snapshots before and between, all acknowledged.
fn disk() -> MemoryFileSystem {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.batch(3, 100).unwrap();
    server.batch(2, 700).unwrap();
    server.snapshot();
    server.recovered.log.roll().unwrap();
    server.batch(2, 10).unwrap();
    server.batch(3, 600).unwrap();
    server.batch(2, 30).unwrap();
    server.recovered.log.settle().unwrap();
    drop(server);
    disk.power_cut(|| false);
    disk
}

const LAST: i64 = 12;

/// The newest transaction that a start recovers, if it starts; the history before it is whole.
fn start(disk: &MemoryFileSystem, what: &str) -> Result<i64, RecoverError> {
    match Server::start_with(&disk.fork(), config()) {
        Ok(server) => {
            let last = server.last();
            let whole: Vec<_> = (1..=last).collect();
            assert_eq!(server.state.history(), whole, "{what}");
            Ok(last)
        }
        Err(NoStart::Recover(error)) => Err(error),
        Err(NoStart::Open(error)) => panic!("{what}: {error}"),
    }
}

fn assert_whole_or_refused(disk: &MemoryFileSystem, what: &str) -> bool {
    match start(disk, what) {
        Ok(last) => {
            assert_eq!(last, LAST, "{what}: silently lost");
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("/data/version-2/"), "{error}");
            false
        }
    }
}

fn end_of_entries(disk: &MemoryFileSystem, log: &str) -> usize {
    let reader = TxnLogReader::open(disk, &path(log)).unwrap();
    match reader.last().unwrap().unwrap() {
        TxnLogItem::End { offset, .. } => usize::try_from(offset).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn with(
    disk: &MemoryFileSystem,
    name: &str,
    damage: impl FnOnce(&mut Vec<u8>),
) -> MemoryFileSystem {
    let damaged = disk.fork();
    let mut content = damaged.content(&path(name)).unwrap();
    damage(&mut content);
    damaged.place(&path(name), &content);
    damaged
}

fn without_mark(disk: &MemoryFileSystem) -> MemoryFileSystem {
    let disk = disk.fork();
    disk.lose(&path("flushed"));
    disk
}

#[test]
fn the_disk_of_these_tests_is_whole() {
    assert_eq!(start(&disk(), "").unwrap(), LAST);
    assert_eq!(start(&without_mark(&disk()), "").unwrap(), LAST);
}

#[test]
fn every_flipped_bit_of_a_log_is_noticed_with_and_without_the_mark() {
    let disk = disk();
    for (disk, marked) in [(disk.clone(), "marked"), (without_mark(&disk), "unmarked")] {
        let end = end_of_entries(&disk, "log.6");
        for bit in 0..end * 8 {
            let damaged = with(&disk, "log.6", |log| log[bit / 8] ^= 1 << (bit % 8));
            let is_whole = assert_whole_or_refused(&damaged, &format!("{marked}, bit {bit}"));
            // Nobody reads the number of the database.
            assert_eq!(
                is_whole,
                (8..16).contains(&(bit / 8)),
                "{marked}, bit {bit}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_is_noticed_in_an_entry_that_begins_at_a_sectors_end() {
    for bytes_before_end in 1..=8 {
        let disk = MemoryFileSystem::new();
        let mut server = Server::start(&disk);
        let header = LogHeader::default().to_bytes().len();
        let frame = 13;
        let first = 512 - bytes_before_end - header - frame;
        let padding = first - record(1, 0).to_bytes().len();
        server.batch(1, padding).unwrap();
        server.batch(1, 600).unwrap();
        server.batch(1, 10).unwrap();
        drop(server);
        disk.kill();
        let disk = without_mark(&disk);
        let begin = 512 - bytes_before_end;
        let end = begin + frame + record(2, 600).to_bytes().len();
        assert_eq!(start(&disk, "").unwrap(), 3);
        for bit in begin * 8..end * 8 {
            let damaged = with(&disk, "log.1", |log| log[bit / 8] ^= 1 << (bit % 8));
            let what = format!("{bytes_before_end} bytes before the sector's end, bit {bit}");
            assert!(!assert_whole_or_refused(&damaged, &what));
        }
    }
}

#[test]
fn every_byte_of_a_marked_log_may_become_anything() {
    let disk = disk();
    let end = end_of_entries(&disk, "log.6");
    for at in 0..end {
        for value in [0, 0xff, b'B'] {
            let damaged = with(&disk, "log.6", |log| log[at] = value);
            assert_whole_or_refused(&damaged, &format!("byte {at} becomes {value}"));
        }
    }
}

#[test]
fn a_marked_log_that_is_cut_anywhere_is_refused() {
    let disk = disk();
    let end = end_of_entries(&disk, "log.6");
    for length in 0..end {
        let damaged = with(&disk, "log.6", |log| log.truncate(length));
        assert!(!assert_whole_or_refused(
            &damaged,
            &format!("cut to {length}")
        ));
        let damaged = with(&disk, "log.6", |log| log[length..].fill(0));
        assert!(!assert_whole_or_refused(
            &damaged,
            &format!("zeros from {length}")
        ));
    }
    let damaged = with(&disk, "log.6", |log| log.truncate(end));
    assert!(assert_whole_or_refused(&damaged, "cut to its entries"));
}

#[test]
fn an_unmarked_log_that_is_cut_anywhere_keeps_what_stands_before() {
    let disk = without_mark(&disk());
    let end = end_of_entries(&disk, "log.6");
    let mut seen = Vec::new();
    for length in 0..=end {
        let damaged = with(&disk, "log.6", |log| log.truncate(length));
        let last = start(&damaged, &format!("cut to {length}")).unwrap();
        seen.push(last);
    }
    assert!(seen.is_sorted(), "{seen:?}");
    seen.dedup();
    assert_eq!(seen, (5..=LAST).collect::<Vec<_>>());
}

#[test]
fn a_start_after_a_cut_removes_the_empty_log_and_goes_on_under_its_name() {
    for length in 0..64 {
        let disk = with(&without_mark(&disk()), "log.6", |log| log.truncate(length));
        let mut server = Server::start(&disk);
        assert_eq!(server.last(), 5, "{length}");
        server.batch(1, 10).unwrap();
        drop(server);
        assert_eq!(Server::start(&disk).last(), 6, "{length}");
    }
}

#[test]
fn a_zeroed_piece_of_a_marked_log_is_refused() {
    let disk = disk();
    let end = end_of_entries(&disk, "log.6");
    for size in [12, 512, 4096] {
        for from in (0..end).step_by(size.min(512)) {
            let to = (from + size).min(end);
            let damaged = with(&disk, "log.6", |log| log[from..to].fill(0));
            let what = format!("zeros in {from}..{to}");
            assert!(!assert_whole_or_refused(&damaged, &what));
        }
    }
}

#[test]
fn damage_in_an_older_log_is_refused_while_a_snapshot_does_not_cover_it() {
    let disk = disk();
    let mut covered = disk.clone();
    for newest_snapshot in ["snapshot.5", "snapshot.0"] {
        let end = end_of_entries(&disk, "log.1");
        for at in 0..end {
            let damaged = with(&covered, "log.1", |log| log[at] ^= 0x10);
            let is_whole = assert_whole_or_refused(&damaged, &format!("byte {at}"));
            let is_unread = newest_snapshot == "snapshot.5" || (8..16).contains(&at);
            assert_eq!(is_whole, is_unread, "{newest_snapshot}, byte {at}");
            let damaged = with(&covered, "log.1", |log| log.truncate(at));
            let is_whole = assert_whole_or_refused(&damaged, &format!("cut to {at}"));
            assert_eq!(is_whole, newest_snapshot == "snapshot.5");
        }
        covered = disk.fork();
        covered.lose(&path("snapshot.5"));
    }
}

#[test]
fn a_damaged_snapshot_is_left_for_an_older_one() {
    let disk = disk();
    let whole = disk.content(&path("snapshot.5")).unwrap();
    for at in 0..whole.len() {
        let damaged = with(&disk, "snapshot.5", |snapshot| snapshot[at] ^= 1);
        let server = Server::start_with(&damaged, config()).unwrap();
        assert_eq!(server.last(), LAST, "byte {at}");
        let is_skipped = server.recovered.report.skipped.len() == 1;
        // Its version and the number of the database are part of the checksum too.
        assert!(is_skipped, "byte {at}");
        assert_eq!(server.recovered.report.skipped[0].path, path("snapshot.5"));

        let damaged = with(&disk, "snapshot.5", |snapshot| snapshot.truncate(at));
        assert_eq!(start(&damaged, &format!("cut to {at}")).unwrap(), LAST);
    }
}

#[test]
fn a_damaged_snapshot_beyond_the_logs_is_refused() {
    let disk = disk();
    // As on a learner of Apache's server that was sent the newest snapshot, over a hole in its logs.
    disk.lose(&path("log.6"));
    disk.lose(&path("flushed"));
    let mut sent = disk.content(&path("snapshot.5")).unwrap();
    sent[30] ^= 1;
    disk.place(&path("snapshot.9"), &sent);
    match start(&disk, "").unwrap_err() {
        RecoverError::LostSnapshot { path: by, last } => {
            assert_eq!((by, last), (path("snapshot.9"), Zxid(5)));
        }
        error => panic!("{error}"),
    }
    // Nor is it passed over by a log of a newer epoch.
    let epoch = 1 << 32;
    disk.place(&path("log.100000001"), &log(&[(epoch + 1, 1)], 0));
    match start(&disk, "").unwrap_err() {
        RecoverError::Gap { after, next, .. } => {
            assert_eq!((after, next), (Zxid(5), Zxid(epoch + 1)));
        }
        error => panic!("{error}"),
    }
    disk.place(&path("log.100000001"), &log(&[], 0));
    let error = start(&disk, "").unwrap_err();
    assert!(matches!(error, RecoverError::Gap { .. }), "{error}");
    // One that a crash kept from being finished says nothing.
    disk.place(&path("snapshot.9"), &sent[..sent.len() - 1]);
    disk.lose(&path("log.100000001"));
    assert_eq!(start(&disk, "").unwrap(), 5);
}

#[test]
fn any_files_may_be_lost_or_emptied() {
    let disk = disk();
    let files: Vec<PathBuf> = disk.paths();
    assert_eq!(files.len(), 5, "{files:?}");
    let mut starts = 0;
    for choice in 0..3_u32.pow(5) {
        let damaged = disk.fork();
        let mut is_mark_whole = true;
        let mut rest = choice;
        for file in &files {
            match rest % 3 {
                0 => {}
                1 => damaged.lose(file),
                _ => damaged.place(file, b""),
            }
            is_mark_whole &= rest % 3 == 0 || !file.ends_with("flushed");
            rest /= 3;
        }
        let what = format!("{choice}: {damaged:?}");
        if is_mark_whole {
            starts += u32::from(assert_whole_or_refused(&damaged, &what));
        } else {
            // Without the mark the newest log may be gone unnoticed; a hole may not.
            let _either = start(&damaged, &what);
        }
    }
    // All whole; the log or the snapshot before the newest lost or emptied; both.
    assert_eq!(starts, 3 * 3 + 2, "{starts}");
}

#[test]
fn random_damage_never_ends_in_a_panic_or_a_silent_loss() {
    let disk = disk();
    let mut random = Random(2026);
    let names = ["log.1", "log.6", "snapshot.0", "snapshot.5"];
    for round in 0..4000 {
        let mut damaged = disk.fork();
        for _ in 0..=random.below(3) {
            let name = names[random.below(names.len())];
            damaged = with(&damaged, name, |content| {
                let from = random.below(content.len().max(1));
                let to = (from + 1 + random.below(600)).min(content.len());
                let from = from.min(to);
                match random.below(4) {
                    0 => content[from..to].fill(0),
                    1 => content.truncate(from),
                    2 => content.copy_within(from..to, 0),
                    _ => content[from..to]
                        .iter_mut()
                        .for_each(|byte| *byte = random.next().to_be_bytes()[0]),
                }
            });
        }
        assert_whole_or_refused(&damaged, &format!("round {round}"));
    }
}

/// A log as Apache's server writes it.
fn log(records: &[(i64, usize)], padding: usize) -> Vec<u8> {
    let mut log = Vec::new();
    LogHeader::default().encode(&mut log);
    for &(zxid, bytes) in records {
        encode_entry(&record(zxid, bytes).to_bytes(), &mut log);
    }
    log.resize(log.len() + padding, 0);
    log
}

/// A disk with an empty snapshot and these logs, and no mark.
fn disk_with(logs: &[(&str, Vec<u8>)]) -> MemoryFileSystem {
    let disk = MemoryFileSystem::new();
    drop(Server::start(&disk));
    disk.lose(&path("flushed"));
    for (name, content) in logs {
        disk.place(&path(name), content);
    }
    disk
}

fn starts(disk: &MemoryFileSystem) -> Result<Vec<i64>, RecoverError> {
    match Server::start_with(disk, config()) {
        Ok(server) => Ok(server.state.history()),
        Err(NoStart::Recover(error)) => Err(error),
        Err(NoStart::Open(error)) => panic!("{error}"),
    }
}

/// Makes the last entry of a log a torn one: from some sector on it is zeros.
fn tear(mut log: Vec<u8>) -> Vec<u8> {
    let end = log.len() / 512 * 512;
    log[end..].fill(0);
    log
}

#[test]
fn a_torn_tail_that_apache_left_in_an_older_log_is_skipped() {
    let torn = tear(log(&[(1, 10), (2, 10), (3, 2000)], 0));
    let disk = disk_with(&[
        ("log.1", torn.clone()),
        ("log.3", log(&[(3, 1), (4, 1)], 0)),
    ]);
    assert_eq!(starts(&disk).unwrap(), [1, 2, 3, 4]);

    // The missing transaction is in neither.
    let disk = disk_with(&[("log.1", torn.clone()), ("log.4", log(&[(4, 1)], 0))]);
    let error = starts(&disk).unwrap_err();
    assert!(matches!(error, RecoverError::Damaged { .. }), "{error}");

    // Nobody can tell: an ensemble has dropped it, or acknowledged it.
    let epoch = 1 << 32;
    let newer = log(&[(epoch + 1, 1)], 0);
    let disk = disk_with(&[("log.1", torn), ("log.100000001", newer.clone())]);
    assert_eq!(starts(&disk).unwrap(), [1, 2, epoch + 1]);

    let mut flipped = log(&[(1, 10), (2, 10), (3, 2000)], 4096);
    flipped[700] ^= 1;
    let disk = disk_with(&[("log.1", flipped), ("log.100000001", newer)]);
    let error = starts(&disk).unwrap_err();
    assert!(matches!(error, RecoverError::Damaged { .. }), "{error}");
}

#[test]
fn a_hole_in_the_order_is_refused() {
    for (first, second, name) in [
        (vec![(1, 1), (2, 1)], vec![(4, 1)], "log.4"),
        (vec![(1, 1), (3, 1)], vec![(4, 1)], "log.4"),
        (
            vec![(1, 1), (2, 1)],
            vec![((1 << 32) + 2, 1)],
            "log.100000002",
        ),
    ] {
        let disk = disk_with(&[("log.1", log(&first, 0)), (name, log(&second, 0))]);
        let error = starts(&disk).unwrap_err();
        assert!(matches!(error, RecoverError::Gap { .. }), "{error}");
    }
    let disk = disk_with(&[("log.2", log(&[(2, 1)], 0))]);
    let error = starts(&disk).unwrap_err();
    assert_eq!(
        error.to_string(),
        "transactions after 0x0 are missing: /data/version-2/log.2 goes on with 0x2"
    );
}

#[test]
fn a_torn_batch_is_cut_off_though_later_sectors_of_it_were_written() {
    let whole = log(&[(1, 10), (2, 1500), (3, 10), (4, 10)], 4096);
    let mut torn = whole.clone();
    torn[512..1024].fill(0);
    let disk = disk_with(&[("log.1", torn)]);
    let server = Server::start_with(&disk, config()).unwrap();
    assert_eq!(server.last(), 1);
    let tail = server.recovered.report.torn.unwrap();
    assert_eq!((tail.path, tail.offset), (path("log.1"), 90));
    assert_eq!(tail.bytes, (whole.len() - 4096) as u64 - 90);
    assert_eq!(disk.content(&path("log.1")).unwrap(), whole[..90]);
}

#[test]
fn zeros_in_an_unmarked_log_are_damage_when_more_than_a_batch_follows() {
    let records: Vec<_> = (1..=20).map(|zxid| (zxid, 600_000)).collect();
    let mut damaged = log(&records, 0);
    damaged[700_096..704_512].fill(0);
    let disk = disk_with(&[("log.1", damaged)]);
    let error = starts(&disk).unwrap_err().to_string();
    assert!(
        error.contains("log.1 is damaged at offset 600080"),
        "{error}"
    );
    assert!(error.contains("whole transactions follow"), "{error}");
}

#[test]
fn a_length_that_leads_beyond_the_next_entry_is_damage() {
    // Not the length alone, so that no other length makes the entry whole.
    let mut damaged = log(&[(1, 10), (2, 10), (3, 10)], 4096);
    let second = 16 + 74;
    damaged[second + 8..second + 12].copy_from_slice(&2000_u32.to_be_bytes());
    damaged[second + 12] = 0x55;
    let error = starts(&disk_with(&[("log.1", damaged)])).unwrap_err();
    let RecoverError::Damaged { offset, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*offset, second as u64);
}

#[test]
fn an_empty_newest_log_shows_that_the_one_before_it_was_cut() {
    let whole = log(&[(1, 1), (2, 1)], 0);
    let cut = log(&[(1, 1)], 0);
    for empty in [vec![], log(&[], 0), vec![0; 4096]] {
        let disk = disk_with(&[("log.1", whole.clone()), ("log.3", empty.clone())]);
        assert_eq!(starts(&disk).unwrap(), [1, 2]);
        assert_eq!(disk.content(&path("log.3")), None);

        let disk = disk_with(&[("log.1", cut.clone()), ("log.3", empty.clone())]);
        let error = starts(&disk).unwrap_err();
        assert!(matches!(error, RecoverError::Gap { .. }), "{error}");

        let two = [
            ("log.1", whole.clone()),
            ("log.3", empty.clone()),
            ("log.5", empty),
        ];
        let error = starts(&disk_with(&two)).unwrap_err();
        assert!(matches!(error, RecoverError::Gap { .. }), "{error}");
    }
}

#[test]
fn an_entry_within_a_clients_data_is_never_replayed() {
    // The second transaction's data holds an entry that could be the second one. Then its start is
    // torn away.
    let mut forged = Vec::new();
    encode_entry(&record(2, 5).to_bytes(), &mut forged);
    let mut second = record(2, 0);
    let zk_proto::Txn::Create(create) = &mut second.txn else {
        unreachable!("records of these tests create")
    };
    let mut data = vec![7; 1600];
    data[800..800 + forged.len()].copy_from_slice(&forged);
    create.data = Some(data.into());
    let mut log = log(&[(1, 400)], 0);
    assert!(log.len() < 512);
    encode_entry(&second.to_bytes(), &mut log);
    log[480..1024].fill(0);
    assert_eq!(starts(&disk_with(&[("log.1", log)])).unwrap(), [1]);
}

#[test]
fn a_mark_of_a_log_that_is_not_the_newest_says_nothing() {
    // Apache's server ran in between and went on in another file.
    let disk = disk();
    disk.place(&path("log.d"), &log(&[(13, 1), (14, 1)], 512));
    assert_eq!(start(&disk, "").unwrap(), 14);
    let newest = with(&disk, "log.d", |log| log.truncate(log.len() - 600));
    assert_eq!(start(&newest, "").unwrap(), 12, "torn beyond the mark");
}

#[test]
fn a_renamed_log_is_refused() {
    // Appended to, it would be read after the log that goes on with it.
    for name in ["log.7", "log.100"] {
        let disk = disk();
        let content = disk.content(&path("log.6")).unwrap();
        disk.lose(&path("log.6"));
        disk.place(&path(name), &content);
        match start(&disk, name).unwrap_err() {
            RecoverError::Damaged { path: by, what, .. } => {
                assert_eq!(by, path(name));
                assert!(what.starts_with("the first transaction is 0x6"), "{what}");
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_lost_newest_log_is_noticed_by_the_mark() {
    let disk = disk();
    disk.lose(&path("log.6"));
    let error = start(&disk, "").unwrap_err();
    let RecoverError::Lost {
        flushed,
        last,
        path: by,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*flushed, *last), (Zxid(LAST), Zxid(5)));
    assert_eq!(*by, path("flushed"));
}

#[test]
fn an_empty_directory_with_a_mark_is_no_empty_database() {
    let disk = disk();
    for name in ["log.1", "log.6", "snapshot.0", "snapshot.5"] {
        disk.lose(&path(name));
    }
    let error = start(&disk, "").unwrap_err();
    assert!(matches!(error, RecoverError::Lost { .. }), "{error}");
}

#[test]
fn logs_without_a_snapshot_are_refused_unless_they_are_trusted() {
    let disk = disk();
    disk.lose(&path("snapshot.0"));
    disk.lose(&path("snapshot.5"));
    let error = start(&disk, "").unwrap_err();
    let RecoverError::NoSnapshot { log } = &error else {
        panic!("{error}")
    };
    assert_eq!(*log, path("log.1"));
    let config = StorageConfig {
        snapshot_trust_empty: true,
        ..config()
    };
    let server = Server::start_with(&disk, config).unwrap();
    assert_eq!(server.state.txns, (1..=LAST).collect::<Vec<_>>());
}

#[test]
fn only_damaged_snapshots_are_refused_even_when_an_empty_one_is_trusted() {
    let disk = disk();
    disk.place(&path("snapshot.5"), b"");
    disk.place(&path("snapshot.0"), b"ZKSN");
    let config = StorageConfig {
        snapshot_trust_empty: true,
        ..config()
    };
    let Err(NoStart::Recover(error)) = Server::start_with(&disk, config) else {
        panic!("it started")
    };
    let RecoverError::NoValidSnapshot { newest, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*newest, path("snapshot.5"));
}

/// A state that judges holes, and accepts all.
#[derive(Default)]
struct AcceptsHoles(State);

impl Restore for AcceptsHoles {
    fn begin(&mut self) {
        self.0.begin();
    }

    fn session(&mut self, session: SnapshotSession) -> Result<(), RestoreError> {
        self.0.session(session)
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), RestoreError> {
        self.0.acl(id, acl)
    }

    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError> {
        self.0.node(node)
    }

    fn snapshot_done(&mut self, zxid: Zxid, trailer: SnapshotTrailer) -> Result<(), RestoreError> {
        self.0.snapshot_done(zxid, trailer)
    }

    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError> {
        self.0.txn(record)
    }

    fn judges_holes(&self) -> bool {
        true
    }
}

#[test]
fn a_hole_is_for_the_state_to_judge_unless_a_snapshot_tells_what_was_there() {
    let disk = disk();
    disk.lose(&path("flushed"));
    disk.place(&path("log.6"), &log(&[(6, 1), (8, 1)], 0));
    assert!(matches!(start(&disk, ""), Err(RecoverError::Gap { .. })));
    let accepting = |disk: &MemoryFileSystem| {
        let storage = Storage::open(Arc::new(disk.fork()), config()).unwrap();
        let mut state = AcceptsHoles::default();
        storage.recover(&mut state).map(|_| state.0.history())
    };
    assert_eq!(accepting(&disk).unwrap(), [1, 2, 3, 4, 5, 6, 8]);

    let mut later = disk.content(&path("snapshot.5")).unwrap();
    later[30] ^= 1;
    disk.place(&path("snapshot.7"), &later);
    let error = accepting(&disk).unwrap_err();
    assert!(matches!(error, RecoverError::Gap { .. }), "{error}");
}
