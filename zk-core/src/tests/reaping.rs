//! Containers and znodes with a time to live are deleted in time, and no others.

use core::time::Duration;

use zk_proto::{Create, CreateMode, OpCode, Request, SessionId, Txn, Xid};

use super::world::{Client, World};
use super::{create, create_as, delete, set_data};
use crate::{CoreConfig, ReaperConfig};

fn world(never_used_max: Option<Duration>) -> (World, Client) {
    let mut world = World::with(CoreConfig {
        extended_types: true,
        session_timeout_max: Duration::from_secs(1 << 20),
        reaper: ReaperConfig {
            check_interval: Duration::from_secs(60),
            per_minute_max: 600,
            never_used_max,
        },
        ..CoreConfig::default()
    });
    let conn = world.hello(super::world::connect_request(1 << 29));
    world.flush();
    let response = world.accepted(conn);
    let client = Client {
        conn,
        session: response.session_id,
        password: response.password,
    };
    (world, client)
}

fn container(path: &str) -> Request {
    let op = OpCode::CREATE_CONTAINER;
    Request::Create(create_as(op, path, CreateMode::Container))
}

fn ttl(path: &str, ttl_ms: i64) -> Request {
    Request::Create(Create {
        ttl_ms,
        ..create_as(OpCode::CREATE_TTL, path, CreateMode::PersistentWithTtl)
    })
}

fn is_there(world: &World, path: &str) -> bool {
    world.server.tree().get(path).is_some()
}

fn reap(world: &mut World, seconds: u64) {
    world.tick(seconds * 1_000);
    for _ in 0..20 {
        world.tick(100);
    }
    world.flush();
}

#[test]
fn a_container_goes_after_its_last_child() {
    let (mut world, client) = world(None);
    world.call(&client, container("/c")).unwrap();
    world.call(&client, create("/c/x")).unwrap();
    reap(&mut world, 60);
    assert!(is_there(&world, "/c"));
    world.call(&client, delete("/c/x")).unwrap();
    reap(&mut world, 60);
    assert!(!is_there(&world, "/c"));
    let record = world.log.last().unwrap();
    assert_eq!(record.txn, Txn::Delete { path: "/c".into() });
    assert_eq!(record.header.op, OpCode::DELETE_CONTAINER);
    assert_eq!(
        (record.header.session, record.header.cxid),
        (SessionId(0), Xid(0))
    );
    assert_eq!(world.server.counters().reaped, 1);
}

#[test]
fn a_container_that_was_never_used_goes_only_when_told() {
    for (never_used_max, goes) in [(None, false), (Some(Duration::from_secs(100)), true)] {
        let (mut world, client) = world(never_used_max);
        world.call(&client, container("/c")).unwrap();
        reap(&mut world, 60);
        assert!(is_there(&world, "/c"));
        reap(&mut world, 60);
        assert_eq!(is_there(&world, "/c"), !goes);
    }
}

#[test]
fn a_time_to_live_runs_from_the_last_change() {
    let (mut world, client) = world(None);
    world.call(&client, ttl("/t", 90_000)).unwrap();
    reap(&mut world, 60);
    world.call(&client, set_data("/t", "renewed")).unwrap();
    reap(&mut world, 60);
    assert!(is_there(&world, "/t"));
    reap(&mut world, 60);
    assert!(!is_there(&world, "/t"));
}

#[test]
fn a_child_protects_and_persistent_znodes_stay() {
    let (mut world, client) = world(None);
    world.call(&client, ttl("/t", 1)).unwrap();
    world.call(&client, create("/t/child")).unwrap();
    world.call(&client, create("/p")).unwrap();
    reap(&mut world, 120);
    assert!(is_there(&world, "/t") && is_there(&world, "/p"));
}

#[test]
fn what_is_pending_is_looked_at_again_before_the_deletion() {
    let (mut world, client) = world(None);
    for path in ["/a", "/b", "/c", "/d"] {
        world.call(&client, ttl(path, 1)).unwrap();
    }
    world.send(&client, create("/a/child"));
    world.send(&client, delete("/b"));
    world.now.wall_ms += 60_000;
    world.send(&client, set_data("/c", "renewed"));
    world.now.monotonic += Duration::from_secs(60);
    let before = world.log.len();
    for _ in 0..20 {
        world.now.monotonic += Duration::from_millis(100);
        world.handle(crate::Input::Tick);
    }
    let deleted: alloc::vec::Vec<_> = world.log[before..].iter().map(|txn| &txn.txn).collect();
    assert_eq!(deleted, [&Txn::Delete { path: "/d".into() }]);
}

#[test]
fn a_check_goes_on_where_its_last_step_ended() {
    let mut world = World::with(CoreConfig {
        extended_types: true,
        reaper: ReaperConfig {
            per_minute_max: u32::MAX,
            ..ReaperConfig::default()
        },
        ..CoreConfig::default()
    });
    let client = world.connect();
    for child in 0..1_250 {
        let path = alloc::format!("/c{child}");
        world.send(&client, container(&path));
        world.send(&client, create(&alloc::format!("{path}/x")));
        world.send(&client, delete(&alloc::format!("{path}/x")));
        world.send(&client, ttl(&alloc::format!("/t{child}"), 1));
    }
    world.flush();
    let end = world.now.monotonic + Duration::from_secs(61);
    let mut ticks = 0;
    while let Some(deadline) = world.server.next_deadline()
        && deadline < end
    {
        world.now.wall_ms += 1_000;
        world.now.monotonic = world.now.monotonic.max(deadline);
        world.handle(crate::Input::Tick);
        ticks += 1;
        if ticks % 3 == 0 {
            world.flush();
        }
    }
    world.flush();
    let tree = world.server.tree();
    assert_eq!((tree.containers().count(), tree.ttls().count()), (0, 0));
    assert_eq!(world.server.counters().reaped, 2_500);
}

#[test]
fn deletions_are_spread() {
    let (mut world, client) = world(None);
    for child in 0..10 {
        world
            .call(&client, ttl(&alloc::format!("/t{child}"), 1))
            .unwrap();
    }
    let before = world.log.len();
    world.tick(60_000);
    assert_eq!(world.log.len() - before, 1);
    assert_eq!(
        world.server.next_deadline(),
        Some(world.now.monotonic + Duration::from_millis(100))
    );
    world.tick(250);
    assert_eq!(world.log.len() - before, 3);
    world.tick(60_000);
    assert_eq!(world.log.len() - before, 10);
}
