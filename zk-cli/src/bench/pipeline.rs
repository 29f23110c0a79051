//! Reads, writes and creations: windows of prepared frames.
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{bail, ensure};
use bytes::{Bytes, BytesMut};
use rand::RngExt;
use rand::rngs::StdRng;
use zk_proto::{
    Acl, Create, CreateMode, ErrorCode, OpCode, Reader, Record, ReplyHeader, Request,
    RequestHeader, Xid, write_frame,
};

use super::run::{Keys, Phase, Session};
use super::wire::Connection;
use super::{BenchArgs, Workload};

/// A request as bytes, complete but for its number and the znode.
struct Template {
    op: OpCode,
    frame: BytesMut,
    key_at: usize,
}

/// Length, xid and op come before the path's length, and that before the path.
const XID_AT: usize = 4;
const PATH_AT: usize = 16;

impl Template {
    fn new(keys: &Keys, request: &Request) -> Self {
        let mut frame = BytesMut::new();
        let op = request.op();
        write_frame(&mut frame, |out| {
            RequestHeader { xid: Xid(0), op }.encode(out);
            request.encode(out);
        });
        let key_at = PATH_AT + keys.digits_at();
        Self { op, frame, key_at }
    }

    fn stamp(&self, xid: Xid, digits: &[u8], out: &mut BytesMut) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        for (at, bytes) in [(XID_AT, &xid.0.to_be_bytes()[..]), (self.key_at, digits)] {
            let at = start + at;
            out.get_mut(at..at + bytes.len())
                .expect("a template holds its number and its key")
                .copy_from_slice(bytes);
        }
    }
}

/// The three kinds of requests, prepared.
struct Templates {
    read: Template,
    write: Template,
    create: Template,
    value_bytes: usize,
}

impl Templates {
    fn new(keys: &Keys, value_bytes: usize) -> Self {
        let path = keys.path(0);
        let value = Bytes::from(vec![b'v'; value_bytes]);
        let request = |request| Template::new(keys, &request);
        Self {
            read: request(Request::GetData {
                path: path.clone(),
                watch: false,
            }),
            write: request(Request::SetData {
                path: path.clone(),
                data: Some(value.clone()),
                version: -1,
            }),
            create: request(create(path, value)),
            value_bytes,
        }
    }
}

/// A request that creates a persistent znode that is open to everybody.
pub(crate) fn create(path: String, data: Bytes) -> Request {
    Request::Create(Create {
        op: OpCode::CREATE,
        path,
        data: Some(data),
        acl: vec![Acl::open()],
        flags: CreateMode::Persistent.to_flags(),
        ttl_ms: 0,
    })
}

/// Requests without a reply, oldest first.
#[derive(Default)]
struct Window(VecDeque<(Xid, OpCode, Instant)>);

impl Window {
    fn send(
        &mut self,
        connection: &mut Connection,
        template: &Template,
        digits: &[u8],
        now: Instant,
    ) {
        let xid = connection.next_xid();
        template.stamp(xid, digits, connection.output());
        self.0.push_back((xid, template.op, now));
    }

    /// Takes the next reply that is there: what it answers, and since when that was under way.
    fn receive(
        &mut self,
        connection: &mut Connection,
        value_bytes: usize,
    ) -> anyhow::Result<Option<(OpCode, Instant)>> {
        let Some(frame) = connection.next_frame()? else {
            return Ok(None);
        };
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader)?;
        let Some((xid, op, sent)) = self.0.pop_front() else {
            bail!("reply {} to no request", header.xid.0);
        };
        ensure!(
            header.xid == xid,
            "reply {} where {} was due",
            header.xid.0,
            xid.0
        );
        ensure!(
            header.err.is_ok(),
            "{}: the server says {}",
            op.name(),
            header.err
        );
        if op == OpCode::GET_DATA {
            let length = reader.slice()?.map_or(0, <[u8]>::len);
            ensure!(
                length == value_bytes,
                "{length} bytes read, {value_bytes} expected"
            );
        }
        Ok(Some((op, sent)))
    }
}

