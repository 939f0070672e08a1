//! Every rule on every member.

use http::Request;
use serde_json::{Value, json};

use crate::plane::{plane, request, request_with};

const CODE: &str = "agentRuntimeArtifact.codeConfiguration";
const NOT_NULL: &str = "Member must not be null";

fn text(len: usize) -> Value {
    json!("x".repeat(len))
}

fn map(entries: usize) -> Value {
    (0..entries).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
}

fn at_least(bound: usize) -> String {
    format!("Member must have length greater than or equal to {bound}")
}

fn at_most(bound: usize) -> String {
    format!("Member must have length less than or equal to {bound}")
}

fn value_at_least(bound: u32) -> String {
    format!("Member must have value greater than or equal to {bound}")
}

fn value_at_most(bound: u32) -> String {
    format!("Member must have value less than or equal to {bound}")
}

fn pattern(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn unsupported(what: &str) -> String {
    format!("{what} is not supported by this version of Innkeep")
}

/// Path, value, the rule it breaks; the rule is reported at the path unless a fourth member names another.
fn rules() -> Vec<(String, Value, String, Option<&'static str>)> {
    let name = pattern("[a-zA-Z][a-zA-Z0-9_]{0,47}");
    let role = pattern("arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+");
    let bucket = pattern("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]");
    let agent_path = pattern("/[A-Za-z0-9\\-._~/%]*");
    let token = pattern("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,256}");
    let union = "Member must have exactly one of containerConfiguration and codeConfiguration".to_owned();
    let runtimes = "PYTHON_3_10, PYTHON_3_11, PYTHON_3_12, PYTHON_3_13, PYTHON_3_14, NODE_22, PROVIDED";
    let reserved = "port 8443 is reserved and cannot be the agent's".to_owned();
    let variable = "an environment variable cannot have `=` in its name, or a NUL in name or value".to_owned();
    let idle = "idleRuntimeSessionTimeout must be less than or equal to maxLifetime".to_owned();
    let idle_at = Some("lifecycleConfiguration.idleRuntimeSessionTimeout");
    let big = json!({"K": "v".repeat(4096)});
    let minimum_memory = "resourceConfigurations[0].minimumMemoryInMiB";
    let tag = pattern("[a-zA-Z0-9\\s._:/=+@-]*");
    let mut rules = vec![
        ("agentRuntimeName", Value::Null, NOT_NULL.to_owned(), None),
        ("agentRuntimeName", json!("my-agent"), name.clone(), None),
        ("agentRuntimeName", text(49), name, None),
        ("roleArn", Value::Null, NOT_NULL.to_owned(), None),
        ("roleArn", json!("arn:aws:iam::123:role/x"), role.clone(), None),
        ("roleArn", json!("arn:aws:iam::000000000000:user/x"), role.clone(), None),
        ("roleArn", json!("arn:aws:iam::000000000000:role/"), role, None),
        ("roleArn", json!(format!("arn:aws:iam::000000000000:role/{}", "x".repeat(2048))), at_most(2048), None),
        ("description", text(0), at_least(1), None),
        ("description", text(4097), at_most(4096), None),
        ("clientToken", text(32), at_least(33), None),
        ("clientToken", text(257), at_most(256), None),
        ("clientToken", json!("-".repeat(33)), token, None),
        ("agentRuntimeArtifact", Value::Null, NOT_NULL.to_owned(), None),
        ("agentRuntimeArtifact", json!({}), union.clone(), None),
        (
            "agentRuntimeArtifact",
            json!({"codeConfiguration": {}, "containerConfiguration": {"containerUri": "x"}}),
            union,
            None,
        ),
        (
            "agentRuntimeArtifact",
            json!({"containerConfiguration": {"containerUri": "public.ecr.aws/x/y:z"}}),
            unsupported("containerConfiguration"),
            Some("agentRuntimeArtifact.containerConfiguration"),
        ),
        ("networkConfiguration", json!({}), NOT_NULL.to_owned(), Some("networkConfiguration.networkMode")),
        (
            "networkConfiguration.networkMode",
            json!("PRIVATE"),
            "Member must satisfy enum value set: [PUBLIC, VPC]".to_owned(),
            None,
        ),
        ("networkConfiguration.networkMode", json!("VPC"), unsupported("networkMode VPC"), None),
        (
            "networkConfiguration",
            json!({"networkMode": "PUBLIC", "networkModeConfig": {"subnets": []}}),
            unsupported("networkModeConfig"),
            Some("networkConfiguration.networkModeConfig"),
        ),
        ("protocolConfiguration", json!({}), NOT_NULL.to_owned(), Some("protocolConfiguration.serverProtocol")),
        (
            "protocolConfiguration.serverProtocol",
            json!("http"),
            "Member must satisfy enum value set: [MCP, HTTP, A2A, AGUI]".to_owned(),
            None,
        ),
        ("protocolConfiguration.serverProtocol", json!("MCP"), unsupported("serverProtocol MCP"), None),
        (
            "protocolConfiguration",
            json!({"serverProtocol": "HTTP", "port": 7999}),
            value_at_least(8000),
            Some("protocolConfiguration.port"),
        ),
        (
            "protocolConfiguration",
            json!({"serverProtocol": "HTTP", "port": 12001}),
            value_at_most(12000),
            Some("protocolConfiguration.port"),
        ),
        (
            "protocolConfiguration",
            json!({"serverProtocol": "HTTP", "port": 8443}),
            reserved,
            Some("protocolConfiguration.port"),
        ),
        (
            "protocolConfiguration",
            json!({"serverProtocol": "HTTP", "path": "run"}),
            agent_path.clone(),
            Some("protocolConfiguration.path"),
        ),
        (
            "protocolConfiguration",
            json!({"serverProtocol": "HTTP", "path": "/a?b"}),
            agent_path,
            Some("protocolConfiguration.path"),
        ),
        (
            "protocolConfiguration",
            json!({"serverProtocol": "HTTP", "path": format!("/{}", "x".repeat(2048))}),
            at_most(2048),
            Some("protocolConfiguration.path"),
        ),
        ("lifecycleConfiguration.maxLifetime", json!(59), value_at_least(60), None),
        ("lifecycleConfiguration.maxLifetime", json!(1_209_601), value_at_most(1_209_600), None),
        ("lifecycleConfiguration.maxLifetime", json!(i64::MAX), value_at_most(1_209_600), None),
        ("lifecycleConfiguration.idleRuntimeSessionTimeout", json!(-1), value_at_least(60), None),
        ("lifecycleConfiguration.idleRuntimeSessionTimeout", json!(1_209_601), value_at_most(1_209_600), None),
        ("lifecycleConfiguration", json!({"idleRuntimeSessionTimeout": 61, "maxLifetime": 60}), idle.clone(), idle_at),
        ("lifecycleConfiguration", json!({"idleRuntimeSessionTimeout": 28_801}), idle, idle_at),
        ("environmentVariables", map(51), at_most(50), None),
        (
            "environmentVariables",
            json!({("A".repeat(101)): "v"}),
            at_most(100),
            Some(&*format!("environmentVariables.{}", "A".repeat(101)).leak()),
        ),
        ("environmentVariables", json!({"": "v"}), at_least(1), Some("environmentVariables.")),
        ("environmentVariables", json!({"A=B": "v"}), variable.clone(), Some("environmentVariables.A=B")),
        ("environmentVariables", json!({"A": "v\0"}), variable, Some("environmentVariables.A")),
        (
            "environmentVariables",
            big,
            "environmentVariables must not exceed 4096 bytes in total, and have 4097".to_owned(),
            None,
        ),
        ("tags", map(51), at_most(50), None),
        ("tags", json!({"": "v"}), at_least(1), Some("tags.")),
        ("tags", json!({("k".repeat(129)): "v"}), at_most(128), Some(&*format!("tags.{}", "k".repeat(129)).leak())),
        ("tags", json!({"k": "v".repeat(257)}), at_most(256), Some("tags.k")),
        ("tags", json!({"k": "<v>"}), tag, Some("tags.k")),
        ("resourceConfigurations", json!([{}]), NOT_NULL.to_owned(), Some(minimum_memory)),
        ("resourceConfigurations", json!([{"minimumMemoryInMiB": 0}]), value_at_least(16), Some(minimum_memory)),
        ("resourceConfigurations", json!([{"minimumMemoryInMiB": -1}]), value_at_least(16), Some(minimum_memory)),
        (
            "resourceConfigurations",
            json!([{"minimumMemoryInMiB": 16_777_217}]),
            value_at_most(16_777_216),
            Some(minimum_memory),
        ),
        ("resourceConfigurations", json!([{"minimumMemoryInMiB": 512}, {"minimumMemoryInMiB": 512}]), at_most(1), None),
        ("platformVersion", json!("V2"), unsupported("platformVersion other than V1"), None),
        ("metadataConfiguration.requireMMDSV2", json!(false), unsupported("requireMMDSV2 false"), None),
        ("metadataConfiguration", json!({}), NOT_NULL.to_owned(), Some("metadataConfiguration.requireMMDSV2")),
    ]
    .into_iter()
    .map(|(path, value, rule, at)| (path.to_owned(), value, rule, at))
    .collect::<Vec<_>>();
    for (member, value, rule) in [
        ("code", Value::Null, NOT_NULL.to_owned()),
        ("code", json!({}), "Member must have exactly one of s3".to_owned()),
        ("code.s3.bucket", Value::Null, NOT_NULL.to_owned()),
        ("code.s3.bucket", json!("ab"), bucket.clone()),
        ("code.s3.bucket", json!("Innkeep"), bucket.clone()),
        ("code.s3.bucket", json!("innkeep-"), bucket.clone()),
        ("code.s3.bucket", text(64), bucket),
        ("code.s3.prefix", Value::Null, NOT_NULL.to_owned()),
        ("code.s3.prefix", text(0), at_least(1)),
        ("code.s3.prefix", text(1025), at_most(1024)),
        ("code.s3.versionId", text(2), at_least(3)),
        ("code.s3.versionId", text(1025), at_most(1024)),
        ("runtime", Value::Null, NOT_NULL.to_owned()),
        ("runtime", json!("PYTHON_3_9"), format!("Member must satisfy enum value set: [{runtimes}]")),
        ("entryPoint", Value::Null, NOT_NULL.to_owned()),
        ("entryPoint", json!([]), at_least(1)),
        ("entryPoint", json!(["a", "b", "c"]), at_most(2)),
    ] {
        rules.push((format!("{CODE}.{member}"), value, rule, None));
    }
    let item = Some("agentRuntimeArtifact.codeConfiguration.entryPoint[1]");
    rules.push((format!("{CODE}.entryPoint"), json!(["a", ""]), at_least(1), item));
    rules.push((format!("{CODE}.entryPoint"), json!(["a", "x".repeat(129)]), at_most(128), item));
    for member in
        ["authorizerConfiguration", "requestHeaderConfiguration", "hooksConfiguration", "capacityProviderConfiguration"]
    {
        rules.push((member.to_owned(), json!({"any": "thing"}), unsupported(member), None));
    }
    for member in ["filesystemConfigurations", "allowedPorts"] {
        rules.push((member.to_owned(), json!([{"any": "thing"}]), unsupported(member), None));
    }
    rules
}

#[tokio::test]
async fn each_rule_is_reported_at_its_member() {
    let (plane, _dir) = plane().await;
    for (path, value, rule, at) in rules() {
        let at = at.unwrap_or(&path);
        let answer = plane.call("PUT", "/runtimes/", &request_with(&path, value.clone())).await;
        let case = format!("{path} = {value:.60}: {answer:?}");
        assert_eq!((answer.status, answer.exception.as_deref()), (400, Some("ValidationException")), "{case}");
        assert_eq!(answer.body["reason"], "FieldValidationFailed", "{case}");
        assert_eq!(answer.body["fieldList"], json!([{"name": at, "message": rule}]), "{case}");
        let message = if rule.starts_with("Member must") {
            format!("1 validation error detected: Value at '{at}' failed to satisfy constraint: {rule}")
        } else {
            rule
        };
        assert_eq!(answer.body["message"], message, "{case}");
    }
    assert_eq!(plane.call("POST", "/runtimes/", &Value::Null).await.is(200)["agentRuntimes"], json!([]));
}

#[tokio::test]
async fn all_broken_rules_are_reported_at_once() {
    let (plane, _dir) = plane().await;
    let body = json!({
        "agentRuntimeName": "my-agent",
        "lifecycleConfiguration": {"maxLifetime": 1},
        "hooksConfiguration": {},
    });
    let answer = plane.call("PUT", "/runtimes/", &body).await;
    let message = "5 validation errors detected: \
        Value at 'agentRuntimeName' failed to satisfy constraint: \
        Member must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9_]{0,47}; \
        Value at 'agentRuntimeArtifact' failed to satisfy constraint: Member must not be null; \
        Value at 'roleArn' failed to satisfy constraint: Member must not be null; \
        Value at 'lifecycleConfiguration.maxLifetime' failed to satisfy constraint: \
        Member must have value greater than or equal to 60; \
        hooksConfiguration is not supported by this version of Innkeep";
    assert_eq!(answer.body["fieldList"].as_array().unwrap().len(), 5);
    answer.refuses(400, "ValidationException", message);
}

#[tokio::test]
async fn null_and_empty_members_ask_for_nothing() {
    let (plane, _dir) = plane().await;
    let mut body = request();
    body["authorizerConfiguration"] = Value::Null;
    body["filesystemConfigurations"] = json!([]);
    body["resourceConfigurations"] = json!([]);
    body["environmentVariables"] = json!({});
    body["tags"] = json!({});
    plane.call("PUT", "/runtimes/", &body).await.is(202);
}

#[tokio::test]
async fn a_member_of_the_wrong_type_is_named() {
    let (plane, _dir) = plane().await;
    for (path, value) in [
        ("roleArn", json!(1)),
        ("agentRuntimeArtifact", json!("main.py")),
        ("lifecycleConfiguration.maxLifetime", json!("900")),
        ("lifecycleConfiguration.maxLifetime", json!(900.5)),
        ("resourceConfigurations", json!({"minimumMemoryInMiB": 512})),
        ("environmentVariables.DEBUG", json!(true)),
        ("agentRuntimeArtifact.codeConfiguration.entryPoint", json!("main.py")),
        ("agentRuntimeArtifact", json!([null, null])),
        ("agentRuntimeArtifact.codeConfiguration.code.s3", json!(["innkeep", "abc", null])),
        ("lifecycleConfiguration", json!([900, 900])),
    ] {
        let answer = plane.call("PUT", "/runtimes/", &request_with(path, value)).await;
        let (reason, field) = (&answer.body["reason"], &answer.body["fieldList"][0]["name"]);
        assert_eq!((answer.status, reason, field), (400, &json!("FieldValidationFailed"), &json!(path)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_cannot_be_parsed() {
    let (plane, _dir) = plane().await;
    let bodies = ["", "{", "null", "7", "\"text\"", "{} {}", "{\"roleArn\": \"\u{0}\"}"].map(str::to_owned);
    // One of these has as many values as the request has members.
    let arrays = (0..40).map(|n| json!(vec![Value::Null; n]).to_string());
    for body in bodies.into_iter().chain(arrays) {
        let request = Request::put("/runtimes/").body(body.clone().into()).unwrap();
        let answer = plane.send(request).await;
        assert_eq!((answer.status, &answer.body["reason"]), (400, &json!("CannotParse")), "{body}");
    }
}

#[tokio::test]
async fn path_and_query_members_are_checked() {
    let (plane, _dir) = plane().await;
    let id = "Member must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10}";
    let arn = "arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A000000000000%3Aruntime%2Fhello-0123456789";
    let not_an_arn = "Member must be the agent runtime's id, not an ARN: hello-0123456789";
    let good = "/runtimes/hello-0123456789";
    for (method, target, at, message) in [
        ("GET", "/runtimes/hello/".to_owned(), "agentRuntimeId", id),
        ("PUT", "/runtimes/hello/".to_owned(), "agentRuntimeId", id),
        ("DELETE", "/runtimes/hello/".to_owned(), "agentRuntimeId", id),
        ("POST", "/runtimes/hello/versions/".to_owned(), "agentRuntimeId", id),
        ("POST", "/runtimes/hello/runtime-endpoints/".to_owned(), "agentRuntimeId", id),
        ("GET", "/runtimes/hello/runtime-endpoints/DEFAULT/".to_owned(), "agentRuntimeId", id),
        ("GET", format!("/runtimes/{arn}/"), "agentRuntimeId", not_an_arn),
        ("GET", format!("/runtimes/{arn}%2Fruntime-endpoint%2FDEFAULT/"), "agentRuntimeId", not_an_arn),
        (
            "GET",
            format!("{good}/?version=0"),
            "agentRuntimeVersion",
            "Member must satisfy regular expression pattern: [1-9][0-9]{0,4}",
        ),
        (
            "GET",
            format!("{good}/runtime-endpoints/a-b/"),
            "endpointName",
            "Member must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9_]{0,47}",
        ),
        (
            "DELETE",
            format!("{good}/?clientToken=short"),
            "clientToken",
            "Member must have length greater than or equal to 33",
        ),
    ] {
        let body = if method == "PUT" { request() } else { Value::Null };
        let answer = plane.call(method, &target, &body).await;
        let fields = json!([{"name": at, "message": message}]);
        assert_eq!((answer.status, &answer.body["fieldList"]), (400, &fields), "{method} {target}");
    }
}

#[tokio::test]
async fn other_operations_are_known_to_be_missing() {
    let (plane, _dir) = plane().await;
    let answer = plane.call("PUT", "/runtimes/hello-0123456789/runtime-endpoints/", &json!({"name": "prod"})).await;
    let message = "this version of Innkeep does not have the operation \
        PUT /runtimes/hello-0123456789/runtime-endpoints/ yet";
    answer.refuses(404, "UnknownOperationException", message);
}
