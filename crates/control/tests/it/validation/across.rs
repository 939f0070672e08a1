//! Rules across members, those that the service has besides its model, and ours.

use serde_json::{Value, json};

use super::{Case, sentence};
use crate::documents::{largest_create, with};
use crate::plane::{plane, request, request_with};

const JWT: &str = "/authorizerConfiguration/customJWTAuthorizer";
const HEADERS: &str = "/requestHeaderConfiguration/requestHeaderAllowlist";
const HEADER_AT: &str = "requestHeaderConfiguration.requestHeaderAllowlist[0]";

/// Returns the cases that Create and Update share.
pub(super) fn common() -> Vec<Case> {
    [network(), issuers(), claims(), headers(), filesystems(), others()].into_iter().flatten().collect()
}

fn network() -> Vec<Case> {
    let (pointer, at) = ("/networkConfiguration/networkModeConfig", "networkConfiguration.networkModeConfig");
    let needed = "networkMode VPC needs networkModeConfig, with subnets and securityGroups";
    let s3_at = "networkConfiguration.networkModeConfig.requireServiceS3Endpoint";
    let s3_pointer = "/networkConfiguration/networkModeConfig/requireServiceS3Endpoint";
    let s3 = "requireServiceS3Endpoint is for runtimes from before May 2026, and there are none here: omit it";
    vec![
        sentence(pointer, Value::Null, at, needed),
        sentence(s3_pointer, json!(false), s3_at, s3),
        sentence(s3_pointer, json!(true), s3_at, s3),
    ]
}

#[tokio::test]
async fn members_that_need_another_are_refused_without_it() {
    let (plane, _dir) = plane().await;
    let (vpc, public) = (json!({"networkMode": "VPC"}), json!({"networkMode": "PUBLIC"}));
    let network = "/networkConfiguration";
    let s3 = ("filesystemConfigurations[1]", "s3FilesAccessPoint needs networkMode VPC");
    let efs = ("filesystemConfigurations[2]", "efsAccessPoint needs networkMode VPC");
    let config = "networkConfiguration.networkModeConfig";
    let needed = (config, "networkMode VPC needs networkModeConfig, with subnets and securityGroups");
    let authorization = (HEADER_AT, "Authorization can be listed only together with a customJWTAuthorizer");
    for (pointer, value, expect) in [
        (network, Value::Null, vec![s3, efs]),
        (network, public, vec![s3, efs]),
        (network, vpc, vec![needed]),
        // A network that is broken is not one that is absent.
        (network, json!({}), vec![("networkConfiguration.networkMode", "Member must not be null")]),
        (
            "/networkConfiguration/networkMode",
            json!("PUBLIC"),
            vec![(config, "networkModeConfig is for networkMode VPC: omit it with PUBLIC"), s3, efs],
        ),
        ("/authorizerConfiguration", Value::Null, vec![authorization]),
        (
            "/authorizerConfiguration",
            json!({}),
            vec![("authorizerConfiguration", "Member must have exactly one of customJWTAuthorizer")],
        ),
    ] {
        let body = with(largest_create(), pointer, value.clone());
        let answer = plane.call("PUT", "/runtimes/", &body).await;
        let expect: Vec<_> = expect.iter().map(|(at, message)| json!({"name": at, "message": message})).collect();
        assert_eq!((answer.status, &answer.body["fieldList"]), (400, &json!(expect)), "{pointer} {value}");
    }
}

#[tokio::test]
async fn the_environment_is_smaller_on_the_second_platform() {
    let (plane, _dir) = plane().await;
    let container = || json!({"containerConfiguration": {"containerUri": "ghcr.io/a/b:c"}});
    let code = || request()["agentRuntimeArtifact"].clone();
    for (n, (artifact, platform, max)) in [
        (code(), Value::Null, 4096),
        (container(), json!("V1"), 4096),
        (code(), json!("V2"), 1536),
        (container(), json!("V2"), 2560),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = request_with("platformVersion", platform);
        body["agentRuntimeName"] = json!(format!("agent{n}"));
        body["agentRuntimeArtifact"] = artifact;
        body["environmentVariables"] = json!({"K": "v".repeat(max)});
        let message = format!("environmentVariables must not exceed {max} bytes in total, and have {}", max + 1);
        plane.call("PUT", "/runtimes/", &body).await.refuses(400, "ValidationException", &message);
        body["environmentVariables"] = json!({"K": "v".repeat(max - 1)});
        plane.call("PUT", "/runtimes/", &body).await.is(202);
    }
}

