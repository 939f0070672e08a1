//! `innkeep deploy`: a project folder, code zip or OCI image becomes the newest version of a runtime.

mod dry_run;
mod options;
mod replace;

use clap::Args;
use innkeep_types::{EndpointName, RuntimeName};
use serde_json::Value;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::publish::{self, EnvironmentChange, Plan, Published, Steps};
use crate::source::Source;

/// Deploy a project folder, a code zip or an OCI image
///
/// Uploads it, creates or updates the runtime, boots it once, and serves it only if its first health check is good; the
/// version before serves on until then, and if it is not. Of a project folder, .git, .venv, venv, __pycache__, *.pyc, .env*,
/// target and .innkeep stay behind; the packages of .venv or venv go along as a layer. An image is a reference that the server
/// fetches (ghcr.io/me/agent:v1), or is uploaded: an archive of `docker save`, an OCI layout as tar, or a folder that is one.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// A project folder, a code zip, an image's archive or layout, or an image's reference
    #[arg(value_name = "DIR|ZIP|IMAGE")]
    source: String,
    /// The runtime's name [default: the folder's, file's or image's, with _ for what the API forbids]
    #[arg(long, value_parser = options::runtime_name)]
    name: Option<RuntimeName>,
    /// Of an archive or layout with several images: the one of this tag, or of this name
    #[arg(long)]
    tag: Option<String>,
    /// An endpoint to create, or to move, once the new version is READY; DEFAULT follows by itself
    #[arg(long, default_value = "DEFAULT")]
    endpoint: EndpointName,
    /// Set an environment variable of the agent (K=V), or remove one (K-); the others are kept
    #[arg(long = "env", value_name = "K=V", value_parser = options::environment_change)]
    environment: Vec<EnvironmentChange>,
    /// Set one of Innkeep's own settings (KEY=VALUE): health, header_aliases, start_timeout_secs, isolation, egress, memory_mib,
    /// cpu_millis, processes, open_files, disk_mib, pool, zygote, zygote_modules, session_owner; or leave it to [agent] of the code's innkeep.toml and the defaults again (KEY-);
    /// the others are kept. What is set wins over innkeep.toml; of isolation the stronger counts
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// How the agent is spoken to [default: HTTP, or as before]
    #[arg(long)]
    protocol: Option<String>,
    /// The authorizerConfiguration: {"customJWTAuthorizer": {"discoveryUrl": …}}. Its runtime takes JWTs, and refuses callers with
    /// SigV4; `none` goes back to SigV4 [default: as before]
    #[arg(long, value_name = "FILE|JSON")]
    authorizer: Option<String>,
    /// Wait until the new version serves or has failed (the default)
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Return once the change is accepted
    #[arg(long)]
    no_wait: bool,
    /// Show what is different from what is deployed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: show the values of environment variables too
    #[arg(long, requires = "dry_run")]
    show_values: bool,
}

impl Deploy {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let source = Source::parse(&self.source)?;
        if self.tag.is_some() && !matches!(source, Source::Archive(_) | Source::Layout(_)) {
            return Err(Failure::usage("--tag chooses among the images of an archive or layout, and this is none")
                .with_fix("a reference has its tag in it: ghcr.io/me/agent:v1"));
        }
        let is_named = self.name.is_some();
        let plan = Plan {
            name: self.name.map_or_else(|| source.default_name(), Ok)?,
            endpoint: self.endpoint,
            environment: self.environment,
            settings: options::settings(&self.settings)?,
            protocol: self.protocol,
            authorizer: self.authorizer.as_deref().map(options::authorizer).transpose()?,
            tag: self.tag,
            wait: self.wait || !self.no_wait,
        };
        if !plan.wait && plan.names_an_endpoint() {
            let fix = format!("wait, or afterwards: innkeep endpoints move {} VERSION", plan.endpoint);
            return Err(Failure::usage("an endpoint is moved when its version is READY, which --no-wait does not see")
                .with_fix(fix));
        }
        if let (false, Source::Reference(reference), Ok(client)) = (is_named, &source, context.client()) {
            replace::check(&client, &plan.name, reference).await?;
        }
        let steps = Steps::new(context.out);
        let package = source.package().await?;
        if self.dry_run {
            return dry_run::run(context, package, &plan, self.show_values).await;
        }
        let mut published = publish::publish(&context.client()?, package, &plan, steps).await?;
        let is_closed = matches!(plan.authorizer, Some(Value::Object(_)));
        if is_closed {
            published.notes.push(format!(
                "{name} refuses callers with SigV4 from now on; it takes tokens of its issuer alone: innkeep invoke {name} --token TOKEN \
                 \"Hello\" (back to SigV4: --authorizer none)",
                name = plan.name
            ));
        }
        report(context.out, &published)?;
        if !context.out.json && !is_closed {
            let Published { name, endpoint, .. } = &published;
            let through = match endpoint.is_default() {
                true => String::new(),
                false => format!(" --endpoint {endpoint}"),
            };
            let hint = format!("invoke it: innkeep invoke {name}{through} \"Hello\"");
            context.out.note(context.out.err(Style::Dim, &hint));
        }
        Ok(())
    }
}

fn report(out: Output, published: &Published) -> Result<(), Failure> {
    if out.json {
        return out.json(published);
    }
    let Published { name, id, arn, version, status, endpoint, .. } = published;
    if !out.progress {
        published.notes.iter().for_each(|note| out.note(note));
    }
    out.data(format!("name     {}", out.out(Style::Bold, name.as_str())))?;
    out.data(format!("id       {id}"))?;
    out.data(format!("arn      {arn}"))?;
    out.data(format!("version  {version} ({})", status.as_str()))?;
    if !endpoint.is_default() {
        out.data(format!("endpoint {endpoint}"))?;
    }
    Ok(())
}
