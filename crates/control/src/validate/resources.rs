//! `resourceConfigurations`: what a session has at least.

use innkeep_protocol::control::ResourceConfiguration;
use innkeep_types::limits;

use crate::validate::Violations;

/// Returns `minimumMemoryInMiB`, if there is a configuration. The outer `None` is a broken rule. Bounds are ours: the model has none.
pub(super) fn minimum_memory(
    configurations: Option<&[ResourceConfiguration]>,
    found: &mut Violations,
) -> Option<Option<u32>> {
    let Some(configuration) = configurations.unwrap_or_default().first() else { return Some(None) };
    found.count("resourceConfigurations", configurations.unwrap_or_default().len(), 0..=1);
    let at = "resourceConfigurations[0].minimumMemoryInMiB";
    let mib = found.required(at, configuration.minimum_memory_in_mib)?;
    let bounds = i64::from(*limits::SETTABLE_MEMORY_MIB.start())..=i64::from(*limits::SETTABLE_MEMORY_MIB.end());
    found.range(at, mib, bounds).map(Some)
}
