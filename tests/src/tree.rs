//! The tree as clients see it.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use zk_proto::{Acl, Auth, ErrorCode, Request, Response, Stat};

use crate::RawClient;

/// Znodes asked for at once.
const ASKED_MAX: usize = 256;

/// The super user of servers that a test reads whole, `super:golden`.
pub const SUPER_DIGEST: &str = "super:c9T5yFYCHEoR/xZ3KuYTF5tNWis=";

/// A znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znode {
    /// The data; null and empty differ.
    pub data: Option<Bytes>,
    /// Its bookkeeping.
    pub stat: Stat,
    /// Its ACL.
    pub acl: Vec<Acl>,
}

/// Znodes by their paths.
pub type Tree = BTreeMap<String, Znode>;

/// Makes a client the super user of [`SUPER_DIGEST`].
///
/// # Errors
/// When the connection fails.
///
/// # Panics
/// When the server knows another super user, or none.
pub fn become_super_user(client: &mut RawClient) -> io::Result<()> {
    let request = Request::Auth(Auth {
        kind: 0,
        scheme: String::from("digest"),
        auth: Bytes::from_static(b"super:golden"),
    });
    let reply = client.call(request)?;
    assert!(reply.header.err.is_ok(), "{:?}", reply.header);
    Ok(())
}

/// Reads every znode that a server shows. Nobody may write meanwhile.
///
/// # Errors
/// When the connection fails.
///
/// # Panics
/// When a znode goes while it is read, or may not be read.
pub fn read_tree(client: &mut RawClient) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut paths = vec![String::from("/")];
    while !paths.is_empty() {
        let asked = paths.split_off(paths.len().saturating_sub(ASKED_MAX));
        let requests: Vec<_> = asked.iter().flat_map(|path| questions(path)).collect();
        client.send(&requests)?;
        for path in asked {
            let (znode, children) = answers(client, &path)?;
            let parent = path.trim_end_matches('/');
            paths.extend(children.iter().map(|child| format!("{parent}/{child}")));
            tree.insert(path, znode);
        }
    }
    Ok(tree)
}

fn questions(path: &str) -> [Request; 3] {
    let path = path.to_owned();
    [
        Request::GetData {
            path: path.clone(),
            watch: false,
        },
        Request::GetAcl { path: path.clone() },
        Request::GetChildren { path, watch: false },
    ]
}

fn answers(client: &mut RawClient, path: &str) -> io::Result<(Znode, Vec<String>)> {
    let mut next = || -> io::Result<Response> {
        let reply = client.receive()?;
        assert_eq!(reply.header.err, ErrorCode::OK, "{path}");
        Ok(reply.response.expect("success has a content"))
    };
    let (data, acl, children) = (next()?, next()?, next()?);
    let (Response::Data(data, stat), Response::Acl(acl, _), Response::Children(names)) =
        (data, acl, children)
    else {
        panic!("{path}: answers of another kind")
    };
    let names = names.iter().map(ToString::to_string).collect();
    Ok((Znode { data, stat, acl }, names))
}

/// Asserts that two trees are equal but for `except`, and names what differs.
///
/// # Panics
/// When they differ.
pub fn assert_same_tree(what: &str, seen: &Tree, expected: &Tree, except: &[&str]) {
    let paths = seen.keys().chain(expected.keys());
    let differs =
        |path: &&String| !except.contains(&path.as_str()) && seen.get(*path) != expected.get(*path);
    let differing: std::collections::BTreeSet<_> = paths.filter(differs).collect();
    let first = differing
        .first()
        .map(|path| (seen.get(*path), expected.get(*path)));
    assert!(
        differing.is_empty(),
        "{what}: {} znodes differ: {:?}; the first: {first:?}",
        differing.len(),
        differing.iter().take(10).collect::<Vec<_>>(),
    );
}
