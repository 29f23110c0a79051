//! What Apache's server answered in the recordings of `golden/client-port`, a server must answer
//! when it is asked the same in the same order: same codes, paths, Stats, zxids, events and their
//! order, same closes. Only times, passwords and session ids are not compared, and the order of
//! lists without one. [`DIFFERENCES`] states where ours differs, and why.
//!
//! `golden/replay.txt` has the order and what happened beside the recorded connections.
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::print_stdout, reason = "says how far it came")]

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use zk_proto::{
    Acl, Auth, ConnectRequest, ConnectResponse, Create, CreateMode, ErrorCode, Id, OpCode, Perms,
    Reader, Record, Request, SessionId, Xid,
};
use zk_tests::{
    Dialogue, Flavour, Needs, RawClient, Received, ServerProcess, ServerSettings, Sessions, Wire,
    golden_folder,
};

/// `super:golden`.
const SUPER_DIGEST: &str = "super:c9T5yFYCHEoR/xZ3KuYTF5tNWis=";

/// Where ours differs from the recordings.
struct Difference {
    recording: &'static str,
    kind: Kind,
    reason: &'static str,
}

enum Kind {
    /// The replies to these xids tell this instead.
    Answer(&'static [i32], &'static str),
    /// In the line with the first text, the third stands instead of the second.
    Text(&'static str, &'static str, &'static str),
    /// Before the line with the first text comes the second.
    Extra(&'static str, &'static str),
    /// All that the server sends after the handshake.
    Whole(&'static [&'static str]),
    /// The server does not close the connection that it closes in the recording.
    Stays,
    /// Ours takes so many zxids less; a session of ours makes up for them.
    FewerZxids(usize),
    /// A write that cannot be decoded takes no zxid; a session of ours makes up for it.
    UndecodedTakesNone,
    /// The zxid in an event's header is not compared.
    EventZxid,
}

use Kind::{Answer, EventZxid, Extra, FewerZxids, Stays, Text, UndecodedTakesNone, Whole};

const fn differs(recording: &'static str, kind: Kind, reason: &'static str) -> Difference {
    Difference {
        recording,
        kind,
        reason,
    }
}

const BARE: &str = "an operation that only servers ask for is refused, and the connection closed";
const EMPTY: &str = "a null string or list is an empty one";
const EXISTS: &str = "since 3.9 exists needs READ";
const LOST: &str = "3.8.0 forgets the persistent watch over a one-shot one (ZOOKEEPER-4466)";
const MULTI: &str = "since 3.9 the result of a create2 in a multi is that of a create2";
const ORDER: &str = "the nodes of a closed session have no order";
const STRICT: &str = "what is no string, or no length, is refused before anything is looked at";
const TYPES: &str = "since 3.9 types 4 and 5 exist, and 1 and 2 mean one-shot watches alone";

// What `malformed` leaves of the root.
const ROOT_STAT: &str = "OK (0) stat(c=0x0 m=0x71 p=0x1d5 ctime=never mtime=then v=2 cv=10 av=0 \
                         owner=0x0 length=0 children=10)";
const ROOT_DATA: &str = "OK (0) Some(b\"\") stat(c=0x0 m=0x71 p=0x1d5 ctime=never mtime=then v=2 \
                         cv=10 av=0 owner=0x0 length=0 children=10)";
const ROOT_CHILDREN: &str = "OK (0) [\"0000000009\", \"a\", \"boolean\", \"m\", \"odd\", \"t\", \
                             \"trailing\", \"u\", \"w\", \"zookeeper\"]";
const ROOT_ACL: &str = "OK (0) [Acl { perms: Perms(31), id: Id { scheme: \"world\", id: \"anyone\" } }] \
                        stat(c=0x0 m=0x71 p=0x1d5 ctime=never mtime=then v=2 cv=10 av=0 owner=0x0 \
                        length=0 children=10)";

