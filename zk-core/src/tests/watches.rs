//! Events: which, to whom, and before what.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use zk_proto::{
    Acl, AddWatch, AddWatchMode, CreateMode, ErrorCode, Perms, Request, Response, SetWatches,
    WatcherType, Zxid,
};

use super::world::{Client, World};
use super::{
    addauth, check_op, create, create_mode, create_op, create_with, delete, delete_op, entry,
    exists, get_children, get_data, set_acl, set_data, set_op, strings,
};
use crate::{CoreConfig, Input, WatchSummary};

fn add_watch(path: &str, mode: AddWatchMode) -> Request {
    Request::AddWatch(AddWatch {
        path: path.into(),
        mode: mode.to_raw(),
    })
}

fn persistent(path: &str) -> Request {
    add_watch(path, AddWatchMode::Persistent)
}

fn recursive(path: &str) -> Request {
    add_watch(path, AddWatchMode::PersistentRecursive)
}

fn check_watches(path: &str, kind: i32) -> Request {
    Request::CheckWatches {
        path: path.into(),
        kind,
    }
}

fn remove_watches(path: &str, kind: i32) -> Request {
    Request::RemoveWatches {
        path: path.into(),
        kind,
    }
}

/// Effects of a write by another client, without its reply.
fn events(world: &mut World, writer: &Client, request: Request) -> Vec<String> {
    world.take();
    world.call(writer, request).unwrap();
    let mut lines = world.take_text();
    lines.retain(|line| !line.starts_with("reply"));
    lines
}

fn pair() -> (World, Client, Client) {
    let mut world = World::new();
    let watcher = world.connect();
    let writer = world.connect();
    (world, watcher, writer)
}

#[test]
fn an_event_comes_before_the_reply_that_shows_the_change() {
    let mut world = World::new();
    let client = world.connect();
    world.call(&client, exists("/a", true)).unwrap_err();
    world.call(&client, get_children("/", true)).unwrap();
    world.take();
    world.send(&client, create("/a"));
    world.send(&client, get_data("/a", false));
    world.flush();
    assert_eq!(
        world.take_text(),
        [
            "NodeCreated /a z2 to [1]",
            "NodeChildrenChanged / z2 to [1]",
            "reply 1 x3 z2 OK",
            "reply 1 x4 z2 OK"
        ]
    );
}

#[test]
fn each_watch_hears_of_its_own_kind_of_change_once() {
    let (mut world, watcher, writer) = pair();
    world.call(&writer, create("/a")).unwrap();
    world.call(&watcher, get_data("/a", true)).unwrap();
    world.call(&watcher, get_children("/a", true)).unwrap();
    let open = vec![Acl::open()];
    assert_eq!(events(&mut world, &writer, set_acl("/a", open)), [""; 0]);
    assert_eq!(
        events(&mut world, &writer, set_data("/a", "x")),
        ["NodeDataChanged /a z5 to [1]"]
    );
    assert_eq!(events(&mut world, &writer, set_data("/a", "y")), [""; 0]);
    assert_eq!(
        events(&mut world, &writer, create("/a/b")),
        ["NodeChildrenChanged /a z7 to [1]"]
    );
    assert_eq!(events(&mut world, &writer, delete("/a/b")), [""; 0]);
    assert_eq!(world.server.counters().events, [0, 0, 1, 1]);
}

#[test]
fn a_deletion_is_told_once_to_who_watches_data_and_children() {
    let (mut world, watcher, writer) = pair();
    world.call(&writer, create("/a")).unwrap();
    world.call(&watcher, get_data("/a", true)).unwrap();
    world.call(&watcher, get_children("/a", true)).unwrap();
    world.call(&writer, get_children("/a", true)).unwrap();
    world.call(&writer, get_children("/", true)).unwrap();
    assert_eq!(
        events(&mut world, &writer, delete("/a")),
        [
            "NodeDeleted /a z4 to [1, 2]",
            "NodeChildrenChanged / z4 to [2]"
        ]
    );
    assert_eq!(world.server.watch_summary(), WatchSummary::default());
}

#[test]
fn reads_that_fail_set_no_watch_but_exists_of_nothing_does() {
    let (mut world, watcher, _) = pair();
    world.call(&watcher, get_data("/a", true)).unwrap_err();
    world.call(&watcher, get_children("/a", true)).unwrap_err();
    assert_eq!(world.server.watch_summary(), WatchSummary::default());
    world.call(&watcher, exists("/a", true)).unwrap_err();
    assert_eq!(world.server.watch_summary().data_watches, 1);
}

