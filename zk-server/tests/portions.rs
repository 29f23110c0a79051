//! Who asks for much holds nobody else up, and has it all done, in order.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use common::{RawClient, create, get, start};
use tempfile::tempdir;
use tokio::io::AsyncWriteExt;
use zk_proto::{CreateMode, ErrorCode, MultiOp, Request};

/// Requests of one message of a connection to the loop.
const MESSAGE: usize = 64;

fn count_all() -> Request {
    Request::GetAllChildrenNumber {
        path: "/".to_owned(),
    }
}

fn list(path: &str) -> Request {
    Request::GetChildren {
        path: path.to_owned(),
        watch: false,
    }
}

fn set(path: &str) -> Request {
    Request::SetData {
        path: path.to_owned(),
        data: None,
        version: -1,
    }
}

fn multi(path: &str) -> Request {
    let write = MultiOp::SetData {
        path: path.to_owned(),
        data: None,
        version: -1,
    };
    Request::Multi(vec![write; 100])
}

#[tokio::test]
async fn long_and_short_requests_are_answered_in_their_order() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    client.call(create("/a", b"", CreateMode::Persistent)).await;
    for number in 0..500 {
        let path = format!("/a/{number:0>200}");
        client
            .call(create(&path, b"", CreateMode::Persistent))
            .await;
    }
    let kinds = [list("/a"), set("/a"), count_all(), multi("/a"), get("/a")];
    let requests: Vec<_> = kinds.iter().cycle().take(200).cloned().collect();
    let first = 502;
    client.send(&requests).await;
    for xid in first..first + 200 {
        let (header, _) = client.reply().await;
        assert_eq!((header.xid.0, header.err), (xid, ErrorCode::OK));
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_waits_for_one_long_request_of_another_and_not_for_all() {
    const CALLS: u64 = 20;
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let address = server.local_addr();
    let (mut good, _) = RawClient::log_in(address).await;
    good.call(create("/a", b"", CreateMode::Persistent)).await;
    let answered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answered);
    let greedy = tokio::spawn(async move {
        let (mut client, _) = RawClient::log_in(address).await;
        client.send(&vec![count_all(); 4 * MESSAGE]).await;
        loop {
            client.send(&[count_all()]).await;
            client.reply().await;
            count.fetch_add(1, Relaxed);
        }
    });
    while answered.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let before = answered.load(Relaxed);
    for _ in 0..CALLS {
        good.call(get("/a")).await;
    }
    let meanwhile = answered.load(Relaxed) - before;
    assert!(
        meanwhile < CALLS * MESSAGE as u64 / 4,
        "{meanwhile} long requests were answered during {CALLS} short ones"
    );
    greedy.abort();
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_asked_for_before_the_end_of_a_connection_is_done() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    let (mut other, _) = RawClient::log_in(server.local_addr()).await;
    client.call(create("/e", b"", CreateMode::Ephemeral)).await;
    let mut requests = vec![count_all(); MESSAGE - 1];
    requests.push(Request::CloseSession);
    client.send(&requests).await;
    client.stream.shutdown().await.unwrap();
    // Far sooner than the session would expire.
    loop {
        other.send(&[get("/e")]).await;
        if other.reply().await.0.err == ErrorCode::NO_NODE {
            break;
        }
    }
    server.shutdown().await.unwrap();
}
