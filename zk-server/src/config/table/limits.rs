//! The bounds on what clients can make the server hold.

use crate::config::form::{Form, Value};
use crate::config::key::Key;
use crate::config::key::Source::{File, Flag, Own, Property};
use crate::config::limits::Limits;
use std::num::NonZeroUsize;

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        "jute.maxbuffer",
        Flag,
        Form::POSITIVE,
        Some("0xfffff"),
        |c, v| {
            c.limits.frame_bytes_max = v.count();
            set_record_bytes(&mut c.limits, v);
        },
        "Bytes of the longest frame of a client with a session. A longer one closes the \
         connection.",
    ),
    Key::honoured(
        "jute.maxbuffer.extrasize",
        Property,
        Form::ANY_INT,
        None,
        |c, v| set_record_bytes(&mut c.limits, v),
        "Bytes by which a stored or replicated record may exceed `jute.maxbuffer`; as much as \
         that when not set, at least 1024.",
    ),
    Key::honoured(
        "limits.frameBytesBeforeLogin",
        Own,
        Form::Int {
            min: 64,
            max: i32::MAX as i64,
        },
        Some("4096"),
        |c, v| c.limits.frame_bytes_before_login_max = v.count(),
        "Bytes of the longest frame before a connection has a session. A longer one closes the \
         connection.",
    ),
    Key::honoured(
        "nio.sessionlessCnxnTimeout",
        Property,
        Form::POSITIVE,
        Some("10000"),
        |c, v| c.limits.handshake_deadline = v.millis(),
        "Milliseconds in which a connection must have a session. After that it is closed.",
    ),
    Key::honoured(
        "maxClientCnxns",
        File,
        Form::ANY_INT,
        Some("60"),
        |c, v| c.limits.connections_per_address_max = v.positive(),
        "Connections from one IP address; 0 is unlimited. One more is closed at once.",
    ),
    Key::honoured(
        "maxCnxns",
        Property,
        Form::ANY_INT,
        Some("65536"),
        |c, v| c.limits.connections_max = v.positive(),
        "Connections in all; 0 is unlimited, which is Apache ZooKeeper's default. One more is \
         closed at once.",
    ),
    Key::honoured(
        "limits.sessions",
        Own,
        Form::NATURAL,
        Some("1000000"),
        |c, v| c.limits.sessions_max = v.positive(),
        "Sessions in all; 0 is unlimited. The connection that asks for one more is closed; \
         existing sessions are renewed.",
    ),
    Key::honoured(
        "globalOutstandingLimit",
        Property,
        Form::POSITIVE,
        Some("1000"),
        |c, v| c.limits.outstanding_requests_max = v.count(),
        "Requests read and not yet answered, over all connections. At the bound \
         no connection with a request outstanding is read from.",
    ),
    Key::honoured(
        "limits.outstandingBytesPerConnection",
        Own,
        Form::POSITIVE,
        Some("4194304"),
        |c, v| c.limits.outstanding_bytes_per_connection_max = v.count(),
        "Bytes of requests read and not yet answered on one connection. At the bound it is not \
         read from; one request is always let through.",
    ),
    Key::honoured(
        "limits.replyBytesPerConnection",
        Own,
        Form::POSITIVE,
        Some("67108864"),
        |c, v| c.limits.reply_bytes_per_connection_max = v.count(),
        "Bytes of replies and events that a client has not taken yet. Above the bound the \
         connection is closed; one reply is always let through.",
    ),
    Key::honoured(
        "limits.multiOps",
        Own,
        Form::POSITIVE,
        Some("10000"),
        |c, v| c.limits.multi_ops_max = v.count(),
        "Operations of one multi or multiRead. A longer one is refused as a whole with \
         MARSHALLINGERROR.",
    ),
    Key::honoured(
        "limits.watchesPerSession",
        Own,
        Form::NATURAL,
        Some("500000"),
        |c, v| c.limits.watches_per_session_max = v.positive(),
        "Watches that one session holds; 0 is unlimited. The request that would set one more is \
         refused with QUOTAEXCEEDED.",
    ),
    Key::honoured(
        "limits.bytesPerPeer",
        Own,
        Form::POSITIVE,
        Some("134217728"),
        |c, v| c.limits.bytes_per_peer_max = v.count(),
        "Bytes for another server of the ensemble that it has not taken yet. Above the bound the \
         connection is closed, so that a stuck server costs the others nothing; it is brought up \
         again when it comes back.",
    ),
    Key::no_effect(
        "largeRequestThreshold",
        Property,
        Form::ANY_INT,
        &["-1"],
        "requests of every size count towards limits.outstandingBytesPerConnection",
    ),
    Key::no_effect(
        "largeRequestMaxBytes",
        Property,
        Form::ANY_INT,
        &[],
        "requests of every size count towards limits.outstandingBytesPerConnection",
    ),
    Key::no_effect(
        "request_throttle_max_requests",
        Property,
        Form::ANY_INT,
        &["0"],
        NO_THROTTLER,
    ),
    Key::no_effect(
        "request_throttle_stall_time",
        Property,
        Form::ANY_INT,
        &[],
        NO_THROTTLER,
    ),
    Key::no_effect(
        "request_throttle_drop_stale",
        Property,
        Form::Bool,
        &[],
        NO_THROTTLER,
    ),
    Key::no_effect(
        "request_stale_connection_check",
        Property,
        Form::Bool,
        &[],
        NO_THROTTLER,
    ),
    Key::no_effect(
        "request_stale_latency_check",
        Property,
        Form::Bool,
        &["false"],
        NO_THROTTLER,
    ),
    Key::no_effect(
        "request_throttler.shutdownTimeout",
        Property,
        Form::ANY_INT,
        &[],
        NO_THROTTLER,
    ),
    Key::no_effect(
        "throttled_op_wait_time",
        Property,
        Form::ANY_INT,
        &["0"],
        NO_THROTTLER,
    ),
    Key::no_effect(
        "connection_throttle_tokens",
        Property,
        Form::ANY_INT,
        &["0"],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_fill_time",
        Property,
        Form::ANY_INT,
        &[],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_fill_count",
        Property,
        Form::ANY_INT,
        &[],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_freeze_time",
        Property,
        Form::ANY_INT,
        &[],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_drop_increase",
        Property,
        Form::Float,
        &[],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_drop_decrease",
        Property,
        Form::Float,
        &[],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_decrease_ratio",
        Property,
        Form::Float,
        &[],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_weight_enabled",
        Property,
        Form::Bool,
        &[],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_global_session_weight",
        Property,
        Form::ANY_INT,
        &[],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_local_session_weight",
        Property,
        Form::ANY_INT,
        &[],
        NO_TOKENS,
    ),
    Key::no_effect(
        "connection_throttle_renew_session_weight",
        Property,
        Form::ANY_INT,
        &[],
        NO_TOKENS,
    ),
];

const NO_THROTTLER: &str = "requests wait in their own connection, bounded by \
                            globalOutstandingLimit and limits.outstandingBytesPerConnection";

const NO_TOKENS: &str =
    "connections are bounded by maxClientCnxns, maxCnxns and limits.sessions, not by tokens";

/// Lets records exceed the longest frame by `extra`, and at least by what Apache ZooKeeper once had
/// built in.
fn set_record_bytes(limits: &mut Limits, extra: &Value) {
    const EXTRA_BYTES_MIN: usize = 1024;
    let extra = extra
        .positive()
        .map_or(0, NonZeroUsize::get)
        .max(EXTRA_BYTES_MIN);
    let bytes = limits.frame_bytes_max.saturating_add(extra);
    let max = NonZeroUsize::new(i32::MAX as usize).expect("a length of the format is positive");
    limits.record_bytes_max = bytes.min(max);
}
