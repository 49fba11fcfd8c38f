"""What a run would change is read first: nothing is sent, and the run that follows does as planned."""

import asyncio
from dataclasses import replace

import pytest

from batch_alias import plan_job, run_job
from batch_alias.errors import ExitCode, LedgerError, SourceError
from batch_alias.ledger import Plan
from batch_alias.settings import Comparing, Reading
from tests.support.faults import Script, coded

ROWS = [("u1", "g", "new"), ("u2", "g", "new"), ("u3", "g", ""), ("u4", "g", "same"), ("u5", "g", "")]
BEFORE = {("g", "u2"): "old", ("g", "u3"): "old", ("g", "u4"): "same"}
CLEARING = Reading(empty="clear")


@pytest.fixture
def settings(sandbox, settings_for, write_csv):
    def make(comparing=None, served=None, rows=ROWS, **more):
        served = served or sandbox(aliases=BEFORE)
        return served, settings_for(
            write_csv(rows), served, reading=CLEARING, comparing=comparing or Comparing(), **more
        )

    return make


def test_a_plan_reads_all_and_sets_nothing(settings):
    served, given = settings()
    found = asyncio.run(plan_job(given))
    assert found.plan == Plan(first=1, replaced=1, cleared=1, unchanged=2, conflict=0, unreadable=0, unread=0)
    assert [(row.number, row.before, row.remark) for row in found.first] == [
        (2, "", "new"),
        (3, "old", "new"),
        (4, "old", ""),
    ]
    assert (found.exit_code, found.counts.pending) == (ExitCode.DONE, 5)
    assert (served.stats().sets, served.aliases()) == (0, BEFORE)
    assert (given.job_folder / "plan.csv").read_text(encoding="utf-8-sig").count("\n") == 6
    requests = served.stats().requests
    assert asyncio.run(plan_job(given)) == found
    assert served.stats().requests == requests, "nothing is read twice"


def test_a_run_applies_its_plan_without_reading_again(settings):
    served, given = settings()
    asyncio.run(plan_job(given))
    read = served.stats().requests
    summary = asyncio.run(run_job(given))
    assert (summary.exit_code, summary.states["accepted"], summary.states["unchanged"]) == (ExitCode.DONE, 3, 2)
    assert served.stats().requests - read == 3
    assert served.aliases() == {("g", "u1"): "new", ("g", "u2"): "new", ("g", "u4"): "same"}


def test_the_source_of_a_plan_may_be_corrected(settings, write_csv, ledger_of):
    served, given = settings()
    asyncio.run(plan_job(given))
    write_csv([*ROWS[:4], ("u6", "g", "more")])
    read = served.stats().requests
    assert asyncio.run(plan_job(given)).plan.first == 2
    assert served.stats().requests - read == 1, "what was read for the other rows is kept"
    with ledger_of(given) as ledger:
        assert not ledger.was_run()
    assert asyncio.run(run_job(given)).states["accepted"] == 4
    write_csv(ROWS)
    with pytest.raises(LedgerError, match="has changed"):
        asyncio.run(plan_job(given))


def test_a_guard_outlasts_a_correction_of_the_source(settings, write_csv):
    served, given = settings(Comparing(only_absent=True))
    asyncio.run(plan_job(given))
    write_csv([("u1", "g", "newer"), *ROWS[1:]])
    summary = asyncio.run(run_job(replace(given, comparing=Comparing())))
    assert summary.states["conflict"] == 2
    assert served.aliases() == BEFORE | {("g", "u1"): "newer"}


def test_a_planned_job_is_not_read_in_another_way(settings):
    served, given = settings()
    asyncio.run(plan_job(given))
    with pytest.raises(LedgerError, match="by other flags"):
        asyncio.run(run_job(replace(given, reading=Reading())))
    assert served.aliases() == BEFORE
    assert asyncio.run(run_job(given)).exit_code == ExitCode.DONE


def test_what_was_read_of_another_target_is_forgotten(settings, sandbox, target_of):
    _, given = settings()
    asyncio.run(plan_job(given))
    elsewhere = replace(given, target=target_of(sandbox()))
    found = asyncio.run(plan_job(elsewhere)).plan
    assert (found.first, found.replaced, found.cleared, found.unchanged) == (3, 0, 0, 2)


def test_an_alias_that_cannot_be_read_is_counted_and_read_by_the_next_plan(settings, sandbox):
    served = sandbox(Script(lambda number: coded(1002) if number == 2 else None), aliases=BEFORE)
    _, given = settings(served=served)
    found = asyncio.run(plan_job(given))
    assert (found.plan.unreadable, found.plan.unread, found.exit_code) == (1, 0, ExitCode.NOT_ALL_ACCEPTED)
    read = served.stats().requests
    again = asyncio.run(plan_job(given))
    assert (again.plan.unreadable, again.exit_code) == (0, ExitCode.DONE)
    assert served.stats().requests - read == 1


def test_a_planned_job_stays_compared(settings, sandbox, ledger_of):
    served = sandbox(Script(lambda number: coded(1002) if number == 2 else None), aliases=BEFORE)
    _, given = settings(served=served)
    asyncio.run(plan_job(given))
    assert asyncio.run(run_job(given)).exit_code == ExitCode.DONE
    with ledger_of(given) as ledger:
        assert all(row.before is not None for row in ledger.rows())


@pytest.mark.parametrize("planned", [False, True])
def test_too_many_changes_are_refused_before_anything_is_sent(planned, settings, ledger_of):
    served, given = settings(Comparing(max_changes=0.3))
    if planned:
        asyncio.run(plan_job(given))
    with pytest.raises(
        SourceError, match=r"2 of 5 rows would replace or clear an alias: more than --max-changes 30% permits"
    ):
        asyncio.run(run_job(given))
    assert served.stats().sets == 0
    assert (given.job_folder / "plan.csv").exists()
    with ledger_of(given) as ledger:
        assert [run.command for run in ledger.runs()] == ["plan"]
    enough = replace(given, comparing=Comparing(max_changes=0.4))
    assert asyncio.run(run_job(enough)).exit_code == ExitCode.DONE


def test_an_alias_that_could_not_be_read_may_be_a_change(settings, sandbox):
    served = sandbox(Script(lambda number: coded(1002) if number == 2 else None))
    _, given = settings(Comparing(max_changes=0.1), served=served)
    with pytest.raises(SourceError, match="0 of 5 rows would replace or clear an alias, and 1 may, since theirs could"):
        asyncio.run(run_job(given))


def test_changes_are_counted_only_before_anything_is_sent(settings):
    served, given = settings()
    first = replace(given, sending=replace(given.sending, limit=1))
    assert asyncio.run(run_job(first)).states["accepted"] == 1
    asyncio.run(run_job(replace(given, comparing=Comparing(max_changes=0.0))))
    assert served.aliases()["g", "u2"] == "new"


def test_a_plan_counts_what_a_guard_would_leave_alone(settings):
    _, given = settings(Comparing(only_absent=True))
    found = asyncio.run(plan_job(given)).plan
    assert found == Plan(first=1, replaced=0, cleared=0, unchanged=2, conflict=2, unreadable=0, unread=0)