/// `RECORDING`, or `RECORDING/CONNECTION` where a recording names its connections; `*` is all.
const DIFFERENCES: &[Difference] = &[
    differs(
        "*",
        EventZxid,
        "since 3.9 an event has its transaction's zxid, before it had -1",
    ),
    differs(
        "*",
        UndecodedTakesNone,
        "what cannot be read changes nothing, not even the log",
    ),
    differs(
        "connect-wrong-password",
        Stays,
        "a stranger cannot close a session's connection",
    ),
    differs("getData", Answer(&[6], "NOAUTH (-102)"), EXISTS),
    differs("auth-null-data", Answer(&[-4], "OK (0) "), EMPTY),
    differs("auth-null-data", Stays, EMPTY),
    differs(
        "auth-truncated",
        Whole(&[
            "reply auth (100) xid=-4 zxid=0xc3 MARSHALLINGERROR (-5)",
            "reply ping (11) xid=-2 zxid=0xc3 OK (0) ",
        ]),
        "answered as every request that cannot be read",
    ),
    differs(
        "multi-create2",
        Answer(
            &[1],
            "OK (0) [Create2 \"/m/hand2\" stat(c=0xdc m=0xdc p=0xdc ctime=then mtime=then v=0 \
             cv=0 av=0 owner=0x0 length=0 children=0)]",
        ),
        MULTI,
    ),
    differs(
        "multiRead-write",
        Answer(&[1], "MARSHALLINGERROR (-5)"),
        "no content follows an error",
    ),
    differs(
        "multi-null-path",
        Answer(&[1], "OK (0) [Error(ErrorCode(-8))]"),
        EMPTY,
    ),
    differs(
        "multi-null-path",
        Text("xid=1", "zxid=0xff", "zxid=0x100"),
        EMPTY,
    ),
    differs(
        "multi-null-path",
        Text("xid=2", "zxid=0xff", "zxid=0x100"),
        EMPTY,
    ),
    differs(
        "watch-mixed",
        Extra(
            "sync (9) xid=7",
            "event NodeChildrenChanged \"/w/mix\" SyncConnected zxid=0x139",
        ),
        LOST,
    ),
    differs(
        "watch-ephemeral",
        Text("event NodeDeleted", "/w/e2", "/w/e-one"),
        ORDER,
    ),
    differs(
        "watch-ephemeral",
        Text("event NodeDeleted", "/w/e1", "/w/e2"),
        ORDER,
    ),
    differs(
        "watch-ephemeral",
        Text("event NodeDeleted", "/w/e-one", "/w/e1"),
        ORDER,
    ),
    differs("watch-acl", Answer(&[1], "NOAUTH (-102)"), EXISTS),
    differs(
        "removeWatches-by-hand",
        Text("xid=", "MARSHALLINGERROR (-5)", "NOWATCHER (-121)"),
        TYPES,
    ),
    differs(
        "removeWatches-by-hand",
        Answer(&[67, 68, 97, 98], "OK (0) "),
        TYPES,
    ),
    differs(
        "removeWatches-by-hand",
        Answer(
            &[52, 53, 57, 58, 70, 77, 78, 82, 83, 100],
            "NOWATCHER (-121)",
        ),
        TYPES,
    ),
    differs(
        "removeWatches-by-hand",
        Answer(&[101, 102], "MARSHALLINGERROR (-5)"),
        TYPES,
    ),
    differs("setWatches-by-hand", Answer(&[10], "OK (0) "), EMPTY),
    differs(
        "op-check-bare",
        Whole(&[
            "reply check (13) xid=1 zxid=0xffffffffffffffff UNIMPLEMENTED (-6)",
            "closed",
        ]),
        "so since 3.9; 3.8.0 never answers",
    ),
    differs("op-check-bare", FewerZxids(1), BARE),
    differs(
        "op-createSession-bare",
        Whole(&[
            "reply createSession (-10) xid=1 zxid=0xffffffffffffffff UNIMPLEMENTED (-6)",
            "closed",
        ]),
        BARE,
    ),
    differs("op-createSession-bare", FewerZxids(1), BARE),
    differs(
        "op-deleteContainer",
        Whole(&[
            "reply deleteContainer (20) xid=1 zxid=0xffffffffffffffff UNIMPLEMENTED (-6)",
            "closed",
        ]),
        BARE,
    ),
    differs("op-deleteContainer", FewerZxids(10), BARE),
    differs(
        "malformed/create-null-path",
        Answer(&[1], "BADARGUMENTS (-8)"),
        EMPTY,
    ),
    differs(
        "malformed/getData-null-path",
        Answer(&[1], ROOT_DATA),
        EMPTY,
    ),
    differs("malformed/exists-null-path", Answer(&[1], ROOT_STAT), EMPTY),
    differs(
        "malformed/getChildren-null-path",
        Answer(&[1], ROOT_CHILDREN),
        EMPTY,
    ),
    differs("malformed/getACL-null-path", Answer(&[1], ROOT_ACL), EMPTY),
    differs(
        "malformed/getAllChildrenNumber-null-path",
        Answer(&[1], "OK (0) Number(93)"),
        EMPTY,
    ),
    differs(
        "malformed/getAllChildrenNumber-empty-path",
        Answer(&[1], "OK (0) Number(93)"),
        "the empty path is the root, and counts as the root does",
    ),
    differs(
        "malformed/create-acl-null-id",
        Answer(&[1], "INVALIDACL (-114)"),
        EMPTY,
    ),
    differs(
        "malformed/delete-null-path",
        Answer(&[1], "BADARGUMENTS (-8)"),
        EMPTY,
    ),
    differs(
        "malformed/create-bad-utf8",
        Answer(&[1], "MARSHALLINGERROR (-5)"),
        STRICT,
    ),
    differs(
        "malformed/create-overlong",
        Answer(&[1], "MARSHALLINGERROR (-5)"),
        STRICT,
    ),
    differs(
        "malformed/create-acl-negative",
        Answer(&[1], "MARSHALLINGERROR (-5)"),
        STRICT,
    ),
];

