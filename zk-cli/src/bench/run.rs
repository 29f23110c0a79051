//! A run: prepare znodes, connect, warm up, measure, clean up.
//!
//! ```text
//! Connect ──► WarmUp ──► Measure ──► Stop      seen by all sessions, on all threads
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "starts threads and measures time"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::LocalSet;
use zk_proto::{ErrorCode, OpCode, Request, Response};

use super::fanout::Round;
use super::process::Usage;
use super::report::{Report, Tally};
use super::wire::Connection;
use super::{BenchArgs, Target, Workload, fanout, idle, lock, pipeline};

/// Sessions that a thread opens at a time.
const OPENING_MAX: usize = 64;
/// How often the progress is shown.
const TICK: Duration = Duration::from_millis(100);

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Connect,
    WarmUp,
    Measure,
    Stop,
}

/// The paths of znodes: `root/dddd/ddd`, a thousand to a parent.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    root: String,
    count: usize,
}

impl Keys {
    pub(crate) fn new(root: &str, count: usize) -> Self {
        let root = root.trim_end_matches('/').to_owned();
        Self { root, count }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn path(&self, key: usize) -> String {
        format!("{}/{:04}/{:03}", self.root, key / 1000, key % 1000)
    }

    fn parents(&self) -> impl Iterator<Item = String> {
        (0..self.count.div_ceil(1000)).map(|parent| format!("{}/{parent:04}", self.root))
    }

    /// Offset in a path of what differs between keys.
    pub(crate) fn digits_at(&self) -> usize {
        self.root.len() + 1
    }

    /// What differs between keys.
    pub(crate) fn digits(&self, key: usize) -> [u8; 8] {
        let digit =
            |power: usize| b'0' + u8::try_from(key / power % 10).expect("a digit is below ten");
        let [a, b, c] = [1_000_000, 100_000, 10_000].map(digit);
        let [d, e, f, g] = [1000, 100, 10, 1].map(digit);
        [a, b, c, d, b'/', e, f, g]
    }
}

/// What a session's task shares with the run.
pub(crate) struct Session {
    pub(crate) keys: Keys,
    phases: watch::Receiver<Phase>,
    tally: Rc<RefCell<Tally>>,
    done: Arc<AtomicU64>,
    /// Moves with every znode that is made or deleted by whoever prepares and cleans up.
    bar: ProgressBar,
}

impl Session {
    pub(crate) fn phase(&self) -> Phase {
        *self.phases.borrow()
    }

    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phases.clone()
    }

    /// Shows that so many more znodes are made or deleted.
    pub(crate) fn progress(&self, znodes: u64) {
        self.bar.inc(znodes);
    }

