//! Four-letter words, asked of Apache's server and of this one: after the same requests both say
//! the same, line by line, but for what must differ.
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "opens sockets")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tempfile::TempDir;
use zk_proto::{
    Acl, ConnectRequest, Create, CreateMode, OpCode, PASSWORD_BYTES, Record, Request, SessionId,
    Zxid, write_frame,
};
use zk_tests::{Flavour, Needs, RawClient, ServerProcess, ServerSettings};

const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, and the clients at rest after what [`work`](Subject::work) asks for.
struct Subject {
    server: ServerProcess,
    clients: Vec<RawClient>,
    _folder: TempDir,
}

impl Subject {
    fn start(flavour: Flavour, set_up: impl Fn(ServerSettings) -> ServerSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = set_up(ServerSettings::new(folder.path()));
        Self {
            server: ServerProcess::start(flavour, &settings),
            clients: Vec::new(),
            _folder: folder,
        }
    }

    fn ask(&self, word: &str) -> String {
        self.server.ask(word).unwrap()
    }

    /// Sends `bytes` in packets of `packet_bytes` and reads to the end.
    fn send(&self, bytes: &[u8], packet_bytes: usize) -> Vec<u8> {
        let mut socket = TcpStream::connect(self.server.address()).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for packet in bytes.chunks(packet_bytes) {
            // A server that has heard enough may have closed the socket.
            _ = socket.write_all(packet);
        }
        let mut answer = Vec::new();
        // So may one that did not read everything, which resets the connection.
        _ = socket.read_to_end(&mut answer);
        answer
    }

    /// Two sessions with nodes, watches and events; others that came back, were refused, or went.
    fn work(&mut self) {
        self.ask("srst");
        let connect = || RawClient::connect(self.server.address(), SESSION_TIMEOUT).unwrap();
        let (mut first, mut second) = (connect(), connect());
        for request in [
            create("/a", CreateMode::Persistent),
            create("/a", CreateMode::Persistent),
            create("/a/b", CreateMode::Persistent),
            create("/a/e", CreateMode::Ephemeral),
            create("/f", CreateMode::Ephemeral),
            get_data("/a", true),
            get_data("/a/b", true),
            Request::Exists {
                path: "/missing".to_owned(),
                watch: true,
            },
            Request::GetChildren {
                path: "/a".to_owned(),
                watch: true,
            },
        ] {
            first.call(request).unwrap();
        }
        for request in [
            create("/g", CreateMode::Ephemeral),
            get_data("/a", true),
            get_data("/missing", false),
            Request::SetData {
                path: "/a/b".to_owned(),
                data: None,
                version: -1,
            },
        ] {
            second.call(request).unwrap();
        }
        for client in [&mut first, &mut second] {
            client.call(Request::Ping).unwrap();
        }
        assert_eq!(first.events().len(), 1);

        let session = second.session().clone();
        let resume = |password| {
            let address = self.server.address();
            RawClient::resume(address, SESSION_TIMEOUT, session.session_id, password).unwrap()
        };
        let mut again = resume(&session.password);
        again.call(get_data("/a", true)).unwrap();
        let stranger = RawClient::resume(
            self.server.address(),
            SESSION_TIMEOUT,
            SessionId(4711),
            &Bytes::from_static(&[0; PASSWORD_BYTES]),
        )
        .unwrap();
        stranger.wait_for_close().unwrap();
        let mut gone = connect();
        gone.call(Request::CloseSession).unwrap();
        gone.wait_for_close().unwrap();
        self.clients = vec![first, again];
    }

    /// The text without what must differ, and without orders that Apache's server leaves to the hash
    /// codes of its objects: lists are sorted.
    fn masked(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (number, client) in self.clients.iter().enumerate() {
            let session = client.session().session_id.to_string();
            text = text.replace(&session, &format!("session-{number}"));
        }
        let lines = text.split_inclusive('\n').map(mask);
        let lines = lines.filter(|line| !line.is_empty());
        let mut blocks: Vec<Vec<String>> = Vec::new();
        for line in lines {
            match blocks.last_mut() {
                Some(block) if line.starts_with('\t') => block.push(line),
                _ => blocks.push(vec![line]),
            }
        }
        for block in &mut blocks {
            if let [_head, items @ ..] = block.as_mut_slice() {
                items.sort();
            }
        }
        let is_item = |block: &[String]| {
            let head = block.first().map(String::as_str).unwrap_or_default();
            ["session", "/", " "]
                .iter()
                .any(|start| head.starts_with(start))
        };
        for run in blocks.chunk_by_mut(|one, next| is_item(one) && is_item(next)) {
            run.sort();
        }
        blocks.concat().concat()
    }
}

