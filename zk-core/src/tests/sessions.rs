//! Sessions begin, come back, move, expire and close.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use zk_proto::{
    ConnectRequest, CreateMode, MultiOp, OpCode, Request, Response, SessionId, Txn, Xid, Zxid,
    session_password,
};

use super::world::{World, connect_request, incoming};
use super::{create, create_as, create_mode, delete, delete_op, exists, strings};
use crate::{CoreConfig, Input};
use core::time::Duration;

fn closed_paths(world: &World) -> Vec<alloc::string::String> {
    match &world.log.last().unwrap().txn {
        Txn::CloseSession { paths: Some(paths) } => paths.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_is_accepted_when_it_is_on_disk() {
    let mut world = World::new();
    let conn = world.hello(connect_request(10_000));
    assert_eq!(world.take_text(), [""; 0]);
    assert_eq!(world.log[0].txn, Txn::CreateSession { timeout_ms: 10_000 });
    world.flush();
    let response = world.accepted(conn);
    assert_eq!(response.timeout_ms, 10_000);
    assert_eq!(response.session_id, world.log[0].header.session);
    assert_eq!(response.password, session_password(response.session_id)[..]);
    assert_eq!(response.read_only, Some(false));
    assert_eq!(response.session_id.0 >> 56, 1, "the server's number");
}

#[test]
fn timeouts_are_clamped() {
    let mut world = World::new();
    for (asked, granted) in [(-1, 6_000), (1, 6_000), (7_000, 7_000), (i32::MAX, 60_000)] {
        let conn = world.hello(connect_request(asked));
        world.flush();
        assert_eq!(world.accepted(conn).timeout_ms, granted);
    }
}

#[test]
fn a_client_without_the_read_only_byte_gets_none() {
    let mut world = World::new();
    let conn = world.hello(ConnectRequest {
        read_only: None,
        ..connect_request(10_000)
    });
    world.flush();
    assert_eq!(world.accepted(conn).read_only, None);
}

#[test]
fn a_client_ahead_of_the_server_is_closed_without_an_answer() {
    let mut world = World::new();
    world.connect();
    world.hello(ConnectRequest {
        last_zxid_seen: Zxid(2),
        ..connect_request(10_000)
    });
    assert_eq!(
        world.take_text(),
        ["close 2 ClientAhead { seen: Zxid(2), ours: Zxid(1) }"]
    );
    world.hello(ConnectRequest {
        last_zxid_seen: Zxid(1),
        ..connect_request(10_000)
    });
    world.flush();
    assert_eq!(world.take_text(), ["accept 3 10000"]);
}

#[test]
fn a_wrong_password_or_session_is_refused_and_disturbs_nobody() {
    let mut world = World::new();
    let client = world.connect();
    let mut one_bit_off = client.password.to_vec();
    one_bit_off[15] ^= 1;
    for (session_id, password) in [
        (client.session, Bytes::new()),
        (client.session, Bytes::from_static(&[0; 16])),
        (client.session, [&client.password[..], b"x"].concat().into()),
        (client.session, one_bit_off.into()),
        (
            SessionId(77),
            session_password(SessionId(77)).to_vec().into(),
        ),
    ] {
        let conn = world.hello(ConnectRequest {
            session_id,
            password,
            ..connect_request(10_000)
        });
        assert_eq!(
            world.take_text(),
            [
                alloc::format!("accept {} 0", conn.0),
                alloc::format!("close {} SessionRefused", conn.0)
            ]
        );
    }
    assert!(world.call(&client, Request::Ping).is_ok());
}

#[test]
fn a_session_that_comes_back_leaves_its_old_connection() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, exists("/a", true)).unwrap_err();
    let moved = world.reconnect(&client);
    world.take();
    world.handle(Input::Requests {
        conn: client.conn,
        requests: vec![incoming(Xid(9), create("/late"))],
    });
    assert_eq!(world.log.len(), 1, "the old connection is not heard");
    world.call(&moved, create("/a")).unwrap();
    assert_eq!(
        world.take_text(),
        ["reply 2 x2 z2 OK"],
        "watches died with it"
    );
    world.handle(Input::Disconnected { conn: client.conn });
    assert!(world.call(&moved, Request::Ping).is_ok());
    assert_eq!(world.server.counters().resumptions, 1);
}