    /// Counts an operation that began in `phase`.
    pub(crate) fn record(&self, phase: Phase, op: OpCode, took: Duration) {
        if phase == Phase::Measure {
            self.tally.borrow_mut().record(op, took);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

type Thread = JoinHandle<anyhow::Result<Tally>>;

/// What all threads of a run share.
struct Plan {
    args: BenchArgs,
    keys: Keys,
    target: Target,
    bar: ProgressBar,
    round: Round,
    phases: watch::Receiver<Phase>,
    done: Arc<AtomicU64>,
}

/// Runs a benchmark. `root` is the server's path for the znodes.
pub(crate) fn run(
    args: &BenchArgs,
    target: Target,
    root: &str,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let keys = Keys::new(root, args.keys);
    let (phases, seen) = watch::channel(Phase::Connect);
    let plan = Arc::new(Plan {
        args: args.clone(),
        keys,
        target,
        bar: bar.clone(),
        round: Round::new(),
        phases: seen,
        done: Arc::default(),
    });
    block_on(prepare(&plan))?;
    let before = Usage::of_all(&args.pids)?;
    plan.count("connecting", args.sessions);
    let connecting = Instant::now();
    let threads = start(&plan)?;
    let mut report = Report::new(args, connecting.elapsed());
    if args.workload != Workload::Fill {
        phases.send_replace(Phase::WarmUp);
        wait(&plan, "warming up", &threads, Some(args.warm_up));
    }
    let own_start = Usage::own()?;
    let start = Usage::of_all(&args.pids)?;
    let started = Instant::now();
    phases.send_replace(Phase::Measure);
    let limit = Some(args.duration).filter(|_| args.workload != Workload::Fill);
    wait(&plan, "measuring", &threads, limit);
    let elapsed = started.elapsed();
    let end = Usage::of_all(&args.pids)?;
    let own_end = Usage::own()?;
    phases.send_replace(Phase::Stop);
    let mut tally = Tally::default();
    for thread in threads {
        match thread.join() {
            Ok(part) => tally.merge(&part?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    if !args.keep && args.workload != Workload::Fill {
        block_on(clean(&plan))?;
    }
    report.fill(&tally, elapsed, own_end.cpu.saturating_sub(own_start.cpu));
    if let (Some(before), Some(start), Some(end)) = (before, start, end) {
        let idle = args.workload == Workload::Idle;
        report.fill_server(before, start, end, idle);
    }
    Ok(report)
}

impl Plan {
    /// Begins to count up to `total`.
    fn count(&self, what: &'static str, total: usize) {
        self.show(what, "{msg} {wide_bar} {pos}/{len}", total as u64);
    }

    fn show(&self, what: &'static str, template: &str, total: u64) {
        let style = ProgressStyle::with_template(template).expect("the template is constant");
        self.bar.set_style(style);
        self.bar.set_length(total);
        self.bar.set_position(0);
        self.bar.set_prefix("");
        self.bar.set_message(what);
    }
}

/// Waits until `limit`, or until a thread failed; without a limit, until all threads are done.
fn wait(plan: &Plan, what: &'static str, threads: &[Thread], limit: Option<Duration>) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match limit {
        Some(limit) => plan.show(what, "{msg} {wide_bar} {prefix}", millis(limit)),
        None => plan.count(what, plan.keys.count),
    }
    let started = Instant::now();
    loop {
        let elapsed = started.elapsed();
        let over = match limit {
            Some(limit) => elapsed >= limit || threads.iter().any(JoinHandle::is_finished),
            None => threads.iter().all(JoinHandle::is_finished),
        };
        if over {
            return;
        }
        std::thread::sleep(limit.map_or(TICK, |limit| TICK.min(limit - elapsed)));
        let done = plan.done.load(Ordering::Relaxed);
        plan.bar
            .set_position(limit.map_or(done, |_| millis(elapsed)));
        plan.bar.set_prefix(format!("{done} operations"));
    }
}

/// Starts the threads and waits until all sessions are open.
fn start(plan: &Arc<Plan>) -> anyhow::Result<Vec<Thread>> {
    let (ready, readies) = mpsc::channel();
    let count = plan.args.threads.min(plan.args.sessions);
    let threads: Vec<Thread> = (0..count)
        .map(|thread| {
            let (plan, ready) = (Arc::clone(plan), ready.clone());
            std::thread::spawn(move || {
                let local = LocalSet::new();
                let tally = Rc::default();
                let run = run_thread(&plan, thread, count, &ready, Rc::clone(&tally));
                runtime()?.block_on(local.run_until(run))?;
                Ok(tally.take())
            })
        })
        .collect();
    drop(ready);
    // A thread that fails drops its end, and its error is found when it is joined.
    if readies.into_iter().take(count).count() < count {
        for thread in threads {
            if thread.is_finished() {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
        }
        bail!("a thread ended before its sessions were open");
    }
    Ok(threads)
}

/// Opens a thread's share of the sessions and runs them to the end.
async fn run_thread(
    plan: &Arc<Plan>,
    thread: usize,
    threads: usize,
    ready: &mpsc::Sender<()>,
    tally: Rc<RefCell<Tally>>,
) -> anyhow::Result<()> {
    let share = (thread..plan.args.sessions).step_by(threads);
    let opening = share.map(|index| async move {
        let connection = plan.open(index).await?;
        plan.bar.inc(1);
        Ok((index, connection))
    });
    let opened: Vec<anyhow::Result<(usize, Connection)>> = futures::stream::iter(opening)
        .buffer_unordered(OPENING_MAX)
        .collect()
        .await;
    let mut tasks = tokio::task::JoinSet::new();
    for opened in opened {
        let (index, connection) = opened?;
        let session = Session {
            keys: plan.keys.clone(),
            phases: plan.phases.clone(),
            tally: Rc::clone(&tally),
            done: Arc::clone(&plan.done),
            bar: ProgressBar::hidden(),
        };
        tasks.spawn_local(run_session(Arc::clone(plan), index, connection, session));
    }
    // The run may have failed on another thread and be gone.
    let _ = ready.send(());
    while let Some(ended) = tasks.join_next().await {
        ended.context("a session's task failed")??;
    }
    Ok(())
}

/// What one session does.
async fn run_session(
    plan: Arc<Plan>,
    index: usize,
    mut connection: Connection,
    session: Session,
) -> anyhow::Result<()> {
    let args = &plan.args;
    let connection = &mut connection;
    let random = StdRng::seed_from_u64(index as u64);
    match args.workload {
        Workload::Read | Workload::Write | Workload::Mix => {
            pipeline::drive(connection, args, &session, random).await?;
        }
        Workload::Fill => {
            let share = |index: usize| plan.keys.count * index / args.sessions;
            pipeline::fill(connection, args, &session, share(index)..share(index + 1)).await?;
        }
        Workload::Lock => {
            lock::drive(
                connection,
                &session,
                &plan.keys.path(index % plan.keys.count),
            )
            .await?;
        }
        Workload::Fanout if index == 0 => {
            let load = (args.sessions - 1, args.value_bytes);
            fanout::write(connection, &session, &plan.round, plan.keys.path(0), load).await?;
        }
        Workload::Fanout => fanout::listen(connection, &session, &plan.round).await?,
        Workload::Idle => idle::drive(connection, &session, random).await?,
    }
    connection.close().await
}

impl Plan {
    async fn open(&self, index: usize) -> anyhow::Result<Connection> {
        let mut connection = Connection::open(&self.target, index).await?;
        if self.args.workload == Workload::Fanout && index > 0 {
            fanout::watch(&mut connection, &self.keys.path(0)).await?;
        }
        Ok(connection)
    }

    /// A session that prepares or cleans up.
    async fn own_session(&self) -> anyhow::Result<(Connection, Session)> {
        let session = Session {
            keys: self.keys.clone(),
            phases: self.phases.clone(),
            tally: Rc::default(),
            done: Arc::default(),
            bar: self.bar.clone(),
        };
        Ok((Connection::open(&self.target, 0).await?, session))
    }
}

/// Makes the znodes that the workload needs, unless an earlier run left them.
async fn prepare(plan: &Plan) -> anyhow::Result<()> {
    if plan.args.workload == Workload::Idle {
        return Ok(());
    }
    let (mut connection, session) = plan.own_session().await?;
    let root = plan.keys.root.as_str();
    let ancestors = root.match_indices('/').skip(1).map(|(at, _)| &root[..at]);
    let parents = ancestors.chain([root]).filter(|path| !path.is_empty());
    for path in parents.map(str::to_owned).chain(plan.keys.parents()) {
        let create = pipeline::create(path.clone(), Bytes::new());
        match connection.call(&create).await? {
            Ok(_) | Err(ErrorCode::NODE_EXISTS) => {}
            Err(code) => bail!("cannot create {path}: the server says {code}"),
        }
    }
    let needed = match plan.args.workload {
        Workload::Fill => 0,
        Workload::Fanout => 1,
        _ => plan.keys.count,
    };
    if needed > 0 && !is_filled(&mut connection, plan, needed).await? {
        plan.count("preparing", needed);
        pipeline::fill(&mut connection, &plan.args, &session, 0..needed)
            .await
            .with_context(|| {
                format!("cannot make znodes: try another --path, or zk deleteall {root}")
            })?;
    }
    connection.close().await
}

async fn is_filled(
    connection: &mut Connection,
    plan: &Plan,
    needed: usize,
) -> anyhow::Result<bool> {
    let path = plan.keys.path(needed - 1);
    let exists = Request::Exists { path, watch: false };
    Ok(
        matches!(connection.call(&exists).await?, Ok(Response::Stat(stat))
        if usize::try_from(stat.data_length) == Ok(plan.args.value_bytes)),
    )
}

/// Deletes what [`prepare`] made.
async fn clean(plan: &Plan) -> anyhow::Result<()> {
    if plan.args.workload == Workload::Idle {
        return Ok(());
    }
    let (mut connection, session) = plan.own_session().await?;
    plan.count("cleaning up", plan.keys.count);
    pipeline::clear(&mut connection, &plan.args, &session).await?;
    let parents: Vec<String> = plan.keys.parents().collect();
    for path in parents
        .into_iter()
        .chain([plan.keys.root.clone()])
        .filter(|path| !path.is_empty())
    {
        let delete = Request::Delete {
            path: path.clone(),
            version: -1,
        };
        match connection.call(&delete).await? {
            // Somebody else's znodes stay.
            Ok(_) | Err(ErrorCode::NO_NODE | ErrorCode::NOT_EMPTY) => {}
            Err(code) => bail!("cannot delete {path}: the server says {code}"),
        }
    }
    connection.close().await
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    runtime()?.block_on(future)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.context("cannot start the runtime")
}
