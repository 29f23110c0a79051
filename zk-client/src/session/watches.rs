//! Who watches what. Watchers share one watch of the server per path and kind.

use std::collections::{BTreeMap, BTreeSet};

use zk_proto::{AddWatchMode, EventType, Request, SetWatches, WatcherType, Zxid};

/// Names one watcher of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

/// The kinds of watches that a server keeps apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// One-shot, of getData and exists.
    Data,
    /// One-shot, of getChildren.
    Child,
    Persistent,
    Recursive,
}

impl Class {
    fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Exists { watch: true, .. } | Request::GetData { watch: true, .. } => {
                Some(Self::Data)
            }
            Request::GetChildren { watch: true, .. }
            | Request::GetChildren2 { watch: true, .. } => Some(Self::Child),
            Request::AddWatch(watch) if watch.mode == AddWatchMode::Persistent.to_raw() => {
                Some(Self::Persistent)
            }
            Request::AddWatch(_) => Some(Self::Recursive),
            _ => None,
        }
    }

    const fn is_persistent(self) -> bool {
        matches!(self, Self::Persistent | Self::Recursive)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// The request that leaves the watch has no reply yet.
    Pending,
    /// The server keeps the watch; of an absent znode when exists left it and found nothing.
    Armed { absent: bool },
    /// Pending, and its owner has gone.
    Abandoned,
}

#[derive(Debug)]
struct Watcher {
    path: String,
    class: Class,
    status: Status,
    /// The epoch with which it ends.
    pin: Option<u64>,
}

/// All watchers of a client.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_id: BTreeMap<WatcherId, Watcher>,
    by_path: BTreeMap<String, BTreeSet<WatcherId>>,
    recursive: usize,
}

impl Watches {
    /// Takes a watcher whose request is about to be sent. True when the request need not be: the
    /// server keeps that very watch already, and the watcher is armed.
    pub(super) fn register(&mut self, id: WatcherId, request: &Request, pin: Option<u64>) -> bool {
        let (Some(class), Some(path)) = (Class::of(request), super::path_of(request)) else {
            return false;
        };
        let shared = class.is_persistent()
            && self.at(path).any(|(_, other)| {
                other.class == class && matches!(other.status, Status::Armed { .. })
            });
        let path = path.to_owned();
        self.by_path.entry(path.clone()).or_default().insert(id);
        self.recursive += usize::from(class == Class::Recursive);
        let status = if shared {
            Status::Armed { absent: false }
        } else {
            Status::Pending
        };
        self.by_id.insert(
            id,
            Watcher {
                path,
                class,
                status,
                pin,
            },
        );
        shared
    }

    /// The watch stands. When its owner has gone meanwhile, gives what removes it.
    pub(super) fn arm(&mut self, id: WatcherId, absent: bool) -> Option<Request> {
        let watcher = self.by_id.get_mut(&id)?;
        if watcher.status == Status::Abandoned {
            return self.remove(id);
        }
        watcher.status = Status::Armed { absent };
        None
    }

    /// The watcher's request failed: there is no watch.
    pub(super) fn forget(&mut self, id: WatcherId) {
        if let Some(watcher) = self.by_id.remove(&id) {
            self.leave_path(id, &watcher);
        }
    }

    /// The watcher's owner has gone. Gives what removes the server's watch, if that is due.
    pub(super) fn unregister(&mut self, id: WatcherId) -> Option<Request> {
        let watcher = self.by_id.get_mut(&id)?;
        if let Status::Pending | Status::Abandoned = watcher.status {
            // Removed now, the watch would stand when the request is answered.
            watcher.status = Status::Abandoned;
            return None;
        }
        self.remove(id)
    }

    /// Takes an armed watcher away. The last watcher of a path removes all watches there. Before, a
    /// persistent watch is removed by its own type: servers before 3.9 refuse that, and would with
    /// any other type take all watches of the path (ZOOKEEPER-4471). A one-shot watch that is left
    /// costs one event.
    fn remove(&mut self, id: WatcherId) -> Option<Request> {
        let watcher = self.by_id.remove(&id)?;
        self.leave_path(id, &watcher);
        let Watcher { path, class, .. } = watcher;
        let last_of_class = !self.at(&path).any(|(_, other)| other.class == class);
        let kind = if !self.by_path.contains_key(&path) {
            WatcherType::Any
        } else if last_of_class && class == Class::Persistent {
            WatcherType::Persistent
        } else if last_of_class && class == Class::Recursive {
            WatcherType::PersistentRecursive
        } else {
            return None;
        };
        let kind = kind.to_raw();
        Some(Request::RemoveWatches { path, kind })
    }

