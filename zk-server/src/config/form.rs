//! The forms that values of configuration keys take, and how their text is read.
//!
//! Knows how Java reads numbers and booleans and what each form accepts. Does not know which key
//! has which form.

use super::address::ListenAddress;
use super::auth::{DigestAlgorithm, SuperDigest};
use super::four_letter::FourLetterWords;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;
use zk_proto::quorum::EnsembleServer;

/// What the text of a value must look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// `true` or `false`, in any case.
    Bool,
    /// `yes` or `no`, in lower case.
    YesNo,
    /// An integer within bounds, both included.
    Int { min: i64, max: i64 },
    /// An integer of 32 bits; what lies below the floor is raised to it, with a warning.
    AtLeast { floor: i64 },
    /// A decimal fraction.
    Float,
    /// Any text.
    Text,
    /// Any text, never shown.
    Secret,
    /// A file or directory.
    Path,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// A host name, an IPv4 or an IPv6 address.
    Host,
    /// Hours, or a number with a unit of `ms`, `s`, `m`, `h` or `d`; zero and below mean never.
    Interval,
    /// A hash that `digest` identities are made with.
    DigestAlgorithm,
    /// `user:hash` of the super user.
    SuperDigest,
    /// Four-letter words, separated by commas, or `*`.
    FourLetterWords,
    /// Names separated by commas.
    Names,
    /// A member of an ensemble.
    Server,
    /// Server ids separated by colons.
    ServerIds,
}

/// A value whose text had its key's form.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Host(ListenAddress),
    Interval(Option<Duration>),
    DigestAlgorithm(DigestAlgorithm),
    SuperDigest(SuperDigest),
    FourLetterWords(FourLetterWords),
    Names(Vec<String>),
    Server(EnsembleServer),
}

/// How the digits of an integer are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digits {
    /// `Integer.parseInt`: decimal. Keys that `QuorumPeerConfig` reads itself.
    Decimal,
    /// `Integer.decode`: also `0x`, `0X` and `#` for hexadecimal and a leading `0` for octal. Keys
    /// that are read as system properties, by `Integer.getInteger`.
    Decoded,
}

impl Form {
    /// Every 32-bit integer.
    pub(super) const ANY_INT: Self = Self::Int {
        min: i32::MIN as i64,
        max: i32::MAX as i64,
    };
    /// A count, a duration or a size that is never negative.
    pub(super) const NATURAL: Self = Self::Int {
        min: 0,
        max: i32::MAX as i64,
    };
    /// A count, a duration or a size that is never zero.
    pub(super) const POSITIVE: Self = Self::Int {
        min: 1,
        max: i32::MAX as i64,
    };
    /// −1 for "not set", or a natural number.
    pub(super) const OR_UNSET: Self = Self::Int {
        min: -1,
        max: i32::MAX as i64,
    };
    /// Every 64-bit integer that still counts bytes when it is multiplied by 1024.
    pub(super) const KILOBYTES: Self = Self::Int {
        min: i64::MIN / 1024,
        max: i64::MAX / 1024,
    };
    /// A TCP port; 0 lets the system choose.
    pub(super) const PORT: Self = Self::Int {
        min: 0,
        max: u16::MAX as i64,
    };

    /// Reads `text`, which has no blanks around it; `None` where it has not this form.
    pub(super) fn read(self, text: &str, digits: Digits) -> Option<Value> {
        match self {
            Self::Bool => match text {
                _ if text.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
                _ if text.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
                _ => None,
            },
            Self::YesNo => match text {
                "yes" => Some(Value::Bool(true)),
                "no" => Some(Value::Bool(false)),
                _ => None,
            },
            Self::Int { min, max } => integer(text, digits)
                .filter(|n| (min..=max).contains(n))
                .map(Value::Int),
            Self::AtLeast { floor } => integer(text, digits)
                .filter(|&n| i32::try_from(n).is_ok())
                .map(|n| Value::Int(n.max(floor))),
            Self::Float => text
                .parse()
                .ok()
                .filter(|n: &f64| n.is_finite())
                .map(Value::Float),
            Self::Text | Self::Secret => Some(Value::Text(text.to_owned())),
            Self::Path => (!text.is_empty()).then(|| Value::Text(text.to_owned())),
            Self::OneOf(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text))
                .map(|&word| Value::Text(word.to_owned())),
            Self::Host => ListenAddress::parse(text).map(Value::Host),
            Self::Interval => interval(text).map(Value::Interval),
            Self::DigestAlgorithm => DigestAlgorithm::parse(text).map(Value::DigestAlgorithm),
            Self::SuperDigest => SuperDigest::parse(text).map(Value::SuperDigest),
            Self::FourLetterWords => Some(Value::FourLetterWords(FourLetterWords::parse(text))),
            Self::Names => Some(Value::Names(names(text))),
            Self::Server => text.parse().ok().map(Value::Server),
            Self::ServerIds => is_ids(text).then(|| Value::Text(text.to_owned())),
        }
    }

    /// What would stand in place of `text`, which has not this form.
    pub(super) fn expected(self, text: &str) -> String {
        match (self, text.parse::<EnsembleServer>()) {
            (Self::Server, Err(error)) if error.seen != text => {
                format!("{}, not {:?}", error.expected, error.seen)
            }
            _ => self.to_string(),
        }
    }

    /// Whether the value must stay out of every output.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::SuperDigest)
    }

    /// A text of this form, different from most defaults.
    #[cfg(test)]
    pub(super) fn sample(self) -> String {
        match self {
            Self::Bool => "true".to_owned(),
            Self::YesNo => "no".to_owned(),
            Self::Int { min, max } => 7_000.clamp(min, max).to_string(),
            Self::AtLeast { floor } => (floor + 1).to_string(),
            Self::Float => "0.5".to_owned(),
            Self::Text | Self::Secret | Self::Names => "digest".to_owned(),
            Self::Path => "./data".to_owned(),
            Self::OneOf(words) => words.last().unwrap().to_string(),
            Self::Host => "127.0.0.1".to_owned(),
            Self::Interval => "90m".to_owned(),
            Self::DigestAlgorithm => "SHA-256".to_owned(),
            Self::SuperDigest => "super:hash".to_owned(),
            Self::FourLetterWords => "ruok, stat".to_owned(),
            Self::Server => "localhost:2888:3888".to_owned(),
            Self::ServerIds => "1:2".to_owned(),
        }
    }
}

