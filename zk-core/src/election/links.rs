//! The connections of the election port: who dials whom, which connection of a pair lives, and what
//! is sent on it (`QuorumCnxManager`, 3.9.5).
//!
//! Of each pair of servers only the connection that the larger id dialled lives. The smaller id
//! announces itself: it dials, sends its initial message and closes, and the larger dials back.
//!
//! ```text
//!            due                      larger: connected, or accepted from a larger
//!   idle ──────────► dialling ─────────────────────────────────────────► linked
//!    ▲                │    │ smaller: announced           ▲                │
//!    │ failed, backoff│    └────────────► called ─────────┘ dialled back   │
//!    ├────────────────┘                     │ not dialled back in time     │
//!    ├──────────────────────────────────────┘                              │
//!    └─────────────────────────────────────────────────────────────────────┘ closed
//! ```
//!
//! A larger id whose link broke a moment ago is dialled once more before it is given time: it may be
//! dead, which only a refused dial tells.
//!
//! Every peer has this state for itself, so one that is dead, or whose packets vanish, delays no
//! other. Members are linked without being asked, so that an election finds its links and knows who
//! cannot be reached. Strangers are never dialled but to call them back.
//!
//! For each peer one message waits, the newest. On a fresh link the one that was sent last is sent
//! again if none waits: its connection may have lost it.
//!
//! It does not know addresses, which the shell resolves at every dial, nor what a message says.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::ServerId;
use zk_proto::quorum::Address;

use crate::random::Random;

/// After a dial, a caller is called back no sooner than this: calls cost the caller as much.
const CALL_BACK_GAP: Duration = Duration::from_millis(5);

/// A dial that is under way this long may have gone to an address that its server has left; a call
/// from that server then begins another.
const DIAL_SLOW: Duration = Duration::from_millis(100);

/// A larger id whose link broke within [`BROKE_LATELY`] may have died right after it took the
/// announcement, as listening sockets can outlive others. It is dialled again this soon.
const PROBE_AFTER: Duration = Duration::from_millis(50);
const BROKE_LATELY: Duration = Duration::from_secs(1);

/// Dials of one peer at the same time.
const DIALS_MAX: u32 = 2;

/// A connection, numbered by the shell and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Settings of [`Links`].
#[derive(Debug, Clone)]
pub struct LinksConfig {
    /// This server.
    pub me: ServerId,
    /// Seed of the jitter.
    pub seed: u64,
    /// The first wait after a failed dial; half to all of it, drawn. Each further wait doubles.
    pub retry_min: Duration,
    /// The longest wait after a failed dial.
    pub retry_max: Duration,
    /// How long a dial may take (`cnxTimeout`, 5 s there). A peer that packets do not reach is found
    /// again this long after they do.
    pub dial_timeout: Duration,
    /// How long a larger id has to dial back before it counts as unreachable.
    pub call_back_timeout: Duration,
    /// A link this young is not given up because its smaller end calls: the call crossed it. A link
    /// that ends this young is dialled again only after a wait.
    pub young: Duration,
    /// Peers that are no members. At the bound a further one's connection is closed.
    pub strangers_max: usize,
}

impl LinksConfig {
    /// The defaults.
    #[must_use]
    pub fn new(me: ServerId, seed: u64) -> Self {
        Self {
            me,
            seed,
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(2),
            dial_timeout: Duration::from_secs(2),
            call_back_timeout: Duration::from_secs(1),
            young: Duration::from_millis(200),
            strangers_max: 1_024,
        }
    }
}

/// What becomes of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is the link to this peer, whose id is negative when it has none of its own.
    Keep(ServerId),
    /// Close it. A [`LinkEffect::Dial`] follows, unless a dial is under way or a link was just made.
    CallBack,
    /// Close it.
    Refuse(Refusal),
}

/// Why an accepted connection is closed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The caller has this server's own id: one of the two is misconfigured (ZOOKEEPER-2164).
    OwnId,
    /// A negative id.
    BadId,
    /// [`LinksConfig::strangers_max`] was reached.
    Strangers,
}

/// What becomes of a connection that was dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialled {
    /// Send the initial message. It is the link to the peer.
    Keep,
    /// Send the initial message, then close: the larger id dials back.
    Announce,
    /// Close without a word: there is a link already, which an initial message would end.
    Drop,
}

