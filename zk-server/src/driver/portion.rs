//! How much one turn of the loop takes of what clients ask for.
//!
//! Most requests take microseconds, and a turn takes all of them that wait. A list of a hundred
//! thousand names or a transaction of ten thousand writes takes milliseconds, and clients may send
//! dozens of them at once: of these a turn takes one, whosever turn it is, so that all others are
//! answered in between.

use zk_core::Incoming;
use zk_proto::Request;

/// Replies of a turn to one client that count as a long request.
pub(super) const REPLY_BYTES: usize = 64 << 10;
/// Requests that are handed over before the replies are weighed.
const REQUESTS_MAX: usize = 16;
/// Operations of a request that count as little work.
const OPS_MAX: usize = 64;

/// The first of some requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// How many.
    pub(super) requests: usize,
    /// What the last of them is; those before it are little work.
    pub(super) work: Work,
}

/// What to hand over next.
pub(super) fn next(requests: &[Incoming]) -> Part {
    let first = requests.iter().take(REQUESTS_MAX);
    let works = first.map(|incoming| incoming.request.as_ref().map_or(Work::Little, work));
    for (before, work) in works.enumerate() {
        if work != Work::Little {
            return Part {
                requests: before + 1,
                work,
            };
        }
    }
    Part {
        requests: requests.len().min(REQUESTS_MAX),
        work: Work::Little,
    }
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Little,
    /// As long as the reply is.
    Reply,
    Long,
}

fn work(request: &Request) -> Work {
    match request {
        Request::Multi(ops) if ops.len() > OPS_MAX => Work::Long,
        Request::MultiRead(ops) if ops.len() > OPS_MAX => Work::Long,
        Request::SetWatches(_) | Request::GetAllChildrenNumber { .. } => Work::Long,
        Request::GetChildren { .. }
        | Request::GetChildren2 { .. }
        | Request::GetEphemerals { .. }
        | Request::MultiRead(_) => Work::Reply,
        _ => Work::Little,
    }
}

#[cfg(test)]
mod tests {
    use zk_proto::{DecodeError, MultiOp, OpCode, RequestHeader, Xid};

    use super::*;

    fn incoming(request: Request) -> Incoming {
        let header = RequestHeader {
            xid: Xid(1),
            op: request.op(),
        };
        Incoming {
            header,
            request: Ok(request),
        }
    }

    fn part(requests: impl IntoIterator<Item = Request>) -> (usize, Work) {
        let requests: Vec<_> = requests.into_iter().map(incoming).collect();
        let Part { requests, work } = next(&requests);
        (requests, work)
    }

    #[test]
    fn a_part_ends_with_the_first_request_that_may_be_long() {
        let list = || Request::GetEphemerals {
            prefix: String::from("/"),
        };
        let long = || Request::GetAllChildrenNumber {
            path: String::from("/"),
        };
        let check = MultiOp::Check {
            path: String::from("/"),
            version: 0,
        };
        let multi = |ops| Request::Multi(vec![check.clone(); ops]);
        assert_eq!(part([Request::Ping]), (1, Work::Little));
        assert_eq!(part(vec![Request::Ping; 3]), (3, Work::Little));
        assert_eq!(part(vec![Request::Ping; 64]), (REQUESTS_MAX, Work::Little));
        assert_eq!(
            part([Request::Ping, list(), Request::Ping]),
            (2, Work::Reply)
        );
        assert_eq!(part([Request::Ping, long(), list()]), (2, Work::Long));
        assert_eq!(
            part([multi(OPS_MAX), multi(OPS_MAX + 1), list()]),
            (2, Work::Long)
        );
    }

    #[test]
    fn a_request_that_could_not_be_read_is_little_work() {
        let header = RequestHeader {
            xid: Xid(1),
            op: OpCode::MULTI,
        };
        let request = Err(DecodeError::Truncated {
            what: "multi",
            needed: 4,
            left: 0,
        });
        let part = next(&[Incoming { header, request }]);
        assert_eq!((part.requests, part.work), (1, Work::Little));
    }
}
