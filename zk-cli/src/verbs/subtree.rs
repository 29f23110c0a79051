//! Verbs on a znode and all below it.

use std::collections::VecDeque;

use futures::stream;
use zk_client::{Handle, Kind, Pending};
use zk_proto::{Acl, WatcherType};

use super::is_missing;
use crate::error::{CliError, Result};
use crate::output::{Printer, StatAnswer, Values};
use crate::session::Session;
use crate::walk::Walk;

/// Deletes the deepest first. Requests of a session are applied in order, so children are gone
/// when their parent's turn comes.
pub(super) async fn delete(session: &Session, top: &str, batch: usize) -> Result {
    let zk: &Handle = session.zk();
    let mut walk = Walk::names(zk, top);
    let mut paths = Vec::new();
    while let Some(visited) = walk.next(|_, _| false).await? {
        paths.push(visited.path);
    }
    let mut under_way: VecDeque<Pending<()>> = VecDeque::new();
    let mut failed = None;
    for path in paths.into_iter().rev() {
        if under_way.len() == batch {
            finish(&mut under_way, &mut failed).await;
        }
        under_way.push_back(zk.delete(path).submit());
    }
    while !under_way.is_empty() {
        finish(&mut under_way, &mut failed).await;
    }
    failed.map_or(Ok(()), Err)
}

/// Waits for the oldest deletion and keeps the first failure.
async fn finish(under_way: &mut VecDeque<Pending<()>>, failed: &mut Option<CliError>) {
    if let Some(pending) = under_way.pop_front()
        && let Err(error) = pending.await
        && !is_missing(&error)
    {
        failed.get_or_insert(error.into());
    }
}

/// Prints every path. With `watch` it leaves a watch on the children of each.
pub(super) async fn list(session: &mut Session, out: Printer, top: &str, watch: bool) -> Result {
    let mut walk = match watch {
        false => Walk::new(session.zk(), top, |zk, path| {
            let children = zk.children(path).submit();
            Box::pin(async move { Ok((None, children.await?.names)) })
        }),
        true => Walk::new(session.zk(), top, |zk, path| {
            let children = zk.children(path).watched().submit();
            Box::pin(async move {
                let (children, event) = children.await?;
                Ok((Some(event), children.names))
            })
        }),
    };
    while let Some(visited) = walk.next(|_, _| false).await? {
        if let Some(event) = visited.content {
            session.keep(&visited.path, WatcherType::Children, stream::once(event));
        }
        let json = serde_json::json!({ "path": visited.path });
        let text = visited.path;
        out.print(&Values { json, text })?;
    }
    Ok(())
}

pub(super) async fn set_acl(
    session: &Session,
    out: Printer,
    top: &str,
    acl: &[Acl],
    (version, stat): (Option<i32>, bool),
) -> Result {
    let mut walk = Walk::names(session.zk(), top);
    while let Some(visited) = walk.next(|_, _| false).await? {
        let set = session.zk().set_acl(visited.path.clone(), acl);
        let set = match version {
            None => set.await,
            Some(version) => set.version(version).await,
        };
        match set {
            Ok(found) if stat => out.print(&StatAnswer {
                path: visited.path,
                stat: found.into(),
            })?,
            Ok(_) => {}
            Err(error) if *error.kind() == Kind::NoNode && visited.depth > 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Draws branches. A line says what is below it: names of children that are not shown because of
/// `depth` are counted.
pub(super) async fn tree(
    session: &Session,
    out: Printer,
    top: &str,
    depth_max: Option<usize>,
) -> Result {
    let zk: &Handle = session.zk();
    let mut walk = Walk::new(zk, top, |zk, path| {
        let exists = zk.exists(path).submit();
        let children = zk.children(path).submit();
        Box::pin(async move { Ok((exists.await?.unwrap_or_default(), children.await?.names)) })
    });
    let depth_max = depth_max.unwrap_or(usize::MAX);
    // How many siblings are still to come, on each level from the top to the znode at hand.
    let mut left: Vec<usize> = Vec::new();
    while let Some(visited) = walk.next(|_, depth| depth > depth_max).await? {
        left.truncate(visited.depth);
        if let Some(siblings) = left.last_mut() {
            *siblings = siblings.saturating_sub(1);
        }
        let name = visited
            .path
            .rsplit('/')
            .next()
            .filter(|_| visited.depth > 0);
        let mut text = branches(&left) + name.unwrap_or(&visited.path);
        if visited.content.ephemeral_owner != 0 {
            text.push_str(" (ephemeral)");
        }
        if visited.depth == depth_max && !visited.children.is_empty() {
            text.push_str(&format!(" … {} children", visited.children.len()));
        }
        let json = serde_json::json!({
            "path": visited.path,
            "depth": visited.depth,
            "ephemeral": visited.content.ephemeral_owner != 0,
            "data_length": visited.content.data_length,
            "num_children": visited.children.len(),
        });
        out.print(&Values { json, text })?;
        left.push(visited.children.len());
    }
    Ok(())
}

fn branches(left: &[usize]) -> String {
    let Some((last, above)) = left.split_last() else {
        return String::new();
    };
    let mut text: String = above
        .iter()
        .map(|&siblings| if siblings > 0 { "│   " } else { "    " })
        .collect();
    text.push_str(if *last > 0 {
        "├── "
    } else {
        "└── "
    });
    text
}

#[cfg(test)]
mod tests {
    use super::branches;

    #[test]
    fn a_branch_goes_on_while_siblings_follow() {
        assert_eq!(branches(&[]), "");
        assert_eq!(branches(&[1]), "├── ");
        assert_eq!(branches(&[1, 0, 2, 0]), "│       │   └── ");
    }
}
