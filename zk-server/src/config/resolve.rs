//! From settings to a configuration, with the rules that hold between keys.

use super::effective::Effective;
use super::error::ConfigError;
use super::form::Form;
use super::key::Status;
use super::load::{Loaded, Sources};
use super::membership_files::next_file;
use super::origin::Origin;
use super::settings::{self, Setting};
use super::table;
use super::warning::Warning;
use super::{Config, ListenAddress, Membership, ServerId};
use std::io;
use std::path::Path;
use std::time::Duration;
use zk_proto::Zxid;
use zk_proto::quorum::EnsembleConfig;

/// The file in the data directory that holds the server's number.
const MY_ID: &str = "myid";
/// The families of lines that say who the members are.
const LINES: [&str; 3] = ["server.", "group.", "weight."];

/// Makes a configuration of its sources; `read_file` yields the content of `myid` and of the dynamic
/// configuration file.
pub(super) fn resolve(
    sources: &Sources<'_>,
    read_file: impl Fn(&Path) -> io::Result<Option<String>>,
) -> Result<Loaded, ConfigError> {
    let mut warnings = Vec::new();
    let settings = Settings {
        path: sources.path,
        list: settings::gather(sources, &mut warnings)?,
    };
    let mut config = settings.apply();
    settings.require("dataDir", "the directory of snapshots")?;
    config.my_id = my_id(&config.data_dir, &read_file)?;
    let ensemble = settings.ensemble(&read_file)?;
    config.membership = settings.membership(&config, ensemble.as_ref())?;
    if let Some(membership) = config
        .membership
        .as_mut()
        .filter(|_| config.reconfig_enabled)
    {
        settings.check_rewritable()?;
        membership.proposed = settings.proposed(&membership.ensemble, &read_file)?;
    }
    if config.membership.is_none() {
        settings.warn_of_ensemble_keys(&mut warnings);
    }
    settings.warn_of_membership(&config, &mut warnings);
    let client_origin = settings.take_client_part(ensemble.as_ref(), &mut config, &mut warnings)?;
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
    read_file: impl Fn(&Path) -> io::Result<Option<String>>,
) -> Result<Option<ServerId>, ConfigError> {
    let path = data_dir.join(MY_ID);
    let text = match read_file(&path) {
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

    /// The servers that are given, here or in the dynamic configuration file; `None` where there
    /// are none.
    fn ensemble(
        &self,
        read_file: impl Fn(&Path) -> io::Result<Option<String>>,
    ) -> Result<Option<EnsembleConfig>, ConfigError> {
        let is_line = |setting: &&Setting| LINES.contains(&setting.key.name);
        let lines: Vec<&Setting> = self.list.iter().filter(is_line).collect();
        for line in &lines {
            line_number(line)?;
        }
        let ensemble = match self.get("dynamicConfigFile") {
            Some(file) => {
                if let Some(line) = lines.first() {
                    return Err(conflict(line, "it belongs into the dynamicConfigFile"));
                }
                dynamic_ensemble(Path::new(file.value.text()), read_file)?
            }
            None if lines.iter().any(|line| line.key.form == Form::Server) => {
                let entries = lines.iter().map(|l| (l.name.as_str(), l.text.as_str()));
                EnsembleConfig::from_entries(entries).map_err(|source| {
                    let place = lines.first().map_or(Origin::Default, |l| l.origin.clone());
                    let place = place.to_string();
                    ConfigError::Ensemble { place, source }
                })?
            }
            None => return Ok(None),
        };
        self.check_addresses(&ensemble)?;
        Ok(Some(ensemble).filter(|ensemble| !ensemble.servers().is_empty()))
    }

    fn check_addresses(&self, ensemble: &EnsembleConfig) -> Result<(), ConfigError> {
        if (self.get("multiAddress.enabled")).is_some_and(|setting| setting.value.bool()) {
            return Ok(());
        }
        let mut servers = ensemble.servers().iter();
        match servers.find(|(_, server)| server.addresses().len() > 1) {
            None => Ok(()),
            Some((&id, _)) => Err(self.server_conflict(
                id,
                Some(ensemble),
                "several addresses need multiAddress.enabled=true",
            )),
        }
    }

    /// Where a server's line stands.
    fn server_origin(&self, id: ServerId) -> Origin {
        let name = format!("server.{id}");
        match self.get("dynamicConfigFile") {
            Some(file) => file.origin.clone(),
            None => self.origin(&name),
        }
    }

    fn server_conflict(
        &self,
        id: ServerId,
        ensemble: Option<&EnsembleConfig>,
        message: &str,
    ) -> ConfigError {
        let name = format!("server.{id}");
        let written = self.get(&name).map(|setting| setting.text.clone());
        let read = || Some(ensemble?.servers().get(&id)?.to_string());
        let value = written.or_else(read).unwrap_or_default();
        ConfigError::Conflict {
            origin: self.server_origin(id),
            message: format!("{name}={value}: {message}"),
        }
    }

    /// This server's place among the servers; `None` where it runs alone
    /// (`QuorumPeerConfig.isDistributed`, 3.9.5).
    fn membership(
        &self,
        config: &Config,
        ensemble: Option<&EnsembleConfig>,
    ) -> Result<Option<Membership>, ConfigError> {
        let may_be_alone = config.quorum.may_run_alone;
        let Some(ensemble) = ensemble else {
            return match self.get("standaloneEnabled") {
                Some(setting) if !may_be_alone => Err(conflict(setting, "expected lines server.N")),
                _ => Ok(None),
            };
        };
        let participants = ensemble.participants().count();
        if may_be_alone && participants == 1 {
            return match ensemble.observers().next() {
                None => Ok(None),
                Some((id, _)) => Err(self.server_conflict(
                    id,
                    Some(ensemble),
                    "an observer of a single participant needs standaloneEnabled=false",
                )),
            };
        }
        for key in ["initLimit", "syncLimit"] {
            self.require(key, "a member of an ensemble needs it")?;
            if let Some(limit) = self.get(key).filter(|limit| limit.value.int() == 0) {
                return Err(conflict(limit, "a member of an ensemble needs at least 1"));
            }
        }
        let path = config.data_dir.join(MY_ID);
        let Some(id) = config.my_id else {
            return Err(ConfigError::NoMyId { path });
        };
        match Membership::new(id, ensemble.clone()) {
            Some(membership) => Ok(Some(membership)),
            None => Err(ConfigError::NotAMember { path, id }),
        }
    }

    /// A membership that changes is kept in the configuration file, and is not to be overruled.
    fn check_rewritable(&self) -> Result<(), ConfigError> {
        let tells_members = |setting: &&Setting| {
            LINES.contains(&setting.key.name) || setting.name == "dynamicConfigFile"
        };
        let is_elsewhere = |setting: &&Setting| !matches!(setting.origin, Origin::File { .. });
        let mut telling = self.list.iter().filter(tells_members).filter(is_elsewhere);
        telling.next().map_or(Ok(()), |setting| {
            let message = "reconfigEnabled=true needs it in the configuration file, which is \
                           rewritten when the members change";
            Err(conflict(setting, message))
        })
    }

    /// The membership that was proposed last, where it is newer than the one in force
    /// (`QuorumPeerConfig.parse`, 3.9.5).
    fn proposed(
        &self,
        in_force: &EnsembleConfig,
        read_file: impl Fn(&Path) -> io::Result<Option<String>>,
    ) -> Result<Option<EnsembleConfig>, ConfigError> {
        if self.get("dynamicConfigFile").is_none() {
            return Ok(None);
        }
        let path = next_file(self.path);
        let text = match read_file(&path) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        let proposed: EnsembleConfig = text.parse().map_err(|source| ConfigError::Ensemble {
            place: path.display().to_string(),
            source,
        })?;
        self.check_addresses(&proposed)?;
        Ok(Some(proposed).filter(|proposed| proposed.version() > in_force.version()))
    }

    fn warn_of_ensemble_keys(&self, warnings: &mut Vec<Warning>) {
        let is_tuning = |setting: &&Setting| {
            setting.key.status == Status::Ensemble && setting.key.form != Form::Server
        };
        let keys: Vec<_> = (self.list.iter().filter(is_tuning))
            .map(|setting| setting.name.clone())
            .collect();
        if !keys.is_empty() {
            warnings.push(Warning::EnsembleOnly { keys });
        }
    }

    fn warn_of_membership(&self, config: &Config, warnings: &mut Vec<Warning>) {
        let mut ignore = |key: &str, message: &str| {
            warnings.push(Warning::Ignored {
                origin: self.origin(key),
                message: message.to_owned(),
            });
        };
        let peer_type = self.get("peerType").map(|setting| setting.value.text());
        let Some(membership) = &config.membership else {
            if peer_type == Some("observer") {
                ignore(
                    "peerType",
                    "peerType=observer is not used: a server that runs alone is a participant",
                );
            }
            return;
        };
        let role = membership.own().role().as_str();
        if let Some(peer_type) = peer_type.filter(|&peer_type| peer_type != role) {
            let id = membership.id;
            ignore(
                "peerType",
                &format!("peerType={peer_type} is not used: server.{id} is a {role}"),
            );
        }
        let participants = membership.ensemble.participants().count();
        if participants < 3 || participants.is_multiple_of(2) {
            warnings.push(Warning::FewServers { participants });
        }
    }

    /// Uses the client part of the own server line, or of the only one, as
    /// `QuorumPeerConfig.setupClientPort` does; where it stands.
    fn take_client_part(
        &self,
        ensemble: Option<&EnsembleConfig>,
        config: &mut Config,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Origin>, ConfigError> {
        let own = match (&config.membership, ensemble) {
            (Some(membership), _) => Some((membership.id, membership.own())),
            (None, Some(ensemble)) => ensemble.servers().iter().map(|(&id, s)| (id, s)).next(),
            (None, None) => None,
        };
        let Some((id, client)) = own.and_then(|(id, server)| Some((id, server.client()?.clone())))
        else {
            return Ok(None);
        };
        let (address, port) = (ListenAddress::from(&client.host), client.port);
        let origin = self.server_origin(id);
        if let Some(ServerId(my_id)) = config.my_id.filter(|my_id| *my_id != id) {
            let message = format!("the client port of server.{id} is not used: myid is {my_id}");
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
                return Err(self.server_conflict(id, ensemble, &message));
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

/// The number in the name of a line.
fn line_number(setting: &Setting) -> Result<i64, ConfigError> {
    let family = setting.key.name;
    let number = setting.name.strip_prefix(family).map(str::parse);
    match number {
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) | None => Err(ConfigError::Value {
            origin: setting.origin.clone(),
            key: setting.name.clone(),
            value: setting.text.clone(),
            expected: format!("{family}N with an integer N"),
        }),
    }
}

/// The servers of a dynamic configuration file. The version is the hexadecimal number at the end of
/// its name, if there is one (`QuorumPeerConfig.getVersionFromFilename`, 3.9.5).
fn dynamic_ensemble(
    path: &Path,
    read_file: impl Fn(&Path) -> io::Result<Option<String>>,
) -> Result<EnsembleConfig, ConfigError> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let text = read_file(path).and_then(|text| text.ok_or_else(missing));
    let text = text.map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let ensemble: EnsembleConfig = text.parse().map_err(|source| ConfigError::Ensemble {
        place: path.display().to_string(),
        source,
    })?;
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    let version = suffix.and_then(|suffix| u64::from_str_radix(suffix, 16).ok());
    Ok(match version {
        Some(version) => ensemble.with_version(Zxid(version.cast_signed())),
        None => ensemble,
    })
}

fn conflict(setting: &Setting, message: &str) -> ConfigError {
    ConfigError::Conflict {
        origin: setting.origin.clone(),
        message: format!("{}={}: {message}", setting.name, setting.text),
    }
}
