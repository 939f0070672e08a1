//! What tests/test_clients_rust.py has the AWS SDK for Rust do: create, invoke, stream, be refused, page, stop, delete. Its parser
//! of timestamps takes the one format of the model and no other. Reads one JSON object from its first argument, prints another.

use std::error::Error;
use std::time::Duration;

use aws_sdk_bedrockagentcore as data;
use aws_sdk_bedrockagentcorecontrol as control;
use aws_smithy_http_client::Builder;
use control::error::ProvideErrorMetadata;
use control::primitives::DateTime;
use control::types::{
    AgentManagedRuntimeType, AgentRuntimeArtifact, AgentRuntimeStatus, Code, CodeConfiguration, NetworkConfiguration,
    NetworkMode, S3Location,
};
use data::primitives::Blob;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let asked: Value = serde_json::from_str(&std::env::args().nth(1).ok_or("no argument")?)?;
    let text = |name: &str| asked[name].as_str().ok_or_else(|| format!("no {name}")).map(str::to_owned);
    let (url, session) = (text("url")?, text("session")?);
    let key = control::config::Credentials::new(text("accessKey")?, text("secretKey")?, None, None, "test");
    let http = Builder::new().build_http();

    let control = control::Client::from_conf(
        control::Config::builder()
            .behavior_version(control::config::BehaviorVersion::latest())
            .region(control::config::Region::new("us-west-2"))
            .endpoint_url(&url)
            .credentials_provider(key.clone())
            .http_client(http.clone())
            .build(),
    );
    let data = data::Client::from_conf(
        data::Config::builder()
            .behavior_version(data::config::BehaviorVersion::latest())
            .region(data::config::Region::new("us-west-2"))
            .endpoint_url(&url)
            .credentials_provider(key)
            .http_client(http)
            .build(),
    );

    let location = S3Location::builder().bucket(text("bucket")?).prefix(text("prefix")?).build()?;
    let code = CodeConfiguration::builder()
        .code(Code::S3(location))
        .runtime(AgentManagedRuntimeType::from(text("runtime")?.as_str()))
        .entry_point(text("entryPoint")?)
        .build()?;
    let created = control
        .create_agent_runtime()
        .agent_runtime_name("rust_sdk")
        .agent_runtime_artifact(AgentRuntimeArtifact::CodeConfiguration(code))
        .role_arn(text("role")?)
        .network_configuration(NetworkConfiguration::builder().network_mode(NetworkMode::Public).build()?)
        .send()
        .await?;
    let (arn, id) = (created.agent_runtime_arn(), created.agent_runtime_id());
    let runtime = loop {
        let runtime = control.get_agent_runtime().agent_runtime_id(id).send().await?;
        if *runtime.status() != AgentRuntimeStatus::Creating {
            break runtime;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };

    let invoke = |payload: Value| {
        let payload = Blob::new(payload.to_string());
        let request = data.invoke_agent_runtime().agent_runtime_arn(arn).runtime_session_id(&session);
        request.content_type("application/json").payload(payload).send()
    };
    let plain = invoke(json!({"prompt": "grüß dich"})).await?;
    let plain: Value = serde_json::from_slice(&plain.response.collect().await?.into_bytes())?;
    let mut streamed = invoke(json!({"prompt": "one two", "stream": true})).await?;
    let mut text = Vec::new();
    while let Some(chunk) = streamed.response.try_next().await? {
        text.extend_from_slice(&chunk);
    }
    // Without a session the SDK makes one up.
    let prompt = Blob::new(r#"{"prompt": "hello"}"#);
    let made_up = data.invoke_agent_runtime().agent_runtime_arn(arn).payload(prompt).send().await?;

    let mut pages = control.list_agent_runtimes().into_paginator().page_size(1).items().send();
    let mut names = Vec::new();
    while let Some(runtime) = pages.next().await {
        names.push(runtime?.agent_runtime_name().to_owned());
    }
    let endpoints = control.list_agent_runtime_endpoints().agent_runtime_id(id).send().await?;
    let endpoints: Vec<Value> = endpoints
        .runtime_endpoints()
        .iter()
        .map(|endpoint| json!([endpoint.name(), endpoint.live_version(), seconds(endpoint.created_at())]))
        .collect();

    let stopped = data.stop_runtime_session().agent_runtime_arn(arn).runtime_session_id(&session).send().await?;
    let deleted = control.delete_agent_runtime().agent_runtime_id(id).send().await?;
    let refused = control.get_agent_runtime().agent_runtime_id("gone-0123456789").send().await;
    let refused = refused.err().ok_or("a runtime that never was is there")?;

    let printed = json!({
        "status": runtime.status().as_str(),
        "createdAt": seconds(runtime.created_at()),
        "lastUpdatedAt": seconds(runtime.last_updated_at()),
        "plain": plain,
        "streamed": {"contentType": streamed.content_type(), "text": String::from_utf8(text)?},
        "madeUpSession": made_up.runtime_session_id(),
        "names": names,
        "endpoints": endpoints,
        "stopped": stopped.runtime_session_id(),
        "deleted": deleted.status().as_str(),
        "refused": refused.code(),
    });
    println!("{printed}");
    Ok(())
}

fn seconds(time: &DateTime) -> f64 {
    time.as_secs_f64()
}
