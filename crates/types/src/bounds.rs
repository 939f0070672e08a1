//! Which numbers settings may have: nothing zero, nothing that can only be a typing error.

use std::fmt;
use std::ops::RangeInclusive;

use crate::{PoolSize, Settings, limits};

/// A setting whose number is out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfBounds {
    /// Which setting, `memory_mib`.
    pub setting: &'static str,
    /// What was given.
    pub given: u64,
    /// What may be.
    pub bounds: RangeInclusive<u64>,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, given, bounds } = self;
        write!(f, "{setting} must be from {} to {}, not {given}", bounds.start(), bounds.end())
    }
}

impl Settings {
    /// Returns the settings whose numbers cannot be meant.
    pub fn out_of_bounds(&self) -> Vec<OutOfBounds> {
        let start_timeout = 1..=u32::try_from(limits::MAX_START_TIMEOUT.as_secs()).unwrap_or(u32::MAX);
        let checks = [
            ("start_timeout_secs", self.start_timeout_secs.map(u64::from), widen(start_timeout)),
            ("memory_mib", self.memory_mib.map(u64::from), widen(limits::SETTABLE_MEMORY_MIB)),
            ("cpu_millis", self.cpu_millis.map(u64::from), widen(limits::SETTABLE_CPU_MILLIS)),
            ("processes", self.processes.map(u64::from), widen(limits::SETTABLE_PROCESSES)),
            ("open_files", self.open_files, limits::SETTABLE_OPEN_FILES),
            ("disk_mib", self.disk_mib.map(u64::from), widen(limits::SETTABLE_DISK_MIB)),
            ("pool", self.pool.and_then(fixed), widen(0..=limits::MAX_POOL_SIZE)),
        ];
        let broken = checks.into_iter().filter_map(|(setting, given, bounds)| {
            let given = given.filter(|given| !bounds.contains(given))?;
            Some(OutOfBounds { setting, given, bounds })
        });
        broken.collect()
    }
}

fn fixed(pool: PoolSize) -> Option<u64> {
    match pool {
        PoolSize::Fixed(size) => Some(size.into()),
        PoolSize::Auto => None,
    }
}

fn widen(bounds: RangeInclusive<u32>) -> RangeInclusive<u64> {
    u64::from(*bounds.start())..=u64::from(*bounds.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_named_with_its_bounds() {
        assert_eq!(Settings::default().out_of_bounds(), []);
        let settings = Settings {
            memory_mib: Some(0),
            cpu_millis: Some(2_000_000),
            processes: Some(limits::SESSION_PROCESSES),
            open_files: Some(1),
            disk_mib: Some(1),
            start_timeout_secs: Some(901),
            pool: Some(PoolSize::Fixed(101)),
            ..Settings::default()
        };
        let said: Vec<_> = settings.out_of_bounds().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "start_timeout_secs must be from 1 to 900, not 901",
                "memory_mib must be from 16 to 16777216, not 0",
                "cpu_millis must be from 10 to 1024000, not 2000000",
                "open_files must be from 64 to 1048576, not 1",
                "pool must be from 0 to 100, not 101",
            ]
        );
    }
}
