//! Requests and replies over one connection and several.

mod common;

use std::sync::Arc;

use common::{RawClient, create, get, handshake, start};
use tempfile::tempdir;
use zk_proto::{CreateMode, ErrorCode, Request, Response, Xid};

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    let mut requests = vec![create("/a", b"0", CreateMode::Persistent)];
    for _ in 0..500 {
        requests.push(get("/a"));
        requests.push(Request::SetData {
            path: "/a".to_owned(),
            data: None,
            version: -1,
        });
        requests.push(Request::Ping);
    }
    client.send(&requests).await;
    let mut zxid = None;
    for (index, request) in requests.iter().enumerate() {
        let (header, _) = client.reply().await;
        let xid = i32::try_from(index + 1).unwrap();
        let expected = if *request == Request::Ping {
            Xid::PING
        } else {
            Xid(xid)
        };
        assert_eq!(header.xid, expected);
        assert_eq!(header.err, ErrorCode::OK);
        assert!(Some(header.zxid) >= zxid, "zxids never go back");
        zxid = Some(header.zxid);
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_event_comes_before_the_reply_that_shows_its_change() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    let watch = Request::Exists {
        path: "/a".to_owned(),
        watch: true,
    };
    client.send(&[watch]).await;
    assert_eq!(client.reply().await.0.err, ErrorCode::NO_NODE);
    client
        .send(&[create("/a", b"", CreateMode::Persistent)])
        .await;
    assert_eq!(client.reply().await.0.xid, Xid::NOTIFICATION);
    assert_eq!(client.reply().await.0.xid, Xid(2));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn closing_the_session_is_answered_before_the_connection_ends() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    client.call(create("/e", b"", CreateMode::Ephemeral)).await;
    client.call(Request::CloseSession).await;
    assert!(client.is_closed().await);
    let (mut other, _) = RawClient::log_in(server.local_addr()).await;
    other.send(&[get("/e")]).await;
    assert_eq!(other.reply().await.0.err, ErrorCode::NO_NODE);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_session_that_falls_silent_expires_with_its_ephemerals() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.tick_time = std::time::Duration::from_millis(20);
        config.sessions.min_timeout = std::time::Duration::from_millis(40);
    })
    .await;
    let mut silent = RawClient::connect(server.local_addr()).await;
    let mut request = handshake();
    request.timeout_ms = 100;
    silent.shake(&request).await.unwrap();
    silent.call(create("/e", b"", CreateMode::Ephemeral)).await;
    let (mut other, _) = RawClient::log_in(server.local_addr()).await;
    let watch = Request::Exists {
        path: "/e".to_owned(),
        watch: true,
    };
    assert!(matches!(other.call(watch).await, Response::Stat(_)));
    assert_eq!(other.reply().await.0.xid, Xid::NOTIFICATION);
    assert!(silent.is_closed().await);
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_write_and_read_at_once() {
    let dir = tempdir().unwrap();
    let server = Arc::new(start(dir.path(), |_| {}).await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let address = server.local_addr();
        tasks.spawn(async move {
            let (mut client, _) = RawClient::log_in(address).await;
            let path = format!("/n{number}");
            client
                .call(create(&path, b"", CreateMode::Persistent))
                .await;
            for round in 0..50_u32 {
                let data = bytes::Bytes::copy_from_slice(&round.to_be_bytes());
                let set = Request::SetData {
                    path: path.clone(),
                    data: Some(data.clone()),
                    version: round.cast_signed(),
                };
                client.call(set).await;
                let Response::Data(seen, stat) = client.call(get(&path)).await else {
                    panic!("getData answers data");
                };
                assert_eq!(seen, Some(data));
                assert_eq!(stat.version, round.cast_signed() + 1);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    Arc::into_inner(server).unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn one_event_reaches_all_who_watch() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let mut watchers = Vec::new();
    for _ in 0..20 {
        let (mut client, _) = RawClient::log_in(server.local_addr()).await;
        client
            .send(&[Request::Exists {
                path: "/a".to_owned(),
                watch: true,
            }])
            .await;
        assert_eq!(client.reply().await.0.err, ErrorCode::NO_NODE);
        watchers.push(client);
    }
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    client.call(create("/a", b"", CreateMode::Persistent)).await;
    for watcher in &mut watchers {
        assert_eq!(watcher.reply().await.0.xid, Xid::NOTIFICATION);
    }
    server.shutdown().await.unwrap();
}
