//! A request on its way, and the future of its reply.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use zk_proto::{OpCode, Request, Response};

use crate::driver::{Command, Sink, Ticket};
use crate::error::{Error, Kind, Outcome, Result};
use crate::handle::Handle;
use crate::session::{Reply, Submission, WatcherId, path_of};

/// How a reply's content becomes a result; the handle translates paths.
pub(crate) type Convert<T> = fn(&Handle, Response) -> Option<T>;

/// The reply to a request that has its place in the session's order already. Dropping it does not
/// take the request back, except where the request's builder says so.
#[must_use = "a reply is lost unless awaited"]
pub struct Pending<T>(Inner<T>);

enum Inner<T> {
    /// One request, sent.
    Sent {
        handle: Handle,
        op: OpCode,
        receiver: oneshot::Receiver<Result<Reply>>,
        convert: Convert<T>,
    },
    /// Several requests, or one that waits for its turn.
    Steps(BoxFuture<'static, Result<T>>),
    /// Decided without a request.
    Ready(Option<Error>),
}

impl<T> Pending<T> {
    pub(crate) fn failed(error: Error) -> Self {
        Self(Inner::Ready(Some(error)))
    }

    pub(crate) fn steps(steps: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(Inner::Steps(steps.boxed()))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        match &mut self.0 {
            Inner::Sent {
                handle,
                op,
                receiver,
                convert,
            } => {
                let reply = std::task::ready!(receiver.poll_unpin(context));
                Poll::Ready(finish(handle, *op, reply, *convert))
            }
            Inner::Steps(steps) => steps.poll_unpin(context),
            Inner::Ready(error) => Poll::Ready(Err(error
                .take()
                .expect("a future is not polled after it is ready"))),
        }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Inner::Sent { .. } => "Pending(sent)",
            Inner::Steps(_) => "Pending(steps)",
            Inner::Ready(_) => "Pending(failed)",
        })
    }
}

fn finish<T>(
    handle: &Handle,
    op: OpCode,
    reply: std::result::Result<Result<Reply>, oneshot::error::RecvError>,
    convert: Convert<T>,
) -> Result<T> {
    match reply {
        Ok(Ok(reply)) => Ok(convert(handle, reply.response)
            .expect("a reply is decoded as what its request asks for")),
        Ok(Err(error)) => Err(error.map_path(|path| handle.local(path))),
        // The task ended without a word, which it does only when its runtime is shut down.
        Err(_) => Err(Error::new(op, None, Kind::Closed, Outcome::Unknown)),
    }
}

/// What to do when the bounds on requests in flight are reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Wait,
    Refuse,
}

/// One request before it is sent. Paths are the server's.
pub(crate) struct Outgoing {
    pub(crate) request: Request,
    pub(crate) timeout: Option<Duration>,
    pub(crate) watch: Option<(WatcherId, Sink)>,
}

impl Outgoing {
    pub(crate) fn new(request: Request, timeout: Option<Duration>) -> Self {
        Self {
            request,
            timeout,
            watch: None,
        }
    }

    /// Gives the request its place in the session's order.
    pub(crate) fn send<T: Send + 'static>(
        self,
        handle: Handle,
        full: WhenFull,
        convert: Convert<T>,
    ) -> Pending<T> {
        let op = self.request.op();
        let flow = &handle.shared().flow;
        let cost = flow.cost(&self.request);
        if flow.try_take(cost) {
            let receiver = self.enqueue(&handle, cost);
            return Pending(Inner::Sent {
                handle,
                op,
                receiver,
                convert,
            });
        }
        if full == WhenFull::Refuse {
            let path = path_of(&self.request).map(|path| handle.local(path.to_owned()));
            return Pending::failed(Error::not_applied(op, path, Kind::Overloaded));
        }
        Pending::steps(async move {
            let timeout = self.timeout.or(handle.shared().request_timeout);
            let taking = handle.shared().flow.take(cost);
            match timeout {
                None => taking.await,
                Some(timeout) if tokio::time::timeout(timeout, taking).await.is_err() => {
                    let path = path_of(&self.request).map(|path| handle.local(path.to_owned()));
                    return Err(Error::not_applied(op, path, Kind::Timeout));
                }
                Some(_) => {}
            }
            let receiver = self.enqueue(&handle, cost);
            finish(&handle, op, receiver.await, convert)
        })
    }

    fn enqueue(self, handle: &Handle, cost: u32) -> oneshot::Receiver<Result<Reply>> {
        let (done, receiver) = oneshot::channel();
        let span = tracing::debug_span!(
            target: "zk_client::request",
            "request",
            zk.op = self.request.op().name(),
            zk.path = path_of(&self.request),
            zk.xid = tracing::field::Empty,
            zk.zxid = tracing::field::Empty,
            zk.server = tracing::field::Empty,
        );
        let (watcher, sink) = match self.watch {
            None => (None, None),
            Some((watcher, sink)) => (Some(watcher), Some(sink)),
        };
        handle.send(Command::Submit {
            submission: Submission {
                token: Ticket { done, cost, span },
                request: self.request,
                pin: handle.pin().map(|pin| pin.epoch),
                timeout: self.timeout.or(handle.shared().request_timeout),
                watcher,
            },
            sink,
        });
        receiver
    }
}
