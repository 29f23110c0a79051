//! The program `zk-server`.
#![expect(
    clippy::disallowed_methods,
    reason = "a program reads its environment and ends its process"
)]
#![expect(clippy::print_stdout, reason = "a program speaks to who runs it")]

mod logging;

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::{Args, Parser, Subcommand};
use futures::future::{join_all, select_all, try_join_all};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use zk_server::{
    Config, FULL_VERSION, LocalMember, Running, Server, ServerBuilder, ServerError, local_ensemble,
};

use logging::LogFormat;

// The system's allocator keeps what was freed between millions of small nodes; its settings are in
// .cargo/config.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Servers of an ensemble to develop against, and the most that there may be.
const SERVERS: u16 = 3;
const SERVERS_MAX: u16 = 9;

/// A ZooKeeper server.
#[derive(Debug, Parser)]
#[command(version = FULL_VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How log lines are written, to standard error.
    #[arg(long, value_enum, default_value_t, global = true)]
    log_format: LogFormat,
    /// Which log lines are written: a level, or `target=level` with commas between.
    #[arg(
        long,
        value_name = "FILTER",
        env = "RUST_LOG",
        default_value = "info",
        global = true
    )]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as a configuration file says, until SIGTERM or SIGINT.
    StartForeground(ConfigArgs),
    /// Read a configuration file, say what is wrong with it, and print what is in effect.
    Check(ConfigArgs),
    /// Print the version.
    Version,
    /// Serve without a configuration file, to develop against.
    Dev(DevArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file: `zoo.cfg` as Apache ZooKeeper reads it.
    #[arg(value_name = "ZOO_CFG")]
    path: PathBuf,
    /// Overrides a setting; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

#[derive(Debug, Args)]
struct DevArgs {
    /// Number of servers: an ensemble in this process, or one server alone [default: 3, or 1 where
    /// DIR holds the data of one].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(SERVERS_MAX)))]
    servers: Option<u16>,
    /// The client port of the first server, the others take those behind it; zero lets the system
    /// choose.
    #[arg(long, default_value_t = 2181)]
    port: u16,
    /// Where data is kept: that of several servers in a folder for each.
    #[arg(long, value_name = "DIR", default_value = "./zk-data")]
    data: PathBuf,
}

impl DevArgs {
    fn servers(&self) -> u16 {
        let is_of_one = || self.data.join("version-2").is_dir();
        (self.servers).unwrap_or_else(|| if is_of_one() { 1 } else { SERVERS })
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = logging::init(cli.log_format, &cli.log) {
        eprintln!("zk-server: --log {:?}: {error}", cli.log);
        return ExitCode::from(2);
    }
    let result = match &cli.command {
        Command::StartForeground(args) => start_foreground(args),
        Command::Check(args) => check(args),
        Command::Version => {
            println!("{FULL_VERSION}");
            Ok(())
        }
        Command::Dev(args) => dev(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zk-server: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn start_foreground(args: &ConfigArgs) -> Result<(), ServerError> {
    let config = load(args)?.config;
    serve(vec![Server::builder().config(config)], |_| {})
}

fn check(args: &ConfigArgs) -> Result<(), ServerError> {
    let loaded = load(args)?;
    print!("{}", loaded.effective);
    Ok(())
}

fn load(args: &ConfigArgs) -> Result<zk_server::config::Loaded, ServerError> {
    let jvm_flags = std::env::var("SERVER_JVMFLAGS").unwrap_or_default();
    let loaded = Config::load(&args.path, &jvm_flags, &args.overrides)?;
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    Ok(loaded)
}

fn dev(args: &DevArgs) -> Result<(), ServerError> {
    let builders = match args.servers() {
        1 => vec![Server::builder().config(Config::dev(&args.data, args.port))],
        servers => dev_ensemble(args, servers)?,
    };
    serve(builders, |servers| print_greeting(servers, &args.data))
}

/// Members on loopback, numbered from 1. The ports between them are others at every start.
fn dev_ensemble(args: &DevArgs, servers: u16) -> Result<Vec<ServerBuilder>, ServerError> {
    let port = |index| match args.port {
        0 => 0,
        first => first.saturating_add(index),
    };
    let ports: Vec<u16> = (0..servers).map(port).collect();
    let members = local_ensemble(&ports).map_err(|source| ServerError::System {
        what: "cannot open ports between the servers",
        source,
    })?;
    let builder = |(member, port): (LocalMember, u16)| {
        let data = args.data.join(member.membership.id.to_string());
        Server::builder()
            .config(Config::dev(&data, port))
            .member(member.membership)
            .peer_listeners(member.listeners)
    };
    Ok(members.into_iter().zip(ports).map(builder).collect())
}

fn print_greeting(servers: &[Running], data: &Path) {
    let addresses: Vec<_> = servers
        .iter()
        .map(|server| server.local_addr().to_string())
        .collect();
    let list = addresses.join(",");
    let what = match servers.len() {
        1 => "ZooKeeper server at".to_owned(),
        count => format!("ZooKeeper ensemble of {count} servers at"),
    };
    println!("{what} {list}, data in {}", data.display());
    println!("Control-C stops it. To try it:");
    println!("  zk --server {list} create /a hello");
    println!(
        "  python3 -c \"from kazoo.client import KazooClient as K; \
         z = K('{list}'); z.start(); print(z.get_children('/')); z.stop()\""
    );
    println!("  let client = zk_client::Client::connect(\"{list}\").await?;");
}

/// Serves until a signal comes or a server stops by itself. A second signal ends the process at
/// once: what is on disk is then as after a crash.
fn serve(
    builders: Vec<ServerBuilder>,
    started: impl FnOnce(&[Running]),
) -> Result<(), ServerError> {
    raise_file_limit();
    let system = |what| move |source| ServerError::System { what, source };
    let runtime = runtime().map_err(system("cannot start the runtime"))?;
    runtime.block_on(async {
        let mut terminate =
            signal(SignalKind::terminate()).map_err(system("cannot wait for signals"))?;
        let mut interrupt =
            signal(SignalKind::interrupt()).map_err(system("cannot wait for signals"))?;
        let mut servers = Vec::new();
        for builder in builders {
            servers.push(builder.start().await?);
        }
        tokio::select! {
            ended = run(&mut servers, started) => ended?,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping; a second signal stops at once");
        let stopping = servers.into_iter().map(Running::shutdown);
        tokio::select! {
            ended = try_join_all(stopping) => ended.map(drop),
            _ = terminate.recv() => std::process::exit(1),
            _ = interrupt.recv() => std::process::exit(1),
        }
    })
}

/// Half of the processors serve; the others are for the disk's threads and the kernel. One thread alone
/// needs no scheduler that wakes others.
fn runtime() -> io::Result<Runtime> {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    let mut builder = match processors / 2 {
        0 | 1 => Builder::new_current_thread(),
        workers => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    builder.enable_all().build()
}

/// Runs servers until the first of them stops by itself. An ensemble counts as started when all its
/// members serve.
async fn run(servers: &mut [Running], started: impl FnOnce(&[Running])) -> Result<(), ServerError> {
    if servers.len() > 1 {
        let serving = servers
            .iter()
            .map(|server| server.wait_until(|status| status.is_serving));
        join_all(serving).await;
    }
    started(servers);
    select_all(servers.iter_mut().map(|server| Box::pin(server.wait())))
        .await
        .0
}

/// Lets this process open as many files as the system permits, as Java's machine does: each
/// connection is one.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "cannot raise the limit of open files");
    }
}
