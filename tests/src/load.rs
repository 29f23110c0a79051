//! Clients that write to an ensemble while it is in trouble, and remember what was acknowledged.
//!
//! Each writer owns the znode `/load/W` and everything below it, so that what it knows can be
//! compared with what members show:
//!
//! | znode | how it is written | what must hold |
//! |---|---|---|
//! | `/load/W` | setData with the version read, a count | the version never falls below the one acknowledged; the writer reads what it wrote |
//! | `/load/W/c-N`, `m-N`, `s-…` | create, multi, sequential create; each name once | an acknowledged one is there, with its data |
//! | the same | delete | an acknowledged delete stays |
//! | `/load/W/e-N` | ephemeral | gone with the session |
//!
//! A request without a reply is in doubt: it may be done, be done later, or never. So a count is
//! written with its version, and no name is used twice: whatever a lost request does later, it
//! cannot undo what was acknowledged.
#![expect(
    clippy::disallowed_methods,
    reason = "writers are threads, and take time"
)]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use zk_proto::{
    Acl, Create, CreateMode, ErrorCode, MultiOp, MultiResult, OpCode, Perms, Request, Response,
    SessionId, Stat,
};

use crate::RawClient;
use crate::tree::Tree;

const ROOT: &str = "/load";
/// Znodes that a writer leaves before it deletes the oldest.
const KEPT_MAX: usize = 60;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// How long a server may take to answer before the writer turns to the next.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a writer tries to close its session.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// What one writer knows.
#[derive(Debug, Default)]
pub struct Ledger {
    writer: usize,
    /// The highest version of the writer's znode that was acknowledged.
    version: i32,
    next_name: u64,
    /// Znodes whose creation was acknowledged, and whose deletion was not asked for.
    present: VecDeque<String>,
    /// Znodes whose deletion was acknowledged.
    deleted: Vec<String>,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Sessions that ended before they were closed.
    pub expired: u64,
    /// Connections that broke.
    pub broken: u64,
    /// The longest time between two acknowledged writes.
    pub longest_gap: Duration,
}

impl Ledger {
    fn root(&self) -> String {
        format!("{ROOT}/{}", self.writer)
    }

    fn name(&mut self, kind: char) -> String {
        self.next_name += 1;
        format!("{}/{kind}-{}", self.root(), self.next_name)
    }

    /// Compares what a member shows with what the writer knows.
    ///
    /// # Panics
    /// When an acknowledged write is lost.
    pub fn check(&self, member: &str, tree: &Tree) {
        let own = tree.get(&self.root());
        let version = own.map(|znode| znode.stat.version);
        assert!(
            version >= Some(self.version),
            "{member}: {} has version {version:?}, acknowledged {}",
            self.root(),
            self.version
        );
        for path in &self.present {
            let data = tree.get(path).map(|znode| znode.data.clone());
            assert_eq!(data, Some(data_of(path)), "{member}: {path}");
        }
        for path in &self.deleted {
            assert!(!tree.contains_key(path), "{member}: {path} was deleted");
        }
        let left = tree.range(format!("{}/e-", self.root())..format!("{}/e.", self.root()));
        assert_eq!(
            left.map(|(path, _)| path).next(),
            None,
            "{member}: the session is closed"
        );
    }

    /// Forgets what needs no second check.
    pub fn settle(&mut self) {
        self.deleted.clear();
        self.expired = 0;
        self.broken = 0;
        self.longest_gap = Duration::ZERO;
    }
}

/// The data of every znode but the writer's own: its name, without a sequential znode's number.
fn data_of(path: &str) -> Option<Bytes> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stays = if name.starts_with("s-") { "s-" } else { name };
    Some(Bytes::from(stays.to_owned()))
}

/// How writers write.
#[derive(Debug, Clone)]
pub struct LoadSettings {
    /// How many writers.
    pub writers: usize,
    /// The session timeout that they ask for.
    pub session_timeout: Duration,
    /// How long a server may take to answer before a writer turns to the next.
    pub patience: Duration,
}

impl Default for LoadSettings {
    fn default() -> Self {
        Self {
            writers: 6,
            session_timeout: Duration::from_secs(20),
            patience: PATIENCE,
        }
    }
}

/// Makes the znodes that writers write below.
///
/// # Errors
/// When the connection fails.
///
/// # Panics
/// When a znode is there already.
pub fn prepare_load(address: SocketAddr, settings: &LoadSettings) -> io::Result<Vec<Ledger>> {
    let mut client = RawClient::connect(address, settings.session_timeout)?;
    client.get(create(ROOT.to_owned(), CreateMode::Persistent))?;
    let mut ledgers = Vec::new();
    for writer in 0..settings.writers {
        let ledger = Ledger {
            writer,
            ..Ledger::default()
        };
        client.get(create(ledger.root(), CreateMode::Persistent))?;
        ledgers.push(ledger);
    }
    client.get(Request::CloseSession)?;
    Ok(ledgers)
}

