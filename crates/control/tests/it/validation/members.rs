//! What each member must be by itself. Source of the rules: service model.

use serde_json::{Value, json};

use super::{Case, case, text};

const NOT_NULL: &str = "not be null";
const CODE: &str = "/agentRuntimeArtifact/codeConfiguration";
const VPC: &str = "/networkConfiguration/networkModeConfig";
const JWT: &str = "/authorizerConfiguration/customJWTAuthorizer";

fn at_least(bound: usize) -> String {
    format!("have length greater than or equal to {bound}")
}

fn at_most(bound: usize) -> String {
    format!("have length less than or equal to {bound}")
}

fn from(bound: i64) -> String {
    format!("have value greater than or equal to {bound}")
}

fn to(bound: i64) -> String {
    format!("have value less than or equal to {bound}")
}

fn one_of(words: &str) -> String {
    format!("satisfy enum value set: [{words}]")
}

fn exactly_one(members: &str) -> String {
    format!("have exactly one of {members}")
}

fn pattern(pattern: &str) -> String {
    format!("satisfy regular expression pattern: {pattern}")
}

fn map(entries: usize) -> Value {
    (0..entries).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
}

fn list(items: usize, item: &Value) -> Value {
    vec![item.clone(); items].into()
}

/// Returns the cases of members that Create and Update share.
pub(super) fn common() -> Vec<Case> {
    [artifact(), network(), authorizer(), workloads(), claims(), private_endpoint(), others(), filesystems()]
        .into_iter()
        .flatten()
        .collect()
}

pub(super) fn of_create() -> Vec<Case> {
    let (name, tag) = ("/agentRuntimeName", pattern(r"[a-zA-Z0-9\s._:/=+@-]*"));
    let name_pattern = || pattern("[a-zA-Z][a-zA-Z0-9_]{0,47}");
    vec![
        case(name, Value::Null, NOT_NULL),
        case(name, "", name_pattern()),
        case(name, "my-agent", name_pattern()),
        case(name, "1st", name_pattern()),
        case(name, text(49), name_pattern()),
        case("/tags", map(51), at_most(50)),
        case("/tags/", "v", at_least(1)),
        case(&format!("/tags/{}", text(129)), "v", at_most(128)),
        case("/tags/k", text(257), at_most(256)),
        case("/tags/k", "<v>", tag),
    ]
}

pub(super) fn of_update() -> Vec<Case> {
    vec![
        case("/metadataConfiguration/requireMMDSV2", Value::Null, NOT_NULL),
        case("/metadataConfiguration/requireMMDSV2", "true", "have its type in the model (a boolean)"),
    ]
}

fn artifact() -> Vec<Case> {
    let union = || exactly_one("containerConfiguration and codeConfiguration");
    let container = |uri: Value| json!({"containerConfiguration": {"containerUri": uri}});
    let at = "agentRuntimeArtifact.containerConfiguration.containerUri";
    let reference = "be a reference of an image, [registry/]repository[:tag][@digest]";
    let in_container =
        |uri: Value, rule: String| Case { at: Some(at), ..case("/agentRuntimeArtifact", container(uri), rule) };
    let mut cases = vec![
        case("/agentRuntimeArtifact", Value::Null, NOT_NULL),
        case("/agentRuntimeArtifact", json!({}), union()),
        Case {
            at: Some("agentRuntimeArtifact"),
            ..case("/agentRuntimeArtifact/containerConfiguration", json!({"containerUri": "x"}), union())
        },
        in_container(Value::Null, NOT_NULL.to_owned()),
        in_container(json!(""), at_least(1)),
        in_container(text(1025).into(), at_most(1024)),
        in_container(json!("https://ghcr.io/a/b"), format!("{reference}; leave out the scheme")),
    ];
    let bucket = || pattern("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]");
    let runtimes = "PYTHON_3_10, PYTHON_3_11, PYTHON_3_12, PYTHON_3_13, PYTHON_3_14, NODE_22, PROVIDED";
    for (member, value, rule) in [
        ("code", Value::Null, NOT_NULL.to_owned()),
        ("code", json!({}), exactly_one("s3")),
        ("code/s3/bucket", Value::Null, NOT_NULL.to_owned()),
        ("code/s3/bucket", json!("ab"), bucket()),
        ("code/s3/bucket", json!("Innkeep"), bucket()),
        ("code/s3/bucket", json!("innkeep-"), bucket()),
        ("code/s3/bucket", text(64).into(), bucket()),
        ("code/s3/prefix", Value::Null, NOT_NULL.to_owned()),
        ("code/s3/prefix", json!(""), at_least(1)),
        ("code/s3/prefix", text(1025).into(), at_most(1024)),
        ("code/s3/versionId", text(2).into(), at_least(3)),
        ("code/s3/versionId", text(1025).into(), at_most(1024)),
        ("runtime", Value::Null, NOT_NULL.to_owned()),
        ("runtime", json!("PYTHON_3_9"), one_of(runtimes)),
        ("entryPoint", Value::Null, NOT_NULL.to_owned()),
        ("entryPoint", json!([]), at_least(1)),
        ("entryPoint", json!(["a", "b", "c"]), at_most(2)),
        ("entryPoint/0", json!(""), at_least(1)),
        ("entryPoint/1", text(129).into(), at_most(128)),
    ] {
        cases.push(case(&format!("{CODE}/{member}"), value, rule));
    }
    cases
}

