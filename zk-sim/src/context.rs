//! What everything in the world shares: time, the network, randomness, the checkers.

use std::time::Duration;

use bytes::Bytes;

use crate::check::Checks;
use crate::net::{Around, Arrival, ConnNo, Net, Place, Port, Side};
use crate::plan::Plan;
use crate::random::Random;
use crate::schedule::{Event, Schedule, Time};
use crate::trace::{About, Trace};

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) plan: Plan,
    pub(crate) now: Time,
    pub(crate) random: Random,
    pub(crate) schedule: Schedule,
    pub(crate) net: Net,
    pub(crate) trace: Trace,
    pub(crate) checks: Checks,
}

impl Context {
    pub(crate) fn after(&mut self, wait: Duration, event: Event) {
        self.schedule.add(self.now + wait, event);
    }

    pub(crate) fn tell(&mut self, about: About, line: impl FnOnce() -> String) {
        self.trace.tell(self.now, about, line);
    }

    fn net(&mut self) -> (&mut Net, Around<'_>) {
        let around = Around {
            now: self.now,
            random: &mut self.random,
            schedule: &mut self.schedule,
            trace: &mut self.trace,
        };
        (&mut self.net, around)
    }

    pub(crate) fn dial(&mut self, from: Place, to: Place, port: Port) -> ConnNo {
        let (net, mut around) = self.net();
        net.dial(&mut around, from, to, port)
    }

    pub(crate) fn give_up_dial(&mut self, conn: ConnNo) -> bool {
        let (net, mut around) = self.net();
        net.give_up(&mut around, conn)
    }

    pub(crate) fn send(&mut self, conn: ConnNo, from: Side, bytes: Bytes) {
        let (net, mut around) = self.net();
        net.send(&mut around, conn, from, bytes);
    }

    pub(crate) fn arrive(&mut self, conn: ConnNo, to: Side) -> Arrival {
        let (net, mut around) = self.net();
        net.arrive(&mut around, conn, to)
    }

    /// Closes a side, after everything sent has arrived, or with some of it lost.
    pub(crate) fn close(&mut self, conn: ConnNo, side: Side, after_all: bool) {
        let (net, mut around) = self.net();
        net.close(&mut around, conn, side, after_all);
    }

    pub(crate) fn cut(&mut self, conn: ConnNo) {
        let (net, mut around) = self.net();
        net.cut(&mut around, conn);
    }

    pub(crate) fn try_stalled(&mut self) {
        let (net, mut around) = self.net();
        net.try_stalled(&mut around);
    }
}
