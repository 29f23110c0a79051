//! Whatever a client sends, the server lives and its log can be replayed.

use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use zk_proto::{OpCode, Reader, Request, RequestHeader, Xid};

use super::create;
use super::world::World;
use crate::{CoreConfig, Incoming, Input};

const MULTI_OPS_MAX: usize = 16;

fn world() -> World {
    let mut world = World::with(CoreConfig {
        extended_types: true,
        enforce_quota: true,
        ..CoreConfig::default()
    });
    let client = world.connect();
    world.call(&client, create("/a")).unwrap();
    world
}

fn send(world: &mut World, op: OpCode, body: &Bytes) {
    let client = world.connect();
    let request = Request::decode(op, &mut Reader::new(body), MULTI_OPS_MAX);
    let header = RequestHeader { xid: Xid(5), op };
    world.handle(Input::Requests {
        conn: client.conn,
        requests: [Incoming { header, request }].into(),
    });
    world.flush();
    let text = world.take_text();
    assert!(
        text.iter().any(|line| line.starts_with("reply")),
        "{op} is answered: {text:?}"
    );
}

fn restart(world: &World) {
    let recovered = world.recover();
    assert_eq!(recovered.digest_mismatches, 0);
    assert_eq!(recovered.tree.digest(), world.server.tree().digest());
    assert_eq!(recovered.last_zxid, world.server.last_zxid());
    let sessions: Vec<_> = recovered.sessions.keys().copied().collect();
    let open: Vec<_> = world.server.sessions().map(|session| session.id).collect();
    assert_eq!(sessions, open);
}

#[test]
fn every_operation_code_is_survived_with_any_simple_body() {
    let mut world = world();
    for op in -128..=127 {
        for body in [
            &[][..],
            &[0; 64],
            &[0xff; 64],
            b"\0\0\0\x02/a\0\0\0\x01x\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\0\0\0\x02/a\xff\xff\xff\xff",
        ] {
            send(&mut world, OpCode(op), &Bytes::copy_from_slice(body));
        }
    }
    restart(&world);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_bodies_are_survived(
        requests in prop::collection::vec(
            (prop_oneof![-20..=30i32, 99..=110i32], prop::collection::vec(any::<u8>(), 0..80)),
            1..40,
        )
    ) {
        let mut world = world();
        for (op, body) in requests {
            send(&mut world, OpCode(op), &body.into());
        }
        restart(&world);
    }
}
