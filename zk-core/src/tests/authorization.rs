//! Who may do what: every operation, by every way to ask for it, under every set of permissions and
//! every kind of identity, against a table.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use zk_proto::{
    Acl, AddWatch, ErrorCode, MultiOp, MultiResult, OpCode, Perms, ReadOp, Reconfig, Request,
    Response, SetWatches, Zxid,
};

use super::world::{Client, World};
use super::{
    addauth, check_op, create, create_op, create_with, delete, delete_op, entry, exists,
    get_children, get_data, set_acl, set_data, set_op, strings, sync,
};
use crate::{AuthConfig, CoreConfig, Effect};

/// The parent and the node, with the same ACL.
const PARENT: &str = "/p";
const NODE: &str = "/p/n";

/// Whom the ACL names, and whether that is the asking client: one that proved `me:pw`, at 10.0.0.1.
const GRANTED: [(&str, &str, bool); 6] = [
    ("world", "anyone", true),
    ("digest", "me:xlpJGzVhaayvpHfFn/RwowgwqI4=", true),
    ("digest", "you:xlpJGzVhaayvpHfFn/RwowgwqI4=", false),
    ("ip", "10.0.0.0/24", true),
    ("ip", "10.0.1.0/24", false),
    ("ip", "::/0", false),
];

struct Scene {
    world: World,
    admin: Client,
    asker: Client,
    acl: Vec<Acl>,
}

impl Scene {
    fn new(perms: i32, (scheme, id, _): (&str, &str, bool), skip_acl: bool) -> Self {
        let mut world = World::with(CoreConfig {
            skip_acl,
            auth: AuthConfig {
                super_digest: Some("root:qScoE+LkbrbWBh/au3OD5Aq2Yx0=".into()),
                ..AuthConfig::default()
            },
            ..CoreConfig::default()
        });
        let admin = world.connect();
        world.call(&admin, addauth("root:pw")).unwrap();
        let asker = world.connect_from("10.0.0.1");
        world.call(&asker, addauth("me:pw")).unwrap();
        let acl = vec![entry(Perms(perms), scheme, id)];
        for path in [PARENT, NODE] {
            world
                .call(&admin, create_with(path, "", acl.clone()))
                .unwrap();
        }
        Self {
            world,
            admin,
            asker,
            acl,
        }
    }

    /// Puts the nodes as they were.
    fn restore(&mut self) {
        for (path, expected) in [(NODE, true), ("/p/new", false)] {
            let is_there = self.world.server.tree().get(path).is_some();
            if expected && !is_there {
                let acl = self.acl.clone();
                let request = create_with(path, "", acl);
                self.world.call(&self.admin, request).unwrap();
            } else if !expected && is_there {
                self.world.call(&self.admin, delete(path)).unwrap();
            }
        }
    }
}

/// Writes, with the permission that each needs: of the parent for creations and deletions.
fn writes() -> [(MultiOp, Perms); 4] {
    [
        (create_op("/p/new"), Perms::CREATE),
        (delete_op(NODE), Perms::DELETE),
        (set_op(NODE, -1), Perms::WRITE),
        (check_op(NODE, -1), Perms::READ),
    ]
}

fn direct(acl: &[Acl]) -> Vec<(Request, Perms)> {
    let path = || String::from(NODE);
    vec![
        (create("/p/new"), Perms::CREATE),
        (delete(NODE), Perms::DELETE),
        (set_data(NODE, ""), Perms::WRITE),
        (set_acl(NODE, acl.to_vec()), Perms::ADMIN),
        (exists(NODE, true), Perms::READ),
        (get_data(NODE, true), Perms::READ),
        (get_children(NODE, true), Perms::READ),
        (
            Request::GetChildren2 {
                path: path(),
                watch: false,
            },
            Perms::READ,
        ),
        (Request::GetAcl { path: path() }, Perms::READ | Perms::ADMIN),
        (Request::GetAllChildrenNumber { path: path() }, Perms::READ),
    ]
}

/// Operations that every client may ask for.
fn free() -> Vec<Request> {
    vec![
        sync(),
        Request::Ping,
        Request::WhoAmI,
        Request::GetEphemerals {
            prefix: String::new(),
        },
        Request::AddWatch(AddWatch {
            path: NODE.into(),
            mode: 0,
        }),
        Request::CheckWatches {
            path: NODE.into(),
            kind: 4,
        },
        Request::RemoveWatches {
            path: NODE.into(),
            kind: 4,
        },
        Request::SetWatches(SetWatches::default()),
    ]
}

fn verdict(allowed: bool) -> Result<(), ErrorCode> {
    if allowed {
        Ok(())
    } else {
        Err(ErrorCode::NO_AUTH)
    }
}

