//! NAME, ID or ARN to a runtime, or none of them to the one that is meant; endpoints and versions as people name them; short
//! session names to ids.

use clap::Args;
use innkeep_protocol::operator::RuntimeView;
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeArn, RuntimeId, RuntimeName, RuntimeVersion, SessionId};

use crate::failure::{Code, Failure};
use crate::source::Source;

/// Which runtime a command is about whose arguments name parts of one.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct OfRuntime {
    /// The runtime: name, id or ARN [default: the one that the current folder is deployed as, else the only one]
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
}

/// Which runtime's parts are listed.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The runtime: name, id or ARN [default: the one that the current folder is deployed as, else the only one]
    #[arg(value_name = "NAME", conflicts_with = "runtime")]
    name: Option<String>,
    #[command(flatten)]
    of: OfRuntime,
}

impl List {
    pub(crate) async fn resolve(self, client: &Client) -> Result<RuntimeView, Failure> {
        self.of.named(self.name)?.resolve(client).await
    }
}

impl OfRuntime {
    /// Takes the runtime's name from before the names of its parts, if it stands there.
    pub(crate) fn named(self, name: Option<String>) -> Result<Self, Failure> {
        match (self.runtime, name) {
            (Some(option), Some(name)) => {
                Err(Failure::usage(format!("which runtime is meant: {name}, or {option} of --runtime?")))
            }
            (option, name) => Ok(Self { runtime: name.or(option) }),
        }
    }

    pub(crate) async fn resolve(&self, client: &Client) -> Result<RuntimeView, Failure> {
        named_or_meant(client, self.runtime.as_deref()).await
    }

    /// Returns the runtime of an endpoint that was named.
    pub(crate) async fn resolve_with(&self, client: &Client, endpoint: &NamedEndpoint) -> Result<RuntimeView, Failure> {
        let runtime = endpoint.runtime.as_ref().map(RuntimeId::as_str).or(self.runtime.as_deref());
        named_or_meant(client, runtime).await
    }
}

/// An endpoint by name, or by ARN, which names its runtime too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedEndpoint {
    pub(crate) name: EndpointName,
    runtime: Option<RuntimeId>,
}

impl From<EndpointName> for NamedEndpoint {
    fn from(name: EndpointName) -> Self {
        Self { name, runtime: None }
    }
}

/// Reads an endpoint's name or ARN.
pub(crate) fn endpoint(given: &str) -> Result<NamedEndpoint, String> {
    match arn(given) {
        Some((runtime, Some(name))) => Ok(NamedEndpoint { name, runtime: Some(runtime) }),
        Some((_, None)) => Err("that is a runtime's ARN: expected an endpoint's name or ARN".to_owned()),
        None => EndpointName::parse(given).map(|name| NamedEndpoint { name, runtime: None }).map_err(|e| e.to_string()),
    }
}

/// Reads the numbers of versions, `most` of them at most, and the runtime's name if it stands before them: what is no number is one.
pub(crate) fn versions(
    mut words: Vec<String>,
    of: OfRuntime,
    most: usize,
) -> Result<(OfRuntime, Vec<RuntimeVersion>), Failure> {
    let begins_with_name = words.len() > most || words.first().is_some_and(|first| version(first).is_err());
    let name = (begins_with_name && of.runtime.is_none()).then(|| words.remove(0));
    let number = |word: &String| version(word).map_err(|e| Failure::usage(format!("VERSION {word}: {e}")));
    let versions = words.iter().map(number).collect::<Result<_, _>>()?;
    Ok((of.named(name)?, versions))
}

/// Reads a version's number, as the API has it or as this program shows it: `7`, `v7`.
pub(crate) fn version(given: &str) -> Result<RuntimeVersion, String> {
    let number = given.strip_prefix('v').unwrap_or(given);
    RuntimeVersion::parse(number).map_err(|_| "expected a version's number, such as 7".to_owned())
}

/// Returns the runtime that an ARN names, and the endpoint if it is one's; `None` if `given` is no ARN.
pub(crate) fn arn(given: &str) -> Option<(RuntimeId, Option<EndpointName>)> {
    RuntimeArn::parse_with_endpoint(given).ok().map(|(arn, endpoint)| (arn.runtime, endpoint))
}

