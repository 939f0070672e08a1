//! One of a runtime's `customClaims`: a claim, its type, and what it is compared with.

use serde::Deserialize;
use serde_json::Value;

/// What a claim must be. A claim of another type than its rule's is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Matcher {
    /// A string, this one.
    Equals(String),
    /// An array of strings, with this one among them.
    Contains(String),
    /// An array of strings, with one of these among them.
    ContainsAny(Vec<String>),
}

impl Matcher {
    pub(super) fn accepts(&self, claim: &Value) -> bool {
        let has = |wanted: &dyn Fn(&str) -> bool| match strings(claim) {
            Some(items) => items.into_iter().any(wanted),
            None => false,
        };
        match self {
            Self::Equals(value) => claim.as_str() == Some(value),
            Self::Contains(value) => has(&|item| item == value),
            Self::ContainsAny(values) => has(&|item| values.iter().any(|value| value == item)),
        }
    }
}

/// Returns the items of an array of strings; none if it is something else, or something else is among them.
pub(super) fn strings(claim: &Value) -> Option<Vec<&str>> {
    claim.as_array()?.iter().map(Value::as_str).collect()
}

/// `customClaims[]` as it is written. Source: service model, `CustomClaimValidationType`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct WrittenClaim {
    pub(super) inbound_token_claim_name: String,
    inbound_token_claim_value_type: ValueType,
    authorizing_claim_match_value: WrittenMatch,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ValueType {
    String,
    StringArray,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenMatch {
    claim_match_value: WrittenValue,
    claim_match_operator: Operator,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum WrittenValue {
    MatchValueString(String),
    MatchValueStringList(Vec<String>),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Operator {
    Equals,
    Contains,
    ContainsAny,
}

impl WrittenClaim {
    /// Returns what is demanded of the claim, or the member that contradicts the others and what to do.
    pub(super) fn into_matcher(self) -> Result<Matcher, (&'static str, &'static str)> {
        use {Operator as O, ValueType as T, WrittenValue as V};
        const OPERATOR: &str = "authorizingClaimMatchValue.claimMatchOperator";
        const VALUE: &str = "authorizingClaimMatchValue.claimMatchValue";
        let given = self.authorizing_claim_match_value;
        match (self.inbound_token_claim_value_type, given.claim_match_operator, given.claim_match_value) {
            (T::String, O::Equals, V::MatchValueString(value)) => Ok(Matcher::Equals(value)),
            (T::StringArray, O::Contains, V::MatchValueString(value)) => Ok(Matcher::Contains(value)),
            (T::StringArray, O::ContainsAny, V::MatchValueStringList(values)) if !values.is_empty() => {
                Ok(Matcher::ContainsAny(values))
            }
            (T::String, O::Equals, _) => Err((VALUE, "EQUALS compares with one value: use matchValueString")),
            (T::StringArray, O::Contains, _) => Err((VALUE, "CONTAINS compares with one value: use matchValueString")),
            (T::StringArray, O::ContainsAny, _) => {
                Err((VALUE, "CONTAINS_ANY compares with several values: use matchValueStringList"))
            }
            (T::String, _, _) => Err((OPERATOR, "a claim of type STRING is compared with EQUALS only")),
            (T::StringArray, _, _) => {
                Err((OPERATOR, "a claim of type STRING_ARRAY is compared with CONTAINS or CONTAINS_ANY"))
            }
        }
    }
}
