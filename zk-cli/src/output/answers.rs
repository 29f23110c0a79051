//! What verbs answer.

use std::io::{self, Write};

use serde::Serialize;
use zk_client::WatchEvent;
use zk_proto::{Acl, Stat, StatPersisted, Zxid};

use super::date::format_date;
use super::{Answer, DataFields, Encoding};
use crate::acl::format_perms;

/// A Stat in JSON, with the names that Apache ZooKeeper's Stat has. Snapshots keep no number of
/// children, and their `cversion` counts creations of children alone.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatFields {
    czxid: i64,
    mzxid: i64,
    ctime: i64,
    mtime: i64,
    version: i32,
    cversion: i32,
    aversion: i32,
    ephemeral_owner: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_children: Option<i32>,
    pzxid: i64,
}

/// Fields of a Stat, as clients see it or as snapshots keep it.
macro_rules! stat_fields {
    ($stat:ident, $data_length:expr, $num_children:expr) => {
        StatFields {
            czxid: $stat.czxid.0,
            mzxid: $stat.mzxid.0,
            ctime: $stat.ctime,
            mtime: $stat.mtime,
            version: $stat.version,
            cversion: $stat.cversion,
            aversion: $stat.aversion,
            ephemeral_owner: $stat.ephemeral_owner,
            data_length: $data_length,
            num_children: $num_children,
            pzxid: $stat.pzxid.0,
        }
    };
}

impl From<Stat> for StatFields {
    fn from(stat: Stat) -> Self {
        stat_fields!(stat, Some(stat.data_length), Some(stat.num_children))
    }
}

impl StatFields {
    /// Of a znode in a snapshot, with data or without.
    pub(crate) fn of_snapshot(stat: StatPersisted, data: Option<&[u8]>) -> Self {
        let length = data.map(|data| i32::try_from(data.len()).unwrap_or(i32::MAX));
        stat_fields!(stat, length, None)
    }

    /// The lines of zkCli.
    pub(crate) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "cZxid = {:#x}", self.czxid)?;
        writeln!(out, "ctime = {}", format_date(self.ctime))?;
        writeln!(out, "mZxid = {:#x}", self.mzxid)?;
        writeln!(out, "mtime = {}", format_date(self.mtime))?;
        writeln!(out, "pZxid = {:#x}", self.pzxid)?;
        writeln!(out, "cversion = {}", self.cversion)?;
        writeln!(out, "dataVersion = {}", self.version)?;
        writeln!(out, "aclVersion = {}", self.aversion)?;
        writeln!(out, "ephemeralOwner = {:#x}", self.ephemeral_owner)?;
        match self.data_length {
            Some(length) => writeln!(out, "dataLength = {length}")?,
            None => writeln!(out, "no data")?,
        }
        match self.num_children {
            Some(number) => writeln!(out, "numChildren = {number}"),
            None => Ok(()),
        }
    }
}

fn write_stat(stat: Option<&StatFields>, out: &mut dyn Write) -> io::Result<()> {
    stat.map_or(Ok(()), |stat| stat.write_text(out))
}

/// A znode's Stat.
#[derive(Debug, Serialize)]
pub(crate) struct StatAnswer {
    pub(crate) path: String,
    pub(crate) stat: StatFields,
}

impl Answer for StatAnswer {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.stat.write_text(out)
    }
}

/// A znode's data.
#[derive(Debug, Serialize)]
pub(crate) struct NodeAnswer {
    pub(crate) path: String,
    #[serde(flatten)]
    pub(crate) fields: DataFields,
    #[serde(skip)]
    pub(crate) data: Vec<u8>,
    #[serde(skip)]
    pub(crate) encoding: Encoding,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stat: Option<StatFields>,
}

impl NodeAnswer {
    pub(crate) fn new(path: String, data: &[u8], encoding: Encoding, stat: Option<Stat>) -> Self {
        Self {
            path,
            fields: DataFields::new(data),
            data: data.to_vec(),
            encoding,
            stat: stat.map(StatFields::from),
        }
    }
}

impl Answer for NodeAnswer {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.encoding.write(&self.data, out)?;
        write_stat(self.stat.as_ref(), out)
    }
}

