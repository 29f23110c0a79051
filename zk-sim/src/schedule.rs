//! What happens when: virtual time, and the order of events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::ops::Add;
use std::time::Duration;

use crate::net::{ConnNo, Side};

/// Virtual time: µs since the world began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Time(pub(crate) u64);

impl Time {
    /// How long ago `earlier` was.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Something that happens. What is about a life of a server, or a turn of a client, that is over
/// means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The first thing on its way to a side of a connection arrives.
    Arrive(ConnNo, Side),
    /// A dial has taken too long, unless it is answered.
    DialTimeout(ConnNo),
    /// A server is told that a connection is gone which it closed itself.
    ClosedHere(ServerNo, Life, ConnNo),
    /// A core's deadline.
    CoreTick(ServerNo, Life),
    /// A deadline of a server's links with its peers' election ports.
    LinksTick(ServerNo, Life),
    /// What the log's thread of a server is at is done.
    LogDone(ServerNo, Life),
    /// A server's log has rested for a while.
    LogRests(ServerNo, Life),
    /// A server's snapshot is written.
    SnapshotDone(ServerNo, Life),
    /// A server starts, unless it was started or crashed in between.
    Start(ServerNo, Life),
    /// A server that was stopped goes on, unless it crashed in between.
    Continue(ServerNo, Life),
    /// A client's deadline.
    ClientWakes(ClientNo),
    /// Another fault begins.
    Fault,
    /// A fault ends.
    FaultEnds(u32),
    /// All faults end, for good.
    Heal,
    /// It is looked whether all is well.
    Look,
}

/// Index of a server.
pub(crate) type ServerNo = u8;

/// Counts the lives of a server: each start is another.
pub(crate) type Life = u32;

/// Index of a client.
pub(crate) type ClientNo = u16;

/// The events to come. Those at the same time happen in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    heap: BinaryHeap<Reverse<Entry>>,
    added: u64,
}

#[derive(Debug)]
struct Entry {
    at: Time,
    order: u64,
    event: Event,
}

impl Entry {
    fn key(&self) -> (Time, u64) {
        (self.at, self.order)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Schedule {
    pub(crate) fn add(&mut self, at: Time, event: Event) {
        self.added += 1;
        let order = self.added;
        self.heap.push(Reverse(Entry { at, order, event }));
    }

    pub(crate) fn next(&mut self) -> Option<(Time, Event)> {
        let Reverse(Entry { at, event, .. }) = self.heap.pop()?;
        Some((at, event))
    }
}
