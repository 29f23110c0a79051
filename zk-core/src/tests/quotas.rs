//! Quotas: what passes one is told, and refused if it is hard, also when it is asked for before
//! what came before it is applied.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use zk_proto::{
    Acl, Create, CreateMode, ErrorCode, MultiOp, MultiResult, OpCode, Request, Response,
};

use super::world::{Client, World};
use super::{create, create_as, create_mode, create_op, create_with, delete, delete_op, set_data};
use crate::{CoreConfig, Effect};

fn world(enforce_quota: bool) -> (World, Client) {
    let mut world = World::with(CoreConfig {
        enforce_quota,
        ..CoreConfig::default()
    });
    let client = world.connect();
    for path in ["/a", "/zookeeper/quota/a"] {
        world.call(&client, create(path)).unwrap();
    }
    (world, client)
}

fn quota_nodes(path: &str, limits: &str) -> [Request; 2] {
    [("limits", limits), ("stats", "count=0,bytes=0")].map(|(name, text)| {
        let path = format!("/zookeeper/quota{path}/zookeeper_{name}");
        create_with(&path, text, vec![Acl::open()])
    })
}

fn quota_world(limits: &str, enforce_quota: bool) -> (World, Client) {
    let (mut world, client) = world(enforce_quota);
    for request in quota_nodes("/a", limits) {
        world.call(&client, request).unwrap();
    }
    (world, client)
}

fn told(world: &mut World) -> Vec<String> {
    let text = world.take_text().into_iter();
    text.filter(|line| line.contains("quota")).collect()
}

/// The codes of the answers to requests that are all sent before any is applied.
fn pipelined(world: &mut World, client: &Client, requests: Vec<Request>) -> Vec<ErrorCode> {
    world.take();
    for request in requests {
        world.send(client, request);
    }
    world.flush();
    let code = |effect: &Effect| match effect {
        Effect::Reply { header, .. } => Some(header.err),
        _ => None,
    };
    world.done.iter().filter_map(code).collect()
}

const HARD: &str = "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3";
const OK: ErrorCode = ErrorCode::OK;
const REFUSED: ErrorCode = ErrorCode::QUOTA_EXCEEDED;

#[test]
fn a_hard_quota_refuses_what_would_pass_it() {
    let (mut world, client) = quota_world(HARD, true);
    world.call(&client, create("/a/b")).unwrap();
    world.call(&client, create("/a/c")).unwrap();
    world.call(&client, set_data("/a/b", "0123456789")).unwrap();
    assert_eq!(told(&mut world), [""; 0]);
    for request in [create("/a/d"), set_data("/a/b", "0123456789x")] {
        assert_eq!(world.call(&client, request), Err(REFUSED));
    }
    assert_eq!(
        told(&mut world),
        [
            "hard quota of /a: 4 Nodes, limit 3",
            "hard quota of /a: 11 Bytes, limit 10"
        ]
    );
    world.call(&client, set_data("/a/b", "9876543210")).unwrap();
    assert_eq!(world.server.counters().quota_refused, 2);
    assert_eq!(
        world.call(&client, Request::Multi(vec![create_op("/a/d")])),
        Ok(Response::Multi(vec![MultiResult::Error(REFUSED)]))
    );
}

#[test]
fn a_soft_quota_and_one_that_is_not_enforced_refuse_nothing() {
    let (mut world, client) = quota_world("count=1,bytes=-1", true);
    world.take();
    world.call(&client, create("/a/b")).unwrap();
    assert_eq!(told(&mut world), ["soft quota of /a: 2 Nodes, limit 1"]);
    assert_eq!(world.server.counters().quota_passed, 1);
    let (mut world, client) = quota_world(HARD, false);
    for child in 0..5 {
        world.call(&client, create(&format!("/a/{child}"))).unwrap();
    }
    assert_eq!(told(&mut world), [""; 0]);
    assert_eq!(world.server.counters().quota_refused, 0);
}

#[test]
fn what_is_pending_counts() {
    let (mut world, client) = quota_world(HARD, true);
    let requests = vec![
        create("/a/b"),
        create("/a/c"),
        create("/a/d"),
        set_data("/a/b", "01234"),
        set_data("/a/c", "012345"),
        set_data("/a/b", ""),
        set_data("/a/c", "012345"),
        delete("/a/b"),
        create("/a/d"),
        Request::Multi(vec![
            delete_op("/a/c"),
            create_op("/a/e"),
            create_op("/a/f"),
        ]),
        create("/a/e"),
        Request::Multi(vec![delete_op("/a/c"), create_op("/a/e")]),
    ];
    let codes = pipelined(&mut world, &client, requests);
    let expected = [
        OK, OK, REFUSED, OK, REFUSED, OK, OK, OK, OK, OK, REFUSED, OK,
    ];
    assert_eq!(codes, expected);
    assert!(world.server.is_idle());
    let children = world.server.tree().get("/a").unwrap().children();
    assert_eq!(children.collect::<Vec<_>>(), ["d", "e"]);
}

