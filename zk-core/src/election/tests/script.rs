//! Elections as text: commands, and below each what the servers do about it.
//!
//! ```text
//! ensemble 1 2 3:observer group=1:2 weight=1:0 version=5     the members; before all else
//! next 1 2 4 version=6                a configuration that was proposed, for servers made later
//! server 1 2                          servers that have not begun; messages from and to those that
//!                                     were there before are lost
//! begin 1 2.7 [3]                     1 looks, with zxid 2.7 and epoch 3, or else that of the zxid
//! deliver [1 2]                       all messages under way, and those that come of them; or only
//!                                     those from 1 to 2
//! lose 1 2                            those from 1 to 2 are lost
//! up 1 2, down 1 2, unreachable 1 2   what 1 learns of its link to 2
//! hear 1 from 2: looking 3 at 2.7 epoch 3 round 4 [version 0]
//!                                     a message to 1 that no server of the script has sent
//! wait 200                            milliseconds
//! synced 1 4                          1 took its place in epoch 4
//! reconfigure 1                       1 puts the configuration of `next` in force
//! ```

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::quorum::{EnsembleConfig, Notification, ServerState};
use zk_proto::{ServerId, Zxid};

use crate::election::{Candidate, Election, ElectionConfig, ElectionEffect};

macro_rules! scripts {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(include_str!(concat!("scripts/", stringify!($name), ".txt")));
        }
    )*};
}

scripts! {
    a_better_vote_within_the_wait_wins
    a_decision_is_told_to_who_still_looks
    a_deserted_leader_learns_it
    a_higher_round_is_entered_and_a_lower_one_answered
    a_leader_is_replaced_without_a_wait
    a_lone_voter_leads_at_once
    a_newer_configuration_is_reported
    a_quorum_of_both_memberships_elects
    a_quorum_waits_for_a_silent_voter
    a_restarted_leader_does_not_take_old_votes_for_its_own
    a_settled_quorum_is_joined_whatever_its_votes
    a_void_zxid_does_not_count
    a_vote_cast_before_an_election_counts_in_it
    an_unreachable_leader_is_not_chosen_early
    old_forms_of_votes_are_compared_without_epochs
    observers_find_the_leader
    repetitions_become_rarer
    strangers_are_answered_and_ignored
    three_servers_start_together
    weight_zero_never_leads
}

#[track_caller]
fn run(script: &str) {
    let mut world = World::default();
    let mut seen = String::new();
    for line in script.lines().filter(|line| !line.starts_with("  ")) {
        seen += line;
        seen.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            world.command(line);
            for happened in world.happened.drain(..) {
                seen += &format!("  {happened}\n");
            }
        }
    }
    assert!(seen == script, "what happens is this:\n{seen}");
}

#[derive(Default)]
struct World {
    now: Duration,
    ensemble: Option<EnsembleConfig>,
    next: Option<EnsembleConfig>,
    servers: BTreeMap<ServerId, Election>,
    under_way: VecDeque<(ServerId, ServerId, Notification)>,
    happened: Vec<String>,
}

