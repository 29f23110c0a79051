//! The membership of a live ensemble changes under clients that write: servers join and leave, begin
//! to vote and stop, and the leader itself goes. Nothing acknowledged is lost, and what each server
//! writes into its configuration files lets it, and a server of the other kind, start again.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zk_proto::quorum::EnsembleConfig;
use zk_proto::{ErrorCode, Reconfig, Request, Response, Zxid};
use zk_tests::{
    Ensemble, EnsembleSettings, Flavour, Ledger, Load, LoadSettings, Needs, RawClient, Role,
    become_super_user, check_files, check_members, prepare_load, program,
};

use Flavour::{Apache, Ours};

const SOON: Duration = Duration::from_secs(60);
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
const CONFIG: &str = "/zookeeper/config";
const ZKCLI: &str = "/usr/share/zookeeper/bin/zkCli.sh";

fn incremental(joining: &[String], leaving: &[u8]) -> Reconfig {
    let leaving: Vec<_> = leaving.iter().map(u8::to_string).collect();
    let list = |parts: &[String]| (!parts.is_empty()).then(|| parts.join(","));
    Reconfig {
        joining: list(joining),
        leaving: list(&leaving),
        new_members: None,
        current_config: Zxid(-1),
    }
}

/// Asks a member for another membership, as the super user.
fn ask(ensemble: &Ensemble, at: u8, reconfig: Reconfig) -> Result<EnsembleConfig, ErrorCode> {
    let mut client = RawClient::connect(ensemble.address(at), SESSION_TIMEOUT).unwrap();
    become_super_user(&mut client).unwrap();
    let reply = client.call(Request::Reconfig(reconfig)).unwrap();
    let answer = match reply.response {
        Some(Response::Data(Some(text), _)) => {
            Ok(String::from_utf8(text.to_vec()).unwrap().parse().unwrap())
        }
        _ => Err(reply.header.err),
    };
    // The connection breaks where the member has another role now.
    _ = client.get(Request::CloseSession);
    answer
}

/// The membership as a member shows it, if it serves.
fn shown(ensemble: &Ensemble, sid: u8) -> Option<EnsembleConfig> {
    shown_at(ensemble.address(sid))
}

fn shown_at(address: SocketAddr) -> Option<EnsembleConfig> {
    let mut client = RawClient::connect(address, SESSION_TIMEOUT).ok()?;
    let get = Request::GetData {
        path: CONFIG.to_owned(),
        watch: false,
    };
    let answer = client.get(get).ok()?;
    _ = client.get(Request::CloseSession);
    let Response::Data(Some(text), _) = answer else {
        return None;
    };
    Some(String::from_utf8(text.to_vec()).unwrap().parse().unwrap())
}

