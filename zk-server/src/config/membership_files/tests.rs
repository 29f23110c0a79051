//! What stands in the files after each change, and what a start makes of it.

#![expect(clippy::disallowed_methods, reason = "the files are looked at")]

use super::super::{Config, Loaded, Sources};
use super::*;
use zk_storage::RealFileSystem;

const STATIC: &str = "# the first\ntickTime=2000\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n\
                      clientPort=2181\npeerType=participant\nserver.3=c:2888:3888\n\
                      clientPortListenBacklog=7\ninitLimit=10\nsyncLimit=5\n\
                      reconfigEnabled=true\n";

/// A server's folder, with `zoo.cfg` in it.
struct Home(tempfile::TempDir);

impl Home {
    fn new(text: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let data = home.0.path().display();
        std::fs::write(home.path(""), format!("dataDir={data}\n{text}")).unwrap();
        std::fs::write(home.0.path().join("myid"), "2").unwrap();
        home
    }

    fn path(&self, suffix: &str) -> PathBuf {
        let folder = std::fs::canonicalize(self.0.path()).unwrap();
        folder.join(format!("zoo.cfg{suffix}"))
    }

    fn text(&self, suffix: &str) -> Option<String> {
        std::fs::read_to_string(self.path(suffix)).ok()
    }

    fn load(&self) -> Loaded {
        Config::load(&self.path(""), "", &[]).unwrap()
    }

    fn membership(&self) -> Membership {
        self.load().config.membership.unwrap()
    }

    fn files(&self) -> MembershipFiles {
        let file_system = Arc::new(RealFileSystem);
        MembershipFiles::new(file_system, &self.path(""), &self.membership())
    }
}

fn members(lines: &str, version: i64) -> EnsembleConfig {
    let config: EnsembleConfig = lines.parse().unwrap();
    config.with_version(Zxid(version))
}

/// The members of [`STATIC`].
fn three(version: i64) -> EnsembleConfig {
    members(
        "server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888",
        version,
    )
}

const FOUR: &str = "server.10=d:2888:3888:observer;2181\nserver.2=b:2888:3888:participant;2182\n\
                    server.1=a:2888:3888:participant\nserver.3=c:2888:3888:participant";

#[test]
fn the_first_membership_in_force_moves_out_of_the_configuration_file() {
    let home = Home::new(STATIC);
    let before = home.text("").unwrap();
    let mut files = home.files();
    files.back_up().unwrap();
    assert_eq!(home.text(".bak").as_deref(), Some(before.as_str()));
    files.keep(&three(0), Some(&three(0x1_0000_0000))).unwrap();
    assert_eq!(home.text("").unwrap(), before);
    let next = "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\n\
                server.3=c:2888:3888:participant\nversion=100000000";
    assert_eq!(home.text(".dynamic.next").as_deref(), Some(next));

    files.keep(&three(0x1_0000_0000), None).unwrap();
    assert_eq!(home.text(".dynamic.next"), None);
    let in_force = next.strip_suffix("\nversion=100000000");
    assert_eq!(home.text(".dynamic.100000000").as_deref(), in_force);
    let after = home.text("").unwrap();
    let pointer = home.path(".dynamic.100000000");
    let rest = "# the first\ntickTime=2000\nclientPort=2181\nclientPortListenBacklog=7\n\
                initLimit=10\nsyncLimit=5\nreconfigEnabled=true\n";
    let expected = format!("{rest}dynamicConfigFile={}\n", pointer.display());
    assert!(after.ends_with(&expected), "{after}");

    let membership = home.membership();
    assert_eq!(membership.ensemble, three(0x1_0000_0000));
    assert_eq!(membership.proposed, None);
    // What was backed up is the file with the members, not what came of it.
    home.files().back_up().unwrap();
    assert_eq!(home.text(".bak"), Some(before));
}

#[test]
fn a_reconfig_is_proposed_then_in_force_and_takes_the_client_port_with_it() {
    let home = Home::new(STATIC);
    let mut files = home.files();
    files.keep(&three(0x1_0000_0000), None).unwrap();
    let four = members(FOUR, 0x1_0000_0005);
    files.keep(&three(0x1_0000_0000), Some(&four)).unwrap();
    let membership = home.membership();
    assert_eq!(membership.ensemble, three(0x1_0000_0000));
    assert_eq!(membership.proposed, Some(four.clone()));

    let mut files = home.files();
    files.keep(&four, None).unwrap();
    let loaded = home.load().config;
    let membership = loaded.membership.unwrap();
    assert_eq!((membership.ensemble, membership.proposed), (four, None));
    assert_eq!(loaded.client_port.port, 2182);
    let text = home.text("").unwrap();
    assert!(!text.contains("clientPort="), "{text}");
    assert_eq!(text.matches(POINTER).count(), 1, "{text}");
    let sorted = home.text(".dynamic.100000005").unwrap();
    let sorted: Vec<_> = sorted.lines().map(str::to_owned).collect();
    assert!(sorted.is_sorted(), "{sorted:?}");
}

#[test]
fn a_proposal_that_is_given_up_is_forgotten() {
    let home = Home::new(STATIC);
    let mut files = home.files();
    files
        .keep(&three(0x1_0000_0000), Some(&members(FOUR, 0x1_0000_0005)))
        .unwrap();
    files.keep(&three(0x1_0000_0000), None).unwrap();
    assert_eq!(home.text(".dynamic.next"), None);
    assert_eq!(home.membership().proposed, None);
}

#[test]
fn a_proposal_that_is_in_force_already_is_none() {
    let home = Home::new(STATIC);
    home.files().keep(&three(0x1_0000_0000), None).unwrap();
    std::fs::write(
        home.path(".dynamic.next"),
        text(&three(0x1_0000_0000), true),
    )
    .unwrap();
    assert_eq!(home.membership().proposed, None);
    home.files().forget_what_is_settled().unwrap();
    assert_eq!(home.text(".dynamic.next"), None);
    std::fs::write(home.path(".dynamic.next"), "server.1=nonsense").unwrap();
    let refused = Config::load(&home.path(""), "", &[])
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("zoo.cfg.dynamic.next: server.1: "),
        "{refused}"
    );
}

#[test]
fn what_cannot_be_written_is_told() {
    let home = Home::new(STATIC);
    let mut files = home.files();
    std::fs::remove_file(home.path("")).unwrap();
    let gone = files.keep(&three(0x1_0000_0000), None).unwrap_err();
    assert!(matches!(gone, MembershipFileError::Gone { .. }), "{gone}");
    let folder = home.0.path().to_owned();
    drop(home);
    let failed = files.keep(&three(0), Some(&three(9))).unwrap_err();
    assert!(
        matches!(failed, MembershipFileError::Io(_)),
        "{failed} in {folder:?}"
    );
}

#[test]
fn members_outside_of_the_file_cannot_change() {
    let text = format!("dataDir=/d\n{STATIC}");
    let overrides = ["server.1=x:2888:3888".to_owned()];
    let sources = Sources {
        path: Path::new("zoo.cfg"),
        text: text.as_bytes(),
        jvm_flags: "",
        overrides: &overrides,
    };
    let refused = Config::parse(&sources, |_| Ok(Some("2".to_owned())));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "--set: server.1=x:2888:3888: reconfigEnabled=true needs it in the configuration file, \
         which is rewritten when the members change"
    );
}
