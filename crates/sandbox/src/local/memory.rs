//! What memory this host has left.

use crate::driver::HostMemory;

/// Returns it; none where the kernel does not say. Reads a file that the kernel makes.
pub fn host_memory() -> Option<HostMemory> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// Reads `/proc/meminfo`. Source: `proc_meminfo(5)`.
fn parse(meminfo: &str) -> Option<HostMemory> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(HostMemory { total_bytes: bytes("MemTotal")?, available_bytes: bytes("MemAvailable")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let meminfo = "MemTotal:       24683636 kB\nMemFree:         1 kB\nMemAvailable:   22100000 kB\n";
        let expected = HostMemory { total_bytes: 24_683_636 << 10, available_bytes: 22_100_000 << 10 };
        assert_eq!(parse(meminfo), Some(expected));
        assert_eq!(parse("MemTotal: 1 kB"), None);
        let here = host_memory().unwrap();
        assert!(here.available_bytes > 0 && here.available_bytes <= here.total_bytes);
    }
}
