"""Killed at any moment and run again: every row is sent once, and nothing is reported that is not true."""

import random
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import State
from batch_alias.sandbox import Faults
from batch_alias.sandbox.faults import DROP_AFTER, REFUSAL, UNAVAILABLE
from tests.support.faults import Shares

ROWS = 150
KILLS = 3
WIDTH = 4
"""Most requests in flight, so that each kill leaves few in doubt."""


def accepted(folder: Path) -> dict[tuple[str, str], str]:
    with SqliteReader(folder) as ledger:
        return {(row.group_id, row.user_id): row.remark for row in ledger.rows(State.ACCEPTED)}


@pytest.fixture
def kill_at_request(command, at_request, until):
    """Start a command and kill it when request ``number`` from then on arrives."""

    def kill(number, arguments, served, others):
        served.faults = at_request(number, lambda: started.signal(signal.SIGKILL), others)
        started = command(*arguments, to=served)
        assert started.end().code == -signal.SIGKILL
        until(lambda: served.stats().in_flight == 0)

    return kill


def test_killed_again_and_again_while_sending_the_job_ends_with_every_row_accepted(
    run, kill_at_request, sandbox, settings_for, write_csv, results, tmp_path
):
    served, latency = sandbox(), Faults(latency=0.008, jitter=0.5)
    draw = random.Random(11)
    source, folder = write_csv(ROWS), tmp_path / "job"
    arguments = ["run", source, "--job", folder, "--rate", 1000, "--max-in-flight", WIDTH]
    for kill in range(KILLS):
        kill_at_request(draw.randrange(ROWS // (KILLS + 1)), arguments, served, latency)
        held, reported = served.aliases(), accepted(folder)
        assert reported.items() <= held.items()
        assert len(held) - len(reported) <= WIDTH * (kill + 1)

    assert run(settings_for(source, served)).exit_code == ExitCode.DONE
    stats, found = served.stats(), results()
    assert found.states == {State.ACCEPTED: ROWS}
    assert served.aliases() == found.accepted
    assert stats.sets - ROWS <= KILLS * WIDTH
    assert stats.keys_set_again <= KILLS * WIDTH
    assert found.summary["runs"] == KILLS + 1
    with SqliteReader(folder) as ledger:
        runs = ledger.runs()
    assert [run.ended_at is None for run in runs] == [True] * KILLS + [False]
    assert all(run.end <= later.started_at + 1 for run, later in pairwise(runs))


@pytest.mark.parametrize(
    "moment", [("sqlite3.connect", "ledger.new"), ("os.rename", "ledger.new")], ids=["begin", "end"]
)
def test_killed_while_the_source_is_staged_the_job_begins_anew(
    moment, command, run, sandbox, settings_for, write_csv, results, signal_at, tmp_path
):
    served = sandbox()
    source = write_csv(50)
    ended = command("run", source, "--job", "job", to=served, before=signal_at(signal.SIGKILL, *moment)).end()
    assert ended.code == -signal.SIGKILL
    assert (tmp_path / "job" / "ledger.new").exists()
    assert run(settings_for(source, served)).exit_code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: 50}
    assert not (tmp_path / "job" / "ledger.new").exists()


def test_killed_while_the_reports_are_written_they_are_written_by_the_next_run(
    command, sandbox, write_csv, results, signal_at, tmp_path
):
    served = sandbox()
    arguments = ["run", write_csv(50), "--job", "job", "--rate", 1000]
    ended = command(*arguments, to=served, before=signal_at(signal.SIGKILL, "os.rename", ".report.html-")).end()
    assert ended.code == -signal.SIGKILL
    assert not (tmp_path / "job" / "report.html").exists()
    assert command(*arguments, to=served).end().code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: 50}
    assert (tmp_path / "job" / "report.html").exists()
    assert served.stats().requests == 50


def test_killed_while_attempts_fail_an_earlier_value_is_never_written_after_a_later_one(
    run, kill_at_request, sandbox, settings_for, write_csv, results
):
    writes = []
    served = sandbox(on_write=writes.append)
    faults = Shares({DROP_AFTER: 0.1, UNAVAILABLE: 0.1, REFUSAL: 0.02}, Faults(latency=0.01), seed=8)
    rows = [(f"u{n % 100}", "g", f"value {n}") for n in range(300)]
    source = write_csv(rows)
    arguments = ["run", source, "--job", "job", "--rate", 500, "--timeout", 60]
    for number in (30, 50):
        kill_at_request(number, arguments, served, faults)
    assert run(settings_for(source, served)).exit_code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: 100, State.SUPERSEDED: 200}
    wanted = {("g", user): remark for user, _, remark in rows}
    assert all(write.remark == wanted[write.group_id, write.user_id] for write in writes)
    assert served.aliases() == wanted
    assert served.stats().most_in_flight_for_one_key == 1
