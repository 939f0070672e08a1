//! One statement: whom it means, what on what, and when.
//!
//! Source: IAM user guide, "Grammar of the IAM JSON policy language"; for `Resource` in the policy of a resource the AgentCore
//! developer guide, by which it is the ARN of that resource.

use super::Kind;
use super::actions::Actions;
use super::ask::Ask;
use super::condition::Condition;
use super::document::check_members;
use super::error::Error;
use super::json::Node;
use super::pattern::Pattern;
use super::principals::{Meant, Principals};

/// A statement, compiled.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) sid: Option<Box<str>>,
    pub(super) effect: Effect,
    /// None in a principal's policy: it means its principal.
    pub(super) principals: Option<Principals>,
    pub(super) actions: Actions,
    pub(super) resources: Resources,
    pub(super) conditions: Vec<Condition>,
}

/// What a statement does where it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// The resources of a statement.
#[derive(Debug, Clone)]
pub(super) enum Resources {
    These(Box<[Pattern]>),
    AllBut(Box<[Pattern]>),
}

const MEMBERS: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

impl Statement {
    pub(super) fn parse(at: &str, given: &Node, kind: Kind<'_>) -> Result<Self, Error> {
        let Node::Object(members) = given else { return Err(Error::new(at, "be an object")) };
        check_members(at, members, &MEMBERS)?;
        let get = |name: &str| members.iter().find(|(member, _)| member == name).map(|(_, value)| value);
        let sid = match get("Sid") {
            None => None,
            Some(Node::Text(sid)) if sid.len() <= MAX_SID_BYTES && !sid.contains(char::is_control) => {
                Some(sid.as_str().into())
            }
            Some(_) => {
                return Err(Error::new(format!("{at}.Sid"), format!("be text of at most {MAX_SID_BYTES} bytes")));
            }
        };
        let effect = match get("Effect").and_then(Node::text) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(Error::new(format!("{at}.Effect"), "satisfy enum value set: [Allow, Deny]")),
        };
        let principals = principals(at, get("Principal"), get("NotPrincipal"), kind)?;
        let actions = match (get("Action"), get("NotAction")) {
            (Some(these), None) => Actions::parse(&format!("{at}.Action"), these)?,
            (None, Some(these)) => Actions::parse(&format!("{at}.NotAction"), these)?.others(),
            _ => return Err(Error::new(at, "have exactly one of Action and NotAction")),
        };
        let resources = Resources::parse(at, get("Resource"), get("NotResource"), kind)?;
        let conditions = match get("Condition") {
            Some(element) => Condition::parse_all(&format!("{at}.Condition"), element)?,
            None => Vec::new(),
        };
        Ok(Self { sid, effect, principals, actions, resources, conditions })
    }

    /// Returns how it applies to what is asked.
    pub(super) fn applies(&self, ask: &Ask<'_>) -> Meant {
        if !self.actions.contains(ask.action) || !self.resources.have(ask.resource) {
            return Meant::No;
        }
        let is_deny = self.effect == Effect::Deny;
        let meant = self.principals.as_ref().map_or(Meant::Yes, |who| who.mean(ask.caller, is_deny));
        let holds = meant != Meant::No && self.conditions.iter().all(|condition| condition.holds(ask));
        if holds { meant } else { Meant::No }
    }
}

/// The longest Sid, bytes. Source: our choice.
const MAX_SID_BYTES: usize = 256;

fn principals(
    at: &str,
    principal: Option<&Node>,
    not_principal: Option<&Node>,
    kind: Kind<'_>,
) -> Result<Option<Principals>, Error> {
    if not_principal.is_some() {
        let rule = "not be there; name who is meant in Principal, or all in it and the exceptions in a Condition on \
                    aws:PrincipalArn";
        return Err(Error::new(format!("{at}.NotPrincipal"), rule));
    }
    let place = || format!("{at}.Principal");
    match (kind, principal) {
        (Kind::Identity, None) => Ok(None),
        (Kind::Identity, Some(_)) => {
            Err(Error::new(place(), "not be there: the policy means the principal that it belongs to"))
        }
        (Kind::Resource(_), Some(element)) => Principals::parse(&place(), element).map(Some),
        (Kind::Resource(_), None) => Err(Error::new(place(), "be there: whom the policy means")),
    }
}

impl Resources {
    fn parse(at: &str, these: Option<&Node>, all_but: Option<&Node>, kind: Kind<'_>) -> Result<Self, Error> {
        let place = |name: &str| format!("{at}.{name}");
        if let Kind::Resource(arn) = kind {
            if all_but.is_some() {
                return Err(Error::new(place("NotResource"), format!("not be there: Resource is {arn}")));
            }
            let items = these.map_or(&[][..], Node::items);
            if items.is_empty() || !items.iter().all(|item| item.text() == Some(arn)) {
                return Err(Error::new(place("Resource"), format!("be the ARN of the resource itself, {arn}")));
            }
            return Ok(Self::These([Pattern::Exactly(arn.into())].into()));
        }
        match (these, all_but) {
            (Some(element), None) => patterns(&place("Resource"), element).map(Self::These),
            (None, Some(element)) => patterns(&place("NotResource"), element).map(Self::AllBut),
            _ => Err(Error::new(at, "have exactly one of Resource and NotResource")),
        }
    }

    fn have(&self, resource: &str) -> bool {
        match self {
            Self::These(patterns) => patterns.iter().any(|pattern| pattern.matches(resource)),
            Self::AllBut(patterns) => !patterns.iter().any(|pattern| pattern.matches(resource)),
        }
    }
}

fn patterns(at: &str, element: &Node) -> Result<Box<[Pattern]>, Error> {
    let items = element.items();
    if items.is_empty() {
        return Err(Error::new(at, "name a resource, or a list of resources"));
    }
    let parse = |item: &Node| {
        let text = item.text().filter(|text| is_resource(text));
        let rule = || Error::new(at, "be \"*\" or an ARN, which may have wildcards, or a list of them");
        let text = text.ok_or_else(rule)?;
        if text.contains("${") {
            return Err(Error::new(at, "have no policy variable, ${…}: this server has none"));
        }
        Ok(Pattern::new(text))
    };
    items.iter().map(parse).collect()
}

/// Tells whether it is an ARN of six parts, of which a star may stand for several.
fn is_resource(text: &str) -> bool {
    text == "*" || text.starts_with("arn:") && (text.contains('*') || text.splitn(6, ':').count() == 6)
}