/// Something to be done, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEffect<M> {
    /// Resolve the peer's address and connect; then [`Links::on_dialled`] or
    /// [`Links::on_dial_failed`], once.
    Dial {
        /// The peer.
        peer: ServerId,
        /// Where the peer said that it listens, when it called; empty if it never did. A member's
        /// configured address comes first.
        called_from: Vec<Address>,
        /// How long this may take, a TLS handshake included.
        timeout: Duration,
    },
    /// Send this on the link; then [`Links::on_written`], or [`Links::on_closed`].
    Write {
        /// The peer.
        peer: ServerId,
        /// Its link.
        link: LinkId,
        /// The message.
        message: M,
    },
    /// Close the connection. No input about it is needed.
    Close {
        /// The connection.
        link: LinkId,
    },
    /// There is a fresh link to the peer. What is given to [`Links::send`] before the next effect is
    /// asked for is what goes out first.
    Up {
        /// The peer.
        peer: ServerId,
    },
    /// The link broke. Whether the peer can be reached is found out by dialling.
    Down {
        /// The peer.
        peer: ServerId,
    },
    /// The peer was dialled and cannot be reached, or it did not dial back.
    Unreachable {
        /// The peer.
        peer: ServerId,
    },
}

/// The connections of one server's election port; `M` is a message.
#[derive(Debug)]
pub struct Links<M> {
    config: LinksConfig,
    random: Random,
    peers: BTreeMap<ServerId, Peer<M>>,
    next_anonymous: i64,
    effects: VecDeque<LinkEffect<M>>,
}

#[derive(Debug)]
struct Peer<M> {
    is_member: bool,
    link: Option<Link>,
    dial: Dial,
    /// Dials under way.
    dials: u32,
    dialled_at: Option<Duration>,
    broke_at: Option<Duration>,
    backoff: Duration,
    called_from: Vec<Address>,
    waiting: Option<M>,
    last: Option<M>,
}

#[derive(Debug)]
struct Link {
    id: LinkId,
    since: Duration,
    is_writing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dial {
    /// Nothing is due; a dial may be under way.
    Idle,
    /// A dial is due at this time.
    Due(Duration),
    /// Announced; the larger id has until this time to dial back.
    Called(Duration),
    /// Announced; if the larger id has not dialled back at this time, it is dialled again.
    Probed(Duration),
}

impl<M> Peer<M> {
    fn new(retry_min: Duration) -> Self {
        Self {
            is_member: false,
            link: None,
            dial: Dial::Idle,
            dials: 0,
            dialled_at: None,
            broke_at: None,
            backoff: retry_min,
            called_from: Vec::new(),
            waiting: None,
            last: None,
        }
    }
}

impl<M: Clone> Links<M> {
    /// No links, no members.
    #[must_use]
    pub fn new(config: LinksConfig) -> Self {
        Self {
            random: Random::new(config.seed),
            config,
            peers: BTreeMap::new(),
            next_anonymous: -1,
            effects: VecDeque::new(),
        }
    }

    /// The servers to be linked with: those that vote, now or after a reconfig under way. This
    /// server itself is left out. Fresh members are dialled at once. Who is no member any more keeps
    /// the link that it has.
    pub fn set_members(&mut self, now: Duration, members: impl IntoIterator<Item = ServerId>) {
        let members: BTreeSet<ServerId> = members.into_iter().collect();
        for (id, peer) in &mut self.peers {
            if peer.is_member && !members.contains(id) {
                peer.is_member = false;
                peer.dial = Dial::Idle;
            }
        }
        for id in members {
            if id == self.config.me {
                continue;
            }
            let retry_min = self.config.retry_min;
            let peer = self.peers.entry(id).or_insert_with(|| Peer::new(retry_min));
            peer.is_member = true;
            if peer.link.is_none() && peer.dials == 0 && peer.dial == Dial::Idle {
                peer.dial = Dial::Due(now);
            }
        }
        self.forget_strangers();
        self.on_tick(now);
    }

