//! The `zk` command line.
//!
//! This crate knows how people ask and how they are answered. What an operation means is known to
//! `zk-client` and `zk-recipes`, what a file holds to `zk-storage`.

mod acl;
mod args;
mod bench;
mod client_config;
mod ensemble;
mod error;
mod hold;
mod inspect;
mod output;
mod session;
mod shell;
mod verbs;
mod walk;
mod words;

use std::net::ToSocketAddrs;
use std::process::ExitCode;

use clap::Parser;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use crate::args::{Cli, Command, HoldArgs, Options, Verb};
use crate::bench::{BenchArgs, Target};
use crate::error::{CliError, Result, usage};
use crate::hold::Recipe;
use crate::output::{EventAnswer, Printer};
use crate::session::Session;

const ONLY_IN_SHELL: &str = "this has a meaning in the shell alone: run zk without a command";
/// The exit code when zk could not hold what a command was to run under.
const HOLD_FAILED: u8 = 125;

fn main() -> ExitCode {
    let words = args::normalize(std::env::args_os());
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && args::asks_for_json(&words) => {
            let error = CliError::from(error);
            error.report(true);
            return ExitCode::from(error.exit_code());
        }
        Err(error) => error.exit(),
    };
    let json = cli.options.json;
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(CliError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            // The reader has seen enough, as with `zk ls -R / | head`.
            ExitCode::SUCCESS
        }
        Err(error) => {
            error.report(json);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<u8> {
    let options = cli.options;
    match cli.command {
        Some(Command::Bench(args)) => bench(&options, &args).map(|()| 0),
        Some(Command::Txnlog(args)) => {
            inspect::txnlog(&args, Printer::new(options.json)).map(|()| 0)
        }
        Some(Command::Snapshot(args)) => {
            inspect::snapshot(&args, Printer::new(options.json)).map(|()| 0)
        }
        Some(Command::Ensemble) => block_on(interruptible(ensemble::show(&options))).map(|()| 0),
        Some(Command::Verb(verb)) => block_on(run_verb(&options, verb)).map(|()| 0),
        Some(Command::Lock(args)) => hold(&options, &args, Recipe::Lock),
        Some(Command::Elect(args)) => hold(&options, &args, Recipe::Elect),
        Some(Command::Shell(_)) => usage(ONLY_IN_SHELL),
        None => block_on(shell::run(&options)),
    }
}

/// Runs on a runtime of one thread.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

/// Whoever reads the exit code has to tell zk's failures from the command's.
fn hold(options: &Options, args: &HoldArgs, recipe: Recipe) -> Result<u8> {
    match block_on(hold::run(options, args, recipe)) {
        Err(error) => {
            error.report(options.json);
            Ok(HOLD_FAILED)
        }
        code => code,
    }
}

/// Runs one verb in a session of its own. Watches that the verb leaves are waited for.
async fn run_verb(options: &Options, verb: Verb) -> Result {
    let out = Printer::new(options.json);
    if matches!(verb, Verb::Version) {
        return verbs::version(out);
    }
    let (sender, mut events) = mpsc::channel(session::EVENTS_MAX);
    let mut session = interruptible(Session::open(options, sender)).await?;
    let result = interruptible(async {
        verbs::run(verb, &mut session, out).await?;
        session.let_events_end();
        while let Some(event) = events.recv().await {
            out.print(&EventAnswer::new(&event?))?;
        }
        Ok(())
    })
    .await;
    session.close().await;
    result
}

/// Gives up when ^C is pressed.
async fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        result = work => result,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(CliError::Interrupted)
        }
    }
}

fn bench(options: &Options, args: &BenchArgs) -> Result {
    let servers = options.servers()?;
    // The load has no use for the settings, but for what they refuse.
    options.client_config()?;
    let mut addresses = Vec::new();
    for host in servers.hosts() {
        let found = (host.host.as_str(), host.port).to_socket_addrs();
        addresses.extend(
            found
                .map_err(|error| CliError::Usage(format!("{host}: {error}")))?
                .next(),
        );
    }
    let root = format!("{}{}", servers.chroot().trim_end_matches('/'), args.path);
    // Drawn to the standard error, and only if that is a terminal.
    let bar = ProgressBar::new(0);
    let target = Target {
        servers: addresses,
        session_timeout: options.timeout,
        read_only: options.read_only,
        auth: options.auth.clone(),
    };
    let report = bench::run(args, target, &root, &bar);
    bar.finish_and_clear();
    Ok(Printer::new(options.json).print(&report?)?)
}
