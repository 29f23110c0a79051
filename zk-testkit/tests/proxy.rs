//! Each fault of the proxy strikes where it is aimed, and nowhere else. The server here answers
//! every request with success, so that only the proxy decides what happens.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zk_proto::{
    ConnectRequest, ConnectResponse, ErrorCode, OpCode, Reader, Record, ReplyHeader, Request,
    RequestHeader, Response, SessionId, Zxid, session_password, split_frame, write_frame,
};
use zk_testkit::{Content, Direction, FaultProxy, RawSession};

struct Canned {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Canned {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&counter)));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// A session that is asked for is resumed; the next id is 1.
async fn answer(mut stream: TcpStream, requests: Arc<AtomicUsize>) -> io::Result<()> {
    let (mut input, mut connected) = (BytesMut::new(), false);
    loop {
        while let Some(frame) = split_frame(&mut input, 1 << 20).unwrap() {
            let mut reader = Reader::new(&frame);
            let mut output = BytesMut::new();
            if connected {
                let request = RequestHeader::decode(&mut reader).unwrap();
                requests.fetch_add(1, Ordering::SeqCst);
                let reply = ReplyHeader {
                    xid: request.xid,
                    zxid: Zxid(1),
                    err: ErrorCode::OK,
                };
                write_frame(&mut output, |out| reply.encode(out));
            } else {
                let connect = ConnectRequest::decode(&mut reader).unwrap();
                let session_id = SessionId(connect.session_id.0.max(1));
                let response = ConnectResponse {
                    protocol_version: 0,
                    timeout_ms: connect.timeout_ms,
                    session_id,
                    password: session_password(session_id).to_vec().into(),
                    read_only: Some(false),
                };
                write_frame(&mut output, |out| response.encode(out));
                connected = true;
            }
            stream.write_all(&output).await?;
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

async fn world() -> (Canned, FaultProxy, RawSession) {
    let server = Canned::start().await;
    let proxy = FaultProxy::start(server.address).await.unwrap();
    let session = open(&proxy).await.unwrap();
    (server, proxy, session)
}

async fn open(proxy: &FaultProxy) -> io::Result<RawSession> {
    RawSession::open(proxy.address(), Duration::from_secs(10)).await
}

fn delete() -> Request {
    Request::Delete {
        path: "/a".into(),
        version: -1,
    }
}

#[tokio::test]
async fn what_passes_is_recorded_in_order() {
    let (_server, proxy, mut session) = world().await;
    let seen = proxy.wait_for(OpCode::DELETE);
    assert_eq!(session.call(&delete()).await.unwrap(), Ok(Response::Empty));
    assert_eq!(seen.await.connection, 0);
    let frames: Vec<_> = proxy
        .frames()
        .into_iter()
        .map(|frame| frame.content)
        .collect();
    assert!(matches!(
        &frames[..],
        [
            Content::Connect(_),
            Content::Connected(_),
            Content::Request { request, .. },
            Content::Reply { op: OpCode::DELETE, response: Some(Response::Empty), .. },
        ] if *request == delete()
    ));
}

#[tokio::test]
async fn a_dropped_reply_belongs_to_a_request_that_the_server_has() {
    let (server, proxy, mut session) = world().await;
    let fault = proxy.drop_reply(OpCode::DELETE);
    session.call(&Request::Ping).await.unwrap().unwrap();
    session.call(&delete()).await.unwrap_err();
    fault.struck().await;
    assert_eq!(server.requests(), 2);
    proxy.wait_for_connections(0).await;
    let mut again = open(&proxy).await.unwrap();
    again.call(&delete()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_request_never_reaches_the_server() {
    let (server, proxy, mut session) = world().await;
    let fault = proxy.drop_request(OpCode::DELETE);
    session.call(&delete()).await.unwrap_err();
    fault.struck().await;
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn a_fault_whose_handle_is_dropped_never_strikes() {
    let (_server, proxy, mut session) = world().await;
    drop(proxy.drop_reply(OpCode::DELETE));
    drop(proxy.drop_request(OpCode::DELETE));
    drop(proxy.cut_after(Direction::ToServer, 1));
    session.call(&delete()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cut_ends_the_connections_of_its_time() {
    let (_server, proxy, mut session) = world().await;
    proxy.cut();
    session.call(&delete()).await.unwrap_err();
    let mut again = open(&proxy).await.unwrap();
    again.call(&delete()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cut_after_bytes_lets_exactly_these_through() {
    let server = Canned::start().await;
    let proxy = FaultProxy::start(server.address).await.unwrap();
    let response_bytes = 4 + 37;
    for (bytes, whole) in [(response_bytes - 1, false), (response_bytes, true)] {
        let fault = proxy.cut_after(Direction::ToClient, bytes);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 1000,
            session_id: SessionId(0),
            password: vec![0; 16].into(),
            read_only: Some(false),
        };
        let mut output = BytesMut::new();
        write_frame(&mut output, |out| connect.encode(out));
        stream.write_all(&output).await.unwrap();
        let mut input = BytesMut::new();
        while stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {}
        fault.struck().await;
        assert_eq!(input.len(), bytes);
        assert_eq!(split_frame(&mut input, 100).unwrap().is_some(), whole);
    }
}

#[tokio::test]
async fn held_frames_pass_when_they_are_released() {
    let (server, proxy, mut session) = world().await;
    let hold = proxy.hold(Direction::ToClient);
    let request = delete();
    let passed = proxy.wait_for(OpCode::DELETE);
    let mut call = Box::pin(session.call(&request));
    assert!((&mut call).now_or_never().is_none());
    passed.await;
    assert!((&mut call).now_or_never().is_none());
    drop(hold);
    call.await.unwrap().unwrap();
    let hold = proxy.hold(Direction::ToServer);
    assert!(session.call(&request).now_or_never().is_none());
    assert_eq!(server.requests(), 1);
    let passed = proxy.wait_for(OpCode::DELETE);
    drop(hold);
    passed.await;
}

#[tokio::test(start_paused = true)]
async fn delayed_frames_come_late() {
    let (_server, proxy, mut session) = world().await;
    let before = tokio::time::Instant::now();
    proxy.delay(Direction::ToServer, Duration::from_secs(60));
    session.call(&delete()).await.unwrap().unwrap();
    assert!(before.elapsed() >= Duration::from_secs(60));
}

#[tokio::test]
async fn refused_connections_get_no_session() {
    let (_server, proxy, mut session) = world().await;
    let refusal = proxy.refuse();
    open(&proxy).await.unwrap_err();
    session.call(&delete()).await.unwrap().unwrap();
    drop(refusal);
    open(&proxy).await.unwrap();
}

#[tokio::test]
async fn a_resumed_session_can_be_made_another_one() {
    let (_server, proxy, _session) = world().await;
    let fault = proxy.new_session_on_resume();
    let resume = || RawSession::resume(proxy.address(), SessionId(77));
    assert_eq!(resume().await.unwrap().unwrap().id(), SessionId(1));
    fault.struck().await;
    assert_eq!(resume().await.unwrap().unwrap().id(), SessionId(77));
}
