//! Lives of a member of an ensemble on disks that fail by chance: whatever it was told is done is
//! there after any crash, and what it was not told is there or not, but never in part.

use std::num::NonZeroUsize;

use bytes::Bytes;
use zk_proto::Zxid;
use zk_storage::memory::{Chances, MemoryFileSystem};
use zk_storage::{Epochs, HistoryError, Storage, StorageConfig, TruncateError, send_snapshot};

use crate::common::{Random, Server, State, config, epoch, record};

const SEEDS: u64 = 1500;

/// What may be found after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Promises {
    history: Vec<i64>,
    accepted: u32,
    current: u32,
}

struct Member {
    server: Server,
    epochs: Epochs,
}

/// A member, the disk it lives on, and what it knows to be done.
struct World {
    disk: MemoryFileSystem,
    random: Random,
    chances: Chances,
    config: StorageConfig,
    promises: Promises,
    crashes: u64,
}

/// Why a life ended: what the next one may find instead of what was promised.
type Died = Vec<Promises>;

fn state_of(history: &[i64]) -> State {
    let mut state = State::with_one_of_each();
    for &zxid in history {
        state.apply(&record(zxid, 20));
    }
    state
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut chance = || match random.below(3) {
            0 => 0,
            1 => 2_000,
            _ => 15_000,
        };
        let chances = Chances {
            read_error: chance() / 4,
            write_error: chance(),
            sync_error: chance(),
            name_error: chance(),
            no_space: chance(),
            power_off: chance(),
        };
        let pre_alloc_bytes = [0, 512, 4096][random.below(3)];
        Self {
            disk: MemoryFileSystem::new(),
            chances,
            config: StorageConfig {
                pre_alloc_bytes,
                ..config()
            },
            random,
            promises: Promises {
                history: Vec::new(),
                accepted: 0,
                current: 0,
            },
            crashes: 0,
        }
    }

    fn last(&self) -> i64 {
        self.promises.history.last().copied().unwrap_or(0)
    }

    fn with(&self, change: impl FnOnce(&mut Promises)) -> Promises {
        let mut promises = self.promises.clone();
        change(&mut promises);
        promises
    }

    fn crash(&mut self) {
        self.crashes += 1;
        if self.random.flip() {
            self.disk.kill();
        } else {
            self.disk.power_cut_by_chance(self.random.next());
        }
    }

    /// Starts, as often as it takes, and finds one of `allowed`.
    fn start(&mut self, mut allowed: Died) -> Member {
        allowed.push(self.promises.clone());
        for attempt in 0.. {
            self.disk.set_capacity(None);
            let chances = if attempt < 4 {
                self.chances
            } else {
                Chances::default()
            };
            self.disk.misbehave(self.random.next(), chances);
            let started = self.try_start(&mut allowed);
            self.disk.misbehave(self.random.next(), self.chances);
            match started {
                Ok(member) => return member,
                Err(text) => assert!(attempt < 4, "does not start: {text}, allowed: {allowed:x?}"),
            }
            self.crash();
        }
        unreachable!("the attempts end")
    }

    fn try_start(&mut self, allowed: &mut Died) -> Result<Member, String> {
        let mut server = Server::start_with(&self.disk, self.config.clone())
            .map_err(|error| format!("{error:?}"))?;
        let history = server.state.history();
        // From here on it is the history, whatever comes.
        allowed.retain(|promises| promises.history == history);
        assert!(!allowed.is_empty(), "{history:x?} was never promised");
        assert!(server.state.nodes == state_of(&history).nodes);
        if server.state.snapshot.is_none() {
            server.try_snapshot().map_err(|error| error.to_string())?;
        }
        let recovered = server.recovered;
        let epochs = recovered.epochs.load();
        let epochs = epochs.map_err(|error| error.to_string())?;
        server.recovered = again(
            &self.disk,
            recovered.log,
            recovered.snapshots,
            &mut server.state,
        )?;
        let of_history = Zxid(history.last().copied().unwrap_or(0)).epoch();
        let seen = (epochs.accepted(), epochs.current());
        let is_allowed = |promises: &Promises| {
            let raised = promises.current.max(of_history);
            seen == (promises.accepted, raised) || seen == (promises.accepted, promises.current)
        };
        assert!(
            allowed.iter().any(is_allowed),
            "{seen:?}, allowed: {allowed:x?}"
        );
        self.promises = Promises {
            history,
            accepted: seen.0,
            current: seen.1,
        };
        Ok(Member { server, epochs })
    }

    fn step(&mut self, member: Member) -> Result<Member, Died> {
        match self.random.below(20) {
            0..=6 => self.append(member),
            7 | 8 => self.end_log(member),
            9 | 10 => self.snapshot(member),
            11 => self.truncate(member),
            12 => self.install(member),
            13 | 14 => self.promise(member),
            15..=17 => self.read_history(member),
            18 => {
                let bytes = 3000 + self.random.below(20_000) as u64;
                self.disk.set_capacity(self.random.flip().then_some(bytes));
                Ok(member)
            }
            _ => Err(Vec::new()),
        }
    }

    fn append(&mut self, mut member: Member) -> Result<Member, Died> {
        let first = if self.random.below(5) == 0 {
            let next = Zxid(self.last()).epoch() + 1 + u32::from(self.random.flip());
            if next > self.promises.accepted {
                return Ok(member);
            }
            epoch(i64::from(next)) + 1
        } else {
            self.last() + 1
        };
        let count = 1 + i64::try_from(self.random.below(5)).unwrap();
        let log = &mut member.server.recovered.log;
        let mut appended = Vec::new();
        for zxid in first..first + count {
            let record = record(zxid, 20);
            log.append(Zxid(zxid), &zk_proto::Record::to_bytes(&record));
            member.server.state.apply(&record);
            appended.push(zxid);
        }
        let is_flushed = log.flush().is_ok();
        let up_to = |count: usize| {
            self.with(|promises| promises.history.extend_from_slice(&appended[..count]))
        };
        if is_flushed {
            self.promises = up_to(appended.len());
            Ok(member)
        } else {
            Err((1..=appended.len()).map(up_to).collect())
        }
    }

    fn end_log(&mut self, mut member: Member) -> Result<Member, Died> {
        let log = &mut member.server.recovered.log;
        let result = if self.random.flip() {
            log.roll()
        } else {
            log.settle()
        };
        result.map(|()| member).map_err(|_| Vec::new())
    }

    /// A snapshot that fails, or a purge, is no reason to stop.
    fn snapshot(&mut self, mut member: Member) -> Result<Member, Died> {
        if self.random.flip() {
            _ = member.server.try_snapshot();
        } else {
            let retain = NonZeroUsize::new(1 + self.random.below(3)).unwrap();
            _ = member.server.recovered.snapshots.purge(retain);
        }
        self.unless_off(member)
    }

    fn unless_off(&self, member: Member) -> Result<Member, Died> {
        if self.disk.is_off() {
            return Err(Vec::new());
        }
        Ok(member)
    }

    fn truncate(&mut self, member: Member) -> Result<Member, Died> {
        let Member { server, epochs } = member;
        let length = self.random.below(self.promises.history.len() + 1);
        let cut = self.with(|promises| promises.history.truncate(length));
        let target = Zxid(cut.history.last().copied().unwrap_or(0));
        let recovered = server.recovered;
        let storage = Storage::from_handles(recovered.log, recovered.snapshots);
        let mut storage = storage.map_err(|_| Vec::new())?;
        match storage.truncate(target) {
            Ok(()) => self.promises = cut,
            Err(TruncateError::NoBase { .. }) => {}
            Err(TruncateError::NotInHistory { .. }) => panic!("{target} is in the history"),
            Err(_) => return Err(vec![cut]),
        }
        let mut state = State::default();
        let recovered = storage.recover(&mut state).map_err(|_| Vec::new())?;
        assert_eq!(
            state.history(),
            self.promises.history,
            "cut behind {target}"
        );
        let server = Server { state, recovered };
        Ok(Member { server, epochs })
    }

    fn install(&mut self, member: Member) -> Result<Member, Died> {
        let Member { server, epochs } = member;
        let length = self.random.below(self.promises.history.len() + 1);
        let installed = self.with(|promises| {
            promises.history.truncate(length);
            if promises.accepted > 0 {
                let first = epoch(i64::from(promises.accepted)) + 1;
                let last = promises.history.last().copied().unwrap_or(0);
                promises.history.extend(first.max(last + 1)..first + 3);
            }
        });
        let zxid = Zxid(installed.history.last().copied().unwrap_or(0));
        let mut stream = Vec::new();
        send_snapshot(&state_of(&installed.history), &mut stream).unwrap();
        let recovered = server.recovered;
        let storage = Storage::from_handles(recovered.log, recovered.snapshots);
        let storage = storage.map_err(|_| Vec::new())?;
        let mut state = State::default();
        let install = storage.receive_snapshot(zxid, &mut state);
        let mut install = install.map_err(|_| Vec::new())?;
        for bytes in stream.chunks(1 + self.random.below(300)) {
            let fed = install.feed(Bytes::copy_from_slice(bytes), &mut state);
            if fed.map_err(|_| Vec::new())?.is_none() && self.random.below(50) == 0 {
                let storage = install.abandon().map_err(|_| Vec::new())?;
                let recovered = storage.recover(&mut state).map_err(|_| Vec::new())?;
                assert_eq!(state.history(), self.promises.history);
                let server = Server { state, recovered };
                return Ok(Member { server, epochs });
            }
        }
        let Ok(recovered) = install.finish(None) else {
            return Err(vec![installed]);
        };
        self.promises = installed;
        let server = Server { state, recovered };
        Ok(Member { server, epochs })
    }

    fn promise(&mut self, mut member: Member) -> Result<Member, Died> {
        let (change, result) = if self.random.flip() {
            let accepted = self.promises.accepted + 1;
            let change = self.with(|promises| promises.accepted = accepted);
            (change, member.epochs.set_accepted(accepted))
        } else {
            let accepted = self.promises.accepted;
            let change = self.with(|promises| promises.current = accepted);
            (change, member.epochs.set_current(accepted))
        };
        match result {
            Ok(()) => {
                self.promises = change;
                Ok(member)
            }
            Err(_) => Err(vec![change]),
        }
    }

    fn read_history(&mut self, member: Member) -> Result<Member, Died> {
        let history = &self.promises.history;
        let from = self.random.below(history.len() + 1);
        let (before, expected) = history.split_at(from);
        let from = Zxid(before.last().copied().unwrap_or(0));
        let flushed = Zxid(self.last());
        let read = || {
            let mut txns = member.server.recovered.history.after(from, flushed)?;
            let mut seen = Vec::new();
            loop {
                let batch = txns.next_batch(200)?;
                if batch.is_empty() {
                    return Ok::<_, HistoryError>((txns.start(), seen));
                }
                seen.extend(batch.iter().map(|(zxid, _)| zxid.0));
            }
        };
        match read() {
            Ok(found) => assert_eq!(found, (from, expected.to_vec())),
            // Purged, or behind a snapshot that was installed; or the disk fails.
            Err(HistoryError::TooOld { .. } | HistoryError::Unreadable(_)) => {}
            Err(error) => panic!("after {from} up to {flushed}: {error}"),
        }
        self.unless_off(member)
    }
}