#[test]
fn our_server_answers_as_the_recordings() {
    replay(Flavour::Ours, DIFFERENCES);
}

#[test]
fn apaches_server_answers_as_the_recordings() {
    if Needs::apache("replay").is_some() {
        replay(Flavour::Apache, &[]);
    }
}

/// Plays all of `replay.txt`.
fn replay(flavour: Flavour, differences: &[Difference]) {
    let script = fs::read_to_string(golden_folder().join("replay.txt")).unwrap();
    let lines: Vec<_> = script
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let mut played = 0;
    let mut complaints = Vec::new();
    for part in lines.split(|line| line.is_empty()) {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = ServerSettings::new(folder.path());
        settings.properties = [
            (
                "zookeeper.DigestAuthenticationProvider.superDigest",
                SUPER_DIGEST,
            ),
            ("znode.container.checkIntervalMs", "100000000"),
        ]
        .map(|(key, value)| (key.into(), value.into()))
        .into();
        settings
            .lines
            .retain(|line| !line.starts_with("extendedTypesEnabled"));
        for setting in part[0].split(' ').skip(1) {
            settings = settings.line(setting);
        }
        let server = ServerProcess::start(flavour, &settings);
        let mut stage = Stage::new(server.address(), differences);
        let mut rest = part[1..].iter().peekable();
        while let Some(line) = rest.next() {
            let Some(recording) = line.strip_prefix("play ") else {
                stage.beside(line);
                continue;
            };
            let mut meanwhile = VecDeque::new();
            while let Some(line) = rest.next_if(|line| line.starts_with("    after ")) {
                let (after, action) = line[10..].split_once(": ").unwrap();
                meanwhile.push_back((after.parse().unwrap(), action));
            }
            stage.play(recording, meanwhile);
            played += 1;
        }
        complaints.append(&mut stage.complaints);
    }
    for difference in differences {
        println!("{} differs: {}", difference.recording, difference.reason);
    }
    println!("{played} recordings played to {flavour:?}");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// One server, and what is known on either side of the comparison.
struct Stage<'a> {
    address: SocketAddr,
    differences: &'a [Difference],
    beside: BTreeMap<String, RawClient>,
    recorded: Sessions,
    seen: Sessions,
    /// The handshake answers that the server gave, by the recorded session.
    granted: BTreeMap<SessionId, ConnectResponse>,
    complaints: Vec<String>,
}