/// Returns the runtime called `given`: its name, the folder it came from, its id, or its ARN.
pub(crate) async fn runtime(client: &Client, given: &str) -> Result<RuntimeView, Failure> {
    let id = arn(given).map(|(id, _)| id).or_else(|| RuntimeId::parse(given).ok());
    // An id begins with the name: one runtime is asked for, and not all that there are.
    let by_id = id.as_ref().and_then(|id| id.as_str().rsplit_once('-'));
    let by_id = by_id.and_then(|(name, _)| RuntimeName::parse(name).ok());
    for name in [by_id, RuntimeName::from_folder(given)].into_iter().flatten() {
        if let Some(runtime) = by_name(client, &name).await?
            && (Some(&runtime.id) == id.as_ref() || RuntimeName::from_folder(given).as_ref() == Some(&runtime.name))
        {
            return Ok(runtime);
        }
    }
    Err(not_found(given, &client.runtimes(None).await?.runtimes))
}

/// Returns the runtime called `given`; if none is, the one that the current folder is deployed as, else the only one there is.
pub(crate) async fn named_or_meant(client: &Client, given: Option<&str>) -> Result<RuntimeView, Failure> {
    if let Some(given) = given {
        return runtime(client, given).await;
    }
    let here = std::env::current_dir().ok().and_then(|folder| Source::Folder(folder).default_name().ok());
    if let Some(here) = here
        && let Some(runtime) = by_name(client, &here).await?
    {
        return Ok(runtime);
    }
    let mut runtimes = client.runtimes(None).await?.runtimes;
    match (runtimes.pop(), runtimes.as_slice()) {
        (Some(only), []) => Ok(only),
        (Some(last), others) => {
            let names: Vec<_> = others.iter().chain([&last]).map(|runtime| runtime.name.as_str()).collect();
            Err(Failure::usage("which runtime is meant? The current folder is deployed as none of them")
                .with_fix(format!("name one with --runtime: {}", some_of(&names))))
        }
        (None, _) => Err(Failure::new(Code::NotFound, "no runtime is deployed").with_fix("innkeep deploy DIR")),
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
        names => format!("deployed here: {}", some_of(names)),
    };
    Failure::new(Code::NotFound, format!("no runtime is called {given}")).with_fix(fix)
}

/// Returns names as a sentence has them; of many, the first.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more (innkeep runtimes ls)", names[..SHOWN].join(", ")),
    }
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
        let named = |given: &str| endpoint(given).map(|named| (named.name.to_string(), named.runtime));
        let id = RuntimeId::parse("hello-Ab3dE6gH9j").unwrap();
        assert_eq!(named("prod"), Ok(("prod".to_owned(), None)));
        assert_eq!(named(&format!("{base}/runtime-endpoint/prod")), Ok(("prod".to_owned(), Some(id))));
        assert!(named(base).is_err() && named("a b").is_err());
    }

    #[test]
    fn versions_are_numbers_with_or_without_their_v() {
        assert_eq!(version("7").unwrap(), version("v7").unwrap());
        for bad in ["", "v", "0", "newest", "vv7"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_runtimes_name_may_stand_before_its_versions() {
        let read = |words: &[&str], runtime: Option<&str>, most| {
            let of = OfRuntime { runtime: runtime.map(str::to_owned) };
            let read = versions(words.iter().map(|word| (*word).to_owned()).collect(), of, most);
            read.map(|(of, versions)| (of.runtime, versions.into_iter().map(RuntimeVersion::get).collect::<Vec<_>>()))
        };
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(read(&["7"], None, 1).unwrap(), (None, vec![7]));
        assert_eq!(read(&["hello", "7"], None, 1).unwrap(), (named("hello"), vec![7]));
        assert_eq!(read(&["v7", "8"], None, 1).unwrap(), (named("v7"), vec![8]), "only one can be a version");
        assert_eq!(read(&["v7", "8"], None, 2).unwrap(), (None, vec![7, 8]));
        assert_eq!(read(&["hello"], None, 2).unwrap(), (named("hello"), vec![]));
        assert_eq!(read(&["1", "2"], Some("v7"), 9).unwrap(), (named("v7"), vec![1, 2]));
        for (words, runtime) in [(&["hello", "old"][..], None), (&["hello", "1"], Some("hello"))] {
            assert_eq!(read(words, runtime, 9).unwrap_err().code, Code::Usage);
        }
    }

    #[test]
    fn many_names_are_cut_short() {
        let names: Vec<_> = (0..12).map(|n| n.to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(some_of(&names[..2]), "0, 1");
        assert_eq!(some_of(&names), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more (innkeep runtimes ls)");
    }
}
