"""A row in doubt is unknown, not failed; and an earlier value is never written after a later one."""

import shlex

import pytest

from batch_alias.errors import ExitCode, LedgerError, SourceError
from batch_alias.job import open_job
from batch_alias.ledger import LEDGER
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import State
from batch_alias.render import plan_lines
from batch_alias.reports import next_steps
from batch_alias.sandbox import Faults
from batch_alias.sandbox.emulator import SET
from batch_alias.sandbox.faults import (
    DROP_AFTER,
    DROP_BEFORE,
    HANG_AFTER,
    HANG_BEFORE,
    INTERNAL_TIMEOUT,
    REFUSAL,
    UNAVAILABLE,
)
from batch_alias.sending.comparison import FOUND_WHEN_READ_BACK
from tests.support.faults import Script, Shares, coded, on_writes

NAMED = {"ids": lambda fault: fault.name}


def sets(served) -> int:
    """Requests to set an alias."""
    return served.stats().paths[SET].requests


IN_DOUBT = [HANG_AFTER, HANG_BEFORE, DROP_AFTER, DROP_BEFORE, INTERNAL_TIMEOUT]


@pytest.fixture
def run_in_doubt(run_with_hangs, settings_for, write_csv):
    """Send 70 rows once each, of which every eighth has a fault, and all reads maybe another one.

    These are 9: with 10 in flight that hang, a fast service would be sent no others, and if 10 timed out, an outage
    would be suspected.
    """

    def run_once(served, fault, reading=None):
        served.faults = on_writes(lambda number: fault if number % 8 == 3 else None, reading)

        jobs, timed_out = [], False

        def hanging():
            # Only once: a busy server may show these as in flight for a while after they have timed out. And only when
            # the responses for all others have been read, which would time out too.
            nonlocal timed_out
            if timed_out or not jobs or (sets(served), served.stats().in_flight) != (70, 9):
                return False
            timed_out = jobs[0].progress().in_flight == 9
            return timed_out

        return run_with_hangs(settings_for(write_csv(70), served, attempts=1), hanging, beside=jobs.append)

    return run_once


@pytest.mark.parametrize("fault", IN_DOUBT, **NAMED)
def test_a_row_in_doubt_that_cannot_be_read_back_is_unknown_and_read_by_the_next_run(
    fault, run, run_in_doubt, sandbox, settings_for, results
):
    served = sandbox()
    assert run_in_doubt(served, fault, reading=coded(1005)).exit_code == ExitCode.NOT_ALL_ACCEPTED
    unknown = results().of(State.UNKNOWN)
    assert len(unknown) == 9
    assert results().states == {State.ACCEPTED: 61, State.UNKNOWN: 9}
    assert [row for row in unknown if not (row["message"] and row["request_id"] and row["attempts"] == "1")] == []

    served.faults = Faults()
    source = settings_for(None, served).job_folder.parent / "rows.csv"
    assert run(settings_for(source, served, attempts=1)).exit_code == ExitCode.DONE
    assert sets(served) == 70 + (0 if fault.carried_out else 9)
    assert results().states == {State.ACCEPTED: 70}
    assert served.aliases() == results().accepted


@pytest.mark.parametrize("fault", IN_DOUBT, **NAMED)
def test_a_row_in_doubt_is_accepted_if_it_is_found_when_it_is_read_back(fault, run_in_doubt, sandbox, results):
    served = sandbox()
    summary = run_in_doubt(served, fault)
    assert sets(served) == 70
    assert served.stats().reads >= 9
    assert served.aliases() == results().accepted
    if fault.carried_out:
        assert summary.exit_code == ExitCode.DONE
        found = [row for row in results().rows if row["message"] == FOUND_WHEN_READ_BACK]
        assert len(found) == 9
        assert all(row["code"] == "200" and row["attempts"] == "1" for row in found)
    else:
        assert results().states == {State.ACCEPTED: 61, State.UNKNOWN: 9}


def test_retry_sends_failed_and_unknown_rows_and_run_only_unknown_ones(run, sandbox, settings_for, write_csv, results):
    served = sandbox(on_writes(lambda number: {2: coded(1005), 6: DROP_BEFORE, 7: coded(1005)}.get(number % 10)))
    # One at a time, so that a success follows each failure; at the end a call would have to show that it is no outage.
    settings = settings_for(write_csv(50), served, attempts=1, max_failed=1.0, max_in_flight=1)
    run(settings)
    assert results().states == {State.ACCEPTED: 35, State.FAILED: 10, State.UNKNOWN: 5}

    again = run(settings_for(None, served, attempts=1, max_failed=1.0, max_in_flight=1))
    assert sets(served) == 50 + 15
    assert (again.states[State.FAILED], again.states[State.UNKNOWN]) == (3, 1)

    served.faults = Faults()
    assert run(settings).exit_code == ExitCode.NOT_ALL_ACCEPTED
    assert sets(served) == 50 + 15 + 1
    assert results().states == {State.ACCEPTED: 47, State.FAILED: 3}
    assert run(settings_for(None, served)).exit_code == ExitCode.DONE
    assert sets(served) == 50 + 15 + 1 + 3


