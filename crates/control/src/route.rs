//! The route table: method and path to operation.

use http::Method;
use percent_encoding::percent_decode_str;

/// An operation and what its path names, percent-decoded but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the operations are the model's own")]
pub enum Route {
    CreateAgentRuntime,
    GetAgentRuntime {
        runtime: String,
    },
    UpdateAgentRuntime {
        runtime: String,
    },
    DeleteAgentRuntime {
        runtime: String,
    },
    ListAgentRuntimes,
    ListAgentRuntimeVersions {
        runtime: String,
    },
    GetAgentRuntimeEndpoint {
        runtime: String,
        endpoint: String,
    },
    ListAgentRuntimeEndpoints {
        runtime: String,
    },
    /// An operation of the service that this version of Innkeep does not have.
    NotYet,
}

/// Returns the control-plane operation at `raw_path` (still percent-encoded; with or without its trailing slash). `None` where
/// the path is no control plane's; identity operations of the data plane must be routed before.
pub fn route(method: &Method, raw_path: &str) -> Option<Route> {
    let path = raw_path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = path.split('/').collect();
    let route = match (method.as_str(), segments.as_slice()) {
        ("PUT", ["runtimes"]) => Route::CreateAgentRuntime,
        ("POST", ["runtimes"]) => Route::ListAgentRuntimes,
        ("GET", ["runtimes", id]) => Route::GetAgentRuntime { runtime: decode(id) },
        ("PUT", ["runtimes", id]) => Route::UpdateAgentRuntime { runtime: decode(id) },
        ("DELETE", ["runtimes", id]) => Route::DeleteAgentRuntime { runtime: decode(id) },
        ("POST", ["runtimes", id, "versions"]) => Route::ListAgentRuntimeVersions { runtime: decode(id) },
        ("POST", ["runtimes", id, "runtime-endpoints"]) => Route::ListAgentRuntimeEndpoints { runtime: decode(id) },
        ("GET", ["runtimes", id, "runtime-endpoints", name]) => {
            Route::GetAgentRuntimeEndpoint { runtime: decode(id), endpoint: decode(name) }
        }
        (
            _,
            ["runtimes"] | ["runtimes", _] | ["runtimes", _, "versions"] | ["runtimes", _, "runtime-endpoints", ..],
        ) => Route::NotYet,
        (_, ["tags", _] | ["resourcepolicy", _] | ["capacity-providers" | "identities", ..]) => Route::NotYet,
        _ => return None,
    };
    Some(route)
}

/// What is not UTF-8 becomes U+FFFD, which no identifier has: it is refused with the rest.
fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_trailing_slash_are_the_same() {
        for path in ["/runtimes", "/runtimes/"] {
            assert_eq!(route(&Method::PUT, path), Some(Route::CreateAgentRuntime));
            assert_eq!(route(&Method::POST, path), Some(Route::ListAgentRuntimes));
        }
        for path in ["/runtimes/a-0123456789/versions", "/runtimes/a-0123456789/versions/"] {
            let runtime = "a-0123456789".to_owned();
            assert_eq!(route(&Method::POST, path), Some(Route::ListAgentRuntimeVersions { runtime }));
        }
    }

    #[test]
    fn path_members_are_decoded_once() {
        let got = route(&Method::GET, "/runtimes/arn%3Aaws%2Fx%253A/runtime-endpoints/DEF%41ULT/");
        let want =
            Route::GetAgentRuntimeEndpoint { runtime: "arn:aws/x%3A".to_owned(), endpoint: "DEFAULT".to_owned() };
        assert_eq!(got, Some(want));
    }

    #[test]
    fn other_operations_of_the_service_are_known_and_other_paths_are_not() {
        for (method, path) in [
            (Method::PUT, "/runtimes/a-0123456789/runtime-endpoints/"),
            (Method::DELETE, "/runtimes/a-0123456789/runtime-endpoints/prod/"),
            (Method::PATCH, "/runtimes/a-0123456789/"),
            (Method::GET, "/tags/arn%3Aaws"),
            (Method::POST, "/identities/CreateWorkloadIdentity"),
        ] {
            assert_eq!(route(&method, path), Some(Route::NotYet), "{method} {path}");
        }
        for path in ["", "/", "/runtimes/x/invocations", "/runtimes/x/ws", "/innkeep/v1/sessions", "//runtimes"] {
            assert_eq!(route(&Method::POST, path), None, "{path}");
        }
    }
}
