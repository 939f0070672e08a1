"""What the model does not say. Examples: values that only a running server can know, or that must go together. Deviations: where Innkeep
takes or refuses what the model does not; each is tried by itself, and is no longer needed when the model alone would do."""

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from botocore.model import Shape

from conformance.model import Key, Place, general
from harness import ROLE

# The members whose union has an alternative that needs more than this machine: the one that the examples have comes first.
PREFERRED = {"agentRuntimeArtifact": "codeConfiguration"}

numbers = itertools.count()


def new_name(size: str = "least") -> str:
    """A name that nothing has yet: of the greatest length for `most`."""
    return f"conform_{next(numbers):04}" + ("_" + "x" * 35 if size == "most" else "")


@dataclass
class World:
    """What there is on the server for operations to name."""

    artifact: dict
    runtime: dict  # as Get has it
    provider: dict
    endpoint: str = "walked"

    @property
    def arn(self) -> str:
        return self.runtime["agentRuntimeArn"]

    def policy(self, length: int = 0) -> str:
        # The walk's runtime may have an authorizer, and then takes no other principal.
        statement = {"Sid": "Walk", "Effect": "Allow", "Principal": "*",
                     "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": self.arn}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]}).ljust(length)

    def example(self, operation: str):
        """Returns what `values.Writer` asks for the input of one operation."""
        return lambda place, shape, size: self.of_place(operation, place, shape, size)

    def of_place(self, operation: str, place: Place, shape: Shape, size: str):
        at = general(place)
        if at in ("agentRuntimeName", "name"):
            return new_name(size)
        match at:
            case "agentRuntimeId":
                return self.runtime["agentRuntimeId"]
            case "agentRuntimeVersion":
                return "1"
            case "endpointName":
                return self.endpoint
            case "resourceArn":
                return self.arn
            case "capacityProviderId":
                return self.provider["capacityProviderId"]
            case "capacityProviderConfiguration.capacityProviderArn":
                return self.provider["capacityProviderArn"]
            case "policy":
                return self.policy(20_480 if size == "most" else 0)
            case "tagKeys[]":
                return None
            case "agentRuntimeArtifact.codeConfiguration":
                return self.artifact["codeConfiguration"]
            case "agentRuntimeArtifact.containerConfiguration.containerUri":
                # Nothing listens there: the version fails, at once.
                return "127.0.0.1:1/" + ("a" * 60 + "/") * 3 + "b" * 40 + ":v1" if size == "most" else "127.0.0.1:1/a:b"
            case "lifecycleConfiguration.idleRuntimeSessionTimeout" if size == "most":
                return 1_209_600  # at most maxLifetime
        if size == "least" and at != "roleArn":
            return None
        return examples(at, size)


def examples(at: str, size: str):
    """Values that must go together, or that mean something here: for `plain` and `most`."""
    long = size == "most"
    match at:
        case "roleArn" | "permissionsConfiguration.capacityProviderOperatorRoleArn":
            return ROLE if not long else ROLE + "x" * (2048 - len(ROLE))
        case "networkConfiguration":
            few = 16 if long else 1
            return {"networkMode": "VPC", "networkModeConfig": {
                "securityGroups": [f"sg-{n:017}" for n in range(few)], "subnets": [f"subnet-{n:08}" for n in range(few)],
            }}
        case "requestHeaderConfiguration.requestHeaderAllowlist":
            # Each another, and none of those that are kept from agents.
            return [f"X-Custom-{n}" + ("x" * 240 if long else "") for n in range(20 if long else 1)]
        case "protocolConfiguration.port":
            return 12_000 if long else 8_000
        case "hooksConfiguration.build.warmup.action.httpPost.port":
            return 12_000 if long else 8_000  # where the agent listens
        case "environmentVariables":
            # The agent listens where this says. All keys and values have 1536 bytes at most, which is the least of the limits in all.
            port = {"PROBE_PORT": "12000" if long else "8000"}
            return port | ({f"KEY_{n:02}" + ("K" * 94 if n == 0 else ""): "v" * 20 for n in range(49)} if long else {})
        case "filesystemConfigurations":
            return [{"sessionStorage": {"mountPath": "/mnt/" + "d" * (195 if long else 1)}}]
        case "allowedPorts":
            return [{"port": 8000}, {"portRange": {"from": 8444, "to": 12000}}]
        case "resourceConfigurations":
            return [{"minimumMemoryInMiB": 512}]
        case "platformVersion":
            return "V2" if long else "V1"
        case "authorizerConfiguration.customJWTAuthorizer.customClaims":
            return [
                claim("STRING", "EQUALS", {"matchValueString": "a"}),
                claim("STRING_ARRAY", "CONTAINS", {"matchValueString": "x" * (255 if long else 1)}),
                claim("STRING_ARRAY", "CONTAINS_ANY", {"matchValueStringList": ["a", "b"]}),
            ]
        case "authorizerConfiguration.customJWTAuthorizer.discoveryUrl":
            return "https://idp.example/.well-known/openid-configuration"
    return None


