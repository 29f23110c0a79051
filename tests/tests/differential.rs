//! Random requests, the same to our server and to Apache's: every reply, Stat, zxid, error and
//! event must be the same. Times and session ids are not compared, nor the order of events that
//! follow each other without a reply between (a closed session's ephemeral nodes have none).
//!
//! What 3.8.0 and 3.9.5 do differently is left out by the generator, and stated there.
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::indexing_slicing, reason = "a test")]

use std::net::SocketAddr;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use zk_proto::{
    Acl, AddWatch, Auth, ConnectRequest, ConnectResponse, Create, Id, MultiOp, OpCode, Perms,
    ReadOp, Request, SessionId, SetWatches, WatcherType, Zxid,
};
use zk_tests::{Flavour, Needs, Received, ServerProcess, ServerSettings, Sessions, Wire};

const SEEDS: [u64; 3] = [1, 20_260_101, 0xdead_beef];
const STEPS: usize = 1_000;
const SESSIONS: usize = 3;
/// `alice:secret`.
const ALICE: &str = "alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E=";

#[test]
fn random_requests_are_answered_alike() {
    if Needs::apache("random_requests_are_answered_alike").is_none() {
        return;
    }
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = |flavour, folder: &tempfile::TempDir| {
        let mut settings = ServerSettings::new(folder.path());
        let interval = ("znode.container.checkIntervalMs".into(), "100000000".into());
        settings.properties.push(interval);
        ServerProcess::start(flavour, &settings)
    };
    let ours = start(Flavour::Ours, &folders[0]);
    let apache = start(Flavour::Apache, &folders[1]);
    for seed in SEEDS {
        let steps = steps(seed);
        let requests: usize = steps.iter().map(|step| step.requests.len()).sum();
        println!("seed {seed}: {requests} requests");
        assert!(requests > 2_000);
        let [ours, apache] = [&ours, &apache].map(|server| run(server.address(), &steps));
        for (at, (ours, apache)) in ours.iter().zip(&apache).enumerate() {
            assert_eq!(ours, apache, "seed {seed}, step {at}: {:#?}", steps.get(at));
        }
        assert_eq!(ours.len(), apache.len());
    }
}

/// What one session does at once.
#[derive(Debug)]
struct Step {
    session: usize,
    requests: Vec<Request>,
    then: Then,
}

/// What becomes of the connection after the replies.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    Stay,
    Resume,
    CloseSession,
}

/// Runs the steps with fresh sessions; what each of them saw.
fn run(address: SocketAddr, steps: &[Step]) -> Vec<Vec<String>> {
    let mut names = Sessions::default();
    let mut xid = 1;
    let fresh = [0; 16];
    let open = |names: &mut Sessions, session, password: &[u8]| -> (Wire, ConnectResponse) {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            timeout_ms: 40_000,
            session_id: session,
            password: Bytes::copy_from_slice(password),
            read_only: Some(false),
        };
        match Wire::connect(address, &request).unwrap() {
            (wire, Received::Session(session)) => {
                names.learn(session.session_id);
                (wire, session)
            }
            (_, answer) => panic!("{answer:?}"),
        }
    };
    let mut sessions: Vec<_> = (0..SESSIONS)
        .map(|_| open(&mut names, SessionId(0), &fresh))
        .collect();
    let mut seen = Vec::new();
    for step in steps {
        let (wire, session) = &mut sessions[step.session];
        wire.ask(xid, &step.requests).unwrap();
        let last = xid + i32::try_from(step.requests.len()).unwrap() - 1;
        xid = last + 1;
        let mut lines = Vec::new();
        let mut events = Vec::new();
        loop {
            let received = wire.receive();
            match &received {
                // The header's zxid of an event differs: −1 before 3.9.
                Received::Event(_, event) => {
                    events.push(format!("{:?} {}", event.event, event.path))
                }
                Received::Reply(asked, ..) => {
                    events.sort();
                    lines.append(&mut events);
                    lines.push(names.describe(&received));
                    if asked.xid.0 == last {
                        break;
                    }
                }
                _ => panic!("{step:?}: {received:?} after {lines:#?}"),
            }
        }
        match step.then {
            Then::Stay => {}
            Then::Resume => {
                let (id, password) = (session.session_id, session.password.clone());
                sessions[step.session] = open(&mut names, id, &password);
            }
            Then::CloseSession => {
                wire.ask(xid, &[Request::CloseSession]).unwrap();
                xid += 1;
                while wire.receive() != Received::Closed {}
                sessions[step.session] = open(&mut names, SessionId(0), &fresh);
            }
        }
        seen.push(lines);
    }
    for (mut wire, _) in sessions {
        wire.ask(xid, &[Request::CloseSession]).unwrap();
        while wire.receive() != Received::Closed {}
    }
    seen
}

