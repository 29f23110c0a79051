//! What writes do, and what refuses them.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use zk_proto::{
    Acl, Create, CreateMode, ErrorCode, MultiOp, MultiResult, OpCode, Perms, Reconfig, Request,
    Response, Stat, TTL_MS_MAX, Txn, Xid, Zxid,
};

use super::world::{Client, World};
use super::{
    check_op, create, create_as, create_mode, create_op, create_with, delete, delete_op, entry,
    exists, get_data, set_acl, set_data, set_op,
};
use crate::CoreConfig;

fn stat(world: &World, path: &str) -> Stat {
    world.server.tree().get(path).unwrap().stat()
}

fn errors(world: &mut World, client: &Client, cases: Vec<(Request, ErrorCode)>) {
    for (request, code) in cases {
        let before = world.log.len();
        let digest = world.server.tree().digest();
        let shown = format!("{request:?}");
        assert_eq!(world.call(client, request), Err(code), "{shown}");
        assert_eq!(world.log.len(), before + 1, "a refusal takes a zxid");
        assert_eq!(world.log[before].txn, Txn::Error(code));
        assert_eq!(world.log[before].header.op, OpCode::ERROR);
        assert_eq!(world.server.tree().digest(), digest, "and changes nothing");
        assert!(world.server.is_idle(), "{shown}");
    }
}

fn ttl(path: &str, mode: CreateMode, ttl_ms: i64) -> Request {
    Request::Create(Create {
        ttl_ms,
        ..create_as(OpCode::CREATE_TTL, path, mode)
    })
}

fn extended() -> World {
    World::with(CoreConfig {
        extended_types: true,
        ..CoreConfig::default()
    })
}

#[test]
fn create_answers_the_path_and_create2_the_stat_too() {
    let mut world = World::new();
    let client = world.connect();
    assert_eq!(
        world.call(&client, create("/a")),
        Ok(Response::Path("/a".into()))
    );
    let create2 = create_as(OpCode::CREATE2, "/b", CreateMode::Persistent);
    let Ok(Response::PathAndStat(path, told)) = world.call(&client, Request::Create(create2))
    else {
        panic!("create2 tells path and stat");
    };
    assert_eq!((path.as_str(), told), ("/b", stat(&world, "/b")));
    assert_eq!(
        (told.czxid, told.pzxid, told.version),
        (Zxid(3), Zxid(3), 0)
    );
    assert_eq!(told.ctime, world.now.wall_ms);
}

#[test]
fn a_sequential_name_ends_with_the_parents_counter() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, create("/q")).unwrap();
    let next = |world: &mut World, path, mode| {
        let Ok(Response::Path(path)) = world.call(&client, create_mode(path, mode)) else {
            panic!("create tells the path");
        };
        path
    };
    let mode = CreateMode::PersistentSequential;
    assert_eq!(next(&mut world, "/q/n-", mode), "/q/n-0000000000");
    let mode = CreateMode::EphemeralSequential;
    assert_eq!(next(&mut world, "/q/", mode), "/q/0000000001");
    world.call(&client, delete("/q/n-0000000000")).unwrap();
    assert_eq!(next(&mut world, "/q/n-", mode), "/q/n-0000000002");
    assert_eq!(
        stat(&world, "/q/0000000001").ephemeral_owner,
        client.session.0
    );
}

#[test]
fn pipelined_sequential_names_differ() {
    let mut world = World::new();
    let client = world.connect();
    for _ in 0..3 {
        world.send(&client, create_mode("/n", CreateMode::PersistentSequential));
    }
    world.flush();
    for path in ["/n0000000000", "/n0000000001", "/n0000000002"] {
        assert!(world.server.tree().get(path).is_some(), "{path}");
    }
}

#[test]
fn containers_come_from_their_operation_and_not_from_flags() {
    let mut world = World::new();
    let client = world.connect();
    for (op, mode, path, is_container) in [
        (OpCode::CREATE_CONTAINER, CreateMode::Container, "/c", true),
        (OpCode::CREATE_CONTAINER, CreateMode::Persistent, "/d", true),
        (OpCode::CREATE_CONTAINER, CreateMode::Ephemeral, "/e", true),
        (OpCode::CREATE, CreateMode::Container, "/f", false),
    ] {
        let made = world.call(&client, Request::Create(create_as(op, path, mode)));
        assert_eq!(
            matches!(made, Ok(Response::PathAndStat(..))),
            is_container,
            "{path}"
        );
        let txn = &world.log.last().unwrap().txn;
        assert_eq!(matches!(txn, Txn::CreateContainer { .. }), is_container);
        assert_eq!(stat(&world, path).ephemeral_owner, 0);
    }
    assert_eq!(world.server.tree().containers().count(), 3);
}

