"""The ledger or its disk fails: a sentence, exit 5, nothing overwritten, nothing accepted forgotten."""

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from batch_alias.errors import ExitCode, LedgerError
from batch_alias.ledger import LEDGER, LedgerReader
from batch_alias.model import State

ROWS = 600


def test_a_folder_deleted_under_the_run_stops_it_with_a_sentence(
    run, sandbox, settings_for, write_csv, onlooker, until
):
    running = sandbox()
    settings = settings_for(write_csv(3000), running, rate=200)

    def delete():
        until(lambda: running.stats().requests > 30)
        shutil.rmtree(settings.job_folder)

    helper = threading.Thread(target=delete)
    with pytest.raises(LedgerError, match="ledger"):
        run(settings, watcher=onlooker(at_start=lambda _run: helper.start()))
    helper.join()
    assert running.stats().requests < 1000
    assert not (settings.job_folder / LEDGER).exists()


def damaged_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[5000:9000] = b"\xa5" * 4000
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def replaced_by_text(path: Path) -> None:
    path.write_text("This was a ledger once.\n" * 500)


def replaced_by_another_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (value)")
    db.close()


def of_a_later_format(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


HARM = [damaged_in_the_middle, cut_short, emptied, replaced_by_text, replaced_by_another_database, of_a_later_format]


@pytest.mark.parametrize("harm", HARM)
def test_a_ledger_that_is_not_whole_is_recognised_named_and_left_as_it_is(harm, run, sandbox, settings_for, write_csv):
    running = sandbox()
    settings = settings_for(write_csv(400), running, limit=20)
    run(settings)
    path = settings.job_folder / LEDGER
    harm(path)
    before, requests = path.read_bytes(), running.stats().requests
    with pytest.raises(LedgerError, match="ledger") as caught:
        run(settings)
    assert str(path) in str(caught.value)
    assert caught.value.advice
    assert path.read_bytes() == before
    assert running.stats().requests == requests


NO_FILE_ABOVE = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))"
"""To the process it is what a full disk is."""
BOUND_BY_MODES = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
if os.geteuid() == 0 and "bound" not in os.environ:
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)
    os.execve(sys.executable, sys.orig_argv, {**os.environ, "bound": "by modes"})
"""
"""Root may write to what is read-only; take that from it."""


def test_a_full_disk_stops_the_run_and_forgets_nothing_beyond_what_was_in_flight(
    command, sandbox, write_csv, accounts, tmp_path
):
    running = sandbox()
    width = 4
    arguments = ["run", write_csv(ROWS), "--job", "job", "--rate", 1000, "--max-in-flight", width]
    ended = command(*arguments, to=running, after=NO_FILE_ABOVE.format(1_000_000)).end()
    assert ended.code == ExitCode.LEDGER, ended.err
    assert "cannot be used" in ended.err
    assert "Traceback" not in ended.err
    with LedgerReader(tmp_path / "job") as ledger:
        kept = ledger.tally().accepted
    assert 0 < kept < ROWS
    assert running.stats().sets - kept <= width
    assert command(*arguments, to=running).end().code == ExitCode.DONE
    assert accounts().states == {State.ACCEPTED: ROWS}
    assert running.stats().keys_set_again <= width


def test_a_disk_too_full_for_the_staging_sends_nothing(command, sandbox, write_csv, tmp_path):
    running = sandbox()
    limited = NO_FILE_ABOVE.format(100_000)
    ended = command("run", write_csv(20_000), "--job", "job", to=running, after=limited).end()
    assert ended.code == ExitCode.LEDGER, ended.err
    assert "Traceback" not in ended.err
    assert running.stats().requests == 0
    assert not (tmp_path / "job" / LEDGER).exists()


@pytest.mark.parametrize("what", [LEDGER, "."], ids=["file", "folder"])
def test_a_ledger_that_is_read_only_stops_the_run_before_the_first_request(
    what, run, command, sandbox, settings_for, write_csv
):
    running = sandbox()
    settings = settings_for(write_csv(50), running, limit=5)
    run(settings)
    job = settings.job_folder
    before = (job / LEDGER).read_bytes()
    (job / what).chmod(0o555)
    try:
        ended = command("run", settings.source, "--job", job, to=running, after=BOUND_BY_MODES).end()
    finally:
        (job / what).chmod(0o755)
    assert ended.code == ExitCode.LEDGER, ended.err
    assert "Traceback" not in ended.err
    assert str(job) in ended.err
    assert running.stats().requests == 5
    assert (job / LEDGER).read_bytes() == before
