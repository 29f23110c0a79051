//! `server.N` lines and `myid`.

use super::*;

/// The lines of a member of an ensemble of three.
const THREE: &str = "initLimit=10\nsyncLimit=5\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n\
                     server.3=c:2888:3888";

fn member(lines: &str, my_id: &str) -> Result<Loaded, ConfigError> {
    Given {
        file: &format!("{MINIMAL}{lines}\n"),
        my_id: Some(my_id),
        ..NOTHING
    }
    .load()
}

fn member_error(lines: &str, my_id: &str) -> String {
    member(lines, my_id).unwrap_err().to_string()
}

#[test]
fn several_servers_make_a_member_of_an_ensemble() {
    let loaded = member(THREE, "2").unwrap();
    let membership = loaded.config.membership.as_ref().unwrap();
    assert_eq!(membership.id, ServerId(2));
    assert_eq!(
        membership.ensemble.to_string(),
        "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\n\
         server.3=c:2888:3888:participant\nversion=0"
    );
    assert_eq!(membership.own().to_string(), "b:2888:3888:participant");
    let quorum = &loaded.config.quorum;
    assert_eq!((quorum.init_limit, quorum.sync_limit), (10, 5));
    assert_eq!(quorum.election_connect_timeout, Duration::from_secs(2));
    assert_eq!(quorum.connect_delay, Duration::from_millis(100));
    assert_eq!(quorum.snapshot_size_factor, Some(0.33));
    assert_eq!(quorum.bind_attempts, NonZeroU32::new(3));
    assert!(quorum.leader_serves && !quorum.listens_on_all && !quorum.has_keep_alive);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn what_a_member_is_told_reaches_its_fields() {
    let lines = "connectToLearnerMasterLimit=3\nleaderServes=no\nquorumListenOnAllIPs=true\n\
                 cnxTimeout=700\nelectionPortBindRetry=0\ntcpKeepAlive=true\n\
                 fastleader.minNotificationInterval=100\nsnapshotSizeFactor=-1\n\
                 fastleader.maxNotificationInterval=5000\nsync.asksQuorum=true\n\
                 leaderConnectDelayDuringRetryMs=50\nlocalSessionsEnabled=true\n\
                 localSessionsUpgradingEnabled=true\nlimits.bytesPerPeer=1000";
    let config = member(&format!("{THREE}\n{lines}"), "1").unwrap().config;
    let quorum = &config.quorum;
    assert_eq!(quorum.connect_limit, NonZeroU32::new(3));
    assert_eq!(quorum.election_connect_timeout.as_millis(), 700);
    assert_eq!(quorum.bind_attempts, None);
    assert_eq!(quorum.vote_interval_min.as_millis(), 100);
    assert_eq!(quorum.vote_interval_max.as_millis(), 5000);
    assert_eq!(quorum.snapshot_size_factor, None);
    assert_eq!(quorum.connect_delay.as_millis(), 50);
    assert!(!quorum.leader_serves && quorum.listens_on_all && quorum.has_keep_alive);
    assert!(quorum.sync_asks_quorum);
    assert!(quorum.has_local_sessions && quorum.upgrades_local_sessions);
    assert_eq!(config.limits.bytes_per_peer_max.get(), 1000);
}

#[test]
fn the_own_line_names_the_client_port() {
    let file = "dataDir=/data\ninitLimit=1\nsyncLimit=1\nserver.1=a:1:2;2181\n\
                server.2=b:1:2;127.0.0.1:2182\nserver.3=c:1:2;2183";
    let loaded = Given {
        file,
        my_id: Some("2"),
        ..NOTHING
    }
    .load()
    .unwrap();
    assert_eq!(loaded.config.client_port.port, 2182);
    let value = (Some("2182".into()), "zoo.cfg:5".into());
    assert_eq!(effective(&loaded, "clientPort"), value);
}

#[test]
fn the_servers_may_stand_in_a_dynamic_file() {
    let given = Given {
        file: &format!(
            "{MINIMAL}initLimit=10\nsyncLimit=5\ndynamicConfigFile=/conf/zoo.cfg.dynamic.1000000a3"
        ),
        my_id: Some("1"),
        dynamic: Some("# members\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\n"),
        ..NOTHING
    };
    let membership = given.load().unwrap().config.membership.unwrap();
    assert_eq!(
        membership.ensemble.to_string(),
        "server.1=a:1:2:participant\nserver.2=b:1:2:participant\nserver.3=c:1:2:observer\n\
         version=1000000a3"
    );
    let error = |given: Given<'_>| given.load().unwrap_err().to_string();
    let wrong = Given {
        dynamic: Some("server.1=a:1:2\nclientPort=2"),
        ..given
    };
    assert_eq!(
        error(wrong),
        "/conf/zoo.cfg.dynamic.1000000a3: \"clientPort\", expected server.N, group.N, weight.N or \
         version"
    );
    let missing = Given {
        dynamic: None,
        ..given
    };
    assert_eq!(
        error(missing),
        "/conf/zoo.cfg.dynamic.1000000a3: entity not found"
    );
    let both = Given {
        file: &format!("{MINIMAL}server.1=a:1:2\ndynamicConfigFile=/d"),
        ..NOTHING
    };
    assert_eq!(
        error(both),
        "zoo.cfg:3: server.1=a:1:2: it belongs into the dynamicConfigFile"
    );
}

#[test]
fn groups_and_weights_are_part_of_the_ensemble() {
    let lines = format!("{THREE}\ngroup.1=1:2\ngroup.2=3\nweight.3=2");
    let ensemble = member(&lines, "3").unwrap().config.membership.unwrap();
    let hierarchy = ensemble.ensemble.hierarchy().unwrap().clone();
    assert_eq!(hierarchy.weights.get(&ServerId(3)), Some(&2));
    assert_eq!(
        member_error(&format!("{THREE}\ngroup.1=1:2"), "3"),
        "zoo.cfg:5: participant 3 is in no group, expected one"
    );
}

#[test]
fn what_a_member_lacks_is_named() {
    let lines = "server.1=a:1:2\nserver.2=b:1:2";
    for (lines, my_id, expected) in [
        (
            lines.to_owned(),
            "1",
            "zoo.cfg: initLimit is not set: a member of an ensemble needs it",
        ),
        (
            format!("initLimit=1\nsyncLimit=0\n{lines}"),
            "1",
            "zoo.cfg:4: syncLimit=0: a member of an ensemble needs at least 1",
        ),
        (
            THREE.to_owned(),
            "4",
            "/data/myid: 4 is no member, expected the number N of a line server.N",
        ),
        (
            "standaloneEnabled=false".to_owned(),
            "1",
            "zoo.cfg:3: standaloneEnabled=false: expected lines server.N",
        ),
        (
            "server.1=a:1:2\nserver.2=b:1:2:observer".to_owned(),
            "1",
            "zoo.cfg:4: server.2=b:1:2:observer: an observer of a single participant needs \
             standaloneEnabled=false",
        ),
    ] {
        assert_eq!(member_error(&lines, my_id), expected);
    }
    let without = Given {
        file: &format!("{MINIMAL}{THREE}"),
        ..NOTHING
    };
    assert_eq!(
        without.load().unwrap_err().to_string(),
        "/data/myid is missing: expected the number N of this server's line server.N"
    );
}

#[test]
fn an_only_server_may_be_an_ensemble_of_one() {
    let lines = "standaloneEnabled=false\ninitLimit=1\nsyncLimit=1\nserver.1=a:1:2";
    let loaded = member(lines, "1").unwrap();
    assert!(loaded.config.membership.is_some());
    let shown: Vec<_> = loaded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        shown,
        ["at most 0 of 1 participants may be lost: an odd number, and at least 3, serves better"]
    );
}

