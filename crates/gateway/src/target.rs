//! Whom a request is for: the target of the path and the query's `qualifier` and `accountId`, parsed once.

use std::borrow::Cow;

use innkeep_types::{AccountId, EndpointName, Region, RuntimeArn, RuntimeId};
use percent_encoding::percent_decode_str;

use crate::error::{Error, Unmade};

/// A runtime of this server and the endpoint asked for; whether they exist is another question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) runtime: RuntimeId,
    pub(crate) endpoint: EndpointName,
}

/// What the request names, before it is held against where this server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) target: Target,
    /// None if the caller gave an id and no region.
    region: Option<Region>,
    account: AccountId,
    /// As the caller spelled it, decoded; for messages.
    spelled: String,
}

/// Where this server stands: the only region and account whose runtimes it has.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
}

impl Named {
    /// Parses target and query, both still percent-encoded.
    pub(crate) fn parse(raw_target: &str, query: Option<&str>) -> Result<Self, Error> {
        let spelled = decode(raw_target, "agentRuntimeArn")?;
        let qualifier = match query_value(query, "qualifier")? {
            Some(name) => Some(EndpointName::parse(name).map_err(|e| Error::field("qualifier", e.to_string()))?),
            None => None,
        };
        let account_id = match query_value(query, "accountId")? {
            Some(id) => Some(AccountId::parse(id).map_err(|e| Error::field("accountId", e.to_string()))?),
            None => None,
        };
        let (runtime, region, account, implied) = if spelled.starts_with("arn:") {
            let (arn, endpoint) = RuntimeArn::parse_with_endpoint(&spelled)
                .map_err(|e| Error::field("agentRuntimeArn", e.to_string()))?;
            (arn.runtime, Some(arn.region), arn.account, endpoint)
        } else {
            let id = RuntimeId::parse(&*spelled).map_err(|e| Error::field("agentRuntimeArn", e.to_string()))?;
            let account = account_id.ok_or_else(|| {
                Error::field("accountId", "is required when the path names the agent by id and not by ARN".to_owned())
            })?;
            (id, None, account, None)
        };
        let endpoint = match (implied, qualifier) {
            (Some(implied), Some(asked)) if implied != asked => {
                let message = format!("qualifier '{asked}' contradicts the endpoint '{implied}' that the ARN names");
                return Err(Error::field("qualifier", message));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => EndpointName::default_endpoint(),
        };
        Ok(Self { target: Target { runtime, endpoint }, region, account, spelled: spelled.into_owned() })
    }

    /// Returns the target if it lies in this server's region and account. Told only to a caller who is known.
    pub(crate) fn at_home(&self, home: &Home) -> Result<&Target, Error> {
        let here = self.account == home.account && self.region.as_ref().is_none_or(|region| *region == home.region);
        if here { Ok(&self.target) } else { Err(self.not_found()) }
    }

    /// Returns the contract's answer for a target that does not exist, or of which nothing is ready.
    pub(crate) fn unmade(&self, unmade: Option<Unmade>) -> Error {
        let (qualifier, agent) = (self.target.endpoint.clone(), self.spelled.clone());
        Error::NoAgent { qualifier, agent, unmade: unmade.map(Box::new) }
    }

    /// Returns the contract's answer for a target that does not exist.
    pub(crate) fn not_found(&self) -> Error {
        self.unmade(None)
    }
}

fn decode<'a>(raw: &'a str, field: &'static str) -> Result<Cow<'a, str>, Error> {
    if !raw.contains('%') {
        return Ok(Cow::Borrowed(raw));
    }
    // In one piece: what comes byte by byte would be moved three times as it grows.
    let mut decoded = Vec::with_capacity(raw.len());
    decoded.extend(percent_decode_str(raw));
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Error::field(field, "must be UTF-8".to_owned()))
}

fn query_value<'a>(query: Option<&'a str>, name: &'static str) -> Result<Option<Cow<'a, str>>, Error> {
    let mut pairs = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| decode(value, name)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";

    fn check(target: &str, query: Option<&str>, expect: Result<(&str, &str), &str>) {
        let found = Named::parse(target, query);
        match (&found, expect) {
            (Ok(named), Ok((runtime, endpoint))) => {
                assert_eq!((named.target.runtime.as_str(), named.target.endpoint.as_str()), (runtime, endpoint));
            }
            (Err(Error::Invalid { field, .. }), Err(expect)) => assert_eq!(*field, expect),
            _ => panic!("{target} {query:?}: {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn arns_and_ids_are_told_apart() {
        let encoded = ARN.replace(':', "%3A").replace('/', "%2F");
        let default = Ok(("hello-Ab3dE6gH9j", "DEFAULT"));
        check(ARN, None, default);
        check(&encoded, None, default);
        check(&encoded, Some("x=1&qualifier=pr%6Fd"), Ok(("hello-Ab3dE6gH9j", "prod")));
        check("hello-Ab3dE6gH9j", Some("accountId=000000000000"), default);
        check("hello-Ab3dE6gH9j", None, Err("accountId"));
        check("hello-Ab3dE6gH9j", Some("accountId=7"), Err("accountId"));
        check("hello", Some("accountId=000000000000"), Err("agentRuntimeArn"));
        check("arn:aws:s3:::bucket", None, Err("agentRuntimeArn"));
        check("%ff", None, Err("agentRuntimeArn"));
        check(ARN, Some("qualifier=a-b"), Err("qualifier"));
    }

    #[test]
    fn an_endpoint_arn_implies_the_qualifier() {
        let arn = format!("{ARN}/runtime-endpoint/prod");
        check(&arn, None, Ok(("hello-Ab3dE6gH9j", "prod")));
        check(&arn, Some("qualifier=prod"), Ok(("hello-Ab3dE6gH9j", "prod")));
        check(&arn, Some("qualifier=DEFAULT"), Err("qualifier"));
    }

    #[test]
    fn another_region_or_account_is_not_found() {
        let home = |region, account| Home {
            region: Region::parse(region).unwrap(),
            account: AccountId::parse(account).unwrap(),
        };
        let named = Named::parse(ARN, None).unwrap();
        assert!(named.at_home(&home("us-west-2", "000000000000")).is_ok());
        for elsewhere in [home("us-east-1", "000000000000"), home("us-west-2", "000000000001")] {
            let error = named.at_home(&elsewhere).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("No endpoint or agent found with qualifier 'DEFAULT' for agent '{ARN}'")
            );
        }
        let by_id = Named::parse("hello-Ab3dE6gH9j", Some("accountId=000000000000")).unwrap();
        assert!(by_id.at_home(&home("eu-west-1", "000000000000")).is_ok());
    }
}
