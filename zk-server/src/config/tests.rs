//! The configuration from its texts to its fields.

mod every_key;
mod precedence;
mod refusals;
mod servers;
mod warnings;

use super::key::{Key, Source, Status};
use super::table;
use super::*;
use std::io;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;

/// A configuration made of texts alone.
struct Given<'a> {
    file: &'a str,
    jvm_flags: &'a str,
    overrides: &'a [&'a str],
    my_id: Option<&'a str>,
    /// The content of every file but `myid`.
    dynamic: Option<&'a str>,
}

const NOTHING: Given<'_> = Given {
    file: "",
    jvm_flags: "",
    overrides: &[],
    my_id: None,
    dynamic: None,
};

/// The least that a file must hold.
const MINIMAL: &str = "dataDir=/data\nclientPort=2181\n";

impl Given<'_> {
    fn load(&self) -> Result<Loaded, ConfigError> {
        let overrides: Vec<_> = self
            .overrides
            .iter()
            .map(|text| (*text).to_owned())
            .collect();
        let sources = Sources {
            path: Path::new("zoo.cfg"),
            text: self.file.as_bytes(),
            jvm_flags: self.jvm_flags,
            overrides: &overrides,
        };
        Config::parse(&sources, |path| {
            let is_my_id = path.file_name().unwrap() == "myid";
            let content = if is_my_id { self.my_id } else { self.dynamic };
            Ok(content.map(str::to_owned))
        })
    }
}

/// Loads the minimal file with more lines, the first of which is line 3.
fn load(lines: &str) -> Result<Loaded, ConfigError> {
    Given {
        file: &format!("{MINIMAL}{lines}\n"),
        ..NOTHING
    }
    .load()
}

fn config(lines: &str) -> Config {
    load(lines).unwrap().config
}

fn error(lines: &str) -> String {
    load(lines).unwrap_err().to_string()
}

fn warnings(lines: &str) -> Vec<String> {
    load(lines)
        .unwrap()
        .warnings
        .iter()
        .map(Warning::to_string)
        .collect()
}

fn effective(loaded: &Loaded, key: &str) -> (Option<String>, String) {
    let row = loaded.effective.settings.iter().find(|row| row.key == key);
    let row = row.unwrap_or_else(|| panic!("no {key} in\n{}", loaded.effective));
    (row.value.clone(), row.origin.clone())
}

#[test]
fn the_sample_configuration_is_read_as_apache_reads_it() {
    let file = "\
# The number of milliseconds of each tick
tickTime=2000
initLimit=10
syncLimit=5
# an example: do not keep data under /tmp
dataDir=/tmp/zookeeper
clientPort=2181
#maxClientCnxns=60
#autopurge.snapRetainCount=3
#autopurge.purgeInterval=1
";
    let loaded = Given { file, ..NOTHING }.load().unwrap();
    let config = &loaded.config;
    assert_eq!(config.data_dir, Path::new("/tmp/zookeeper"));
    assert_eq!(config.data_log_dir, Path::new("/tmp/zookeeper"));
    assert_eq!(
        (config.client_port.port, &config.client_port.address),
        (2181, &ListenAddress::Any)
    );
    assert_eq!(config.tick_time, Duration::from_secs(2));
    assert_eq!(config.sessions.min_timeout, Duration::from_secs(4));
    assert_eq!(config.sessions.max_timeout, Duration::from_secs(40));
    let expected = Warning::EnsembleOnly {
        keys: vec!["initLimit".into(), "syncLimit".into()],
    };
    assert_eq!(loaded.warnings, [expected]);
    assert_eq!(
        effective(&loaded, "tickTime"),
        (Some("2000".into()), "zoo.cfg:2".into())
    );
}

