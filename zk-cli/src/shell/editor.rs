//! The line editor's thread.
#![expect(
    clippy::disallowed_methods,
    reason = "starts a thread, reads the environment"
)]

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc as blocking;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, ExternalPrinter};
use tokio::sync::mpsc;

use super::complete::{Helper, Tree};
use crate::error::{CliError, Result};

/// Lines kept in the history file.
const HISTORY_MAX: usize = 1000;

/// What came from the terminal.
pub(super) enum Typed {
    Line(String),
    /// The line was given up by ^C.
    Cancelled,
    End,
    Failed(CliError),
}

/// The end of the editor that the shell holds.
pub(super) struct Editor {
    prompts: blocking::Sender<String>,
    lines: mpsc::Receiver<Typed>,
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

type Rustyline = rustyline::Editor<Helper, DefaultHistory>;

impl Editor {
    /// Starts the thread.
    pub(super) fn start(tree: Tree) -> Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY_MAX)
            .and_then(|builder| builder.history_ignore_dups(true))
            .map_err(failure)?
            .build();
        let mut rustyline = Rustyline::with_config(config).map_err(failure)?;
        rustyline.set_helper(Some(Helper::new(tree, tokio::runtime::Handle::current())));
        let interactive = io::stdin().is_terminal();
        let printer = match interactive {
            true => Some(rustyline.create_external_printer().map_err(failure)?),
            false => None,
        };
        let history = history_file().filter(|_| interactive);
        let (prompts, asked) = blocking::channel();
        let (typed, lines) = mpsc::channel(1);
        std::thread::spawn(move || edit(rustyline, history.as_ref(), &asked, &typed));
        Ok(Self {
            prompts,
            lines,
            printer: printer.map(|printer| Box::new(printer) as Box<_>),
        })
    }

    /// Whether somebody types.
    pub(super) fn is_interactive(&self) -> bool {
        self.printer.is_some()
    }

    /// Asks for the next line.
    pub(super) fn prompt(&self, prompt: String) {
        // A thread that is gone has said so by its last line.
        let _ = self.prompts.send(prompt);
    }

    /// The next line. Cancel-safe.
    pub(super) async fn line(&mut self) -> Typed {
        self.lines.recv().await.unwrap_or(Typed::End)
    }

    /// Prints above the line that is being typed.
    pub(super) fn print(&mut self, text: &[u8]) -> Result {
        match &mut self.printer {
            Some(printer) => {
                let text = String::from_utf8_lossy(text).into_owned();
                printer.print(text).map_err(failure)
            }
            None => Ok(io::stdout().lock().write_all(text)?),
        }
    }
}

fn edit(
    mut rustyline: Rustyline,
    history: Option<&PathBuf>,
    prompts: &blocking::Receiver<String>,
    lines: &mpsc::Sender<Typed>,
) {
    if let Some(path) = history
        && let Err(error) = rustyline.load_history(path)
        && !is_missing(&error)
    {
        eprintln!("zk: {}: {error}", path.display());
    }
    for prompt in prompts {
        let typed = match rustyline.readline(&prompt) {
            Ok(line) => {
                if let Err(error) = remember(&mut rustyline, history, &line) {
                    eprintln!("zk: the history is not kept: {error}");
                }
                Typed::Line(line)
            }
            Err(ReadlineError::Interrupted) => Typed::Cancelled,
            Err(ReadlineError::Eof) => Typed::End,
            Err(error) => Typed::Failed(failure(error)),
        };
        if lines.blocking_send(typed).is_err() {
            return;
        }
    }
}

/// Keeps what was typed, line by line, except what holds a secret.
fn remember(
    rustyline: &mut Rustyline,
    history: Option<&PathBuf>,
    typed: &str,
) -> rustyline::Result<()> {
    let secret = |line: &&str| line.trim_start().starts_with("addauth");
    for line in typed.lines().filter(|line| !secret(line)) {
        rustyline.add_history_entry(line)?;
    }
    match history {
        Some(path) => rustyline.append_history(path),
        None => Ok(()),
    }
}

fn is_missing(error: &ReadlineError) -> bool {
    matches!(error, ReadlineError::Io(error) if error.kind() == io::ErrorKind::NotFound)
}

/// `ZK_HISTORY`, or `.zk_history` at home.
fn history_file() -> Option<PathBuf> {
    match std::env::var_os("ZK_HISTORY") {
        Some(path) => Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty()),
        None => std::env::home_dir().map(|home| home.join(".zk_history")),
    }
}

fn failure(error: ReadlineError) -> CliError {
    CliError::Other(anyhow::Error::from(error).context("the terminal"))
}
