//! Ensembles of real processes, ours and Apache's in any mix.
//!
//! Members are numbered from 1. They have addresses of their own ([`subnet`]), find each other
//! directly or through relays that can fail ([`links`]), and tell of themselves in four-letter
//! words ([`state`]). What clients do to an ensemble is in [`load`](crate::load), what must hold
//! afterwards in [`check`](crate::check).

mod links;
mod state;
mod subnet;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use links::Links;
pub use state::{Figures, Mode, Status};
use subnet::{Port, Subnet};

use crate::process::{Flavour, ServerProcess, ServerSettings};
use crate::tree::SUPER_DIGEST;

/// A member that is asked how it is may be stopped, or busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Small enough that many fit beside each other, and quick to start.
const JAVA_OPTIONS: [&str; 4] = [
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
];

/// Whether a member votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are ZooKeeper's")]
pub enum Role {
    Participant,
    Observer,
}

/// What an ensemble is started with.
#[derive(Debug, Clone)]
pub struct EnsembleSettings {
    members: Vec<(Flavour, Role)>,
    /// Members from this number on are not known to the others at first.
    joiners: Option<u8>,
    lines: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    with_links: bool,
    reconfigurable: bool,
}

impl EnsembleSettings {
    /// Participants numbered from 1, which find each other directly. A tick is 200 ms; sessions may
    /// live from two ticks to a minute.
    #[must_use]
    pub fn new(participants: &[Flavour]) -> Self {
        let members = participants
            .iter()
            .map(|flavour| (*flavour, Role::Participant));
        let settings = Self {
            members: members.collect(),
            joiners: None,
            lines: Vec::new(),
            properties: Vec::new(),
            with_links: false,
            reconfigurable: false,
        };
        settings
            .set("tickTime", "200")
            .set("initLimit", "50")
            .set("syncLimit", "10")
            .set("maxSessionTimeout", "60000")
            .set("autopurge.purgeInterval", "0")
            .property(
                "zookeeper.DigestAuthenticationProvider.superDigest",
                SUPER_DIGEST,
            )
    }

    /// Adds an observer.
    #[must_use]
    pub fn observer(mut self, flavour: Flavour) -> Self {
        self.members.push((flavour, Role::Observer));
        self
    }

    /// Lets the membership change while the ensemble runs. Every line tells a client port, and what
    /// servers write into their configuration files stays there.
    #[must_use]
    pub fn reconfigurable(mut self) -> Self {
        self.reconfigurable = true;
        self.set("reconfigEnabled", "true")
            .set("standaloneEnabled", "false")
    }

    /// Adds a participant that the others do not know: it knows them, and joins with a reconfig.
    #[must_use]
    pub fn joiner(mut self, flavour: Flavour) -> Self {
        self.members.push((flavour, Role::Participant));
        let sid = u8::try_from(self.members.len()).expect("members are few");
        self.joiners.get_or_insert(sid);
        self
    }

    /// Sets a key of `zoo.cfg`, of every member.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.lines.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a setting that Apache takes as `-D` only.
    #[must_use]
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Lets members find each other through [`Links`].
    #[must_use]
    pub const fn with_links(mut self) -> Self {
        self.with_links = true;
        self
    }
}

/// One member, running or not.
#[derive(Debug)]
struct Member {
    flavour: Flavour,
    role: Role,
    settings: ServerSettings,
    process: Option<ServerProcess>,
    paused: bool,
}

/// An ensemble. Dropping it kills its members. The folders of one whose test failed stay.
#[derive(Debug)]
pub struct Ensemble {
    members: BTreeMap<u8, Member>,
    links: Option<Links>,
    subnet: Subnet,
    folder: TempDir,
}

impl Ensemble {
    /// Makes the members' folders and starts nobody.
    ///
    /// # Panics
    /// When a folder cannot be made.
    #[must_use]
    pub fn new(settings: &EnsembleSettings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let subnet = Subnet::take();
        let sids: Vec<u8> = (1..).take(settings.members.len()).collect();
        let links = settings.with_links.then(|| Links::start(&subnet, &sids));
        let numbered = sids.iter().copied().zip(&settings.members);
        let members = numbered.map(|(sid, &(flavour, role))| {
            let data_dir = folder.path().join(format!("server{sid}"));
            fs::create_dir(&data_dir).expect("the folder is ours");
            fs::write(data_dir.join("myid"), format!("{sid}\n")).expect("the folder is ours");
            let servers = members_of(settings, &subnet, &sids, sid);
            let member = Member {
                flavour,
                role,
                settings: server_settings(settings, &data_dir, role, servers),
                process: None,
                paused: false,
            };
            (sid, member)
        });
        Self {
            members: members.collect(),
            links,
            subnet,
            folder,
        }
    }

