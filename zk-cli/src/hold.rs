//! Commands that run while a lock or leadership is held.
//!
//! ```text
//! wait ──► held ──► command runs ──► it ends ─────────────────────────► release
//!                        └─► lost ──► SIGTERM ──► grace ──► SIGKILL ──► its exit code
//! ```
//!
//! The command is the leader of a process group of its own, so that what it started ends with it;
//! with `--foreground` it stays in zk's, for commands that use the terminal. If zk itself is killed
//! the command goes on and nobody holds anything: effects that must not happen twice are fenced with
//! `ZK_TOKEN`.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use zk_recipes::{LeaderGuard, LeaderLatch, LockGuard, Mutex, Term};

use crate::args::{HoldArgs, Options};
use crate::error::{CliError, Result};
use crate::session::{self, Session};

/// Exit codes as `timeout(1)` has them.
const TIMED_OUT: u8 = 124;
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;
const SIGNALLED: u8 = 128;

/// What is held.
enum Guard {
    Lock(LockGuard),
    Leader(LeaderGuard),
}

/// Which recipe decides who holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipe {
    Lock,
    Elect,
}

/// Waits until `path` is held, runs the command, and gives the exit code.
pub(crate) async fn run(options: &Options, args: &HoldArgs, recipe: Recipe) -> Result<u8> {
    let mut signals = Signals::listen()?;
    let (sender, _events) = mpsc::channel(session::EVENTS_MAX);
    let session = Session::open(options, sender).await?;
    let code = tokio::select! {
        guard = acquire(&session, args, recipe) => match guard {
            Ok(Some(guard)) => hold(guard, options, args, &mut signals).await,
            Ok(None) => {
                let wait = humantime::format_duration(args.wait.unwrap_or_default());
                notice(options, format_args!("{} was not free within {wait}", args.path));
                Ok(TIMED_OUT)
            }
            Err(error) => Err(error),
        },
        signal = signals.next() => Ok(code_of(signal.as_raw())),
    };
    session.close().await;
    code
}

async fn acquire(session: &Session, args: &HoldArgs, recipe: Recipe) -> Result<Option<Guard>> {
    let who = format!(
        "{} pid {}",
        rustix::system::uname().nodename().to_string_lossy(),
        std::process::id()
    );
    let acquired = async {
        let zk = session.zk();
        match recipe {
            Recipe::Lock => {
                let mutex = Mutex::builder(zk, &args.path).data(who).build()?;
                mutex.lock().await.map(Guard::Lock)
            }
            Recipe::Elect => {
                let latch = LeaderLatch::builder(zk, &args.path).id(who).build()?;
                latch.campaign().await.map(Guard::Leader)
            }
        }
    };
    match args.wait {
        None => acquired.await.map(Some).map_err(explain),
        Some(wait) => match tokio::time::timeout(wait, acquired).await {
            Ok(guard) => guard.map(Some).map_err(explain),
            Err(_) => Ok(None),
        },
    }
}

fn explain(error: zk_recipes::Error) -> CliError {
    match error {
        zk_recipes::Error::Client(error) => error.into(),
        zk_recipes::Error::InvalidPath(error) => CliError::Usage(error.to_string()),
        error => CliError::Other(error.into()),
    }
}

/// Runs the command to its end, whoever ends it, and releases what is held.
async fn hold(
    guard: Guard,
    options: &Options,
    args: &HoldArgs,
    signals: &mut Signals,
) -> Result<u8> {
    let term = guard.term();
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(CliError::Usage("there is no command".to_owned()));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    command.env("ZK_TOKEN", term.token().to_string());
    command.env("ZK_NODE", term.path());
    if !args.foreground {
        command.process_group(0);
    }
    let code = match command.spawn() {
        Ok(child) => {
            let running = Running::new(child, options, args);
            let status = running.wait(term, signals).await?;
            code_of_status(status)
        }
        Err(error) => {
            notice(
                options,
                format_args!("{}: {error}", program.to_string_lossy()),
            );
            match error.kind() {
                ErrorKind::NotFound => NOT_FOUND,
                _ => CANNOT_RUN,
            }
        }
    };
    if term.loss().is_none()
        && let Err(error) = guard.release().await
    {
        // The command is done, and its exit code counts; the servers release with the session.
        notice(options, format_args!("{}: {error}", args.path));
    }
    Ok(code)
}

impl Guard {
    fn term(&self) -> &Term {
        match self {
            Self::Lock(guard) => guard,
            Self::Leader(guard) => guard,
        }
    }

    async fn release(self) -> zk_recipes::Result<()> {
        match self {
            Self::Lock(guard) => guard.release().await,
            Self::Leader(guard) => guard.resign().await,
        }
    }
}

/// The command under way.
struct Running<'a> {
    child: Child,
    pid: Option<Pid>,
    options: &'a Options,
    args: &'a HoldArgs,
}

impl<'a> Running<'a> {
    fn new(child: Child, options: &'a Options, args: &'a HoldArgs) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw);
        Self {
            child,
            pid,
            options,
            args,
        }
    }

    /// Waits for the end; ends the command when what it depends on is lost.
    async fn wait(mut self, term: &Term, signals: &mut Signals) -> Result<ExitStatus> {
        loop {
            tokio::select! {
                status = self.child.wait() => return Ok(status?),
                () = term.lost().cancelled() => {
                    if let Some(lost) = term.loss() {
                        let what = format_args!("{}: {lost}; ending the command", self.args.path);
                        notice(self.options, what);
                    }
                    return self.end().await;
                }
                signal = signals.next() => self.send(signal),
            }
        }
    }

    /// SIGTERM, and SIGKILL for what is left after the grace.
    async fn end(&mut self) -> Result<ExitStatus> {
        self.send(Signal::TERM);
        let ended = tokio::time::timeout(self.args.grace, self.child.wait()).await;
        // A command that ended in time may have left others of its group.
        self.send(Signal::KILL);
        match ended {
            Ok(status) => Ok(status?),
            Err(_) => Ok(self.child.wait().await?),
        }
    }

    /// Signals the command, and its group unless that is zk's own. A process that is gone already
    /// is no failure.
    fn send(&self, signal: Signal) {
        let Some(pid) = self.pid else {
            return;
        };
        let sent = match self.args.foreground {
            true if self.child.id().is_none() => Ok(()),
            true => kill_process(pid, signal),
            false => kill_process_group(pid, signal),
        };
        match sent {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                notice(
                    self.options,
                    format_args!("cannot signal the command: {error}"),
                );
            }
        }
    }
}

/// Says something on the standard error, beside what the command says there.
fn notice(options: &Options, what: std::fmt::Arguments<'_>) {
    if options.json {
        eprintln!("{}", serde_json::json!({ "message": what.to_string() }));
    } else {
        eprintln!("zk: {what}");
    }
}

fn code_of_status(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => code_of(signal),
        (None, None) => u8::MAX,
    }
}

fn code_of(signal: i32) -> u8 {
    u8::try_from(signal).map_or(u8::MAX, |signal| SIGNALLED.saturating_add(signal))
}

/// Signals that ask zk to end, which are passed on to the command.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Cancel-safe.
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}
