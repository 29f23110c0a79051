//! The connection that verbs work on, and the watches that they leave.

use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zk_client::{Builder, Client, WatchItem};
use zk_proto::WatcherType;

use crate::args::Options;
use crate::error::{CliError, Result};

/// How long closing may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Events that wait to be printed.
pub(crate) const EVENTS_MAX: usize = 1024;

/// A client, made from the options.
#[derive(Debug)]
pub(crate) struct Session {
    /// The whole tree, for what the ensemble keeps under `/zookeeper`.
    root: Client,
    /// The tree below the path of `--server`.
    zk: Client,
    watches: Vec<Watched>,
    events: mpsc::Sender<WatchItem>,
}

/// A watch whose events are passed on by a task.
#[derive(Debug)]
struct Watched {
    path: String,
    kind: WatcherType,
    task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Connects.
    pub(crate) async fn open(options: &Options, events: mpsc::Sender<WatchItem>) -> Result<Self> {
        let servers = options.servers()?;
        let hosts: Vec<String> = servers.hosts().iter().map(ToString::to_string).collect();
        let mut builder = Builder::from_config(options.client_config()?).connect(hosts.join(","));
        for (scheme, auth) in &options.auth {
            builder = builder.auth(scheme.clone(), auth.clone());
        }
        let root = builder.build().await?;
        let zk = root
            .chroot(servers.chroot())
            .map_err(|error| CliError::Usage(format!("--server: {error}")))?;
        Ok(Self {
            root,
            zk,
            watches: Vec::new(),
            events,
        })
    }

    /// The tree that verbs see.
    pub(crate) fn zk(&self) -> &Client {
        &self.zk
    }

    /// The whole tree.
    pub(crate) fn root(&self) -> &Client {
        &self.root
    }

    /// The server's name for a path that verbs see.
    pub(crate) fn absolute(&self, path: &str) -> String {
        match (self.zk.root(), path) {
            ("/", path) => path.to_owned(),
            (root, "/") => root.to_owned(),
            (root, path) => format!("{root}{path}"),
        }
    }

    /// Passes the events of a watch on, until it ends or is removed.
    pub(crate) fn keep(
        &mut self,
        path: &str,
        kind: WatcherType,
        mut watch: impl Stream<Item = WatchItem> + Send + Unpin + 'static,
    ) {
        if self.watches.len() == self.watches.capacity() {
            self.watches.retain(|watched| !watched.task.is_finished());
        }
        let events = self.events.clone();
        let task = tokio::spawn(async move {
            while let Some(item) = watch.next().await {
                if events.send(item).await.is_err() {
                    return;
                }
            }
        });
        let path = path.to_owned();
        self.watches.push(Watched { path, kind, task });
    }

    /// Removes watches of a path; gives how many there were.
    pub(crate) fn remove(&mut self, path: &str, kind: WatcherType) -> usize {
        let matches = |watched: &Watched| {
            watched.path == path && (kind == WatcherType::Any || watched.kind == kind)
        };
        let removed = self.watches.extract_if(.., |watched| matches(watched));
        removed
            .filter(|watched| !watched.task.is_finished())
            .count()
    }

    /// Gives up the own end of the channel of events, which then ends with the last watch.
    pub(crate) fn let_events_end(&mut self) {
        self.events = mpsc::channel(1).0;
    }

    /// Ends the session, and with it ephemeral znodes and watches.
    pub(crate) async fn close(self) {
        drop(self.watches);
        // Whether the server confirms it or the session expires later makes no difference here.
        let _ = self.root.close(DRAIN).await;
    }
}
