"""What the reports say, case by case."""

from dataclasses import replace
from pathlib import Path

import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.records import RowRecord
from batch_alias.reports import wording
from batch_alias.reports.advice import Tone, advise, conclude, next_steps
from batch_alias.reports.causes import MOST_CAUSES, read_not_accepted
from batch_alias.reports.summary import Summary
from batch_alias.rongcloud.codes import CODES
from batch_alias.sources.reasons import ACCEPTABLE, REJECTIONS

GENERAL = "Correct the row and run not-accepted.csv."


def a_summary(exit_code: int | None = 1, *, runs: int = 1, stopped: str = "", **states: int) -> Summary:
    counts = {state.value: 0 for state in State} | states
    return Summary(
        version="1.0",
        source="names.csv",
        sha256="",
        rows=sum(counts.values()),
        blank_rows=0,
        states=counts,
        target="api.example.com",
        runs=runs,
        started_at="",
        ended_at="",
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


def an_entry(state: State, **facts: object) -> RowRecord:
    nothing = RowRecord(
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
    )
    return nothing._replace(**facts)


@pytest.mark.parametrize(
    ("totals", "tone", "sentence"),
    [
        (a_summary(0, accepted=300), Tone.GOOD, "All 300 aliases were accepted."),
        (a_summary(0, accepted=1), Tone.GOOD, "The alias was accepted."),
        (a_summary(0, accepted=290, superseded=10), Tone.GOOD, "All 290 aliases were accepted."),
        (a_summary(accepted=288, failed=9, rejected=3), Tone.WARNING, "12 of 300 rows were not accepted."),
        (a_summary(accepted=299, failed=1), Tone.WARNING, "1 of 300 rows was not accepted."),
        (a_summary(accepted=5, pending=5), Tone.WARNING, "5 of 10 rows accepted; 5 not sent yet."),
        (a_summary(4, accepted=1200, pending=800), Tone.BAD, "Stopped by the service: 1,200 of 2,000 rows accepted."),
        (a_summary(130, accepted=1, pending=1), Tone.WARNING, "Interrupted: 1 of 2 rows accepted."),
        (a_summary(None, accepted=1, pending=1), Tone.WARNING, "Not ended: 1 of 2 rows accepted."),
        (a_summary(None, runs=0, pending=2), Tone.WARNING, "Nothing has been sent."),
        (a_summary(3, runs=0, rejected=2), Tone.WARNING, "Nothing has been sent."),
    ],
)
def test_the_page_opens_with_what_became_of_the_job(totals, tone, sentence):
    found = conclude(totals)
    assert (found.tone, found.sentence) == (tone, sentence)


def test_why_the_service_stopped_the_run_stands_below_the_news():
    totals = a_summary(4, accepted=1, pending=1, stopped="The app is locked. Ask its owner.")
    assert conclude(totals).detail == "The app is locked. Ask its owner."


def test_a_job_that_is_done_needs_no_next_step():
    assert next_steps(a_summary(0, accepted=3, superseded=2), Path("job"), {}) == []


def test_next_steps_name_commands_that_can_be_pasted():
    steps = next_steps(a_summary(pending=2, failed=1, unknown=1, rejected=1), Path("my names.aliases"), {})
    assert [step.command for step in steps] == [
        "",
        "batch-alias retry 'my names.aliases'",
        "batch-alias run 'my names.aliases/not-accepted.csv'",
    ]
    assert "2 rows that failed or are unknown" in steps[1].text
    assert "1 rejected row " in steps[2].text


@pytest.mark.parametrize("reason", REJECTIONS)
def test_there_is_advice_of_its_own_for_every_reason_to_reject_a_row(reason):
    said = advise(an_entry(State.REJECTED, reason=reason))
    assert said != GENERAL
    assert "{" not in said
    assert (f"--accept {reason}" in said) == (reason in ACCEPTABLE)


@pytest.mark.parametrize("state", [State.REJECTED, State.FAILED, State.UNKNOWN, State.PENDING])
def test_every_row_that_was_not_accepted_has_advice_even_for_reasons_and_codes_nobody_knows(state):
    assert advise(an_entry(state, reason="from-a-later-version", code=4711)).endswith(".")


@pytest.mark.parametrize("code", [*map(str, CODES), "connect", "timeout", "dropped", "HTTP 502", "HTTP 799", "4711"])
def test_every_answer_has_a_meaning_in_words(code):
    assert wording.code_in_words(code)


def test_an_answer_of_a_kind_from_a_later_version_is_shown_by_its_name_alone():
    assert wording.code_in_words("carrier-pigeon") == ""


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_has_words(code):
    assert wording.exit_in_words(code).endswith(f"(exit code {code.value})")


def test_a_service_that_invents_a_code_for_every_row_does_not_fill_the_memory():
    entries = [an_entry(State.FAILED, code=10_000 + number) for number in range(MOST_CAUSES + 50)]
    found = read_not_accepted(entries, 10)
    assert len(found.causes) == MOST_CAUSES + 1
    assert found.causes[0].rows == 50
    assert sum(cause.rows for cause in found.causes) == len(entries)
    assert found.first == entries[:10]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.44, "0.4 s"),
        (45, "45 s"),
        (60, "1 min 0 s"),
        (725, "12 min 5 s"),
        (10_020, "2 h 47 min"),
        (273_700, "3 d 4 h"),
    ],
)
def test_time_spans_are_said_in_two_units_at_most(seconds, said):
    assert wording.duration(seconds) == said


@pytest.mark.parametrize(
    ("part", "said"), [(0, "0 %"), (1, "< 0.1 %"), (123_400, "12.3 %"), (999_999, "> 99.9 %"), (1_000_000, "100 %")]
)
def test_a_share_is_nothing_or_all_only_when_it_is(part, said):
    assert wording.share(part, 1_000_000).replace("\N{NO-BREAK SPACE}", " ") == said


def test_a_long_value_is_cut_and_says_how_long_it_was():
    assert wording.visible("名" * 70, 64) == "名" * 64 + "… (70 characters)"
    assert wording.visible("名" * 64, 64) == "名" * 64


def test_an_unknown_summary_is_not_taken_for_a_good_one():
    assert conclude(replace(a_summary(0, accepted=2), exit_code=1)).tone is Tone.GOOD
    assert conclude(a_summary(0, accepted=2, unknown=1)).tone is Tone.WARNING
