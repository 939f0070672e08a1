//! `protocolConfiguration`: how the agent is spoken to.

use innkeep_protocol::control::ProtocolConfiguration;
use innkeep_types::{Protocol, ServerProtocol, limits};

use crate::validate::Violations;

/// Returns the protocol, with the contract's port and path where the caller names none.
pub(super) fn protocol(configuration: Option<&ProtocolConfiguration>, found: &mut Violations) -> Option<Protocol> {
    let mut protocol = Protocol::default();
    let Some(configuration) = configuration else { return Some(protocol) };
    protocol.explicit.block = true;
    let server = server(configuration, found);
    if let Some(port) = configuration.port {
        protocol.explicit.port = true;
        protocol.port = agent_port(port, found).unwrap_or_default();
    }
    if let Some(path) = &configuration.path {
        let at = "protocolConfiguration.path";
        found.length(at, path, 1..=2048);
        found.pattern(at, is_path(path), "/[A-Za-z0-9\\-._~/%]*");
        protocol.explicit.path = true;
        protocol.path.clone_from(path);
    }
    Some(Protocol { server: server?, ..protocol })
}

fn server(configuration: &ProtocolConfiguration, found: &mut Violations) -> Option<ServerProtocol> {
    let at = "protocolConfiguration.serverProtocol";
    let server = found.required(at, configuration.server_protocol.as_deref())?;
    match found.one_of(at, server, &["MCP", "HTTP", "A2A", "AGUI"])? {
        "HTTP" => Some(ServerProtocol::Http),
        other => found.unsupported(at, format_args!("serverProtocol {other}")),
    }
}

fn agent_port(port: i64, found: &mut Violations) -> Option<u16> {
    let at = "protocolConfiguration.port";
    let bounds = i64::from(*limits::AGENT_PORTS.start())..=i64::from(*limits::AGENT_PORTS.end());
    let port = found.range(at, port, bounds)?;
    if port == limits::RESERVED_PORT {
        return found.say(at, format!("port {port} is reserved and cannot be the agent's"));
    }
    Some(port)
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b))
}
