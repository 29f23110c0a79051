//! Numbered slots in pages that are copied only when they are written while a picture of them is
//! held. This file knows nothing of what the slots hold.

use alloc::sync::Arc;
use alloc::vec::Vec;

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// Pages under one branch: what the first write to a branch after a picture copies, as pointers.
const BRANCH_PAGES: usize = 128;

type Page<T, const PAGE: usize> = [Option<T>; PAGE];
type Branch<T, const PAGE: usize> = Vec<Arc<Page<T, PAGE>>>;

/// The slots, `PAGE` in a page. A clone is a picture: it costs a pointer for each
/// `PAGE * BRANCH_PAGES` slots and shares every page until the original writes to it.
#[derive(Debug, Clone)]
pub(super) struct Pages<T, const PAGE: usize> {
    branches: Vec<Arc<Branch<T, PAGE>>>,
}

/// The slots, and which of them are free.
#[derive(Debug)]
pub(super) struct Arena<T, const PAGE: usize> {
    pages: Pages<T, PAGE>,
    /// Slots below this number have been used.
    end: u32,
    free: Vec<u32>,
}

impl<T, const PAGE: usize> Pages<T, PAGE> {
    /// What the slot holds.
    ///
    /// # Panics
    /// When the slot is free: an id outlived what it named.
    pub(super) fn get(&self, id: u32) -> &T {
        self.slot(id).expect("the id names a slot in use")
    }

    /// Every slot in use below `end`, in order of its number.
    pub(super) fn iter(&self, end: u32) -> impl Iterator<Item = (u32, &T)> {
        (0..end).filter_map(|id| Some((id, self.slot(id)?)))
    }

    fn slot(&self, id: u32) -> Option<&T> {
        let (branch, page, slot) = position::<PAGE>(id);
        self.branches.get(branch)?.get(page)?.get(slot)?.as_ref()
    }
}

impl<T: Clone, const PAGE: usize> Pages<T, PAGE> {
    fn slot_mut(&mut self, id: u32) -> &mut Option<T> {
        let (branch, page, slot) = position::<PAGE>(id);
        self.branches
            .get_mut(branch)
            .and_then(|branch| Arc::make_mut(branch).get_mut(page))
            .and_then(|page| Arc::make_mut(page).get_mut(slot))
            .expect("the id is of this arena")
    }
}

impl<T: Clone, const PAGE: usize> Arena<T, PAGE> {
    pub(super) const fn new() -> Self {
        Self {
            pages: Pages {
                branches: Vec::new(),
            },
            end: 0,
            free: Vec::new(),
        }
    }

    /// The slots, to read or to clone as a picture.
    pub(super) const fn pages(&self) -> &Pages<T, PAGE> {
        &self.pages
    }

    /// One more than the highest number ever used.
    pub(super) const fn end(&self) -> u32 {
        self.end
    }

    /// Number of slots in use.
    pub(super) fn len(&self) -> usize {
        self.end as usize - self.free.len()
    }

    /// What the slot holds.
    ///
    /// # Panics
    /// When the slot is free.
    pub(super) fn get(&self, id: u32) -> &T {
        self.pages.get(id)
    }

    /// What the slot holds, to be changed; pictures keep what they show.
    ///
    /// # Panics
    /// When the slot is free.
    pub(super) fn get_mut(&mut self, id: u32) -> &mut T {
        self.pages
            .slot_mut(id)
            .as_mut()
            .expect("the id names a slot in use")
    }

    /// Puts a value into a slot, one that was freed if there is any.
    ///
    /// # Panics
    /// When all 2³² − 1 slots are in use.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.insert_with(|_| value)
    }

    /// The same for a value that holds its own number.
    pub(super) fn insert_with(&mut self, value: impl FnOnce(u32) -> T) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| self.extend());
        let slot = self.pages.slot_mut(id);
        assert!(slot.is_none(), "slot {id} is free and holds something");
        *slot = Some(value(id));
        id
    }

    /// Takes the value out and frees the slot.
    ///
    /// # Panics
    /// When the slot is free already.
    pub(super) fn remove(&mut self, id: u32) -> T {
        let value = self.pages.slot_mut(id).take();
        self.free.push(id);
        value.expect("the id names a slot in use")
    }

    /// Bytes of the pages, with the counts of their references.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        let page = size_of::<Page<T, PAGE>>() + 3 * size_of::<usize>();
        (self.end as usize).div_ceil(PAGE) * page
    }

    fn extend(&mut self) -> u32 {
        let id = self.end;
        assert!(id < NIL, "all {NIL} slots are in use");
        self.end += 1;
        let (branch, page, slot) = position::<PAGE>(id);
        if slot == 0 {
            if page == 0 {
                self.pages.branches.push(Arc::default());
            }
            let branch = self.pages.branches.get_mut(branch);
            let branch = Arc::make_mut(branch.expect("branches are added in order"));
            branch.push(Arc::new(core::array::from_fn(|_| None)));
        }
        id
    }
}

const fn position<const PAGE: usize>(id: u32) -> (usize, usize, usize) {
    let (page, slot) = (id as usize / PAGE, id as usize % PAGE);
    (page / BRANCH_PAGES, page % BRANCH_PAGES, slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Arena<u32, 3>;

    #[test]
    fn a_picture_keeps_what_it_showed_while_slots_change_and_come_and_go() {
        let mut arena = Small::new();
        let ids: Vec<u32> = (0..1_000).map(|value| arena.insert(value)).collect();
        let (picture, end) = (arena.pages().clone(), arena.end());
        for &id in &ids {
            if id % 3 == 0 {
                arena.remove(id);
            } else {
                *arena.get_mut(id) += 5_000;
            }
        }
        for value in 0..2_000 {
            arena.insert(9_000 + value);
        }
        let shown: Vec<u32> = picture.iter(end).map(|(_, &value)| value).collect();
        assert_eq!(shown, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn freed_slots_are_used_again_before_the_arena_grows() {
        let mut arena = Small::new();
        let ids: Vec<u32> = (0..10).map(|value| arena.insert(value)).collect();
        arena.remove(ids[4]);
        arena.remove(ids[7]);
        assert_eq!(arena.len(), 8);
        let again = [arena.insert(1), arena.insert(2)];
        assert_eq!(again, [ids[7], ids[4]]);
        assert_eq!((arena.len(), arena.end()), (10, 10));
    }

    #[test]
    fn a_write_without_a_picture_copies_no_page() {
        let mut arena = Small::new();
        let id = arena.insert(1);
        let before: *const u32 = arena.get(id);
        *arena.get_mut(id) = 2;
        assert_eq!(before, core::ptr::from_ref(arena.get(id)));
    }

    #[test]
    #[should_panic(expected = "the id names a slot in use")]
    fn an_id_that_outlived_its_value_panics() {
        let mut arena = Small::new();
        let id = arena.insert(1);
        arena.remove(id);
        arena.get(id);
    }
}
