//! The order of answers.

use alloc::vec;
use alloc::vec::Vec;

use zk_proto::{OpCode, Request, Response, Zxid};

use super::world::{World, incoming};
use super::{addauth, create, delete, exists, get_data, set_data, sync};
use crate::{Effect, Input};
use zk_proto::Xid;

#[test]
fn a_write_is_answered_when_it_is_on_disk_and_not_before() {
    let mut world = World::new();
    let client = world.connect();
    world.send(&client, create("/a"));
    assert_eq!(world.take_text(), [""; 0]);
    assert_eq!(world.server.outstanding(), 1);
    world.flush();
    assert_eq!(world.take_text(), ["reply 1 x1 z2 OK"]);
    assert_eq!(world.server.outstanding(), 0);
}

#[test]
fn writes_are_appended_before_the_ones_before_are_flushed() {
    let mut world = World::new();
    let client = world.connect();
    for path in ["/a", "/a/b", "/a/b/c"] {
        world.send(&client, create(path));
    }
    assert_eq!(world.log.len(), 4);
    world.handle(Input::Flushed { zxid: Zxid(3) });
    assert_eq!(world.take_text(), ["reply 1 x1 z2 OK", "reply 1 x2 z3 OK"]);
    world.flush();
    assert_eq!(world.take_text(), ["reply 1 x3 z4 OK"]);
}

#[test]
fn a_read_runs_at_once_when_its_session_has_no_write_pending() {
    let mut world = World::new();
    let (writer, reader) = (world.connect(), world.connect());
    world.send(&writer, create("/a"));
    world.take();
    world.send(&reader, exists("/a", false));
    assert_eq!(world.take_text(), ["reply 2 x2 z2 NONODE"]);
}

#[test]
fn each_read_sees_its_sessions_writes_before_it_and_none_after_it() {
    let mut world = World::new();
    let client = world.connect();
    let requests = vec![
        incoming(Xid(1), create("/a")),
        incoming(Xid(2), get_data("/a", false)),
        incoming(Xid(3), set_data("/a", "one")),
        incoming(Xid(4), get_data("/a", false)),
        incoming(Xid(5), delete("/a")),
        incoming(Xid(6), Request::Ping),
        incoming(Xid(7), exists("/a", false)),
    ];
    let conn = client.conn;
    world.handle(Input::Requests { conn, requests });
    world.flush();
    let replies = world.take();
    let texts: Vec<_> = replies.iter().map(super::world::text).collect();
    assert_eq!(
        texts,
        [
            "reply 1 x1 z2 OK",
            "reply 1 x2 z2 OK",
            "reply 1 x3 z3 OK",
            "reply 1 x4 z3 OK",
            "reply 1 x5 z4 OK",
            "reply 1 x-2 z4 OK",
            "reply 1 x7 z4 NONODE",
        ]
    );
    let data = replies.iter().filter_map(|effect| match effect {
        Effect::Reply {
            response: Response::Data(data, _),
            ..
        } => data.clone(),
        _ => None,
    });
    assert_eq!(data.collect::<Vec<_>>(), ["", "one"]);
}

#[test]
fn refusals_and_malformed_requests_keep_their_place() {
    let mut world = World::new();
    let client = world.connect();
    world.send(&client, create("/a"));
    world.send_broken(&client, OpCode::GET_DATA);
    world.send_broken(&client, OpCode::CREATE);
    world.send(&client, delete("/missing"));
    world.send(&client, sync());
    world.flush();
    assert_eq!(
        world.take_text(),
        [
            "reply 1 x1 z2 OK",
            "reply 1 x2 z2 MARSHALLINGERROR",
            "reply 1 x3 z2 MARSHALLINGERROR",
            "reply 1 x4 z3 NONODE",
            "reply 1 x5 z3 OK",
        ]
    );
}

#[test]
fn the_answer_to_auth_waits_but_its_proof_counts_at_once() {
    let mut world = World::new();
    let client = world.connect();
    world.send(&client, create("/a"));
    world.send(&client, addauth("a:b"));
    let acl = vec![super::entry(zk_proto::Perms::ALL, "auth", "")];
    world.send(&client, super::create_with("/b", "", acl));
    assert_eq!(world.take_text(), [""; 0]);
    world.flush();
    assert_eq!(
        world.take_text(),
        ["reply 1 x1 z2 OK", "reply 1 x2 z0 OK", "reply 1 x3 z3 OK"]
    );
}

#[test]
fn a_failed_auth_is_answered_behind_the_writes_and_closes() {
    let mut world = World::new();
    let client = world.connect();
    world.send(&client, create("/a"));
    world.send(
        &client,
        Request::Auth(zk_proto::Auth {
            kind: 0,
            scheme: "kerberos".into(),
            auth: bytes::Bytes::new(),
        }),
    );
    world.send(&client, create("/not-heard"));
    world.flush();
    assert_eq!(
        world.take_text(),
        [
            "reply 1 x1 z2 OK",
            "reply 1 x2 z0 AUTHFAILED",
            "close 1 AuthFailed { scheme: \"kerberos\" }"
        ]
    );
    assert_eq!(world.log.len(), 2);
    assert_eq!(world.server.counters().auth_failed, 1);
}

#[test]
fn an_operation_that_is_none_is_answered_in_its_place_and_closes() {
    let mut world = World::new();
    let client = world.connect();
    world.send(&client, create("/a"));
    world.send(&client, Request::Unsupported(OpCode(13)));
    world.send(&client, Request::Ping);
    world.flush();
    assert_eq!(
        world.take_text(),
        [
            "reply 1 x1 z2 OK",
            "reply 1 x2 z-1 UNIMPLEMENTED",
            "close 1 Unsupported(OpCode(13))"
        ]
    );
}

#[test]
fn a_session_that_moved_sees_the_writes_of_its_old_connection() {
    let mut world = World::new();
    let client = world.connect();
    world.send(&client, create("/a"));
    let moved = world.reconnect(&client);
    world.send(&moved, exists("/a", false));
    assert_eq!(
        world.take_text(),
        ["close 1 SessionMoved", "accept 2 10000"]
    );
    world.flush();
    assert_eq!(world.take_text(), ["reply 2 x2 z2 OK"]);
}

#[test]
fn sasl_without_a_mechanism_proves_nothing_and_is_answered() {
    let mut world = World::new();
    let client = world.connect();
    let (header, response) = world.call_full(&client, Request::Sasl { token: None });
    assert_eq!((header.zxid, response), (Zxid(0), Response::Token(None)));
}
