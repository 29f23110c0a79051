//! The command line: options, verbs and their flags.
//!
//! The verbs and flags are those of Apache ZooKeeper's `zkCli.sh` (3.9.5), so that its scripts and
//! habits go on working; the shell reads its lines through the same definitions.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use zk_client::{ClientConfig, ConnectString};
use zk_proto::Acl;

use crate::acl::parse_acl;
use crate::bench::BenchArgs;
use crate::client_config;
use crate::error::CliError;

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    refused by the server, or a file that is damaged
  2    the command line is wrong
  3    no server was reached, or the connection or the session was lost: a write may have been applied
  zk lock and zk elect give the exit code of their command, 128 and the number of the signal that
  ended it, 124 when --wait ran out, 125 when zk itself failed, 126 or 127 when the command cannot
  be run or found

Examples:
  zk create /a hello                      create a znode
  zk get -s /a --server zk1,zk2/app --json
  zk watch --recursive /                  print changes as they happen
  zk dump / > tree.jsonl; zk --server other load < tree.jsonl
  zk lock /locks/report -- ./report.sh    run a command on one machine at a time
  zk bench mix --sessions 30 --in-flight 16 --duration 10s
  zk                                      an interactive shell";

/// Talks to a ZooKeeper ensemble: all verbs of zkCli, locks and elections around commands,
/// inspection of files, and a benchmark. Without a command it is an interactive shell.
#[derive(Debug, Parser)]
#[command(
    name = "zk",
    version,
    after_help = AFTER_HELP,
    infer_long_args = true,
    args_override_self = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command. Those that are global stand before it or after it; identities, which add
/// up, and what shares its letter with a verb's flag stand before it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Servers, and the path below which to work: host:port,host:port/path
    #[arg(
        long,
        global = true,
        env = "ZK_SERVER",
        default_value = "localhost:2181",
        value_name = "LIST"
    )]
    pub(crate) server: String,
    /// Print one JSON document a line instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The session timeout, such as 10s; a bare number is milliseconds
    #[arg(
        long,
        global = true,
        default_value = "30s",
        value_parser = parse_duration,
        value_name = "D"
    )]
    pub(crate) timeout: Duration,
    /// An identity to prove, such as digest:user:password; may be repeated
    #[arg(long, value_parser = parse_auth, value_name = "SCHEME:AUTH")]
    pub(crate) auth: Vec<(String, String)>,
    /// Accept a server that is cut off from its quorum, for reads
    #[arg(short, long)]
    pub(crate) read_only: bool,
    /// Settings of the client as zkCli reads them, such as zookeeper.request.timeout=5000
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_configuration: Option<PathBuf>,
    /// Accepted for zkCli's sake: a connection is always waited for
    #[arg(long, global = true, hide = true)]
    pub(crate) waitforconnection: bool,
}

impl Options {
    /// The settings of a client with these options.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, CliError> {
        let mut config = ClientConfig {
            session_timeout: self.timeout,
            connect_timeout: self.timeout,
            read_only: self.read_only,
            ..ClientConfig::default()
        };
        if let Some(file) = &self.client_configuration {
            client_config::read(file, &mut config)?;
        }
        Ok(config)
    }

    /// The servers and the path below which to work.
    pub(crate) fn servers(&self) -> Result<ConnectString, CliError> {
        let servers = self.server.parse();
        servers.map_err(|error| CliError::Usage(format!("--server: {error}")))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Verb(Verb),
    #[command(flatten)]
    Shell(ShellVerb),
    /// Run a command while holding a lock
    Lock(HoldArgs),
    /// Run a command while being the leader
    Elect(HoldArgs),
    /// Print and verify a transaction log
    Txnlog(TxnlogArgs),
    /// Print and verify a snapshot
    Snapshot(SnapshotArgs),
    /// Show what each server of --server does: its role, how far it is, who follows
    Ensemble,
    /// Measure a server
    Bench(BenchArgs),
}

/// A line of the shell.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_version_flag = true,
    infer_long_args = true
)]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) verb: LineVerb,
}

