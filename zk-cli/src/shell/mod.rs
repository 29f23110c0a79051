//! The interactive shell.
//!
//! ```text
//! editor's thread ◄── prompt ── loop ── verbs ──► standard output
//!                 ─── line ──►  loop ◄── events of watches
//! ```
//!
//! The line editor blocks, so it has a thread of its own. Lines come from it one at a time; it gets
//! the next prompt when a line is done.

mod complete;
mod editor;

use std::io::Write;

use clap::Parser;
use tokio::sync::mpsc;
use zk_client::{State, WatchItem};

use crate::args::{self, LineVerb, Options, ShellVerb, Switch, Verb};
use crate::error::{Result, usage};
use crate::output::{EventAnswer, Line, Printer, Values};
use crate::session::{self, Session};
use crate::{interruptible, verbs, words};
use complete::Tree;
use editor::{Editor, Typed};

/// Lines that `history` prints.
const HISTORY_LINES: usize = 11;

/// The shell between two lines.
struct Shell {
    options: Options,
    out: Printer,
    session: Option<Session>,
    events: mpsc::Sender<WatchItem>,
    prints_watches: bool,
    history: Vec<String>,
    /// The tree that paths are completed from.
    tree: Tree,
}

/// What a line leads to.
enum Next {
    GoOn,
    Leave,
}

/// Reads and runs lines until the end of the input, and gives the exit code of the last.
pub(crate) async fn run(options: &Options) -> Result<u8> {
    let (events, mut watched) = mpsc::channel(session::EVENTS_MAX);
    let mut shell = Shell {
        options: options.clone(),
        out: Printer::new(options.json),
        session: None,
        events,
        prints_watches: true,
        history: Vec::new(),
        tree: Tree::default(),
    };
    let mut editor = Editor::start(shell.tree.clone())?;
    let mut code = 0;
    if editor.is_interactive() {
        eprintln!("Connecting to {}; `help` lists the verbs", options.server);
    }
    if let Err(error) = shell.connect().await {
        code = error.exit_code();
        error.report(options.json);
    }
    'lines: loop {
        editor.prompt(shell.prompt());
        let typed = loop {
            tokio::select! {
                typed = editor.line() => break typed,
                Some(event) = watched.recv() => {
                    shell.show(&mut editor, event)?;
                }
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted?;
                    break Typed::End;
                }
            }
        };
        let line = match typed {
            Typed::Line(line) => line,
            Typed::Cancelled => continue,
            Typed::Failed(error) => return Err(error),
            Typed::End => break,
        };
        // Lines that are pasted come as one.
        for line in line.lines() {
            match shell.run_line(line.trim()).await {
                Ok(Next::GoOn) => code = 0,
                Ok(Next::Leave) => break 'lines,
                Err(error) => {
                    code = error.exit_code();
                    error.report(options.json);
                }
            }
        }
    }
    if let Some(session) = shell.session.take() {
        session.close().await;
    }
    Ok(code)
}

impl Shell {
    /// As zkCli's: `[zk: localhost:2181(CONNECTED) 0] `.
    fn prompt(&self) -> String {
        let state = match self.session.as_ref().map(|session| session.zk().state()) {
            None | Some(State::Closed) => "CLOSED",
            Some(State::Connecting | State::Suspended) => "CONNECTING",
            Some(State::Connected { read_only: true }) => "CONNECTEDREADONLY",
            Some(State::Connected { read_only: false }) => "CONNECTED",
            Some(State::AuthFailed) => "AUTH_FAILED",
        };
        let (server, count) = (&self.options.server, self.history.len());
        format!("[zk: {server}({state}) {count}] ")
    }

    fn show(&self, editor: &mut Editor, event: WatchItem) -> Result {
        if !self.prints_watches {
            return Ok(());
        }
        let mut text = Vec::new();
        if !self.out.is_json() {
            write!(text, "\nWATCHER::\n\n")?;
        }
        match event {
            Ok(event) => self.out.write(&EventAnswer::new(&event), &mut text)?,
            Err(end) => {
                let message = end.to_string();
                self.out.write(&Line { message }, &mut text)?;
            }
        }
        editor.print(&text)
    }

    async fn connect(&mut self) -> Result {
        self.close().await;
        let opening = Session::open(&self.options, self.events.clone());
        let session = interruptible(opening).await?;
        self.tree.set(Some((**session.zk()).clone()));
        self.session = Some(session);
        Ok(())
    }

    async fn close(&mut self) {
        self.tree.set(None);
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    async fn run_line(&mut self, line: &str) -> Result<Next> {
        if line.is_empty() {
            return Ok(Next::GoOn);
        }
        let line = match parse(line)? {
            Some(LineVerb::Shell(ShellVerb::Redo { number })) => self.redone(number)?,
            _ => line.to_owned(),
        };
        self.history.push(line.clone());
        match parse(&line)? {
            None => Ok(Next::GoOn),
            Some(LineVerb::Verb(verb)) => self.run_verb(verb).await.map(|()| Next::GoOn),
            Some(LineVerb::Shell(verb)) => self.run_shell_verb(verb).await,
        }
    }

    fn redone(&self, number: usize) -> Result<String> {
        match self.history.get(number) {
            Some(line) => Ok(line.clone()),
            None => usage(format!(
                "there is no line {number}: see history for the numbers"
            )),
        }
    }

    async fn run_verb(&mut self, verb: Verb) -> Result {
        if matches!(verb, Verb::Version) {
            return verbs::version(self.out);
        }
        let Some(session) = &mut self.session else {
            return usage("Not connected: use connect");
        };
        interruptible(verbs::run(verb, session, self.out)).await
    }

    async fn run_shell_verb(&mut self, verb: ShellVerb) -> Result<Next> {
        match verb {
            ShellVerb::Close => self.close().await,
            ShellVerb::Connect { servers } => {
                if let Some(servers) = servers {
                    self.options.server = servers;
                }
                self.connect().await?;
            }
            ShellVerb::History => {
                let first = self.history.len().saturating_sub(HISTORY_LINES);
                for (number, line) in self.history.iter().enumerate().skip(first) {
                    self.out.print(&Values {
                        text: format!("{number} - {line}"),
                        json: serde_json::json!({ "number": number, "line": line }),
                    })?;
                }
            }
            ShellVerb::Printwatches { value: None } => {
                let value = if self.prints_watches { "on" } else { "off" };
                let message = format!("printwatches is {value}");
                self.out.print(&Line { message })?;
            }
            ShellVerb::Printwatches { value: Some(value) } => {
                self.prints_watches = value == Switch::On;
            }
            ShellVerb::Quit => return Ok(Next::Leave),
            ShellVerb::Redo { .. } => return usage("No redoing redos"),
        }
        Ok(Next::GoOn)
    }
}

/// Reads a line; `None` when it asked for help, which is printed.
fn parse(line: &str) -> Result<Option<LineVerb>> {
    let words = words::split(line).into_iter().map(Into::into);
    match args::Line::try_parse_from(args::normalize(words)) {
        Ok(line) => Ok(Some(line.verb)),
        Err(error) if error.use_stderr() => Err(error.into()),
        Err(help) => {
            help.print()?;
            Ok(None)
        }
    }
}
