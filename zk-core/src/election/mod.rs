//! Fast leader election (`FastLeaderElection`, 3.9.5).
//!
//! ```text
//!              begin                        Decided
//!   idle ───────────────► looking ───────────────────────► settled: leading, following, observing
//!                          ▲   │ begin, reconfigure           │
//!                          └───┴──────────────────────────────┘ begin
//! ```
//!
//! A server that looks for a leader tells its vote to all voters. The first vote is for itself; a
//! vote above its own, by epoch, zxid and id, replaces it, and is told to all in turn. Elections are
//! numbered by rounds: a higher round is entered with empty hands, a lower one is answered and else
//! ignored. When a quorum has the same vote, that is the leader. Who looks while others have settled
//! joins their leader, once a quorum of them names it and it says itself that it leads.
//!
//! It does not know who is connected with whom and how ([`links`]), nor what leading and following
//! are. Safety is not its business either: Zab admits a leader only with a quorum that accepts its
//! epoch and whose logs end no later. A wrong or hasty choice costs time, never data. So all that is
//! decided here is decided for liveness.
//!
//! # When a quorum need not wait
//!
//! Apache's server, once a quorum agrees, listens for [`ElectionConfig::finalize_wait`] more, as a
//! server that was not heard yet might have a vote above. Nothing can come of that wait when every
//! voter has been heard in this round with this very vote, or cannot be reached; so it ends then.
//!
//! - *Nothing is missed.* A voter that agreed has no vote above its own to send, unless it hears one
//!   from a server that this one cannot reach. That server is then not among those who could follow
//!   here at once, and the chosen leader has the highest vote of a quorum all the same.
//! - *Unreachable* means that the peer was dialled in vain: its host refused, or did not answer in
//!   time. A link that broke says nothing yet; the dial that follows does. A peer that was never
//!   linked may be starting just now, with the others, so it is waited for until it has been dialled
//!   in vain for [`ElectionConfig::start_grace`]. Vanishing packets are no refusal: then the wait is
//!   as long as Apache's.
//! - *Nobody goes after a dead leader sooner.* When the chosen leader itself is unreachable, the wait
//!   is kept, in which its replacement may speak up.
//! - *Two deciders may disagree* when one of them is hasty, as they may after Apache's wait. A leader
//!   that loses its quorum of votes before it has one of followers, and a follower whose leader looks
//!   again, learn it here ([`ElectionEffect::Deserted`]) instead of by a timeout.
//!
//! # What else peers cannot tell from Apache's server with luckier timing
//!
//! - A fresh link is used at once, for the vote of that moment.
//! - Whoever was heard looking is told the decision. Nobody waits for its own next question, which
//!   may be a minute off.
//! - What was heard looking shortly before an election began counts in it: its sender does not
//!   repeat it soon. In turn, a peer that began later than its vote was told is told again.
//! - The wait between two repetitions is short again whenever something was learnt.
//! - A vote for this server by a settled peer counts only if it names the log that this server ends
//!   with. Otherwise it is for this server's life before a restart.
//! - A peer that looks again has withdrawn what it said when it was settled.
//! - Nobody votes for a server of weight zero, itself included, that hears of another.
//! - The same question is answered once per shortest wait and link, and a stranger's only while it
//!   looks, so that two servers, of which each takes the other for a stranger, do not talk forever.

pub mod links;
mod peers;
mod vote;

#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::quorum::{
    EnsembleConfig, NOTIFICATION_VERSION, Notification, ServerRole, ServerState,
};
use zk_proto::{ServerId, Zxid};

use crate::quorum::Quorums;
use peers::Peers;
use vote::Heard;
pub use vote::Vote;

/// Settings of an [`Election`].
#[derive(Debug, Clone)]
pub struct ElectionConfig {
    /// This server.
    pub me: ServerId,
    /// How long a quorum waits for a better vote, see the module's text.
    pub finalize_wait: Duration,
    /// How long a peer that was not linked in this server's life may take to start.
    pub start_grace: Duration,
    /// The wait before the first repetition of a vote (`fastleader.minNotificationInterval`). It
    /// doubles with each further one. What was heard so long before an election counts in it.
    pub resend_min: Duration,
    /// The longest such wait (`fastleader.maxNotificationInterval`).
    pub resend_max: Duration,
    /// Whether a newer configuration in a notification is believed (`reconfigEnabled`).
    pub reconfig_enabled: bool,
}

