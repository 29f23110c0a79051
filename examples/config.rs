//! A setting that follows its znode, over lost connections and lost sessions.
//!
//! ```sh
//! cargo run -p zk-examples --bin example-config -- 127.0.0.1:2181
//! zk create /examples/setting on; zk set /examples/setting off
//! ```
#![expect(clippy::print_stdout, reason = "shows what happens")]

use zk_client::{Client, Kind, Node};

const SETTING: &str = "/examples/setting";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let servers = std::env::args().nth(1);
    let zk = Client::connect(servers.unwrap_or_else(|| "127.0.0.1:2181".to_owned())).await?;

    // The watch comes first: a change between the two would else be missed.
    let mut events = zk.watch(SETTING).await?;
    let mut seen = None;
    loop {
        let setting = read(&zk).await?;
        // Not the version, which starts over when the znode is deleted and created again.
        let written = setting.as_ref().map(|node| node.stat.mzxid);
        if seen != Some(written) {
            seen = Some(written);
            match &setting {
                None => println!("the default"),
                Some(node) => println!("{}", String::from_utf8_lossy(&node.data)),
            }
        }
        match events.next().await {
            // Servers keep no events for a client that is away. It reads again, as after an event.
            Some(Ok(event)) if event.is_gap() => println!("something may have happened meanwhile"),
            Some(Ok(_)) => {}
            Some(Err(end)) => return Err(end.into()),
            None => return Ok(()),
        }
    }
}

/// The setting's znode, if there is one.
async fn read(zk: &Client) -> zk_client::Result<Option<Node>> {
    match zk.get(SETTING).await {
        Ok(node) => Ok(Some(node)),
        Err(error) if *error.kind() == Kind::NoNode => Ok(None),
        Err(error) => Err(error),
    }
}
