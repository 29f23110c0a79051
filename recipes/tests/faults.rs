//! Many contenders, random cuts, lost replies and expiries: whatever is written under the lock's
//! fence appears in the order of the tokens, and nothing is left behind.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::print_stdout, reason = "prints the seed")]

mod common;

use std::time::Duration;

use common::{DIR, Faulty, server, within};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zk_client::{Client, Kind, Outcome};
use zk_recipes::FencingToken;
use zk_testkit::{OpCode, TestServer};

const CONTENDERS: usize = 5;
const TERMS_EACH: usize = 6;
const LOG: &str = "/log";
const COUNTER: &str = "/counter";

/// Reads the counter, and writes it back increased together with a line of the log. Two holders at a
/// time would write the same number twice, and an old holder a smaller one than is there.
async fn work(zk: &Client, guard: &zk_recipes::LockGuard) -> zk_client::Result<()> {
    let counter = zk.get(COUNTER).await?;
    let number: u64 = std::str::from_utf8(&counter.data).unwrap().parse().unwrap();
    let line = format!("{} {}", guard.token(), number + 1);
    let txn = zk.txn().with(|txn| guard.fence(txn));
    let txn = txn.set(COUNTER, (number + 1).to_string());
    txn.op(zk.create(format!("{LOG}/line-")).data(line).sequential())
        .commit()
        .await
        .map(drop)
}

async fn contend(client: &Faulty) {
    let mutex = client.mutex();
    let mut terms = 0;
    while terms < TERMS_EACH {
        let guard = mutex.lock().await.unwrap();
        match guard.run(work(&client.zk, &guard)).await {
            Ok(Ok(())) => terms += 1,
            // The work was stopped, or is not known to be done, or came too late.
            Err(_lost) => {}
            Ok(Err(error)) => assert!(
                error.outcome() == Outcome::Unknown
                    || *error.kind() == Kind::NoNode
                    || *error.kind() == Kind::ConnectionLoss,
                "{error}"
            ),
        }
    }
}

async fn disturb(server: &TestServer, clients: &[Faulty], seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let client = &clients[random.random_range(0..clients.len())];
        match random.random_range(0..8) {
            0..3 => client.proxy.cut(),
            3 => client.proxy.drop_reply(OpCode::CREATE2).struck().await,
            4 => client.proxy.drop_reply(OpCode::MULTI).struck().await,
            5 => {
                client
                    .proxy
                    .drop_reply(OpCode::GET_CHILDREN2)
                    .struck()
                    .await
            }
            6 => {
                let delay = Duration::from_millis(random.random_range(0..20));
                client.proxy.delay(zk_testkit::Direction::ToClient, delay);
            }
            _ => {
                // It may be over already.
                let _ended = server.expire(client.zk.session().id()).await;
            }
        }
        // Something happens between two faults; the seed decides how much.
        let frames = random.random_range(1..40);
        for _ in 0..frames {
            client.proxy.wait_for_frame(|_| true).await;
        }
    }
}

async fn run(seed: u64) {
    println!("seed {seed}");
    let server = server().await;
    let setup = server.client().await.unwrap();
    setup.create(LOG).await.unwrap();
    setup.create(COUNTER).data("0").await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..CONTENDERS {
        clients.push(Faulty::lasting(&server).await);
    }
    let contenders = futures::future::join_all(clients.iter().map(contend));
    tokio::select! {
        _ = contenders => {}
        () = disturb(&server, &clients, seed) => {}
    }
    let mut names = setup.children(LOG).await.unwrap().names;
    names.sort();
    let mut last = (0, 0);
    for name in &names {
        let line = setup.get(format!("{LOG}/{name}")).await.unwrap();
        let line = String::from_utf8(line.data.to_vec()).unwrap();
        let (token, number) = line.split_once(' ').unwrap();
        let seen = (
            token.parse::<i64>().unwrap(),
            number.parse::<usize>().unwrap(),
        );
        assert!(
            seen.0 >= last.0,
            "seed {seed}: token {} after {}",
            seen.0,
            last.0
        );
        assert_eq!(seen.1, last.1 + 1, "seed {seed}");
        last = seen;
    }
    assert!(names.len() >= CONTENDERS * TERMS_EACH, "seed {seed}");
    for name in &names {
        setup.delete(format!("{LOG}/{name}")).await.unwrap();
    }
    for client in &clients {
        client
            .proxy
            .delay(zk_testkit::Direction::ToClient, Duration::ZERO);
    }
    server.expect_left(&[COUNTER, DIR, LOG]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_under_the_lock_appear_in_the_order_of_tokens() {
    for seed in 0..6 {
        within(run(seed)).await;
    }
}

#[test]
fn tokens_are_ordered_and_written_as_numbers() {
    let token = FencingToken::from(zk_client::Zxid(7));
    assert!(token < FencingToken::from(zk_client::Zxid(10)));
    assert_eq!(serde_json::to_string(&token).unwrap(), "7");
    assert_eq!(token.to_string(), "7");
}
