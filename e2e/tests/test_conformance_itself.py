"""The suite's own instruments: they must find what is wrong. No server."""

import pytest

from conformance import answers, text
from conformance.breaks import breaks
from conformance.model import OPERATIONS, changed, general, operation
from conformance.values import Writer, variants

CREATED = {
    "agentRuntimeArn": "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/a-0123456789", "agentRuntimeId": "a-0123456789",
    "agentRuntimeVersion": "1", "createdAt": "NOW", "status": "CREATING",
    "workloadIdentityDetails": {"workloadIdentityArn": "arn:x"},
}


def now(epoch=False):
    from datetime import UTC, datetime

    time = datetime.now(UTC)
    return time.timestamp() if epoch else time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("agentRuntimeVersion",), "01", "does not match"),
        (("agentRuntimeVersion",), "100000", "characters"),
        (("agentRuntimeVersion",), 1, "not a string"),
        (("status",), "Creating", "none of"),
        (("status",), None, "null"),
        (("createdAt",), 1.0, "not a time of ISO 8601"),
        (("createdAt",), "2026-11-20 10:00:00", "not a time of ISO 8601"),
        (("createdAt",), "1970-01-01T00:00:00Z", "not about now"),
        (("ofOurOwn",), 1, "CreateAgentRuntimeResponse does not"),
        (("workloadIdentityDetails", "workloadIdentityArn"), "", "characters"),
        (("workloadIdentityDetails",), {}, "has no workloadIdentityArn"),
    ],
)
def test_an_answer_that_is_not_of_its_shape_is_found(place, value, words):
    shape, good = operation("CreateAgentRuntime").output_shape, CREATED | {"createdAt": now()}
    assert answers.check_value(shape, good) == []
    complaints = answers.check_value(shape, changed(good, place, value))
    assert any(words in complaint for complaint in complaints), complaints


def test_the_two_formats_of_times_are_told_apart():
    member = operation("ListCapacityProviders").output_shape.members["capacityProviders"].member.members["lastUpdatedAt"]
    assert answers.check_value(member, now(epoch=True)) == []
    assert answers.check_value(member, now()) != []


@pytest.mark.parametrize("name", OPERATIONS)
def test_generated_values_are_valid_and_broken_ones_are_not(name):
    """By the checks of answers, which know nothing of how values are made. Wrong types are found there, too."""
    shape, missed = operation(name).input_shape, []
    for size in ("least", "plain", "most"):
        for members in variants(lambda choices, turn: Writer(size, lambda *_: None, choices, turn=turn), shape):
            assert answers.check_value(shape, members) == []
            if size == "plain":
                cases = breaks(operation(name), members, {})
                missed += [case for case in cases if answers.check_value(shape, case.of(members)) == []]
    # Innkeep shows other references, too.
    assert [str(case) for case in missed if case.place[-1] != "containerUri"] == []


@pytest.mark.parametrize(
    ("pattern", "least", "greatest"),
    [("[a-z]{0,3}-[0-9]{10}", 0, 14), (r"\S*", 1, 2048), ("(a|b)c?", 1, 2), ("/mnt/[a-z]+/?", 6, 200), ("[^:]+:[^x]", 3, 9)],
)
def test_texts_match_their_pattern_and_misfits_do_not(pattern, least, greatest):
    short, long = (text.of_pattern(pattern, least, greatest, long) for long in (False, True))
    assert text.fits(pattern, short) and text.fits(pattern, long)
    assert least <= len(short) <= len(long) <= greatest
    assert text.misfits(pattern, long) and not any(text.fits(pattern, bad) for bad in text.misfits(pattern, long))


def test_places_are_spelt_as_the_field_list_has_them():
    assert general(("a", 0, "b")) == "a[].b"