/// What a line of the shell may ask for.
#[derive(Debug, Subcommand)]
pub(crate) enum LineVerb {
    #[command(flatten)]
    Verb(Verb),
    #[command(flatten)]
    Shell(ShellVerb),
}

/// Verbs about the shell itself.
#[derive(Debug, Subcommand)]
pub(crate) enum ShellVerb {
    /// Close the session; `connect` opens another
    Close,
    /// Close the session and connect, to the same servers or to others
    Connect {
        /// The servers
        servers: Option<String>,
    },
    /// Print the last lines
    History,
    /// Print watch events, or not
    Printwatches {
        /// Without a value, tells
        value: Option<Switch>,
    },
    /// Leave
    #[command(alias = "exit")]
    Quit,
    /// Run a line of the history again
    Redo {
        /// Its number
        number: usize,
    },
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// Verbs about znodes, the session and the ensemble.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Prove an identity on this connection
    Addauth {
        /// The scheme, such as digest
        scheme: String,
        /// The proof, such as user:password
        auth: Option<String>,
    },
    /// Add a persistent watch
    #[command(name = "addWatch", alias = "addwatch")]
    AddWatch {
        /// Whether to watch everything below the path as well
        #[arg(short, default_value = "PERSISTENT_RECURSIVE", ignore_case = true)]
        mode: WatchMode,
        /// The znode
        path: String,
    },
    /// Print the ensemble's membership
    Config {
        /// Only the version and the addresses for clients
        #[arg(short)]
        client: bool,
        /// Leave a watch
        #[arg(short)]
        watch: bool,
        /// Print the Stat
        #[arg(short)]
        stat: bool,
    },
    /// Create a znode
    Create {
        /// Complete the name by a counter
        #[arg(short)]
        sequential: bool,
        /// Delete it with the session
        #[arg(short, conflicts_with_all = ["container", "ttl"])]
        ephemeral: bool,
        /// Delete it some time after its last child
        #[arg(short, conflicts_with_all = ["sequential", "ttl"])]
        container: bool,
        /// Delete it when childless and unchanged for so long; a bare number is milliseconds
        #[arg(short, value_parser = parse_duration, value_name = "TTL")]
        ttl: Option<Duration>,
        /// The znode, or the prefix of its path
        path: String,
        /// Its data
        data: Option<String>,
        /// Its ACL, such as world:anyone:r,digest:user:hash:cdrwa
        #[arg(value_parser = parse_acl_argument)]
        acl: Option<AclArgument>,
    },
    /// Delete a znode
    Delete {
        /// Only if the data has this version
        #[arg(short, allow_negative_numbers = true)]
        version: Option<i32>,
        /// The znode
        path: String,
    },
    /// Delete a znode and all below it
    Deleteall {
        /// How many deletions to have on the way at a time
        #[arg(short, default_value = "1000", value_name = "SIZE")]
        batch: Batch,
        /// The znode
        path: String,
    },
    /// Delete quotas; without a flag, all of them
    Delquota {
        /// The soft limit of the count
        #[arg(short = 'n', group = "limit")]
        count: bool,
        /// The soft limit of bytes
        #[arg(short = 'b', group = "limit")]
        bytes: bool,
        /// The hard limit of the count
        #[arg(short = 'N', group = "limit")]
        hard_count: bool,
        /// The hard limit of bytes
        #[arg(short = 'B', group = "limit")]
        hard_bytes: bool,
        /// The znode
        path: String,
    },
    /// Print a subtree as JSON lines that `load` reads
    Dump {
        /// The top of the subtree
        #[arg(default_value = "/")]
        path: String,
    },
    /// Print a znode's data
    Get {
        /// Print the Stat
        #[arg(short)]
        stat: bool,
        /// Leave a watch
        #[arg(short)]
        watch: bool,
        /// Print the data in base64
        #[arg(short)]
        base64: bool,
        /// Print the data as a hex dump, also when base64 is asked for
        #[arg(short = 'x')]
        hex: bool,
        /// The znode
        path: String,
        #[command(flatten)]
        old: OldWatch,
    },
    /// Print a znode's ACL
    #[command(name = "getAcl", alias = "getacl")]
    GetAcl {
        /// Print the Stat
        #[arg(short)]
        stat: bool,
        /// The znode
        path: String,
    },
    /// Count everything below a znode
    #[command(name = "getAllChildrenNumber", alias = "getallchildrennumber")]
    GetAllChildrenNumber {
        /// The znode
        path: String,
    },
    /// Print the session's ephemeral znodes
    #[command(name = "getEphemerals", alias = "getephemerals")]
    GetEphemerals {
        /// What their paths begin with
        #[arg(default_value = "/")]
        path: String,
    },
    /// Print quotas and what they count
    Listquota {
        /// The znode
        path: String,
    },
    /// Create znodes from JSON lines as `dump` and `snapshot --json` print them
    Load {
        /// What to do with znodes that exist
        #[arg(long, default_value = "fail")]
        existing: Existing,
        /// The file; without one, the standard input
        file: Option<PathBuf>,
    },
    /// Print a znode's children
    Ls {
        /// Print the Stat
        #[arg(short)]
        stat: bool,
        /// Leave a watch
        #[arg(short)]
        watch: bool,
        /// Print the paths of the whole subtree
        #[arg(short = 'R')]
        recursive: bool,
        /// Print help
        #[arg(short = '?', hide = true, action = ArgAction::Help)]
        help_as_zkcli: Option<bool>,
        /// The znode
        #[arg(default_value = "/")]
        path: String,
        #[command(flatten)]
        old: OldWatch,
    },
    /// Change the ensemble's membership
    Reconfig {
        /// Print the Stat of the configuration
        #[arg(short)]
        stat: bool,
        /// Only if the configuration has this version, in hexadecimal
        #[arg(short, value_parser = parse_hex, value_name = "VERSION")]
        version: Option<i64>,
        /// A file with the whole membership, as server.N= lines
        #[arg(long, group = "whole", conflicts_with_all = ["add", "remove"])]
        file: Option<PathBuf>,
        /// The whole membership: server.1=host:2888:3888;2181,…
        #[arg(long, group = "whole", conflicts_with_all = ["add", "remove"])]
        members: Option<String>,
        /// Servers that join: server.4=host:2888:3888;2181,…
        #[arg(long, required_unless_present_any = ["whole", "remove"])]
        add: Option<String>,
        /// Ids of the servers that leave, joined by commas
        #[arg(long)]
        remove: Option<String>,
    },
    /// Remove watches of this session
    #[command(name = "removewatches", alias = "removeWatches")]
    RemoveWatches {
        /// Those on the children
        #[arg(short, group = "kind")]
        children: bool,
        /// Those on the data
        #[arg(short, group = "kind")]
        data: bool,
        /// Persistent ones
        #[arg(short, group = "kind")]
        persistent: bool,
        /// Persistent recursive ones
        #[arg(short, group = "kind")]
        recursive: bool,
        /// All of them; the default
        #[arg(short, group = "kind")]
        any: bool,
        /// Also without a connection
        #[arg(short)]
        local: bool,
        /// The znode
        path: String,
    },
    /// Replace a znode's data
    Set {
        /// Print the Stat
        #[arg(short)]
        stat: bool,
        /// Only if the data has this version
        #[arg(short, allow_negative_numbers = true)]
        version: Option<i32>,
        /// The data is base64
        #[arg(short)]
        base64: bool,
        /// The znode
        path: String,
        /// The data
        data: String,
    },
    /// Replace a znode's ACL
    #[command(name = "setAcl", alias = "setacl")]
    SetAcl {
        /// Print the Stat, with -R of every znode
        #[arg(short)]
        stat: bool,
        /// Only if the ACL has this version
        #[arg(short, allow_negative_numbers = true)]
        version: Option<i32>,
        /// Of all znodes below as well
        #[arg(short = 'R')]
        recursive: bool,
        /// The znode
        path: String,
        /// The ACL, such as world:anyone:r,digest:user:hash:cdrwa
        #[arg(value_parser = parse_acl_argument)]
        acl: AclArgument,
    },
    /// Limit a subtree
    Setquota {
        #[command(flatten)]
        limit: LimitArgs,
        /// The znode
        path: String,
    },
    /// Print a znode's Stat
    Stat {
        /// Leave a watch
        #[arg(short)]
        watch: bool,
        /// The znode
        path: String,
        #[command(flatten)]
        old: OldWatch,
    },
    /// Bring the server up to the leader
    Sync {
        /// Any path
        #[arg(default_value = "/")]
        path: String,
    },
    /// Draw a subtree
    Tree {
        /// How many levels below the top
        #[arg(short = 'L', long)]
        depth: Option<usize>,
        /// The top of the subtree
        #[arg(default_value = "/")]
        path: String,
    },
    /// Print the version of this program
    Version,
    /// Print events until interrupted
    Watch {
        /// Of everything below the path as well
        #[arg(short, long)]
        recursive: bool,
        /// The znode
        path: String,
    },
    /// Print the identities of the connection
    Whoami,
}

