//! The configuration as a whole, for people and scripts: what `zk-server check` prints.

use super::Config;
use super::form::Value;
use super::key::{Key, Status};
use super::origin::Origin;
use super::settings::Setting;
use super::table;
use super::warning::Warning;
use serde::Serialize;
use std::fmt;

/// Every key that is honoured or was given, with its value and origin, and every warning.
///
/// The text form has one key a line: key, value and origin in columns, then the warnings. The order
/// is that of `docs/configuration.md`; values of secret keys are `(hidden)`. Serialized, it is
///
/// ```text
/// {"settings": [{"key", "value", "origin"}, …], "warnings": ["…", …]}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Effective {
    /// Every key that is honoured or was given.
    pub settings: Vec<EffectiveSetting>,
    /// The warnings of the configuration.
    pub warnings: Vec<String>,
}

/// One key of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EffectiveSetting {
    /// The key, without the prefix of system properties.
    pub key: String,
    /// The value that is used; `None` for a key that is not set and has no default.
    pub value: Option<String>,
    /// `default`, or the place that the value comes from, such as `zoo.cfg:3`.
    pub origin: String,
}

impl Effective {
    /// `client_origin` is the place of a server line that names the client port.
    pub(super) fn new(
        settings: &[Setting],
        config: &Config,
        client_origin: Option<&Origin>,
        warnings: &[Warning],
    ) -> Self {
        let mut rows = Vec::new();
        for key in table::keys() {
            let given: Vec<_> = settings
                .iter()
                .filter(|s| std::ptr::eq(s.key, key))
                .collect();
            rows.extend(given.iter().map(|setting| EffectiveSetting {
                key: setting.name.clone(),
                value: Some(used_value(key, config).unwrap_or_else(|| shown(key, &setting.text))),
                origin: setting.origin.to_string(),
            }));
            if given.is_empty() && key.status == Status::Honoured {
                rows.push(EffectiveSetting {
                    key: key.name.to_owned(),
                    value: used_value(key, config).or(key.default.map(|text| shown(key, text))),
                    origin: Origin::Default.to_string(),
                });
            }
        }
        if let Some(origin) = client_origin {
            let command_line = Origin::CommandLine.to_string();
            for row in &mut rows {
                let is_client = matches!(row.key.as_str(), "clientPort" | "clientPortAddress");
                if is_client && row.origin != command_line {
                    row.origin = origin.to_string();
                }
            }
        }
        Self {
            settings: rows,
            warnings: warnings.iter().map(Warning::to_string).collect(),
        }
    }
}

/// The value of a key that depends on others.
fn used_value(key: &Key, config: &Config) -> Option<String> {
    let limits = &config.limits;
    match key.name {
        "dataLogDir" => Some(config.data_log_dir.display().to_string()),
        "minSessionTimeout" => Some(config.sessions.min_timeout.as_millis().to_string()),
        "maxSessionTimeout" => Some(config.sessions.max_timeout.as_millis().to_string()),
        "clientPort" => Some(config.client_port.port.to_string()),
        "clientPortAddress" => Some(config.client_port.address.to_string()),
        "4lw.commands.whitelist" => Some(config.client_port.four_letter_words.to_string()),
        "jute.maxbuffer.extrasize" => {
            let extra = limits.record_bytes_max.get() - limits.frame_bytes_max.get();
            Some(extra.to_string())
        }
        _ => None,
    }
}

fn shown(key: &Key, text: &str) -> String {
    match key.read(text) {
        _ if key.form.is_secret() => "(hidden)".to_owned(),
        Some(Value::Int(number)) => number.to_string(),
        _ => text.to_owned(),
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const VALUE_WIDTH_MAX: usize = 40;
        let value = |row: &EffectiveSetting| row.value.clone().unwrap_or_else(|| "-".to_owned());
        let key_width = self
            .settings
            .iter()
            .map(|row| row.key.len())
            .max()
            .unwrap_or(0);
        let value_width = self
            .settings
            .iter()
            .map(|row| value(row).len())
            .max()
            .unwrap_or(0);
        let value_width = value_width.min(VALUE_WIDTH_MAX);
        for row in &self.settings {
            let (key, value, origin) = (&row.key, value(row), &row.origin);
            writeln!(f, "{key:key_width$}  {value:value_width$}  {origin}")?;
        }
        self.warnings
            .iter()
            .try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
