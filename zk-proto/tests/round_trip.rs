//! `decode(encode(value)) == value` for every record, and no bytes make a decoder panic.

#![expect(clippy::unwrap_used, reason = "a test")]

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use zk_proto::{
    Acl, AddWatch, Auth, ConnectRequest, ConnectResponse, Create, CreateTxn, DecodeError,
    ErrorCode, EventType, Id, KeeperState, LogEntry, LogHeader, MultiOp, MultiResult, OpCode,
    Perms, ReadOp, Reader, Reconfig, Record, ReplyHeader, Request, RequestHeader, Response,
    SessionId, SetWatches, SnapshotHeader, SnapshotNode, SnapshotSession, Stat, StatPersisted, Txn,
    TxnDigest, TxnHeader, TxnRecord, WatcherEvent, Xid, Zxid,
};

const MULTI_OPS_MAX: usize = 64;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z/0-9]{0,12}", 1 => ".{0,8}"]
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    option::of(vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..4)
}

fn acls() -> impl Strategy<Value = Vec<Acl>> {
    let id = (text(), text()).prop_map(|(scheme, id)| Id { scheme, id });
    vec(
        (any::<i32>(), id).prop_map(|(perms, id)| Acl::new(Perms(perms), id)),
        0..4,
    )
}

prop_compose! {
    fn persisted()(
        a in any::<(i64, i64, i64, i64)>(), b in any::<(i32, i32, i32)>(), c in any::<(i64, i64)>()
    ) -> StatPersisted {
        StatPersisted {
            czxid: Zxid(a.0), mzxid: Zxid(a.1), ctime: a.2, mtime: a.3,
            version: b.0, cversion: b.1, aversion: b.2, ephemeral_owner: c.0, pzxid: Zxid(c.1),
        }
    }
}

prop_compose! {
    fn stat()(p in persisted(), data_length in any::<i32>(), num_children in any::<i32>()) -> Stat {
        Stat {
            czxid: p.czxid, mzxid: p.mzxid, ctime: p.ctime, mtime: p.mtime, version: p.version,
            cversion: p.cversion, aversion: p.aversion, ephemeral_owner: p.ephemeral_owner,
            data_length, num_children, pzxid: p.pzxid,
        }
    }
}

fn create() -> impl Strategy<Value = Create> {
    let op = prop_oneof![
        Just(OpCode::CREATE),
        Just(OpCode::CREATE2),
        Just(OpCode::CREATE_CONTAINER),
        Just(OpCode::CREATE_TTL)
    ];
    (op, text(), data(), acls(), any::<i32>(), any::<i64>()).prop_map(
        |(op, path, data, acl, flags, ttl)| {
            let ttl_ms = if op == OpCode::CREATE_TTL { ttl } else { 0 };
            Create {
                op,
                path,
                data,
                acl,
                flags,
                ttl_ms,
            }
        },
    )
}

fn multi_op() -> impl Strategy<Value = MultiOp> {
    prop_oneof![
        create().prop_map(MultiOp::Create),
        (text(), any::<i32>()).prop_map(|(path, version)| MultiOp::Delete { path, version }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| MultiOp::SetData {
            path,
            data,
            version
        }),
        (text(), any::<i32>()).prop_map(|(path, version)| MultiOp::Check { path, version }),
    ]
}

fn read_op() -> impl Strategy<Value = ReadOp> {
    prop_oneof![
        (text(), any::<bool>()).prop_map(|(path, watch)| ReadOp::GetData { path, watch }),
        (text(), any::<bool>()).prop_map(|(path, watch)| ReadOp::GetChildren { path, watch }),
    ]
}

