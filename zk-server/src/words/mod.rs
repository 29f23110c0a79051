//! Four-letter words: short questions on the client port, answered with text and a close
//! (`server.command`, 3.9.5). Texts are Apache's, byte for byte, because tools parse them.

mod dump;
mod environment;
mod monitor;
mod report;

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;
use tracing::debug;
use zk_core::Core;

use crate::driver::ToCore;
use crate::shared::Shared;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// A four-letter word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Conf,
    Cons,
    Crst,
    Dirs,
    Dump,
    Envi,
    Gtmk,
    Hash,
    Isro,
    Mntr,
    Ruok,
    Srst,
    Srvr,
    Stat,
    Stmk,
    Wchc,
    Wchp,
    Wchs,
}

impl Word {
    const ALL: [Self; 18] = [
        Self::Conf,
        Self::Cons,
        Self::Crst,
        Self::Dirs,
        Self::Dump,
        Self::Envi,
        Self::Gtmk,
        Self::Hash,
        Self::Isro,
        Self::Mntr,
        Self::Ruok,
        Self::Srst,
        Self::Srvr,
        Self::Stat,
        Self::Stmk,
        Self::Wchc,
        Self::Wchp,
        Self::Wchs,
    ];

    /// The word that a connection's first bytes are. As a frame's length they are far beyond every
    /// limit, so nothing else is mistaken for one.
    pub(crate) fn parse(bytes: &[u8; 4]) -> Option<Self> {
        let is_it = |word: &Self| word.as_str().as_bytes() == bytes;
        Self::ALL.into_iter().find(is_it)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Conf => "conf",
            Self::Cons => "cons",
            Self::Crst => "crst",
            Self::Dirs => "dirs",
            Self::Dump => "dump",
            Self::Envi => "envi",
            Self::Gtmk => "gtmk",
            Self::Hash => "hash",
            Self::Isro => "isro",
            Self::Mntr => "mntr",
            Self::Ruok => "ruok",
            Self::Srst => "srst",
            Self::Srvr => "srvr",
            Self::Stat => "stat",
            Self::Stmk => "stmk",
            Self::Wchc => "wchc",
            Self::Wchp => "wchp",
            Self::Wchs => "wchs",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The server does not serve clients.
struct NotServing;

/// The mask behind the first four bytes, which `stmk` alone brings, in eight bytes; `None` while it is
/// still to come.
pub(crate) fn mask(word: Word, input: &[u8], server: &Shared) -> Option<i64> {
    if word == Word::Stmk && is_allowed(word, server) {
        let mask = input.get(4..)?.first_chunk()?;
        Some(i64::from_be_bytes(*mask))
    } else {
        Some(0)
    }
}

fn is_allowed(word: Word, server: &Shared) -> bool {
    let whitelist = &server.config.client_port.four_letter_words;
    whitelist.allows(word.as_str())
}

/// The whole answer to a word, with the mask of `stmk`.
pub(crate) async fn answer(word: Word, mask: i64, server: &Shared) -> String {
    if !is_allowed(word, server) {
        debug!(%word, "four-letter word refused, it is not in the whitelist");
        return format!("{word} is not executed because it is not in the whitelist.\n");
    }
    debug!(%word, "four-letter word");
    match try_answer(word, mask, server).await {
        Ok(text) => text,
        Err(NotServing) if word == Word::Isro => "null".to_owned(),
        Err(NotServing) if word == Word::Hash => NOT_SERVING.trim_end().to_owned(),
        Err(NotServing) => NOT_SERVING.to_owned(),
    }
}

async fn try_answer(word: Word, mask: i64, server: &Shared) -> Result<String, NotServing> {
    Ok(match word {
        Word::Ruok => "imok".to_owned(),
        Word::Envi => environment::render(),
        Word::Gtmk => server.trace_mask.load(Relaxed).to_string(),
        Word::Stmk => {
            server.trace_mask.store(mask, Relaxed);
            mask.to_string()
        }
        Word::Conf => report::configuration(server).await?,
        Word::Dirs => {
            ask(server, |_| ()).await?;
            report::directories(server).await
        }
        Word::Isro => {
            let is_read_only = ask(server, Core::is_read_only).await?;
            if is_read_only { "ro" } else { "rw" }.to_owned()
        }
        Word::Cons => {
            ask(server, |_| ()).await?;
            report::connections(server)
        }
        Word::Crst => {
            ask(server, |_| ()).await?;
            for link in server.registry.links() {
                *link.stats() = crate::stats::ConnectionStats::default();
            }
            "Connection stats reset.\n".to_owned()
        }
        Word::Srst => {
            let counters = ask(server, Core::counters).await?;
            server.reset_stats(counters);
            "Server stats reset.\n".to_owned()
        }
        Word::Srvr => {
            let state = report::CoreState::ask(server).await?;
            report::version(&state) + &report::server(server, &state)
        }
        Word::Stat => {
            let state = report::CoreState::ask(server).await?;
            let clients = report::clients(server);
            report::version(&state) + &clients + &report::server(server, &state)
        }
        Word::Mntr => monitor::answer(server).await?,
        Word::Dump => {
            let connections = dump::connections(server);
            ask(server, move |core| dump::render(core, &connections)).await?
        }
        Word::Hash => ask(server, report::digests).await?,
        Word::Wchs => ask(server, report::watch_summary).await?,
        Word::Wchc => ask(server, report::watches_by_session).await?,
        Word::Wchp => ask(server, report::watches_by_path).await?,
    })
}

/// Has the loop answer a question about the core, while that serves clients.
async fn ask<T: Send + 'static>(
    server: &Shared,
    question: impl FnOnce(&Core) -> T + Send + 'static,
) -> Result<T, NotServing> {
    let (reply, answer) = oneshot::channel();
    let inspect = ToCore::Inspect(Box::new(move |core| {
        if core.is_serving() {
            // A client that is gone needs no answer.
            _ = reply.send(question(core));
        }
    }));
    server.core.send(inspect).await.map_err(|_| NotServing)?;
    answer.await.map_err(|_| NotServing)
}