#[test]
fn persistent_watches_stay_and_coexist_with_one_shot_ones() {
    let (mut world, watcher, writer) = pair();
    assert_eq!(
        world.call(&watcher, persistent("/a")),
        Ok(Response::Code(ErrorCode::OK))
    );
    world.call(&watcher, recursive("/a")).unwrap();
    world.call(&watcher, exists("/a", true)).unwrap_err();
    for (request, lines) in [
        (create("/a"), strings(&["NodeCreated /a z3 to [1]"])),
        (
            set_data("/a", "x"),
            strings(&["NodeDataChanged /a z4 to [1]"]),
        ),
        (
            create("/a/b"),
            strings(&[
                "NodeCreated /a/b z5 to [1]",
                "NodeChildrenChanged /a z5 to [1]",
            ]),
        ),
        (create("/a/b/c"), strings(&["NodeCreated /a/b/c z6 to [1]"])),
        (delete("/a/b/c"), strings(&["NodeDeleted /a/b/c z7 to [1]"])),
        (
            delete("/a/b"),
            strings(&[
                "NodeDeleted /a/b z8 to [1]",
                "NodeChildrenChanged /a z8 to [1]",
            ]),
        ),
        (delete("/a"), strings(&["NodeDeleted /a z9 to [1]"])),
    ] {
        assert_eq!(events(&mut world, &writer, request), lines);
    }
}

#[test]
fn one_event_for_many_connections_is_one_effect() {
    let (mut world, watcher, writer) = pair();
    let third = world.connect();
    world.call(&writer, create("/a")).unwrap();
    world.call(&watcher, get_data("/a", true)).unwrap();
    world.call(&third, persistent("/a")).unwrap();
    world.call(&writer, recursive("/")).unwrap();
    let lines = events(&mut world, &writer, set_data("/a", "x"));
    assert_eq!(lines.len(), 1);
    for conn in ["1", "2", "3"] {
        assert!(lines[0].contains(conn), "{lines:?}");
    }
}

#[test]
fn a_multi_tells_its_changes_in_order_before_its_reply() {
    let (mut world, watcher, writer) = pair();
    world.call(&watcher, recursive("/")).unwrap();
    world.take();
    let ops = vec![
        create_op("/a"),
        set_op("/a", 0),
        check_op("/a", 1),
        delete_op("/a"),
    ];
    world.call(&writer, Request::Multi(ops)).unwrap();
    assert_eq!(
        world.take_text(),
        [
            "NodeCreated /a z3 to [1]",
            "NodeDataChanged /a z3 to [1]",
            "NodeDeleted /a z3 to [1]",
            "reply 2 x2 z3 OK"
        ]
    );
}

#[test]
fn a_failed_multi_tells_nothing() {
    let (mut world, watcher, writer) = pair();
    world.call(&watcher, recursive("/")).unwrap();
    let ops = vec![create_op("/a"), delete_op("/none")];
    assert_eq!(events(&mut world, &writer, Request::Multi(ops)), [""; 0]);
}

#[test]
fn ephemerals_that_go_with_their_session_are_told() {
    let (mut world, watcher, writer) = pair();
    world
        .call(&writer, create_mode("/e", CreateMode::Ephemeral))
        .unwrap();
    world.call(&watcher, exists("/e", true)).unwrap();
    world.call(&watcher, get_children("/", true)).unwrap();
    assert_eq!(
        events(&mut world, &writer, Request::CloseSession),
        [
            "NodeDeleted /e z4 to [1]",
            "NodeChildrenChanged / z4 to [1]",
            "close 2 SessionClosed"
        ]
    );
}

#[test]
fn events_are_for_those_who_may_read_the_node_at_the_change() {
    let (mut world, watcher, writer) = pair();
    world.call(&writer, addauth("u:p")).unwrap();
    world.call(&watcher, recursive("/")).unwrap();
    let own = || vec![entry(Perms::ALL, "auth", "")];
    let secret = create_with("/s", "", own());
    assert_eq!(events(&mut world, &writer, secret), [""; 0]);
    assert_eq!(events(&mut world, &writer, set_data("/s", "x")), [""; 0]);
    let open = vec![Acl::open()];
    events(&mut world, &writer, set_acl("/s", open));
    assert_eq!(
        events(&mut world, &writer, set_data("/s", "y")),
        ["NodeDataChanged /s z6 to [1]"]
    );
    world.call(&watcher, exists("/s", true)).unwrap();
    events(&mut world, &writer, set_acl("/s", own()));
    assert_eq!(events(&mut world, &writer, delete("/s")), [""; 0]);
    assert_eq!(world.server.counters().events_withheld, 3);
    assert!(
        world.call(&watcher, check_watches("/s", 2)).is_err(),
        "an event that is withheld ends its watch"
    );
}

