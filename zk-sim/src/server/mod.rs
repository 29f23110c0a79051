//! A server: the core and the storage code of production, on a disk, a network and clocks of this
//! world.
//!
//! As the shell's driver does, it hands the core what happens and does what the core says, with one
//! arm for each effect, and decides nothing.

pub(crate) mod clock;
mod disk;
mod election_port;
mod planted;
mod planted_disk;
mod process;
mod quorum_port;
mod restore;

use std::sync::Arc;
use std::time::Duration;

use zk_core::election::ElectionConfig;
use zk_core::election::links::{Links, LinksConfig};
use zk_core::tree::{Recovered, TreeOptions};
use zk_core::{Core, CoreConfig, Effect, Input, MemberSettings, Now, ReaperConfig};
use zk_proto::quorum::EnsembleConfig;
use zk_proto::{ServerId, TxnDigest};
use zk_storage::memory::MemoryFileSystem;
use zk_storage::{FileSystem, RecoveredFrom, Storage, StorageConfig};

use crate::context::Context;
use crate::plan::Plan;
use crate::schedule::{Event, Life, ServerNo};
use crate::trace::About;
use clock::Clock;
use disk::{Disk, Failure};
use planted_disk::ForgetfulDisk;
use process::Process;
pub(crate) use restore::ReadBack;
use restore::{Restorer, ViewSource};

/// Operations in a multi at most.
pub(crate) const MULTI_OPS_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) no: ServerNo,
    pub(crate) id: ServerId,
    pub(crate) life: Life,
    pub(crate) clock: Clock,
    pub(crate) disk: MemoryFileSystem,
    /// How many times as long as usual the disk takes.
    pub(crate) slowness: u32,
    /// Calls of the disk that had failed when this life began.
    failures_before: u64,
    /// The process is stopped (SIGSTOP): what happens waits until it goes on.
    pub(crate) stopped: Option<Vec<Event>>,
    /// The process was told to stop, to be started again after so long.
    retires: Option<Duration>,
    pub(crate) process: Option<Process>,
}

/// How a server goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process ends.
    Process,
    /// The machine loses power.
    Power,
}

impl Server {
    pub(crate) fn new(no: ServerNo, clock: Clock) -> Self {
        Self {
            no,
            id: ServerId(i64::from(no) + 1),
            life: 0,
            clock,
            disk: MemoryFileSystem::new(),
            slowness: 1,
            failures_before: 0,
            stopped: None,
            retires: None,
            process: None,
        }
    }

    pub(crate) fn core(&self) -> Option<&Core> {
        self.process.as_ref().map(|process| &process.core)
    }

    /// Reads the state back and begins to look for a leader. It may not come to that.
    pub(crate) fn start(&mut self, ctx: &mut Context) {
        assert!(self.process.is_none(), "it is down");
        self.life += 1;
        let machine = ctx.net.machine_mut(self.no.into());
        machine.life = self.life;
        machine.has_power = true;
        machine.listens = true;
        self.failures_before = self.disk.failures();
        let now = self.clock.now(ctx.now);
        match self.open(ctx, now) {
            Ok((process, read)) => {
                let last = process.core.last_zxid();
                let epochs = process.disk.epochs();
                ctx.tell(About::Server(self.no), || {
                    format!("starts life {} with {last}, epochs {epochs:?}", self.life)
                });
                ctx.checks.on_started(ctx.now, self.no, &read);
                self.process = Some(process);
                self.after_input(ctx);
                ctx.try_stalled();
            }
            Err(failure) => self.fail(ctx, &failure),
        }
    }

    fn open(&mut self, ctx: &mut Context, now: Now) -> Result<(Process, ReadBack), Failure> {
        let plan = &ctx.plan;
        let storage = Storage::open(self.file_system(plan), storage_config(plan))?;
        let options = TreeOptions {
            extended_types: plan.extended_types,
            hash_seed: plan.seed,
        };
        let mut restorer = Restorer::new(options);
        let mut on_disk = storage.recover(&mut restorer)?;
        let (recovered, read) = restorer.finish();
        ctx.checks.on_recovered(ctx.now, self.no, &recovered);
        if on_disk.report.from == RecoveredFrom::Empty {
            self.write_first_snapshot(plan, &mut on_disk.snapshots, options, now)?;
        }
        let epochs = on_disk.epochs.load()?;
        let ensemble = self.membership_of(plan.planted, plan.ensemble());
        let core = self.member(
            plan,
            &ensemble,
            (epochs.accepted(), epochs.current()),
            recovered,
            now,
        );
        let mut links = Links::new(LinksConfig::new(self.id, ctx.random.next()));
        links.set_members(now.monotonic, ensemble.participants().map(|(id, _)| id));
        let mut disk = Disk::new(
            plan,
            options,
            on_disk.log,
            on_disk.snapshots,
            epochs,
            on_disk.history,
        );
        disk.slowness = self.slowness;
        Ok((Process::new(core, links, disk), read))
    }

    fn file_system(&self, plan: &Plan) -> Arc<dyn FileSystem> {
        let disk = self.disk.clone();
        match plan.planted {
            Some(planted) => Arc::new(ForgetfulDisk { disk, planted }),
            None => Arc::new(disk),
        }
    }

