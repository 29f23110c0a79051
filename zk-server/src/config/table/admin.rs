//! The admin server, metrics and the audit log.

use crate::config::form::Form;
use crate::config::key::Key;
use crate::config::key::Source::{File, Property};

pub(super) const KEYS: &[Key] = &[
    Key::no_effect(
        "admin.enableServer",
        Property,
        Form::Bool,
        &["false"],
        NO_ADMIN,
    ),
    Key::no_effect("admin.serverAddress", Property, Form::Text, &[], NO_ADMIN),
    Key::no_effect("admin.serverPort", Property, Form::PORT, &[], NO_ADMIN),
    Key::no_effect("admin.idleTimeout", Property, Form::ANY_INT, &[], NO_ADMIN),
    Key::no_effect("admin.commandURL", Property, Form::Text, &[], NO_ADMIN),
    Key::no_effect("admin.httpVersion", Property, Form::ANY_INT, &[], NO_ADMIN),
    Key::no_effect(
        "admin.portUnification",
        Property,
        Form::Bool,
        &["false"],
        NO_ADMIN,
    ),
    Key::no_effect(
        "admin.forceHttps",
        Property,
        Form::Bool,
        &["false"],
        NO_ADMIN,
    ),
    Key::no_effect(
        "admin.needClientAuth",
        Property,
        Form::Bool,
        &["false"],
        NO_ADMIN,
    ),
    Key::no_effect(
        "admin.snapshot.enabled",
        Property,
        Form::Bool,
        &["false"],
        NO_ADMIN,
    ),
    Key::no_effect(
        "admin.restore.enabled",
        Property,
        Form::Bool,
        &["false"],
        NO_ADMIN,
    ),
    Key::no_effect(
        "admin.rateLimiterIntervalInMS",
        Property,
        Form::ANY_INT,
        &[],
        NO_ADMIN,
    ),
    Key::no_effect(
        "IPAuthenticationProvider.usexforwardedfor",
        Property,
        Form::Bool,
        &["false"],
        NO_ADMIN,
    ),
    Key::no_effect(
        "metricsProvider.className",
        File,
        Form::Text,
        &["org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"],
        NO_PROVIDER,
    ),
    Key::no_effect("metricsProvider.", File, Form::Text, &[], NO_PROVIDER),
    Key::refused(
        "audit.enable",
        Property,
        Form::Bool,
        &["false"],
        "there is no audit log",
    ),
    Key::no_effect(
        "audit.impl.class",
        Property,
        Form::Text,
        &[],
        "there is no audit log",
    ),
    Key::no_effect(
        "controllerPort",
        Property,
        Form::PORT,
        &[],
        "it belongs to Apache ZooKeeper's tests",
    ),
];

const NO_ADMIN: &str = "there is no admin server";

const NO_PROVIDER: &str = "metrics are served by the four-letter word mntr alone";
