"""What is wrong with an answer: status, headers, and a body that is not what the model declares. Each check returns its complaints."""

import json
import re
from datetime import datetime

from botocore.model import OperationModel, Shape
from botocore.parsers import create_parser

from conformance import text
from conformance.model import Key, Place, bounds, service, spelt
from harness import Answer

PARSER = create_parser("rest-json")
ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
# Where Innkeep takes more than the model has, it shows that again (rules.DEVIATIONS): a word more, another pattern.
WIDER = {"AgentManagedRuntimeType": "PROVIDED", "RuntimeContainerUri": r"\S+"}
# Items of lists must have a description of at least one character, and runtimes need none: these have the empty one.
EMPTY = {("AgentRuntime", "description")}
REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_success(operation: OperationModel, answer: Answer) -> list[str]:
    found = check_request_id(answer)
    if answer.status != operation.http["responseCode"]:
        return [*found, f"status {answer.status}, not {operation.http['responseCode']}: {answer.body[:500]!r}"]
    if operation.output_shape is None or not operation.output_shape.members:
        # Nothing, or an object without members: rest-json has both.
        return found if answer.body in (b"", b"{}") else [*found, f"a body where there is no output: {answer.body[:200]!r}"]
    body, complaint = parsed(answer)
    if complaint:
        return [*found, complaint]
    found += check_value(operation.output_shape, body)
    output = PARSER.parse(raw(answer), operation.output_shape)
    lost = set(body) & set(operation.output_shape.members) - set(output)
    return [*found, *(f"{name} is lost by botocore's parser" for name in sorted(lost))]


def check_error(answer: Answer, code: str, reason: str | None = None) -> list[str]:
    """Checks that the answer is the exception `code` of the model, with that `reason` if the exception has one."""
    found = check_request_id(answer)
    shape = service().shape_for_error_code(code)
    if answer.status != shape.metadata["error"]["httpStatusCode"]:
        return [*found, f"status {answer.status}, not that of {code}: {answer.body[:500]!r}"]
    if (name := answer.headers.get("x-amzn-ErrorType")) != code:
        found.append(f"x-amzn-ErrorType {name}, not {code}")
    body, complaint = parsed(answer)
    if complaint:
        return [*found, complaint]
    found += check_value(shape, body)
    as_botocore_has_it = PARSER.parse(raw(answer), None)["Error"]
    if as_botocore_has_it["Code"] != code or as_botocore_has_it["Message"] != body.get("message"):
        found.append(f"botocore reads {as_botocore_has_it}")
    if body.get("reason") != reason:
        found.append(f"reason {body.get('reason')}, not {reason}: {body.get('message')}")
    return found


def check_refused_field(answer: Answer, place: Place, also: str | None = None) -> list[str]:
    """Checks that the answer refuses what stands at `place` and names nothing else, but for what the place is part of or contains, and
    what begins with `also`."""
    found = check_error(answer, "ValidationException", "FieldValidationFailed")
    if found:
        return found
    names = [field["name"] for field in answer.json().get("fieldList", [])]
    wanted = spelt(place)
    if wanted not in names:
        found.append(f"the field list names {names}")
    related = lambda name: name.startswith(wanted) or wanted.startswith(name)
    strangers = [name for name in names if not related(name) and (also is None or not name.startswith(also))]
    return [*found, *(f"the field list also names {name}" for name in strangers)]


def check_request_id(answer: Answer) -> list[str]:
    given = answer.headers.get("x-amzn-requestid", "")
    return [] if REQUEST_ID.fullmatch(given) else [f"x-amzn-requestid is {given!r}"]


def parsed(answer: Answer) -> tuple[dict, str | None]:
    if answer.headers.get("Content-Type") != "application/json":
        return {}, f"Content-Type {answer.headers.get('Content-Type')} of {answer.body[:200]!r}"
    try:
        body = json.loads(answer.body)
    except ValueError as error:
        return {}, f"no JSON: {error}: {answer.body[:200]!r}"
    return (body, None) if isinstance(body, dict) else ({}, f"no object: {answer.body[:200]!r}")


