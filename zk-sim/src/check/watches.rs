//! What one connection has to be told (C7).
//!
//! The watches of a connection are set by the answers that it gets. So the answers and the history
//! say which events come between any two answers: of each change since the last answer, up to the
//! zxid in the next, those that were watched, each once.

use std::collections::{BTreeSet, VecDeque};

use zk_proto::{
    ErrorCode, EventType, Perms, Request, Response, SetWatches, WatcherEvent, WatcherType, Zxid,
};

use crate::model::{ChangeKind, Model, parent_of};

/// Watches by path.
#[derive(Debug, Default, Clone)]
struct Watches {
    data: BTreeSet<String>,
    children: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Expected {
    watches: Watches,
    /// Place of the next change in the model's list.
    next: usize,
    /// Events that are due: zxid, what, where.
    due: VecDeque<(Zxid, EventType, String)>,
    /// Events that setWatches brought, which its answer explains.
    caught_up: Vec<(EventType, String)>,
}

impl Expected {
    /// An event came.
    pub(crate) fn on_event(
        &mut self,
        model: &Model,
        zxid: Zxid,
        event: &WatcherEvent,
    ) -> Result<(), String> {
        if zxid == Zxid(-1) {
            self.caught_up.push((event.event, event.path.clone()));
            return Ok(());
        }
        self.go_on(model, zxid);
        let first = self.due.front().map(|&(zxid, ..)| zxid);
        let is_it = |due: &(Zxid, EventType, String)| {
            (Some(due.0), due.1, &due.2) == (first, event.event, &event.path)
        };
        match self.due.iter().position(is_it) {
            Some(at) if first == Some(zxid) => {
                self.due.remove(at);
                Ok(())
            }
            Some(_) | None => Err(format!(
                "{:?} of {} at {zxid} came, due were {:?}",
                event.event, event.path, self.due
            )),
        }
    }

