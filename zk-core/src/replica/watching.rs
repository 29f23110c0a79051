//! Watches of clients: setting, restoring, asking and removing them, and telling events.

use alloc::string::String;
use alloc::vec::Vec;

use zk_proto::{
    Acl, AddWatch, AddWatchMode, ErrorCode, EventType, KeeperState, Perms, Response, SetWatches,
    WatcherEvent, WatcherType, Zxid,
};

use super::Replica;
use crate::Effect;
use crate::tree::{Change, ChangeKind};
use crate::watches::{About, Modes};

/// The zxid of events that setWatches catches up with.
const CAUGHT_UP: Zxid = Zxid(-1);

/// What setWatches was told to watch.
#[derive(Clone, Copy)]
enum Restored {
    Data,
    Absence,
    Children,
}

/// What a client missed while it was away.
enum Missed {
    Nothing,
    Event(EventType),
    /// An event of a znode that the client may not read.
    Secret,
}

impl Replica {
    /// Sets the watch of a read.
    pub(super) fn watch_once(
        &mut self,
        slot: u32,
        path: &str,
        about: About,
    ) -> Result<(), ErrorCode> {
        if !self.has_room(slot, 1) && !self.watches.contains(slot, path, about, Modes::ANY) {
            return Err(ErrorCode::QUOTA_EXCEEDED);
        }
        self.watches.add(slot, path, about, Modes::STANDARD);
        Ok(())
    }

    fn has_room(&self, slot: u32, more: usize) -> bool {
        self.watches.count(slot) + more <= self.config.watches_per_session_max
    }

    /// Nobody asks whether the znode may be read, or is there: events are checked when they come.
    pub(super) fn add_watch(&mut self, slot: u32, add: &AddWatch) -> Result<Response, ErrorCode> {
        let mode = AddWatchMode::from_raw(add.mode).map_err(|_| ErrorCode::MARSHALLING_ERROR)?;
        if !self.has_room(slot, 2) {
            return Err(ErrorCode::QUOTA_EXCEEDED);
        }
        match mode {
            AddWatchMode::Persistent => self.add_persistent(slot, &add.path),
            AddWatchMode::PersistentRecursive => self.add_recursive(slot, &add.path),
        }
        Ok(Response::Code(ErrorCode::OK))
    }

    fn add_persistent(&mut self, slot: u32, path: &str) {
        for about in [About::Data, About::Children] {
            self.watches.add(slot, path, about, Modes::PERSISTENT);
        }
    }

    fn add_recursive(&mut self, slot: u32, path: &str) {
        self.watches.add(slot, path, About::Data, Modes::RECURSIVE);
    }

    /// Restores the watches of a client that was away, and tells it at once what would have ended
    /// them; an event that it may not see ends its watch silently, as always.
    pub(super) fn set_watches(
        &mut self,
        slot: u32,
        watches: &SetWatches,
    ) -> Result<Response, ErrorCode> {
        let (persistent, recursive) = match &watches.persistent {
            Some((persistent, recursive)) => (persistent.as_slice(), recursive.as_slice()),
            None => Default::default(),
        };
        let once = watches.data.len() + watches.exist.len() + watches.child.len();
        if !self.has_room(slot, once + 2 * persistent.len() + recursive.len()) {
            return Err(ErrorCode::QUOTA_EXCEEDED);
        }
        let since = watches.relative_zxid;
        self.restore(slot, &watches.data, Restored::Data, since);
        self.restore(slot, &watches.exist, Restored::Absence, since);
        self.restore(slot, &watches.child, Restored::Children, since);
        for path in persistent {
            self.add_persistent(slot, path);
        }
        for path in recursive {
            self.add_recursive(slot, path);
        }
        Ok(Response::Empty)
    }

    fn restore(&mut self, slot: u32, paths: &[String], restored: Restored, since: Zxid) {
        let about = match restored {
            Restored::Data | Restored::Absence => About::Data,
            Restored::Children => About::Children,
        };
        for path in paths {
            match self.missed(slot, path, restored, since) {
                Missed::Nothing => self.watches.add(slot, path, about, Modes::STANDARD),
                Missed::Event(event) => self.push_event(event, path, CAUGHT_UP, &[slot]),
                Missed::Secret => self.counters.events_withheld += 1,
            }
        }
    }

    fn missed(&self, slot: u32, path: &str, restored: Restored, since: Zxid) -> Missed {
        let Some(node) = self.tree.get(path) else {
            return match restored {
                Restored::Data | Restored::Children => Missed::Event(EventType::NodeDeleted),
                Restored::Absence => Missed::Nothing,
            };
        };
        let stat = node.persisted();
        let event = match restored {
            Restored::Data if stat.mzxid > since => EventType::NodeDataChanged,
            Restored::Absence => EventType::NodeCreated,
            Restored::Children if stat.pzxid > since => EventType::NodeChildrenChanged,
            Restored::Data | Restored::Children => return Missed::Nothing,
        };
        let who = &self.conns.get(slot).who;
        if self.policy.authorize(who, node.acl(), Perms::READ) {
            Missed::Event(event)
        } else {
            Missed::Secret
        }
    }

