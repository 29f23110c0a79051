//! A walk over a subtree, in pre-order and by name, with requests on the way ahead of it.

use std::pin::Pin;

use zk_client::{Handle, Kind};

use crate::error::Result;

/// Requests that a walk has on the way at most.
const AHEAD_MAX: usize = 64;

/// What is asked about every znode, and its children's names.
pub(crate) type Visit<T> = (T, Vec<String>);
type Asking<T> = Pin<Box<dyn Future<Output = zk_client::Result<Visit<T>>> + Send>>;

/// A walk. The znodes that were not visited yet are on a stack, the next one on top; those near the
/// top are asked about already.
pub(crate) struct Walk<T> {
    zk: Handle,
    ask: fn(&Handle, &str) -> Asking<T>,
    stack: Vec<(String, usize, Option<Asking<T>>)>,
    asked: usize,
}

/// A znode on the way.
pub(crate) struct Visited<T> {
    pub(crate) path: String,
    /// Levels below the top.
    pub(crate) depth: usize,
    /// Whether no sibling follows.
    pub(crate) content: T,
    pub(crate) children: Vec<String>,
}

impl Walk<()> {
    /// Visits names alone.
    pub(crate) fn names(zk: &Handle, top: &str) -> Self {
        Self::new(zk, top, |zk, path| {
            let children = zk.children(path).submit();
            Box::pin(async move { Ok(((), children.await?.names)) })
        })
    }
}

impl<T> Walk<T> {
    /// Starts at `top`. `ask` submits its requests when it is called.
    pub(crate) fn new(zk: &Handle, top: &str, ask: fn(&Handle, &str) -> Asking<T>) -> Self {
        Self {
            zk: zk.clone(),
            ask,
            stack: vec![(top.to_owned(), 0, None)],
            asked: 0,
        }
    }

    /// The next znode; `None` after the last. Znodes that are gone by then are left out, but not
    /// the top. `skip` says which paths to leave out with all below.
    pub(crate) async fn next(
        &mut self,
        skip: impl Fn(&str, usize) -> bool,
    ) -> Result<Option<Visited<T>>> {
        while let Some((path, depth, asking)) = self.stack.pop() {
            let asking = match asking {
                Some(asking) => {
                    self.asked -= 1;
                    asking
                }
                None => (self.ask)(&self.zk, &path),
            };
            let (content, mut children) = match asking.await {
                Ok(visit) => visit,
                Err(error) if depth > 0 && *error.kind() == Kind::NoNode => continue,
                Err(error) => return Err(error.into()),
            };
            children.sort_unstable();
            let paths = children.iter().rev().map(|name| join(&path, name));
            let kept = paths.filter(|path| !skip(path, depth + 1));
            self.stack.extend(kept.map(|path| (path, depth + 1, None)));
            self.ask_ahead();
            return Ok(Some(Visited {
                path,
                depth,
                content,
                children,
            }));
        }
        Ok(None)
    }

    fn ask_ahead(&mut self) {
        for (path, _, asking) in self.stack.iter_mut().rev().take(AHEAD_MAX) {
            if self.asked == AHEAD_MAX {
                return;
            }
            if asking.is_none() {
                *asking = Some((self.ask)(&self.zk, path));
                self.asked += 1;
            }
        }
    }
}

/// The path of a child.
pub(crate) fn join(parent: &str, name: &str) -> String {
    match parent {
        "/" => format!("/{name}"),
        _ => format!("{parent}/{name}"),
    }
}
