//! A member that is cut off from its quorum serves clients that are content to read
//! (`readonlymode.enabled`), and sends them away once it is part of a quorum again: the same with our
//! server and Apache's.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use zk_proto::{
    Acl, AddWatch, AddWatchMode, Auth, ConnectRequest, ConnectResponse, Create, CreateMode,
    ErrorCode, EventType, MultiOp, OpCode, PASSWORD_BYTES, ReadOp, Reconfig, Request, Response,
    SessionId, SetWatches, WatcherType, Zxid,
};
use zk_tests::{Ensemble, EnsembleSettings, Flavour, Mode, Needs, RawClient};

use Flavour::{Apache, Ours};

const SOON: Duration = Duration::from_secs(60);
/// Long enough for sessions of the ensemble to outlive the time without a quorum.
const SESSION_TIMEOUT: Duration = Duration::from_secs(50);
/// The member that loses the others.
const LEFT: u8 = 1;
const OTHERS: [u8; 2] = [2, 3];

fn settings(left: Flavour) -> EnsembleSettings {
    EnsembleSettings::new(&[left, Ours, Ours]).property("readonlymode.enabled", "true")
}

/// Takes the others away, and waits until the member that is left serves readers.
fn leave_alone(ensemble: &mut Ensemble) {
    for sid in OTHERS {
        ensemble.kill(sid);
    }
    let began = Instant::now();
    while ensemble
        .status(LEFT)
        .is_none_or(|status| status.mode != Mode::ReadOnly)
    {
        let words = ensemble.last_words(&[LEFT]);
        assert!(began.elapsed() < SOON, "it serves no readers: {words}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn bring_back(ensemble: &mut Ensemble) {
    for sid in OTHERS {
        ensemble.spawn(sid);
    }
}

/// A session that is to be opened.
fn reader() -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: i32::try_from(SESSION_TIMEOUT.as_millis()).unwrap(),
        session_id: SessionId(0),
        password: Bytes::from_static(&[0; PASSWORD_BYTES]),
        read_only: Some(true),
    }
}

/// The session of a client, to be resumed.
fn resumed(client: &RawClient) -> ConnectRequest {
    ConnectRequest {
        session_id: client.session().session_id,
        password: client.session().password.clone(),
        ..reader()
    }
}

fn connect(address: SocketAddr, request: &ConnectRequest) -> io::Result<RawClient> {
    RawClient::handshake(address, request, SOON)
}

/// The server hangs up without an answer.
fn assert_closed(address: SocketAddr, request: &ConnectRequest, why: &str) {
    let error = connect(address, request).map(|client| client.session().clone());
    let kind = error.expect_err(why).kind();
    let hung_up = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    assert!(hung_up.contains(&kind), "{why}: {kind:?}");
}

/// The server answers that the session is over, and hangs up.
fn assert_over(address: SocketAddr, request: &ConnectRequest, read_only: bool, why: &str) {
    let client = connect(address, request).expect(why);
    let expected = ConnectResponse::expired(Some(read_only));
    assert_eq!(client.session(), &expected, "{why}");
    client.wait_for_close().expect(why);
}

fn create(op: OpCode, path: &str, mode: CreateMode) -> Create {
    Create {
        op,
        path: path.to_owned(),
        data: Some(Bytes::from_static(b"1")),
        acl: vec![Acl::open()],
        flags: mode.to_flags(),
        ttl_ms: i64::from(op == OpCode::CREATE_TTL),
    }
}

fn get(path: &str, watch: bool) -> Request {
    let path = path.to_owned();
    Request::GetData { path, watch }
}

fn set(path: &str) -> Request {
    Request::SetData {
        path: path.to_owned(),
        data: Some(Bytes::from_static(b"2")),
        version: -1,
    }
}

/// Whatever does not only read, of znodes that are there and of others.
fn refused() -> Vec<Request> {
    let path = || "/a".to_owned();
    let created = [
        (OpCode::CREATE, CreateMode::Persistent),
        (OpCode::CREATE, CreateMode::Ephemeral),
        (OpCode::CREATE2, CreateMode::PersistentSequential),
        (OpCode::CREATE_CONTAINER, CreateMode::Container),
        (OpCode::CREATE_TTL, CreateMode::PersistentWithTtl),
    ];
    let created = created.map(|(op, mode)| Request::Create(create(op, "/no", mode)));
    let others = [
        Request::Delete {
            path: path(),
            version: -1,
        },
        Request::Delete {
            path: "/none".to_owned(),
            version: -1,
        },
        set("/a"),
        set("/none"),
        Request::SetAcl {
            path: path(),
            acl: vec![Acl::open()],
            version: -1,
        },
        Request::Multi(vec![MultiOp::Check {
            path: path(),
            version: -1,
        }]),
        Request::Multi(Vec::new()),
        Request::Sync { path: path() },
        Request::Reconfig(Reconfig {
            joining: None,
            leaving: Some("3".to_owned()),
            new_members: None,
            current_config: Zxid(-1),
        }),
    ];
    created.into_iter().chain(others).collect()
}

