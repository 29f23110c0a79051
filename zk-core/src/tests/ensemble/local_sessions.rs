//! Local sessions: what begins, asks, ends and is upgraded through every kind of server.

use zk_proto::{MultiOp, MultiResult};

use super::super::create_as;
use super::*;
use crate::LocalSessions;

fn with_local_sessions(kind: LocalSessions) -> Ensemble {
    let mut ensemble = Ensemble::new(3, 1);
    ensemble.local_sessions = kind;
    restarted(ensemble)
}

fn ephemeral(path: &str) -> Request {
    create_mode(path, CreateMode::Ephemeral)
}

fn ephemeral_in_multi(path: &str) -> Request {
    let op = |path: &str, mode| MultiOp::Create(create_as(OpCode::CREATE, path, mode));
    Request::Multi(vec![
        op(&format!("{path}-beside"), CreateMode::Persistent),
        op(path, CreateMode::Ephemeral),
    ])
}

fn resume(client: &Client) -> ConnectRequest {
    ConnectRequest {
        session_id: client.session,
        password: Bytes::copy_from_slice(&zk_proto::session_password(client.session)),
        ..connect_request(4_000)
    }
}

impl Ensemble {
    fn counts(&self, id: ServerId) -> (usize, usize) {
        let core = self.core(id);
        (core.global_session_count(), core.local_session_count())
    }

    fn newest(&self) -> Zxid {
        self.core(self.leader()).last_zxid()
    }

    /// Ephemerals belong to sessions that every server knows.
    fn assert_ephemerals_are_owned(&self) {
        for id in self.ids() {
            let core = self.core(id);
            let known: Vec<_> = (core.view().sessions.iter())
                .map(|session| session.id)
                .collect();
            for owner in core.tree().sessions_with_ephemerals() {
                assert!(known.contains(&owner), "{owner} at {id}");
            }
        }
    }
}

#[test]
fn a_local_session_begins_reads_and_ends_without_a_transaction() {
    let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
    for id in ensemble.ids() {
        let before = ensemble.newest();
        let mut client = ensemble.connect(id);
        assert_ne!(client.session, SessionId(0));
        assert_eq!(ensemble.counts(id), (0, 1));
        assert!(ensemble.call(&mut client, get_data("/", false)).is_ok());
        assert!(ensemble.call(&mut client, sync()).is_ok());
        assert_eq!(
            ensemble.call(&mut client, Request::CloseSession),
            Ok(Response::Empty)
        );
        assert!(ensemble.servers[&id].closed.contains(&client.conn));
        assert_eq!(ensemble.counts(id), (0, 0));
        assert_eq!(ensemble.newest(), before, "{id}");
    }
}

#[test]
fn a_local_session_writes_what_it_does_not_own() {
    let mut ensemble = with_local_sessions(LocalSessions::Kept);
    for id in ensemble.ids() {
        let path = format!("/by-{id}");
        let mut client = ensemble.connect(id);
        ensemble.call(&mut client, create(&path)).unwrap();
        ensemble.call(&mut client, set_data(&path, "x")).unwrap();
        assert_eq!(
            ensemble.call(&mut client, create(&path)),
            Err(ErrorCode::NODE_EXISTS)
        );
        assert_eq!(ensemble.counts(id), (0, 1));
    }
    ensemble.assert_agreed();
}

#[test]
fn a_local_session_closes_behind_its_writes() {
    let mut ensemble = with_local_sessions(LocalSessions::Kept);
    for id in ensemble.ids() {
        let path = format!("/last-{id}");
        let mut client = ensemble.connect(id);
        let write = ensemble.send(&mut client, create(&path));
        let close = ensemble.send(&mut client, Request::CloseSession);
        ensemble.settle();
        for xid in [write, close] {
            let (header, _) = ensemble.reply(&client, xid).expect("it is answered");
            assert!(header.err.is_ok(), "{header:?} at {id}");
        }
        let replies = &ensemble.servers[&id].replies;
        assert_eq!(replies.last().unwrap().1.xid, close);
    }
}