/// The same once more, as a role change does.
fn again(
    disk: &MemoryFileSystem,
    log: zk_storage::LogWriter,
    snapshots: zk_storage::Snapshots,
    state: &mut State,
) -> Result<zk_storage::Recovered, String> {
    let storage = Storage::from_handles(log, snapshots).map_err(|error| error.to_string())?;
    let before = state.nodes.clone();
    let recovered = storage.recover(state).map_err(|error| error.to_string())?;
    assert!(state.nodes == before, "{disk:?}");
    Ok(recovered)
}

#[test]
fn what_was_promised_is_kept_on_disks_that_fail_by_chance() {
    let (mut crashes, mut failures, mut txns) = (0, 0, 0);
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            let mut member = world.start(Vec::new());
            for _ in 0..80 {
                member = match world.step(member) {
                    Ok(member) => member,
                    Err(allowed) => {
                        world.crash();
                        world.start(allowed)
                    }
                };
            }
            let txns = world.promises.history.len();
            (world.crashes, world.disk.failures(), txns)
        });
        let Ok(outcome) = outcome else {
            panic!("seed {seed}");
        };
        crashes += outcome.0;
        failures += outcome.1;
        txns += outcome.2;
    }
    assert!(
        crashes > 5 * SEEDS && failures > 3 * SEEDS,
        "{crashes} crashes, {failures} failures"
    );
    assert!(txns > 10, "{txns}");
}

#[test]
fn the_same_seed_lives_the_same_lives() {
    let live = |seed| {
        let mut world = World::new(seed);
        let mut member = world.start(Vec::new());
        for _ in 0..60 {
            member = match world.step(member) {
                Ok(member) => member,
                Err(allowed) => {
                    world.crash();
                    world.start(allowed)
                }
            };
        }
        drop(member);
        (
            world.promises,
            world.crashes,
            crate::common::files(&world.disk),
        )
    };
    for seed in 1..10 {
        assert_eq!(live(seed), live(seed), "seed {seed}");
    }
}
