//! The bodies of CreateAgentRuntime and UpdateAgentRuntime.
//!
//! Wider than the model in two places, which its clients do not check: `containerUri` may be any OCI reference (see
//! `validate::artifact`), and `runtime` has a word of ours. Narrower in one: `minimumMemoryInMiB` has bounds.

use innkeep_types::limits;

use super::authorizer::AUTHORIZER;
use super::filesystem::FILESYSTEMS;
use super::name::{CLIENT_TOKEN, NAME, ROLE_ARN, TAGS};
use super::network::NETWORK;
use crate::shape::{ANY, Member, Pattern, Shape, optional, required};

/// The body of a Create.
pub(crate) static CREATE: [Member; 18] = [
    required("agentRuntimeName", &NAME),
    required("agentRuntimeArtifact", &ARTIFACT),
    required("roleArn", &ROLE_ARN),
    optional("networkConfiguration", &NETWORK),
    optional("clientToken", &CLIENT_TOKEN),
    optional("description", &DESCRIPTION),
    optional("authorizerConfiguration", &AUTHORIZER),
    optional("requestHeaderConfiguration", &REQUEST_HEADERS),
    optional("protocolConfiguration", &PROTOCOL),
    optional("lifecycleConfiguration", &LIFECYCLE),
    optional("hooksConfiguration", &HOOKS),
    optional("environmentVariables", &ENVIRONMENT),
    optional("filesystemConfigurations", &FILESYSTEMS),
    optional("capacityProviderConfiguration", &CAPACITY_PROVIDER),
    optional("tags", &TAGS),
    optional("platformVersion", &PLATFORM_VERSION),
    optional("allowedPorts", &ALLOWED_PORTS),
    optional("resourceConfigurations", &RESOURCES),
];

/// The body of an Update: no name and no tags, which stay as they are, and the metadata service's configuration.
pub(crate) static UPDATE: [Member; 17] = [
    required("agentRuntimeArtifact", &ARTIFACT),
    required("roleArn", &ROLE_ARN),
    optional("networkConfiguration", &NETWORK),
    optional("description", &DESCRIPTION),
    optional("authorizerConfiguration", &AUTHORIZER),
    optional("requestHeaderConfiguration", &REQUEST_HEADERS),
    optional("protocolConfiguration", &PROTOCOL),
    optional("lifecycleConfiguration", &LIFECYCLE),
    optional("hooksConfiguration", &HOOKS),
    optional("metadataConfiguration", &METADATA),
    optional("environmentVariables", &ENVIRONMENT),
    optional("filesystemConfigurations", &FILESYSTEMS),
    optional("capacityProviderConfiguration", &CAPACITY_PROVIDER),
    optional("platformVersion", &PLATFORM_VERSION),
    optional("allowedPorts", &ALLOWED_PORTS),
    optional("resourceConfigurations", &RESOURCES),
    optional("clientToken", &CLIENT_TOKEN),
];

static DESCRIPTION: Shape = Shape::Text((1, 4096), None);

static ARTIFACT: Shape = Shape::Union(&[
    optional("containerConfiguration", &Shape::Structure(&[required("containerUri", &CONTAINER_URI)])),
    optional(
        "codeConfiguration",
        &Shape::Structure(&[
            required("code", &Shape::Union(&[optional("s3", &S3_LOCATION)])),
            required("runtime", &Shape::Enum(&RUNTIMES)),
            required("entryPoint", &Shape::List((1, 2), &Shape::Text((1, 128), None))),
        ]),
    ),
]);
static CONTAINER_URI: Shape = Shape::Text((1, 1024), None);

/// The model's, and ours: `PROVIDED`, any executable.
static RUNTIMES: [&str; 7] =
    ["PYTHON_3_10", "PYTHON_3_11", "PYTHON_3_12", "PYTHON_3_13", "PYTHON_3_14", "NODE_22", "PROVIDED"];

