//! What is accepted with a warning.

use super::*;

#[test]
fn unknown_keys_are_warned_about_with_a_likely_spelling() {
    let given = Given {
        file: &format!("{MINIMAL}\nsnapcount=7\nmy.key=secret"),
        jvm_flags: "-Xmx1g -Dcom.example=1 -XX:+UseG1GC",
        ..NOTHING
    };
    let shown: Vec<_> = given
        .load()
        .unwrap()
        .warnings
        .iter()
        .map(Warning::to_string)
        .collect();
    assert_eq!(
        shown,
        [
            "SERVER_JVMFLAGS: there is no JVM that could use -Xmx1g -XX:+UseG1GC",
            "zoo.cfg:4: snapcount is not a known key and has no effect: did you mean snapCount?",
            "zoo.cfg:5: my.key is not a known key and has no effect",
            "SERVER_JVMFLAGS: com.example is not a known key and has no effect",
        ]
    );
}

#[test]
fn keys_without_effect_are_warned_about_by_name() {
    assert_eq!(
        warnings("jvm.pause.monitor=true\nadmin.serverPort=9000\nssl.quorum.crl=true"),
        [
            "zoo.cfg:3: jvm.pause.monitor has no effect: this server does not run in a JVM",
            "zoo.cfg:4: admin.serverPort has no effect: there is no admin server",
            "zoo.cfg:5: ssl.quorum.crl has no effect: the quorum and election ports have no TLS",
        ]
    );
    let agreed = "jvm.pause.monitor=false\nadmin.enableServer=False\nmaxResponseCacheSize=0";
    assert_eq!(warnings(agreed), [""; 0]);
}

#[test]
fn values_that_give_up_a_promise_are_warned_about() {
    assert_eq!(
        warnings("skipACL=yes\nforceSync=no\nsnapshot.trust.empty=true"),
        [
            "zoo.cfg:4: forceSync: a power cut loses acknowledged writes",
            "zoo.cfg:3: skipACL: every client may read and change everything",
            "zoo.cfg:5: snapshot.trust.empty: a lost snapshot goes unnoticed",
        ]
    );
}

#[test]
fn values_below_what_is_safe_are_raised() {
    let loaded = load("autopurge.snapRetainCount=1\nsnapCount=-1").unwrap();
    assert_eq!(
        loaded
            .config
            .storage
            .purge
            .unwrap()
            .retained_snapshots
            .get(),
        3
    );
    assert_eq!(loaded.config.storage.snap_count.get(), 2);
    let shown: Vec<_> = loaded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        shown,
        [
            "zoo.cfg:3: autopurge.snapRetainCount=1 is too small: 3 is used",
            "zoo.cfg:4: snapCount=-1 is too small: 2 is used",
        ]
    );
}

#[test]
fn relative_paths_and_bytes_above_127_are_warned_about() {
    let expected = "zoo.cfg:3: dataLogDir=log is relative: prepend ./ to show that this is meant";
    assert_eq!(warnings("dataLogDir=log"), [expected]);
    assert_eq!(warnings("dataLogDir=./log"), [""; 0]);
    let loaded = load("dataLogDir=/données").unwrap();
    assert_eq!(loaded.config.data_log_dir, Path::new("/donnÃ©es"));
    let expected =
        "zoo.cfg:3: bytes above 127 are read as ISO-8859-1: write \\uXXXX escapes instead";
    assert_eq!(loaded.warnings.first().unwrap().to_string(), expected);
}
