//! Server processes.
#![expect(
    clippy::disallowed_methods,
    reason = "starts processes, measures time, asks over sockets"
)]

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::Options;

const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(1);

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Ours,
    Apache,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "zk-server",
            Self::Apache => "Apache ZooKeeper",
        })
    }
}

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    place: Place,
    process: Process,
    started: Instant,
    started_within: Duration,
}

/// A process that ends with its owner.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, except when a measurement failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where a server runs, running or not.
#[derive(Debug)]
pub(crate) struct Place {
    flavour: Flavour,
    dir: TempDir,
    address: SocketAddr,
}

impl Place {
    /// A place for a server that is alone, or, with further lines of `zoo.cfg` and a number, for a
    /// member of an ensemble.
    pub(crate) fn new(
        flavour: Flavour,
        options: &Options,
        lines: &str,
        id: Option<u8>,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("side-by-side-")
            .tempdir_in(&options.data)?;
        let place = Self {
            flavour,
            dir,
            address: free_address()?,
        };
        let config = format!(
            "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress={}\nmaxClientCnxns=0\n\
             4lw.commands.whitelist=*\nadmin.enableServer=false\n{lines}",
            place.dir.path().display(),
            place.address.port(),
            place.address.ip()
        );
        fs::write(place.config(), config)?;
        if let Some(id) = id {
            fs::write(place.dir.path().join("myid"), format!("{id}\n"))?;
        }
        Ok(place)
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("zoo.cfg")
    }

    fn command(&self, options: &Options) -> anyhow::Result<Command> {
        Ok(match self.flavour {
            Flavour::Ours => {
                let mut command = Command::new(program("zk-server")?);
                command.arg("start-foreground").arg(self.config());
                command
            }
            Flavour::Apache => {
                let mut command = Command::new("java");
                command
                    .args(&options.java_option)
                    .args(["-cp", "/usr/share/java/*"])
                    .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
                    .arg(self.config());
                command
            }
        })
    }

    /// Starts the server and waits until it serves.
    pub(crate) fn start_again(self, options: &Options) -> anyhow::Result<Server> {
        let mut server = self.spawn(options)?;
        server.wait_until_serving()?;
        Ok(server)
    }

    /// Starts the server.
    pub(crate) fn spawn(self, options: &Options) -> anyhow::Result<Server> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("server.out"))?;
        let mut command = self.command(options)?;
        command
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        Ok(Server {
            place: self,
            process: Process(child),
            started,
            started_within: Duration::ZERO,
        })
    }
}

impl Server {
    /// Starts a server with an empty data directory.
    pub(crate) fn start(flavour: Flavour, options: &Options) -> anyhow::Result<Self> {
        Place::new(flavour, options, "", None)?.start_again(options)
    }

    /// Waits until the server answers as one that serves.
    pub(crate) fn wait_until_serving(&mut self) -> anyhow::Result<()> {
        while self.mode().is_none() {
            if let Some(status) = self.process.0.try_wait()? {
                bail!("ended with {status}: {}", self.output());
            }
            ensure!(
                self.started.elapsed() < START_WITHIN,
                "does not serve within {START_WITHIN:?}: {}",
                self.output()
            );
            std::thread::sleep(POLL_EVERY);
        }
        self.started_within = self.started.elapsed();
        Ok(())
    }

    /// From the start of the process to its first answer.
    pub(crate) fn started_within(&self) -> Duration {
        self.started_within
    }

    /// What the server says it is, if it serves: `standalone`, `leader`, `follower`.
    pub(crate) fn mode(&self) -> Option<String> {
        let answer = self.ask("srvr").ok()?;
        let mode = answer
            .lines()
            .find_map(|line| line.strip_prefix("Mode: "))?;
        Some(mode.to_owned())
    }

    fn ask(&self, word: &str) -> std::io::Result<String> {
        let mut socket = TcpStream::connect(self.place.address)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        socket.write_all(word.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn output(&self) -> String {
        let path = self.place.dir.path().join("server.out");
        fs::read_to_string(path).unwrap_or_else(|error| error.to_string())
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address
    }

    /// Resident memory.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<f64> {
        self.memory("VmRSS:")
    }

    /// The most that was resident since the start.
    pub(crate) fn resident_peak_bytes(&self) -> anyhow::Result<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: f64 = kib.with_context(|| format!("no {key}"))?.parse()?;
        Ok(kib * 1024.0)
    }

    /// User and system time of all its threads so far.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.0.id()))?;
        // The name in parentheses may hold anything.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
        let mut fields = fields.unwrap_or_default().split_whitespace().skip(11);
        let mut ticks = || {
            fields
                .next()
                .context("no CPU time")?
                .parse::<f64>()
                .map_err(anyhow::Error::from)
        };
        let ticks = ticks()? + ticks()?;
        Ok(Duration::from_secs_f64(
            ticks / rustix::param::clock_ticks_per_second() as f64,
        ))
    }

    /// Ends the process at once. Its data stays.
    pub(crate) fn kill(mut self) -> anyhow::Result<Place> {
        self.process.0.kill()?;
        self.process.0.wait()?;
        Ok(self.place)
    }

    /// Asks the server to stop.
    fn terminate(&self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        Ok(kill_process(pid.context("no pid")?, Signal::TERM)?)
    }

    /// Asks the server to stop and waits for it. Its data stays.
    pub(crate) fn stop(mut self) -> anyhow::Result<Place> {
        self.terminate()?;
        let asked = Instant::now();
        while self.process.0.try_wait()?.is_none() {
            ensure!(
                asked.elapsed() < STOP_WITHIN,
                "does not stop within {STOP_WITHIN:?}"
            );
            std::thread::sleep(POLL_EVERY);
        }
        Ok(self.place)
    }
}

/// Runs `zk bench` against servers; gives its report.
pub(crate) fn bench(
    servers: &[&Server],
    workload: &str,
    options: &[(&str, String)],
) -> anyhow::Result<Value> {
    let list = |of: &dyn Fn(&Server) -> String| {
        let texts: Vec<String> = servers.iter().map(|server| of(server)).collect();
        texts.join(",")
    };
    let mut command = Command::new(program("zk")?);
    command
        .args(["--json", "--timeout", "40s", "--server"])
        .arg(list(&|server| server.address().to_string()))
        .args(["bench", workload, "--pid"])
        .arg(list(&|server| server.pid().to_string()));
    for (option, value) in options {
        command.arg(option).arg(value);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{command:?} failed");
    serde_json::from_slice(&output.stdout).context("zk bench printed no report")
}

/// An address of loopback that nobody listens on.
pub(crate) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A program of this workspace, beside this one.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().unwrap_or(Path::new(".")).join(name);
    ensure!(
        path.is_file(),
        "{} is missing: build zk-server and zk-cli with the same profile",
        path.display()
    );
    Ok(path)
}
