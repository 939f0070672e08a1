//! The life of a runtime: create, invoke, stream, be refused, page, stop, delete.

use std::time::Duration;

use aws_sdk_bedrockagentcore::primitives::Blob;
use aws_sdk_bedrockagentcorecontrol::error::ProvideErrorMetadata;
use aws_sdk_bedrockagentcorecontrol::types::{AgentRuntimeStatus, NetworkConfiguration, NetworkMode};
use serde_json::{Value, json};

use crate::{Asked, Result, seconds};

pub(crate) async fn run(Asked { control, data, artifact, role, session }: Asked) -> Result<Value> {
    let created = control
        .create_agent_runtime()
        .agent_runtime_name("rust_sdk")
        .agent_runtime_artifact(artifact)
        .role_arn(role)
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

    Ok(json!({
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
    }))
}
