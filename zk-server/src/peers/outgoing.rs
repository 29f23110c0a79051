//! What waits to be sent on one link.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use zk_core::SnapshotView;

/// How long the other server may take for what was sent last.
pub(super) const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// Something for another server.
#[derive(Debug)]
pub(crate) enum ToPeer {
    /// Whole packets.
    Packets(Bytes),
    /// The state that follows a SNAP packet. It is encoded as it is sent.
    State(SnapshotView),
}

/// The queue of one link, between the loop and the link's task. The loop never waits for it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes_max: usize,
    /// Bytes of packets that were posted and are not written.
    unwritten: AtomicUsize,
    posted: Mutex<Vec<ToPeer>>,
    is_posted: Notify,
    /// Nothing more is posted, and the link ends with what was.
    finishing: CancellationToken,
    closed: CancellationToken,
}

impl Outgoing {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            unwritten: AtomicUsize::new(0),
            posted: Mutex::default(),
            is_posted: Notify::new(),
            finishing: CancellationToken::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Hands over what is to be sent, in order. Returns `false`, and closes the link, when the other
    /// server has more waiting already than it may.
    pub(crate) fn post(&self, items: Vec<ToPeer>) -> bool {
        let bytes = items.iter().map(bytes_of).sum();
        if self.unwritten.fetch_add(bytes, Relaxed) > self.bytes_max {
            self.close();
            return false;
        }
        {
            let mut posted = self.posted();
            if posted.is_empty() {
                *posted = items;
            } else {
                posted.extend(items);
            }
        }
        self.is_posted.notify_one();
        true
    }

    /// What was posted since the last time, at least one thing; `None` when nothing more comes.
    ///
    /// Cancel safe.
    pub(super) async fn take(&self) -> Option<Vec<ToPeer>> {
        loop {
            let finishes = self.finishing.is_cancelled();
            let items = std::mem::take(&mut *self.posted());
            if !items.is_empty() {
                return Some(items);
            }
            if finishes {
                return None;
            }
            self.is_posted.notified().await;
        }
    }

    pub(super) fn written(&self, bytes: usize) {
        self.unwritten.fetch_sub(bytes, Relaxed);
    }

    /// Closes the link once what waits is sent, or when that takes too long.
    pub(crate) fn finish(&self) {
        self.finishing.cancel();
        self.is_posted.notify_one();
    }

    /// Closes the link, without sending what waits.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Whether the link ends with what was posted.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.is_cancelled()
    }

    /// Waits until the link is closed.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Waits until the link is to be closed whatever still waits.
    pub(super) async fn must_close(&self) {
        let too_long = async {
            self.finishing.cancelled().await;
            sleep(FINISH_WITHIN).await;
        };
        tokio::select! {
            () = self.closed() => {}
            () = too_long => {}
        }
    }

    fn posted(&self) -> MutexGuard<'_, Vec<ToPeer>> {
        self.posted
            .lock()
            .expect("nothing panics while it holds what is posted")
    }
}

fn bytes_of(item: &ToPeer) -> usize {
    match item {
        ToPeer::Packets(packets) => packets.len(),
        ToPeer::State(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(bytes: usize) -> Vec<ToPeer> {
        vec![ToPeer::Packets(Bytes::from(vec![0; bytes]))]
    }

    #[tokio::test]
    async fn a_link_with_too_much_waiting_is_closed_at_the_next_post() {
        let outgoing = Outgoing::new(10);
        assert!(outgoing.post(packets(100)), "one is always let through");
        assert!(!outgoing.post(packets(1)));
        outgoing.closed().await;
    }

    #[tokio::test]
    async fn what_is_written_makes_room() {
        let outgoing = Outgoing::new(10);
        assert!(outgoing.post(packets(100)));
        assert_eq!(outgoing.take().await.unwrap().len(), 1);
        outgoing.written(100);
        assert!(outgoing.post(packets(1)));
        assert!(outgoing.post(packets(1)));
        assert_eq!(outgoing.take().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_link_that_finishes_ends_behind_what_was_posted() {
        let outgoing = Outgoing::new(10);
        assert!(outgoing.post(packets(1)));
        outgoing.finish();
        assert_eq!(outgoing.take().await.unwrap().len(), 1);
        assert!(outgoing.take().await.is_none());
    }
}