impl ElectionConfig {
    /// The defaults of Apache's server.
    #[must_use]
    pub fn new(me: ServerId) -> Self {
        Self {
            me,
            finalize_wait: Duration::from_millis(200),
            start_grace: Duration::from_secs(10),
            resend_min: Duration::from_millis(200),
            resend_max: Duration::from_secs(60),
            reconfig_enabled: false,
        }
    }
}

/// What this server can offer as a leader. Who does not vote gives it as well, in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The last transaction of its log.
    pub zxid: Zxid,
    /// Its current epoch.
    pub epoch: i64,
}

/// The end of an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Leading, following or observing.
    pub state: ServerState,
    /// Whom.
    pub vote: Vote,
    /// The round in which that vote won.
    pub round: i64,
    /// The voters whose votes counted.
    pub supporters: BTreeSet<ServerId>,
}

/// Something to be done, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElectionEffect {
    /// Send this to a peer, in place of whatever waits for it.
    Send {
        /// The peer.
        to: ServerId,
        /// The vote.
        notification: Notification,
    },
    /// The election is over.
    Decided(Decision),
    /// A peer has a newer configuration: put it in force, then call [`Election::reconfigure`]. Where
    /// its members are others, the peer's vote was not counted yet.
    ConfigSeen(EnsembleConfig),
    /// Before [`Election::on_synced`] only: the votes that made this server a leader are withdrawn,
    /// or the leader that it follows looks for another. Waiting any longer is useless: begin again.
    Deserted,
}

/// The election of one server.
#[derive(Debug)]
pub struct Election {
    config: ElectionConfig,
    ensemble: EnsembleConfig,
    ensemble_text: String,
    quorums: Quorums,
    candidate: Candidate,
    round: i64,
    phase: Phase,
    peers: Peers,
    effects: Vec<ElectionEffect>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Looking(Looking),
    Settled(Settled),
}

#[derive(Debug)]
struct Looking {
    /// The vote with which each round is entered.
    own: Vote,
    proposal: Vote,
    resend_wait: Duration,
    resend_at: Duration,
    /// Since when a quorum has had this proposal.
    quorum_since: Option<Duration>,
}

#[derive(Debug)]
struct Settled {
    state: ServerState,
    vote: Vote,
    round: i64,
    /// While leading and not synced: who still stands by that.
    loyal: BTreeSet<ServerId>,
    is_synced: bool,
    is_deserted: bool,
}

impl Election {
    /// An election that has not begun. `last_seen` is the configuration of a reconfig that this
    /// server has logged, as [`Quorums::new`] takes it.
    #[must_use]
    pub fn new(
        config: ElectionConfig,
        ensemble: EnsembleConfig,
        last_seen: Option<&EnsembleConfig>,
    ) -> Self {
        Self {
            config,
            ensemble_text: ensemble.to_string(),
            quorums: Quorums::new(&ensemble, last_seen),
            ensemble,
            candidate: Candidate {
                zxid: Zxid::ZERO,
                epoch: 0,
            },
            round: 0,
            phase: Phase::Idle,
            peers: Peers::default(),
            effects: Vec::new(),
        }
    }

    /// Looks for a leader, in the next round. Also when it is looking already.
    pub fn begin(&mut self, now: Duration, candidate: Candidate) {
        self.candidate = candidate;
        self.round = self.round.saturating_add(1);
        let own = self.own_vote();
        self.phase = Phase::Looking(Looking {
            own,
            proposal: own,
            resend_wait: self.config.resend_min,
            resend_at: now,
            quorum_since: None,
        });
        for held in self.forget_but_held(now) {
            self.weigh(&held);
        }
        self.broadcast(now);
        self.conclude(now);
    }

    /// Another configuration is in force, or another was seen last. While looking, another set of
    /// members begins another round.
    pub fn reconfigure(
        &mut self,
        now: Duration,
        ensemble: EnsembleConfig,
        last_seen: Option<&EnsembleConfig>,
    ) {
        let before = self.quorums.voters().clone();
        let is_other = !is_same_members(&self.ensemble, &ensemble);
        self.quorums = Quorums::new(&ensemble, last_seen);
        self.ensemble_text = ensemble.to_string();
        self.ensemble = ensemble;
        let is_other = is_other || before != *self.quorums.voters();
        self.peers.retain(self.quorums.voters());
        if is_other && matches!(self.phase, Phase::Looking(_)) {
            self.begin(now, self.candidate);
        }
    }

