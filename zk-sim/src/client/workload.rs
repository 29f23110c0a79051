//! What a client asks for.

use bytes::Bytes;
use zk_proto::{Acl, AddWatch, Create, CreateMode, Id, MultiOp, OpCode, Perms, ReadOp, Request};

use crate::plan::Mix;
use crate::random::Random;

/// Sequential znodes of a client that are left; at the bound it deletes one before it creates another.
const CREATED_MAX: usize = 8;

/// Something that a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Create,
    CreateSequential,
    CreateEphemeral,
    CreateEphemeralSequential,
    CreateContainer,
    /// With a time to live.
    CreateTtl,
    Delete,
    SetData,
    SetAcl,
    Multi,
    GetData,
    Exists,
    GetChildren,
    GetChildren2,
    GetAcl,
    MultiRead,
    GetEphemerals,
    CountChildren,
    Sync,
    AddWatch,
    RemoveWatches,
    /// Ends the session, and begins another.
    CloseSession,
    /// Goes to another server.
    Move,
    /// Is not heard of for longer than the session lasts.
    Vanish,
}

impl Act {
    pub(crate) const ALL: [Self; 24] = [
        Self::Create,
        Self::CreateSequential,
        Self::CreateEphemeral,
        Self::CreateEphemeralSequential,
        Self::CreateContainer,
        Self::CreateTtl,
        Self::Delete,
        Self::SetData,
        Self::SetAcl,
        Self::Multi,
        Self::GetData,
        Self::Exists,
        Self::GetChildren,
        Self::GetChildren2,
        Self::GetAcl,
        Self::MultiRead,
        Self::GetEphemerals,
        Self::CountChildren,
        Self::Sync,
        Self::AddWatch,
        Self::RemoveWatches,
        Self::CloseSession,
        Self::Move,
        Self::Vanish,
    ];

    /// How often it is done, beside the others.
    pub(crate) fn weight(self) -> u32 {
        match self {
            Self::Create | Self::SetData | Self::GetData => 40,
            Self::Delete => 50,
            Self::CreateSequential
            | Self::CreateEphemeral
            | Self::CreateEphemeralSequential
            | Self::Exists
            | Self::GetChildren
            | Self::Multi => 20,
            Self::Sync | Self::GetChildren2 | Self::MultiRead => 10,
            Self::SetAcl
            | Self::GetAcl
            | Self::GetEphemerals
            | Self::CountChildren
            | Self::CreateContainer
            | Self::CreateTtl
            | Self::AddWatch
            | Self::RemoveWatches
            | Self::Move => 4,
            Self::CloseSession | Self::Vanish => 2,
        }
    }
}

/// Draws requests, with some memory of what was created.
#[derive(Debug, Default)]
pub(super) struct Workload {
    /// Paths of sequential znodes, which nobody else would find.
    created: Vec<String>,
}

impl Workload {
    /// A create was answered.
    pub(super) fn on_created(&mut self, path: &str) {
        self.created.push(path.to_owned());
    }

    pub(super) fn draw(&mut self, act: Act, mix: &Mix, random: &mut Random) -> Request {
        let watch = random.chance(mix.watches);
        match act {
            Act::Create => Request::Create(create(mix, random, CreateMode::Persistent)),
            Act::CreateSequential | Act::CreateEphemeralSequential
                if self.created.len() >= CREATED_MAX =>
            {
                Request::Delete {
                    path: self.created.remove(0),
                    version: -1,
                }
            }
            Act::CreateSequential => {
                Request::Create(create(mix, random, CreateMode::PersistentSequential))
            }
            Act::CreateEphemeral => Request::Create(create(mix, random, CreateMode::Ephemeral)),
            Act::CreateEphemeralSequential => {
                Request::Create(create(mix, random, CreateMode::EphemeralSequential))
            }
            Act::CreateContainer => Request::Create(Create {
                op: OpCode::CREATE_CONTAINER,
                ..create(mix, random, CreateMode::Container)
            }),
            Act::CreateTtl => Request::Create(Create {
                op: OpCode::CREATE_TTL,
                ttl_ms: i64::try_from(random.magnitude(50, 5_000)).expect("short"),
                ..create(mix, random, CreateMode::PersistentWithTtl)
            }),
            Act::Delete => Request::Delete {
                path: self.victim(mix, random),
                version: version(random),
            },
            Act::SetData => Request::SetData {
                path: path(mix, random),
                data: some_data(mix, random),
                version: version(random),
            },
            Act::SetAcl => Request::SetAcl {
                path: path(mix, random),
                acl: acl(random),
                version: version(random),
            },
            Act::Multi => {
                let length = random.index(4) + 1;
                let ops = (0..length).map(|_| self.part(mix, random));
                Request::Multi(ops.collect())
            }
            Act::GetData => Request::GetData {
                path: path(mix, random),
                watch,
            },
            Act::Exists => Request::Exists {
                path: path(mix, random),
                watch,
            },
            Act::GetChildren => Request::GetChildren {
                path: parent(mix, random),
                watch,
            },
            Act::GetChildren2 => Request::GetChildren2 {
                path: parent(mix, random),
                watch,
            },
            Act::GetAcl => Request::GetAcl {
                path: path(mix, random),
            },
            Act::MultiRead => {
                let read = |_| match random.chance(500) {
                    true => ReadOp::GetData {
                        path: path(mix, random),
                        watch: false,
                    },
                    false => ReadOp::GetChildren {
                        path: parent(mix, random),
                        watch: false,
                    },
                };
                Request::MultiRead((0..3).map(read).collect())
            }
            Act::GetEphemerals => Request::GetEphemerals {
                prefix: parent(mix, random),
            },
            Act::CountChildren => Request::GetAllChildrenNumber {
                path: path(mix, random),
            },
            Act::Sync => Request::Sync {
                path: parent(mix, random),
            },
            Act::AddWatch => Request::AddWatch(AddWatch {
                path: path(mix, random),
                mode: random.pick(&[0, 1]),
            }),
            Act::RemoveWatches => Request::RemoveWatches {
                path: path(mix, random),
                kind: random.pick(&[1, 2, 3, 4, 5]),
            },
            Act::CloseSession | Act::Move | Act::Vanish => Request::CloseSession,
        }
    }