#[test]
fn ephemerals_count_until_their_session_is_about_to_end() {
    let (mut world, client) = quota_world(HARD, true);
    let other = world.connect();
    for path in ["/a/b", "/a/c"] {
        world.send(&other, create_mode(path, CreateMode::Ephemeral));
    }
    world.send(&client, create("/a/d"));
    world.send(&other, Request::CloseSession);
    world.send(&client, create("/a/d"));
    world.send(&client, create("/a/e"));
    world.send(&client, create("/a/f"));
    world.take();
    world.flush();
    let told = world.take_text();
    let codes: Vec<&str> = told
        .iter()
        .filter(|line| line.starts_with(&format!("reply {} ", client.conn.0)))
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(codes, ["QUOTAEXCEEDED", "OK", "OK", "QUOTAEXCEEDED"]);
}

#[test]
fn a_quota_that_is_pending_binds_once_its_statistics_are_known() {
    let (mut world, client) = world(true);
    let mut requests: Vec<Request> = quota_nodes("/a", HARD).into();
    requests.extend(["/a/b", "/a/c", "/a/d"].map(create));
    assert_eq!(pipelined(&mut world, &client, requests), [OK; 5]);
    let requests = ["/a/e", "/a/f"].map(create).into();
    assert_eq!(pipelined(&mut world, &client, requests), [REFUSED; 2]);

    // Flushed in part: the quota is known, and what came after it still pends.
    let (mut world, client) = self::world(true);
    for request in quota_nodes("/a", HARD) {
        world.send(&client, request);
    }
    let zxid = world.log.last().unwrap().header.zxid;
    for path in ["/a/b", "/a/c"] {
        world.send(&client, create(path));
    }
    world.handle(crate::Input::Flushed { zxid });
    let requests = ["/a/d"].map(create).into();
    assert_eq!(pipelined(&mut world, &client, requests), [OK, OK, REFUSED]);
}

/// One of the requests that change what quotas count, or the quotas.
fn request() -> impl Strategy<Value = Request> {
    let place = prop::sample::select(vec!["/a", "/a/b"]);
    let path = prop::sample::select(vec!["/a/b", "/a/c", "/a/b/c", "/a/b/d", "/d"]);
    let op = prop_oneof![
        (path.clone(), 0..6_usize).prop_map(|(path, bytes)| MultiOp::Create(Create {
            data: Some(vec![b'x'; bytes].into()),
            ..create_as(OpCode::CREATE, path, CreateMode::Persistent)
        })),
        path.clone().prop_map(delete_op),
        (path, 0..12_usize).prop_map(|(path, bytes)| MultiOp::SetData {
            path: path.into(),
            data: Some(vec![b'x'; bytes].into()),
            version: -1,
        }),
    ];
    let single = op.clone().prop_map(|op| match op {
        MultiOp::Create(create) => Request::Create(create),
        MultiOp::Delete { path, version } => Request::Delete { path, version },
        MultiOp::SetData {
            path,
            data,
            version,
        } => Request::SetData {
            path,
            data,
            version,
        },
        MultiOp::Check { .. } => unreachable!(),
    });
    prop_oneof![
        8 => single,
        3 => prop::collection::vec(op, 1..4).prop_map(Request::Multi),
        1 => (place.clone(), 2..6_u8, 5..15_u8).prop_map(|(place, count, bytes)| {
            let limits = format!("count=-1,bytes=-1=;byteHardLimit={bytes};countHardLimit={count}");
            set_data(&format!("/zookeeper/quota{place}/zookeeper_limits"), &limits)
        }),
        1 => place.clone().prop_map(|place| {
            delete(&format!("/zookeeper/quota{place}/zookeeper_limits"))
        }),
        1 => place.prop_map(|place| {
            let [limits, _] = quota_nodes(place, HARD);
            limits
        }),
    ]
}

/// A world with quotas on `/a` and `/a/b`.
fn nested() -> (World, Client) {
    let (mut world, client) = quota_world(HARD, true);
    world.call(&client, create("/zookeeper/quota/a/b")).unwrap();
    for request in quota_nodes("/a/b", HARD) {
        world.call(&client, request).unwrap();
    }
    (world, client)
}

proptest! {
    #[test]
    fn what_pends_is_counted_as_if_it_were_applied(
        requests in prop::collection::vec((request(), prop::bool::weighted(0.2)), 1..60)
    ) {
        let (mut pipelined, client) = nested();
        let (mut one_by_one, _) = nested();
        for (request, is_flushed) in requests {
            pipelined.send(&client, request.clone());
            one_by_one.send(&client, request);
            one_by_one.flush();
            if is_flushed {
                pipelined.flush();
            }
        }
        pipelined.flush();
        let logs = [&pipelined, &one_by_one].map(|world| format!("{:?}", world.log));
        prop_assert_eq!(&logs[0], &logs[1]);
        prop_assert!(pipelined.server.is_idle());
    }
}
