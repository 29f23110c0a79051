//! Which of several settings of one key counts.

use super::*;

#[test]
fn the_file_wins_over_the_environment_for_system_properties() {
    let given = Given {
        file: "dataDir=/data\nclientPort=2181\nsnapCount=10",
        jvm_flags: "-Dzookeeper.snapCount=20 -Dzookeeper.enforceQuota=true",
        ..NOTHING
    };
    let loaded = given.load().unwrap();
    assert_eq!(loaded.config.storage.snap_count.get(), 10);
    assert!(loaded.config.tree.enforces_quota);
    let shown: Vec<_> = loaded.warnings.iter().map(Warning::to_string).collect();
    let expected = "SERVER_JVMFLAGS: zookeeper.snapCount has no effect: zoo.cfg:3 overrules it";
    assert_eq!(shown, [expected]);
    assert_eq!(
        effective(&loaded, "enforceQuota"),
        (Some("true".into()), "SERVER_JVMFLAGS".into())
    );
}

#[test]
fn the_environment_wins_for_what_only_it_can_set_in_apache() {
    let given = Given {
        file: "dataDir=/data\nclientPort=2181\njute.maxbuffer=10",
        jvm_flags: "-Djute.maxbuffer=20",
        ..NOTHING
    };
    let loaded = given.load().unwrap();
    assert_eq!(loaded.config.limits.frame_bytes_max.get(), 20);
    let shown: Vec<_> = loaded.warnings.iter().map(Warning::to_string).collect();
    let expected = "zoo.cfg:3: jute.maxbuffer has no effect: SERVER_JVMFLAGS overrules it";
    assert_eq!(shown, [expected]);
}

#[test]
fn a_spelling_that_apache_does_not_read_counts_only_where_there_is_no_other() {
    let given = Given {
        file: "dataDir=/data\nclientPort=2181\nzookeeper.snapCount=10\njute.maxbuffer=30",
        jvm_flags: "-DtickTime=500 -Dzookeeper.snapCount=20",
        ..NOTHING
    };
    let loaded = given.load().unwrap();
    assert_eq!(loaded.config.storage.snap_count.get(), 20);
    assert_eq!(loaded.config.tick_time.as_millis(), 500);
    assert_eq!(loaded.config.limits.frame_bytes_max.get(), 30);
    let shown: Vec<_> = loaded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        shown,
        [
            "zoo.cfg:3: zookeeper.snapCount has no effect: SERVER_JVMFLAGS overrules it",
            "zoo.cfg:4: jute.maxbuffer is honoured here, but Apache ZooKeeper reads it only as \
             -Djute.maxbuffer",
            "SERVER_JVMFLAGS: tickTime is honoured here, but Apache ZooKeeper reads it only as \
             tickTime in the file",
        ]
    );
}

#[test]
fn set_wins_over_everything_and_its_last_value_counts() {
    for key in ["jute.maxbuffer", "zookeeper.jute.maxbuffer"] {
        let given = Given {
            file: "dataDir=/data\nclientPort=2181\njute.maxbuffer=1",
            jvm_flags: "-Djute.maxbuffer=2",
            overrides: &[&format!("{key}=3"), &format!("{key} = 4")],
            ..NOTHING
        };
        let loaded = given.load().unwrap();
        assert_eq!(loaded.config.limits.frame_bytes_max.get(), 4);
        assert_eq!(
            effective(&loaded, "jute.maxbuffer"),
            (Some("4".into()), "--set".into())
        );
        assert_eq!(loaded.warnings.len(), 3, "{:?}", loaded.warnings);
    }
}

#[test]
fn set_rescues_a_file_that_is_refused() {
    let file = "dataDir=/data\nclientPort=x\nsslQuorum=true";
    let overrides: &[&str] = &["clientPort=2181", "sslQuorum=false"];
    assert!(
        Given {
            file,
            overrides,
            ..NOTHING
        }
        .load()
        .is_ok()
    );
}

#[test]
fn a_repeated_line_is_warned_about_and_the_later_counts() {
    let loaded = load("tickTime=1\ntickTime = 2 ").unwrap();
    assert_eq!(loaded.config.tick_time.as_millis(), 2);
    let shown = loaded.warnings.first().unwrap().to_string();
    assert_eq!(
        shown,
        "zoo.cfg:3: tickTime has no effect: zoo.cfg:4 overrules it"
    );
}
