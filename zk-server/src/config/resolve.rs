//! From settings to a configuration, with the rules that hold between keys.

use super::effective::Effective;
use super::error::ConfigError;
use super::form::Value;
use super::load::{Loaded, Sources};
use super::origin::Origin;
use super::settings::{self, Setting};
use super::table;
use super::table::NO_ENSEMBLE;
use super::warning::Warning;
use super::{Config, ListenAddress, ServerId};
use std::io;
use std::path::Path;
use std::time::Duration;
use zk_proto::quorum::{EnsembleServer, ServerRole};

/// Makes a configuration of its sources; `read_my_id` yields the content of `myid`.
pub(super) fn resolve(
    sources: &Sources<'_>,
    read_my_id: impl FnOnce(&Path) -> io::Result<Option<String>>,
) -> Result<Loaded, ConfigError> {
    let mut warnings = Vec::new();
    let settings = Settings {
        path: sources.path,
        list: settings::gather(sources, &mut warnings)?,
    };
    let mut config = settings.apply();
    settings.require("dataDir", "the directory of snapshots")?;
    config.my_id = my_id(&config.data_dir, read_my_id)?;
    let client_origin = settings.check_servers(&mut config, &mut warnings)?;
    if client_origin.is_none() {
        settings.require("clientPort", "the port that clients connect to")?;
    }
    settings.check_timeouts(&mut config)?;
    settings.check_enforced_auth(&config)?;
    settings.warn_of_unsafe(&config, &mut warnings);
    let effective = Effective::new(&settings.list, &config, client_origin.as_ref(), &warnings);
    Ok(Loaded {
        config,
        warnings,
        effective,
    })
}

fn my_id(
    data_dir: &Path,
    read_my_id: impl FnOnce(&Path) -> io::Result<Option<String>>,
) -> Result<Option<ServerId>, ConfigError> {
    let path = data_dir.join("myid");
    let text = match read_my_id(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(source) => return Err(ConfigError::Read { path, source }),
    };
    let first_line = text.lines().next().unwrap_or_default();
    match first_line.trim().parse() {
        Ok(id) => Ok(Some(ServerId(id))),
        Err(_) => Err(ConfigError::MyId {
            path,
            text: first_line.to_owned(),
        }),
    }
}

/// The settings that count, and the file that they mostly stand in.
struct Settings<'a> {
    path: &'a Path,
    list: Vec<Setting>,
}