/// One quota.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct LimitArgs {
    /// At most so many znodes, else a warning in the server's log
    #[arg(short = 'n', value_parser = clap::value_parser!(i64).range(1..), value_name = "COUNT")]
    pub(crate) count: Option<i64>,
    /// At most so many bytes, else a warning in the server's log
    #[arg(short = 'b', value_parser = clap::value_parser!(i64).range(0..), value_name = "BYTES")]
    pub(crate) bytes: Option<i64>,
    /// At most so many znodes, else writes are refused
    #[arg(short = 'N', value_parser = clap::value_parser!(i64).range(1..), value_name = "COUNT")]
    pub(crate) hard_count: Option<i64>,
    /// At most so many bytes, else writes are refused
    #[arg(short = 'B', value_parser = clap::value_parser!(i64).range(0..), value_name = "BYTES")]
    pub(crate) hard_bytes: Option<i64>,
}

/// How `addWatch` watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum WatchMode {
    Persistent,
    PersistentRecursive,
}

/// What `load` does with a znode that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Existing {
    /// Stop
    Fail,
    /// Leave it as it is
    Keep,
    /// Replace its data and its ACL
    Overwrite,
}

/// The form before `-w`: anything behind the path asked for a watch. zkCli still takes it.
#[derive(Debug, Args)]
pub(crate) struct OldWatch {
    #[arg(hide = true)]
    old_watch: Option<String>,
}

