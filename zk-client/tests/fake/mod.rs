//! A server that says what its test tells it to, and loses replies where its test wants.
#![expect(clippy::unwrap_used, reason = "a helper of tests")]
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zk_client::{Builder, Client, ErrorCode, OpCode, SessionId, Stat, Zxid};
use zk_proto::{
    ConnectRequest, ConnectResponse, EventType, KeeperState, Reader, Record, ReplyHeader, Request,
    RequestHeader, Response, WatcherEvent, Xid, split_frame, write_frame,
};

/// The timeout that it grants, in ms.
pub(crate) const TIMEOUT_MS: i32 = 30_000;

/// The session that it gives first.
pub(crate) const SESSION: i64 = 7;

/// What a client does it does long before this, on a machine under load too.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("the client does something within 30 s")
}

pub(crate) struct Fake {
    listener: TcpListener,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder().connect(self.address().to_string())
    }

    /// A client and its first link.
    pub(crate) async fn client(&self) -> (Client, Link) {
        let (client, link) = tokio::join!(self.builder().build(), self.accept(SESSION));
        (client.unwrap(), link)
    }

    /// Takes a connection and its handshake, without an answer.
    pub(crate) async fn take(&self) -> (Link, ConnectRequest) {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        let mut link = Link {
            stream,
            input: BytesMut::new(),
            zxid: 100,
        };
        let frame = link.frame().await.expect("a handshake comes first");
        let request = ConnectRequest::decode(&mut Reader::new(&frame)).unwrap();
        (link, request)
    }

    /// Takes a connection and gives it a session.
    pub(crate) async fn accept(&self, session: i64) -> Link {
        let (mut link, _) = self.take().await;
        link.grant(session).await;
        link
    }
}

pub(crate) struct Link {
    stream: TcpStream,
    input: BytesMut,
    zxid: i64,
}

impl Link {
    pub(crate) async fn grant(&mut self, session: i64) {
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: TIMEOUT_MS,
            session_id: SessionId(session),
            password: Bytes::from_static(&[1; 16]),
            read_only: Some(false),
        };
        self.write(|out| response.encode(out)).await;
    }

    async fn write(&mut self, content: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        write_frame(&mut out, content);
        self.stream.write_all(&out).await.unwrap();
    }

    async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = split_frame(&mut self.input, 1 << 20).unwrap() {
                return Some(frame);
            }
            if within(self.stream.read_buf(&mut self.input)).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// The next request; `None` when the client has hung up.
    pub(crate) async fn next(&mut self) -> Option<(Xid, Request)> {
        let frame = self.frame().await?;
        let mut reader = Reader::new(&frame);
        let header = RequestHeader::decode(&mut reader).unwrap();
        Some((
            header.xid,
            Request::decode(header.op, &mut reader, 100).unwrap(),
        ))
    }

    /// The next request, which must be of this kind.
    pub(crate) async fn expect(&mut self, op: OpCode) -> (Xid, Request) {
        let (xid, request) = self.next().await.expect("the client is connected");
        assert_eq!(request.op(), op, "{request:?}");
        (xid, request)
    }

    pub(crate) async fn reply(&mut self, xid: Xid, result: Result<Response, ErrorCode>) {
        self.zxid += 1;
        let header = ReplyHeader {
            xid,
            zxid: Zxid(self.zxid),
            err: result.as_ref().err().copied().unwrap_or(ErrorCode::OK),
        };
        self.write(|out| {
            header.encode(out);
            if let Ok(response) = &result {
                response.encode(out);
            }
        })
        .await;
    }

    pub(crate) async fn event(&mut self, event: EventType, path: &str) {
        self.zxid += 1;
        let header = ReplyHeader {
            xid: Xid::NOTIFICATION,
            zxid: Zxid(self.zxid),
            err: ErrorCode::OK,
        };
        let event = WatcherEvent {
            event,
            state: KeeperState::SyncConnected,
            path: path.to_owned(),
        };
        self.write(|out| {
            header.encode(out);
            event.encode(out);
        })
        .await;
    }

    /// The next request, which must be a sequential create: its number and the path with `seq`.
    pub(crate) async fn expect_create(&mut self, seq: i32) -> (Xid, String) {
        let (xid, request) = self.expect(OpCode::CREATE2).await;
        (xid, completed(&request, seq))
    }

    /// Answers a create: the znode is there, of this owner.
    pub(crate) async fn reply_created(&mut self, xid: Xid, path: &str, owner: i64) {
        let reply = Response::PathAndStat(path.to_owned(), owned_by(owner));
        self.reply(xid, Ok(reply)).await;
    }

    /// Answers a delete of this path.
    pub(crate) async fn expect_delete(&mut self, path: &str) {
        let (xid, request) = self.expect(OpCode::DELETE).await;
        assert!(
            matches!(&request, Request::Delete { path: seen, .. } if seen == path),
            "{request:?}"
        );
        self.reply(xid, Ok(Response::Empty)).await;
    }

    /// Answers a sync and a list of children, as whoever looks for a lost create sends them.
    pub(crate) async fn expect_lookup(&mut self, parent: &str, names: &[String], list: OpCode) {
        let (xid, request) = self.expect(OpCode::SYNC).await;
        assert_eq!(
            request,
            Request::Sync {
                path: parent.to_owned()
            }
        );
        self.reply(xid, Ok(Response::Path(parent.to_owned()))).await;
        let (xid, _) = self.expect(list).await;
        let names = names.iter().map(Into::into).collect();
        let children = match list {
            OpCode::GET_CHILDREN => Response::Children(names),
            _ => Response::ChildrenAndStat(names, Stat::default()),
        };
        self.reply(xid, Ok(children)).await;
    }

    /// Answers an exists with a znode of this owner.
    pub(crate) async fn expect_exists(&mut self, path: &str, owner: i64) {
        let (xid, request) = self.expect(OpCode::EXISTS).await;
        assert!(
            matches!(&request, Request::Exists { path: seen, .. } if seen == path),
            "{request:?}"
        );
        self.reply(xid, Ok(Response::Stat(owned_by(owner)))).await;
    }
}

pub(crate) fn owned_by(owner: i64) -> Stat {
    Stat {
        czxid: Zxid(42),
        ephemeral_owner: owner,
        ..Stat::default()
    }
}

/// The path that a create asks for.
pub(crate) fn created_path(request: &Request) -> String {
    match request {
        Request::Create(create) => create.path.clone(),
        other => panic!("{other:?}"),
    }
}

/// The same, completed as the server does for a sequential znode.
pub(crate) fn completed(request: &Request, seq: i32) -> String {
    format!("{}{seq:010}", created_path(request))
}
