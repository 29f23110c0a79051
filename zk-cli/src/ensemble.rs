//! `zk ensemble`: what each server says of itself, side by side.
//!
//! Every server is asked with the four-letter words `srvr` and, where its whitelist allows it, `mntr`; all at
//! once, so that one that hangs costs its own time alone.
#![expect(
    clippy::disallowed_methods,
    reason = "four-letter words go over a socket of their own"
)]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zk_proto::Zxid;

use crate::args::Options;
use crate::error::{CliError, Result};
use crate::output::{Answer, Printer};

/// A four-letter word's answer is far shorter.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Asks every server of `--server` and prints a row for each.
pub(crate) async fn show(options: &Options) -> Result {
    let servers = options.servers()?;
    let asked = servers.hosts().iter().map(|host| {
        let server = host.to_string();
        ask(server, (host.host.clone(), host.port), options.timeout)
    });
    let mut members = join_all(asked).await;
    let newest = members.iter().filter_map(|member| member.zxid).max();
    for member in &mut members {
        member.behind = behind(member.zxid, newest);
    }
    let none_serves = !members.iter().any(Member::is_serving);
    Printer::new(options.json).print(&Members { members })?;
    match none_serves {
        true => Err(CliError::NoServer),
        false => Ok(()),
    }
}

/// What a server tells; what it does not tell is absent.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Member {
    server: String,
    /// `leader`, `follower`, `observer`, `standalone`, `read-only`, or what is wrong.
    role: String,
    version: Option<String>,
    #[serde(serialize_with = "as_text")]
    zxid: Option<Zxid>,
    epoch: Option<u32>,
    /// Transactions that the server lacks, compared with the newest one told; absent where it is in an
    /// older epoch.
    behind: Option<i64>,
    connections: Option<u64>,
    sessions: Option<u64>,
    /// Of a leader: followers that are synced.
    synced_followers: Option<u64>,
    synced_observers: Option<u64>,
}

impl Member {
    fn is_serving(&self) -> bool {
        self.zxid.is_some()
    }
}

fn as_text<S: serde::Serializer>(
    zxid: &Option<Zxid>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match zxid {
        Some(zxid) => serializer.collect_str(zxid),
        None => serializer.serialize_none(),
    }
}

/// How many transactions lie between two of one epoch.
fn behind(zxid: Option<Zxid>, newest: Option<Zxid>) -> Option<i64> {
    let (zxid, newest) = (zxid?, newest?);
    (zxid.epoch() == newest.epoch()).then_some(newest.0 - zxid.0)
}

async fn ask(server: String, address: (String, u16), patience: Duration) -> Member {
    let unanswered = |role: String| Member {
        server: server.clone(),
        role,
        ..Member::default()
    };
    let srvr = match timeout(patience, word(&address, b"srvr")).await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return unanswered(error.to_string()),
        Err(_) => return unanswered(format!("no answer within {patience:?}")),
    };
    // Often not on the whitelist, and then there is nothing to be had.
    let mntr = timeout(patience, word(&address, b"mntr")).await;
    let mntr = mntr.ok().and_then(io::Result::ok).unwrap_or_default();
    read(server, &srvr, &mntr)
}

async fn word(address: &(String, u16), word: &[u8; 4]) -> io::Result<String> {
    let mut socket = TcpStream::connect((address.0.as_str(), address.1)).await?;
    socket.write_all(word).await?;
    let mut text = String::new();
    socket
        .take(ANSWER_BYTES_MAX)
        .read_to_string(&mut text)
        .await?;
    Ok(text)
}

fn read(server: String, srvr: &str, mntr: &str) -> Member {
    let told: BTreeMap<&str, &str> = (srvr.lines())
        .filter_map(|line| line.split_once(": "))
        .collect();
    let counted: BTreeMap<&str, &str> = (mntr.lines())
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let count = |key: &str| counted.get(key)?.parse().ok();
    let zxid = told.get("Zxid").and_then(|text| hex(text)).map(Zxid);
    let Some(&role) = told.get("Mode") else {
        return Member {
            server,
            role: srvr.trim().to_owned(),
            ..Member::default()
        };
    };
    Member {
        server,
        role: role.to_owned(),
        version: told.get("Zookeeper version").map(ToString::to_string),
        zxid,
        epoch: zxid.map(Zxid::epoch),
        behind: None,
        connections: told.get("Connections").and_then(|text| text.parse().ok()),
        sessions: count("zk_global_sessions"),
        synced_followers: count("zk_synced_followers"),
        synced_observers: count("zk_synced_observers"),
    }
}

fn hex(text: &str) -> Option<i64> {
    i64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[derive(Debug, Serialize)]
struct Members {
    members: Vec<Member>,
}

impl Answer for Members {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = |of: fn(&Member) -> usize, least| {
            self.members.iter().map(of).max().unwrap_or(0).max(least)
        };
        let server = width(|member| member.server.len(), "server".len());
        let role = width(|member| member.role.len(), "role".len());
        writeln!(
            out,
            "{:server$}  {:role$}  {:>5}  {:>18}  {:>8}  {:>11}  {:>8}  synced",
            "server", "role", "epoch", "zxid", "behind", "connections", "sessions"
        )?;
        for member in &self.members {
            let synced = match (member.synced_followers, member.synced_observers) {
                (Some(followers), Some(observers)) => {
                    format!("{followers} followers, {observers} observers")
                }
                (Some(followers), None) => format!("{followers} followers"),
                (None, _) => String::new(),
            };
            let line = format!(
                "{:server$}  {:role$}  {:>5}  {:>18}  {:>8}  {:>11}  {:>8}  {synced}",
                member.server,
                member.role,
                or_dash(member.epoch),
                or_dash(member.zxid),
                or_dash(member.behind),
                or_dash(member.connections),
                or_dash(member.sessions),
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SRVR: &str = "Zookeeper version: 3.9.5-1, built on 2026\nLatency min/avg/max: 0/0.5/9\n\
        Received: 10\nSent: 9\nConnections: 3\nOutstanding: 0\nZxid: 0x30000000a\nMode: leader\n\
        Node count: 5\nProposal sizes last/min/max: 1/1/1\n";

    #[test]
    fn a_server_is_read_from_its_words() {
        let mntr = "zk_global_sessions\t7\nzk_synced_followers\t2\nzk_synced_observers\t1\n";
        let member = read("a:2181".into(), SRVR, mntr);
        assert_eq!(member.role, "leader");
        assert_eq!(member.zxid, Some(Zxid(0x3_0000_000a)));
        assert_eq!((member.epoch, member.connections), (Some(3), Some(3)));
        assert_eq!(member.sessions, Some(7));
        assert_eq!(member.synced_followers, Some(2));
        assert_eq!(member.synced_observers, Some(1));
    }

    #[test]
    fn a_server_that_does_not_serve_says_so() {
        let text = "This ZooKeeper instance is not currently serving requests\n";
        let member = read("a:2181".into(), text, "");
        assert_eq!(member.role, text.trim());
        assert!(!member.is_serving());
    }

    #[test]
    fn lag_is_counted_within_an_epoch() {
        let zxid = |text| hex(text).map(Zxid);
        assert_eq!(behind(zxid("0x300000005"), zxid("0x30000000a")), Some(5));
        assert_eq!(behind(zxid("0x200000005"), zxid("0x30000000a")), None);
        assert_eq!(behind(None, zxid("0x1")), None);
    }
}