/// Asks for everything in every way and compares with what `has` says of permissions.
fn ask_everything(scene: &mut Scene, case: &str, has: impl Fn(Perms) -> bool) {
    let asker = scene.asker.clone();
    for (request, needed) in direct(&scene.acl) {
        let shown = format!("{case}: {}", request.op());
        let (header, _) = scene.world.call_full(&asker, request);
        let expected = verdict(has(needed)).err().unwrap_or(ErrorCode::OK);
        assert_eq!(header.err, expected, "{shown}");
        scene.restore();
    }
    for (op, needed) in writes() {
        let shown = format!("{case}: {op:?} in multi");
        let Ok(Response::Multi(results)) = scene.world.call(&asker, Request::Multi(vec![op]))
        else {
            panic!("{shown}");
        };
        let refused = results == [MultiResult::Error(ErrorCode::NO_AUTH)];
        assert_eq!(refused, !has(needed), "{shown}: {results:?}");
        scene.restore();
    }
    let path = || String::from(NODE);
    for op in [
        ReadOp::GetData {
            path: path(),
            watch: false,
        },
        ReadOp::GetChildren {
            path: path(),
            watch: false,
        },
    ] {
        let Ok(Response::Multi(results)) = scene.world.call(&asker, Request::MultiRead(vec![op]))
        else {
            panic!("{case}: multiRead");
        };
        let refused = results == [MultiResult::Error(ErrorCode::NO_AUTH)];
        assert_eq!(refused, !has(Perms::READ), "{case}: {results:?}");
    }
    for request in free() {
        let shown = format!("{case}: {}", request.op());
        assert!(scene.world.call(&asker, request).is_ok(), "{shown}");
    }
    ask_for_events(scene, case, has(Perms::READ));
}

fn ask_for_events(scene: &mut Scene, case: &str, may_read: bool) {
    let asker = scene.asker.clone();
    let heard = |world: &mut World| {
        let to_asker = |effect: &Effect| match effect {
            Effect::Notify { conns, .. } => conns.contains(&asker.conn),
            _ => false,
        };
        world
            .take()
            .iter()
            .filter(|effect| to_asker(effect))
            .count()
    };
    let recursive = Request::AddWatch(AddWatch {
        path: "/".into(),
        mode: 1,
    });
    scene.world.call(&asker, recursive).unwrap();
    scene.world.take();
    for request in [
        set_data(NODE, "x"),
        delete(NODE),
        create_with(NODE, "", scene.acl.clone()),
    ] {
        let shown = format!("{case}: event of {}", request.op());
        scene.world.call(&scene.admin, request).unwrap();
        assert_eq!(heard(&mut scene.world), usize::from(may_read), "{shown}");
    }
    let paths = || strings(&[NODE]);
    for (data, exist, child) in [
        (paths(), vec![], vec![]),
        (vec![], paths(), vec![]),
        (vec![], vec![], paths()),
    ] {
        let watches = SetWatches {
            relative_zxid: Zxid(0),
            data,
            exist,
            child,
            persistent: Some((vec![], vec![])),
        };
        let request = Request::SetWatches(watches);
        scene.world.call(&asker, request).unwrap();
        let shown = format!("{case}: setWatches");
        assert_eq!(heard(&mut scene.world), usize::from(may_read), "{shown}");
    }
}

#[test]
fn every_operation_is_authorized_as_the_table_says() {
    for perms in 0..32 {
        for granted in GRANTED {
            let case = format!("{perms:05b} to {granted:?}");
            let mut scene = Scene::new(perms, granted, false);
            let has = |needed| granted.2 && Perms(perms).intersects(needed);
            ask_everything(&mut scene, &case, has);
        }
    }
}

#[test]
fn what_was_proven_ends_with_the_connection() {
    for perms in [1, 31] {
        let mut scene = Scene::new(perms, GRANTED[1], false);
        let moved = scene.world.reconnect(&scene.asker);
        scene.asker = moved;
        ask_everything(&mut scene, "moved", |_| false);
        let asker = scene.asker.clone();
        scene.world.call(&asker, addauth("me:pw")).unwrap();
        assert!(scene.world.call(&asker, exists(NODE, false)).is_ok());
    }
}

#[test]
fn acls_bind_nobody_when_they_are_skipped() {
    for granted in GRANTED {
        let mut scene = Scene::new(0, granted, true);
        ask_everything(&mut scene, "skipACL", |_| true);
    }
}

#[test]
fn a_reconfiguration_is_refused_to_everybody() {
    let mut scene = Scene::new(31, GRANTED[0], false);
    let reconfig = Request::Reconfig(Reconfig {
        joining: None,
        leaving: None,
        new_members: None,
        current_config: Zxid(-1),
    });
    let admin = scene.admin.clone();
    assert_eq!(
        scene.world.call(&admin, reconfig),
        Err(ErrorCode::RECONFIG_DISABLED)
    );
}

#[test]
fn the_table_knows_every_operation() {
    let mut known: Vec<OpCode> = direct(&[])
        .iter()
        .map(|(request, _)| request.op())
        .collect();
    known.extend(free().iter().map(Request::op));
    // Other forms of create and setWatches, the multis that are asked above, what ends or proves an
    // identity, what has no rights to it, and what no client may ask for.
    known.extend([
        OpCode::CREATE2,
        OpCode::CREATE_CONTAINER,
        OpCode::CREATE_TTL,
        OpCode::SET_WATCHES2,
        OpCode::MULTI,
        OpCode::MULTI_READ,
        OpCode::AUTH,
        OpCode::SASL,
        OpCode::CLOSE_SESSION,
        OpCode::RECONFIG,
        OpCode::NOTIFICATION,
        OpCode::CHECK,
        OpCode::DELETE_CONTAINER,
        OpCode::CREATE_SESSION,
        OpCode::ERROR,
    ]);
    for op in OpCode::ALL {
        assert!(known.contains(op), "{op}");
    }
}
