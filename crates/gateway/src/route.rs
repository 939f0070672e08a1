//! Which requests are the data plane's, told from method and path as received: an ARN in the path holds slashes, encoded or
//! raw, so the operation is the last known suffix and everything between is the target.

use http::Method;

/// A request of the data plane, recognised but not looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What is asked for.
    pub operation: Operation,
    /// Of which runtime or endpoint: ARN or id, still percent-encoded; behind [`Door::Agents`] its name.
    pub raw_target: String,
    /// Where it came in.
    pub door: Door,
}

/// What a path of the data plane begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `/runtimes/`, of the API.
    Runtimes,
    /// `/agents/`, ours: for people with curl, and pages of browsers.
    Agents,
}

/// Where invocations are found whose callers do not wait. Not of the contract's: ours.
pub(crate) const INVOCATIONS: &str = "/innkeep/v1/invocations/";

/// An operation of the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `POST /runtimes/{target}/invocations`
    InvokeAgentRuntime,
    /// `GET /runtimes/{target}/ws`, to be upgraded
    InvokeAgentRuntimeWithWebSocketStream,
    /// `POST /runtimes/{target}/commands`
    InvokeAgentRuntimeCommand,
    /// `GET /runtimes/{target}/ws/shells`, to be upgraded
    InvokeAgentRuntimeCommandShell,
    /// `POST /runtimes/{target}/stopruntimesession`
    StopRuntimeSession,
    /// `GET /runtimes/{target}/invocations/.well-known/oauth-protected-resource`
    GetRuntimeProtectedResourceMetadata,
    /// `GET /runtimes/{target}/invocations/.well-known/agent-card.json`
    GetAgentCard,
    /// `GET` and `DELETE /runtimes/{target}/invocations`, which no runtime has
    InvokeAgentRuntimeOtherwise,
    /// `GET /innkeep/v1/invocations/{id}`
    GetInvocation,
    /// `DELETE /innkeep/v1/invocations/{id}`
    CancelInvocation,
}

impl Operation {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvokeAgentRuntime => "InvokeAgentRuntime",
            Self::InvokeAgentRuntimeWithWebSocketStream => "InvokeAgentRuntimeWithWebSocketStream",
            Self::InvokeAgentRuntimeCommand => "InvokeAgentRuntimeCommand",
            Self::InvokeAgentRuntimeCommandShell => "InvokeAgentRuntimeCommandShell",
            Self::StopRuntimeSession => "StopRuntimeSession",
            Self::GetRuntimeProtectedResourceMetadata => "GetRuntimeProtectedResourceMetadata",
            Self::GetAgentCard => "GetAgentCard",
            Self::InvokeAgentRuntimeOtherwise => "InvokeAgentRuntimeOtherwise",
            Self::GetInvocation => "GetInvocation",
            Self::CancelInvocation => "CancelInvocation",
        }
    }
}

