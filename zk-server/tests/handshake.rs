//! What the first bytes of a connection lead to.

mod common;

use common::{RawClient, handshake, resume, start};
use tempfile::tempdir;
use tokio::io::AsyncWriteExt;
use zk_proto::{Record, SessionId, Zxid, session_password, write_frame};

#[tokio::test]
async fn a_session_opens_with_its_password_and_a_clamped_timeout() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    for (asked, granted) in [(1, 4_000), (30_000, 30_000), (i32::MAX, 40_000)] {
        let mut client = RawClient::connect(server.local_addr()).await;
        let mut request = handshake();
        request.timeout_ms = asked;
        let response = client.shake(&request).await.unwrap();
        assert_eq!(response.timeout_ms, granted);
        assert_ne!(response.session_id, SessionId(0));
        assert_eq!(response.password, session_password(response.session_id)[..]);
        assert_eq!(response.read_only, Some(false));
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_send_the_read_only_byte_does_not_get_it() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let mut client = RawClient::connect(server.local_addr()).await;
    let mut request = handshake();
    request.read_only = None;
    assert_eq!(client.shake(&request).await.unwrap().read_only, None);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_comes_byte_by_byte_is_one_handshake() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let mut client = RawClient::connect(server.local_addr()).await;
    let mut out = bytes::BytesMut::new();
    write_frame(&mut out, |out| handshake().encode(out));
    for byte in &out {
        client.write(&[*byte]).await;
        client.stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(client.frame().await.is_some());
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_told_so_and_closed() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (_client, opened) = RawClient::log_in(server.local_addr()).await;
    let mut intruder = RawClient::connect(server.local_addr()).await;
    let mut request = resume(&opened);
    request.password = bytes::Bytes::from_static(&[1; 16]);
    let response = intruder.shake(&request).await.unwrap();
    assert_eq!(response.session_id, SessionId(0));
    assert_eq!(response.timeout_ms, 0);
    assert!(intruder.is_closed().await);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_resumed_session_moves_and_its_older_connection_is_closed() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut older, opened) = RawClient::log_in(server.local_addr()).await;
    let mut newer = RawClient::connect(server.local_addr()).await;
    let response = newer.shake(&resume(&opened)).await.unwrap();
    assert_eq!(response.session_id, opened.session_id);
    assert!(older.is_closed().await);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_that_has_seen_the_future_is_closed_without_an_answer() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let mut client = RawClient::connect(server.local_addr()).await;
    let mut request = handshake();
    request.last_zxid_seen = Zxid(0x7fff);
    assert_eq!(client.shake(&request).await, None);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_no_handshake_is_closed() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    for bytes in [
        &[0, 0, 0, 3, 1, 2, 3][..],
        &[0, 0, 0, 0],
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n",
    ] {
        let mut client = RawClient::connect(server.local_addr()).await;
        client.write(bytes).await;
        assert!(client.is_closed().await, "{bytes:?}");
    }
    server.shutdown().await.unwrap();
}
