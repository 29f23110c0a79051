//! One writer, and watchers of what it writes.
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::Notify;
use zk_proto::{AddWatch, AddWatchMode, OpCode, Request};

use super::run::{Phase, Session};
use super::wire::{Connection, granted};

/// How long all events of one write may take.
const EVENTS_WITHIN: Duration = Duration::from_secs(30);

/// What the writer and the watchers share.
#[derive(Debug)]
pub(crate) struct Round {
    origin: Instant,
    /// When the write under way was sent, in ns since `origin`.
    sent_nanos: AtomicU64,
    /// Watchers that the write has not reached.
    missing: AtomicUsize,
    reached: Notify,
}

impl Round {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            sent_nanos: AtomicU64::new(0),
            missing: AtomicUsize::new(0),
            reached: Notify::new(),
        }
    }

    fn begin(&self, watchers: usize) {
        self.missing.store(watchers, Ordering::Release);
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.sent_nanos.store(nanos, Ordering::Release);
    }

    /// Counts an event; gives the time since its write.
    fn arrive(&self) -> Duration {
        let sent = Duration::from_nanos(self.sent_nanos.load(Ordering::Acquire));
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reached.notify_one();
        }
        self.origin.elapsed().saturating_sub(sent)
    }
}

/// Adds a persistent watch.
pub(crate) async fn watch(connection: &mut Connection, path: &str) -> anyhow::Result<()> {
    let add = Request::AddWatch(AddWatch {
        path: path.to_owned(),
        mode: AddWatchMode::Persistent.to_raw(),
    });
    granted(connection.call(&add).await?, "addWatch").map(drop)
}

/// Takes events until the end.
pub(crate) async fn listen(
    connection: &mut Connection,
    session: &Session,
    round: &Round,
) -> anyhow::Result<()> {
    let mut phases = session.phases();
    loop {
        tokio::select! {
            event = connection.event() => {
                event?;
                session.record(session.phase(), OpCode::NOTIFICATION, round.arrive());
            }
            stop = phases.wait_for(|phase| *phase == Phase::Stop) => {
                return stop.map(drop).context("the benchmark is gone");
            }
        }
    }
}

/// Writes again and again, each time when the last write has reached all watchers.
pub(crate) async fn write(
    connection: &mut Connection,
    session: &Session,
    round: &Round,
    path: String,
    (watchers, value_bytes): (usize, usize),
) -> anyhow::Result<()> {
    let set = Request::SetData {
        path,
        data: Some(Bytes::from(vec![b'v'; value_bytes])),
        version: -1,
    };
    let mut phases = session.phases();
    phases.wait_for(|phase| *phase != Phase::Connect).await?;
    while session.phase() != Phase::Stop {
        let phase = session.phase();
        let started = Instant::now();
        round.begin(watchers);
        granted(connection.call(&set).await?, "write")?;
        tokio::select! {
            reached = tokio::time::timeout(EVENTS_WITHIN, round.reached.notified()) => {
                reached.context("some watchers did not get the event")?;
            }
            // Watchers listen no longer, so the last write reaches none of them.
            stop = phases.wait_for(|phase| *phase == Phase::Stop) => {
                return stop.map(drop).context("the benchmark is gone");
            }
        }
        session.record(phase, OpCode::SET_DATA, started.elapsed());
    }
    Ok(())
}
