//! Server processes.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How long a four-letter word may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The file in a data directory that takes what its servers print.
const OUTPUT: &str = "server.out";
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Whose server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// This project's.
    Ours,
    /// Apache's, from the class path of [`Needs::apache`](crate::Needs::apache).
    Apache,
}

/// What a standalone server is started with.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// `dataDir` of `zoo.cfg`; must exist.
    pub data_dir: PathBuf,
    /// More lines of `zoo.cfg`.
    pub lines: Vec<String>,
    /// Settings that Apache takes as `-D` only; ours reads them from `SERVER_JVMFLAGS`.
    pub properties: Vec<(String, String)>,
    /// Options of Apache's virtual machine.
    pub java_options: Vec<String>,
}

impl ServerSettings {
    /// Every four-letter word, a tick of 2 s, no admin server, small preallocation.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        let line = String::from;
        Self {
            data_dir: data_dir.to_owned(),
            lines: vec![
                line("tickTime=2000"),
                line("4lw.commands.whitelist=*"),
                line("admin.enableServer=false"),
                line("maxClientCnxns=0"),
                line("extendedTypesEnabled=true"),
            ],
            properties: vec![(line("zookeeper.preAllocSize"), line("64"))],
            java_options: vec![line("-Xmx1g")],
        }
    }

    /// Adds a line of `zoo.cfg`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Replaces the line of `zoo.cfg` that begins with `KEY=`, or adds it.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let prefix = format!("{key}=");
        self.lines.retain(|line| !line.starts_with(&prefix));
        self.line(&format!("{prefix}{value}"))
    }

    /// Adds a setting that Apache takes as `-D` only.
    #[must_use]
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// What servers of this directory printed, on standard output and standard error.
    #[must_use]
    pub fn output(&self) -> String {
        // A server prints bytes of its own choice.
        let output = fs::read(self.data_dir.join(OUTPUT)).unwrap_or_default();
        String::from_utf8_lossy(&output).into_owned()
    }
}

/// A running server. Dropping it kills the process, as `kill -9` does.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    address: SocketAddr,
}

impl ServerProcess {
    /// Starts a server on a free port of loopback and waits until it serves.
    ///
    /// # Panics
    /// When it does not serve within a minute, or its program is missing.
    #[must_use]
    pub fn start(flavour: Flavour, settings: &ServerSettings) -> Self {
        Self::start_at(flavour, settings, free_address())
    }

    /// Starts a server where clients know it already, and waits until it serves.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_at(flavour: Flavour, settings: &ServerSettings, address: SocketAddr) -> Self {
        Self::try_start_at(flavour, settings, address).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    /// Starts a server, which may refuse to serve: the error is what it said.
    ///
    /// # Errors
    /// When it does not serve within a minute.
    ///
    /// # Panics
    /// When its program is missing.
    pub fn try_start_at(
        flavour: Flavour,
        settings: &ServerSettings,
        address: SocketAddr,
    ) -> Result<Self, String> {
        let mut server = Self::spawn(flavour, settings, address);
        server.wait_until_serving(settings)?;
        Ok(server)
    }