fn create(path: &str, mode: CreateMode) -> Request {
    Request::Create(Create {
        op: OpCode::CREATE,
        path: path.to_owned(),
        data: Some(Bytes::from_static(b"data")),
        acl: vec![Acl::open()],
        flags: mode.to_flags(),
        ttl_ms: 0,
    })
}

fn get_data(path: &str, watch: bool) -> Request {
    Request::GetData {
        path: path.to_owned(),
        watch,
    }
}

/// Keys whose values are of the server's build, its place, its port or the time.
const MASKED: [&str; 24] = [
    "Zookeeper version: ",
    "Latency min/avg/max: ",
    "clientPort=",
    "dataDir=",
    "dataDirSize=",
    "dataLogDir=",
    "dataLogSize=",
    "datadir_size: ",
    "logdir_size: ",
    "zookeeper.version=",
    "host.name=",
    "java.version=",
    "java.vendor=",
    "java.home=",
    "java.class.path=",
    "java.library.path=",
    "os.version=",
    "os.memory.free=",
    "os.memory.max=",
    "os.memory.total=",
    "zk_version\t",
    "zk_uptime\t",
    "zk_open_file_descriptor_count\t",
    "zk_max_file_descriptor_count\t",
];

/// Numbers of a line of `cons`, as far as they are times.
const TIMES: [&str; 6] = ["est=", "lresp=", "llat=", "minlat=", "avglat=", "maxlat="];

fn mask(line: &str) -> String {
    if let Some(key) = MASKED.iter().find(|key| line.starts_with(*key)) {
        return format!("{key}…\n");
    }
    let mut line = line.to_owned();
    // Which of the sessions expire at the end of one tick depends on when they came.
    if line.contains(" expire at ") {
        return String::new();
    }
    if let Some((head, tail)) = line.split_once("Sets (") {
        let rest = tail.trim_start_matches(|digit: char| digit.is_ascii_digit());
        line = format!("{head}Sets (…{rest}");
    }
    for prefix in TIMES.into_iter().chain(["/127.0.0.1:"]) {
        if let Some((head, tail)) = line.split_once(prefix) {
            let rest = tail.trim_start_matches(|digit: char| digit.is_ascii_digit());
            line = format!("{head}{prefix}…{rest}");
        }
    }
    line
}

/// What differs between two texts, line by line.
fn differences(word: &str, ours: &str, apaches: &str) -> Vec<String> {
    let (ours, apaches): (Vec<_>, Vec<_>) = (ours.lines().collect(), apaches.lines().collect());
    let mut found = Vec::new();
    for at in 0..ours.len().max(apaches.len()) {
        if ours.get(at) != apaches.get(at) {
            let (ours, apaches) = (ours.get(at), apaches.get(at));
            found.push(format!(
                "{word}, line {at}: ours {ours:?}, Apache's {apaches:?}"
            ));
        }
    }
    found
}

/// Every word but `stmk`. One that shows counters comes before one whose text is long: Apache's
/// server counts each piece of 8 KiB as a packet.
const WORDS: [&str; 19] = [
    "ruok", "isro", "gtmk", "hash", "wchs", "wchc", "wchp", "srvr", "stat", "cons", "dump", "conf",
    "dirs", "mntr", "crst", "cons", "srst", "srvr", "envi",
];

