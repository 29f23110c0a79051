//! Which membership a reconfig asks for (`PrepRequestProcessor`, 3.9.5).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use zk_proto::quorum::{Address, EnsembleConfig, EnsembleServer};
use zk_proto::{ErrorCode, Reconfig, ServerId, Zxid};

/// The membership after `request`, which becomes the transaction `zxid`; `last_seen` is the one
/// before.
///
/// # Errors
/// BADVERSION when the client means another membership than this one, BADARGUMENTS for one that is
/// none, or has fewer voters than `voters_min`.
pub(super) fn next_config(
    last_seen: &EnsembleConfig,
    request: &Reconfig,
    zxid: Zxid,
    voters_min: usize,
) -> Result<EnsembleConfig, ErrorCode> {
    if request.current_config != Zxid(-1) && request.current_config != last_seen.version() {
        return Err(ErrorCode::BAD_VERSION);
    }
    let next = match &request.new_members {
        Some(members) => members.replace(',', "\n").parse().map_err(bad)?,
        None => incremental(last_seen, request)?,
    };
    let next: EnsembleConfig = next;
    if next.participants().count() < voters_min.max(1) {
        return Err(ErrorCode::BAD_ARGUMENTS);
    }
    Ok(next.with_version(zxid))
}

/// Servers leave, then others join. Groups and weights can only be told anew as a whole.
fn incremental(
    last_seen: &EnsembleConfig,
    request: &Reconfig,
) -> Result<EnsembleConfig, ErrorCode> {
    if last_seen.hierarchy().is_some() {
        return Err(ErrorCode::BAD_ARGUMENTS);
    }
    let mut servers = last_seen.servers().clone();
    for leaving in parts(request.leaving.as_ref()) {
        servers.remove(&ServerId(leaving.parse().map_err(bad)?));
    }
    for joining in parts(request.joining.as_ref()) {
        let (key, line) = joining.split_once('=').ok_or(ErrorCode::BAD_ARGUMENTS)?;
        let id = key.rsplit('.').next().unwrap_or(key).trim();
        let id = ServerId(id.parse().map_err(bad)?);
        let server: EnsembleServer = line.trim().parse().map_err(bad)?;
        if server.client().is_none() || is_taken(&servers, id, &server) {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        servers.insert(id, server);
    }
    EnsembleConfig::new(servers, None, last_seen.version()).map_err(bad)
}

fn parts(list: Option<&String>) -> impl Iterator<Item = &str> {
    let parts = list.map_or("", String::as_str).split(',').map(str::trim);
    parts.filter(|part| !part.is_empty())
}

/// Whether another server has one of its addresses already.
fn is_taken(
    servers: &BTreeMap<ServerId, EnsembleServer>,
    id: ServerId,
    server: &EnsembleServer,
) -> bool {
    let taken = servers.iter().filter(|&(&other, _)| other != id);
    let taken: BTreeSet<_> = taken.flat_map(|(_, other)| addresses(other)).collect();
    addresses(server).any(|address| taken.contains(&address))
}

/// All addresses of a server that are its own: a wildcard is everybody's.
fn addresses(server: &EnsembleServer) -> impl Iterator<Item = (String, u16)> + '_ {
    let peers =
        (server.addresses().iter()).flat_map(|address| [address.quorum(), address.election()]);
    let all = peers.chain(server.client().cloned());
    all.filter(|address: &Address| !address.host.is_wildcard())
        .map(|address| (address.host.as_str().into(), address.port))
}

fn bad<E>(_: E) -> ErrorCode {
    ErrorCode::BAD_ARGUMENTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString as _;
    use alloc::vec::Vec;

    fn line(id: i64) -> String {
        format!("server.{id}=h{id}:2888:3888:participant;2181")
    }

    fn current() -> EnsembleConfig {
        let lines: Vec<_> = (1..=3).map(line).collect();
        format!("{}\nversion=100000000", lines.join("\n"))
            .parse()
            .unwrap()
    }

    fn request(joining: Option<&str>, leaving: Option<&str>, members: Option<&str>) -> Reconfig {
        Reconfig {
            joining: joining.map(String::from),
            leaving: leaving.map(String::from),
            new_members: members.map(String::from),
            current_config: Zxid(-1),
        }
    }

    fn ids(request: &Reconfig) -> Result<Vec<i64>, ErrorCode> {
        let next = next_config(&current(), request, Zxid(0x1_0000_0009), 2)?;
        assert!(next.to_string().ends_with("version=100000009"));
        Ok(next.servers().keys().map(|id| id.0).collect())
    }

    #[test]
    fn servers_join_and_leave() {
        assert_eq!(
            ids(&request(Some(&line(4)), None, None)),
            Ok([1, 2, 3, 4].into())
        );
        assert_eq!(ids(&request(None, Some("2"), None)), Ok([1, 3].into()));
        let both = request(Some("server.5=h2:2888:3888;2181"), Some("2, 3"), None);
        assert_eq!(ids(&both), Ok([1, 5].into()));
    }

    #[test]
    fn a_membership_can_be_told_as_a_whole() {
        let members = format!("{},{}", line(2), line(7));
        assert_eq!(ids(&request(None, None, Some(&members))), Ok([2, 7].into()));
    }

    #[test]
    fn what_is_no_membership_is_refused() {
        for bad in [
            request(Some("server.4=h4:2888:3888"), None, None),
            request(Some("server.4"), None, None),
            request(Some("server.x=h4:2888:3888;2181"), None, None),
            request(Some("server.4=h1:2888:3888;2181"), None, None),
            request(None, Some("two"), None),
            request(None, Some("1,2"), None),
            request(None, None, Some("server.1=nonsense")),
            request(None, None, Some(&line(1))),
        ] {
            assert_eq!(ids(&bad), Err(ErrorCode::BAD_ARGUMENTS), "{bad:?}");
        }
    }

    #[test]
    fn a_client_may_say_which_membership_it_means() {
        let of = |version| Reconfig {
            current_config: Zxid(version),
            ..request(None, Some("3"), None)
        };
        assert_eq!(ids(&of(0x1_0000_0000)), Ok([1, 2].into()));
        assert_eq!(ids(&of(7)), Err(ErrorCode::BAD_VERSION));
    }

    #[test]
    fn groups_are_only_changed_as_a_whole() {
        let lines: Vec<_> = (1..=3).map(line).collect();
        let text = format!("{}\ngroup.1=1:2:3\nversion=1", lines.join("\n"));
        let grouped: EnsembleConfig = text.parse().unwrap();
        let next = next_config(&grouped, &request(None, Some("3"), None), Zxid(9), 2);
        assert_eq!(next, Err(ErrorCode::BAD_ARGUMENTS));
    }
}