/// Writers at work.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Ledger>>,
}

impl Load {
    /// Lets the ledgers' writers go on, each at a member of its own first.
    #[must_use]
    pub fn start(addresses: &[SocketAddr], settings: &LoadSettings, ledgers: Vec<Ledger>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let writers = ledgers.into_iter().map(|ledger| {
            let mut addresses = addresses.to_vec();
            let first = ledger.writer % addresses.len();
            addresses.rotate_left(first);
            let writer = Writer {
                addresses,
                settings: settings.clone(),
                stop: Arc::clone(&stop),
                counted: Arc::clone(&acknowledged),
                ledger,
                last_acknowledged: Instant::now(),
            };
            thread::spawn(move || writer.run())
        });
        let writers = writers.collect();
        Self {
            stop,
            acknowledged,
            writers,
        }
    }

    /// Writes acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more writes are acknowledged.
    ///
    /// # Panics
    /// When they are not in time, or a writer saw what must not be.
    pub fn wait_for(&self, more: u64, within: Duration) {
        let (began, before) = (Instant::now(), self.acknowledged());
        while self.acknowledged() < before + more {
            let ended = self.writers.iter().any(JoinHandle::is_finished);
            assert!(!ended, "a writer ended; it said why");
            assert!(
                began.elapsed() < within,
                "{} writes acknowledged in {within:?}, {more} expected",
                self.acknowledged() - before
            );
            thread::sleep(TRY_AGAIN_AFTER);
        }
    }

    /// Lets every writer finish what it began and close its session.
    ///
    /// # Panics
    /// When a writer saw what must not be.
    #[must_use]
    pub fn stop(self) -> Vec<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        let join = |writer: JoinHandle<Ledger>| {
            writer
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        self.writers.into_iter().map(join).collect()
    }
}

struct Writer {
    addresses: Vec<SocketAddr>,
    settings: LoadSettings,
    stop: Arc<AtomicBool>,
    counted: Arc<AtomicU64>,
    ledger: Ledger,
    last_acknowledged: Instant,
}

