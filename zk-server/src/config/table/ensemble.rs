//! Several servers that decide together.

use crate::config::form::Form;
use crate::config::key::Key;
use crate::config::key::Source::{EitherProperty, File, Flag, Own, Property};

pub(super) const KEYS: &[Key] = &[
    Key::ensemble(
        "server.",
        File,
        Form::Server,
        None,
        None,
        "A member of the ensemble. A single line runs this server alone on the line's client port, \
         if it names one, unless `standaloneEnabled` is `false`.",
    ),
    Key::ensemble(
        "group.",
        File,
        Form::ServerIds,
        None,
        None,
        "The members of a group: with groups a quorum is more than half of the weight in each of \
         more than half of the groups that have weight.",
    ),
    Key::ensemble(
        "weight.",
        File,
        Form::NATURAL,
        None,
        None,
        "How much a server's vote counts in its group; 1 where it is not told, 0 for no vote.",
    ),
    Key::ensemble(
        "dynamicConfigFile",
        File,
        Form::Path,
        None,
        None,
        "The file that holds the lines `server.N`, `group.N` and `weight.N`, which must not stand \
         in this one then. The hexadecimal number at the end of its name is their version. With \
         `reconfigEnabled` another takes its place when they change.",
    ),
    Key::ensemble(
        "standaloneEnabled",
        File,
        Form::Bool,
        Some("true"),
        Some(|c, v| c.quorum.may_run_alone = v.bool()),
        "Whether a server whose only member is itself runs alone. With `false` it is an ensemble \
         of one.",
    ),
    Key::ensemble(
        "initLimit",
        File,
        Form::NATURAL,
        None,
        Some(|c, v| c.quorum.init_limit = v.u32()),
        "Ticks in which a quorum has to come together, and a learner to connect and to be brought \
         to the leader's history. A member needs it.",
    ),
    Key::ensemble(
        "syncLimit",
        File,
        Form::NATURAL,
        None,
        Some(|c, v| c.quorum.sync_limit = v.u32()),
        "Ticks that another server may be silent or behind. A member needs it.",
    ),
    Key::ensemble(
        "connectToLearnerMasterLimit",
        File,
        Form::NATURAL,
        Some("0"),
        Some(|c, v| c.quorum.connect_limit = v.positive()),
        "Ticks that an attempt to connect to the leader may take, and at most `syncLimit`; 0 means \
         `initLimit`.",
    ),
    Key::ensemble(
        "leaderConnectDelayDuringRetryMs",
        Property,
        Form::NATURAL,
        Some("100"),
        Some(|c, v| c.quorum.connect_delay = v.millis()),
        "Milliseconds between two attempts to connect to the leader.",
    ),
    Key::ensemble(
        "leaderServes",
        Property,
        Form::YesNo,
        Some("yes"),
        Some(|c, v| c.quorum.leader_serves = v.bool()),
        "Whether the leader serves clients.",
    ),
    Key::ensemble(
        "sync.asksQuorum",
        Own,
        Form::Bool,
        Some("false"),
        Some(|c, v| c.quorum.sync_asks_quorum = v.bool()),
        "Whether a sync is answered only once a quorum has confirmed that this leader still leads. \
         With `false` a leader that was cut off answers it until it knows, as Apache ZooKeeper's \
         does.",
    ),
    Key::ensemble(
        "localSessionsEnabled",
        File,
        Form::Bool,
        Some("false"),
        Some(|c, v| c.quorum.has_local_sessions = v.bool()),
        "Whether sessions begin as local ones, which only the server knows that their clients are \
         connected to: they cost no write, end with that server's role, and own no ephemerals.",
    ),
    Key::ensemble(
        "localSessionsUpgradingEnabled",
        File,
        Form::Bool,
        Some("false"),
        Some(|c, v| c.quorum.upgrades_local_sessions = v.bool()),
        "Whether a local session becomes one of the whole ensemble when it first creates an ephemeral; \
         otherwise that is refused.",
    ),
    Key::ensemble(
        "electionAlg",
        File,
        Form::OneOf(&["3"]),
        Some("3"),
        None,
        "The election algorithm.",
    ),
    Key::ensemble(
        "peerType",
        File,
        Form::OneOf(&["participant", "observer"]),
        Some("participant"),
        None,
        "Whether this server votes. Its `server.N` line decides; a difference is warned about.",
    ),
    Key::ensemble(
        "quorumListenOnAllIPs",
        File,
        Form::Bool,
        Some("false"),
        Some(|c, v| c.quorum.listens_on_all = v.bool()),
        "Whether quorum and election ports listen on every interface, not only on the addresses of \
         the own `server.N` line.",
    ),
    Key::ensemble(
        "electionPortBindRetry",
        Property,
        Form::NATURAL,
        Some("3"),
        Some(|c, v| c.quorum.bind_attempts = v.positive()),
        "Attempts, a second apart, to listen on the quorum and on the election port; 0 is \
         unlimited. After the last one the server ends with exit code 14.",
    ),
    Key::ensemble(
        "tcpKeepAlive",
        Property,
        Form::Bool,
        Some("false"),
        Some(|c, v| c.quorum.has_keep_alive = v.bool()),
        "Whether the system probes idle connections between servers.",
    ),
    Key::ensemble(
        "cnxTimeout",
        Property,
        Form::AtLeast { floor: 1 },
        Some("2000"),
        Some(|c, v| c.quorum.election_connect_timeout = v.millis()),
        "Milliseconds that an attempt to connect to another server's election port may take.",
    ),
    Key::ensemble(
        "fastleader.minNotificationInterval",
        Property,
        Form::AtLeast { floor: 1 },
        Some("200"),
        Some(|c, v| c.quorum.vote_interval_min = v.millis()),
        "Milliseconds before a vote is sent again.",
    ),
    Key::ensemble(
        "fastleader.maxNotificationInterval",
        Property,
        Form::AtLeast { floor: 1 },
        Some("60000"),
        Some(|c, v| c.quorum.vote_interval_max = v.millis()),
        "Milliseconds to which that time doubles.",
    ),
    Key::ensemble(
        "multiAddress.enabled",
        Property,
        Form::Bool,
        Some("false"),
        Some(|c, v| c.quorum.allows_many_addresses = v.bool()),
        "Whether a `server.N` line may have several addresses. All are listened on; to connect, \
         they are tried side by side.",
    ),
    Key::ensemble(
        "snapshotSizeFactor",
        Property,
        Form::Float,
        Some("0.33"),
        Some(|c, v| c.quorum.snapshot_size_factor = v.share()),
        "Share of the newest snapshot's size up to which a learner is sent transactions of the log \
         instead of a snapshot; below 0 never. `limits.bytesPerPeer` bounds it too.",
    ),
    Key::honoured(
        "db.autocreate",
        Property,
        Form::Bool,
        Some("true"),
        |c, v| c.storage.trusts_empty_database = v.bool(),
        "Whether empty data directories are an empty database. With `false` that needs a file \
         `initialize` in one of them, which is removed then; without it the server ends with exit \
         code 3, where Apache ZooKeeper would serve an empty tree.",
    ),
    Key::ensemble(
        "reconfigEnabled",
        File,
        Form::Bool,
        Some("false"),
        Some(|c, v| c.reconfig_enabled = v.bool()),
        "Whether the members of an ensemble can be changed while it runs; with `false` reconfig is \
         answered with RECONFIGDISABLED. The membership is then kept in files, as Apache ZooKeeper \
         keeps it: `zoo.cfg.dynamic.<version>`, named by `dynamicConfigFile`, and \
         `zoo.cfg.dynamic.next` for one that is proposed. The first one is moved out of `zoo.cfg`, \
         of which `zoo.cfg.bak` is a copy; comments stay. The lines have to stand in the file, not \
         in `--set`. A server that runs alone answers UNIMPLEMENTED.",
    ),
    Key::refused(
        "quorum.auth.enableSasl",
        File,
        Form::Bool,
        &["false"],
        NO_SASL,
    ),
    Key::refused(
        "quorum.auth.learnerRequireSasl",
        File,
        Form::Bool,
        &["false"],
        NO_SASL,
    ),
    Key::refused(
        "quorum.auth.serverRequireSasl",
        File,
        Form::Bool,
        &["false"],
        NO_SASL,
    ),
    Key::no_effect(
        "quorum.auth.learner.saslLoginContext",
        File,
        Form::Text,
        &["QuorumLearner"],
        NO_SASL,
    ),
    Key::no_effect(
        "quorum.auth.server.saslLoginContext",
        File,
        Form::Text,
        &["QuorumServer"],
        NO_SASL,
    ),
    Key::no_effect(
        "quorum.auth.kerberos.servicePrincipal",
        File,
        Form::Text,
        &["zkquorum/localhost"],
        NO_SASL,
    ),
    Key::no_effect(
        "observerMasterPort",
        File,
        Form::ANY_INT,
        &["0"],
        NO_OBSERVER_MASTER,
    ),
    Key::no_effect(
        "observerMaster.sizeLimit",
        Property,
        Form::ANY_INT,
        &["33554432"],
        NO_OBSERVER_MASTER,
    ),
    Key::no_effect(
        "follower.skipLearnerRequestToNextProcessor",
        Property,
        Form::Bool,
        &["false"],
        NO_OBSERVER_MASTER,
    ),
    Key::no_effect(
        "forward_learner_requests_to_commit_processor_disabled",
        Property,
        Form::Bool,
        &["false"],
        NO_OBSERVER_MASTER,
    ),
    Key::no_effect("syncEnabled", File, Form::Bool, &["true"], OBSERVERS_STORE),
    Key::no_effect(
        "observer.syncEnabled",
        Property,
        Form::Bool,
        &["true"],
        OBSERVERS_STORE,
    ),
    Key::no_effect(
        "observer.reconnectDelayMs",
        Property,
        Form::NATURAL,
        &["0"],
        "an observer connects again as soon as it knows a leader",
    ),
    Key::no_effect(
        "observer.election.DelayMs",
        Property,
        Form::NATURAL,
        &["200"],
        "an observer follows whom the voters name, without a delay",
    ),
    Key::no_effect(
        "oraclePath",
        File,
        Form::Path,
        &[],
        "a quorum decides, also in an ensemble of two",
    ),
    Key::no_effect(
        "quorum.cnxn.threads.size",
        File,
        Form::ANY_INT,
        &["20"],
        "connections between servers need no threads",
    ),
    Key::no_effect(
        "multiAddress.reachabilityCheckEnabled",
        Property,
        Form::Bool,
        &["true"],
        TRIES_ALL,
    ),
    Key::no_effect(
        "multiAddress.reachabilityCheckTimeoutMs",
        Property,
        Form::NATURAL,
        &["1000"],
        TRIES_ALL,
    ),
    Key::no_effect(
        "forceSnapshotSync",
        Property,
        Form::Bool,
        &["false"],
        "a learner is sent what it lacks",
    ),
    Key::no_effect(
        "leader.maxConcurrentSnapSyncs",
        Property,
        Form::ANY_INT,
        &["10"],
        NO_SYNC_LIMIT,
    ),
    Key::no_effect(
        "leader.maxConcurrentDiffSyncs",
        Property,
        Form::ANY_INT,
        &["100"],
        NO_SYNC_LIMIT,
    ),
    Key::no_effect(
        "leader.maxTimeToWaitForEpoch",
        Property,
        Form::ANY_INT,
        &["-1"],
        "a leader waits for a quorum as long as initLimit says",
    ),
    Key::no_effect(
        "leader.ackLoggingFrequency",
        Property,
        Form::ANY_INT,
        &["1000"],
        "acknowledgements are not logged",
    ),
    Key::no_effect("leader.nodelay", Flag, Form::Bool, &["true"], NODELAY),
    Key::no_effect("follower.nodelay", Flag, Form::Bool, &["true"], NODELAY),
    Key::no_effect(
        "leader.closeSocketAsync",
        EitherProperty,
        Form::Bool,
        &[],
        ASYNC,
    ),
    Key::no_effect(
        "learner.closeSocketAsync",
        EitherProperty,
        Form::Bool,
        &[],
        ASYNC,
    ),
    Key::no_effect(
        "learner.asyncSending",
        EitherProperty,
        Form::Bool,
        &[],
        ASYNC,
    ),
    Key::no_effect(
        "quorumCnxnTimeoutMs",
        Property,
        Form::ANY_INT,
        &["-1"],
        "an election connection may be silent",
    ),
    Key::no_effect(
        "version",
        File,
        Form::Text,
        &[],
        "it belongs into a dynamic configuration file",
    ),
    Key::no_effect("testingonly.initialZxid", Property, Form::Text, &[], TESTS),
    Key::no_effect(
        "test.allowDiscontinuousProposals",
        Property,
        Form::Bool,
        &["false"],
        TESTS,
    ),
];

const NO_SASL: &str = "there is no SASL authentication between servers";

const NO_OBSERVER_MASTER: &str = "observers follow the leader, not other followers";

const OBSERVERS_STORE: &str = "an observer always keeps a log and snapshots";

const TRIES_ALL: &str = "a server's addresses are tried side by side";

const NO_SYNC_LIMIT: &str = "learners are brought up side by side, without a limit";

const NODELAY: &str = "sockets always send at once";

const ASYNC: &str = "sockets are written and closed without anything waiting for them";

const TESTS: &str = "it belongs to Apache ZooKeeper's tests";
