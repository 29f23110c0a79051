//! The power goes at every call, and every acknowledged transaction is there afterwards.
//!
//! What is not synced survives not at all, wholly, one change alone, all but one, or by chance.

use std::num::NonZeroUsize;

use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{LogError, SnapshotError, StorageConfig};

use crate::common::{NoStart, Random, Server, config, fates, unsynced_changes};

/// What a server promised before it crashed.
#[derive(Default)]
struct Promised {
    acknowledged: i64,
    appended: i64,
}

enum Stop {
    Start,
    Work,
}

impl From<NoStart> for Stop {
    fn from(_: NoStart) -> Self {
        Self::Start
    }
}

impl From<LogError> for Stop {
    fn from(_: LogError) -> Self {
        Self::Work
    }
}

impl From<SnapshotError> for Stop {
    fn from(_: SnapshotError) -> Self {
        Self::Work
    }
}

impl From<zk_storage::IoError> for Stop {
    fn from(_: zk_storage::IoError) -> Self {
        Self::Work
    }
}

fn start(disk: &MemoryFileSystem) -> Result<Server, NoStart> {
    Server::start_with(disk, config())
}

fn batch(
    server: &mut Server,
    promised: &mut Promised,
    count: usize,
    bytes: usize,
) -> Result<(), Stop> {
    promised.appended = server.last() + i64::try_from(count).unwrap();
    promised.acknowledged = server.batch(count, bytes)?.0;
    Ok(())
}

/// A life of a server: appends within and beyond sectors and allocation steps, rolls, snapshots,
/// purges and stops in order.
fn life(disk: &MemoryFileSystem, promised: &mut Promised) -> Result<(), Stop> {
    let mut server = start(disk)?;
    server.try_snapshot()?;
    batch(&mut server, promised, 1, 5)?;
    batch(&mut server, promised, 3, 700)?;
    batch(&mut server, promised, 1, 6000)?;
    server.recovered.log.roll()?;
    batch(&mut server, promised, 2, 40)?;
    server.space()?;
    server.try_snapshot()?;
    server.recovered.log.roll()?;
    batch(&mut server, promised, 30, 100)?;
    server.recovered.log.settle()?;
    server.try_snapshot()?;
    batch(&mut server, promised, 2, 300)?;
    server.recovered.snapshots.purge(NonZeroUsize::MIN)?;
    server.space()?;
    batch(&mut server, promised, 1, 1)?;
    server.recovered.log.close()?;
    Ok(())
}

/// Starts after a crash and checks that the history is whole; then goes on and starts once more.
fn check(disk: &MemoryFileSystem, promised: &Promised, what: &str) {
    let mut server = match start(disk) {
        Ok(server) => server,
        Err(error) => panic!("{what}: does not start: {error:?}"),
    };
    let history = server.state.history();
    let last = server.last();
    assert_eq!(history, (1..=last).collect::<Vec<_>>(), "{what}");
    assert!(
        promised.acknowledged <= last && last <= promised.appended,
        "{what}: {} was acknowledged, {} appended, {last} recovered",
        promised.acknowledged,
        promised.appended
    );
    if server.state.snapshot.is_none() {
        server.snapshot();
    }
    server.batch(2, 20).unwrap();
    drop(server);
    disk.power_cut(|| false);
    let again = start(disk).unwrap_or_else(|error| panic!("{what}, again: {error:?}"));
    assert_eq!(again.last(), last + 2, "{what}");
}

#[test]
fn every_acknowledged_transaction_survives_a_power_cut_at_any_call() {
    let whole = MemoryFileSystem::new();
    let mut promised = Promised::default();
    assert!(life(&whole, &mut promised).is_ok());
    assert_eq!(promised.acknowledged, 40);
    let calls = whole.calls();
    let mut crashes = 0;
    for call in 0..calls {
        let disk = MemoryFileSystem::new();
        disk.fail_at(call, Fault::PowerOff);
        let mut promised = Promised::default();
        assert!(life(&disk, &mut promised).is_err(), "call {call}");
        for (number, fate) in fates(unsynced_changes(&disk), call).into_iter().enumerate() {
            let disk = disk.fork();
            disk.power_cut(fate);
            check(&disk, &promised, &format!("call {call}, fate {number}"));
            crashes += 1;
        }
    }
    assert!(crashes > 2000, "{crashes}");
}

#[test]
fn every_acknowledged_transaction_survives_a_process_that_ends_at_any_call() {
    let whole = MemoryFileSystem::new();
    assert!(life(&whole, &mut Promised::default()).is_ok());
    for call in 0..whole.calls() {
        let disk = MemoryFileSystem::new();
        disk.fail_at(call, Fault::PowerOff);
        let mut promised = Promised::default();
        assert!(life(&disk, &mut promised).is_err(), "call {call}");
        disk.kill();
        check(&disk, &promised, &format!("call {call}"));
    }
}

#[test]
fn a_second_crash_while_recovering_from_the_first_loses_nothing() {
    let whole = MemoryFileSystem::new();
    assert!(life(&whole, &mut Promised::default()).is_ok());
    let mut random = Random(99);
    for call in 0..whole.calls() {
        let disk = MemoryFileSystem::new();
        disk.fail_at(call, Fault::PowerOff);
        let mut promised = Promised::default();
        assert!(life(&disk, &mut promised).is_err());
        disk.power_cut(|| random.flip());
        let recovery = disk.fork();
        assert!(start(&recovery).is_ok(), "call {call}");
        for second in 0..recovery.calls() {
            let disk = disk.fork();
            disk.fail_at(second, Fault::PowerOff);
            // A snapshot that cannot be read is no reason to stop, so the start may succeed on an
            // older one: the power is off then all the same.
            drop(start(&disk));
            disk.power_cut(|| random.flip());
            check(&disk, &promised, &format!("call {call}, then {second}"));
        }
    }
}

#[test]
fn without_allocation_ahead_a_power_cut_loses_nothing_either() {
    let config = StorageConfig {
        pre_alloc_bytes: 0,
        ..config()
    };
    let mut random = Random(5);
    for round in 0..200 {
        let disk = MemoryFileSystem::new();
        drop(Server::start(&disk));
        let mut server = Server::start_with(&disk, config.clone()).unwrap();
        let mut promised = Promised::default();
        disk.fail_at(disk.calls() + 1 + round % 12, Fault::PowerOff);
        for _ in 0..4 {
            if batch(&mut server, &mut promised, 2, 400).is_err() {
                break;
            }
        }
        drop(server);
        disk.power_cut(|| random.flip());
        check(&disk, &promised, &format!("round {round}"));
    }
}