    fn leave_path(&mut self, id: WatcherId, watcher: &Watcher) {
        self.recursive -= usize::from(watcher.class == Class::Recursive);
        if let Some(ids) = self.by_path.get_mut(&watcher.path) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_path.remove(&watcher.path);
            }
        }
    }

    fn at(&self, path: &str) -> impl Iterator<Item = (WatcherId, &Watcher)> {
        let ids = self.by_path.get(path).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.by_id.get(id)?)))
    }

    /// Who hears of an event, and whether it is the last thing they hear.
    pub(super) fn fire(&mut self, event: EventType, path: &str) -> Vec<(WatcherId, bool)> {
        let concerns = |class| match (event, class) {
            (EventType::None, _) => false,
            (EventType::NodeCreated | EventType::NodeDataChanged, Class::Data) => true,
            (EventType::NodeCreated | EventType::NodeDataChanged, Class::Child) => false,
            (EventType::NodeChildrenChanged, Class::Data | Class::Recursive) => false,
            (EventType::NodeChildrenChanged, Class::Child) => true,
            (EventType::NodeDeleted, Class::Data | Class::Child) => true,
            (_, Class::Persistent | Class::Recursive) => true,
        };
        let armed = |watcher: &Watcher| matches!(watcher.status, Status::Armed { .. });
        let mut heard = self
            .at(path)
            .filter(|(_, watcher)| armed(watcher) && concerns(watcher.class))
            .map(|(id, watcher)| (id, !watcher.class.is_persistent()))
            .collect::<Vec<_>>();
        if self.recursive > 0 && concerns(Class::Recursive) {
            for ancestor in ancestors(path) {
                heard.extend(
                    self.at(ancestor)
                        .filter(|(_, watcher)| armed(watcher) && watcher.class == Class::Recursive)
                        .map(|(id, _)| (id, false)),
                );
            }
        }
        for (id, last) in &heard {
            if *last {
                self.forget(*id);
            }
        }
        heard
    }

    /// Watchers that have missed what happened without a link.
    pub(super) fn persistent(&self) -> Vec<WatcherId> {
        self.armed()
            .filter(|(_, watcher)| watcher.class.is_persistent())
            .map(|(id, _)| id)
            .collect()
    }

    fn armed(&self) -> impl Iterator<Item = (WatcherId, &Watcher)> {
        self.by_id
            .iter()
            .filter(|(_, watcher)| matches!(watcher.status, Status::Armed { .. }))
            .map(|(id, watcher)| (*id, watcher))
    }

    /// What restores all watches, in pieces of at most `bytes_max` bytes of paths, or of one path.
    pub(super) fn chunks(&self, relative_zxid: Zxid, bytes_max: usize) -> Vec<SetWatches> {
        let persistent = self
            .armed()
            .any(|(_, watcher)| watcher.class.is_persistent());
        let empty = || SetWatches {
            relative_zxid,
            persistent: persistent.then(Default::default),
            ..SetWatches::default()
        };
        let mut chunks = Vec::new();
        let mut chunk = empty();
        let mut bytes = 0;
        for (list, path) in self.lists() {
            let path_bytes = path.len() + 4;
            if bytes > 0 && bytes + path_bytes > bytes_max {
                chunks.push(std::mem::replace(&mut chunk, empty()));
                bytes = 0;
            }
            bytes += path_bytes;
            let path = path.to_owned();
            match (list, &mut chunk.persistent) {
                (List::Data, _) => chunk.data.push(path),
                (List::Exist, _) => chunk.exist.push(path),
                (List::Child, _) => chunk.child.push(path),
                (List::Persistent, Some((paths, _))) | (List::Recursive, Some((_, paths))) => {
                    paths.push(path);
                }
                (List::Persistent | List::Recursive, None) => {}
            }
        }
        if bytes > 0 {
            chunks.push(chunk);
        }
        chunks
    }

    /// Every watch that the server is to keep, once.
    fn lists(&self) -> BTreeSet<(List, &str)> {
        self.armed()
            .map(|(_, watcher)| {
                let list = match (watcher.class, watcher.status) {
                    (Class::Data, Status::Armed { absent: true }) => List::Exist,
                    (Class::Data, _) => List::Data,
                    (Class::Child, _) => List::Child,
                    (Class::Persistent, _) => List::Persistent,
                    (Class::Recursive, _) => List::Recursive,
                };
                (list, watcher.path.as_str())
            })
            .collect()
    }

    /// Takes the watchers that end with an epoch, or all.
    pub(super) fn end(&mut self, epoch: Option<u64>) -> Vec<WatcherId> {
        let ended = self
            .by_id
            .iter()
            .filter(|(_, watcher)| epoch.is_none() || watcher.pin == epoch)
            .map(|(id, _)| *id)
            .collect::<Vec<_>>();
        for id in &ended {
            self.forget(*id);
        }
        ended
    }
}

/// The lists of setWatches2, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum List {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

