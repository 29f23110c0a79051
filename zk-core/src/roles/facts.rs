//! What a member of an ensemble knows whatever its role.

use alloc::string::{String, ToString as _};
use core::time::Duration;

use bytes::Bytes;
use zk_proto::quorum::EnsembleConfig;
use zk_proto::{ServerId, Zxid};

use crate::quorum::Quorums;
use crate::replica::Replica;
use crate::{Effect, EpochPromise, LeaveReason, Now, QuorumEffect};

/// Goes on in the role, or leaves it.
pub(crate) type Step = Result<(), LeaveReason>;

/// Settings of a member of an ensemble.
#[derive(Debug, Clone)]
pub struct MemberSettings {
    /// This server's number.
    pub id: ServerId,
    /// `tickTime`, in which the limits below are counted.
    pub tick: Duration,
    /// Ticks in which a quorum has to come together, and a learner to be brought up (`initLimit`).
    pub init_limit: u32,
    /// Ticks after which a peer that is not heard of counts as gone (`syncLimit`).
    pub sync_limit: u32,
    /// Whether a leader serves clients (`leaderServes`).
    pub leader_serves: bool,
    /// Transactions kept in memory for learners that are little behind (`commitLogCount`).
    pub recent_txns: usize,
    /// Operations in a client's multi at most, as of [`Request::decode`](zk_proto::Request::decode).
    pub multi_ops_max: usize,
    /// Whether a sync waits until a quorum has confirmed that this leader still leads. Without it a
    /// leader that was cut off, and does not know it yet, answers syncs, as Apache's does.
    pub sync_asks_quorum: bool,
    /// Voters that a reconfig must leave: two, unless `standaloneEnabled` is off.
    pub voters_min: usize,
    /// The membership of a reconfig that was logged and is not known to be in force.
    pub last_seen: Option<EnsembleConfig>,
    /// How long a server without a leader waits before it lets clients read; `None` for ever
    /// (`readonlymode.enabled`).
    pub read_only_after: Option<Duration>,
    /// At most between two tries to connect to the leader (`leaderConnectDelayDuringRetryMs`).
    pub dial_delay: Duration,
}

impl MemberSettings {
    pub(crate) fn init_timeout(&self) -> Duration {
        self.tick * self.init_limit
    }

    pub(crate) fn sync_timeout(&self) -> Duration {
        self.tick * self.sync_limit
    }

    /// How long a learner that is being brought up may be silent.
    pub(crate) fn bring_up_timeout(&self) -> Duration {
        self.init_timeout() + self.sync_timeout()
    }
}

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) id: ServerId,
    pub(crate) settings: MemberSettings,
    pub(crate) ensemble: EnsembleConfig,
    ensemble_text: String,
    /// A membership that was proposed and is not in force.
    pub(crate) proposed: Option<EnsembleConfig>,
    /// Of both memberships.
    pub(crate) quorums: Quorums,
    is_regrouped: bool,
    /// The newest epoch accepted, as on disk.
    pub(crate) accepted: u32,
    /// The epoch of the newest leader whose history is here, as on disk.
    pub(crate) current: u32,
    /// The newest transaction sent to the log, and the newest one on disk.
    pub(crate) appended: Zxid,
    pub(crate) flushed: Zxid,
    promising: Option<EpochPromise>,
    attempts: u64,
}

impl Facts {
    pub(crate) fn new(
        settings: MemberSettings,
        ensemble: EnsembleConfig,
        epochs: (u32, u32),
        last_zxid: Zxid,
    ) -> Self {
        let (accepted, current) = epochs;
        let proposed =
            (settings.last_seen.clone()).filter(|config| config.version() > ensemble.version());
        assert!(
            accepted >= current,
            "epoch {current} is current, {accepted} accepted"
        );
        Self {
            id: settings.id,
            settings,
            ensemble_text: ensemble.to_string(),
            quorums: Quorums::new(&ensemble, proposed.as_ref()),
            is_regrouped: false,
            proposed,
            ensemble,
            accepted,
            current,
            appended: last_zxid,
            flushed: last_zxid,
            promising: None,
            attempts: 0,
        }
    }

