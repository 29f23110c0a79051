//! Who a client is, and what it may do.
//!
//! [`Policy::authorize`] is the only place where permission is granted: reads, writes, operations
//! of a multi, events and the catch-up of setWatches all ask it. The schemes known are `world`,
//! `auth` (in requests only), `digest`, `ip`, and the identity `super`, which no ACL binds.

mod digest;
mod ip;

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use zk_proto::{Acl, Auth, ErrorCode, Id, Perms};

use crate::{AuthConfig, CoreConfig};

/// Entries of one ACL, `auth` expanded. A longer one is answered with INVALIDACL.
pub const ACL_ENTRIES_MAX: usize = 1_000;

/// Length of what addauth proves. A longer proof fails.
pub const AUTH_BYTES_MAX: usize = 4 << 10;

/// What a connection proved about its client.
#[derive(Debug, Clone)]
pub(crate) struct Identities {
    peer: IpAddr,
    ids: Vec<Id>,
    is_super: bool,
}

impl Identities {
    /// A client of which no more is known than its address.
    pub(crate) fn of_peer(peer: IpAddr) -> Self {
        let peer = peer.to_canonical();
        Self {
            peer,
            ids: [Id::new("ip", ip::java_text(peer))].into(),
            is_super: false,
        }
    }

    /// What another server says of its client.
    pub(crate) fn of_ids(ids: Vec<Id>) -> Self {
        let address = ids.iter().find(|id| id.scheme == "ip");
        let peer = address.and_then(|id| id.id.parse().ok());
        Self {
            peer: peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            is_super: ids.iter().any(|id| id.scheme == "super"),
            ids,
        }
    }

    /// All of it, for another server.
    pub(crate) fn to_ids(&self) -> Vec<Id> {
        self.ids.clone()
    }

    fn add(&mut self, id: Id) {
        self.is_super |= id.scheme == "super";
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    /// The identities as whoAmI tells them: without what would prove them.
    pub(crate) fn users(&self) -> Vec<Id> {
        let user = |id: &Id| match id.scheme.as_str() {
            "digest" => id.id.split(':').next().unwrap_or_default().to_string(),
            "ip" => id.id.clone(),
            _ => String::new(),
        };
        self.ids
            .iter()
            .map(|id| Id::new(id.scheme.clone(), user(id)))
            .collect()
    }
}

/// The rules of one server.
#[derive(Debug)]
pub(crate) struct Policy {
    config: AuthConfig,
    skip_acl: bool,
    identities_max: usize,
}

impl Policy {
    pub(crate) fn new(config: &CoreConfig) -> Self {
        Self {
            config: config.auth.clone(),
            skip_acl: config.skip_acl,
            identities_max: config.identities_per_connection_max,
        }
    }

    /// Whether requests of `who` are served at all (`AuthenticationHelper`).
    pub(crate) fn admits(&self, who: &Identities) -> bool {
        let schemes = &self.config.enforced_schemes;
        schemes.is_empty() || who.ids.iter().any(|id| schemes.contains(&id.scheme))
    }

    /// Whether `acl` gives `who` at least one of `perms`. An empty list, which only old logs and
    /// snapshots hold, binds nobody (`ZooKeeperServer.checkACL`).
    pub(crate) fn authorize(&self, who: &Identities, acl: &[Acl], perms: Perms) -> bool {
        self.skip_acl
            || acl.is_empty()
            || who.is_super
            || acl
                .iter()
                .any(|entry| entry.perms.intersects(perms) && self.is_met_by(&entry.id, who))
    }

    fn is_met_by(&self, id: &Id, who: &Identities) -> bool {
        match id.scheme.as_str() {
            "world" => id.id == "anyone",
            "digest" => self.config.digest_enabled && who.ids.contains(id),
            "ip" => ip::matches(who.peer, &id.id),
            _ => false,
        }
    }