fn set_watches() -> impl Strategy<Value = SetWatches> {
    (
        any::<i64>(),
        texts(),
        texts(),
        texts(),
        option::of((texts(), texts())),
    )
        .prop_map(|(zxid, data, exist, child, persistent)| SetWatches {
            relative_zxid: Zxid(zxid),
            data,
            exist,
            child,
            persistent,
        })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        create().prop_map(Request::Create),
        (text(), any::<i32>()).prop_map(|(path, version)| Request::Delete { path, version }),
        (text(), any::<bool>()).prop_map(|(path, watch)| Request::Exists { path, watch }),
        (text(), any::<bool>()).prop_map(|(path, watch)| Request::GetData { path, watch }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| Request::SetData {
            path,
            data,
            version
        }),
        text().prop_map(|path| Request::GetAcl { path }),
        (text(), acls(), any::<i32>()).prop_map(|(path, acl, version)| Request::SetAcl {
            path,
            acl,
            version
        }),
        (text(), any::<bool>()).prop_map(|(path, watch)| Request::GetChildren { path, watch }),
        text().prop_map(|path| Request::Sync { path }),
        Just(Request::Ping),
        (text(), any::<bool>()).prop_map(|(path, watch)| Request::GetChildren2 { path, watch }),
        vec(multi_op(), 0..6).prop_map(Request::Multi),
        (
            option::of(text()),
            option::of(text()),
            option::of(text()),
            any::<i64>()
        )
            .prop_map(|(joining, leaving, new_members, config)| Request::Reconfig(
                Reconfig {
                    joining,
                    leaving,
                    new_members,
                    current_config: Zxid(config),
                }
            )),
        (text(), any::<i32>()).prop_map(|(path, kind)| Request::CheckWatches { path, kind }),
        (text(), any::<i32>()).prop_map(|(path, kind)| Request::RemoveWatches { path, kind }),
        vec(read_op(), 0..6).prop_map(Request::MultiRead),
        (any::<i32>(), text(), vec(any::<u8>(), 0..20)).prop_map(|(kind, scheme, auth)| {
            Request::Auth(Auth {
                kind,
                scheme,
                auth: auth.into(),
            })
        }),
        set_watches().prop_map(Request::SetWatches),
        data().prop_map(|token| Request::Sasl { token }),
        text().prop_map(|prefix| Request::GetEphemerals { prefix }),
        text().prop_map(|path| Request::GetAllChildrenNumber { path }),
        (text(), any::<i32>()).prop_map(|(path, mode)| Request::AddWatch(AddWatch { path, mode })),
        Just(Request::WhoAmI),
        Just(Request::CloseSession),
    ]
}

/// Responses with an operation that they answer.
fn response() -> impl Strategy<Value = (OpCode, Response)> {
    let names = || vec(text().prop_map(smol_str::SmolStr::from), 0..5);
    let result = prop_oneof![
        text().prop_map(MultiResult::Create),
        (text(), stat()).prop_map(|(path, stat)| MultiResult::Create2(path, stat)),
        Just(MultiResult::Delete),
        stat().prop_map(MultiResult::SetData),
        Just(MultiResult::Check),
        (data(), stat()).prop_map(|(data, stat)| MultiResult::GetData(data, stat)),
        names().prop_map(MultiResult::GetChildren),
        any::<i32>().prop_map(|code| MultiResult::Error(ErrorCode(code))),
    ];
    prop_oneof![
        Just((OpCode::DELETE, Response::Empty)),
        text().prop_map(|path| (OpCode::CREATE, Response::Path(path))),
        (text(), stat())
            .prop_map(|(path, stat)| { (OpCode::CREATE2, Response::PathAndStat(path, stat)) }),
        stat().prop_map(|stat| (OpCode::EXISTS, Response::Stat(stat))),
        (data(), stat()).prop_map(|(data, stat)| (OpCode::GET_DATA, Response::Data(data, stat))),
        (acls(), stat()).prop_map(|(acl, stat)| (OpCode::GET_ACL, Response::Acl(acl, stat))),
        names().prop_map(|names| (OpCode::GET_CHILDREN, Response::Children(names))),
        (names(), stat()).prop_map(|(names, stat)| {
            (
                OpCode::GET_CHILDREN2,
                Response::ChildrenAndStat(names, stat),
            )
        }),
        vec(result, 0..6).prop_map(|results| (OpCode::MULTI, Response::Multi(results))),
        texts().prop_map(|paths| (OpCode::GET_EPHEMERALS, Response::Ephemerals(paths))),
        any::<i32>().prop_map(|number| (OpCode::GET_ALL_CHILDREN_NUMBER, Response::Number(number))),
        any::<i32>().prop_map(|code| (OpCode::ADD_WATCH, Response::Code(ErrorCode(code)))),
        vec(
            (text(), text()).prop_map(|(scheme, id)| Id { scheme, id }),
            0..4
        )
        .prop_map(|ids| (OpCode::WHO_AM_I, Response::Identities(ids))),
        data().prop_map(|token| (OpCode::SASL, Response::Token(token))),
    ]
}

