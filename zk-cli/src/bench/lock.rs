//! Locks in Curator's way: an ephemeral sequential znode, the smallest holds, each watches the one
//! before.
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::time::Instant;

use anyhow::bail;
use bytes::Bytes;
use zk_proto::{Acl, Create, CreateMode, ErrorCode, OpCode, Request, Response};

use super::run::{Phase, Session};
use super::wire::{Connection, granted};

/// Takes and releases the lock at `path` until the end.
pub(crate) async fn drive(
    connection: &mut Connection,
    session: &Session,
    path: &str,
) -> anyhow::Result<()> {
    while session.phase() != Phase::Stop {
        let phase = session.phase();
        let started = Instant::now();
        let own = enqueue(connection, path).await?;
        wait_for_turn(connection, path, &own).await?;
        let delete = Request::Delete {
            path: own,
            version: -1,
        };
        granted(connection.call(&delete).await?, "release")?;
        session.record(phase, OpCode::CREATE, started.elapsed());
    }
    Ok(())
}

async fn enqueue(connection: &mut Connection, path: &str) -> anyhow::Result<String> {
    let create = Request::Create(Create {
        op: OpCode::CREATE,
        path: format!("{path}/lock-"),
        data: Some(Bytes::new()),
        acl: vec![Acl::open()],
        flags: CreateMode::EphemeralSequential.to_flags(),
        ttl_ms: 0,
    });
    match granted(connection.call(&create).await?, "enqueue")? {
        Response::Path(own) => Ok(own),
        other => bail!("create answered by {other:?}"),
    }
}

async fn wait_for_turn(connection: &mut Connection, path: &str, own: &str) -> anyhow::Result<()> {
    let list = Request::GetChildren {
        path: path.to_owned(),
        watch: false,
    };
    loop {
        let Response::Children(names) = granted(connection.call(&list).await?, "list")? else {
            bail!("getChildren answered by something else");
        };
        let own_name = own.rsplit('/').next().unwrap_or(own);
        let Some(before) = names.iter().filter(|name| name.as_str() < own_name).max() else {
            return Ok(());
        };
        let watched = format!("{path}/{before}");
        let exists = Request::Exists {
            path: watched.clone(),
            watch: true,
        };
        match connection.call(&exists).await? {
            Ok(_) => while connection.event().await?.path != watched {},
            // Gone in between. The watch that this leaves on an absent znode never fires: names
            // are not used twice.
            Err(ErrorCode::NO_NODE) => {}
            Err(code) => bail!("exists: the server says {code}"),
        }
    }
}