#[test]
fn defaults_are_those_of_the_code_not_of_the_sample() {
    let config = config("");
    assert_eq!(config.tick_time, Duration::from_secs(3));
    assert_eq!(config.sessions.max_timeout, Duration::from_secs(60));
    assert_eq!(config.client_port.backlog, None);
    assert!(config.client_port.four_letter_words.allows("srvr"));
    assert!(!config.client_port.four_letter_words.allows("ruok"));
    assert_eq!(config.limits.frame_bytes_max.get(), 0xfffff);
    assert_eq!(config.limits.record_bytes_max.get(), 2 * 0xfffff);
    assert_eq!(config.limits.frame_bytes_before_login_max.get(), 4096);
    assert_eq!(config.limits.handshake_deadline, Duration::from_secs(10));
    assert_eq!(
        config.limits.connections_per_address_max,
        NonZeroU32::new(60)
    );
    assert_eq!(config.limits.connections_max, NonZeroU32::new(65_536));
    assert_eq!(config.limits.outstanding_requests_max.get(), 1000);
    assert_eq!(config.limits.multi_ops_max.get(), 10_000);
    assert!(config.storage.force_sync && config.storage.creates_directories);
    assert_eq!(
        config.storage.fsync_warning_threshold,
        Duration::from_secs(1)
    );
    assert_eq!(config.storage.pre_alloc_bytes, NonZeroU64::new(64 << 20));
    assert_eq!(config.storage.log_file_bytes_max, None);
    assert_eq!(config.storage.snap_count.get(), 100_000);
    assert_eq!(config.storage.snap_bytes, NonZeroU64::new(4 << 30));
    assert_eq!(config.storage.commit_log_count, 500);
    assert!(config.storage.close_session_txn_has_paths && config.storage.is_digest_enabled);
    assert!(config.storage.snapshot_has_last_zxid && !config.storage.trusts_empty_snapshot);
    let purge = config.storage.purge.unwrap();
    assert_eq!(
        (purge.retained_snapshots.get(), purge.interval.as_secs()),
        (3, 3600)
    );
    assert!(!config.tree.extended_types_enabled && !config.tree.enforces_quota);
    assert_eq!(config.tree.reaper.check_interval, Duration::from_secs(60));
    assert_eq!(config.tree.reaper.removals_per_minute_max.get(), 10_000);
    assert_eq!(config.tree.reaper.never_used_interval, None);
    assert!(config.auth.is_digest_enabled && !config.auth.skip_acl);
    assert_eq!(config.auth.digest_algorithm, DigestAlgorithm::Sha1);
    assert_eq!(config.auth.super_digest, None);
    assert!(config.auth.enforced_schemes.is_empty());
    assert!(load("").unwrap().warnings.is_empty());
}

#[test]
fn values_reach_their_fields() {
    let config = config(
        "dataLogDir=/log\nminSessionTimeout=5000\nmaxSessionTimeout=90000\nmaxClientCnxns=0\n\
         maxCnxns=0\nclientPortAddress=127.0.0.1\nclientPortListenBacklog=50\nsnapCount=1000\n\
         preAllocSize=1024\ntxnLogSizeLimitInKb=2048\nsnapSizeLimitInKb=-1\nskipACL=yes\n\
         forceSync=no\n4lw.commands.whitelist=stat, ruok\nautopurge.purgeInterval=0\n\
         DigestAuthenticationProvider.superDigest=super:hash\n\
         DigestAuthenticationProvider.digestAlg=SHA-256\nextendedTypesEnabled=true\n\
         enforce.auth.enabled=true\nenforce.auth.schemes=ip, digest\n\
         fsync.warningthresholdms=20\nlimits.sessions=0\nlimits.watchesPerSession=7",
    );
    assert_eq!(config.data_log_dir, Path::new("/log"));
    assert_eq!(config.sessions.min_timeout.as_millis(), 5000);
    assert_eq!(config.sessions.max_timeout.as_millis(), 90_000);
    assert_eq!(config.limits.connections_per_address_max, None);
    assert_eq!(config.limits.connections_max, None);
    assert_eq!(config.limits.sessions_max, None);
    assert_eq!(config.limits.watches_per_session_max, NonZeroU32::new(7));
    assert_eq!(
        config.client_port.address,
        ListenAddress::Host("127.0.0.1".into())
    );
    assert_eq!(config.client_port.backlog, NonZeroU32::new(50));
    assert_eq!(config.storage.snap_count.get(), 1000);
    assert_eq!(config.storage.pre_alloc_bytes, NonZeroU64::new(1 << 20));
    assert_eq!(config.storage.log_file_bytes_max, NonZeroU64::new(2 << 20));
    assert_eq!(config.storage.snap_bytes, None);
    assert_eq!(config.storage.fsync_warning_threshold.as_millis(), 20);
    assert_eq!(config.storage.purge, None);
    assert!(config.auth.skip_acl && !config.storage.force_sync);
    assert!(config.client_port.four_letter_words.allows("ruok"));
    assert_eq!(config.auth.super_digest.unwrap().as_str(), "super:hash");
    assert_eq!(config.auth.digest_algorithm, DigestAlgorithm::Sha256);
    assert_eq!(config.auth.enforced_schemes, ["ip", "digest"]);
    assert!(config.tree.extended_types_enabled);
}