#[test]
fn the_words_say_what_apaches_server_says() {
    if Needs::apache("words.rs").is_none() {
        return;
    }
    let [ours, apaches] = [Flavour::Ours, Flavour::Apache].map(|flavour| {
        let mut subject = Subject::start(flavour, |settings| settings);
        subject.work();
        WORDS.map(|word| subject.masked(&subject.ask(word)))
    });
    let texts = ours.iter().zip(&apaches);
    let found = WORDS
        .iter()
        .zip(texts)
        .flat_map(|(word, (ours, apaches))| match *word {
            "mntr" => mntr_differences(ours, apaches),
            word => differences(word, ours, apaches),
        });
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Figures of `mntr` that measure the server, not what clients did.
const MEASURED: [&str; 6] = [
    "zk_version",
    "zk_uptime",
    "zk_open_file_descriptor_count",
    "zk_max_file_descriptor_count",
    // Reads pass through this stage of Apache's server too.
    "zk_sync_processor_request_queued",
    "zk_cnt_sync_processor_queue_time_ms",
];

/// The figures of one series.
const KINDS: [&str; 9] = [
    "avg", "min", "max", "cnt", "sum", "p50", "p95", "p99", "p999",
];

/// What differs of the names that both have, in their values and in the order of the figures of one
/// series. Which names there are is for the tests of the server to say.
fn mntr_differences(ours: &str, apaches: &str) -> Vec<String> {
    let lines = |text: &str| -> Vec<(String, String)> {
        let lines = text.lines().map(|line| line.split_once('\t').unwrap());
        lines
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let (ours, apaches) = (lines(ours), lines(apaches));
    let names = |lines: &[(String, String)]| -> BTreeSet<String> {
        lines.iter().map(|(name, _)| name.clone()).collect()
    };
    let common: BTreeSet<_> = names(&ours)
        .intersection(&names(&apaches))
        .cloned()
        .collect();
    let mut found = Vec::new();
    let value_of = |lines: &[(String, String)], name: &str| {
        let line = lines.iter().find(|(other, _)| other == name);
        line.unwrap().1.clone()
    };
    for name in &common {
        let (ours, apaches) = (value_of(&ours, name), value_of(&apaches, name));
        if !is_measured(name) && ours != apaches {
            found.push(format!("{name}: ours {ours}, Apache's {apaches}"));
        }
    }
    for name in &common {
        let Some(series) = name.strip_prefix("zk_cnt_") else {
            continue;
        };
        let figures = KINDS.map(|kind| format!("zk_{kind}_{series}"));
        let order = |lines: &[(String, String)]| -> Vec<String> {
            let names = lines.iter().map(|(name, _)| name.clone());
            names.filter(|name| figures.contains(name)).collect()
        };
        let (ours, apaches) = (order(&ours), order(&apaches));
        if ours != apaches {
            found.push(format!("ours {ours:?}, Apache's {apaches:?}"));
        }
    }
    found
}

fn is_measured(name: &str) -> bool {
    let is_time = ["time", "time_ms", "latency", "queue_size", "batch_size"]
        .iter()
        .any(|end| name.ends_with(end));
    MEASURED.contains(&name) || is_time
}

/// What is sent, in packets of how many bytes, and what is answered before the connection closes.
const QUESTIONS: [(&[u8], usize, &str); 14] = [
    (b"ruok", 2, "imok"),
    (b"ruok", 1, "imok"),
    (b"ruok\n", 5, "imok"),
    (b"ruok\r\n", 2, "imok"),
    (b"ruokruok", 8, "imok"),
    (b"ruok and more", 13, "imok"),
    (b"RUOK", 4, ""),
    (b"what", 4, ""),
    (b"rest", 4, ""),
    (b"\xff\xf4\xff\xfd", 4, ""),
    (b"\0\0\0\0", 4, ""),
    (b"gtmk", 4, "306"),
    (b"stmk\0\0\0\0\0\0\x01\x31", 12, "305"),
    (b"gtmk", 4, "305"),
];

#[test]
fn odd_questions_are_answered_as_by_apaches_server() {
    for flavour in flavours() {
        let subject = Subject::start(flavour, |settings| settings);
        for (question, packet_bytes, expected) in QUESTIONS {
            let answer = subject.send(question, packet_bytes);
            let answer = String::from_utf8_lossy(&answer);
            assert_eq!(answer, expected, "{flavour:?}: {}", question.escape_ascii());
        }
        assert_eq!(subject.ask("ruok"), "imok");
    }
}

#[test]
fn a_word_in_a_session_is_a_length_out_of_bounds() {
    let mut opening = BytesMut::new();
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 30_000,
        session_id: SessionId(0),
        password: Bytes::from_static(&[0; PASSWORD_BYTES]),
        read_only: Some(false),
    };
    write_frame(&mut opening, |out| request.encode(out));
    let session = opening.len();
    opening.extend_from_slice(b"ruok");
    for flavour in flavours() {
        let subject = Subject::start(flavour, |settings| settings);
        let answer = subject.send(&opening, session);
        assert!(!answer.ends_with(b"imok"), "{flavour:?}: {answer:?}");
        assert_eq!(subject.ask("ruok"), "imok", "{flavour:?}");
    }
}

#[test]
fn words_that_are_not_in_the_whitelist_are_refused_by_name() {
    let known: BTreeSet<_> = WORDS.iter().chain(&["stmk"]).collect();
    for flavour in flavours() {
        let limits =
            |settings: ServerSettings| settings.set("4lw.commands.whitelist", "isro, what");
        let subject = Subject::start(flavour, limits);
        for word in &known {
            let refusal = format!("{word} is not executed because it is not in the whitelist.\n");
            let is_refused = subject.ask(word) == refusal;
            assert_eq!(
                is_refused,
                !["isro", "srvr"].contains(word),
                "{flavour:?}: {word}"
            );
        }
        assert_eq!(subject.send(b"what", 4), b"", "{flavour:?}: no such word");
    }
}

/// This project's server, and Apache's if it is there.
fn flavours() -> Vec<Flavour> {
    let apaches = Needs::apache("words.rs").map(|_| Flavour::Apache);
    [Flavour::Ours].into_iter().chain(apaches).collect()
}
