//! kill −9 under load, again and again: every acknowledged write is there afterwards, and nothing
//! that was never sent.
//!
//! Each writer owns one znode and counts upwards in its data, so after a crash the value must lie
//! between the last count acknowledged and the last count sent. It also creates sequential znodes,
//! of which every acknowledged one must be there.
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "writers are threads")]

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use zk_proto::{Acl, Create, CreateMode, OpCode, Request, Response, Stat};
use zk_tests::{Flavour, RawClient, ServerProcess, ServerSettings};

const ROUNDS: u64 = 200;
const WRITERS: usize = 8;
const WINDOW: usize = 16;
const LOAD_MS: std::ops::Range<u64> = 5..80;
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// What one writer knows of its writes.
#[derive(Debug, Default)]
struct Ledger {
    /// The highest count sent.
    sent: u64,
    /// The highest count acknowledged.
    acknowledged: u64,
    /// The sequential znodes acknowledged in the present round.
    created: Vec<String>,
}

fn create(path: String, data: Option<Bytes>, mode: CreateMode) -> Request {
    Request::Create(Create {
        op: OpCode::CREATE2,
        path,
        data,
        acl: vec![Acl::open()],
        flags: mode.to_flags(),
        ttl_ms: 0,
    })
}

fn counter(writer: usize) -> String {
    format!("/counter-{writer}")
}

/// Writes until the server is gone.
fn write(address: SocketAddr, writer: usize, mut ledger: Ledger) -> Ledger {
    let Ok(mut client) = RawClient::connect(address, SESSION_TIMEOUT) else {
        return ledger;
    };
    loop {
        let mut window = Vec::with_capacity(WINDOW);
        let mut counts = Vec::with_capacity(WINDOW);
        for slot in 0..WINDOW {
            if slot % 4 == 3 {
                let path = format!("/created-{writer}/n-");
                window.push(create(path, None, CreateMode::PersistentSequential));
                counts.push(None);
            } else {
                ledger.sent += 1;
                let data = Some(Bytes::from(ledger.sent.to_string()));
                window.push(Request::SetData {
                    path: counter(writer),
                    data,
                    version: -1,
                });
                counts.push(Some(ledger.sent));
            }
        }
        if client.send(&window).is_err() {
            return ledger;
        }
        for count in counts {
            let Ok(reply) = client.receive() else {
                return ledger;
            };
            match (count, reply.response) {
                (Some(count), Some(Response::Stat(_))) => ledger.acknowledged = count,
                (None, Some(Response::PathAndStat(path, _))) => ledger.created.push(path),
                (_, response) => panic!("{:?} {response:?}", reply.header),
            }
        }
    }
}

/// Compares what the server shows with what a writer knows.
fn check(client: &mut RawClient, writer: usize, ledger: &mut Ledger) {
    let read = Request::GetData {
        path: counter(writer),
        watch: false,
    };
    let Response::Data(Some(data), Stat { .. }) = client.get(read).unwrap() else {
        panic!("{} has no data", counter(writer))
    };
    let count: u64 = std::str::from_utf8(&data).unwrap().parse().unwrap();
    assert!(
        (ledger.acknowledged..=ledger.sent).contains(&count),
        "{}: {count}, acknowledged {}, sent {}",
        counter(writer),
        ledger.acknowledged,
        ledger.sent
    );
    ledger.acknowledged = count;
    for chunk in ledger.created.chunks(1_000) {
        let exists = |path: &String| Request::Exists {
            path: path.clone(),
            watch: false,
        };
        client
            .send(&chunk.iter().map(exists).collect::<Vec<_>>())
            .unwrap();
        for path in chunk {
            assert!(
                client.receive().unwrap().header.err.is_ok(),
                "{path} is lost"
            );
        }
    }
    ledger.created.clear();
}

#[test]
fn every_acknowledged_write_survives_two_hundred_kills() {
    let seed = rand::rng().next_u64();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let settings = ServerSettings::new(folder.path()).line("snapCount=2000");

    let mut server = ServerProcess::start(Flavour::Ours, &settings);
    let mut client = RawClient::connect(server.address(), SESSION_TIMEOUT).unwrap();
    for writer in 0..WRITERS {
        let data = Some(Bytes::from_static(b"0"));
        client
            .get(create(counter(writer), data, CreateMode::Persistent))
            .unwrap();
        let parent = format!("/created-{writer}");
        client
            .get(create(parent, None, CreateMode::Persistent))
            .unwrap();
    }

    let mut ledgers: Vec<_> = (0..WRITERS).map(|_| Ledger::default()).collect();
    let mut acknowledged = 0;
    for _ in 0..ROUNDS {
        let address = server.address();
        let writers: Vec<_> = ledgers
            .drain(..)
            .enumerate()
            .map(|(writer, ledger)| thread::spawn(move || write(address, writer, ledger)))
            .collect();
        thread::sleep(Duration::from_millis(random.random_range(LOAD_MS)));
        server.kill();
        ledgers.extend(writers.into_iter().map(|writer| writer.join().unwrap()));
        acknowledged += ledgers
            .iter()
            .map(|ledger| ledger.created.len())
            .sum::<usize>();

        server = ServerProcess::start(Flavour::Ours, &settings);
        let mut client = RawClient::connect(server.address(), SESSION_TIMEOUT).unwrap();
        for (writer, ledger) in ledgers.iter_mut().enumerate() {
            check(&mut client, writer, ledger);
        }
    }
    let counts: u64 = ledgers.iter().map(|ledger| ledger.acknowledged).sum();
    println!(
        "{ROUNDS} kills, {} writes acknowledged",
        acknowledged as u64 + counts
    );
    assert!(
        acknowledged > 1_000,
        "the load was no load: {acknowledged} znodes created"
    );
}