/// A znode's children, sorted.
#[derive(Debug, Serialize)]
pub(crate) struct ChildrenAnswer {
    path: String,
    children: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stat: Option<StatFields>,
}

impl ChildrenAnswer {
    pub(crate) fn new(path: String, mut children: Vec<String>, stat: Option<Stat>) -> Self {
        children.sort_unstable();
        Self {
            path,
            children,
            stat: stat.map(StatFields::from),
        }
    }
}

impl Answer for ChildrenAnswer {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "[{}]", self.children.join(", "))?;
        write_stat(self.stat.as_ref(), out)
    }
}

/// An ACL.
#[derive(Debug, Serialize)]
pub(crate) struct AclAnswer {
    path: String,
    acl: Vec<AclEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stat: Option<StatFields>,
}

/// One entry of an ACL in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub(crate) struct AclEntry {
    pub(crate) scheme: String,
    pub(crate) id: String,
    pub(crate) perms: String,
}

impl From<&Acl> for AclEntry {
    fn from(acl: &Acl) -> Self {
        Self {
            scheme: acl.id.scheme.clone(),
            id: acl.id.id.clone(),
            perms: format_perms(acl.perms),
        }
    }
}

impl AclAnswer {
    pub(crate) fn new(path: String, acl: &[Acl], stat: Option<Stat>) -> Self {
        Self {
            path,
            acl: acl.iter().map(AclEntry::from).collect(),
            stat: stat.map(StatFields::from),
        }
    }
}

impl Answer for AclAnswer {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for entry in &self.acl {
            writeln!(out, "'{},'{}", entry.scheme, entry.id)?;
            writeln!(out, ": {}", entry.perms)?;
        }
        write_stat(self.stat.as_ref(), out)
    }
}

/// A znode that was created.
#[derive(Debug, Serialize)]
pub(crate) struct CreatedAnswer {
    pub(crate) created: String,
}

impl Answer for CreatedAnswer {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "Created {}", self.created)
    }
}

/// A number under a name.
#[derive(Debug, Serialize)]
pub(crate) struct NumberAnswer {
    pub(crate) path: String,
    pub(crate) count: usize,
}

impl Answer for NumberAnswer {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.count)
    }
}

/// Text that is its own answer.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) message: String,
}

impl Answer for Line {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.message)
    }
}

/// Values whose text and JSON differ.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Values {
    pub(crate) json: serde_json::Value,
    #[serde(skip)]
    pub(crate) text: String,
}

impl Answer for Values {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.text)
    }
}

/// An event of a watch.
#[derive(Debug, Serialize)]
pub(crate) struct EventAnswer {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zxid: Option<i64>,
    /// Why events may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

impl EventAnswer {
    pub(crate) fn new(event: &WatchEvent) -> Self {
        let (name, zxid) = match event {
            WatchEvent::Created { zxid, .. } => ("NodeCreated", *zxid),
            WatchEvent::Changed { zxid, .. } => ("NodeDataChanged", *zxid),
            WatchEvent::Deleted { zxid, .. } => ("NodeDeleted", *zxid),
            WatchEvent::Children { zxid, .. } => ("NodeChildrenChanged", *zxid),
            WatchEvent::Gap { since, .. } => ("Gap", Some(*since)),
            _ => ("Unknown", None),
        };
        let cause = match event {
            WatchEvent::Gap { cause, .. } => Some(format!("{cause:?}")),
            _ => None,
        };
        Self {
            event: name,
            path: event.path().map(str::to_owned),
            zxid: zxid.map(|Zxid(zxid)| zxid),
            cause,
        }
    }
}

impl Answer for EventAnswer {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        // Servers before 3.9 do not say the transaction; clients of 3.9 then print -1.
        let zxid = self.zxid.unwrap_or(-1);
        match (&self.path, &self.cause) {
            (_, Some(cause)) => writeln!(
                out,
                "Gap: events after zxid {zxid:#x} may be missing ({cause}); read again"
            ),
            (path, None) => writeln!(
                out,
                "WatchedEvent state:SyncConnected type:{} path:{} zxid: {zxid}",
                self.event,
                path.as_deref().unwrap_or("")
            ),
        }
    }
}