    /// Starts all members and waits until all serve.
    ///
    /// # Panics
    /// When they do not within a minute.
    #[must_use]
    pub fn start(settings: &EnsembleSettings) -> Self {
        let mut ensemble = Self::new(settings);
        let is_known = |sid: &u8| settings.joiners.is_none_or(|first| *sid < first);
        let known: Vec<_> = ensemble.sids().into_iter().filter(is_known).collect();
        for &sid in &known {
            ensemble.spawn(sid);
        }
        ensemble.wait_until_serving(&known, Duration::from_secs(60));
        ensemble
    }

    /// The numbers of all members.
    #[must_use]
    pub fn sids(&self) -> Vec<u8> {
        self.members.keys().copied().collect()
    }

    /// The numbers of the members that have a processor.
    #[must_use]
    pub fn running(&self) -> Vec<u8> {
        let running = self
            .members
            .iter()
            .filter(|(_, member)| member.process.is_some());
        running
            .filter(|(_, member)| !member.paused)
            .map(|(sid, _)| *sid)
            .collect()
    }

    /// All numbers but one.
    #[must_use]
    pub fn others(&self, sid: u8) -> Vec<u8> {
        self.sids()
            .into_iter()
            .filter(|other| *other != sid)
            .collect()
    }

    /// Whose a member is.
    #[must_use]
    pub fn flavour(&self, sid: u8) -> Flavour {
        self.member(sid).flavour
    }

    /// Where clients find a member.
    #[must_use]
    pub fn address(&self, sid: u8) -> SocketAddr {
        self.subnet.client(sid)
    }

