//! `server.N` lines and `myid`.

use super::*;

#[test]
fn several_servers_are_refused_at_the_second() {
    assert_eq!(
        error("server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888"),
        "zoo.cfg:4: server.2=b:2888:3888 is refused: this server runs alone and cannot join an \
         ensemble"
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
            "zoo.cfg:3: server.1=a:1:2:observer: an ensemble needs a participant",
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
