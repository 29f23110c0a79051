//! Who watches what (`WatchManager`, 3.9.5).
//!
//! A watch belongs to a connection and dies with it. There are two lists for a path: one of those
//! who hear of the znode's data (creation, change, deletion), one of those who hear of its children.
//! A connection stands in a list once, with the modes by which it came there:
//!
//! | mode | set by | ends | hears of |
//! |---|---|---|---|
//! | standard | getData, exists, getChildren | with its first event | the list's path |
//! | persistent | addWatch | when removed | the path's data and children |
//! | recursive | addWatch | when removed | data of the path and of all below it |
//!
//! Paths are kept once and numbered, as are watchers, so that a watch is two small integers. Each
//! watcher knows its place in every list it is in: adding, removing and firing cost the same however
//! many others watch. Nothing is moved as a whole when it grows, and a connection with many watches
//! is forgotten bit by bit, so that no single call takes long. Events are for the caller to make, and
//! to withhold.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::ops::BitOr;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::WatchSummary;
use crate::slab::Slab;

/// Tables of paths, each of which grows by itself.
const SHARDS: u64 = 256;
/// Paths that lie together in memory.
const PAGE: usize = 256;
/// Watches of a closed connection that one call removes.
const FORGOTTEN_AT_ONCE: usize = 128;

/// Which list of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Data,
    Children,
}

/// A set of modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Modes(u8);

impl Modes {
    pub(crate) const STANDARD: Self = Self(1);
    pub(crate) const PERSISTENT: Self = Self(2);
    pub(crate) const RECURSIVE: Self = Self(4);
    pub(crate) const ANY: Self = Self(7);

    const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Modes {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An entry of a list.
#[derive(Debug)]
struct Watcher {
    /// Its number, which is not the connection's slot: that is used again at once.
    watcher: u32,
    modes: Modes,
}

#[derive(Debug)]
struct Watched {
    path: Box<str>,
    data: Vec<Watcher>,
    children: Vec<Watcher>,
}

impl Watched {
    fn list(&self, about: About) -> &Vec<Watcher> {
        match about {
            About::Data => &self.data,
            About::Children => &self.children,
        }
    }

    fn list_mut(&mut self, about: About) -> &mut Vec<Watcher> {
        match about {
            About::Data => &mut self.data,
            About::Children => &mut self.children,
        }
    }
}

/// A connection's places: the index of its entry in each list, by the path's number.
#[derive(Debug, Default)]
struct Places {
    data: BTreeMap<u32, u32>,
    children: BTreeMap<u32, u32>,
    /// The connection's slot; none once it is closed.
    slot: Option<u32>,
    /// The round of events in which it was told last.
    told: u64,
}

impl Places {
    fn len(&self) -> usize {
        self.data.len() + self.children.len()
    }

    fn of(&mut self, about: About) -> &mut BTreeMap<u32, u32> {
        match about {
            About::Data => &mut self.data,
            About::Children => &mut self.children,
        }
    }
}

/// The watched paths by number, in pages, so that their number grows without moving any.
#[derive(Debug, Default)]
struct Paths {
    pages: Vec<Box<[Option<Watched>]>>,
    end: u32,
    free: Vec<u32>,
}

impl Paths {
    fn find(&self, number: u32) -> Option<&Watched> {
        let (page, place) = (number as usize / PAGE, number as usize % PAGE);
        self.pages.get(page)?.get(place)?.as_ref()
    }

    fn get(&self, number: u32) -> &Watched {
        self.find(number).expect(CONSISTENT)
    }

    fn entry(&mut self, number: u32) -> &mut Option<Watched> {
        let (page, place) = (number as usize / PAGE, number as usize % PAGE);
        let page = self.pages.get_mut(page);
        page.and_then(|page| page.get_mut(place)).expect(CONSISTENT)
    }

    fn get_mut(&mut self, number: u32) -> &mut Watched {
        self.entry(number).as_mut().expect(CONSISTENT)
    }

    fn insert(&mut self, watched: Watched) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            let number = self.end;
            self.end = number.checked_add(1).expect(BOUNDED);
            if (number as usize).is_multiple_of(PAGE) {
                self.pages.push((0..PAGE).map(|_| None).collect());
            }
            number
        });
        *self.entry(number) = Some(watched);
        number
    }

    fn iter(&self) -> impl Iterator<Item = &Watched> {
        self.pages.iter().flatten().flatten()
    }
}

