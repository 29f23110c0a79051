//! One task per client: it owns the socket, the clock and the session, and decides nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "the shell of the session reads the clock and opens sockets"
)]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::future::BoxFuture;
use hashbrown::HashMap;
use rand::seq::SliceRandom;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep};
use tracing::Span;
use zk_proto::{OpCode, Request, split_frame};

use crate::config::Settings;
use crate::connect_string::HostPort;
use crate::error::{Error, Kind, Result};
use crate::resolve::Resolve;
use crate::session::{
    Action, CleanupTarget, Reply, Session, SessionConfig, Submission, WatcherId, path_of, size_of,
};
use crate::state::{CloseReport, SessionEnd, SessionInfo, State, StateChange};
use crate::token::SessionToken;
use crate::watch::{EventQueue, WatchItem};

/// Most commands taken at once.
const COMMANDS_MAX: usize = 1024;

/// Least free space to read into, and how much is made when there is less.
const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES: usize = 64 << 10;

/// How long a client that was dropped has for what it began.
const DROP_DRAIN: Duration = Duration::from_secs(5);

/// Changes of state that a slow reader may be behind.
const STATES_MAX: usize = 64;

/// Where a reply goes.
pub(crate) struct Ticket {
    pub(crate) done: oneshot::Sender<Result<Reply>>,
    /// What the request holds of the bounds on requests in flight.
    pub(crate) cost: u32,
    pub(crate) span: Span,
}

/// Where events go.
pub(crate) enum Sink {
    Once(oneshot::Sender<WatchItem>),
    Stream(Arc<EventQueue>),
}

/// What handles ask of the task.
pub(crate) enum Command {
    Submit {
        submission: Submission<Ticket>,
        sink: Option<Sink>,
    },
    Unwatch(WatcherId),
    Cleanup {
        target: CleanupTarget,
        epoch: Option<u64>,
        done: Option<oneshot::Sender<Result<Reply>>>,
    },
    Auth {
        scheme: String,
        auth: Bytes,
        done: oneshot::Sender<Result<Reply>>,
    },
    Close {
        drain: Duration,
        done: oneshot::Sender<CloseReport>,
    },
    Detach {
        drain: Duration,
        done: oneshot::Sender<Option<SessionToken>>,
    },
}

impl Command {
    /// Answers for a task that is gone. Channels that are dropped say the rest.
    pub(crate) fn refuse(self) {
        let closed = |op, path| Err(Error::not_applied(op, path, Kind::Closed));
        let (done, error) = match self {
            Self::Submit { submission, .. } => {
                let path = path_of(&submission.request).map(str::to_owned);
                (submission.token.done, closed(submission.request.op(), path))
            }
            Self::Cleanup {
                done: Some(done), ..
            } => (done, closed(OpCode::DELETE, None)),
            Self::Auth { done, .. } => (done, closed(OpCode::AUTH, None)),
            Self::Unwatch(_)
            | Self::Cleanup { done: None, .. }
            | Self::Close { .. }
            | Self::Detach { .. } => return,
        };
        // Nobody waits when the receiver is dropped.
        let _unheard = done.send(error);
    }
}

/// The bounds on requests in flight, in bytes: a request takes its own size, and at least so much
/// that no more than the greatest number of requests fit.
pub(crate) struct Flow {
    permits: Semaphore,
    cost_min: u32,
    cost_max: u32,
}

impl Flow {
    fn new(requests_max: usize, bytes_max: usize) -> Self {
        let bytes_max = bytes_max.max(requests_max);
        let to_u32 = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            permits: Semaphore::new(bytes_max),
            cost_min: to_u32(bytes_max / requests_max),
            cost_max: to_u32(bytes_max),
        }
    }

    /// What a request takes. One that is larger than the bound takes all of it.
    pub(crate) fn cost(&self, request: &Request) -> u32 {
        let size = u32::try_from(size_of(request)).unwrap_or(u32::MAX);
        size.clamp(self.cost_min, self.cost_max)
    }

    pub(crate) fn try_take(&self, cost: u32) -> bool {
        match self.permits.try_acquire_many(cost) {
            Ok(permit) => {
                permit.forget();
                true
            }
            // A client that is over answers the request itself.
            Err(tokio::sync::TryAcquireError::Closed) => true,
            Err(tokio::sync::TryAcquireError::NoPermits) => false,
        }
    }

    /// Waits for its turn; requests that wait go in order.
    pub(crate) async fn take(&self, cost: u32) {
        if let Ok(permit) = self.permits.acquire_many(cost).await {
            permit.forget();
        }
    }

    fn give_back(&self, cost: usize) {
        self.permits.add_permits(cost);
    }

    /// Nothing gives anything back any more: whoever waits goes on, and is refused by the next.
    fn end(&self) {
        self.permits.close();
    }
}