impl OldWatch {
    /// Whether a watch is asked for in either form; says which one to use.
    pub(crate) fn or(&self, watch: bool) -> bool {
        if self.old_watch.is_some() {
            eprintln!(
                "zk: a watch is asked for by -w before the path; a word behind it is deprecated"
            );
        }
        watch || self.old_watch.is_some()
    }
}

/// Options of `lock` and `elect`.
#[derive(Debug, Args)]
#[command(after_help = "\
The command gets ZK_TOKEN, a number that grows from holder to holder, to fence its effects with, and
ZK_NODE, the znode that stands for holding. When what is held is lost, the command and what it started
get SIGTERM, and SIGKILL after --grace. zk takes it for lost a quarter of the session timeout before
the servers can give it to another: keep --grace below that.")]
pub(crate) struct HoldArgs {
    /// How long to wait for the lock; without it, forever
    #[arg(long, value_parser = parse_duration, value_name = "D")]
    pub(crate) wait: Option<Duration>,
    /// How long the command may take to end after SIGTERM, before SIGKILL
    #[arg(long, default_value = "5s", value_parser = parse_duration, value_name = "D")]
    pub(crate) grace: Duration,
    /// Leave the command in the terminal's foreground; what it starts is then not ended with it
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Where the candidates meet
    pub(crate) path: String,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// Options of `txnlog`.
#[derive(Debug, Args)]
pub(crate) struct TxnlogArgs {
    /// Only verify: print a summary, not every transaction
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The file, such as version-2/log.1
    pub(crate) file: PathBuf,
}

/// Options of `snapshot`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// Only verify: print a summary, not every znode
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Print the data as well; JSON always has it
    #[arg(short, long)]
    pub(crate) data: bool,
    /// The file, such as version-2/snapshot.0
    pub(crate) file: PathBuf,
}

