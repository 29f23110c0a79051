//! Names of contenders: how they are built, recognised and put in order.
//!
//! ```text
//!  _c_<uuid>-lock-0000000017     Curator's mutex and leader selector, and this crate's mutex
//!  _c_<uuid>-latch-0000000017    Curator's leader latch, and this crate's
//!  _c_<uuid>-__READ__0000000017  Curator's read lock (__WRIT__: its write lock)
//!  _c_<hex32>-lock-0000000017    go-zookeeper's lock
//!  <hex32>__lock__0000000017     kazoo's lock, election and write lock (__rlock__: its read lock)
//!  x-<session>-0000000017        ZooKeeper's own WriteLock
//!  n_0000000017                  ZooKeeper's LeaderElectionSupport
//! └────────── head ─────────┘└─ sequence ─┘
//! ```
//!
//! Everything here is a function of names. What a contender does about its place, and where names
//! come from, is not known here.

use std::cmp::Ordering;

/// What this crate calls its contenders: the end of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `lock-`: Curator's `InterProcessMutex` and `LeaderSelector`.
    Lock,
    /// `latch-`: Curator's `LeaderLatch`.
    Latch,
}

impl Layout {
    /// The part of the name between the protection and the sequence.
    #[must_use]
    pub const fn marker(self) -> &'static str {
        match self {
            Self::Lock => LOCK,
            Self::Latch => LATCH,
        }
    }

    /// The path to ask a protected sequential znode for, below `directory`.
    #[must_use]
    pub fn prefix(self, directory: &str) -> String {
        child(directory, self.marker())
    }
}

/// The path of a child.
pub(crate) fn child(directory: &str, name: &str) -> String {
    let separator = if directory.ends_with('/') { "" } else { "/" };
    format!("{directory}{separator}{name}")
}

/// Whose names these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Curator's recipes and this crate's, which cannot be told apart.
    Curator,
    /// go-zookeeper's lock.
    GoZk,
    /// kazoo's recipes.
    Kazoo,
    /// `WriteLock` of ZooKeeper's recipes, in Java and in C.
    WriteLock,
    /// `LeaderElectionSupport` of ZooKeeper's recipes.
    LeaderElectionSupport,
}

/// Whether a contender shares the lock with others of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Alone: mutexes, write locks, leaders.
    Exclusive,
    /// With other readers.
    Shared,
}

const LOCK: &str = "lock-";
const LATCH: &str = "latch-";

/// A name that has a place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contender<'a> {
    name: &'a str,
    family: Family,
    access: Access,
    seq: i32,
}

impl<'a> Contender<'a> {
    /// Recognises a name; `None` for one that is foreign to every family.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        // `-1000000005` behind `lock-` is one number, `1000000005` behind `lock-` another: only the
        // head tells whose the hyphen is.
        [10, 11].into_iter().find_map(|length| {
            let (head, seq) = split_sequence(name, length)?;
            let (family, access) = recognise(head)?;
            Some(Self {
                name,
                family,
                access,
                seq,
            })
        })
    }

    /// The whole name.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Whose name it is.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Whether it shares the lock.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// The server's number. It counts the children that the directory ever had; behind `i32::MAX`
    /// comes `i32::MIN`.
    #[must_use]
    pub const fn seq(&self) -> i32 {
        self.seq
    }

    /// By sequence. Equal sequences happen when a writer that turned into a reader took its number
    /// along: the writer comes first.
    fn order(&self, other: &Self) -> Ordering {
        let key = |contender: &Self| (contender.seq, contender.access, contender.name);
        key(self).cmp(&key(other))
    }
}

/// Splits off the number that the server appended with Java's `%010d`: 10 characters, or 11 for the
/// longest negative ones.
fn split_sequence(name: &str, length: usize) -> Option<(&str, i32)> {
    let (head, digits) = name.split_at_checked(name.len().checked_sub(length)?)?;
    let seq = digits.parse::<i32>().ok()?;
    (format!("{seq:010}") == digits).then_some((head, seq))
}

