from dataclasses import asdict, replace
from pathlib import Path

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger import RowRecord
from batch_alias.model import DONE_STATES, Failure, State, StateCounts
from batch_alias.problems import ACCEPTABLE, REJECTIONS
from batch_alias.reports.summary import Summary
from batch_alias.reports.wording import (
    MOST_CAUSES,
    advise,
    causes,
    code_meaning,
    conclude,
    exit_meaning,
    facts,
    flags,
    latency,
    next_steps,
)
from batch_alias.rongcloud.codes import CODES, FAILURES
from batch_alias.settings import Reading
from batch_alias.text import proportion
from tests.support.jobs import job_info

NOT_DONE = [State.REJECTED, State.CONFLICT, State.FAILED, State.UNKNOWN, State.PENDING]
INFO = job_info()


def a_summary(
    exit_code: int | None = 1,
    *,
    runs: int = 1,
    stopped: str = "",
    changes: dict[str, int] | None = None,
    verified: int = 0,
    differs: int = 0,
    left_out: int = 0,
    **states: int,
) -> Summary:
    counts = StateCounts(**states)
    return Summary(
        version="1.0",
        source="names.csv",
        sha256="",
        rows=counts.rows,
        blank_rows=0,
        states=asdict(counts),
        target="api.example.com",
        runs=runs,
        started_at="",
        ended_at="",
        changes=changes or {},
        reads=0,
        read_refusals=0,
        verified=verified,
        differs=differs,
        left_out=left_out,
        sending_seconds=1.0,
        requests=1,
        retries=0,
        refusals=0,
        mean_rate=1.0,
        busiest_second=1,
        latency_ms={},
        codes={},
        host_switches=0,
        exit_code=exit_code,
        stopped=stopped,
    )


def a_row(state: State, **values: object) -> RowRecord:
    row = RowRecord(
        number=2,
        user_id="u",
        group_id="g",
        remark="a",
        state=state,
        reason="",
        message="",
        code=None,
        attempts=0,
        request_id="",
        finished_at=None,
        warning="",
        cells=None,
        before=None,
        found=None,
        verified_at=None,
        expected=None,
        change="",
    )
    return row._replace(**values)


@pytest.mark.parametrize(
    ("summary", "tone", "sentence"),
    [
        (a_summary(0, accepted=300), "good", "All 300 aliases were accepted."),
        (a_summary(0, accepted=1), "good", "The alias was accepted."),
        (a_summary(0, accepted=290, superseded=10), "good", "All 290 aliases were accepted."),
        (a_summary(1, accepted=2), "good", "All 2 aliases were accepted."),
        (
            a_summary(0, accepted=120, unchanged=180),
            "good",
            "All 300 aliases are set: 120 accepted, 180 were so already.",
        ),
        (a_summary(0, accepted=2, unchanged=1), "good", "All 3 aliases are set: 2 accepted, 1 was so already."),
        (a_summary(0, unchanged=180), "good", "All 180 aliases were so already."),
        (a_summary(0, unchanged=1, superseded=1), "good", "The alias was so already."),
        (
            a_summary(1, accepted=9, unchanged=1, verified=7, differs=2),
            "warning",
            "2 of 9 accepted rows not as sent when read back.",
        ),
        (a_summary(accepted=2, left_out=1), "warning", "All 2 aliases were accepted."),
        (a_summary(4, pending=2, left_out=1), "bad", "Stopped by the service: 0 of 2 rows accepted."),
        (a_summary(0, accepted=2, unknown=1), "warning", "1 of 3 rows was not accepted."),
        (a_summary(accepted=288, failed=9, rejected=3), "warning", "12 of 300 rows were not accepted."),
        (a_summary(accepted=299, failed=1), "warning", "1 of 300 rows was not accepted."),
        (a_summary(accepted=5, pending=5), "warning", "5 of 10 rows accepted; 5 not sent yet."),
        (a_summary(accepted=1, unchanged=4, pending=5), "warning", "5 of 10 rows done; 5 not sent yet."),
        (a_summary(accepted=1, unchanged=4, conflict=5), "warning", "5 of 10 rows were not accepted."),
        (a_summary(0, pending=5, changes={"set": 5}), "warning", "Nothing has been sent."),
        (a_summary(4, accepted=1200, pending=800), "bad", "Stopped by the service: 1,200 of 2,000 rows accepted."),
        (a_summary(130, accepted=1, pending=1), "warning", "Interrupted: 1 of 2 rows accepted."),
        (a_summary(None, accepted=1, pending=1), "warning", "Not finished: 1 of 2 rows accepted."),
        (a_summary(None, runs=0, pending=2), "warning", "Nothing has been sent."),
        (a_summary(3, runs=0, rejected=2), "warning", "Nothing has been sent."),
    ],
)
def test_the_result_in_a_sentence(summary, tone, sentence):
    found = conclude(summary)
    assert (found.tone, found.sentence) == (tone, sentence)


