//! A member of an ensemble: which role it has, and how it changes.
//!
//! ```text
//!            ┌────────────── elected ──────────────┐
//! Settling ──> Looking ──── somebody else is ────> Leading, Learning ── leaves ──> Settling
//! ```
//!
//! A role is left as a whole: its links and clients are closed, and nothing that it asked for is
//! under way when the next begins. What was logged and not agreed on is applied then: from there on
//! the tree is what a restart would find, and the election is about that.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::quorum::{EnsembleConfig, FromLearner, ServerState};
use zk_proto::{ServerId, SessionId, Zxid};

use super::Decider;
use super::facts::{Facts, MemberSettings, Step};
use super::leader::Leader;
use super::learner::Learner;
use super::read_only::ReadOnly;
use crate::authority::Authority;
use crate::election::{Candidate, Election, ElectionConfig, ElectionEffect};
use crate::replica::Replica;
use crate::tree::Recovered;
use crate::unapplied::Unapplied;
use crate::{
    CloseReason, Effect, LearnerStatus, LeaveReason, Now, QuorumEffect, QuorumInput, QuorumLink,
};

/// Learners that may wait for this server to lead; more are sent away.
const EARLY_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) facts: Facts,
    pub(crate) role: Role,
    election: Election,
    /// Whether the election knows the epoch that the role is in.
    is_synced: bool,
    /// Learners that know earlier than this server that it leads, with what they said.
    early: BTreeMap<QuorumLink, Vec<FromLearner>>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub(crate) enum Role {
    /// Waits until nothing is under way; what was logged and is not applied.
    Settling {
        unapplied: VecDeque<Unapplied>,
        is_reloading: bool,
        /// Who leads next without an election.
        appointed: Option<ServerId>,
    },
    Looking(Looking),
    Leading(Leader),
    Learning(Learner),
}

/// Without a leader.
#[derive(Debug, Default)]
pub(crate) struct Looking {
    /// When clients may read, if there is no leader until then.
    read_only_at: Option<Duration>,
    read_only: Option<ReadOnly>,
}

impl Member {
    pub(crate) fn new(
        settings: MemberSettings,
        election: ElectionConfig,
        ensemble: EnsembleConfig,
        epochs: (u32, u32),
        replica: &mut Replica,
        now: Now,
    ) -> Self {
        let facts = Facts::new(settings, ensemble.clone(), epochs, replica.tree.last_zxid());
        let mut member = Self {
            election: Election::new(election, ensemble, facts.proposed.as_ref()),
            role: Role::Settling {
                unapplied: VecDeque::new(),
                is_reloading: false,
                appointed: None,
            },
            facts,
            is_synced: false,
            early: BTreeMap::new(),
        };
        member.facts.show_config(replica, now);
        member.settle(replica, now);
        member
    }

    pub(crate) fn state(&self) -> ServerState {
        match &self.role {
            Role::Settling { .. } | Role::Looking(_) => ServerState::Looking,
            Role::Leading(_) => ServerState::Leading,
            Role::Learning(learner) if learner.is_observer() => ServerState::Observing,
            Role::Learning(_) => ServerState::Following,
        }
    }

    /// Whether clients are served.
    pub(crate) fn is_serving(&self) -> bool {
        match &self.role {
            Role::Settling { .. } => false,
            Role::Looking(looking) => looking.read_only.is_some(),
            Role::Leading(leader) => self.facts.settings.leader_serves && leader.is_serving(),
            Role::Learning(learner) => learner.is_serving(),
        }
    }

    /// Whom the server follows, or itself while it leads.
    pub(crate) fn leader(&self) -> Option<ServerId> {
        match &self.role {
            Role::Settling { .. } | Role::Looking(_) => None,
            Role::Leading(_) => Some(self.facts.id),
            Role::Learning(learner) => Some(learner.leader()),
        }
    }

    pub(crate) fn learners(&self) -> Vec<LearnerStatus> {
        match &self.role {
            Role::Settling { .. } | Role::Looking(_) | Role::Learning(_) => Vec::new(),
            Role::Leading(leader) => leader.learners().collect(),
        }
    }

    pub(crate) fn pending_syncs(&self) -> usize {
        match &self.role {
            Role::Settling { .. } | Role::Looking(_) | Role::Learning(_) => 0,
            Role::Leading(leader) => leader.pending_syncs(),
        }
    }

    pub(crate) fn outstanding(&self) -> usize {
        match &self.role {
            Role::Settling { unapplied, .. } => unapplied.len(),
            Role::Looking(_) => 0,
            Role::Leading(leader) => leader.authority().map_or(0, |made| made.outstanding()),
            Role::Learning(learner) => learner.outstanding(),
        }
    }