/// Transactions that are no multi, with their kind.
fn txn_part() -> impl Strategy<Value = (OpCode, Txn)> {
    prop_oneof![
        (text(), data(), acls(), any::<bool>(), any::<i32>()).prop_map(
            |(path, data, acl, ephemeral, parent_cversion)| (
                OpCode::CREATE,
                Txn::Create(CreateTxn {
                    path,
                    data,
                    acl,
                    ephemeral,
                    parent_cversion
                })
            )
        ),
        (text(), data(), acls(), any::<i32>()).prop_map(|(path, data, acl, parent_cversion)| (
            OpCode::CREATE_CONTAINER,
            Txn::CreateContainer {
                path,
                data,
                acl,
                parent_cversion
            }
        )),
        (text(), data(), acls(), any::<i32>(), any::<i64>()).prop_map(
            |(path, data, acl, parent_cversion, ttl_ms)| (
                OpCode::CREATE_TTL,
                Txn::CreateTtl {
                    path,
                    data,
                    acl,
                    parent_cversion,
                    ttl_ms
                }
            )
        ),
        text().prop_map(|path| (OpCode::DELETE, Txn::Delete { path })),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| {
            (
                OpCode::SET_DATA,
                Txn::SetData {
                    path,
                    data,
                    version,
                },
            )
        }),
        (text(), acls(), any::<i32>()).prop_map(|(path, acl, version)| {
            (OpCode::SET_ACL, Txn::SetAcl { path, acl, version })
        }),
        (text(), any::<i32>())
            .prop_map(|(path, version)| (OpCode::CHECK, Txn::Check { path, version })),
        any::<i32>()
            .prop_map(|timeout_ms| (OpCode::CREATE_SESSION, Txn::CreateSession { timeout_ms })),
        option::of(texts()).prop_map(|paths| (OpCode::CLOSE_SESSION, Txn::CloseSession { paths })),
        any::<i32>().prop_map(|code| (OpCode::ERROR, Txn::Error(ErrorCode(code)))),
    ]
}

fn txn() -> impl Strategy<Value = (OpCode, Txn)> {
    prop_oneof![
        6 => txn_part(),
        1 => vec(txn_part(), 0..5).prop_map(|parts| (OpCode::MULTI, Txn::Multi(parts))),
    ]
}

prop_compose! {
    fn txn_record()(
        (op, txn) in txn(), ids in any::<(i64, i32, i64, i64)>(), digest in any::<u64>(),
    ) -> TxnRecord {
        TxnRecord {
            header: TxnHeader {
                session: SessionId(ids.0), cxid: Xid(ids.1), zxid: Zxid(ids.2), time_ms: ids.3, op,
            },
            txn,
            digest: Some(TxnDigest { version: TxnDigest::VERSION, tree_digest: digest }),
        }
    }
}

fn same<R: Record + PartialEq + core::fmt::Debug>(value: &R) {
    let bytes = value.to_bytes();
    let mut reader = Reader::new(&bytes);
    assert_eq!(&R::decode(&mut reader).unwrap(), value);
    assert_eq!(reader.remaining(), 0);
    no_cut_panics::<R>(&bytes);
}

/// A cut record is an error, or a shorter record; never a panic.
fn no_cut_panics<R: Record>(bytes: &Bytes) {
    for cut in 0..bytes.len() {
        let _ = R::decode(&mut Reader::new(&bytes.slice(..cut)));
    }
}

