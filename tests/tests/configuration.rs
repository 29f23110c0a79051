//! What is wrong in `zoo.cfg` stops Apache's server and this one with the same exit code.

use zk_tests::{Flavour, Needs, ServerProcess, ServerSettings};

/// The exit code of an invocation that is wrong (`ExitCode.INVALID_INVOCATION`, 3.9.5).
const INVALID_INVOCATION: i32 = 2;

/// Lines that stand behind those of a server which would serve.
const WRONG: [&str; 27] = [
    "tickTime=abc",
    "tickTime=0",
    "tickTime=-1",
    "minSessionTimeout=50000\nmaxSessionTimeout=40000",
    "maxSessionTimeout=x",
    "clientPort=70000",
    "clientPortListenBacklog=x",
    "initLimit=x",
    "electionAlg=2",
    "peerType=leader",
    "syncEnabled=yes",
    "standaloneEnabled=maybe",
    "reconfigEnabled=1",
    "localSessionsEnabled=no",
    "quorumListenOnAllIPs=1",
    "sslQuorum=x",
    "observerMasterPort=x",
    "multiAddress.enabled=x",
    "autopurge.purgeInterval=x",
    "autopurge.snapRetainCount=x",
    "server.1=127.0.0.1",
    "server.1=127.0.0.1:1",
    "server.1=127.0.0.1:1:2:voter",
    "server.one=127.0.0.1:1:2",
    // An ensemble without initLimit and syncLimit; one without syncLimit; one without a myid.
    "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4",
    "initLimit=5\nserver.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4",
    "initLimit=5\nsyncLimit=5\nserver.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4",
];

#[test]
fn a_configuration_that_apaches_server_refuses_is_refused_with_the_same_exit_code() {
    let apaches = Needs::apache("configuration.rs").map(|_| Flavour::Apache);
    for flavour in [Flavour::Ours].into_iter().chain(apaches) {
        for wrong in WRONG {
            let folder = tempfile::tempdir().expect("there is room for a folder");
            let settings = ServerSettings::new(folder.path()).line(wrong);
            let (code, words) = ServerProcess::refusal(flavour, &settings);
            assert_eq!(
                code,
                Some(INVALID_INVOCATION),
                "{flavour:?}: {wrong}: {words}"
            );
        }
    }
}
