//! Texts of an ensemble's configuration. What parses is written as a text that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_proto::quorum::EnsembleConfig;

fuzz_target!(|text: &str| {
    let Ok(config) = text.parse::<EnsembleConfig>() else {
        return;
    };
    let written = config.to_string();
    let again: EnsembleConfig = written.parse().unwrap();
    assert_eq!(again, config);
    assert_eq!(again.to_string(), written);
});