#[test]
fn children_events_need_read_on_the_parent() {
    let (mut world, watcher, writer) = pair();
    world.call(&writer, addauth("u:p")).unwrap();
    world.call(&writer, create("/p")).unwrap();
    world.call(&watcher, get_children("/p", true)).unwrap();
    let own = vec![entry(Perms::ALL, "auth", "")];
    world.call(&writer, set_acl("/p", own)).unwrap();
    assert_eq!(events(&mut world, &writer, create("/p/c")), [""; 0]);
}

fn restore(world: &mut World, client: &Client, watches: SetWatches) -> Vec<String> {
    world.take();
    world.call(client, Request::SetWatches(watches)).unwrap();
    let mut lines = world.take_text();
    let reply = lines.pop().unwrap();
    assert!(reply.starts_with("reply"), "the reply comes last: {reply}");
    lines
}

#[test]
fn set_watches_catches_up_with_what_was_missed() {
    let (mut world, client, writer) = pair();
    for path in ["/same", "/changed", "/parent", "/still"] {
        world.call(&writer, create(path)).unwrap();
    }
    let relative_zxid = world.server.last_zxid();
    world.call(&writer, set_data("/changed", "x")).unwrap();
    world.call(&writer, create("/parent/child")).unwrap();
    let lines = restore(
        &mut world,
        &client,
        SetWatches {
            relative_zxid,
            data: strings(&["/same", "/changed", "/gone"]),
            exist: strings(&["/same", "/gone"]),
            child: strings(&["/still", "/parent", "/gone"]),
            persistent: None,
        },
    );
    assert_eq!(
        lines,
        [
            "NodeDataChanged /changed z-1 to [1]",
            "NodeDeleted /gone z-1 to [1]",
            "NodeCreated /same z-1 to [1]",
            "NodeChildrenChanged /parent z-1 to [1]",
            "NodeDeleted /gone z-1 to [1]"
        ]
    );
    for (path, kind, is_set) in [
        ("/same", 2, true),
        ("/changed", 2, false),
        ("/gone", 2, true),
        ("/still", 1, true),
        ("/parent", 1, false),
        ("/gone", 1, false),
    ] {
        let found = world.call(&client, check_watches(path, kind)).is_ok();
        assert_eq!(found, is_set, "{path} {kind}");
    }
}

#[test]
fn set_watches_restores_persistent_watches_without_catching_up() {
    let (mut world, client, writer) = pair();
    world.call(&writer, create("/a")).unwrap();
    let watches = SetWatches {
        persistent: Some((strings(&["/a"]), strings(&["/r"]))),
        ..SetWatches::default()
    };
    assert_eq!(restore(&mut world, &client, watches), [""; 0]);
    assert_eq!(
        events(&mut world, &writer, set_data("/a", "x")),
        ["NodeDataChanged /a z4 to [1]"]
    );
    assert_eq!(
        events(&mut world, &writer, create("/r")),
        ["NodeCreated /r z5 to [1]"]
    );
}

#[test]
fn set_watches_tells_nothing_of_what_may_not_be_read() {
    let (mut world, client, writer) = pair();
    world.call(&writer, addauth("u:p")).unwrap();
    let own = vec![entry(Perms::ALL, "auth", "")];
    world.call(&writer, create_with("/s", "", own)).unwrap();
    let watches = SetWatches {
        relative_zxid: Zxid(0),
        data: strings(&["/s"]),
        exist: strings(&["/s"]),
        child: strings(&["/s"]),
        persistent: None,
    };
    assert_eq!(restore(&mut world, &client, watches.clone()), [""; 0]);
    world.call(&client, addauth("u:p")).unwrap();
    assert_eq!(restore(&mut world, &client, watches).len(), 3);
}

