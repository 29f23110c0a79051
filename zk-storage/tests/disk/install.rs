//! A snapshot that a leader sends takes the place of the whole history, or of nothing.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use zk_proto::{TxnDigest, Zxid};
use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{
    InstallError, RecoverError, RecoveredFrom, SnapshotInstall, SnapshotReadError, SnapshotTrailer,
    Storage, send_snapshot,
};

use crate::common::{
    EPOCHS, NoStart, Random, Server, State, config, disk_of_epochs, epoch, fates, files, path,
    stored, unsynced_changes,
};

const DIGEST: TxnDigest = TxnDigest {
    version: TxnDigest::VERSION,
    tree_digest: 42,
};

/// A leader's state: other znodes than the learner's.
fn leaders() -> State {
    let mut state = State::with_one_of_each();
    for (number, bytes) in [10, 0, 3000, 20_000, 20].into_iter().enumerate() {
        let zxid = epoch(2) + i64::try_from(number).unwrap() + 1;
        state
            .nodes
            .push((format!("/leader-{number}"), vec![9; bytes], zxid));
    }
    state
}

fn sent(state: &State) -> Vec<u8> {
    let mut stream = Vec::new();
    let bytes = send_snapshot(state, &mut stream).unwrap();
    assert_eq!(bytes, stream.len() as u64);
    stream
}

/// Receives all of a stream in pieces of this length.
fn receive(
    storage: Storage,
    zxid: i64,
    stream: &[u8],
    piece: usize,
    into: &mut State,
) -> Result<SnapshotInstall, String> {
    let install = storage.receive_snapshot(Zxid(zxid), into);
    let mut install = install.map_err(|error| error.to_string())?;
    let mut fed = 0;
    for bytes in stream.chunks(piece) {
        fed += bytes.len();
        let bytes = Bytes::copy_from_slice(bytes);
        let rest = install.feed(bytes, into);
        let rest = rest.map_err(|error| error.to_string())?;
        assert_eq!(rest.is_some(), fed == stream.len());
        assert_eq!(rest.unwrap_or_default(), Bytes::new());
    }
    Ok(install)
}

fn install(disk: &MemoryFileSystem, zxid: i64, state: &State) -> Result<(), String> {
    let storage = Server::start(disk).into_storage();
    let install = receive(storage, zxid, &sent(state), 5000, &mut State::default())?;
    let recovered = install.finish(Some((Zxid(zxid), DIGEST)));
    recovered.map(drop).map_err(|error| error.to_string())
}

/// Where the new history may end: behind the old one, within it, and at its snapshots.
const ZXIDS: [i64; 4] = [epoch(5), epoch(1) + 2, epoch(1) + 3, 3];

/// Only the leader's state is there, and a server goes on from it.
fn assert_is_installed(disk: &MemoryFileSystem, zxid: i64, what: &str) {
    assert_eq!(stored(disk), (vec![], vec![zxid]), "{what}");
    assert_eq!(disk.content(&path("intent")), None, "{what}");
    let mut next = zxid + 1;
    for _ in 0..2 {
        let disk = disk.fork();
        disk.kill();
        let mut server = Server::start(&disk);
        assert_eq!(server.state.history(), leaders().history(), "{what}");
        assert_eq!(server.recovered.report.last_zxid, Zxid(zxid), "{what}");
        server.append([next, next + 1]);
        drop(server);
        disk.power_cut(|| false);
        let server = Server::start(&disk);
        assert_eq!(server.state.txns, [next, next + 1], "{what}");
        next = epoch(9) + 1;
    }
}

#[test]
fn a_stream_is_a_files_body_and_the_signature() {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.state = leaders();
    let file = server.snapshot();
    let file = disk.content(&file.path).unwrap();
    let stream = sent(&server.state);
    let (body, signature) = stream.split_at(stream.len() - 14);
    assert_eq!(signature, b"\0\0\0\x0aBenWasHere");
    assert_eq!(body, &file[16..16 + body.len()]);
    assert_eq!(file.len(), 16 + body.len() + 13 + 33 + 21);
}

