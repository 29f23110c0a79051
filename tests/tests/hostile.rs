//! Clients that mean harm: whatever they send, the server goes on, stays within its memory, and
//! answers a well-behaved client that works beside them.
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "opens sockets and threads")]
#![expect(clippy::print_stdout, reason = "says how much was done")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tempfile::TempDir;
use zk_proto::{
    Acl, Create, CreateMode, MultiOp, OpCode, Record, Request, RequestHeader, Writer, Xid,
    write_frame,
};
use zk_tests::{Flavour, RawClient, ServerProcess, ServerSettings};

const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// How much a server may grow under one kind of attack, which is far below what is sent.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// A server with a well-behaved client at work, until the attack is over.
struct Target {
    server: ServerProcess,
    good: thread::JoinHandle<u64>,
    over: Arc<AtomicBool>,
    resident_bytes: u64,
    _folder: TempDir,
}

impl Target {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = ServerSettings::new(folder.path());
        let server = ServerProcess::start(Flavour::Ours, &settings);
        let over = Arc::new(AtomicBool::new(false));
        let good = thread::spawn({
            let (address, over) = (server.address(), Arc::clone(&over));
            move || work(address, &over)
        });
        let resident_bytes = server.resident_bytes();
        Self {
            server,
            good,
            over,
            resident_bytes,
            _folder: folder,
        }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Ends the well-behaved client, which must have been answered all the time.
    fn finish(self) {
        let grown = self
            .server
            .resident_bytes()
            .saturating_sub(self.resident_bytes);
        self.over.store(true, Ordering::Relaxed);
        let answered = self
            .good
            .join()
            .expect("the well-behaved client was answered");
        println!("{answered} requests answered beside the attack, {grown} bytes grown");
        assert!(answered > 0);
        assert!(grown < GROWTH_BYTES_MAX, "the server grew by {grown} bytes");
        assert_eq!(self.server.ask("ruok").unwrap(), "imok");
        assert_eq!(self.server.stop(), Some(0));
    }
}

/// Writes and reads one znode until the attack is over.
fn work(address: SocketAddr, over: &AtomicBool) -> u64 {
    let mut client = RawClient::connect(address, SESSION_TIMEOUT).unwrap();
    client.get(create("/good")).unwrap();
    let mut answered = 0;
    while !over.load(Ordering::Relaxed) {
        let path = || String::from("/good");
        let data = Some(Bytes::from(vec![7; 100]));
        client
            .get(Request::SetData {
                path: path(),
                data,
                version: -1,
            })
            .unwrap();
        client
            .get(Request::GetData {
                path: path(),
                watch: false,
            })
            .unwrap();
        answered += 2;
    }
    answered
}

fn create(path: &str) -> Request {
    Request::Create(Create {
        op: OpCode::CREATE,
        path: path.to_owned(),
        data: None,
        acl: vec![Acl::open()],
        flags: CreateMode::Persistent.to_flags(),
        ttl_ms: 0,
    })
}

fn socket(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    socket
        .set_write_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    socket
}

/// Sends bytes, then reads until the server closes. Either side may break the connection first.
fn send_and_drain(address: SocketAddr, bytes: &[u8]) {
    let mut socket = socket(address);
    if socket.write_all(bytes).is_ok() {
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    }
}

/// A handshake that opens a session.
fn handshake() -> BytesMut {
    let request = zk_proto::ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: zk_proto::Zxid(0),
        timeout_ms: 10_000,
        session_id: zk_proto::SessionId(0),
        password: Bytes::from_static(&[0; 16]),
        read_only: Some(false),
    };
    let mut out = BytesMut::new();
    write_frame(&mut out, |out| request.encode(out));
    out
}

fn frame(op: OpCode, content: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    write_frame(&mut out, |out| {
        RequestHeader { xid: Xid(1), op }.encode(out);
        out.put(content);
    });
    out
}

#[test]
fn lengths_out_of_bounds_close_the_connection() {
    let target = Target::start();
    for length in [-1, i32::MIN, i32::MAX, 4_097, 0x10_0000, 0] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 64]);
        send_and_drain(target.address(), &bytes);
        let mut after_login = handshake();
        after_login.extend_from_slice(&bytes);
        send_and_drain(target.address(), &after_login);
    }
    target.finish();
}

