//! The network: connections that carry bytes in order, and what becomes of those.
//!
//! Each direction of a connection is a pipe. What is put into it arrives at the other end after a
//! wait, in pieces that need not be those that were put in, or waits as long as packets vanish on
//! the way, or the other end does not read. A connection that breaks loses, in each direction, some
//! of what is on its way: it may end in the middle of a frame.
//!
//! A machine without power says nothing: whoever is connected with it notices once it is back and
//! is sent something.

use std::collections::{BTreeSet, VecDeque};
use std::ops::{Index, IndexMut};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::plan::NetPlan;
use crate::random::Random;
use crate::schedule::{Event, Life, Schedule, Time};
use crate::trace::Trace;

/// Number of a connection, never used again.
pub(crate) type ConnNo = u32;

/// Where a connection ends: a server, or a site at which clients are.
pub(crate) type Place = usize;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Dialler,
    Acceptor,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Dialler, Self::Acceptor];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// One of these for each side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sides<T> {
    pub(crate) dialler: T,
    pub(crate) acceptor: T,
}

impl<T> Index<Side> for Sides<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        match side {
            Side::Dialler => &self.dialler,
            Side::Acceptor => &self.acceptor,
        }
    }
}

impl<T> IndexMut<Side> for Sides<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Acceptor => &mut self.acceptor,
        }
    }
}

/// What a connection is for, with what its dialler wants to remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// A client's session.
    Client { client: u16 },
    /// A learner's link to its leader.
    Quorum { attempt: u64 },
    /// Votes.
    Election { to: i64 },
}

/// What a side is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Nothing after all.
    Nothing,
    /// The acceptor has a connection.
    Accepted,
    /// The dialler has a connection.
    Connected,
    /// Nobody listens.
    Refused,
    /// There are more bytes to read.
    Bytes,
    /// The other side is gone. So is this one.
    Ended,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) port: Port,
    /// Whether the dialler was told that there is a connection.
    is_answered: bool,
    places: Sides<Place>,
    lives: Sides<Life>,
    ends: Sides<End>,
    /// What goes to each side.
    pipes: Sides<Pipe>,
    /// What has arrived at each side and was not read.
    inputs: Sides<BytesMut>,
}

impl Conn {
    pub(crate) fn places(&self) -> Sides<Place> {
        self.places
    }

    pub(crate) fn place(&self, side: Side) -> Place {
        self.places[side]
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// Not there yet.
    #[default]
    Coming,
    Open,
    Closed,
}

#[derive(Debug, Default)]
struct Pipe {
    pieces: VecDeque<Piece>,
    bytes: usize,
    last_at: Time,
    /// Arrivals that could not take place.
    stalled: u32,
    /// Its end was put in: nothing follows.
    is_ended: bool,
}

#[derive(Debug)]
enum Piece {
    Begin,
    Bytes(Bytes),
    Refusal,
    End,
}

/// A machine as the network sees it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) has_power: bool,
    /// Whether its process is there.
    pub(crate) listens: bool,
    /// Whether its process is stopped: the kernel takes what comes.
    pub(crate) is_stopped: bool,
    pub(crate) life: Life,
}

/// How it is between two places, in one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Route {
    /// Faults by which packets vanish.
    pub(crate) blocks: u32,
    /// More delay.
    pub(crate) delay: Duration,
    /// Bytes in a ms; 0 for no bound.
    pub(crate) bytes_per_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Net {
    plan: NetPlan,
    conns: Vec<Option<Box<Conn>>>,
    machines: Vec<Machine>,
    routes: Vec<Vec<Route>>,
    stalled: BTreeSet<(ConnNo, Side)>,
}

/// What the network needs of the world.
pub(crate) struct Around<'a> {
    pub(crate) now: Time,
    pub(crate) random: &'a mut Random,
    pub(crate) schedule: &'a mut Schedule,
    pub(crate) trace: &'a mut Trace,
}

