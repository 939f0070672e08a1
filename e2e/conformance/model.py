"""The operations in scope, as botocore's service model has them, and places within their shapes."""

from functools import cache

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape

SERVICE_NAME = "bedrock-agentcore-control"

OPERATIONS = (
    "CreateAgentRuntime", "GetAgentRuntime", "UpdateAgentRuntime", "DeleteAgentRuntime",
    "ListAgentRuntimes", "ListAgentRuntimeVersions",
    "CreateAgentRuntimeEndpoint", "GetAgentRuntimeEndpoint", "UpdateAgentRuntimeEndpoint", "DeleteAgentRuntimeEndpoint",
    "ListAgentRuntimeEndpoints",
    "TagResource", "UntagResource", "ListTagsForResource",
    "PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy",
    "CreateCapacityProvider", "GetCapacityProvider", "UpdateCapacityProvider", "DeleteCapacityProvider",
    "ListCapacityProviders", "ListAgentRuntimeVersionsByCapacityProvider",
)

# The token that makes a call idempotent: each call has its own, so no baseline has one by itself.
CLIENT_TOKEN = "clientToken"


@cache
def service() -> ServiceModel:
    return ServiceModel(Loader().load_service_model(SERVICE_NAME, "service-2"), SERVICE_NAME)


def operation(name: str) -> OperationModel:
    return service().operation_model(name)


def location(shape: Shape) -> str:
    """Where a member of an input goes: `uri`, `querystring`, `header` or `body`."""
    return shape.serialization.get("location", "body")


def bounds(shape: Shape) -> tuple[int, int | None]:
    """The least and the greatest length, or value of a number; no greatest is None."""
    return shape.metadata.get("min", 0), shape.metadata.get("max")


class Key(str):
    """A step into a map, where a string is a step into a structure, and a number one into a list."""


Place = tuple[str | int | Key, ...]


def spelt(place: Place) -> str:
    """A place as the field list of an error names it: `a.b[0].c`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def general(place: Place) -> str:
    """A place of the model, whatever the item or the key: `a.b[].c`, `a{}`."""
    steps = ("[]" if isinstance(step, int) else "{}" if isinstance(step, Key) else f".{step}" for step in place)
    return "".join(steps).removeprefix(".")


def at(value, place: Place):
    for step in place:
        value = value[step]
    return value


def changed(value, place: Place, new):
    """A copy of `value` with `new` at `place`; what stands beside the place is shared. `new` of GONE takes the place away."""
    if not place:
        return new
    step, *rest = place
    if isinstance(value, list):
        items = list(value)
        items[step] = changed(items[step], rest, new)
        return items
    if not rest and new is GONE:
        return {name: item for name, item in value.items() if name != step}
    return value | {str(step): changed(value.get(step), rest, new)}


GONE = object()
