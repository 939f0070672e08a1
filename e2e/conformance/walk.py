"""The inputs of every operation against one server."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from botocore.model import OperationModel, Shape

from conformance import rules
from conformance.breaks import Break, breaks, two_of_a_union
from conformance.model import CLIENT_TOKEN, Key, Place, general, operation
from conformance.rules import World
from conformance.values import Writer, variants


def valid_inputs(name: str, world: World, size: str, left_out=frozenset()) -> list[dict]:
    """Inputs that take every member of every union between them; the plain one first."""
    shape = operation(name).input_shape

    def writer(choices, turn):
        return Writer(size, world.example(name), choices, rules.LEFT_OUT | left_out, rules.PREFERRED, turn)

    return list(variants(writer, shape))


@dataclass(frozen=True)
class Case:
    """A break of an input that is valid but for it. `also`: what else of the input Innkeep refuses."""

    operation: OperationModel
    members: dict
    breaks: Break
    also: str | None = None

    @property
    def broken(self) -> dict:
        return self.breaks.of(self.members)

    def __str__(self):
        return f"{self.operation.name}: {self.breaks}"


def broken_inputs(name: str, world: World) -> Iterator[Case]:
    """Every rule of every member broken once, whichever union the member is below."""
    model, seen = operation(name), set()
    token = {CLIENT_TOKEN: str(uuid.uuid4())} if CLIENT_TOKEN in model.input_shape.members else {}
    bases = [(members | token, None) for members in valid_inputs(name, world, "plain")]
    if "nextToken" in model.input_shape.members:
        bases = [(members, "nextToken") for members, _ in bases]  # one that no page gave is refused, too
    first, _ = bases[0]
    covers = rules.covers(world).items() if "roleArn" in first else ()
    bases += [(first | {member: value}, member) for member, value in covers]
    for members, cover in bases:
        for case in breaks(model, members, rules.REFUSED_WORDS):
            # A value is of the rule, except that it may name a new place.
            known = (case.rule, general(case.place), str(case.value)[:40], type(case.value).__name__)
            if known not in seen and cover in (None, "nextToken", case.place[0]):
                seen.add(known)
                yield Case(model, members, case, cover)
    for members, case in unions_broken(model.input_shape, [members for members, _ in bases]):
        yield Case(model, members, case)


def unions_broken(shape: Shape, bases: list[dict]) -> Iterator[tuple[dict, Break]]:
    """Two members of each union that has as many."""
    found: dict[str, tuple[dict, Place, dict]] = {}
    for members in bases:
        for place, value in unions_of(shape, members):
            base, where, merged = found.get(general(place), (members, place, {}))
            found[general(place)] = base, where, merged | value
    for base, place, merged in found.values():
        if len(merged) > 1:
            yield base, two_of_a_union(merged, {}, place)


def unions_of(shape: Shape, value, place: Place = ()) -> Iterator[tuple[Place, dict]]:
    match shape.type_name:
        case "structure":
            if getattr(shape, "is_tagged_union", False):
                yield place, value
            for name, item in value.items():
                yield from unions_of(shape.members[name], item, (*place, name))
        case "list":
            for idx, item in enumerate(value):
                yield from unions_of(shape.member, item, (*place, idx))
        case "map":
            for key, item in value.items():
                yield from unions_of(shape.value, item, (*place, Key(key)))


def every_place(shape: Shape, at: str = "") -> Iterator[str]:
    """Every place of a shape, in general, but for the shape itself."""
    match shape.type_name:
        case "structure":
            for name, member in shape.members.items():
                yield (inner := f"{at}.{name}".removeprefix("."))
                yield from every_place(member, inner)
        case "list":
            yield (inner := at + "[]")
            yield from every_place(shape.member, inner)
        case "map":
            yield (inner := at + "{}")
            yield from every_place(shape.value, inner)

