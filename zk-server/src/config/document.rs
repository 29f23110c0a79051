//! `docs/configuration.md`, made from the key table.

use super::form::Form;
use super::key::{Key, Source, Status};
use super::table::GROUPS;
use std::fmt::{self, Write as _};

const INTRODUCTION: &str = include_str!("document.md");

/// The text of `docs/configuration.md`: every key with its form, default, status and meaning.
#[must_use]
pub fn document() -> String {
    render().expect("writing to a string cannot fail")
}

fn render() -> Result<String, fmt::Error> {
    let mut text = INTRODUCTION.to_owned();
    for group in GROUPS {
        writeln!(text, "\n## {}\n", group.title)?;
        writeln!(
            text,
            "| Key | Value | Default | Read from | Status | Meaning |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|")?;
        for key in group.keys {
            write_row(&mut text, key)?;
        }
    }
    Ok(text)
}

fn write_row(text: &mut String, key: &Key) -> fmt::Result {
    let name = if key.is_family() {
        format!("{}*", key.name)
    } else {
        key.name.to_owned()
    };
    let default = match key.default {
        Some("") | None => "–".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    let form = match key.form {
        Form::Server => "see above".to_owned(),
        form => form.to_string(),
    };
    let (status, meaning) = match key.status {
        Status::Honoured => ("honoured", key.meaning.to_owned()),
        Status::Ensemble => ("ensemble", key.meaning.to_owned()),
        Status::Refused { why, agreed } => ("refused", explained(why, agreed)),
        Status::NoEffect { why, agreed } => ("no effect", explained(why, agreed)),
    };
    let source = match key.source {
        Source::File => "file",
        Source::Property => "file, `-Dzookeeper.`",
        Source::EitherProperty => "file, `-Dzookeeper.`, `-D`",
        Source::Flag => "`-D`",
        Source::Own => "own",
    };
    writeln!(
        text,
        "| `{name}` | {form} | {default} | {source} | {status} | {meaning} |"
    )
}

fn explained(why: &str, agreed: &[&str]) -> String {
    let mut characters = why.chars();
    let first = characters.next().map(|c| c.to_ascii_uppercase());
    let mut text: String = first.into_iter().chain(characters).chain(['.']).collect();
    let agreed: Vec<_> = agreed
        .iter()
        .filter(|v| !v.is_empty())
        .map(|v| format!("`{v}`"))
        .collect();
    if !agreed.is_empty() {
        text = format!("{text} {} is accepted.", agreed.join(" or "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the document is a file of the repository"
    )]
    fn the_document_shows_the_key_table() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let expected = document();
        if std::env::var("ZK_WRITE_DOCS").is_ok() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        let actual = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            actual == expected,
            "docs/configuration.md is out of date; write it by\n\
             ZK_WRITE_DOCS=1 cargo test -p zk-server config::document"
        );
    }
}
