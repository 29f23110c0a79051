//! Quorum and election ports: `decode(encode(value)) == value`, and streams may be cut anywhere.

#![expect(clippy::unwrap_used, reason = "a test")]

use bytes::{Bytes, BytesMut};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use zk_proto::quorum::{
    Address, EnsembleConfig, EnsembleServer, FromLeader, FromLearner, GroupId, Hierarchy, Host,
    InitialForm, InitialMessage, LearnerInfo, NOTIFICATION_BYTES_MAX, NOTIFICATION_VERSION,
    Notification, Packet, ServerAddress, ServerRole, ServerState, split_packet,
};
use zk_proto::{Id, OpCode, ServerId, SessionId, Xid, Zxid, split_frame};

const LIMIT: usize = 4096;

fn zxid() -> impl Strategy<Value = Zxid> {
    any::<i64>().prop_map(Zxid)
}

fn server() -> impl Strategy<Value = ServerId> {
    any::<i64>().prop_map(ServerId)
}

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn info() -> impl Strategy<Value = Option<LearnerInfo>> {
    let info = (server(), any::<i32>(), zxid());
    option::of(
        info.prop_map(|(server, protocol_version, config_version)| LearnerInfo {
            server,
            protocol_version,
            config_version,
        }),
    )
}

fn who() -> impl Strategy<Value = Vec<Id>> {
    vec(
        (".{0,6}", ".{0,6}").prop_map(|(scheme, id)| Id { scheme, id }),
        0..4,
    )
}

prop_compose! {
    fn request()(
        session in any::<i64>(), xid in any::<i32>(), op in any::<i32>(), content in data(),
        who in who()
    ) -> FromLearner {
        let (session, xid, op) = (SessionId(session), Xid(xid), OpCode(op));
        FromLearner::Request { session, xid, op, content, who }
    }
}

fn from_learner() -> impl Strategy<Value = FromLearner> {
    let touched = vec((any::<i64>().prop_map(SessionId), any::<i32>()), 0..4);
    prop_oneof![
        (zxid(), info()).prop_map(|(accepted, info)| FromLearner::FollowerInfo { accepted, info }),
        (zxid(), info()).prop_map(|(accepted, info)| FromLearner::ObserverInfo { accepted, info }),
        (zxid(), option::of(0..=u32::MAX / 2)).prop_map(|(last_zxid, current_epoch)| {
            FromLearner::AckEpoch {
                last_zxid,
                current_epoch,
            }
        }),
        zxid().prop_map(|zxid| FromLearner::Ack { zxid }),
        request(),
        (zxid(), touched).prop_map(|(zxid, touched)| FromLearner::Ping { zxid, touched }),
        (any::<i64>(), any::<i32>()).prop_map(|(session, timeout_ms)| FromLearner::Revalidate {
            session: SessionId(session),
            timeout_ms,
        }),
    ]
}

fn from_leader() -> impl Strategy<Value = FromLeader> {
    prop_oneof![
        (zxid(), any::<i32>()).prop_map(|(zxid, protocol_version)| FromLeader::LeaderInfo {
            zxid,
            protocol_version
        }),
        zxid().prop_map(|zxid| FromLeader::Diff { zxid }),
        zxid().prop_map(|zxid| FromLeader::Trunc { zxid }),
        zxid().prop_map(|zxid| FromLeader::Snap { zxid }),
        (zxid(), ".{0,20}").prop_map(|(zxid, config)| FromLeader::NewLeader { zxid, config }),
        Just(FromLeader::UpToDate),
        (zxid(), data()).prop_map(|(zxid, record)| FromLeader::Proposal { zxid, record }),
        zxid().prop_map(|zxid| FromLeader::Commit { zxid }),
        (zxid(), server())
            .prop_map(|(zxid, leader)| FromLeader::CommitAndActivate { zxid, leader }),
        (zxid(), data()).prop_map(|(zxid, record)| FromLeader::Inform { zxid, record }),
        (zxid(), server(), data()).prop_map(|(zxid, leader, record)| {
            FromLeader::InformAndActivate {
                zxid,
                leader,
                record,
            }
        }),
        Just(FromLeader::Sync),
        zxid().prop_map(|zxid| FromLeader::Ping { zxid }),
        (any::<i64>(), any::<bool>()).prop_map(|(session, valid)| FromLeader::Revalidated {
            session: SessionId(session),
            valid,
        }),
    ]
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        "[a-z][a-z0-9_.-]{0,10}".prop_map(|name| Host::parse(&name).unwrap()),
        any::<std::net::IpAddr>().prop_map(Host::from),
        any::<std::net::Ipv6Addr>().prop_map(|ip| Host::parse(&format!("{ip}%eth0")).unwrap()),
    ]
}

fn address() -> impl Strategy<Value = Address> {
    (host(), any::<u16>()).prop_map(|(host, port)| Address { host, port })
}

fn initial_message() -> impl Strategy<Value = InitialMessage> {
    let legacy = (0..=i64::MAX).prop_map(|server| (InitialForm::Legacy, server, Vec::new()));
    let v1 = (any::<i64>(), vec(address(), 1))
        .prop_map(|(server, addresses)| (InitialForm::V1, server, addresses));
    let v2 = (any::<i64>(), vec(address(), 1..4))
        .prop_map(|(server, addresses)| (InitialForm::V2, server, addresses));
    prop_oneof![legacy, v1, v2].prop_map(|(form, server, addresses)| InitialMessage {
        form,
        server: ServerId(server),
        addresses,
    })
}