fn network() -> Vec<Case> {
    let (groups, subnets) = (format!("{VPC}/securityGroups"), format!("{VPC}/subnets"));
    vec![
        case("/networkConfiguration/networkMode", Value::Null, NOT_NULL),
        case("/networkConfiguration/networkMode", "PRIVATE", one_of("PUBLIC, VPC")),
        case(&groups, Value::Null, NOT_NULL),
        case(&groups, json!([]), at_least(1)),
        case(&groups, list(17, &json!("sg-01234567")), at_most(16)),
        case(&format!("{groups}/0"), "sg-0123456", pattern("sg-[0-9a-zA-Z]{8,17}")),
        case(&subnets, Value::Null, NOT_NULL),
        case(&subnets, json!([]), at_least(1)),
        case(&subnets, list(17, &json!("subnet-01234567")), at_most(16)),
        case(&format!("{subnets}/0"), "subnet_01234567", pattern("subnet-[0-9a-zA-Z]{8,17}")),
        case(&format!("{VPC}/requireServiceS3Endpoint"), "yes", "have its type in the model (a boolean)"),
    ]
}

fn authorizer() -> Vec<Case> {
    let url = pattern(r"[^\s?#]+/\.well-known/(openid-configuration|oauth-authorization-server)(/[^\s?#]+)?");
    let scope = || pattern(r"[\x21\x23-\x5B\x5D-\x7E]+");
    let string = "have its type in the model (a string)";
    let mut cases = vec![case("/authorizerConfiguration", json!({}), exactly_one("customJWTAuthorizer"))];
    for (member, value, rule) in [
        ("discoveryUrl", Value::Null, NOT_NULL.to_owned()),
        ("discoveryUrl", json!("https://idp.example/realm"), url.clone()),
        ("discoveryUrl", json!("https://idp.example/.well-known/openid-configuration?x=1"), url),
        ("allowedAudience", json!([]), at_least(1)),
        ("allowedAudience", list(1001, &json!("a")), at_most(1000)),
        ("allowedAudience/0", json!(1), string.to_owned()),
        ("allowedClients", json!([]), at_least(1)),
        ("allowedClients", list(1001, &json!("a")), at_most(1000)),
        ("allowedClients/0", json!({}), string.to_owned()),
        ("allowedScopes", json!([]), at_least(1)),
        ("allowedScopes", list(1001, &json!("a")), at_most(1000)),
        ("allowedScopes/0", json!(""), at_least(1)),
        ("allowedScopes/0", text(256).into(), at_most(255)),
        ("allowedScopes/0", json!("a b"), scope()),
        ("advertisedScopeMapping", json!({}), at_least(1)),
        ("advertisedScopeMapping", map(51), at_most(50)),
        ("advertisedScopeMapping/a", json!("\""), scope()),
        ("advertisedScopeMapping/a b", json!("a"), scope()),
    ] {
        cases.push(case(&format!("{JWT}/{member}"), value, rule));
    }
    cases
}

