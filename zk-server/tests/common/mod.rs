//! A client of bare frames, so that a test sees what is on the wire.
#![allow(clippy::unwrap_used, reason = "shared by tests")]
#![expect(clippy::disallowed_methods, reason = "tests open sockets")]
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod ensemble;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zk_proto::{
    Acl, ConnectRequest, ConnectResponse, Create, CreateMode, Id, OpCode, Perms, Reader, Record,
    ReplyHeader, Request, RequestHeader, Response, SessionId, Xid, Zxid, split_frame, write_frame,
};
use zk_server::{Config, Running, Server};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a server on a free port with changed settings.
pub(crate) async fn start(dir: &Path, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::dev(dir, 0);
    change(&mut config);
    Server::builder().config(config).start().await.unwrap()
}

/// A handshake for another session.
pub(crate) fn handshake() -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 30_000,
        session_id: SessionId(0),
        password: Bytes::from_static(&[0; 16]),
        read_only: Some(false),
    }
}

/// A handshake that resumes what `response` opened.
pub(crate) fn resume(response: &ConnectResponse) -> ConnectRequest {
    ConnectRequest {
        session_id: response.session_id,
        password: response.password.clone(),
        ..handshake()
    }
}

pub(crate) fn create(path: &str, data: &[u8], mode: CreateMode) -> Request {
    Request::Create(Create {
        op: OpCode::CREATE,
        path: path.to_owned(),
        data: Some(Bytes::copy_from_slice(data)),
        acl: vec![Acl::new(Perms::ALL, Id::anyone())],
        flags: mode.to_flags(),
        ttl_ms: 0,
    })
}

pub(crate) fn get(path: &str) -> Request {
    Request::GetData {
        path: path.to_owned(),
        watch: false,
    }
}

pub(crate) struct RawClient {
    pub(crate) stream: TcpStream,
    input: BytesMut,
    last_xid: i32,
}

impl RawClient {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await;
        Self {
            stream: stream.unwrap().unwrap(),
            input: BytesMut::new(),
            last_xid: 0,
        }
    }

    /// A connection with another session.
    pub(crate) async fn log_in(address: SocketAddr) -> (Self, ConnectResponse) {
        let mut client = Self::connect(address).await;
        let response = client.shake(&handshake()).await.expect("an answer");
        (client, response)
    }

    /// Sends a handshake; `None` when the server closes instead of answering.
    pub(crate) async fn shake(&mut self, request: &ConnectRequest) -> Option<ConnectResponse> {
        let mut out = BytesMut::new();
        write_frame(&mut out, |out| request.encode(out));
        self.write(&out).await;
        let frame = self.frame().await?;
        Some(ConnectResponse::decode(&mut Reader::new(&frame)).unwrap())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    /// Sends requests in one write, numbered on.
    pub(crate) async fn send(&mut self, requests: &[Request]) {
        let mut out = BytesMut::new();
        for request in requests {
            self.last_xid += 1;
            let xid = Xid(self.last_xid);
            let op = request.op();
            write_frame(&mut out, |out| {
                RequestHeader { xid, op }.encode(out);
                request.encode(out);
            });
        }
        self.write(&out).await;
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = split_frame(&mut self.input, usize::MAX).unwrap() {
                return Some(frame);
            }
            let read = self.stream.read_buf(&mut self.input);
            match timeout(PATIENCE, read)
                .await
                .expect("the server answers in time")
            {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next reply or event: its header and what follows.
    pub(crate) async fn reply(&mut self) -> (ReplyHeader, Bytes) {
        let frame = self.frame().await.expect("a reply, not the end");
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader).unwrap();
        (header, reader.rest())
    }

    /// Asks and waits for the answer, which must be a success.
    pub(crate) async fn call(&mut self, request: Request) -> Response {
        let op = request.op();
        self.send(&[request]).await;
        let (header, content) = self.reply().await;
        assert!(header.err.is_ok(), "{op}: {}", header.err);
        Response::decode(op, &mut Reader::new(&content)).unwrap()
    }

    /// Whether the server closed the connection, after nothing but what was read.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.frame().await.is_none() && self.input.is_empty()
    }
}

/// Sends a four-letter word and reads the answer to the end.
pub(crate) async fn ask(address: SocketAddr, word: &str) -> String {
    let mut client = RawClient::connect(address).await;
    client.write(word.as_bytes()).await;
    let mut answer = String::new();
    let read = client.stream.read_to_string(&mut answer);
    timeout(PATIENCE, read).await.unwrap().unwrap();
    answer
}
