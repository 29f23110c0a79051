//! Operations about the session, a subtree, and the ensemble's membership.

use std::time::Duration;

use zk_proto::{Id, OpCode, Request, Response, Zxid};

use super::operation;
use super::read::{Node, own, start_on_path};
use crate::handle::Handle;
use crate::pending::{Outgoing, Pending, WhenFull};

/// Where the ensemble's membership stands, whatever a handle's root.
const CONFIG_PATH: &str = "/zookeeper/config";

macro_rules! on_path {
    ($(#[$doc:meta])* $builder:ident, $op:ident, $output:ty, |$path:ident| $request:expr,
     |$handle:ident, $response:ident| $convert:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "a request is sent by .await or .submit()"]
        pub struct $builder {
            handle: Handle,
            path: String,
            timeout: Option<Duration>,
        }

        impl $builder {
            fn new(handle: &Handle, path: String) -> Self {
                Self { handle: handle.clone(), path, timeout: None }
            }

            fn start(self, full: WhenFull) -> Pending<$output> {
                let convert = |$handle: &Handle, $response| $convert;
                start_on_path(
                    self.handle, OpCode::$op, self.path, self.timeout, full, |$path| $request,
                    convert,
                )
            }
        }

        operation!($builder => $output);
    };
}

on_path! {
    /// Asks for the ephemeral znodes of this session whose paths begin with the text of a path.
    GetEphemerals, GET_EPHEMERALS, Vec<String>,
    |prefix| Request::GetEphemerals { prefix },
    |handle, response| match response {
        Response::Ephemerals(paths) => {
            let paths = paths.into_iter().filter(|path| handle.is_inside(path));
            Some(paths.map(|path| handle.local(path)).collect())
        }
        _ => None,
    }
}

on_path! {
    /// Asks how many descendants a znode has. The server walks all of them.
    AllChildrenNumber, GET_ALL_CHILDREN_NUMBER, usize,
    |path| Request::GetAllChildrenNumber { path },
    |_handle, response| match response {
        Response::Number(number) => Some(usize::try_from(number).unwrap_or(0)),
        _ => None,
    }
}

macro_rules! without_path {
    ($(#[$doc:meta])* $builder:ident { $($field:ident: $type:ty),* }, $output:ty,
     $request:expr, |$response:ident| $convert:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "a request is sent by .await or .submit()"]
        pub struct $builder {
            handle: Handle,
            timeout: Option<Duration>,
            $($field: $type,)*
        }

        impl $builder {
            fn start(self, full: WhenFull) -> Pending<$output> {
                $(let $field = self.$field;)*
                let convert = |_: &Handle, $response| $convert;
                Outgoing::new($request, self.timeout).send(self.handle, full, convert)
            }
        }

        operation!($builder => $output);
    };
}

without_path! {
    /// Asks for the identities of the connection.
    WhoAmI {}, Vec<Id>,
    Request::WhoAmI,
    |response| match response {
        Response::Identities(ids) => Some(ids),
        _ => None,
    }
}

without_path! {
    /// Asks for the ensemble's membership, as text of `server.N=…` lines and a `version`.
    GetConfig {}, Node,
    Request::GetData { path: CONFIG_PATH.to_owned(), watch: false },
    |response| to_node(response)
}

without_path! {
    /// Changes the ensemble's membership. Gives the configuration that is in force afterwards.
    Reconfig { reconfig: zk_proto::Reconfig }, Node,
    Request::Reconfig(reconfig),
    |response| to_node(response)
}

fn to_node(response: Response) -> Option<Node> {
    match response {
        Response::Data(data, stat) => Some(Node {
            data: own(data),
            stat,
        }),
        _ => None,
    }
}

impl Reconfig {
    /// Servers that join or change, in the form `server.3=host:2888:3888:participant;2181`, joined
    /// by commas.
    pub fn joining(mut self, servers: impl Into<String>) -> Self {
        self.reconfig.joining = Some(servers.into());
        self
    }

    /// Ids of the servers that leave, joined by commas.
    pub fn leaving(mut self, ids: impl Into<String>) -> Self {
        self.reconfig.leaving = Some(ids.into());
        self
    }

    /// The whole membership instead of changes to it.
    pub fn members(mut self, servers: impl Into<String>) -> Self {
        self.reconfig.new_members = Some(servers.into());
        self
    }

    /// Only when the configuration in force has this version.
    pub fn from_config(mut self, version: i64) -> Self {
        self.reconfig.current_config = Zxid(version);
        self
    }
}

impl Handle {
    /// Asks for the ephemeral znodes of this session whose paths begin with the text of `prefix`.
    pub fn get_ephemerals(&self, prefix: impl Into<String>) -> GetEphemerals {
        GetEphemerals::new(self, prefix.into())
    }

    /// Asks how many descendants a znode has.
    pub fn all_children_number(&self, path: impl Into<String>) -> AllChildrenNumber {
        AllChildrenNumber::new(self, path.into())
    }

    /// Asks for the identities of the connection.
    pub fn who_am_i(&self) -> WhoAmI {
        WhoAmI {
            handle: self.clone(),
            timeout: None,
        }
    }

    /// Asks for the ensemble's membership.
    pub fn get_config(&self) -> GetConfig {
        GetConfig {
            handle: self.clone(),
            timeout: None,
        }
    }

    /// Changes the ensemble's membership.
    pub fn reconfig(&self) -> Reconfig {
        Reconfig {
            handle: self.clone(),
            timeout: None,
            reconfig: zk_proto::Reconfig {
                joining: None,
                leaving: None,
                new_members: None,
                current_config: Zxid(-1),
            },
        }
    }
}
