//! What the session needs to know of a request without making it.

use zk_proto::Request;

/// The znode that a request is about; `None` for those about several or none.
#[must_use]
pub(crate) fn path_of(request: &Request) -> Option<&str> {
    match request {
        Request::Create(create) => Some(&create.path),
        Request::Delete { path, .. }
        | Request::Exists { path, .. }
        | Request::GetData { path, .. }
        | Request::SetData { path, .. }
        | Request::GetAcl { path }
        | Request::SetAcl { path, .. }
        | Request::GetChildren { path, .. }
        | Request::Sync { path }
        | Request::GetChildren2 { path, .. }
        | Request::CheckWatches { path, .. }
        | Request::RemoveWatches { path, .. }
        | Request::GetEphemerals { prefix: path }
        | Request::GetAllChildrenNumber { path } => Some(path),
        Request::AddWatch(watch) => Some(&watch.path),
        Request::Ping
        | Request::Multi(_)
        | Request::Reconfig(_)
        | Request::MultiRead(_)
        | Request::Auth(_)
        | Request::SetWatches(_)
        | Request::Sasl { .. }
        | Request::WhoAmI
        | Request::CloseSession
        | Request::Unsupported(_) => None,
    }
}

/// Whether repeating the request changes nothing, whatever became of the first one.
#[must_use]
pub(crate) fn is_repeatable(request: &Request) -> bool {
    match request {
        Request::Exists { .. }
        | Request::GetData { .. }
        | Request::GetAcl { .. }
        | Request::GetChildren { .. }
        | Request::Sync { .. }
        | Request::Ping
        | Request::GetChildren2 { .. }
        | Request::CheckWatches { .. }
        | Request::MultiRead(_)
        | Request::GetEphemerals { .. }
        | Request::GetAllChildrenNumber { .. }
        | Request::AddWatch(_)
        | Request::WhoAmI => true,
        Request::Create(_)
        | Request::Delete { .. }
        | Request::SetData { .. }
        | Request::SetAcl { .. }
        | Request::Multi(_)
        | Request::Reconfig(_)
        | Request::RemoveWatches { .. }
        | Request::Auth(_)
        | Request::SetWatches(_)
        | Request::Sasl { .. }
        | Request::CloseSession
        | Request::Unsupported(_) => false,
    }
}

/// Roughly the bytes that a request takes on the wire, for bounds.
pub(crate) fn size_of(request: &Request) -> usize {
    const OVERHEAD: usize = 32;
    let content = match request {
        Request::Create(create) => {
            create.path.len() + create.data.as_ref().map_or(0, bytes::Bytes::len)
        }
        Request::SetData { path, data, .. } => {
            path.len() + data.as_ref().map_or(0, bytes::Bytes::len)
        }
        Request::Multi(ops) => ops.iter().map(size_of_part).sum(),
        Request::MultiRead(ops) => ops.len() * 2 * OVERHEAD,
        other => path_of(other).map_or(0, str::len),
    };
    content + OVERHEAD
}

fn size_of_part(op: &zk_proto::MultiOp) -> usize {
    const OVERHEAD: usize = 32;
    OVERHEAD
        + match op {
            zk_proto::MultiOp::Create(create) => {
                create.path.len() + create.data.as_ref().map_or(0, bytes::Bytes::len)
            }
            zk_proto::MultiOp::SetData { path, data, .. } => {
                path.len() + data.as_ref().map_or(0, bytes::Bytes::len)
            }
            zk_proto::MultiOp::Delete { path, .. } | zk_proto::MultiOp::Check { path, .. } => {
                path.len()
            }
        }
}
