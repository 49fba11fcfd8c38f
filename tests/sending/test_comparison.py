"""Each way in which a row can go on once its alias was read, as a table."""

from itertools import product

import pytest

from batch_alias.model import Row, State
from batch_alias.sending.comparison import FOUND_WHEN_READ_BACK, Ended, Steps, compare

PLAIN, COMPARED, ONLY_ABSENT = Steps(), Steps(compare=True), Steps(compare=True, only_absent=True)
SO_ALREADY = Ended(State.UNCHANGED, "it was so already")
READ_BACK = Ended(State.ACCEPTED, FOUND_WHEN_READ_BACK)
UNREAD = "the alias could not be read before it was set"


def row(remark: str = "new", **more) -> Row:
    return Row(number=2, user_id="u", group_id="g", remark=remark, **more)


@pytest.mark.parametrize(
    ("wanted", "found", "expected", "steps", "in_doubt", "ended"),
    [
        # Without a guard what is set does not matter, unless it is what the row wants.
        ("new", "old", None, COMPARED, False, None),
        ("new", "", None, COMPARED, False, None),
        ("new", "new", None, COMPARED, False, SO_ALREADY),
        ("", "", None, COMPARED, False, SO_ALREADY),
        ("", "old", None, COMPARED, False, None),
        ("new", "New", None, COMPARED, False, None),
        ("new", "new ", None, COMPARED, False, None),
        ("new", None, None, COMPARED, False, None),
        ("new", None, None, PLAIN, True, None),
        # A row in doubt that is what it wants was set by it.
        ("new", "new", None, PLAIN, True, READ_BACK),
        ("", "", None, PLAIN, True, READ_BACK),
        ("new", "new", "old", PLAIN, True, READ_BACK),
        ("new", "new", None, ONLY_ABSENT, True, READ_BACK),
        ("new", "old", None, PLAIN, True, None),
        # Only where no alias is set.
        ("new", "", None, ONLY_ABSENT, False, None),
        ("new", "old", None, ONLY_ABSENT, False, Ended(State.CONFLICT, "an alias is set: old")),
        ("new", "old", None, ONLY_ABSENT, True, Ended(State.CONFLICT, "an alias is set: old")),
        ("new", "new", None, ONLY_ABSENT, False, SO_ALREADY),
        ("", "old", None, ONLY_ABSENT, False, Ended(State.CONFLICT, "an alias is set: old")),
        ("new", None, None, ONLY_ABSENT, False, Ended(State.FAILED, UNREAD)),
        ("new", None, None, ONLY_ABSENT, True, Ended(State.UNKNOWN, UNREAD)),
        # Only where the alias is the expected one.
        ("new", "old", "old", PLAIN, False, None),
        ("new", "", "", PLAIN, False, None),
        ("new", "other", "old", PLAIN, False, Ended(State.CONFLICT, "expected old, found other")),
        ("new", "", "old", PLAIN, False, Ended(State.CONFLICT, "expected old, found no alias")),
        ("new", "other", "", PLAIN, False, Ended(State.CONFLICT, "expected no alias, found other")),
        ("new", "new", "old", PLAIN, False, SO_ALREADY),
        ("", "old", "old", PLAIN, False, None),
        ("new", None, "old", PLAIN, False, Ended(State.FAILED, UNREAD)),
        ("new", None, "", PLAIN, True, Ended(State.UNKNOWN, UNREAD)),
        # Both guards.
        ("new", "", "", ONLY_ABSENT, False, None),
        ("new", "", "old", ONLY_ABSENT, False, Ended(State.CONFLICT, "expected old, found no alias")),
        ("new", "old", "old", ONLY_ABSENT, False, Ended(State.CONFLICT, "an alias is set: old")),
    ],
)
def test_what_was_read_decides_how_a_row_ends(wanted, found, expected, steps, in_doubt, ended):
    assert compare(row(wanted, expected=expected), found, steps, in_doubt=in_doubt) == ended


ALIASES = ("", "a", "b")


def test_a_guarded_row_is_sent_only_if_what_it_may_replace_was_read():
    cases = product(ALIASES, (None, *ALIASES), (None, *ALIASES), (PLAIN, ONLY_ABSENT), (False, True))
    for wanted, found, expected, steps, in_doubt in cases:
        guarded = row(wanted, expected=expected)
        ended = compare(guarded, found, steps, in_doubt=in_doubt)
        if steps.is_guarded(guarded) and ended is None:
            assert found is not None
            assert found != wanted
            assert expected in {None, found}
            assert not (steps.only_absent and found)
        if ended is not None and ended.state is State.CONFLICT:
            assert found != wanted


def test_a_long_alias_in_a_message_is_cut_off():
    ended = compare(row(expected="x" * 500), "y" * 500, PLAIN, in_doubt=False)
    assert len(ended.message) < 200


@pytest.mark.parametrize(
    ("steps", "more", "first"),
    [
        (PLAIN, {}, False),
        (PLAIN, {"in_doubt": True}, True),
        (PLAIN, {"expected": ""}, True),
        (PLAIN, {"before": "old", "expected": "old"}, True),
        (COMPARED, {}, True),
        (COMPARED, {"before": ""}, False),
        (COMPARED, {"before": "old"}, False),
        (COMPARED, {"before": "old", "in_doubt": True}, True),
        (ONLY_ABSENT, {"before": ""}, True),
        (Steps(verify=True), {}, False),
    ],
)
def test_a_row_is_read_first_if_its_alias_is_needed_and_not_known(steps, more, first):
    assert steps.is_read_first(row(**more)) is first
