//! What is refused, with the exact messages.

use super::*;

#[test]
fn errors_name_place_value_and_expectation() {
    for (lines, expected) in [
        (
            "tickTime=0",
            "zoo.cfg:3: tickTime=0: expected an integer from 1 to 2147483647",
        ),
        (
            "tickTime=2s",
            "zoo.cfg:3: tickTime=2s: expected an integer from 1 to 2147483647",
        ),
        (
            "syncEnabled=yes",
            "zoo.cfg:3: syncEnabled=yes: expected true or false",
        ),
        (
            "forceSync=true",
            "zoo.cfg:3: forceSync=true: expected yes or no",
        ),
        ("electionAlg=0", "zoo.cfg:3: electionAlg=0: expected 3"),
        (
            "peerType=leader",
            "zoo.cfg:3: peerType=leader: expected participant or observer",
        ),
        (
            "#\n\n zookeeper.snapCount : many",
            "zoo.cfg:5: zookeeper.snapCount=many: expected an integer of at least 2",
        ),
        (
            "DigestAuthenticationProvider.superDigest=word",
            "zoo.cfg:3: DigestAuthenticationProvider.superDigest=(hidden): expected user:hash",
        ),
        (
            "clientPortAddress=a:b",
            "zoo.cfg:3: clientPortAddress=a:b: expected a host name or an IP address",
        ),
        (
            "minSessionTimeout=9\nmaxSessionTimeout=8",
            "zoo.cfg:4: minSessionTimeout 9 ms is above maxSessionTimeout 8 ms: expected at most \
             that",
        ),
        (
            "minSessionTimeout=0\nmaxSessionTimeout=0",
            "zoo.cfg:4: maxSessionTimeout is 0: expected a positive number of milliseconds",
        ),
        (
            "enforce.auth.enabled=true",
            "zoo.cfg:3: enforce.auth.enabled=true: expected schemes in enforce.auth.schemes",
        ),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=sasl",
            "zoo.cfg:4: enforce.auth.schemes names sasl: expected ip or digest",
        ),
        (
            r"k=\u12",
            "zoo.cfg:3: malformed \\u escape: expected four hex digits that form a character",
        ),
        (
            "server.1=zk1",
            "zoo.cfg:3: server.1=zk1: expected \
             host:port:port[:participant|observer][|…][;[host:]port]",
        ),
        (
            "server.x=a:1:2",
            "zoo.cfg:3: server.x=a:1:2: expected server.N with an integer N",
        ),
        (
            "group.1=a",
            "zoo.cfg:3: group.1=a: expected server ids separated by colons",
        ),
    ] {
        assert_eq!(error(lines), expected);
    }
}

#[test]
fn missing_keys_are_named() {
    let error = |file| Given { file, ..NOTHING }.load().unwrap_err().to_string();
    assert_eq!(
        error("clientPort=1"),
        "zoo.cfg: dataDir is not set: the directory of snapshots"
    );
    let expected = "zoo.cfg: clientPort is not set: the port that clients connect to";
    assert_eq!(error("dataDir=/data"), expected);
    assert_eq!(error("dataDir=/data\nclientPortAddress=::1"), expected);
}

#[test]
fn malformed_overrides_and_flags_are_refused() {
    let error = |given: Given<'_>| given.load().unwrap_err().to_string();
    let overrides: &[&str] = &["tickTime"];
    let given = Given {
        file: MINIMAL,
        overrides,
        ..NOTHING
    };
    assert_eq!(error(given), "--set: \"tickTime\" is not key=value");
    let given = Given {
        file: MINIMAL,
        jvm_flags: "-Da='",
        ..NOTHING
    };
    assert_eq!(error(given), "SERVER_JVMFLAGS: a ' that is never closed");
    let given = Given {
        file: MINIMAL,
        jvm_flags: "-Dzookeeper.enforceQuota=on",
        ..NOTHING
    };
    assert_eq!(
        error(given),
        "SERVER_JVMFLAGS: zookeeper.enforceQuota=on: expected true or false"
    );
}

#[test]
fn what_the_server_does_not_do_is_refused() {
    let client_tls = "the client port has no TLS";
    let quorum_tls = "the quorum and election ports have no TLS";
    let sasl = "there is no SASL authentication";
    let quorum_sasl = "there is no SASL authentication between servers";
    for (line, why) in [
        ("secureClientPort=2281", client_tls),
        ("secureClientPortAddress=::1", client_tls),
        ("client.portUnification=true", client_tls),
        ("sslQuorum=true", quorum_tls),
        ("portUnification=true", quorum_tls),
        ("quorum.auth.enableSasl=true", quorum_sasl),
        ("quorum.auth.learnerRequireSasl=true", quorum_sasl),
        ("quorum.auth.serverRequireSasl=true", quorum_sasl),
        (
            "snapshot.compression.method=gz",
            "snapshots are written without compression",
        ),
        (
            "emulate353TTLNodes=true",
            "TTL nodes in the layout of 3.5.3 are not read",
        ),
        (
            "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
            "Java classes cannot be loaded: the schemes are world, auth, digest and ip",
        ),
        ("java.security.auth.login.config=/etc/jaas.conf", sasl),
        ("sessionRequireClientSASLAuth=true", sasl),
        ("audit.enable=true", "there is no audit log"),
    ] {
        assert_eq!(error(line), format!("zoo.cfg:3: {line} is refused: {why}"));
    }
    let refused = table::keys().filter(|key| matches!(key.status, Status::Refused { .. }));
    assert_eq!(refused.count(), 14, "each refusal has its message above");
}
