//! Ensembles of ours under load get over everything that happens to processes, links and disks: after
//! each round all acknowledged writes are there through every member, all members show the same tree,
//! no digest differs and no session was lost.
//!
//! The order of the rounds and who is hit come from a seed, which is printed and which
//! `ZK_TESTS_SEED` sets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use zk_tests::{
    Ensemble, EnsembleSettings, Flavour, Ledger, Load, LoadSettings, check_files, check_members,
    prepare_load,
};

const SOON: Duration = Duration::from_secs(20);
const SESSION_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the members that are left may take to notice, elect and serve.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(10);
/// Writes that show that an ensemble works.
const WORK: u64 = 40;

/// What goes wrong in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    LeaderKilled,
    FollowerKilled,
    MajorityKilled,
    AllKilled,
    /// For one and a half session timeouts.
    LeaderPaused,
    FollowerPaused,
    LeaderAlone,
    FollowerAlone,
    LeaderUnheard,
    LeaderDeaf,
    OneWayBetweenTwo,
    Flapping,
    LeaderCut,
    LeaderDiskFull,
    FollowerDiskFull,
    /// The leader keeps a follower short of a majority.
    MinorityWithLeader,
    /// Each member reaches the next and the one before alone.
    Ring,
}

use Trouble::*;

/// An ensemble, and what its writers know.
struct World {
    ensemble: Ensemble,
    settings: LoadSettings,
    ledgers: Vec<Ledger>,
    random: StdRng,
}