#[test]
fn watches_are_checked_and_removed_by_type() {
    const ALL: [(WatcherType, fn() -> Request); 4] = [
        (WatcherType::Data, || get_data("/", true)),
        (WatcherType::Children, || get_children("/", true)),
        (WatcherType::Persistent, || persistent("/")),
        (WatcherType::PersistentRecursive, || recursive("/")),
    ];
    for (kind, set) in ALL {
        let (mut world, client, _) = pair();
        world.call(&client, set()).unwrap();
        for (other, _) in ALL {
            let found = world.call(&client, check_watches("/", other.to_raw()));
            assert_eq!(found.is_ok(), kind == other, "{kind:?} {other:?}");
            if other != kind {
                assert_eq!(
                    world.call(&client, remove_watches("/", other.to_raw())),
                    Err(ErrorCode::NO_WATCHER)
                );
            }
        }
        let any = WatcherType::Any.to_raw();
        assert_eq!(
            world.call(&client, check_watches("/", any)),
            Ok(Response::Empty)
        );
        assert_eq!(
            world.call(&client, remove_watches("/", kind.to_raw())),
            Ok(Response::Empty)
        );
        assert_eq!(
            world.call(&client, check_watches("/", any)),
            Err(ErrorCode::NO_WATCHER)
        );
        assert_eq!(world.server.watch_summary(), WatchSummary::default());
    }
}

#[test]
fn any_removes_every_watch_of_the_connection_on_the_path() {
    let (mut world, client, other) = pair();
    for request in [
        get_data("/", true),
        get_children("/", true),
        persistent("/"),
        recursive("/"),
    ] {
        world.call(&client, request).unwrap();
    }
    world.call(&other, get_data("/", true)).unwrap();
    world.call(&client, remove_watches("/", 3)).unwrap();
    let left = world.server.watch_summary();
    assert_eq!((left.data_watches, left.child_watches), (1, 0));
}

#[test]
fn types_and_modes_without_a_meaning_are_malformed() {
    let (mut world, client, _) = pair();
    for request in [
        check_watches("/", 0),
        remove_watches("/", 6),
        Request::AddWatch(AddWatch {
            path: "/".into(),
            mode: 2,
        }),
    ] {
        assert_eq!(
            world.call(&client, request),
            Err(ErrorCode::MARSHALLING_ERROR)
        );
    }
}

#[test]
fn watches_are_bounded_and_the_refusal_sets_none() {
    let mut world = World::with(CoreConfig {
        watches_per_session_max: 2,
        ..CoreConfig::default()
    });
    let client = world.connect();
    world.call(&client, exists("/1", true)).unwrap_err();
    world.call(&client, exists("/2", true)).unwrap_err();
    for request in [
        exists("/3", true),
        get_data("/", true),
        get_children("/", true),
        persistent("/"),
        recursive("/"),
        Request::SetWatches(SetWatches {
            data: strings(&["/1"]),
            ..SetWatches::default()
        }),
    ] {
        assert_eq!(world.call(&client, request), Err(ErrorCode::QUOTA_EXCEEDED));
    }
    assert_eq!(world.server.watch_summary().data_watches, 2);
    assert_eq!(
        world.call(&client, exists("/2", true)),
        Err(ErrorCode::NO_NODE),
        "the same watch again is no other"
    );
    assert!(world.call(&client, get_data("/", false)).is_ok());
}

#[test]
fn watches_die_with_their_connection() {
    let (mut world, client, _) = pair();
    world.call(&client, get_data("/", true)).unwrap();
    world.call(&client, persistent("/a")).unwrap();
    world.handle(Input::Disconnected { conn: client.conn });
    assert_eq!(world.server.watch_summary(), WatchSummary::default());
}

#[test]
fn watches_are_listed_by_path_and_by_session() {
    let (mut world, first, second) = pair();
    world.call(&second, exists("/b", true)).unwrap_err();
    world.call(&first, exists("/b", true)).unwrap_err();
    world.call(&first, exists("/a", true)).unwrap_err();
    world.call(&first, get_children("/", true)).unwrap();
    let (one, two) = (first.session, second.session);
    assert_eq!(
        world.server.watches_by_path(),
        [("/a", vec![one]), ("/b", vec![one, two])]
    );
    assert_eq!(
        world.server.watches_by_session(),
        [(one, vec!["/a", "/b"]), (two, vec!["/b"])]
    );
    assert_eq!(
        world.server.watch_summary(),
        WatchSummary {
            connections: 2,
            paths: 2,
            data_watches: 3,
            child_watches: 1
        }
    );
}