/// The steps of a seed: nodes below five roots, then random requests.
fn steps(seed: u64) -> Vec<Step> {
    let mut random = Random {
        rng: StdRng::seed_from_u64(seed),
        root: format!("/{seed}"),
    };
    let mut steps = vec![Step {
        session: 0,
        requests: random.beginning(),
        then: Then::Stay,
    }];
    for _ in 0..STEPS {
        let count = *random.one(&[1, 1, 1, 2, 3, 8]);
        let requests = (0..count).map(|_| random.request()).collect();
        steps.push(Step {
            session: random.rng.random_range(0..SESSIONS),
            requests,
            then: match random.rng.random_range(0..60) {
                0 => Then::Resume,
                1 => Then::CloseSession,
                _ => Then::Stay,
            },
        });
    }
    steps
}

/// A source of requests.
struct Random {
    rng: StdRng,
    root: String,
}

impl Random {
    /// One-shot watches are left below `o`, persistent ones below `p`, recursive ones below `r`: of
    /// those on one node 3.8.0 remembers the last alone (ZOOKEEPER-4466). Nodes that cannot be read are
    /// below `s`, and are not asked for by exists: 3.8.0 needs no permission there. `q` has quotas, which are
    /// not enforced: Apache's server asks what it has applied, so that pipelined writes race.
    /// There is no checkWatches: that of 3.8.0 also finds watches of other sessions; and its
    /// getAllChildrenNumber counts one more for the empty path than for the root that it means.
    const AREAS: [&'static str; 5] = ["o", "p", "r", "s", "q"];

    fn beginning(&self) -> Vec<Request> {
        let root = &self.root;
        let quota = format!("/zookeeper/quota{root}/q");
        let limits = "count=9,bytes=90=;byteHardLimit=90;countHardLimit=9";
        let mut requests = vec![
            Request::Auth(Auth {
                kind: 0,
                scheme: String::from("digest"),
                auth: Bytes::from_static(b"alice:secret"),
            }),
            create(root, ""),
            create(&format!("/zookeeper/quota{root}"), ""),
            create(&quota, ""),
            create(&format!("{quota}/zookeeper_limits"), limits),
            create(&format!("{quota}/zookeeper_stats"), "count=0,bytes=0"),
        ];
        let areas = Self::AREAS.iter();
        requests.extend(areas.map(|area| create(&format!("{root}/{area}"), "")));
        requests
    }

    fn one<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        values.choose(&mut self.rng).unwrap()
    }

    fn path_in(&mut self, areas: &[&str]) -> String {
        let area = *self.one(areas);
        let mut path = format!("{}/{area}", self.root);
        let depth = *self.one(&[0, 1, 1, 1, 2, 2, 3]);
        for _ in 0..depth {
            path.push('/');
            path.push(*self.one(&['a', 'b', 'c']));
        }
        path
    }

    fn path(&mut self) -> String {
        self.path_in(&Self::AREAS)
    }

    /// A path, rarely one that is none.
    fn any_path(&mut self) -> String {
        let path = self.path();
        match self.rng.random_range(0..40) {
            0 => format!("{path}/"),
            1 => format!("{path}//a"),
            2 => format!("{path}/.."),
            3 => format!("{path}/\u{1}"),
            4 => path[1..].to_owned(),
            5 => String::new(),
            _ => path,
        }
    }

    fn data(&mut self) -> Option<Bytes> {
        match self.rng.random_range(0..6) {
            0 => None,
            1 => Some(Bytes::new()),
            _ => Some(vec![b'd'; self.rng.random_range(1..40)].into()),
        }
    }

    fn version(&mut self) -> i32 {
        *self.one(&[-1, -1, -1, -1, 0, 1, 2, 7])
    }

    fn acl(&mut self, path: &str) -> Vec<Acl> {
        let world = |perms: i32| Acl::new(Perms(perms), Id::anyone());
        let alice = Acl::new(Perms::ALL, Id::new("digest", ALICE));
        let unreadable = path.starts_with(&format!("{}/s", self.root));
        match self.rng.random_range(0..30) {
            0 => vec![world(1), alice],
            1 => vec![world(7), world(7), alice],
            2 => vec![Acl::new(Perms::ALL, Id::new("auth", "")), world(1)],
            3 => vec![Acl::new(Perms::ALL, Id::new("ip", "127.0.0.0/8"))],
            4 => vec![],
            5 => vec![Acl::new(Perms::ALL, Id::new("nosuch", "x"))],
            6 => vec![Acl::new(Perms::READ, Id::new("digest", "nocolon"))],
            7..14 if unreadable => vec![alice],
            14..18 if unreadable => vec![world(30)],
            _ => vec![Acl::open()],
        }
    }