impl World {
    fn command(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty()).collect();
        let pair = || (id(words[0]), id(words[1]));
        let now = self.now;
        match verb {
            "ensemble" => self.ensemble = Some(ensemble(&words)),
            "next" => self.next = Some(ensemble(&words)),
            "server" => words.iter().for_each(|word| self.make(id(word))),
            "begin" => self.begin(&words),
            "deliver" if words.is_empty() => self.deliver_all(),
            "deliver" => self.deliver(pair()),
            "lose" => {
                let (from, to) = pair();
                self.under_way
                    .retain(|(sender, target, _)| (*sender, *target) != (from, to));
            }
            "up" => self.with(pair().0, |server| server.on_connected(now, pair().1)),
            "down" => self.with(pair().0, |server| server.on_disconnected(pair().1)),
            "unreachable" => self.with(pair().0, |server| server.on_unreachable(now, pair().1)),
            "hear" => self.hear(&words),
            "wait" => self.wait(Duration::from_millis(rest.parse().unwrap())),
            "synced" => self.with(pair().0, |server| server.on_synced(pair().1.0)),
            "reconfigure" => {
                let next = self.next.clone().unwrap();
                self.with(id(words[0]), |server| server.reconfigure(now, next, None));
            }
            _ => panic!("{line}"),
        }
    }

    fn make(&mut self, id: ServerId) {
        let config = ElectionConfig {
            reconfig_enabled: true,
            ..ElectionConfig::new(id)
        };
        let ensemble = self.ensemble.clone().unwrap();
        let server = Election::new(config, ensemble, self.next.as_ref());
        if self.servers.insert(id, server).is_some() {
            self.under_way
                .retain(|(from, to, _)| *from != id && *to != id);
        }
    }

    fn begin(&mut self, words: &[&str]) {
        let zxid = zxid(words[1]);
        let epoch = match words.get(2) {
            Some(epoch) => epoch.parse().unwrap(),
            None => i64::from(zxid.epoch()),
        };
        let now = self.now;
        let candidate = Candidate { zxid, epoch };
        let id = id(words[0]);
        if !self.servers.contains_key(&id) {
            self.make(id);
        }
        self.with(id, |server| server.begin(now, candidate));
    }

    fn hear(&mut self, words: &[&str]) {
        let [
            to,
            "from",
            from,
            state,
            leader,
            "at",
            at,
            "epoch",
            epoch,
            "round",
            round,
            version @ ..,
        ] = words
        else {
            panic!("{words:?}");
        };
        let notification = Notification {
            state: match *state {
                "looking" => ServerState::Looking,
                "following" => ServerState::Following,
                "leading" => ServerState::Leading,
                "observing" => ServerState::Observing,
                _ => panic!("{state}"),
            },
            leader: id(leader),
            zxid: zxid(at),
            round: round.parse().unwrap(),
            peer_epoch: epoch.parse().unwrap(),
            version: match version {
                ["version", version] => version.parse().unwrap(),
                _ => 2,
            },
            config: match version {
                ["config"] => Some(self.next.as_ref().unwrap().to_string()),
                _ => None,
            },
        };
        let (now, from) = (self.now, id(from.trim_end_matches(':')));
        self.with(id(to), |server| {
            server.on_notification(now, from, &notification)
        });
    }

    fn deliver_all(&mut self) {
        for deliveries in 0.. {
            assert!(deliveries < 10_000, "they talk forever");
            let Some((from, to, notification)) = self.under_way.pop_front() else {
                return;
            };
            let now = self.now;
            if self.servers.contains_key(&to) {
                self.with(to, |server| {
                    server.on_notification(now, from, &notification)
                });
            }
        }
    }

    fn deliver(&mut self, (from, to): (ServerId, ServerId)) {
        let is_picked = |(sender, target, _): &(ServerId, ServerId, Notification)| {
            (*sender, *target) == (from, to)
        };
        let under_way = core::mem::take(&mut self.under_way);
        let (picked, rest): (Vec<_>, Vec<_>) = under_way.into_iter().partition(is_picked);
        self.under_way = rest.into();
        for (_, _, notification) in picked {
            let now = self.now;
            self.with(to, |server| {
                server.on_notification(now, from, &notification)
            });
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = |(&id, server): (&ServerId, &Election)| Some((server.next_deadline()?, id));
            match self.servers.iter().filter_map(due).min() {
                Some((at, id)) if at <= end => {
                    self.now = at.max(self.now);
                    let now = self.now;
                    self.with(id, |server| server.on_tick(now));
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn with(&mut self, id: ServerId, act: impl FnOnce(&mut Election)) {
        let server = self.servers.get_mut(&id).unwrap();
        act(server);
        let effects: Vec<ElectionEffect> = server.drain_effects().collect();
        let mut sent: Option<(Notification, Vec<ServerId>)> = None;
        for effect in effects {
            if let ElectionEffect::Send { to, notification } = effect {
                self.under_way.push_back((id, to, notification.clone()));
                match &mut sent {
                    Some((before, targets)) if *before == notification => targets.push(to),
                    _ => {
                        self.show_sent(id, sent.take());
                        sent = Some((notification, [to].into()));
                    }
                }
                continue;
            }
            self.show_sent(id, sent.take());
            let at = self.now.as_millis();
            self.happened.push(match effect {
                ElectionEffect::Send { .. } => continue,
                ElectionEffect::Decided(decision) => format!(
                    "{id} decides at {at}: {} {}, by {}",
                    state(decision.state),
                    decision.vote.leader,
                    ids(decision.supporters.iter())
                ),
                ElectionEffect::ConfigSeen(config) => {
                    let voters = config.participants().map(|(id, _)| id).collect::<Vec<_>>();
                    format!(
                        "{id} sees version {:x}: {}",
                        config.version().0,
                        ids(voters.iter())
                    )
                }
                ElectionEffect::Deserted => format!("{id} is deserted"),
            });
        }
        self.show_sent(id, sent.take());
    }

    fn show_sent(&mut self, from: ServerId, sent: Option<(Notification, Vec<ServerId>)>) {
        let Some((vote, targets)) = sent else {
            return;
        };
        let name = if vote.leader.0 == i64::MIN {
            "nobody".to_string()
        } else {
            let (epoch, counter) = (vote.zxid.epoch(), vote.zxid.counter());
            format!(
                "{} at {epoch}.{counter} epoch {}",
                vote.leader, vote.peer_epoch
            )
        };
        self.happened.push(format!(
            "{from} to {}: {} {name} round {}",
            ids(targets.iter()),
            state(vote.state),
            vote.round
        ));
    }
}

fn state(state: ServerState) -> &'static str {
    match state {
        ServerState::Looking => "looking",
        ServerState::Following => "following",
        ServerState::Leading => "leading",
        ServerState::Observing => "observing",
    }
}

fn ids<'a>(ids: impl Iterator<Item = &'a ServerId>) -> String {
    let ids: Vec<String> = ids.map(ToString::to_string).collect();
    ids.join(" ")
}

fn id(word: &str) -> ServerId {
    ServerId(word.trim_end_matches(',').parse().unwrap())
}

/// `epoch.counter`, or `void`, which must not count.
fn zxid(word: &str) -> Zxid {
    if word == "void" {
        return Zxid(-1);
    }
    let (epoch, counter) = word.split_once('.').unwrap();
    let counter: i64 = counter.parse().unwrap();
    Zxid(Zxid::of_epoch(epoch.parse().unwrap()).0 + counter)
}

pub(super) fn ensemble(words: &[&str]) -> EnsembleConfig {
    let mut text = String::new();
    let mut groups = 0;
    for word in words {
        text += &match (word.split_once('='), word.split_once(':')) {
            (Some(("group", members)), _) => {
                groups += 1;
                format!("group.{groups}={members}\n")
            }
            (Some(("weight", weight)), _) => format!("weight.{}\n", weight.replace(':', "=")),
            (Some(("version", version)), _) => format!("version={version}\n"),
            (_, Some((id, role))) => format!("server.{id}=host{id}:2888:3888:{role}\n"),
            _ => format!("server.{word}=host{word}:2888:3888\n"),
        };
    }
    text.parse().unwrap()
}
