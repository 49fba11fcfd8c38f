"""The ledger or its disk fails: a sentence, exit 5, nothing is overwritten, nothing accepted is lost."""

import shutil
from pathlib import Path

import pytest

from batch_alias.errors import ExitCode, LedgerError
from batch_alias.ledger import LEDGER, Place
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import State
from batch_alias.settings import Reading
from batch_alias.staging import staged
from tests.support.damage import DAMAGES

ROWS = 600


def test_a_folder_deleted_during_the_run_stops_it(run, sandbox, settings_for, write_csv, at_request):
    served = sandbox()
    settings = settings_for(write_csv(300), served, rate=200)
    served.faults = at_request(30, lambda: shutil.rmtree(settings.job_folder))
    with pytest.raises(LedgerError, match="ledger"):
        run(settings)
    assert served.stats().requests < 300
    assert not (settings.job_folder / LEDGER).exists()


@pytest.mark.parametrize(("damage", "problem"), DAMAGES.values(), ids=DAMAGES)
def test_a_ledger_that_cannot_be_used_is_named_and_left_as_it_is(
    damage, problem, run, sandbox, settings_for, write_csv
):
    served = sandbox()
    settings = settings_for(write_csv(400), served, limit=5)
    run(settings)
    path = settings.job_folder / LEDGER
    damage(path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=problem) as caught:
        run(settings)
    assert str(path) in str(caught.value)
    assert caught.value.advice
    assert path.read_bytes() == before
    assert served.stats().requests == 5


NO_FILE_ABOVE = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))"
"""To the process it is what a full disk is."""
BOUND_BY_MODES = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
if os.geteuid() == 0 and "bound" not in os.environ:
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability)
    os.execve(sys.executable, sys.orig_argv, {**os.environ, "bound": "by modes"})
"""
"""Root may read and write whatever the modes are; this takes that right away."""


def test_a_full_disk_stops_the_run_and_loses_at_most_what_was_in_flight(
    command, run, sandbox, settings_for, write_csv, results, tmp_path
):
    served = sandbox()
    source, width = write_csv(ROWS), 4
    arguments = ["run", source, "--job", "job", "--rate", 1000, "--max-in-flight", width]
    ended = command(*arguments, to=served, before=NO_FILE_ABOVE.format(1_000_000)).end()
    assert ended.code == ExitCode.LEDGER, ended.err
    assert "cannot be used" in ended.err
    assert "Traceback" not in ended.err
    with SqliteReader(tmp_path / "job") as ledger:
        kept = ledger.counts().accepted
    assert 0 < kept < ROWS
    assert served.stats().sets - kept <= width
    assert run(settings_for(source, served)).exit_code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: ROWS}
    assert served.stats().keys_set_again <= width


def test_a_disk_too_full_to_stage_the_source_sends_nothing(command, sandbox, write_csv, tmp_path):
    served = sandbox()
    limited = NO_FILE_ABOVE.format(100_000)
    ended = command("run", write_csv(3000), "--job", "job", to=served, before=limited).end()
    assert ended.code == ExitCode.LEDGER, ended.err
    assert "Traceback" not in ended.err
    assert served.stats().requests == 0
    assert not (tmp_path / "job" / LEDGER).exists()


@pytest.mark.parametrize("what", [LEDGER, "."], ids=["file", "folder"])
def test_a_read_only_ledger_stops_the_run_before_the_first_request(
    what, run, command, sandbox, settings_for, write_csv
):
    served = sandbox()
    settings = settings_for(write_csv(50), served, limit=5)
    run(settings)
    job = settings.job_folder
    before = (job / LEDGER).read_bytes()
    (job / what).chmod(0o555)
    try:
        ended = command("run", settings.source, "--job", job, to=served, before=BOUND_BY_MODES).end()
    finally:
        (job / what).chmod(0o755)
    assert ended.code == ExitCode.LEDGER, ended.err
    assert "Traceback" not in ended.err
    assert str(job) in ended.err
    assert served.stats().requests == 5
    assert (job / LEDGER).read_bytes() == before


def test_a_job_in_a_folder_that_cannot_be_written_can_be_read(run, command, sandbox, settings_for, write_csv):
    settings = settings_for(write_csv(5), sandbox())
    run(settings)
    job = settings.job_folder
    log = job / f"{LEDGER}-wal"
    job.chmod(0o555)
    try:
        ended = command("status", job, before=BOUND_BY_MODES).end()
        assert ended.code == ExitCode.DONE, ended.err
        assert "5 accepted of 5" in ended.out
        log.write_bytes(b"of a run that was killed")
        assert command("status", job, before=BOUND_BY_MODES).end().code == ExitCode.LEDGER
    finally:
        job.chmod(0o755)


def test_a_folder_that_may_not_be_entered_is_said_and_keeps_no_other_job_from_the_list(command, write_csv, tmp_path):
    for name in ("one", "two"):
        with staged(write_csv(5), Reading(), Place(tmp_path / "jobs" / name)):
            pass
    (tmp_path / "jobs" / "one").chmod(0o444)
    try:
        listed = command("jobs", "jobs", before=BOUND_BY_MODES).end()
        ended = command("status", Path("jobs", "one"), before=BOUND_BY_MODES).end()
    finally:
        (tmp_path / "jobs" / "one").chmod(0o755)
    assert listed.code == ExitCode.DONE, listed.err
    assert "cannot be read" in listed.out
    assert str(Path("jobs", "two")) in listed.out
    assert ended.code == ExitCode.LEDGER, ended.err
    assert "Permission denied" in ended.err