    fn part(&mut self, mix: &Mix, random: &mut Random) -> MultiOp {
        match random.index(6) {
            0 => MultiOp::Create(create(mix, random, CreateMode::Persistent)),
            1 => MultiOp::Create(create(mix, random, CreateMode::Ephemeral)),
            2 => MultiOp::Create(create(mix, random, CreateMode::EphemeralSequential)),
            3 => MultiOp::Delete {
                path: self.victim(mix, random),
                version: version(random),
            },
            4 => MultiOp::SetData {
                path: path(mix, random),
                data: some_data(mix, random),
                version: version(random),
            },
            _ => MultiOp::Check {
                path: path(mix, random),
                version: version(random),
            },
        }
    }

    /// What is to be deleted: sequential znodes do not pile up.
    fn victim(&mut self, mix: &Mix, random: &mut Random) -> String {
        let is_own = !self.created.is_empty() && random.chance(700);
        match is_own {
            true => {
                let at = random.index(self.created.len());
                self.created.swap_remove(at)
            }
            false => path(mix, random),
        }
    }
}

fn parent(mix: &Mix, random: &mut Random) -> String {
    match random.index(mix.parents + 1) {
        0 if random.chance(300) => "/".into(),
        drawn => format!("/p{}", drawn.saturating_sub(1)),
    }
}

fn path(mix: &Mix, random: &mut Random) -> String {
    let parent = random.index(mix.parents);
    let name = random.index(mix.names);
    match random.index(10) {
        0 | 1 => format!("/p{parent}"),
        2 => format!("/p{parent}/n{name}/n{}", random.index(mix.names)),
        _ => format!("/p{parent}/n{name}"),
    }
}

fn create(mix: &Mix, random: &mut Random, mode: CreateMode) -> Create {
    let path = match mode.is_sequential() {
        true => format!("/p{}/s", random.index(mix.parents)),
        false => path(mix, random),
    };
    Create {
        op: random.pick(&[OpCode::CREATE, OpCode::CREATE, OpCode::CREATE2]),
        path,
        data: some_data(mix, random),
        acl: vec![Acl::open()],
        flags: mode.to_flags(),
        ttl_ms: 0,
    }
}

fn some_data(mix: &Mix, random: &mut Random) -> Option<Bytes> {
    if random.chance(50) {
        return None;
    }
    let length = random.index(mix.data_bytes_max + 1);
    let word = random.next().to_le_bytes();
    let mut bytes = word.repeat(length.div_ceil(word.len()));
    bytes.truncate(length);
    Some(bytes.into())
}

fn version(random: &mut Random) -> i32 {
    random.pick(&[-1, -1, -1, -1, 0, 1, 2])
}

/// Rarely one that takes something away from everybody.
fn acl(random: &mut Random) -> Vec<Acl> {
    let perms = match random.index(6) {
        0 => Perms(Perms::ALL.0 - Perms::READ.0),
        1 => Perms(Perms::ALL.0 - Perms::WRITE.0),
        2 => Perms(Perms::ALL.0 - Perms::CREATE.0 - Perms::DELETE.0),
        _ => Perms::ALL,
    };
    vec![Acl::new(perms, Id::anyone())]
}
