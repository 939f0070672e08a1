//! The Condition element: operators, each over keys, each with values. All must hold.
//!
//! Source: IAM user guide, "Condition operators", "Set operators for multivalued keys". An operator's negation holds where the key
//! is absent, the operator itself does not; `…IfExists` always does.

mod key;
mod net;
mod operator;
mod test;

use super::ask::Ask;
use super::error::Error;
use super::json::Node;
use key::{Found, Key};
use operator::{Operator, Set};
use test::Test;

/// One operator over one key.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    key: Key,
    operator: Operator,
    test: Test,
}

impl Condition {
    /// Returns the conditions of a Condition element.
    pub(super) fn parse_all(at: &str, element: &Node) -> Result<Vec<Self>, Error> {
        let Node::Object(operators) = element else {
            return Err(Error::new(at, "be an object of operators, each an object of keys with their values"));
        };
        let mut conditions = Vec::new();
        for (name, keys) in operators {
            let at = format!("{at}.{name}");
            let operator = Operator::parse(&at, name)?;
            let Node::Object(keys) = keys else {
                return Err(Error::new(at, "be an object of keys with their values"));
            };
            if keys.is_empty() {
                return Err(Error::new(at, "have a key"));
            }
            for (key, values) in keys {
                conditions.push(Self::parse(&format!("{at}.{key}"), operator, key, values)?);
            }
        }
        Ok(conditions)
    }

    fn parse(at: &str, operator: Operator, key: &str, values: &Node) -> Result<Self, Error> {
        let key = Key::parse(at, key)?;
        operator.check_key(at, &key)?;
        let mut texts = Vec::new();
        for value in values.items() {
            let text =
                value.scalar().ok_or_else(|| Error::new(at, "be text, a number, a boolean, or a list of them"))?;
            if text.contains("${") {
                return Err(Error::new(at, "have no policy variable, ${…}: this server has none"));
            }
            texts.push(text);
        }
        if texts.is_empty() {
            return Err(Error::new(at, "have a value"));
        }
        let test = Test::parse(at, operator.what, &texts)?;
        Ok(Self { key, operator, test })
    }

    /// Tells whether it holds for what is asked.
    pub(super) fn holds(&self, ask: &Ask<'_>) -> bool {
        let found = self.key.find(ask);
        if let Test::Absent(expect) = self.test {
            return found.is_absent() == expect;
        }
        let Operator { set, negated, if_exists, .. } = self.operator;
        if found.is_absent() && if_exists {
            return true;
        }
        let test = |value: &Found<'_>| self.test.passes(value);
        match (set, negated) {
            (Set::One, false) | (Set::Any, false) => found.any(test),
            // Where there are several values (tags whose keys differ in case), none may be one that is excluded.
            (Set::One, true) => !found.any(test),
            (Set::Any, true) => found.any(|value| !test(value)),
            (Set::All, false) => !found.any(|value| !test(value)),
            (Set::All, true) => !found.any(test),
        }
    }
}