#[test]
fn what_arrives_in_any_pieces_is_loaded_and_becomes_the_file_that_the_leader_would_write() {
    let leader = MemoryFileSystem::new();
    let mut server = Server::start(&leader);
    server.state = leaders();
    let zxid = Zxid(server.last());
    let file = server.snapshot();
    let expected = leader.content(&file.path).unwrap();
    for piece in [1, 2, 13, 4096, 90_000, 1 << 20] {
        let disk = disk_of_epochs();
        let mut state = State::default();
        let storage = Server::start(&disk).into_storage();
        let install = receive(storage, zxid.0, &sent(&leaders()), piece, &mut state).unwrap();
        let recovered = install.finish(Some((zxid, DIGEST))).unwrap();
        assert_eq!(state.nodes, leaders().nodes, "{piece}");
        assert_eq!(state.sessions, leaders().sessions);
        assert_eq!(state.acls, leaders().acls);
        assert_eq!(state.snapshot, Some((zxid, SnapshotTrailer::default())));
        let path = path("snapshot.200000005");
        assert_eq!(
            recovered.report.from,
            RecoveredFrom::Snapshot {
                path: path.clone(),
                zxid,
                bytes: expected.len() as u64
            }
        );
        assert!(disk.content(&path).unwrap() == expected, "{piece}");

        // The handles go on at once.
        let mut server = Server { state, recovered };
        server.append([zxid.0 + 1]);
        server.recovered.log.roll().unwrap();
        server.append([epoch(3) + 1]);
        drop(server);
        disk.power_cut(|| false);
        let server = Server::start(&disk);
        assert_eq!(server.state.txns, [zxid.0 + 1, epoch(3) + 1]);
        drop(server);
        // Apache's server takes no part of the old history for data either.
        let names = disk.paths().into_iter();
        let names = names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "flushed",
                "log.200000006",
                "log.300000001",
                "snapshot.200000005"
            ]
        );
    }
}

#[test]
fn what_follows_the_snapshot_on_the_stream_is_given_back() {
    let disk = disk_of_epochs();
    let mut into = State::default();
    let storage = Server::start(&disk).into_storage();
    let mut install = storage.receive_snapshot(Zxid(7), &mut into).unwrap();
    let mut stream = sent(&leaders());
    let split = stream.len() - 5;
    stream.extend_from_slice(b"packets");
    let stream = Bytes::from(stream);
    assert_eq!(
        install.feed(stream.slice(..split), &mut into).unwrap(),
        None
    );
    let rest = install.feed(stream.slice(split..), &mut into).unwrap();
    assert_eq!(rest.unwrap(), "packets");
}

#[test]
fn any_zxid_replaces_the_history() {
    for zxid in ZXIDS {
        let disk = disk_of_epochs();
        install(&disk, zxid, &leaders()).unwrap();
        assert_is_installed(&disk, zxid, &format!("{zxid:#x}"));
        disk.power_cut(|| false);
        assert_is_installed(&disk, zxid, &format!("{zxid:#x}, power cut"));
    }
}

#[test]
fn an_empty_directory_and_one_with_logs_apart_take_a_snapshot() {
    let disk = MemoryFileSystem::new();
    let apart = zk_storage::StorageConfig {
        data_log_dir: "/logs".into(),
        db_autocreate: false,
        ..config()
    };
    let mut server = Server::start_with(&disk, apart.clone()).unwrap();
    assert_eq!(server.recovered.report.from, RecoveredFrom::Unexpected);
    for zxid in [epoch(1) + 5, epoch(1) + 2] {
        let storage = server.into_storage();
        let mut state = State::default();
        let install = receive(storage, zxid, &sent(&leaders()), 100, &mut state).unwrap();
        let recovered = install.finish(None).unwrap();
        server = Server { state, recovered };
        server.append([zxid + 1]);
    }
    drop(server);
    disk.power_cut(|| false);
    let server = Server::start_with(&disk, apart).unwrap();
    assert_eq!(server.state.txns, [epoch(1) + 3]);
    assert_eq!(stored(&disk), (vec![epoch(1) + 3], vec![epoch(1) + 2]));
    let (_, trailer) = server.state.snapshot.unwrap();
    assert_eq!(trailer.digest, None);
    assert_eq!(trailer.last_zxid, Some(Zxid(epoch(1) + 2)));
}

