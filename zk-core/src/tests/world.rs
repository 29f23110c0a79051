//! A server, a disk that flushes when told, a clock that goes when told, and clients.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use zk_proto::{
    ConnectRequest, ConnectResponse, DecodeError, ErrorCode, OpCode, Reader, Record, ReplyHeader,
    Request, RequestHeader, Response, SessionId, TxnRecord, Xid, Zxid,
};

use crate::tree::{Recovered, Replay, TreeOptions};
use crate::{CloseReason, ConnId, Core, CoreConfig, Effect, Incoming, Input, Now};

pub(super) struct World {
    pub(super) server: Core,
    pub(super) config: CoreConfig,
    pub(super) now: Now,
    /// Everything appended.
    pub(super) log: Vec<TxnRecord>,
    /// Everything else that is to be done, in order.
    pub(super) done: Vec<Effect>,
    conns: u64,
    xid: i32,
}

/// A connected client.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) conn: ConnId,
    pub(super) session: SessionId,
    pub(super) password: Bytes,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(CoreConfig::default())
    }

    pub(super) fn with(config: CoreConfig) -> Self {
        let recovered = Replay::empty(options(&config)).finish();
        Self::on(config, recovered)
    }

    pub(super) fn on(config: CoreConfig, recovered: Recovered) -> Self {
        let now = Now {
            monotonic: Duration::from_secs(1_000),
            wall_ms: 1_700_000_000_000,
        };
        Self {
            server: Core::standalone(config.clone(), recovered, now),
            config,
            now,
            log: Vec::new(),
            done: Vec::new(),
            conns: 0,
            xid: 0,
        }
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.server.handle(self.now, input);
        for effect in self.server.drain_effects() {
            if let Effect::Append { zxid, record } = effect {
                let mut reader = Reader::new(&record);
                let record = TxnRecord::decode(&mut reader).unwrap();
                assert_eq!(reader.remaining(), 0);
                assert_eq!(record.header.zxid, zxid);
                if let Some(last) = self.log.last() {
                    assert_eq!(zxid, last.header.zxid.next(), "the log has no gap");
                }
                self.log.push(record);
            } else {
                self.done.push(effect);
            }
        }
    }

    /// What is to be done since the last time.
    pub(super) fn take(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.done)
    }

    /// The same as lines of text.
    pub(super) fn take_text(&mut self) -> Vec<String> {
        self.take().iter().map(text).collect()
    }

    pub(super) fn flush(&mut self) {
        if let Some(last) = self.log.last() {
            let zxid = last.header.zxid;
            self.handle(Input::Flushed { zxid });
        }
    }

    pub(super) fn tick(&mut self, millis: u64) {
        self.now.monotonic += Duration::from_millis(millis);
        self.now.wall_ms += i64::try_from(millis).unwrap();
        self.handle(Input::Tick);
    }

    pub(super) fn hello(&mut self, request: ConnectRequest) -> ConnId {
        self.hello_from("127.0.0.1", request)
    }

    pub(super) fn hello_from(&mut self, peer: &str, request: ConnectRequest) -> ConnId {
        self.conns += 1;
        let conn = ConnId(self.conns);
        self.handle(Input::Connect {
            conn,
            peer: peer.parse().unwrap(),
            request,
        });
        conn
    }

    pub(super) fn connect(&mut self) -> Client {
        self.connect_from("127.0.0.1")
    }

    pub(super) fn connect_from(&mut self, peer: &str) -> Client {
        self.take();
        let conn = self.hello_from(peer, connect_request(10_000));
        self.flush();
        let response = self.accepted(conn);
        Client {
            conn,
            session: response.session_id,
            password: response.password,
        }
    }

    /// Comes back on another connection.
    pub(super) fn reconnect(&mut self, client: &Client) -> Client {
        let conn = self.hello(ConnectRequest {
            session_id: client.session,
            password: client.password.clone(),
            ..connect_request(10_000)
        });
        Client {
            conn,
            ..client.clone()
        }
    }

    pub(super) fn accepted(&mut self, conn: ConnId) -> ConnectResponse {
        let accepted = self.take().into_iter().find_map(|effect| match effect {
            Effect::Accept { conn: to, response } if to == conn => Some(response),
            _ => None,
        });
        accepted.expect("the handshake is answered")
    }

    pub(super) fn send(&mut self, client: &Client, request: Request) -> Xid {
        self.xid += 1;
        let xid = Xid(self.xid);
        self.handle(Input::Requests {
            conn: client.conn,
            requests: [incoming(xid, request)].into(),
        });
        xid
    }

    pub(super) fn send_broken(&mut self, client: &Client, op: OpCode) -> Xid {
        self.xid += 1;
        let xid = Xid(self.xid);
        self.handle(Input::Requests {
            conn: client.conn,
            requests: [Incoming {
                header: RequestHeader { xid, op },
                request: Err(DecodeError::BadString),
            }]
            .into(),
        });
        xid
    }

    /// Asks, flushes, and gives the answer with its header.
    pub(super) fn call_full(
        &mut self,
        client: &Client,
        request: Request,
    ) -> (ReplyHeader, Response) {
        let xid = self.send(client, request);
        self.flush();
        let reply = self.done.iter().find_map(|effect| match effect {
            Effect::Reply {
                conn,
                header,
                response,
            } if *conn == client.conn && (header.xid == xid || header.xid == Xid::PING) => {
                Some((*header, response.clone()))
            }
            _ => None,
        });
        reply.expect("the request is answered")
    }

    /// Asks, flushes, and gives the answer.
    pub(super) fn call(
        &mut self,
        client: &Client,
        request: Request,
    ) -> Result<Response, ErrorCode> {
        let (header, response) = self.call_full(client, request);
        if header.err.is_ok() {
            Ok(response)
        } else {
            assert_eq!(response, Response::Empty, "an error has no content");
            Err(header.err)
        }
    }

    /// What a restart would find on disk.
    pub(super) fn recover(&self) -> Recovered {
        recover(&self.config, &self.log)
    }
}

