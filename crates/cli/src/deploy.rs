//! `innkeep deploy`: a project folder or code zip becomes the newest version of a runtime.

use clap::Args;
use innkeep_types::{EndpointName, RuntimeName, Settings};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Output, Style, human_bytes};
use crate::publish::{self, EnvironmentChange, Plan, Published, Steps};
use crate::resolve;
use crate::source::{Package, Source};

/// Deploy a project folder or code zip
///
/// Uploads it, creates or updates the runtime, boots it once, and serves it only if its first health check is good; the
/// version before serves on until then, and if it is not. Of a project folder, .git, .venv, venv, __pycache__, *.pyc, .env*,
/// target and .innkeep stay behind; the packages of .venv or venv go along as a layer.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// A project folder or a code zip
    #[arg(value_name = "DIR|ZIP|IMAGE")]
    source: String,
    /// The runtime's name [default: the folder's, with _ for what the API forbids]
    #[arg(long, value_parser = runtime_name)]
    name: Option<RuntimeName>,
    /// The endpoint to move; only DEFAULT, which follows the newest version
    #[arg(long, default_value = "DEFAULT")]
    endpoint: EndpointName,
    /// Set an environment variable of the agent (K=V), or remove one (K-); the others are kept
    #[arg(long = "env", value_name = "K=V", value_parser = environment_change)]
    environment: Vec<EnvironmentChange>,
    /// Set one of Innkeep's own settings (KEY=VALUE): health, header_aliases, start_timeout_secs, isolation, egress, memory_mib,
    /// cpu_millis, processes, open_files, disk_mib; or leave it to innkeep.toml and the defaults again (KEY-); the others are kept
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// How the agent is spoken to [default: HTTP, or as before]
    #[arg(long)]
    protocol: Option<String>,
    /// Not supported yet: callers authenticate with SigV4
    #[arg(long, value_name = "FILE|JSON")]
    authorizer: Option<String>,
    /// Wait until the new version serves or has failed (the default)
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Return once the change is accepted
    #[arg(long)]
    no_wait: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Deploy {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.authorizer.is_some() {
            return Err(Failure::usage("--authorizer is not supported yet: callers authenticate with SigV4"));
        }
        if self.endpoint != EndpointName::default_endpoint() {
            return Err(Failure::usage(format!("endpoint {} cannot be moved yet: only DEFAULT exists", self.endpoint)));
        }
        let source = Source::parse(&self.source)?;
        let plan = Plan {
            name: self.name.map_or_else(|| source.default_name(), Ok)?,
            environment: self.environment,
            settings: parse_settings(&self.settings)?,
            protocol: self.protocol,
            wait: self.wait || !self.no_wait,
        };
        let steps = Steps::new(context.out);
        let package = source.package().await?;
        if self.dry_run {
            return dry_run(context, &package, &plan).await;
        }
        let published = publish::publish(&context.client()?, package, &plan, steps).await?;
        report(context.out, &published)
    }
}

fn report(out: Output, published: &Published) -> Result<(), Failure> {
    if out.json {
        return out.json(published);
    }
    let Published { name, id, arn, version, status, .. } = published;
    if !out.progress {
        published.notes.iter().for_each(|note| out.note(note));
    }
    out.data(format!("name     {}", out.out(Style::Bold, name.as_str())))?;
    out.data(format!("id       {id}"))?;
    out.data(format!("arn      {arn}"))?;
    out.data(format!("version  {version} ({})", status.as_str()))?;
    out.note(out.err(Style::Dim, &format!("invoke it: innkeep invoke {name} \"Hello\"")));
    Ok(())
}

async fn dry_run(context: &Context, package: &Package, plan: &Plan) -> Result<(), Failure> {
    let existing = match context.client() {
        Ok(client) => resolve::by_name(&client, &plan.name).await?,
        // What would be packed can be told without a server.
        Err(failure) if failure.code == Code::Unreachable => None,
        Err(failure) => return Err(failure),
    };
    let next = existing.as_ref().and_then(|runtime| runtime.latest_version.next());
    let action = match &existing {
        None => format!("create {}", plan.name),
        Some(runtime) => format!("update {} from version {}", plan.name, runtime.latest_version),
    };
    let (n_files, bytes, layer) = match package {
        Package::Zip { bytes, .. } => (None, *bytes, None),
        Package::Project { packed, layer } => {
            (Some(packed.n_files), packed.zip_bytes, layer.as_ref().map(|layer| layer.fingerprint.clone()))
        }
    };
    if context.out.json {
        let version = next.map_or(1, |version| version.get());
        return context.out.json(&json!({
            "dryRun": true, "name": plan.name, "created": existing.is_none(), "version": version,
            "files": n_files, "zipBytes": bytes, "layer": layer,
        }));
    }
    context.out.data(format!("would {action}"))?;
    let files = n_files.map(|n| format!("{n} files, ")).unwrap_or_default();
    context.out.data(format!("would upload {files}{} zipped", human_bytes(bytes)))?;
    layer.map_or(Ok(()), |layer| {
        context.out.data(format!("with the packages of its virtual environment, layer {}", &layer[..12]))
    })
}

/// Accepts a runtime's name, or the folder name that it comes from.
fn runtime_name(s: &str) -> Result<RuntimeName, String> {
    RuntimeName::from_folder(s).ok_or_else(|| "a name needs a letter".to_owned())
}

fn environment_change(s: &str) -> Result<EnvironmentChange, String> {
    let (name, change) = match (s.split_once('='), s.strip_suffix('-')) {
        (Some((name, value)), _) => (name, EnvironmentChange::Set(name.to_owned(), value.to_owned())),
        (None, Some(name)) => (name, EnvironmentChange::Remove(name.to_owned())),
        (None, None) => return Err("expected K=V, or K- to remove K".to_owned()),
    };
    if name.is_empty() { Err("the variable has no name".to_owned()) } else { Ok(change) }
}

fn parse_settings(given: &[String]) -> Result<Map<String, Value>, Failure> {
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
        object.insert(key.to_owned(), value);
    }
    let checked: Result<Settings, _> = serde_json::from_value(Value::Object(object.clone()));
    checked.map(|_| object).map_err(|e| Failure::usage(format!("--set: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let parse = |given: &[&str]| parse_settings(&given.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let settings = parse(&["health=tcp", "header_aliases=false", "start_timeout_secs-"]).unwrap();
        let expect = json!({"health": "tcp", "header_aliases": false, "start_timeout_secs": null});
        assert_eq!(Value::Object(settings), expect);
        assert!(parse(&[]).unwrap().is_empty());
        for bad in ["health=http", "start_timeout_secs=soon", "unknown=1", "unknown-", "health", "health="] {
            assert_eq!(parse(&[bad]).unwrap_err().code, Code::Usage, "{bad}");
        }
    }

    #[test]
    fn both_spellings_of_a_name_are_accepted() {
        assert_eq!(runtime_name("sdk-echo"), runtime_name("sdk_echo"));
        assert!(runtime_name("42").is_err());
    }
}
