//! Values under small numbers that are used again.

use alloc::vec::Vec;

/// Values in numbered slots; a slot is free again once its value is taken out.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            *self.place(slot) = Some(value);
            return slot;
        }
        self.slots.push(Some(value));
        u32::try_from(self.slots.len() - 1).expect("connections and sessions are far below 2³²")
    }

    pub(crate) fn find(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The value in a slot.
    ///
    /// # Panics
    /// When it was taken out: whoever holds the slot of a value learns of its end.
    pub(crate) fn get(&self, slot: u32) -> &T {
        self.find(slot).expect(HELD)
    }

    /// As [`get`](Self::get).
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut T {
        self.place(slot).as_mut().expect(HELD)
    }

    /// Takes the value out; panics as [`get`](Self::get).
    pub(crate) fn remove(&mut self, slot: u32) -> T {
        let value = self.place(slot).take().expect(HELD);
        self.free.push(slot);
        value
    }

    fn place(&mut self, slot: u32) -> &mut Option<T> {
        self.slots.get_mut(slot as usize).expect(HELD)
    }
}

const HELD: &str = "a slot is held only while it is filled";
