//! Verbs on one znode.

use futures::stream;
use zk_proto::{Acl, WatcherType};

use crate::args::Verb;
use crate::error::{CliError, Result, usage};
use crate::output::{
    AclAnswer, ChildrenAnswer, CreatedAnswer, Encoding, NodeAnswer, Printer, StatAnswer,
    StatFields, decode_base64,
};
use crate::session::Session;

pub(super) fn encoding(base64: bool, hex: bool) -> Encoding {
    match (base64, hex) {
        (_, true) => Encoding::Hex,
        (true, false) => Encoding::Base64,
        (false, false) => Encoding::Raw,
    }
}

pub(super) async fn create(session: &Session, out: Printer, verb: Verb) -> Result {
    let Verb::Create {
        sequential,
        ephemeral,
        container,
        ttl,
        path,
        data,
        acl,
    } = verb
    else {
        return usage("not a create");
    };
    let mut create = session.zk().create(path).data(data.unwrap_or_default());
    if sequential {
        create = create.sequential();
    }
    if ephemeral {
        create = create.ephemeral();
    }
    if container {
        create = create.container();
    }
    if let Some(ttl) = ttl {
        create = create.ttl(ttl);
    }
    if let Some(acl) = acl {
        create = create.acl(acl.0);
    }
    let created = create.await?.into_path();
    Ok(out.print(&CreatedAnswer { created })?)
}

pub(super) async fn delete(session: &Session, path: String, version: Option<i32>) -> Result {
    let delete = session.zk().delete(path);
    match version {
        None => delete.await?,
        Some(version) => delete.version(version).await?,
    }
    Ok(())
}

pub(super) async fn get(
    session: &mut Session,
    out: Printer,
    path: String,
    (stat, watch): (bool, bool),
    encoding: Encoding,
) -> Result {
    let get = session.zk().get(path.clone());
    let node = if watch {
        let (node, event) = get.watched().await?;
        session.keep(&path, WatcherType::Data, stream::once(event));
        node
    } else {
        get.await?
    };
    let stat = stat.then_some(node.stat);
    Ok(out.print(&NodeAnswer::new(path, &node.data, encoding, stat))?)
}

pub(super) async fn get_acl(session: &Session, out: Printer, path: String, stat: bool) -> Result {
    let (acl, found) = session.zk().get_acl(path.clone()).await?;
    Ok(out.print(&AclAnswer::new(path, &acl, stat.then_some(found)))?)
}

pub(super) async fn children(
    session: &mut Session,
    out: Printer,
    path: String,
    stat: bool,
    watch: bool,
) -> Result {
    let ask = session.zk().children(path.clone());
    let children = if watch {
        let (children, event) = ask.watched().await?;
        session.keep(&path, WatcherType::Children, stream::once(event));
        children
    } else {
        ask.await?
    };
    let stat = stat.then_some(children.stat);
    Ok(out.print(&ChildrenAnswer::new(path, children.names, stat))?)
}

pub(super) async fn set(session: &Session, out: Printer, verb: Verb) -> Result {
    let Verb::Set {
        stat,
        version,
        base64,
        path,
        data,
    } = verb
    else {
        return usage("not a set");
    };
    let data = if base64 {
        decode_base64(&data).map_err(CliError::Usage)?
    } else {
        data.into_bytes()
    };
    let set = session.zk().set(path.clone(), data);
    let found = match version {
        None => set.await?,
        Some(version) => set.version(version).await?,
    };
    print_stat(out, path, found.into(), stat)
}

pub(super) async fn set_acl(
    session: &Session,
    out: Printer,
    path: String,
    acl: Vec<Acl>,
    version: Option<i32>,
    stat: bool,
) -> Result {
    let set = session.zk().set_acl(path.clone(), acl);
    let found = match version {
        None => set.await?,
        Some(version) => set.version(version).await?,
    };
    print_stat(out, path, found.into(), stat)
}

/// Writes say nothing unless asked.
fn print_stat(out: Printer, path: String, stat: StatFields, wanted: bool) -> Result {
    if wanted {
        out.print(&StatAnswer { path, stat })?;
    }
    Ok(())
}

pub(super) async fn stat(session: &mut Session, out: Printer, path: String, watch: bool) -> Result {
    let exists = session.zk().exists(path.clone());
    let stat = if watch {
        let (stat, event) = exists.watched().await?;
        session.keep(&path, WatcherType::Data, stream::once(event));
        stat
    } else {
        exists.await?
    };
    match stat {
        Some(stat) => Ok(out.print(&StatAnswer {
            path,
            stat: stat.into(),
        })?),
        None => Err(CliError::Missing(path)),
    }
}