/// The paths above `path`, without itself, from the nearest up to the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let parent = |path: &str| match path.rfind('/') {
        Some(0) => (path != "/").then_some(0),
        other => other,
    };
    let mut rest = path;
    std::iter::from_fn(move || {
        let slash = parent(rest)?;
        rest = rest.get(..slash.max(1))?;
        Some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Request {
        let path = path.to_owned();
        Request::GetData { path, watch: true }
    }

    fn add(path: &str, mode: AddWatchMode) -> Request {
        Request::AddWatch(zk_proto::AddWatch {
            path: path.to_owned(),
            mode: mode.to_raw(),
        })
    }

    fn armed(watches: &mut Watches, id: u64, request: &Request) -> WatcherId {
        let id = WatcherId(id);
        if !watches.register(id, request, None) {
            assert_eq!(watches.arm(id, false), None);
        }
        id
    }

    fn removal(path: &str, kind: WatcherType) -> Option<Request> {
        Some(Request::RemoveWatches {
            path: path.to_owned(),
            kind: kind.to_raw(),
        })
    }

    #[test]
    fn ancestors_go_up_to_the_root() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(ancestors("/a").collect::<Vec<_>>(), ["/"]);
        assert_eq!(ancestors("/").count(), 0);
    }

    #[test]
    fn the_watch_of_a_path_is_removed_with_its_last_watcher_only() {
        let mut watches = Watches::default();
        let first = armed(&mut watches, 1, &get("/a"));
        let second = armed(&mut watches, 2, &get("/a"));
        assert_eq!(watches.unregister(first), None);
        assert_eq!(watches.unregister(second), removal("/a", WatcherType::Any));
        assert_eq!(watches.unregister(second), None);
    }

    #[test]
    fn removing_one_mode_leaves_the_others_of_the_path() {
        let mut watches = Watches::default();
        let stream = armed(&mut watches, 1, &add("/a", AddWatchMode::Persistent));
        let tree = armed(
            &mut watches,
            2,
            &add("/a", AddWatchMode::PersistentRecursive),
        );
        let once = armed(&mut watches, 3, &get("/a"));
        assert_eq!(watches.unregister(once), None);
        assert_eq!(
            watches.unregister(stream),
            removal("/a", WatcherType::Persistent)
        );
        assert_eq!(
            watches.fire(EventType::NodeDataChanged, "/a"),
            [(tree, false)]
        );
        assert_eq!(watches.unregister(tree), removal("/a", WatcherType::Any));
    }

    #[test]
    fn an_owner_that_leaves_before_the_reply_removes_the_watch_after_it() {
        let mut watches = Watches::default();
        watches.register(WatcherId(1), &get("/a"), None);
        assert_eq!(watches.unregister(WatcherId(1)), None);
        assert_eq!(watches.fire(EventType::NodeDeleted, "/a"), []);
        assert_eq!(
            watches.arm(WatcherId(1), false),
            removal("/a", WatcherType::Any)
        );
    }

    #[test]
    fn a_watch_on_its_way_is_not_removed_by_the_owner_of_another() {
        let mut watches = Watches::default();
        let first = armed(&mut watches, 1, &get("/a"));
        watches.register(WatcherId(2), &get("/a"), None);
        assert_eq!(watches.unregister(first), None);
    }

    #[test]
    fn an_event_reaches_every_mode_that_it_concerns() {
        let mut watches = Watches::default();
        let once = armed(&mut watches, 1, &get("/a/b"));
        let stream = armed(&mut watches, 2, &add("/a/b", AddWatchMode::Persistent));
        let tree = armed(
            &mut watches,
            3,
            &add("/a", AddWatchMode::PersistentRecursive),
        );
        let root = armed(
            &mut watches,
            4,
            &add("/", AddWatchMode::PersistentRecursive),
        );
        let heard = watches.fire(EventType::NodeDataChanged, "/a/b");
        let all = [(once, true), (stream, false), (tree, false), (root, false)];
        assert_eq!(heard, all);
        let heard = watches.fire(EventType::NodeChildrenChanged, "/a/b");
        assert_eq!(heard, [(stream, false)]);
    }

    #[test]
    fn watches_are_restored_in_bounded_pieces() {
        let mut watches = Watches::default();
        for i in 0..1000 {
            armed(&mut watches, i, &get(&format!("/{:0>99}", i % 500)));
        }
        let chunks = watches.chunks(Zxid(7), 1050);
        assert_eq!(chunks.len(), 50);
        let mut paths = Vec::new();
        for chunk in chunks {
            assert!(chunk.data.iter().map(|path| path.len() + 4).sum::<usize>() <= 1050);
            assert_eq!((chunk.relative_zxid, chunk.persistent), (Zxid(7), None));
            paths.extend(chunk.data);
        }
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), 500);
    }
}