def test_retry_changes_nothing_before_it_sends(run, sandbox, settings_for, write_csv):
    served, other = sandbox(Script(lambda number: coded(1005) if number % 2 else None)), sandbox()
    settings = settings_for(write_csv(20), served, max_failed=1.0)
    run(settings)
    path = settings.job_folder / LEDGER
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="was begun for"), open_job(settings_for(None, other)):
        pass
    with open_job(settings_for(None, served)) as job:
        assert job.to_send == 10
        assert "Resumed   10 rows ended in an earlier run" in plan_lines(job)
    with open_job(settings_for(None, served, limit=4)) as job:
        assert job.to_send == 4
    assert path.read_bytes() == before


def test_too_many_rejections_are_refused_by_run_and_retry_until_a_run_has_begun(run, sandbox, settings_for, write_csv):
    served = sandbox()
    source = write_csv([("u1", "g", "n"), ("", "g", "n"), ("u2", "g", "n")])
    for again in (source, None):
        with pytest.raises(SourceError, match="nothing was sent"):
            run(settings_for(again, served))
    assert served.stats().requests == 0
    run(settings_for(source, served, max_rejected=0.5, limit=1))
    assert run(settings_for(source, served)).states["accepted"] == 2


def test_the_suggested_command_sends_the_failed_rows_again(command, run, sandbox, settings_for, write_csv, results):
    served = sandbox(Script(lambda number: coded(1005) if number % 2 else None))
    settings = settings_for(write_csv(60), served, max_failed=1.0)
    summary = run(settings)
    with SqliteReader(settings.job_folder) as ledger:
        step, *_ = next_steps(summary, settings.job_folder, ledger.info(), ledger)
    served.faults = Faults()
    again = command(*shlex.split(step.command)[1:], to=served).end()
    assert again.code == ExitCode.DONE, again.err
    assert results().states == {State.ACCEPTED: 60}
    assert served.aliases() == results().accepted


FAULTS = {UNAVAILABLE: 0.1, DROP_BEFORE: 0.05, DROP_AFTER: 0.15, INTERNAL_TIMEOUT: 0.05}
JITTER = Faults(latency=0.005, jitter=1.0)


def test_two_attempts_for_one_key_are_never_in_flight_together(run, sandbox, settings_for, write_csv, results):
    writes = []
    served = sandbox(Shares(FAULTS | {REFUSAL: 0.02}, JITTER, seed=13), on_write=writes.append)
    rows = [(f"u{n % 100}", "g", f"value {n}") for n in range(300)]
    assert run(settings_for(write_csv(rows), served, attempts=60)).exit_code == ExitCode.DONE
    wanted = {("g", user): remark for user, _, remark in rows}
    assert served.aliases() == results().accepted == wanted
    assert all(write.remark == wanted[write.group_id, write.user_id] for write in writes)
    assert served.stats().most_in_flight_for_one_key == 1


def test_of_two_jobs_the_values_of_the_first_are_never_written_after_those_of_the_second(
    run, sandbox, settings_for, write_csv, tmp_path
):
    writes = []
    served = sandbox(Shares(FAULTS, JITTER, seed=13), on_write=writes.append)
    for tag in ("first", "second"):
        begin = len(writes)
        settings = settings_for(write_csv(120, f"{tag}.csv", tag=tag), served, job=tmp_path / tag, attempts=60)
        assert run(settings).exit_code == ExitCode.DONE
        assert len(writes) - begin >= 120
        assert all(write.remark.startswith(tag) for write in writes[begin:])
    assert len(served.aliases()) == 120


def test_a_retry_that_ends_early_keeps_why_the_other_rows_failed(run, sandbox, settings_for, write_csv, results):
    served = sandbox(Script(lambda number: coded(1005) if number >= 10 else None))
    run(settings_for(write_csv(30), served, max_failed=1.0))
    assert results().states == {State.ACCEPTED: 10, State.FAILED: 20}
    served.faults = Faults()
    run(settings_for(None, served, limit=2))
    assert results().states == {State.ACCEPTED: 12, State.FAILED: 18}
    assert all("too long" in row["message"] for row in results().of(State.FAILED))
