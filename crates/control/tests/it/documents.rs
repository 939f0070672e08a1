//! Bodies of Create and Update with everything in them.

use serde_json::{Map, Value, json};

/// Every member of a configuration that Create and Update accept, each with something in it.
pub(crate) fn configuration() -> Map<String, Value> {
    let vpc = json!({
        "vpcIdentifier": "vpc-01234567",
        "subnetIds": ["subnet-01234567"],
        "endpointIpAddressType": "IPV6",
        "securityGroupIds": ["sg-01234567"],
        "tags": {"team": "a b"},
        "routingDomain": "idp.internal",
    });
    let lattice = json!({"resourceConfigurationIdentifier": "rcfg-0123456789abcdefg"});
    let configuration = json!({
        "agentRuntimeArtifact": {"codeConfiguration": {
            "code": {"s3": {"bucket": "innkeep", "prefix": "abc", "versionId": "null"}},
            "runtime": "PROVIDED",
            "entryPoint": ["opentelemetry-instrument", "main.py"],
        }},
        "roleArn": "arn:aws-cn:iam::000000000000:role/path/agent",
        "description": "says hello",
        "networkConfiguration": {"networkMode": "VPC", "networkModeConfig": {
            "securityGroups": ["sg-01234567"],
            "subnets": ["subnet-01234567", "subnet-0123456789abcdefg"],
        }},
        "authorizerConfiguration": {"customJWTAuthorizer": {
            "discoveryUrl": "https://idp.example/realm/.well-known/openid-configuration",
            "allowedAudience": ["agents"],
            "allowedClients": ["client"],
            "allowedScopes": ["agents/invoke"],
            "advertisedScopeMapping": {"agents/invoke": "invoke"},
            "customClaims": [
                {
                    "inboundTokenClaimName": "cognito:groups",
                    "inboundTokenClaimValueType": "STRING_ARRAY",
                    "authorizingClaimMatchValue": {
                        "claimMatchValue": {"matchValueStringList": ["a", "b"]},
                        "claimMatchOperator": "CONTAINS_ANY",
                    },
                },
                {
                    "inboundTokenClaimName": "tenant",
                    "inboundTokenClaimValueType": "STRING",
                    "authorizingClaimMatchValue": {
                        "claimMatchValue": {"matchValueString": "a"},
                        "claimMatchOperator": "EQUALS",
                    },
                },
            ],
            "privateEndpoint": {"managedVpcResource": vpc},
            "privateEndpointOverrides": [
                {"domain": "idp.example", "privateEndpoint": {"selfManagedLatticeResource": lattice}},
            ],
            "certificateConfigurations": [
                {"s3": {"uri": "s3://bucket/ca.pem", "bucketOwnerAccountId": "000000000000"}},
            ],
        }},
        "requestHeaderConfiguration": {"requestHeaderAllowlist":
            ["Authorization", "X-Tenant", "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team"]},
        "protocolConfiguration": {"serverProtocol": "A2A", "port": 9001, "path": "/v1/run"},
        "lifecycleConfiguration": {"idleRuntimeSessionTimeout": 60, "maxLifetime": 61},
        "hooksConfiguration": {"build": {"warmup": {"action": {"httpPost": {"path": "/warm", "port": 9002}}}}},
        "environmentVariables": {"A": "1", "B": ""},
        "filesystemConfigurations": [
            {"sessionStorage": {"mountPath": "/mnt/data"}},
            {"s3FilesAccessPoint": {
                "accessPointArn": format!(
                    "arn:aws:s3files:us-west-2:000000000000:file-system/fs-{0}/access-point/fsap-{0}",
                    "0123456789abcdef0"
                ),
                "mountPath": "/mnt/files/",
            }},
            {"efsAccessPoint": {
                "accessPointArn": "arn:aws:elasticfilesystem:us-west-2:000000000000:access-point/fsap-01234567",
                "mountPath": "/mnt/efs",
            }},
        ],
        "platformVersion": "V2",
        "allowedPorts": [{"port": 8000}, {"portRange": {"from": 8001, "to": 12_000}}],
        "resourceConfigurations": [{"minimumMemoryInMiB": 512}],
    });
    let Value::Object(configuration) = configuration else { unreachable!() };
    configuration
}

/// The largest Create.
pub(crate) fn largest_create() -> Value {
    let mut body = configuration();
    body.insert("agentRuntimeName".to_owned(), json!("hello"));
    body.insert("clientToken".to_owned(), json!("0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f40"));
    body.insert("tags".to_owned(), json!({"team": "a b"}));
    Value::Object(body)
}

/// The largest Update.
pub(crate) fn largest_update() -> Value {
    let mut body = configuration();
    body.insert("clientToken".to_owned(), json!("0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f41"));
    body.insert("metadataConfiguration".to_owned(), json!({"requireMMDSV2": false}));
    Value::Object(body)
}

/// The body with the value at the pointer set, its last step made if it is not there; null removes it.
pub(crate) fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let mut place = &mut body;
    for step in parent.split('/').skip(1) {
        place = match step.parse::<usize>() {
            Ok(idx) => &mut place[idx],
            Err(_) => &mut place[step],
        };
    }
    match (place, member.parse::<usize>()) {
        (Value::Array(items), Ok(idx)) if idx == items.len() => items.push(value),
        (Value::Array(items), Ok(idx)) => items[idx] = value,
        (place, _) if value.is_null() => drop(place.as_object_mut().unwrap().remove(member)),
        (place, _) => place[member] = value,
    }
    body
}