    fn create(&mut self, in_multi: bool) -> Create {
        let path = self.any_path();
        let acl = self.acl(&path);
        // 3.8.0 takes a create2 in a multi for a create.
        let plain = if in_multi {
            OpCode::CREATE
        } else {
            OpCode::CREATE2
        };
        let (op, flags, ttl_ms) = match self.rng.random_range(0..24) {
            0..8 => (OpCode::CREATE, 0, 0),
            8..12 => (plain, 0, 0),
            12..14 => (OpCode::CREATE, 1, 0),
            14..16 => (OpCode::CREATE, 2, 0),
            16 => (plain, 3, 0),
            17..19 => (OpCode::CREATE_CONTAINER, 4, 0),
            19 => (OpCode::CREATE_TTL, 5, 1_000_000),
            20 => (OpCode::CREATE_TTL, 6, 1_000_000),
            21 => (OpCode::CREATE_TTL, 5, 0),
            22 => (OpCode::CREATE, 7, 0),
            _ => (OpCode::CREATE, 3, 0),
        };
        let data = self.data();
        Create {
            op,
            path,
            data,
            acl,
            flags,
            ttl_ms,
        }
    }

    fn multi_op(&mut self) -> MultiOp {
        match self.rng.random_range(0..10) {
            0..4 => MultiOp::Create(self.create(true)),
            4..6 => MultiOp::Delete {
                path: self.path(),
                version: self.version(),
            },
            6..9 => MultiOp::SetData {
                path: self.path(),
                data: self.data(),
                version: self.version(),
            },
            _ => MultiOp::Check {
                path: self.path(),
                version: self.version(),
            },
        }
    }

    fn read_op(&mut self) -> ReadOp {
        let (path, watch) = (self.path(), false);
        if self.rng.random() {
            ReadOp::GetData { path, watch }
        } else {
            ReadOp::GetChildren { path, watch }
        }
    }

    fn watched(&mut self) -> (String, bool) {
        if self.rng.random() {
            (self.path_in(&["o"]), true)
        } else {
            (self.any_path(), false)
        }
    }

    fn set_watches(&mut self) -> SetWatches {
        let mut paths = |area: &str| -> Vec<_> {
            let count = self.rng.random_range(0..3);
            (0..count).map(|_| self.path_in(&[area])).collect()
        };
        let (data, exist, child) = (paths("o"), paths("o"), paths("o"));
        let persistent = (paths("p"), paths("r"));
        SetWatches {
            relative_zxid: Zxid(*self.one(&[0, 1 << 40])),
            data,
            exist,
            child,
            persistent: self.rng.random::<bool>().then_some(persistent),
        }
    }

    fn request(&mut self) -> Request {
        match self.rng.random_range(0..100) {
            0..24 => Request::Create(self.create(false)),
            24..32 => Request::Delete {
                path: self.any_path(),
                version: self.version(),
            },
            32..42 => Request::SetData {
                path: self.path(),
                data: self.data(),
                version: self.version(),
            },
            42..50 => {
                let (path, watch) = self.watched();
                Request::GetData { path, watch }
            }
            50..55 => Request::Exists {
                path: self.path_in(&["o", "p"]),
                watch: false,
            },
            55..58 => Request::Exists {
                path: self.path_in(&["o"]),
                watch: true,
            },
            58..62 => {
                let (path, watch) = self.watched();
                Request::GetChildren { path, watch }
            }
            62..66 => {
                let (path, watch) = self.watched();
                Request::GetChildren2 { path, watch }
            }
            66..68 => Request::GetAcl {
                path: self.any_path(),
            },
            68..72 => {
                let path = self.path();
                let (acl, version) = (self.acl(&path), self.version());
                Request::SetAcl { path, acl, version }
            }
            72..82 => {
                let count = self.rng.random_range(1..5);
                Request::Multi((0..count).map(|_| self.multi_op()).collect())
            }
            82..85 => {
                let count = self.rng.random_range(1..5);
                Request::MultiRead((0..count).map(|_| self.read_op()).collect())
            }
            85 => Request::Sync {
                path: self.any_path(),
            },
            86..88 => {
                let (area, mode) = *self.one(&[("p", 0), ("r", 1), ("r", 2)]);
                let path = self.path_in(&[area]);
                Request::AddWatch(AddWatch { path, mode })
            }
            88 => Request::RemoveWatches {
                path: self.path_in(&["o", "p", "r"]),
                kind: WatcherType::Any.to_raw(),
            },
            89 => Request::RemoveWatches {
                path: self.path_in(&["o"]),
                kind: *self.one(&[1, 2, 0]),
            },
            90..92 => Request::GetEphemerals {
                prefix: self.path(),
            },
            92 => Request::GetAllChildrenNumber { path: self.path() },
            93 => Request::WhoAmI,
            94..96 => Request::SetWatches(self.set_watches()),
            96..98 => Request::GetData {
                path: format!("/zookeeper/quota{}/q/zookeeper_stats", self.root),
                watch: false,
            },
            _ => Request::GetEphemerals {
                prefix: String::new(),
            },
        }
    }
}

fn create(path: &str, data: &str) -> Request {
    Request::Create(Create {
        op: OpCode::CREATE,
        path: path.to_owned(),
        data: Some(data.to_owned().into()),
        acl: vec![Acl::open()],
        flags: 0,
        ttl_ms: 0,
    })
}