/// Refused as a whole, so that no body that is accepted has it; its own rules are told first.
fn workloads() -> Vec<Case> {
    let environments = |value: Value, rule: String| {
        let at = "authorizerConfiguration.customJWTAuthorizer.allowedWorkloadConfiguration.hostingEnvironments";
        (json!({"hostingEnvironments": value}), at, rule)
    };
    let arn = |value: Value, rule: String| {
        let at = "authorizerConfiguration.customJWTAuthorizer.allowedWorkloadConfiguration.hostingEnvironments[0].arn";
        (json!({"hostingEnvironments": [{"arn": value}]}), at, rule)
    };
    let name = |value: &str, rule: String| {
        let at = "authorizerConfiguration.customJWTAuthorizer.allowedWorkloadConfiguration.workloadIdentities[0]";
        (json!({"workloadIdentities": [value]}), at, rule)
    };
    let none = "authorizerConfiguration.customJWTAuthorizer.allowedWorkloadConfiguration.workloadIdentities";
    [
        environments(json!([]), at_least(1)),
        environments(list(11, &json!({"arn": text(20)})), at_most(10)),
        arn(Value::Null, NOT_NULL.to_owned()),
        arn(text(19).into(), at_least(20)),
        arn(text(1012).into(), at_most(1011)),
        (json!({"workloadIdentities": []}), none, at_least(1)),
        name("ab", at_least(3)),
        name("a b", pattern("[A-Za-z0-9_.-]+")),
    ]
    .into_iter()
    .map(|(value, at, rule)| Case { at: Some(at), ..case(&format!("{JWT}/allowedWorkloadConfiguration"), value, rule) })
    .collect()
}

fn claims() -> Vec<Case> {
    let at = |member: &str| format!("{JWT}/customClaims/0/{member}");
    let one = |member: &str| format!("{JWT}/customClaims/1/{member}");
    let (value, operator) =
        ("authorizingClaimMatchValue/claimMatchValue", "authorizingClaimMatchValue/claimMatchOperator");
    let word = || pattern("[A-Za-z0-9_.-]+");
    vec![
        case(&format!("{JWT}/customClaims"), json!([]), at_least(1)),
        case(&format!("{JWT}/customClaims"), list(1001, &Value::Null), at_most(1000)),
        case(&at("inboundTokenClaimName"), Value::Null, NOT_NULL),
        case(&at("inboundTokenClaimName"), text(256), at_most(255)),
        case(&at("inboundTokenClaimName"), "a b", pattern("[A-Za-z0-9_.-:]+")),
        case(&at("inboundTokenClaimValueType"), Value::Null, NOT_NULL),
        case(&at("inboundTokenClaimValueType"), "NUMBER", one_of("STRING, STRING_ARRAY")),
        case(&at("authorizingClaimMatchValue"), Value::Null, NOT_NULL),
        case(&at(value), json!({}), exactly_one("matchValueString and matchValueStringList")),
        case(&at(&format!("{value}/matchValueStringList")), json!([]), at_least(1)),
        case(&at(&format!("{value}/matchValueStringList")), list(1001, &json!("a")), at_most(1000)),
        case(&at(&format!("{value}/matchValueStringList/0")), "a b", word()),
        case(&one(&format!("{value}/matchValueString")), text(256), at_most(255)),
        case(&one(&format!("{value}/matchValueString")), "a/b", word()),
        case(&at(operator), Value::Null, NOT_NULL),
        case(&at(operator), "LIKE", one_of("EQUALS, CONTAINS, CONTAINS_ANY")),
    ]
}

