//! A policy document: what stands around its statements.

use innkeep_types::limits;

use super::Kind;
use super::error::Error;
use super::json::Node;
use super::statement::Statement;

const AT: &str = "policy";
const VERSIONS: [&str; 2] = ["2012-10-17", "2008-10-17"];

/// Returns the statements of a document.
pub(super) fn parse(document: &str, kind: Kind<'_>) -> Result<Vec<Statement>, Error> {
    let most = limits::MAX_POLICY_BYTES;
    if document.len() > most {
        return Err(Error::new(AT, format!("have at most {most} bytes")));
    }
    // The reader follows no more than 128 levels.
    let parsed = serde_json::from_str(document);
    let Node::Object(members) = parsed.map_err(|error| Error::new(AT, format!("be JSON ({error})")))? else {
        return Err(Error::new(AT, "be a JSON object with Statement"));
    };
    check_members(AT, &members, &["Version", "Id", "Statement"])?;
    let get = |name: &str| members.iter().find(|(member, _)| member == name).map(|(_, value)| value);
    if get("Version").is_some_and(|version| !version.text().is_some_and(|text| VERSIONS.contains(&text))) {
        let rule = format!("satisfy enum value set: [{}]", VERSIONS.join(", "));
        return Err(Error::new("policy.Version", rule));
    }
    if get("Id").is_some_and(|id| id.text().is_none()) {
        return Err(Error::new("policy.Id", "be a string"));
    }
    let statements = match get("Statement") {
        Some(only @ Node::Object(_)) => vec![Statement::parse("policy.Statement", only, kind)?],
        Some(Node::List(several)) if !several.is_empty() => parse_several(several, kind)?,
        _ => return Err(Error::new("policy.Statement", "be a statement or a list of statements")),
    };
    check_sids(&statements)?;
    Ok(statements)
}

fn parse_several(several: &[Node], kind: Kind<'_>) -> Result<Vec<Statement>, Error> {
    let most = limits::MAX_POLICY_STATEMENTS;
    if several.len() > most {
        return Err(Error::new("policy.Statement", format!("have at most {most} statements")));
    }
    let parse = |(idx, one): (usize, &Node)| Statement::parse(&format!("policy.Statement[{idx}]"), one, kind);
    several.iter().enumerate().map(parse).collect()
}

/// Refuses what the language does not have: a misspelt member would be a rule that does not apply.
pub(super) fn check_members(at: &str, given: &[(String, Node)], names: &[&str]) -> Result<(), Error> {
    match given.iter().find(|(name, _)| !names.contains(&name.as_str())) {
        Some((name, _)) => {
            Err(Error::new(format!("{at}.{name}"), format!("not be there; there are {}", names.join(", "))))
        }
        None => Ok(()),
    }
}

/// A refusal names the statement by its Sid, so there must be one of it.
fn check_sids(statements: &[Statement]) -> Result<(), Error> {
    for (idx, statement) in statements.iter().enumerate() {
        let is_taken = |sid: &str| statements.iter().take(idx).any(|before| before.sid.as_deref() == Some(sid));
        if let Some(sid) = statement.sid.as_deref().filter(|sid| is_taken(sid)) {
            return Err(Error::new(format!("policy.Statement[{idx}].Sid"), format!("not be that of another: {sid:?}")));
        }
    }
    Ok(())
}
