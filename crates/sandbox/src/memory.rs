//! How much memory there is for further sandboxes: what the kernel calls available, or what the control groups that they would be in
//! still allow, if that is less. Source: proc_meminfo(5), `MemAvailable`; kernel, "Control Group v2", memory.

use std::fs;

use crate::container::MemoryGroup;

/// Returns all memory of this host, bytes; none where the kernel does not say. Reads a file that the kernel makes.
pub fn host_memory() -> Option<u64> {
    parse(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// Returns the memory that processes in `group` can still take without swapping, bytes; none if the kernel does not say.
/// Blocks shortly: it reads about ten files that are no files.
pub(crate) fn available(group: &MemoryGroup) -> Option<u64> {
    let host = parse(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    Some(group.room().map_or(host, |room| room.min(host)))
}

fn parse(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read() {
        let meminfo =
            "MemTotal:       24684124 kB\nMemFree:         6014900 kB\nMemAvailable:   23723620 kB\nBuffers: 1 kB\n";
        assert_eq!(parse(meminfo, "MemAvailable:"), Some(23_723_620 * 1024));
        assert_eq!(parse(meminfo, "MemTotal:"), Some(24_684_124 * 1024));
        for unknown in
            ["", "MemTotal: 7 kB", "MemAvailable: many kB", "MemAvailable: 7", "MemAvailable: 18446744073709551615 kB"]
        {
            assert_eq!(parse(unknown, "MemAvailable:"), None, "{unknown}");
        }
    }

    #[test]
    fn this_host_says_how_much_there_is() {
        let available = available(&MemoryGroup::of_server()).unwrap();
        assert!(available > 0 && available <= host_memory().unwrap());
    }
}