fn private_endpoint() -> Vec<Case> {
    let vpc = |member: &str| format!("{JWT}/privateEndpoint/managedVpcResource/{member}");
    let others = |member: &str| format!("{JWT}/privateEndpointOverrides/{member}");
    let certificate = |member: &str| format!("{JWT}/certificateConfigurations/{member}");
    let lattice = "0/privateEndpoint/selfManagedLatticeResource";
    let identifier = format!("{lattice}/resourceConfigurationIdentifier");
    let secret = json!({"secretsManager": {"secretArn": "arn:aws:secretsmanager:us-west-2:0:secret:x"}});
    let secret_arn = pattern("arn:aws(-[^:]+)?:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+");
    let at = "authorizerConfiguration.customJWTAuthorizer.certificateConfigurations[0].secretsManager.secretArn";
    let resource = r"((rcfg-[0-9a-z]{17})|(arn:[a-z0-9\-]+:vpc-lattice:[a-zA-Z0-9\-]+:\d{12}:resourceconfiguration/rcfg-[0-9a-z]{17}))";
    vec![
        case(
            &format!("{JWT}/privateEndpoint"),
            json!({}),
            exactly_one("selfManagedLatticeResource and managedVpcResource"),
        ),
        case(&vpc("vpcIdentifier"), Value::Null, NOT_NULL),
        case(&vpc("vpcIdentifier"), "vpc-1", pattern("vpc-(([0-9a-z]{8})|([0-9a-z]{17}))")),
        case(&vpc("subnetIds"), Value::Null, NOT_NULL),
        case(&vpc("subnetIds"), list(1001, &json!("subnet-01234567")), at_most(1000)),
        case(&vpc("subnetIds/0"), "a", pattern("subnet-[0-9a-zA-Z]{8,17}")),
        case(&vpc("endpointIpAddressType"), Value::Null, NOT_NULL),
        case(&vpc("endpointIpAddressType"), "IPV5", one_of("IPV4, IPV6")),
        case(&vpc("securityGroupIds"), list(6, &json!("sg-01234567")), at_most(5)),
        case(&vpc("securityGroupIds/0"), "sg-1", pattern("sg-(([0-9a-z]{8})|([0-9a-z]{17}))")),
        case(&vpc("tags/k"), text(257), at_most(256)),
        case(&vpc("routingDomain"), "ab", at_least(3)),
        case(&vpc("routingDomain"), text(256), at_most(255)),
        case(&format!("{JWT}/privateEndpointOverrides"), list(6, &json!({})), at_most(5)),
        case(&others("0/domain"), Value::Null, NOT_NULL),
        case(&others("0/domain"), "", at_least(1)),
        case(&others("0/domain"), text(254), at_most(253)),
        case(&others("0/privateEndpoint"), Value::Null, NOT_NULL),
        case(&others(lattice), json!({}), exactly_one("resourceConfigurationIdentifier")),
        case(&others(&identifier), text(20), pattern(resource)),
        case(&format!("{JWT}/certificateConfigurations"), json!([]), at_least(1)),
        case(&certificate("0"), json!({}), exactly_one("s3 and secretsManager")),
        case(&certificate("0/s3/uri"), Value::Null, NOT_NULL),
        case(&certificate("0/s3/uri"), "https://bucket", pattern("s3://.{1,2043}")),
        case(&certificate("0/s3/bucketOwnerAccountId"), "1", pattern("[0-9]{12}")),
        Case { at: Some(at), ..case(&certificate("0"), secret, secret_arn) },
    ]
}