impl Settings<'_> {
    fn get(&self, name: &str) -> Option<&Setting> {
        self.list.iter().find(|setting| setting.name == name)
    }

    fn origin(&self, name: &str) -> Origin {
        self.get(name)
            .map_or(Origin::Default, |setting| setting.origin.clone())
    }

    fn require(&self, key: &'static str, expected: &'static str) -> Result<(), ConfigError> {
        match self.get(key) {
            Some(_) => Ok(()),
            None => Err(ConfigError::Missing {
                path: self.path.to_owned(),
                key,
                expected,
            }),
        }
    }

    /// Writes every default and every setting, in the order of the table.
    fn apply(&self) -> Config {
        let mut config = Config::blank();
        for key in table::keys() {
            let Some(set) = key.set else { continue };
            let default = key.default.and_then(|text| key.read(text));
            if let Some(value) = self.get(key.name).map(|s| s.value.clone()).or(default) {
                set(&mut config, &value);
            }
        }
        config
    }

    /// Checks the `server.N` lines; the origin of the client port, where such a line names it.
    fn check_servers(
        &self,
        config: &mut Config,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Origin>, ConfigError> {
        let mut servers = Vec::new();
        for setting in &self.list {
            if let Value::Server(line) = &setting.value {
                servers.push((self.server_id(setting)?, setting, line));
            }
        }
        let alone = match servers.as_slice() {
            [] => None,
            [(id, setting, line)] => Some((*id, *setting, *line)),
            [_, (_, second, _), ..] => return Err(refused(second)),
        };
        self.warn_of_peer_type(warnings);
        let Some((id, setting, line)) = alone else {
            return Ok(None);
        };
        if line.role() == ServerRole::Observer {
            return Err(conflict(setting, "an ensemble needs a participant"));
        }
        let allows_many = self
            .get("multiAddress.enabled")
            .is_some_and(|s| s.value.bool());
        if line.addresses().len() > 1 && !allows_many {
            return Err(conflict(
                setting,
                "several addresses need multiAddress.enabled=true",
            ));
        }
        self.take_client_part(id, setting, line, config, warnings)
    }

    fn server_id(&self, setting: &Setting) -> Result<ServerId, ConfigError> {
        let number = setting
            .name
            .strip_prefix(setting.key.name)
            .and_then(|n| n.parse().ok());
        number.map(ServerId).ok_or_else(|| ConfigError::Value {
            origin: setting.origin.clone(),
            key: setting.name.clone(),
            value: setting.text.clone(),
            expected: "server.N with an integer N".to_owned(),
        })
    }

    /// Uses the client part of the only server line, as `QuorumPeerConfig.setupClientPort` does.
    fn take_client_part(
        &self,
        id: ServerId,
        setting: &Setting,
        line: &EnsembleServer,
        config: &mut Config,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Origin>, ConfigError> {
        let Some(client) = line.client() else {
            return Ok(None);
        };
        let (address, port) = (ListenAddress::from(&client.host), client.port);
        let origin = setting.origin.clone();
        if let Some(ServerId(my_id)) = config.my_id.filter(|my_id| *my_id != id) {
            let message = format!(
                "the client port of {} is not used: myid is {my_id}",
                setting.name
            );
            warnings.push(Warning::Ignored { origin, message });
            return Ok(None);
        }
        let own = &mut config.client_port;
        let own_port = self.get("clientPort");
        let is_same =
            own.port == port && (own.address == address || self.get("clientPortAddress").is_none());
        match own_port.map(|setting| &setting.origin) {
            Some(Origin::File { .. }) if !is_same => {
                let message = format!(
                    "its client part {address}:{port} differs from clientPort {}:{} at {}",
                    own.address,
                    own.port,
                    self.origin("clientPort")
                );
                return Err(conflict(setting, &message));
            }
            Some(Origin::Environment) if !is_same => warnings.push(Warning::Overruled {
                origin: Origin::Environment,
                key: "clientPort".to_owned(),
                by: origin.clone(),
            }),
            _ => {}
        }
        if self.origin("clientPort") != Origin::CommandLine {
            own.port = port;
        }
        let has_ipv4_only = address == ListenAddress::Any && own.address == ListenAddress::AnyIpv4;
        if self.origin("clientPortAddress") != Origin::CommandLine && !has_ipv4_only {
            own.address = address;
        }
        Ok(Some(origin))
    }

    fn warn_of_peer_type(&self, warnings: &mut Vec<Warning>) {
        if let Some(setting) = self
            .get("peerType")
            .filter(|s| s.value.text() == "observer")
        {
            let origin = setting.origin.clone();
            let message =
                "peerType=observer is not used: a server that runs alone is a participant";
            warnings.push(Warning::Ignored {
                origin,
                message: message.to_owned(),
            });
        }
    }

    fn check_timeouts(&self, config: &mut Config) -> Result<(), ConfigError> {
        /// A timeout travels as 32 bits of milliseconds.
        const TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);
        let sessions = &mut config.sessions;
        sessions.max_timeout = sessions.max_timeout.min(TIMEOUT_MAX);
        let (min, max) = (
            sessions.min_timeout.as_millis(),
            sessions.max_timeout.as_millis(),
        );
        if min <= max && max > 0 {
            return Ok(());
        }
        let given = self
            .get("maxSessionTimeout")
            .or(self.get("minSessionTimeout"));
        let origin = given
            .or(self.get("tickTime"))
            .map_or(Origin::Default, |s| s.origin.clone());
        let message = match max {
            0 => "maxSessionTimeout is 0: expected a positive number of milliseconds".to_owned(),
            _ => format!(
                "minSessionTimeout {min} ms is above maxSessionTimeout {max} ms: expected at most \
                 that"
            ),
        };
        Err(ConfigError::Conflict { origin, message })
    }

    fn check_enforced_auth(&self, config: &Config) -> Result<(), ConfigError> {
        let Some(enabled) = self.get("enforce.auth.enabled").filter(|s| s.value.bool()) else {
            return Ok(());
        };
        let schemes = &config.auth.enforced_schemes;
        if schemes.is_empty() {
            return Err(conflict(
                enabled,
                "expected schemes in enforce.auth.schemes",
            ));
        }
        let is_known = |scheme: &&String| match scheme.as_str() {
            "digest" => config.auth.is_digest_enabled,
            name => name == "ip",
        };
        match schemes.iter().find(|scheme| !is_known(scheme)) {
            None => Ok(()),
            Some(scheme) => Err(ConfigError::Conflict {
                origin: self.origin("enforce.auth.schemes"),
                message: format!("enforce.auth.schemes names {scheme}: expected ip or digest"),
            }),
        }
    }

    fn warn_of_unsafe(&self, config: &Config, warnings: &mut Vec<Warning>) {
        for (key, is_unsafe, consequence) in [
            (
                "forceSync",
                !config.storage.force_sync,
                "a power cut loses acknowledged writes",
            ),
            (
                "skipACL",
                config.auth.skip_acl,
                "every client may read and change everything",
            ),
            (
                "snapshot.trust.empty",
                config.storage.trusts_empty_snapshot,
                "a lost snapshot goes unnoticed",
            ),
            (
                "txnLog.acceptHoles",
                config.storage.accepts_log_holes,
                "a lost txn goes unnoticed",
            ),
        ] {
            if is_unsafe {
                warnings.push(Warning::Unsafe {
                    origin: self.origin(key),
                    key,
                    consequence,
                });
            }
        }
    }
}

fn refused(setting: &Setting) -> ConfigError {
    ConfigError::Refused {
        origin: setting.origin.clone(),
        key: setting.name.clone(),
        value: setting.text.clone(),
        why: NO_ENSEMBLE,
    }
}

fn conflict(setting: &Setting, message: &str) -> ConfigError {
    ConfigError::Conflict {
        origin: setting.origin.clone(),
        message: format!("{}={}: {message}", setting.name, setting.text),
    }
}