/// Keeps a window of random reads and writes full until the end.
pub(crate) async fn drive(
    connection: &mut Connection,
    args: &BenchArgs,
    session: &Session,
    mut random: StdRng,
) -> anyhow::Result<()> {
    let templates = Templates::new(&session.keys, args.value_bytes);
    let read_percent = match args.workload {
        Workload::Write => 0,
        Workload::Mix => args.read_percent,
        _ => 100,
    };
    let mut window = Window::default();
    loop {
        let phase = session.phase();
        if phase == Phase::Stop && window.0.is_empty() {
            return Ok(());
        }
        if phase != Phase::Stop {
            let now = Instant::now();
            while window.0.len() < args.in_flight {
                let key = random.random_range(0..session.keys.count());
                let reads = random.random_range(0..100) < read_percent;
                let template = if reads {
                    &templates.read
                } else {
                    &templates.write
                };
                window.send(connection, template, &session.keys.digits(key), now);
            }
        }
        connection.exchange().await?;
        let now = Instant::now();
        while let Some((op, sent)) = window.receive(connection, templates.value_bytes)? {
            session.record(phase, op, now - sent);
        }
    }
}

/// Creates the znodes `keys`, in order.
pub(crate) async fn fill(
    connection: &mut Connection,
    args: &BenchArgs,
    session: &Session,
    keys: std::ops::Range<usize>,
) -> anyhow::Result<()> {
    let templates = Templates::new(&session.keys, args.value_bytes);
    let mut window = Window::default();
    let mut left = keys;
    while !(left.is_empty() && window.0.is_empty()) {
        let now = Instant::now();
        while window.0.len() < args.in_flight
            && let Some(key) = left.next()
        {
            window.send(
                connection,
                &templates.create,
                &session.keys.digits(key),
                now,
            );
        }
        connection.exchange().await?;
        let now = Instant::now();
        while let Some((op, sent)) = window.receive(connection, args.value_bytes)? {
            session.record(Phase::Measure, op, now - sent);
            session.progress(1);
        }
    }
    Ok(())
}

/// Deletes all znodes; those that are gone already do not matter.
pub(crate) async fn clear(
    connection: &mut Connection,
    args: &BenchArgs,
    session: &Session,
) -> anyhow::Result<()> {
    let delete = Request::Delete {
        path: session.keys.path(0),
        version: -1,
    };
    let template = Template::new(&session.keys, &delete);
    let (mut left, mut on_the_way) = (0..session.keys.count(), 0);
    while !(left.is_empty() && on_the_way == 0) {
        while on_the_way < args.in_flight
            && let Some(key) = left.next()
        {
            let xid = connection.next_xid();
            template.stamp(xid, &session.keys.digits(key), connection.output());
            on_the_way += 1;
        }
        connection.exchange().await?;
        while let Some(frame) = connection.next_frame()? {
            let header = ReplyHeader::decode(&mut Reader::new(&frame))?;
            let gone = matches!(header.err, ErrorCode::OK | ErrorCode::NO_NODE);
            ensure!(gone, "delete: the server says {}", header.err);
            on_the_way -= 1;
            session.progress(1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamped_template_is_the_request() {
        let keys = Keys::new("/b", 5000);
        let templates = Templates::new(&keys, 3);
        let mut out = BytesMut::from(&b"before"[..]);
        templates.write.stamp(Xid(7), &keys.digits(4321), &mut out);
        let mut expected = BytesMut::from(&b"before"[..]);
        write_frame(&mut expected, |out| {
            RequestHeader {
                xid: Xid(7),
                op: OpCode::SET_DATA,
            }
            .encode(out);
            Request::SetData {
                path: "/b/0004/321".to_owned(),
                data: Some(Bytes::from_static(b"vvv")),
                version: -1,
            }
            .encode(out);
        });
        assert_eq!(out, expected);
    }
}
