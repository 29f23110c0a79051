//! Every distinct ACL once (`ReferenceCountedACLCache`, 3.9.5).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

use hashbrown::HashTable;
use zk_proto::Acl;

use super::arena::{Arena, Pages};
use super::hash::HashKey;

pub(super) const ACL_PAGE: usize = 64;
pub(super) type AclPages = Pages<Arc<[Acl]>, ACL_PAGE>;

/// An ACL's number here; 0 is the open ACL, which is in no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AclId(u32);

impl AclId {
    pub(super) const OPEN: Self = Self(0);

    fn of_slot(slot: u32) -> Self {
        Self(slot + 1)
    }

    const fn slot(self) -> Option<u32> {
        self.0.checked_sub(1)
    }

    /// The number in snapshots, where the open ACL is −1 and numbers start at 1.
    pub(super) fn to_snapshot(self) -> i64 {
        if self == Self::OPEN {
            -1
        } else {
            i64::from(self.0)
        }
    }
}

/// The ACLs in use, each with the number of nodes that use it.
#[derive(Debug)]
pub(super) struct Acls {
    open: Arc<[Acl]>,
    lists: Arena<Arc<[Acl]>, ACL_PAGE>,
    uses: Vec<u32>,
    by_list: HashTable<u32>,
    key: HashKey,
}

impl Acls {
    pub(super) fn new(key: HashKey) -> Self {
        Self {
            open: Arc::new([Acl::open()]),
            lists: Arena::new(),
            uses: Vec::new(),
            by_list: HashTable::new(),
            key,
        }
    }

    pub(super) fn get(&self, id: AclId) -> &Arc<[Acl]> {
        id.slot().map_or(&self.open, |slot| self.lists.get(slot))
    }

    /// The number of a list, for one more node to use.
    pub(super) fn acquire(&mut self, list: &[Acl]) -> AclId {
        if *list == *self.open {
            return AclId::OPEN;
        }
        let Self {
            lists,
            by_list,
            key,
            uses,
            ..
        } = self;
        let hash = key.hash_one(list);
        let found = by_list.find(hash, |&slot| **lists.get(slot) == *list);
        let slot = found.copied().unwrap_or_else(|| {
            let slot = lists.insert(list.into());
            by_list.insert_unique(hash, slot, |&slot| key.hash_one(&**lists.get(slot)));
            if uses.len() == slot as usize {
                uses.push(0);
            }
            slot
        });
        *use_count(uses, slot) += 1;
        AclId::of_slot(slot)
    }

    /// One more node uses a list that is in use.
    pub(super) fn acquire_again(&mut self, id: AclId) {
        if let Some(slot) = id.slot() {
            *use_count(&mut self.uses, slot) += 1;
        }
    }

    /// One node fewer uses the list.
    ///
    /// # Panics
    /// When no node uses it.
    pub(super) fn release(&mut self, id: AclId) {
        let Some(slot) = id.slot() else {
            return;
        };
        let uses = use_count(&mut self.uses, slot);
        assert!(
            *uses > 0,
            "ACL {id:?} is released more often than it was acquired"
        );
        *uses -= 1;
        if *uses == 0 {
            let hash = self.key.hash_one(&**self.lists.get(slot));
            self.by_list
                .find_entry(hash, |&other| other == slot)
                .expect("every list is in the table")
                .remove();
            self.lists.remove(slot);
        }
    }

    /// Number of users of the list; the open one's are not counted.
    pub(super) fn uses(&self, id: AclId) -> usize {
        let uses = id.slot().and_then(|slot| self.uses.get(slot as usize));
        uses.map_or(0, |&uses| uses as usize)
    }

    /// The lists, with their numbers in snapshots.
    pub(super) fn picture(&self) -> (AclPages, u32) {
        (self.lists.pages().clone(), self.lists.end())
    }
}

/// The lists of a picture, with their numbers in snapshots.
pub(super) fn numbered(pages: &AclPages, end: u32) -> impl Iterator<Item = (i64, &[Acl])> {
    pages
        .iter(end)
        .map(|(slot, list)| (AclId::of_slot(slot).to_snapshot(), &**list))
}

fn use_count(uses: &mut [u32], slot: u32) -> &mut u32 {
    uses.get_mut(slot as usize).expect("every slot has a count")
}
