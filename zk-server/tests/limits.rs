//! What happens at each limit, and that nothing grows beyond it.

mod common;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use common::{PATIENCE, RawClient, ask, create, get, start};
use tempfile::tempdir;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use zk_proto::{CreateMode, ErrorCode, MultiOp, Request, Response, write_frame};

fn frame_of(bytes: usize) -> BytesMut {
    let mut out = BytesMut::new();
    write_frame(&mut out, |out| out.put_bytes(0, bytes));
    out
}

#[tokio::test]
async fn a_frame_too_long_before_login_is_closed_by_its_length_alone() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let mut client = RawClient::connect(server.local_addr()).await;
    client.write(&4097_u32.to_be_bytes()).await;
    assert!(client.is_closed().await);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_frame_too_long_after_login_is_closed_and_others_are_served() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.limits.frame_bytes_max = NonZeroUsize::new(2000).unwrap();
    })
    .await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    let (mut other, _) = RawClient::log_in(server.local_addr()).await;
    client
        .call(create("/a", &[1; 1900], CreateMode::Persistent))
        .await;
    client.write(&frame_of(2001)).await;
    assert!(client.is_closed().await);
    other.call(get("/a")).await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_frame_without_room_for_a_header_is_closed() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    client.write(&frame_of(7)).await;
    assert!(client.is_closed().await);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_connection_without_a_handshake_is_closed_at_the_deadline() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.limits.handshake_deadline = Duration::from_millis(50);
    })
    .await;
    let mut silent = RawClient::connect(server.local_addr()).await;
    assert!(silent.is_closed().await);
    let mut slow = RawClient::connect(server.local_addr()).await;
    slow.write(&[0, 0, 0, 45, 0]).await;
    assert!(slow.is_closed().await);
    let mntr = ask(server.local_addr(), "mntr").await;
    assert!(
        mntr.contains("zk_sessionless_connections_expired\t2\n"),
        "{mntr}"
    );
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    client.call(Request::Ping).await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_address_has_as_many_connections_as_it_may() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.limits.connections_per_address_max = NonZeroU32::new(2);
    })
    .await;
    let (first, _) = RawClient::log_in(server.local_addr()).await;
    let (_second, _) = RawClient::log_in(server.local_addr()).await;
    let mut third = RawClient::connect(server.local_addr()).await;
    assert!(third.is_closed().await);
    drop(first);
    // The server learns of it when it reads; until then another attempt is refused as well.
    let again = async {
        loop {
            let mut client = RawClient::connect(server.local_addr()).await;
            if client.shake(&common::handshake()).await.is_some() {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.unwrap();
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn all_addresses_have_as_many_connections_as_they_may() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.limits.connections_max = NonZeroU32::new(1);
    })
    .await;
    let (_first, _) = RawClient::log_in(server.local_addr()).await;
    let mut second = RawClient::connect(server.local_addr()).await;
    assert!(second.is_closed().await);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_multi_of_too_many_operations_is_refused_and_the_session_goes_on() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.limits.multi_ops_max = NonZeroUsize::new(10).unwrap();
    })
    .await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    let check = MultiOp::Check {
        path: "/".to_owned(),
        version: -1,
    };
    client.call(Request::Multi(vec![check.clone(); 10])).await;
    client.send(&[Request::Multi(vec![check; 11])]).await;
    assert_eq!(client.reply().await.0.err, ErrorCode::MARSHALLING_ERROR);
    client.call(get("/")).await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_session_has_as_many_watches_as_it_may() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.limits.watches_per_session_max = NonZeroU32::new(2);
    })
    .await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    let watch = |path: &str| Request::Exists {
        path: path.to_owned(),
        watch: true,
    };
    client.send(&[watch("/a"), watch("/b"), watch("/c")]).await;
    let mut errors = Vec::new();
    for _ in 0..3 {
        errors.push(client.reply().await.0.err);
    }
    assert_eq!(
        errors,
        [
            ErrorCode::NO_NODE,
            ErrorCode::NO_NODE,
            ErrorCode::QUOTA_EXCEEDED
        ]
    );
    server.shutdown().await.unwrap();
}

/// The client asks for far more than may wait, and takes nothing: first the server stops reading
/// it, and what is under way stays within the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_not_read_either() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.limits.reply_bytes_per_connection_max = NonZeroUsize::new(32 << 20).unwrap();
    })
    .await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    client
        .call(create("/a", &[1; 1 << 19], CreateMode::Persistent))
        .await;
    let one = {
        let mut out = BytesMut::new();
        write_frame(&mut out, |out| {
            use zk_proto::{OpCode, Record, RequestHeader, Xid};
            RequestHeader {
                xid: Xid(9),
                op: OpCode::GET_DATA,
            }
            .encode(out);
            get("/a").encode(out);
        });
        out
    };
    // Sockets hold a few MB at most: a server that goes on reading takes all of this.
    let flood = one.repeat(1_000_000);
    let took_all = timeout(Duration::from_secs(2), client.stream.write_all(&flood)).await;
    assert!(took_all.is_err(), "the server must stop reading");
    let (mut other, _) = RawClient::log_in(server.local_addr()).await;
    other.call(get("/a")).await;
    drop(client);
    server.shutdown().await.unwrap();
}

/// Events are not asked for one by one, so only closing helps against a client that lets them pile
/// up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_lets_events_pile_up_is_closed() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.limits.reply_bytes_per_connection_max = NonZeroUsize::new(64 << 10).unwrap();
    })
    .await;
    let (mut lazy, _) = RawClient::log_in(server.local_addr()).await;
    let add_watch = Request::AddWatch(zk_proto::AddWatch {
        path: "/".to_owned(),
        mode: 1,
    });
    lazy.call(add_watch).await;
    let (mut busy, _) = RawClient::log_in(server.local_addr()).await;
    let long = "x".repeat(30_000);
    let fill = async {
        for number in 0.. {
            let path = format!("/{long}{number}");
            busy.call(create(&path, b"", CreateMode::Persistent)).await;
            busy.call(Request::Delete { path, version: -1 }).await;
            if number % 10 == 0 {
                let cons = ask(server.local_addr(), "cons").await;
                if cons.matches("sid=").count() == 1 {
                    return;
                }
            }
        }
    };
    timeout(PATIENCE, fill)
        .await
        .expect("the lazy client is closed");
    while lazy.frame().await.is_some() {}
    assert!(matches!(busy.call(get("/")).await, Response::Data(..)));
    server.shutdown().await.unwrap();
}
