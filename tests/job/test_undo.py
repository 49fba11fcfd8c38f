"""What a job has set is taken back, where it is still as it was set."""

import asyncio
import gc
from dataclasses import replace

import pytest

from batch_alias import commands, run_job, undo_job
from batch_alias.errors import ExitCode, LedgerError
from batch_alias.job import open_undo
from batch_alias.settings import Comparing, Output, Reading

BEFORE = {("g", "u1"): ' old, "quoted"\r\n ', ("g", "u2"): "two\u200b", ("g", "u3"): "=3"}
ROWS = [("u1", "g", "new 1"), ("u2", "g", ""), ("u3", "g", "new 3"), ("u4", "g", "new 4")]


@pytest.fixture
def settings(sandbox, settings_for, write_csv):
    served = sandbox(aliases=BEFORE)
    reading, comparing = Reading(empty="clear"), Comparing(compare=True)
    return served, settings_for(write_csv(ROWS), served, reading=reading, comparing=comparing)


def undone(given):
    """The settings of the undo of a job, as those of a job that has been staged."""
    return replace(given, source=None, job=given.job_folder / "undo.aliases")


def test_every_alias_is_again_byte_for_byte_what_it_was_and_the_undo_can_be_undone(settings):
    served, given = settings
    assert asyncio.run(run_job(given)).exit_code == ExitCode.DONE
    after = served.aliases()
    assert asyncio.run(undo_job(given)).exit_code == ExitCode.DONE
    assert served.aliases() == BEFORE
    assert asyncio.run(undo_job(undone(given))).exit_code == ExitCode.DONE
    assert served.aliases() == after


def test_what_another_writer_set_since_stands(settings):
    served, given = settings
    asyncio.run(run_job(given))
    served.set_alias("g", "u3", "theirs")
    summary = asyncio.run(undo_job(given))
    assert (summary.exit_code, summary.states["conflict"]) == (ExitCode.NOT_ALL_ACCEPTED, 1)
    assert served.aliases() == BEFORE | {("g", "u3"): "theirs"}
    asyncio.run(run_job(undone(given)))
    assert served.aliases()["g", "u3"] == "theirs"


def test_a_job_that_was_not_compared_cannot_be_undone(settings):
    _, given = settings
    given = replace(given, comparing=Comparing())
    asyncio.run(run_job(replace(given, sending=replace(given.sending, limit=1))))
    with pytest.raises(LedgerError, match="--compare"):
        asyncio.run(undo_job(given))


def test_a_refusal_to_undo_leaves_no_query_open(sandbox, settings_for, write_csv):
    given = settings_for(write_csv(10), sandbox())
    asyncio.run(run_job(given))
    with pytest.raises(LedgerError, match="--compare"):
        asyncio.run(undo_job(given))
    gc.collect()  # what is left behind warns when it is collected, which fails the test


def test_rows_without_the_alias_before_are_counted_and_named(settings, caplog, capsys):
    served, given = settings
    asyncio.run(run_job(replace(given, comparing=Comparing(), sending=replace(given.sending, limit=1))))
    asyncio.run(run_job(given))
    summary = asyncio.run(undo_job(given))
    assert (summary.rows, summary.left_out, summary.exit_code) == (3, 1, ExitCode.NOT_ALL_ACCEPTED)
    assert "1 of its rows left out" in caplog.text
    page = (undone(given).job_folder / "report.html").read_text()
    assert "1 row of the job is left out: its alias before was not read." in page
    assert "Nothing is left to do" not in page
    assert commands.run(given, Output(yes=True, quiet=True), opened=open_undo) == ExitCode.NOT_ALL_ACCEPTED
    assert capsys.readouterr().err.splitlines() == [
        "Left out  not to be undone:",
        "        1 × the alias before was not read (row 2)",
    ]
    assert asyncio.run(run_job(undone(given))).exit_code == ExitCode.NOT_ALL_ACCEPTED
    assert served.aliases() == BEFORE | {("g", "u1"): "new 1"}


def test_a_job_that_set_nothing_has_nothing_to_be_undone(settings, sandbox, target_of):
    _, given = settings
    with pytest.raises(LedgerError, match="no ledger"):
        asyncio.run(undo_job(given))
    asyncio.run(run_job(given))
    with pytest.raises(LedgerError, match="begun for"):
        asyncio.run(undo_job(replace(given, target=target_of(sandbox()))))
    asyncio.run(undo_job(given))
    asyncio.run(undo_job(undone(given)))


def test_an_undo_that_was_begun_is_finished_before_more_is_undone(settings):
    served, given = settings
    asyncio.run(run_job(replace(given, sending=replace(given.sending, limit=2))))
    assert asyncio.run(undo_job(given)).rows == 2
    asyncio.run(run_job(given))
    with pytest.raises(LedgerError, match="since its undo was begun") as refused:
        asyncio.run(undo_job(given))
    assert "batch-alias retry" in refused.value.advice
    undone(given).job_folder.rename(given.job_folder / "first-undo.aliases")
    summary = asyncio.run(undo_job(given))
    assert (summary.states["accepted"], summary.states["unchanged"]) == (2, 2)
    assert served.aliases() == BEFORE