/// A task that runs.
pub(crate) struct Started {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) sessions: watch::Receiver<Option<Arc<SessionInfo>>>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) changes: broadcast::WeakSender<StateChange>,
    /// Answers once: there is a session, or there will be none.
    pub(crate) first: oneshot::Receiver<std::result::Result<(), SessionEnd>>,
    /// Why the last attempt to connect failed.
    pub(crate) last_failure: watch::Receiver<String>,
}

/// Starts the task of one client. It ends when the session is over for good, which follows from
/// [`Command::Close`], [`Command::Detach`], or the end of all handles.
pub(crate) fn start(settings: Settings) -> Started {
    let config = settings.config;
    let mut hosts = settings.servers.hosts().to_vec();
    hosts.shuffle(&mut rand::rng());
    let session = Session::new(SessionConfig {
        timeout: config.session_timeout,
        read_only: config.read_only,
        servers: hosts.len(),
        backoff_min: config.backoff_min,
        backoff_max: config.backoff_max,
        seed: rand::random(),
        first_xid: 1,
        auths: settings.auths,
        resume: settings.resume,
    });
    let (commands, inbox) = mpsc::unbounded_channel();
    let flow = Arc::new(Flow::new(config.in_flight_max, config.in_flight_bytes_max));
    let (sessions_out, sessions) = watch::channel(None);
    let (state_out, state) = watch::channel(State::Connecting);
    let (changes, _) = broadcast::channel(STATES_MAX);
    let (first_out, first) = oneshot::channel();
    let (failure_out, last_failure) = watch::channel("no attempt was made".to_owned());
    let weak_changes = changes.downgrade();
    let origin = Instant::now();
    let driver = Driver {
        session,
        origin,
        hosts,
        next_host: 0,
        resolver: settings.resolver,
        reply_bytes_max: config.reply_bytes_max,
        connection: None,
        dialing: None,
        server: None,
        flow: Arc::clone(&flow),
        sinks: HashMap::new(),
        info: None,
        sessions: sessions_out,
        state: state_out,
        changes,
        first: Some(first_out),
        failure: failure_out,
        closers: Vec::new(),
        detachers: Vec::new(),
    };
    tokio::spawn(driver.run(inbox));
    Started {
        commands,
        flow,
        sessions,
        state,
        changes: weak_changes,
        first,
        last_failure,
    }
}

type Dialing = BoxFuture<'static, io::Result<(TcpStream, SocketAddr)>>;

struct Driver {
    session: Session<Ticket>,
    /// Time zero of the session.
    origin: Instant,
    hosts: Vec<HostPort>,
    next_host: usize,
    resolver: Arc<dyn Resolve>,
    reply_bytes_max: usize,
    connection: Option<Connection>,
    dialing: Option<Dialing>,
    /// The server of the connection, or of the last one.
    server: Option<SocketAddr>,
    flow: Arc<Flow>,
    sinks: HashMap<WatcherId, Sink>,
    info: Option<Arc<SessionInfo>>,
    sessions: watch::Sender<Option<Arc<SessionInfo>>>,
    state: watch::Sender<State>,
    changes: broadcast::Sender<StateChange>,
    first: Option<oneshot::Sender<std::result::Result<(), SessionEnd>>>,
    failure: watch::Sender<String>,
    closers: Vec<oneshot::Sender<CloseReport>>,
    detachers: Vec<oneshot::Sender<Option<SessionToken>>>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.flow.end();
    }
}

struct Connection {
    stream: TcpStream,
    input: BytesMut,
}

