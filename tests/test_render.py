import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from batch_alias.job import open_job, plan_job
from batch_alias.ledger import ProblemCount
from batch_alias.model import State, StateCounts
from batch_alias.render import (
    done_line,
    left_lines,
    plan_lines,
    problem_lines,
    progress_text,
    state_counts,
    unreadable_line,
)
from batch_alias.sending.limiter import sending_seconds
from batch_alias.sending.metrics import Progress
from batch_alias.settings import Comparing


@pytest.fixture
def plan(settings_for, sandbox, write_csv, run) -> Callable[..., list[str]]:
    """The plan of a job for rows of (user id, group id, alias), after runs that send so many rows each."""

    def lines(*rows: tuple[str, str, str], sent: Sequence[int] = ()) -> list[str]:
        source, served = write_csv(rows), sandbox()
        for limit in sent:
            run(settings_for(source, served, max_rejected=0.9, limit=limit))
        with open_job(settings_for(source, served, max_rejected=0.9, rate=100)) as job:
            return list(plan_lines(job))

    return lines


def test_a_plan_names_source_columns_target_and_time(plan):
    source, columns, to_send = plan(*((f"u{number}", "g", "n") for number in range(1234)))
    assert source == "Source    rows.csv: CSV, UTF-8, comma; 1,234 rows"
    assert columns == "Columns   userId from 'userId', groupId from 'groupId', remark from 'remark'"
    assert re.fullmatch(r"To send   1,234 rows to 127\.0\.0\.1:\d+ as .{3}….{3}; about 13 s", to_send)


def test_a_plan_names_what_is_not_sent_and_what_is_odd(plan):
    rows = [("", "g", "n"), ("u1", "g", "old"), ("u1", "g", "new"), ("u2", "g", "n"), ("u3", "g", " n")]
    assert plan(*rows, sent=[1])[2:-1] == [
        "Rejected  1 row, not to be sent:",
        "        1 × empty-user-id (row 2)",
        "            Column 'userId' is empty.",
        "Warnings  sent all the same:",
        "        1 × white-space-removed (row 6)",
        "            White space around a value is not sent.",
        "Repeated  1 row: a later row sets the same user and group",
        "Resumed   1 row ended in an earlier run",
    ]


def test_a_plan_says_that_nothing_is_left(plan):
    assert plan(("u1", "g", "n"), sent=[1])[-1] == "To send   nothing: the job is finished"


def test_only_the_most_frequent_problems_are_listed():
    problems = [ProblemCount(name="", message=f"message {n}", count=n, rows=(n,)) for n in range(9, 2, -1)]
    lines = list(problem_lines(problems))
    assert lines[0] == "        9 × message 9 (rows 9, …)"
    assert len(lines) == 6
    assert lines[-1].strip() == "and 2 more kinds"


def test_groups_that_could_not_be_looked_up_are_counted_and_the_first_of_them_named():
    assert unreadable_line(["g1"]) == "Members   the members of 1 group could not be read: g1"
    many = unreadable_line([f"g{n}" for n in range(1234)])
    assert many == "Members   the members of 1,234 groups could not be read: g0, g1, g2, g3, g4, …"


def test_states_without_rows_are_left_out():
    assert state_counts(StateCounts(accepted=1000, unknown=2)) == "1,000 accepted, 2 unknown"
    assert state_counts(StateCounts()) == "none"


@pytest.mark.parametrize(
    ("counts", "sent", "line"),
    [
        (StateCounts(accepted=2, pending=1), True, "Done      2 accepted, 1 pending of 3 rows"),
        (StateCounts(unchanged=1), False, "Done      1 unchanged of 1 row"),
        (StateCounts(pending=300), False, "Result    Nothing has been sent: 300 pending of 300 rows"),
        (
            StateCounts(pending=299, rejected=1),
            True,
            "Result    No row was accepted: 1 rejected, 299 pending of 300 rows",
        ),
    ],
)
def test_the_end_of_a_run_says_whether_anything_was_done(counts, sent, line):
    assert done_line(counts, sent=sent) == line


def test_rows_that_were_not_accepted_are_counted_in_a_line_that_names_their_file():
    many = StateCounts(accepted=280, superseded=5, pending=3, rejected=10, failed=2)
    assert list(left_lines(many, Path("names.aliases"))) == [
        "12 of 300 rows were not accepted (10 rejected, 2 failed): names.aliases/not-accepted.csv",
        "3 of 300 rows not sent yet",
    ]
    one = StateCounts(conflict=1, accepted=1)
    assert list(left_lines(one, Path())) == ["1 of 2 rows was not accepted (1 conflict): not-accepted.csv"]
    assert list(left_lines(StateCounts(accepted=1), Path())) == []


def test_progress_in_a_few_words():
    states = {State.ACCEPTED: 5, State.FAILED: 0, State.UNKNOWN: 2}
    now = Progress(done=7, states=states, recent_rate=98, in_flight=1, outage=None)
    assert progress_text(now, None) == "2 unknown, 98/s"
    assert progress_text(now, 61.2) == "2 unknown, 98/s, 1 min 1 s left"
    assert progress_text(replace(now, recent_reads=97), None) == "2 unknown, 98/s and 97 reads/s"


@pytest.mark.parametrize(
    ("guarded", "shown"), [(False, []), (True, ["Checks    each alias is read before it is set, "])]
)
def test_a_planned_job_is_said_to_be_read_again_only_if_it_is_guarded(guarded, shown, settings_for, sandbox, write_csv):
    settings = settings_for(write_csv(3), sandbox(), comparing=Comparing(only_absent=guarded))
    asyncio.run(plan_job(settings))
    with open_job(settings) as job:
        lines = [line for line in plan_lines(job) if line.startswith("Checks")]
    assert [line[: len(start)] for line, start in zip(lines, shown, strict=True)] == shown


@pytest.mark.parametrize(
    ("comparing", "times", "checks"),
    [
        ({}, 1, []),
        ({"compare": True}, 1, ["each alias is read before it is set"]),
        ({"verify": True}, 1, ["it is read back"]),
        ({"compare": True, "verify": True}, 2, ["each alias is read before it is set", "it is read back"]),
        ({"only_absent": True}, 1, ["each alias is read before it is set", "it is set only where none is"]),
        ({"max_changes": 0.5}, 2, []),
    ],
)
def test_a_plan_says_how_rows_are_checked_and_how_much_longer_that_takes(
    comparing, times, checks, settings_for, sandbox, write_csv
):
    settings = settings_for(write_csv(1000), sandbox(), rate=10, comparing=Comparing(**comparing))
    with open_job(settings) as job:
        lines = list(plan_lines(job))
        assert job.seconds == pytest.approx(times * sending_seconds(1000, 10))
    assert [line for line in lines if line.startswith("Checks")] == [f"Checks    {', '.join(checks)}"][: len(checks)]