/// An ACL of the command line; one type for clap, where a `Vec` would mean a repeated argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AclArgument(pub(crate) Vec<Acl>);

fn parse_acl_argument(text: &str) -> Result<AclArgument, String> {
    parse_acl(text).map(AclArgument)
}

/// A number of requests to have on the way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch(pub(crate) usize);

impl std::str::FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(size @ 1..=Self::MAX) => Ok(Self(size)),
            _ => Err(format!("expected a number from 1 to {}", Self::MAX)),
        }
    }
}

impl Batch {
    /// Less than what a client has in flight at most.
    const MAX: usize = 1000;
}

/// A duration as people write it; a bare number is milliseconds, as in zkCli.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(ms) = text.parse() {
        return Ok(Duration::from_millis(ms));
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected such as 500ms or 10s"))
}

fn parse_auth(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((scheme, auth)) if !scheme.is_empty() => Ok((scheme.to_owned(), auth.to_owned())),
        _ => Err("expected scheme:auth, such as digest:user:password".to_owned()),
    }
}

fn parse_hex(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    i64::from_str_radix(digits, 16).map_err(|error| format!("{error}; expected hexadecimal digits"))
}

/// Long options that zkCli writes with one dash.
const SINGLE_DASH: &[&str] = &[
    "-server",
    "-timeout",
    "-waitforconnection",
    "-client-configuration",
    "-file",
    "-members",
    "-add",
    "-remove",
];

/// Reads zkCli's long options with one dash as ours with two, up to a `--`.
pub(crate) fn normalize(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut literal = false;
    args.into_iter()
        .map(|arg| {
            literal |= arg == "--";
            match arg.to_str() {
                Some(text) if !literal && SINGLE_DASH.contains(&text) => format!("-{text}").into(),
                _ => arg,
            }
        })
        .collect()
}

