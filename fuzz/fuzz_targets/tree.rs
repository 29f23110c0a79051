//! Requests of several clients, over a disk that flushes now and then, against a map by path. Each write is
//! answered as if all ran one after the other; each read from the state after the transaction that its answer
//! names, which is none older than its session's writes; and what is logged makes the same tree again.
//!
//! ```text
//! input = byte options, step*
//! step  = byte client and operation, byte path, byte kind or second path, byte version
//! ```
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use zk_core::tree::{Replay, TreeOptions};
use zk_core::{ConnId, Core, CoreConfig, Effect, Incoming, Input, Now};
use zk_fuzz::{Choices, Image, Model};
use zk_proto::{
    Acl, ConnectRequest, Create, MultiOp, OpCode, Reader, Record, Request, RequestHeader, Response,
    SessionId, TxnRecord, Xid, Zxid,
};

const CLIENTS: usize = 3;
const STEPS_MAX: usize = 96;
/// Paths that stand for themselves, behind those that are made of names.
const PATHS: [&str; 6] = [
    "/",
    "/zookeeper",
    "/zookeeper/quota",
    "/a/.",
    "a",
    "/a/\u{e9}",
];
const NAMES: [&str; 3] = ["a", "b", "ab"];

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let mut play = Play::new(choices.byte());
    for _ in 0..STEPS_MAX {
        if choices.is_empty() {
            break;
        }
        play.step(&mut choices);
    }
    play.finish();
});

enum Expected {
    Write(Zxid, Result<Response, zk_proto::ErrorCode>),
    Read { request: Request, not_before: Zxid },
}

struct Play {
    core: Core,
    options: TreeOptions,
    now: Now,
    clients: [(ConnId, SessionId); CLIENTS],
    conns: u64,
    xid: i32,
    log: Vec<TxnRecord>,
    /// The tree after each transaction.
    states: Vec<Model>,
    expected: BTreeMap<(ConnId, Xid), Expected>,
    last_write: BTreeMap<SessionId, Zxid>,
    accepted: Option<SessionId>,
}

impl Play {
    fn new(options: u8) -> Self {
        let extended_types = options & 1 == 1;
        let config = CoreConfig {
            extended_types,
            digest: options & 2 == 0,
            close_session_paths: options & 4 == 0,
            ..CoreConfig::default()
        };
        let options = TreeOptions {
            extended_types,
            hash_seed: 3,
        };
        let now = Now {
            monotonic: Duration::from_secs(9),
            wall_ms: 1_700_000_000_000,
        };
        let mut play = Self {
            core: Core::standalone(config, Replay::empty(options).finish(), now),
            options,
            now,
            clients: [(ConnId(0), SessionId(0)); CLIENTS],
            conns: 0,
            xid: 0,
            log: Vec::new(),
            states: vec![Model::new(extended_types)],
            expected: BTreeMap::new(),
            last_write: BTreeMap::new(),
            accepted: None,
        };
        for client in 0..CLIENTS {
            play.connect(client);
        }
        play
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        self.now.wall_ms += 1;
        let what = choices.byte();
        let (client, what) = (usize::from(what) % CLIENTS, usize::from(what) / CLIENTS);
        let (first, second, version) = (choices.byte(), choices.byte(), choices.byte());
        let path = path(first);
        let version = i32::from(version % 8) - 1;
        let data = data(second);
        match what {
            0..=19 => self.write(client, Request::Create(create(path, second, data))),
            20..=27 => self.write(client, Request::Delete { path, version }),
            28..=35 => self.write(
                client,
                Request::SetData {
                    path,
                    data,
                    version,
                },
            ),
            36..=38 => {
                let acl = vec![Acl::open()];
                self.write(client, Request::SetAcl { path, acl, version });
            }
            39..=50 => {
                let length = usize::from(second % 6);
                let ops = (0..length).map(|_| op(choices)).collect();
                self.write(client, Request::Multi(ops));
            }
            51..=54 => self.read(client, Request::Exists { path, watch: false }),
            55..=58 => self.read(
                client,
                Request::GetData {
                    path,
                    watch: second % 2 == 0,
                },
            ),
            59..=60 => self.read(client, Request::GetChildren { path, watch: false }),
            61..=64 => self.read(
                client,
                Request::GetChildren2 {
                    path,
                    watch: second % 2 == 0,
                },
            ),
            65..=66 => self.read(client, Request::GetAllChildrenNumber { path }),
            67..=68 => self.read(client, Request::GetEphemerals { prefix: path }),
            69..=70 => {
                self.write(client, Request::CloseSession);
                self.connect(client);
            }
            71..=76 => {
                let (flushed, made) = (self.core.last_zxid().0, self.states.len() as i64 - 1);
                self.handle(Input::Flushed {
                    zxid: Zxid(i64::midpoint(flushed, made)),
                });
            }
            _ => self.flush(),
        }
    }

