//! What holds for every row of the key table.

use super::*;

/// A name of the key, also where the row is a family.
fn name(key: &Key) -> String {
    let member = if key.is_family() { "1" } else { "" };
    format!("{}{member}", key.name)
}

/// A text that is no default, and that no other key contradicts.
fn sample(key: &Key) -> String {
    match key.name {
        "enforce.auth.enabled" => "false".to_owned(),
        // No other value agrees with there being no servers.
        "standaloneEnabled" => "true".to_owned(),
        _ => key.form.sample(),
    }
}

#[test]
fn stands_once_in_the_table() {
    let mut names: Vec<_> = table::keys().map(|key| key.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for key in table::keys() {
        let (found, has_prefix) = table::find(&name(key)).unwrap();
        assert!(std::ptr::eq(found, key) && !has_prefix, "{}", key.name);
        let (found, has_prefix) = table::find(&format!("zookeeper.{}", name(key))).unwrap();
        assert!(std::ptr::eq(found, key) && has_prefix, "{}", key.name);
    }
}

#[test]
fn has_a_setter_if_it_is_honoured_and_texts_of_its_form() {
    for key in table::keys() {
        assert!(
            key.set.is_some() || key.status != Status::Honoured,
            "{}",
            key.name
        );
        assert!(
            !key.meaning.is_empty() && key.read(&sample(key)).is_some(),
            "{}",
            key.name
        );
        let agreed = match key.status {
            Status::Honoured | Status::Ensemble => &[],
            Status::Refused { agreed, .. } | Status::NoEffect { agreed, .. } => agreed,
        };
        for text in key.default.iter().chain(agreed) {
            assert!(key.read(text).is_some(), "{}={text}", key.name);
        }
    }
}

#[test]
fn does_what_its_status_says_from_every_source() {
    for key in table::keys() {
        let (name, text) = (name(key), sample(key));
        let dynamic = Some("server.1=localhost:2888:3888\n");
        let line = format!("{name}={text}");
        let base = "dataDir=/data\nclientPort=2181\n";
        let required = base
            .lines()
            .filter(|required| required.split_once('=').unwrap().0 != name);
        let base: String = required.map(|required| format!("{required}\n")).collect();
        let prefixed = match key.source {
            Source::Flag => format!("-D{line}"),
            _ => format!("-Dzookeeper.{line}"),
        };
        let file = format!("{base}{line}");
        for (origin, given) in [
            (
                format!("zoo.cfg:{}", base.lines().count() + 1),
                Given {
                    file: &file,
                    dynamic,
                    ..NOTHING
                },
            ),
            (
                "SERVER_JVMFLAGS".into(),
                Given {
                    file: &base,
                    jvm_flags: &prefixed,
                    dynamic,
                    ..NOTHING
                },
            ),
            (
                "--set".into(),
                Given {
                    file: &base,
                    overrides: &[&line],
                    dynamic,
                    ..NOTHING
                },
            ),
        ] {
            check(key, &name, &text, &origin, &given);
        }
    }
}

fn check(key: &Key, name: &str, text: &str, origin: &str, given: &Given<'_>) {
    let agrees = key.agrees(&key.read(text).unwrap());
    match (key.status, given.load()) {
        (Status::Refused { why, .. }, Err(error)) if !agrees => {
            let shown = error.to_string();
            assert!(shown.starts_with(&format!("{origin}: ")), "{shown}");
            assert!(
                shown.ends_with(&format!("{name}={text} is refused: {why}")),
                "{shown}"
            );
        }
        (Status::NoEffect { why, .. }, Ok(loaded)) if !agrees => {
            let is_it = |warning: &Warning| {
                let shown = warning.to_string();
                shown.starts_with(&format!("{origin}: "))
                    && shown.ends_with(&format!("{name} has no effect: {why}"))
            };
            let found = loaded
                .warnings
                .iter()
                .filter(|warning| is_it(warning))
                .count();
            assert_eq!(found, 1, "{name}: {:?}", loaded.warnings);
        }
        (_, Ok(loaded)) => {
            assert_eq!(effective(&loaded, name).1, origin, "{name}");
        }
        (status, Err(error)) => panic!("{name} is {status:?}, and yet: {error}"),
    }
}
