//! `envi` (`Environment`, 3.9.5). The Java entries stay, because some tools expect them, with
//! Java's own word for a value that is not there.

use crate::version::FULL_VERSION;

const NONE: &str = "<NA>";
const MIB: u64 = 1024 * 1024;

pub(super) fn render() -> String {
    let system = rustix::system::uname();
    let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
    let (name, home) = user().unwrap_or_else(|| (NONE.to_owned(), NONE.to_owned()));
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
        ("user.name", name),
        ("user.home", home),
        ("user.dir", folder),
        ("os.memory.free", format!("{free}MB")),
        ("os.memory.max", format!("{total}MB")),
        ("os.memory.total", format!("{total}MB")),
    ];
    let lines = entries.map(|(key, value)| format!("{key}={value}\n"));
    format!("Environment:\n{}", lines.concat())
}

/// Name and home of the user that the process runs as, which Java asks the system for, too; the
/// variables of the environment may be another's.
fn user() -> Option<(String, String)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    entry_of(&users, rustix::process::getuid().as_raw())
}

/// The entry of a user in the text of `passwd(5)`: `name:password:uid:gid:comment:home:shell`.
fn entry_of(users: &str, uid: u32) -> Option<(String, String)> {
    users.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, id, _, _, home, _] = fields[..] else {
            return None;
        };
        let is_it = id.parse() == Ok(uid);
        is_it.then(|| (name.to_owned(), home.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_number() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\n\nbad line\nzk:x:104:110::/var/lib/zk:/bin/false\n";
        let entry = |name: &str, home: &str| Some((name.to_owned(), home.to_owned()));
        assert_eq!(entry_of(users, 0), entry("root", "/root"));
        assert_eq!(entry_of(users, 104), entry("zk", "/var/lib/zk"));
        assert_eq!(entry_of(users, 110), None);
    }
}