/// Whatever only reads.
fn read() -> Vec<Request> {
    let path = || "/a".to_owned();
    vec![
        get("/a", true),
        Request::Exists {
            path: path(),
            watch: true,
        },
        Request::GetAcl { path: path() },
        Request::GetChildren {
            path: path(),
            watch: true,
        },
        Request::GetChildren2 {
            path: path(),
            watch: false,
        },
        Request::GetAllChildrenNumber { path: path() },
        Request::GetEphemerals { prefix: path() },
        Request::MultiRead(vec![ReadOp::GetData {
            path: path(),
            watch: false,
        }]),
        Request::AddWatch(AddWatch {
            path: path(),
            mode: AddWatchMode::Persistent.to_raw(),
        }),
        Request::CheckWatches {
            path: path(),
            kind: WatcherType::Data.to_raw(),
        },
        Request::RemoveWatches {
            path: path(),
            kind: WatcherType::Any.to_raw(),
        },
        Request::Auth(Auth {
            kind: 0,
            scheme: "digest".to_owned(),
            auth: Bytes::from_static(b"someone:secret"),
        }),
        Request::Ping,
    ]
}

/// Makes what is read later.
fn write(client: &mut RawClient) {
    for path in ["/a", "/a/x"] {
        let asked = create(OpCode::CREATE2, path, CreateMode::Persistent);
        client.get(Request::Create(asked)).unwrap();
    }
}

/// What a watch on the data of `path` missed since `seen`.
fn set_watches(path: &str, seen: Zxid) -> Request {
    Request::SetWatches(SetWatches {
        relative_zxid: seen,
        data: vec![path.to_owned()],
        exist: Vec::new(),
        child: Vec::new(),
        persistent: None,
    })
}

fn serves_readers(left: Flavour, local_sessions: &str) {
    let settings = settings(left)
        .set("localSessionsEnabled", local_sessions)
        .set("localSessionsUpgradingEnabled", local_sessions);
    let mut ensemble = Ensemble::start(&settings);
    let address = ensemble.address(LEFT);
    let mut global = connect(address, &reader()).unwrap();
    assert_eq!(global.session().read_only, Some(false));
    write(&mut global);
    let before = global.call(get("/a", false)).unwrap().header.zxid;
    global.get(set("/a")).unwrap();
    let owned = create(OpCode::CREATE, "/owned", CreateMode::Ephemeral);
    global.get(Request::Create(owned)).unwrap();
    assert_eq!(ensemble.process(LEFT).ask("isro").unwrap(), "rw");

    leave_alone(&mut ensemble);
    let returning = resumed(&global);
    global.wait_for_close().unwrap();
    assert_eq!(ensemble.process(LEFT).ask("isro").unwrap(), "ro");
    refuses_others(address, &returning);

    let mut client = connect(address, &reader()).unwrap();
    assert_eq!(client.session().read_only, Some(true));
    assert_eq!(client.session().timeout_ms, reader().timeout_ms);
    client.get(set_watches("/a", before)).unwrap();
    let missed: Vec<_> = client.events().iter().map(|(_, event)| event).collect();
    assert_eq!(missed.len(), 1, "{missed:?}");
    let Response::Data(data, stat) = client.get(get("/a", false)).unwrap() else {
        panic!("no data");
    };
    assert_eq!((data, stat.version), (Some(Bytes::from_static(b"2")), 1));
    for request in read() {
        let reply = client.call(request.clone()).unwrap();
        assert_eq!(reply.header.err, ErrorCode::OK, "{request:?}");
    }
    let last = client.call(get("/a", true)).unwrap().header.zxid;
    for request in refused() {
        let header = client.call(request.clone()).unwrap().header;
        assert_eq!(
            (header.err, header.zxid),
            (ErrorCode::NOT_READ_ONLY, last),
            "{request:?}"
        );
    }
    comes_and_goes(address, &client);
    let mut client = connect(address, &resumed(&client)).unwrap();
    client.get(get("/a", true)).unwrap();

    bring_back(&mut ensemble);
    let ended = resumed(&client);
    client.wait_for_close().unwrap();
    ensemble.wait_for_all(SOON);
    assert_eq!(ensemble.process(LEFT).ask("isro").unwrap(), "rw");
    for sid in ensemble.sids() {
        assert_over(
            ensemble.address(sid),
            &ended,
            false,
            "it was a session of readers",
        );
    }
    let back = connect(address, &returning).unwrap();
    assert_eq!(back.session().session_id, returning.session_id);
    assert_eq!(back.session().read_only, Some(false));
    let mut writer = connect(ensemble.address(2), &reader()).unwrap();
    writer.get(set("/a")).unwrap();
    let mut client = connect(address, &reader()).unwrap();
    let path = "/".to_owned();
    client.get(Request::Sync { path }).unwrap();
    client.get(set_watches("/a", last)).unwrap();
    let missed: Vec<_> = client.events().iter().map(|(_, event)| event).collect();
    assert!(
        matches!(missed[..], [event] if event.event == EventType::NodeDataChanged),
        "{missed:?}"
    );
    assert_eq!(
        ensemble.stop(LEFT),
        Some(if left == Ours { 0 } else { 143 })
    );
}