/// What the task woke up for.
enum Wake {
    Commands(usize),
    Ready,
    Dialed(io::Result<(TcpStream, SocketAddr)>),
    Deadline,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut commands = Vec::with_capacity(COMMANDS_MAX);
        let mut inbox_open = true;
        let mut alarm = Box::pin(tokio::time::sleep_until(self.origin));
        loop {
            let now = self.now();
            if self
                .session
                .next_deadline()
                .is_some_and(|deadline| deadline <= now)
            {
                self.session.on_tick(now);
            }
            self.act(now);
            if self.session.is_over() {
                break;
            }
            self.write(now);
            self.set_alarm(&mut alarm);
            let writing = !self.session.output().is_empty();
            let wake = tokio::select! {
                biased;
                count = inbox.recv_many(&mut commands, COMMANDS_MAX), if inbox_open => {
                    Wake::Commands(count)
                }
                () = ready(self.connection.as_ref(), writing) => Wake::Ready,
                dialed = dialed(self.dialing.as_mut()) => Wake::Dialed(dialed),
                () = alarm.as_mut() => Wake::Deadline,
            };
            let now = self.now();
            match wake {
                Wake::Commands(0) => {
                    inbox_open = false;
                    self.session.close(now, DROP_DRAIN);
                }
                Wake::Commands(_) => {
                    for command in commands.drain(..) {
                        self.on_command(now, command);
                    }
                }
                Wake::Ready => self.read(now),
                Wake::Dialed(result) => self.on_dialed(now, result),
                // The next turn does what is due.
                Wake::Deadline => {}
            }
        }
        inbox.close();
        while let Ok(command) = inbox.try_recv() {
            command.refuse();
        }
    }

    fn now(&self) -> Duration {
        Instant::now() - self.origin
    }

    /// Moves the alarm forward only: deadlines mostly move back, and an alarm that comes too early
    /// costs one turn.
    fn set_alarm(&self, alarm: &mut Pin<Box<Sleep>>) {
        let deadline = self.session.next_deadline().map(|at| self.origin + at);
        if let Some(deadline) = deadline
            && (alarm.is_elapsed() || deadline < alarm.deadline())
        {
            alarm.as_mut().reset(deadline);
        }
    }

    fn on_command(&mut self, now: Duration, command: Command) {
        let ticket = |done| Ticket {
            done,
            cost: 0,
            span: Span::none(),
        };
        match command {
            Command::Submit { submission, sink } => {
                if let (Some(watcher), Some(sink)) = (submission.watcher, sink) {
                    self.sinks.insert(watcher, sink);
                }
                self.session.submit(now, submission);
            }
            Command::Unwatch(watcher) => {
                self.sinks.remove(&watcher);
                self.session.unwatch(now, watcher);
            }
            Command::Cleanup {
                target,
                epoch,
                done,
            } => self.session.clean_up(now, target, epoch, done.map(ticket)),
            Command::Auth { scheme, auth, done } => {
                self.session.add_auth(now, scheme, auth, ticket(done));
            }
            Command::Close { drain, done } => {
                self.closers.push(done);
                self.session.close(now, drain);
            }
            Command::Detach { drain, done } => {
                self.detachers.push(done);
                self.session.detach(now, drain);
            }
        }
    }

    /// Does what the session wants.
    fn act(&mut self, now: Duration) {
        let mut freed = 0;
        while let Some(action) = self.session.next_action() {
            match action {
                Action::Connect { within } => self.dial(within),
                Action::Disconnect => {
                    self.connection = None;
                    self.dialing = None;
                }
                Action::Complete { token, result } => {
                    freed += token.cost as usize;
                    self.complete(token, result);
                }
                Action::Notify {
                    watcher,
                    item,
                    told,
                    last,
                } => match self.sinks.get(&watcher) {
                    Some(Sink::Stream(queue)) => {
                        queue.push(item, told);
                        if last {
                            self.sinks.remove(&watcher);
                        }
                    }
                    Some(Sink::Once(_)) => {
                        if let Some(Sink::Once(sink)) = self.sinks.remove(&watcher) {
                            // An owner that has gone hears nothing.
                            let _unheard = sink.send(item);
                        }
                    }
                    None => {}
                },
                Action::Opened { epoch, id, timeout } => {
                    let info = Arc::new(SessionInfo::new(epoch, id, timeout, self.origin));
                    self.info = Some(Arc::clone(&info));
                    self.publish_validity();
                    self.sessions.send_replace(Some(info));
                }
                Action::Ended { end, .. } => {
                    if let Some(info) = self.info.take() {
                        info.shorten_validity(now);
                        info.set_end(end);
                    }
                }
                Action::State(to) => self.change_state(to),
                Action::Over { end, report, token } => {
                    self.answer_first(Err(end));
                    // Whoever asked and does not wait any longer needs no answer.
                    for done in self.closers.drain(..) {
                        let _unheard = done.send(report);
                    }
                    for done in self.detachers.drain(..) {
                        let _unheard = done.send(token.clone());
                    }
                }
            }
        }
        if self.session.is_ready() {
            self.answer_first(Ok(()));
        }
        if freed > 0 {
            self.flow.give_back(freed);
        }
        self.publish_validity();
    }

    fn complete(&self, ticket: Ticket, result: Result<Reply>) {
        let Ticket { done, span, .. } = ticket;
        if !span.is_disabled() {
            if let Some(server) = self.server {
                span.record("zk.server", tracing::field::display(server));
            }
            match &result {
                Ok(reply) => {
                    span.record("zk.xid", reply.xid.0);
                    span.record("zk.zxid", reply.zxid.0);
                }
                Err(error) => {
                    tracing::debug!(target: "zk_client::request", parent: &span, %error, "failed");
                }
            }
        }
        // A caller that has gone hears nothing.
        let _unheard = done.send(result.map_err(|error| error.with_server(self.server)));
    }

    fn answer_first(&mut self, answer: std::result::Result<(), SessionEnd>) {
        if let Some(first) = self.first.take() {
            // A builder that was dropped needs no answer.
            let _unheard = first.send(answer);
        }
    }

    fn publish_validity(&self) {
        if let (Some(info), Some(until)) = (&self.info, self.session.valid_until()) {
            info.set_valid_until(until);
        }
    }

    fn change_state(&mut self, to: State) {
        let from = self.state.send_replace(to);
        let server = match to {
            State::Connected { .. } => self.server,
            State::Connecting | State::Suspended | State::Closed | State::AuthFailed => None,
        };
        tracing::debug!(target: "zk_client", ?from, ?to, server = ?self.server, "state");
        // Without a reader nobody wants to know.
        let _unheard = self.changes.send(StateChange {
            from,
            to,
            epoch: self.sessions.borrow().as_ref().map_or(0, |info| info.epoch),
            at: Instant::now(),
            server,
        });
    }

    fn dial(&mut self, within: Duration) {
        self.connection = None;
        let host = self.hosts.get(self.next_host % self.hosts.len()).cloned();
        self.next_host = (self.next_host + 1) % self.hosts.len();
        let resolver = Arc::clone(&self.resolver);
        self.dialing = host.map(|host| -> Dialing { Box::pin(dial(host, resolver, within)) });
    }

    fn on_dialed(&mut self, now: Duration, result: io::Result<(TcpStream, SocketAddr)>) {
        self.dialing = None;
        match result {
            Ok((stream, server)) => {
                self.server = Some(server);
                self.failure
                    .send_replace(format!("{server} does not answer the handshake"));
                self.connection = Some(Connection {
                    stream,
                    input: BytesMut::new(),
                });
                self.session.on_connected(now);
            }
            Err(error) => self.on_lost(now, &error),
        }
    }

    fn on_lost(&mut self, now: Duration, error: &io::Error) {
        tracing::debug!(target: "zk_client", %error, server = ?self.server, "no connection");
        self.failure.send_replace(error.to_string());
        self.connection = None;
        self.session.on_lost(now);
    }

    fn write(&mut self, now: Duration) {
        while let Some(connection) = &mut self.connection
            && !self.session.output().is_empty()
        {
            match connection.stream.try_write(self.session.output()) {
                Ok(written) => self.session.output().advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.on_lost(now, &error);
                    self.act(now);
                }
            }
        }
    }

    fn read(&mut self, now: Duration) {
        let Some(Connection { stream, input }) = &mut self.connection else {
            return;
        };
        if input.capacity() - input.len() < READ_BYTES_MIN {
            input.reserve(READ_BYTES);
        }
        match stream.try_read_buf(input) {
            Ok(0) => {
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up");
                self.on_lost(now, &error);
            }
            Ok(_) => loop {
                match split_frame(input, self.reply_bytes_max) {
                    Ok(Some(frame)) => self.session.on_frame(now, &frame),
                    Ok(None) => return,
                    Err(error) => {
                        self.failure.send_replace(error.to_string());
                        return self.session.on_violation(now);
                    }
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.on_lost(now, &error),
        }
    }
}

/// Waits until the connection can be read, or, when `writing`, written.
async fn ready(connection: Option<&Connection>, writing: bool) {
    let Some(connection) = connection else {
        return std::future::pending().await;
    };
    let interest = if writing {
        Interest::READABLE | Interest::WRITABLE
    } else {
        Interest::READABLE
    };
    // An error shows again when the connection is used.
    let _ready = connection.stream.ready(interest).await;
}

async fn dialed(dialing: Option<&mut Dialing>) -> io::Result<(TcpStream, SocketAddr)> {
    match dialing {
        Some(dialing) => dialing.await,
        None => std::future::pending().await,
    }
}

/// Resolves a name and tries what it stands for, in any order, until one accepts. Each address has
/// its share of the attempt's time, so that one that is silent leaves some to the others.
async fn dial(
    host: HostPort,
    resolver: Arc<dyn Resolve>,
    within: Duration,
) -> io::Result<(TcpStream, SocketAddr)> {
    let describe = |error: io::Error| io::Error::new(error.kind(), format!("{host}: {error}"));
    let mut addresses = resolver.resolve(&host).await.map_err(describe)?;
    addresses.shuffle(&mut rand::rng());
    let share = within / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok((stream, address));
            }
            Ok(Err(error)) => last = error,
            Err(_) => {
                let what = format!("{address} does not answer");
                last = io::Error::new(io::ErrorKind::TimedOut, what);
            }
        }
    }
    Err(describe(last))
}
