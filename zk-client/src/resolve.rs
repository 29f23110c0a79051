//! From the names of servers to addresses.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::connect_string::HostPort;

/// Turns the name of a server into addresses. A client asks at every attempt to connect and keeps
/// nothing, so that servers may move; it tries the addresses in any order.
///
/// The system's resolver is asked unless [`Builder::resolver`](crate::Builder::resolver) gives
/// another one, such as one that speaks to a service registry.
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses that a name stands for now. An error and an empty list count as a failed
    /// attempt. Dropping the future gives the answer up, which happens when it takes longer than
    /// the attempt may.
    fn resolve(&self, host: &HostPort) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver.
#[derive(Debug)]
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &HostPort) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let HostPort { host, port } = host.clone();
        async move {
            let found = tokio::net::lookup_host((host, port)).await?;
            Ok(found.collect())
        }
        .boxed()
    }
}