/// A connection of a recording, and the one that plays it.
struct Connection {
    recorded: Dialogue,
    wire: Wire,
}

impl<'a> Stage<'a> {
    fn new(address: SocketAddr, differences: &'a [Difference]) -> Self {
        let mut stage = Self {
            address,
            differences,
            beside: BTreeMap::new(),
            recorded: Sessions::default(),
            seen: Sessions::default(),
            granted: BTreeMap::new(),
            complaints: Vec::new(),
        };
        stage.open("s");
        stage
    }

    /// Opens a session that is in no recording.
    fn open(&mut self, name: &str) {
        let client = RawClient::connect(self.address, Duration::from_secs(40)).unwrap();
        self.seen.learn(client.session().session_id);
        // Session ids count up.
        let last = self.granted.keys().next_back().map_or(-2, |id| id.0);
        self.recorded.learn(SessionId(last + 1));
        self.beside.insert(name.to_owned(), client);
    }

    /// Does what a session that is in no recording did: `NAME ACTION …`.
    fn beside(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        if words[1] == "open" {
            return self.open(words[0]);
        }
        let client = self.beside.get_mut(words[0]).unwrap();
        client.get(request(&words[1..])).unwrap();
    }

    fn play(&mut self, recording: &str, mut meanwhile: VecDeque<(usize, &str)>) {
        let file = golden_folder().join(format!("client-port/{recording}.txt"));
        let text = fs::read_to_string(file).unwrap();
        let kinds = self.kinds(recording, "");
        let whole = kinds.iter().find_map(|kind| match kind {
            Whole(lines) => Some(*lines),
            _ => None,
        });
        let stays = kinds.iter().any(|kind| matches!(kind, Stays));
        let mut connections: Vec<Connection> = Vec::new();
        // The connection's name, if it has one, and which is in focus.
        let (mut name, mut of_first) = ("", false);
        let (mut sent, mut sent_here) = (0, 0);
        let mut answers = Vec::new();
        for line in text.lines() {
            let (kind, content) = line.split_once(' ').unwrap_or((line, ""));
            let event = kind.starts_with('<') && content.starts_with("ffffffffffffffffffffffff");
            let waiting = connections
                .last()
                .is_some_and(|last| last.recorded.is_waiting());
            if (event && !waiting) || matches!(kind, "+" | ">" | ">?") {
                while let Some((_, action)) = meanwhile.pop_front_if(|(after, _)| *after == sent) {
                    self.beside(action);
                }
            }
            let at = if of_first {
                0
            } else {
                connections.len().wrapping_sub(1)
            };
            let mut answered = |pair| answers.push((name, pair));
            match kind {
                "#" if content == "what the first connection sees" => of_first = true,
                "#" if sent_here == 0 && !connections.is_empty() && content != "ConnectRequest" => {
                    name = content;
                }
                "#" => {}
                "+" => {
                    let (recorded, wire) = (Dialogue::default(), Wire::open(self.address).unwrap());
                    connections.push(Connection { recorded, wire });
                    sent_here = 0;
                }
                ">" | ">?" => {
                    sent += 1;
                    sent_here += 1;
                    self.send(&mut connections[at], &unhex(content));
                }
                "<" | "<?" if whole.is_some() && sent_here > 1 => {}
                "<" | "<?" => {
                    let recorded = connections[at].recorded.received(&unhex(content));
                    let described = self.recorded.describe(&recorded);
                    for kind in &kinds {
                        if let Extra(within, line) = kind
                            && described.contains(within)
                        {
                            let seen = connections[at].wire.receive();
                            answered((String::from(*line), self.seen.describe(&seen)));
                        }
                    }
                    // That a session is over, Apache's server says by chance before it closes.
                    if !is_expired(&recorded) {
                        answered(self.answer(&mut connections[at].wire, &recorded, &kinds));
                    }
                }
                "x" if whole.is_some() => {}
                "x" if content == "server" && stays && (of_first || connections.len() == 1) => {
                    answered(self.ping(&mut connections[at].wire));
                    of_first = false;
                }
                "x" if content == "server" => {
                    // What was sent before the close was known may have been answered.
                    let mut seen = connections[at].wire.receive();
                    while matches!(seen, Received::Reply(..)) {
                        seen = connections[at].wire.receive();
                    }
                    answered((String::from("closed"), self.seen.describe(&seen)));
                    of_first = false;
                }
                "x" => {
                    // A closed session has ended by itself; any other still answers, and has
                    // nothing else to say.
                    let closed = text.contains("reply to closeSession") || content == "proxy";
                    let mut last = connections.remove(at);
                    if !closed {
                        answered(self.ping(&mut last.wire));
                    }
                }
                _ => panic!("{recording}: {line}"),
            }
        }
        if let Some(lines) = whole {
            let wire = &mut connections.last_mut().unwrap().wire;
            answers.extend(
                self.all_of(wire, lines)
                    .into_iter()
                    .map(|pair| (name, pair)),
            );
        }
        for (connection, pair) in answers {
            self.compare(recording, connection, pair);
        }
        for kind in kinds {
            if let FewerZxids(count) = kind {
                (0..*count).for_each(|_| self.take_a_zxid());
            }
        }
    }

