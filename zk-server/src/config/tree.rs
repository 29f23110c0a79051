//! What the data tree may hold and what removes nodes from it.

use std::num::NonZeroU32;
use std::time::Duration;

/// Settings of the data tree.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TreeConfig {
    /// Whether TTL nodes exist; otherwise creating one is refused with UNIMPLEMENTED.
    pub extended_types_enabled: bool,
    /// Whether a hard quota refuses writes.
    pub enforces_quota: bool,
    /// The removal of container and TTL nodes.
    pub reaper: ReaperConfig,
}

/// The removal of childless container nodes and of outlived TTL nodes (`ContainerManager.java`).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReaperConfig {
    /// The time between two rounds; never zero.
    pub check_interval: Duration,
    /// How many nodes are removed in a minute at most.
    pub removals_per_minute_max: NonZeroU32,
    /// A container that never had a child is removed after this time; `None` keeps it.
    pub never_used_interval: Option<Duration>,
}

impl TreeConfig {
    /// What the defaults of the key table are written into.
    pub(super) const BLANK: Self = Self {
        extended_types_enabled: false,
        enforces_quota: false,
        reaper: ReaperConfig {
            check_interval: Duration::ZERO,
            removals_per_minute_max: NonZeroU32::MIN,
            never_used_interval: None,
        },
    };
}
