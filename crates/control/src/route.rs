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
    CreateAgentRuntimeEndpoint {
        runtime: String,
    },
    UpdateAgentRuntimeEndpoint {
        runtime: String,
        endpoint: String,
    },
    DeleteAgentRuntimeEndpoint {
        runtime: String,
        endpoint: String,
    },
    TagResource {
        arn: String,
    },
    UntagResource {
        arn: String,
    },
    ListTagsForResource {
        arn: String,
    },
    PutResourcePolicy {
        arn: String,
    },
    GetResourcePolicy {
        arn: String,
    },
    DeleteResourcePolicy {
        arn: String,
    },
    CreateCapacityProvider,
    ListCapacityProviders,
    GetCapacityProvider {
        id: String,
    },
    UpdateCapacityProvider {
        id: String,
    },
    DeleteCapacityProvider {
        id: String,
    },
    ListAgentRuntimeVersionsByCapacityProvider {
        id: String,
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
        ("PUT", ["runtimes", id, "runtime-endpoints"]) => Route::CreateAgentRuntimeEndpoint { runtime: decode(id) },
        (method, ["runtimes", id, "runtime-endpoints", name]) => endpoint(method, decode(id), decode(name)),
        (method, ["tags", arn @ ..]) if !arn.is_empty() => tags(method, decode(&arn.join("/"))),
        (method, ["resourcepolicy", arn @ ..]) if !arn.is_empty() => policy(method, decode(&arn.join("/"))),
        ("PUT", ["capacity-providers"]) => Route::CreateCapacityProvider,
        ("POST", ["capacity-providers"]) => Route::ListCapacityProviders,
        (method, ["capacity-providers", id]) => capacity_provider(method, decode(id)),
        ("POST", ["capacity-providers", id, "runtime-versions"]) => {
            Route::ListAgentRuntimeVersionsByCapacityProvider { id: decode(id) }
        }
        (
            _,
            ["runtimes"] | ["runtimes", _] | ["runtimes", _, "versions"] | ["runtimes", _, "runtime-endpoints", ..],
        ) => Route::NotYet,
        (_, ["capacity-providers" | "identities", ..]) => Route::NotYet,
        _ => return None,
    };
    Some(route)
}

fn endpoint(method: &str, runtime: String, endpoint: String) -> Route {
    match method {
        "GET" => Route::GetAgentRuntimeEndpoint { runtime, endpoint },
        "PUT" => Route::UpdateAgentRuntimeEndpoint { runtime, endpoint },
        "DELETE" => Route::DeleteAgentRuntimeEndpoint { runtime, endpoint },
        _ => Route::NotYet,
    }
}

fn tags(method: &str, arn: String) -> Route {
    match method {
        "POST" => Route::TagResource { arn },
        "DELETE" => Route::UntagResource { arn },
        "GET" => Route::ListTagsForResource { arn },
        _ => Route::NotYet,
    }
}

fn policy(method: &str, arn: String) -> Route {
    match method {
        "PUT" => Route::PutResourcePolicy { arn },
        "GET" => Route::GetResourcePolicy { arn },
        "DELETE" => Route::DeleteResourcePolicy { arn },
        _ => Route::NotYet,
    }
}

fn capacity_provider(method: &str, id: String) -> Route {
    match method {
        "GET" => Route::GetCapacityProvider { id },
        "PUT" => Route::UpdateCapacityProvider { id },
        "DELETE" => Route::DeleteCapacityProvider { id },
        _ => Route::NotYet,
    }
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
    fn an_arn_in_the_path_may_be_encoded_or_raw() {
        let arn = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/a-0123456789/runtime-endpoint/prod";
        let encoded = arn.replace(':', "%3A").replace('/', "%2F");
        for spelled in [arn, &encoded] {
            for slash in ["", "/"] {
                let tags = route(&Method::GET, &format!("/tags/{spelled}{slash}"));
                assert_eq!(tags, Some(Route::ListTagsForResource { arn: arn.to_owned() }));
                let policy = route(&Method::PUT, &format!("/resourcepolicy/{spelled}{slash}"));
                assert_eq!(policy, Some(Route::PutResourcePolicy { arn: arn.to_owned() }));
            }
        }
    }

    #[test]
    fn other_operations_of_the_service_are_known_and_other_paths_are_not() {
        for (method, path) in [
            (Method::PATCH, "/runtimes/a-0123456789/"),
            (Method::PATCH, "/runtimes/a-0123456789/runtime-endpoints/prod"),
            (Method::PUT, "/tags/arn%3Aaws"),
            (Method::DELETE, "/capacity-providers/a-0123456789/sessions/x"),
            (Method::POST, "/identities/CreateWorkloadIdentity"),
        ] {
            assert_eq!(route(&method, path), Some(Route::NotYet), "{method} {path}");
        }
        for path in [
            "",
            "/",
            "/tags",
            "/tags/",
            "/resourcepolicy/",
            "/runtimes/x/invocations",
            "/runtimes/x/ws",
            "/innkeep/v1/sessions",
            "//runtimes",
        ] {
            assert_eq!(route(&Method::POST, path), None, "{path}");
        }
    }
}