#[test]
fn a_local_session_becomes_global_with_its_first_ephemeral() {
    for request in [ephemeral, ephemeral_in_multi] {
        let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
        for (n, id) in ensemble.ids().into_iter().enumerate() {
            let path = format!("/e-{id}");
            let mut client = ensemble.connect(id);
            ensemble
                .call(&mut client, create(&format!("/{n}")))
                .unwrap();
            assert_eq!(ensemble.counts(id), (n, 1));
            let before = ensemble.newest();
            ensemble.call(&mut client, request(&path)).unwrap();
            assert_eq!(
                ensemble.newest().0,
                before.0 + 2,
                "createSession and the write"
            );
            let node = ensemble.core(id).tree().get(&path).unwrap();
            assert_eq!(node.stat().ephemeral_owner, client.session.0);
            for any in ensemble.ids() {
                assert_eq!(ensemble.counts(any), (n + 1, 0), "{any}");
            }
            ensemble.assert_ephemerals_are_owned();
        }
        ensemble.assert_agreed();
    }
}

#[test]
fn an_upgraded_session_moves_and_ends_like_any_other() {
    let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
    let ids = ensemble.ids();
    let mut client = ensemble.connect(ids[3]);
    ensemble.call(&mut client, ephemeral("/e")).unwrap();
    for id in [ids[0], ids[1], ids[2], ids[3]] {
        let moved = ensemble.connect_as(id, resume(&client));
        assert_eq!(moved.session, client.session, "{id}");
        client = Client {
            xid: client.xid,
            ..moved
        };
        ensemble.call(&mut client, set_data("/e", "x")).unwrap();
        ensemble.run(Duration::from_secs(3));
    }
    ensemble.send(&mut client, Request::Ping);
    ensemble.run(Duration::from_secs(3));
    assert!(ensemble.core(ids[0]).tree().get("/e").is_some());
    ensemble.run(Duration::from_millis(1_500));
    assert!(ensemble.core(ids[0]).tree().get("/e").is_none());
    assert_eq!(ensemble.counts(ids[0]), (0, 0));
    ensemble.assert_agreed();
}

#[test]
fn without_upgrades_an_ephemeral_of_a_local_session_is_refused() {
    let mut ensemble = with_local_sessions(LocalSessions::Kept);
    for id in ensemble.ids() {
        let before = ensemble.newest();
        let mut client = ensemble.connect(id);
        let refused = ErrorCode::EPHEMERAL_ON_LOCAL_SESSION;
        assert_eq!(ensemble.call(&mut client, ephemeral("/e")), Err(refused));
        let parts = vec![
            MultiResult::Error(ErrorCode::OK),
            MultiResult::Error(refused),
        ];
        assert_eq!(
            ensemble.call(&mut client, ephemeral_in_multi("/e")),
            Ok(Response::Multi(parts))
        );
        assert_eq!(
            ensemble.newest().counter(),
            before.counter() + 2,
            "as any write that is refused"
        );
        assert_eq!(ensemble.counts(id), (0, 1));
    }
    ensemble.assert_agreed();
}

#[test]
fn a_local_session_is_over_at_any_other_server() {
    let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
    for id in ensemble.ids() {
        let client = ensemble.connect(id);
        for other in ensemble.ids() {
            let resumed = ensemble.connect_as(other, resume(&client));
            match other == id {
                true => assert_eq!(resumed.session, client.session),
                false => assert_eq!(resumed.session, SessionId(0), "{id}'s at {other}"),
            }
        }
    }
}

#[test]
fn a_local_session_expires_where_it_began() {
    let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
    for id in ensemble.ids() {
        let mut client = ensemble.connect(id);
        for _ in 0..4 {
            ensemble.run(Duration::from_millis(1_500));
            ensemble.send(&mut client, Request::Ping);
        }
        assert_eq!(ensemble.counts(id), (0, 1));
        let before = ensemble.newest();
        ensemble.run(Duration::from_millis(4_500));
        assert!(ensemble.servers[&id].closed.contains(&client.conn));
        assert_eq!(ensemble.counts(id), (0, 0));
        assert_eq!(ensemble.newest(), before);
    }
}

