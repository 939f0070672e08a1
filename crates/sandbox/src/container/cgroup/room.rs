//! How much memory control groups still allow.

use std::path::{Path, PathBuf};

use super::files::{read_field, read_number};
use super::host::Host;

/// The control group whose limit, and those of the groups above it, further sandboxes would be under.
#[derive(Debug, Clone)]
pub(crate) struct MemoryGroup(Option<PathBuf>);

/// The limit, what is used, and the part of that which the kernel would drop first: with v2, and with v1.
const FILES: [[&str; 3]; 2] = [
    ["memory.max", "memory.current", "inactive_file"],
    ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
];

impl MemoryGroup {
    /// Returns the group that this server is in.
    pub(crate) fn of_server() -> Self {
        let host = Host::look();
        let place = if host.has_v1() { host.v1("memory") } else { host.v2() };
        Self(place.and_then(|place| place.own))
    }

    /// Returns the group at `path`, which need not be there yet.
    pub(super) fn at(path: PathBuf) -> Self {
        Self(Some(path))
    }

    /// Returns how much more the groups allow, bytes; none if none of them has a limit.
    pub(crate) fn room(&self) -> Option<u64> {
        // Above the topmost group are directories without such files.
        self.0.as_deref()?.ancestors().filter_map(room).min()
    }
}

fn room(group: &Path) -> Option<u64> {
    FILES.iter().find_map(|[limit, used, droppable]| {
        // "max" is no number, and so no limit. Of v1, one beyond all memory is none.
        let limit = read_number(&group.join(limit)).filter(|limit| *limit < 1 << 60)?;
        let used = read_number(&group.join(used))?;
        let droppable = read_field(&group.join("memory.stat"), droppable).unwrap_or_default();
        Some(limit.saturating_sub(used.saturating_sub(droppable)))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(groups: &[(&str, &str, &str, &str)], names: [&str; 3], expect: Option<u64>) {
        let top = tempfile::tempdir().unwrap();
        let [limit_file, used_file, field] = names;
        let write = |path: &str, file: &str, text: &str| fs::write(top.path().join(path).join(file), text).unwrap();
        for (path, limit, used, droppable) in groups {
            fs::create_dir_all(top.path().join(path)).unwrap();
            write(path, limit_file, &format!("{limit}\n"));
            write(path, used_file, &format!("{used}\n"));
            write(path, "memory.stat", &format!("anon 1\n{field} {droppable}\nother 2\n"));
        }
        let group = MemoryGroup::at(top.path().join("a/b/not-made-yet"));
        assert_eq!(group.room(), expect, "{groups:?}");
    }

    #[test]
    fn the_group_with_the_least_room_counts() {
        for (names, none) in [(FILES[0], "max"), (FILES[1], "9223372036854771712")] {
            check(&[("", none, "900", "0"), ("a/b", none, "500", "100")], names, None);
            check(&[("a", "1000", "700", "0"), ("a/b", none, "500", "100")], names, Some(300));
            check(&[("a", "1000", "700", "0"), ("a/b", "600", "500", "100")], names, Some(200));
            check(&[("a", "1000", "700", "400"), ("a/b", "9000", "500", "0")], names, Some(700));
            check(&[("a", "1000", "1200", "0")], names, Some(0));
        }
        assert_eq!(MemoryGroup(None).room(), None);
    }
}
