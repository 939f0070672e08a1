//! `protocolConfiguration`: how an agent is spoken to. Source: AgentCore developer guide, protocol contracts.

use serde::{Deserialize, Serialize};

use crate::{HealthCheck, limits};

/// `serverProtocol` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ServerProtocol {
    /// `POST /invocations`, `GET /ping`.
    Http,
    /// `POST /mcp`; no health check in its contract.
    Mcp,
    /// `POST /`, `GET /ping`.
    A2a,
    /// `POST /invocations`, `GET /ping`.
    AgUi,
}

impl ServerProtocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Http, Self::Mcp, Self::A2a, Self::AgUi];

    /// Returns the word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Mcp => "MCP",
            Self::A2a => "A2A",
            Self::AgUi => "AGUI",
        }
    }

    /// Returns the protocol that the API calls `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == word)
    }

    /// Returns the port that the agent binds unless its version names another.
    pub fn port(self) -> u16 {
        match self {
            Self::Http | Self::AgUi => limits::HTTP_AGENT_PORT,
            Self::Mcp => limits::MCP_AGENT_PORT,
            Self::A2a => limits::A2A_AGENT_PORT,
        }
    }

    /// Returns the path of an invocation unless the version names another.
    pub fn path(self) -> &'static str {
        match self {
            Self::Http | Self::AgUi => "/invocations",
            Self::Mcp => "/mcp",
            Self::A2a => "/",
        }
    }

    /// Returns how readiness and health are found unless the settings say.
    pub fn health(self) -> HealthCheck {
        match self {
            Self::Http | Self::A2a | Self::AgUi => HealthCheck::Ping,
            Self::Mcp => HealthCheck::Tcp,
        }
    }
}

/// How the agent is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// Which contract the agent follows.
    pub server: ServerProtocol,
    /// The port that the agent binds.
    pub port: u16,
    /// The path of an invocation.
    pub path: String,
    /// Whether Create or Update named port and path; what was not named is not returned.
    pub explicit: ExplicitProtocol,
}

/// Which parts of `protocolConfiguration` the caller gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExplicitProtocol {
    /// The whole block.
    pub block: bool,
    /// `port`.
    pub port: bool,
    /// `path`.
    pub path: bool,
}

impl From<ServerProtocol> for Protocol {
    /// Returns the protocol with its own port and path.
    fn from(server: ServerProtocol) -> Self {
        let explicit = ExplicitProtocol::default();
        Self { server, port: server.port(), path: server.path().to_owned(), explicit }
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self::from(ServerProtocol::Http)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_apis_in_the_store_too() {
        for protocol in ServerProtocol::ALL {
            assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.as_str());
            assert_eq!(ServerProtocol::from_word(protocol.as_str()), Some(protocol));
        }
        assert_eq!(ServerProtocol::from_word("http"), None);
    }
}
