//! What is known about one configuration key.

use super::Config;
use super::form::{Digits, Form, Value};
use super::origin::Origin;

/// One row of the key table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// The name as it stands in `zoo.cfg`; with a final dot, every name that begins with it.
    pub(super) name: &'static str,
    /// Where Apache ZooKeeper reads it from.
    pub(super) source: Source,
    /// What its value looks like.
    pub(super) form: Form,
    /// The default in the key's own form; `None` where there is none or where it depends on other
    /// keys or the machine.
    pub(super) default: Option<&'static str>,
    /// What this server does with it.
    pub(super) status: Status,
    /// Writes the value into the configuration.
    pub(super) set: Option<Setter>,
    /// Unit, special values and the behaviour at a bound, for people.
    pub(super) meaning: &'static str,
}

/// Writes a value of the key's form into the configuration.
pub(super) type Setter = fn(&mut Config, &Value);

/// Where Apache ZooKeeper reads a key from, which decides precedence.
///
/// `QuorumPeerConfig` reads its own keys from the file alone. It turns every other line of the file
/// into the system property `zookeeper.<key>`, replacing a `-D` of that name: the file wins. System
/// properties without that prefix cannot be set by the file: `-D` alone counts, so that here it
/// wins over a line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A line of the file.
    File,
    /// A line of the file or `-Dzookeeper.<key>`.
    Property,
    /// A line of the file, `-Dzookeeper.<key>` or `-D<key>`.
    EitherProperty,
    /// `-D<key>`.
    Flag,
    /// No place: the key is this server's own.
    Own,
}

/// What this server does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It does what the key says.
    Honoured,
    /// A member of an ensemble does what the key says; a server that runs alone checks it.
    Ensemble,
    /// Values other than `agreed` are an error.
    Refused {
        /// What is missing.
        why: &'static str,
        /// Values that describe what the server does anyway.
        agreed: &'static [&'static str],
    },
    /// Values other than `agreed` are a warning.
    NoEffect {
        /// Why the key changes nothing.
        why: &'static str,
        /// Values that describe what the server does anyway.
        agreed: &'static [&'static str],
    },
}

/// The prefix of Apache ZooKeeper's system properties.
pub(super) const PROPERTY_PREFIX: &str = "zookeeper.";

/// Constructors of rows, one for each status.
impl Key {
    pub(super) const fn honoured(
        name: &'static str,
        source: Source,
        form: Form,
        default: Option<&'static str>,
        set: Setter,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            source,
            form,
            default,
            status: Status::Honoured,
            set: Some(set),
            meaning,
        }
    }

    pub(super) const fn ensemble(
        name: &'static str,
        source: Source,
        form: Form,
        default: Option<&'static str>,
        set: Option<Setter>,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            source,
            form,
            default,
            status: Status::Ensemble,
            set,
            meaning,
        }
    }

    pub(super) const fn refused(
        name: &'static str,
        source: Source,
        form: Form,
        agreed: &'static [&'static str],
        why: &'static str,
    ) -> Self {
        let default = agreed.first().copied();
        let status = Status::Refused { why, agreed };
        Self {
            name,
            source,
            form,
            default,
            status,
            set: None,
            meaning: why,
        }
    }

    pub(super) const fn no_effect(
        name: &'static str,
        source: Source,
        form: Form,
        agreed: &'static [&'static str],
        why: &'static str,
    ) -> Self {
        let status = Status::NoEffect { why, agreed };
        Self {
            name,
            source,
            form,
            default: None,
            status,
            set: None,
            meaning: why,
        }
    }
}

impl Key {
    /// Whether the row stands for every name that begins with its own.
    pub(super) fn is_family(&self) -> bool {
        self.name.ends_with('.')
    }

    /// Whether `name`, without the prefix of system properties, is this key or of its family.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self.is_family() {
            true => name.len() > self.name.len() && name.starts_with(self.name),
            false => name == self.name,
        }
    }

    /// How integers of this key are written.
    pub(super) fn digits(&self) -> Digits {
        match self.source {
            Source::File => Digits::Decimal,
            Source::Property | Source::EitherProperty | Source::Flag | Source::Own => {
                Digits::Decoded
            }
        }
    }

    /// Reads a value, without the blanks around it.
    pub(super) fn read(&self, text: &str) -> Option<Value> {
        self.form.read(text, self.digits())
    }

    /// Whether `value` is what the server does anyway.
    pub(super) fn agrees(&self, value: &Value) -> bool {
        match self.status {
            Status::Honoured | Status::Ensemble => true,
            Status::Refused { agreed, .. } | Status::NoEffect { agreed, .. } => agreed
                .iter()
                .any(|text| self.read(text).as_ref() == Some(value)),
        }
    }

    /// Whether Apache ZooKeeper reads a key of this name and prefix from `origin`.
    pub(super) fn is_read_by_apache(&self, origin: &Origin, has_prefix: bool) -> bool {
        match (origin, self.source) {
            (Origin::Default | Origin::CommandLine, _) | (_, Source::Own) => true,
            (Origin::File { .. }, Source::Flag) => false,
            (Origin::File { .. }, _) => !has_prefix,
            (Origin::Environment, Source::File) => false,
            (Origin::Environment, Source::Property) => has_prefix,
            (Origin::Environment, Source::EitherProperty) => true,
            (Origin::Environment, Source::Flag) => !has_prefix,
        }
    }

    /// How Apache ZooKeeper wants `name`, for people.
    pub(super) fn apache_spelling(&self, name: &str) -> String {
        match self.source {
            Source::File | Source::Own => format!("{name} in the file"),
            Source::Property => format!("{name} in the file or -D{PROPERTY_PREFIX}{name}"),
            Source::EitherProperty => {
                format!("{name} in the file, -D{PROPERTY_PREFIX}{name} or -D{name}")
            }
            Source::Flag => format!("-D{name}"),
        }
    }
}
