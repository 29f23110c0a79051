//! What reads answer.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use zk_proto::{
    Acl, CreateMode, ErrorCode, Id, MultiResult, OpCode, Perms, ReadOp, Request, Response, Xid,
};

use super::world::World;
use super::{
    addauth, create, create_mode, create_with, entry, exists, get_children, get_data, set_acl,
    strings, sync,
};

fn path(path: &str) -> alloc::string::String {
    path.into()
}

#[test]
fn a_znode_is_read_in_every_way() {
    let mut world = World::new();
    let client = world.connect();
    world
        .call(&client, create_with("/a", "data", vec![Acl::open()]))
        .unwrap();
    world.call(&client, create("/a/b")).unwrap();
    world.call(&client, create("/a/b/c")).unwrap();
    let stat = world.server.tree().get("/a").unwrap().stat();
    let names = vec!["b".into()];
    for (request, response) in [
        (exists("/a", false), Response::Stat(stat)),
        (
            get_data("/a", false),
            Response::Data(Some("data".into()), stat),
        ),
        (get_children("/a", false), Response::Children(names.clone())),
        (
            Request::GetChildren2 {
                path: path("/a"),
                watch: false,
            },
            Response::ChildrenAndStat(names, stat),
        ),
        (
            Request::GetAcl { path: path("/a") },
            Response::Acl(vec![Acl::open()], stat),
        ),
        (
            Request::GetAllChildrenNumber { path: path("/a") },
            Response::Number(2),
        ),
        (sync(), Response::Path(path("/"))),
        (
            Request::WhoAmI,
            Response::Identities(vec![Id::new("ip", "127.0.0.1")]),
        ),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(world.call(&client, request), Ok(response), "{shown}");
    }
    assert_eq!(world.log.len(), 4, "reads are not logged");
    let all = Request::GetAllChildrenNumber { path: path("/") };
    assert_eq!(world.call(&client, all), Ok(Response::Number(6)));
}

#[test]
fn reads_of_what_is_not_there_say_so() {
    let mut world = World::new();
    let client = world.connect();
    for path in ["/none", "/none/", "none", "//", "/zookeeper/"] {
        for request in [
            exists(path, false),
            get_data(path, false),
            get_children(path, false),
            Request::GetChildren2 {
                path: path.into(),
                watch: false,
            },
            Request::GetAcl { path: path.into() },
            Request::GetAllChildrenNumber { path: path.into() },
        ] {
            let shown = format!("{request:?}");
            assert_eq!(
                world.call(&client, request),
                Err(ErrorCode::NO_NODE),
                "{shown}"
            );
        }
    }
    assert_eq!(
        world.call(&client, exists("/a\0", false)),
        Err(ErrorCode::BAD_ARGUMENTS)
    );
    assert_eq!(
        world.call(&client, get_data("/a\0", false)),
        Err(ErrorCode::NO_NODE)
    );
}

#[test]
fn the_empty_path_reads_the_root() {
    let mut world = World::new();
    let client = world.connect();
    assert_eq!(
        world.call(&client, get_children("", false)),
        Ok(Response::Children(vec!["zookeeper".into()]))
    );
}

#[test]
fn pings_are_answered_under_their_own_number() {
    let mut world = World::new();
    let client = world.connect();
    let (header, response) = world.call_full(&client, Request::Ping);
    assert_eq!((header.xid, response), (Xid::PING, Response::Empty));
}

#[test]
fn a_multi_read_answers_each_part() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, create("/a")).unwrap();
    let hidden = vec![entry(Perms::WRITE, "world", "anyone")];
    world.call(&client, create_with("/w", "", hidden)).unwrap();
    let data = |path: &str| ReadOp::GetData {
        path: path.into(),
        watch: true,
    };
    let children = |path: &str| ReadOp::GetChildren {
        path: path.into(),
        watch: true,
    };
    let ops = vec![data("/a"), children("/a"), data("/none"), children("/w")];
    let stat = world.server.tree().get("/a").unwrap().stat();
    assert_eq!(
        world.call(&client, Request::MultiRead(ops)),
        Ok(Response::Multi(vec![
            MultiResult::GetData(Some("".into()), stat),
            MultiResult::GetChildren(vec![]),
            MultiResult::Error(ErrorCode::NO_NODE),
            MultiResult::Error(ErrorCode::NO_AUTH),
        ]))
    );
    assert_eq!(world.server.watch_summary().data_watches, 0);
}

#[test]
fn ephemerals_are_those_of_the_asking_session() {
    let mut world = World::new();
    let (client, other) = (world.connect(), world.connect());
    world.call(&client, create("/a")).unwrap();
    for (owner, path) in [(&client, "/a/x"), (&client, "/ab"), (&other, "/a/y")] {
        world
            .call(owner, create_mode(path, CreateMode::Ephemeral))
            .unwrap();
    }
    for (prefix, paths) in [
        ("", strings(&["/a/x", "/ab"])),
        (" / ", strings(&["/a/x", "/ab"])),
        ("/a", strings(&["/a/x", "/ab"])),
        ("/a/", strings(&["/a/x"])),
        ("/b", strings(&[])),
    ] {
        let request = Request::GetEphemerals {
            prefix: prefix.into(),
        };
        assert_eq!(
            world.call(&client, request),
            Ok(Response::Ephemerals(paths)),
            "{prefix:?}"
        );
    }
}

#[test]
fn password_hashes_are_shown_to_administrators_alone() {
    let mut world = World::new();
    let (owner, reader) = (world.connect(), world.connect());
    world.call(&owner, addauth("u:p")).unwrap();
    world.call(&owner, create("/a")).unwrap();
    let acl = vec![
        entry(Perms::ALL, "auth", ""),
        entry(Perms::READ, "world", "anyone"),
    ];
    world.call(&owner, set_acl("/a", acl)).unwrap();
    let mut digests = |client| match world.call(client, Request::GetAcl { path: path("/a") }) {
        Ok(Response::Acl(acl, _)) => acl[0].id.id.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(digests(&reader), "u:x");
    assert!(digests(&owner).starts_with("u:") && digests(&owner).len() > 20);
}

#[test]
fn every_header_tells_the_newest_transaction_applied() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, create("/a")).unwrap();
    let reads: Vec<_> = [exists("/a", false), exists("/b", false), sync()]
        .into_iter()
        .map(|request| world.call_full(&client, request).0.zxid)
        .collect();
    assert_eq!(reads, [world.server.last_zxid(); 3]);
}

#[test]
fn operations_that_no_client_may_ask_for_end_the_connection() {
    for op in [
        OpCode::NOTIFICATION,
        OpCode::CHECK,
        OpCode::DELETE_CONTAINER,
        OpCode::CREATE_SESSION,
        OpCode::ERROR,
        OpCode(10),
        OpCode(999),
    ] {
        let mut world = World::new();
        let client = world.connect();
        let xid = world.send(&client, Request::Unsupported(op));
        assert_eq!(
            world.take_text(),
            [
                format!("reply 1 x{} z-1 UNIMPLEMENTED", xid.0),
                format!("close 1 Unsupported({op:?})")
            ]
        );
        assert_eq!(world.log.len(), 1);
    }
}