#[tokio::test]
async fn an_update_that_names_no_platform_has_the_limits_of_the_one_it_keeps() {
    let (plane, _dir) = plane().await;
    let created = plane.call("PUT", "/runtimes/", &request_with("platformVersion", json!("V2"))).await.is(202);
    let id = created["agentRuntimeId"].as_str().unwrap();
    plane.settled(id).await;
    let mut body = request_with("environmentVariables", json!({"K": "v".repeat(1536)}));
    let update = format!("/runtimes/{id}/");
    let message = "environmentVariables must not exceed 1536 bytes in total, and have 1537";
    plane.call("PUT", &update, &body).await.refuses(400, "ValidationException", message);
    body["environmentVariables"] = Value::Null;
    plane.call("PUT", &update, &body).await.is(202);
    assert_eq!(plane.settled(id).await.is(200)["platformVersion"], "V2");
    body["platformVersion"] = json!("V1");
    plane.call("PUT", &update, &body).await.is(202);
    assert_eq!(plane.settled(id).await.is(200)["platformVersion"], "V1");
}

#[tokio::test]
async fn of_very_many_broken_rules_a_hundred_are_told() {
    let (plane, _dir) = plane().await;
    let body = with(largest_create(), &format!("{JWT}/allowedScopes"), vec![json!(1); 100_000].into());
    let answer = plane.call("PUT", "/runtimes/", &body).await;
    assert_eq!((answer.status, answer.body["fieldList"].as_array().map(Vec::len)), (400, Some(100)));
}

/// What passes the model's tables, and could not be acted on when a token comes.
fn issuers() -> Vec<Case> {
    let (url, url_at) = (format!("{JWT}/discoveryUrl"), "authorizerConfiguration.customJWTAuthorizer.discoveryUrl");
    let known = "/.well-known/openid-configuration";
    let of = |start: &str| json!(format!("{start}{known}"));
    let clients_at = "authorizerConfiguration.customJWTAuthorizer.allowedClients";
    let workloads = "a runtime cannot tell workloads apart, and would let all of them in: omit allowedWorkloadConfiguration, which is \
                     for gateways";
    let workloads_at = "authorizerConfiguration.customJWTAuthorizer.allowedWorkloadConfiguration";
    let [some, none] = [json!({"workloadIdentities": ["workload"]}), json!({})];
    vec![
        sentence(&url, of("ftp://idp.example"), url_at, "the issuer is asked over HTTP: use an https URL"),
        sentence(
            &url,
            of("idp.example"),
            url_at,
            "not a URL: it begins with https://, and other characters than ASCII are encoded",
        ),
        sentence(
            &url,
            of("https://me:secret@idp.example"),
            url_at,
            "the URL holds a user name or password, which would be shown: omit it",
        ),
        sentence(&url, of("https://idp.example:0"), url_at, "the URL's port is not a number from 1 to 65535"),
        sentence(
            &url,
            of(&format!("https://idp.example/{}", "x".repeat(2048))),
            url_at,
            "a discovery URL has at most 2048 bytes",
        ),
        sentence(
            &format!("{JWT}/allowedClients"),
            json!([""]),
            clients_at,
            "names nothing: no token could be accepted",
        ),
        sentence(&format!("{JWT}/allowedWorkloadConfiguration"), some, workloads_at, workloads),
        sentence(&format!("{JWT}/allowedWorkloadConfiguration"), none, workloads_at, workloads),
    ]
}

fn claims() -> Vec<Case> {
    let at = "authorizerConfiguration.customJWTAuthorizer";
    let checks = "customJWTAuthorizer needs at least one of allowedAudience, allowedClients, allowedScopes, customClaims: else it \
                  would accept any token";
    let url = json!({"discoveryUrl": "https://idp.example/.well-known/openid-configuration"});
    let claim = |n: usize, member: &str| format!("{JWT}/customClaims/{n}/authorizingClaimMatchValue/{member}");
    let value_at =
        "authorizerConfiguration.customJWTAuthorizer.customClaims[0].authorizingClaimMatchValue.claimMatchValue";
    let operator_at =
        "authorizerConfiguration.customJWTAuthorizer.customClaims[0].authorizingClaimMatchValue.claimMatchOperator";
    let string_at =
        "authorizerConfiguration.customJWTAuthorizer.customClaims[1].authorizingClaimMatchValue.claimMatchOperator";
    let one = json!({"matchValueString": "a"});
    vec![
        sentence(JWT, url, at, checks),
        sentence(
            &claim(0, "claimMatchValue"),
            one,
            value_at,
            "CONTAINS_ANY compares with several values: use matchValueStringList",
        ),
        sentence(
            &claim(0, "claimMatchOperator"),
            json!("CONTAINS"),
            value_at,
            "CONTAINS compares with one value: use matchValueString",
        ),
        sentence(
            &claim(0, "claimMatchOperator"),
            json!("EQUALS"),
            operator_at,
            "a claim of type STRING_ARRAY is compared with CONTAINS or CONTAINS_ANY",
        ),
        sentence(
            &claim(1, "claimMatchOperator"),
            json!("CONTAINS"),
            string_at,
            "a claim of type STRING is compared with EQUALS only",
        ),
    ]
}