def claim(kind: str, operator: str, value: dict) -> dict:
    match_value = {"claimMatchValue": value, "claimMatchOperator": operator}
    return {"inboundTokenClaimName": "groups", "inboundTokenClaimValueType": kind, "authorizingClaimMatchValue": match_value}


# --- where Innkeep is not what the model says --------------------------------------------------------------------------


@dataclass(frozen=True)
class Deviation:
    """What stands at `place` when `members` are laid over a valid input is taken by one and refused by the other."""

    operations: tuple[str, ...]
    members: Callable[[World], dict]
    place: Place
    reason: str


BOTH = ("CreateAgentRuntime", "UpdateAgentRuntime")
CODE = ("agentRuntimeArtifact", "codeConfiguration")


def code(world: World, **members) -> dict:
    return {"agentRuntimeArtifact": {"codeConfiguration": world.artifact["codeConfiguration"] | members}}


def container(uri: str) -> dict:
    return {"agentRuntimeArtifact": {"containerConfiguration": {"containerUri": uri}}}


TAKEN = (
    Deviation(BOTH, lambda world: container("127.0.0.1:1/agents/hello:1"),
              ("agentRuntimeArtifact", "containerConfiguration", "containerUri"), "any registry will do, not ECR alone"),
    Deviation(BOTH, lambda world: code(world, runtime="PROVIDED"), (*CODE, "runtime"), "any executable can be an agent"),
)

REFUSED = (
    Deviation(BOTH, lambda world: {"networkConfiguration": covers(world)["networkConfiguration"]},
              ("networkConfiguration", "networkModeConfig", "requireServiceS3Endpoint"), "AWS takes it for runtimes from before May 2026"),
    Deviation(BOTH, lambda world: {"filesystemConfigurations": covers(world)["filesystemConfigurations"][3:]},
              ("filesystemConfigurations", 0), "a capacity provider here has no volumes"),
    Deviation(BOTH, lambda world: {"platformVersion": "V3"}, ("platformVersion",), "the platform's versions are V1 and V2"),
    Deviation(BOTH, lambda world: {"resourceConfigurations": [{"minimumMemoryInMiB": 1}]},
              ("resourceConfigurations", 0, "minimumMemoryInMiB"), "no agent starts in so little"),
    Deviation(BOTH, lambda world: {"capacityProviderConfiguration": covers(world)["capacityProviderConfiguration"]},
              ("capacityProviderConfiguration",), "no instances are rented here"),
    Deviation(BOTH, lambda world: jwt(allowedClients=["client"], allowedWorkloadConfiguration=WORKLOADS),
              ("authorizerConfiguration", "customJWTAuthorizer", "allowedWorkloadConfiguration"), "it is for gateways"),
    Deviation(BOTH, lambda world: jwt(allowedClients=["client"], certificateConfigurations=[SECRET]),
              ("authorizerConfiguration", "customJWTAuthorizer", "certificateConfigurations", 0, "secretsManager"),
              "there is no secrets manager here"),
)

# The members that no valid input has, as Innkeep refuses them whatever their value, or cannot make what they ask for. Their rules are
# checked nonetheless.
LEFT_OUT = frozenset({
    "capacityProviderConfiguration", "agentRuntimeArtifact.codeConfiguration.code.s3.versionId",
    "networkConfiguration.networkModeConfig.requireServiceS3Endpoint",
    "authorizerConfiguration.customJWTAuthorizer.allowedWorkloadConfiguration",
    "authorizerConfiguration.customJWTAuthorizer.certificateConfigurations",
})

