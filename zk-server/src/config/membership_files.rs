//! The files in which a membership is kept that changes while the server runs.
//!
//! ```text
//! zoo.cfg                   all settings; no members but dynamicConfigFile=<the file below>
//! zoo.cfg.dynamic.<version> the members in force: the text of EnsembleConfig, sorted, without version
//! zoo.cfg.dynamic.next      members that are proposed, with their version; gone when nothing is
//! zoo.cfg.bak               zoo.cfg as it was when it still named the members
//! ```
//!
//! Names and content are Apache's (`QuorumPeerConfig.writeDynamicConfig`, `editStaticConfig`,
//! `QuorumPeer.setQuorumVerifier`, 3.9.5), but comments stay in `zoo.cfg`. Each file is replaced in one
//! step. The members come before the setting that names them, so that a crash between the two leaves
//! the membership that was in force before, and the newer one proposed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::info;
use zk_proto::quorum::{EnsembleConfig, EnsembleServer};
use zk_proto::{ServerId, Zxid};
use zk_storage::{FileSystem, IoError, atomic};

use super::Membership;
use super::key::PROPERTY_PREFIX;
use super::properties::{self, BadEscape};

const POINTER: &str = "dynamicConfigFile";
/// Keys that tell the members, by how they begin; they are taken out of `zoo.cfg`.
const MEMBERS: [&str; 5] = ["server.", "group", "weight", POINTER, "peerType"];
/// Keys that tell where clients connect; taken out where the server's line tells it.
const CLIENT_PORT: [&str; 2] = ["clientPort", "clientPortAddress"];

/// Why a membership is not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipFileError {
    /// The configuration file was changed into one that cannot be read.
    #[error("{}:{}: {source}", path.display(), source.line)]
    Escape {
        /// The file.
        path: PathBuf,
        /// The line.
        source: BadEscape,
    },
    /// The configuration file is gone.
    #[error("{} is gone", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// The configuration file's folder cannot be named in it.
    #[error("{} is not in UTF-8, the configuration file cannot name it", path.display())]
    Name {
        /// The file to be named.
        path: PathBuf,
    },
    /// What the disk says.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// The files, and what was last written to them.
#[derive(Debug)]
pub(crate) struct MembershipFiles {
    file_system: Arc<dyn FileSystem>,
    /// `zoo.cfg`.
    path: PathBuf,
    id: ServerId,
    in_force: Zxid,
    proposed: Option<Zxid>,
}

impl MembershipFiles {
    /// The files of a server whose configuration file is `path`, as they were read.
    pub(crate) fn new(
        file_system: Arc<dyn FileSystem>,
        path: &Path,
        membership: &Membership,
    ) -> Self {
        Self {
            file_system,
            path: path.to_owned(),
            id: membership.id,
            in_force: membership.ensemble.version(),
            proposed: membership.proposed.as_ref().map(EnsembleConfig::version),
        }
    }

    /// Copies a configuration file that names the members itself, before it is rewritten for the
    /// first time.
    ///
    /// # Errors
    /// [`MembershipFileError`], any of them.
    pub(crate) fn back_up(&self) -> Result<(), MembershipFileError> {
        let content = self.read()?;
        let properties = properties::parse(&content).map_err(|source| self.bad_escape(source))?;
        if properties
            .iter()
            .any(|property| name(&property.key) == POINTER)
        {
            return Ok(());
        }
        self.write(&with_suffix(&self.path, ".bak"), &content)
    }

    /// Removes the file of a proposal that is none any more: a crash came between the file that says
    /// that it is in force and this.
    ///
    /// # Errors
    /// [`MembershipFileError`], any of them.
    pub(crate) fn forget_what_is_settled(&self) -> Result<(), MembershipFileError> {
        match self.proposed {
            None => self.remove_proposed(),
            Some(_) => Ok(()),
        }
    }

    /// Keeps who the members are.
    ///
    /// # Errors
    /// [`MembershipFileError`], any of them. It is final: which membership is on disk is known again
    /// only after a start.
    pub(crate) fn keep(
        &mut self,
        in_force: &EnsembleConfig,
        proposed: Option<&EnsembleConfig>,
    ) -> Result<(), MembershipFileError> {
        let version = proposed.map(EnsembleConfig::version);
        if let Some(config) = proposed.filter(|_| version != self.proposed) {
            self.write(&next_file(&self.path), text(config, true).as_bytes())?;
        }
        if in_force.version() != self.in_force {
            self.write_in_force(in_force)?;
        }
        if proposed.is_none() {
            self.remove_proposed()?;
        }
        self.in_force = in_force.version();
        self.proposed = version;
        Ok(())
    }

    fn write_in_force(&self, config: &EnsembleConfig) -> Result<(), MembershipFileError> {
        let version = config.version().0;
        let path = with_suffix(&self.path, &format!(".dynamic.{version:x}"));
        let Some(pointer) = path.to_str() else {
            return Err(MembershipFileError::Name { path });
        };
        let own = config.servers().get(&self.id);
        let has_client_port = own.and_then(EnsembleServer::client).is_some();
        let keeps = |key: &str| {
            let key = name(key);
            let is_member = MEMBERS.iter().any(|begin| key.starts_with(begin));
            !(is_member || has_client_port && CLIENT_PORT.contains(&key))
        };
        let content = self.read()?;
        let kept = properties::retain(&content, keeps);
        let mut kept = kept.map_err(|source| self.bad_escape(source))?;
        kept.extend_from_slice(properties::line(POINTER, pointer).as_bytes());
        self.write(&path, text(config, false).as_bytes())?;
        self.write(&self.path, &kept)?;
        info!(path = %path.display(), "the membership in force is written");
        Ok(())
    }

    fn read(&self) -> Result<Vec<u8>, MembershipFileError> {
        let content = atomic::read(&*self.file_system, &self.path, usize::MAX)?;
        content.ok_or_else(|| MembershipFileError::Gone {
            path: self.path.clone(),
        })
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), MembershipFileError> {
        let named = path.file_name().and_then(|name| name.to_str());
        let Some(named) = named else {
            let path = path.to_owned();
            return Err(MembershipFileError::Name { path });
        };
        Ok(atomic::replace(
            &*self.file_system,
            self.folder(),
            named,
            content,
        )?)
    }

    fn remove_proposed(&self) -> Result<(), MembershipFileError> {
        if atomic::remove_if_there(&*self.file_system, &next_file(&self.path))? {
            atomic::sync_dir(&*self.file_system, self.folder())?;
        }
        Ok(())
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn bad_escape(&self, source: BadEscape) -> MembershipFileError {
        MembershipFileError::Escape {
            path: self.path.clone(),
            source,
        }
    }
}

/// The file of a membership that is proposed.
pub(super) fn next_file(path: &Path) -> PathBuf {
    with_suffix(path, ".dynamic.next")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// A key without the prefix that system properties have.
fn name(key: &str) -> &str {
    key.strip_prefix(PROPERTY_PREFIX).unwrap_or(key)
}

fn text(config: &EnsembleConfig, with_version: bool) -> String {
    let text = config.to_string();
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| with_version || !line.starts_with("version="))
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