/// A connection that broke, or a session that moved or is over: try elsewhere.
#[derive(Debug)]
struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Writer {
    fn run(mut self) -> Ledger {
        let mut client: Option<RawClient> = None;
        while !self.stopping() {
            let Some(mut connected) = self.connect(client.as_ref()) else {
                self.addresses.rotate_left(1);
                thread::sleep(TRY_AGAIN_AFTER);
                continue;
            };
            let Err(Broken) = self.write_until_stopped(&mut connected) else {
                client = Some(connected);
                break;
            };
            self.ledger.broken += 1;
            self.addresses.rotate_left(1);
            client = Some(connected);
        }
        if let Some(client) = client {
            self.close(client);
        }
        self.ledger
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Resumes the session at the first address, or opens one.
    fn connect(&mut self, before: Option<&RawClient>) -> Option<RawClient> {
        let address = *self.addresses.first().expect("there are addresses");
        let (timeout, patience) = (self.settings.session_timeout, self.settings.patience);
        let over = |client: &RawClient| client.session().session_id == SessionId(0);
        let before = before.filter(|before| !over(before));
        let connected = RawClient::reconnect(before, address, timeout, patience).ok()?;
        if before.is_some() && over(&connected) {
            self.ledger.expired += 1;
            return RawClient::reconnect(None, address, timeout, patience).ok();
        }
        Some(connected)
    }

    /// The session goes with its ephemerals; a session that is over already is gone.
    fn close(&mut self, mut client: RawClient) {
        let began = Instant::now();
        loop {
            if client.session().session_id == SessionId(0)
                || client.get(Request::CloseSession).is_ok()
            {
                return;
            }
            assert!(began.elapsed() < CLOSE_WITHIN, "a session cannot be closed");
            self.addresses.rotate_left(1);
            thread::sleep(TRY_AGAIN_AFTER);
            if let Some(connected) = self.connect(Some(&client)) {
                client = connected;
            }
        }
    }

    fn write_until_stopped(&mut self, client: &mut RawClient) -> Result<(), Broken> {
        let mut version = self.read_version(client)?;
        while !self.stopping() {
            version = match self.write_some(client, version)? {
                Some(version) => version,
                None => self.read_version(client)?,
            };
        }
        Ok(())
    }

    /// What an earlier request in doubt may have changed.
    fn read_version(&self, client: &mut RawClient) -> Result<i32, Broken> {
        let path = self.ledger.root();
        let stat = |reply: crate::RawReply| match reply.response {
            Some(Response::Data(_, stat)) => Ok(stat.version),
            None => Err(refused(reply.header.err)),
            Some(other) => panic!("getData answered by {other:?}"),
        };
        let sync = Request::Sync { path: path.clone() };
        let read = Request::GetData { path, watch: false };
        client.send(&[sync, read])?;
        let synced = client.receive()?;
        if !synced.header.err.is_ok() {
            return Err(refused(synced.header.err));
        }
        let version = stat(client.receive()?)?;
        assert!(
            version >= self.ledger.version,
            "{} has version {version}, acknowledged {}",
            self.ledger.root(),
            self.ledger.version
        );
        Ok(version)
    }

    /// One window of requests. Gives the version of the writer's own znode, if it is known.
    fn write_some(&mut self, client: &mut RawClient, version: i32) -> Result<Option<i32>, Broken> {
        let plan = self.plan(version);
        let requests: Vec<_> = plan.iter().map(|step| step.request.clone()).collect();
        client.send(&requests)?;
        let mut known = None;
        for step in plan {
            let reply = client.receive()?;
            match reply.response {
                Some(response) => self.was_done(&step, response, &mut known),
                None => was_refused(&step, reply.header.err)?,
            }
        }
        Ok(known)
    }

    fn plan(&mut self, version: i32) -> Vec<Step> {
        let root = self.ledger.root();
        let set = Request::SetData {
            path: root.clone(),
            data: Some(Bytes::from(format!("{}", version + 1))),
            version,
        };
        let plain = self.ledger.name('c');
        let multi = self.ledger.name('m');
        let ephemeral = self.ledger.name('e');
        let acl = vec![
            Acl::open(),
            Acl::new(Perms::READ, zk_proto::Id::new("ip", "127.0.0.1")),
        ];
        let mut plan = vec![
            Step::new(set, Effect::Set(version + 1)),
            Step::new(
                create(plain.clone(), CreateMode::Persistent),
                Effect::Created(plain.clone()),
            ),
            Step::new(
                create(format!("{root}/s-"), CreateMode::PersistentSequential),
                Effect::Numbered,
            ),
            Step::new(create_and_set(&multi), Effect::Created(multi)),
            Step::new(
                Request::SetAcl {
                    path: plain,
                    acl,
                    version: 0,
                },
                Effect::Changed,
            ),
            Step::new(create(ephemeral, CreateMode::Ephemeral), Effect::Changed),
            Step::new(
                Request::GetData {
                    path: root,
                    watch: false,
                },
                Effect::Read,
            ),
        ];
        while self.ledger.present.len() > KEPT_MAX
            && let Some(oldest) = self.ledger.present.pop_front()
        {
            let delete = Request::Delete {
                path: oldest.clone(),
                version: -1,
            };
            plan.push(Step::new(delete, Effect::Deleted(oldest)));
        }
        plan
    }

    fn was_done(&mut self, step: &Step, response: Response, known: &mut Option<i32>) {
        match (&step.effect, response) {
            (Effect::Set(version), Response::Stat(Stat { version: now, .. })) => {
                assert_eq!(now, *version, "setData of {}", self.ledger.root());
                self.ledger.version = now;
                *known = Some(now);
            }
            (Effect::Created(path), Response::PathAndStat(made, _)) => {
                assert_eq!(made, *path);
                self.ledger.present.push_back(made);
            }
            (Effect::Created(path), Response::Multi(results)) => {
                assert!(
                    matches!(
                        results[..],
                        [
                            MultiResult::Create(_) | MultiResult::Create2(..),
                            MultiResult::SetData(_)
                        ]
                    ),
                    "{results:?}"
                );
                self.ledger.present.push_back(path.clone());
            }
            (Effect::Numbered, Response::PathAndStat(made, _)) => {
                self.ledger.present.push_back(made)
            }
            (Effect::Deleted(path), Response::Empty) => self.ledger.deleted.push(path.clone()),
            (Effect::Changed, _) => {}
            (Effect::Read, Response::Data(_, stat)) => {
                if let Some(version) = *known {
                    assert_eq!(
                        stat.version,
                        version,
                        "{} read after written",
                        self.ledger.root()
                    );
                }
                return;
            }
            (effect, response) => panic!("{effect:?} answered by {response:?}"),
        }
        self.ledger.acknowledged += 1;
        self.counted.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let gap = now - std::mem::replace(&mut self.last_acknowledged, now);
        self.ledger.longest_gap = self.ledger.longest_gap.max(gap);
    }
}

fn was_refused(step: &Step, code: ErrorCode) -> Result<(), Broken> {
    match (&step.effect, code) {
        // A request in doubt, of a session before this one, came in between.
        (Effect::Set(_), ErrorCode::BAD_VERSION) => Ok(()),
        _ => Err(refused(code)),
    }
}

/// A refusal that may come of a session that moved or is over.
fn refused(code: ErrorCode) -> Broken {
    let expected = [ErrorCode::SESSION_EXPIRED, ErrorCode::SESSION_MOVED];
    assert!(expected.contains(&code), "the server says {code}");
    Broken
}

/// A request, and what its success means.
#[derive(Debug)]
struct Step {
    request: Request,
    effect: Effect,
}

#[derive(Debug)]
enum Effect {
    /// The writer's own znode has this version.
    Set(i32),
    Created(String),
    /// A sequential znode, whose name the reply tells.
    Numbered,
    Deleted(String),
    /// Something that no check asks for.
    Changed,
    Read,
}

impl Step {
    const fn new(request: Request, effect: Effect) -> Self {
        Self { request, effect }
    }
}

fn creation(path: String, mode: CreateMode) -> Create {
    Create {
        op: OpCode::CREATE2,
        data: data_of(&path),
        path,
        acl: vec![Acl::open()],
        flags: mode.to_flags(),
        ttl_ms: 0,
    }
}

fn create(path: String, mode: CreateMode) -> Request {
    Request::Create(creation(path, mode))
}

fn create_and_set(path: &str) -> Request {
    let set = MultiOp::SetData {
        path: path.to_owned(),
        data: data_of(path),
        version: 0,
    };
    let create = creation(path.to_owned(), CreateMode::Persistent);
    Request::Multi(vec![MultiOp::Create(create), set])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Znode;

    fn tree(znodes: &[(&str, i32)]) -> Tree {
        let znode = |&(path, version): &(&str, i32)| {
            let stat = Stat {
                version,
                ..Stat::default()
            };
            let data = data_of(path);
            let acl = vec![Acl::open()];
            (path.to_owned(), Znode { data, stat, acl })
        };
        znodes.iter().map(znode).collect()
    }

    fn ledger() -> Ledger {
        Ledger {
            writer: 3,
            version: 7,
            present: VecDeque::from([
                String::from("/load/3/c-1"),
                String::from("/load/3/s-0000000002"),
            ]),
            deleted: vec![String::from("/load/3/c-0")],
            ..Ledger::default()
        }
    }

    #[test]
    fn what_was_acknowledged_and_is_there_passes() {
        ledger().check(
            "",
            &tree(&[
                ("/load/3", 7),
                ("/load/3/c-1", 0),
                ("/load/3/s-0000000002", 0),
            ]),
        );
        ledger().check(
            "",
            &tree(&[
                ("/load/3", 8),
                ("/load/3/c-1", 0),
                ("/load/3/s-0000000002", 0),
                ("/load/3/c-9", 0),
            ]),
        );
    }

    #[test]
    #[should_panic(expected = "/load/3/c-1")]
    fn a_lost_create_is_found() {
        ledger().check("", &tree(&[("/load/3", 7), ("/load/3/s-0000000002", 0)]));
    }

    #[test]
    #[should_panic(expected = "acknowledged 7")]
    fn a_lost_set_is_found() {
        ledger().check(
            "",
            &tree(&[
                ("/load/3", 6),
                ("/load/3/c-1", 0),
                ("/load/3/s-0000000002", 0),
            ]),
        );
    }

    #[test]
    #[should_panic(expected = "/load/3/c-0 was deleted")]
    fn a_lost_delete_is_found() {
        ledger().check(
            "",
            &tree(&[
                ("/load/3", 7),
                ("/load/3/c-0", 0),
                ("/load/3/c-1", 0),
                ("/load/3/s-0000000002", 0),
            ]),
        );
    }

    #[test]
    #[should_panic(expected = "the session is closed")]
    fn an_ephemeral_of_a_closed_session_is_found() {
        ledger().check(
            "",
            &tree(&[
                ("/load/3", 7),
                ("/load/3/c-1", 0),
                ("/load/3/e-5", 0),
                ("/load/3/s-0000000002", 0),
            ]),
        );
    }

    #[test]
    #[should_panic(expected = "1 znodes differ")]
    fn a_tree_that_differs_is_found() {
        crate::tree::assert_same_tree(
            "",
            &tree(&[("/a", 1), ("/b", 0)]),
            &tree(&[("/a", 2), ("/b", 1)]),
            &["/b"],
        );
    }
}