#[test]
fn a_history_that_cannot_be_read_is_replaced_all_the_same() {
    let disk = disk_of_epochs();
    disk.lose(&path("log.4"));
    disk.place(&path("snapshot.100000003"), b"damaged");
    let Err(NoStart::Recover(RecoverError::Gap { .. })) = Server::start_with(&disk, config())
    else {
        panic!("the history is damaged")
    };
    let storage = Storage::open(std::sync::Arc::new(disk.clone()), config()).unwrap();
    let zxid = epoch(5);
    let install = receive(storage, zxid, &sent(&leaders()), 100, &mut State::default());
    drop(install.unwrap().finish(None).unwrap());
    assert_is_installed(&disk, zxid, "");
}

#[test]
fn what_is_given_up_leaves_the_history_as_it_was() {
    let disk = disk_of_epochs();
    drop(Server::start(&disk));
    let before = files(&disk);
    let stream = sent(&leaders());
    for length in [0, 1, 20, 5000, stream.len() - 1, stream.len()] {
        let mut state = State::default();
        let storage = Server::start(&disk).into_storage();
        let mut install = storage
            .receive_snapshot(Zxid(epoch(5)), &mut state)
            .unwrap();
        let bytes = Bytes::copy_from_slice(&stream[..length]);
        _ = install.feed(bytes, &mut state).unwrap();
        let storage = install.abandon().unwrap();
        assert_eq!(files(&disk), before);
        let recovered = storage.recover(&mut state).unwrap();
        assert_eq!(state.history(), EPOCHS);
        drop(recovered);

        // The connection is gone, and with it everything that held the snapshot.
        let storage = Server::start(&disk).into_storage();
        let mut install = storage
            .receive_snapshot(Zxid(epoch(5)), &mut state)
            .unwrap();
        let bytes = Bytes::copy_from_slice(&stream[..length]);
        _ = install.feed(bytes, &mut state).unwrap();
        drop(install);
        assert_eq!(Server::start(&disk).state.history(), EPOCHS);
        assert_eq!(files(&disk), before);
    }
}

#[test]
fn a_stream_that_is_no_snapshot_is_refused_with_the_offset() {
    let disk = disk_of_epochs();
    let whole = sent(&leaders());
    let (body, end) = (whole.len() - 14, whole.len());
    // The signature; a string that is none; a length below zero, of the first path after the root's.
    for (at, value, offset) in [
        (body, 1, body),
        (body + 3, 9, body),
        (end - 1, b'E', body),
        (135, 0xff, 131),
        (131, 0x80, 131),
    ] {
        let mut stream = whole.clone();
        stream[at] = value;
        for piece in [1, 7, stream.len()] {
            let storage = Server::start(&disk).into_storage();
            let mut into = State::default();
            let mut install = storage.receive_snapshot(Zxid(9), &mut into).unwrap();
            let error = stream
                .chunks(piece)
                .find_map(|bytes| install.feed(Bytes::copy_from_slice(bytes), &mut into).err());
            match error.expect("the stream is damaged") {
                SnapshotReadError::Invalid { offset: seen, what } => {
                    assert_eq!(seen, offset as u64, "byte {at}: {what}");
                }
                error => panic!("{error}"),
            }
            drop(install.abandon().unwrap());
        }
    }
    assert_eq!(Server::start(&disk).state.history(), EPOCHS);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_in_any_pieces_never_panics(
        keep in 0..200_usize,
        rest in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..400),
        piece in 1..300_usize,
    ) {
        let disk = MemoryFileSystem::new();
        let storage = Server::start(&disk).into_storage();
        let mut into = State::default();
        let mut install = storage.receive_snapshot(Zxid(9), &mut into).unwrap();
        let stream = [&sent(&leaders())[..keep], &rest].concat();
        for bytes in stream.chunks(piece) {
            match install.feed(Bytes::copy_from_slice(bytes), &mut into) {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => break,
            }
        }
        install.abandon().unwrap();
    }
}

/// The history is the old or the new one, and the new one if that was said.
fn check(disk: &MemoryFileSystem, zxid: i64, is_done: bool, what: &str) {
    let history = Server::start(disk).state.history();
    if history == leaders().history() {
        assert_is_installed(disk, zxid, what);
    } else {
        assert_eq!(history, EPOCHS, "{what}");
        assert!(!is_done, "{what}: the old history is back");
        assert_eq!(stored(disk).0, EPOCHS, "{what}");
        let is_left = |name: &Path| name.to_string_lossy().contains("partial");
        assert!(!disk.paths().iter().any(|path| is_left(path)), "{what}");
    }
}

