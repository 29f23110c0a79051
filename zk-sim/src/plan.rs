//! What a seed draws before its world begins: sizes, limits, delays, the mix of requests and of faults.
//!
//! Every seed has its own probabilities, many of them zero, so that each combination of what may go
//! wrong is met without the rest (swarm testing, Groce et al., 2012).

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use zk_proto::quorum::EnsembleConfig;
use zk_proto::{ServerId, Zxid};

use crate::client::workload::Act;
use crate::faults::FaultKind;
use crate::planted::Planted;
use crate::random::Random;

/// How one world is.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) voters: usize,
    pub(crate) observers: usize,
    /// The group and the weight of each server; none for a plain majority.
    pub(crate) groups: Vec<(usize, u64)>,
    pub(crate) tick: Duration,
    pub(crate) init_limit: u32,
    pub(crate) sync_limit: u32,
    pub(crate) leader_serves: bool,
    pub(crate) sync_asks_quorum: bool,
    pub(crate) recent_txns: usize,
    pub(crate) snapshot_txns: u32,
    pub(crate) digest: bool,
    pub(crate) close_session_paths: bool,
    pub(crate) extended_types: bool,
    pub(crate) reap_interval: Duration,
    pub(crate) disk: DiskPlan,
    pub(crate) net: NetPlan,
    /// How wrong clocks go, in millionths.
    pub(crate) drift_ppm: u64,
    pub(crate) clients: usize,
    pub(crate) sites: usize,
    pub(crate) mix: Mix,
    pub(crate) faults: FaultPlan,
    /// What is wrong with the servers; nothing, but in tests of the checks.
    pub(crate) planted: Option<Planted>,
}

#[derive(Debug, Clone)]
pub(crate) struct DiskPlan {
    pub(crate) pre_alloc_bytes: u64,
    pub(crate) log_bytes_max: Option<NonZeroU64>,
    pub(crate) snapshots_kept: Option<NonZeroUsize>,
    /// The mean of a sync.
    pub(crate) sync: Duration,
    /// The mean of a snapshot.
    pub(crate) snapshot: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct NetPlan {
    pub(crate) delay_min: Duration,
    /// The mean of what comes on top.
    pub(crate) delay_more: Duration,
    /// How often, in thousandths, something takes much longer, and the mean of that.
    pub(crate) late: u32,
    pub(crate) late_more: Duration,
    pub(crate) dial_timeout: Duration,
    pub(crate) piece_bytes_max: usize,
    /// How often, in thousandths, what is sent arrives in two pieces.
    pub(crate) splits: u32,
    /// Bytes that may wait for a peer; beyond that its link is closed.
    pub(crate) unread_bytes_max: usize,
}

impl NetPlan {
    /// The longest delay without a fault.
    pub(crate) fn delay_max(&self) -> Duration {
        let late = match self.late {
            0 => Duration::ZERO,
            _ => self.late_more * 8,
        };
        self.delay_min + self.delay_more * 8 + late
    }

    pub(crate) fn delay(&self, random: &mut Random) -> Duration {
        let mut delay = self.delay_min + random.wait(self.delay_more);
        if self.late > 0 && random.chance(self.late) {
            delay += random.wait(self.late_more);
        }
        delay
    }
}

/// What clients do. Weights, and means of waits.
#[derive(Debug, Clone)]
pub(crate) struct Mix {
    /// By [`Act`].
    pub(crate) acts: Vec<u32>,
    /// Between two requests.
    pub(crate) think: Duration,
    /// Requests without an answer.
    pub(crate) in_flight_max: usize,
    pub(crate) watches: u32,
    pub(crate) parents: usize,
    pub(crate) names: usize,
    pub(crate) data_bytes_max: usize,
    pub(crate) session_timeout_ticks: (u64, u64),
}

#[derive(Debug, Clone)]
pub(crate) struct FaultPlan {
    /// How long faults go on.
    pub(crate) time: Duration,
    /// The mean between two.
    pub(crate) gap: Duration,
    /// The mean of one.
    pub(crate) lasts: Duration,
    pub(crate) weights: Vec<u32>,
    /// How often a power cut takes everything that is not synced, in thousandths.
    pub(crate) loses_all: u32,
}

impl Plan {
    /// Draws a world. Without faults none is drawn but in the timing.
    pub(crate) fn draw(seed: u64, with_faults: bool) -> Self {
        let mut random = Random::new(seed ^ 0x05ee_d0fa_1a57);
        let random = &mut random;
        let voters = random.pick(&[3, 3, 3, 3, 3, 4, 5, 5, 5, 7]);
        let observers = random.pick(&[0, 0, 0, 0, 1, 2]).min(7 - voters);
        let groups = match voters {
            5.. if random.chance(150) => draw_groups(random, voters + observers, voters),
            _ => Vec::new(),
        };
        let tick = Duration::from_millis(random.magnitude(50, 1_000));
        let clients = random.between(2, 16);
        let extended_types = random.chance(500);
        Self {
            seed,
            voters,
            observers,
            groups,
            tick,
            init_limit: clamp(random.between(5, 10)),
            sync_limit: clamp(random.between(2, 5)),
            leader_serves: random.chance(900),
            sync_asks_quorum: random.chance(500),
            recent_txns: match random.chance(200) {
                true => 0,
                false => random.index(500),
            },
            snapshot_txns: clamp(random.magnitude(5, 1_000)),
            digest: random.chance(900),
            close_session_paths: random.chance(850),
            extended_types,
            reap_interval: tick * clamp(random.between(5, 50)),
            disk: DiskPlan::draw(random),
            net: NetPlan::draw(random, tick),
            drift_ppm: random.pick(&[0, 0, 100, 10_000, 50_000]),
            clients: usize::try_from(clients).expect("few clients"),
            sites: 3,
            mix: Mix::draw(random, clients, extended_types),
            faults: FaultPlan::draw(random, with_faults),
            planted: None,
        }
    }

