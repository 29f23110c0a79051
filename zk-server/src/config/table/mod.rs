//! The table of every configuration key, by area.
//!
//! A key that is not in the table is unknown; nothing else in this crate knows a key by name but
//! the checks between keys in `resolve.rs`. Rows are applied from the first to the last, defaults
//! included: a row may build on rows above it.

mod admin;
mod auth;
mod client;
mod ensemble;
mod general;
mod jvm;
mod limits;
mod storage;
mod tls;
mod tree;

use super::key::{Key, PROPERTY_PREFIX};

/// The rows of one area.
pub(super) struct Group {
    /// The area, as a heading of the documentation.
    pub(super) title: &'static str,
    /// The rows, in the order in which they are applied.
    pub(super) keys: &'static [Key],
}

/// Every area; an exact name stands before the family that it would belong to.
pub(super) static GROUPS: &[Group] = &[
    Group {
        title: "Directories and time",
        keys: general::KEYS,
    },
    Group {
        title: "Client port",
        keys: client::KEYS,
    },
    Group {
        title: "Limits",
        keys: limits::KEYS,
    },
    Group {
        title: "Txn log and snapshots",
        keys: storage::KEYS,
    },
    Group {
        title: "Data tree",
        keys: tree::KEYS,
    },
    Group {
        title: "Authentication and authorization",
        keys: auth::KEYS,
    },
    Group {
        title: "TLS",
        keys: tls::KEYS,
    },
    Group {
        title: "Admin server, metrics and audit",
        keys: admin::KEYS,
    },
    Group {
        title: "Ensemble",
        keys: ensemble::KEYS,
    },
    Group {
        title: "Threads, caches and the JVM",
        keys: jvm::KEYS,
    },
];

/// Every row, in the order in which they are applied.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    GROUPS.iter().flat_map(|group| group.keys)
}

/// The row of `name`, which may carry the prefix of system properties, with whether it does.
pub(super) fn find(name: &str) -> Option<(&'static Key, bool)> {
    let find = |name: &str| {
        let exact = keys().find(|key| !key.is_family() && key.matches(name));
        exact.or_else(|| keys().find(|key| key.is_family() && key.matches(name)))
    };
    match name.strip_prefix(PROPERTY_PREFIX).and_then(find) {
        Some(key) => Some((key, true)),
        None => find(name).map(|key| (key, false)),
    }
}

/// A key of the same spelling but for case, `_` and `-`.
pub(super) fn find_similar(name: &str) -> Option<&'static str> {
    fn letters(name: &str) -> impl Iterator<Item = char> {
        let significant = |c: &char| c.is_alphanumeric();
        name.chars()
            .filter(significant)
            .map(|c| c.to_ascii_lowercase())
    }
    let name = name.strip_prefix(PROPERTY_PREFIX).unwrap_or(name);
    keys()
        .map(|key| key.name)
        .find(|known| letters(known).eq(letters(name)))
}
