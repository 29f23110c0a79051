//! A learner as its leader sees it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use zk_proto::{ServerId, Zxid};

/// How far a learner is. It only goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It has not said who it is.
    New,
    /// It has told the epoch that it accepted.
    Introduced,
    /// It was told the epoch that begins.
    Told,
    /// It has told how new its history is.
    Agreed,
    /// What it lacks is being read from the log.
    Reading,
    /// All it lacks is sent, NEWLEADER at the end.
    Syncing,
    /// It has all of that on its disk.
    Acked,
    /// It may serve clients.
    Active,
}

#[derive(Debug)]
pub(super) struct Learner {
    pub(super) server: Option<ServerId>,
    pub(super) is_observer: bool,
    pub(super) stage: Stage,
    /// The newest epoch that it accepted.
    pub(super) accepted: u32,
    /// The last transaction of its log when it came.
    pub(super) last_zxid: Zxid,
    /// When it counts as gone if nothing is heard of it.
    pub(super) patience: Duration,
    /// The oldest proposal that it has not acknowledged, and when that counts as never.
    pub(super) unacked: Option<(Zxid, Duration)>,
    /// The newest transaction that it acknowledged before NEWLEADER: a learner of Apache has a thread for
    /// each (`Learner.syncWithLeader`, 3.8.0).
    pub(super) early_ack: Option<Zxid>,
    /// The rounds of the pings that it has not answered.
    pings: VecDeque<u64>,
    /// The newest round that it has answered.
    pub(super) answered_round: u64,
    /// What is to be sent once the log is read.
    held: Vec<Bytes>,
    /// What was in memory when that began: it follows what the log has.
    pub(super) from_memory: Vec<(Zxid, Bytes)>,
}

impl Learner {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            server: None,
            is_observer: false,
            stage: Stage::New,
            accepted: 0,
            last_zxid: Zxid::ZERO,
            patience,
            unacked: None,
            early_ack: None,
            pings: VecDeque::new(),
            answered_round: 0,
            held: Vec::new(),
            from_memory: Vec::new(),
        }
    }

    /// Whether it gets what is proposed and committed.
    pub(super) fn is_forwarded_to(&self) -> bool {
        self.stage >= Stage::Reading
    }

    /// Whether it has the history of before the epoch.
    pub(super) fn is_synced(&self) -> bool {
        self.stage >= Stage::Acked
    }

    /// A ping of this round is sent to it.
    pub(super) fn on_ping_sent(&mut self, round: u64) {
        self.pings.push_back(round);
    }

    /// It has answered a ping: the oldest one, since links keep the order.
    pub(super) fn on_ping_answered(&mut self) {
        if let Some(round) = self.pings.pop_front() {
            self.answered_round = round;
        }
    }

    /// Gives the packets back if they may be sent now.
    pub(super) fn hold(&mut self, packets: Bytes) -> Option<Bytes> {
        if self.stage == Stage::Reading {
            self.held.push(packets);
            None
        } else {
            Some(packets)
        }
    }

    /// What was held, in order.
    pub(super) fn take_held(&mut self) -> Vec<Bytes> {
        core::mem::take(&mut self.held)
    }
}
