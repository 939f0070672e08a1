//! `authorizerConfiguration`: a token must be held against something, and a claim in a way that fits its type.
//! Source: AgentCore developer guide, inbound JWT authorizer.

use serde_json::Value;

use crate::validate::Violations;

const AT: &str = "authorizerConfiguration.customJWTAuthorizer";

/// What a token is held against; of these there must be one.
const CHECKS: [&str; 4] = ["allowedAudience", "allowedClients", "allowedScopes", "customClaims"];

/// Checks what the table cannot say.
pub(super) fn check(configuration: Option<&Value>, found: &mut Violations) {
    let Some(authorizer) = configuration.and_then(|configuration| configuration.get("customJWTAuthorizer")) else {
        return;
    };
    if !CHECKS.iter().any(|name| authorizer.get(name).is_some()) {
        let sentence =
            format!("customJWTAuthorizer needs at least one of {}: else it would accept any token", CHECKS.join(", "));
        found.say::<()>(AT, sentence);
    }
    let claims = authorizer.get("customClaims").and_then(Value::as_array);
    for (idx, claim) in claims.into_iter().flatten().enumerate() {
        let at = format!("{AT}.customClaims[{idx}].authorizingClaimMatchValue");
        check_claim(claim, &at, found);
    }
}

fn check_claim(claim: &Value, at: &str, found: &mut Violations) {
    let match_value = &claim["authorizingClaimMatchValue"];
    let operator = match_value["claimMatchOperator"].as_str().unwrap_or_default();
    let is_list = match_value["claimMatchValue"].get("matchValueStringList").is_some();
    let is_array = claim["inboundTokenClaimValueType"] == "STRING_ARRAY";
    match (is_array, operator) {
        (false, "EQUALS") | (true, "CONTAINS") if is_list => {
            let sentence = format!("{operator} compares with one value: use matchValueString");
            found.say::<()>(&format!("{at}.claimMatchValue"), sentence);
        }
        (true, "CONTAINS_ANY") if !is_list => {
            let sentence = "CONTAINS_ANY compares with several values: use matchValueStringList";
            found.say::<()>(&format!("{at}.claimMatchValue"), sentence);
        }
        (false, "EQUALS") | (true, "CONTAINS" | "CONTAINS_ANY") => {}
        (false, _) => {
            let sentence = "a claim of type STRING is compared with EQUALS only";
            found.say::<()>(&format!("{at}.claimMatchOperator"), sentence);
        }
        (true, _) => {
            let sentence = "a claim of type STRING_ARRAY is compared with CONTAINS or CONTAINS_ANY";
            found.say::<()>(&format!("{at}.claimMatchOperator"), sentence);
        }
    }
}
