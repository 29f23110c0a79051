//! What a member says of itself in four-letter words.

use std::collections::BTreeMap;

use zk_proto::Zxid;

/// The role that a member shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those that `srvr` shows")]
pub enum Mode {
    Leader,
    Follower,
    Observer,
    ReadOnly,
    Standalone,
}

/// The answer to `srvr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The role.
    pub mode: Mode,
    /// The last transaction applied.
    pub zxid: Zxid,
}

impl Status {
    /// Reads the answer to `srvr`; `None` when it is none, as of a member that serves nobody.
    #[must_use]
    pub fn parse(answer: &str) -> Option<Self> {
        let value = |key| answer.lines().find_map(|line| line.strip_prefix(key));
        let mode = match value("Mode: ")? {
            "leader" => Mode::Leader,
            "follower" => Mode::Follower,
            "observer" => Mode::Observer,
            "read-only" => Mode::ReadOnly,
            "standalone" => Mode::Standalone,
            _ => return None,
        };
        let zxid = u64::from_str_radix(value("Zxid: 0x")?, 16).ok()?;
        Some(Self {
            mode,
            zxid: Zxid(zxid.cast_signed()),
        })
    }
}

/// The answer to `mntr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures(BTreeMap<String, String>);

impl Figures {
    /// Reads the answer to `mntr`.
    #[must_use]
    pub fn parse(answer: &str) -> Self {
        let entry = |line: &str| {
            let (key, value) = line.split_once('\t')?;
            Some((key.strip_prefix("zk_")?.to_owned(), value.to_owned()))
        };
        Self(answer.lines().filter_map(entry).collect())
    }

    /// A value, by its key without `zk_`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A number, by its key without `zk_`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn number(&self, key: &str) -> i64 {
        let value = self.text(key).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no number {key} in mntr: {:?}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srvr_tells_mode_and_zxid() {
        let answer = "Zookeeper version: 3.8.0\nZxid: 0x200000003\nMode: follower\nNode count: 5\n";
        let status = Status::parse(answer).unwrap();
        assert_eq!(status.mode, Mode::Follower);
        assert_eq!(status.zxid, Zxid(0x2_0000_0003));
        let silent = "This ZooKeeper instance is not currently serving requests\n";
        assert_eq!(Status::parse(silent), None);
    }

    #[test]
    fn mntr_tells_figures() {
        let figures = Figures::parse("zk_server_state\tleader\nzk_znode_count\t7\n");
        assert_eq!(figures.text("server_state"), Some("leader"));
        assert_eq!(figures.number("znode_count"), 7);
    }
}