proptest! {
    #[test]
    fn requests(request in request()) {
        let mut out = BytesMut::new();
        request.encode(&mut out);
        let bytes = out.freeze();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(Request::decode(request.op(), &mut reader, MULTI_OPS_MAX).unwrap(), request.clone());
        prop_assert_eq!(reader.remaining(), 0);
        for cut in 0..bytes.len() {
            let cut = bytes.slice(..cut);
            prop_assert!(Request::decode(request.op(), &mut Reader::new(&cut), MULTI_OPS_MAX).is_err());
        }
    }

    #[test]
    fn responses((op, response) in response()) {
        let mut out = BytesMut::new();
        response.encode(&mut out);
        let bytes = out.freeze();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(Response::decode(op, &mut reader).unwrap(), response);
        prop_assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn txn_records(record in txn_record()) {
        same(&record);
    }

    #[test]
    fn stats(stat in stat(), persisted in persisted()) {
        same(&stat);
        same(&persisted);
    }

    #[test]
    fn headers(a in any::<(i32, i64, i32)>(), dbid in any::<i64>()) {
        same(&RequestHeader { xid: Xid(a.0), op: OpCode(a.2) });
        same(&ReplyHeader { xid: Xid(a.0), zxid: Zxid(a.1), err: ErrorCode(a.2) });
        same(&LogHeader { dbid });
        same(&SnapshotHeader { dbid });
        same(&SnapshotSession { id: SessionId(a.1), timeout_ms: a.0 });
    }

    #[test]
    fn handshakes(
        ids in any::<(i32, i64, i32, i64)>(), password in vec(any::<u8>(), 0..20),
        read_only in option::of(any::<bool>()),
    ) {
        let password = Bytes::from(password);
        same(&ConnectRequest {
            protocol_version: ids.0, last_zxid_seen: Zxid(ids.1), timeout_ms: ids.2,
            session_id: SessionId(ids.3), password: password.clone(), read_only,
        });
        same(&ConnectResponse {
            protocol_version: ids.0, timeout_ms: ids.2, session_id: SessionId(ids.3), password,
            read_only,
        });
    }

    #[test]
    fn events(path in text(), event in 1..5, ) {
        let event = EventType::from_raw(event).unwrap();
        same(&WatcherEvent { event, state: KeeperState::SyncConnected, path });
    }

    #[test]
    fn snapshot_nodes(path in "(/[a-z]{1,5}){0,4}", data in data(), acl in any::<i64>(), stat in persisted()) {
        let node = SnapshotNode { path: &path, data: data.as_deref(), acl, stat };
        let mut out = BytesMut::new();
        node.encode(&mut out);
        let bytes = out.freeze();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(SnapshotNode::decode(&mut reader).unwrap(), Some(node));
        prop_assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn any_bytes_decode_to_a_value_or_an_error(bytes in vec(any::<u8>(), 0..200), op in any::<i8>()) {
        let bytes = Bytes::from(bytes);
        let op = OpCode(i32::from(op));
        let reader = || Reader::new(&bytes);
        let _ = Request::decode(op, &mut reader(), MULTI_OPS_MAX);
        let _ = Response::decode(op, &mut reader());
        let _ = Txn::decode(op, &mut reader());
        let _ = TxnRecord::decode(&mut reader());
        let _ = SnapshotNode::decode(&mut reader());
        let _ = ConnectRequest::decode(&mut reader());
        let _ = WatcherEvent::decode(&mut reader());
        let whole = matches!(zk_proto::decode_entry(&bytes), LogEntry::Whole { .. });
        prop_assert!(!whole, "random bytes carry no checksum");
    }
}

#[test]
fn a_multi_beyond_the_bound_is_refused() {
    let check = MultiOp::Check {
        path: String::from("/a"),
        version: 0,
    };
    let mut out = BytesMut::new();
    Request::Multi(vec![check; MULTI_OPS_MAX + 1]).encode(&mut out);
    let bytes = out.freeze();
    let decoded = Request::decode(OpCode::MULTI, &mut Reader::new(&bytes), MULTI_OPS_MAX);
    assert_eq!(
        decoded,
        Err(DecodeError::TooMany {
            what: "multi",
            limit: MULTI_OPS_MAX
        })
    );
}

#[test]
fn a_create_txn_without_parent_cversion_is_read_as_minus_one() {
    let txn = CreateTxn {
        path: String::from("/a"),
        data: None,
        acl: vec![],
        ephemeral: false,
        parent_cversion: -1,
    };
    let mut out = BytesMut::new();
    Txn::Create(txn.clone()).encode(&mut out);
    let bytes = out.freeze();
    let short = bytes.slice(..bytes.len() - 4);
    let decoded = Txn::decode(OpCode::CREATE, &mut Reader::new(&short));
    assert_eq!(decoded, Ok(Txn::Create(txn)));
}

#[test]
fn a_create2_in_a_multi_is_written_as_a_create() {
    let create = Txn::Create(CreateTxn {
        path: String::from("/a"),
        data: None,
        acl: vec![],
        ephemeral: false,
        parent_cversion: 1,
    });
    let mut out = BytesMut::new();
    Txn::Multi(vec![(OpCode::CREATE2, create.clone())]).encode(&mut out);
    let decoded = Txn::decode(OpCode::MULTI, &mut Reader::new(&out.freeze()));
    assert_eq!(decoded, Ok(Txn::Multi(vec![(OpCode::CREATE, create)])));
}
