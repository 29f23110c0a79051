//! Settings of the client in the form that zkCli reads: Java properties (`ZKClientConfig`, 3.9.5).

use std::path::Path;
use std::time::Duration;

use zk_client::ClientConfig;

use crate::error::{CliError, Result};

/// Changes `config` as the file says. What asks for more than this client can do is refused, with
/// file and line; what means nothing to it is named.
pub(crate) fn read(file: &Path, config: &mut ClientConfig) -> Result {
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))?;
    for (number, line) in (1..).zip(text.lines()) {
        let at = |what: String| CliError::Usage(format!("{}:{number}: {what}", file.display()));
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = line
            .split_once(['=', ':'])
            .ok_or_else(|| at(format!("{line:?} is not key=value")))?;
        let (key, value) = (key.trim_end(), value.trim_start());
        let parsed = || {
            let parsed = value.parse::<u32>();
            parsed.map_err(|error| at(format!("{key}={value}: {error}")))
        };
        match key {
            "zookeeper.request.timeout" => {
                let timeout = Duration::from_millis(parsed()?.into());
                config.request_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
            }
            "jute.maxbuffer" => {
                config.reply_bytes_max = usize::try_from(parsed()?).unwrap_or(usize::MAX);
            }
            "zookeeper.client.secure" | "zookeeper.sasl.client"
                if value.eq_ignore_ascii_case("false") => {}
            "zookeeper.client.secure" => {
                let what = "this client has no TLS, and would speak to the server in the clear";
                return Err(at(format!("{key}={value}: {what}")));
            }
            _ => {
                let file = file.display();
                eprintln!("zk: {file}:{number}: {key} means nothing to this client");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<ClientConfig> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file.as_file(), text.as_bytes()).unwrap();
        let mut config = ClientConfig::default();
        read(file.path(), &mut config).map(|()| config)
    }

    #[test]
    fn timeouts_and_limits_are_taken() {
        let text = "# a comment\n\nzookeeper.request.timeout = 1500\njute.maxbuffer=4096\n\
            zookeeper.client.secure=false\nzookeeper.kinit=/usr/bin/kinit\n";
        let config = read_text(text).unwrap();
        assert_eq!(config.request_timeout, Some(Duration::from_millis(1500)));
        assert_eq!(config.reply_bytes_max, 4096);
        let config = read_text("zookeeper.request.timeout: 0").unwrap();
        assert_eq!(config.request_timeout, None);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_its_line() {
        for (text, expected) in [
            (
                "\nzookeeper.client.secure=true",
                ":2: zookeeper.client.secure=true: this client has no TLS",
            ),
            (
                "zookeeper.request.timeout=soon",
                ":1: zookeeper.request.timeout=soon: invalid digit",
            ),
            ("nonsense", ":1: \"nonsense\" is not key=value"),
        ] {
            let error = read_text(text).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