fn headers() -> Vec<Case> {
    let restricted = |name: &str| format!("the header {name} is restricted and cannot be listed");
    let amz = "headers that begin with x-amz- cannot be listed";
    let amzn = "of the headers that begin with X-Amzn-, only X-Amzn-Bedrock-AgentCore-Runtime-Custom-* can be listed";
    let twice = "this header is listed twice; upper and lower case make no difference";
    let mut cases = vec![Case {
        at: Some("requestHeaderConfiguration.requestHeaderAllowlist[1]"),
        ..sentence(HEADERS, json!(["X-Tenant", "x-tenant"]), HEADER_AT, twice)
    }];
    for (name, why) in [
        ("X-Amz-Security-Token", amz),
        ("x-amz-bedrock-agentcore-identity-wat", amz),
        ("X-Amzn-Trace-Id", amzn),
        ("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", amzn),
    ] {
        cases.push(sentence(HEADERS, json!([name]), HEADER_AT, why));
    }
    for name in
        ["Cookie", "Host", "Content-Length", "Transfer-Encoding", "Origin", "Sec-WebSocket-Key", "X-Forwarded-For"]
    {
        cases.push(sentence(HEADERS, json!([name]), HEADER_AT, &restricted(&name.to_ascii_lowercase())));
    }
    cases
}

fn filesystems() -> Vec<Case> {
    let storage = |path: &str| json!({"sessionStorage": {"mountPath": path}});
    let at = "filesystemConfigurations[3]";
    let volume = json!({"capacityProviderVolume": {"volumeName": "data", "mountPath": "/mnt/volume"}});
    let efs = "arn:aws:elasticfilesystem:us-west-2:000000000000:access-point/fsap-01234567";
    let same_path = json!({"efsAccessPoint": {"accessPointArn": efs, "mountPath": "/mnt/files"}});
    let mount_at = "filesystemConfigurations[0].sessionStorage.mountPath";
    vec![
        sentence(
            "/filesystemConfigurations/3",
            storage("/mnt/more"),
            at,
            "an agent runtime can have one sessionStorage only",
        ),
        sentence(
            "/filesystemConfigurations/3",
            volume,
            at,
            "capacityProviderVolume is a volume of a capacity provider, of which Innkeep has none",
        ),
        sentence(
            "/filesystemConfigurations/3",
            same_path,
            "filesystemConfigurations[3].efsAccessPoint.mountPath",
            "something else is mounted at /mnt/files already",
        ),
        sentence(
            "/filesystemConfigurations/0",
            storage("/mnt/.."),
            mount_at,
            "mountPath must name a directory below /mnt",
        ),
    ]
}

fn others() -> Vec<Case> {
    let idle = "idleRuntimeSessionTimeout must be less than or equal to maxLifetime";
    let idle_at = "lifecycleConfiguration.idleRuntimeSessionTimeout";
    let reserved = "port 8443 is reserved and cannot be the agent's";
    let variable = "an environment variable cannot have `=` in its name, or a NUL in name or value";
    let provider = "arn:aws:bedrock-agentcore:us-west-2:000000000000:capacity-provider/machines-0123456789";
    vec![
        sentence("/lifecycleConfiguration/idleRuntimeSessionTimeout", json!(62), idle_at, idle),
        sentence("/lifecycleConfiguration", json!({"idleRuntimeSessionTimeout": 28_801}), idle_at, idle),
        sentence("/protocolConfiguration/port", json!(8443), "protocolConfiguration.port", reserved),
        sentence(
            "/hooksConfiguration/build/warmup/action/httpPost/port",
            json!(8443),
            "hooksConfiguration.build.warmup.action.httpPost.port",
            reserved,
        ),
        sentence("/allowedPorts/0/port", json!(8443), "allowedPorts[0].port", reserved),
        sentence("/allowedPorts/1/portRange/from", json!(8443), "allowedPorts[1].portRange.from", reserved),
        sentence(
            "/allowedPorts/1/portRange",
            json!({"from": 8002, "to": 8001}),
            "allowedPorts[1].portRange",
            "from must be less than or equal to to",
        ),
        sentence("/environmentVariables/A=B", json!("v"), "environmentVariables.A=B", variable),
        sentence("/environmentVariables/A", json!("v\0"), "environmentVariables.A", variable),
        // The largest bodies are of platform version V2.
        sentence(
            "/environmentVariables",
            json!({"K": "v".repeat(1536)}),
            "environmentVariables",
            "environmentVariables must not exceed 1536 bytes in total, and have 1537",
        ),
        sentence(
            "/capacityProviderConfiguration",
            json!({"capacityProviderArn": provider}),
            "capacityProviderConfiguration",
            "Innkeep has no capacity providers whose machines could run this: omit capacityProviderConfiguration",
        ),
    ]
}
