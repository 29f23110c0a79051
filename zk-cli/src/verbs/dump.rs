//! Subtrees as JSON lines, out of an ensemble and into one.
//!
//! One znode a line, parents first:
//!
//! ```json
//! {"path":"/a","kind":"persistent","data":"text","acl":[{"scheme":"world","id":"anyone","perms":"cdrwa"}]}
//! ```
//!
//! Data that is not UTF-8 stands in `data_base64`. The kind is `persistent`, `ephemeral`,
//! `container` or `ttl` (then with `ttl_ms`). Servers do not tell clients which znodes are containers
//! or have a time to live: a dump calls them persistent, while `zk snapshot --json` knows.
#![expect(clippy::disallowed_methods, reason = "reads a file of znodes")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zk_client::{Acl, Created, Handle, Id, Kind, Pending};

use crate::acl::parse_perms;
use crate::args::Existing;
use crate::error::{CliError, Result};
use crate::output::{AclEntry, DataFields, Printer, Values};
use crate::session::Session;
use crate::walk::Walk;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeLine {
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) kind: NodeKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_ms: Option<u64>,
    #[serde(flatten)]
    pub(crate) data: DataFields,
    #[serde(default = "open_acl")]
    pub(crate) acl: Vec<AclEntry>,
}

/// What kind of znode a line stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NodeKind {
    #[default]
    Persistent,
    Ephemeral,
    Container,
    Ttl,
}

/// A line that `load` reads. `zk snapshot --json` prints sessions and a summary as well, which mean
/// nothing here.
#[derive(Deserialize)]
#[serde(untagged)]
enum InputLine {
    Node(NodeLine),
    Session {
        #[serde(rename = "session")]
        _id: i64,
    },
    Summary {
        #[serde(rename = "znodes")]
        _count: u64,
    },
}

fn open_acl() -> Vec<AclEntry> {
    vec![AclEntry::from(&Acl::open())]
}

/// Where servers keep their own things: not dumped unless asked for.
const SYSTEM: &str = "/zookeeper";
/// Znodes that every ensemble has, and keeps as they are.
const BUILT_IN: [&str; 3] = [SYSTEM, "/zookeeper/config", "/zookeeper/quota"];

pub(super) async fn dump(session: &Session, top: &str) -> Result {
    let zk: &Handle = session.zk();
    let system = |path: &str| session.absolute(path) == SYSTEM;
    let mut walk = Walk::new(zk, top, |zk, path| {
        let node = zk.get(path).submit();
        let acl = zk.get_acl(path).submit();
        let children = zk.children(path).submit();
        Box::pin(async move { Ok(((node.await?, acl.await?.0), children.await?.names)) })
    });
    while let Some(visited) = walk.next(|path, _| system(path)).await? {
        let (node, acl) = visited.content;
        if let Some(masked) = acl.iter().find(|acl| is_masked(acl)) {
            return Err(CliError::Data(format!(
                "the ACL of {} hides {}: prove an identity that has the permission a, with --auth",
                visited.path, masked.id.id
            )));
        }
        let line = NodeLine {
            kind: match node.stat.ephemeral_owner {
                0 => NodeKind::Persistent,
                _ => NodeKind::Ephemeral,
            },
            ttl_ms: None,
            data: DataFields::new(&node.data),
            acl: acl.iter().map(AclEntry::from).collect(),
            path: visited.path,
        };
        // The form is JSON whatever was asked for: it is what `load` reads.
        Printer::new(true).print(&line)?;
    }
    Ok(())
}

/// Servers show `user:x` to those who may not change the ACL.
fn is_masked(acl: &Acl) -> bool {
    acl.id.scheme == "digest" && acl.id.id.ends_with(":x")
}

impl crate::output::Answer for NodeLine {
    fn write_text(&self, out: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }
}

/// Creations on the way at most.
const ON_THE_WAY_MAX: usize = 256;

#[derive(Debug, Default)]
struct Counts {
    created: usize,
    overwritten: usize,
    kept: usize,
    ephemeral: usize,
}

/// Creations without a reply, oldest first. The server applies them in order, so a parent is there
/// before its children.
struct Loading<'a> {
    zk: &'a Handle,
    existing: Existing,
    on_the_way: VecDeque<(usize, NodeLine, Pending<Created>)>,
    counts: Counts,
}