#[test]
fn a_time_to_live_needs_extended_types_and_bounds() {
    let mode = CreateMode::PersistentWithTtl;
    let mut world = World::new();
    let client = world.connect();
    errors(
        &mut world,
        &client,
        vec![
            (ttl("/t", mode, 1_000), ErrorCode::UNIMPLEMENTED),
            (create_mode("/t", mode), ErrorCode::UNIMPLEMENTED),
            (
                ttl("/t", CreateMode::Persistent, 1),
                ErrorCode::BAD_ARGUMENTS,
            ),
        ],
    );
    let mut world = extended();
    let client = world.connect();
    errors(
        &mut world,
        &client,
        vec![
            (ttl("/t", mode, 0), ErrorCode::BAD_ARGUMENTS),
            (ttl("/t", mode, -1), ErrorCode::BAD_ARGUMENTS),
            (ttl("/t", mode, TTL_MS_MAX + 1), ErrorCode::BAD_ARGUMENTS),
            (
                ttl("/t", CreateMode::Persistent, -1),
                ErrorCode::BAD_ARGUMENTS,
            ),
            (create_mode("/t", mode), ErrorCode::BAD_ARGUMENTS),
        ],
    );
    assert!(world.call(&client, ttl("/t", mode, TTL_MS_MAX)).is_ok());
    let mode = CreateMode::PersistentSequentialWithTtl;
    let made = world.call(&client, ttl("/s", mode, 1));
    assert!(matches!(made, Ok(Response::PathAndStat(path, _)) if path == "/s0000000001"));
}

#[test]
fn creations_are_refused_in_apaches_order() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, create("/a")).unwrap();
    world
        .call(&client, create_mode("/e", CreateMode::Ephemeral))
        .unwrap();
    let read_only = vec![entry(Perms::READ, "world", "anyone")];
    world
        .call(&client, create_with("/ro", "", read_only))
        .unwrap();
    let flags = |flags| {
        Request::Create(Create {
            flags,
            acl: vec![],
            ..create_as(OpCode::CREATE, "no slash", CreateMode::Persistent)
        })
    };
    errors(
        &mut world,
        &client,
        vec![
            (flags(7), ErrorCode::BAD_ARGUMENTS),
            (flags(-1), ErrorCode::BAD_ARGUMENTS),
            (flags(0), ErrorCode::BAD_ARGUMENTS),
            (create("/a\0/b"), ErrorCode::BAD_ARGUMENTS),
            (create_with("/none/b", "", vec![]), ErrorCode::INVALID_ACL),
            (create("/none/b"), ErrorCode::NO_NODE),
            (create("none/b"), ErrorCode::NO_NODE),
            (create("/none/"), ErrorCode::NO_NODE),
            (create("/ro/.."), ErrorCode::NO_AUTH),
            (create("/a/"), ErrorCode::BAD_ARGUMENTS),
            (create("/a/."), ErrorCode::BAD_ARGUMENTS),
            (create("/a/\u{1}"), ErrorCode::BAD_ARGUMENTS),
            (create("//a"), ErrorCode::BAD_ARGUMENTS),
            (create("/"), ErrorCode::NODE_EXISTS),
            (create("/a"), ErrorCode::NODE_EXISTS),
            (create("/e/child"), ErrorCode::NO_CHILDREN_FOR_EPHEMERALS),
            (create(""), ErrorCode::BAD_ARGUMENTS),
        ],
    );
    assert!(world.call(&client, create("/zookeeper/mine")).is_ok());
}

#[test]
fn paths_are_bounded() {
    let mut world = World::with(CoreConfig {
        path_bytes_max: 8,
        path_depth_max: 2,
        ..CoreConfig::default()
    });
    let client = world.connect();
    world.call(&client, create("/a")).unwrap();
    world.call(&client, create("/a/b")).unwrap();
    world.call(&client, create("/1234567")).unwrap();
    errors(
        &mut world,
        &client,
        vec![
            (create("/a/b/c"), ErrorCode::BAD_ARGUMENTS),
            (create("/12345678"), ErrorCode::BAD_ARGUMENTS),
        ],
    );
}