@pytest.mark.parametrize(
    ("summary", "detail"),
    [
        (a_summary(4, accepted=1, pending=1, stopped="The app is locked."), "The app is locked."),
        (a_summary(0, accepted=1, superseded=2), "2 rows not sent: a later row sets the same user and group."),
        (a_summary(3, runs=0, rejected=2), "Too many rows are rejected."),
        (a_summary(conflict=1, failed=1), "1 conflict: the alias is not the one that may be replaced."),
        (a_summary(0, pending=5, changes={"set": 1, "replace": 3}), "The aliases of 4 rows were read."),
        (a_summary(0, accepted=2, verified=2), "Read back and as sent: 2 rows."),
        (
            a_summary(1, accepted=2, verified=1, differs=1),
            "All 2 aliases were accepted. Read back and as sent: 1 row.",
        ),
        (a_summary(accepted=2, left_out=1), "1 row of the job is left out: its alias before was not read."),
        (
            a_summary(accepted=2, verified=2, left_out=3),
            "Read back and as sent: 2 rows. 3 rows of the job are left out: their alias before was not read.",
        ),
        (a_summary(None, pending=1), "The last run was killed, or is still running."),
    ],
)
def test_the_detail_says_why(summary, detail):
    assert conclude(summary).detail == detail


def test_a_finished_job_has_no_next_step():
    assert next_steps(a_summary(0, accepted=3, superseded=2), Path("job"), INFO) == []


def test_the_commands_of_next_steps_can_be_pasted_into_a_shell():
    info = replace(
        INFO, header=("my id", "groupId", "remark"), reading={"user_column": "B", "sheet": None, "accept": []}
    )
    steps = next_steps(a_summary(pending=2, failed=1, unknown=1, rejected=1), Path("my names.aliases"), info)
    assert [step.command for step in steps] == [
        "",
        "batch-alias retry 'my names.aliases'",
        "batch-alias run 'my names.aliases/not-accepted.csv' --user-column 'my id'",
    ]
    assert "Send 2 rows not sent yet: " in steps[0].text
    assert "2 failed or unknown rows" in steps[1].text
    assert "1 rejected row " in steps[2].text
    assert [bool(step.note) for step in steps] == [False, True, True]
    assert [step.is_same for step in steps] == [True, False, False]


def test_what_the_source_was_read_with_is_said_again_as_far_as_it_is_not_usual():
    names = {"user_column": None, "remark_column": "D", "expect_column": "4"}
    reading = asdict(Reading(**names, empty="clear", format="csv", verbatim=True)) | {"accept": []}
    info = replace(INFO, header=("userId", "was", "groupId", "new"), columns=(0, 2, 3, 1), reading=reading)
    sent = replace(info, reading=reading | {"verbatim": False})
    [step] = next_steps(a_summary(rejected=1), Path("job"), sent)
    command = "batch-alias run job/not-accepted.csv --remark-column new --expect-column was --empty clear"
    assert step.command == command
    assert facts(info, [])["Read with"] == ["--remark-column D", "--expect-column 4", "--empty clear", "--format csv"]
    assert facts(info, [])["Column of expected"] == ["was"]
    assert "Read with" not in facts(replace(INFO, reading=asdict(Reading())), [])


def test_conflicts_have_a_step_without_a_command():
    (step,) = next_steps(a_summary(accepted=1, unchanged=1, conflict=3), Path("job"), INFO)
    assert step.text.startswith("Decide about 3 conflicts. ")
    assert not step.command
    assert not step.is_same