#[test]
fn what_a_member_does_not_do_is_warned_about() {
    let lines = format!(
        "{THREE}\npeerType=observer\n\
         observerMasterPort=2191"
    );
    let shown: Vec<_> = (member(&lines, "1").unwrap().warnings.iter())
        .map(Warning::to_string)
        .collect();
    let shown: Vec<_> = shown.iter().map(String::as_str).collect();
    assert_eq!(
        shown,
        [
            "zoo.cfg:9: observerMasterPort has no effect: observers follow the leader, not other \
             followers",
            "zoo.cfg:8: peerType=observer is not used: server.1 is a participant",
        ]
    );
}

#[test]
fn one_server_runs_alone_on_the_client_port_of_its_line() {
    let file = "dataDir=/data\nserver.1=zk1:2888:3888;127.0.0.1:2182";
    for my_id in [None, Some("1"), Some("1\n")] {
        let loaded = Given {
            file,
            my_id,
            ..NOTHING
        }
        .load()
        .unwrap();
        let client_port = &loaded.config.client_port;
        assert_eq!(client_port.port, 2182);
        assert_eq!(client_port.address, ListenAddress::Host("127.0.0.1".into()));
        assert_eq!(loaded.config.my_id, my_id.map(|_| ServerId(1)));
        assert_eq!(
            effective(&loaded, "clientPort"),
            (Some("2182".into()), "zoo.cfg:2".into())
        );
    }
    assert_eq!(config("server.1=zk1:2888:3888").client_port.port, 2181);
}

#[test]
fn the_line_of_another_server_does_not_name_the_client_port() {
    let file = "dataDir=/data\nserver.1=zk1:2888:3888;2182";
    let error = Given {
        file,
        my_id: Some("2"),
        ..NOTHING
    }
    .load()
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "zoo.cfg: clientPort is not set: the port that clients connect to"
    );
    let file = &format!("{MINIMAL}server.1=zk1:2888:3888;2182");
    let loaded = Given {
        file,
        my_id: Some("2"),
        ..NOTHING
    }
    .load()
    .unwrap();
    assert_eq!(loaded.config.client_port.port, 2181);
    let expected = "zoo.cfg:3: the client port of server.1 is not used: myid is 2";
    assert_eq!(loaded.warnings.first().unwrap().to_string(), expected);
}

