//! An ensemble in this process, whose members are stopped and started again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;
use zk_proto::ServerId;
use zk_server::config::Membership;
use zk_server::{Config, LocalMember, PeerListeners, Running, Server, Status, local_ensemble};

use super::{PATIENCE, RawClient};

pub(crate) struct Ensemble {
    dir: PathBuf,
    members: BTreeMap<i64, Member>,
    change: fn(&mut Config),
}

struct Member {
    membership: Membership,
    /// Its ports, before its first start.
    listeners: Option<PeerListeners>,
    address: Option<SocketAddr>,
    running: Option<Running>,
}

impl Ensemble {
    /// Starts members with data in `dir`, and waits until all serve.
    pub(crate) async fn start(dir: &Path, count: usize, change: fn(&mut Config)) -> Self {
        let mut ensemble = Self::prepare(dir, count, change);
        for id in ensemble.ids() {
            ensemble.start_one(id).await;
        }
        for id in ensemble.ids() {
            ensemble.serves(id).await;
        }
        ensemble
    }

    /// Members with data in `dir`, none of which runs. Their ports are open already.
    pub(crate) fn prepare(dir: &Path, count: usize, change: fn(&mut Config)) -> Self {
        let member = |member: LocalMember| {
            let LocalMember {
                membership,
                listeners,
            } = member;
            let id = membership.id.0;
            let member = Member {
                membership,
                listeners: Some(listeners),
                address: None,
                running: None,
            };
            (id, member)
        };
        let members = local_ensemble(&vec![0; count]).unwrap();
        Self {
            dir: dir.to_owned(),
            members: members.into_iter().map(member).collect(),
            change,
        }
    }

    /// Starts a member that does not run.
    pub(crate) async fn start_one(&mut self, id: i64) {
        let member = self.members.get_mut(&id).unwrap();
        let port = member.address.map_or(0, |address| address.port());
        let mut config = Config::dev(&self.dir.join(id.to_string()), port);
        config.tick_time = Duration::from_millis(100);
        config.quorum.init_limit = 100;
        config.quorum.sync_limit = 50;
        config.sessions.max_timeout = Duration::from_secs(60);
        (self.change)(&mut config);
        let mut builder = Server::builder()
            .config(config)
            .member(member.membership.clone());
        if let Some(listeners) = member.listeners.take() {
            builder = builder.peer_listeners(listeners);
        }
        let running = builder.start().await.unwrap();
        member.address = Some(running.local_addr());
        member.running = Some(running);
    }

    pub(crate) fn ids(&self) -> Vec<i64> {
        self.members.keys().copied().collect()
    }

    fn member(&self, id: i64) -> &Member {
        self.members.get(&id).expect("a member")
    }

    fn running(&self, id: i64) -> &Running {
        let running = self.member(id).running.as_ref();
        running.expect("the member runs")
    }

    pub(crate) fn address(&self, id: i64) -> SocketAddr {
        self.member(id).address.expect("the member was started")
    }

    /// Waits until the member is as asked.
    pub(crate) async fn until(&self, id: i64, is_it: impl FnMut(&Status) -> bool) -> Status {
        let reached = timeout(PATIENCE, self.running(id).wait_until(is_it)).await;
        reached.expect("in time").expect("the member runs")
    }

    pub(crate) async fn serves(&self, id: i64) -> Status {
        self.until(id, |status| status.is_serving).await
    }

    /// Waits until a running member leads and all others follow it.
    pub(crate) async fn leader(&self) -> i64 {
        let running: Vec<_> = (self.members.iter())
            .filter_map(|(&id, member)| member.running.is_some().then_some(id))
            .collect();
        let settled = async {
            loop {
                let mut leaders = Vec::new();
                for &id in &running {
                    leaders.push(self.serves(id).await.leader);
                }
                if let Some(&Some(ServerId(leader))) = leaders.first()
                    && leaders.iter().all(|&of| of == Some(ServerId(leader)))
                    && running.contains(&leader)
                {
                    return leader;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, settled).await.expect("in time")
    }

    /// Ends a member in order.
    pub(crate) async fn stop_one(&mut self, id: i64) {
        let running = self.members.get_mut(&id).unwrap().running.take();
        let stopped = timeout(PATIENCE, running.expect("the member runs").shutdown()).await;
        stopped.expect("in time").unwrap();
    }

    /// A session through a member, once that serves.
    pub(crate) async fn client(&self, id: i64) -> RawClient {
        self.serves(id).await;
        RawClient::log_in(self.address(id)).await.0
    }

    pub(crate) async fn stop(mut self) {
        for id in self.ids() {
            if self.member(id).running.is_some() {
                self.stop_one(id).await;
            }
        }
    }
}
