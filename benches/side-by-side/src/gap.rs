//! How long nobody can write while the leader of an ensemble goes.
#![expect(clippy::disallowed_methods, reason = "starts threads, measures time")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use zk_proto::{ErrorCode, Request};

use crate::client::{Client, create};

/// Before another server is tried.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// Writers, one for each server: each writes one value after the other through its server, and
/// through the next one when that fails.
pub(crate) struct Writers {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<anyhow::Result<Vec<Instant>>>>,
}

impl Writers {
    /// Makes the znodes and starts to write.
    pub(crate) fn start(servers: &[SocketAddr]) -> anyhow::Result<Self> {
        let first = *servers.first().context("there are servers")?;
        let mut client = Client::open(first)?;
        for writer in 0..servers.len() {
            let made = client.ask(&create(path(writer), 0))?;
            ensure!(made.is_ok() || made == ErrorCode::NODE_EXISTS, "{made}");
        }
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..servers.len()).map(|writer| {
            let (servers, over) = (servers.to_vec(), Arc::clone(&over));
            thread::spawn(move || write(writer, &servers, &over))
        });
        Ok(Self {
            threads: threads.collect(),
            over,
        })
    }

    /// Ends the writing; gives the longest time in which none of them was told of a success.
    pub(crate) fn longest_gap(self) -> anyhow::Result<Duration> {
        self.over.store(true, Ordering::Relaxed);
        let mut told = Vec::new();
        for thread in self.threads {
            let times = thread.join().map_err(|_| anyhow!("a writer panicked"))?;
            told.extend(times?);
        }
        told.sort();
        let gaps = told.iter().zip(told.iter().skip(1));
        gaps.map(|(before, after)| *after - *before)
            .max()
            .context("nothing was written")
    }
}

/// Writes until it is over; gives the times at which successes were told.
fn write(writer: usize, servers: &[SocketAddr], over: &AtomicBool) -> anyhow::Result<Vec<Instant>> {
    let mut told = Vec::new();
    for server in servers.iter().cycle().skip(writer) {
        // A server that is gone, or has lost its leader, says so by ending the connection.
        let _: io::Result<()> = write_through(*server, writer, over, &mut told);
        if over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(RETRY_AFTER);
    }
    Ok(told)
}

fn write_through(
    server: SocketAddr,
    writer: usize,
    over: &AtomicBool,
    told: &mut Vec<Instant>,
) -> io::Result<()> {
    let mut client = Client::open(server)?;
    let set = Request::SetData {
        path: path(writer),
        data: Some(Bytes::from_static(&[b'v'; 100])),
        version: -1,
    };
    while !over.load(Ordering::Relaxed) {
        client.call(&set)?;
        told.push(Instant::now());
    }
    client.call(&Request::CloseSession)
}

fn path(writer: usize) -> String {
    format!("/gap-{writer}")
}
