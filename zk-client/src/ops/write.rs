//! Writes on one znode that exists: set, delete, set ACL.

use std::time::Duration;

use bytes::Bytes;
use zk_proto::{Acl, OpCode, Request, Response, Stat};

use super::operation;
use super::read::start_on_path;
use crate::driver::Command;
use crate::error::Result;
use crate::handle::Handle;
use crate::pending::{Pending, WhenFull};
use crate::session::CleanupTarget;

/// Any version.
pub(crate) const ANY_VERSION: i32 = -1;

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of every conversion"
)]
fn to_stat(_: &Handle, response: Response) -> Option<Stat> {
    match response {
        Response::Stat(stat) => Some(stat),
        _ => None,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of every conversion"
)]
fn to_nothing(_: &Handle, response: Response) -> Option<()> {
    match response {
        Response::Empty => Some(()),
        _ => None,
    }
}

macro_rules! write {
    (
        $(#[$doc:meta])* $builder:ident { $($field:ident: $type:ty),* }, $op:ident, $output:ty,
        $convert:ident, $(#[$vdoc:meta])* version, |$path:ident, $version:ident| $request:expr
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[must_use = "a request is sent by .await or .submit()"]
        pub struct $builder {
            pub(crate) handle: Handle,
            pub(crate) path: String,
            pub(crate) version: Option<i32>,
            timeout: Option<Duration>,
            $(pub(crate) $field: $type,)*
        }

        impl $builder {
            $(#[$vdoc])*
            pub fn version(mut self, version: i32) -> Self {
                self.version = Some(version);
                self
            }

            fn start(self, full: WhenFull) -> Pending<$output> {
                let $version = self.version.unwrap_or(ANY_VERSION);
                $(let $field = self.$field;)*
                let request = |$path| $request;
                start_on_path(
                    self.handle, OpCode::$op, self.path, self.timeout, full, request, $convert,
                )
            }
        }

        operation!($builder => $output);
    };
}

write! {
    /// Replaces a znode's data.
    Set { data: Bytes }, SET_DATA, Stat, to_stat,
    /// Only when the data has this version.
    version,
    |path, version| Request::SetData { path, data: Some(data), version }
}

write! {
    /// Deletes a znode that has no children.
    Delete {}, DELETE, (), to_nothing,
    /// Only when the data has this version.
    version,
    |path, version| Request::Delete { path, version }
}

write! {
    /// Replaces a znode's ACL.
    SetAcl { acl: Vec<Acl> }, SET_ACL, Stat, to_stat,
    /// Only when the ACL has this version (`aversion`).
    version,
    |path, version| Request::SetAcl { path, acl, version }
}

impl Handle {
    /// Replaces a znode's data.
    pub fn set(&self, path: impl Into<String>, data: impl Into<Bytes>) -> Set {
        Set {
            handle: self.clone(),
            path: path.into(),
            version: None,
            timeout: None,
            data: data.into(),
        }
    }

    /// Deletes a znode that has no children.
    pub fn delete(&self, path: impl Into<String>) -> Delete {
        Delete {
            handle: self.clone(),
            path: path.into(),
            version: None,
            timeout: None,
        }
    }

    /// Replaces a znode's ACL.
    pub fn set_acl(&self, path: impl Into<String>, acl: impl Into<Vec<Acl>>) -> SetAcl {
        SetAcl {
            handle: self.clone(),
            path: path.into(),
            version: None,
            timeout: None,
            acl: acl.into(),
        }
    }

    /// Deletes a znode in the background, whatever its version, over lost connections and, unless
    /// this is a [`SessionRef`](crate::SessionRef), over sessions, until it is gone, a server
    /// refuses, or the client is closed. For names that nobody else uses: a znode that somebody
    /// creates there meanwhile is deleted too.
    ///
    /// # Errors
    /// [`Kind::InvalidPath`](crate::Kind::InvalidPath). A refusal by the server is logged.
    pub fn discard(&self, path: &str) -> Result<()> {
        let path = self.absolute(OpCode::DELETE, path.to_owned())?;
        let target = CleanupTarget::Path(path);
        self.send(Command::Cleanup {
            target,
            epoch: self.pin().map(|pin| pin.epoch),
            done: None,
        });
        Ok(())
    }
}