    /// A number that no attempt to connect to a leader had before.
    pub(crate) fn next_attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }

    /// The newest membership that was seen, in force or not.
    pub(crate) fn last_seen(&self) -> &EnsembleConfig {
        self.proposed.as_ref().unwrap_or(&self.ensemble)
    }

    /// Another membership is on its way: from here on the quorums of both are needed.
    pub(crate) fn propose_config(&mut self, replica: &mut Replica, config: EnsembleConfig) {
        if config.version() > self.last_seen().version() {
            self.proposed = Some(config);
            self.regroup(replica);
        }
    }

    /// The leader of `epoch`, which brings this server up, had seen this membership last. One that
    /// another leader proposed, and this leader does not know, is as good as never proposed.
    pub(crate) fn follow_config(
        &mut self,
        replica: &mut Replica,
        config: &EnsembleConfig,
        epoch: u32,
    ) {
        let is_of_leader = |proposed: &EnsembleConfig| {
            proposed.version() > config.version() && proposed.version().epoch() == epoch
        };
        if self.proposed.as_ref().is_some_and(is_of_leader) {
            return;
        }
        let is_newer = config.version() > self.ensemble.version();
        let proposed = is_newer.then(|| config.clone());
        if proposed != self.proposed {
            self.proposed = proposed;
            self.regroup(replica);
        }
    }

    /// A membership is in force.
    pub(crate) fn activate_config(&mut self, replica: &mut Replica, config: EnsembleConfig) {
        if config.version() <= self.ensemble.version() {
            return;
        }
        let is_newer = |proposed: &EnsembleConfig| proposed.version() > config.version();
        self.proposed = self.proposed.take().filter(is_newer);
        self.ensemble_text = config.to_string();
        self.ensemble = config;
        self.regroup(replica);
    }

    fn regroup(&mut self, replica: &mut Replica) {
        self.quorums = Quorums::new(&self.ensemble, self.proposed.as_ref());
        self.is_regrouped = true;
        let membership = QuorumEffect::Membership {
            in_force: self.ensemble.clone(),
            proposed: self.proposed.clone(),
        };
        replica.effects.push(Effect::Quorum(membership));
    }

    /// Whether the memberships are others than the last time.
    pub(crate) fn take_regrouped(&mut self) -> bool {
        core::mem::take(&mut self.is_regrouped)
    }

    /// Lets clients read who the members are.
    pub(crate) fn show_config(&self, replica: &mut Replica, now: Now) {
        let (text, version) = (&self.ensemble_text, self.ensemble.version());
        replica.tree.set_config(text, version, now.wall_ms);
    }

    /// Whether all that was sent to the disk is there.
    pub(crate) fn is_settled(&self) -> bool {
        self.promising.is_none() && self.flushed == self.appended
    }

    /// Sends a transaction to the disk.
    ///
    /// # Panics
    /// When it does not follow the one before.
    pub(crate) fn append(&mut self, replica: &mut Replica, zxid: Zxid, record: Bytes) {
        assert!(
            follows(self.appended, zxid),
            "{zxid} does not follow {}",
            self.appended
        );
        self.appended = zxid;
        replica.append(zxid, record);
    }

    /// Sends an epoch to the disk. It counts once it is there.
    pub(crate) fn promise(&mut self, replica: &mut Replica, promise: EpochPromise) {
        assert_eq!(self.promising, None, "one promise at a time");
        let is_newer = match promise {
            EpochPromise::Accepted(epoch) => epoch > self.accepted,
            EpochPromise::Current(epoch) => epoch > self.current && epoch <= self.accepted,
        };
        assert!(
            is_newer,
            "{promise:?} after {} and {}",
            self.accepted, self.current
        );
        self.promising = Some(promise);
        replica
            .effects
            .push(Effect::Quorum(QuorumEffect::Promise(promise)));
    }

    /// The epoch is on disk.
    pub(crate) fn on_promised(&mut self) {
        match self.promising.take() {
            Some(EpochPromise::Accepted(epoch)) => self.accepted = epoch,
            Some(EpochPromise::Current(epoch)) => self.current = epoch,
            None => panic!("no epoch was promised"),
        }
    }
}

/// Whether nothing can lie between two transactions: the second is the next, or opens a newer epoch.
pub(crate) fn follows(last: Zxid, next: Zxid) -> bool {
    next == last.next() || (next.epoch() > last.epoch() && next.counter() == 1)
}
