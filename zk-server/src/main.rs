//! The program `zk-server`.
#![expect(
    clippy::disallowed_methods,
    reason = "a program reads its environment and ends its process"
)]
#![expect(clippy::print_stdout, reason = "a program speaks to who runs it")]

mod logging;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use zk_server::{Config, FULL_VERSION, Running, Server, ServerError};

use logging::LogFormat;

// The system's allocator keeps what was freed between millions of small nodes; its settings are in
// .cargo/config.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    /// Number of servers.
    #[arg(long, default_value_t = 1, value_parser = one_server)]
    servers: u32,
    /// The client port; zero lets the system choose.
    #[arg(long, default_value_t = 2181)]
    port: u16,
    /// Where data is kept.
    #[arg(long, value_name = "DIR", default_value = "./zk-data")]
    data: PathBuf,
}

fn one_server(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(1) => Ok(1),
        Ok(_) => Err("this version runs a single server: 1 is the only number".to_owned()),
        Err(_) => Err("not a number".to_owned()),
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
    serve(config, |_| {})
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
    let config = Config::dev(&args.data, args.port);
    serve(config, |server| print_greeting(server, &args.data))
}

fn print_greeting(server: &Running, data: &Path) {
    let address = server.local_addr();
    println!("ZooKeeper server at {address}, data in {}", data.display());
    println!("Control-C stops it. To try it:");
    println!("  zk --server {address} create /a hello");
    println!(
        "  python3 -c \"from kazoo.client import KazooClient as K; \
         z = K('{address}'); z.start(); print(z.get_children('/')); z.stop()\""
    );
    println!("  let client = zk_client::Client::connect(\"{address}\").await?;");
}

/// Serves until a signal comes or the server stops by itself. A second signal ends the process at
/// once: what is on disk is then as after a crash.
fn serve(config: Config, started: impl FnOnce(&Running)) -> Result<(), ServerError> {
    raise_file_limit();
    let system = |what| move |source| ServerError::System { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start the runtime"))?;
    runtime.block_on(async {
        let mut server = Server::builder().config(config).start().await?;
        let mut terminate =
            signal(SignalKind::terminate()).map_err(system("cannot wait for signals"))?;
        let mut interrupt =
            signal(SignalKind::interrupt()).map_err(system("cannot wait for signals"))?;
        started(&server);
        tokio::select! {
            ended = server.wait() => return ended,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping; a second signal stops at once");
        tokio::select! {
            ended = server.shutdown() => ended,
            _ = terminate.recv() => std::process::exit(1),
            _ = interrupt.recv() => std::process::exit(1),
        }
    })
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