    /// Where clients find the members, in order of their numbers.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sids()
            .into_iter()
            .map(|sid| self.address(sid))
            .collect()
    }

    /// A folder for what a test keeps beside the members' folders.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A member's `dataDir`.
    #[must_use]
    pub fn data_dir(&self, sid: u8) -> &Path {
        &self.member(sid).settings.data_dir
    }

    /// What a member printed.
    #[must_use]
    pub fn output(&self, sid: u8) -> String {
        self.member(sid).settings.output()
    }

    /// The links.
    ///
    /// # Panics
    /// When members find each other directly.
    #[must_use]
    pub fn links(&self) -> &Links {
        self.links
            .as_ref()
            .expect("the ensemble has links that fail")
    }

    /// Whether each member knows the others under addresses of its own.
    #[must_use]
    pub const fn has_links(&self) -> bool {
        self.links.is_some()
    }

    /// Starts a member and does not wait.
    ///
    /// # Panics
    /// When it runs.
    pub fn spawn(&mut self, sid: u8) {
        let address = self.address(sid);
        let member = self.member_mut(sid);
        assert!(member.process.is_none(), "member {sid} runs");
        let process = ServerProcess::spawn(member.flavour, &member.settings, address);
        member.process = Some(process);
    }

    /// Ends a member at once, as `kill -9` does.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self, sid: u8) {
        self.take(sid).kill();
    }

    /// Asks a member to stop (SIGTERM) and gives its exit code.
    ///
    /// # Panics
    /// When it does not run, or does not stop.
    pub fn stop(&mut self, sid: u8) -> Option<i32> {
        self.take(sid).stop()
    }

    /// Takes the processor away from a member (SIGSTOP).
    pub fn pause(&mut self, sid: u8) {
        self.process(sid).pause();
        self.member_mut(sid).paused = true;
    }

    /// Gives it back (SIGCONT).
    pub fn resume(&mut self, sid: u8) {
        self.process(sid).resume();
        self.member_mut(sid).paused = false;
    }

    /// A running member's process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn process(&self, sid: u8) -> &ServerProcess {
        let process = self.member(sid).process.as_ref();
        process.unwrap_or_else(|| panic!("member {sid} does not run"))
    }

    /// Waits until a member's process has ended by itself, and gives its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait_until_ended(&mut self, sid: u8, within: Duration) -> Option<i32> {
        let began = Instant::now();
        let mut process = self.take(sid);
        loop {
            if let Some(status) = process.ended() {
                return status.code();
            }
            assert!(began.elapsed() < within, "member {sid} does not end");
            std::thread::sleep(POLL_EVERY);
        }
    }

    /// The line `server.N` of a member in a role, for a reconfig. From then on the member is expected in
    /// that role.
    pub fn line(&mut self, sid: u8, role: Role) -> String {
        self.member_mut(sid).role = role;
        line_of(&self.subnet, sid, role, None, true)
    }

    /// Puts a server of another kind in a stopped member's place, on the same data.
    ///
    /// # Panics
    /// When the member runs.
    pub fn replace(&mut self, sid: u8, flavour: Flavour) {
        let member = self.member_mut(sid);
        assert!(member.process.is_none(), "member {sid} runs");
        member.flavour = flavour;
    }

    /// Takes all data from a stopped member, but for its number.
    ///
    /// # Panics
    /// When the member runs.
    pub fn wipe(&mut self, sid: u8) {
        let member = self.member_mut(sid);
        assert!(member.process.is_none(), "member {sid} runs");
        fs::remove_dir_all(member.settings.data_dir.join("version-2")).expect("the folder is ours");
    }

    /// What a member says of itself, if it serves.
    #[must_use]
    pub fn status(&self, sid: u8) -> Option<Status> {
        let process = self.member(sid).process.as_ref()?;
        Status::parse(&process.ask_within("srvr", ANSWER_WITHIN).ok()?)
    }

    /// What a member answers to `mntr`.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn figures(&self, sid: u8) -> Figures {
        let answer = self.process(sid).ask("mntr");
        Figures::parse(&answer.unwrap_or_else(|error| panic!("mntr of member {sid}: {error}")))
    }

    /// Waits until exactly one of `sids` leads, the others follow or observe it, and the leader counts
    /// them: who was dropped while its link was blocked serves on until it hears of that. Gives the
    /// leader.
    ///
    /// # Panics
    /// When that does not come true.
    pub fn wait_until_serving(&mut self, sids: &[u8], within: Duration) -> u8 {
        let began = Instant::now();
        loop {
            let seen: Vec<_> = sids.iter().map(|sid| (*sid, self.status(*sid))).collect();
            if let Some(leader) = self.leader_among(&seen)
                && self.learners_of(leader) >= sids.len() - 1
            {
                return leader;
            }
            self.assert_running(sids);
            assert!(
                began.elapsed() < within,
                "no ensemble within {within:?}: {seen:?}{}",
                self.last_words(sids)
            );
            std::thread::sleep(POLL_EVERY);
        }
    }

    /// How many members a leader counts that have what it has; none when it does not answer.
    fn learners_of(&self, leader: u8) -> usize {
        let answer = self.process(leader).ask_within("mntr", ANSWER_WITHIN);
        let figures = answer.map(|answer| Figures::parse(&answer));
        let count = |figures: Figures| {
            let keys = ["synced_followers", "synced_observers"];
            let counts = keys.map(|key| figures.text(key)?.parse::<usize>().ok());
            counts.into_iter().flatten().sum()
        };
        figures.map_or(0, count)
    }

    /// Waits until all members serve; gives the leader.
    ///
    /// # Panics
    /// When that does not come true.
    pub fn wait_for_all(&mut self, within: Duration) -> u8 {
        self.wait_until_serving(&self.sids(), within)
    }

    /// Makes a participant of three the leader: it alone has the newest transaction when it has to be
    /// elected. `write` makes one through the member that it is told. All members run before and
    /// afterwards.
    ///
    /// # Panics
    /// When the member does not lead.
    pub fn make_lead(&mut self, sid: u8, within: Duration, write: impl FnOnce(SocketAddr)) {
        if self.wait_for_all(within) == sid {
            return;
        }
        let is_voter = |other: &u8| self.member(*other).role == Role::Participant;
        let voters: Vec<_> = self.others(sid).into_iter().filter(is_voter).collect();
        let [behind, even] = voters[..] else {
            panic!("three members vote, not {}", voters.len() + 1)
        };
        self.kill(behind);
        self.wait_until_serving(&[sid, even], within);
        write(self.address(sid));
        self.kill(even);
        self.spawn(behind);
        assert_eq!(self.wait_until_serving(&[sid, behind], within), sid);
        self.spawn(even);
        assert_eq!(self.wait_for_all(within), sid);
    }

    fn leader_among(&self, seen: &[(u8, Option<Status>)]) -> Option<u8> {
        let mut leader = None;
        for (sid, status) in seen {
            match ((*status)?.mode, self.member(*sid).role) {
                (Mode::Leader, Role::Participant) if leader.is_none() => leader = Some(*sid),
                (Mode::Follower, Role::Participant) | (Mode::Observer, Role::Observer) => {}
                _ => return None,
            }
        }
        leader
    }

    fn assert_running(&mut self, sids: &[u8]) {
        for &sid in sids {
            let member = self.member_mut(sid);
            let ended = member.process.as_mut().map(ServerProcess::ended);
            assert_eq!(
                ended,
                Some(None),
                "member {sid}, a server of {:?}, does not run: {}",
                self.flavour(sid),
                self.last_words(&[sid])
            );
        }
    }

    /// The ends of what members printed.
    #[must_use]
    pub fn last_words(&self, sids: &[u8]) -> String {
        let of = |sid: &u8| {
            let output = self.output(*sid);
            let is_asked = |line: &&str| {
                ["four-letter word", " command from "]
                    .iter()
                    .any(|said| line.contains(said))
            };
            let lines: Vec<_> = output.lines().filter(|line| !is_asked(line)).collect();
            let last = lines
                .get(lines.len().saturating_sub(60)..)
                .unwrap_or_default();
            format!(
                "\n--- member {sid}, {:?}\n{}",
                self.flavour(*sid),
                last.join("\n")
            )
        };
        sids.iter().map(of).collect()
    }

    fn take(&mut self, sid: u8) -> ServerProcess {
        let member = self.member_mut(sid);
        member.paused = false;
        let process = member.process.take();
        process.unwrap_or_else(|| panic!("member {sid} does not run"))
    }

    fn member(&self, sid: u8) -> &Member {
        self.members
            .get(&sid)
            .unwrap_or_else(|| panic!("there is no member {sid}"))
    }

    fn member_mut(&mut self, sid: u8) -> &mut Member {
        self.members
            .get_mut(&sid)
            .unwrap_or_else(|| panic!("there is no member {sid}"))
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "the members' folders stay in {}",
                self.folder.path().display()
            );
            self.folder.disable_cleanup(true);
        }
    }
}

