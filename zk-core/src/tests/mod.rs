//! The pipeline, tested through its inputs and effects.

mod authorization;
mod determinism;
mod ensemble;
mod model;
mod order;
mod quotas;
mod reads;
mod reaping;
mod sessions;
mod snapshots;
mod sweep;
mod watches;
mod world;
mod writes;

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use zk_proto::{Acl, Create, CreateMode, Id, MultiOp, OpCode, Perms, Request};

fn create_as(op: OpCode, path: &str, mode: CreateMode) -> Create {
    Create {
        op,
        path: path.into(),
        data: Some(Bytes::new()),
        acl: [Acl::open()].into(),
        flags: mode.to_flags(),
        ttl_ms: 0,
    }
}

fn create(path: &str) -> Request {
    Request::Create(create_as(OpCode::CREATE, path, CreateMode::Persistent))
}

fn create_mode(path: &str, mode: CreateMode) -> Request {
    Request::Create(create_as(OpCode::CREATE, path, mode))
}

fn create_with(path: &str, data: &str, acl: Vec<Acl>) -> Request {
    Request::Create(Create {
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        acl,
        ..create_as(OpCode::CREATE, path, CreateMode::Persistent)
    })
}

fn create_op(path: &str) -> MultiOp {
    MultiOp::Create(create_as(OpCode::CREATE, path, CreateMode::Persistent))
}

fn delete(path: &str) -> Request {
    Request::Delete {
        path: path.into(),
        version: -1,
    }
}

fn delete_op(path: &str) -> MultiOp {
    MultiOp::Delete {
        path: path.into(),
        version: -1,
    }
}

fn set_data(path: &str, data: &str) -> Request {
    Request::SetData {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        version: -1,
    }
}

fn set_op(path: &str, version: i32) -> MultiOp {
    MultiOp::SetData {
        path: path.into(),
        data: Some(Bytes::from_static(b"set")),
        version,
    }
}

fn check_op(path: &str, version: i32) -> MultiOp {
    MultiOp::Check {
        path: path.into(),
        version,
    }
}

fn exists(path: &str, watch: bool) -> Request {
    Request::Exists {
        path: path.into(),
        watch,
    }
}

fn get_data(path: &str, watch: bool) -> Request {
    Request::GetData {
        path: path.into(),
        watch,
    }
}

fn get_children(path: &str, watch: bool) -> Request {
    Request::GetChildren {
        path: path.into(),
        watch,
    }
}

fn set_acl(path: &str, acl: Vec<Acl>) -> Request {
    Request::SetAcl {
        path: path.into(),
        acl,
        version: -1,
    }
}

fn sync() -> Request {
    Request::Sync { path: "/".into() }
}

fn entry(perms: Perms, scheme: &str, id: &str) -> Acl {
    Acl::new(perms, Id::new(scheme, id))
}

fn addauth(user_password: &str) -> Request {
    Request::Auth(zk_proto::Auth {
        kind: 0,
        scheme: "digest".into(),
        auth: Bytes::copy_from_slice(user_password.as_bytes()),
    })
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.into()).collect()
}
