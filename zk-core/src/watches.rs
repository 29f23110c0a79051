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
//! Paths are kept once and numbered, connections are slots, so that a watch is two small integers.
//! Each connection knows its place in every list it is in: adding, removing and firing cost the same
//! however many others watch. Events are for the caller to make, and to withhold.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::ops::BitOr;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::WatchSummary;

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

#[derive(Debug)]
struct Watcher {
    slot: u32,
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

/// A connection's places: the index of its entry in each list.
#[derive(Debug, Default)]
struct Places {
    data: HashMap<u32, u32>,
    children: HashMap<u32, u32>,
    /// The round of events in which it was told last.
    told: u64,
}

impl Places {
    fn of(&mut self, about: About) -> &mut HashMap<u32, u32> {
        match about {
            About::Data => &mut self.data,
            About::Children => &mut self.children,
        }
    }
}

/// All watches of a server.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    hasher: DefaultHashBuilder,
    /// Numbers of the watched paths, by path.
    numbers: HashTable<u32>,
    watched: Vec<Option<Watched>>,
    free: Vec<u32>,
    /// By slot of the connection.
    places: Vec<Places>,
    round: u64,
    recursive: usize,
    summary: WatchSummary,
}

const CONSISTENT: &str = "lists, places and numbers are changed together";

impl Watches {
    /// How many there are.
    pub(crate) const fn summary(&self) -> WatchSummary {
        self.summary
    }

    /// Watches that the connection has.
    pub(crate) fn count(&self, slot: u32) -> usize {
        self.places
            .get(slot as usize)
            .map_or(0, |places| places.data.len() + places.children.len())
    }

    /// Adds a mode; no more than one mode at a time.
    pub(crate) fn add(&mut self, slot: u32, path: &str, about: About, mode: Modes) {
        let number = self.number(path);
        if self.places.len() <= slot as usize {
            self.places.resize_with(slot as usize + 1, Places::default);
        }
        let list = self
            .watched
            .get_mut(number as usize)
            .and_then(Option::as_mut)
            .expect(CONSISTENT)
            .list_mut(about);
        let places = self.places.get_mut(slot as usize).expect(CONSISTENT);
        let was_idle = places.data.is_empty();
        let place = *places.of(about).entry(number).or_insert_with(|| {
            list.push(Watcher {
                slot,
                modes: Modes(0),
            });
            index_of(list.len() - 1)
        });
        let watcher = list.get_mut(place as usize).expect(CONSISTENT);
        let is_new = watcher.modes == Modes(0);
        if mode == Modes::RECURSIVE && !watcher.modes.intersects(mode) {
            self.recursive += 1;
        }
        watcher.modes = watcher.modes | mode;
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
        self.find(path).is_some_and(|number| {
            self.modes(slot, number, about)
                .is_some_and(|has| has.intersects(modes))
        })
    }

    /// Takes modes away; `false` when the connection had none of them.
    pub(crate) fn remove(&mut self, slot: u32, path: &str, about: About, modes: Modes) -> bool {
        let Some(number) = self.find(path) else {
            return false;
        };
        match self.modes(slot, number, about) {
            Some(has) if has.intersects(modes) => {
                self.take_modes(slot, number, about, modes);
                self.forget_if_unwatched(number);
                true
            }
            _ => false,
        }
    }

    /// Removes all watches of a connection.
    pub(crate) fn remove_all(&mut self, slot: u32) {
        let Some(places) = self.places.get(slot as usize) else {
            return;
        };
        let of_data = places.data.keys().map(|&number| (number, About::Data));
        let of_children = places
            .children
            .keys()
            .map(|&number| (number, About::Children));
        let all: Vec<_> = of_data.chain(of_children).collect();
        for (number, about) in all {
            self.take_modes(slot, number, about, Modes::ANY);
            self.forget_if_unwatched(number);
        }
        if let Some(places) = self.places.get_mut(slot as usize) {
            *places = Places::default();
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
            let slot = self
                .list(number, about)
                .get(place)
                .expect("place is below the length, which shrinks by one at most")
                .slot;
            self.take_modes(slot, number, about, Modes::STANDARD);
            self.mark(slot, told);
        }
        self.forget_if_unwatched(number);
    }

    fn tell_of_descendant(&mut self, ancestor: &str, told: &mut Vec<u32>) {
        let Some(number) = self.find(ancestor) else {
            return;
        };
        for place in 0..self.list(number, About::Data).len() {
            let watcher = self.list(number, About::Data).get(place).expect(CONSISTENT);
            if watcher.modes.intersects(Modes::RECURSIVE) {
                self.mark(watcher.slot, told);
            }
        }
    }