    /// The ACL that a request means: without duplicates, `auth` replaced by what the client proved
    /// (`PrepRequestProcessor.fixupACL`).
    ///
    /// # Errors
    /// INVALIDACL for an empty list, an id that its scheme does not know, `auth` of a client that
    /// proved nothing, or more than [`ACL_ENTRIES_MAX`] entries.
    pub(crate) fn fix_up(&self, who: &Identities, acl: Vec<Acl>) -> Result<Vec<Acl>, ErrorCode> {
        if let [entry] = acl.as_slice()
            && entry.id.scheme == "world"
        {
            return if entry.id.id == "anyone" {
                Ok(acl)
            } else {
                Err(ErrorCode::INVALID_ACL)
            };
        }
        let mut seen = BTreeSet::new();
        let mut fixed = Vec::new();
        for entry in acl.iter().filter(|entry| seen.insert(*entry)) {
            if entry.id.scheme == "auth" {
                let before = fixed.len();
                fixed.extend(
                    who.ids
                        .iter()
                        .filter(|id| id.scheme == "digest")
                        .map(|id| Acl::new(entry.perms, id.clone())),
                );
                if fixed.len() == before {
                    return Err(ErrorCode::INVALID_ACL);
                }
            } else if self.is_valid(&entry.id) {
                fixed.push(entry.clone());
            } else {
                return Err(ErrorCode::INVALID_ACL);
            }
            if fixed.len() > ACL_ENTRIES_MAX {
                return Err(ErrorCode::INVALID_ACL);
            }
        }
        if fixed.is_empty() {
            return Err(ErrorCode::INVALID_ACL);
        }
        Ok(fixed)
    }

    fn is_valid(&self, id: &Id) -> bool {
        match id.scheme.as_str() {
            "world" => id.id == "anyone",
            "digest" => self.config.digest_enabled && digest::is_valid(&id.id),
            "ip" => ip::is_valid(&id.id),
            _ => false,
        }
    }

    /// Takes a proof; `false` when it proves nothing.
    pub(crate) fn authenticate(&self, who: &mut Identities, auth: &Auth) -> bool {
        if who.ids.len() >= self.identities_max || auth.auth.len() > AUTH_BYTES_MAX {
            return false;
        }
        match auth.scheme.as_str() {
            "ip" => true,
            "digest" if self.config.digest_enabled => {
                let id = digest::identity(self.config.digest_algorithm, &auth.auth);
                if self.config.super_digest.as_ref() == Some(&id) {
                    who.add(Id::new("super", ""));
                }
                who.add(Id::new("digest", id));
                true
            }
            _ => false,
        }
    }

