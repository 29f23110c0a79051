//! The ensemble's membership.

use futures::stream;
use zk_proto::WatcherType;

use crate::args::Verb;
use crate::error::{CliError, Result, usage};
use crate::output::{Encoding, NodeAnswer, Printer, Values};
use crate::session::Session;

const CONFIG_PATH: &str = "/zookeeper/config";

pub(super) async fn show(
    session: &mut Session,
    out: Printer,
    client: bool,
    watch: bool,
    stat: bool,
) -> Result {
    let get = session.root().get(CONFIG_PATH);
    let node = if watch {
        let (node, event) = get.watched().await?;
        session.keep(CONFIG_PATH, WatcherType::Data, stream::once(event));
        node
    } else {
        get.await?
    };
    let text = String::from_utf8_lossy(&node.data).into_owned();
    let shown = if client { for_clients(&text) } else { text };
    let stat = stat.then_some(node.stat);
    let path = CONFIG_PATH.to_owned();
    Ok(out.print(&NodeAnswer::new(
        path,
        shown.as_bytes(),
        Encoding::Raw,
        stat,
    ))?)
}

/// The version, and the client addresses of all servers, joined by commas.
fn for_clients(config: &str) -> String {
    let mut version = "";
    let mut addresses = Vec::new();
    for line in config.lines() {
        match line.trim().split_once('=') {
            Some(("version", value)) => version = value,
            Some((key, value)) if key.starts_with("server.") => {
                addresses.extend(client_address(value));
            }
            _ => {}
        }
    }
    format!("{version} {}", addresses.join(","))
}

/// What stands behind the semicolon: a port alone means every address of the server.
fn client_address(server: &str) -> Option<String> {
    let (_, client) = server.split_once(';')?;
    Some(match client.contains(':') {
        true => client.to_owned(),
        false => format!("0.0.0.0:{client}"),
    })
}

pub(super) async fn change(session: &Session, out: Printer, verb: Verb) -> Result {
    let Verb::Reconfig {
        stat,
        version,
        file,
        members,
        add,
        remove,
    } = verb
    else {
        return usage("not a reconfig");
    };
    let members = match file {
        None => members,
        Some(path) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| CliError::Data(format!("{}: {error}", path.display())))?;
            Some(members_of(&text))
        }
    };
    let mut reconfig = session.root().reconfig();
    if let Some(servers) = members {
        reconfig = reconfig.members(servers);
    }
    if let Some(servers) = add {
        reconfig = reconfig.joining(servers);
    }
    if let Some(ids) = remove {
        reconfig = reconfig.leaving(ids);
    }
    if let Some(version) = version {
        reconfig = reconfig.from_config(version);
    }
    let node = reconfig.await?;
    let config = String::from_utf8_lossy(&node.data).into_owned();
    let json = serde_json::json!({ "config": config, "version": node.stat.mzxid.0 });
    let text = format!("Committed new configuration:\n{config}");
    out.print(&Values { json, text })?;
    if stat {
        let path = CONFIG_PATH.to_owned();
        out.print(&crate::output::StatAnswer {
            path,
            stat: node.stat.into(),
        })?;
    }
    Ok(())
}

/// The `server.N=` lines of a configuration file, joined by commas.
fn members_of(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let servers: Vec<&str> = lines.filter(|line| line.starts_with("server.")).collect();
    servers.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_for_clients_is_version_and_addresses() {
        let config = "server.1=a:2888:3888:participant;10.0.0.1:2181\n\
            server.2=b:2888:3888:observer;2182\nserver.3=c:2888:3888\nversion=100000000";
        assert_eq!(for_clients(config), "100000000 10.0.0.1:2181,0.0.0.0:2182");
        assert_eq!(for_clients(""), " ");
    }

    #[test]
    fn members_are_the_server_lines_of_a_file() {
        let text = "tickTime=2000\nserver.1=a:1:2;3\n# server.9=x\n server.2=b:1:2;3\n";
        assert_eq!(members_of(text), "server.1=a:1:2;3,server.2=b:1:2;3");
    }
}
