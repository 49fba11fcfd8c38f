"""Guards and comparisons, once used for a job, stay on for it."""

import asyncio
from dataclasses import replace

import pytest

from batch_alias import run_job
from batch_alias.errors import ExitCode
from batch_alias.settings import Comparing, Reading
from tests.support.faults import Script, coded

ONE_FAILS = Script(lambda number: coded(1002) if number == 4 else None)


@pytest.fixture
def rerun():
    """Run what is left and what failed, without any of the flags."""
    return lambda given: asyncio.run(run_job(replace(given, source=None, comparing=Comparing())))


def test_unchanged_counts_as_done_and_is_not_sent(sandbox, settings_for, write_csv):
    served = sandbox(aliases={("g", "u1"): "a"})
    summary = asyncio.run(
        run_job(settings_for(write_csv([("u1", "g", "a")]), served, comparing=Comparing(compare=True)))
    )
    assert (summary.exit_code, summary.states["unchanged"], served.stats().sets) == (ExitCode.DONE, 1, 0)


def test_only_absent_leaves_others_alone_and_a_retry_does_too(sandbox, settings_for, write_csv, rerun, ledger_of):
    served = sandbox(ONE_FAILS, aliases={("g", "u1"): "theirs"})
    source = write_csv([(f"u{n}", "g", "ours") for n in range(1, 4)])
    given = settings_for(source, served, comparing=Comparing(only_absent=True), max_in_flight=1)
    summary = asyncio.run(run_job(given))
    assert (summary.exit_code, summary.states["conflict"]) == (ExitCode.NOT_ALL_ACCEPTED, 1)
    (left,) = {"u2", "u3"} - {user for _, user in served.aliases()}
    served.set_alias("g", left, "theirs")
    summary = rerun(given)
    assert (summary.states["conflict"], served.aliases()["g", left]) == (2, "theirs")
    with ledger_of(given) as ledger:
        first, second = (run.settings for run in ledger.runs())
    assert first["only_absent"] is second["only_absent"] is True
    assert "members" not in first


def test_rows_that_expect_an_alias_are_guarded_without_a_flag(sandbox, settings_for, tmp_path, rerun):
    served = sandbox(aliases={("g", "u1"): "old", ("g", "u2"): "changed"})
    source = tmp_path / "rows.csv"
    source.write_text("userId,groupId,remark,was\nu1,g,new,old\nu2,g,new,old\nu3,g,new,\n")
    given = settings_for(source, served, reading=Reading(expect_column="was"))
    summary = asyncio.run(run_job(given))
    assert (summary.states["accepted"], summary.states["conflict"]) == (2, 1)
    assert served.aliases() == {("g", "u1"): "new", ("g", "u2"): "changed", ("g", "u3"): "new"}