def raw(answer: Answer) -> dict:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return {"status_code": answer.status, "headers": headers, "body": answer.body}


# --- values ------------------------------------------------------------------------------------------------------------


def check_value(shape: Shape, value, place: Place = ()) -> list[str]:
    """Checks a value of an answer's JSON, and all within it."""
    return [f"{spelt(place) or 'the body'}{complaint}" if isinstance(complaint, str) else complaint[0]
            for complaint in CHECKS[shape.type_name](shape, value, place)]


def check_structure(shape, value, place):
    if not isinstance(value, dict):
        yield f" is {value!r}, not an object"
        return
    yield from (f" has no {name}" for name in shape.required_members if name not in value)
    yield from (f" has {name}, which {shape.name} does not" for name in value if name not in shape.members)
    yield from (f" has null for {name}" for name, item in value.items() if item is None)
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield f" is a union with {sorted(value)}"
    empty = {name for name, item in value.items() if item == "" and (shape.name, name) in EMPTY}
    for name in set(value) & set(shape.members) - empty:
        yield from within(shape.members[name], value[name], (*place, name))


def check_list(shape, value, place):
    if not isinstance(value, list):
        yield f" is {value!r}, not an array"
        return
    yield from check_size(shape, len(value), "items")
    for idx, item in enumerate(value):
        yield from within(shape.member, item, (*place, idx))


def check_map(shape, value, place):
    if not isinstance(value, dict):
        yield f" is {value!r}, not an object"
        return
    yield from check_size(shape, len(value), "entries")
    for key, item in value.items():
        yield from within(shape.key, key, (*place, Key(key)))
        yield from within(shape.value, item, (*place, Key(key)))


def check_string(shape, value, place):
    if not isinstance(value, str):
        yield f" is {value!r}, not a string"
        return
    yield from check_size(shape, len(value), "characters")
    wider = WIDER.get(shape.name)
    if shape.enum and value not in shape.enum and value != wider:
        yield f" is {value!r}, none of {shape.enum}"
    if (pattern := wider or shape.metadata.get("pattern")) and not shape.enum and not text.fits(pattern, value):
        yield f" is {value!r}, which does not match {pattern}"


def check_integer(shape, value, place):
    if not isinstance(value, int) or isinstance(value, bool):
        yield f" is {value!r}, not a whole number"
        return
    yield from check_size(shape, value, "as value")
    if not -(2**31) <= value < 2**31:
        yield f" is {value}, which 32 bits do not hold"


def check_boolean(shape, value, place):
    if not isinstance(value, bool):
        yield f" is {value!r}, not a boolean"


def check_timestamp(shape, value, place):
    if shape.serialization.get("timestampFormat", "unixTimestamp") == "iso8601":
        if not isinstance(value, str) or not ISO_8601.fullmatch(value):
            yield f" is {value!r}, not a time of ISO 8601"
        else:
            yield from check_when(datetime.fromisoformat(value).timestamp())
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        yield f" is {value!r}, not seconds since 1970 as a number"
    else:
        yield from check_when(value)


def check_when(seconds: float):
    if abs(seconds - datetime.now().timestamp()) > 86_400:
        yield f" is {datetime.fromtimestamp(seconds)}, which is not about now"


def check_size(shape, size, of_what):
    least, greatest = bounds(shape)
    if size < least or (greatest is not None and size > greatest):
        yield f" has {size} {of_what}, which is not within {least} and {greatest}"


def within(shape, value, place):
    """Complaints of a place further in: they have their own name already."""
    return ((complaint,) for complaint in check_value(shape, value, place))


CHECKS = {
    "structure": check_structure, "list": check_list, "map": check_map, "string": check_string, "integer": check_integer,
    "boolean": check_boolean, "timestamp": check_timestamp,
}
