//! Work that one process at a time does, and that stops when its lock is lost.
//!
//! ```sh
//! cargo run -p zk-examples --bin example-lock -- 127.0.0.1:2181
//! ```
#![expect(clippy::print_stdout, reason = "shows what happens")]

use std::time::Duration;

use zk_client::{Client, Kind, Parents};
use zk_recipes::{LockGuard, Mutex};

const REPORT: &str = "/examples/report";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let servers = std::env::args().nth(1);
    let zk = Client::connect(servers.unwrap_or_else(|| "127.0.0.1:2181".to_owned())).await?;
    match zk
        .create(REPORT)
        .data("0")
        .parents(Parents::Persistent)
        .await
    {
        Err(error) if *error.kind() == Kind::NodeExists => {}
        created => drop(created?),
    }

    let mutex = Mutex::builder(&zk, "/examples/locks/report").build()?;
    let guard = mutex.lock().await?;
    println!("holds the lock, with the token {}", guard.token());

    // The work is dropped where it waits as soon as the lock is lost: the session expired, an
    // operator deleted the znode, or no server has been heard of for too long.
    let written = guard.run(count_up(&zk, &guard)).await??;
    println!("wrote {written}");

    guard.release().await?;
    let closed = zk.close(Duration::from_secs(5)).await;
    anyhow::ensure!(closed.session_closed, "the session ends by its timeout");
    Ok(())
}

async fn count_up(zk: &Client, guard: &LockGuard) -> anyhow::Result<u64> {
    let report = zk.get(REPORT).await?;
    let number: u64 = std::str::from_utf8(&report.data)?.parse()?;
    // A process may be paused between any two of its instructions. The fence has the servers check
    // that the lock is still held in the very transaction that writes.
    let fenced = zk.txn().with(|txn| guard.fence(txn));
    fenced
        .set(REPORT, (number + 1).to_string())
        .commit()
        .await?;
    Ok(number + 1)
}