#[test]
fn sessions_outlive_their_connection_and_the_server() {
    let mut world = World::new();
    let client = world.connect();
    world
        .call(&client, create_mode("/e", CreateMode::Ephemeral))
        .unwrap();
    world.handle(Input::Disconnected { conn: client.conn });
    assert_eq!(world.server.global_session_count(), 1);
    let mut world = World::on(CoreConfig::default(), world.recover());
    let client = world.reconnect(&client);
    assert_eq!(world.take_text(), ["accept 1 10000"]);
    assert!(world.call(&client, exists("/e", false)).is_ok());
}

#[test]
fn a_recovered_session_expires_after_its_whole_timeout() {
    let mut world = World::new();
    world.connect();
    let mut world = World::on(CoreConfig::default(), world.recover());
    world.tick(9_999);
    assert_eq!(world.log.len(), 0);
    world.tick(3_001);
    assert_eq!(world.log.len(), 1);
}

#[test]
fn a_session_expires_through_the_log() {
    let mut world = World::new();
    let client = world.connect();
    world
        .call(&client, create_mode("/e", CreateMode::Ephemeral))
        .unwrap();
    world.take();
    let deadline = world.server.next_deadline().unwrap();
    assert_eq!(deadline, Duration::from_secs(1_011));
    world.tick(10_999);
    assert_eq!(world.log.len(), 2);
    world.tick(1);
    assert_eq!(closed_paths(&world), ["/e"]);
    assert_eq!(world.log.last().unwrap().header.cxid, Xid(0));
    assert!(world.server.tree().get("/e").is_some());
    world.flush();
    assert_eq!(world.take_text(), ["close 1 SessionExpired"]);
    assert!(world.server.tree().get("/e").is_none());
    assert_eq!(world.server.global_session_count(), 0);
    assert_eq!(world.server.counters().sessions_expired, 1);
}

#[test]
fn any_request_keeps_a_session_alive() {
    let mut world = World::new();
    let client = world.connect();
    for _ in 0..20 {
        world.tick(5_000);
        world.call(&client, Request::Ping).unwrap();
    }
    assert_eq!(world.server.global_session_count(), 1);
    world.tick(13_000);
    world.flush();
    assert_eq!(world.server.global_session_count(), 0);
}

#[test]
fn a_server_that_retires_ends_no_session_and_asks_for_no_tick() {
    let mut world = World::new();
    let client = world.connect();
    world.send(&client, create("/taken"));
    let now = world.now;
    world.server.handle(now, Input::Retire);
    world.tick(20_000);
    assert_eq!(world.server.next_deadline(), None);
    world.flush();
    assert_eq!(world.server.global_session_count(), 1);
}

#[test]
fn a_session_that_expires_is_not_heard_any_more() {
    let mut world = World::new();
    let client = world.connect();
    world.tick(20_000);
    world.send(&client, create_mode("/ghost", CreateMode::Ephemeral));
    assert_eq!(world.log.len(), 2, "createSession and closeSession");
    let again = world.reconnect(&client);
    assert_eq!(
        world.take_text(),
        [
            "close 1 SessionMoved",
            "accept 2 0",
            "close 2 SessionRefused"
        ],
        "{again:?}"
    );
}

#[test]
fn an_ephemeral_that_is_pending_at_the_expiry_leaves_no_ghost() {
    let mut world = World::new();
    let (client, other) = (world.connect(), world.connect());
    world
        .call(&client, create_mode("/old", CreateMode::Ephemeral))
        .unwrap();
    world
        .call(&client, create_mode("/gone", CreateMode::Ephemeral))
        .unwrap();
    world.send(&client, create_mode("/pending", CreateMode::Ephemeral));
    world.send(&other, delete("/gone"));
    world.send(
        &client,
        Request::Multi(vec![MultiOp::Create(create_as(
            OpCode::CREATE,
            "/in-multi",
            CreateMode::EphemeralSequential,
        ))]),
    );
    world.send(&client, Request::CloseSession);
    assert_eq!(
        closed_paths(&world),
        ["/old", "/in-multi0000000003", "/pending"]
    );
    world.flush();
    assert_eq!(world.server.tree().ephemeral_count(), 0);
    assert!(world.server.is_idle());
}

#[test]
fn an_ephemeral_of_a_multi_that_failed_is_not_listed() {
    let mut world = World::new();
    let client = world.connect();
    let ephemeral = |path| MultiOp::Create(create_as(OpCode::CREATE, path, CreateMode::Ephemeral));
    world.send(&client, create_mode("/kept", CreateMode::Ephemeral));
    world.send(
        &client,
        Request::Multi(vec![
            delete_op("/kept"),
            ephemeral("/kept"),
            ephemeral("/never"),
            delete_op("/missing"),
        ]),
    );
    world.send(&client, Request::CloseSession);
    assert_eq!(closed_paths(&world), ["/kept"]);
    world.flush();
    assert_eq!(world.server.tree().ephemeral_count(), 0);
}