static S3_LOCATION: Shape = Shape::Structure(&[
    required("bucket", &Shape::Text(ANY, Some(&BUCKET_PATTERN))),
    required("prefix", &Shape::Text((1, 1024), None)),
    optional("versionId", &Shape::Text((3, 1024), None)),
]);
static BUCKET_PATTERN: Pattern = Pattern::new("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]");

static REQUEST_HEADERS: Shape =
    Shape::Union(&[optional("requestHeaderAllowlist", &Shape::List((1, 20), &HEADER_NAME))]);
static HEADER_NAME: Shape = Shape::Text((1, 256), Some(&HEADER_NAME_PATTERN));
static HEADER_NAME_PATTERN: Pattern = Pattern::new("[A-Za-z][A-Za-z0-9_-]{0,255}");

static PROTOCOL: Shape = Shape::Structure(&[
    required("serverProtocol", &Shape::Enum(&["MCP", "HTTP", "A2A", "AGUI"])),
    optional("port", &PORT),
    optional("path", &Shape::Text((1, 2048), Some(&PATH_PATTERN))),
]);
static PATH_PATTERN: Pattern = Pattern::new(r"/[A-Za-z0-9\-._~/%]*");

/// Any of the ports that agents may bind; that one of them is reserved is a rule of its own.
static PORT: Shape = Shape::Integer(8000, 12_000);

static LIFECYCLE: Shape =
    Shape::Structure(&[optional("idleRuntimeSessionTimeout", &SESSION_TIME), optional("maxLifetime", &SESSION_TIME)]);
static SESSION_TIME: Shape = Shape::Integer(limits::LIFECYCLE_MIN_SECS as i64, limits::LIFECYCLE_MAX_SECS as i64);

static HOOKS: Shape = Shape::Structure(&[optional("build", &Shape::Structure(&[optional("warmup", &HOOK)]))]);
static HOOK: Shape = Shape::Structure(&[required("action", &Shape::Union(&[optional("httpPost", &HTTP_POST)]))]);
static HTTP_POST: Shape =
    Shape::Structure(&[required("path", &Shape::Text((1, 32), Some(&HOOK_PATH_PATTERN))), optional("port", &PORT)]);
static HOOK_PATH_PATTERN: Pattern = Pattern::new("/[A-Za-z0-9._~/-]*");

static METADATA: Shape = Shape::Structure(&[required("requireMMDSV2", &Shape::Boolean)]);

static ENVIRONMENT: Shape =
    Shape::Map((0, limits::MAX_ENVIRONMENT_ENTRIES), &Shape::Text((1, 100), None), &Shape::Text((0, 5000), None));

static CAPACITY_PROVIDER: Shape = Shape::Structure(&[required("capacityProviderArn", &CAPACITY_PROVIDER_ARN)]);
static CAPACITY_PROVIDER_ARN: Shape = Shape::Text(ANY, Some(&CAPACITY_PROVIDER_ARN_PATTERN));
static CAPACITY_PROVIDER_ARN_PATTERN: Pattern = Pattern::new(
    "arn:aws(-[^:]+)?:bedrock-agentcore:[a-z0-9-]+:[0-9]{12}:capacity-provider/[a-zA-Z][a-zA-Z0-9_]{0,47}-[a-zA-Z0-9]{10}",
);

static PLATFORM_VERSION: Shape = Shape::Text((1, 128), Some(&PLATFORM_VERSION_PATTERN));
static PLATFORM_VERSION_PATTERN: Pattern = Pattern::new(r"[^\s]+");

static ALLOWED_PORTS: Shape = Shape::List((1, 5), &ALLOWED_PORT);
static ALLOWED_PORT: Shape = Shape::Union(&[
    optional("port", &PORT),
    optional("portRange", &Shape::Structure(&[required("from", &PORT), required("to", &PORT)])),
]);

static RESOURCES: Shape = Shape::List((0, 1), &Shape::Structure(&[required("minimumMemoryInMiB", &MINIMUM_MEMORY)]));
static MINIMUM_MEMORY: Shape =
    Shape::Integer(*limits::SETTABLE_MEMORY_MIB.start() as i64, *limits::SETTABLE_MEMORY_MIB.end() as i64);