/// All watches of a server.
#[derive(Debug)]
pub(crate) struct Watches {
    hasher: DefaultHashBuilder,
    /// Numbers of the watched paths, by path.
    numbers: Box<[HashTable<u32>]>,
    watched: Paths,
    watchers: Slab<Places>,
    /// The watcher of a connection's slot, once it has watched anything.
    by_slot: Vec<Option<u32>>,
    /// Watchers whose connection is closed and that stand in lists still.
    leaving: VecDeque<u32>,
    round: u64,
    recursive: usize,
    summary: WatchSummary,
}

const CONSISTENT: &str = "lists, places and numbers are changed together";
const BOUNDED: &str = "watches are bounded far below 2³²";

impl Default for Watches {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            numbers: (0..SHARDS).map(|_| HashTable::new()).collect(),
            watched: Paths::default(),
            watchers: Slab::new(),
            by_slot: Vec::new(),
            leaving: VecDeque::new(),
            round: 0,
            recursive: 0,
            summary: WatchSummary::default(),
        }
    }
}

impl Watches {
    /// How many there are. A path whose watchers are being forgotten counts until they are.
    pub(crate) const fn summary(&self) -> WatchSummary {
        self.summary
    }

    /// Watches that the connection has.
    pub(crate) fn count(&self, slot: u32) -> usize {
        let watcher = self.watcher(slot);
        watcher.map_or(0, |watcher| self.watchers.get(watcher).len())
    }

    /// Adds a mode; no more than one mode at a time.
    pub(crate) fn add(&mut self, slot: u32, path: &str, about: About, mode: Modes) {
        let number = self.number(path);
        let watcher = self.watcher_or_insert(slot);
        let list = self.watched.get_mut(number).list_mut(about);
        let places = self.watchers.get_mut(watcher);
        let was_idle = places.data.is_empty();
        let place = *places.of(about).entry(number).or_insert_with(|| {
            list.push(Watcher {
                watcher,
                modes: Modes(0),
            });
            index_of(list.len() - 1)
        });
        let entry = list.get_mut(place as usize).expect(CONSISTENT);
        let is_new = entry.modes == Modes(0);
        if mode == Modes::RECURSIVE && !entry.modes.intersects(mode) {
            self.recursive += 1;
        }
        entry.modes = entry.modes | mode;
        match about {
            About::Data if is_new => {
                self.summary.data_watches += 1;
                self.summary.paths += usize::from(list.len() == 1);
                self.summary.connections += usize::from(was_idle);
            }
            About::Children if is_new => self.summary.child_watches += 1,
            About::Data | About::Children => {}
        }
    }

    /// Whether the connection watches the path in any of the modes.
    pub(crate) fn contains(&self, slot: u32, path: &str, about: About, modes: Modes) -> bool {
        let number = self.find(path);
        number.is_some_and(|number| {
            self.modes(slot, number, about)
                .is_some_and(|has| has.intersects(modes))
        })
    }

    /// Takes modes away; `false` when the connection had none of them.
    pub(crate) fn remove(&mut self, slot: u32, path: &str, about: About, modes: Modes) -> bool {
        let (Some(number), Some(watcher)) = (self.find(path), self.watcher(slot)) else {
            return false;
        };
        match self.modes(slot, number, about) {
            Some(has) if has.intersects(modes) => {
                self.take_modes(watcher, number, about, modes);
                self.forget_if_unwatched(number);
                true
            }
            _ => false,
        }
    }

    /// Removes all watches of a connection. Of many, most are left to
    /// [`forget_some`](Self::forget_some).
    pub(crate) fn remove_all(&mut self, slot: u32) {
        let watcher = self.by_slot.get_mut(slot as usize).and_then(Option::take);
        let Some(watcher) = watcher else {
            return;
        };
        let places = self.watchers.get_mut(watcher);
        places.slot = None;
        self.summary.data_watches -= places.data.len();
        self.summary.child_watches -= places.children.len();
        self.summary.connections -= usize::from(!places.data.is_empty());
        self.leaving.push_back(watcher);
        self.forget_some();
    }

