//! The open connections, and the limits on how many there may be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};

use zk_core::ConnId;

use super::Link;

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// maxClientCnxns.
    #[error("too many connections from one address, at most {0} may be open")]
    PerAddress(NonZeroU32),
    /// maxCnxns.
    #[error("too many connections, at most {0} may be open")]
    Total(NonZeroU32),
}

/// The open connections.
#[derive(Debug)]
pub(crate) struct Registry {
    per_address_max: Option<NonZeroU32>,
    total_max: Option<NonZeroU32>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last_id: u64,
    links: BTreeMap<ConnId, Arc<Link>>,
    /// Served to the end, and still open: for the limits, and for nobody else.
    retired: BTreeSet<ConnId>,
    per_address: BTreeMap<IpAddr, u32>,
}

impl Registry {
    pub(crate) fn new(per_address_max: Option<NonZeroU32>, total_max: Option<NonZeroU32>) -> Self {
        Self {
            per_address_max,
            total_max,
            open: Mutex::default(),
        }
    }

    /// Numbers and notes a connection that was accepted.
    pub(crate) fn admit(
        &self,
        peer: SocketAddr,
        established_ms: i64,
    ) -> Result<Arc<Link>, Refusal> {
        let mut open = self.open();
        if let Some(max) = self.total_max
            && open.links.len() + open.retired.len() >= max.get() as usize
        {
            return Err(Refusal::Total(max));
        }
        let from_there = open.per_address.entry(peer.ip()).or_default();
        if let Some(max) = self.per_address_max
            && *from_there >= max.get()
        {
            return Err(Refusal::PerAddress(max));
        }
        *from_there += 1;
        open.last_id += 1;
        let link = Arc::new(Link::new(ConnId(open.last_id), peer, established_ms));
        open.links.insert(link.id, Arc::clone(&link));
        Ok(link)
    }

    /// Shows a connection no more: it is served to the end, and its client may take what was written
    /// last. The limits count it until it is removed.
    pub(crate) fn retire(&self, link: &Link) {
        let mut open = self.open();
        if open.links.remove(&link.id).is_some() {
            open.retired.insert(link.id);
        }
    }

    /// Forgets a connection that is closed.
    pub(crate) fn remove(&self, link: &Link) {
        let mut open = self.open();
        if open.links.remove(&link.id).is_none() && !open.retired.remove(&link.id) {
            return;
        }
        let address = link.peer.ip();
        if let Some(count) = open.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.per_address.remove(&address);
            }
        }
    }

    /// All open connections, the oldest first.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.open().links.values().map(Arc::clone).collect()
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.open().links.len()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open
            .lock()
            .expect("nothing panics while it holds the registry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_may_not_pass_its_limit_and_others_may_come() {
        let registry = Registry::new(NonZeroU32::new(1), None);
        let first = registry.admit(peer("127.0.0.1:1"), 0).unwrap();
        let limit = NonZeroU32::MIN;
        let refusal = registry.admit(peer("127.0.0.1:2"), 0).unwrap_err();
        assert_eq!(refusal, Refusal::PerAddress(limit));
        registry.admit(peer("127.0.0.2:1"), 0).unwrap();
        registry.remove(&first);
        registry.remove(&first);
        registry.admit(peer("127.0.0.1:3"), 0).unwrap();
        assert_eq!(registry.len(), 2);
    }

    #[test]
    fn a_retired_connection_is_not_shown_and_counts_until_it_is_removed() {
        let registry = Registry::new(NonZeroU32::new(1), NonZeroU32::new(1));
        let first = registry.admit(peer("127.0.0.1:1"), 0).unwrap();
        registry.retire(&first);
        assert_eq!(registry.len(), 0);
        assert!(registry.admit(peer("127.0.0.1:2"), 0).is_err());
        assert!(registry.admit(peer("127.0.0.2:2"), 0).is_err());
        registry.remove(&first);
        registry.admit(peer("127.0.0.1:3"), 0).unwrap();
    }

    #[test]
    fn all_together_may_not_pass_the_total() {
        let registry = Registry::new(None, NonZeroU32::new(1));
        registry.admit(peer("127.0.0.1:1"), 0).unwrap();
        let refusal = registry.admit(peer("127.0.0.2:1"), 0).unwrap_err();
        assert_eq!(refusal, Refusal::Total(NonZeroU32::MIN));
    }
}
