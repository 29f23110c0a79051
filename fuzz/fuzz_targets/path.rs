//! Paths: what is accepted can be taken apart and put together again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_proto::Path;

fuzz_target!(|text: &str| {
    let Ok(path) = Path::parse(text) else { return };
    let parts: Vec<_> = path.parts().collect();
    assert_eq!(format!("/{}", parts.join("/")), text);
    if let Some(parent) = path.parent() {
        assert_eq!(Path::parse(parent.as_str()), Ok(parent));
        assert!(path.is_at_or_below(parent));
    }
});