pub(super) fn recover(config: &CoreConfig, log: &[TxnRecord]) -> Recovered {
    let mut replay = Replay::empty(options(config));
    for record in log {
        replay.replay(record).unwrap();
    }
    replay.finish()
}

fn options(config: &CoreConfig) -> TreeOptions {
    TreeOptions {
        extended_types: config.extended_types,
        hash_seed: 1,
    }
}

pub(super) fn incoming(xid: Xid, request: Request) -> Incoming {
    Incoming {
        header: RequestHeader {
            xid,
            op: request.op(),
        },
        request: Ok(request),
    }
}

pub(super) fn connect_request(timeout_ms: i32) -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session_id: SessionId(0),
        password: Bytes::new(),
        read_only: Some(false),
    }
}

/// An effect as one line.
pub(super) fn text(effect: &Effect) -> String {
    match effect {
        Effect::Accept { conn, response } => {
            format!("accept {} {}", conn.0, response.timeout_ms)
        }
        Effect::Reply { conn, header, .. } => {
            let (xid, zxid) = (header.xid.0, header.zxid.0);
            format!("reply {} x{xid} z{zxid} {}", conn.0, header.err.name())
        }
        Effect::Notify { conns, zxid, event } => {
            let conns: Vec<u64> = conns.iter().map(|conn| conn.0).collect();
            format!("{:?} {} z{} to {conns:?}", event.event, event.path, zxid.0)
        }
        Effect::Close { conn, reason } => {
            let reason = match reason {
                CloseReason::Limit(what) => format!("limit {what}"),
                other => format!("{other:?}"),
            };
            format!("close {} {reason}", conn.0)
        }
        Effect::Append { zxid, .. } => format!("append z{}", zxid.0),
        Effect::Snapshot(view) => format!("snapshot z{}", view.zxid.0),
        Effect::QuotaExceeded(exceeded) => {
            let hard = if exceeded.is_hard { "hard" } else { "soft" };
            let (path, what) = (&exceeded.path, exceeded.what);
            let (usage, limit) = (exceeded.usage, exceeded.limit);
            format!("{hard} quota of {path}: {usage} {what:?}, limit {limit}")
        }
        Effect::Quorum(_) | Effect::Halt(_) => unreachable!("the server is alone"),
    }
}
