//! Finding what a test leaves behind.

use std::collections::BTreeSet;
use std::time::Duration;

use zk_proto::{ErrorCode, Request, Response};

use crate::RawSession;
use crate::server::{Error, TestServer};

/// How long deletions in the background may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look: servers tell nobody that a watch was removed.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

impl TestServer {
    /// The paths of all znodes but `/` and those of the server itself.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn nodes(&self) -> Result<BTreeSet<String>, Error> {
        let mut raw = RawSession::open(self.address(), SESSION_TIMEOUT).await?;
        let nodes = walk(&mut raw).await?;
        raw.close().await?;
        Ok(nodes)
    }

    /// The number of watches of all clients, as the word `mntr` counts them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn watches(&self) -> Result<usize, Error> {
        let answer = self.ask("mntr").await?;
        let mut lines = answer.lines();
        let count = lines.find_map(|line| line.strip_prefix("zk_watch_count\t"));
        let count = count.and_then(|count| count.trim().parse().ok());
        count.ok_or_else(|| std::io::Error::other(format!("mntr says {answer:?}")).into())
    }

    /// Waits until nothing is left but the znodes `expected`, and no watch: what is deleted in the
    /// background is given 10 s.
    ///
    /// # Errors
    /// [`Error::Leak`] naming what is left or missing, [`Error::Io`].
    pub async fn expect_left(&self, expected: &[&str]) -> Result<(), Error> {
        self.expect_left_within(PATIENCE, expected).await
    }

    /// The same with another patience.
    ///
    /// # Errors
    /// As [`expect_left`](Self::expect_left).
    pub async fn expect_left_within(
        &self,
        patience: Duration,
        expected: &[&str],
    ) -> Result<(), Error> {
        let expected = expected
            .iter()
            .map(|&path| path.to_owned())
            .collect::<BTreeSet<_>>();
        let mut raw = RawSession::open(self.address(), SESSION_TIMEOUT).await?;
        let deadline = tokio::time::sleep(patience);
        tokio::pin!(deadline);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            let (nodes, watches) = (walk(&mut raw).await?, self.watches().await?);
            if nodes == expected && watches == 0 {
                return Ok(raw.close().await?);
            }
            if deadline.is_elapsed() {
                let nodes = nodes.symmetric_difference(&expected).collect::<Vec<_>>();
                return Err(Error::Leak(format!("nodes {nodes:?}, {watches} watches")));
            }
            tokio::select! {
                _ = ticks.tick() => {}
                () = &mut deadline => {}
            }
        }
    }
}

async fn walk(raw: &mut RawSession) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    let mut open = vec![String::new()];
    while let Some(parent) = open.pop() {
        let path = if parent.is_empty() {
            "/".to_owned()
        } else {
            parent.clone()
        };
        let names = match raw
            .call(&Request::GetChildren { path, watch: false })
            .await?
        {
            Ok(Response::Children(names)) => names,
            // Deleted since its parent was listed.
            Err(ErrorCode::NO_NODE) => continue,
            other => return Err(std::io::Error::other(format!("getChildren: {other:?}")).into()),
        };
        if !parent.is_empty() {
            found.insert(parent.clone());
        }
        let children = names.iter().map(|name| format!("{parent}/{name}"));
        open.extend(children.filter(|path| path != "/zookeeper"));
    }
    Ok(found)
}