    /// An answer came.
    pub(crate) fn on_reply(
        &mut self,
        model: &Model,
        zxid: Zxid,
        request: &Request,
        result: &Result<Response, ErrorCode>,
    ) -> Result<(), String> {
        self.go_on(model, zxid);
        if let Some((due, event, path)) = self.due.front() {
            return Err(format!(
                "the answer at {zxid} came before {event:?} of {path} at {due}"
            ));
        }
        if !self.caught_up.is_empty() && !matches!(request, Request::SetWatches(_)) {
            return Err(format!(
                "nobody asked to catch up with {:?}",
                self.caught_up
            ));
        }
        let watches = &mut self.watches;
        match (request, result) {
            (Request::Exists { path, watch: true }, Ok(_) | Err(ErrorCode::NO_NODE))
            | (Request::GetData { path, watch: true }, Ok(_)) => {
                watches.data.insert(path.clone());
            }
            (
                Request::GetChildren { path, watch: true }
                | Request::GetChildren2 { path, watch: true },
                Ok(_),
            ) => {
                watches.children.insert(path.clone());
            }
            (Request::AddWatch(add), Ok(_)) => {
                match add.mode {
                    0 => watches.persistent.insert(add.path.clone()),
                    _ => watches.recursive.insert(add.path.clone()),
                };
            }
            (Request::RemoveWatches { path, kind }, result) => {
                let is_removed = watches.remove(path, *kind);
                if is_removed != result.is_ok() {
                    return Err(format!("removing watches of {path} came out as {result:?}"));
                }
            }
            (Request::SetWatches(restored), Ok(_)) => {
                return self.restore(model, zxid, restored);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the changes up to a transaction, and notes the events that are due.
    fn go_on(&mut self, model: &Model, zxid: Zxid) {
        let Self {
            watches, next, due, ..
        } = self;
        if watches.is_empty() {
            let rest = model.changes.get(*next..).unwrap_or_default();
            *next += rest.partition_point(|change| change.zxid <= zxid);
            return;
        }
        while let Some(change) = model.changes.get(*next).filter(|it| it.zxid <= zxid) {
            *next += 1;
            let path = &change.path;
            let mut is_watched = watches.data.remove(path)
                | watches.persistent.contains(path)
                | watches
                    .recursive
                    .iter()
                    .any(|top| is_at_or_below(path, top));
            let event = match change.kind {
                ChangeKind::Created => EventType::NodeCreated,
                ChangeKind::DataChanged => EventType::NodeDataChanged,
                ChangeKind::Deleted => {
                    is_watched |= watches.children.remove(path);
                    EventType::NodeDeleted
                }
            };
            if is_watched && change.is_readable {
                due.push_back((change.zxid, event, path.clone()));
            }
            if change.kind != ChangeKind::DataChanged {
                let parent = parent_of(path);
                let is_watched =
                    watches.children.remove(parent) | watches.persistent.contains(parent);
                if is_watched && change.is_parent_readable {
                    let event = EventType::NodeChildrenChanged;
                    due.push_back((change.zxid, event, parent.to_owned()));
                }
            }
        }
    }

    fn restore(&mut self, model: &Model, zxid: Zxid, restored: &SetWatches) -> Result<(), String> {
        let since = restored.relative_zxid;
        let mut events = Vec::new();
        let watches = &mut self.watches;
        let mut tell = |event, path: &String, is_readable: bool| {
            if is_readable {
                events.push((event, path.clone()));
            }
        };
        for path in &restored.data {
            match model.at(path, zxid) {
                None => tell(EventType::NodeDeleted, path, true),
                Some(state) if state.mzxid > since => {
                    tell(EventType::NodeDataChanged, path, state.permits(Perms::READ));
                }
                Some(_) => {
                    watches.data.insert(path.clone());
                }
            }
        }
        for path in &restored.exist {
            match model.at(path, zxid) {
                Some(state) => tell(EventType::NodeCreated, path, state.permits(Perms::READ)),
                None => {
                    watches.data.insert(path.clone());
                }
            }
        }
        for path in &restored.child {
            match model.at(path, zxid) {
                None => tell(EventType::NodeDeleted, path, true),
                Some(state) if state.pzxid > since => {
                    let is_readable = state.permits(Perms::READ);
                    tell(EventType::NodeChildrenChanged, path, is_readable);
                }
                Some(_) => {
                    watches.children.insert(path.clone());
                }
            }
        }
        if let Some((persistent, recursive)) = &restored.persistent {
            watches.persistent.extend(persistent.iter().cloned());
            watches.recursive.extend(recursive.iter().cloned());
        }
        let mut caught_up = std::mem::take(&mut self.caught_up);
        let key = |(event, path): &(EventType, String)| (event.to_raw(), path.clone());
        caught_up.sort_by_key(key);
        events.sort_by_key(key);
        match caught_up == events {
            true => Ok(()),
            false => Err(format!(
                "setWatches since {since} at {zxid} told {caught_up:?}, expected {events:?}"
            )),
        }
    }
}

impl Watches {
    fn is_empty(&self) -> bool {
        self.data.is_empty()
            && self.children.is_empty()
            && self.persistent.is_empty()
            && self.recursive.is_empty()
    }

    fn remove(&mut self, path: &str, kind: i32) -> bool {
        match WatcherType::from_raw(kind) {
            Ok(WatcherType::Children) => self.children.remove(path),
            Ok(WatcherType::Data) => self.data.remove(path),
            Ok(WatcherType::Any) => {
                self.children.remove(path)
                    | self.data.remove(path)
                    | self.persistent.remove(path)
                    | self.recursive.remove(path)
            }
            Ok(WatcherType::Persistent) => self.persistent.remove(path),
            Ok(WatcherType::PersistentRecursive) => self.recursive.remove(path),
            Err(_) => false,
        }
    }
}

fn is_at_or_below(path: &str, top: &str) -> bool {
    match path.strip_prefix(top) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || top == "/",
        None => false,
    }
}