WORKLOADS = {
    "hostingEnvironments": [{"arn": "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/a"}], "workloadIdentities": ["one"],
}
SECRET = {"secretsManager": {"secretArn": "arn:aws:secretsmanager:us-west-2:000000000000:secret:ca"}}



def covers(world: "World") -> dict[str, object]:
    """Values with every member of the places that valid inputs have in part only; some of them are refused as they are."""
    subnets = {"securityGroups": ["sg-00000000"], "subnets": ["subnet-00000000"], "requireServiceS3Endpoint": True}
    code = world.artifact["codeConfiguration"]
    location = code["code"]["s3"] | {"versionId": "one"}
    mount = {"mountPath": "/mnt/d"}
    return {
        "networkConfiguration": {"networkMode": "VPC", "networkModeConfig": subnets},
        "agentRuntimeArtifact": {"codeConfiguration": code | {"code": {"s3": location}}},
        "capacityProviderConfiguration": {"capacityProviderArn": world.provider["capacityProviderArn"]},
        **jwt(allowedClients=["client"], allowedWorkloadConfiguration=WORKLOADS, certificateConfigurations=[
            {"s3": {"uri": "s3://certificates/ca.pem", "bucketOwnerAccountId": "0" * 12}}, SECRET,
        ]),
        "filesystemConfigurations": [
            {"sessionStorage": mount},
            {"s3FilesAccessPoint": mount | {"accessPointArn": S3_FILES.format("fs-" + "0" * 17, "fsap-" + "0" * 17)}},
            {"efsAccessPoint": mount | {"accessPointArn": EFS.format("fsap-" + "0" * 8)}},
            {"capacityProviderVolume": mount | {"volumeName": "data"}},
        ],
    }


S3_FILES = "arn:aws:s3files:us-west-2:000000000000:file-system/{}/access-point/{}"
EFS = "arn:aws:elasticfilesystem:us-west-2:000000000000:access-point/{}"

# A runtime that this host does not have.
ABSENT = next(f"PYTHON_3_{minor}" for minor in (10, 14, 13, 12) if not shutil.which(f"python3.{minor}"))

# What is taken and cannot be made, with words of the reason.
UNMAKEABLE = (
    (lambda world: {"agentRuntimeArtifact": covers(world)["agentRuntimeArtifact"]}, "versionId"),
    (lambda world: code(world, runtime=ABSENT), ABSENT.replace("PYTHON_3_", "Python 3.")),
    (lambda world: code(world, entryPoint=["absent.py"]), "absent.py"),
    (lambda world: code(world, code={"s3": {"bucket": "innkeep", "prefix": "0" * 64}}), "0" * 64),
    (lambda world: container("127.0.0.1:1/a:b"), "127.0.0.1:1"),
)

# Texts that are refused where the model's own pattern is not what Innkeep goes by.
REFUSED_WORDS = {
    "agentRuntimeArtifact.containerConfiguration.containerUri": ["Upper/Case:x", "a b", "host:port:port/x", "x@sha256:short", "/x"],
}


@dataclass(frozen=True)
class Together:
    """A rule across members, which the model does not have: `members` over a valid input is refused at `place`."""

    operations: tuple[str, ...]
    members: dict
    place: Place
    reason: str


def env(total: int) -> dict:
    return {"environmentVariables": {"A": "x" * (total - 1)}}


JWT = {"discoveryUrl": "https://idp.example/.well-known/openid-configuration"}
CLAIM = ("authorizerConfiguration", "customJWTAuthorizer", "customClaims", 0, "authorizingClaimMatchValue")
ALLOWLIST = ("requestHeaderConfiguration", "requestHeaderAllowlist")
MOUNT = {"mountPath": "/mnt/d"}


def jwt(**members) -> dict:
    return {"authorizerConfiguration": {"customJWTAuthorizer": JWT | members}}


def allowlist(*names: str) -> dict:
    return {"requestHeaderConfiguration": {"requestHeaderAllowlist": list(names)}}


def filesystems(*kinds: dict) -> dict:
    return {"filesystemConfigurations": list(kinds)}