fn others() -> Vec<Case> {
    let role = || pattern("arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+");
    let token = pattern("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,256}");
    let headers = "/requestHeaderConfiguration/requestHeaderAllowlist";
    let post = "/hooksConfiguration/build/warmup/action/httpPost";
    let agent_path = || pattern(r"/[A-Za-z0-9\-._~/%]*");
    let long_variable = format!("/environmentVariables/{}", "A".repeat(101));
    let provider = "/capacityProviderConfiguration";
    let provider_arn = "arn:aws(-[^:]+)?:bedrock-agentcore:[a-z0-9-]+:[0-9]{12}:capacity-provider/\
        [a-zA-Z][a-zA-Z0-9_]{0,47}-[a-zA-Z0-9]{10}";
    let provider_at = Some("capacityProviderConfiguration.capacityProviderArn");
    vec![
        case("/roleArn", Value::Null, NOT_NULL),
        case("/roleArn", "arn:aws:iam::123:role/x", role()),
        case("/roleArn", "arn:aws:iam::000000000000:user/x", role()),
        case("/roleArn", "arn:aws:iam::000000000000:role/", role()),
        case("/roleArn", format!("arn:aws:iam::000000000000:role/{}", text(2048)), at_most(2048)),
        case("/description", "", at_least(1)),
        case("/description", text(4097), at_most(4096)),
        case("/clientToken", text(32), at_least(33)),
        case("/clientToken", text(257), at_most(256)),
        case("/clientToken", "-".repeat(33), token),
        case("/requestHeaderConfiguration", json!({}), exactly_one("requestHeaderAllowlist")),
        case(headers, json!([]), at_least(1)),
        case(&format!("{headers}/0"), "X Y", pattern("[A-Za-z][A-Za-z0-9_-]{0,255}")),
        case("/protocolConfiguration/serverProtocol", Value::Null, NOT_NULL),
        case("/protocolConfiguration/serverProtocol", "http", one_of("MCP, HTTP, A2A, AGUI")),
        case("/protocolConfiguration/port", 7999, from(8000)),
        case("/protocolConfiguration/port", 12_001, to(12_000)),
        case("/protocolConfiguration/path", "run", agent_path()),
        case("/protocolConfiguration/path", "/a?b", agent_path()),
        case("/protocolConfiguration/path", format!("/{}", text(2048)), at_most(2048)),
        case("/lifecycleConfiguration/maxLifetime", 59, from(60)),
        case("/lifecycleConfiguration/maxLifetime", 1_209_601, to(1_209_600)),
        case("/lifecycleConfiguration/maxLifetime", i64::MAX, to(1_209_600)),
        case("/lifecycleConfiguration/maxLifetime", u64::MAX, "have its type in the model (a whole number)"),
        case("/lifecycleConfiguration/idleRuntimeSessionTimeout", -1, from(60)),
        case("/lifecycleConfiguration/idleRuntimeSessionTimeout", 1_209_601, to(1_209_600)),
        case("/hooksConfiguration/build/warmup/action", Value::Null, NOT_NULL),
        case("/hooksConfiguration/build/warmup/action", json!({}), exactly_one("httpPost")),
        case(&format!("{post}/path"), Value::Null, NOT_NULL),
        case(&format!("{post}/path"), "warm", pattern("/[A-Za-z0-9._~/-]*")),
        case(&format!("{post}/path"), format!("/{}", text(32)), at_most(32)),
        case(&format!("{post}/port"), 7999, from(8000)),
        case(&format!("{post}/port"), 12_001, to(12_000)),
        case("/environmentVariables", map(51), at_most(50)),
        case(&long_variable, "v", at_most(100)),
        case("/environmentVariables/", "v", at_least(1)),
        Case { at: provider_at, ..case(provider, json!({}), NOT_NULL) },
        Case { at: provider_at, ..case(provider, json!({"capacityProviderArn": "x"}), pattern(provider_arn)) },
        case("/platformVersion", "V 2", pattern(r"[^\s]+")),
        case("/platformVersion", "V3", one_of("V1, V2")),
        case("/allowedPorts", json!([]), at_least(1)),
        case("/allowedPorts", list(6, &json!({"port": 8000})), at_most(5)),
        case("/allowedPorts/0", json!({}), exactly_one("port and portRange")),
        case("/allowedPorts/0/port", 7999, from(8000)),
        case("/allowedPorts/0/port", 12_001, to(12_000)),
        case("/allowedPorts/1/portRange/from", Value::Null, NOT_NULL),
        case("/allowedPorts/1/portRange/from", 80, from(8000)),
        case("/allowedPorts/1/portRange/to", Value::Null, NOT_NULL),
        case("/allowedPorts/1/portRange/to", 65_536, to(12_000)),
        case("/resourceConfigurations", list(2, &json!({"minimumMemoryInMiB": 512})), at_most(1)),
        case("/resourceConfigurations/0/minimumMemoryInMiB", Value::Null, NOT_NULL),
        case("/resourceConfigurations/0/minimumMemoryInMiB", 0, from(16)),
        case("/resourceConfigurations/0/minimumMemoryInMiB", 16_777_217, to(16_777_216)),
    ]
}

fn filesystems() -> Vec<Case> {
    let mount_path = || pattern("/mnt/[a-zA-Z0-9._-]+/?");
    let s3 =
        pattern("arn:aws[-a-z]*:s3files:[0-9a-z-:]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40}");
    let efs = pattern("arn:aws[-a-z]*:elasticfilesystem:[0-9a-z-:]+:access-point/fsap-[0-9a-f]{8,40}");
    let kinds = "sessionStorage and s3FilesAccessPoint and efsAccessPoint and capacityProviderVolume";
    let at = |member: &str| format!("/filesystemConfigurations/{member}");
    vec![
        case("/filesystemConfigurations", list(6, &json!({})), at_most(5)),
        case(&at("0"), json!({}), exactly_one(kinds)),
        case(&at("0/sessionStorage/mountPath"), Value::Null, NOT_NULL),
        case(&at("0/sessionStorage/mountPath"), "/mnt/", at_least(6)),
        case(&at("0/sessionStorage/mountPath"), "/mnt/a/b", mount_path()),
        case(&at("0/sessionStorage/mountPath"), format!("/mnt/{}", text(200)), at_most(200)),
        case(&at("1/s3FilesAccessPoint/accessPointArn"), "arn:aws:s3:::x", s3),
        case(&at("1/s3FilesAccessPoint/mountPath"), "/srv/files", mount_path()),
        case(&at("2/efsAccessPoint/accessPointArn"), "arn:aws:efs", efs),
        case(&at("2/efsAccessPoint/mountPath"), "/srv/efs", mount_path()),
    ]
}
