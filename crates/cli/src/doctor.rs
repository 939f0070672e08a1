//! `innkeep doctor`: what this host can do, each gap with what closes it. Asks no server. Changes what the start of a server would:
//! control groups are prepared, and as root the packet filter of a server that is dead may be removed.

mod host;

use clap::Args;
use innkeep_server::{Config, Finding, FindingState, Purpose};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Output, Style};
use crate::serve;

/// Show what this host can do, and how each gap is closed
///
/// Looks at what sessions in containers need, with the settings that `serve` would take, and starts and ends one sandbox. Exit status
/// 0 if sessions can be isolated here, 1 if not.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = serve::load(context, Purpose::Serve, None)?;
        let mut findings = host::examine(&config.data_dir, &context.environment);
        let (driver, usable) = try_out(&config).await?;
        findings.extend(driver);
        findings.extend(dev_issuer(context, &config)?);
        show(context.out, &findings, usable)
    }
}

/// Returns that the settings, or the server that runs, have a dev issuer, if it is so.
fn dev_issuer(context: &Context, config: &Config) -> Result<Option<Finding>, Failure> {
    let running = context.server_file()?.and_then(|file| file.dev_issuer);
    Ok((config.dev_issuer || running.is_some()).then(|| Finding {
        what: "dev issuer",
        state: FindingState::Weak,
        detail:
            "on, for development: whoever can read the data directory can be anybody to agents that take its tokens"
                .to_owned(),
        fix: Some("without dev_issuer and --dev-issuer it is off".to_owned()),
    }))
}

/// Returns what the driver finds, and whether it works. Tries it in a directory of its own, beside nothing that a running server
/// takes for its own; within the data directory if that is there, as the file system matters.
async fn try_out(config: &Config) -> Result<(Vec<Finding>, Result<(), Failure>), Failure> {
    let mut scratch = tempfile::Builder::new();
    scratch.prefix(".dr");
    let scratch = scratch.tempdir_in(&config.data_dir).or_else(|_| scratch.tempdir());
    let scratch = scratch.map_err(|error| Failure::io("cannot make a directory to try things in", &error))?;
    let (findings, usable) = Box::pin(innkeep_server::examine(config, scratch.path())).await;
    let usable = usable.map_err(|unusable| {
        let message = format!("sessions cannot be isolated on this host: {}", unusable.why);
        Failure::new(Code::Failed, message).with_fix(unusable.fix)
    });
    Ok((findings, usable))
}

fn show(out: Output, findings: &[Finding], usable: Result<(), Failure>) -> Result<(), Failure> {
    if out.json {
        out.json(&report(findings, &usable))?;
        return usable.map_err(|failure| Failure { code: Code::Shown, ..failure });
    }
    let width = findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or_default();
    for Finding { what, state, detail, fix } in findings {
        let style = match state {
            FindingState::Good => Style::Green,
            FindingState::Weak => Style::Yellow,
            FindingState::Missing => Style::Red,
        };
        let fix = fix.as_ref().map(|fix| format!("; next: {fix}")).unwrap_or_default();
        let state = out.out(style, &format!("{:<7}", word(*state)));
        out.data(format!("{state}  {what:<width$}  {detail}{fix}"))?;
    }
    usable
}

fn report(findings: &[Finding], usable: &Result<(), Failure>) -> Value {
    let finding = |Finding { what, state, detail, fix }: &Finding| json!({"what": what, "state": word(*state), "detail": detail, "fix": fix});
    let mut report = json!({"usable": usable.is_ok(), "findings": findings.iter().map(finding).collect::<Vec<_>>()});
    if let (Err(failure), Some(members)) = (usable, report.as_object_mut()) {
        members.extend(failure.to_json().as_object().cloned().unwrap_or_default());
    }
    report
}

fn word(state: FindingState) -> &'static str {
    match state {
        FindingState::Good => "good",
        FindingState::Weak => "weak",
        FindingState::Missing => "missing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_states_fixes_and_the_error() {
        let gap = Finding {
            what: "user namespaces",
            state: FindingState::Missing,
            detail: "forbidden".to_owned(),
            fix: Some("sysctl user.max_user_namespaces=10000".to_owned()),
        };
        let good = Finding { what: "kernel", state: FindingState::Good, detail: "6.12".to_owned(), fix: None };
        let failed = Err(Failure::new(Code::Failed, "sessions cannot be isolated").with_fix("do it"));
        let shown = report(&[gap, good.clone()], &failed);
        assert_eq!(shown["usable"], json!(false));
        assert_eq!(shown["findings"][0]["state"], json!("missing"));
        assert_eq!(shown["findings"][0]["fix"], json!("sysctl user.max_user_namespaces=10000"));
        assert_eq!((&shown["findings"][1]["fix"], &shown["error"]["fix"]), (&Value::Null, &json!("do it")));
        let shown = report(&[good], &Ok(()));
        assert_eq!((&shown["usable"], shown.get("error")), (&json!(true), None));
    }

    #[test]
    fn a_dev_issuer_is_a_weakness() {
        let dir = tempfile::tempdir().unwrap();
        let global = crate::args::Global {
            data_dir: Some(dir.path().to_owned()),
            url: None,
            profile: None,
            json: false,
            no_color: true,
        };
        let environment = crate::environment::Environment::default();
        let context = Context::new(global, Output::new(false, true, &environment), environment).unwrap();
        let (off, on) = (Config::default(), Config { dev_issuer: true, ..Config::default() });
        let is_weak = |config| dev_issuer(&context, config).unwrap().is_some_and(|it| it.state == FindingState::Weak);
        assert_eq!((is_weak(&off), is_weak(&on)), (false, true));
        let file = r#"{"url":"http://a","pid":1,"region":"r","account":"a","devIssuer":"http://a/innkeep/dev-issuer"}"#;
        std::fs::write(dir.path().join("server.json"), file).unwrap();
        assert!(is_weak(&off), "the server that runs has one");
    }

    #[tokio::test]
    async fn trying_it_out_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        let (findings, _) = try_out(&config).await.unwrap();
        assert!(!findings.is_empty());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let absent = Config { data_dir: dir.path().join("absent"), ..Config::default() };
        assert!(try_out(&absent).await.is_ok());
        assert!(!absent.data_dir.exists());
    }
}