    pub(crate) fn servers(&self) -> usize {
        self.voters + self.observers
    }

    /// The configuration that all servers have.
    pub(crate) fn ensemble(&self) -> EnsembleConfig {
        let line = |index: usize| {
            let role = match index < self.voters {
                true => "participant",
                false => "observer",
            };
            let ip = index + 1;
            format!("10.0.0.{ip}:2888:3888:{role};2181")
        };
        let id_of = |index: usize| i64::try_from(index + 1).expect("few servers");
        let servers: BTreeMap<_, _> = (0..self.servers())
            .map(|index| {
                let server = line(index).parse().expect("a well-formed line");
                (ServerId(id_of(index)), server)
            })
            .collect();
        let hierarchy = (!self.groups.is_empty()).then(|| {
            let members = || (self.groups.iter().enumerate()).map(|(at, of)| (id_of(at), of));
            zk_proto::quorum::Hierarchy {
                groups: members()
                    .map(|(id, &(group, _))| {
                        (ServerId(id), zk_proto::quorum::GroupId(id_of(group)))
                    })
                    .collect(),
                weights: members()
                    .map(|(id, &(_, weight))| (ServerId(id), weight))
                    .collect(),
            }
        });
        EnsembleConfig::new(servers, hierarchy, Zxid::ZERO).expect("a configuration with voters")
    }
}

fn clamp(drawn: u64) -> u32 {
    u32::try_from(drawn).expect("it was drawn below a small bound")
}

/// Three groups, in each of which somebody has weight; observers have none.
fn draw_groups(random: &mut Random, servers: usize, voters: usize) -> Vec<(usize, u64)> {
    (0..servers)
        .map(|index| {
            let weight = match index {
                0..3 => random.between(1, 3),
                _ if index < voters => random.between(0, 3),
                _ => 0,
            };
            (index % 3, weight)
        })
        .collect()
}

impl DiskPlan {
    fn draw(random: &mut Random) -> Self {
        let log_bytes = random.magnitude(1 << 10, 256 << 10);
        Self {
            pre_alloc_bytes: random.pick(&[0, 4 << 10, 16 << 10]),
            log_bytes_max: NonZeroU64::new(log_bytes).filter(|_| random.chance(300)),
            snapshots_kept: NonZeroUsize::new(random.index(3) + 1).filter(|_| random.chance(500)),
            sync: Duration::from_micros(random.magnitude(50, 8_000)),
            snapshot: Duration::from_micros(random.magnitude(200, 200_000)),
        }
    }
}

impl NetPlan {
    fn draw(random: &mut Random, tick: Duration) -> Self {
        Self {
            delay_min: Duration::from_micros(random.between(20, 500)),
            delay_more: Duration::from_micros(random.magnitude(50, 8_000)),
            late: random.pick(&[0, 0, 1, 10, 50]),
            late_more: tick * clamp(random.between(1, 2)) / 2,
            dial_timeout: tick * clamp(random.between(1, 5)),
            piece_bytes_max: random.pick(&[64 << 10, 16 << 10, 2 << 10]),
            splits: random.pick(&[0, 10, 100, 500]),
            unread_bytes_max: random.pick(&[1 << 20, 512 << 10]),
        }
    }
}

impl Mix {
    fn draw(random: &mut Random, clients: u64, extended_types: bool) -> Self {
        let acts = Act::ALL;
        let mut weights: Vec<u32> = (acts.iter())
            .map(|act| match random.chance(250) {
                true => 0,
                false if *act == Act::CreateTtl && !extended_types => 0,
                false => act.weight() * clamp(random.between(1, 4)),
            })
            .collect();
        // Without a tree there is nothing to see.
        if let Some(create) = weights.first_mut() {
            *create = (*create).max(20);
        }
        let ticks = random.between(2, 6);
        Self {
            acts: weights,
            think: Duration::from_micros(clients * 1_000_000 / random.magnitude(8, 160)),
            in_flight_max: random.pick(&[1, 1, 2, 8, 32]),
            watches: random.pick(&[0, 100, 300, 600]),
            parents: random.index(6) + 1,
            names: random.index(12) + 1,
            data_bytes_max: random.pick(&[8, 64, 300]),
            session_timeout_ticks: (ticks, ticks + random.below(15)),
        }
    }
}

impl FaultPlan {
    pub(crate) fn has_any(&self) -> bool {
        self.weights.iter().any(|&weight| weight > 0)
    }

    fn draw(random: &mut Random, with_faults: bool) -> Self {
        let mut weights: Vec<u32> = (FaultKind::ALL.iter())
            .map(|kind| match random.chance(450) {
                true => 0,
                false => kind.weight() * clamp(random.between(1, 4)),
            })
            .collect();
        if weights.iter().all(|&weight| weight == 0) {
            weights.fill(1);
        }
        if !with_faults {
            weights.fill(0);
        }
        Self {
            time: Duration::from_secs(random.between(45, 55)),
            gap: Duration::from_millis(random.magnitude(300, 3_500)),
            lasts: Duration::from_millis(random.magnitude(100, 8_000)),
            weights,
            loses_all: random.pick(&[0, 300, 1_000]),
        }
    }
}
