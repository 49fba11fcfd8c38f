import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import Failure, State
from batch_alias.problems import found
from batch_alias.reports.wording import MOST_CAUSES, causes, code_meaning, exit_meaning, flags, latency
from batch_alias.rongcloud.codes import CODES, FAILURES
from batch_alias.text import _, proportion
from tests.support.rows import a_row, described


@pytest.mark.parametrize(
    ("label", "meaning"),
    [
        ("1005", CODES[1005].meaning),
        ("timeout", FAILURES[Failure.TIMEOUT].meaning),
        ("4711", "a code that RongCloud does not document"),
        ("HTTP 502", "Bad Gateway, from a gateway: without RongCloud's code"),
        ("HTTP 799", "a response, from a gateway: without RongCloud's code"),
        ("from-a-later-version", ""),
    ],
)
def test_the_meaning_of_a_response(label, meaning):
    assert code_meaning(label) == meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (None, "killed, or still running"),
        (ExitCode.NOT_ALL_ACCEPTED, "not all accepted (exit code 1)"),
        (130, "interrupted (exit code 130)"),
        (99, "ended (exit code 99)"),
    ],
)
def test_how_a_run_ended(code, meaning):
    assert exit_meaning(code) == meaning


def test_how_a_verification_ended():
    assert exit_meaning(1, "verify") == "not all as sent (exit code 1)"
    assert exit_meaning(0, "verify") == exit_meaning(0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_in_flight": 512, "rate": 100}, ["--max-in-flight 512", "--rate 100"]),
        ({"max_changes": 0.3, "compare": True, "members": None}, ["--max-changes 30%", "--compare"]),
        ({"max_rejected": 0.05, "max_failed": 0.125}, ["--max-rejected 5%", "--max-failed 12.5%"]),
        ({"timeout": 10.0, "patience": 1800.0}, ["--timeout 10s", "--patience 30m"]),
        ({"timeout": 0.5, "patience": 7200}, ["--timeout 0.5s", "--patience 2h"]),
        ({"patience": 0.0}, ["--patience 0s"]),
        ({"strict": True, "no_header": False, "limit": None, "accept": []}, ["--strict"]),
        ({"user_column": "my id", "sheet": "$x"}, ["--user-column 'my id'", "--sheet '$x'"]),
        ({"accept": ["number-format", "decimal-in-id"]}, ["--accept number-format", "--accept decimal-in-id"]),
        ({"from_a_later_version": 0.5}, ["--from-a-later-version 0.5"]),
    ],
)
def test_settings_are_written_as_flags(settings, expected):
    assert flags(settings) == expected


@pytest.mark.parametrize(("milliseconds", "text"), [(0.84, "0.84 ms"), (43.2, "43 ms"), (1234.5, "1.23 s")])
def test_a_latency_has_a_unit_of_its_size(milliseconds, text):
    assert latency(milliseconds) == text


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0%"), (1, "< 0.1%"), (123_400, "12.3%"), (999_999, "> 99.9%"), (1_000_000, "100%")]
)
def test_a_proportion_is_0_or_100_percent_only_when_it_is_exactly_that(part, text):
    assert proportion(part, 1_000_000).replace("\N{NO-BREAK SPACE}", " ") == text


def test_rows_are_counted_by_cause_whatever_the_rest_of_the_message_says():
    rows = [
        a_row(State.FAILED, code=1002, message=described("parameter missing or invalid", "user 7")),
        a_row(State.UNKNOWN, message=_("no response in time")),
        a_row(State.FAILED, message=described("no connection", "refused")),
        a_row(State.FAILED, code=1002, message=described("parameter missing or invalid", "user 8")),
        a_row(State.FAILED, message=described("no connection", "unreachable")),
        a_row(State.REJECTED, reason="empty-remark", message=_("Column {column} is empty.", column="'a'")),
        a_row(State.FAILED, code=1002, message=_("parameter missing or invalid")),
        *(
            a_row(State.CONFLICT, message=_("expected {expected}, found {found}", expected=alias, found="b"))
            for alias in "acde"
        ),
        *(a_row(State.CONFLICT, message=_("an alias is set: {alias}", alias=alias)) for alias in "abcde"),
        *(a_row(State.FAILED, message=_("the alias could not be read: {why}", why=why)) for why in "abcdef"),
    ]
    assert [(cause.rows, cause.example.state, cause.name) for cause in causes(rows).values()] == [
        (6, "failed", "the alias could not be read: …"),
        (5, "conflict", "an alias is set: …"),
        (4, "conflict", "expected …, found b"),
        (3, "failed", "1002 parameter missing or invalid"),
        (2, "failed", "no connection"),
        (1, "unknown", "no response in time"),
        (1, "rejected", "empty-remark"),
    ]


def test_the_sentence_of_a_cause_leaves_out_what_differs_and_the_details_of_a_row_have_it():
    name = "user-id-too-long"
    values = {"column": "'who'", "value": "'u'"}
    rows = [a_row(State.REJECTED, reason=name, message=found(name, size=size, **values).message) for size in (70, 80)]
    (cause,) = causes(rows).values()
    assert cause.message == "Column 'who' holds 'u', … bytes; RongCloud takes at most 64."
    assert [cause.details(row) for row in rows] == ["70", "80"]


def test_what_the_ids_of_a_row_show_is_no_detail():
    name = "decimal-in-id"
    users = ["1.0", "2.0"]
    rows = [
        a_row(State.REJECTED, reason=name, user_id=user, message=found(name, column="'u'", value=f"'{user}'").message)
        for user in users
    ]
    (cause,) = causes(rows).values()
    assert cause.message == "Column 'u' holds …, a decimal number."
    assert [cause.details(row) for row in rows] == ["", ""]


def test_a_text_that_only_looks_like_a_template_is_shown_as_it_is():
    rows = [a_row(State.FAILED, message=text) for text in ("{a:{", "{a:{", '{"code":')]
    counted = causes(rows).values()
    assert [(cause.rows, cause.name, cause.details(rows[0])) for cause in counted] == [
        (2, "{a:{", ""),
        (1, '{"code":', ""),
    ]


def test_a_problem_of_another_column_is_another_cause():
    name = "decimal-in-id"
    rows = [
        a_row(State.REJECTED, reason=name, message=found(name, column=column, value="'1.0'").message)
        for column in ("'u'", "'g'", "'u'")
    ]
    assert [cause.rows for cause in causes(rows).values()] == [2, 1]


def test_the_number_of_causes_is_bounded():
    rows = [a_row(State.FAILED, code=10_000 + number) for number in range(MOST_CAUSES + 50)]
    counted = list(causes(rows).values())
    assert len(counted) == MOST_CAUSES + 1
    assert (counted[0].name, counted[0].rows) == ("other causes", 50)
    assert sum(cause.rows for cause in counted) == len(rows)
