//! Whom a statement of a resource's policy means.
//!
//! Source: IAM user guide, "AWS JSON policy elements: Principal" and "Policy evaluation logic". To name an account is to leave the
//! choice to its own policies: such an Allow is not enough by itself, such a Deny is.

use super::Caller;
use super::error::Error;
use super::json::Node;

/// Whom a statement means; empty: nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principals(Vec<Who>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    /// `"*"`: whoever may come, with a signature or a token.
    Everyone,
    /// `{"AWS": "*"}`: whoever signs.
    Signers,
    /// An account of twelve digits.
    Account(Box<str>),
    Arn(Box<str>),
}

/// How much a statement says of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Meant {
    #[default]
    No,
    /// By its account.
    Indirectly,
    Yes,
}

const RULE: &str = "be \"*\" or {\"AWS\": …} with \"*\", an account, or ARNs of iam or sts, without wildcards";

impl Principals {
    pub(super) fn everyone() -> Self {
        Self(vec![Who::Everyone])
    }

    pub(super) fn parse(at: &str, element: &Node) -> Result<Self, Error> {
        let members = match element {
            Node::Text(text) if text == "*" => return Ok(Self::everyone()),
            Node::Object(members) if !members.is_empty() => members,
            _ => return Err(Error::new(at, RULE)),
        };
        let mut who = Vec::new();
        for (kind, named) in members {
            if kind != "AWS" {
                let rule =
                    format!("have no {kind}: callers of this server sign, or show a token (\"*\"). It may have AWS");
                return Err(Error::new(at, rule));
            }
            let at = format!("{at}.AWS");
            for item in named.items() {
                let parsed = item.text().and_then(parse_one);
                who.push(parsed.ok_or_else(|| Error::new(&at, RULE))?);
            }
            if who.is_empty() {
                return Err(Error::new(&at, RULE));
            }
        }
        Ok(Self(who))
    }

    /// Tells whether it is `"*"`.
    pub(super) fn is_everyone(&self) -> bool {
        matches!(*self.0, [Who::Everyone])
    }

    /// Returns how the caller is meant, at the most.
    pub(super) fn mean(&self, caller: Caller<'_>, is_deny: bool) -> Meant {
        let mean = |who: &Who| match (who, caller) {
            (Who::Everyone, _) | (Who::Signers, Caller::Signed(_)) => Meant::Yes,
            // Who wrote that meant everybody; a Deny must not have a hole.
            (Who::Signers, Caller::Token) if is_deny => Meant::Yes,
            (Who::Account(account), Caller::Signed(principal)) if account_of(&principal.arn) == Some(account) => {
                Meant::Indirectly
            }
            (Who::Arn(arn), Caller::Signed(principal)) if **arn == *principal.arn => Meant::Yes,
            _ => Meant::No,
        };
        self.0.iter().map(mean).max().unwrap_or(Meant::No)
    }
}

/// Returns the account of an ARN.
pub(super) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4)
}

fn parse_one(text: &str) -> Option<Who> {
    if text == "*" {
        return Some(Who::Signers);
    }
    if is_account(text) {
        return Some(Who::Account(text.into()));
    }
    let mut parts = text.splitn(6, ':');
    let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
    let is_arn = arn == "arn" && partition.starts_with("aws") && matches!(service, "iam" | "sts") && region.is_empty();
    if !is_arn || !is_account(account) || name.is_empty() || text.contains(['*', '?', '$']) {
        return None;
    }
    Some(if name == "root" { Who::Account(account.into()) } else { Who::Arn(text.into()) })
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}