    /// The ACL as getACL shows it: password hashes are for administrators.
    pub(crate) fn shown(&self, who: &Identities, acl: &[Acl]) -> Vec<Acl> {
        let mut shown = acl.to_vec();
        if !self.authorize(who, acl, Perms::ADMIN) {
            for entry in &mut shown {
                if entry.id.scheme == "digest" {
                    digest::mask(&mut entry.id.id);
                }
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DigestAlgorithm;
    use alloc::vec;
    use bytes::Bytes;

    fn policy() -> Policy {
        let super_digest = digest::identity(DigestAlgorithm::Sha1, b"root:secret");
        with(AuthConfig {
            super_digest: Some(super_digest),
            ..AuthConfig::default()
        })
    }

    fn with(auth: AuthConfig) -> Policy {
        Policy::new(&CoreConfig {
            auth,
            identities_per_connection_max: 8,
            ..CoreConfig::default()
        })
    }

    fn stranger() -> Identities {
        Identities::of_peer("10.1.2.3".parse().unwrap())
    }

    fn proof(scheme: &str, auth: &str) -> Auth {
        Auth {
            kind: 0,
            scheme: scheme.into(),
            auth: Bytes::copy_from_slice(auth.as_bytes()),
        }
    }

    fn entry(perms: Perms, scheme: &str, id: &str) -> Acl {
        Acl::new(perms, Id::new(scheme, id))
    }

    #[test]
    fn the_digest_identity_is_that_of_apache() {
        let mut who = stranger();
        assert!(policy().authenticate(&mut who, &proof("digest", "super:test")));
        assert_eq!(
            who.ids[1],
            Id::new("digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=")
        );
    }

    #[test]
    fn no_permission_is_granted_that_no_entry_gives() {
        let acl = [entry(Perms::READ, "world", "anyone")];
        assert!(policy().authorize(&stranger(), &acl, Perms::READ));
        assert!(!policy().authorize(&stranger(), &acl, Perms::WRITE));
        for (scheme, id) in [("world", "someone"), ("sasl", "x"), ("auth", ""), ("", "")] {
            assert!(!policy().authorize(
                &stranger(),
                &[entry(Perms::ALL, scheme, id)],
                Perms::READ
            ));
        }
    }

    #[test]
    fn the_super_user_is_bound_by_no_acl() {
        let acl = [entry(Perms::READ, "digest", "x:y")];
        let mut who = stranger();
        policy().authenticate(&mut who, &proof("digest", "root:wrong"));
        assert!(!policy().authorize(&who, &acl, Perms::ADMIN));
        policy().authenticate(&mut who, &proof("digest", "root:secret"));
        assert!(policy().authorize(&who, &acl, Perms::ADMIN));
    }

    #[test]
    fn auth_becomes_every_digest_identity_and_never_the_address() {
        let mut who = stranger();
        let acl = vec![entry(Perms::ALL, "auth", "")];
        assert_eq!(
            policy().fix_up(&who, acl.clone()),
            Err(ErrorCode::INVALID_ACL)
        );
        policy().authenticate(&mut who, &proof("digest", "a:1"));
        policy().authenticate(&mut who, &proof("digest", "b:2"));
        let fixed = policy().fix_up(&who, acl).unwrap();
        assert_eq!(
            fixed
                .iter()
                .map(|entry| &entry.id.id[..2])
                .collect::<Vec<_>>(),
            ["a:", "b:"]
        );
    }

    #[test]
    fn duplicates_are_removed() {
        let once = entry(Perms::READ, "world", "anyone");
        let twice = vec![once.clone(), entry(Perms::ALL, "ip", "::1"), once.clone()];
        let fixed = policy().fix_up(&stranger(), twice).unwrap();
        assert_eq!(fixed, [once, entry(Perms::ALL, "ip", "::1")]);
    }

    #[test]
    fn lists_that_are_empty_unknown_or_endless_are_refused() {
        let long = (0..2_000).map(|perms| entry(Perms(perms), "world", "anyone"));
        for acl in [
            vec![],
            vec![entry(Perms::ALL, "world", "someone")],
            vec![entry(Perms::ALL, "digest", "no colon")],
            vec![entry(Perms::ALL, "digest", "a:b:c")],
            vec![entry(Perms::ALL, "ip", "10.0.0.256")],
            vec![entry(Perms::ALL, "sasl", "x")],
            vec![entry(Perms::ALL, "super", "")],
            vec![Acl::open(), entry(Perms::ALL, "", "")],
            long.collect(),
        ] {
            assert_eq!(
                policy().fix_up(&stranger(), acl),
                Err(ErrorCode::INVALID_ACL)
            );
        }
    }

    #[test]
    fn digests_are_shown_to_administrators_alone() {
        let acl = [
            entry(Perms::READ, "digest", "a:hash"),
            entry(Perms::ADMIN, "ip", "10.1.2.4"),
        ];
        let masked = policy().shown(&stranger(), &acl);
        assert_eq!(masked[0].id.id, "a:x");
        assert_eq!(masked[1], acl[1]);
        let admin = Identities::of_peer("10.1.2.4".parse().unwrap());
        assert_eq!(policy().shown(&admin, &acl), acl);
    }

    #[test]
    fn identities_are_bounded() {
        let mut who = stranger();
        let long = "u".repeat(AUTH_BYTES_MAX + 1);
        assert!(!policy().authenticate(&mut who, &proof("digest", &long)));
        for user in 0..7 {
            assert!(
                policy().authenticate(&mut who, &proof("digest", &alloc::format!("u{user}:p")))
            );
        }
        assert!(!policy().authenticate(&mut who, &proof("digest", "u8:p")));
    }

    #[test]
    fn who_am_i_hides_the_hash() {
        let mut who = stranger();
        policy().authenticate(&mut who, &proof("digest", "root:secret"));
        assert_eq!(
            who.users(),
            [
                Id::new("ip", "10.1.2.3"),
                Id::new("super", ""),
                Id::new("digest", "root")
            ]
        );
    }

    #[test]
    fn a_scheme_that_is_off_proves_and_grants_nothing() {
        let policy = with(AuthConfig {
            digest_enabled: false,
            ..AuthConfig::default()
        });
        let mut who = stranger();
        assert!(!policy.authenticate(&mut who, &proof("digest", "a:1")));
        who.add(Id::new("digest", "a:h"));
        let acl = vec![entry(Perms::ALL, "digest", "a:h")];
        assert!(!policy.authorize(&who, &acl, Perms::READ));
        assert!(policy.fix_up(&who, acl).is_err());
    }
}
