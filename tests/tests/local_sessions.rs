//! Local sessions through every member of an ensemble, of ours alone and beside Apache's: only the member
//! that a client came to knows its session, and the first ephemeral makes it one of all.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use zk_proto::{
    Acl, Create, CreateMode, ErrorCode, MultiOp, MultiResult, OpCode, Request, Response, SessionId,
};
use zk_tests::{Ensemble, EnsembleSettings, Flavour, Needs, RawClient};

use Flavour::{Apache, Ours};

const SOON: Duration = Duration::from_secs(60);
const SESSION_TIMEOUT: Duration = Duration::from_secs(20);

fn op(path: &str, mode: CreateMode) -> Create {
    Create {
        op: OpCode::CREATE,
        path: path.to_owned(),
        data: Some(Bytes::new()),
        acl: vec![Acl::open()],
        flags: mode.to_flags(),
        ttl_ms: 0,
    }
}

fn create(path: &str, mode: CreateMode) -> Request {
    Request::Create(op(path, mode))
}

fn start(flavours: &[Flavour], upgrades: &str) -> Ensemble {
    let settings = EnsembleSettings::new(flavours)
        .observer(Ours)
        .set("localSessionsEnabled", "true")
        .set("localSessionsUpgradingEnabled", upgrades);
    let mut ensemble = Ensemble::start(&settings);
    ensemble.wait_for_all(SOON);
    ensemble
}

fn connect(ensemble: &Ensemble, sid: u8) -> RawClient {
    let client = RawClient::connect(ensemble.address(sid), SESSION_TIMEOUT).unwrap();
    assert_ne!(client.session().session_id, SessionId(0));
    client
}

fn resumed_at(ensemble: &Ensemble, sid: u8, client: &RawClient) -> SessionId {
    let session = client.session();
    let address = ensemble.address(sid);
    let (id, password) = (session.session_id, &session.password);
    let resumed = RawClient::resume(address, SESSION_TIMEOUT, id, password).unwrap();
    resumed.session().session_id
}

/// Global and local sessions, as the member counts them.
fn counts(ensemble: &Ensemble, sid: u8) -> (i64, i64) {
    let figures = ensemble.figures(sid);
    let number = |key| figures.number(key);
    (number("global_sessions"), number("local_sessions"))
}

/// A member may hear of the end of a session a little after the client.
fn wait_for_counts(ensemble: &Ensemble, sid: u8, expected: (i64, i64)) {
    let began = Instant::now();
    loop {
        let seen = counts(ensemble, sid);
        if seen == expected {
            return;
        }
        assert!(began.elapsed() < SOON, "member {sid}: {seen:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Through every member: a session begins as a local one, writes, becomes global, moves and ends.
fn upgraded_through_all(ensemble: &Ensemble) {
    for sid in ensemble.sids() {
        let mut client = connect(ensemble, sid);
        assert_eq!(counts(ensemble, sid), (0, 1), "member {sid}");
        let (kept, owned) = (format!("/kept-{sid}"), format!("/owned-{sid}"));
        client.get(create(&kept, CreateMode::Persistent)).unwrap();
        assert_eq!(counts(ensemble, sid), (0, 1), "member {sid}");
        for other in ensemble.others(sid) {
            let resumed = resumed_at(ensemble, other, &client);
            assert_eq!(resumed, SessionId(0), "of {sid} at {other}");
        }

        let multi = Request::Multi(vec![
            MultiOp::Delete {
                path: kept,
                version: -1,
            },
            MultiOp::Create(op(&owned, CreateMode::Ephemeral)),
        ]);
        client.get(multi).unwrap();
        for any in ensemble.sids() {
            wait_for_counts(ensemble, any, (1, 0));
        }
        let exists = Request::Exists {
            path: owned.clone(),
            watch: false,
        };
        let Response::Stat(stat) = client.get(exists.clone()).unwrap() else {
            panic!("no Stat");
        };
        let id = client.session().session_id;
        assert_eq!(stat.ephemeral_owner, id.0);

        let other = ensemble.others(sid)[0];
        let (address, patience) = (ensemble.address(other), SESSION_TIMEOUT);
        let moved = RawClient::reconnect(Some(&client), address, SESSION_TIMEOUT, patience);
        let mut moved = moved.unwrap();
        assert_eq!(moved.session().session_id, id);
        assert!(moved.get(exists).is_ok());
        moved.get(Request::CloseSession).unwrap();
        for any in ensemble.sids() {
            wait_for_counts(ensemble, any, (0, 0));
        }
        let mut after = connect(ensemble, sid);
        let sync = Request::Sync {
            path: "/".to_owned(),
        };
        after.get(sync).unwrap();
        let gone = after
            .call(Request::Exists {
                path: owned,
                watch: false,
            })
            .unwrap();
        assert_eq!(gone.header.err, ErrorCode::NO_NODE);
        after.get(Request::CloseSession).unwrap();
        wait_for_counts(ensemble, sid, (0, 0));
    }
}

/// Through every member of ours: a local session is refused what it may not own.
fn refused_through_all(ensemble: &Ensemble) {
    let ours = |sid: &u8| ensemble.flavour(*sid) == Ours;
    for sid in ensemble.sids().into_iter().filter(ours) {
        let mut client = connect(ensemble, sid);
        let refused = client.call(create("/e", CreateMode::Ephemeral)).unwrap();
        let code = ErrorCode::EPHEMERAL_ON_LOCAL_SESSION;
        assert_eq!(refused.header.err, code, "member {sid}");
        let parts = Request::Multi(vec![MultiOp::Create(op("/e", CreateMode::Ephemeral))]);
        assert_eq!(
            client.get(parts).unwrap(),
            Response::Multi(vec![MultiResult::Error(code)]),
            "member {sid}"
        );
        let path = format!("/refused-{sid}");
        client.get(create(&path, CreateMode::Persistent)).unwrap();
        client.get(Request::Delete { path, version: -1 }).unwrap();
        client.get(Request::CloseSession).unwrap();
        wait_for_counts(ensemble, sid, (0, 0));
    }
}

#[test]
fn local_sessions_of_ours_become_global_with_their_first_ephemeral() {
    upgraded_through_all(&start(&[Ours; 3], "true"));
}

#[test]
fn local_sessions_of_ours_that_stay_local_own_nothing() {
    refused_through_all(&start(&[Ours; 3], "false"));
}

/// Members of both kinds, under a leader of each.
#[test]
fn local_sessions_beside_apache() {
    if Needs::apache("local_sessions_beside_apache").is_none() {
        return;
    }
    for (upgrades, check) in [
        ("true", upgraded_through_all as fn(&Ensemble)),
        ("false", refused_through_all),
    ] {
        let mut ensemble = start(&[Ours, Apache, Ours], upgrades);
        for leader in [1, 2] {
            ensemble.make_lead(leader, SOON, |address| {
                let mut client = RawClient::connect(address, SESSION_TIMEOUT).unwrap();
                let path = format!("/lead-{leader}");
                client.get(create(&path, CreateMode::Persistent)).unwrap();
                client.get(Request::CloseSession).unwrap();
            });
            check(&ensemble);
        }
    }
}
