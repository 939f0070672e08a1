//! Every operation of the control plane, each answer read by the SDK's own parser.

use std::time::Duration;

use aws_sdk_bedrockagentcorecontrol as control;
use control::error::ProvideErrorMetadata;
use control::types::{
    AgentRuntimeArtifact, AgentRuntimeEndpointStatus, AgentRuntimeStatus, CapacityProviderStatus, ComputeConfiguration,
    Ec2Configuration, InstanceRequirements, LaunchParameters, LaunchTemplateSource, LifecycleConfiguration,
    OperatingSystem, PermissionsConfiguration, UpdatedDescription, VpcConfiguration,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{Asked, Result, seconds};

const PAUSE: Duration = Duration::from_millis(50);

pub(crate) async fn run(Asked { control, artifact, role, .. }: Asked) -> Result<Value> {
    let lifecycle = LifecycleConfiguration::builder().idle_runtime_session_timeout(600).max_lifetime(3600).build();
    let created = control
        .create_agent_runtime()
        .agent_runtime_name("rust_control_plane")
        .agent_runtime_artifact(artifact.clone())
        .role_arn(&role)
        .description("first")
        .lifecycle_configuration(lifecycle)
        .environment_variables("COLOUR", "green")
        .tags("team", "one")
        .send()
        .await?;
    let (id, arn) = (created.agent_runtime_id(), created.agent_runtime_arn());
    let runtime = ready(&control, id).await?;
    let lifecycle = runtime.lifecycle_configuration().ok_or("no lifecycle")?;
    let shown = json!({
        "description": runtime.description(),
        "lifecycle": [lifecycle.idle_runtime_session_timeout(), lifecycle.max_lifetime()],
        "environment": runtime.environment_variables().and_then(|variables| variables.get("COLOUR")),
        "times": [seconds(created.created_at()), seconds(runtime.created_at()), seconds(runtime.last_updated_at())],
    });

    let printed = json!({
        "runtime": shown,
        "versions": versions(&control, id, artifact, &role).await?,
        "endpoints": endpoints(&control, id).await?,
        "tags": tags(&control, arn).await?,
        "policy": policy(&control, arn).await?,
        "capacityProvider": capacity_provider(&control, &role).await?,
        "refused": refused(&control, id).await?,
    });
    let deleted = control.delete_agent_runtime().agent_runtime_id(id).send().await?;
    assert_eq!(*deleted.status(), AgentRuntimeStatus::Deleting);
    Ok(printed)
}

type Runtime = control::operation::get_agent_runtime::GetAgentRuntimeOutput;

/// Waits for the end of what is being done to a runtime.
async fn ready(control: &control::Client, id: &str) -> Result<Runtime> {
    loop {
        let runtime = control.get_agent_runtime().agent_runtime_id(id).send().await?;
        match runtime.status() {
            AgentRuntimeStatus::Ready => return Ok(runtime),
            AgentRuntimeStatus::Creating | AgentRuntimeStatus::Updating => sleep(PAUSE).await,
            other => return Err(format!("{other}: {:?}", runtime.failure_reason()).into()),
        }
    }
}

async fn versions(control: &control::Client, id: &str, artifact: AgentRuntimeArtifact, role: &str) -> Result<Value> {
    let update = control.update_agent_runtime().agent_runtime_id(id).agent_runtime_artifact(artifact).role_arn(role);
    let updated = update.description("second").send().await?;
    ready(control, id).await?;
    let first = control.get_agent_runtime().agent_runtime_id(id).agent_runtime_version("1").send().await?;
    let mut pages =
        control.list_agent_runtime_versions().agent_runtime_id(id).into_paginator().page_size(1).items().send();
    let mut listed = Vec::new();
    while let Some(item) = pages.next().await {
        let item = item?;
        listed.push(json!([item.agent_runtime_version(), item.description(), item.status().as_str()]));
    }
    Ok(json!({
        "updated": [updated.agent_runtime_version(), updated.status().as_str()],
        "times": [seconds(updated.created_at()), seconds(updated.last_updated_at())],
        "first": first.description(),
        "listed": listed,
    }))
}

async fn endpoints(control: &control::Client, id: &str) -> Result<Value> {
    let create = control.create_agent_runtime_endpoint().agent_runtime_id(id).name("prod").agent_runtime_version("1");
    let created = create.description("for people").send().await?;
    let at_first = endpoint(control, id).await?.ok_or("no endpoint")?;
    let update = control.update_agent_runtime_endpoint().agent_runtime_id(id).endpoint_name("prod");
    let updated = update.agent_runtime_version("2").send().await?;
    let moved = endpoint(control, id).await?.ok_or("no endpoint")?;
    let mut pages =
        control.list_agent_runtime_endpoints().agent_runtime_id(id).into_paginator().page_size(1).items().send();
    let mut names = Vec::new();
    while let Some(item) = pages.next().await {
        names.push(item?.name().to_owned());
    }
    let deleted = control.delete_agent_runtime_endpoint().agent_runtime_id(id).endpoint_name("prod").send().await?;
    while endpoint(control, id).await?.is_some() {
        sleep(PAUSE).await;
    }
    Ok(json!({
        "created": [created.target_version(), created.endpoint_name()],
        "live": [at_first.live_version(), moved.live_version(), moved.target_version()],
        "description": moved.description(),
        "times": [seconds(created.created_at()), seconds(updated.last_updated_at()), seconds(moved.created_at())],
        "listed": names,
        "deleted": deleted.status().as_str(),
    }))
}

type Endpoint = control::operation::get_agent_runtime_endpoint::GetAgentRuntimeEndpointOutput;

/// Returns the endpoint once it is no longer created or moved; none where it is gone.
async fn endpoint(control: &control::Client, id: &str) -> Result<Option<Endpoint>> {
    loop {
        match control.get_agent_runtime_endpoint().agent_runtime_id(id).endpoint_name("prod").send().await {
            Ok(got) => match got.status() {
                AgentRuntimeEndpointStatus::Creating | AgentRuntimeEndpointStatus::Updating => sleep(PAUSE).await,
                _ => return Ok(Some(got)),
            },
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn tags(control: &control::Client, arn: &str) -> Result<Value> {
    control.tag_resource().resource_arn(arn).tags("stage", "test").tags("team", "two").send().await?;
    let both = control.list_tags_for_resource().resource_arn(arn).send().await?;
    control.untag_resource().resource_arn(arn).tag_keys("team").tag_keys("stage").send().await?;
    let none = control.list_tags_for_resource().resource_arn(arn).send().await?;
    Ok(json!([both.tags(), none.tags().map_or(0, std::collections::HashMap::len)]))
}

async fn policy(control: &control::Client, arn: &str) -> Result<Value> {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "bedrock-agentcore:InvokeAgentRuntime",
            "Resource": arn,
        }],
    })
    .to_string();
    let put = control.put_resource_policy().resource_arn(arn).policy(&policy).send().await?;
    let got = control.get_resource_policy().resource_arn(arn).send().await?;
    control.delete_resource_policy().resource_arn(arn).send().await?;
    let none = control.get_resource_policy().resource_arn(arn).send().await?;
    Ok(json!([put.policy() == policy, got.policy() == Some(policy.as_str()), none.policy()]))
}

