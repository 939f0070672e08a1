//! What memory this host has.

/// Returns all of it, bytes; none where the kernel does not say. Reads a file that the kernel makes.
pub fn host_memory() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

/// Returns what can be had without swapping, bytes; else as above.
pub(super) fn available_memory() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable")
}

/// Reads a line of `/proc/meminfo`. Source: `proc_meminfo(5)`.
fn parse(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let meminfo = "MemTotal:       24683636 kB\nMemFree:         1 kB\nMemAvailable:   22100000 kB\n";
        assert_eq!(parse(meminfo, "MemTotal"), Some(24_683_636 << 10));
        assert_eq!((parse(meminfo, "MemAvailable"), parse(meminfo, "Mem")), (Some(22_100_000 << 10), None));
        assert!(available_memory().unwrap() > 0 && available_memory() <= host_memory());
    }
}
