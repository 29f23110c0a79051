//! Random requests of several clients, pipelined over a disk that flushes now and then, against the
//! plainest tree there could be. What must hold:
//!
//! - each write is answered as if all writes ran one after the other in the order of their zxids;
//! - each read is answered from the state after the transaction that its header names, which is none
//!   older than the session's writes before the read;
//! - answers come in the order of the requests, and zxids never go back on a connection;
//! - a one-shot data watch tells the first change after it was set, before any answer shows it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use zk_proto::{
    CreateMode, ErrorCode, EventType, MultiOp, MultiResult, OpCode, Request, Response, SessionId,
    Stat, Zxid,
};

use super::world::{Client, World};
use super::{check_op, create_as, create_mode, delete_op, exists, get_children, get_data, set_op};
use crate::{ConnId, Effect, Input};

const PATHS: [&str; 7] = ["/a", "/b", "/a/a", "/a/b", "/a/a/a", "/b/a", "/b/a/b"];
const CLIENTS: usize = 3;

#[derive(Debug, Clone, Default, PartialEq)]
struct Node {
    data: String,
    version: i32,
    creations: i32,
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    owner: i64,
}

type State = BTreeMap<String, Node>;
type Changes = Vec<(String, EventType)>;

fn index(zxid: i64) -> usize {
    usize::try_from(zxid).unwrap()
}

fn parent_of(path: &str) -> String {
    match path.rfind('/') {
        Some(0) => "/".into(),
        Some(slash) => path[..slash].into(),
        None => panic!("{path}"),
    }
}

fn children(state: &State, path: &str) -> Vec<String> {
    let below = if path == "/" {
        "/".into()
    } else {
        format!("{path}/")
    };
    state
        .keys()
        .filter_map(|key| key.strip_prefix(below.as_str()))
        .filter(|name| !name.is_empty() && !name.contains('/'))
        .map(ToString::to_string)
        .collect()
}

/// One operation on the state, or why not.
fn apply(
    state: &mut State,
    zxid: i64,
    session: SessionId,
    op: &MultiOp,
    changes: &mut Changes,
) -> Result<MultiResult, ErrorCode> {
    let fits = |version, expected| expected == -1 || expected == version;
    match op {
        MultiOp::Create(create) => {
            let mode = create.mode().unwrap();
            let parent_path = parent_of(&create.path);
            let parent = state.get(&parent_path).ok_or(ErrorCode::NO_NODE)?.clone();
            let mut path = create.path.clone();
            if mode.is_sequential() {
                path = format!("{path}{:010}", parent.creations);
            }
            if state.contains_key(&path) {
                return Err(ErrorCode::NODE_EXISTS);
            }
            if parent.owner != 0 {
                return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
            }
            let parent = state.get_mut(&parent_path).unwrap();
            parent.creations += 1;
            parent.pzxid = zxid;
            let owner = if mode.is_ephemeral() { session.0 } else { 0 };
            let node = Node {
                czxid: zxid,
                mzxid: zxid,
                pzxid: zxid,
                owner,
                ..Node::default()
            };
            state.insert(path.clone(), node);
            changes.push((path.clone(), EventType::NodeCreated));
            Ok(MultiResult::Create(path))
        }
        MultiOp::Delete { path, version } => {
            let parent = parent_of(path);
            if !state.contains_key(&parent) {
                return Err(ErrorCode::NO_NODE);
            }
            let node = state.get(path).ok_or(ErrorCode::NO_NODE)?;
            if !fits(node.version, *version) {
                return Err(ErrorCode::BAD_VERSION);
            }
            if !children(state, path).is_empty() {
                return Err(ErrorCode::NOT_EMPTY);
            }
            state.remove(path);
            state.get_mut(&parent).unwrap().pzxid = zxid;
            changes.push((path.clone(), EventType::NodeDeleted));
            Ok(MultiResult::Delete)
        }
        MultiOp::SetData {
            path,
            data,
            version,
        } => {
            let node = state.get_mut(path).ok_or(ErrorCode::NO_NODE)?;
            if !fits(node.version, *version) {
                return Err(ErrorCode::BAD_VERSION);
            }
            node.data = String::from_utf8(data.as_ref().unwrap().to_vec()).unwrap();
            node.version += 1;
            node.mzxid = zxid;
            changes.push((path.clone(), EventType::NodeDataChanged));
            Ok(MultiResult::SetData(Stat::default()))
        }
        MultiOp::Check { path, version } => {
            let node = state.get(path).ok_or(ErrorCode::NO_NODE)?;
            if fits(node.version, *version) {
                Ok(MultiResult::Check)
            } else {
                Err(ErrorCode::BAD_VERSION)
            }
        }
    }
}

