//! Addresses of loopback that belong to one ensemble.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use rand::RngExt;

/// The port of clients, at every member.
const CLIENT_PORT: u16 = 2181;
const QUORUM_PORT: u16 = 2888;
const ELECTION_PORT: u16 = 3888;
/// Highest number of a member.
pub(super) const SID_MAX: u8 = 9;
const TRIES_MAX: usize = 1000;

/// `127.A.B.*`, taken for as long as this lives.
///
/// Connections within loopback start at 127.0.0.1, so they never take a port that a member, which
/// has an address of its own, wants to listen on again after a restart.
///
/// ```text
/// 127.A.B.i      member i
/// 127.A.B.ij     where member i finds member j, if links can fail
/// 127.A.B.254    shows to other tests that A.B is taken
/// ```
#[derive(Debug)]
pub(super) struct Subnet {
    a: u8,
    b: u8,
    _taken: TcpListener,
}

impl Subnet {
    pub(super) fn take() -> Self {
        let mut random = rand::rng();
        for _ in 0..TRIES_MAX {
            let (a, b) = (random.random_range(1..255), random.random_range(1..255));
            let mark = SocketAddr::new(Ipv4Addr::new(127, a, b, 254).into(), CLIENT_PORT);
            if let Ok(taken) = TcpListener::bind(mark) {
                return Self {
                    a,
                    b,
                    _taken: taken,
                };
            }
        }
        panic!("no part of loopback is free after {TRIES_MAX} tries")
    }

    pub(super) fn client(&self, sid: u8) -> SocketAddr {
        SocketAddr::new(self.member(sid), CLIENT_PORT)
    }

    pub(super) fn port(&self, sid: u8, port: Port) -> SocketAddr {
        SocketAddr::new(self.member(sid), port.number())
    }

    /// Where `from` finds a port of `to` when links can fail.
    pub(super) fn relay(&self, from: u8, to: u8, port: Port) -> SocketAddr {
        SocketAddr::new(self.host(10 * from + to), port.number())
    }

    fn member(&self, sid: u8) -> IpAddr {
        assert!((1..=SID_MAX).contains(&sid), "member {sid}");
        self.host(sid)
    }

    fn host(&self, last: u8) -> IpAddr {
        Ipv4Addr::new(127, self.a, self.b, last).into()
    }
}

/// The ports between members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Quorum,
    Election,
}

impl Port {
    const fn number(self) -> u16 {
        match self {
            Self::Quorum => QUORUM_PORT,
            Self::Election => ELECTION_PORT,
        }
    }
}