pub(super) async fn load(
    session: &Session,
    out: Printer,
    existing: Existing,
    file: Option<&Path>,
) -> Result {
    let name = file.map_or("standard input".into(), |path| path.to_string_lossy());
    let input: Box<dyn BufRead> = match file {
        None => Box::new(io::stdin().lock()),
        Some(path) => Box::new(BufReader::new(File::open(path).map_err(|error| {
            CliError::Data(format!("cannot open {}: {error}", path.display()))
        })?)),
    };
    let mut loading = Loading {
        zk: session.zk(),
        existing,
        on_the_way: VecDeque::new(),
        counts: Counts::default(),
    };
    for (number, line) in (1..).zip(input.lines()) {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let at = |error: String| CliError::Data(format!("{name}, line {number}: {error}"));
        let line: InputLine = serde_json::from_str(&line).map_err(|error| at(error.to_string()))?;
        if let InputLine::Node(node) = line {
            loading
                .submit(number, node)
                .await
                .map_err(|error| at(error.to_string()))?;
        }
    }
    while !loading.on_the_way.is_empty() {
        loading
            .finish()
            .await
            .map_err(|error| CliError::Data(format!("{name}, {error}")))?;
    }
    loading.counts.print(out)
}

impl Loading<'_> {
    async fn submit(&mut self, number: usize, node: NodeLine) -> Result {
        if BUILT_IN.contains(&node.path.as_str()) {
            self.counts.kept += 1;
            return Ok(());
        }
        let data = node.data.bytes().map_err(CliError::Data)?;
        let acl = to_acl(&node.acl)?;
        let create = self.zk.create(node.path.clone()).data(data).acl(acl);
        let create = match (node.kind, node.ttl_ms) {
            (NodeKind::Persistent, _) => create,
            (NodeKind::Container, _) => create.container(),
            (NodeKind::Ttl, Some(ttl_ms)) => create.ttl(Duration::from_millis(ttl_ms)),
            (NodeKind::Ttl, None) => return Err(CliError::Data("ttl without ttl_ms".to_owned())),
            // It would be gone with this session.
            (NodeKind::Ephemeral, _) => {
                self.counts.ephemeral += 1;
                return Ok(());
            }
        };
        if self.on_the_way.len() == ON_THE_WAY_MAX {
            self.finish().await?;
        }
        self.on_the_way.push_back((number, node, create.submit()));
        Ok(())
    }

    /// Waits for the oldest creation.
    async fn finish(&mut self) -> Result {
        let Some((number, node, created)) = self.on_the_way.pop_front() else {
            return Ok(());
        };
        let at = |error: zk_client::Error| {
            CliError::Data(format!("line {number}: {}", CliError::from(error)))
        };
        match created.await {
            Ok(_) => self.counts.created += 1,
            Err(error) if *error.kind() == Kind::NodeExists => match self.existing {
                Existing::Keep => self.counts.kept += 1,
                // The root exists always.
                Existing::Fail if node.path != "/" => return Err(at(error)),
                Existing::Fail | Existing::Overwrite => {
                    let data = node.data.bytes().map_err(CliError::Data)?;
                    self.zk.set(node.path.clone(), data).await.map_err(at)?;
                    let acl = to_acl(&node.acl)?;
                    self.zk.set_acl(node.path, acl).await.map_err(at)?;
                    self.counts.overwritten += 1;
                }
            },
            Err(error) => return Err(at(error)),
        }
        Ok(())
    }
}

fn to_acl(entries: &[AclEntry]) -> Result<Vec<Acl>> {
    let entries = entries.iter().map(|entry| {
        let perms = parse_perms(&entry.perms).map_err(CliError::Data)?;
        Ok(Acl::new(perms, Id::new(&entry.scheme, &entry.id)))
    });
    entries.collect()
}

impl Counts {
    fn print(&self, out: Printer) -> Result {
        Ok(out.print(&Values {
            text: format!(
                "{} created, {} overwritten, {} kept, {} ephemeral ones left out",
                self.created, self.overwritten, self.kept, self.ephemeral
            ),
            json: serde_json::json!({
                "created": self.created,
                "overwritten": self.overwritten,
                "kept": self.kept,
                "ephemeral_left_out": self.ephemeral,
            }),
        })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_needs_no_more_than_a_path() {
        let line: NodeLine = serde_json::from_str(r#"{"path":"/a"}"#).unwrap();
        assert_eq!(line.kind, NodeKind::Persistent);
        assert_eq!(line.data.bytes().unwrap(), b"");
        assert_eq!(to_acl(&line.acl).unwrap(), [Acl::open()]);
    }

    #[test]
    fn a_line_survives_json() {
        let line = NodeLine {
            path: "/a/\u{e9}".to_owned(),
            kind: NodeKind::Ttl,
            ttl_ms: Some(1000),
            data: DataFields::new(b"\xff"),
            acl: open_acl(),
        };
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<NodeLine>(&json).unwrap(), line);
    }
}