    fn mark(&mut self, slot: u32, told: &mut Vec<u32>) {
        let places = self.places.get_mut(slot as usize).expect(CONSISTENT);
        if places.told != self.round {
            places.told = self.round;
            told.push(slot);
        }
    }

    /// The watched paths of one list with the slots of who watches, in order of the paths.
    pub(crate) fn by_path(&self, about: About) -> Vec<(&str, Vec<u32>)> {
        let mut all: Vec<(&str, Vec<u32>)> = self
            .watched
            .iter()
            .flatten()
            .filter(|watched| !watched.list(about).is_empty())
            .map(|watched| {
                let slots = watched.list(about).iter().map(|watcher| watcher.slot);
                (&*watched.path, slots.collect())
            })
            .collect();
        all.sort_unstable();
        all
    }

    fn modes(&self, slot: u32, number: u32, about: About) -> Option<Modes> {
        let places = self.places.get(slot as usize)?;
        let place = match about {
            About::Data => places.data.get(&number),
            About::Children => places.children.get(&number),
        }?;
        Some(
            self.list(number, about)
                .get(*place as usize)
                .expect(CONSISTENT)
                .modes,
        )
    }

    /// The connection is in the list.
    fn take_modes(&mut self, slot: u32, number: u32, about: About, modes: Modes) {
        let places = self.places.get_mut(slot as usize).expect(CONSISTENT);
        let place = *places.of(about).get(&number).expect(CONSISTENT) as usize;
        let list = self
            .watched
            .get_mut(number as usize)
            .and_then(Option::as_mut)
            .expect(CONSISTENT)
            .list_mut(about);
        let watcher = list.get_mut(place).expect(CONSISTENT);
        if modes.intersects(Modes::RECURSIVE) && watcher.modes.intersects(Modes::RECURSIVE) {
            self.recursive -= 1;
        }
        watcher.modes = watcher.modes.without(modes);
        if watcher.modes != Modes(0) {
            return;
        }
        list.swap_remove(place);
        let is_unwatched = list.is_empty();
        let moved = list.get(place).map(|watcher| watcher.slot);
        places.of(about).remove(&number);
        match about {
            About::Data => {
                self.summary.data_watches -= 1;
                self.summary.paths -= usize::from(is_unwatched);
                self.summary.connections -= usize::from(places.data.is_empty());
            }
            About::Children => self.summary.child_watches -= 1,
        }
        if let Some(moved) = moved {
            let places = self.places.get_mut(moved as usize).expect(CONSISTENT);
            places.of(about).insert(number, index_of(place));
        }
    }

    fn list(&self, number: u32, about: About) -> &Vec<Watcher> {
        self.watched
            .get(number as usize)
            .and_then(Option::as_ref)
            .expect(CONSISTENT)
            .list(about)
    }

    fn find(&self, path: &str) -> Option<u32> {
        let is_path = |number: &u32| is_numbered(&self.watched, *number, path);
        self.numbers
            .find(self.hasher.hash_one(path), is_path)
            .copied()
    }

    fn number(&mut self, path: &str) -> u32 {
        if let Some(number) = self.find(path) {
            return number;
        }
        let watched = Some(Watched {
            path: path.into(),
            data: Vec::new(),
            children: Vec::new(),
        });
        let number = if let Some(number) = self.free.pop() {
            *self.watched.get_mut(number as usize).expect(CONSISTENT) = watched;
            number
        } else {
            self.watched.push(watched);
            index_of(self.watched.len() - 1)
        };
        let (hasher, all) = (&self.hasher, &self.watched);
        self.numbers
            .insert_unique(hasher.hash_one(path), number, |&number| {
                let watched = all.get(number as usize).and_then(Option::as_ref);
                hasher.hash_one(&*watched.expect(CONSISTENT).path)
            });
        number
    }

    fn forget_if_unwatched(&mut self, number: u32) {
        let entry = self.watched.get_mut(number as usize).expect(CONSISTENT);
        let Some(watched) =
            entry.take_if(|watched| watched.data.is_empty() && watched.children.is_empty())
        else {
            return;
        };
        let hash = self.hasher.hash_one(&*watched.path);
        if let Ok(found) = self.numbers.find_entry(hash, |&other| other == number) {
            found.remove();
        }
        self.free.push(number);
    }
}

fn is_numbered(watched: &[Option<Watched>], number: u32, path: &str) -> bool {
    let watched = watched.get(number as usize).and_then(Option::as_ref);
    watched.is_some_and(|watched| &*watched.path == path)
}

fn index_of(index: usize) -> u32 {
    u32::try_from(index).expect("watches are bounded far below 2³²")
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
        assert!(watches.numbers.is_empty() && watches.watched.iter().all(Option::is_none));
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