fn server_settings(
    settings: &EnsembleSettings,
    data_dir: &Path,
    role: Role,
    servers: Vec<String>,
) -> ServerSettings {
    let mut server = ServerSettings::new(data_dir);
    for (key, value) in &settings.lines {
        server = server.set(key, value);
    }
    if role == Role::Observer {
        server = server.set("peerType", "observer");
    }
    server.lines.extend(servers);
    server.properties.extend(settings.properties.clone());
    server.java_options = JAVA_OPTIONS.map(String::from).to_vec();
    server
}

/// The lines `server.N` of one member.
fn members_of(settings: &EnsembleSettings, subnet: &Subnet, sids: &[u8], own: u8) -> Vec<String> {
    let is_known = |sid: &u8| *sid == own || settings.joiners.is_none_or(|first| *sid < first);
    let members = sids.iter().zip(&settings.members);
    let known = members.filter(|(sid, _)| is_known(sid));
    let lines = known.map(|(&sid, &(_, role))| {
        let from = (settings.with_links && sid != own).then_some(own);
        line_of(subnet, sid, role, from, settings.reconfigurable)
    });
    lines.collect()
}

/// A member's line, as the member `from` finds it if links can fail.
fn line_of(
    subnet: &Subnet,
    sid: u8,
    role: Role,
    from: Option<u8>,
    with_client_port: bool,
) -> String {
    let at = |port| match from {
        Some(from) => subnet.relay(from, sid, port),
        None => subnet.port(sid, port),
    };
    let (quorum, election) = (at(Port::Quorum), at(Port::Election));
    let role = match role {
        Role::Participant => "participant",
        Role::Observer => "observer",
    };
    let client = match with_client_port {
        true => format!(";{}", subnet.client(sid)),
        false => String::new(),
    };
    format!(
        "server.{sid}={}:{}:{}:{role}{client}",
        quorum.ip(),
        quorum.port(),
        election.port()
    )
}

/// The folder of a member's logs and snapshots.
#[must_use]
pub(crate) fn version_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("version-2")
}
