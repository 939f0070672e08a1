//! The actions of the service, by number: what a statement names is worked out once, to a set in which one bit is looked up.
//!
//! The names are those of every operation of the service model, of the routes that it does not have (AgentCore developer guide),
//! and a few that are only permissions (service authorization reference). A name that is not among them is refused: a misspelt
//! one in a Deny would be a rule that never applies.

use std::sync::LazyLock;

use super::error::Error;
use super::json::Node;
use super::pattern::Pattern;

/// The service of every action here.
pub(super) const SERVICE: &str = "bedrock-agentcore";

/// In order.
static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("actions.txt").lines().collect());

const WORDS: usize = 5;

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Actions([u64; WORDS]);

/// One action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Action(usize);

impl Action {
    /// Returns the action of that name, `InvokeAgentRuntime`.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.binary_search(&name).ok().map(Self)
    }
}

impl Actions {
    pub(super) const NONE: Self = Self([0; WORDS]);
    pub(super) const ALL: Self = Self([u64::MAX; WORDS]);

    /// Returns what an Action element names.
    pub(super) fn parse(at: &str, element: &Node) -> Result<Self, Error> {
        let mut actions = Self::NONE;
        let items = element.items();
        if items.is_empty() {
            return Err(Error::new(at, "name an action, or a list of actions"));
        }
        for item in items {
            let Some(name) = item.text() else {
                return Err(Error::new(
                    at,
                    "be an action, \"bedrock-agentcore:InvokeAgentRuntime\", or a list of actions",
                ));
            };
            actions.add(at, name)?;
        }
        Ok(actions)
    }

    pub(super) fn others(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    pub(super) fn contains(&self, Action(number): Action) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn add(&mut self, at: &str, pattern: &str) -> Result<(), Error> {
        if pattern == "*" {
            *self = Self::ALL;
            return Ok(());
        }
        let parts = pattern.split_once(':').filter(|(service, name)| is_service(service) && is_name(name));
        let Some((service, name)) = parts else {
            let rule = format!("be \"*\" or SERVICE:NAME, as in \"{SERVICE}:InvokeAgentRuntime\"; it has {pattern:?}");
            return Err(Error::new(at, rule));
        };
        if !service.eq_ignore_ascii_case(SERVICE) {
            // Another service's actions are not performed here; one that looks like ours is a mistake.
            return match service.to_ascii_lowercase().starts_with(SERVICE) {
                true => Err(Error::new(at, format!("name the service {SERVICE}, not {service}"))),
                false => Ok(()),
            };
        }
        let pattern = Pattern::new(&name.to_ascii_lowercase());
        let before = *self;
        let found = NAMES.iter().enumerate().filter(|(_, known)| pattern.matches(&known.to_ascii_lowercase()));
        let mut n_found = 0;
        for (number, _) in found {
            n_found += 1;
            if let Some(word) = self.0.get_mut(number / 64) {
                *word |= 1 << (number % 64);
            }
        }
        if n_found == 0 {
            *self = before;
            return Err(Error::new(at, format!("name actions that the service has; {SERVICE}:{name} is none")));
        }
        Ok(())
    }
}

/// The language has no wildcards in it.
fn is_service(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'?'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<Actions, Error> {
        Actions::parse("Action", &serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_name_has_its_bit() {
        assert!(NAMES.is_sorted() && NAMES.len() <= WORDS * 64, "{}", NAMES.len());
        for name in NAMES.iter() {
            let only = parsed(&format!("\"bedrock-agentcore:{name}\"")).unwrap();
            let named = NAMES.iter().filter(|other| only.contains(Action::named(other).unwrap()));
            assert_eq!(named.collect::<Vec<_>>(), [name]);
        }
    }

    #[test]
    fn names_are_matched_whatever_their_case() {
        let invokes = parsed(r#"["BEDROCK-agentcore:invokeagentruntime*", "s3:*"]"#).unwrap();
        for (name, expect) in
            [("InvokeAgentRuntime", true), ("InvokeAgentRuntimeForUser", true), ("GetAgentCard", false)]
        {
            assert_eq!(invokes.contains(Action::named(name).unwrap()), expect, "{name}");
            assert_eq!(invokes.others().contains(Action::named(name).unwrap()), !expect, "{name}");
        }
    }

    #[test]
    fn what_is_no_action_is_refused() {
        for bad in [
            r#"[]"#,
            r#"1"#,
            r#"["*", null]"#,
            r#""InvokeAgentRuntime""#,
            r#""bedrock-agentcore:""#,
            r#"":InvokeAgentRuntime""#,
            r#""bedrock-agentcore:InvokeAgentRuntme""#,
            r#""bedrock-agentcore-control:GetAgentRuntime""#,
            r#""bedrock*:GetAgentRuntime""#,
            r#""bedrock-agentcore:Get:AgentRuntime""#,
            r#""bedrock-agentcore:${aws:username}""#,
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