impl Net {
    /// Between so many servers, which come first, and sites of clients.
    pub(crate) fn new(plan: NetPlan, servers: usize, sites: usize) -> Self {
        let machine = |place| Machine {
            has_power: true,
            listens: place >= servers,
            is_stopped: false,
            life: 0,
        };
        let places = servers + sites;
        Self {
            plan,
            conns: Vec::new(),
            machines: (0..places).map(machine).collect(),
            routes: vec![vec![Route::default(); places]; places],
            stalled: BTreeSet::new(),
        }
    }

    /// Nothing is late any more.
    pub(crate) fn calm(&mut self) {
        self.plan.late = 0;
    }

    pub(crate) fn machine_mut(&mut self, place: Place) -> &mut Machine {
        self.machines.get_mut(place).expect("a place of the world")
    }

    pub(crate) fn route_mut(&mut self, from: Place, to: Place) -> &mut Route {
        let row = self.routes.get_mut(from).expect("a place of the world");
        row.get_mut(to).expect("a place of the world")
    }

    fn route(&self, from: Place, to: Place) -> Route {
        let row = self.routes.get(from).expect("a place of the world");
        *row.get(to).expect("a place of the world")
    }

    fn machine(&self, place: Place) -> &Machine {
        self.machines.get(place).expect("a place of the world")
    }

    /// The connection, unless it is over.
    pub(crate) fn get(&self, conn: ConnNo) -> Option<&Conn> {
        self.conns.get(conn as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, conn: ConnNo) -> Option<&mut Conn> {
        self.conns.get_mut(conn as usize)?.as_deref_mut()
    }

    /// What has arrived and was not read; `None` when this side is closed.
    pub(crate) fn input(&mut self, conn: ConnNo, side: Side) -> Option<&mut BytesMut> {
        let conn = self.get_mut(conn)?;
        (conn.ends[side] == End::Open).then_some(&mut conn.inputs[side])
    }

    /// Whether this side is there.
    pub(crate) fn is_open(&self, conn: ConnNo, side: Side) -> bool {
        self.get(conn)
            .is_some_and(|conn| conn.ends[side] == End::Open)
    }

    /// The connections that are not over, in the order of their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = ConnNo> + '_ {
        let conns = self.conns.iter().enumerate();
        conns
            .filter(|(_, conn)| conn.is_some())
            .map(|(number, _)| u32::try_from(number).expect("connections are numbered in 32 bits"))
    }

    /// Dials. The dialler is told, sooner or later.
    pub(crate) fn dial(
        &mut self,
        around: &mut Around<'_>,
        from: Place,
        to: Place,
        port: Port,
    ) -> ConnNo {
        let number = u32::try_from(self.conns.len()).expect("fewer than 2^32 connections");
        let life = self.machine(from).life;
        self.conns.push(Some(Box::new(Conn {
            port,
            is_answered: false,
            places: Sides {
                dialler: from,
                acceptor: to,
            },
            lives: Sides {
                dialler: life,
                acceptor: 0,
            },
            ends: Sides::default(),
            pipes: Sides::default(),
            inputs: Sides::default(),
        })));
        self.put(around, number, Side::Acceptor, Piece::Begin);
        let timeout = around.now + self.plan.dial_timeout;
        around.schedule.add(timeout, Event::DialTimeout(number));
        number
    }

    /// Gives up a dial; `false` when it was answered.
    pub(crate) fn give_up(&mut self, around: &mut Around<'_>, number: ConnNo) -> bool {
        let is_coming = self
            .get(number)
            .is_some_and(|conn| conn.ends.dialler == End::Coming);
        if is_coming {
            self.close(around, number, Side::Dialler, true);
        }
        is_coming
    }