#[test]
fn local_sessions_end_with_the_role_of_their_server() {
    let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
    let leader = ensemble.leader();
    let survivor = ensemble.followers()[0];
    let client = ensemble.connect(survivor);
    let mut upgraded = ensemble.connect(survivor);
    ensemble.call(&mut upgraded, ephemeral("/e")).unwrap();
    ensemble.kill(leader);
    ensemble.run(Duration::from_secs(1));
    ensemble.leader();
    assert_eq!(ensemble.counts(survivor), (1, 0));
    let resumed = ensemble.connect_as(survivor, resume(&client));
    assert_eq!(resumed.session, SessionId(0));
    let resumed = ensemble.connect_as(survivor, resume(&upgraded));
    assert_eq!(resumed.session, upgraded.session);
}

/// Whoever hears at another server that its session is over must find it over: not even an ephemeral that
/// is on its way outlives it for long.
#[test]
fn a_session_that_is_being_upgraded_ends_when_its_client_asks_elsewhere() {
    let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
    let leader = ensemble.leader();
    let followers = ensemble.followers();
    let mut client = ensemble.connect(followers[0]);
    ensemble.flushes = false;
    ensemble.send(&mut client, ephemeral("/e"));
    ensemble.settle();
    let elsewhere = ensemble.connect_as(followers[1], resume(&client));
    assert_eq!(elsewhere.session, SessionId(0));
    ensemble.flushes = true;
    for id in ensemble.ids() {
        ensemble.flush(id);
    }
    ensemble.settle();
    assert!(ensemble.core(leader).tree().get("/e").is_none());
    assert_eq!(ensemble.counts(leader), (0, 0));
    ensemble.assert_agreed();
}

#[test]
fn a_session_that_is_being_upgraded_is_resumed_where_it_is() {
    let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
    let leader = ensemble.leader();
    for id in [leader, ensemble.followers()[0]] {
        let path = format!("/e-{id}");
        let mut client = ensemble.connect(id);
        ensemble.flushes = false;
        ensemble.send(&mut client, ephemeral(&path));
        ensemble.settle();
        let resumed = ensemble.connect_as(id, resume(&client));
        assert_eq!(resumed.session, client.session, "{id}");
        ensemble.flushes = true;
        for id in ensemble.ids() {
            ensemble.flush(id);
        }
        ensemble.settle();
        assert!(ensemble.core(id).tree().get(&path).is_some());
    }
}

/// The leader knows no local sessions of others. A request of a session that is over, which its server
/// sent before it heard of that, must not pass for one of them.
#[test]
fn a_late_write_of_a_session_that_is_over_is_refused() {
    let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
    let follower = ensemble.followers()[0];
    let mut client = ensemble.connect(follower);
    ensemble.call(&mut client, ephemeral("/e")).unwrap();
    ensemble.run(Duration::from_millis(3_900));
    ensemble.flushes = false;
    // It expires, and nobody has heard of it yet.
    ensemble.now.monotonic += Duration::from_millis(250);
    let leader = ensemble.leader();
    ensemble.input(leader, Input::Tick);
    ensemble.send(&mut client, create("/late"));
    ensemble.flushes = true;
    ensemble.settle();
    for id in ensemble.ids() {
        ensemble.flush(id);
    }
    ensemble.settle();
    for id in ensemble.ids() {
        let tree = ensemble.core(id).tree();
        assert!(
            tree.get("/e").is_none() && tree.get("/late").is_none(),
            "{id}"
        );
    }
}

#[test]
fn snapshots_hold_no_local_session() {
    let mut ensemble = with_local_sessions(LocalSessions::Upgraded);
    let id = ensemble.followers()[0];
    ensemble.connect(id);
    let mut upgraded = ensemble.connect(id);
    ensemble.call(&mut upgraded, ephemeral("/e")).unwrap();
    let sessions = ensemble.core(id).view().sessions;
    let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
    assert_eq!(ids, [upgraded.session]);
}
