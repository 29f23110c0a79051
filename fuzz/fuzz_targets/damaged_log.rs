//! A history is written over crashes, and then one of its logs is damaged. A start has the whole history up to
//! what is known to be on disk, or is refused; no acknowledged transaction is lost silently.
//!
//! What is known is bounded in `docs/adr/0002-torn-or-damaged.md`: a flipped bit is always noticed; a cut and
//! zeros are as far as the mark reaches, which falls behind when the power goes.
#![no_main]

use std::path::PathBuf;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use zk_fuzz::{Choices, DIR, History, record};
use zk_proto::{Record, Zxid};
use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{LogError, RecoverError, Recovered, Storage, StorageConfig};

/// What tells how it ends stands before the steps.
const END_BYTES: usize = 11;
const STEPS_MAX: usize = 24;
const SECTOR_BYTES: usize = 512;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let mut end = Choices(choices.bytes(END_BYTES));
    let mut server = Server::start(&MemoryFileSystem::new()).unwrap();
    server.snapshot();
    for _ in 0..STEPS_MAX {
        if choices.is_empty() {
            break;
        }
        server = server.step(&mut choices);
    }
    let Server {
        disk,
        history,
        acknowledged,
        marked,
        settled,
        ..
    } = server;
    let is_power_lost = end.byte() % 2 == 1;
    if is_power_lost {
        disk.power_cut(|| false);
    } else {
        disk.kill();
    }
    let damage = damage(&disk, &mut end);
    let known = match damage {
        Damage::None | Damage::Bit(..) => acknowledged,
        Damage::Zeros(..) if is_power_lost => settled,
        Damage::Zeros(..) => marked,
    };
    match Server::start(&disk) {
        Ok(server) => {
            let found = server.history.0;
            assert_eq!(history.0.get(..found.len()), Some(&found[..]));
            let last = found.last().map_or(Zxid::ZERO, |last| last.0);
            let how = if is_power_lost {
                "the power went"
            } else {
                "the process ended"
            };
            assert!(
                last >= known,
                "{known} was on disk, {last} is found; {how}, {damage:x?}"
            );
        }
        Err(error) => {
            assert_ne!(damage, Damage::None, "{error}");
            assert!(error.to_string().contains(DIR), "{error}");
        }
    }
});

struct Server {
    disk: MemoryFileSystem,
    recovered: Recovered,
    history: History,
    /// What clients were told of.
    acknowledged: Zxid,
    /// What the mark tells of, and what it tells of whatever happens.
    marked: Zxid,
    settled: Zxid,
}

impl Server {
    fn start(disk: &MemoryFileSystem) -> Result<Self, RecoverError> {
        let config = StorageConfig {
            pre_alloc_bytes: 4096,
            ..StorageConfig::new("/data")
        };
        let storage = Storage::open(Arc::new(disk.clone()), config).unwrap();
        let mut history = History::default();
        let recovered = storage.recover(&mut history)?;
        let (disk, nothing) = (disk.clone(), Zxid::ZERO);
        let (acknowledged, marked, settled) = (nothing, nothing, nothing);
        Ok(Self {
            disk,
            recovered,
            history,
            acknowledged,
            marked,
            settled,
        })
    }

    fn step(mut self, choices: &mut Choices<'_>) -> Self {
        match choices.byte() % 8 {
            0..=2 => self.batch(choices).unwrap(),
            3 => self.recovered.log.roll().unwrap(),
            4 => self.snapshot(),
            5 => {
                self.recovered.log.settle().unwrap();
                self.settled = self.marked;
            }
            6 => {
                let call = self.disk.calls() + u64::from(choices.byte() % 8);
                self.disk.fail_at(call, Fault::PowerOff);
                let _cut_short = self.batch(choices);
                self.marked = self.settled;
                return self.restart(|disk| {
                    let mut fates = choices.short();
                    disk.power_cut(|| {
                        fates = fates.rotate_left(1);
                        fates & 1 == 1
                    });
                });
            }
            _ => return self.restart(MemoryFileSystem::kill),
        }
        self
    }

    /// A crash loses nothing that was acknowledged, and makes up nothing.
    fn restart(self, crash: impl FnOnce(&MemoryFileSystem)) -> Self {
        let Self {
            disk,
            history,
            acknowledged,
            marked,
            settled,
            ..
        } = self;
        crash(&disk);
        let server = Self::start(&disk).unwrap();
        let found = &server.history;
        assert_eq!(history.0.get(..found.0.len()), Some(&found.0[..]));
        assert!(
            found.last() >= acknowledged,
            "{acknowledged} of {}",
            found.last()
        );
        Self {
            acknowledged,
            marked,
            settled,
            ..server
        }
    }

    fn batch(&mut self, choices: &mut Choices<'_>) -> Result<(), LogError> {
        let (count, data_bytes) = (choices.byte() % 5 + 1, usize::from(choices.short() % 1500));
        for _ in 0..count {
            let zxid = self.history.last().next();
            self.recovered
                .log
                .append(zxid, &record(zxid, data_bytes).to_bytes());
            self.history.0.push((zxid, data_bytes));
        }
        self.acknowledged = self.recovered.log.flush()?;
        self.marked = self.acknowledged;
        Ok(())
    }

    fn snapshot(&mut self) {
        let snapshots = &mut self.recovered.snapshots;
        snapshots
            .write(&self.history, self.history.last(), None)
            .unwrap();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Damage {
    None,
    /// A bit flipped, where.
    Bit(PathBuf, usize),
    /// Bytes became zeros, or are gone, from where on.
    Zeros(PathBuf, usize, u8),
}

fn damage(disk: &MemoryFileSystem, choices: &mut Choices<'_>) -> Damage {
    let is_log = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("log.")
    };
    let logs: Vec<PathBuf> = disk.paths().into_iter().filter(is_log).collect();
    if logs.is_empty() {
        return Damage::None;
    }
    let path = &logs[choices.below(logs.len())];
    let mut content = disk.content(path).unwrap();
    let written = content
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    if written == 0 {
        return Damage::None;
    }
    let (kind, at) = (choices.byte() % 5, choices.below(written));
    match kind {
        0 => {
            content[at] ^= 1 << (choices.byte() % 8);
            disk.place(path, &content);
            return Damage::Bit(path.clone(), at);
        }
        1 => content.truncate(at),
        2 => content[at..].fill(0),
        3 => {
            let from = at - at % SECTOR_BYTES;
            let to = content.len().min(from + SECTOR_BYTES);
            content[from..to].fill(0);
        }
        _ => {
            let to = written.min(at + 1 + usize::from(choices.byte()));
            content[at..to].fill(0);
        }
    }
    disk.place(path, &content);
    Damage::Zeros(path.clone(), at, kind)
}
