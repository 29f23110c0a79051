//! The one history, and how its transactions must come out.

use bytes::Bytes;
use zk_proto::{
    ErrorCode, OpCode, Reader, Record as _, Request, Response, SessionId, Txn, TxnHeader,
    TxnRecord, Zxid,
};

use super::replies::is_of_session;
use super::{Asked, Checks};
use crate::model::Place;
use crate::schedule::Time;

/// How a request comes out.
pub(crate) type Result = std::result::Result<Response, ErrorCode>;

/// A transaction that was shown to clients.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) zxid: Zxid,
    pub(super) record: Bytes,
    /// The tree's digest after it.
    pub(super) digest: Option<u64>,
}

impl Checks {
    /// Where a transaction stands in the ledger.
    pub(super) fn place_of(&self, zxid: Zxid) -> std::result::Result<usize, usize> {
        self.ledger.binary_search_by_key(&zxid, |entry| entry.zxid)
    }

    /// A server shows a transaction that nobody has shown before.
    pub(super) fn enter(&mut self, now: Time, zxid: Zxid, record: &Bytes) {
        let last = self.newest();
        let follows = zxid == last.next() || zxid.epoch() > last.epoch() && zxid.counter() == 1;
        if !follows {
            let what = format!("transaction {zxid} is shown after {last}, with a hole between");
            self.fail(now, "C1", what);
            return;
        }
        let decoded = TxnRecord::decode(&mut Reader::new(record));
        let Ok(TxnRecord {
            header,
            txn,
            digest,
        }) = decoded
        else {
            self.fail(now, "C3", format!("transaction {zxid} is none"));
            return;
        };
        self.ledger.push(Entry {
            zxid,
            record: record.clone(),
            digest: digest.map(|digest| digest.tree_digest),
        });
        self.coverage.commits += 1;
        if let Err(what) = self.apply(&header, &txn) {
            let check = match txn {
                Txn::CreateSession { .. } | Txn::CloseSession { .. } => "C8",
                _ => "C3",
            };
            self.fail(
                now,
                check,
                format!("transaction {zxid}: {what}, {header:?} {txn:?}"),
            );
        }
        if let Some(what) = self.out_of_order(&header, &txn) {
            self.fail(now, what.0, format!("transaction {zxid}: {}", what.1));
        }
    }

    fn apply(&mut self, header: &TxnHeader, txn: &Txn) -> std::result::Result<(), String> {
        let place = Place {
            zxid: header.zxid,
            time_ms: header.time_ms,
            session: header.session,
            extended_types: self.extended_types,
        };
        match (header.op, txn) {
            (_, &Txn::CreateSession { timeout_ms }) => {
                match self.model.sessions.insert(header.session, timeout_ms) {
                    None => Ok(()),
                    Some(_) => Err("the session is open already".into()),
                }
            }
            (_, Txn::CloseSession { paths }) => self.close_session(header, place, paths.as_deref()),
            (OpCode::DELETE_CONTAINER, Txn::Delete { path }) => {
                self.model.reap(path, place).map_err(Into::into)
            }
            _ => self.write(header, txn, place),
        }
    }

    fn close_session(
        &mut self,
        header: &TxnHeader,
        place: Place,
        paths: Option<&[String]>,
    ) -> std::result::Result<(), String> {
        let session = header.session;
        if !self.model.sessions.contains_key(&session) {
            return Err("the session is not open".into());
        }
        let owned = self.model.close_session(place);
        let mut listed = paths.unwrap_or_default().to_vec();
        listed.sort_unstable();
        if self.close_session_paths && listed != owned {
            return Err(format!("the session owns {owned:?}"));
        }
        if header.cxid.0 == 0 {
            self.coverage.sessions_expired += 1;
            return Ok(());
        }
        match self.asked.get_mut(&(session, header.cxid)) {
            Some(asked) if asked.request == Request::CloseSession => {
                asked.done = Some((header.zxid, Ok(Response::Empty)));
                Ok(())
            }
            Some(_) | None => Err("nobody asked for it".into()),
        }
    }

    fn write(
        &mut self,
        header: &TxnHeader,
        txn: &Txn,
        place: Place,
    ) -> std::result::Result<(), String> {
        let key = (header.session, header.cxid);
        let Some(asked) = self.asked.get_mut(&key) else {
            return Err("nobody asked for it".into());
        };
        if let Some((zxid, _)) = asked.done {
            return Err(format!("it was done already, as {zxid}"));
        }
        let refusal = match *txn {
            Txn::Error(code) => Some(code),
            _ => None,
        };
        // The model does not know where clients are.
        let result = match refusal {
            Some(ErrorCode::SESSION_MOVED) => {
                self.coverage.moved += 1;
                Err(ErrorCode::SESSION_MOVED)
            }
            _ if asked.request == Request::CloseSession => {
                match self.model.sessions.contains_key(&header.session) {
                    true => Ok(Response::Empty),
                    false => Err(ErrorCode::SESSION_EXPIRED),
                }
            }
            _ => self.model.write(&asked.request, place),
        };
        if result.clone().err() != refusal {
            return Err(format!("{:?} has to come out as {result:?}", asked.request));
        }
        if let Ok(response) = &result {
            is_made_of(&asked.request, response, txn)?;
        }
        asked.done = Some((header.zxid, result));
        Ok(())
    }

    /// Real time, and the order of the session.
    fn out_of_order(&mut self, header: &TxnHeader, txn: &Txn) -> Option<(&'static str, String)> {
        // What comes through a server that the session has left may come late, and is refused.
        let is_refused = matches!(txn, Txn::Error(code) if is_of_session(*code));
        if header.cxid.0 == 0 || is_refused {
            return None;
        }
        let Asked { floor, .. } = self.asked.get(&(header.session, header.cxid))?;
        if header.zxid <= *floor {
            let what = format!("it was asked for after the answer to {floor}");
            return Some(("C2", what));
        }
        let newest = self.newest_xid.entry(header.session).or_default();
        if header.cxid <= *newest {
            let what = format!(
                "xid {:?} comes after {newest:?} of its session",
                header.cxid
            );
            return Some(("C5", what));
        }
        *newest = header.cxid;
        None
    }

    /// Whether the session is open as far as everything shown says.
    pub(crate) fn is_open(&self, session: SessionId) -> bool {
        self.model.sessions.contains_key(&session)
    }
}

/// Whether the transaction says what the request and its answer say.
fn is_made_of(
    request: &Request,
    response: &Response,
    txn: &Txn,
) -> std::result::Result<(), String> {
    let is_it = match (request, response, txn) {
        (
            Request::Create(_),
            Response::Path(path) | Response::PathAndStat(path, _),
            Txn::Create(zk_proto::CreateTxn { path: made, .. })
            | Txn::CreateContainer { path: made, .. }
            | Txn::CreateTtl { path: made, .. },
        ) => path == made,
        (Request::Delete { path, .. }, _, Txn::Delete { path: made }) => path == made,
        (
            Request::SetData { path, data, .. },
            Response::Stat(stat),
            Txn::SetData {
                path: made,
                data: made_data,
                version,
            },
        ) => path == made && data == made_data && stat.version == *version,
        (
            Request::SetAcl { path, acl, .. },
            Response::Stat(stat),
            Txn::SetAcl {
                path: made,
                acl: made_acl,
                version,
            },
        ) => path == made && acl == made_acl && stat.aversion == *version,
        (Request::Multi(ops), _, Txn::Multi(parts)) => ops.len() == parts.len(),
        _ => false,
    };
    match is_it {
        true => Ok(()),
        false => Err(format!("{request:?} became something else")),
    }
}
