//! What the scripts do not show.

use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::quorum::{Notification, ServerState};
use zk_proto::{ServerId, Zxid};

use super::script::ensemble;
use crate::election::peers::STRANGERS_MAX;
use crate::election::{Candidate, Decision, Election, ElectionConfig, ElectionEffect, Vote};

const CANDIDATE: Candidate = Candidate {
    zxid: Zxid(7),
    epoch: 0,
};

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn election(me: i64, members: &[&str]) -> Election {
    Election::new(ElectionConfig::new(ServerId(me)), ensemble(members), None)
}

fn looking(leader: i64, zxid: i64, round: i64) -> Notification {
    Notification {
        state: ServerState::Looking,
        leader: ServerId(leader),
        zxid: Zxid(zxid),
        round,
        peer_epoch: 0,
        version: 2,
        config: None,
    }
}

fn sent(election: &mut Election) -> Vec<(ServerId, Notification)> {
    let sends = election.drain_effects().filter_map(|effect| match effect {
        ElectionEffect::Send { to, notification } => Some((to, notification)),
        _ => None,
    });
    sends.collect()
}

fn decided(election: &mut Election) -> Option<Decision> {
    election.drain_effects().find_map(|effect| match effect {
        ElectionEffect::Decided(decision) => Some(decision),
        _ => None,
    })
}

#[test]
fn notifications_carry_the_configuration_in_force() {
    let mut election = election(1, &["1", "2", "version=5"]);
    election.begin(at(0), CANDIDATE);
    let text = "server.1=host1:2888:3888:participant\n\
                server.2=host2:2888:3888:participant\nversion=5";
    let (_, notification) = sent(&mut election).remove(0);
    assert_eq!(notification.config.as_deref(), Some(text));
    election.reconfigure(at(1), ensemble(&["1", "2", "version=6"]), None);
    assert_eq!(
        sent(&mut election),
        [],
        "the same members need no other election"
    );
    election.on_connected(at(2), ServerId(2));
    let (_, notification) = sent(&mut election).remove(0);
    assert!(notification.config.unwrap().ends_with("version=6"));
}

#[test]
fn before_the_first_election_nothing_is_said() {
    let mut election = election(1, &["1", "2"]);
    election.on_connected(at(0), ServerId(2));
    election.on_notification(at(0), ServerId(2), &looking(2, 9, 4));
    election.on_notification(at(0), ServerId(9), &looking(2, 9, 4));
    election.on_tick(at(1));
    assert_eq!(sent(&mut election), []);
    assert_eq!(
        (election.state(), election.vote()),
        (ServerState::Looking, None)
    );
    assert_eq!(election.next_deadline(), None);
}

#[test]
fn a_participant_that_is_no_member_follows_and_an_observer_observes() {
    for (members, state) in [
        (&["2", "3"][..], ServerState::Following),
        (&["1:observer", "2", "3"][..], ServerState::Observing),
    ] {
        let mut election = election(1, members);
        election.begin(at(0), CANDIDATE);
        for voter in [2, 3] {
            election.on_notification(at(0), ServerId(voter), &looking(3, 7, 1));
        }
        let decision = decided(&mut election).unwrap();
        assert_eq!((decision.state, decision.vote.leader), (state, ServerId(3)));
    }
}

#[test]
fn who_becomes_a_voter_while_looking_votes_for_itself() {
    let mut election = election(1, &["1:observer", "2", "3"]);
    election.begin(at(0), CANDIDATE);
    assert_eq!(election.vote(), Some(Vote::NONE));
    election.reconfigure(at(1), ensemble(&["1", "2", "3", "version=1"]), None);
    assert_eq!(election.vote().map(|vote| vote.leader), Some(ServerId(1)));
    assert_eq!(election.round(), 2);
}

#[test]
fn an_appointed_leader_is_told_to_who_asks_with_the_epoch_that_it_began() {
    let mut election = election(1, &["1", "2", "3"]);
    election.appoint(ServerId(3), Zxid(9));
    assert_eq!(election.state(), ServerState::Following);
    for epoch in [-1, 4] {
        election.on_notification(at(0), ServerId(2), &looking(2, 9, epoch));
        let (_, answer) = sent(&mut election).remove(0);
        assert_eq!(
            (answer.state, answer.leader),
            (ServerState::Following, ServerId(3))
        );
        assert_eq!((answer.round, answer.peer_epoch), (-1, epoch));
        election.on_synced(4);
    }
    election.appoint(ServerId(1), Zxid(9));
    assert_eq!(election.state(), ServerState::Leading);
}

#[test]
fn the_last_round_is_not_passed() {
    let mut election = election(1, &["1", "2"]);
    election.begin(at(0), CANDIDATE);
    election.on_notification(at(0), ServerId(2), &looking(2, 7, i64::MAX));
    election.begin(at(1), CANDIDATE);
    assert_eq!(election.round(), i64::MAX);
}

#[test]
fn nothing_that_peers_say_makes_an_observer_lead() {
    let mut election = election(1, &["1:observer", "2", "3"]);
    election.begin(at(0), CANDIDATE);
    for voter in [2, 3] {
        for state in [
            ServerState::Looking,
            ServerState::Following,
            ServerState::Leading,
        ] {
            for leader in [1, i64::MIN] {
                let vote = Notification {
                    state,
                    zxid: Vote::NONE.zxid,
                    peer_epoch: Vote::NONE.epoch,
                    ..looking(leader, 0, 1)
                };
                election.on_notification(at(0), ServerId(voter), &vote);
                election.on_tick(at(300));
            }
        }
    }
    assert_eq!(decided(&mut election), None);
}

#[test]
fn strangers_are_bounded_and_forgotten_with_their_links() {
    let mut election = election(1, &["1", "2"]);
    election.begin(at(0), CANDIDATE);
    sent(&mut election);
    let mut answers = |id: i64| {
        election.on_notification(at(1), ServerId(id), &looking(id, 7, 1));
        let answers = sent(&mut election).len();
        if id == 1_100 {
            election.on_disconnected(ServerId(id));
        }
        answers
    };
    let strangers = i64::try_from(STRANGERS_MAX).unwrap();
    for id in 1_000..1_000 + strangers {
        assert_eq!(answers(id), 1, "{id}");
    }
    assert_eq!(answers(1), 0, "its own id");
    assert_eq!(answers(5_000), 1, "in the place of 1100");
    assert_eq!(answers(5_001), 0);
    assert_eq!(answers(1_000), 0, "it was answered a moment ago");
}

#[test]
fn a_config_that_cannot_be_read_says_nothing_of_the_vote() {
    let config = ElectionConfig {
        reconfig_enabled: true,
        ..ElectionConfig::new(ServerId(1))
    };
    let mut election = Election::new(config, ensemble(&["1", "2"]), None);
    election.begin(at(0), CANDIDATE);
    let vote = Notification {
        config: Some("server.x".into()),
        ..looking(2, 7, 1)
    };
    election.on_notification(at(0), ServerId(2), &vote);
    assert_eq!(decided(&mut election).unwrap().vote.leader, ServerId(2));
}

#[test]
fn a_newer_configuration_is_believed_only_where_reconfig_is_enabled() {
    let mut election = election(1, &["1", "2"]);
    election.begin(at(0), CANDIDATE);
    let vote = Notification {
        config: Some("server.9=a:1:2\nversion=7".into()),
        ..looking(2, 7, 1)
    };
    election.on_notification(at(0), ServerId(2), &vote);
    let effects: Vec<_> = election.drain_effects().collect();
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, ElectionEffect::Decided(_)))
    );
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, ElectionEffect::ConfigSeen(_)))
    );
}