    /// Goes on forgetting the watches of closed connections.
    pub(crate) fn forget_some(&mut self) {
        let mut left = FORGOTTEN_AT_ONCE;
        while let Some(&watcher) = self.leaving.front() {
            let places = self.watchers.get(watcher);
            let first = |of: &BTreeMap<u32, u32>| of.keys().next_back().copied();
            let next = match first(&places.data) {
                Some(number) => Some((number, About::Data)),
                None => first(&places.children).map(|number| (number, About::Children)),
            };
            let Some((number, about)) = next else {
                self.leaving.pop_front();
                self.watchers.remove(watcher);
                continue;
            };
            if left == 0 {
                return;
            }
            left -= 1;
            self.take_modes(watcher, number, about, Modes::ANY);
            self.forget_if_unwatched(number);
        }
    }

    /// Begins an event: until the next one, nobody is told twice.
    pub(crate) fn begin_event(&mut self) {
        self.round += 1;
    }

    /// Lists who hears that the znode's data changed, and ends their standard watches.
    pub(crate) fn tell_of_data(&mut self, path: &str, told: &mut Vec<u32>) {
        if self.summary.data_watches == 0 {
            return;
        }
        self.tell(path, About::Data, told);
        let mut at = path;
        while self.recursive > 0 && at != "/" {
            at = match at.rfind('/') {
                None => return,
                Some(0) => "/",
                Some(slash) => at.get(..slash).unwrap_or("/"),
            };
            self.tell_of_descendant(at, told);
        }
    }

    /// Lists who hears that the znode's children changed, or that with it they are gone, and ends
    /// their standard watches.
    pub(crate) fn tell_of_children(&mut self, path: &str, told: &mut Vec<u32>) {
        if self.summary.child_watches > 0 {
            self.tell(path, About::Children, told);
        }
    }

    fn tell(&mut self, path: &str, about: About, told: &mut Vec<u32>) {
        let Some(number) = self.find(path) else {
            return;
        };
        // Backwards, since a removal moves the last entry into the gap.
        let mut place = self.list(number, about).len();
        while place > 0 {
            place -= 1;
            let watcher = self
                .list(number, about)
                .get(place)
                .expect("place is below the length, which shrinks by one at most")
                .watcher;
            self.mark(watcher, told);
            self.take_modes(watcher, number, about, Modes::STANDARD);
        }
        self.forget_if_unwatched(number);
    }

    fn tell_of_descendant(&mut self, ancestor: &str, told: &mut Vec<u32>) {
        let Some(number) = self.find(ancestor) else {
            return;
        };
        for place in 0..self.list(number, About::Data).len() {
            let entry = self.list(number, About::Data).get(place).expect(CONSISTENT);
            if entry.modes.intersects(Modes::RECURSIVE) {
                self.mark(entry.watcher, told);
            }
        }
    }

    fn mark(&mut self, watcher: u32, told: &mut Vec<u32>) {
        let places = self.watchers.get_mut(watcher);
        if let Some(slot) = places.slot
            && places.told != self.round
        {
            places.told = self.round;
            told.push(slot);
        }
    }

    /// The watched paths of one list with the slots of who watches, in order of the paths.
    pub(crate) fn by_path(&self, about: About) -> Vec<(&str, Vec<u32>)> {
        let slot = |entry: &Watcher| self.watchers.get(entry.watcher).slot;
        let mut all: Vec<(&str, Vec<u32>)> = self
            .watched
            .iter()
            .map(|watched| {
                let slots = watched.list(about).iter().filter_map(slot);
                (&*watched.path, slots.collect())
            })
            .filter(|(_, slots): &(_, Vec<u32>)| !slots.is_empty())
            .collect();
        all.sort_unstable();
        all
    }

    fn watcher(&self, slot: u32) -> Option<u32> {
        *self.by_slot.get(slot as usize)?
    }

    fn watcher_or_insert(&mut self, slot: u32) -> u32 {
        if self.by_slot.len() <= slot as usize {
            self.by_slot.resize(slot as usize + 1, None);
        }
        let watcher = self.by_slot.get_mut(slot as usize).expect(CONSISTENT);
        *watcher.get_or_insert_with(|| {
            self.watchers.insert(Places {
                slot: Some(slot),
                ..Places::default()
            })
        })
    }

    fn modes(&self, slot: u32, number: u32, about: About) -> Option<Modes> {
        let places = self.watchers.get(self.watcher(slot)?);
        let place = match about {
            About::Data => places.data.get(&number),
            About::Children => places.children.get(&number),
        }?;
        let entry = self.list(number, about).get(*place as usize);
        Some(entry.expect(CONSISTENT).modes)
    }