/// The form in words, as messages and the documentation show it after "expected".
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            _ if *self == Self::ANY_INT => "an integer of 32 bits",
            _ if *self == Self::KILOBYTES => "an integer",
            Self::Bool => "true or false",
            Self::YesNo => "yes or no",
            Self::Int { min, max } => return write!(f, "an integer from {min} to {max}"),
            Self::AtLeast { floor } => return write!(f, "an integer of at least {floor}"),
            Self::Float => "a decimal number",
            Self::Text | Self::Secret => "text",
            Self::Path => "a path",
            Self::OneOf(words) => {
                for (index, word) in words.iter().enumerate() {
                    let separator = if index == 0 { "" } else { " or " };
                    let word = if word.is_empty() { "nothing" } else { word };
                    write!(f, "{separator}{word}")?;
                }
                return Ok(());
            }
            Self::Host => "a host name or an IP address",
            Self::Interval => "hours, or a number with the unit ms, s, m, h or d",
            Self::DigestAlgorithm => "SHA1, SHA-224, SHA-256, SHA-384 or SHA-512",
            Self::SuperDigest => "user:hash",
            Self::FourLetterWords => "words separated by commas, or *",
            Self::Names => "names separated by commas",
            Self::Server => "host:port:port[:participant|observer][|…][;[host:]port]",
            Self::ServerIds => "server ids separated by colons",
        };
        f.write_str(text)
    }
}

/// Access for the setters of the key table, whose forms decide which variant arrives.
impl Value {
    /// # Panics
    ///
    /// Like the other accessors: where the key's form yields another variant, which a test of the
    /// table rules out.
    pub(super) fn bool(&self) -> bool {
        match self {
            Self::Bool(value) => *value,
            other => panic!("{other:?} is not a boolean"),
        }
    }

    pub(super) fn int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            other => panic!("{other:?} is not an integer"),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(value) => value,
            other => panic!("{other:?} is not text"),
        }
    }

    /// A decimal fraction; `None` below zero.
    pub(super) fn share(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value).filter(|value| *value >= 0.0),
            other => panic!("{other:?} is not a fraction"),
        }
    }

    /// A number that the form bounds to what fits.
    pub(super) fn u32(&self) -> u32 {
        u32::try_from(self.int()).expect("the form bounds the number")
    }

    /// A number of [`Form::PORT`].
    pub(super) fn port(&self) -> u16 {
        u16::try_from(self.int()).expect("the form bounds the number")
    }

    /// A number that the form keeps above zero.
    ///
    /// # Panics
    ///
    /// Where the form does not.
    pub(super) fn count<T: TryFrom<NonZeroU64>>(&self) -> T {
        self.positive()
            .expect("the form keeps the number above zero")
    }

    /// Milliseconds.
    pub(super) fn millis(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.int()).expect("the form bounds the number"))
    }

    /// Milliseconds; `None` for zero.
    pub(super) fn some_millis(&self) -> Option<Duration> {
        Some(self.millis()).filter(|duration| !duration.is_zero())
    }

    /// A positive number; `None` for zero and below, by which Apache ZooKeeper means "no limit" or
    /// "off".
    pub(super) fn positive<T: TryFrom<NonZeroU64>>(&self) -> Option<T> {
        let number = u64::try_from(self.int()).ok().and_then(NonZeroU64::new)?;
        Some(
            T::try_from(number)
                .ok()
                .expect("the form bounds the number"),
        )
    }

    /// A positive number of kilobytes as bytes; `None` for zero and below.
    pub(super) fn kilobytes(&self) -> Option<NonZeroU64> {
        const KILOBYTE: NonZeroU64 = NonZeroU64::new(1024).expect("1024 is not zero");
        let kilobytes: NonZeroU64 = self.positive()?;
        Some(
            kilobytes
                .checked_mul(KILOBYTE)
                .expect("the form bounds the number"),
        )
    }
}

