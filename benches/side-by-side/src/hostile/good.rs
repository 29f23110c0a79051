//! The well-behaved client: a few sessions, each sending a burst of requests at fixed times.
//!
//! ```text
//! session 0   ▌    ▌    ▌      a burst every PERIOD, sessions apart from each other
//! session 1    ▌    ▌    ▌     half of them read, half of them write
//! ```
//!
//! The times do not depend on the answers: a burst that is late because the one before it was
//! answered late counts from the time at which it was due.
#![expect(clippy::disallowed_methods, reason = "starts threads, measures time")]

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use hdrhistogram::Histogram;
use zk_proto::Request;

use crate::client::{Client, create, frame};

/// Sessions; every second one writes.
pub(super) const SESSIONS: u32 = 8;
/// Requests that a session has on the way at once.
pub(super) const BURST: u32 = 4;
/// Between two bursts of a session.
pub(super) const PERIOD: Duration = Duration::from_millis(10);
pub(super) const VALUE_BYTES: usize = 100;

const LATENCY_MICROS_MAX: u64 = 60_000_000;

/// Latencies in µs.
#[derive(Debug)]
pub(super) struct Latencies {
    pub(super) reads: Histogram<u64>,
    pub(super) writes: Histogram<u64>,
}

/// Makes the znodes, unless they are there.
pub(super) fn prepare(server: SocketAddr) -> anyhow::Result<()> {
    let mut client = Client::open(server)?;
    for session in 0..SESSIONS {
        client.call(&create(path(session), VALUE_BYTES))?;
    }
    Ok(())
}

fn path(session: u32) -> String {
    format!("/good-{session}")
}

/// Works for `duration`.
pub(super) fn work(server: SocketAddr, duration: Duration) -> anyhow::Result<Latencies> {
    let start = Instant::now();
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|session| {
            let first = start + PERIOD * session / SESSIONS;
            let end = start + duration;
            thread::spawn(move || work_session(server, session, first, end))
        })
        .collect();
    let mut latencies = Latencies {
        reads: histogram(),
        writes: histogram(),
    };
    for (session, thread) in (0..).zip(sessions) {
        let taken = thread
            .join()
            .map_err(|_| anyhow!("a session of the good client panicked"))?
            .context("the good client was not answered")?;
        let all = if writes(session) {
            &mut latencies.writes
        } else {
            &mut latencies.reads
        };
        all.add(taken).expect("all histograms have the same bounds");
    }
    Ok(latencies)
}

const fn writes(session: u32) -> bool {
    session % 2 == 1
}

fn work_session(
    server: SocketAddr,
    session: u32,
    first: Instant,
    end: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let path = path(session);
    let request = if writes(session) {
        let data = Some(Bytes::from(vec![b'v'; VALUE_BYTES]));
        Request::SetData {
            path,
            data,
            version: -1,
        }
    } else {
        Request::GetData { path, watch: false }
    };
    let burst = frame(&request).repeat(BURST as usize);
    let mut client = Client::open(server)?;
    let mut latencies = histogram();
    let mut due = first;
    while due < end {
        let mut began = due;
        if let Some(rest) = due.checked_duration_since(Instant::now()) {
            thread::sleep(rest);
            // That a sleep ends late is not the server's doing.
            began = Instant::now();
        }
        client.send(&burst)?;
        for _ in 0..BURST {
            client.receive_success()?;
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            latencies.saturating_record(micros);
        }
        due += PERIOD;
    }
    Ok(latencies)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3).expect("the bounds are constant")
}
