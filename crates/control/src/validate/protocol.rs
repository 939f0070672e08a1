//! `protocolConfiguration`: how the agent is spoken to.

use innkeep_protocol::control::ProtocolConfiguration;
use innkeep_types::{ExplicitProtocol, Protocol, ServerProtocol};

use crate::validate::{Violations, allowed_ports};

/// Returns the protocol, with the contract's port and path where the caller names none. None: something is broken.
pub(super) fn protocol(configuration: Option<&ProtocolConfiguration>, found: &mut Violations) -> Option<Protocol> {
    let Some(ProtocolConfiguration { server_protocol, port, path }) = configuration else {
        return Some(Protocol::default());
    };
    let default = Protocol::from(ServerProtocol::from_word(server_protocol.as_deref()?)?);
    if let Some(port) = port {
        allowed_ports::reserved(&(*port).into(), "protocolConfiguration.port", found);
    }
    Some(Protocol {
        explicit: ExplicitProtocol { block: true, port: port.is_some(), path: path.is_some() },
        port: port.map_or(Some(default.port), |port| u16::try_from(port).ok())?,
        path: path.clone().unwrap_or(default.path),
        ..default
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_has_its_port_and_path() {
        for (word, port, path) in
            [("HTTP", 8080, "/invocations"), ("AGUI", 8080, "/invocations"), ("MCP", 8000, "/mcp"), ("A2A", 9000, "/")]
        {
            let mut configuration =
                ProtocolConfiguration { server_protocol: Some(word.to_owned()), ..Default::default() };
            let mut found = Violations::default();
            let got = protocol(Some(&configuration), &mut found).unwrap();
            assert_eq!((got.server.as_str(), got.port, got.path.as_str()), (word, port, path));
            assert_eq!(got.explicit, ExplicitProtocol { block: true, port: false, path: false });

            configuration.port = Some(9001);
            configuration.path = Some("/run".to_owned());
            let got = protocol(Some(&configuration), &mut found).unwrap();
            assert_eq!((got.server.as_str(), got.port, got.path.as_str()), (word, 9001, "/run"));
            assert!(got.explicit.port && got.explicit.path && found.into_fields().is_empty());
        }
    }
}