    /// The watcher is in the list.
    fn take_modes(&mut self, watcher: u32, number: u32, about: About, modes: Modes) {
        let places = self.watchers.get_mut(watcher);
        let place = *places.of(about).get(&number).expect(CONSISTENT) as usize;
        let list = self.watched.get_mut(number).list_mut(about);
        let entry = list.get_mut(place).expect(CONSISTENT);
        if modes.intersects(Modes::RECURSIVE) && entry.modes.intersects(Modes::RECURSIVE) {
            self.recursive -= 1;
        }
        entry.modes = entry.modes.without(modes);
        if entry.modes != Modes(0) {
            return;
        }
        list.swap_remove(place);
        let is_unwatched = list.is_empty();
        let moved = list.get(place).map(|entry| entry.watcher);
        places.of(about).remove(&number);
        // What a closed connection had is no longer counted, but for the paths.
        let counts = usize::from(places.slot.is_some());
        match about {
            About::Data => {
                self.summary.data_watches -= counts;
                self.summary.paths -= usize::from(is_unwatched);
                self.summary.connections -= counts * usize::from(places.data.is_empty());
            }
            About::Children => self.summary.child_watches -= counts,
        }
        if let Some(moved) = moved {
            let places = self.watchers.get_mut(moved);
            places.of(about).insert(number, index_of(place));
        }
    }

    fn list(&self, number: u32, about: About) -> &Vec<Watcher> {
        self.watched.get(number).list(about)
    }

    fn find(&self, path: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(path);
        let is_path = |&number: &u32| {
            let watched = self.watched.find(number);
            watched.is_some_and(|watched| &*watched.path == path)
        };
        self.numbers
            .get(shard_of(hash))?
            .find(hash, is_path)
            .copied()
    }

    fn number(&mut self, path: &str) -> u32 {
        if let Some(number) = self.find(path) {
            return number;
        }
        let number = self.watched.insert(Watched {
            path: path.into(),
            data: Vec::new(),
            children: Vec::new(),
        });
        let (hasher, watched) = (&self.hasher, &self.watched);
        let hash = hasher.hash_one(path);
        let shard = self.numbers.get_mut(shard_of(hash)).expect(ALL_SHARDS);
        shard.insert_unique(hash, number, |&number| {
            hasher.hash_one(&*watched.get(number).path)
        });
        number
    }

    fn forget_if_unwatched(&mut self, number: u32) {
        let is_unwatched =
            |watched: &mut Watched| watched.data.is_empty() && watched.children.is_empty();
        let Some(watched) = self.watched.entry(number).take_if(is_unwatched) else {
            return;
        };
        let hash = self.hasher.hash_one(&*watched.path);
        let shard = self.numbers.get_mut(shard_of(hash)).expect(ALL_SHARDS);
        if let Ok(found) = shard.find_entry(hash, |&other| other == number) {
            found.remove();
        }
        self.watched.free.push(number);
    }
}

const ALL_SHARDS: &str = "there are as many shards as shard_of tells apart";

/// A table takes its places from the hash's low bits and its tags from the highest.
fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> 32 & (SHARDS - 1)).expect("below the number of shards")
}

