//! Programs that a test needs and a machine may lack.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs;

impl Needs {
    /// Java and Apache ZooKeeper's jars: the class path, or `None` after saying what is skipped.
    ///
    /// # Panics
    /// When they are missing and `ZK_TESTS_REQUIRE_ALL` is `1`.
    #[must_use]
    pub fn apache(test: &str) -> Option<&'static str> {
        let jars = Path::new("/usr/share/java/zookeeper.jar").exists();
        let java = Command::new("java").arg("-version").output().is_ok();
        if jars && java {
            return Some("/usr/share/java/*");
        }
        skip(
            test,
            "Java and Apache ZooKeeper (Debian: zookeeper libzookeeper-java default-jre-headless)",
        )
    }

    /// A Java compiler beside Apache's jars, and Curator's if `curator` is set: the class path, or
    /// `None` after saying what is skipped.
    ///
    /// # Panics
    /// When they are missing and `ZK_TESTS_REQUIRE_ALL` is `1`.
    #[must_use]
    pub fn javac(test: &str, curator: bool) -> Option<&'static str> {
        let classpath = Self::apache(test)?;
        let javac = Command::new("javac").arg("-version").output().is_ok();
        if javac && (!curator || Path::new("/usr/share/java/curator-recipes.jar").exists()) {
            return Some(classpath);
        }
        skip(
            test,
            "a Java compiler, maybe Curator (Debian: default-jdk-headless libcurator-recipes-java)",
        )
    }

    /// A Python that has kazoo, or `None` after saying what is skipped.
    ///
    /// # Panics
    /// When it is missing and `ZK_TESTS_REQUIRE_ALL` is `1`.
    #[must_use]
    pub fn kazoo(test: &str) -> Option<PathBuf> {
        let python = std::env::var_os("ZK_TESTS_PYTHON").unwrap_or_else(|| "python3".into());
        let has_kazoo = Command::new(&python).args(["-c", "import kazoo"]).output();
        if has_kazoo.is_ok_and(|output| output.status.success()) {
            return Some(PathBuf::from(python));
        }
        skip(
            test,
            "Python with kazoo (PyPI: kazoo; ZK_TESTS_PYTHON names the interpreter)",
        )
    }
}

fn skip<T>(test: &str, missing: &str) -> Option<T> {
    let required = std::env::var_os("ZK_TESTS_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{test} needs {missing}");
    println!("skipped: {test} needs {missing}");
    None
}