fn recognise(head: &str) -> Option<(Family, Access)> {
    let protected = head.strip_prefix("_c_").and_then(|rest| {
        [36, 32]
            .into_iter()
            .find_map(|uuid| split_protection(rest, uuid))
    });
    if let Some((uuid, marker)) = protected {
        return match (uuid.len(), marker) {
            (36, LOCK | LATCH | "__WRIT__") => Some((Family::Curator, Access::Exclusive)),
            (36, "__READ__") => Some((Family::Curator, Access::Shared)),
            (32, LOCK) => Some((Family::GoZk, Access::Exclusive)),
            _ => None,
        };
    }
    if let Some((hex, marker)) = head.split_at_checked(32)
        && is_uuid(hex)
    {
        return match marker {
            "__lock__" | LOCK => Some((Family::Kazoo, Access::Exclusive)),
            "__rlock__" => Some((Family::Kazoo, Access::Shared)),
            _ => None,
        };
    }
    match head {
        LOCK | LATCH | "__WRIT__" => Some((Family::Curator, Access::Exclusive)),
        "__READ__" => Some((Family::Curator, Access::Shared)),
        "n_" => Some((Family::LeaderElectionSupport, Access::Exclusive)),
        _ => {
            let session = head.strip_prefix("x-")?.strip_suffix('-')?;
            let digits = session.strip_prefix('-').unwrap_or(session);
            let is_session = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
            is_session.then_some((Family::WriteLock, Access::Exclusive))
        }
    }
}

fn split_protection(rest: &str, uuid_length: usize) -> Option<(&str, &str)> {
    let (uuid, rest) = rest.split_at_checked(uuid_length)?;
    is_uuid(uuid).then_some((uuid, rest.strip_prefix('-')?))
}

fn is_uuid(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Where a contender stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// It is not among the children.
    Absent,
    /// Nobody is before it.
    First,
    /// The contender right before it, which is the one to watch.
    Behind(&'a str),
}

/// The contenders of one directory, in order, and what else is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue<'a> {
    contenders: Vec<Contender<'a>>,
    foreign: usize,
}

