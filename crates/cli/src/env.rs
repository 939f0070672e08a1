//! `innkeep env`: the variables by which unmodified clients find this server.

use std::path::Path;

use clap::{Args, ValueEnum};
use innkeep_sdk::{Credentials, Endpoint};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::snippets::quote;

/// Print the variables by which AWS SDKs, the AWS CLI and curl find this server
///
/// In a shell: eval "$(innkeep env)"
#[derive(Debug, Args)]
pub(crate) struct Env {
    /// How to print them
    #[arg(long, value_enum, default_value_t = Shell::Bash)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Json,
    Dotenv,
}

impl Env {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let Some(key) = client.credentials() else {
            let message = format!("there is no key in {}, nor in the environment", context.data_dir.display());
            return Err(
                Failure::new(Code::NotAuthorised, message).with_fix("name the server's directory with --data-dir")
            );
        };
        let variables = variables(client.endpoint(), key, client.ca());
        if context.out.json {
            return context.out.json(&json!({"environment": object(&variables)}));
        }
        match self.shell {
            Shell::Json => context.out.data(format!("{:#}", Value::Object(object(&variables)))),
            Shell::Dotenv => variables.iter().try_for_each(|(k, v)| context.out.data(format!("{k}={}", quote(v)))),
            Shell::Bash => {
                variables.iter().try_for_each(|(k, v)| context.out.data(format!("export {k}={}", quote(v))))?;
                // A token left from another account would be sent along and refused.
                if key.session_token.is_none() { context.out.data("unset AWS_SESSION_TOKEN") } else { Ok(()) }
            }
        }
    }
}

fn variables(endpoint: &Endpoint, key: &Credentials, ca: Option<&Path>) -> Vec<(&'static str, String)> {
    let urls = [
        "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE",
        "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL",
        "BEDROCK_AGENTCORE_DP_ENDPOINT",
        "BEDROCK_AGENTCORE_CP_ENDPOINT",
        "BEDROCK_AGENTCORE_DATA_PLANE_ENDPOINT",
    ];
    let mut variables: Vec<_> = urls.map(|name| (name, endpoint.url.clone())).into();
    variables.push(("AWS_ACCESS_KEY_ID", key.access_key_id.clone()));
    variables.push(("AWS_SECRET_ACCESS_KEY", key.secret.clone()));
    variables.extend(key.session_token.clone().map(|token| ("AWS_SESSION_TOKEN", token)));
    variables.extend(["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| (name, endpoint.region.to_string())));
    // Node adds it to those it trusts, the AWS tools trust it alone. No SSL_CERT_FILE: it would end every other program's trust.
    let ca = ca.map(|ca| ca.to_string_lossy().into_owned());
    variables.extend(ca.into_iter().flat_map(|ca| [("AWS_CA_BUNDLE", ca.clone()), ("NODE_EXTRA_CA_CERTS", ca)]));
    variables
}

fn object(variables: &[(&'static str, String)]) -> Map<String, Value> {
    variables.iter().map(|(k, v)| ((*k).to_owned(), Value::String(v.clone()))).collect()
}
