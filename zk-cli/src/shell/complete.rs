//! Completion of verbs, and of paths from the server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::CommandFactory;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use tokio::runtime;
use zk_client::Handle;

use crate::args::Line;
use crate::error::parent;
use crate::walk::join;

/// How long a key press waits for the server.
const WITHIN: Duration = Duration::from_secs(1);

/// The tree that paths are completed from: the session's, when there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree(Arc<Mutex<Option<Handle>>>);

impl Tree {
    pub(super) fn set(&self, zk: Option<Handle>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = zk;
    }

    fn get(&self) -> Option<Handle> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What the line editor asks.
pub(super) struct Helper {
    tree: Tree,
    runtime: runtime::Handle,
    verbs: Vec<String>,
}

impl Helper {
    pub(super) fn new(tree: Tree, runtime: runtime::Handle) -> Self {
        Self {
            tree,
            runtime,
            verbs: verbs(),
        }
    }

    /// Children whose paths begin with `typed`. A server that is slow or refuses completes nothing.
    fn paths(&self, typed: &str) -> Vec<String> {
        let Some(zk) = self.tree.get() else {
            return Vec::new();
        };
        let top = parent(typed);
        let children = self
            .runtime
            .block_on(async { tokio::time::timeout(WITHIN, zk.children(top).into_future()).await });
        let Ok(Ok(children)) = children else {
            return Vec::new();
        };
        let paths = children.names.iter().map(|name| join(top, name));
        let mut paths: Vec<String> = paths.filter(|path| path.starts_with(typed)).collect();
        paths.sort_unstable();
        paths
    }
}

fn verbs() -> Vec<String> {
    let command = Line::command();
    let names = command
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned());
    names.chain(["help".to_owned()]).collect()
}

/// The word that ends at `position`, and where it begins.
fn word_at(line: &str, position: usize) -> (usize, &str) {
    let typed = line.get(..position).unwrap_or(line);
    let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    (start, typed.get(start..).unwrap_or(""))
}

impl Completer for Helper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, word) = word_at(line, position);
        let candidates = if word.starts_with('/') {
            self.paths(word)
        } else if line
            .get(..start)
            .is_some_and(|before| before.trim().is_empty())
        {
            let verbs = self.verbs.iter().filter(|verb| verb.starts_with(word));
            verbs.map(|verb| format!("{verb} ")).collect()
        } else {
            Vec::new()
        };
        Ok((start, candidates))
    }
}

impl Hinter for Helper {
    type Hint = String;
}

impl Highlighter for Helper {}
impl Validator for Helper {}
impl rustyline::Helper for Helper {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_before_the_cursor_is_completed() {
        assert_eq!(word_at("ls /a/b", 7), (3, "/a/b"));
        assert_eq!(word_at("ls /a/b", 4), (3, "/"));
        assert_eq!(word_at("l", 1), (0, "l"));
        assert_eq!(word_at("ls ", 3), (3, ""));
    }

    #[test]
    fn all_verbs_of_zkcli_are_completed() {
        let verbs = verbs();
        for verb in [
            "addWatch",
            "addauth",
            "close",
            "config",
            "connect",
            "create",
            "delete",
            "deleteall",
            "delquota",
            "get",
            "getAcl",
            "getAllChildrenNumber",
            "getEphemerals",
            "history",
            "listquota",
            "ls",
            "printwatches",
            "quit",
            "reconfig",
            "redo",
            "removewatches",
            "set",
            "setAcl",
            "setquota",
            "stat",
            "sync",
            "version",
            "whoami",
        ] {
            assert!(verbs.iter().any(|known| known == verb), "{verb}");
        }
    }
}
