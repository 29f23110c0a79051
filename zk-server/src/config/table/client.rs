//! The port that clients connect to.

use crate::config::address::ListenAddress;
use crate::config::form::{Form, Value};
use crate::config::key::Key;
use crate::config::key::Source::{File, Flag, Property};

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        "clientPort",
        File,
        Form::PORT,
        None,
        |c, v| c.client_port.port = v.port(),
        "The TCP port for clients; 0 lets the system choose. Required, unless the `server.N` line \
         names it.",
    ),
    Key::honoured(
        "clientPortAddress",
        File,
        Form::Host,
        None,
        |c, v| {
            if let Value::Host(address) = v {
                c.client_port.address.clone_from(address);
            }
        },
        "The address to listen on. Not set, `0.0.0.0` and `::` all mean every interface, IPv4 and \
         IPv6.",
    ),
    Key::honoured(
        "java.net.preferIPv4Stack",
        Flag,
        Form::Bool,
        Some("false"),
        |c, v| {
            if v.bool() && c.client_port.address == ListenAddress::Any {
                c.client_port.address = ListenAddress::AnyIpv4;
            }
        },
        "Whether every interface means IPv4 only.",
    ),
    Key::honoured(
        "clientPortListenBacklog",
        File,
        Form::ANY_INT,
        Some("-1"),
        |c, v| c.client_port.backlog = v.positive(),
        "How many connections wait to be accepted; `-1` is the system's default.",
    ),
    Key::honoured(
        "clientTcpKeepAlive",
        Property,
        Form::Bool,
        Some("false"),
        |c, v| c.client_port.has_keep_alive = v.bool(),
        "Whether the system probes idle client connections.",
    ),
    Key::honoured(
        "4lw.commands.whitelist",
        Property,
        Form::FourLetterWords,
        Some("srvr"),
        |c, v| {
            if let Value::FourLetterWords(words) = v {
                c.client_port.four_letter_words.clone_from(words);
            }
        },
        "The four-letter words that are answered; `*` allows all. `srvr` always is, and `isro` in \
         read-only mode.",
    ),
    Key::honoured(
        "readonlymode.enabled",
        Flag,
        Form::Bool,
        Some("false"),
        |c, v| {
            c.read_only_mode_enabled = v.bool();
            if v.bool() {
                c.client_port.four_letter_words.allow("isro");
            }
        },
        "Whether a server that lost its quorum serves reads; also allows the word `isro`.",
    ),
    Key::refused(
        "secureClientPort",
        File,
        Form::PORT,
        &[],
        "the client port has no TLS",
    ),
    Key::refused(
        "secureClientPortAddress",
        File,
        Form::Host,
        &[],
        "the client port has no TLS",
    ),
    Key::refused(
        "client.portUnification",
        Property,
        Form::Bool,
        &["false"],
        "the client port has no TLS",
    ),
];
