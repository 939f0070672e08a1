//! `[agent]` of a project's `innkeep.toml`: how it is started, and the settings that AWS has no field for.

use std::path::Path;

use innkeep_types::Settings;
use serde::Deserialize;
use toml::{Table, Value};

use super::{Error, read_file};

/// The file's name.
pub(crate) const FILE: &str = "innkeep.toml";

/// Keys of the project itself, beside those of [`Settings`]. `name` is read by the CLI.
const PROJECT_KEYS: [&str; 2] = ["entrypoint", "name"];

/// What the table says; empty if there is no such file or table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Agent {
    /// `entrypoint`, one or two items.
    pub(crate) entry_point: Option<Vec<String>>,
    /// The rest.
    pub(crate) settings: Settings,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Reads the table from the project in `code`.
pub(crate) fn read(code: &Path) -> Result<Agent, Error> {
    read_file(code, FILE)?.map_or_else(|| Ok(Agent::default()), |text| parse(&text))
}

fn parse(text: &str) -> Result<Agent, Error> {
    let refuse = |problem: String| Error::File { file: FILE, problem };
    let mut file: Table = text.parse().map_err(|error: toml::de::Error| refuse(error.to_string()))?;
    let mut agent = match file.remove("agent") {
        None => return Ok(Agent::default()),
        Some(Value::Table(agent)) => agent,
        Some(_) => return Err(refuse("`agent` must be a table: [agent]".to_owned())),
    };
    let known: Vec<&str> = PROJECT_KEYS.into_iter().chain(Settings::KEYS).collect();
    if let Some(unknown) = agent.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(refuse(format!("unknown key `{unknown}` in [agent]; {}", suggestion(unknown, &known))));
    }
    agent.remove("name");
    let entry_point = agent.remove("entrypoint").map(entry_point).transpose().map_err(refuse)?;
    let settings = Settings::deserialize(Value::Table(agent)).map_err(|error| refuse(format!("[agent] {error}")))?;
    if let Some(broken) = settings.out_of_bounds().first() {
        return Err(refuse(format!("[agent] {broken}")));
    }
    Ok(Agent { entry_point, settings })
}

/// A list of one or two words of 1 to 128 characters. Source: model, `CodeConfigurationEntryPointList`.
fn entry_point(value: Value) -> Result<Vec<String>, String> {
    let words = match OneOrMore::deserialize(value) {
        Ok(OneOrMore::One(word)) => vec![word],
        Ok(OneOrMore::More(words)) => words,
        Err(_) => Vec::new(),
    };
    let fit = (1..=2).contains(&words.len()) && words.iter().all(|word| (1..=128).contains(&word.chars().count()));
    if fit { Ok(words) } else { Err("entrypoint must be a string or a list of one or two, none empty".to_owned()) }
}

/// Returns a sentence about the known key that is meant most likely.
fn suggestion(unknown: &str, known: &[&str]) -> String {
    match known.iter().map(|key| (distance(unknown, key), key)).min() {
        Some((edits, key)) if edits <= key.len().div_ceil(2) => format!("did you mean `{key}`?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

/// Returns how many characters must be put in, taken out or changed to get from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let up = *cell;
            left = (diagonal + usize::from(from != to)).min(up + 1).min(left + 1);
            (diagonal, *cell) = (up, left);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use innkeep_types::HealthCheck;

    use super::*;

    #[test]
    fn the_table_is_read() {
        let agent = parse("[agent]\nname = \"x\"\nentrypoint = \"run.py\"\nhealth = \"tcp\"\nstart_timeout_secs = 5\n")
            .unwrap();
        assert_eq!(agent.entry_point, Some(vec!["run.py".to_owned()]));
        assert_eq!(agent.settings.health, Some(HealthCheck::Tcp));
        assert_eq!(agent.settings.start_timeout_secs, Some(5));
        assert_eq!(parse("").unwrap(), Agent::default());
        assert_eq!(parse("[server]\nport = 1").unwrap(), Agent::default());
        let two = parse("[agent]\nentrypoint = [\"opentelemetry-instrument\", \"main.py\"]").unwrap();
        assert_eq!(two.entry_point.map(|items| items.len()), Some(2));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("[agent]\nhelth = \"tcp\"", "unknown key `helth` in [agent]; did you mean `health`?"),
            ("[agent]\nentry_point = \"x\"", "did you mean `entrypoint`?"),
            ("[agent]\nzzz = 1", "known are entrypoint, name, health"),
            ("[agent]\nhealth = \"http\"", "unknown variant `http`"),
            ("[agent]\nisolation = \"vm\"", "unknown variant `vm`, expected `process` or `container`"),
            ("[agent]\nmemory_mib = 0", "[agent] memory_mib must be from 16 to 16777216, not 0"),
            ("[agent]\nentrypoint = []", "entrypoint must be a string or a list"),
            ("[agent]\nentrypoint = [\"a\", \"b\", \"c\"]", "entrypoint must be a string or a list"),
            ("agent = 3", "must be a table"),
            ("[agent", "TOML parse error"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("innkeep.toml: ") && error.contains(says), "{text}: {error}");
        }
    }
}
