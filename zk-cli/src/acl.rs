//! ACLs as zkCli writes them: `scheme:id:perms`, joined by commas.

use zk_proto::{Acl, Id, Perms};

/// Letters of permissions, in the order in which they are printed.
const LETTERS: [(char, Perms); 5] = [
    ('c', Perms::CREATE),
    ('d', Perms::DELETE),
    ('r', Perms::READ),
    ('w', Perms::WRITE),
    ('a', Perms::ADMIN),
];

/// Reads an ACL. An id may hold colons: the scheme ends at the first, the permissions begin after
/// the last.
pub(crate) fn parse_acl(text: &str) -> Result<Vec<Acl>, String> {
    text.split(',').map(parse_entry).collect()
}

fn parse_entry(entry: &str) -> Result<Acl, String> {
    let parts = entry
        .split_once(':')
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once(':')?)));
    let Some((scheme, (id, perms))) = parts else {
        return Err(format!("{entry:?} does not have the form scheme:id:perms"));
    };
    if perms.is_empty() {
        return Err("no permissions, expected some of cdrwa".to_owned());
    }
    Ok(Acl::new(parse_perms(perms)?, Id::new(scheme, id)))
}

/// Reads letters of `cdrwa`, or a number as [`format_perms`] writes it.
pub(crate) fn parse_perms(text: &str) -> Result<Perms, String> {
    if let Ok(bits) = text.parse() {
        return Ok(Perms(bits));
    }
    let mut perms = Perms::default();
    for letter in text.chars() {
        match LETTERS.iter().find(|(known, _)| *known == letter) {
            Some((_, perm)) => perms |= *perm,
            None => {
                return Err(format!(
                    "{letter:?} is no permission, expected some of cdrwa"
                ));
            }
        }
    }
    Ok(perms)
}

/// Writes letters of `cdrwa`. Servers keep bits that have no letter: then it is the number.
pub(crate) fn format_perms(perms: Perms) -> String {
    if perms.0 & !Perms::ALL.0 != 0 {
        return perms.0.to_string();
    }
    let set = LETTERS.iter().filter(|(_, perm)| perms.intersects(*perm));
    set.map(|(letter, _)| *letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_scheme_id_and_permissions() {
        let acl = parse_acl("world:anyone:r,digest:bob:ha/sh=:cdrwa,ip:::1:rw").unwrap();
        assert_eq!(
            acl,
            [
                Acl::new(Perms::READ, Id::anyone()),
                Acl::new(Perms::ALL, Id::new("digest", "bob:ha/sh=")),
                Acl::new(Perms::READ | Perms::WRITE, Id::new("ip", "::1")),
            ]
        );
    }

    #[test]
    fn an_entry_that_is_none_is_refused_by_name() {
        for (text, expected) in [
            ("world", "\"world\" does not have the form"),
            ("world:anyone", "\"world:anyone\" does not have the form"),
            ("world:anyone:x", "'x' is no permission"),
            ("world:anyone:", "no permissions"),
            ("world:anyone:r,", "\"\" does not have the form"),
        ] {
            let error = parse_acl(text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn letters_are_printed_in_the_order_of_zkcli() {
        assert_eq!(format_perms(Perms::ALL), "cdrwa");
        assert_eq!(format_perms(parse_perms("war").unwrap()), "rwa");
    }

    #[test]
    fn permissions_without_letters_survive() {
        for bits in [0, 1, 31, 32, 63, -1] {
            let perms = Perms(bits);
            assert_eq!(parse_perms(&format_perms(perms)), Ok(perms));
        }
    }
}