    pub(crate) fn expires(&self, session: SessionId) -> Option<Duration> {
        match &self.role {
            Role::Leading(leader) => leader.authority()?.tracker.expires(session),
            Role::Settling { .. } | Role::Looking(_) | Role::Learning(_) => None,
        }
    }

    /// Sends what was made to disks.
    pub(crate) fn propose(&mut self, replica: &mut Replica, now: Now) {
        if let Role::Leading(leader) = &mut self.role {
            leader.propose(&mut self.facts, replica, now);
        }
    }

    /// Who decides on what clients ask for.
    pub(super) fn decider(&mut self) -> Decider<'_> {
        let is_serving = self.is_serving();
        match &mut self.role {
            _ if !is_serving => Decider::Nobody,
            Role::Settling { .. } => Decider::Nobody,
            Role::Looking(looking) => {
                (looking.read_only.as_mut()).map_or(Decider::Nobody, Decider::ReadOnly)
            }
            Role::Leading(leader) => Decider::Quorum(leader, &self.facts),
            Role::Learning(learner) => Decider::Leader(learner, &self.facts),
        }
    }

    pub(crate) fn next_deadline(&self, is_retiring: bool) -> Option<Duration> {
        let role = match &self.role {
            Role::Settling { .. } => None,
            Role::Looking(looking) => looking.read_only_at,
            Role::Leading(leader) => Some(leader.next_deadline(is_retiring)),
            Role::Learning(learner) => learner.next_deadline(),
        };
        role.into_iter().chain(self.election.next_deadline()).min()
    }

    pub(crate) fn on_flushed(&mut self, replica: &mut Replica, zxid: Zxid, now: Now) {
        assert!(
            zxid <= self.facts.appended,
            "flushed {zxid}, appended up to {}",
            self.facts.appended
        );
        self.facts.flushed = zxid;
        match &mut self.role {
            Role::Settling { .. } => self.settle(replica, now),
            Role::Looking(_) => {}
            Role::Leading(leader) => {
                let step = leader.commit(&mut self.facts, replica, now);
                self.stay_or_leave(step, replica, now);
            }
            Role::Learning(learner) => learner.on_flushed(&mut self.facts, replica),
        }
    }

    pub(crate) fn on_tick(&mut self, replica: &mut Replica, now: Now) {
        self.election.on_tick(now.monotonic);
        let step = match &mut self.role {
            Role::Settling { .. } => Ok(()),
            Role::Looking(looking) => {
                looking.on_tick(replica, now);
                Ok(())
            }
            Role::Leading(leader) => leader.on_tick(&mut self.facts, replica, now),
            Role::Learning(learner) => learner.on_tick(&mut self.facts, replica, now),
        };
        self.stay_or_leave(step, replica, now);
    }

    pub(crate) fn on_quorum(&mut self, replica: &mut Replica, input: QuorumInput, now: Now) {
        let step = self.handle(replica, input, now);
        self.stay_or_leave(step, replica, now);
    }

    fn handle(&mut self, replica: &mut Replica, input: QuorumInput, now: Now) -> Step {
        let facts = &mut self.facts;
        let monotonic = now.monotonic;
        match (input, &mut self.role) {
            (QuorumInput::Vote { from, notification }, _) => {
                self.election
                    .on_notification(monotonic, from, &notification);
            }
            (QuorumInput::VoterConnected(peer), _) => self.election.on_connected(monotonic, peer),
            (QuorumInput::VoterDisconnected(peer), _) => self.election.on_disconnected(peer),
            (QuorumInput::VoterUnreachable(peer), _) => {
                self.election.on_unreachable(monotonic, peer);
            }
            (QuorumInput::Promised, role) => {
                facts.on_promised();
                match role {
                    Role::Settling { .. } => self.settle(replica, now),
                    Role::Looking(_) => unreachable!("nothing is under way while looking"),
                    Role::Leading(leader) => return leader.on_promised(facts, replica, now),
                    Role::Learning(learner) => learner.on_promised(facts, replica),
                }
            }
            (QuorumInput::Reloaded(recovered), role) => {
                replace(facts, replica, *recovered);
                facts.show_config(replica, now);
                match role {
                    Role::Learning(learner) => return learner.on_reloaded(facts, replica, now),
                    Role::Settling {
                        is_reloading,
                        unapplied,
                        ..
                    } => {
                        *is_reloading = false;
                        unapplied.clear();
                        self.settle(replica, now);
                    }
                    Role::Looking(_) | Role::Leading(_) => unreachable!("no state was asked for"),
                }
            }
            (QuorumInput::ReloadFailed, role) => match role {
                Role::Learning(learner) => {
                    learner.on_reload_failed();
                    return Err(LeaveReason::StateNotTaken);
                }
                Role::Settling { is_reloading, .. } => {
                    *is_reloading = false;
                    self.settle(replica, now);
                }
                Role::Looking(_) | Role::Leading(_) => unreachable!("no state was asked for"),
            },
            (QuorumInput::Accepted(link), Role::Leading(leader)) => {
                leader.on_accepted(facts, link, now);
            }
            (QuorumInput::Accepted(link), role) => {
                if matches!(role, Role::Learning(_)) || self.early.len() >= EARLY_MAX {
                    (replica.effects).push(Effect::Quorum(QuorumEffect::Close(link)));
                } else {
                    self.early.insert(link, Vec::new());
                }
            }
            (QuorumInput::FromLearner { link, packets }, Role::Leading(leader)) => {
                return leader.on_packets(facts, replica, link, packets, now);
            }
            (QuorumInput::FromLearner { link, packets }, _) => {
                // It says who it is, and waits for an answer.
                if let Some(said) = self.early.get_mut(&link) {
                    said.extend(packets);
                    if said.len() > 1 {
                        self.early.remove(&link);
                        (replica.effects).push(Effect::Quorum(QuorumEffect::Close(link)));
                    }
                }
            }
            (QuorumInput::Taken(link), Role::Leading(leader)) => leader.on_taken(facts, link, now),
            (QuorumInput::LogRead { link, txns }, Role::Leading(leader)) => {
                leader.on_log_read(facts, replica, link, txns);
            }
            (QuorumInput::Dialled { attempt, link }, Role::Learning(learner)) => {
                learner.on_dialled(facts, replica, attempt, link);
            }
            (QuorumInput::Dialled { link, .. }, _) => {
                (replica.effects).push(Effect::Quorum(QuorumEffect::Close(link)));
            }
            (QuorumInput::DialFailed { attempt }, Role::Learning(learner)) => {
                return learner.on_dial_failed(facts, attempt, now);
            }
            (QuorumInput::FromLeader { link, packets }, Role::Learning(learner)) => {
                for packet in packets {
                    learner.on_packet(facts, replica, link, packet, now)?;
                }
            }
            (QuorumInput::Closed(link), Role::Leading(leader)) => leader.on_closed(facts, link),
            (QuorumInput::Closed(link), _) if self.early.remove(&link).is_some() => {}
            (QuorumInput::Closed(link), Role::Learning(learner)) => {
                return learner.on_closed(facts, link, now);
            }
            // What is left of a role that was left.
            (
                QuorumInput::LogRead { .. }
                | QuorumInput::Taken(_)
                | QuorumInput::DialFailed { .. }
                | QuorumInput::FromLeader { .. }
                | QuorumInput::Closed(_),
                _,
            ) => {}
        }
        Ok(())
    }

    fn stay_or_leave(&mut self, step: Step, replica: &mut Replica, now: Now) {
        if let Err(reason) = step {
            self.leave(reason, replica, now);
        }
        let is_active = match &self.role {
            Role::Settling { .. } | Role::Looking(_) => false,
            Role::Leading(leader) => leader.is_serving(),
            Role::Learning(learner) => learner.is_serving(),
        };
        if is_active && !self.is_synced {
            self.is_synced = true;
            self.election.on_synced(self.facts.current.into());
        }
        self.regroup_election(now);
        self.obey_election(replica, now);
    }

    /// Tells the election of another membership.
    fn regroup_election(&mut self, now: Now) {
        if self.facts.take_regrouped() {
            let (ensemble, proposed) = (&self.facts.ensemble, self.facts.proposed.as_ref());
            (self.election).reconfigure(now.monotonic, ensemble.clone(), proposed);
        }
    }

    /// Does what the election asks for.
    fn obey_election(&mut self, replica: &mut Replica, now: Now) {
        loop {
            let effects: Vec<_> = self.election.drain_effects().collect();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    ElectionEffect::Send { to, notification } => {
                        let vote = QuorumEffect::Vote { to, notification };
                        replica.effects.push(Effect::Quorum(vote));
                    }
                    ElectionEffect::Decided(decision) => {
                        self.begin(decision.state, decision.vote.leader, replica, now);
                    }
                    ElectionEffect::Deserted => {
                        if !matches!(self.role, Role::Settling { .. } | Role::Looking(_)) {
                            self.leave(LeaveReason::Deserted, replica, now);
                        }
                    }
                    ElectionEffect::ConfigSeen(config) => {
                        self.facts.activate_config(replica, config);
                        self.facts.show_config(replica, now);
                        self.regroup_election(now);
                    }
                }
            }
        }
    }

    /// The election is over: begins the role that it gave.
    fn begin(&mut self, state: ServerState, leader: ServerId, replica: &mut Replica, now: Now) {
        assert!(
            matches!(self.role, Role::Looking(_)),
            "an election is over once"
        );
        if let Role::Looking(Looking {
            read_only: Some(read_only),
            ..
        }) = core::mem::replace(&mut self.role, Role::Looking(Looking::default()))
        {
            read_only.end(replica);
        }
        self.role = match state {
            ServerState::Leading => Role::Leading(Leader::begin(&mut self.facts, replica, now)),
            ServerState::Following | ServerState::Observing => {
                let is_observer = state == ServerState::Observing;
                let learner = Learner::new(&mut self.facts, replica, leader, is_observer, now);
                Role::Learning(learner)
            }
            ServerState::Looking => unreachable!("an election ends with a leader"),
        };
        self.is_synced = false;
        tell_role(replica, state);
        self.hear_early(replica, now);
    }

    /// Learners that came early are taken in by a leader, and sent away by others.
    fn hear_early(&mut self, replica: &mut Replica, now: Now) {
        for (link, said) in core::mem::take(&mut self.early) {
            let Role::Leading(leader) = &mut self.role else {
                (replica.effects).push(Effect::Quorum(QuorumEffect::Close(link)));
                continue;
            };
            leader.on_accepted(&self.facts, link, now);
            let step = leader.on_packets(&mut self.facts, replica, link, said, now);
            step.expect("a learner that says who it is ends no leader");
        }
    }

    /// Leaves the role, whatever it is.
    fn leave(&mut self, reason: LeaveReason, replica: &mut Replica, now: Now) {
        for slot in replica.conns.slots() {
            replica.close(slot, CloseReason::NotServing);
        }
        replica.end_local();
        replica.sessions.forget_submitted();
        let appointed = match reason {
            LeaveReason::Reconfigured { leader } => leader,
            _ => None,
        };
        (replica.effects).push(Effect::Quorum(QuorumEffect::Left(reason)));
        let (unapplied, is_reloading) =
            match core::mem::replace(&mut self.role, Role::Looking(Looking::default())) {
                Role::Settling {
                    unapplied,
                    is_reloading,
                    ..
                } => (unapplied, is_reloading),
                Role::Looking(_) => (VecDeque::new(), false),
                Role::Leading(leader) => {
                    let authority = leader.end(replica);
                    (
                        authority.map(Authority::into_unapplied).unwrap_or_default(),
                        false,
                    )
                }
                Role::Learning(learner) => {
                    let is_reloading = learner.is_reloading();
                    (learner.end(replica), is_reloading)
                }
            };
        self.role = Role::Settling {
            unapplied,
            is_reloading,
            appointed,
        };
        tell_role(replica, ServerState::Looking);
        self.settle(replica, now);
    }

    /// Looks for a leader once nothing is under way.
    fn settle(&mut self, replica: &mut Replica, now: Now) {
        let Role::Settling {
            unapplied,
            is_reloading: false,
            appointed,
        } = &mut self.role
        else {
            return;
        };
        if !self.facts.is_settled() || replica.is_retiring {
            return;
        }
        let appointed = *appointed;
        for txn in core::mem::take(unapplied) {
            replica.catch_up(&txn);
        }
        let last = replica.tree.last_zxid();
        assert_eq!(last, self.facts.flushed, "the tree is what is on disk");
        let read_only_after = self.facts.settings.read_only_after;
        self.role = Role::Looking(Looking {
            read_only_at: read_only_after.map(|wait| now.monotonic + wait),
            read_only: None,
        });
        if let Some(leader) = appointed {
            self.election.appoint(leader, last);
            self.begin(self.election.state(), leader, replica, now);
            return;
        }
        let candidate = Candidate {
            zxid: last,
            epoch: self.facts.current.into(),
        };
        self.election.begin(now.monotonic, candidate);
        self.obey_election(replica, now);
    }
}

impl Looking {
    fn on_tick(&mut self, replica: &mut Replica, now: Now) {
        if self.read_only_at.is_some_and(|at| at <= now.monotonic) {
            self.read_only_at = None;
            self.read_only = Some(ReadOnly::begin(replica));
        }
    }
}

/// The state that storage read back takes the place of the one before.
fn replace(facts: &mut Facts, replica: &mut Replica, recovered: Recovered) {
    facts.appended = recovered.last_zxid;
    facts.flushed = recovered.last_zxid;
    replica.replace(recovered);
}

fn tell_role(replica: &mut Replica, state: ServerState) {
    (replica.effects).push(Effect::Quorum(QuorumEffect::Role(state)));
}
