//! The operations, each a builder: awaited it is sent and waits for its reply; `submit()` sends it
//! at once and gives the reply's future.

mod admin;
mod create;
mod protect;
mod read;
mod txn;
mod watch;
mod write;

pub use admin::{AllChildrenNumber, GetConfig, GetEphemerals, Reconfig, WhoAmI};
pub use create::{Create, CreateOwned, Created, Parents};
pub use read::{
    Check, Children, Exists, ExistsWatched, Get, GetAcl, GetChildren, GetChildrenWatched,
    GetWatched, Node, Sync,
};
pub use txn::{ReadResult, ReadTxn, Txn, TxnOp, TxnResult};
pub use watch::Watch;
pub use write::{Delete, Set, SetAcl};

/// Gives a builder `timeout`, `submit` and `IntoFuture`, from its method `start(self, WhenFull)`.
macro_rules! operation {
    ($builder:ident => $output:ty) => {
        impl $builder {
            /// How long the request may take, waiting for a connection included, instead of
            /// [`ClientConfig::request_timeout`](crate::ClientConfig::request_timeout).
            pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
                self.timeout = Some(timeout);
                self
            }

            /// Takes the request's place in the session's order now, and gives the future of its
            /// reply. Where the bounds on requests in flight are reached, that future fails with
            /// [`Kind::Overloaded`](crate::Kind::Overloaded); awaiting the builder waits instead.
            pub fn submit(self) -> crate::Pending<$output> {
                self.start(crate::pending::WhenFull::Refuse)
            }
        }

        impl IntoFuture for $builder {
            type Output = crate::Result<$output>;
            type IntoFuture = crate::Pending<$output>;

            fn into_future(self) -> crate::Pending<$output> {
                self.start(crate::pending::WhenFull::Wait)
            }
        }
    };
}
pub(crate) use operation;
