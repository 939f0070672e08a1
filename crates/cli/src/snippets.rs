//! Commands to paste: the same invocation with curl and with boto3.

use http::header::AUTHORIZATION;
use innkeep_sdk::{Client, Invocation};
use innkeep_types::{RuntimeArn, RuntimeId};

use crate::context::Context;

/// Returns the URL that invokes `runtime`, as SDKs build it.
pub(crate) fn invoke_url(client: &Client, runtime: &RuntimeId) -> String {
    let arn = client.runtime_arn(runtime).to_string().replace(':', "%3A").replace('/', "%2F");
    format!("{}/runtimes/{arn}/invocations", client.endpoint().url.trim_end_matches('/'))
}

/// Returns the curl command that does `invocation`. It names the runtime by id and not by ARN, and its parameters in
/// alphabetical order, because curl before 8.3 signs paths and queries as they stand, without encoding and sorting them.
pub(crate) fn curl(client: &Client, invocation: &Invocation) -> String {
    let endpoint = client.endpoint();
    let url = format!(
        "{}/runtimes/{}/invocations?accountId={}&qualifier={}",
        endpoint.url.trim_end_matches('/'),
        invocation.runtime,
        endpoint.account,
        invocation.endpoint
    );
    let mut words = vec!["curl -sS --no-buffer".to_owned()];
    if invocation.headers.contains_key(AUTHORIZATION) {
        // Its value is not for the screen.
        words.push("-H \"authorization: Bearer $TOKEN\"".to_owned());
    } else {
        words.push(format!("--aws-sigv4 'aws:amz:{}:bedrock-agentcore'", endpoint.region));
        words.push("--user \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\"".to_owned());
    }
    words.extend(client.ca().map(|ca| format!("--cacert {}", quote(&ca.to_string_lossy()))));
    let session = ("x-amzn-bedrock-agentcore-runtime-session-id", invocation.session.as_str());
    let content_type = ("content-type", invocation.content_type.to_str().unwrap_or_default());
    let shown = invocation.headers.iter().filter(|(name, _)| *name != AUTHORIZATION);
    let extra = shown.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    words.extend(
        [content_type, session].into_iter().chain(extra).map(|(k, v)| format!("-H {}", quote(&format!("{k}: {v}")))),
    );
    words.push(format!("--data-binary {}", quote(&String::from_utf8_lossy(&invocation.payload))));
    words.push(quote(&url));
    words.join(" ")
}

/// Returns a Python program that invokes `runtime`.
pub(crate) fn boto3(runtime: &RuntimeArn, prompt: &str) -> String {
    let payload = serde_json::json!({"prompt": prompt}).to_string();
    format!(
        "import boto3\n\
         client = boto3.client(\"bedrock-agentcore\")\n\
         answer = client.invoke_agent_runtime(agentRuntimeArn=\"{runtime}\", payload={})\n\
         print(answer[\"response\"].read().decode())",
        serde_json::Value::String(payload)
    )
}

/// Returns the words that run this program again from a shell: `innkeep` where the shell finds it, else its path.
pub(crate) fn program(context: &Context) -> String {
    let path = context.environment.get("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(path).any(|folder| folder.join("innkeep").is_file());
    let own = std::env::current_exe().ok().filter(|_| !on_path);
    let program = own.map_or_else(|| "innkeep".to_owned(), |own| quote(&own.to_string_lossy()));
    if !context.data_dir_is_named {
        return program;
    }
    let data_dir = std::path::absolute(&context.data_dir).unwrap_or_else(|_| context.data_dir.clone());
    format!("{program} --data-dir {}", quote(&data_dir.to_string_lossy()))
}

/// Returns `text` as one word of a POSIX shell.
pub(crate) fn quote(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words_are_quoted_when_they_must_be() {
        assert_eq!(quote("http://127.0.0.1:7080"), "http://127.0.0.1:7080");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quote(""), "''");
    }
}