#[test]
fn random_bytes_are_survived() {
    let target = Target::start();
    let seed = rand::rng().next_u64();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..400 {
        let mut bytes = vec![0; random.random_range(1..2_000)];
        random.fill_bytes(&mut bytes);
        let mut all = if round % 2 == 0 {
            BytesMut::new()
        } else {
            handshake()
        };
        if round % 4 == 3 {
            let op = OpCode(random.random_range(-15..110));
            bytes = frame(op, &bytes).to_vec();
        }
        all.extend_from_slice(&bytes);
        send_and_drain(target.address(), &all);
    }
    target.finish();
}

#[test]
fn every_operation_code_with_any_content_is_survived() {
    let target = Target::start();
    for op in -128..=127 {
        for content in [
            &b""[..],
            &[0; 8],
            &[0xff; 64],
            b"\0\0\0\x05/good\0\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            let mut bytes = handshake();
            bytes.extend_from_slice(&frame(OpCode(op), content));
            send_and_drain(target.address(), &bytes);
        }
    }
    target.finish();
}

#[test]
fn a_frame_cut_anywhere_is_survived() {
    let target = Target::start();
    let mut whole = handshake();
    let mut content = BytesMut::new();
    create("/cut").encode(&mut content);
    whole.extend_from_slice(&frame(OpCode::CREATE, &content));
    for cut in 0..whole.len() {
        send_and_drain(target.address(), &whole[..cut]);
    }
    target.finish();
}

#[test]
fn deep_paths_and_huge_multis_are_answered() {
    let target = Target::start();
    let mut client = RawClient::connect(target.address(), SESSION_TIMEOUT).unwrap();
    let deep = "/d".repeat(100_000);
    for request in [
        create(&deep),
        Request::GetData {
            path: deep.clone(),
            watch: true,
        },
        Request::Exists {
            path: deep.clone(),
            watch: true,
        },
        Request::GetAllChildrenNumber { path: deep.clone() },
        Request::Sync { path: deep },
    ] {
        client.call(request).unwrap();
    }
    let check = MultiOp::Check {
        path: String::from("/"),
        version: -1,
    };
    let refused = client.call(Request::Multi(vec![check; 50_000])).unwrap();
    assert!(
        !refused.header.err.is_ok(),
        "a multi beyond the bound is refused"
    );
    // 100,000 operations do not fit a frame: the connection is closed.
    let check = MultiOp::Check {
        path: String::from("/"),
        version: -1,
    };
    assert!(client.call(Request::Multi(vec![check; 100_000])).is_err());
    target.finish();
}

#[test]
fn slow_and_silent_connections_hold_nobody_up() {
    let target = Target::start();
    let mut open: Vec<_> = (0..1_000).map(|_| socket(target.address())).collect();
    for (byte, socket) in open.iter_mut().enumerate() {
        let sent = handshake();
        let part = &sent[..byte % sent.len()];
        let _ = socket.write_all(part);
    }
    let mut client = RawClient::connect(target.address(), SESSION_TIMEOUT).unwrap();
    client
        .get(Request::GetData {
            path: String::from("/"),
            watch: false,
        })
        .unwrap();
    // Each is closed at the handshake's deadline, so every read ends.
    for mut socket in open {
        let _ = socket.read_to_end(&mut Vec::new());
    }
    target.finish();
}

#[test]
fn a_client_that_never_reads_is_closed_before_the_server_grows() {
    let target = Target::start();
    let mut client = RawClient::connect(target.address(), SESSION_TIMEOUT).unwrap();
    let data = Some(Bytes::from(vec![1; 500_000]));
    client.get(create("/big")).unwrap();
    client
        .get(Request::SetData {
            path: "/big".into(),
            data,
            version: -1,
        })
        .unwrap();
    let mut content = BytesMut::new();
    Request::GetData {
        path: "/big".into(),
        watch: false,
    }
    .encode(&mut content);
    let one = frame(OpCode::GET_DATA, &content);
    let mut greedy = socket(target.address());
    greedy
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    greedy.write_all(&handshake()).unwrap();
    for _ in 0..20_000 {
        if greedy.write_all(&one).is_err() {
            break;
        }
    }
    target.finish();
}
