//! Snapshots are asked for in time, show one zxid, and come one by one.

use alloc::vec::Vec;

use zk_proto::{CreateMode, Request, SessionId, Zxid};

use super::world::{World, connect_request};
use super::{create, create_mode};
use crate::tree::{Loader, TreeOptions};
use crate::{CoreConfig, Effect, Input, SnapshotView};

fn snapshots(world: &mut World) -> Vec<SnapshotView> {
    let views = world.take().into_iter().filter_map(|effect| match effect {
        Effect::Snapshot(view) => Some(view),
        _ => None,
    });
    views.collect()
}

#[test]
fn a_snapshot_follows_half_to_all_of_the_count_and_waits_for_the_one_before() {
    let mut world = World::with(CoreConfig {
        snapshot_txns: 10,
        ..CoreConfig::default()
    });
    let client = world.connect();
    let write = |world: &mut World, count: usize| {
        for _ in 0..count {
            let mode = CreateMode::PersistentSequential;
            world.call(&client, create_mode("/n", mode)).unwrap();
        }
        snapshots(world)
    };
    assert_eq!(write(&mut world, 4).len(), 0);
    let views = write(&mut world, 100);
    let zxids: Vec<_> = views.iter().map(|view| view.zxid).collect();
    assert!(matches!(zxids[..], [Zxid(6..=10)]), "{zxids:?}");
    world.handle(Input::SnapshotWritten { zxid: zxids[0] });
    assert_eq!(write(&mut world, 1).len(), 1);
}

#[test]
fn a_snapshot_holds_what_is_applied_and_no_more() {
    let mut world = World::new();
    let client = world.connect();
    let closing = world.connect();
    world
        .call(&client, create_mode("/e", CreateMode::Ephemeral))
        .unwrap();
    world.send(&client, create("/pending"));
    world.send(&closing, Request::CloseSession);
    world.hello(connect_request(10_000));
    let digest = world.server.tree().digest();
    assert!(world.server.begin_snapshot());
    assert!(!world.server.begin_snapshot());
    world.flush();
    let view = snapshots(&mut world).remove(0);
    assert_eq!((view.zxid, view.tree.zxid()), (Zxid(3), Zxid(3)));
    assert_eq!(view.tree.digest(), digest);
    let ids: Vec<SessionId> = view.sessions.iter().map(|session| session.id).collect();
    assert_eq!(ids, [client.session, closing.session]);

    let mut loader = Loader::new(TreeOptions::default());
    for session in view.sessions {
        loader.session(session);
    }
    for (number, acl) in view.tree.acls() {
        loader.acl(number, acl);
    }
    let mut walk = view.tree.nodes();
    while let Some(node) = walk.next_node() {
        loader.node(&node).unwrap();
    }
    let mut replay = loader.finish_snapshot(view.zxid, None).unwrap();
    for record in &world.log {
        replay.replay(record).unwrap();
    }
    let recovered = replay.finish();
    assert_eq!(recovered.digest_mismatches, 0);
    assert_eq!(recovered.tree.digest(), world.server.tree().digest());
    assert_eq!(recovered.sessions.len(), 2);
}
