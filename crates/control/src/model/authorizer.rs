//! `authorizerConfiguration`: whose tokens open a runtime, and how their issuer is reached.

use innkeep_types::limits;

use super::name::TAGS;
use super::network::SUBNET;
use crate::shape::{ANY, Bounds, Pattern, Shape, optional, required};

/// What the model leaves without a maximum; ours is narrower.
const AT_LEAST_ONE: Bounds = (1, limits::MAX_AUTHORIZER_ITEMS);

/// The one authorizer that there is.
pub(super) static AUTHORIZER: Shape = Shape::Union(&[optional("customJWTAuthorizer", &CUSTOM_JWT)]);

static CUSTOM_JWT: Shape = Shape::Structure(&[
    required("discoveryUrl", &Shape::Text(ANY, Some(&DISCOVERY_URL_PATTERN))),
    optional("allowedAudience", &Shape::List(AT_LEAST_ONE, &Shape::Text(ANY, None))),
    optional("allowedClients", &Shape::List(AT_LEAST_ONE, &Shape::Text(ANY, None))),
    optional("allowedScopes", &Shape::List(AT_LEAST_ONE, &SCOPE)),
    optional("advertisedScopeMapping", &Shape::Map((1, 50), &SCOPE, &SCOPE)),
    optional("customClaims", &Shape::List(AT_LEAST_ONE, &CUSTOM_CLAIM)),
    optional("privateEndpoint", &PRIVATE_ENDPOINT),
    optional("privateEndpointOverrides", &Shape::List((0, 5), &PRIVATE_ENDPOINT_OVERRIDE)),
    optional("certificateConfigurations", &Shape::List((1, 1), &CERTIFICATE)),
    optional("allowedWorkloadConfiguration", &ALLOWED_WORKLOADS),
]);
static DISCOVERY_URL_PATTERN: Pattern =
    Pattern::new(r"[^\s?#]+/\.well-known/(openid-configuration|oauth-authorization-server)(/[^\s?#]+)?");

static SCOPE: Shape = Shape::Text((1, 255), Some(&SCOPE_PATTERN));
static SCOPE_PATTERN: Pattern = Pattern::new(r"[\x21\x23-\x5B\x5D-\x7E]+");

static CUSTOM_CLAIM: Shape = Shape::Structure(&[
    required("inboundTokenClaimName", &Shape::Text((1, 255), Some(&CLAIM_NAME_PATTERN))),
    required("inboundTokenClaimValueType", &Shape::Enum(&["STRING", "STRING_ARRAY"])),
    required("authorizingClaimMatchValue", &CLAIM_MATCH),
]);
static CLAIM_NAME_PATTERN: Pattern = Pattern::new("[A-Za-z0-9_.-:]+");
static CLAIM_MATCH: Shape = Shape::Structure(&[
    required("claimMatchValue", &CLAIM_MATCH_VALUE),
    required("claimMatchOperator", &Shape::Enum(&["EQUALS", "CONTAINS", "CONTAINS_ANY"])),
]);
static CLAIM_MATCH_VALUE: Shape = Shape::Union(&[
    optional("matchValueString", &MATCH_VALUE),
    optional("matchValueStringList", &Shape::List(AT_LEAST_ONE, &MATCH_VALUE)),
]);
static MATCH_VALUE: Shape = Shape::Text((1, 255), Some(&MATCH_VALUE_PATTERN));
static MATCH_VALUE_PATTERN: Pattern = Pattern::new("[A-Za-z0-9_.-]+");

static PRIVATE_ENDPOINT: Shape = Shape::Union(&[
    optional(
        "selfManagedLatticeResource",
        &Shape::Union(&[optional("resourceConfigurationIdentifier", &LATTICE_RESOURCE)]),
    ),
    optional("managedVpcResource", &MANAGED_VPC),
]);
static LATTICE_RESOURCE: Shape = Shape::Text((20, 2048), Some(&LATTICE_RESOURCE_PATTERN));
static LATTICE_RESOURCE_PATTERN: Pattern = Pattern::new(
    r"((rcfg-[0-9a-z]{17})|(arn:[a-z0-9\-]+:vpc-lattice:[a-zA-Z0-9\-]+:\d{12}:resourceconfiguration/rcfg-[0-9a-z]{17}))",
);
static MANAGED_VPC: Shape = Shape::Structure(&[
    required("vpcIdentifier", &Shape::Text(ANY, Some(&VPC_PATTERN))),
    required("subnetIds", &Shape::List((0, limits::MAX_AUTHORIZER_ITEMS), &SUBNET)),
    required("endpointIpAddressType", &Shape::Enum(&["IPV4", "IPV6"])),
    optional("securityGroupIds", &Shape::List((0, 5), &Shape::Text(ANY, Some(&SECURITY_GROUP_PATTERN)))),
    optional("tags", &TAGS),
    optional("routingDomain", &Shape::Text((3, 255), None)),
]);
static VPC_PATTERN: Pattern = Pattern::new("vpc-(([0-9a-z]{8})|([0-9a-z]{17}))");
static SECURITY_GROUP_PATTERN: Pattern = Pattern::new("sg-(([0-9a-z]{8})|([0-9a-z]{17}))");
static PRIVATE_ENDPOINT_OVERRIDE: Shape = Shape::Structure(&[
    required("domain", &Shape::Text((1, 253), None)),
    required("privateEndpoint", &PRIVATE_ENDPOINT),
]);

static CERTIFICATE: Shape = Shape::Union(&[
    optional(
        "s3",
        &Shape::Structure(&[
            required("uri", &Shape::Text(ANY, Some(&CERTIFICATE_URI_PATTERN))),
            optional("bucketOwnerAccountId", &Shape::Text(ANY, Some(&ACCOUNT_PATTERN))),
        ]),
    ),
    optional("secretsManager", &Shape::Structure(&[required("secretArn", &SECRET_ARN)])),
]);
static CERTIFICATE_URI_PATTERN: Pattern = Pattern::new("s3://.{1,2043}");
static ACCOUNT_PATTERN: Pattern = Pattern::new("[0-9]{12}");
static SECRET_ARN: Shape = Shape::Text(ANY, Some(&SECRET_ARN_PATTERN));
static SECRET_ARN_PATTERN: Pattern = Pattern::new("arn:aws(-[^:]+)?:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+");

static ALLOWED_WORKLOADS: Shape = Shape::Structure(&[
    optional(
        "hostingEnvironments",
        &Shape::List((1, 10), &Shape::Structure(&[required("arn", &Shape::Text((20, 1011), None))])),
    ),
    optional("workloadIdentities", &Shape::List((1, 10), &Shape::Text((3, 255), Some(&WORKLOAD_NAME_PATTERN)))),
]);
static WORKLOAD_NAME_PATTERN: Pattern = Pattern::new("[A-Za-z0-9_.-]+");
