//! `networkConfiguration`: which of its members go together.

use innkeep_protocol::control::NetworkConfiguration;

use crate::validate::Violations;

const AT: &str = "networkConfiguration.networkModeConfig";

/// Checks what the table cannot say.
pub(super) fn check(configuration: Option<&NetworkConfiguration>, found: &mut Violations) {
    let Some(NetworkConfiguration { network_mode, network_mode_config }) = configuration else { return };
    match (network_mode.as_deref(), network_mode_config) {
        (Some("VPC"), None) => {
            found.say::<()>(AT, "networkMode VPC needs networkModeConfig, with subnets and securityGroups");
        }
        (Some("VPC"), Some(vpc)) if vpc.get("requireServiceS3Endpoint").is_some() => {
            let sentence =
                "requireServiceS3Endpoint is for runtimes from before May 2026, and there are none here: omit it";
            found.say::<()>(&format!("{AT}.requireServiceS3Endpoint"), sentence);
        }
        (Some("PUBLIC"), Some(_)) => {
            found.say::<()>(AT, "networkModeConfig is for networkMode VPC: omit it with PUBLIC");
        }
        _ => {}
    }
}