    /// Opens another session in the client's place.
    fn connect(&mut self, client: usize) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session_id: SessionId(0),
            password: Bytes::new(),
            read_only: Some(false),
        };
        self.states.push(self.states.last().unwrap().clone());
        let peer = [127, 0, 0, 1].into();
        self.handle(Input::Connect {
            conn,
            peer,
            request,
        });
        self.flush();
        let session = self.accepted.take().expect("the session is open");
        self.clients[client] = (conn, session);
    }

    fn write(&mut self, client: usize, request: Request) {
        let (_, session) = self.clients[client];
        let zxid = Zxid(self.states.len() as i64);
        let mut state = self.states.last().unwrap().clone();
        let result = state.write(zxid, self.now.wall_ms, session, &request);
        self.states.push(state);
        self.last_write.insert(session, zxid);
        self.send(client, request, Expected::Write(zxid, result));
    }

    fn read(&mut self, client: usize, request: Request) {
        let (_, session) = self.clients[client];
        let not_before = self.last_write.get(&session).copied().unwrap_or(Zxid::ZERO);
        self.send(
            client,
            request.clone(),
            Expected::Read {
                request,
                not_before,
            },
        );
    }

    fn send(&mut self, client: usize, request: Request, expected: Expected) {
        self.xid += 1;
        let (conn, xid) = (self.clients[client].0, Xid(self.xid));
        self.expected.insert((conn, xid), expected);
        let header = RequestHeader {
            xid,
            op: request.op(),
        };
        let requests = vec![Incoming {
            header,
            request: Ok(request),
        }];
        self.handle(Input::Requests { conn, requests });
    }

    fn flush(&mut self) {
        let zxid = Zxid(self.states.len() as i64 - 1);
        self.handle(Input::Flushed { zxid });
    }

    fn handle(&mut self, input: Input) {
        self.core.handle(self.now, input);
        let effects: Vec<Effect> = self.core.drain_effects().collect();
        for effect in effects {
            match effect {
                Effect::Append { zxid, record } => {
                    let record = TxnRecord::decode(&mut Reader::new(&record)).unwrap();
                    assert_eq!(
                        (record.header.zxid, zxid.0),
                        (zxid, self.log.len() as i64 + 1)
                    );
                    self.log.push(record);
                }
                Effect::Accept { response, .. } => self.accepted = Some(response.session_id),
                Effect::Reply {
                    conn,
                    header,
                    response,
                } => {
                    let result = if header.err.is_ok() {
                        Ok(response)
                    } else {
                        Err(header.err)
                    };
                    let expected = self.expected.remove(&(conn, header.xid)).unwrap();
                    self.check(conn, header.zxid, result.map(sorted), expected);
                }
                Effect::Notify { .. }
                | Effect::Close { .. }
                | Effect::Snapshot(_)
                | Effect::QuotaExceeded(_) => {}
                Effect::Quorum(_) | Effect::Halt(_) => panic!("{effect:?} of a server alone"),
            }
        }
    }

    fn check(
        &self,
        conn: ConnId,
        zxid: Zxid,
        result: Result<Response, zk_proto::ErrorCode>,
        expected: Expected,
    ) {
        match expected {
            Expected::Write(at, expected) => assert_eq!((zxid, result), (at, expected)),
            Expected::Read {
                request,
                not_before,
            } => {
                assert!(
                    zxid >= not_before,
                    "{request:?} at {zxid}, after {not_before}"
                );
                let client = self.clients.iter().find(|client| client.0 == conn).unwrap();
                let state = &self.states[usize::try_from(zxid.0).unwrap()];
                assert_eq!(
                    result,
                    state.read(client.1, &request).map(sorted),
                    "{request:?}"
                );
            }
        }
    }

    fn finish(mut self) {
        self.flush();
        assert!(self.expected.is_empty());
        let mut replay = Replay::empty(self.options);
        for record in &self.log {
            replay.replay(record).unwrap();
        }
        let recovered = replay.finish();
        assert_eq!(recovered.digest_mismatches, 0);
        assert_eq!(recovered.tree.digest(), self.core.tree().digest());
        assert_eq!(recovered.last_zxid.0, self.states.len() as i64 - 1);
        self.states
            .last()
            .unwrap()
            .assert_is(&Image::of(&recovered));
    }
}

fn path(choice: u8) -> String {
    let mut choice = usize::from(choice);
    if let Some(path) = choice
        .checked_sub(256 - PATHS.len())
        .and_then(|at| PATHS.get(at))
    {
        return (*path).to_owned();
    }
    let mut path = String::new();
    for _ in 0..=choice % 4 {
        choice /= if path.is_empty() { 4 } else { NAMES.len() };
        path.push('/');
        path.push_str(NAMES[choice % NAMES.len()]);
    }
    path
}

fn data(choice: u8) -> Option<Bytes> {
    (choice != 0).then(|| Bytes::from(vec![choice; usize::from(choice % 9)]))
}

fn create(path: String, kind: u8, data: Option<Bytes>) -> Create {
    let ops = [
        OpCode::CREATE,
        OpCode::CREATE2,
        OpCode::CREATE_CONTAINER,
        OpCode::CREATE_TTL,
    ];
    let op = ops[usize::from(kind % 4)];
    let ttl_ms = if op == OpCode::CREATE_TTL {
        i64::from(kind) - 20
    } else {
        0
    };
    Create {
        op,
        path,
        data,
        acl: vec![Acl::open()],
        flags: i32::from(kind / 4 % 8),
        ttl_ms,
    }
}

fn op(choices: &mut Choices<'_>) -> MultiOp {
    let (what, first, second) = (choices.byte(), choices.byte(), choices.byte());
    let (path, data) = (path(first), data(second));
    let version = i32::from(what / 8 % 8) - 1;
    match what % 8 {
        0..=3 => MultiOp::Create(create(path, second, data)),
        4 => MultiOp::Delete { path, version },
        5 | 6 => MultiOp::SetData {
            path,
            data,
            version,
        },
        _ => MultiOp::Check { path, version },
    }
}

fn sorted(mut response: Response) -> Response {
    match &mut response {
        Response::Children(names) | Response::ChildrenAndStat(names, _) => names.sort_unstable(),
        Response::Ephemerals(paths) => paths.sort_unstable(),
        _ => {}
    }
    response
}
