"""Inputs that break one rule of the model each: for every member at every depth all the ways that its shape can be violated."""

from collections.abc import Iterator
from dataclasses import dataclass

from botocore.model import OperationModel, Shape

from conformance import text
from conformance.model import GONE, Key, Place, bounds, changed, general, location, spelt

# Values of another type than a shape's, as JSON has them.
OTHERS = {
    "string": (7, ["x"], {}), "integer": ("8080", 1.5, True, []), "boolean": ("true", 1), "structure": ("x", [], 7),
    "list": ("x", {}), "map": ("x", []),
}
HUGE = 10**30  # beyond what any machine's integer holds
GREATEST = 2**31 - 1  # an Integer of the model has 32 bits


@dataclass(frozen=True)
class Break:
    """One value at one place that must be refused there."""

    rule: str
    place: Place
    value: object
    culprit: Place | None = None  # what the field list names, if not the place

    def of(self, members: dict) -> dict:
        return changed(members, self.place, self.value)

    @property
    def named(self) -> Place:
        return self.place if self.culprit is None else self.culprit

    def __str__(self):
        value = "" if self.value is GONE else f" {str(self.value)[:60]!r}"
        return f"{self.rule} at {spelt(self.named)}{value}"


def breaks(operation: OperationModel, members: dict, words: dict[str, list]) -> Iterator[Break]:
    """Every way to break the model's rules for a member that `members` has. `words`: by place, texts that are refused there, where
    the model's pattern is not what Innkeep goes by."""
    shape = operation.input_shape
    for name, value in members.items():
        where, member = location(shape.members[name]), shape.members[name]
        if where == "body":
            yield from of_member(member, value, (name,), name in shape.required_members, words)
        elif where == "uri":
            yield from (case for case in of_text(member, value, (name,), words) if case.value != "")
        else:
            yield from of_query(member, value, (name,), name in shape.required_members, words)


def of_query(shape: Shape, value, place: Place, required: bool, words) -> Iterator[Break]:
    """A query has texts only."""
    if required:
        yield Break("required", place, GONE)
    match shape.type_name:
        case "integer":
            yield from (Break("type", place, other) for other in ("x", "1.5", "", "1 "))
            yield from of_number(shape, value, place)
        case "list":
            _, greatest = bounds(shape)
            yield Break("too many", place, [f"k{n}" for n in range(greatest + 1)])
            for case in of_text(shape.member, value[0], (*place, 0), words):
                yield Break(case.rule, place, [case.value], (*place, 0))
        case _:
            yield from of_text(shape, value, place, words)


def of_member(shape: Shape, value, place: Place, required: bool, words) -> Iterator[Break]:
    if required:
        yield Break("required", place, GONE)
        yield Break("required, null", place, None)
    yield from of_value(shape, value, place, words)


def of_value(shape: Shape, value, place: Place, words) -> Iterator[Break]:
    yield from (Break("type", place, other) for other in OTHERS[shape.type_name])
    match shape.type_name:
        case "string":
            yield from of_text(shape, value, place, words)
        case "integer":
            yield from of_number(shape, value, place)
            yield Break("too great", place, HUGE)
        case "list":
            yield from of_list(shape, value, place, words)
        case "map":
            yield from of_map(shape, value, place, words)
        case "structure":
            yield from of_structure(shape, value, place, words)


def of_text(shape: Shape, good: str, place: Place, words) -> Iterator[Break]:
    least, greatest = bounds(shape)
    if shape.enum:
        for bad in words.get(general(place), ["NO_SUCH_WORD", shape.enum[0].swapcase(), ""]):
            yield Break("enum", place, bad)
        return
    if least > 0:
        yield Break("too short", place, good[: least - 1])
    if greatest is not None:
        yield Break("too long", place, good + (good or "x")[-1] * (greatest + 1 - len(good)))
    if pattern := shape.metadata.get("pattern"):
        for bad in words.get(general(place), text.misfits(pattern, good)):
            yield Break("pattern", place, bad)


def of_number(shape: Shape, _good: int, place: Place) -> Iterator[Break]:
    if "min" in shape.metadata:
        yield Break("too small", place, shape.metadata["min"] - 1)
        yield Break("too small", place, -HUGE)
    yield Break("too great", place, shape.metadata.get("max", GREATEST) + 1)


def of_list(shape: Shape, value: list, place: Place, words) -> Iterator[Break]:
    least, greatest = bounds(shape)
    if least > 0:
        yield Break("too few", place, value[: least - 1])
    if greatest is not None:
        yield Break("too many", place, value + value[-1:] * (greatest + 1 - len(value)))
    yield Break("null item", place, [*value, None], (*place, len(value)))
    for idx, item in enumerate(value):
        yield from of_value(shape.member, item, (*place, idx), words)


def of_map(shape: Shape, value: dict, place: Place, words) -> Iterator[Break]:
    least, greatest = bounds(shape)
    if least > 0:
        yield Break("too few", place, {})
    key, entry = next(iter(value.items()))
    if greatest is not None:
        yield Break("too many", place, {f"key{n}": entry for n in range(greatest + 1)})
    yield Break("null entry", place, value | {key: None}, (*place, Key(key)))
    for case in of_text(shape.key, key, (*place, Key(key)), words):
        yield Break(f"key: {case.rule}", place, {case.value: entry}, (*place, Key(case.value)))
    yield from of_value(shape.value, entry, (*place, Key(key)), words)


def of_structure(shape: Shape, value: dict, place: Place, words) -> Iterator[Break]:
    if getattr(shape, "is_tagged_union", False):
        yield Break("none of the union", place, {})
        yield Break("none of the union", place, {"notInTheModel": {}})
    for name, item in value.items():
        yield from of_member(shape.members[name], item, (*place, name), name in shape.required_members, words)


def two_of_a_union(one: dict, other: dict, place: Place) -> Break:
    """`one` and `other`: valid values of the same union with different members."""
    return Break("two of the union", place, one | other)
