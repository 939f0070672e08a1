"""Texts of a pattern and a length. Deterministic: the same shape gives the same text each time."""

import re
import re._parser as parser
from functools import cache

from botocore.model import Shape

from conformance.model import bounds

PLENTY = 2048  # where the model has no greatest length


def fits(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None


@cache
def of_pattern(pattern: str, least: int, greatest: int, long: bool) -> str:
    """A text that matches the whole pattern: about the shortest that is long enough, or about the longest."""
    tree, found = parser.parse(pattern, re.ASCII), None
    for stretch in range(greatest + 1):
        text = grown(tree, stretch)
        if len(text) > greatest:
            break
        if len(text) >= least and (found is None or long):
            found = text
            if not long:
                break
    assert found is not None and fits(pattern, found), f"no text for {pattern!r}: give an example in rules.py"
    return found


def grown(tree, stretch: int) -> str:
    """A text of a parsed pattern whose repetitions have `stretch` turns, or as near to that as they may."""
    parts = []
    for name, argument in tree:
        match str(name):
            case "LITERAL":
                parts.append(chr(argument))
            case "ANY":
                parts.append("x")
            case "NOT_LITERAL":
                parts.append("y" if argument == ord("x") else "x")
            case "IN":
                parts.append(one_of(argument))
            case "MAX_REPEAT":
                least, greatest, what = argument
                # A repetition within a repetition would grow by the square.
                inner = 1 if greatest > 1 else stretch
                parts.append(grown(what, inner) * min(max(stretch, least), greatest))
            case "SUBPATTERN":
                parts.append(grown(argument[-1], stretch))
            case "BRANCH":
                parts.append(grown(argument[1][0], stretch))
            case "AT":
                pass
            case other:
                raise NotImplementedError(f"{other} in a pattern of the model")
    return "".join(parts)


def one_of(items) -> str:
    """A character of a class; a letter or a digit if it has one, for those are welcome at every place."""
    allowed = re.compile("|".join(map(class_of, items)))
    refused = items[0][0] == parser.NEGATE
    every = [chr(code) for code in range(0x21, 0x7F)]
    preferred = sorted(every, key=lambda character: not character.isalnum())
    return next(c for c in preferred if bool(allowed.fullmatch(c)) is not refused)


def class_of(item) -> str:
    name, argument = item
    match str(name):
        case "LITERAL":
            return re.escape(chr(argument))
        case "RANGE":
            return f"[{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}]"
        case "CATEGORY":
            negated, kind = "_NOT_" in str(argument), str(argument).rpartition("_")[2][0]
            return "\\" + (kind.upper() if negated else kind.lower())
    return r"(?!)"  # NEGATE itself


def of_shape(shape: Shape, long: bool) -> str:
    least, greatest = bounds(shape)
    pattern = shape.metadata.get("pattern")
    if pattern is not None:
        return of_pattern(pattern, least, greatest or PLENTY, long)
    return "x" * (min(greatest or PLENTY, PLENTY) if long else max(least, 1))


def misfits(pattern: str, good: str) -> list[str]:
    """Texts that the pattern refuses, near a good one: a change at the start, in the end, and a line's end that `$` would let by."""
    near = [good + "\n", good + "\u00e9", "\u00a7" + good[1:], good[:-1] + " ", good.replace(":", "_"), ""]
    return [text for text in dict.fromkeys(near) if text and not fits(pattern, text)][:3]
