//! What the data tree may hold and what removes nodes from it.

use crate::config::form::Form;
use crate::config::key::Key;
use crate::config::key::Source::{Flag, Property};

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        "extendedTypesEnabled",
        Property,
        Form::Bool,
        Some("false"),
        |c, v| c.tree.extended_types_enabled = v.bool(),
        "Whether TTL nodes exist. Creating one is otherwise refused with UNIMPLEMENTED.",
    ),
    Key::refused(
        "emulate353TTLNodes",
        Property,
        Form::Bool,
        &["false"],
        "TTL nodes in the layout of 3.5.3 are not read",
    ),
    Key::honoured(
        "enforceQuota",
        Property,
        Form::Bool,
        Some("false"),
        |c, v| c.tree.enforces_quota = v.bool(),
        "Whether a write above a hard quota is refused with QUOTAEXCEEDED; otherwise it is \
         reported.",
    ),
    Key::honoured(
        "znode.container.checkIntervalMs",
        Flag,
        Form::POSITIVE,
        Some("60000"),
        |c, v| c.tree.reaper.check_interval = v.millis(),
        "Milliseconds between two searches for container and TTL nodes to remove.",
    ),
    Key::honoured(
        "znode.container.maxPerMinute",
        Flag,
        Form::POSITIVE,
        Some("10000"),
        |c, v| c.tree.reaper.removals_per_minute_max = v.count(),
        "Container and TTL nodes removed in one minute. The others wait.",
    ),
    Key::honoured(
        "znode.container.maxNeverUsedIntervalMs",
        Flag,
        Form::NATURAL,
        Some("0"),
        |c, v| c.tree.reaper.never_used_interval = v.some_millis(),
        "Milliseconds after which a container that never had a child is removed; 0 keeps it.",
    ),
];