fn integer(text: &str, digits: Digits) -> Option<i64> {
    let (sign, magnitude) = match text.split_at_checked(1) {
        Some(("-", rest)) => ("-", rest),
        Some(("+", rest)) => ("", rest),
        _ => ("", text),
    };
    let (radix, number) = match digits {
        Digits::Decimal => (10, magnitude),
        Digits::Decoded => match magnitude.as_bytes() {
            [b'0', b'x' | b'X', ..] => (16, magnitude.get(2..)?),
            [b'#', ..] => (16, magnitude.get(1..)?),
            [b'0', _, ..] => (8, magnitude.get(1..)?),
            _ => (10, magnitude),
        },
    };
    if !number.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{number}"), radix).ok()
}

/// `autopurge.purgeInterval`: `Some(None)` is never.
#[expect(
    clippy::option_option,
    reason = "outside: not an interval; inside: never"
)]
fn interval(text: &str) -> Option<Option<Duration>> {
    const HOUR: u64 = 3_600_000;
    let unit_start = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_start);
    let unit_ms = match unit {
        "" | "h" => HOUR,
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "d" => 24 * HOUR,
        _ => return None,
    };
    let number = i32::try_from(integer(number, Digits::Decimal)?).ok()?;
    let count = u64::try_from(number).unwrap_or(0);
    Some((count > 0).then(|| Duration::from_millis(count * unit_ms)))
}

fn is_ids(text: &str) -> bool {
    text.split(':').all(|id| id.parse::<i64>().is_ok())
}

fn names(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(text: &str, digits: Digits) -> Option<i64> {
        Form::ANY_INT.read(text, digits).map(|value| value.int())
    }

    #[test]
    fn own_keys_are_decimal_and_system_properties_are_decoded() {
        for (text, decimal, decoded) in [
            ("42", Some(42), Some(42)),
            ("+42", Some(42), Some(42)),
            ("-42", Some(-42), Some(-42)),
            ("010", Some(10), Some(8)),
            ("0", Some(0), Some(0)),
            ("0xfffff", None, Some(0xfffff)),
            ("-0X10", None, Some(-16)),
            ("#10", None, Some(16)),
            ("0x", None, None),
            ("--1", None, None),
            ("+-1", None, None),
            ("1 000", None, None),
            ("", None, None),
            ("-", None, None),
            ("1k", None, None),
            ("2147483647", Some(2_147_483_647), Some(2_147_483_647)),
            ("2147483648", None, None),
            ("99999999999999999999", None, None),
        ] {
            assert_eq!(int(text, Digits::Decimal), decimal, "{text:?}");
            assert_eq!(int(text, Digits::Decoded), decoded, "{text:?}");
        }
    }

    #[test]
    fn booleans_are_strict() {
        let read = |form: Form, text| form.read(text, Digits::Decimal).map(|value| value.bool());
        assert_eq!(read(Form::Bool, "True"), Some(true));
        assert_eq!(read(Form::Bool, "FALSE"), Some(false));
        assert_eq!(read(Form::YesNo, "no"), Some(false));
        for (form, text) in [
            (Form::Bool, "yes"),
            (Form::Bool, ""),
            (Form::YesNo, "true"),
            (Form::YesNo, "YES"),
        ] {
            assert_eq!(read(form, text), None, "{text:?}");
        }
    }

    #[test]
    fn an_interval_is_hours_or_has_a_unit() {
        let read = |text| match Form::Interval.read(text, Digits::Decimal) {
            Some(Value::Interval(interval)) => Some(interval.map(|d| d.as_millis())),
            _ => None,
        };
        for (text, expected) in [
            ("1", Some(Some(3_600_000))),
            ("24h", Some(Some(86_400_000))),
            ("1d", Some(Some(86_400_000))),
            ("90m", Some(Some(5_400_000))),
            ("5s", Some(Some(5_000))),
            ("250ms", Some(Some(250))),
            ("0", Some(None)),
            ("0s", Some(None)),
            ("-1", Some(None)),
            ("1w", None),
            ("h", None),
            ("", None),
            ("1.5h", None),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_form_reads_its_own_sample() {
        for form in [
            Form::Bool,
            Form::Float,
            Form::Path,
            Form::Host,
            Form::Names,
            Form::Server,
            Form::ServerIds,
        ] {
            assert!(
                form.read(&form.sample(), Digits::Decimal).is_some(),
                "{form:?}"
            );
        }
    }
}
