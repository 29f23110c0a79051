//! What all recipes are built with.

use std::fmt;
use std::marker::PhantomData;

use zk_client::{Acl, Parents};

use crate::contest::Entry;
use crate::term::LossPolicy;

/// Builds a recipe `R` whose contenders meet in a directory.
#[must_use = "a builder does nothing before build()"]
pub struct Builder<R> {
    pub(crate) entry: Entry,
    recipe: PhantomData<fn() -> R>,
}

impl<R> Builder<R> {
    pub(crate) const fn new(entry: Entry) -> Self {
        Self {
            entry,
            recipe: PhantomData,
        }
    }

    /// The ACL of the contender's znode, instead of the client's default. Other contenders must be
    /// allowed to read it.
    pub fn acl(mut self, acl: impl Into<Vec<Acl>>) -> Self {
        self.entry.acl = Some(acl.into());
        self
    }

    /// What to do when the directory does not exist; containers by default.
    pub fn parents(mut self, parents: Parents) -> Self {
        self.entry.parents = parents;
        self
    }

    /// When a holder without a connection counts as having lost.
    pub fn loss(mut self, policy: LossPolicy) -> Self {
        self.entry.policy = policy;
        self
    }
}

impl<R> Clone for Builder<R> {
    fn clone(&self) -> Self {
        Self::new(self.entry.clone())
    }
}

impl<R> fmt::Debug for Builder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Builder").field(&self.entry).finish()
    }
}
