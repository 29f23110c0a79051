//! Ensembles whose members all run on this machine.
#![expect(
    clippy::disallowed_methods,
    reason = "the ports are chosen by the system, which takes open sockets"
)]

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use zk_proto::quorum::{Address, EnsembleConfig, EnsembleServer, Host, ServerAddress, ServerRole};
use zk_proto::{ServerId, Zxid};

use crate::config::Membership;
use crate::peers::PeerListeners;

/// A member of an ensemble on loopback.
#[derive(Debug)]
pub struct LocalMember {
    /// Its place in the ensemble.
    pub membership: Membership,
    /// Its ports, open, for [`ServerBuilder::peer_listeners`](crate::ServerBuilder::peer_listeners).
    pub listeners: PeerListeners,
}

/// Opens the ports for an ensemble of participants on loopback, numbered from 1. There is one for each
/// client port; zero does not tell the others where its clients connect.
///
/// # Errors
/// What the system says about the ports.
pub fn local_ensemble(client_ports: &[u16]) -> io::Result<Vec<LocalMember>> {
    let loopback = Host::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut servers = BTreeMap::new();
    let mut open = Vec::new();
    for (id, &client_port) in (1..).map(ServerId).zip(client_ports) {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = PeerListeners {
            quorum: TcpListener::bind(any_port)?,
            election: TcpListener::bind(any_port)?,
        };
        let address = ServerAddress {
            host: loopback.clone(),
            quorum_port: listeners.quorum.local_addr()?.port(),
            election_port: listeners.election.local_addr()?.port(),
        };
        let client = (client_port > 0).then(|| Address {
            host: loopback.clone(),
            port: client_port,
        });
        let server = EnsembleServer::new(vec![address], ServerRole::Participant, client);
        servers.insert(id, server.expect("the system gives each port once"));
        open.push((id, listeners));
    }
    let ensemble = EnsembleConfig::new(servers, None, Zxid::ZERO);
    let ensemble = ensemble.expect("all are participants");
    let member = |(id, listeners)| LocalMember {
        membership: Membership::new(id, ensemble.clone()).expect("each id is a server's"),
        listeners,
    };
    Ok(open.into_iter().map(member).collect())
}