#[test]
fn a_transaction_too_long_for_the_log_is_refused_whole() {
    let mut world = World::with(CoreConfig {
        txn_bytes_max: 200,
        ..CoreConfig::default()
    });
    let client = world.connect();
    let data = |length| {
        let data = "x".repeat(length);
        create_with("/a", &data, vec![Acl::open()])
    };
    errors(
        &mut world,
        &client,
        vec![
            (data(200), ErrorCode::MARSHALLING_ERROR),
            (
                Request::Multi(["/a", "/b", "/c", "/d"].map(create_op).into()),
                ErrorCode::MARSHALLING_ERROR,
            ),
        ],
    );
    assert!(world.call(&client, data(100)).is_ok());
}

#[test]
fn the_ephemerals_of_a_session_are_bounded_by_their_paths() {
    let config = CoreConfig {
        ephemeral_bytes_per_session_max: 2 * (4 + 2),
        ..CoreConfig::default()
    };
    let mut world = World::with(config.clone());
    let client = world.connect();
    let ephemeral = |path| create_mode(path, CreateMode::Ephemeral);
    for path in ["/a", "/b"] {
        world.call(&client, ephemeral(path)).unwrap();
    }
    let full = |world: &mut World, client: &Client| {
        let refused = vec![(ephemeral("/c"), ErrorCode::QUOTA_EXCEEDED)];
        errors(world, client, refused);
    };
    full(&mut world, &client);
    let ops = vec![delete_op("/a"), delete_op("/none")];
    world.call(&client, Request::Multi(ops)).unwrap();
    full(&mut world, &client);

    let mut world = World::on(config, world.recover());
    let client = world.reconnect(&client);
    full(&mut world, &client);
    world.call(&client, delete("/a")).unwrap();
    let ops = vec![
        MultiOp::Create(create_as(OpCode::CREATE, "/c", CreateMode::Ephemeral)),
        delete_op("/none"),
    ];
    world.call(&client, Request::Multi(ops)).unwrap();
    world.call(&client, ephemeral("/c")).unwrap();
    world.call(&client, Request::CloseSession).unwrap();
    let other = world.connect();
    assert!(world.call(&other, ephemeral("/a")).is_ok());
}

#[test]
fn deletions_are_refused_in_apaches_order() {
    let mut world = World::new();
    let client = world.connect();
    for path in ["/a", "/a/b", "/a/b/c", "/p"] {
        world.call(&client, create(path)).unwrap();
    }
    let locked = vec![entry(Perms::READ | Perms::CREATE, "world", "anyone")];
    world.call(&client, create_with("/l", "", locked)).unwrap();
    world.call(&client, create("/l/x")).unwrap();
    let versioned = |path: &str, version| Request::Delete {
        path: path.into(),
        version,
    };
    errors(
        &mut world,
        &client,
        vec![
            (delete("/"), ErrorCode::BAD_ARGUMENTS),
            (delete("/zookeeper"), ErrorCode::BAD_ARGUMENTS),
            (delete("/zookeeper/quota"), ErrorCode::BAD_ARGUMENTS),
            (delete("/zookeeper/config"), ErrorCode::BAD_ARGUMENTS),
            (delete("none"), ErrorCode::BAD_ARGUMENTS),
            (delete("/a\0"), ErrorCode::BAD_ARGUMENTS),
            (delete("/none/x"), ErrorCode::NO_NODE),
            (delete("/none"), ErrorCode::NO_NODE),
            (delete("/a/"), ErrorCode::NO_NODE),
            (delete("/l/x"), ErrorCode::NO_AUTH),
            (delete("/l/none"), ErrorCode::NO_AUTH),
            (versioned("/a/b", 1), ErrorCode::BAD_VERSION),
            (versioned("/a/b", 0), ErrorCode::NOT_EMPTY),
        ],
    );
    assert_eq!(
        world.call(&client, versioned("/a/b/c", 0)),
        Ok(Response::Empty)
    );
    let parent = stat(&world, "/a/b");
    assert_eq!((parent.num_children, parent.cversion), (0, 2));
    assert_eq!(parent.pzxid, world.server.last_zxid());
}

