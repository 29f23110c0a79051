//! A server, clients behind proxies, and how long anything may take.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;
use zk_client::{Client, SessionRef};
use zk_recipes::{LockGuard, Mutex, Result};
use zk_testkit::{Direction, FaultProxy, OpCode, TestServer};

/// The directory of every test.
pub(crate) const DIR: &str = "/lock";

/// What must happen happens long before this, on a machine under load too.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future.into_future())
        .await
        .expect("this takes far less than 30 s")
}

pub(crate) async fn server() -> TestServer {
    TestServer::start().await.unwrap()
}

/// A client behind a proxy of its own.
pub(crate) struct Faulty {
    pub(crate) proxy: FaultProxy,
    pub(crate) zk: Client,
}

impl Faulty {
    pub(crate) async fn start(server: &TestServer, session_timeout: Duration) -> Self {
        let proxy = server.proxy().await.unwrap();
        let zk = Client::builder()
            .connect(proxy.connect_string())
            .session_timeout(session_timeout)
            .backoff(Duration::from_millis(5), Duration::from_millis(50))
            .build()
            .await
            .unwrap();
        Self { proxy, zk }
    }

    /// A session that no test outlives.
    pub(crate) async fn lasting(server: &TestServer) -> Self {
        Self::start(server, Duration::from_secs(60)).await
    }

    pub(crate) fn mutex(&self) -> Mutex {
        Mutex::builder(&self.zk, DIR).build().unwrap()
    }

    /// Takes the lock.
    pub(crate) async fn lock(&self) -> LockGuard {
        within(self.mutex().lock()).await.unwrap()
    }

    /// Takes the lock if it is free.
    pub(crate) async fn try_lock(&self) -> Option<LockGuard> {
        within(self.mutex().try_lock()).await.unwrap()
    }

    /// Asks for the lock, and returns when that waits behind another contender.
    pub(crate) async fn begin_to_wait(&self) -> JoinHandle<Result<LockGuard>> {
        let watches = self.proxy.wait_for(OpCode::GET_DATA);
        let mutex = self.mutex();
        let lock = tokio::spawn(async move { mutex.lock().await });
        within(watches).await;
        self.catch_up().await;
        lock
    }

    /// Returns when the client has the replies to all that it has sent. A read whose reply is lost is
    /// made again, and its watch with it; one whose reply has come has a watch that is restored.
    pub(crate) async fn catch_up(&self) {
        within(self.zk.sync("/")).await.unwrap();
    }

    /// Cuts the connection and waits until there is another.
    pub(crate) async fn reconnect(&self) {
        let connected = self
            .proxy
            .wait_for_frame(|frame| matches!(frame.content, zk_testkit::Content::Connected(_)));
        self.proxy.cut();
        within(connected).await;
        // A reply of the new connection proves that the client uses it.
        within(self.zk.exists("/")).await.unwrap();
    }

    /// Stops all traffic, so that the session times out on both sides.
    pub(crate) fn isolate(&self) -> [zk_testkit::Hold; 2] {
        [Direction::ToServer, Direction::ToClient].map(|direction| self.proxy.hold(direction))
    }

    /// Requests for `op` that have passed.
    pub(crate) fn requests(&self, op: OpCode) -> usize {
        let frames = self.proxy.frames();
        frames.iter().filter(|frame| frame.is_request(op)).count()
    }
}

/// The client's next session.
pub(crate) async fn next_session(zk: &Client, after: &SessionRef) -> SessionRef {
    within(after.ended()).await;
    within(zk.live_session()).await.unwrap()
}

pub(crate) async fn children(zk: &Client) -> Vec<String> {
    let mut names = zk.children(DIR).await.unwrap().names;
    names.sort();
    names
}

/// Polls a future `polls` times, or until it waits for something that does not come, and drops it.
pub(crate) async fn poll_then_drop<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    if polls == 0 {
        return None;
    }
    let mut future = pin!(future);
    let mut polled = 0;
    let limited = std::future::poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    let idle = Duration::from_millis(200);
    tokio::time::timeout(idle, limited).await.ok().flatten()
}
