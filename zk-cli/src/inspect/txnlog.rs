//! Transaction logs.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};
use zk_proto::{Acl, CreateTxn, OpCode, Txn, TxnRecord};
use zk_storage::{RealFileSystem, TxnLogItem, TxnLogReader};

use super::damaged;
use crate::args::TxnlogArgs;
use crate::error::Result;
use crate::output::{AclEntry, Answer, DataFields, Printer, format_date};

/// Prints every transaction and says whether all of the file can be read.
pub(crate) fn print(args: &TxnlogArgs, out: Printer) -> Result {
    let file = &args.file;
    let reader = TxnLogReader::open(&RealFileSystem, file).map_err(|error| damaged(file, error))?;
    let mut summary = Summary::default();
    let mut damages = Vec::new();
    for item in reader {
        match item.map_err(|error| damaged(file, error))? {
            TxnLogItem::Header(_) => {}
            TxnLogItem::Txn {
                offset,
                record: Ok(record),
                ..
            } => {
                summary.count(&record);
                if !args.quiet {
                    out.print(&TxnLine::new(offset, &record))?;
                }
            }
            TxnLogItem::Txn {
                offset,
                record: Err(error),
                ..
            } => damages.push(format!("offset {offset}: {error}")),
            TxnLogItem::Damage {
                offset,
                bytes,
                what,
                is_tear,
            } => {
                let cause = match is_tear {
                    true => "; a crash can leave this, and the server cuts it off",
                    false => "",
                };
                damages.push(format!("offset {offset}: {what}, {bytes} bytes{cause}"));
            }
            TxnLogItem::End { offset, zeros } => {
                summary.bytes = offset;
                summary.zeros = zeros;
            }
        }
    }
    out.print(&summary)?;
    match damages.as_slice() {
        [] => Ok(()),
        damages => Err(damaged(file, format!("damaged at {}", damages.join("; ")))),
    }
}

/// What a log holds.
#[derive(Debug, Default, Serialize)]
struct Summary {
    transactions: u64,
    first_zxid: Option<i64>,
    last_zxid: Option<i64>,
    bytes: u64,
    zeros: u64,
}

impl Summary {
    fn count(&mut self, record: &TxnRecord) {
        let zxid = record.header.zxid.0;
        self.transactions += 1;
        self.first_zxid.get_or_insert(zxid);
        self.last_zxid = Some(zxid);
    }
}

impl Answer for Summary {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{} transactions", self.transactions)?;
        if let (Some(first), Some(last)) = (self.first_zxid, self.last_zxid) {
            write!(out, ", zxid {first:#x} to {last:#x}")?;
        }
        writeln!(out, ", {} bytes and {} zeros", self.bytes, self.zeros)
    }
}

/// One transaction.
#[derive(Debug, Serialize)]
struct TxnLine {
    offset: u64,
    zxid: i64,
    time: i64,
    session: i64,
    cxid: i32,
    op: &'static str,
    txn: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<u64>,
    #[serde(skip)]
    text: String,
}

impl TxnLine {
    fn new(offset: u64, record: &TxnRecord) -> Self {
        let header = &record.header;
        let (txn, text) = describe(header.op, &record.txn);
        Self {
            offset,
            zxid: header.zxid.0,
            time: header.time_ms,
            session: header.session.0,
            cxid: header.cxid.0,
            op: header.op.name(),
            txn,
            digest: record.digest.map(|digest| digest.tree_digest),
            text,
        }
    }
}

impl Answer for TxnLine {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(
            out,
            "{} session {:#x} cxid {:#x} zxid {:#x} {}",
            format_date(self.time),
            self.session,
            self.cxid,
            self.zxid,
            self.text
        )?;
        match self.digest {
            Some(digest) => writeln!(out, " digest {digest}"),
            None => writeln!(out),
        }
    }
}

/// A JSON object with one field more.
fn with(mut json: Value, field: &str, value: impl Into<Value>) -> Value {
    if let Value::Object(fields) = &mut json {
        fields.insert(field.to_owned(), value.into());
    }
    json
}

/// A transaction as JSON and as text.
fn describe(op: OpCode, txn: &Txn) -> (Value, String) {
    let name = op.name();
    match txn {
        Txn::Create(CreateTxn {
            path,
            data,
            acl,
            ephemeral,
            parent_cversion,
        }) => {
            let json = created(path, data.as_deref(), acl, *parent_cversion);
            let json = with(json, "ephemeral", *ephemeral);
            let kind = if *ephemeral { " ephemeral" } else { "" };
            (
                json,
                format!("{name} {path:?} {}{kind}", length(data.as_deref())),
            )
        }
        Txn::CreateContainer {
            path,
            data,
            acl,
            parent_cversion,
        } => (
            created(path, data.as_deref(), acl, *parent_cversion),
            format!("{name} {path:?} {}", length(data.as_deref())),
        ),
        Txn::CreateTtl {
            path,
            data,
            acl,
            parent_cversion,
            ttl_ms,
        } => {
            let json = created(path, data.as_deref(), acl, *parent_cversion);
            let json = with(json, "ttl_ms", *ttl_ms);
            let text = format!(
                "{name} {path:?} {} ttl {ttl_ms} ms",
                length(data.as_deref())
            );
            (json, text)
        }
        Txn::Delete { path } => (json!({ "path": path }), format!("{name} {path:?}")),
        Txn::SetData {
            path,
            data,
            version,
        } => (
            with_data(json!({ "path": path, "version": version }), data.as_deref()),
            format!(
                "{name} {path:?} {} version {version}",
                length(data.as_deref())
            ),
        ),
        Txn::SetAcl { path, acl, version } => (
            json!({ "path": path, "acl": entries(acl), "version": version }),
            format!("{name} {path:?} {} entries, version {version}", acl.len()),
        ),
        Txn::Check { path, version } => (
            json!({ "path": path, "version": version }),
            format!("{name} {path:?} version {version}"),
        ),
        Txn::Multi(parts) => {
            let parts = parts.iter().map(|(op, part)| {
                let (json, text) = describe(*op, part);
                (json!({ "op": op.name(), "txn": json }), text)
            });
            let (json, text): (Vec<Value>, Vec<String>) = parts.unzip();
            (Value::Array(json), format!("{name} [{}]", text.join(", ")))
        }
        Txn::CreateSession { timeout_ms } => (
            json!({ "timeout_ms": timeout_ms }),
            format!("{name} timeout {timeout_ms} ms"),
        ),
        Txn::CloseSession { paths } => {
            let deleted = match paths {
                Some(paths) => format!(" {paths:?}"),
                None => String::new(),
            };
            (json!({ "paths": paths }), format!("{name}{deleted}"))
        }
        Txn::Error(code) => (json!({ "code": code.name() }), format!("{name} {code}")),
    }
}

fn created(path: &str, data: Option<&[u8]>, acl: &[Acl], parent_cversion: i32) -> Value {
    let json = json!({ "path": path, "acl": entries(acl), "parent_cversion": parent_cversion });
    with_data(json, data)
}

fn entries(acl: &[Acl]) -> Vec<AclEntry> {
    acl.iter().map(AclEntry::from).collect()
}

/// Null data has no field.
fn with_data(mut json: Value, data: Option<&[u8]>) -> Value {
    if let (Some(data), Some(fields)) = (data, json.as_object_mut())
        && let Ok(Value::Object(data)) = serde_json::to_value(DataFields::new(data))
    {
        fields.extend(data);
    }
    json
}

fn length(data: Option<&[u8]>) -> String {
    match data {
        None => "null".to_owned(),
        Some(data) => format!("{} bytes", data.len()),
    }
}