    pub(super) fn check_watches(
        &self,
        slot: u32,
        path: &str,
        kind: i32,
    ) -> Result<Response, ErrorCode> {
        let places = watched_places(kind)?;
        let has =
            |&(about, modes): &(About, Modes)| self.watches.contains(slot, path, about, modes);
        found(places.iter().any(has))
    }

    pub(super) fn remove_watches(
        &mut self,
        slot: u32,
        path: &str,
        kind: i32,
    ) -> Result<Response, ErrorCode> {
        let mut removed = false;
        for &(about, modes) in watched_places(kind)? {
            removed |= self.watches.remove(slot, path, about, modes);
        }
        found(removed)
    }

    /// Tells who watches what changed, and may read it.
    pub(super) fn tell_changes(&mut self, zxid: Zxid, changes: &[Change]) {
        let summary = self.watches.summary();
        if summary.data_watches == 0 && summary.child_watches == 0 {
            return;
        }
        for Change {
            kind,
            path,
            acl,
            parent_acl,
        } in changes
        {
            let mut told = core::mem::take(&mut self.told);
            self.watches.begin_event();
            self.watches.tell_of_data(path, &mut told);
            let event = match kind {
                ChangeKind::Created => EventType::NodeCreated,
                ChangeKind::DataChanged => EventType::NodeDataChanged,
                ChangeKind::Deleted => {
                    self.watches.tell_of_children(path, &mut told);
                    EventType::NodeDeleted
                }
            };
            self.tell(event, path, zxid, acl, &mut told);
            if *kind != ChangeKind::DataChanged {
                let parent = match path.rfind('/') {
                    Some(slash) if slash > 0 => path.get(..slash).unwrap_or("/"),
                    _ => "/",
                };
                self.watches.begin_event();
                self.watches.tell_of_children(parent, &mut told);
                let event = EventType::NodeChildrenChanged;
                self.tell(event, parent, zxid, parent_acl, &mut told);
            }
            self.told = told;
        }
    }

    fn tell(&mut self, event: EventType, path: &str, zxid: Zxid, acl: &[Acl], told: &mut Vec<u32>) {
        if told.is_empty() {
            return;
        }
        let watchers = told.len();
        told.retain(|&slot| {
            let who = &self.conns.get(slot).who;
            self.policy.authorize(who, acl, Perms::READ)
        });
        self.counters.events_withheld += (watchers - told.len()) as u64;
        self.push_event(event, path, zxid, told);
        told.clear();
    }

    fn push_event(&mut self, event: EventType, path: &str, zxid: Zxid, told: &[u32]) {
        if told.is_empty() {
            return;
        }
        let counter = match event {
            EventType::None => unreachable!("an event tells of a change"),
            EventType::NodeCreated => 0,
            EventType::NodeDeleted => 1,
            EventType::NodeDataChanged => 2,
            EventType::NodeChildrenChanged => 3,
        };
        if let Some(count) = self.counters.events.get_mut(counter) {
            *count += told.len() as u64;
        }
        let ids = told.iter().map(|&slot| self.conns.get(slot).id);
        self.effects.push(Effect::Notify {
            conns: ids.collect(),
            zxid,
            event: WatcherEvent {
                event,
                state: KeeperState::SyncConnected,
                path: path.into(),
            },
        });
    }
}

/// Where the watches of a type stand. Persistent ones always stand in both lists.
fn watched_places(kind: i32) -> Result<&'static [(About, Modes)], ErrorCode> {
    let kind = WatcherType::from_raw(kind).map_err(|_| ErrorCode::MARSHALLING_ERROR)?;
    Ok(match kind {
        WatcherType::Children => &[(About::Children, Modes::STANDARD)],
        WatcherType::Data => &[(About::Data, Modes::STANDARD)],
        WatcherType::Any => &[(About::Children, Modes::ANY), (About::Data, Modes::ANY)],
        WatcherType::Persistent => &[
            (About::Children, Modes::PERSISTENT),
            (About::Data, Modes::PERSISTENT),
        ],
        WatcherType::PersistentRecursive => &[(About::Data, Modes::RECURSIVE)],
    })
}

const fn found(found: bool) -> Result<Response, ErrorCode> {
    if found {
        Ok(Response::Empty)
    } else {
        Err(ErrorCode::NO_WATCHER)
    }
}