async fn capacity_provider(control: &control::Client, role: &str) -> Result<Value> {
    let parameters = LaunchParameters::builder()
        .operating_system(OperatingSystem::LinuxArm64)
        .instance_requirements(InstanceRequirements::builder().allowed_instance_types("m8g.large").build()?)
        .build()?;
    let vpc = VpcConfiguration::builder().subnets("subnet-00000000").security_groups("sg-00000000").build()?;
    let compute = Ec2Configuration::builder()
        .launch_template_source(LaunchTemplateSource::LaunchParameters(parameters))
        .vpc_configuration(vpc)
        .build();
    let created = control
        .create_capacity_provider()
        .name("rust_provider")
        .permissions_configuration(
            PermissionsConfiguration::builder().capacity_provider_operator_role_arn(role).build()?,
        )
        .compute_configuration(ComputeConfiguration::Ec2Configuration(compute))
        .send()
        .await?;
    let id = created.capacity_provider_id();
    let got = provider(control, id).await?.ok_or("no capacity provider")?;
    let change = UpdatedDescription::builder().optional_value("described").build();
    let updated = control.update_capacity_provider().capacity_provider_id(id).description(change).send().await?;
    let described = provider(control, id).await?.ok_or("no capacity provider")?;
    let listed = control.list_capacity_providers().send().await?;
    let times: Vec<f64> = listed.capacity_providers().iter().map(|item| seconds(item.last_updated_at())).collect();
    let runtimes = control.list_agent_runtime_versions_by_capacity_provider().capacity_provider_id(id).send().await?;
    let deleted = control.delete_capacity_provider().capacity_provider_id(id).send().await?;
    while provider(control, id).await?.is_some() {
        sleep(PAUSE).await;
    }
    Ok(json!({
        "status": got.status().as_str(),
        "described": described.description(),
        "times": [seconds(got.created_at()), seconds(got.last_updated_at()), seconds(updated.last_updated_at())],
        "listed": times,
        "runtimes": runtimes.agent_runtimes().len(),
        "deleted": deleted.status().as_str(),
    }))
}

type Provider = control::operation::get_capacity_provider::GetCapacityProviderOutput;

async fn provider(control: &control::Client, id: &str) -> Result<Option<Provider>> {
    loop {
        match control.get_capacity_provider().capacity_provider_id(id).send().await {
            Ok(got) => match got.status() {
                CapacityProviderStatus::Creating | CapacityProviderStatus::Updating => sleep(PAUSE).await,
                _ => return Ok(Some(got)),
            },
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Errors as the types that the SDK has for them.
async fn refused(control: &control::Client, id: &str) -> Result<Value> {
    let invalid = control.list_agent_runtimes().max_results(1000).send().await.err().ok_or("no error")?;
    let invalid = invalid.into_service_error();
    let control::operation::list_agent_runtimes::ListAgentRuntimesError::ValidationException(invalid) = invalid else {
        return Err(format!("{invalid:?} is no ValidationException").into());
    };
    let fields: Vec<&str> = invalid.field_list().iter().map(|field| field.name()).collect();
    let create = control.create_agent_runtime_endpoint().agent_runtime_id(id).name("DEFAULT").send().await;
    let create = create.err().ok_or("no error")?.into_service_error();
    let missing = control.get_agent_runtime_endpoint().agent_runtime_id(id).endpoint_name("none").send().await;
    let missing = missing.err().ok_or("no error")?.into_service_error();
    Ok(json!({
        "invalid": [invalid.reason().as_str(), fields],
        "conflict": create.is_conflict_exception(),
        "missing": missing.is_resource_not_found_exception(),
    }))
}
