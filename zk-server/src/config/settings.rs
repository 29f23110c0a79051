//! Which settings count, out of all that the sources hold.
//!
//! Knows precedence and the status of each key. Does not know what a value means to the server.

use super::error::ConfigError;
use super::form::{Form, Value};
use super::jvm_flags::JvmFlags;
use super::key::{Key, PROPERTY_PREFIX, Status};
use super::load::Sources;
use super::origin::Origin;
use super::properties;
use super::table;
use super::warning::Warning;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A setting that counts.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// Its row of the table.
    pub(super) key: &'static Key,
    /// Its name without the prefix of system properties; differs from the row's within a family.
    pub(super) name: String,
    /// Its value as it was written, without the blanks around it.
    pub(super) text: String,
    /// Its value.
    pub(super) value: Value,
    /// Where it stands.
    pub(super) origin: Origin,
}

/// A setting of a known key as a source holds it.
#[derive(Debug)]
struct Given {
    key: &'static Key,
    name: String,
    /// The key as it was written.
    spelling: String,
    has_prefix: bool,
    text: String,
    origin: Origin,
}

/// Collects the settings that count, in the order of the sources, with a warning for each one that
/// does not.
pub(super) fn gather(
    sources: &Sources<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Setting>, ConfigError> {
    let mut given = Vec::new();
    for (spelling, text, origin) in read(sources, warnings)? {
        match Given::new(&spelling, &text, &origin) {
            Some(setting) => given.push(setting),
            None => warnings.push(Warning::UnknownKey {
                origin,
                suggestion: table::find_similar(&spelling),
                key: spelling,
            }),
        }
    }
    let mut counting = Vec::new();
    for candidate in winners(given, warnings) {
        counting.push(candidate.check(warnings)?);
    }
    Ok(counting)
}

/// Every key and value of every source, in the order of file, environment and command line.
fn read(
    sources: &Sources<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<(String, String, Origin)>, ConfigError> {
    let mut all = Vec::new();
    let path = Arc::new(sources.path.to_owned());
    let properties = properties::parse(sources.text).map_err(|source| ConfigError::Escape {
        path: sources.path.to_owned(),
        source,
    })?;
    for property in properties {
        let origin = Origin::File {
            path: Arc::clone(&path),
            line: property.line,
        };
        if property.has_latin1 {
            warnings.push(Warning::Latin1 {
                origin: origin.clone(),
            });
        }
        all.push((property.key, property.value, origin));
    }
    let flags = JvmFlags::parse(sources.jvm_flags)?;
    if !flags.options.is_empty() {
        warnings.push(Warning::JvmOptions {
            options: flags.options,
        });
    }
    all.extend(
        flags
            .properties
            .into_iter()
            .map(|(key, text)| (key, text, Origin::Environment)),
    );
    for text in sources.overrides {
        let pair = text
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty());
        let (key, value) = pair.ok_or_else(|| ConfigError::Override { text: text.clone() })?;
        all.push((key.to_owned(), value.to_owned(), Origin::CommandLine));
    }
    Ok(all)
}

/// One setting for each name, in the order of the sources; the others are warned about.
fn winners(given: Vec<Given>, warnings: &mut Vec<Warning>) -> Vec<Given> {
    let mut by_name: BTreeMap<String, Vec<(usize, Given)>> = BTreeMap::new();
    for (index, setting) in given.into_iter().enumerate() {
        by_name
            .entry(setting.name.clone())
            .or_default()
            .push((index, setting));
    }
    let mut winners = Vec::new();
    let mut losers = Vec::new();
    for mut rivals in by_name.into_values() {
        rivals.sort_by_key(|(index, setting)| Reverse((setting.rank(), *index)));
        let mut rivals = rivals.into_iter();
        let Some((index, winner)) = rivals.next() else {
            continue;
        };
        losers.extend(rivals.map(|(index, loser)| {
            let by = winner.origin.clone();
            (
                index,
                Warning::Overruled {
                    origin: loser.origin,
                    key: loser.spelling,
                    by,
                },
            )
        }));
        winners.push((index, winner));
    }
    losers.sort_by_key(|(index, _)| *index);
    warnings.extend(losers.into_iter().map(|(_, warning)| warning));
    winners.sort_by_key(|(index, _)| *index);
    winners.into_iter().map(|(_, winner)| winner).collect()
}

impl Given {
    /// `None` for an unknown key.
    fn new(spelling: &str, text: &str, origin: &Origin) -> Option<Self> {
        let spelling = spelling.trim();
        let (key, has_prefix) = table::find(spelling)?;
        let name = match has_prefix {
            true => spelling.strip_prefix(PROPERTY_PREFIX)?,
            false => spelling,
        };
        Some(Self {
            key,
            name: name.to_owned(),
            spelling: spelling.to_owned(),
            has_prefix,
            text: text.trim().to_owned(),
            origin: origin.clone(),
        })
    }

    /// The greatest counts; of equals, the later. The last two parts decide only where Apache
    /// ZooKeeper sees both.
    fn rank(&self) -> (bool, bool, bool, bool) {
        let is_environment = self.origin == Origin::Environment;
        (
            self.origin == Origin::CommandLine,
            self.key.is_read_by_apache(&self.origin, self.has_prefix),
            !is_environment,
            is_environment && self.has_prefix,
        )
    }

    /// Reads the value and does what the key's status asks for.
    fn check(self, warnings: &mut Vec<Warning>) -> Result<Setting, ConfigError> {
        let Self {
            key,
            origin,
            spelling,
            ..
        } = &self;
        let value = key.read(&self.text).ok_or_else(|| ConfigError::Value {
            origin: origin.clone(),
            key: spelling.clone(),
            value: self.shown(),
            expected: key.form.expected(&self.text),
        })?;
        match key.status {
            Status::Refused { why, .. } if !key.agrees(&value) => {
                return Err(ConfigError::Refused {
                    origin: origin.clone(),
                    key: spelling.clone(),
                    value: self.shown(),
                    why,
                });
            }
            Status::NoEffect { why, .. } if !key.agrees(&value) => {
                let (origin, key) = (origin.clone(), spelling.clone());
                warnings.push(Warning::NoEffect { origin, key, why });
            }
            Status::Refused { .. } | Status::NoEffect { .. } => {}
            Status::Honoured | Status::Ensemble => self.check_spelling(&value, warnings),
        }
        Ok(Setting {
            key,
            value,
            name: self.name,
            text: self.text,
            origin: self.origin,
        })
    }

    /// Warns about what is honoured in another way than its author may expect.
    fn check_spelling(&self, value: &Value, warnings: &mut Vec<Warning>) {
        let (origin, key) = (self.origin.clone(), self.spelling.clone());
        if !self.key.is_read_by_apache(&origin, self.has_prefix) {
            let read_from = self.key.apache_spelling(&self.name);
            let (origin, key) = (origin.clone(), key.clone());
            warnings.push(Warning::ApacheIgnores {
                origin,
                key,
                read_from,
            });
        }
        match (self.key.form, value) {
            (Form::AtLeast { floor }, Value::Int(used)) if self.is_raised(floor) => {
                let (value, used) = (self.text.clone(), *used);
                warnings.push(Warning::Raised {
                    origin,
                    key,
                    value,
                    used,
                });
            }
            (Form::Path, Value::Text(path))
                if Path::new(path).is_relative() && !path.starts_with("./") =>
            {
                warnings.push(Warning::RelativePath {
                    origin,
                    key,
                    path: path.clone(),
                });
            }
            _ => {}
        }
    }

    fn is_raised(&self, floor: i64) -> bool {
        let min = i64::from(i32::MIN);
        let below = Form::Int {
            min,
            max: floor - 1,
        };
        below.read(&self.text, self.key.digits()).is_some()
    }

    fn shown(&self) -> String {
        match self.key.form.is_secret() {
            true => "(hidden)".to_owned(),
            false => self.text.clone(),
        }
    }
}
