//! `WWW-Authenticate`: what a registry wants to see. Source: RFC 9110, section 11, and the token specification of
//! github.com/distribution/distribution.

use std::collections::HashMap;

/// What a registry wants to see.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password.
    Basic,
    /// A token of the service at `realm`.
    Bearer { realm: String, service: String },
}

/// Returns the strongest challenge that we can answer.
pub(super) fn strongest<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for (scheme, mut parameters) in values.flat_map(parse) {
        if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = parameters.remove("realm")
        {
            return Some(Challenge::Bearer { realm, service: parameters.remove("service").unwrap_or_default() });
        }
        if scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

/// Splits one header into its challenges.
fn parse(value: &str) -> Vec<(String, HashMap<String, String>)> {
    let mut challenges: Vec<(String, HashMap<String, String>)> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '=', ',']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return challenges;
        }
        let Some(after) = after.strip_prefix('=') else {
            challenges.push((word.to_owned(), HashMap::new()));
            rest = after;
            continue;
        };
        let (text, after) = parameter(after);
        if let Some((_, parameters)) = challenges.last_mut() {
            parameters.insert(word.to_ascii_lowercase(), text);
        }
        rest = after;
    }
}

/// Takes a word, or a text in quotes.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        return (word.to_owned(), rest);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (idx, c) in quoted.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, quoted.get(idx + 1..).unwrap_or_default()),
            _ => {
                value.push(c);
                escaped = false;
            }
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_challenge_is_found() {
        let bearer = |realm: &str, service: &str| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.to_owned() })
        };
        for (values, expect) in [
            (
                vec![r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a:pull,push""#],
                bearer("https://auth.example/token", "r.example"),
            ),
            (vec![r#"Basic realm="R, \"x\" Bearer", bearer realm=a"#], bearer("a", "")),
            (vec![r#"Basic realm="x""#, r#"Bearer realm="a""#], bearer("a", "")),
            (vec!["basic"], Some(Challenge::Basic)),
            (vec!["Bearer"], None),
            (vec!["Negotiate", "", "=,=", "\""], None),
            (vec![r#"Bearer realm="open"#], bearer("open", "")),
        ] {
            assert_eq!(strongest(values.iter().copied()), expect, "{values:?}");
        }
    }
}