    /// Sends bytes from a side. They may never arrive.
    pub(crate) fn send(
        &mut self,
        around: &mut Around<'_>,
        number: ConnNo,
        from: Side,
        mut bytes: Bytes,
    ) {
        if !self.is_open(number, from) || bytes.is_empty() {
            return;
        }
        around.trace.mix_bytes(&bytes);
        let to = from.other();
        while bytes.len() > self.plan.piece_bytes_max {
            let piece = bytes.split_to(self.plan.piece_bytes_max);
            self.put(around, number, to, Piece::Bytes(piece));
        }
        if bytes.len() > 1 && around.random.chance(self.plan.splits) {
            let at = 1 + around.random.index(bytes.len() - 1);
            let piece = bytes.split_to(at);
            self.put(around, number, to, Piece::Bytes(piece));
        }
        self.put(around, number, to, Piece::Bytes(bytes));
    }

    /// Bytes on their way from a side.
    pub(crate) fn unread(&self, number: ConnNo, from: Side) -> usize {
        let to = from.other();
        self.get(number).map_or(0, |conn| conn.pipes[to].bytes)
    }

    fn put(&mut self, around: &mut Around<'_>, number: ConnNo, to: Side, piece: Piece) {
        let conn = self.get(number).expect("the connection is not over");
        let places = conn.places;
        let (from, at) = (places[to.other()], places[to]);
        let route = self.route(from, at);
        let delay = self.plan.delay(around.random) + route.delay;
        let conn = self.get_mut(number).expect("the connection is not over");
        let pipe = &mut conn.pipes[to];
        if pipe.is_ended {
            return;
        }
        pipe.is_ended = matches!(piece, Piece::Refusal | Piece::End);
        let length = match &piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Begin | Piece::Refusal | Piece::End => 0,
        };
        let mut at = (around.now + delay).max(pipe.last_at);
        if let Some(micros) = (length as u64 * 1_000).checked_div(route.bytes_per_ms) {
            at = at + Duration::from_micros(micros);
        }
        pipe.last_at = at;
        pipe.bytes += length;
        pipe.pieces.push_back(piece);
        around.schedule.add(at, Event::Arrive(number, to));
    }

    /// The next piece arrives at a side, if it can.
    pub(crate) fn arrive(&mut self, around: &mut Around<'_>, number: ConnNo, to: Side) -> Arrival {
        let Some(conn) = self.get(number) else {
            return Arrival::Nothing;
        };
        let from = to.other();
        let (place, life) = (conn.places[to], conn.lives[to]);
        let is_blocked = self.route(conn.places[from], place).blocks > 0;
        let machine = self.machine(place).clone();
        let is_begin = matches!(conn.pipes[to].pieces.front(), Some(Piece::Begin));
        if is_blocked || !machine.has_power || machine.is_stopped {
            if is_begin && to == Side::Acceptor && !is_blocked && machine.has_power {
                self.answer(around, number);
            }
            self.stall(number, to);
            return Arrival::Nothing;
        }
        let conn = self.get_mut(number).expect("it was there");
        let pipe = &mut conn.pipes[to];
        let Some(piece) = pipe.pieces.pop_front() else {
            return Arrival::Nothing;
        };
        if let Piece::Bytes(bytes) = &piece {
            pipe.bytes -= bytes.len();
        }
        if to == Side::Acceptor && is_begin {
            return self.accept(around, number, &machine);
        }
        let is_there = conn.ends[to] != End::Closed && machine.life == life;
        match piece {
            Piece::Begin if is_there => {
                conn.ends[to] = End::Open;
                Arrival::Connected
            }
            // A dial that breaks before it is answered has failed.
            Piece::Refusal | Piece::End if is_there => {
                let was_open = conn.ends[to] == End::Open;
                self.end(number, to);
                match was_open {
                    true => Arrival::Ended,
                    false => Arrival::Refused,
                }
            }
            Piece::Bytes(bytes) if is_there => {
                conn.inputs[to].extend_from_slice(&bytes);
                Arrival::Bytes
            }
            // The kernel says that nobody is there any more.
            Piece::Bytes(_) | Piece::Begin => {
                conn.ends[to] = End::Closed;
                self.put_end(around, number, from);
                self.forget_if_over(number);
                Arrival::Nothing
            }
            Piece::Refusal | Piece::End => {
                conn.ends[to] = End::Closed;
                self.forget_if_over(number);
                Arrival::Nothing
            }
        }
    }

    fn accept(&mut self, around: &mut Around<'_>, number: ConnNo, machine: &Machine) -> Arrival {
        let conn = self.get_mut(number).expect("it was there");
        if !machine.listens {
            conn.ends.acceptor = End::Closed;
            self.put(around, number, Side::Dialler, Piece::Refusal);
            return Arrival::Nothing;
        }
        conn.lives.acceptor = machine.life;
        conn.ends.acceptor = End::Open;
        self.answer(around, number);
        Arrival::Accepted
    }

    /// The acceptor's kernel says that there is a connection.
    fn answer(&mut self, around: &mut Around<'_>, number: ConnNo) {
        let conn = self.get_mut(number).expect("it was there");
        if !std::mem::replace(&mut conn.is_answered, true) {
            self.put(around, number, Side::Dialler, Piece::Begin);
        }
    }

    fn stall(&mut self, number: ConnNo, to: Side) {
        let conn = self.get_mut(number).expect("it was there");
        conn.pipes[to].stalled += 1;
        self.stalled.insert((number, to));
    }

    /// After something in the way may be gone: what waits tries again.
    pub(crate) fn try_stalled(&mut self, around: &mut Around<'_>) {
        for (number, to) in std::mem::take(&mut self.stalled) {
            let delay = self.plan.delay(around.random);
            let Some(conn) = self.get_mut(number) else {
                continue;
            };
            let pipe = &mut conn.pipes[to];
            for _ in 0..std::mem::take(&mut pipe.stalled) {
                around
                    .schedule
                    .add(around.now + delay, Event::Arrive(number, to));
            }
        }
    }

    /// A side closes the connection: after everything that it sent arrived, or with some of that
    /// lost.
    pub(crate) fn close(
        &mut self,
        around: &mut Around<'_>,
        number: ConnNo,
        side: Side,
        after_all: bool,
    ) {
        let Some(conn) = self.get_mut(number) else {
            return;
        };
        if conn.ends[side] == End::Closed {
            return;
        }
        conn.ends[side] = End::Closed;
        conn.inputs[side] = BytesMut::new();
        if !after_all {
            conn.pipes[side.other()].cut(around.random);
        }
        self.put_end(around, number, side.other());
        self.forget_if_over(number);
    }

    /// The connection breaks at both ends.
    pub(crate) fn cut(&mut self, around: &mut Around<'_>, number: ConnNo) {
        let Some(conn) = self.get_mut(number) else {
            return;
        };
        for side in Side::BOTH {
            conn.pipes[side].cut(around.random);
        }
        for side in Side::BOTH {
            self.put_end(around, number, side);
        }
    }

    fn put_end(&mut self, around: &mut Around<'_>, number: ConnNo, to: Side) {
        let is_closed = (self.get(number)).is_none_or(|conn| conn.ends[to] == End::Closed);
        if !is_closed {
            self.put(around, number, to, Piece::End);
        }
    }

    fn end(&mut self, number: ConnNo, side: Side) {
        if let Some(conn) = self.get_mut(number) {
            conn.ends[side] = End::Closed;
            conn.inputs[side] = BytesMut::new();
        }
        self.forget_if_over(number);
    }

    fn forget_if_over(&mut self, number: ConnNo) {
        if let Some(slot) = self.conns.get_mut(number as usize)
            && slot.as_ref().is_some_and(|conn| {
                Side::BOTH
                    .iter()
                    .all(|&side| conn.ends[side] == End::Closed)
            })
        {
            *slot = None;
        }
    }
}

impl Pipe {
    /// Loses what is behind some byte.
    fn cut(&mut self, random: &mut Random) {
        self.is_ended = false;
        let mut left = random.index(self.bytes + 1);
        self.bytes = left;
        self.pieces.retain_mut(|piece| match piece {
            Piece::Begin => true,
            Piece::Bytes(bytes) => {
                bytes.truncate(left);
                left -= bytes.len();
                !bytes.is_empty()
            }
            Piece::Refusal | Piece::End => false,
        });
    }
}
