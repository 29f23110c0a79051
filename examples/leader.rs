//! One leader among many processes: start this several times, and end the one that leads.
//!
//! ```sh
//! cargo run -p zk-examples --bin example-leader -- 127.0.0.1:2181 name
//! ```
#![expect(clippy::print_stdout, reason = "shows what happens")]

use std::time::Duration;

use futures::StreamExt;
use zk_client::Client;
use zk_recipes::{LeaderLatch, Role, Term};

/// How often a leader works before it resigns.
const ROUNDS: u32 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let servers = args.next().unwrap_or_else(|| "127.0.0.1:2181".to_owned());
    let name = args
        .next()
        .unwrap_or_else(|| std::process::id().to_string());
    let zk = Client::connect(servers).await?;

    let latch = LeaderLatch::builder(&zk, "/examples/leader")
        .id(name.clone())
        .build()?;
    let mut roles = Box::pin(latch.roles());
    while let Some(role) = roles.next().await {
        match role? {
            Role::Follower => {
                let leader = latch.view().current().await?;
                let leader = leader.map(|leader| String::from_utf8_lossy(&leader.id).into_owned());
                println!("{name} follows {}", leader.as_deref().unwrap_or("nobody"));
            }
            Role::Leader(term) => match term.run(lead(&name, &term)).await {
                Ok(()) => break,
                // The stream says next what became of this process, and when it leads again.
                Err(lost) => println!("{name}: {lost}"),
            },
        }
    }
    println!("{name} resigns");
    // Dropping the stream resigns, in the background. Closing waits for that; a process that ended
    // before would lead on until its session times out.
    drop(roles);
    let closed = zk.close(Duration::from_secs(5)).await;
    anyhow::ensure!(closed.session_closed, "the session ends by its timeout");
    Ok(())
}

async fn lead(name: &str, term: &Term) {
    for round in 1..=ROUNDS {
        println!(
            "{name} leads with the token {}: round {round}",
            term.token()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