#[derive(Debug)]
enum Expected {
    Write(i64, Result<Response, ErrorCode>),
    Read { request: Request, not_before: i64 },
}

/// Steps of a play: who does what, with which path and argument.
#[derive(Debug, Clone)]
pub(super) struct Scene(Vec<(usize, u8, usize, i32)>);

pub(super) fn scene() -> impl Strategy<Value = Scene> {
    let step = (0..CLIENTS, 0..18u8, 0..PATHS.len(), -1..3i32);
    prop::collection::vec(step, 1..150).prop_map(Scene)
}

impl Scene {
    pub(super) fn play(&self) -> Play {
        let mut world = World::new();
        let mut states = vec![State::from([("/".to_string(), Node::default())])];
        let zookeeper = Node::default();
        states[0].insert("/zookeeper".into(), zookeeper);
        let mut changes = vec![Changes::new()];
        let clients: Vec<Client> = (0..CLIENTS).map(|_| world.connect()).collect();
        for _ in 0..CLIENTS {
            states.push(states[0].clone());
            changes.push(Changes::new());
        }
        Play {
            world,
            clients,
            steps: self.0.clone().into_iter(),
            states,
            changes,
            expected: BTreeMap::new(),
            last_write: BTreeMap::new(),
            seen: BTreeMap::new(),
            armed: BTreeMap::new(),
            all: Vec::new(),
        }
    }
}

pub(super) struct Play {
    pub(super) world: World,
    /// Every effect so far but appends.
    pub(super) all: Vec<Effect>,
    clients: Vec<Client>,
    steps: vec::IntoIter<(usize, u8, usize, i32)>,
    /// The state after each transaction, and what it changed.
    states: Vec<State>,
    changes: Vec<Changes>,
    expected: BTreeMap<(ConnId, i32), Expected>,
    last_write: BTreeMap<SessionId, i64>,
    /// The last answer on each connection: its xid and zxid.
    seen: BTreeMap<ConnId, (i32, i64)>,
    /// Watches set, with the zxid that they were set at.
    armed: BTreeMap<(ConnId, String), i64>,
}

impl Play {
    /// Plays one step; `false` after the last, when everything is flushed.
    pub(super) fn step(&mut self) -> bool {
        let Some((who, what, path, argument)) = self.steps.next() else {
            self.world.flush();
            self.check();
            return false;
        };
        let client = self.clients[who].clone();
        let path = PATHS[path];
        let create = |mode| MultiOp::Create(create_as(OpCode::CREATE, path, mode));
        let delete = || MultiOp::Delete {
            path: path.into(),
            version: argument,
        };
        match what {
            0..=3 => self.write(&client, create(CreateMode::Persistent)),
            4 => self.write(&client, create(CreateMode::Ephemeral)),
            5 => self.write(&client, create(CreateMode::EphemeralSequential)),
            6 | 7 => self.write(&client, delete()),
            8 | 9 => self.write(&client, set_op(path, argument)),
            10 => {
                let other = PATHS[(path.len() + who) % PATHS.len()];
                let ops = vec![
                    create(CreateMode::PersistentSequential),
                    set_op(other, argument),
                    check_op(path, argument),
                    delete_op(other),
                ];
                self.multi(&client, ops);
            }
            11 => self.read(&client, get_data(path, true)),
            12 => self.read(&client, exists(path, true)),
            13 => self.read(&client, get_children(path, false)),
            14 => {
                let last = self.world.log.last().unwrap().header.zxid;
                let first = self.world.server.last_zxid();
                let zxid = Zxid(i64::midpoint(first.0, last.0));
                self.world.handle(Input::Flushed { zxid });
            }
            15 => self.world.flush(),
            16 => {
                self.clients[who] = self.world.reconnect(&client);
            }
            _ if argument == 0 => self.close(who),
            _ => self.world.tick(50),
        }
        self.check();
        true
    }

    fn begin(&mut self, client: &Client) -> (State, i64) {
        let zxid = self.states.len() as i64;
        self.last_write.insert(client.session, zxid);
        (self.states.last().unwrap().clone(), zxid)
    }