    /// Starts a server and does not wait: alone it may never serve.
    ///
    /// # Panics
    /// When its program is missing.
    #[must_use]
    pub fn spawn(flavour: Flavour, settings: &ServerSettings, address: SocketAddr) -> Self {
        let config = write_config(settings, address);
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(settings.data_dir.join(OUTPUT))
            .expect("the data directory is writable");
        let mut command = match flavour {
            Flavour::Ours => ours(settings, &config),
            Flavour::Apache => apache(settings, &config),
        };
        let errors = log.try_clone().expect("a file handle can be cloned");
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, address }
    }

    /// Starts a server where it must refuse to serve: its exit code and its last words.
    ///
    /// # Panics
    /// When its program is missing.
    #[must_use]
    pub fn refusal(flavour: Flavour, settings: &ServerSettings) -> (Option<i32>, String) {
        let config = write_config(settings, free_address());
        let mut command = match flavour {
            Flavour::Ours => ours(settings, &config),
            Flavour::Apache => apache(settings, &config),
        };
        let output = command.output();
        let output = output.unwrap_or_else(|error| panic!("it does not start: {error}"));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), words)
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that is resident, in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.expect("the kernel tells VmRSS in kB") * 1024
    }

    /// Sends a four-letter word and reads the answer.
    ///
    /// # Errors
    /// When the server does not take the connection or breaks it.
    pub fn ask(&self, word: &str) -> io::Result<String> {
        self.ask_within(word, ANSWER_WITHIN)
    }

    /// Sends a four-letter word and reads the answer; gives up when a read takes longer than
    /// `patience`.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); also when the server is silent.
    pub fn ask_within(&self, word: &str, patience: Duration) -> io::Result<String> {
        let mut socket = TcpStream::connect_timeout(&self.address, patience)?;
        socket.set_read_timeout(Some(patience))?;
        socket.write_all(word.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// How the process ended, if it did.
    ///
    /// # Panics
    /// When the process cannot be waited for.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// Takes the processor away, as SIGSTOP does: sockets stay open, and nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Lets no file grow beyond `bytes`, as if the disk were full; `None` ends that. Writes beyond
    /// fail, because servers are started with SIGXFSZ ignored.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let pid = Some(self.process_id());
        let limit = prlimit(
            pid,
            Resource::Fsize,
            Rlimit {
                current: bytes,
                maximum: None,
            },
        );
        limit.expect("the child is ours");
    }

    /// Ends the process at once, as `kill -9` does.
    ///
    /// # Panics
    /// When the process cannot be waited for.
    pub fn kill(mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// Asks the process to stop (SIGTERM) and gives its exit code.
    ///
    /// # Panics
    /// When it does not stop within half a minute.
    #[must_use]
    pub fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status.code();
            }
            assert!(
                started.elapsed() < STOP_WITHIN,
                "pid {} does not stop",
                self.child.id()
            );
            std::thread::sleep(POLL_EVERY);
        }
    }

    fn wait_until_serving(&mut self, settings: &ServerSettings) -> Result<(), String> {
        // Apache's server never answers a word that comes too early.
        let patience = Duration::from_secs(1);
        let started = Instant::now();
        while !self
            .ask_within("srvr", patience)
            .is_ok_and(|answer| answer.contains("Mode: "))
        {
            let ended = self.ended();
            if ended.is_some() || started.elapsed() > START_WITHIN {
                let output = settings.output();
                return Err(format!("server does not serve, exit {ended:?}: {output}"));
            }
            std::thread::sleep(POLL_EVERY);
        }
        Ok(())
    }

    fn process_id(&self) -> Pid {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.expect("a child has a pid")
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.process_id(), signal).expect("the child is ours");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_address() -> SocketAddr {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    probe.local_addr().expect("a bound socket has an address")
}

/// With this a server rewrites its configuration file, which is then not written again.
const RECONFIGURABLE: &str = "reconfigEnabled=true";

fn write_config(settings: &ServerSettings, address: SocketAddr) -> PathBuf {
    let mut text = format!(
        "dataDir={}\nclientPort={}\nclientPortAddress={}\n",
        settings.data_dir.display(),
        address.port(),
        address.ip()
    );
    for line in &settings.lines {
        text.push_str(line);
        text.push('\n');
    }
    let path = settings.data_dir.join("zoo.cfg");
    let is_the_servers = settings.lines.iter().any(|line| line == RECONFIGURABLE);
    if is_the_servers && path.exists() {
        return path;
    }
    fs::write(&path, text).expect("the data directory is writable");
    path
}

fn flags(settings: &ServerSettings) -> Vec<String> {
    settings
        .properties
        .iter()
        .map(|(key, value)| format!("-D{key}={value}"))
        .collect()
}

/// A shell that ignores SIGXFSZ becomes the server, so that [`ServerProcess::limit_files`] makes
/// writes fail instead of ending the process.
const IGNORING_FILE_LIMITS: &str = r#"trap "" XFSZ && exec "$0" "$@""#;

fn ours(settings: &ServerSettings, config: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", IGNORING_FILE_LIMITS])
        .arg(program("zk-server"))
        .arg("start-foreground")
        .arg(config)
        .env("SERVER_JVMFLAGS", flags(settings).join(" "));
    command
}

/// The first binding of the logger that is found counts; this one prints.
const CLASSPATH: &str = "/usr/share/java/slf4j-simple.jar:/usr/share/java/*";

fn apache(settings: &ServerSettings, config: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .args(&settings.java_options)
        .args([
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-cp",
            CLASSPATH,
        ])
        .args(flags(settings))
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(config);
    command
}

/// A program of this workspace, beside the running test.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test runs from a file");
    let folder = test.ancestors().find(|folder| folder.join(name).is_file());
    let Some(folder) = folder else {
        panic!("{name} is not built: run `cargo build -p {name}` or `cargo test --workspace`")
    };
    folder.join(name)
}
