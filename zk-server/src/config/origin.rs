//! Where a setting stands.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The place a value comes from, as messages and the effective configuration name it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The key's default.
    Default,
    /// A line of the configuration file.
    File {
        /// The file as it was named to the server.
        path: Arc<PathBuf>,
        /// The line, counted from 1.
        line: u32,
    },
    /// A `-D` setting of the environment variable `SERVER_JVMFLAGS`.
    Environment,
    /// A `--set` on the command line.
    CommandLine,
}

/// `default`, `zoo.cfg:3`, `SERVER_JVMFLAGS` or `--set`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment => f.write_str("SERVER_JVMFLAGS"),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}