/// Waits until all of these show the membership, and serve.
fn wait_for(ensemble: &mut Ensemble, sids: &[u8], config: &EnsembleConfig) -> u8 {
    let began = Instant::now();
    for &sid in sids {
        while shown(ensemble, sid).as_ref() != Some(config) {
            assert!(
                began.elapsed() < SOON,
                "member {sid} shows {:?}, not {config}{}",
                shown(ensemble, sid),
                ensemble.last_words(sids)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    ensemble.wait_until_serving(sids, SOON)
}

fn voters(config: &EnsembleConfig) -> Vec<i64> {
    config.participants().map(|(id, _)| id.0).collect()
}

/// What a member's files say: the membership in force, and whether one is proposed.
fn on_disk(ensemble: &Ensemble, sid: u8) -> (EnsembleConfig, bool) {
    let folder = ensemble.data_dir(sid);
    let text = fs::read_to_string(folder.join("zoo.cfg")).unwrap();
    assert!(!text.contains("server."), "{text}");
    let pointer = text
        .lines()
        .find_map(|line| line.strip_prefix("dynamicConfigFile="));
    let path = Path::new(pointer.unwrap());
    let version = path.extension().unwrap().to_str().unwrap();
    let version = i64::from_str_radix(version, 16).unwrap();
    let config: EnsembleConfig = fs::read_to_string(path).unwrap().parse().unwrap();
    let is_proposed = folder.join("zoo.cfg.dynamic.next").exists();
    (config.with_version(Zxid(version)), is_proposed)
}

/// Waits until the files say what is in force: it is in force before they say so, and until they do
/// they have it as proposed.
fn assert_on_disk(ensemble: &Ensemble, sids: &[u8], config: &EnsembleConfig) {
    let expected = (config.clone(), false);
    for &sid in sids {
        let began = Instant::now();
        while on_disk(ensemble, sid) != expected {
            let seen = on_disk(ensemble, sid);
            assert!(began.elapsed() < SOON, "member {sid}: {seen:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Writers that go on through everything.
struct Writers {
    load: Load,
}

impl Writers {
    fn start(ensemble: &Ensemble) -> Self {
        let settings = LoadSettings::default();
        let ledgers = prepare_load(ensemble.address(1), &settings).unwrap();
        let load = Load::start(&ensemble.addresses(), &settings, ledgers);
        Self { load }
    }

    fn go_on(&self) {
        self.load.wait_for(60, SOON);
    }

    fn stop(self) -> Vec<Ledger> {
        let ledgers = self.load.stop();
        assert!(ledgers.iter().all(|ledger| ledger.expired == 0));
        ledgers
    }
}

#[test]
fn one_server_grows_to_three_and_the_first_one_goes_and_returns() {
    let settings = EnsembleSettings::new(&[Ours]).reconfigurable();
    let mut ensemble = Ensemble::start(&settings.joiner(Ours).joiner(Ours));
    let writers = Writers::start(&ensemble);
    writers.go_on();
    for sid in [2, 3] {
        ensemble.spawn(sid);
    }
    assert_eq!(ensemble.wait_for_all(SOON), 1);
    let lines = [2, 3].map(|sid| ensemble.line(sid, Role::Participant));
    let three = ask(&ensemble, 3, incremental(&lines, &[])).unwrap();
    assert_eq!(voters(&three), [1, 2, 3]);
    assert_eq!(wait_for(&mut ensemble, &[1, 2, 3], &three), 1);
    writers.go_on();

    // The leader leaves, and follows without a vote.
    let two = ask(&ensemble, 1, incremental(&[], &[1])).unwrap();
    assert_eq!(voters(&two), [2, 3]);
    assert_ne!(wait_for(&mut ensemble, &[1, 2, 3], &two), 1);
    writers.go_on();
    ensemble.kill(1);
    writers.go_on();
    // As Apache's, a server that is no member does not start.
    ensemble.spawn(1);
    assert_eq!(ensemble.wait_until_ended(1, SOON), Some(2));
    assert!(ensemble.output(1).contains("1 is no member"));

    // It comes back as one that the others do not know.
    let first = ensemble.line(1, Role::Participant);
    let dynamic = ensemble.data_dir(1).join("zoo.cfg.dynamic");
    let members: String = two
        .to_string()
        .lines()
        .filter(|line| line.starts_with("server."))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&dynamic, format!("{members}{first}\n")).unwrap();
    let zoo_cfg = ensemble.data_dir(1).join("zoo.cfg");
    let text = fs::read_to_string(&zoo_cfg).unwrap();
    let text = text.replace(&format!(".dynamic.{:x}", two.version().0), ".dynamic");
    fs::write(&zoo_cfg, text).unwrap();
    ensemble.spawn(1);
    wait_for(&mut ensemble, &[1, 2, 3], &two);
    let again = ask(&ensemble, 1, incremental(&[first], &[])).unwrap();
    assert_eq!(voters(&again), [1, 2, 3]);
    wait_for(&mut ensemble, &[1, 2, 3], &again);
    writers.go_on();
    let ledgers = writers.stop();
    check_members(&ensemble, &ledgers);
    assert_on_disk(&ensemble, &[1, 2, 3], &again);

    // All start again from their files.
    for sid in [1, 2, 3] {
        assert_eq!(ensemble.stop(sid), Some(0));
    }
    for sid in [1, 2, 3] {
        ensemble.spawn(sid);
    }
    wait_for(&mut ensemble, &[1, 2, 3], &again);
    let tree = check_members(&ensemble, &ledgers);
    for sid in [1, 2, 3] {
        ensemble.stop(sid);
    }
    check_files(
        &ensemble,
        &tree,
        "one_server_grows_to_three_and_the_first_one_goes_and_returns",
    );
}

#[test]
fn the_leader_becomes_an_observer_and_a_voter_again() {
    let settings = EnsembleSettings::new(&[Ours; 4]).reconfigurable();
    let mut ensemble = Ensemble::start(&settings);
    let writers = Writers::start(&ensemble);
    let all = [1, 2, 3, 4];
    for _ in 0..2 {
        let leader = ensemble.wait_for_all(SOON);
        let line = ensemble.line(leader, Role::Observer);
        let observed = ask(&ensemble, leader, incremental(&[line], &[])).unwrap();
        assert_eq!(observed.observers().count(), 1);
        assert_ne!(wait_for(&mut ensemble, &all, &observed), leader);
        writers.go_on();
        let line = ensemble.line(leader, Role::Participant);
        let four = ask(&ensemble, leader, incremental(&[line], &[])).unwrap();
        wait_for(&mut ensemble, &all, &four);
        writers.go_on();
        assert_on_disk(&ensemble, &all, &four);
    }
    check_members(&ensemble, &writers.stop());
}

#[test]
fn an_acknowledged_reconfig_survives_the_crash_of_all() {
    let settings = EnsembleSettings::new(&[Ours; 4]).reconfigurable();
    let mut ensemble = Ensemble::start(&settings);
    let all = [1, 2, 3, 4];
    for role in [Role::Observer, Role::Participant]
        .into_iter()
        .cycle()
        .take(6)
    {
        let leader = ensemble.wait_for_all(SOON);
        let line = ensemble.line(4, role);
        let at = if leader == 4 { 1 } else { leader };
        let made = ask(&ensemble, at, incremental(&[line], &[])).unwrap();
        for sid in all {
            ensemble.kill(sid);
        }
        for sid in all {
            ensemble.spawn(sid);
        }
        wait_for(&mut ensemble, &all, &made);
        assert_on_disk(&ensemble, &all, &made);
    }
    check_members(&ensemble, &[]);
}

#[test]
fn the_leader_moves_to_other_ports_and_is_found_there() {
    let settings = EnsembleSettings::new(&[Ours; 3]).reconfigurable();
    let mut ensemble = Ensemble::start(&settings);
    let moving = ensemble.wait_for_all(SOON);
    let line = ensemble.line(moving, Role::Participant);
    let line = line
        .replace(":2888:3888:", ":2889:3889:")
        .replace(":2181", ":2182");
    let others = ensemble.others(moving);
    let moved = ask(&ensemble, others[0], incremental(&[line], &[])).unwrap();
    let leader = wait_for(&mut ensemble, &others, &moved);
    let mut address = ensemble.address(moving);
    address.set_port(2182);
    let began = Instant::now();
    let wait_until_shown = |what: &str| {
        while shown_at(address).as_ref() != Some(&moved) {
            assert!(began.elapsed() < SOON, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_until_shown("the client port has not moved");
    assert_eq!(shown(&ensemble, moving), None);
    assert_on_disk(&ensemble, &[1, 2, 3], &moved);
    // The two that are left need each other, and find each other where they are now.
    ensemble.kill(leader);
    wait_until_shown("the other ports have not moved");
    ensemble.stop(moving);
    ensemble.spawn(moving);
    wait_until_shown("the server does not find its place again");
}

#[test]
fn a_server_that_cannot_keep_a_membership_stops_and_the_others_go_on() {
    let settings = EnsembleSettings::new(&[Ours; 3]).reconfigurable();
    let mut ensemble = Ensemble::start(&settings);
    let leader = ensemble.wait_for_all(SOON);
    let others = ensemble.others(leader);
    let (broken, other) = (others[0], others[1]);
    let three = shown(&ensemble, leader).unwrap();
    wait_for(&mut ensemble, &[1, 2, 3], &three);
    let obstacle = ensemble.data_dir(broken).join("zoo.cfg.dynamic.next.tmp");
    fs::create_dir(&obstacle).unwrap();
    let line = ensemble.line(broken, Role::Observer);
    let two = ask(&ensemble, other, incremental(&[line], &[])).unwrap();
    wait_for(&mut ensemble, &[leader, other], &two);
    assert_eq!(ensemble.wait_until_ended(broken, SOON), Some(1));
    let said = ensemble.output(broken);
    assert!(said.contains("the membership cannot be kept: "), "{said}");
    fs::remove_dir(&obstacle).unwrap();
    ensemble.spawn(broken);
    wait_for(&mut ensemble, &[1, 2, 3], &two);
    assert_on_disk(&ensemble, &[1, 2, 3], &two);
}

#[test]
fn what_is_no_reconfig_is_refused_and_changes_nothing() {
    let settings = EnsembleSettings::new(&[Ours; 3]).reconfigurable();
    let mut ensemble = Ensemble::start(&settings);
    let before = shown(&ensemble, 1).unwrap();
    wait_for(&mut ensemble, &[1, 2, 3], &before);
    let far = |sid: u8| format!("server.{sid}=127.0.0.1:{sid}2:{sid}3;127.0.0.1:{sid}4");
    let of_version = |version| Reconfig {
        current_config: version,
        ..incremental(&[], &[3])
    };
    for sid in [1, 2, 3] {
        for (asked, code) in [
            (of_version(Zxid(7)), ErrorCode::BAD_VERSION),
            (
                incremental(&[far(5), far(6), far(7), far(8)], &[]),
                ErrorCode::NEW_CONFIG_NO_QUORUM,
            ),
            (
                incremental(&[String::from("server.5=nonsense")], &[]),
                ErrorCode::BAD_ARGUMENTS,
            ),
        ] {
            assert_eq!(ask(&ensemble, sid, asked.clone()), Err(code), "{asked:?}");
        }
        let mut client = RawClient::connect(ensemble.address(sid), SESSION_TIMEOUT).unwrap();
        let nobody = client
            .call(Request::Reconfig(incremental(&[], &[3])))
            .unwrap();
        assert_eq!(nobody.header.err, ErrorCode::NO_AUTH);
    }
    wait_for(&mut ensemble, &[1, 2, 3], &before);
    let named = ask(&ensemble, 2, of_version(before.version())).unwrap();
    assert_eq!(voters(&named), [1, 2]);

    let off = Ensemble::start(&EnsembleSettings::new(&[Ours; 3]));
    let refused = ask(&off, 1, incremental(&[], &[3]));
    assert_eq!(refused, Err(ErrorCode::RECONFIG_DISABLED));
}

/// Lets a client program change the membership; what it printed.
fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {printed}{errors}");
    printed
}

#[test]
fn kazoo_zk_and_zkcli_change_the_membership_through_any_member() {
    let name = "kazoo_zk_and_zkcli_change_the_membership_through_any_member";
    let (Some(_), Some(python)) = (Needs::apache(name), Needs::kazoo(name)) else {
        return;
    };
    let settings = EnsembleSettings::new(&[Ours; 3]).reconfigurable();
    let mut ensemble = Ensemble::start(&settings.joiner(Ours));
    ensemble.spawn(4);
    ensemble.wait_for_all(SOON);
    let all = [1, 2, 3, 4];
    let joining = ensemble.line(4, Role::Participant);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kazoo_reconfig.py");
    let mut kazoo = Command::new(python);
    kazoo.arg(script).arg(ensemble.address(4).to_string());
    let printed = run(kazoo.arg(&joining), "");
    let config: EnsembleConfig = printed.parse().unwrap();
    assert_eq!(voters(&config), all.map(i64::from));
    wait_for(&mut ensemble, &all, &config);

    let observing = ensemble.line(4, Role::Observer);
    let mut zk = Command::new(program("zk"));
    zk.args([
        "--server",
        &ensemble.address(3).to_string(),
        "--auth",
        SUPER,
    ]);
    let version = format!("{:x}", config.version().0);
    let printed = run(
        zk.args(["reconfig", "-v", &version, "-add", &observing]),
        "",
    );
    let (_, printed) = printed.split_once('\n').unwrap();
    let config: EnsembleConfig = printed.parse().unwrap();
    assert_eq!(config.observers().count(), 1);
    wait_for(&mut ensemble, &all, &config);

    let three: Vec<_> = [1, 2, 3]
        .map(|sid| ensemble.line(sid, Role::Participant))
        .into();
    let mut zkcli = Command::new(ZKCLI);
    zkcli.args(["-server", &ensemble.address(1).to_string()]);
    let script = format!(
        "addauth digest super:golden\nreconfig -members {}\nquit\n",
        three.join(",")
    );
    let printed = run(&mut zkcli, &script);
    assert!(
        printed.contains("Committed new configuration:"),
        "{printed}"
    );
    let config = shown(&ensemble, 1).unwrap();
    assert_eq!(config.servers().len(), 3);
    wait_for(&mut ensemble, &[1, 2, 3], &config);
}

/// As `zk` takes it.
const SUPER: &str = "digest:super:golden";

/// An ensemble whose leader is of one kind: a server of the other joins, observes and leaves; then
/// each server's files start one of the other kind.
fn mixed(test: &str, flavours: [Flavour; 3], joiner: Flavour) {
    if Needs::apache(test).is_none() {
        return;
    }
    let settings = EnsembleSettings::new(&flavours)
        .reconfigurable()
        .joiner(joiner);
    let mut ensemble = Ensemble::start(&settings);
    let leader = ensemble.wait_until_serving(&[1, 2, 3], SOON);
    assert_eq!(ensemble.flavour(leader), flavours[2]);
    let writers = Writers::start(&ensemble);
    writers.go_on();
    ensemble.spawn(4);
    ensemble.wait_for_all(SOON);
    let all = [1, 2, 3, 4];
    let line = ensemble.line(4, Role::Participant);
    let four = ask(&ensemble, 1, incremental(&[line], &[])).unwrap();
    assert_eq!(voters(&four), [1, 2, 3, 4]);
    wait_for(&mut ensemble, &all, &four);
    writers.go_on();
    let line = ensemble.line(1, Role::Observer);
    let observed = ask(&ensemble, 4, incremental(&[line], &[])).unwrap();
    wait_for(&mut ensemble, &all, &observed);
    writers.go_on();
    let ledgers = writers.stop();
    check_members(&ensemble, &ledgers);
    assert_on_disk(&ensemble, &all, &observed);
    for sid in all {
        _ = ensemble.stop(sid);
        let other = match ensemble.flavour(sid) {
            Ours => Apache,
            Apache => Ours,
        };
        ensemble.replace(sid, other);
    }
    for sid in all {
        ensemble.spawn(sid);
    }
    wait_for(&mut ensemble, &all, &observed);
    let line = ensemble.line(1, Role::Participant);
    let four = ask(&ensemble, 2, incremental(&[line], &[])).unwrap();
    wait_for(&mut ensemble, &all, &four);
    check_members(&ensemble, &ledgers);
    assert_on_disk(&ensemble, &all, &four);
}

#[test]
fn a_server_of_ours_joins_an_ensemble_of_apache() {
    mixed(
        "a_server_of_ours_joins_an_ensemble_of_apache",
        [Ours, Apache, Apache],
        Ours,
    );
}

#[test]
fn a_server_of_apache_joins_an_ensemble_of_ours() {
    mixed(
        "a_server_of_apache_joins_an_ensemble_of_ours",
        [Apache, Ours, Ours],
        Apache,
    );
}