prop_compose! {
    fn notification()(
        state in prop_oneof![
            Just(ServerState::Looking), Just(ServerState::Following), Just(ServerState::Leading),
            Just(ServerState::Observing)
        ],
        leader in server(), zxid in zxid(), round in any::<i64>(), peer_epoch in any::<i64>(),
        config in option::of(".{1,20}")
    ) -> Notification {
        let version = NOTIFICATION_VERSION;
        Notification { state, leader, zxid, round, peer_epoch, version, config }
    }
}

fn ensemble_server() -> impl Strategy<Value = EnsembleServer> {
    let role = prop_oneof![Just(ServerRole::Participant), Just(ServerRole::Observer)];
    let address = (host(), any::<u16>(), any::<u16>());
    let address = address.prop_map(|(host, quorum_port, election_port)| ServerAddress {
        host,
        quorum_port,
        election_port,
    });
    let client = option::of(self::address());
    (vec(address, 1..3), role, client)
        .prop_filter_map("ports differ", |(addresses, role, client)| {
            EnsembleServer::new(addresses, role, client).ok()
        })
}

prop_compose! {
    fn ensemble_config()(
        servers in btree_map(server(), ensemble_server(), 0..20),
        groups in vec(any::<i64>(), 20), weights in btree_map(server(), any::<u64>(), 0..4),
        is_hierarchical in any::<bool>(), version in zxid()
    ) -> Option<EnsembleConfig> {
        let groups = servers.keys().copied().zip(groups.into_iter().map(GroupId)).collect();
        let hierarchy = Hierarchy { groups, weights };
        EnsembleConfig::new(servers, is_hierarchical.then_some(hierarchy), version).ok()
    }
}

/// The packets of a stream that arrives in pieces of `step` bytes.
fn split<P: Packet>(stream: &[u8], step: usize) -> Vec<P> {
    let (mut input, mut packets) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(step) {
        input.extend_from_slice(piece);
        while let Some(packet) = split_packet(&mut input, LIMIT).unwrap() {
            packets.push(packet);
        }
    }
    packets
}

/// Checks a stream of `packets` in pieces of `step` bytes, and cut off at `cut`.
fn check_stream<P: Packet + PartialEq + std::fmt::Debug>(packets: &[P], step: usize, cut: usize) {
    let mut stream = BytesMut::new();
    let mut ends = Vec::new();
    for packet in packets {
        packet.encode(&mut stream);
        ends.push(stream.len());
    }
    assert_eq!(split::<P>(&stream, step), packets);
    let cut = cut % (stream.len() + 1);
    let whole = ends.iter().filter(|end| **end <= cut).count();
    assert_eq!(
        split::<P>(stream.get(..cut).unwrap(), step),
        packets.get(..whole).unwrap()
    );
}

proptest! {
    #[test]
    fn packets_of_a_leader(packets in vec(from_leader(), 1..6), step in 1_usize..50, cut: usize) {
        check_stream(&packets, step, cut);
    }

    #[test]
    fn packets_of_a_learner(packets in vec(from_learner(), 1..6), step in 1_usize..50, cut: usize) {
        check_stream(&packets, step, cut);
    }

    #[test]
    fn initial_messages(message in initial_message()) {
        let mut out = BytesMut::new();
        message.encode(&mut out);
        for cut in 0..out.len() {
            prop_assert_eq!(InitialMessage::split(&mut BytesMut::from(&out[..cut])), Ok(None));
        }
        prop_assert_eq!(InitialMessage::split(&mut out), Ok(Some(message)));
        prop_assert!(out.is_empty());
    }

    #[test]
    fn notifications(notification in notification()) {
        let mut out = BytesMut::new();
        notification.encode_frame(&mut out);
        let body = split_frame(&mut out, NOTIFICATION_BYTES_MAX).unwrap().unwrap();
        prop_assert_eq!(Notification::decode(&body), Ok(notification));
    }

    #[test]
    fn ensemble_configs(config in ensemble_config().prop_filter_map("valid", |config| config)) {
        prop_assert_eq!(config.to_string().parse(), Ok(config));
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in vec(any::<u8>(), 0..200), kind in 0_i32..21) {
        let mut input = BytesMut::from(&kind.to_be_bytes()[..]);
        input.extend_from_slice(&bytes);
        let _ = split_packet::<FromLeader>(&mut input.clone(), LIMIT);
        let _ = split_packet::<FromLearner>(&mut input.clone(), LIMIT);
        let _ = InitialMessage::split(&mut BytesMut::from(&bytes[..]));
        let _ = Notification::decode(&input.freeze());
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = text.parse::<EnsembleConfig>();
        }
    }

    #[test]
    fn any_text_is_a_config_or_an_error(
        text in "((server|group|weight)\\.[0-9]{0,2}[=: ][a:|;\\[\\]1-3]{0,12}\n){0,4}version=[0-9a-g]?"
    ) {
        if let Ok(config) = text.parse::<EnsembleConfig>() {
            prop_assert_eq!(config.to_string().parse(), Ok(config));
        }
    }
}