    fn write(&mut self, client: &Client, op: MultiOp) {
        let (mut state, zxid) = self.begin(client);
        let mut changes = Changes::new();
        let result = apply(&mut state, zxid, client.session, &op, &mut changes);
        self.states.push(state);
        self.changes.push(changes);
        let result = result.map(|result| match result {
            MultiResult::Create(path) => Response::Path(path),
            MultiResult::SetData(_) => Response::Stat(Stat::default()),
            _ => Response::Empty,
        });
        let request = match op {
            MultiOp::Create(create) => create_mode(&create.path, create.mode().unwrap()),
            MultiOp::Delete { path, version } => Request::Delete { path, version },
            MultiOp::SetData {
                path,
                data,
                version,
            } => Request::SetData {
                path,
                data,
                version,
            },
            MultiOp::Check { .. } => panic!("check is part of a multi"),
        };
        self.send(client, request, Expected::Write(zxid, result));
    }

    fn multi(&mut self, client: &Client, ops: Vec<MultiOp>) {
        let (before, zxid) = self.begin(client);
        let (mut state, mut changes) = (before.clone(), Changes::new());
        let mut results = Vec::new();
        for op in &ops {
            match apply(&mut state, zxid, client.session, op, &mut changes) {
                Ok(result) => results.push(result),
                Err(code) => {
                    let done = results.len();
                    let error = MultiResult::Error;
                    results = vec![error(ErrorCode::OK); done];
                    results.push(error(code));
                    results.resize(ops.len(), error(ErrorCode::RUNTIME_INCONSISTENCY));
                    (state, changes) = (before, Changes::new());
                    break;
                }
            }
        }
        self.states.push(state);
        self.changes.push(changes);
        let expected = Expected::Write(zxid, Ok(Response::Multi(results)));
        self.send(client, Request::Multi(ops), expected);
    }

    fn read(&mut self, client: &Client, request: Request) {
        let not_before = self.last_write.get(&client.session).copied().unwrap_or(0);
        let expected = Expected::Read {
            request: request.clone(),
            not_before,
        };
        self.send(client, request, expected);
    }

    fn send(&mut self, client: &Client, request: Request, expected: Expected) {
        // The answer may come at once, before its number is known here: effects are looked at later.
        let xid = self.world.send(client, request);
        self.expected.insert((client.conn, xid.0), expected);
    }

    /// Closes a session and opens another, which takes its place.
    fn close(&mut self, who: usize) {
        let client = self.clients[who].clone();
        let (mut state, zxid) = self.begin(&client);
        let owned: Vec<String> = state
            .iter()
            .filter(|(_, node)| node.owner == client.session.0)
            .map(|(path, _)| path.clone())
            .collect();
        let mut changes = Changes::new();
        for path in owned {
            apply(
                &mut state,
                zxid,
                client.session,
                &delete_op(&path),
                &mut changes,
            )
            .unwrap();
        }
        self.states.push(state);
        self.changes.push(changes);
        let expected = Expected::Write(zxid, Ok(Response::Empty));
        self.send(&client, Request::CloseSession, expected);
        self.world.flush();
        self.check();
        let (state, _) = self.begin(&client);
        self.states.push(state);
        self.changes.push(Changes::new());
        self.clients[who] = self.world.connect();
    }

    fn check(&mut self) {
        for effect in self.world.take() {
            match &effect {
                Effect::Reply {
                    conn,
                    header,
                    response,
                } => {
                    let (xid, zxid) = (header.xid.0, header.zxid.0);
                    let (last_xid, last_zxid) = self.seen.get(conn).copied().unwrap_or((0, 0));
                    assert!(last_xid < xid && last_zxid <= zxid, "order of {effect:?}");
                    self.seen.insert(*conn, (xid, zxid));
                    let result = if header.err.is_ok() {
                        Ok(response)
                    } else {
                        Err(header.err)
                    };
                    self.check_reply(*conn, xid, zxid, result);
                    self.check_no_event_is_late(*conn, zxid);
                }
                Effect::Notify { conns, zxid, event } => {
                    assert!(!conns.is_empty());
                    for conn in conns {
                        self.check_event(*conn, zxid.0, &event.path, event.event);
                    }
                }
                Effect::Close { conn, .. } => self.armed.retain(|(armed, _), _| armed != conn),
                Effect::Accept { .. }
                | Effect::Append { .. }
                | Effect::Snapshot(_)
                | Effect::QuotaExceeded(_)
                | Effect::Quorum(_)
                | Effect::Halt(_) => {}
            }
            self.all.push(effect);
        }
    }