    /// What holds for a recording, or for one of its connections.
    fn kinds(&self, recording: &str, connection: &str) -> Vec<&'a Kind> {
        let connection = format!("{recording}/{connection}");
        let of_this = |of: &str| of == "*" || of == recording || of == connection;
        let differences = self.differences.iter();
        let differences = differences.filter(|difference| of_this(difference.recording));
        differences.map(|difference| &difference.kind).collect()
    }

    /// What was recorded, and what the server says.
    fn answer(
        &mut self,
        wire: &mut Wire,
        recorded: &Received,
        kinds: &[&Kind],
    ) -> (String, String) {
        let mut seen = wire.receive();
        if let (Received::Session(theirs), Received::Session(ours)) = (recorded, &seen) {
            self.recorded.learn(theirs.session_id);
            self.seen.learn(ours.session_id);
            self.granted.insert(theirs.session_id, ours.clone());
        }
        if let (Received::Reply(_, theirs, ..), Received::Reply(_, ours, ..)) =
            (recorded, &mut seen)
            && ours.err == ErrorCode::MARSHALLING_ERROR
            && ours.zxid.next() == theirs.zxid
            && kinds.iter().any(|kind| matches!(kind, UndecodedTakesNone))
        {
            ours.zxid = theirs.zxid;
            self.take_a_zxid();
        }
        (self.recorded.describe(recorded), self.seen.describe(&seen))
    }

    /// Asks for a reply that comes after all that the server has sent.
    fn ping(&self, wire: &mut Wire) -> (String, String) {
        let mut seen = self.seen.describe(&ping(wire));
        let expected = String::from("reply ping");
        if seen.starts_with(&expected) {
            seen.truncate(expected.len());
        }
        (expected, seen)
    }

    /// All that the server says until it closes the connection or answers a ping.
    fn all_of(&self, wire: &mut Wire, expected: &[&str]) -> Vec<(String, String)> {
        let mut expected = expected.iter();
        let mut seen = ping(wire);
        let mut answers = Vec::new();
        loop {
            let line = expected.next().map_or("", |line| *line);
            answers.push((line.to_owned(), self.seen.describe(&seen)));
            match &seen {
                Received::Reply(asked, ..) if asked.op == OpCode::PING => return answers,
                Received::Closed | Received::Silence => return answers,
                _ => seen = wire.receive(),
            }
        }
    }

    fn send(&self, connection: &mut Connection, recorded: &Bytes) {
        let first = connection.recorded.is_empty();
        connection.recorded.sent(recorded);
        let mut frame = recorded.clone();
        if first && let Ok(mut connect) = ConnectRequest::decode(&mut Reader::new(recorded)) {
            if let Some(granted) = self.granted.get(&connect.session_id) {
                connect.session_id = granted.session_id;
                if connect.password.iter().any(|byte| *byte != 0) {
                    connect.password = granted.password.clone();
                }
            }
            frame = connect.to_bytes();
        }
        // A server that has closed the connection is found out by what it sends.
        let _ = connection.wire.send(&frame);
    }

    fn compare(&mut self, recording: &str, connection: &str, pair: (String, String)) {
        let (mut recorded, mut seen) = pair;
        for kind in self.kinds(recording, connection) {
            let xid = |xid: &i32| recorded.contains(&format!(" xid={xid} "));
            match kind {
                Answer(xids, answer) if xids.iter().any(xid) => {
                    let zxid = recorded.find(" zxid=").unwrap() + 1;
                    let end = zxid + recorded[zxid..].find(' ').unwrap() + 1;
                    recorded.replace_range(end.., answer);
                }
                Text(within, theirs, ours) if recorded.contains(within) => {
                    recorded = recorded.replace(theirs, ours);
                }
                EventZxid if recorded.starts_with("event") => {
                    for line in [&mut recorded, &mut seen] {
                        line.truncate(line.find(" zxid=").unwrap_or(line.len()));
                    }
                }
                _ => {}
            }
        }
        if recorded != seen {
            self.complaints.push(format!(
                "{recording} {connection}:\n  recorded {recorded}\n  seen     {seen}"
            ));
        }
    }

    /// A write that changes nothing but takes a zxid.
    fn take_a_zxid(&mut self) {
        let client = self.beside.get_mut("s").unwrap();
        let path = String::from("/none");
        let version = -1;
        client.call(Request::Delete { path, version }).unwrap();
    }
}

