//! Where data lives and how time is counted.

use crate::config::form::Form;
use crate::config::key::Key;
use crate::config::key::Source::{File, Property};
use std::path::PathBuf;

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        "dataDir",
        File,
        Form::Path,
        None,
        |c, v| {
            c.data_dir = PathBuf::from(v.text());
            c.data_log_dir.clone_from(&c.data_dir);
        },
        "The directory of snapshots, `myid` and epoch files. Required.",
    ),
    Key::honoured(
        "dataLogDir",
        File,
        Form::Path,
        None,
        |c, v| c.data_log_dir = PathBuf::from(v.text()),
        "The directory of the txn log; `dataDir` when not set.",
    ),
    Key::honoured(
        "datadir.autocreate",
        Property,
        Form::Bool,
        Some("true"),
        |c, v| c.storage.creates_directories = v.bool(),
        "Whether missing data directories are made. With `false` the server ends with exit code 3 \
         instead.",
    ),
    Key::honoured(
        "tickTime",
        File,
        Form::POSITIVE,
        Some("3000"),
        |c, v| {
            c.tick_time = v.millis();
            c.sessions.min_timeout = c.tick_time * 2;
            c.sessions.max_timeout = c.tick_time * 20;
        },
        "Milliseconds of one tick, the unit in which sessions expire.",
    ),
    Key::honoured(
        "minSessionTimeout",
        File,
        Form::OR_UNSET,
        Some("-1"),
        |c, v| {
            if v.int() != -1 {
                c.sessions.min_timeout = v.millis();
            }
        },
        "Milliseconds; a shorter timeout asked for by a client is raised to it. `-1` means 2 \
         ticks.",
    ),
    Key::honoured(
        "maxSessionTimeout",
        File,
        Form::OR_UNSET,
        Some("-1"),
        |c, v| {
            if v.int() != -1 {
                c.sessions.max_timeout = v.millis();
            }
        },
        "Milliseconds; a longer timeout asked for by a client is cut to it. `-1` means 20 ticks.",
    ),
];
