//! `authorizerConfiguration`: what the gateway could not hold a token against is refused here, by the code that would have to.
//! Source: AgentCore developer guide, inbound JWT authorizer.

use innkeep_auth::jwt::{self, Rules};
use serde_json::Value;

use crate::validate::Violations;

const AT: &str = "authorizerConfiguration.customJWTAuthorizer";

/// Checks what the table cannot say.
pub(super) fn check(configuration: Option<&Value>, found: &mut Violations) {
    let Some(authorizer) = configuration.and_then(|configuration| configuration.get("customJWTAuthorizer")) else {
        return;
    };
    match Rules::from_configuration(authorizer) {
        Ok(_) => {}
        Err(jwt::Error::Configuration(broken)) => {
            for jwt::Broken { at, sentence } in broken {
                let at = if at.is_empty() { AT.to_owned() } else { format!("{AT}.{at}") };
                found.say::<()>(&at, sentence);
            }
        }
        Err(error) => drop(found.say::<()>(AT, error)),
    }
}