#[test]
fn set_data_raises_the_version_and_checks_it() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, create("/a")).unwrap();
    let secret = vec![entry(Perms::READ, "world", "anyone")];
    world.call(&client, create_with("/ro", "", secret)).unwrap();
    let set = |path: &str, version| Request::SetData {
        path: path.into(),
        data: None,
        version,
    };
    let told = world.call(&client, set("/a", 0)).unwrap();
    assert_eq!(told, Response::Stat(stat(&world, "/a")));
    assert_eq!(stat(&world, "/a").version, 1);
    assert_eq!(
        world.call(&client, get_data("/a", false)),
        Ok(Response::Data(None, stat(&world, "/a")))
    );
    errors(
        &mut world,
        &client,
        vec![
            (set("/a", 0), ErrorCode::BAD_VERSION),
            (set("/none", 0), ErrorCode::NO_NODE),
            (set("/a/", 0), ErrorCode::BAD_ARGUMENTS),
            (set("none", 0), ErrorCode::BAD_ARGUMENTS),
            (set("/ro", 7), ErrorCode::NO_AUTH),
            (set("/zookeeper/config", -1), ErrorCode::NO_AUTH),
        ],
    );
}

#[test]
fn set_acl_raises_its_own_version_alone() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, create("/a")).unwrap();
    let before = stat(&world, "/a");
    let acl = |version, acl| Request::SetAcl {
        path: "/a".into(),
        acl,
        version,
    };
    let all_but_admin = vec![entry(Perms(15), "world", "anyone")];
    let told = world.call(&client, acl(0, all_but_admin)).unwrap();
    let after = Stat {
        aversion: 1,
        ..before
    };
    assert_eq!(told, Response::Stat(after));
    errors(
        &mut world,
        &client,
        vec![
            (set_acl("/a/", vec![]), ErrorCode::BAD_ARGUMENTS),
            (set_acl("/none", vec![]), ErrorCode::INVALID_ACL),
            (set_acl("/none", vec![Acl::open()]), ErrorCode::NO_NODE),
            (acl(0, vec![Acl::open()]), ErrorCode::NO_AUTH),
        ],
    );
    world.call(&client, create("/b")).unwrap();
    let wrong = Request::SetAcl {
        path: "/b".into(),
        acl: vec![Acl::open()],
        version: 3,
    };
    errors(&mut world, &client, vec![(wrong, ErrorCode::BAD_VERSION)]);
}

#[test]
fn reconfig_has_no_meaning_here() {
    let reconfig = || {
        Request::Reconfig(Reconfig {
            joining: None,
            leaving: None,
            new_members: None,
            current_config: Zxid(-1),
        })
    };
    for (reconfig_enabled, code) in [
        (false, ErrorCode::RECONFIG_DISABLED),
        (true, ErrorCode::UNIMPLEMENTED),
    ] {
        let mut world = World::with(CoreConfig {
            reconfig_enabled,
            ..CoreConfig::default()
        });
        let client = world.connect();
        errors(&mut world, &client, vec![(reconfig(), code)]);
        assert!(world.call(&client, Request::Ping).is_ok());
    }
}

#[test]
fn a_malformed_write_takes_no_zxid() {
    let mut world = World::new();
    let client = world.connect();
    for op in [OpCode::CREATE, OpCode::MULTI, OpCode::SET_ACL] {
        world.send_broken(&client, op);
    }
    assert_eq!(world.log.len(), 1);
    assert_eq!(
        world.take_text(),
        [
            "reply 1 x1 z1 MARSHALLINGERROR",
            "reply 1 x2 z1 MARSHALLINGERROR",
            "reply 1 x3 z1 MARSHALLINGERROR"
        ]
    );
}

#[test]
fn a_write_sees_what_is_pending() {
    let mut world = World::new();
    let client = world.connect();
    let mut expected = Vec::new();
    for (request, text) in [
        (create("/a"), "OK"),
        (create("/a"), "NODEEXISTS"),
        (create("/a/b"), "OK"),
        (delete("/a"), "NOTEMPTY"),
        (delete("/a/b"), "OK"),
        (set_data("/a", "x"), "OK"),
        (
            Request::Delete {
                path: "/a".into(),
                version: 0,
            },
            "BADVERSION",
        ),
        (delete("/a"), "OK"),
        (set_data("/a", "x"), "NONODE"),
        (create("/a"), "OK"),
        (
            set_acl("/a", vec![entry(Perms::ADMIN, "world", "anyone")]),
            "OK",
        ),
        (set_data("/a", "x"), "NOAUTH"),
    ] {
        let Xid(xid) = world.send(&client, request);
        expected.push(format!("reply 1 x{xid} z{} {text}", world.log.len()));
    }
    world.flush();
    assert_eq!(world.take_text(), expected);
    assert!(world.server.is_idle());
}