TOGETHER = (
    Together(BOTH, {"lifecycleConfiguration": {"idleRuntimeSessionTimeout": 600, "maxLifetime": 300}},
             ("lifecycleConfiguration", "idleRuntimeSessionTimeout"), "idle is at most max"),
    Together(BOTH, {"protocolConfiguration": {"serverProtocol": "HTTP", "port": 8443}}, ("protocolConfiguration", "port"),
             "8443 is the sidecar's"),
    Together(BOTH, {"hooksConfiguration": {"build": {"warmup": {"action": {"httpPost": {"path": "/", "port": 8443}}}}}},
             ("hooksConfiguration", "build", "warmup", "action", "httpPost", "port"), "8443 is the sidecar's"),
    Together(BOTH, {"allowedPorts": [{"port": 8443}]}, ("allowedPorts", 0, "port"), "8443 is the sidecar's"),
    Together(BOTH, {"allowedPorts": [{"portRange": {"from": 9000, "to": 8000}}]}, ("allowedPorts", 0, "portRange"), "a range goes up"),
    Together(BOTH, env(4097), ("environmentVariables",), "4 KB in all"),
    Together(BOTH, env(1537) | {"platformVersion": "V2"}, ("environmentVariables",), "1.5 KB in all for code on V2"),
    Together(BOTH, {"environmentVariables": {"A=B": "x"}}, ("environmentVariables", Key("A=B")), "no process can have it"),
    Together(BOTH, {"environmentVariables": {"A": "x\0y"}}, ("environmentVariables", Key("A")), "no process can have it"),
    Together(BOTH, allowlist("X-One", "x-one"), (*ALLOWLIST, 1), "names are the same in any case"),
    Together(BOTH, allowlist("X-Amz-Date"), (*ALLOWLIST, 0), "signatures are not for agents"),
    Together(BOTH, allowlist("X-Amzn-Trace-Id"), (*ALLOWLIST, 0), "AWS's own, but for the Custom ones"),
    Together(BOTH, allowlist("Cookie"), (*ALLOWLIST, 0), "a restricted name"),
    Together(BOTH, jwt(), ("authorizerConfiguration", "customJWTAuthorizer"), "something must be asked of a token"),
    Together(BOTH, jwt(customClaims=[claim("STRING", "CONTAINS", {"matchValueString": "a"})]), (*CLAIM, "claimMatchOperator"),
             "a string equals or not"),
    Together(BOTH, jwt(customClaims=[claim("STRING_ARRAY", "EQUALS", {"matchValueString": "a"})]), (*CLAIM, "claimMatchOperator"),
             "a list contains or not"),
    Together(BOTH, jwt(customClaims=[claim("STRING_ARRAY", "CONTAINS_ANY", {"matchValueString": "a"})]), (*CLAIM, "claimMatchValue"),
             "any of a list"),
    Together(BOTH, {"networkConfiguration": {"networkMode": "VPC"}}, ("networkConfiguration", "networkModeConfig"), "which subnets?"),
    Together(BOTH, {"networkConfiguration": {"networkMode": "PUBLIC", "networkModeConfig": {"securityGroups": ["sg-00000000"],
                                                                                          "subnets": ["subnet-00000000"]}}},
             ("networkConfiguration", "networkModeConfig"), "subnets of what?"),
    Together(BOTH, filesystems({"sessionStorage": {"mountPath": "/mnt/a"}}, {"sessionStorage": {"mountPath": "/mnt/b"}}),
             ("filesystemConfigurations", 1), "one session storage per session"),
    Together(BOTH, filesystems({"efsAccessPoint": MOUNT | {"accessPointArn": EFS.format("fsap-" + "0" * 8)}}),
             ("filesystemConfigurations", 0), "access points are reached in a VPC"),
    Together(BOTH, filesystems({"sessionStorage": {"mountPath": "/mnt/.."}}), ("filesystemConfigurations", 0, "sessionStorage", "mountPath"),
             "below /mnt"),
    Together(("PutResourcePolicy",), {"policy": "not JSON"}, ("policy",), "a policy is JSON"),
    Together(("PutResourcePolicy",), {"policy": '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", '
                                                '"Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": "*"}]}'},
             ("policy", "Statement", 0, "Resource"), "Resource is the very resource"),
)
