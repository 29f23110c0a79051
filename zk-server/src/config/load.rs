//! From files and texts to a configuration.

#![expect(
    clippy::disallowed_methods,
    reason = "the configuration files and myid are read here"
)]

use super::effective::Effective;
use super::error::ConfigError;
use super::resolve;
use super::warning::Warning;
use super::{Config, ListenAddress};
use std::io;
use std::path::{Path, PathBuf};

/// The texts that a configuration is made of.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The configuration file's name, for messages.
    pub path: &'a Path,
    /// The configuration file's content.
    pub text: &'a [u8],
    /// The content of the environment variable `SERVER_JVMFLAGS`; empty when it is not set.
    pub jvm_flags: &'a str,
    /// The `key=value` arguments of `--set`, in their order.
    pub overrides: &'a [String],
}

/// A valid configuration and what is to be known about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the operator should know, in the order of the sources; to be logged once, at the start.
    pub warnings: Vec<Warning>,
    /// Every key with its value and origin, as the configuration was when it was loaded.
    pub effective: Effective,
}

impl Config {
    /// Reads the configuration file at `path`, `myid` in the data directory that it names, and the
    /// dynamic configuration file, if it names one.
    ///
    /// `jvm_flags` is the content of `SERVER_JVMFLAGS`, empty when it is not set; `overrides` are
    /// the `key=value` arguments of `--set`.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that says where the configuration must change, or which file cannot be
    /// read.
    pub fn load(path: &Path, jvm_flags: &str, overrides: &[String]) -> Result<Loaded, ConfigError> {
        let text = std::fs::read(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let sources = Sources {
            path,
            text: &text,
            jvm_flags,
            overrides,
        };
        let mut loaded = Self::parse(&sources, read_file)?;
        loaded.config.file = Some(absolute(path)?);
        Ok(loaded)
    }

    /// Like [`Config::load`], without touching the disk: `read_file` is asked for the content of
    /// `myid` and of the dynamic configuration file, given the path, and answers `None` where there
    /// is no such file.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that says where the configuration must change.
    pub fn parse(
        sources: &Sources<'_>,
        read_file: impl Fn(&Path) -> io::Result<Option<String>>,
    ) -> Result<Loaded, ConfigError> {
        resolve::resolve(sources, read_file)
    }

    /// The configuration of a server to develop against: ticks of 2 s, every four-letter word,
    /// reachable from this machine only, everything else by default. Port 0 lets the system choose.
    #[must_use]
    pub fn dev(data_dir: &Path, port: u16) -> Self {
        let settings = format!("dataDir=.\nclientPort={port}\n{DEV_SETTINGS}");
        let sources = Sources {
            path: Path::new("dev"),
            text: settings.as_bytes(),
            jvm_flags: "",
            overrides: &[],
        };
        let loaded = Self::parse(&sources, |_| Ok(None));
        let mut config = loaded.expect("the settings above are valid").config;
        config.data_dir = data_dir.to_owned();
        config.data_log_dir = data_dir.to_owned();
        config.client_port.address = ListenAddress::Loopback;
        config
    }
}

/// The file's name in its folder, wherever that really is. The file itself may be a link, in whose
/// place another file may come.
fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let folder = std::fs::canonicalize(parent.unwrap_or(Path::new(".")));
    let folder = folder.map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(folder.join(path.file_name().unwrap_or_default()))
}

/// What differs from the defaults in [`Config::dev`].
const DEV_SETTINGS: &str = "tickTime=2000\ninitLimit=10\nsyncLimit=5\n4lw.commands.whitelist=*\n";

/// The content of a file, `None` where it is none.
fn read_file(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::IsADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