    fn check_reply(
        &mut self,
        conn: ConnId,
        xid: i32,
        zxid: i64,
        result: Result<&Response, ErrorCode>,
    ) {
        match self.expected.remove(&(conn, xid)).unwrap() {
            Expected::Write(at, expected) => {
                assert_eq!(at, zxid);
                match (result, &expected) {
                    (Ok(Response::Stat(_)), Ok(Response::Stat(_))) => {}
                    (Ok(Response::Multi(found)), Ok(Response::Multi(expected))) => {
                        let kinds = |results: &[MultiResult]| -> Vec<String> {
                            let kind = |result: &MultiResult| match result {
                                MultiResult::SetData(_) => "set".into(),
                                other => format!("{other:?}"),
                            };
                            results.iter().map(kind).collect()
                        };
                        assert_eq!(kinds(found), kinds(expected));
                    }
                    (found, expected) => assert_eq!(found, expected.as_ref().map_err(|&e| e)),
                }
            }
            Expected::Read {
                request,
                not_before,
            } => {
                assert!(
                    zxid >= not_before,
                    "{request:?} at {zxid}, after {not_before}"
                );
                let state = &self.states[index(zxid)];
                check_read(state, &request, result);
                if let Request::GetData { path, watch: true }
                | Request::Exists { path, watch: true } = &request
                    && (result.is_ok() || matches!(request, Request::Exists { .. }))
                {
                    self.armed.entry((conn, path.clone())).or_insert(zxid);
                }
            }
        }
    }

    fn first_change(&self, path: &str, after: i64) -> Option<(i64, EventType)> {
        let changes = self.changes.iter().enumerate().skip(index(after) + 1);
        changes
            .flat_map(|(zxid, changes)| changes.iter().map(move |change| (zxid as i64, change)))
            .find(|(_, change)| change.0 == path)
            .map(|(zxid, change)| (zxid, change.1))
    }

    fn check_event(&mut self, conn: ConnId, zxid: i64, path: &str, event: EventType) {
        let seen = self.seen.get(&conn).map_or(0, |seen| seen.1);
        assert!(seen < zxid, "{path} of {zxid} is told after {seen}");
        let armed = self.armed.remove(&(conn, path.to_string()));
        let armed = armed.expect("only what is watched is told");
        assert_eq!(self.first_change(path, armed), Some((zxid, event)));
    }

    fn check_no_event_is_late(&self, conn: ConnId, zxid: i64) {
        for ((_, path), &armed) in self.armed.iter().filter(|((armed, _), _)| *armed == conn) {
            let change = self.first_change(path, armed);
            assert!(
                change.is_none_or(|(at, _)| at > zxid),
                "{path} watched at {armed}, {change:?} not told at {zxid}"
            );
        }
    }
}

fn check_read(state: &State, request: &Request, result: Result<&Response, ErrorCode>) {
    let (Request::GetData { path, .. }
    | Request::Exists { path, .. }
    | Request::GetChildren { path, .. }) = request
    else {
        panic!("{request:?}");
    };
    let Some(node) = state.get(path) else {
        assert_eq!(result, Err(ErrorCode::NO_NODE), "{request:?}");
        return;
    };
    let names = children(state, path);
    match result {
        Ok(Response::Children(found)) => {
            let mut found: Vec<String> = found.iter().map(ToString::to_string).collect();
            found.sort_unstable();
            assert_eq!(found, names);
        }
        Ok(Response::Stat(stat)) => check_stat(node, names.len(), stat),
        Ok(Response::Data(data, stat)) => {
            assert_eq!(data.as_deref(), Some(node.data.as_bytes()));
            check_stat(node, names.len(), stat);
        }
        other => panic!("{request:?} gave {other:?}"),
    }
}

fn check_stat(node: &Node, children: usize, stat: &Stat) {
    let children = i32::try_from(children).unwrap();
    assert_eq!(
        (stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.version),
        (node.czxid, node.mzxid, node.pzxid, node.version)
    );
    assert_eq!(
        (stat.num_children, stat.cversion, stat.ephemeral_owner),
        (children, 2 * node.creations - children, node.owner)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn requests_behave_as_on_the_plainest_tree(scene in scene()) {
        let mut play = scene.play();
        while play.step() {}
        prop_assert!(play.expected.len() <= unanswered(&play));
        prop_assert!(play.world.server.is_idle());
        let recovered = play.world.recover();
        prop_assert_eq!(recovered.digest_mismatches, 0);
        prop_assert_eq!(recovered.tree.digest(), play.world.server.tree().digest());
    }
}

/// Requests of connections that were left before the answer came.
fn unanswered(play: &Play) -> usize {
    let is_left = |conn: &ConnId| play.clients.iter().all(|client| client.conn != *conn);
    play.expected
        .keys()
        .filter(|(conn, _)| is_left(conn))
        .count()
}
