//! The txn log, snapshots and their removal.

use crate::config::form::{Form, Value};
use crate::config::key::Key;
use crate::config::key::Source::{EitherProperty, File, Own, Property};
use crate::config::storage::PurgeConfig;
use std::num::NonZeroU32;

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        "forceSync",
        Property,
        Form::YesNo,
        Some("yes"),
        |c, v| c.storage.force_sync = v.bool(),
        "Whether a write is acknowledged only after the log is synced. `no` lets a power cut lose \
         acknowledged writes.",
    ),
    Key::honoured(
        "fsync.warningthresholdms",
        EitherProperty,
        Form::NATURAL,
        Some("1000"),
        |c, v| c.storage.fsync_warning_threshold = v.millis(),
        "Milliseconds; a longer sync of the log is reported.",
    ),
    Key::honoured(
        "preAllocSize",
        Property,
        Form::KILOBYTES,
        Some("65536"),
        |c, v| c.storage.pre_alloc_bytes = v.kilobytes(),
        "Kilobytes by which a log file grows ahead of its content; 0 turns that off.",
    ),
    Key::honoured(
        "txnLogSizeLimitInKb",
        Property,
        Form::KILOBYTES,
        Some("-1"),
        |c, v| c.storage.log_file_bytes_max = v.kilobytes(),
        "Kilobytes at which a log file is followed by another one; 0 and below leave that to \
         snapshots.",
    ),
    Key::honoured(
        "closeSessionTxn.enabled",
        Property,
        Form::Bool,
        Some("true"),
        |c, v| c.storage.close_session_txn_has_paths = v.bool(),
        "Whether closeSession txns carry the paths of the removed ephemeral nodes. `false` for \
         ensembles with servers before 3.6.",
    ),
    Key::honoured(
        "snapCount",
        Property,
        Form::AtLeast { floor: 2 },
        Some("100000"),
        |c, v| c.storage.snap_count = v.count(),
        "Txns between two snapshots: a random number between half of it and all of it. At least 2.",
    ),
    Key::honoured(
        "snapSizeLimitInKb",
        Property,
        Form::KILOBYTES,
        Some("4194304"),
        |c, v| c.storage.snap_bytes = v.kilobytes(),
        "Kilobytes of txns between two snapshots, between half and all of it; 0 and below leave \
         that to `snapCount`.",
    ),
    Key::honoured(
        "snapshot.trust.empty",
        Property,
        Form::Bool,
        Some("false"),
        |c, v| c.storage.trusts_empty_snapshot = v.bool(),
        "Whether logs without any snapshot are loaded; otherwise they are refused, because a \
         snapshot is missing.",
    ),
    Key::honoured(
        "txnLog.acceptHoles",
        Own,
        Form::Bool,
        Some("false"),
        |c, v| c.storage.accepts_log_holes = v.bool(),
        "Whether a log in which zxids are missing is read on. Apache ZooKeeper takes a zxid for some \
         malformed requests and logs nothing under it. Such a hole is passed in any case when the \
         digest in the next txn shows that nothing is lost; logs written with \
         `digest.enabled=false` have none, and are refused. With `true` a txn that was really lost \
         goes unnoticed. A snapshot follows, so that the setting is needed for one start.",
    ),
    Key::refused(
        "snapshot.compression.method",
        Property,
        Form::OneOf(&["", "gz", "snappy"]),
        &[""],
        "snapshots are written without compression",
    ),
    Key::honoured(
        "serializeLastProcessedZxid.enabled",
        Property,
        Form::Bool,
        Some("true"),
        |c, v| c.storage.snapshot_has_last_zxid = v.bool(),
        "Whether a snapshot ends with the last zxid it holds. `false` for tools of versions \
         before 3.9.",
    ),
    Key::honoured(
        "digest.enabled",
        Property,
        Form::Bool,
        Some("true"),
        |c, v| c.storage.is_digest_enabled = v.bool(),
        "Whether the digest of the tree is kept, logged and compared.",
    ),
    Key::ensemble(
        "commitLogCount",
        Property,
        Form::NATURAL,
        Some("500"),
        Some(|c, v| c.storage.commit_log_count = v.u32()),
        "Committed txns kept in memory for servers that fall behind.",
    ),
    Key::honoured(
        "autopurge.purgeInterval",
        File,
        Form::Interval,
        Some("1"),
        |c, v| {
            if let Value::Interval(interval) = *v {
                let retained_snapshots = NonZeroU32::MIN;
                c.storage.purge = interval.map(|interval| PurgeConfig {
                    retained_snapshots,
                    interval,
                });
            }
        },
        "Time between two removals of old snapshots and logs: hours, or with a unit. 0 keeps \
         everything, which is Apache ZooKeeper's default.",
    ),
    Key::honoured(
        "autopurge.snapRetainCount",
        File,
        Form::AtLeast { floor: 3 },
        Some("3"),
        |c, v| {
            if let Some(purge) = &mut c.storage.purge {
                purge.retained_snapshots = v.count();
            }
        },
        "Snapshots that a removal keeps, with the logs they need. At least 3.",
    ),
    Key::no_effect("flushDelay", Property, Form::NATURAL, &["0"], ONE_SYNC),
    Key::no_effect(
        "maxWriteQueuePollTime",
        Property,
        Form::NATURAL,
        &[],
        ONE_SYNC,
    ),
    Key::no_effect("maxBatchSize", Property, Form::ANY_INT, &[], ONE_SYNC),
];

const ONE_SYNC: &str = "one sync of the log covers all writes that wait for it, without a delay";
