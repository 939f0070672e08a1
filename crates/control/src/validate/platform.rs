//! `platformVersion`.

use innkeep_types::VersionConfig;

use crate::validate::{Operation, Violations};

/// The platforms that the service has; its model lets any word pass. Source: AgentCore developer guide.
const PLATFORMS: [&str; 2] = [VersionConfig::DEFAULT_PLATFORM, "V2"];

/// Returns the platform that the version will have.
pub(super) fn platform<'a>(asked: Option<&'a str>, operation: Operation<'a>, found: &mut Violations) -> &'a str {
    match (asked, operation) {
        (Some(asked), _) => {
            found.one_of("platformVersion", asked, &PLATFORMS);
            asked
        }
        (None, Operation::Update { platform_before: Some(before) }) => before,
        (None, _) => VersionConfig::DEFAULT_PLATFORM,
    }
}
