//! The version that is shown to tools.

/// The Apache ZooKeeper release whose behaviour this server follows.
pub const APACHE_VERSION: &str = "3.9.5";

/// What `srvr`, `stat`, `mntr` and `envi` show as the version, in Apache's form
/// `version-revision, built on date`. Tools compare the part before the dash with ZooKeeper's
/// releases, and some expect a date after `built on`; the revision names this server, so that it is
/// not mistaken for Apache's.
pub const FULL_VERSION: &str = concat!(
    "3.9.5-zk-server.",
    env!("CARGO_PKG_VERSION"),
    ", built on 2026-01-01 00:00 UTC"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_version_begins_with_the_release_that_is_followed() {
        assert_eq!(FULL_VERSION.split_once('-').unwrap().0, APACHE_VERSION);
    }
}