/// A member without a quorum has nothing for these.
fn refuses_others(address: SocketAddr, global: &ConnectRequest) {
    let writer = ConnectRequest {
        read_only: Some(false),
        ..reader()
    };
    assert_closed(address, &writer, "it wants to write");
    let old = ConnectRequest {
        read_only: None,
        ..reader()
    };
    assert_closed(address, &old, "it does not know of readers");
    assert_closed(address, global, "only a quorum knows its session");
    let ahead = ConnectRequest {
        last_zxid_seen: Zxid(i64::MAX),
        ..reader()
    };
    assert_closed(address, &ahead, "it saw more than the member");
}

/// A session of readers is resumed, and closed.
fn comes_and_goes(address: SocketAddr, client: &RawClient) {
    let again = connect(address, &resumed(client)).unwrap();
    assert_eq!(again.session(), client.session());
    let stranger = ConnectRequest {
        password: Bytes::from_static(&[7; PASSWORD_BYTES]),
        ..resumed(client)
    };
    assert_over(address, &stranger, true, "the password is another");
    let unknown = ConnectRequest {
        session_id: SessionId(0x0900_0000_0000_0001),
        ..stranger
    };
    assert_over(address, &unknown, true, "nobody has heard of it");
    let mut second = connect(address, &reader()).unwrap();
    let ended = resumed(&second);
    assert_ne!(ended.session_id, client.session().session_id);
    second.get(Request::CloseSession).unwrap();
    second.wait_for_close().unwrap();
    assert_over(address, &ended, true, "it was closed");
}

#[test]
fn our_member_without_a_quorum_serves_readers() {
    for local_sessions in ["true", "false"] {
        serves_readers(Ours, local_sessions);
    }
}

/// Without local sessions no client can read what Apache's server answers to one that comes.
#[test]
fn apaches_member_without_a_quorum_serves_readers() {
    if Needs::apache("apaches_member_without_a_quorum_serves_readers").is_some() {
        serves_readers(Apache, "true");
    }
}

/// What `kazoo_read_only.py` prints, at either server.
const KAZOO: &str = "\
CONNECTED_RO CONNECTED
b'1' None ['x']
create NotReadOnlyCallError
set NotReadOnlyCallError
delete NotReadOnlyCallError
sync NotReadOnlyCallError
commit NotReadOnlyCallError
quorum
SUSPENDED LOST CONNECTED
CONNECTED True
";

fn kazoo_reads(python: &Path, left: Flavour) {
    let settings = settings(left).set("localSessionsEnabled", "true");
    let mut ensemble = Ensemble::start(&settings);
    let address = ensemble.address(LEFT);
    write(&mut connect(address, &reader()).unwrap());
    leave_alone(&mut ensemble);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kazoo_read_only.py");
    let mut kazoo = Command::new(python)
        .arg(script)
        .arg(address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    for line in BufReader::new(kazoo.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        printed.push_str(&line);
        printed.push('\n');
        if line == "quorum" {
            bring_back(&mut ensemble);
            ensemble.wait_for_all(SOON);
            let mut stdin = kazoo.stdin.take().unwrap();
            stdin.write_all(b"go on\n").unwrap();
        }
    }
    let status = kazoo.wait().unwrap();
    assert!(status.success(), "{status}: {printed}");
    assert_eq!(printed, KAZOO);
}

#[test]
fn kazoo_reads_at_our_member_without_a_quorum() {
    if let Some(python) = Needs::kazoo("kazoo_reads_at_our_member_without_a_quorum") {
        kazoo_reads(&python, Ours);
    }
}

#[test]
fn kazoo_reads_at_apaches_member_without_a_quorum() {
    let test = "kazoo_reads_at_apaches_member_without_a_quorum";
    if let (Some(_), Some(python)) = (Needs::apache(test), Needs::kazoo(test)) {
        kazoo_reads(&python, Apache);
    }
}