fn index_of(index: usize) -> u32 {
    u32::try_from(index).expect(BOUNDED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::{BTreeMap, BTreeSet};
    use alloc::string::{String, ToString};
    use alloc::vec;
    use proptest::prelude::*;

    fn data(watches: &mut Watches, path: &str) -> Vec<u32> {
        let mut told = Vec::new();
        watches.begin_event();
        watches.tell_of_data(path, &mut told);
        told.sort_unstable();
        told
    }

    fn children(watches: &mut Watches, path: &str) -> Vec<u32> {
        let mut told = Vec::new();
        watches.begin_event();
        watches.tell_of_children(path, &mut told);
        told.sort_unstable();
        told
    }

    #[test]
    fn a_connection_with_many_watches_is_forgotten_bit_by_bit_and_hears_of_nothing_meanwhile() {
        let many = 10 * FORGOTTEN_AT_ONCE;
        let mut watches = Watches::default();
        for path in 0..many {
            watches.add(1, &alloc::format!("/{path}"), About::Data, Modes::STANDARD);
            watches.add(
                1,
                &alloc::format!("/{path}"),
                About::Children,
                Modes::STANDARD,
            );
        }
        watches.add(1, "/", About::Data, Modes::RECURSIVE);
        watches.add(2, "/0", About::Data, Modes::STANDARD);
        watches.remove_all(1);
        assert_eq!(watches.count(1), 0);
        assert!(!watches.leaving.is_empty());
        let summary = watches.summary();
        assert_eq!((summary.connections, summary.data_watches), (1, 1));
        assert_eq!(summary.child_watches, 0);
        assert_eq!(watches.by_path(About::Data), [("/0", vec![2])]);
        // The slot is another's at once.
        watches.add(1, "/1", About::Data, Modes::STANDARD);
        assert_eq!(watches.count(1), 1);
        assert!(!watches.contains(1, "/0", About::Data, Modes::ANY));
        assert_eq!(data(&mut watches, "/0"), [2]);
        assert_eq!(data(&mut watches, "/1"), [1]);
        assert_eq!(data(&mut watches, "/2"), []);
        assert_eq!(children(&mut watches, "/2"), []);

        for _ in 0..20 {
            watches.forget_some();
        }
        assert!(watches.leaving.is_empty());
        assert_eq!(watches.summary(), WatchSummary::default());
        assert_eq!(watches.recursive, 0);
        assert_eq!(watches.watched.free.len(), watches.watched.end as usize);
    }

    #[test]
    fn a_standard_watch_fires_once() {
        let mut watches = Watches::default();
        watches.add(1, "/a", About::Data, Modes::STANDARD);
        assert_eq!(data(&mut watches, "/b"), []);
        assert_eq!(data(&mut watches, "/a"), [1]);
        assert_eq!(data(&mut watches, "/a"), []);
        assert_eq!(watches.summary(), WatchSummary::default());
    }

    #[test]
    fn a_persistent_watch_survives_the_standard_one_on_its_path() {
        let mut watches = Watches::default();
        watches.add(1, "/a", About::Data, Modes::STANDARD);
        watches.add(1, "/a", About::Data, Modes::PERSISTENT);
        assert_eq!(data(&mut watches, "/a"), [1]);
        assert!(!watches.contains(1, "/a", About::Data, Modes::STANDARD));
        assert_eq!(data(&mut watches, "/a"), [1]);
    }

    #[test]
    fn a_recursive_watch_hears_of_all_below_it_and_of_no_children() {
        let mut watches = Watches::default();
        watches.add(1, "/a", About::Data, Modes::RECURSIVE);
        watches.add(2, "/", About::Data, Modes::RECURSIVE);
        assert_eq!(data(&mut watches, "/a/b/c"), [1, 2]);
        assert_eq!(data(&mut watches, "/ab"), [2]);
        assert_eq!(data(&mut watches, "/a"), [1, 2]);
        assert_eq!(children(&mut watches, "/a"), []);
    }

    #[test]
    fn nobody_is_told_twice_of_one_event() {
        let mut watches = Watches::default();
        watches.add(1, "/a", About::Data, Modes::RECURSIVE);
        watches.add(1, "/a/b", About::Data, Modes::STANDARD);
        watches.add(1, "/a/b", About::Children, Modes::STANDARD);
        watches.add(2, "/a/b", About::Children, Modes::STANDARD);
        let mut told = Vec::new();
        watches.begin_event();
        watches.tell_of_data("/a/b", &mut told);
        watches.tell_of_children("/a/b", &mut told);
        assert_eq!(told, [1, 2]);
        assert_eq!(watches.summary().child_watches, 0);
    }

    #[test]
    fn a_mode_is_removed_alone() {
        let mut watches = Watches::default();
        watches.add(1, "/a", About::Data, Modes::STANDARD);
        watches.add(1, "/a", About::Data, Modes::RECURSIVE);
        assert!(!watches.remove(1, "/a", About::Data, Modes::PERSISTENT));
        assert!(!watches.remove(2, "/a", About::Data, Modes::ANY));
        assert!(watches.remove(1, "/a", About::Data, Modes::RECURSIVE));
        assert_eq!(data(&mut watches, "/a/b"), []);
        assert_eq!(data(&mut watches, "/a"), [1]);
    }

    #[test]
    fn a_connection_that_is_gone_leaves_nothing() {
        let mut watches = Watches::default();
        for path in ["/a", "/b", "/c"] {
            for slot in 0..4 {
                watches.add(slot, path, About::Data, Modes::STANDARD);
                watches.add(slot, path, About::Children, Modes::PERSISTENT);
            }
        }
        assert_eq!(
            watches.summary(),
            WatchSummary {
                connections: 4,
                paths: 3,
                data_watches: 12,
                child_watches: 12
            }
        );
        for slot in [2, 0, 3, 1] {
            watches.remove_all(slot);
        }
        assert_eq!(watches.summary(), WatchSummary::default());
        assert_eq!(watches.count(2), 0);
        assert!(watches.numbers.iter().all(HashTable::is_empty));
        assert_eq!(watches.watched.iter().count(), 0);
    }

    #[test]
    fn watches_are_listed_by_path() {
        let mut watches = Watches::default();
        watches.add(7, "/b", About::Data, Modes::STANDARD);
        watches.add(7, "/a", About::Data, Modes::PERSISTENT);
        watches.add(7, "/c", About::Children, Modes::STANDARD);
        assert_eq!(
            watches.by_path(About::Data),
            [("/a", vec![7]), ("/b", vec![7])]
        );
    }

    /// The same by the plainest means: sets of (slot, path, list, mode).
    #[derive(Default)]
    struct Model(BTreeSet<(u32, String, bool, u8)>);

    impl Model {
        fn tell(&mut self, path: &str, is_data: bool) -> Vec<u32> {
            let told: BTreeSet<u32> = self
                .0
                .iter()
                .filter(|(_, at, data, mode)| {
                    *data == is_data
                        && (at == path
                            || *mode == 4
                                && (at == "/"
                                    || path
                                        .strip_prefix(at.as_str())
                                        .is_some_and(|rest| rest.starts_with('/'))))
                })
                .map(|(slot, ..)| *slot)
                .collect();
            self.0.retain(|(_, at, data, mode)| {
                !(*data == is_data && at == path && *mode == Modes::STANDARD.0)
            });
            told.into_iter().collect()
        }

        fn summary(&self) -> WatchSummary {
            let in_data: BTreeMap<(u32, &str), ()> = self
                .0
                .iter()
                .filter(|entry| entry.2)
                .map(|(slot, path, ..)| ((*slot, path.as_str()), ()))
                .collect();
            let in_children: BTreeSet<_> = self.0.iter().filter(|entry| !entry.2).collect();
            WatchSummary {
                connections: in_data
                    .keys()
                    .map(|(slot, _)| slot)
                    .collect::<BTreeSet<_>>()
                    .len(),
                paths: in_data
                    .keys()
                    .map(|(_, path)| path)
                    .collect::<BTreeSet<_>>()
                    .len(),
                data_watches: in_data.len(),
                child_watches: in_children
                    .iter()
                    .map(|(slot, path, ..)| (slot, path))
                    .collect::<BTreeSet<_>>()
                    .len(),
            }
        }
    }

    proptest! {
        #[test]
        fn watches_behave_as_plain_sets(
            steps in prop::collection::vec((0..6u8, 0..4u32, 0..6usize, 0..3u8, any::<bool>()), 1..200)
        ) {
            const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/d"];
            let (mut watches, mut model) = (Watches::default(), Model::default());
            for (what, slot, path, mode, is_data) in steps {
                let path = PATHS[path];
                let mode = Modes(1 << mode);
                let is_data = is_data || mode == Modes::RECURSIVE;
                let about = if is_data { About::Data } else { About::Children };
                let entry = (slot, path.to_string(), is_data, mode.0);
                match what {
                    0 | 1 => {
                        watches.add(slot, path, about, mode);
                        model.0.insert(entry);
                    }
                    2 => prop_assert_eq!(watches.remove(slot, path, about, mode), model.0.remove(&entry)),
                    3 => prop_assert_eq!(watches.contains(slot, path, about, mode), model.0.contains(&entry)),
                    4 if is_data => prop_assert_eq!(data(&mut watches, path), model.tell(path, true)),
                    4 => prop_assert_eq!(children(&mut watches, path), model.tell(path, false)),
                    _ => {
                        watches.remove_all(slot);
                        model.0.retain(|entry| entry.0 != slot);
                    }
                }
                prop_assert_eq!(watches.summary(), model.summary());
                let recursive = model.0.iter().filter(|entry| entry.3 == 4).count();
                prop_assert_eq!(watches.recursive, recursive);
            }
        }
    }
}