/// Whether this says that the session is over.
fn is_expired(received: &Received) -> bool {
    matches!(received, Received::Reply(_, header, ..) if header.err == ErrorCode::SESSION_EXPIRED)
}

fn ping(wire: &mut Wire) -> Received {
    // A server that has closed the connection is found out by what it sends.
    let _ = wire.ask(Xid::PING.0, &[Request::Ping]);
    wire.receive()
}

fn unhex(text: &str) -> Bytes {
    let digits = text.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
    bytes.collect()
}

/// A request in the words of `replay.txt`: `create PATH text:DATA ACL MODE [TTL]`,
/// `set PATH text:DATA VERSION`, `delete PATH VERSION`, `setacl PATH ACL VERSION`, `auth`, `close`.
fn request(words: &[&str]) -> Request {
    let path = || words[1].to_owned();
    let data = || Some(words[2].strip_prefix("text:").unwrap().to_owned().into());
    match words[0] {
        "auth" => Request::Auth(Auth {
            kind: 0,
            scheme: String::from("digest"),
            auth: Bytes::from_static(b"super:golden"),
        }),
        "close" => Request::CloseSession,
        "delete" => Request::Delete {
            path: path(),
            version: words[2].parse().unwrap(),
        },
        "set" => Request::SetData {
            path: path(),
            data: data(),
            version: words[3].parse().unwrap(),
        },
        "setacl" => Request::SetAcl {
            path: path(),
            acl: acl(words[2]),
            version: words[3].parse().unwrap(),
        },
        "create" | "create2" => {
            let (op, mode) = match words[4] {
                "PERSISTENT" => (OpCode::CREATE, CreateMode::Persistent),
                "EPHEMERAL" => (OpCode::CREATE, CreateMode::Ephemeral),
                "CONTAINER" => (OpCode::CREATE_CONTAINER, CreateMode::Container),
                "PERSISTENT_WITH_TTL" => (OpCode::CREATE_TTL, CreateMode::PersistentWithTtl),
                mode => panic!("mode {mode}"),
            };
            Request::Create(Create {
                op,
                path: path(),
                data: data(),
                acl: acl(words[3]),
                flags: mode.to_flags(),
                ttl_ms: words.get(5).map_or(0, |ttl| ttl.parse().unwrap()),
            })
        }
        word => panic!("word {word}"),
    }
}

/// `open` or `world:anyone:PERMS`.
fn acl(word: &str) -> Vec<Acl> {
    let Some(letters) = word.strip_prefix("world:anyone:") else {
        assert_eq!(word, "open");
        return vec![Acl::open()];
    };
    let bits = letters
        .chars()
        .map(|letter| 1 << "rwcda".find(letter).unwrap());
    vec![Acl::new(Perms(bits.sum()), Id::anyone())]
}
