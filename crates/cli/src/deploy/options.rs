//! The options of `deploy` whose values have a form of their own.

use innkeep_types::{RuntimeName, Settings, limits};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::publish::EnvironmentChange;

/// Accepts a runtime's name, or the folder name that it comes from.
pub(super) fn runtime_name(s: &str) -> Result<RuntimeName, String> {
    RuntimeName::from_folder(s).ok_or_else(|| "a name needs a letter".to_owned())
}

/// Reads one `--env`.
pub(super) fn environment_change(s: &str) -> Result<EnvironmentChange, String> {
    let (name, change) = match (s.split_once('='), s.strip_suffix('-')) {
        (Some((name, value)), _) => (name, EnvironmentChange::Set(name.to_owned(), value.to_owned())),
        (None, Some(name)) => (name, EnvironmentChange::Remove(name.to_owned())),
        (None, None) => return Err("expected K=V, or K- to remove K".to_owned()),
    };
    if name.is_empty() { Err("the variable has no name".to_owned()) } else { Ok(change) }
}

/// Reads all `--set`.
pub(super) fn settings(given: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut object = Map::new();
    for setting in given {
        let (key, value) = match (setting.split_once('='), setting.strip_suffix('-')) {
            // Numbers and booleans as JSON has them; every other value is a word.
            (Some((key, value)), _) => (key, serde_json::from_str(value).unwrap_or_else(|_| value.into())),
            (None, Some(key)) => (key, Value::Null),
            (None, None) => return Err(Failure::usage(format!("--set {setting}: expected KEY=VALUE, or KEY-"))),
        };
        if !Settings::KEYS.contains(&key) {
            let known = Settings::KEYS.join(", ");
            return Err(Failure::usage(format!("--set {key}: there is no such setting"))
                .with_fix(format!("known ones: {known}")));
        }
        let alone = Value::Object(Map::from_iter([(key.to_owned(), value.clone())]));
        let fits = serde_json::from_value(alone).is_ok_and(|alone: Settings| alone.out_of_bounds().is_empty());
        if !fits {
            return Err(Failure::usage(format!("--set {setting}: {key} takes {}", taken(key))));
        }
        object.insert(key.to_owned(), value);
    }
    Ok(object)
}

/// Says which values a setting may have.
fn taken(key: &str) -> String {
    match key {
        "health" => "ping or tcp".to_owned(),
        "header_aliases" | "zygote" | "session_owner" => "true or false".to_owned(),
        "isolation" => "process or container".to_owned(),
        "egress" => "none or public".to_owned(),
        "pool" => format!("a number from 0 to {}, or auto", limits::MAX_POOL_SIZE),
        "zygote_modules" => "a list of modules' names as JSON: '[\"my_agent.tools\"]'".to_owned(),
        // All numbers else, none of which may be 0.
        number => {
            let zero = Value::Object(Map::from_iter([(number.to_owned(), 0.into())]));
            let refused = serde_json::from_value(zero).map(|zero: Settings| zero.out_of_bounds()).unwrap_or_default();
            match refused.first() {
                Some(refused) => format!("a number from {} to {}", refused.bounds.start(), refused.bounds.end()),
                None => "a number".to_owned(),
            }
        }
    }
}

/// Reads `--authorizer`: the `authorizerConfiguration` as JSON, the file that holds it, or `none`, which is null.
pub(super) fn authorizer(given: &str) -> Result<Value, Failure> {
    if given == "none" {
        return Ok(Value::Null);
    }
    let read = || std::fs::read_to_string(given).map_err(|e| Failure::io(format!("cannot read {given}"), &e));
    let text = if given.trim_start().starts_with('{') { given.to_owned() } else { read()? };
    let fix = "such as {\"customJWTAuthorizer\": {\"discoveryUrl\": \"https://…/.well-known/openid-configuration\"}}";
    match serde_json::from_str(&text) {
        Ok(Value::Object(authorizer)) => Ok(Value::Object(authorizer)),
        Ok(_) => Err(Failure::usage("--authorizer: expected a JSON object").with_fix(fix)),
        Err(e) => Err(Failure::usage(format!("--authorizer: that is no JSON: {e}")).with_fix(fix)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::failure::Code;

    #[test]
    fn variables_are_set_and_removed() {
        let set = |k: &str, v: &str| Ok(EnvironmentChange::Set(k.to_owned(), v.to_owned()));
        assert_eq!(environment_change("A=b=c"), set("A", "b=c"));
        assert_eq!(environment_change("A="), set("A", ""));
        assert_eq!(environment_change("A=x-"), set("A", "x-"));
        assert_eq!(environment_change("A-"), Ok(EnvironmentChange::Remove("A".to_owned())));
        for bad in ["A", "=b", "-"] {
            assert!(environment_change(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_typed_and_known() {
        let parse = |given: &[&str]| super::settings(&given.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let settings = parse(&["health=tcp", "header_aliases=false", "start_timeout_secs-"]).unwrap();
        let expect = json!({"health": "tcp", "header_aliases": false, "start_timeout_secs": null});
        assert_eq!(Value::Object(settings), expect);
        assert!(parse(&[]).unwrap().is_empty());
        for bad in ["health=http", "start_timeout_secs=soon", "unknown=1", "unknown-", "health", "health="] {
            assert_eq!(parse(&[bad]).unwrap_err().code, Code::Usage, "{bad}");
        }
    }

    #[test]
    fn a_setting_that_is_refused_says_what_it_takes() {
        let message = |given: &str| super::settings(&[given.to_owned()]).unwrap_err().message;
        assert_eq!(message("health=http"), "--set health=http: health takes ping or tcp");
        assert_eq!(
            message("start_timeout_secs=901"),
            "--set start_timeout_secs=901: start_timeout_secs takes a number from 1 to 900"
        );
        assert_eq!(message("memory_mib=lots"), "--set memory_mib=lots: memory_mib takes a number from 16 to 16777216");
        for key in Settings::KEYS {
            let message = message(&format!("{key}={{}}"));
            assert!(message.contains(" takes ") && !message.ends_with("a number"), "{message}");
        }
        for taken in
            ["pool=auto", "pool=0", "zygote=true", "zygote_modules=[\"a.b\"]", "egress=none", "isolation=container"]
        {
            assert!(super::settings(&[taken.to_owned()]).is_ok(), "{taken}");
        }
    }

    #[test]
    fn both_spellings_of_a_name_are_accepted() {
        assert_eq!(runtime_name("sdk-echo"), runtime_name("sdk_echo"));
        assert!(runtime_name("42").is_err());
    }

    #[test]
    fn an_authorizer_is_json_or_a_file_of_it_or_none() {
        let expect = json!({"customJWTAuthorizer": {"discoveryUrl": "https://x/y"}});
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), expect.to_string()).unwrap();
        assert_eq!(authorizer(&expect.to_string()).unwrap(), expect);
        assert_eq!(authorizer(file.path().to_str().unwrap()).unwrap(), expect);
        assert_eq!(authorizer("none").unwrap(), Value::Null);
        std::fs::write(file.path(), "[1]").unwrap();
        assert_eq!(authorizer(file.path().to_str().unwrap()).unwrap_err().code, Code::Usage);
        assert_eq!(authorizer("{").unwrap_err().code, Code::Usage);
        assert_eq!(authorizer("/no/such/file").unwrap_err().code, Code::Failed);
    }
}
