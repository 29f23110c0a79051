//! The verbs: what a line asks of the ensemble.

mod config;
pub(crate) mod dump;
mod node;
mod quota;
mod subtree;

use zk_client::{Kind, Outcome};
use zk_proto::WatcherType;

use crate::args::{Verb, WatchMode};
use crate::error::{CliError, Result};
use crate::output::{EventAnswer, Line, NumberAnswer, Printer, Values};
use crate::session::Session;

/// Does what a verb asks for and prints the answer.
pub(crate) async fn run(verb: Verb, session: &mut Session, out: Printer) -> Result {
    match verb {
        Verb::Addauth { scheme, auth } => Ok(session
            .zk()
            .add_auth(scheme, auth.unwrap_or_default())
            .await?),
        Verb::AddWatch { mode, path } => add_watch(session, &path, mode).await,
        Verb::Config {
            client,
            watch,
            stat,
        } => config::show(session, out, client, watch, stat).await,
        Verb::Create { .. } => node::create(session, out, verb).await,
        Verb::Delete { version, path } => node::delete(session, path, version).await,
        Verb::Deleteall { batch, path } => subtree::delete(session, &path, batch.0).await,
        Verb::Delquota {
            count,
            bytes,
            hard_count,
            hard_bytes,
            path,
        } => {
            let which = [count, bytes, hard_count, hard_bytes];
            quota::delete(session, out, &path, which).await
        }
        Verb::Dump { path } => dump::dump(session, &path).await,
        Verb::Get {
            stat,
            watch,
            base64,
            hex,
            path,
            old,
        } => {
            let encoding = node::encoding(base64, hex);
            node::get(session, out, path, (stat, old.or(watch)), encoding).await
        }
        Verb::GetAcl { stat, path } => node::get_acl(session, out, path, stat).await,
        Verb::GetAllChildrenNumber { path } => {
            let count = session.zk().all_children_number(path.clone()).await?;
            Ok(out.print(&NumberAnswer { path, count })?)
        }
        Verb::GetEphemerals { path } => {
            let mut paths = session.zk().get_ephemerals(path).await?;
            paths.sort_unstable();
            Ok(out.print(&Values {
                text: format!("[{}]", paths.join(", ")),
                json: serde_json::json!({ "ephemerals": paths }),
            })?)
        }
        Verb::Listquota { path } => quota::list(session, out, &path).await,
        Verb::Load { existing, file } => dump::load(session, out, existing, file.as_deref()).await,
        Verb::Ls {
            recursive: true,
            watch,
            path,
            old,
            ..
        } => subtree::list(session, out, &path, old.or(watch)).await,
        Verb::Ls {
            stat,
            watch,
            path,
            old,
            ..
        } => node::children(session, out, path, stat, old.or(watch)).await,
        Verb::Reconfig { .. } => config::change(session, out, verb).await,
        Verb::RemoveWatches {
            children,
            data,
            persistent,
            recursive,
            path,
            ..
        } => {
            let kind = watcher_type([children, data, persistent, recursive]);
            remove_watches(session, &path, kind)
        }
        Verb::Set { .. } => node::set(session, out, verb).await,
        Verb::SetAcl {
            recursive: true,
            stat,
            version,
            path,
            acl,
        } => subtree::set_acl(session, out, &path, &acl.0, (version, stat)).await,
        Verb::SetAcl {
            stat,
            version,
            path,
            acl,
            ..
        } => node::set_acl(session, out, path, acl.0, version, stat).await,
        Verb::Setquota { limit, path } => quota::set(session, out, &path, limit).await,
        Verb::Stat { watch, path, old } => node::stat(session, out, path, old.or(watch)).await,
        Verb::Sync { path } => {
            session.zk().sync(path).await?;
            let message = "Sync is OK".to_owned();
            Ok(out.print(&Line { message })?)
        }
        Verb::Tree { depth, path } => subtree::tree(session, out, &path, depth).await,
        Verb::Version => version(out),
        Verb::Watch { recursive, path } => watch(session, out, &path, recursive).await,
        Verb::Whoami => whoami(session, out).await,
    }
}

async fn add_watch(session: &mut Session, path: &str, mode: WatchMode) -> Result {
    let watch = session.zk().watch(path);
    let (watch, kind) = match mode {
        WatchMode::Persistent => (watch, WatcherType::Persistent),
        WatchMode::PersistentRecursive => (watch.recursive(), WatcherType::PersistentRecursive),
    };
    let events = watch.await?;
    session.keep(path, kind, events);
    Ok(())
}

fn watcher_type([children, data, persistent, recursive]: [bool; 4]) -> WatcherType {
    match () {
        () if children => WatcherType::Children,
        () if data => WatcherType::Data,
        () if persistent => WatcherType::Persistent,
        () if recursive => WatcherType::PersistentRecursive,
        () => WatcherType::Any,
    }
}

fn remove_watches(session: &mut Session, path: &str, kind: WatcherType) -> Result {
    if session.remove(path, kind) > 0 {
        return Ok(());
    }
    let message = format!("No such watcher: {path} has none of this kind in this session");
    Err(CliError::Data(message))
}

async fn watch(session: &mut Session, out: Printer, path: &str, recursive: bool) -> Result {
    let watch = session.zk().watch(path);
    let watch = if recursive { watch.recursive() } else { watch };
    let mut events = watch.await?;
    while let Some(event) = events.next().await {
        out.print(&EventAnswer::new(&event?))?;
    }
    Ok(())
}

/// Prints the version of this program, which needs no session.
pub(crate) fn version(out: Printer) -> Result {
    let version = env!("CARGO_PKG_VERSION");
    Ok(out.print(&Values {
        text: format!("ZooKeeper CLI version: {version}"),
        json: serde_json::json!({ "version": version }),
    })?)
}

async fn whoami(session: &Session, out: Printer) -> Result {
    let ids = session.zk().who_am_i().await?;
    let mut text = "Auth scheme: User".to_owned();
    for id in &ids {
        text.push_str(&format!("\n{}: {}", id.scheme, id.id));
    }
    let identities = ids
        .iter()
        .map(|id| serde_json::json!({ "scheme": id.scheme, "user": id.id }));
    let json = serde_json::json!({ "identities": identities.collect::<Vec<_>>() });
    Ok(out.print(&Values { json, text })?)
}

/// Whether the error says that a znode is not there, and nothing else.
fn is_missing(error: &zk_client::Error) -> bool {
    *error.kind() == Kind::NoNode && error.outcome() == Outcome::NotApplied
}
