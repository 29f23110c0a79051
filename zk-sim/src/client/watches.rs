//! The watches that a client believes to have, which it sets again on its next connection.

use std::collections::BTreeSet;

use zk_proto::{ErrorCode, EventType, Request, Response, SetWatches, WatcherEvent, Zxid};

#[derive(Debug, Default)]
pub(super) struct Registered {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    children: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

impl Registered {
    pub(super) fn on_reply(&mut self, request: &Request, result: &Result<Response, ErrorCode>) {
        match (request, result) {
            (
                Request::GetData { path, watch: true } | Request::Exists { path, watch: true },
                Ok(_),
            ) => {
                self.data.insert(path.clone());
            }
            (Request::Exists { path, watch: true }, Err(ErrorCode::NO_NODE)) => {
                self.exist.insert(path.clone());
            }
            (
                Request::GetChildren { path, watch: true }
                | Request::GetChildren2 { path, watch: true },
                Ok(_),
            ) => {
                self.children.insert(path.clone());
            }
            (Request::AddWatch(add), Ok(_)) => {
                match add.mode {
                    0 => self.persistent.insert(add.path.clone()),
                    _ => self.recursive.insert(add.path.clone()),
                };
            }
            (Request::RemoveWatches { path, kind }, Ok(_)) => self.remove(path, *kind),
            _ => {}
        }
    }

    fn remove(&mut self, path: &str, kind: i32) {
        if matches!(kind, 1 | 3) {
            self.children.remove(path);
        }
        if matches!(kind, 2 | 3) {
            self.data.remove(path);
            self.exist.remove(path);
        }
        if matches!(kind, 3 | 4) {
            self.persistent.remove(path);
        }
        if matches!(kind, 3 | 5) {
            self.recursive.remove(path);
        }
    }

    pub(super) fn on_event(&mut self, event: &WatcherEvent) {
        let path = event.path.as_str();
        match event.event {
            EventType::NodeCreated | EventType::NodeDataChanged => {
                self.data.remove(path);
                self.exist.remove(path);
            }
            EventType::NodeDeleted => {
                self.data.remove(path);
                self.exist.remove(path);
                self.children.remove(path);
            }
            EventType::NodeChildrenChanged => {
                self.children.remove(path);
            }
            EventType::None => {}
        }
    }

    /// What to ask for on another connection, if there is anything.
    pub(super) fn to_restore(&self, since: Zxid) -> Option<SetWatches> {
        let list = |paths: &BTreeSet<String>| paths.iter().cloned().collect::<Vec<_>>();
        let all = [
            &self.data,
            &self.exist,
            &self.children,
            &self.persistent,
            &self.recursive,
        ];
        let has_any = all.iter().any(|paths| !paths.is_empty());
        has_any.then(|| SetWatches {
            relative_zxid: since,
            data: list(&self.data),
            exist: list(&self.exist),
            child: list(&self.children),
            persistent: Some((list(&self.persistent), list(&self.recursive))),
        })
    }
}