impl World {
    fn start(members: usize, seed: u64) -> Self {
        let settings = EnsembleSettings::new(&vec![Flavour::Ours; members])
            .with_links()
            .set("tickTime", "100")
            .set("syncLimit", "6")
            .set("snapCount", "2000");
        let ensemble = Ensemble::start(&settings);
        let settings = LoadSettings {
            session_timeout: SESSION_TIMEOUT,
            patience: Duration::from_secs(1),
            ..LoadSettings::default()
        };
        let ledgers = prepare_load(ensemble.address(1), &settings).unwrap();
        Self {
            ensemble,
            settings,
            ledgers,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// One round: work, trouble, healing, work, checks. Gives how long no writer had a write
    /// acknowledged, at the worst.
    fn round(&mut self, trouble: Trouble) -> Duration {
        let ledgers = std::mem::take(&mut self.ledgers);
        let load = Load::start(&self.ensemble.addresses(), &self.settings, ledgers);
        load.wait_for(WORK, SOON);
        let leader = self.ensemble.wait_for_all(SOON);
        self.make(trouble, leader, &load);
        self.ensemble.wait_for_all(SOON);
        load.wait_for(WORK, SOON);
        self.ledgers = load.stop();
        check_members(&self.ensemble, &self.ledgers);
        let mut longest = Duration::ZERO;
        for ledger in &mut self.ledgers {
            assert_eq!(ledger.expired, 0, "{trouble:?}: a session was lost");
            longest = longest.max(ledger.longest_gap);
            ledger.settle();
        }
        longest
    }

    fn make(&mut self, trouble: Trouble, leader: u8, load: &Load) {
        let others = self.ensemble.others(leader);
        let follower = *others.choose(&mut self.random).unwrap();
        let rest = self.ensemble.others(follower);
        match trouble {
            LeaderKilled => self.kill(&[leader], load),
            FollowerKilled => self.kill(&[follower], load),
            MajorityKilled => {
                let mut members = self.ensemble.sids();
                members.shuffle(&mut self.random);
                members.truncate(members.len() / 2 + 1);
                self.kill(&members, load);
            }
            AllKilled => self.kill(&self.ensemble.sids(), load),
            LeaderPaused => self.pause(leader, SESSION_TIMEOUT.mul_f64(1.5), load),
            FollowerPaused => self.pause(follower, Duration::from_millis(700), load),
            LeaderAlone => {
                self.ensemble.links().part(&[leader], &others);
                self.taken_over(&others, load);
            }
            FollowerAlone => {
                self.ensemble.links().part(&[follower], &rest);
                load.wait_for(WORK, TAKE_OVER_WITHIN);
                self.wait();
            }
            LeaderUnheard => {
                others
                    .iter()
                    .for_each(|other| self.ensemble.links().block(leader, *other));
                self.taken_over(&others, load);
            }
            LeaderDeaf => {
                others
                    .iter()
                    .for_each(|other| self.ensemble.links().block(*other, leader));
                self.taken_over(&others, load);
            }
            OneWayBetweenTwo => {
                self.ensemble.links().block(leader, follower);
                load.wait_for(WORK, TAKE_OVER_WITHIN);
                self.wait();
            }
            Flapping => {
                for _ in 0..5 {
                    self.ensemble.links().part(&[leader], &others);
                    thread::sleep(Duration::from_millis(200));
                    self.ensemble.links().heal();
                    thread::sleep(Duration::from_millis(200));
                }
            }
            LeaderCut => {
                self.ensemble.links().cut(&[leader], &others);
                self.taken_over(&others, load);
            }
            LeaderDiskFull => self.fill_disk(leader, load),
            FollowerDiskFull => self.fill_disk(follower, load),
            MinorityWithLeader => {
                let few = [leader, follower];
                let many: Vec<_> = others
                    .iter()
                    .copied()
                    .filter(|sid| *sid != follower)
                    .collect();
                self.ensemble.links().part(&few, &many);
                self.taken_over(&many, load);
            }
            Ring => {
                self.ring();
                self.wait();
            }
        }
        self.ensemble.links().heal();
    }

    /// Kills members and starts them again; the others go on if they are enough, and acknowledge
    /// nothing if they are not.
    fn kill(&mut self, killed: &[u8], load: &Load) {
        killed.iter().for_each(|sid| self.ensemble.kill(*sid));
        let left = self.ensemble.running();
        if left.len() > self.ensemble.sids().len() / 2 {
            self.ensemble.wait_until_serving(&left, TAKE_OVER_WITHIN);
            load.wait_for(WORK, TAKE_OVER_WITHIN);
        } else {
            // What was acknowledged just before is counted soon.
            thread::sleep(Duration::from_millis(100));
            let before = load.acknowledged();
            self.wait();
            assert_eq!(load.acknowledged(), before, "{left:?} acknowledge alone");
        }
        killed.iter().for_each(|sid| self.ensemble.spawn(*sid));
    }

    fn pause(&mut self, sid: u8, pause: Duration, load: &Load) {
        let began = Instant::now();
        self.ensemble.pause(sid);
        let left = self.ensemble.running();
        self.taken_over(&left, load);
        thread::sleep(pause.saturating_sub(began.elapsed()));
        self.ensemble.resume(sid);
    }

    /// Some members, who are enough, work without the others.
    fn taken_over(&mut self, members: &[u8], load: &Load) {
        self.ensemble.wait_until_serving(members, TAKE_OVER_WITHIN);
        load.wait_for(WORK, TAKE_OVER_WITHIN);
    }

    /// A member that cannot write ends, and is started again when it can.
    fn fill_disk(&mut self, sid: u8, load: &Load) {
        self.ensemble.process(sid).limit_files(Some(0));
        let code = self.ensemble.wait_until_ended(sid, TAKE_OVER_WITHIN);
        assert!(code.is_some_and(|code| code != 0), "it ended with {code:?}");
        let left = self.ensemble.running();
        self.taken_over(&left, load);
        self.ensemble.spawn(sid);
    }

    fn ring(&self) {
        let sids = self.ensemble.sids();
        let count = sids.len();
        for (at, one) in sids.iter().enumerate() {
            for (to, other) in sids.iter().enumerate() {
                let is_neighbour = (at + 1) % count == to || (to + 1) % count == at;
                if at != to && !is_neighbour {
                    self.ensemble.links().block(*one, *other);
                }
            }
        }
    }

    /// Well below `syncLimit`, so that links hold, or well above it, so that they end.
    fn wait(&mut self) {
        let pause = [300, 900].choose(&mut self.random).unwrap();
        thread::sleep(Duration::from_millis(*pause));
    }
}

fn seed() -> u64 {
    let set = std::env::var("ZK_TESTS_SEED").ok();
    set.map_or_else(
        || rand::rng().next_u64(),
        |seed| seed.parse().expect("a number"),
    )
}

fn rounds(test: &str, members: usize, troubles: &[(Trouble, usize)]) {
    let seed = seed();
    println!("{test}: ZK_TESTS_SEED={seed}");
    let mut world = World::start(members, seed);
    let repeated = troubles
        .iter()
        .flat_map(|(trouble, times)| vec![*trouble; *times]);
    let mut order: Vec<_> = repeated.collect();
    order.shuffle(&mut world.random);
    let (began, mut gaps) = (Instant::now(), BTreeMap::<Trouble, Vec<Duration>>::new());
    for (number, trouble) in order.iter().enumerate() {
        let round = Instant::now();
        let gap = world.round(*trouble);
        println!(
            "{number} {trouble:?}: {:.1?}, longest gap {gap:.1?}",
            round.elapsed()
        );
        gaps.entry(*trouble).or_default().push(gap);
    }
    for (trouble, mut gaps) in gaps {
        gaps.sort();
        let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
        println!(
            "{trouble:?}: {} rounds, gap {median:.1?}, at most {longest:.1?}",
            gaps.len()
        );
    }
    let acknowledged: u64 = world.ledgers.iter().map(|ledger| ledger.acknowledged).sum();
    println!(
        "{} rounds, {acknowledged} writes, {:.0?}",
        order.len(),
        began.elapsed()
    );
    let tree = check_members(&world.ensemble, &world.ledgers);
    for sid in world.ensemble.sids() {
        assert_eq!(world.ensemble.stop(sid), Some(0));
    }
    check_files(&world.ensemble, &tree, test);
}

#[test]
fn three_members_get_over_eighty_six_rounds_of_trouble() {
    let troubles = [
        (LeaderKilled, 10),
        (FollowerKilled, 8),
        (MajorityKilled, 8),
        (AllKilled, 8),
        (LeaderPaused, 5),
        (FollowerPaused, 5),
        (LeaderAlone, 6),
        (FollowerAlone, 6),
        (LeaderUnheard, 5),
        (LeaderDeaf, 5),
        (OneWayBetweenTwo, 5),
        (Flapping, 4),
        (LeaderCut, 5),
        (LeaderDiskFull, 3),
        (FollowerDiskFull, 3),
    ];
    rounds("three members", 3, &troubles);
}

#[test]
fn five_members_get_over_sixteen_rounds_of_trouble() {
    let troubles = [
        (MinorityWithLeader, 4),
        (Ring, 4),
        (MajorityKilled, 3),
        (LeaderAlone, 2),
        (AllKilled, 3),
    ];
    rounds("five members", 5, &troubles);
}