#[test]
fn an_ephemeral_recreated_by_another_session_is_left_alone() {
    let mut world = World::new();
    let (first, second) = (world.connect(), world.connect());
    world
        .call(&first, create_mode("/e", CreateMode::Ephemeral))
        .unwrap();
    world.send(&second, delete("/e"));
    world.send(&second, create_mode("/e", CreateMode::Ephemeral));
    world.send(&first, Request::CloseSession);
    assert_eq!(closed_paths(&world), strings(&[]));
    world.flush();
    let owned: Vec<_> = world.server.tree().ephemerals_of(second.session).collect();
    assert_eq!(owned, ["/e"]);
}

#[test]
fn the_parent_of_closed_ephemerals_can_be_deleted_before_the_flush() {
    let mut world = World::new();
    let (first, second) = (world.connect(), world.connect());
    world.call(&first, create("/p")).unwrap();
    world
        .call(&first, create_mode("/p/e", CreateMode::Ephemeral))
        .unwrap();
    world.send(&first, Request::CloseSession);
    assert_eq!(world.call(&second, delete("/p")), Ok(Response::Empty));
}

#[test]
fn a_client_that_closes_gets_its_answer_and_then_the_end() {
    let mut world = World::new();
    let client = world.connect();
    world.send(&client, create("/a"));
    world.send(&client, Request::CloseSession);
    world.send(&client, Request::Ping);
    world.flush();
    assert_eq!(
        world.take_text(),
        [
            "reply 1 x1 z2 OK",
            "reply 1 x2 z3 OK",
            "close 1 SessionClosed"
        ]
    );
    assert_eq!(world.server.global_session_count(), 0);
    assert_eq!(world.server.session_of(client.conn), None);
}

#[test]
fn a_connection_lost_while_its_session_opens_leaves_the_session_to_expire() {
    let mut world = World::new();
    let conn = world.hello(connect_request(6_000));
    world.handle(Input::Disconnected { conn });
    world.flush();
    assert_eq!(world.take_text(), [""; 0]);
    assert_eq!(world.server.global_session_count(), 1);
    world.tick(9_000);
    world.flush();
    assert_eq!(world.server.global_session_count(), 0);
}

#[test]
fn a_connection_lost_with_writes_pending_gets_no_answer() {
    let mut world = World::new();
    let client = world.connect();
    world.send(&client, create("/a"));
    world.send(&client, Request::CloseSession);
    world.handle(Input::Disconnected { conn: client.conn });
    world.flush();
    assert_eq!(world.take_text(), [""; 0]);
    assert!(world.server.tree().get("/a").is_some());
}

#[test]
fn sessions_are_bounded_and_resuming_is_not() {
    let mut world = World::with(CoreConfig {
        sessions_max: 2,
        ..CoreConfig::default()
    });
    let client = world.connect();
    world.connect();
    world.hello(connect_request(10_000));
    assert_eq!(world.take_text(), ["close 3 limit sessions_max"]);
    world.reconnect(&client);
    assert_eq!(
        world.take_text(),
        ["close 1 SessionMoved", "accept 4 10000"]
    );
}

#[test]
fn paths_are_left_out_of_close_session_when_told_so() {
    let mut world = World::with(CoreConfig {
        close_session_paths: false,
        ..CoreConfig::default()
    });
    let client = world.connect();
    world
        .call(&client, create_mode("/e", CreateMode::Ephemeral))
        .unwrap();
    world.call(&client, Request::CloseSession).unwrap();
    assert_eq!(
        world.log.last().unwrap().txn,
        Txn::CloseSession { paths: None }
    );
    assert_eq!(world.server.tree().ephemeral_count(), 0);
    assert_eq!(world.recover().tree.ephemeral_count(), 0);
}

#[test]
fn sessions_are_told_in_order_with_their_connection() {
    let mut world = World::new();
    let (first, second) = (world.connect(), world.connect());
    world.handle(Input::Disconnected { conn: first.conn });
    let told: Vec<_> = world
        .server
        .sessions()
        .map(|session| (session.id, session.conn, session.timeout.as_secs()))
        .collect();
    assert_eq!(
        told,
        [
            (first.session, None, 10),
            (second.session, Some(second.conn), 10)
        ]
    );
    let info = world.server.session_of(second.conn).unwrap();
    assert_eq!(info.expires, Some(Duration::from_secs(1_011)));
}
