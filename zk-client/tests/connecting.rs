//! How servers are found: names are resolved at every attempt, servers and addresses tried in any
//! order, silent ones given up in time.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test opens sockets"
)]

mod fake;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake::{Fake, SESSION};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use zk_client::{Builder, Client, HostPort, Kind, Resolve};

/// What names stand for, by turns; the last answer stays. Keeps what it was asked.
#[derive(Debug, Clone, Default)]
struct Names(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    answers: VecDeque<Vec<SocketAddr>>,
    asked: Vec<String>,
}

impl Names {
    fn new(answers: impl IntoIterator<Item = Vec<SocketAddr>>) -> Self {
        let names = Self::default();
        names.set(answers);
        names
    }

    fn set(&self, answers: impl IntoIterator<Item = Vec<SocketAddr>>) {
        self.0.lock().unwrap().answers = answers.into_iter().collect();
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    fn builder(&self, servers: &str) -> Builder {
        Client::builder()
            .connect(servers)
            .backoff(Duration::from_millis(1), Duration::from_millis(5))
            .resolver(self.clone())
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &HostPort) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let mut book = self.0.lock().unwrap();
        book.asked.push(host.to_string());
        let answer = match book.answers.len() {
            0 | 1 => book.answers.front().cloned(),
            _ => book.answers.pop_front(),
        };
        let answer = answer.ok_or_else(|| io::Error::other("the name is unknown"));
        async move { answer }.boxed()
    }
}

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    Fake::start().await.address()
}

/// ZOOKEEPER-2184: an address that was kept would never be left.
#[tokio::test]
async fn the_name_of_a_server_is_resolved_at_every_attempt() {
    let (before, after) = (Fake::start().await, Fake::start().await);
    let gone = nobody().await;
    let names = Names::new([vec![gone], vec![], vec![before.address()]]);
    let (client, link) = tokio::join!(names.builder("zk.test").build(), before.accept(SESSION));
    let client = client.unwrap();
    assert_eq!(names.asked(), ["zk.test:2181"; 3]);
    // The server moves: the name stands for another address.
    names.set([vec![after.address()]]);
    drop((link, before));
    let (_link, handshake) = after.take().await;
    assert_eq!(handshake.session_id, client.session().id());
    assert_eq!(names.asked(), ["zk.test:2181"; 4]);
}

#[tokio::test]
async fn a_name_that_is_unknown_is_told() {
    let names = Names::default();
    let builder = names.builder("zk.test:7");
    let error = builder.connect_timeout(Duration::from_millis(50)).build();
    let Kind::Unreachable(reason) = error.await.unwrap_err().kind().clone() else {
        panic!("the client reached something");
    };
    assert_eq!(reason, "zk.test:7: the name is unknown");
}

/// Clients that all began with the first server would all be on it.
#[tokio::test]
async fn every_client_tries_the_servers_in_an_order_of_its_own() {
    let mut orders = BTreeSet::new();
    for _ in 0..30 {
        let fake = Fake::start().await;
        let gone = nobody().await;
        let names = Names::new([vec![gone], vec![gone], vec![fake.address()]]);
        let build = names.builder("a,b,c").build();
        let (client, _link) = tokio::join!(build, fake.accept(SESSION));
        let mut asked = names.asked();
        drop(client);
        orders.insert(asked.clone());
        // Every server has its turn before one has another.
        asked.sort();
        assert_eq!(asked, ["a:2181", "b:2181", "c:2181"]);
    }
    // Thirty of six in step have one chance in 10²².
    assert!(orders.len() > 1, "{orders:?}");
}

/// A listener whose queue is full, so that further connections are not answered.
async fn silent() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    loop {
        let connect = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(100), connect).await {
            Ok(connected) => queue.push(connected.unwrap()),
            Err(_) => return (listener, queue),
        }
    }
}

#[tokio::test]
async fn an_address_that_is_silent_leaves_time_for_the_others() {
    let (silent, _queue) = silent().await;
    let silent = silent.local_addr().unwrap();
    // In any order: among so many rounds the silent ones come first in some.
    for _ in 0..6 {
        let fake = Fake::start().await;
        let names = Names::new([vec![silent, silent, silent, fake.address()]]);
        let builder = names.builder("zk.test");
        let build = builder.session_timeout(Duration::from_millis(900)).build();
        let (client, _link) = tokio::join!(build, fake.accept(SESSION));
        assert_eq!(names.asked().len(), 1, "one attempt reaches them all");
        drop(client);
    }
}