#[test]
fn a_multi_is_one_transaction_and_answers_each_part() {
    let mut world = extended();
    let client = world.connect();
    let create2 = |op, path, mode| MultiOp::Create(create_as(op, path, mode));
    let ops = vec![
        create_op("/m"),
        create2(OpCode::CREATE2, "/m/two", CreateMode::Persistent),
        create2(OpCode::CREATE_CONTAINER, "/m/c", CreateMode::Container),
        MultiOp::Create(Create {
            ttl_ms: 5,
            ..create_as(OpCode::CREATE_TTL, "/m/t", CreateMode::PersistentWithTtl)
        }),
        create2(OpCode::CREATE, "/m/s", CreateMode::PersistentSequential),
        check_op("/m", 0),
        set_op("/m", 0),
        check_op("/m", 1),
        delete_op("/m/two"),
    ];
    let Ok(Response::Multi(results)) = world.call(&client, Request::Multi(ops)) else {
        panic!("a multi answers its parts");
    };
    let zxid = world.server.last_zxid();
    assert_eq!(zxid, Zxid(2));
    let kinds: Vec<String> = results
        .iter()
        .map(|result| match result {
            MultiResult::Create(path) => format!("create {path}"),
            MultiResult::Create2(path, stat) => {
                assert_eq!(stat.czxid, zxid);
                format!("create2 {path}")
            }
            MultiResult::SetData(stat) => format!("set {}", stat.version),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "create /m",
            "create2 /m/two",
            "create2 /m/c",
            "create2 /m/t",
            "create /m/s0000000003",
            "Check",
            "set 1",
            "Check",
            "Delete"
        ]
    );
}

#[test]
fn an_empty_multi_succeeds_and_takes_a_zxid() {
    let mut world = World::new();
    let client = world.connect();
    assert_eq!(
        world.call(&client, Request::Multi(vec![])),
        Ok(Response::Multi(vec![]))
    );
    assert_eq!(world.server.last_zxid(), Zxid(2));
}

#[test]
fn a_multi_that_fails_changes_nothing_and_says_where() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, create("/a")).unwrap();
    let digest = world.server.tree().digest();
    let ops = vec![
        create_op("/a/b"),
        set_op("/a", 0),
        delete_op("/none"),
        create_op("/c"),
    ];
    let results = world.call(&client, Request::Multi(ops));
    let codes = [
        ErrorCode::OK,
        ErrorCode::OK,
        ErrorCode::NO_NODE,
        ErrorCode::RUNTIME_INCONSISTENCY,
    ];
    assert_eq!(
        results,
        Ok(Response::Multi(codes.map(MultiResult::Error).into()))
    );
    let record = world.log.last().unwrap();
    assert_eq!(record.header.op, OpCode::MULTI);
    let Txn::Multi(parts) = &record.txn else {
        panic!("{record:?}");
    };
    let ops: Vec<OpCode> = parts.iter().map(|part| part.0).collect();
    assert_eq!(
        ops,
        [
            OpCode::CREATE,
            OpCode::SET_DATA,
            OpCode::ERROR,
            OpCode::ERROR
        ]
    );
    assert_eq!(world.server.tree().digest(), digest);
    assert_eq!(record.digest.unwrap().tree_digest, digest);
}

#[test]
fn a_failed_multi_takes_back_what_pending_requests_would_see() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, create("/q")).unwrap();
    world.send(
        &client,
        create_mode("/q/n", CreateMode::PersistentSequential),
    );
    world.send(&client, set_data("/q", "kept"));
    let sequential = || {
        MultiOp::Create(create_as(
            OpCode::CREATE,
            "/q/n",
            CreateMode::PersistentSequential,
        ))
    };
    let ops = vec![
        sequential(),
        sequential(),
        set_op("/q", 1),
        delete_op("/q/n0000000000"),
        delete_op("/none"),
    ];
    world.send(&client, Request::Multi(ops));
    let set = Request::SetData {
        path: "/q".into(),
        data: None,
        version: 1,
    };
    assert!(world.call(&client, set).is_ok());
    let next = world.call(
        &client,
        create_mode("/q/n", CreateMode::PersistentSequential),
    );
    assert_eq!(next, Ok(Response::Path("/q/n0000000001".into())));
    assert!(world.call(&client, exists("/q/n0000000000", false)).is_ok());
    assert!(world.server.is_idle());
}