#[test]
fn a_power_cut_at_any_call_leaves_the_old_history_or_the_new_one() {
    let whole = disk_of_epochs();
    let mut crashes = 0;
    for zxid in ZXIDS {
        for call in 0.. {
            let disk = whole.fork();
            let storage = Server::start(&disk).into_storage();
            disk.fail_at(disk.calls() + call, Fault::PowerOff);
            let install = receive(
                storage,
                zxid,
                &sent(&leaders()),
                50_000,
                &mut State::default(),
            );
            let is_done =
                install.is_ok_and(|install| install.finish(Some((Zxid(zxid), DIGEST))).is_ok());
            let changes = unsynced_changes(&disk);
            for (number, fate) in fates(changes, call).into_iter().enumerate() {
                let disk = disk.fork();
                disk.power_cut(fate);
                let what = format!("zxid {zxid:#x}, call {call}, fate {number}");
                check(&disk, zxid, is_done, &what);
                crashes += 1;
            }
            disk.kill();
            check(
                &disk,
                zxid,
                is_done,
                &format!("zxid {zxid:#x}, call {call}, killed"),
            );
            if is_done {
                break;
            }
        }
    }
    assert!(crashes > 4000, "{crashes}");
}

#[test]
fn a_second_crash_while_an_installation_is_completed_leaves_one_of_both() {
    let whole = disk_of_epochs();
    let mut random = Random(78);
    let mut crashes = 0;
    let zxid = epoch(1) + 3;
    for call in 0.. {
        let disk = whole.fork();
        let storage = Server::start(&disk).into_storage();
        disk.fail_at(disk.calls() + call, Fault::PowerOff);
        let install = receive(
            storage,
            zxid,
            &sent(&leaders()),
            50_000,
            &mut State::default(),
        );
        if install.is_ok_and(|install| install.finish(None).is_ok()) {
            break;
        }
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
                    check(&disk, zxid, false, &what);
                    crashes += 1;
                }
            }
        }
    }
    assert!(crashes > 5000, "{crashes}");
}

#[test]
fn a_disk_that_fails_at_any_call_leaves_the_old_history_or_the_new_one() {
    let whole = disk_of_epochs();
    let mut failures = 0;
    for fault in [Fault::DeviceError, Fault::NoSpace] {
        for call in 0.. {
            let zxid = ZXIDS[usize::try_from(call).unwrap() % ZXIDS.len()];
            let disk = whole.fork();
            let storage = Server::start(&disk).into_storage();
            disk.fail_at(disk.calls() + call, fault);
            let install = receive(
                storage,
                zxid,
                &sent(&leaders()),
                50_000,
                &mut State::default(),
            );
            let is_begun = install.is_ok();
            let result = match install {
                Ok(install) => install.finish(Some((Zxid(zxid), DIGEST))).map(drop),
                Err(text) => {
                    assert!(text.starts_with("cannot "), "{text}");
                    Ok(())
                }
            };
            let is_done = is_begun && result.is_ok();
            let what = format!("{fault:?}, zxid {zxid:#x}, call {call}");
            let after = disk.fork();
            after.power_cut(|| false);
            check(&after, zxid, is_done, &what);
            disk.kill();
            check(&disk, zxid, is_done, &what);
            match result {
                Ok(()) if is_done => break,
                Ok(())
                | Err(InstallError::Snapshot(_) | InstallError::History(RecoverError::Io(_))) => {}
                Err(error) => panic!("{what}: {error}"),
            }
            failures += 1;
        }
    }
    assert!(failures > 80, "{failures}");
}

#[test]
#[should_panic(expected = "the snapshot is not complete")]
fn what_has_not_arrived_whole_is_not_installed() {
    let disk = disk_of_epochs();
    let storage = Server::start(&disk).into_storage();
    let mut into = State::default();
    let install = storage.receive_snapshot(Zxid(epoch(5)), &mut into).unwrap();
    _ = install.finish(None);
}