/// Returns the data plane's route of a request, if it has one. `raw_path` is the path as received, still percent-encoded.
pub fn route(method: &Method, raw_path: &str) -> Option<Route> {
    static SUFFIXES: [(Method, &str, Operation); 9] = [
        (Method::POST, "/invocations", Operation::InvokeAgentRuntime),
        (Method::GET, "/ws", Operation::InvokeAgentRuntimeWithWebSocketStream),
        (Method::POST, "/commands", Operation::InvokeAgentRuntimeCommand),
        (Method::GET, "/ws/shells", Operation::InvokeAgentRuntimeCommandShell),
        (Method::POST, "/stopruntimesession", Operation::StopRuntimeSession),
        (
            Method::GET,
            "/invocations/.well-known/oauth-protected-resource",
            Operation::GetRuntimeProtectedResourceMetadata,
        ),
        (Method::GET, "/invocations/.well-known/agent-card.json", Operation::GetAgentCard),
        (Method::GET, "/invocations", Operation::InvokeAgentRuntimeOtherwise),
        (Method::DELETE, "/invocations", Operation::InvokeAgentRuntimeOtherwise),
    ];
    if let Some(id) = raw_path.strip_prefix(INVOCATIONS) {
        return of_invocation(method, id);
    }
    let (door, path) = match raw_path.strip_prefix("/runtimes/") {
        Some(path) => (Door::Runtimes, path),
        None => (Door::Agents, raw_path.strip_prefix("/agents/")?),
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut of_method = SUFFIXES.iter().filter(|(of, ..)| of == method);
    of_method.find_map(|&(_, suffix, operation)| {
        let raw_target = path.strip_suffix(suffix).filter(|target| !target.is_empty())?;
        if door == Door::Agents && (raw_target.contains('/') || !is_aliased(operation)) {
            return None;
        }
        // The control plane's: an endpoint whose name is that of an operation.
        if raw_target.ends_with("/runtime-endpoints") {
            return None;
        }
        Some(Route { operation, raw_target: raw_target.to_owned(), door })
    })
}

/// Tells what can be asked for by an agent's name.
fn is_aliased(operation: Operation) -> bool {
    matches!(operation, Operation::InvokeAgentRuntime | Operation::InvokeAgentRuntimeWithWebSocketStream)
}

fn of_invocation(method: &Method, id: &str) -> Option<Route> {
    let operation = match *method {
        Method::GET => Operation::GetInvocation,
        Method::DELETE => Operation::CancelInvocation,
        _ => return None,
    };
    let is_one = !id.is_empty() && !id.contains('/');
    is_one.then(|| Route { operation, raw_target: id.to_owned(), door: Door::Runtimes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expect: Option<(Operation, &str)>) {
        let found = route(&Method::POST, path);
        let found = found.as_ref().map(|route| (route.operation, route.raw_target.as_str()));
        assert_eq!(found, expect, "{path}");
    }

    #[test]
    fn the_target_is_everything_up_to_the_last_known_suffix() {
        use Operation::{InvokeAgentRuntime, InvokeAgentRuntimeCommand, StopRuntimeSession};
        let encoded = "arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A000000000000%3Aruntime%2Fhello-Ab3dE6gH9j";
        let raw = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";
        check(&format!("/runtimes/{encoded}/invocations"), Some((InvokeAgentRuntime, encoded)));
        check(&format!("/runtimes/{raw}/invocations"), Some((InvokeAgentRuntime, raw)));
        check(&format!("/runtimes/{raw}/invocations/"), Some((InvokeAgentRuntime, raw)));
        check(&format!("/runtimes/{encoded}/commands"), Some((InvokeAgentRuntimeCommand, encoded)));
        check(&format!("/runtimes/{raw}/stopruntimesession"), Some((StopRuntimeSession, raw)));
        check("/runtimes/a/invocations/invocations", Some((InvokeAgentRuntime, "a/invocations")));
    }

    #[test]
    fn the_control_planes_paths_are_left_alone() {
        for path in [
            "/",
            "/runtimes/",
            "/runtimes/invocations",
            "/runtimes//invocations",
            "/runtimes/x-1/versions/",
            "/x/a/invocations",
        ] {
            check(path, None);
            for method in [Method::GET, Method::DELETE] {
                assert_eq!(route(&method, path), None, "{method} {path}");
            }
        }
        assert_eq!(route(&Method::PUT, "/runtimes/a/invocations"), None);
        assert_eq!(route(&Method::DELETE, "/runtimes/x-1/runtime-endpoints/invocations/"), None);
    }

    #[test]
    fn an_invocation_has_one_segment_and_two_methods() {
        let found = |method, path| route(&method, path).map(|route| (route.operation, route.raw_target));
        let of = |operation| Some((operation, "0af7".to_owned()));
        assert_eq!(found(Method::GET, "/innkeep/v1/invocations/0af7"), of(Operation::GetInvocation));
        assert_eq!(found(Method::DELETE, "/innkeep/v1/invocations/0af7"), of(Operation::CancelInvocation));
        assert_eq!(found(Method::POST, "/innkeep/v1/invocations/0af7"), None);
        for path in ["/innkeep/v1/invocations", "/innkeep/v1/invocations/", "/innkeep/v1/invocations/a/b"] {
            assert_eq!(found(Method::GET, path), None, "{path}");
        }
    }

    #[test]
    fn a_websocket_is_got_unless_it_is_an_endpoints_name() {
        let found = |path| route(&Method::GET, path).map(|route| (route.operation, route.raw_target));
        let operation = Operation::InvokeAgentRuntimeWithWebSocketStream;
        assert_eq!(found("/runtimes/a%2Fb/ws"), Some((operation, "a%2Fb".to_owned())));
        assert_eq!(found("/runtimes/x-1/runtime-endpoints/ws/"), None);
        assert_eq!(found("/runtimes/ws"), None);
        assert_eq!(route(&Method::POST, "/runtimes/a/ws"), None);
    }

    #[test]
    fn a_card_is_got_and_an_invocation_is_not() {
        let found = |method, path| route(&method, path).map(|route| (route.operation, route.raw_target));
        let card = "/runtimes/a%2Fb/invocations/.well-known/agent-card.json";
        assert_eq!(found(Method::GET, card), Some((Operation::GetAgentCard, "a%2Fb".to_owned())));
        assert_eq!(found(Method::POST, card), None);
        for method in [Method::GET, Method::DELETE] {
            let otherwise = Some((Operation::InvokeAgentRuntimeOtherwise, "a/b".to_owned()));
            assert_eq!(found(method, "/runtimes/a/b/invocations"), otherwise);
        }
    }

    #[test]
    fn by_name_there_are_invocations_and_sockets_and_nothing_else() {
        let found = |method, path| route(&method, path).map(|route| (route.operation, route.raw_target, route.door));
        let of = |operation| Some((operation, "my%20agent".to_owned(), Door::Agents));
        assert_eq!(found(Method::POST, "/agents/my%20agent/invocations"), of(Operation::InvokeAgentRuntime));
        let socket = Operation::InvokeAgentRuntimeWithWebSocketStream;
        assert_eq!(found(Method::GET, "/agents/my%20agent/ws"), of(socket));
        for (method, path) in [
            (Method::POST, "/agents/a/stopruntimesession"),
            (Method::GET, "/agents/a/invocations/.well-known/oauth-protected-resource"),
            (Method::POST, "/agents/a/b/invocations"),
            (Method::POST, "/agents/invocations"),
            (Method::POST, "/agents//invocations"),
            (Method::GET, "/agents/a/invocations"),
        ] {
            assert_eq!(found(method, path), None, "{path}");
        }
    }

    #[test]
    fn a_shell_is_got_too() {
        let found = |path| route(&Method::GET, path).map(|route| (route.operation, route.raw_target));
        let operation = Operation::InvokeAgentRuntimeCommandShell;
        assert_eq!(found("/runtimes/a%2Fb/ws/shells"), Some((operation, "a%2Fb".to_owned())));
        assert_eq!(found("/runtimes/ws/shells"), None);
        assert_eq!(route(&Method::POST, "/runtimes/a/ws/shells"), None);
    }

    #[test]
    fn metadata_is_got_and_not_posted() {
        let path = "/runtimes/a%2Fb/invocations/.well-known/oauth-protected-resource";
        let found = route(&Method::GET, path).map(|route| (route.operation, route.raw_target));
        assert_eq!(found, Some((Operation::GetRuntimeProtectedResourceMetadata, "a%2Fb".to_owned())));
        assert_eq!(route(&Method::POST, path), None);
    }
}