#[test]
fn contradictions_of_a_server_line_are_refused() {
    for (lines, expected) in [
        (
            "server.1=a:1:2;2182",
            "zoo.cfg:3: server.1=a:1:2;2182: its client part any:2182 differs from clientPort \
             any:2181 at zoo.cfg:2",
        ),
        (
            "server.1=a:1:2;2181\nclientPortAddress=::1",
            "zoo.cfg:3: server.1=a:1:2;2181: its client part any:2181 differs from clientPort \
             ::1:2181 at zoo.cfg:2",
        ),
        (
            "server.1=a:1:2:observer",
            "zoo.cfg:3: 1 observers without a participant, expected at least one",
        ),
        (
            "server.1=a:1:2|b:1:2",
            "zoo.cfg:3: server.1=a:1:2|b:1:2: several addresses need multiAddress.enabled=true",
        ),
    ] {
        assert_eq!(error(lines), expected);
    }
    assert!(load("server.1=a:1:2|b:1:2\nmultiAddress.enabled=true").is_ok());
    assert_eq!(
        config("server.1=a:1:2;127.0.0.1:2181").client_port.port,
        2181
    );
}

#[test]
fn the_part_of_a_server_line_that_is_wrong_is_named() {
    for (line, expected) in [
        (
            "server.1=a:1:70000",
            "zoo.cfg:3: server.1=a:1:70000: expected a port from 0 to 65535, not \"70000\"",
        ),
        (
            "server.1=a:1:2;2181;2281",
            "zoo.cfg:3: server.1=a:1:2;2181;2281: expected one client port, and no secure one, \
             not \"2281\"",
        ),
    ] {
        assert_eq!(error(line), expected);
    }
}

#[test]
fn set_wins_over_the_client_part_of_a_server_line() {
    let loaded = |overrides| {
        let file = "dataDir=/data\nserver.1=zk1:2888:3888;127.0.0.1:2182";
        Given {
            file,
            overrides,
            ..NOTHING
        }
        .load()
        .unwrap()
    };
    let moved = loaded(&["clientPort=0"]);
    assert_eq!(moved.config.client_port.port, 0);
    assert_eq!(
        effective(&moved, "clientPort"),
        (Some("0".into()), "--set".into())
    );
    let value = (Some("127.0.0.1".into()), "zoo.cfg:2".into());
    assert_eq!(effective(&moved, "clientPortAddress"), value);
    let opened = loaded(&["clientPortAddress=::"]);
    assert_eq!(opened.config.client_port.address, ListenAddress::Any);
    assert_eq!(opened.config.client_port.port, 2182);
}

#[test]
fn the_client_part_of_a_server_line_wins_over_the_environment() {
    let given = Given {
        file: "dataDir=/data\nserver.1=zk1:2888:3888;2182",
        jvm_flags: "-Dzookeeper.clientPort=1 -Djava.net.preferIPv4Stack=true",
        ..NOTHING
    };
    let loaded = given.load().unwrap();
    assert_eq!(loaded.config.client_port.port, 2182);
    assert_eq!(loaded.config.client_port.address, ListenAddress::AnyIpv4);
    let shown = loaded.warnings.last().unwrap().to_string();
    assert_eq!(
        shown,
        "SERVER_JVMFLAGS: clientPort has no effect: zoo.cfg:2 overrules it"
    );
}

#[test]
fn a_lone_observer_is_a_participant() {
    let shown = warnings("peerType=observer");
    let expected =
        "zoo.cfg:3: peerType=observer is not used: a server that runs alone is a participant";
    assert!(shown.iter().any(|warning| warning == expected), "{shown:?}");
}

#[test]
fn myid_must_be_a_number() {
    let error = |my_id| {
        Given {
            file: MINIMAL,
            my_id,
            ..NOTHING
        }
        .load()
        .unwrap_err()
        .to_string()
    };
    let expected = "/data/myid: \"one\" is not a server id: expected an integer of 64 bits";
    assert_eq!(error(Some("one\n")), expected);
    assert!(error(Some("")).contains("\"\" is not a server id"));
}

#[test]
fn an_unreadable_myid_is_an_error() {
    let sources = Sources {
        path: Path::new("zoo.cfg"),
        text: MINIMAL.as_bytes(),
        jvm_flags: "",
        overrides: &[],
    };
    let denied = |_: &Path| Err(io::Error::from(io::ErrorKind::PermissionDenied));
    let error = Config::parse(&sources, denied).unwrap_err();
    assert_eq!(error.to_string(), "/data/myid: permission denied");
}