    /// Puts the message in the peer's place for one. Without a link it waits; for a stranger without
    /// a link it is dropped, as it asks again.
    pub fn send(&mut self, to: ServerId, message: M) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.waiting = Some(message);
        }
    }

    /// A connection was accepted, and its initial message (and proof, where one is asked for) was
    /// read.
    pub fn on_accepted(
        &mut self,
        now: Duration,
        link: LinkId,
        from: ServerId,
        listens_at: Vec<Address>,
    ) -> Accepted {
        let me = self.config.me;
        if from == me {
            return Accepted::Refuse(Refusal::OwnId);
        }
        if from.0 < 0 {
            return Accepted::Refuse(Refusal::BadId);
        }
        let is_anonymous = from == ServerId::ANONYMOUS_OBSERVER;
        if (is_anonymous || !self.peers.contains_key(&from))
            && self.peers.values().filter(|peer| !peer.is_member).count()
                >= self.config.strangers_max
        {
            return Accepted::Refuse(Refusal::Strangers);
        }
        let id = if is_anonymous {
            self.take_anonymous_id()
        } else {
            from
        };
        if from > me {
            self.attach(now, id, link);
            Accepted::Keep(id)
        } else {
            self.call_back(now, id, listens_at);
            Accepted::CallBack
        }
    }

    /// A dial's connection stands, and no byte was sent on it.
    ///
    /// # Panics
    /// If no dial of this peer is under way.
    pub fn on_dialled(&mut self, now: Duration, to: ServerId, link: LinkId) -> Dialled {
        let (me, timeout) = (self.config.me, self.config.call_back_timeout);
        let peer = self.dial_ended(to);
        if peer.link.is_some() {
            return Dialled::Drop;
        }
        if to > me {
            let broke_at = peer.broke_at.take();
            peer.dial = match broke_at.filter(|&at| now < at + BROKE_LATELY) {
                Some(_) => Dial::Probed(now + PROBE_AFTER),
                None => Dial::Called(now + timeout),
            };
            return Dialled::Announce;
        }
        self.attach(now, to, link);
        Dialled::Keep
    }

    /// A dial came to nothing.
    ///
    /// # Panics
    /// If no dial of this peer is under way.
    pub fn on_dial_failed(&mut self, now: Duration, to: ServerId) {
        let peer = self.dial_ended(to);
        if peer.link.is_none() && peer.dials == 0 && peer.dial == Dial::Idle {
            self.on_unreachable(now, to);
        }
    }

    /// The link can take the next message.
    pub fn on_written(&mut self, peer: ServerId, link: LinkId) {
        if let Some(current) = self.current_mut(peer, link) {
            current.is_writing = false;
        }
    }

    /// A connection that was kept is gone.
    pub fn on_closed(&mut self, now: Duration, peer: ServerId, link: LinkId) {
        let Some(current) = self.current_mut(peer, link) else {
            return;
        };
        let lived = now.saturating_sub(current.since);
        let wait = if lived < self.config.young {
            Some(self.draw_backoff(peer))
        } else {
            None
        };
        self.effects.push_back(LinkEffect::Down { peer });
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.link = None;
        state.broke_at = Some(now);
        if wait.is_none() {
            state.backoff = self.config.retry_min;
        }
        if state.is_member && state.dials == 0 {
            state.dial = Dial::Due(now + wait.unwrap_or_default());
        }
        self.forget_strangers();
        self.on_tick(now);
    }

    /// The deadline has come.
    pub fn on_tick(&mut self, now: Duration) {
        let late: Vec<ServerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| matches!(peer.dial, Dial::Called(until) if until <= now))
            .map(|(&id, _)| id)
            .collect();
        for id in late {
            self.on_unreachable(now, id);
        }
        for (&id, peer) in &mut self.peers {
            if matches!(peer.dial, Dial::Due(at) | Dial::Probed(at) if at <= now) {
                peer.dial = Dial::Idle;
                peer.dials += 1;
                peer.dialled_at = Some(now);
                self.effects.push_back(LinkEffect::Dial {
                    peer: id,
                    called_from: peer.called_from.clone(),
                    timeout: self.config.dial_timeout,
                });
            }
        }
    }

    /// When [`Links::on_tick`] is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let due = |peer: &Peer<M>| match peer.dial {
            Dial::Idle => None,
            Dial::Due(at) | Dial::Called(at) | Dial::Probed(at) => Some(at),
        };
        self.peers.values().filter_map(due).min()
    }

    /// What is to be done next. A write is made up when it is asked for, of the newest message.
    pub fn next_effect(&mut self) -> Option<LinkEffect<M>> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        self.peers.iter_mut().find_map(|(&peer, state)| {
            let link = state.link.as_mut().filter(|link| !link.is_writing)?;
            let message = state.waiting.take()?;
            link.is_writing = true;
            state.last = Some(message.clone());
            Some(LinkEffect::Write {
                peer,
                link: link.id,
                message,
            })
        })
    }

    /// Whether this is the link to the peer. What comes on another connection is to be ignored: it
    /// may be older than what came on the link.
    #[must_use]
    pub fn is_current(&self, peer: ServerId, link: LinkId) -> bool {
        let current = self.peers.get(&peer).and_then(|peer| peer.link.as_ref());
        current.is_some_and(|current| current.id == link)
    }

    /// Whether there is a link to the peer.
    #[must_use]
    pub fn is_linked(&self, peer: ServerId) -> bool {
        self.peers
            .get(&peer)
            .is_some_and(|peer| peer.link.is_some())
    }

    fn current_mut(&mut self, peer: ServerId, link: LinkId) -> Option<&mut Link> {
        let current = self.peers.get_mut(&peer)?.link.as_mut()?;
        (current.id == link).then_some(current)
    }

    fn take_anonymous_id(&mut self) -> ServerId {
        let id = ServerId(self.next_anonymous);
        self.next_anonymous -= 1;
        id
    }

    /// Makes this the peer's link. The newest wins: the peer may know that the one before is dead.
    fn attach(&mut self, now: Duration, id: ServerId, link: LinkId) {
        let retry_min = self.config.retry_min;
        let peer = self.peers.entry(id).or_insert_with(|| Peer::new(retry_min));
        let fresh = Link {
            id: link,
            since: now,
            is_writing: false,
        };
        if let Some(before) = peer.link.replace(fresh) {
            let close = LinkEffect::Close { link: before.id };
            self.effects.push_back(close);
            self.effects.push_back(LinkEffect::Down { peer: id });
        }
        peer.dial = Dial::Idle;
        if peer.waiting.is_none() {
            peer.waiting.clone_from(&peer.last);
        }
        self.effects.push_back(LinkEffect::Up { peer: id });
    }

    /// A smaller id called, so it has no link to this server, whatever this server believes.
    fn call_back(&mut self, now: Duration, id: ServerId, listens_at: Vec<Address>) {
        let (retry_min, young) = (self.config.retry_min, self.config.young);
        let peer = self.peers.entry(id).or_insert_with(|| Peer::new(retry_min));
        peer.called_from = listens_at;
        if let Some(link) = &peer.link {
            if now.saturating_sub(link.since) < young {
                return;
            }
            let close = LinkEffect::Close { link: link.id };
            peer.link = None;
            self.effects.push_back(close);
            self.effects.push_back(LinkEffect::Down { peer: id });
        }
        let is_slow = peer.dialled_at.is_some_and(|at| now >= at + DIAL_SLOW);
        if peer.dials == 0 || (is_slow && peer.dials < DIALS_MAX) {
            let soonest = peer.dialled_at.map_or(now, |at| at + CALL_BACK_GAP);
            peer.dial = Dial::Due(soonest.max(now));
        }
        self.on_tick(now);
    }

    fn dial_ended(&mut self, to: ServerId) -> &mut Peer<M> {
        let peer = self.peers.get_mut(&to).filter(|peer| peer.dials > 0);
        let peer = peer.expect("a dial is reported once, and its peer is kept until then");
        peer.dials -= 1;
        peer
    }

    fn on_unreachable(&mut self, now: Duration, id: ServerId) {
        let wait = self.draw_backoff(id);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.dial = if peer.is_member {
                Dial::Due(now + wait)
            } else {
                Dial::Idle
            };
        }
        self.effects.push_back(LinkEffect::Unreachable { peer: id });
        self.forget_strangers();
    }

    /// Half to all of the peer's wait, which then doubles.
    fn draw_backoff(&mut self, id: ServerId) -> Duration {
        let Some(peer) = self.peers.get_mut(&id) else {
            return Duration::ZERO;
        };
        let half = peer.backoff / 2;
        peer.backoff = (peer.backoff * 2).min(self.config.retry_max);
        let parts = 1_000;
        let drawn = u32::try_from(self.random.below(parts)).expect("it is below the bound");
        half + half * drawn / 1_000
    }

    /// Forgets those who are no members and have neither a link nor the prospect of one.
    fn forget_strangers(&mut self) {
        self.peers.retain(|_, peer| {
            peer.is_member || peer.link.is_some() || peer.dials > 0 || peer.dial != Dial::Idle
        });
    }
}
