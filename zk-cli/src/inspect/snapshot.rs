//! Snapshots.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use zk_proto::{Acl, EphemeralOwner, SnapshotNode};
use zk_storage::{
    RealFileSystem, RestoreError, SnapshotPart, SnapshotReadError, SnapshotTrailer, read_snapshot,
};

use super::damaged;
use crate::args::SnapshotArgs;
use crate::error::CliError;
use crate::output::{AclEntry, Answer, DataFields, Encoding, Printer, StatFields, Values};
use crate::verbs::dump::{NodeKind, NodeLine};

/// Prints every session and znode and says whether all of the file can be read.
pub(crate) fn print(args: &SnapshotArgs, out: Printer) -> crate::error::Result {
    let file = &args.file;
    let mut contents = Contents {
        args,
        out,
        acls: BTreeMap::from([(OPEN_ACL, vec![AclEntry::from(&Acl::open())])]),
        summary: Summary::default(),
    };
    let trailer = read_snapshot(&RealFileSystem, file, |_, part| contents.show(part))
        .map_err(|error| explain(file, error))?;
    contents.summary.end(trailer);
    Ok(out.print(&contents.summary)?)
}

fn explain(file: &Path, error: SnapshotReadError) -> CliError {
    match error {
        SnapshotReadError::Refused { source, offset } => match source.downcast::<io::Error>() {
            // Not the file, but where it is printed to.
            Ok(error) => (*error).into(),
            Err(source) => damaged(file, format!("damaged at offset {offset}: {source}")),
        },
        SnapshotReadError::Invalid { offset, what } => {
            damaged(file, format!("damaged at offset {offset}: {what}"))
        }
        error => damaged(file, error),
    }
}

/// The number of the ACL that every snapshot leaves out.
const OPEN_ACL: i64 = -1;

struct Contents<'a> {
    args: &'a SnapshotArgs,
    out: Printer,
    acls: BTreeMap<i64, Vec<AclEntry>>,
    summary: Summary,
}

impl Contents<'_> {
    fn show(&mut self, part: SnapshotPart<'_>) -> Result<(), RestoreError> {
        match part {
            SnapshotPart::Session(session) => {
                self.summary.sessions += 1;
                if self.args.quiet {
                    return Ok(());
                }
                let (id, timeout_ms) = (session.id, session.timeout_ms);
                Ok(self.out.print(&Values {
                    text: format!("session {id} timeout {timeout_ms} ms"),
                    json: serde_json::json!({ "session": id.0, "timeout_ms": timeout_ms }),
                })?)
            }
            SnapshotPart::Acl(id, acl) => {
                self.summary.acls += 1;
                self.acls
                    .insert(id, acl.iter().map(AclEntry::from).collect());
                Ok(())
            }
            SnapshotPart::Node(node) => self.show_node(&node),
        }
    }

    fn show_node(&mut self, node: &SnapshotNode<'_>) -> Result<(), RestoreError> {
        self.summary.znodes += 1;
        self.summary.data_bytes += node.data.map_or(0, |data| data.len() as u64);
        let Some(acl) = self.acls.get(&node.acl) else {
            let path = node.path;
            return Err(format!("{path:?} has the ACL {}, which is none", node.acl).into());
        };
        if self.args.quiet {
            return Ok(());
        }
        let kind = EphemeralOwner::from_raw(node.stat.ephemeral_owner, true);
        let ttl_ms = match kind {
            EphemeralOwner::Ttl(ttl_ms) => u64::try_from(ttl_ms).ok(),
            _ => None,
        };
        Ok(self.out.print(&NodeEntry {
            node: NodeLine {
                path: if node.path.is_empty() { "/" } else { node.path }.to_owned(),
                kind: match kind {
                    EphemeralOwner::Persistent => NodeKind::Persistent,
                    EphemeralOwner::Container => NodeKind::Container,
                    EphemeralOwner::Ttl(_) => NodeKind::Ttl,
                    EphemeralOwner::Session(_) => NodeKind::Ephemeral,
                },
                ttl_ms,
                data: DataFields::new(node.data.unwrap_or_default()),
                acl: acl.clone(),
            },
            stat: StatFields::of_snapshot(node.stat, node.data),
            shown: self
                .args
                .data
                .then(|| node.data.unwrap_or_default().to_vec()),
        })?)
    }
}

/// One znode: a line that `load` reads, and its bookkeeping.
#[derive(Debug, Serialize)]
struct NodeEntry {
    #[serde(flatten)]
    node: NodeLine,
    stat: StatFields,
    #[serde(skip)]
    shown: Option<Vec<u8>>,
}

impl Answer for NodeEntry {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "----\n{}", self.node.path)?;
        self.stat.write_text(out)?;
        for entry in &self.node.acl {
            writeln!(out, "acl = {}:{}:{}", entry.scheme, entry.id, entry.perms)?;
        }
        match &self.shown {
            Some(data) => {
                write!(out, "data = ")?;
                Encoding::Base64.write(data, out)
            }
            None => Ok(()),
        }
    }
}

/// What a snapshot holds.
#[derive(Debug, Default, Serialize)]
struct Summary {
    znodes: u64,
    data_bytes: u64,
    sessions: u64,
    acls: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_zxid: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_zxid: Option<i64>,
}

impl Summary {
    fn end(&mut self, trailer: SnapshotTrailer) {
        if let Some((zxid, digest)) = trailer.digest {
            self.digest_zxid = Some(zxid.0);
            self.digest = Some(digest.tree_digest);
        }
        self.last_zxid = trailer.last_zxid.map(|zxid| zxid.0);
    }
}

impl Answer for Summary {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(
            out,
            "{} znodes with {} bytes of data, {} sessions, {} ACLs",
            self.znodes, self.data_bytes, self.sessions, self.acls
        )?;
        if let (Some(digest), Some(zxid)) = (self.digest, self.digest_zxid) {
            write!(out, ", digest {digest} at zxid {zxid:#x}")?;
        }
        if let Some(zxid) = self.last_zxid {
            write!(out, ", last zxid {zxid:#x}")?;
        }
        writeln!(out)
    }
}