    /// Logs never stand without a snapshot.
    fn write_first_snapshot(
        &self,
        plan: &Plan,
        snapshots: &mut zk_storage::Snapshots,
        options: TreeOptions,
        now: Now,
    ) -> Result<(), Failure> {
        let (empty, _) = Restorer::new(options).finish();
        let mut core = Core::standalone(self.core_config(plan), empty, now);
        core.begin_snapshot();
        let effects: Vec<_> = core.drain_effects().collect();
        for effect in effects {
            let Effect::Snapshot(view) = effect else {
                unreachable!("nothing else was asked for");
            };
            let digest = TxnDigest {
                version: TxnDigest::VERSION,
                tree_digest: view.tree.digest(),
            };
            let zxid = view.zxid;
            snapshots.write(&ViewSource(view), zxid, Some(digest))?;
        }
        Ok(())
    }

    fn core_config(&self, plan: &Plan) -> CoreConfig {
        CoreConfig {
            server_id: u8::try_from(self.id.0).expect("few servers"),
            seed: plan.seed ^ u64::from(self.life) << 8 ^ u64::from(self.no),
            tick: plan.tick,
            session_timeout_min: plan.tick * 2,
            session_timeout_max: plan.tick * 20,
            extended_types: plan.extended_types,
            digest: plan.digest,
            close_session_paths: plan.close_session_paths,
            snapshot_txns: plan.snapshot_txns,
            reaper: ReaperConfig {
                check_interval: plan.reap_interval,
                ..ReaperConfig::default()
            },
            ..CoreConfig::default()
        }
    }

    fn member(
        &self,
        plan: &Plan,
        ensemble: &EnsembleConfig,
        epochs: (u32, u32),
        recovered: Recovered,
        now: Now,
    ) -> Core {
        let settings = MemberSettings {
            id: self.id,
            tick: plan.tick,
            init_limit: plan.init_limit,
            sync_limit: plan.sync_limit,
            leader_serves: plan.leader_serves,
            recent_txns: plan.recent_txns,
            multi_ops_max: MULTI_OPS_MAX,
            dial_delay: Duration::from_millis(100),
            sync_asks_quorum: plan.sync_asks_quorum,
            voters_min: 2,
            last_seen: None,
            read_only_after: None,
        };
        Core::member(
            self.core_config(plan),
            settings,
            ElectionConfig::new(self.id),
            ensemble.clone(),
            epochs,
            recovered,
            now,
        )
    }

    /// Goes down. What was on its way through storage has happened in part.
    pub(crate) fn crash(&mut self, ctx: &mut Context, how: Crash) {
        ctx.tell(About::Server(self.no), || format!("crash: {how:?}"));
        let machine = ctx.net.machine_mut(self.no.into());
        machine.listens = false;
        machine.is_stopped = false;
        machine.has_power = how == Crash::Process;
        // Whatever comes for this life finds nobody.
        self.life += 1;
        machine.life = self.life;
        if let Some(process) = self.process.take() {
            process.disk.interrupt(&self.disk, &mut ctx.random);
            if how == Crash::Process {
                for (conn, end) in process.ends {
                    ctx.close(conn, end.side(), false);
                }
            }
        }
        match how {
            Crash::Process => self.disk.kill(),
            Crash::Power if ctx.random.chance(ctx.plan.faults.loses_all) => {
                self.disk.power_cut(|| false);
            }
            Crash::Power => self.disk.power_cut_by_chance(ctx.random.next()),
        }
        self.stopped = None;
        self.retires = None;
        ctx.checks.on_crashed(self.no);
    }

    /// Is told to stop.
    pub(crate) fn retire(&mut self, ctx: &mut Context, away: Duration) {
        if self.process.is_some() && self.retires.is_none() {
            self.retires = Some(away);
            self.input(ctx, Input::Retire);
        }
    }

    /// Stops if it was told to.
    pub(crate) fn exit(&mut self, ctx: &mut Context) {
        if let Some(away) = self.retires {
            ctx.checks.coverage.retired += 1;
            self.crash(ctx, Crash::Process);
            ctx.after(away, Event::Start(self.no, self.life));
        }
    }

    /// Storage failed: the process ends. It is started again after a while, as a supervisor would.
    fn fail(&mut self, ctx: &mut Context, failure: &Failure) {
        ctx.tell(About::Server(self.no), || format!("stops: {failure}"));
        if self.disk.failures() == self.failures_before {
            ctx.checks.fail(
                ctx.now,
                "C12",
                format!("server {} cannot go on with its disk: {failure}", self.id),
            );
            return;
        }
        self.crash(ctx, Crash::Process);
        let wait = ctx.random.wait(Duration::from_millis(500));
        ctx.after(wait, Event::Start(self.no, self.life));
    }

    pub(crate) fn set_slowness(&mut self, slowness: u32) {
        self.slowness = slowness;
        if let Some(process) = &mut self.process {
            process.disk.slowness = slowness;
        }
    }

    /// Hands the core something that happened, and does what comes of it.
    pub(crate) fn input(&mut self, ctx: &mut Context, input: Input) {
        let Some(process) = &mut self.process else {
            return;
        };
        ctx.tell(About::Server(self.no), || process::describe(&input));
        let right = self.clock.right(ctx.now);
        ctx.checks.on_input(self.no, &process.core, &input, right);
        let input = match ctx.plan.planted {
            Some(planted) => process.distort(planted, input),
            None => Some(input),
        };
        if let Some(input) = input {
            process.core.handle(self.clock.now(ctx.now), input);
        }
        self.after_input(ctx);
    }
}

fn storage_config(plan: &Plan) -> StorageConfig {
    StorageConfig {
        pre_alloc_bytes: plan.disk.pre_alloc_bytes,
        txn_log_size_limit_bytes: plan.disk.log_bytes_max,
        ..StorageConfig::new("/data")
    }
}
