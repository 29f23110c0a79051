//! A test server keeps its data over a restart, ends sessions on demand, and shows what is left.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use zk_proto::{Acl, Create, CreateMode, ErrorCode, OpCode, Request, Response};
use zk_testkit::{Error, RawSession, TestServer};

async fn open(server: &TestServer) -> RawSession {
    RawSession::open(server.address(), Duration::from_secs(10))
        .await
        .unwrap()
}

async fn create(raw: &mut RawSession, path: &str, mode: CreateMode) {
    let create = Request::Create(Create {
        op: OpCode::CREATE2,
        path: path.into(),
        data: None,
        acl: vec![Acl::open()],
        flags: mode.to_flags(),
        ttl_ms: 0,
    });
    raw.call(&create).await.unwrap().unwrap();
}

#[tokio::test]
async fn data_and_sessions_survive_a_restart() {
    let mut server = TestServer::start().await.unwrap();
    let mut raw = open(&server).await;
    let session = raw.id();
    create(&mut raw, "/kept", CreateMode::Ephemeral).await;
    let address = server.address();
    server.stop().await.unwrap();
    server.resume().await.unwrap();
    assert_eq!(server.address(), address);
    let mut raw = RawSession::resume(address, session).await.unwrap().unwrap();
    let exists = Request::Exists {
        path: "/kept".into(),
        watch: false,
    };
    assert!(matches!(
        raw.call(&exists).await.unwrap(),
        Ok(Response::Stat(_))
    ));
}

#[tokio::test]
async fn an_expired_session_is_over_with_its_ephemerals() {
    let server = TestServer::start().await.unwrap();
    let mut raw = open(&server).await;
    create(&mut raw, "/gone", CreateMode::Ephemeral).await;
    server.expire(raw.id()).await.unwrap();
    assert!(server.nodes().await.unwrap().is_empty());
    raw.call(&Request::Ping).await.unwrap_err();
    let again = server.expire(raw.id()).await;
    assert!(matches!(again, Err(Error::SessionOver(id)) if id == raw.id()));
}

#[tokio::test]
async fn what_is_left_is_named() {
    let server = TestServer::start().await.unwrap();
    server.expect_left(&[]).await.unwrap();
    let mut raw = open(&server).await;
    create(&mut raw, "/a", CreateMode::Persistent).await;
    create(&mut raw, "/a/b", CreateMode::Persistent).await;
    server.expect_left(&["/a", "/a/b"]).await.unwrap();
    let watch = Request::Exists {
        path: "/c".into(),
        watch: true,
    };
    assert_eq!(raw.call(&watch).await.unwrap(), Err(ErrorCode::NO_NODE));
    let watch = Request::GetChildren {
        path: "/a".into(),
        watch: true,
    };
    raw.call(&watch).await.unwrap().unwrap();
    assert_eq!(server.watches().await.unwrap(), 2);
    let left = server
        .expect_left_within(Duration::ZERO, &["/a"])
        .await
        .unwrap_err();
    assert_eq!(
        left.to_string(),
        r#"left behind: nodes ["/a/b"], 2 watches"#
    );
}

/// The client resumes its session as soon as it is cut off, so the two take it from one another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_expires_although_its_client_resumes_it() {
    let server = TestServer::start().await.unwrap();
    for _ in 0..30 {
        let zk = server.client().await.unwrap();
        let session = zk.session();
        server.expire(session.id()).await.unwrap();
        session.ended().await;
    }
}
