//! `envi` (`Environment`, 3.9.5). The Java entries stay, because some tools expect them, with
//! Java's own word for a value that is not there.
#![expect(
    clippy::disallowed_methods,
    reason = "the environment is what is asked for"
)]

use crate::version::FULL_VERSION;

const NONE: &str = "<NA>";
const MIB: u64 = 1024 * 1024;

pub(super) fn render() -> String {
    let system = rustix::system::uname();
    let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
    let variable = |name| std::env::var(name).unwrap_or_else(|_| NONE.to_owned());
    let folder = std::env::current_dir();
    let folder = folder.map_or_else(|_| NONE.to_owned(), |dir| dir.display().to_string());
    let memory = rustix::system::sysinfo();
    let unit = u64::from(memory.mem_unit).max(1);
    #[expect(
        clippy::useless_conversion,
        reason = "the width differs between machines"
    )]
    let [free, total] =
        [memory.freeram, memory.totalram].map(|units| u64::from(units) * unit / MIB);
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        arch => arch,
    };
    let entries = [
        ("zookeeper.version", FULL_VERSION.to_owned()),
        ("host.name", text(system.nodename())),
        ("java.version", NONE.to_owned()),
        ("java.vendor", NONE.to_owned()),
        ("java.home", NONE.to_owned()),
        ("java.class.path", NONE.to_owned()),
        ("java.library.path", NONE.to_owned()),
        ("java.io.tmpdir", std::env::temp_dir().display().to_string()),
        ("java.compiler", NONE.to_owned()),
        ("os.name", text(system.sysname())),
        ("os.arch", arch.to_owned()),
        ("os.version", text(system.release())),
        ("user.name", variable("USER")),
        ("user.home", variable("HOME")),
        ("user.dir", folder),
        ("os.memory.free", format!("{free}MB")),
        ("os.memory.max", format!("{total}MB")),
        ("os.memory.total", format!("{total}MB")),
    ];
    let lines = entries.map(|(key, value)| format!("{key}={value}\n"));
    format!("Environment:\n{}", lines.concat())
}