    /// The server has taken its place under the leader it was settled on, in the epoch that began:
    /// its vote is for that epoch from here on (`updateElectionVote`).
    pub fn on_synced(&mut self, epoch: i64) {
        if let Phase::Settled(settled) = &mut self.phase {
            settled.vote.epoch = epoch;
            settled.is_synced = true;
        }
    }

    /// Settles on a leader without an election: one that a reconfig designates, or that the leader
    /// names as it leaves.
    pub fn appoint(&mut self, leader: ServerId, zxid: Zxid) {
        let epoch = -1;
        let vote = Vote {
            leader,
            zxid,
            epoch,
        };
        self.phase = Phase::Settled(Settled {
            state: self.state_under(leader),
            vote,
            round: -1,
            loyal: self.quorums.voters().clone(),
            is_synced: false,
            is_deserted: false,
        });
    }

    /// A peer's vote came.
    pub fn on_notification(&mut self, now: Duration, from: ServerId, notification: &Notification) {
        let heard = Heard::new(now, notification);
        if from == self.config.me {
            return;
        }
        if !self.has_members_of(notification) {
            self.record(from, heard);
            return;
        }
        let Some(is_fresh) = self.record(from, heard) else {
            return;
        };
        if !self.quorums.is_voter(from) {
            if heard.is_looking() {
                self.answer(now, from, is_fresh);
            }
            return;
        }
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Settled(_) => {
                if heard.is_looking() {
                    self.answer(now, from, is_fresh);
                }
                self.check_loyalty(from, &heard);
            }
            Phase::Looking(looking) => {
                if is_fresh {
                    looking.resend_soon(now, self.config.resend_min);
                }
                if heard.is_looking() {
                    self.on_looking(now, from, &heard, is_fresh);
                } else if heard.is_settled() {
                    self.on_settled(&heard);
                }
                self.conclude(now);
            }
        }
    }

    /// There is a fresh link to the peer.
    pub fn on_connected(&mut self, now: Duration, peer: ServerId) {
        if !self.quorums.is_voter(peer) {
            return;
        }
        self.peers.voter_mut(peer).on_connected();
        match &mut self.phase {
            Phase::Idle => return,
            Phase::Looking(looking) => looking.resend_soon(now, self.config.resend_min),
            Phase::Settled(_) if !self.quorums.is_voter(self.config.me) => return,
            Phase::Settled(_) => {}
        }
        self.send(peer);
    }

    /// The link to the peer broke.
    pub fn on_disconnected(&mut self, peer: ServerId) {
        if self.quorums.is_voter(peer) {
            self.peers.voter_mut(peer).on_disconnected();
        } else {
            self.peers.forget(peer);
        }
    }

    /// The peer was dialled in vain.
    pub fn on_unreachable(&mut self, now: Duration, peer: ServerId) {
        if self.quorums.is_voter(peer) {
            let grace = self.config.start_grace;
            self.peers.voter_mut(peer).on_unreachable(now, grace);
            self.conclude(now);
        }
    }

    /// The deadline has come.
    pub fn on_tick(&mut self, now: Duration) {
        self.conclude(now);
        let Phase::Looking(looking) = &mut self.phase else {
            return;
        };
        if looking.resend_at <= now {
            let wait = (looking.resend_wait * 2).min(self.config.resend_max);
            looking.resend_wait = wait;
            looking.resend_at = now + wait;
            self.send_to_voters();
        }
    }

    /// When [`Election::on_tick`] is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let Phase::Looking(looking) = &self.phase else {
            return None;
        };
        let decided = looking
            .quorum_since
            .map(|since| self.decide_at(looking, since));
        Some(decided.map_or(looking.resend_at, |at| at.min(looking.resend_at)))
    }

    /// What is to be done since the last call.
    pub fn drain_effects(&mut self) -> impl Iterator<Item = ElectionEffect> + '_ {
        self.effects.drain(..)
    }

    /// What peers are told that this server does.
    #[must_use]
    pub fn state(&self) -> ServerState {
        match &self.phase {
            Phase::Idle | Phase::Looking(_) => ServerState::Looking,
            Phase::Settled(settled) => settled.state,
        }
    }

    /// The vote that peers are told; `None` before the first election.
    #[must_use]
    pub fn vote(&self) -> Option<Vote> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Looking(looking) => Some(looking.proposal),
            Phase::Settled(settled) => Some(settled.vote),
        }
    }

    /// The round of the last election.
    #[must_use]
    pub fn round(&self) -> i64 {
        self.round
    }

    /// Who decides.
    #[must_use]
    pub fn quorums(&self) -> &Quorums {
        &self.quorums
    }

    fn own_vote(&self) -> Vote {
        let me = self.config.me;
        if !self.quorums.current().is_voter(me) {
            return Vote::NONE;
        }
        Vote {
            leader: me,
            zxid: self.candidate.zxid,
            epoch: self.candidate.epoch,
        }
    }

    fn state_under(&self, leader: ServerId) -> ServerState {
        let me = self.config.me;
        let role = self.ensemble.servers().get(&me).map(|server| server.role());
        match role {
            _ if leader == me => ServerState::Leading,
            Some(ServerRole::Observer) => ServerState::Observing,
            Some(ServerRole::Participant) | None => ServerState::Following,
        }
    }

    /// Forgets what was heard, but for the votes of those who were looking a moment ago; returns
    /// these as far as they may count.
    fn forget_but_held(&mut self, now: Duration) -> Vec<Heard> {
        let oldest = now.saturating_sub(self.config.resend_min);
        let mut held = Vec::new();
        for (id, peer) in self.peers.iter_mut() {
            peer.answered_at = None;
            peer.heard = peer
                .heard
                .filter(|heard| heard.is_looking() && heard.at >= oldest);
            if self.quorums.is_voter(id) {
                held.extend(peer.heard);
            }
        }
        held
    }

    /// Whether a notification is of this configuration, as far as it matters. If not, the other one
    /// is reported.
    fn has_members_of(&mut self, notification: &Notification) -> bool {
        let text = notification.config.as_deref();
        let (Phase::Looking(_), true) = (&self.phase, self.config.reconfig_enabled) else {
            return true;
        };
        let Some(text) = text.filter(|&text| text != self.ensemble_text) else {
            return true;
        };
        match text.parse::<EnsembleConfig>() {
            Ok(seen) if seen.version() > self.ensemble.version() => {
                let is_same = is_same_members(&self.ensemble, &seen);
                self.effects.push(ElectionEffect::ConfigSeen(seen));
                is_same
            }
            // One that is no configuration says nothing of the vote beside it, which counts.
            Ok(_) | Err(_) => true,
        }
    }

    /// Remembers what a peer said. Returns whether it said something else before; `None` for a
    /// stranger too many.
    fn record(&mut self, from: ServerId, heard: Heard) -> Option<bool> {
        let peer = if self.quorums.is_voter(from) {
            self.peers.voter_mut(from)
        } else {
            self.peers.stranger_mut(from, self.quorums.voters())?
        };
        let before = peer.heard.replace(heard);
        let is_fresh = before.is_none_or(|before| !before.says_what(&heard));
        if is_fresh {
            peer.answered_at = None;
        }
        if !heard.is_looking() {
            peer.knows_proposal = false;
        }
        Some(is_fresh)
    }

    /// A voter that is looking as well voted.
    fn on_looking(&mut self, now: Duration, from: ServerId, heard: &Heard, is_fresh: bool) {
        if heard.round < self.round {
            self.answer(now, from, is_fresh);
            return;
        }
        if self.weigh(heard) {
            self.broadcast(now);
            return;
        }
        let Phase::Looking(looking) = &self.phase else {
            return;
        };
        let is_below = self.supersedes(&looking.proposal, &heard.vote);
        let knows = self.peers.get(from).is_some_and(|peer| peer.knows_proposal);
        if is_below && !knows {
            self.send(from);
        }
    }

    /// Enters the round of a vote, or makes it the proposal, if it is above. Returns whether there is
    /// anything to tell.
    fn weigh(&mut self, heard: &Heard) -> bool {
        let Phase::Looking(looking) = &self.phase else {
            return false;
        };
        let is_void = heard.vote.is_void() || looking.own.is_void();
        if is_void || heard.round < self.round || !self.quorums.is_voter(heard.vote.leader) {
            return false;
        }
        let is_ahead = heard.round > self.round;
        let before = if is_ahead {
            looking.own
        } else {
            looking.proposal
        };
        let is_above = self.supersedes(&heard.vote, &before);
        if !is_ahead && !is_above {
            return false;
        }
        self.round = heard.round;
        if let Phase::Looking(looking) = &mut self.phase {
            looking.proposal = if is_above { heard.vote } else { before };
            looking.quorum_since = None;
        }
        true
    }

    /// The order of votes (`totalOrderPredicate`): weight zero never wins.
    fn supersedes(&self, vote: &Vote, before: &Vote) -> bool {
        let has_weight = |vote: &Vote| self.quorums.weight(vote.leader) > 0;
        has_weight(vote) && (!has_weight(before) || vote.is_above(before))
    }

    /// A voter that has settled voted: joins its leader, if a quorum has.
    fn on_settled(&mut self, heard: &Heard) {
        let Phase::Looking(looking) = &self.phase else {
            return;
        };
        if !self.quorums.is_voter(heard.vote.leader) {
            return;
        }
        let in_round = |id: ServerId| match self.peers.heard(id) {
            _ if id == self.config.me => looking.proposal == heard.vote,
            other => other.is_some_and(|other| other.agrees_in_round(heard)),
        };
        let settled = |id: ServerId| {
            let other = self.peers.heard(id);
            other.is_some_and(|other| other.agrees_settled(heard))
        };
        let supporters: BTreeSet<ServerId> = if heard.round == self.round
            && self.quorums.has_all_by(in_round)
            && self.is_led(looking, heard, |leader| leader.round == self.round)
        {
            self.voters_by(in_round)
        } else if self.quorums.has_all_by(settled) && self.is_led(looking, heard, |_| true) {
            self.voters_by(settled)
        } else {
            return;
        };
        self.round = heard.round;
        self.settle(heard.vote, supporters);
    }

    /// Whether the leader that a settled peer names says so itself (`checkLeader`), in a notification
    /// that `counts`. If this server is named, it must be for the election that it is in, and for the
    /// log that it has.
    fn is_led(&self, looking: &Looking, heard: &Heard, counts: impl Fn(&Heard) -> bool) -> bool {
        if heard.vote.leader != self.config.me {
            let leader = self.peers.heard(heard.vote.leader);
            return leader
                .is_some_and(|leader| leader.state == ServerState::Leading && counts(leader));
        }
        let own = &looking.own;
        let is_own_log =
            heard.vote.zxid == own.zxid && (heard.version == 0 || heard.vote.epoch == own.epoch);
        let may_lead = own.leader == self.config.me && self.quorums.weight(own.leader) > 0;
        may_lead && is_own_log && heard.round == self.round
    }

    /// Decides, if the time has come.
    fn conclude(&mut self, now: Duration) {
        let Phase::Looking(looking) = &self.phase else {
            return;
        };
        let proposal = looking.proposal;
        let supports = |id| self.supports(id, &proposal);
        let has_quorum = !looking.own.is_void()
            && self.quorums.weight(proposal.leader) > 0
            && self.quorums.has_all_by(supports);
        let since = has_quorum.then(|| looking.quorum_since.unwrap_or(now));
        if since.is_some_and(|since| self.decide_at(looking, since) <= now) {
            let supporters = self.voters_by(supports);
            self.settle(proposal, supporters);
        } else if let Phase::Looking(looking) = &mut self.phase {
            looking.quorum_since = since;
        }
    }

    fn supports(&self, id: ServerId, proposal: &Vote) -> bool {
        let heard = self.peers.heard(id);
        id == self.config.me || heard.is_some_and(|heard| heard.supports(proposal, self.round))
    }

    /// When a quorum that has agreed since then need wait no longer.
    fn decide_at(&self, looking: &Looking, since: Duration) -> Duration {
        let absent_from = |id| self.peers.get(id).and_then(|peer| peer.absent_from());
        let proposal = &looking.proposal;
        let waited = since + self.config.finalize_wait;
        if absent_from(proposal.leader).is_some() {
            return waited;
        }
        let missing = self.quorums.voters().iter().copied();
        let missing = missing.filter(|&id| !self.supports(id, proposal));
        let all_heard = missing
            .map(absent_from)
            .try_fold(since, |latest, from| from.map(|from| from.max(latest)));
        all_heard.map_or(waited, |at| at.min(waited))
    }

    fn voters_by(&self, is_in: impl Fn(ServerId) -> bool) -> BTreeSet<ServerId> {
        let voters = self.quorums.voters().iter().copied();
        voters.filter(|&id| is_in(id)).collect()
    }

    /// Ends the election, and tells those who are still in it.
    fn settle(&mut self, vote: Vote, supporters: BTreeSet<ServerId>) {
        let state = self.state_under(vote.leader);
        assert!(
            state != ServerState::Leading || self.quorums.weight(self.config.me) > 0,
            "a server without a vote that counts would lead: {vote:?}"
        );
        let round = self.round;
        self.phase = Phase::Settled(Settled {
            state,
            vote,
            round,
            loyal: supporters.clone(),
            is_synced: false,
            is_deserted: false,
        });
        self.effects.push(ElectionEffect::Decided(Decision {
            state,
            vote,
            round,
            supporters,
        }));
        let is_looking = |heard: &Heard| heard.is_looking();
        let looking = self.peers.iter();
        let looking = looking.filter(|(_, peer)| peer.heard.as_ref().is_some_and(is_looking));
        let looking: Vec<ServerId> = looking.map(|(id, _)| id).collect();
        for id in looking {
            self.send(id);
        }
    }

    /// Notices who withdraws the vote that this server was settled by.
    fn check_loyalty(&mut self, from: ServerId, heard: &Heard) {
        let Phase::Settled(settled) = &mut self.phase else {
            return;
        };
        if settled.is_synced || settled.is_deserted {
            return;
        }
        let me = self.config.me;
        let is_deserted = if settled.state == ServerState::Leading {
            if heard.vote.leader == me {
                settled.loyal.insert(from);
            } else {
                settled.loyal.remove(&from);
            }
            let is_loyal = |id| id == me || settled.loyal.contains(&id);
            !self.quorums.has_all_by(is_loyal)
        } else {
            let leads_still = heard.vote.leader == from
                && (heard.state == ServerState::Leading || heard.round == settled.round);
            from == settled.vote.leader && !leads_still
        };
        if is_deserted {
            settled.is_deserted = true;
            self.effects.push(ElectionEffect::Deserted);
        }
    }

    /// Tells all voters a proposal that changed, and again soon.
    fn broadcast(&mut self, now: Duration) {
        if let Phase::Looking(looking) = &mut self.phase {
            looking.resend_wait = self.config.resend_min;
            looking.resend_at = now + self.config.resend_min;
        }
        self.send_to_voters();
    }

    fn send_to_voters(&mut self) {
        let voters: Vec<ServerId> = self.quorums.voters().iter().copied().collect();
        for id in voters {
            if id != self.config.me {
                self.peers.voter_mut(id);
                self.send(id);
            }
        }
    }

    /// Answers a peer, unless the same words were answered a moment ago.
    fn answer(&mut self, now: Duration, to: ServerId, is_fresh: bool) {
        if matches!(self.phase, Phase::Idle) {
            return;
        }
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        let resend_min = self.config.resend_min;
        let is_repeated = peer.answered_at.is_some_and(|at| now < at + resend_min);
        if is_fresh || !is_repeated {
            peer.answered_at = Some(now);
            self.send(to);
        }
    }

    /// Sends what this server does and whom it votes for.
    fn send(&mut self, to: ServerId) {
        let (state, vote, round) = match &self.phase {
            Phase::Idle => return,
            Phase::Looking(looking) => (ServerState::Looking, looking.proposal, self.round),
            Phase::Settled(settled) => (settled.state, settled.vote, settled.round),
        };
        if let Some(peer) = self.peers.get_mut(to) {
            peer.knows_proposal = true;
        }
        let notification = Notification {
            state,
            leader: vote.leader,
            zxid: vote.zxid,
            round,
            peer_epoch: vote.epoch,
            version: NOTIFICATION_VERSION,
            config: Some(self.ensemble_text.to_owned()),
        };
        self.effects.push(ElectionEffect::Send { to, notification });
    }
}

impl Looking {
    /// Something was learnt, so that what is told may be worth more than it was.
    fn resend_soon(&mut self, now: Duration, wait: Duration) {
        self.resend_wait = wait;
        self.resend_at = self.resend_at.min(now + wait);
    }
}

fn is_same_members(left: &EnsembleConfig, right: &EnsembleConfig) -> bool {
    left.servers() == right.servers() && left.hierarchy() == right.hierarchy()
}