impl<'a> Queue<'a> {
    /// Puts the names of a directory's children in order. Foreign names have no place in it.
    #[must_use]
    pub fn new<S: AsRef<str> + ?Sized + 'a>(names: impl IntoIterator<Item = &'a S>) -> Self {
        let mut foreign = 0;
        let mut contenders = Vec::new();
        for name in names {
            match Contender::parse(name.as_ref()) {
                Some(contender) => contenders.push(contender),
                None => foreign += 1,
            }
        }
        contenders.sort_unstable_by(Contender::order);
        Self {
            contenders,
            foreign,
        }
    }

    /// The contenders in order.
    #[must_use]
    pub fn contenders(&self) -> &[Contender<'a>] {
        &self.contenders
    }

    /// How many names no family knows.
    #[must_use]
    pub const fn foreign(&self) -> usize {
        self.foreign
    }

    /// Whether the order by sequence is the order of creation. It is not when positive and negative
    /// numbers meet, since the counter goes from `i32::MAX` to `i32::MIN`, and from −1 to 0: then
    /// the znodes' `czxid` decides, see [`sort_by_zxid`](Self::sort_by_zxid).
    #[must_use]
    pub fn is_certain(&self) -> bool {
        let signs = || self.contenders.iter().map(|contender| contender.seq < 0);
        signs().all(|negative| negative) || signs().all(|negative| !negative)
    }

    /// Orders by the transaction that created each contender, as `czxid` gives it; contenders
    /// without one are gone and leave the queue.
    pub fn sort_by_zxid<Z: Ord>(&mut self, czxid: impl Fn(&str) -> Option<Z>) {
        self.contenders
            .retain(|contender| czxid(contender.name).is_some());
        self.contenders
            .sort_by_key(|contender| czxid(contender.name));
    }

    /// The first contender's name.
    #[must_use]
    pub fn first(&self) -> Option<&'a str> {
        self.contenders.first().map(Contender::name)
    }

    /// Where `name` stands as an exclusive contender.
    #[must_use]
    pub fn place(&self, name: &str) -> Place<'a> {
        let is_own = |contender: &Contender<'_>| contender.name == name;
        let Some(at) = self.contenders.iter().position(is_own) else {
            return Place::Absent;
        };
        match at
            .checked_sub(1)
            .and_then(|before| self.contenders.get(before))
        {
            None => Place::First,
            Some(before) => Place::Behind(before.name),
        }
    }

    /// A family whose stock clients cannot order this crate's names, and so may hold the lock at
    /// the same time: stock kazoo, which ignores names without `__lock__`.
    #[must_use]
    pub fn blind_family(&self) -> Option<Family> {
        let mut families = self.contenders.iter().filter(|c| c.name.contains("lock__"));
        families.next().map(Contender::family)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "0d31d2f4-3f43-4d0b-8f07-1e5b41a1d0a7";
    const HEX: &str = "0d31d2f43f434d0b8f071e5b41a1d0a7";

    #[test]
    fn names_of_every_family_are_recognised() {
        use Access::{Exclusive, Shared};
        for (name, family, access, seq) in [
            (
                format!("_c_{UUID}-lock-0000000017"),
                Family::Curator,
                Exclusive,
                17,
            ),
            (
                format!("_c_{UUID}-latch-0000000000"),
                Family::Curator,
                Exclusive,
                0,
            ),
            (
                format!("_c_{UUID}-__READ__2147483647"),
                Family::Curator,
                Shared,
                i32::MAX,
            ),
            (
                format!("_c_{UUID}-__WRIT__0000000001"),
                Family::Curator,
                Exclusive,
                1,
            ),
            (
                format!("_c_{HEX}-lock-0000000017"),
                Family::GoZk,
                Exclusive,
                17,
            ),
            (
                format!("{HEX}__lock__0000000017"),
                Family::Kazoo,
                Exclusive,
                17,
            ),
            (
                format!("{HEX}lock-0000000017"),
                Family::Kazoo,
                Exclusive,
                17,
            ),
            (
                format!("{HEX}__rlock__0000000017"),
                Family::Kazoo,
                Shared,
                17,
            ),
            (
                "x-72057594037927936-0000000017".into(),
                Family::WriteLock,
                Exclusive,
                17,
            ),
            (
                "x--72057594037927936-0000000017".into(),
                Family::WriteLock,
                Exclusive,
                17,
            ),
            (
                "x-01000a3f5c2d0000-0000000017".into(),
                Family::WriteLock,
                Exclusive,
                17,
            ),
            (
                "n_0000000017".into(),
                Family::LeaderElectionSupport,
                Exclusive,
                17,
            ),
            (
                "lock-1000000005".into(),
                Family::Curator,
                Exclusive,
                1_000_000_005,
            ),
            (
                "lock--1000000005".into(),
                Family::Curator,
                Exclusive,
                -1_000_000_005,
            ),
            ("lock-0000000017".into(), Family::Curator, Exclusive, 17),
            // Past the overflow: a minus and nine digits, then a minus and ten.
            (
                format!("_c_{UUID}-lock--000000005"),
                Family::Curator,
                Exclusive,
                -5,
            ),
            (
                format!("_c_{UUID}-lock--2147483648"),
                Family::Curator,
                Exclusive,
                i32::MIN,
            ),
            (
                "x-72057594037927936--000000005".into(),
                Family::WriteLock,
                Exclusive,
                -5,
            ),
        ] {
            let seen = Contender::parse(&name).unwrap_or_else(|| panic!("{name} is foreign"));
            let expected = Contender {
                name: &name,
                family,
                access,
                seq,
            };
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn foreign_names_have_no_place() {
        let protected = |rest: &str| format!("_c_{UUID}-{rest}");
        for name in [
            String::new(),
            "config".into(),
            "0000000017".into(),
            "lock-".into(),
            "lock-17".into(),
            "lock-00000000017".into(),
            "lock-9999999999".into(),
            "lock--0000000005".into(),
            "lock-+000000005".into(),
            "lock-000000000\u{661}".into(),
            "block-0000000017".into(),
            "x-0000000017".into(),
            "x--0000000017".into(),
            "xn_0000000017".into(),
            protected("lease-0000000017"),
            protected("mylock-0000000017"),
            "_c_-lock-0000000017".into(),
            format!("{HEX}__party__0000000017"),
        ] {
            assert_eq!(Contender::parse(&name), None, "{name}");
        }
    }

    #[test]
    fn a_writer_comes_before_the_reader_it_turned_into() {
        let (read, write) = ("__READ__0000000003", "__WRIT__0000000003");
        let queue = Queue::new([read, write]);
        assert_eq!(queue.place(write), Place::First);
        assert_eq!(queue.place(read), Place::Behind(write));
    }

    #[test]
    fn everyone_is_behind_the_one_right_before() {
        let names = [
            "lock-0000000007",
            "x-1-0000000003",
            "config",
            "lock-0000000005",
        ];
        let queue = Queue::new(names);
        assert_eq!(queue.foreign(), 1);
        assert_eq!(queue.first(), Some("x-1-0000000003"));
        assert_eq!(
            queue.place("lock-0000000007"),
            Place::Behind("lock-0000000005")
        );
        assert_eq!(
            queue.place("lock-0000000005"),
            Place::Behind("x-1-0000000003")
        );
        assert_eq!(queue.place("lock-0000000006"), Place::Absent);
        assert_eq!(queue.place("config"), Place::Absent);
    }

    #[test]
    fn at_the_overflow_the_creating_transaction_decides() {
        let (before, at, after) = ("lock-2147483647", "lock--2147483648", "lock--2147483647");
        let mut queue = Queue::new([after, before, at, "lock-2147483646"]);
        assert!(!queue.is_certain());
        queue.sort_by_zxid(|name| match name {
            name if name == before => Some(101),
            name if name == at => Some(102),
            name if name == after => Some(103),
            _ => None,
        });
        assert_eq!(queue.place(before), Place::First);
        assert_eq!(queue.place(at), Place::Behind(before));
        assert_eq!(queue.place(after), Place::Behind(at));
        assert!(Queue::new([at, after]).is_certain());
        assert!(Queue::new([before]).is_certain());
        assert!(Queue::new::<str>([]).is_certain());
    }

    #[test]
    fn stock_kazoo_does_not_see_our_names() {
        let ours = format!("_c_{UUID}-lock-0000000001");
        let kazoo = format!("{HEX}__lock__0000000002");
        let patched = format!("{HEX}lock-0000000002");
        assert_eq!(Queue::new([&ours, &patched]).blind_family(), None);
        assert_eq!(
            Queue::new([&ours, &kazoo]).blind_family(),
            Some(Family::Kazoo)
        );
    }

    proptest! {
        #[test]
        fn what_the_server_appends_is_read_back(seq: i32) {
            for head in [format!("_c_{UUID}-lock-"), format!("{HEX}__lock__"), "x-5-".into()] {
                let name = format!("{head}{seq:010}");
                prop_assert_eq!(Contender::parse(&name).map(|c| c.seq()), Some(seq));
            }
        }

        #[test]
        fn any_text_is_parsed_without_panic(name in ".{0,60}", seq: i32) {
            let _ = Contender::parse(&name);
            let _ = Contender::parse(&format!("{name}{seq:010}"));
        }

        #[test]
        fn exactly_one_contender_is_first_and_the_others_form_a_line(
            uuids in prop::collection::btree_map(0..i32::MAX, any::<u128>(), 1..20),
        ) {
            let name = |(seq, uuid)| format!("_c_{uuid:036x}-lock-{seq:010}");
            let names: Vec<_> = uuids.iter().rev().map(name).collect();
            let queue = Queue::new(&names);
            let mut before = None;
            for name in uuids.iter().map(name) {
                match (queue.place(&name), &before) {
                    (Place::First, None) => {}
                    (Place::Behind(seen), Some(before)) => prop_assert_eq!(seen, before),
                    (place, _) => prop_assert!(false, "{} is {:?}", name, place),
                }
                before = Some(name);
            }
        }
    }
}
