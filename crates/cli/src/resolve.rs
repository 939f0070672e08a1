//! NAME, ID or ARN to a runtime; short session names to ids.

use innkeep_protocol::operator::RuntimeView;
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeArn, RuntimeId, RuntimeName, SessionId};

use crate::failure::{Code, Failure};

/// Returns the runtime that an ARN names, and the endpoint if it is one's; `None` if `given` is no ARN.
pub(crate) fn arn(given: &str) -> Option<(RuntimeId, Option<EndpointName>)> {
    RuntimeArn::parse_with_endpoint(given).ok().map(|(arn, endpoint)| (arn.runtime, endpoint))
}

/// Returns the runtime called `given`: its name, the folder it came from, its id, or its ARN.
pub(crate) async fn runtime(client: &Client, given: &str) -> Result<RuntimeView, Failure> {
    let id = arn(given).map(|(id, _)| id).or_else(|| RuntimeId::parse(given).ok());
    let name = RuntimeName::from_folder(given);
    let mut runtimes = client.runtimes(None).await?.runtimes;
    let by_id = runtimes.iter().position(|runtime| Some(&runtime.id) == id.as_ref());
    let found = by_id.or_else(|| runtimes.iter().position(|runtime| Some(&runtime.name) == name.as_ref()));
    match found {
        Some(at) => Ok(runtimes.swap_remove(at)),
        None => Err(not_found(given, &runtimes)),
    }
}

/// Returns the runtime called `name`, if there is one.
pub(crate) async fn by_name(client: &Client, name: &RuntimeName) -> Result<Option<RuntimeView>, Failure> {
    let list = client.runtimes(Some(name)).await?;
    Ok(list.runtimes.into_iter().find(|runtime| runtime.name == *name))
}

/// Returns the session id that people's short name stands for.
pub(crate) fn session(given: &str) -> Result<SessionId, String> {
    SessionId::from_short(given).ok_or_else(|| "a session is named by 1 to 256 visible ASCII characters".to_owned())
}

/// Returns a session id as people gave it: what [`session`] padded it with is taken off.
pub(crate) fn short(session: &SessionId) -> &str {
    let id = session.as_str();
    let stem = id.split_once("-innkeep-session-").filter(|(_, pad)| pad.bytes().all(|b| b == b'0'));
    stem.map_or(id, |(stem, _)| stem)
}

fn not_found(given: &str, runtimes: &[RuntimeView]) -> Failure {
    let names: Vec<_> = runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
    let fix = match names.as_slice() {
        [] => "nothing is deployed yet: `innkeep deploy DIR`".to_owned(),
        names => format!("deployed here: {}", names.join(", ")),
    };
    Failure::new(Code::NotFound, format!("no runtime is called {given}")).with_fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_session_names_go_there_and_back() {
        for name in ["alice", "a-b.c", "b1a6a3c2-7d3e-4f0e-9f3b-0d1c2b3a4f5e"] {
            assert_eq!(short(&session(name).unwrap()), name);
        }
        assert!(session("two words").is_err());
    }

    #[test]
    fn arns_name_runtime_and_endpoint() {
        let base = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";
        let id = RuntimeId::parse("hello-Ab3dE6gH9j").unwrap();
        assert_eq!(arn(base), Some((id.clone(), None)));
        let prod = EndpointName::parse("prod").unwrap();
        assert_eq!(arn(&format!("{base}/runtime-endpoint/prod")), Some((id, Some(prod))));
        assert_eq!(arn("hello"), None);
    }
}