def test_what_is_left_of_an_undo_is_only_retried():
    info = replace(INFO, reading=asdict(Reading(empty="clear", format="csv", verbatim=True)))
    summary = a_summary(accepted=1, pending=1, failed=1, rejected=1, conflict=1, differs=1)
    steps = next_steps(summary, Path("job/undo.aliases"), info)
    retry = "batch-alias retry job/undo.aliases"
    assert [step.command for step in steps] == [retry, retry, "", ""]
    assert not any(step.is_same for step in steps)
    told = [step.text for step in steps] + [advise(a_row(state), info) for state in (State.PENDING, State.CONFLICT)]
    for text in told:
        assert "same source" not in text
        assert "not-accepted.csv" not in text


def test_rows_that_differ_can_be_sent_again():
    summary = a_summary(accepted=3, verified=1, differs=2)
    (step,) = next_steps(summary, Path("my job"), INFO)
    assert "2 rows in differs.csv" in step.text
    assert step.command == "batch-alias run 'my job/differs.csv'"
    for empty, more in (("clear", " --empty clear"), ("reject", "")):
        (step,) = next_steps(summary, Path("my job"), replace(INFO, reading={"empty": empty}))
        assert step.command == f"batch-alias run 'my job/differs.csv'{more}"


@pytest.mark.parametrize("reason", REJECTIONS)
def test_a_rejected_row_has_the_advice_of_its_reason(reason):
    advice = advise(a_row(State.REJECTED, reason=reason), INFO)
    assert advice.startswith(REJECTIONS[reason].advice)
    assert (f"--accept {reason}" in advice) == (reason in ACCEPTABLE)


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        (None, "no connection: refused", "batch-alias retry"),
        (None, "HTTP 403 from a gateway: <html>", "A gateway refuses this row"),
        (None, "the alias could not be read before it was set: HTTP 502", "batch-alias retry"),
        (1002, "", "Check the ids"),
        (1003, "", "batch-alias retry"),
        (1005, "", "Shorten"),
    ],
)
def test_a_failed_row_has_the_advice_of_its_code(code, message, advice):
    assert advice in advise(a_row(State.FAILED, code=code, message=message), INFO)


@pytest.mark.parametrize("state", NOT_DONE)
def test_a_row_that_is_not_done_has_advice_even_for_unknown_reasons_and_codes(state):
    assert advise(a_row(state, reason="from-a-later-version", code=4711), INFO).endswith(".")


@pytest.mark.parametrize("state", DONE_STATES)
def test_a_row_that_is_done_has_no_advice(state):
    assert advise(a_row(state), INFO) == ""


def test_rows_are_counted_by_cause_whatever_the_rest_of_the_message_says():
    rows = [
        a_row(State.FAILED, code=1002, message="parameter missing or invalid: user 7"),
        a_row(State.UNKNOWN, message="no response in time"),
        a_row(State.FAILED, message="no connection: refused"),
        a_row(State.FAILED, code=1002, message="parameter missing or invalid: user 8"),
        a_row(State.FAILED, message="no connection: unreachable"),
        a_row(State.REJECTED, reason="empty-remark", message="Column 'a' is empty."),
        a_row(State.PENDING, message="of the last run"),
        a_row(State.FAILED, code=1002),
        *(a_row(State.CONFLICT, message=f"expected {alias}: x, found b") for alias in "abcd"),
        *(a_row(State.CONFLICT, message=f"an alias is set: {alias}") for alias in "abcde"),
        *(a_row(State.FAILED, message=f"the alias could not be read before it was set: {why}") for why in "abcdef"),
    ]
    assert [(cause.rows, cause.example.state, cause.name) for cause in causes(rows)] == [
        (6, "failed", "the alias could not be read before it was set"),
        (5, "conflict", "an alias is set"),
        (4, "conflict", "not the expected alias"),
        (3, "failed", "1002 parameter missing or invalid"),
        (2, "failed", "no connection"),
        (1, "unknown", "no response in time"),
        (1, "rejected", "empty-remark"),
        (1, "pending", "not sent yet"),
    ]


def test_the_number_of_causes_is_bounded():
    rows = [a_row(State.FAILED, code=10_000 + number) for number in range(MOST_CAUSES + 50)]
    found = causes(rows)
    assert len(found) == MOST_CAUSES + 1
    assert (found[0].name, found[0].rows) == ("other causes", 50)
    assert sum(cause.rows for cause in found) == len(rows)


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
