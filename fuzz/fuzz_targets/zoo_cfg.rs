//! `zoo.cfg`, `SERVER_JVMFLAGS`, `--set` and `myid` with any text in them. They are refused with the place, or make a
//! configuration that keeps its bounds, the same one each time.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use zk_server::Config;
use zk_server::config::{ConfigError, Loaded, Sources};

/// Stands between the texts: file, flags, overrides (one a line), `myid`.
const SEPARATOR: u8 = 0;

fuzz_target!(|input: &[u8]| {
    let mut texts = input.split(|&byte| byte == SEPARATOR);
    let file = texts.next().unwrap_or_default();
    let mut text = || String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned();
    let (jvm_flags, overrides, my_id) = (text(), text(), text());
    let overrides: Vec<String> = overrides.lines().map(str::to_owned).collect();
    let load = |overrides: &[String]| -> Result<Loaded, ConfigError> {
        let path = Path::new("zoo.cfg");
        let sources = Sources {
            path,
            text: file,
            jvm_flags: &jvm_flags,
            overrides,
        };
        Config::parse(&sources, |_| Ok((!my_id.is_empty()).then(|| my_id.clone())))
    };
    let loaded = match load(&overrides) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    check(&loaded.config);
    assert_eq!(loaded.effective.warnings.len(), loaded.warnings.len());
    let again = load(&overrides).unwrap();
    assert_eq!(
        (&again.effective, &again.warnings),
        (&loaded.effective, &loaded.warnings)
    );
    assert_eq!(
        format!("{:?}", again.config),
        format!("{:?}", loaded.config)
    );
    for row in &loaded.effective.settings {
        assert!(!row.key.is_empty() && !row.origin.is_empty(), "{row:?}");
    }
});

fn check(config: &Config) {
    let sessions = &config.sessions;
    assert!(!config.tick_time.is_zero());
    assert!(sessions.min_timeout <= sessions.max_timeout && !sessions.max_timeout.is_zero());
    assert!(i32::try_from(sessions.max_timeout.as_millis()).is_ok());
    assert!(!config.data_dir.as_os_str().is_empty() && !config.data_log_dir.as_os_str().is_empty());
    assert!(config.limits.record_bytes_max >= config.limits.frame_bytes_max);
}