#[test]
fn bare_parts_of_a_multi_may_fail_each_in_its_way() {
    let mut world = World::new();
    let client = world.connect();
    let secret = vec![entry(Perms::WRITE, "world", "anyone")];
    world.call(&client, create_with("/w", "", secret)).unwrap();
    for (op, code) in [
        (check_op("/none", -1), ErrorCode::NO_NODE),
        (check_op("/", 5), ErrorCode::BAD_VERSION),
        (check_op("none", 0), ErrorCode::BAD_ARGUMENTS),
        (check_op("/w", -1), ErrorCode::NO_AUTH),
        (create_op("/w"), ErrorCode::NODE_EXISTS),
        (delete_op("/zookeeper"), ErrorCode::BAD_ARGUMENTS),
        (set_op("/w", 9), ErrorCode::BAD_VERSION),
        (
            MultiOp::Create(create_as(
                OpCode::CREATE_TTL,
                "/t",
                CreateMode::PersistentWithTtl,
            )),
            ErrorCode::UNIMPLEMENTED,
        ),
    ] {
        assert_eq!(
            world.call(&client, Request::Multi(vec![op])),
            Ok(Response::Multi(vec![MultiResult::Error(code)]))
        );
    }
}

#[test]
fn transactions_carry_the_digest_only_when_told() {
    for digest in [true, false] {
        let mut world = World::with(CoreConfig {
            digest,
            ..CoreConfig::default()
        });
        let client = world.connect();
        world.call(&client, create("/a")).unwrap();
        world.call(&client, set_data("/a", "x")).unwrap();
        assert!(world.log.iter().all(|txn| txn.digest.is_some() == digest));
        let recovered = world.recover();
        assert_eq!(recovered.digest_mismatches, 0);
        assert_eq!(recovered.tree.digest(), world.server.tree().digest());
    }
}

#[test]
fn the_digest_is_kept_every_128_transactions() {
    let mut world = World::new();
    let client = world.connect();
    for _ in 0..300 {
        world
            .call(&client, create_mode("/n", CreateMode::PersistentSequential))
            .unwrap();
    }
    let kept: Vec<i64> = world
        .server
        .digest_history()
        .map(|digest| digest.zxid.0)
        .collect();
    assert_eq!(kept, [128, 256]);
}

#[test]
fn the_counter_of_names_stays_at_its_end() {
    let config = CoreConfig::default();
    let mut log = {
        let mut world = World::with(config.clone());
        let client = world.connect();
        world.call(&client, create("/q")).unwrap();
        world.call(&client, create("/q/first")).unwrap();
        world.log
    };
    // A log by another server may leave the counter anywhere.
    let last = log.last_mut().unwrap();
    let Txn::Create(made) = &mut last.txn else {
        panic!("{last:?}");
    };
    made.parent_cversion = i32::MAX;
    last.digest = None;
    let mut world = World::on(config.clone(), super::world::recover(&config, &log));
    let client = world.connect();
    let mode = CreateMode::PersistentSequential;
    assert_eq!(
        world.call(&client, create_mode("/q/n", mode)),
        Ok(Response::Path("/q/n2147483647".into()))
    );
    assert_eq!(
        world.call(&client, create_mode("/q/n", mode)),
        Err(ErrorCode::NODE_EXISTS)
    );
}

#[test]
fn large_data_is_kept_whole() {
    let mut world = World::new();
    let client = world.connect();
    let data = Bytes::from(vec![7; 1 << 20]);
    world.call(&client, create("/a")).unwrap();
    let set = Request::SetData {
        path: "/a".into(),
        data: Some(data.clone()),
        version: -1,
    };
    world.call(&client, set).unwrap();
    let Ok(Response::Data(Some(read), _)) = world.call(&client, get_data("/a", false)) else {
        panic!("the data is there");
    };
    assert_eq!(read, data);
}
