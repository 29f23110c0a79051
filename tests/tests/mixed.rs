//! Ensembles of Apache's servers and ours: each kind leads and follows the other, writes pass through
//! every member, members die and come back, and in the end all have the same tree, which both
//! implementations read from every member's disk.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zk_proto::{Acl, Create, CreateMode, OpCode, Request};
use zk_tests::{
    Ensemble, EnsembleSettings, Flavour, Ledger, Load, LoadSettings, Needs, RawClient, check_files,
    check_members, prepare_load,
};

use Flavour::{Apache, Ours};

const SOON: Duration = Duration::from_secs(60);
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
const ROUNDS: usize = 5;

/// An ensemble under load.
struct Life {
    ensemble: Ensemble,
    settings: LoadSettings,
    ledgers: Vec<Ledger>,
    /// Kinds of servers that led.
    led: Vec<Flavour>,
}

impl Life {
    fn start(settings: &EnsembleSettings) -> Self {
        let ensemble = Ensemble::start(settings);
        let settings = LoadSettings::default();
        let ledgers = prepare_load(ensemble.address(1), &settings).unwrap();
        Self {
            ensemble,
            settings,
            ledgers,
            led: Vec::new(),
        }
    }

    /// Each member dies and comes back, under load; then everything is checked.
    fn round(&mut self) {
        let began = Instant::now();
        let ledgers = std::mem::take(&mut self.ledgers);
        let load = Load::start(&self.ensemble.addresses(), &self.settings, ledgers);
        for sid in self.ensemble.sids() {
            let leader = self.ensemble.wait_for_all(SOON);
            self.led.push(self.ensemble.flavour(leader));
            load.wait_for(60, SOON);
            self.ensemble.kill(sid);
            let others = self.ensemble.others(sid);
            self.ensemble.wait_until_serving(&others, SOON);
            load.wait_for(60, SOON);
            self.ensemble.spawn(sid);
        }
        self.ensemble.wait_for_all(SOON);
        load.wait_for(60, SOON);
        self.ledgers = load.stop();
        check_members(&self.ensemble, &self.ledgers);
        for ledger in &mut self.ledgers {
            assert_eq!(ledger.expired, 0);
            ledger.settle();
        }
        println!(
            "{} acknowledged, {:?}",
            self.acknowledged(),
            began.elapsed()
        );
    }

    fn acknowledged(&self) -> u64 {
        self.ledgers.iter().map(|ledger| ledger.acknowledged).sum()
    }

    /// Lets a server of each kind lead that did not yet, and writes through every member meanwhile.
    fn let_each_kind_lead(&mut self) {
        for flavour in [Apache, Ours] {
            let mut sids = self.ensemble.sids().into_iter();
            let of_kind = sids
                .find(|sid| self.ensemble.flavour(*sid) == flavour)
                .unwrap();
            if !self.led.contains(&flavour) {
                self.ensemble.make_lead(of_kind, SOON, write);
            }
            let leader = self.ensemble.wait_for_all(SOON);
            println!(
                "member {leader}, {:?}, leads",
                self.ensemble.flavour(leader)
            );
            self.ensemble.addresses().into_iter().for_each(write);
        }
    }

    fn end(mut self, test: &str) {
        let tree = check_members(&self.ensemble, &self.ledgers);
        for sid in self.ensemble.sids() {
            _ = self.ensemble.stop(sid);
        }
        check_files(&self.ensemble, &tree, test);
    }
}

/// One write, through the member at `address`.
fn write(address: SocketAddr) {
    let mut client = RawClient::connect(address, SESSION_TIMEOUT).unwrap();
    let create = Request::Create(Create {
        op: OpCode::CREATE2,
        path: String::from("/through-"),
        data: Some(Bytes::from(address.to_string())),
        acl: vec![Acl::open()],
        flags: CreateMode::PersistentSequential.to_flags(),
        ttl_ms: 0,
    });
    client.get(create).unwrap();
    client.get(Request::CloseSession).unwrap();
}

fn five_rounds(test: &str, flavours: [Flavour; 3]) {
    if Needs::apache(test).is_none() {
        return;
    }
    let mut life = Life::start(&EnsembleSettings::new(&flavours));
    for _ in 0..ROUNDS {
        life.round();
    }
    life.let_each_kind_lead();
    life.end(test);
}

#[test]
fn one_of_ours_lives_with_two_of_apache() {
    five_rounds(
        "one_of_ours_lives_with_two_of_apache",
        [Apache, Apache, Ours],
    );
}

#[test]
fn two_of_ours_live_with_one_of_apache() {
    five_rounds("two_of_ours_live_with_one_of_apache", [Ours, Ours, Apache]);
}

fn observed(test: &str, voters: Flavour, observer: Flavour) {
    if Needs::apache(test).is_none() {
        return;
    }
    let mut life = Life::start(&EnsembleSettings::new(&[voters; 3]).observer(observer));
    life.round();
    life.ensemble.addresses().into_iter().for_each(write);
    life.end(test);
}

#[test]
fn one_of_ours_observes_an_ensemble_of_apache() {
    observed("one_of_ours_observes_an_ensemble_of_apache", Apache, Ours);
}

#[test]
fn one_of_apache_observes_an_ensemble_of_ours() {
    observed("one_of_apache_observes_an_ensemble_of_ours", Ours, Apache);
}