#[test]
fn records_exceed_frames_by_at_least_1024_bytes_and_fit_a_length() {
    let bytes = |lines| {
        let limits = config(lines).limits;
        (limits.frame_bytes_max.get(), limits.record_bytes_max.get())
    };
    assert_eq!(bytes("jute.maxbuffer=100"), (100, 1124));
    assert_eq!(
        bytes("jute.maxbuffer.extrasize=-5"),
        (0xfffff, 0xfffff + 1024)
    );
    assert_eq!(
        bytes("jute.maxbuffer.extrasize=2048"),
        (0xfffff, 0xfffff + 2048)
    );
    assert_eq!(
        bytes("jute.maxbuffer=0x7fffffff"),
        (0x7fff_ffff, 0x7fff_ffff)
    );
}

#[test]
fn read_only_mode_allows_isro() {
    let config = config("readonlymode.enabled=true\n4lw.commands.whitelist=stat");
    assert!(config.read_only_mode_enabled);
    assert!(config.client_port.four_letter_words.allows("isro"));
}

#[test]
fn a_jvm_bound_to_ipv4_listens_on_ipv4() {
    let flags = Given {
        file: MINIMAL,
        jvm_flags: "-Djava.net.preferIPv4Stack=true",
        ..NOTHING
    };
    let loaded = flags.load().unwrap();
    assert_eq!(loaded.config.client_port.address, ListenAddress::AnyIpv4);
    assert_eq!(loaded.warnings, []);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the file is what is tested")]
fn load_reads_the_file_and_myid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.cfg");
    let error = Config::load(&path, "", &[]).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    let text = format!("dataDir={}\nclientPort=2181", folder.path().display());
    std::fs::write(&path, text).unwrap();
    assert_eq!(Config::load(&path, "", &[]).unwrap().config.my_id, None);
    std::fs::write(folder.path().join("myid"), "3\n").unwrap();
    assert_eq!(
        Config::load(&path, "", &[]).unwrap().config.my_id,
        Some(ServerId(3))
    );
}

#[test]
fn a_development_server_is_reachable_from_this_machine_only() {
    let config = Config::dev(Path::new("./zk-data"), 2181);
    assert_eq!(config.data_dir, Path::new("./zk-data"));
    assert_eq!(config.data_log_dir, Path::new("./zk-data"));
    assert_eq!(config.client_port.address, ListenAddress::Loopback);
    assert_eq!(config.client_port.port, 2181);
    assert_eq!(config.tick_time.as_millis(), 2000);
    assert!(config.client_port.four_letter_words.allows("mntr"));
    assert!(config.storage.purge.is_some() && config.storage.force_sync);
}

#[test]
fn the_effective_configuration_hides_secrets_and_is_valid_json() {
    let loaded =
        load("DigestAuthenticationProvider.superDigest=super:hash\nssl.keyStore.password=pw")
            .unwrap();
    let text = loaded.effective.to_string();
    let json = serde_json::to_string(&loaded.effective).unwrap();
    for output in [&text, &json, &format!("{:?}", loaded.config)] {
        assert!(
            !output.contains("super:hash") && !output.contains("pw\""),
            "{output}"
        );
    }
    assert!(text.contains("(hidden)"), "{text}");
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(lines[0], ["dataDir", "/data", "zoo.cfg:1"]);
    assert!(lines.contains(&vec!["minSessionTimeout", "6000", "default"]));
    assert!(lines.contains(&vec!["clientPortAddress", "any", "default"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let first = &json["settings"][0];
    assert_eq!(
        (&first["key"], &first["origin"]),
        (&"dataDir".into(), &"zoo.cfg:1".into())
    );
    assert_eq!(
        json["warnings"][0],
        "zoo.cfg:4: ssl.keyStore.password has no effect: the client port has no TLS"
    );
}