/// Whether a command line that cannot be read as a whole asks for JSON.
pub(crate) fn asks_for_json(args: &[OsString]) -> bool {
    let own = args.iter().take_while(|arg| *arg != "--");
    own.into_iter().any(|arg| arg == "--json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let words = line.split_whitespace().map(OsString::from);
        Cli::try_parse_from(normalize(words))
    }

    fn verb(line: &str) -> Verb {
        match parse(line).unwrap().command {
            Some(Command::Verb(verb)) => verb,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definitions_hold_together() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        Line::command().debug_assert();
    }

    /// Every line that zkCli takes, with all its flags.
    #[test]
    fn lines_of_zkcli_are_taken() {
        for line in [
            "zk -server a:1,b:2/c -timeout 5000 -r ls /",
            "zk -waitforconnection -client-configuration client.properties ls /",
            "zk addauth digest user:password",
            "zk addauth digest",
            "zk addWatch -m PERSISTENT /a",
            "zk addWatch -m persistent_recursive /a",
            "zk addWatch /a",
            "zk config -c -w -s",
            "zk create /a",
            "zk create -s -e /a data world:anyone:cdrwa",
            "zk create -c /a",
            "zk create -s -t 1000 /a data",
            "zk delete -v 3 /a",
            "zk delete -v -1 /a",
            "zk deleteall /a -b 10",
            "zk delquota /a",
            "zk delquota -n /a",
            "zk delquota -b /a",
            "zk delquota -N /a",
            "zk delquota -B /a",
            "zk get -s -w -b /a",
            "zk get -x /a",
            "zk get -b -x /a",
            "zk get /a watch",
            "zk getAcl -s /a",
            "zk getAllChildrenNumber /a",
            "zk getEphemerals",
            "zk getEphemerals /a",
            "zk history",
            "zk listquota /a",
            "zk ls -s -w /a",
            "zk ls -R /a",
            "zk ls -R -w /a",
            "zk ls -s /a watch",
            "zk printwatches on",
            "zk quit",
            "zk reconfig -s -v 100000000 -file members.txt",
            "zk reconfig -members server.1=a:1:2;3",
            "zk reconfig -add server.4=a:1:2;3 -remove 1,2",
            "zk redo 3",
            "zk removewatches /a -c -l",
            "zk removewatches -d /a",
            "zk removewatches -a /a",
            "zk removewatches -p /a",
            "zk removewatches -r /a",
            "zk set /a data -s -v 2 -b",
            "zk setAcl -s -v 1 /a world:anyone:r",
            "zk setAcl -R /a world:anyone:r",
            "zk setAcl -s -R /a world:anyone:r",
            "zk setquota -n 5 /a",
            "zk setquota -b 5 /a",
            "zk setquota -N 5 /a",
            "zk setquota -B 5 /a",
            "zk stat -w /a",
            "zk stat /a watch",
            "zk sync /a",
            "zk version",
            "zk whoami",
            "zk close",
            "zk connect host:1",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn lines_without_a_meaning_are_refused() {
        for line in [
            "zk create",
            "zk create -c -e /a",
            "zk create -c -s /a",
            "zk create -e -t 5 /a",
            "zk create -c -t 5 /a",
            "zk create /a data world:anyone",
            "zk deleteall -b 0 /a",
            "zk deleteall -b 100000 /a",
            "zk delquota -n -b /a",
            "zk setquota /a",
            "zk setquota -n 5 -b 5 /a",
            "zk setquota -n 0 /a",
            "zk setquota -b -1 /a",
            "zk reconfig",
            "zk reconfig -members x -add y",
            "zk reconfig -file x -members y",
            "zk removewatches -c -d /a",
            "zk addWatch -m sometimes /a",
            "zk delete /a 3",
            "zk set /a",
            "zk lock /a",
            "zk lock /a echo",
            "zk bench",
            "zk bench read --sessions 0",
            "zk bench mix --read-percent 101",
            "zk --auth digest ls /",
            "zk --timeout soon ls /",
            "zk nonsense",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn flags_mean_what_they_mean_in_zkcli() {
        assert!(matches!(
            verb("zk create -s -e /a x"),
            Verb::Create { sequential: true, ephemeral: true, container: false, ttl: None, data: Some(data), .. }
                if data == "x"
        ));
        assert!(matches!(
            verb("zk create -t 1500 /a"),
            Verb::Create { ttl: Some(ttl), data: None, .. } if ttl == Duration::from_millis(1500)
        ));
        assert!(matches!(
            verb("zk create -t 2s /a"),
            Verb::Create { ttl: Some(ttl), .. } if ttl == Duration::from_secs(2)
        ));
        assert!(matches!(
            verb("zk addWatch /a"),
            Verb::AddWatch {
                mode: WatchMode::PersistentRecursive,
                ..
            }
        ));
        assert!(matches!(
            verb("zk setquota -N 7 /a"),
            Verb::Setquota {
                limit: LimitArgs {
                    count: None,
                    bytes: None,
                    hard_count: Some(7),
                    hard_bytes: None
                },
                ..
            }
        ));
        assert!(matches!(
            verb("zk reconfig -v 1f -remove 2"),
            Verb::Reconfig { version: Some(0x1f), remove: Some(ids), add: None, .. } if ids == "2"
        ));
        assert!(matches!(
            verb("zk deleteall /a"),
            Verb::Deleteall {
                batch: Batch(1000),
                ..
            }
        ));
        let cli = parse("zk -server h:1 -timeout 250 --auth digest:u:p:q ls").unwrap();
        assert_eq!(cli.options.server, "h:1");
        assert_eq!(cli.options.timeout, Duration::from_millis(250));
        assert_eq!(
            cli.options.auth,
            [("digest".to_owned(), "u:p:q".to_owned())]
        );
    }

    #[test]
    fn a_command_to_run_is_left_as_it_is() {
        let cli = parse("zk lock --wait 1s /a -- run -file x --json").unwrap();
        let Some(Command::Lock(args)) = cli.command else {
            panic!("no lock");
        };
        assert_eq!(args.command, ["run", "-file", "x", "--json"]);
        assert_eq!(args.wait, Some(Duration::from_secs(1)));
        assert!(!cli.options.json);
    }
}
