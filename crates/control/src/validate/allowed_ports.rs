//! `allowedPorts`: the agent's further ports. A range may reach across the reserved port, which it then does not open.

use innkeep_types::limits::RESERVED_PORT;
use serde_json::Value;

use crate::validate::Violations;

/// Checks what the table cannot say.
pub(super) fn check(ports: Option<&Value>, found: &mut Violations) {
    let ports = ports.and_then(Value::as_array);
    for (idx, item) in ports.into_iter().flatten().enumerate() {
        let (range, at) = (&item["portRange"], format!("allowedPorts[{idx}]"));
        reserved(&item["port"], &format!("{at}.port"), found);
        reserved(&range["from"], &format!("{at}.portRange.from"), found);
        reserved(&range["to"], &format!("{at}.portRange.to"), found);
        if range["from"].as_i64() > range["to"].as_i64() {
            found.say::<()>(&format!("{at}.portRange"), "from must be less than or equal to to");
        }
    }
}

/// Refuses the one port in its bounds that is not to be had.
pub(super) fn reserved(port: &Value, at: &str, found: &mut Violations) {
    if port.as_u64() == Some(RESERVED_PORT.into()) {
        found.say::<()>(at, format_args!("port {RESERVED_PORT} is reserved and cannot be the agent's"));
    }
}
