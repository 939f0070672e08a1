"""Valid inputs of a shape. What the model alone cannot say comes from examples: see rules.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from botocore.model import Shape

from conformance import text
from conformance.model import CLIENT_TOKEN, Key, Place, bounds, general, location

# A list or a map is filled up to its greatest length, but not further than this.
MANY = 50


@dataclass
class Writer:
    """Writes values of shapes. `size`: `least` has only what is required, at lower bounds; `plain` has every member once; `most` has
    every member at its upper bounds. `example` knows values that the model cannot; `choices` which member of a union to take."""

    size: str
    example: Callable[[Place, Shape, str], object | None]
    choices: dict[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    preferred: dict[str, str] = field(default_factory=dict)  # the member of a union that comes first
    turn: int = 0  # which word of an enum
    unions: dict[str, list[str]] = field(default_factory=dict)  # those met, with their members
    words: int = 1  # of the longest enum met

    def value(self, shape: Shape, place: Place = ()):
        example = self.example(place, shape, self.size)
        if example is not None and general(place) not in self.choices:
            return example
        return getattr(self, f"of_{shape.type_name}")(shape, place)

    def of_structure(self, shape: Shape, place: Place):
        if getattr(shape, "is_tagged_union", False):
            return self.of_union(shape, place)
        return {
            name: self.value(member, (*place, name))
            for name, member in shape.members.items()
            if name in shape.required_members or (self.size != "least" and self.wants((*place, name)))
        }

    def wants(self, place: Place) -> bool:
        return place != (CLIENT_TOKEN,) and general(place) not in self.left_out

    def of_union(self, shape: Shape, place: Place):
        at = general(place)
        names = sorted(shape.members, key=lambda name: name != self.preferred.get(at))
        self.unions[at] = names
        name = self.choices.get(at, names[0])
        return {name: self.value(shape.members[name], (*place, name))}

    def of_list(self, shape: Shape, place: Place):
        return [self.value(shape.member, (*place, idx)) for idx in range(self.length(shape))]

    def of_map(self, shape: Shape, place: Place):
        entries = {}
        for idx in range(self.length(shape)):
            key = self.key(shape, idx)
            entries[key] = self.value(shape.value, (*place, Key(key)))
        return entries

    def key(self, shape: Shape, idx: int) -> str:
        """Each another; the first at the bound."""
        return f"k{idx}" if idx or self.size != "most" else text.of_shape(shape.key, long=True)

    def length(self, shape: Shape) -> int:
        least, greatest = bounds(shape)
        if location(shape) == "querystring":
            least = max(least, 1)  # without items it is not there at all
        scalar = (shape.member if shape.type_name == "list" else shape.value).type_name != "structure"
        return {"least": least, "plain": max(least, 1), "most": min(greatest or 3, MANY) if scalar else max(least, 1)}[self.size]

    def of_string(self, shape: Shape, place: Place):
        if shape.enum:
            self.words = max(self.words, len(shape.enum))
            return shape.enum[self.turn % len(shape.enum)]
        return text.of_shape(shape, long=self.size == "most")

    def of_integer(self, shape: Shape, place: Place):
        least, greatest = bounds(shape)
        return (greatest if greatest is not None else max(least, 1024)) if self.size == "most" else least

    def of_boolean(self, shape: Shape, place: Place):
        return self.turn % 2 == 0


def variants(writer: Callable[[dict[str, str], int], Writer], shape: Shape):
    """Values that take every member of every union between them, and every word of the enums of the first."""
    first = writer({}, 0)
    yield first.value(shape)
    taken, waiting, turns = {(at, names[0]) for at, names in first.unions.items()}, [({}, first)], count(1)
    while waiting:
        choices, met = waiting.pop(0)
        for at, names in met.unions.items():
            for name in names:
                if (at, name) not in taken:
                    taken.add((at, name))
                    chosen = choices | {at: name}
                    other = writer(chosen, next(turns))
                    yield other.value(shape)
                    waiting.append((chosen, other))
    for turn in range(next(turns), first.words):
        yield writer({}, turn).value(shape)
