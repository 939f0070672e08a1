//! Whether a resource policy may be attached: it must be one that the server will hold callers against, all of it.

use innkeep_auth::policy::{Kind, Policy};
use innkeep_types::Authorizer;

use crate::validate::Violations;

/// What a policy is attached to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guarded<'a> {
    pub(crate) arn: &'a str,
    pub(crate) authorizer: Authorizer,
}

/// Checks the policy of a resource; what is wrong with it is noted in `found`.
pub(crate) fn check(policy: &str, guarded: Guarded<'_>, found: &mut Violations) {
    let Guarded { arn, authorizer } = guarded;
    match Policy::parse(policy, Kind::Resource(arn)) {
        Err(error) => {
            let _: Option<()> = found.must(&error.at, error.rule);
        }
        // Who comes with a token is no principal of IAM's. Source: AgentCore developer guide, "Resource-based policies".
        Ok(policy) if authorizer == Authorizer::CustomJwt && !policy.is_for_everyone() => {
            let sentence = "a runtime with an authorizerConfiguration takes statements with \"Principal\": \"*\" only";
            let _: Option<()> = found.say("policy.Statement.Principal", sentence);
        }
        Ok(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ARN: &str = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";

    #[track_caller]
    fn breaks(authorizer: Authorizer, principal: Value, resource: &str, expect: &[&str]) {
        let statement = json!({
            "Effect": "Allow", "Principal": principal, "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": resource,
        });
        let document = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        let mut found = Violations::default();
        check(&document, Guarded { arn: ARN, authorizer }, &mut found);
        let fields = found.into_fields();
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), expect, "{document}");
    }

    #[test]
    fn a_policy_is_of_the_language_and_of_its_resource() {
        let account = || json!({"AWS": "111122223333"});
        breaks(Authorizer::SigV4, account(), ARN, &[]);
        breaks(Authorizer::SigV4, json!("*"), ARN, &[]);
        breaks(Authorizer::SigV4, json!({"Service": "x.amazonaws.com"}), ARN, &["policy.Statement.Principal"]);
        breaks(Authorizer::SigV4, account(), "*", &["policy.Statement.Resource"]);
    }

    #[test]
    fn where_tokens_are_asked_for_the_principal_is_everyone() {
        breaks(Authorizer::CustomJwt, json!("*"), ARN, &[]);
        breaks(Authorizer::CustomJwt, json!({"AWS": "*"}), ARN, &["policy.Statement.Principal"]);
        breaks(Authorizer::CustomJwt, json!({"AWS": "111122223333"}), ARN, &["policy.Statement.Principal"]);
    }
}
