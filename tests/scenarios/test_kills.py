"""Killed at any moment, run again: every row once, nothing claimed that was not so."""

import random
import signal
from pathlib import Path

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger import LEDGER, LedgerReader
from batch_alias.model import State
from batch_alias.sandbox.faults import Faults, Trouble

ROWS = 700
KILLS = 11
WIDTH = 4
"""Most requests under way at once, so that the kills can leave few in doubt."""


def reported(folder: Path) -> dict[tuple[str, str], str]:
    with LedgerReader(folder) as accounts:
        return {(entry.group_id, entry.user_id): entry.remark for entry in accounts.entries(State.ACCEPTED)}


def test_killed_eleven_times_while_sending_the_job_ends_with_every_row_accounted_for_once(
    command, sandbox, write_csv, accounts, until, tmp_path
):
    running = sandbox(Faults(latency=0.008, jitter=0.5))
    draw = random.Random(11)
    source, folder = write_csv(ROWS), tmp_path / "job"
    begin = ["run", source, "--job", folder, "--rate", 1000, "--max-in-flight", WIDTH, "--quiet"]
    for kill in range(KILLS):
        moment = running.stats().requests + draw.randint(1, ROWS // (KILLS + 1))
        started = command(*begin, to=running)
        until(lambda moment=moment: running.stats().requests >= moment, started)
        started.signal(signal.SIGKILL)
        assert started.end().code == -signal.SIGKILL
        until(lambda: running.stats().in_flight == 0)
        held, claimed = running.aliases(), reported(folder)
        assert claimed.items() <= held.items()
        assert len(held) - len(claimed) <= WIDTH * (kill + 1)

    ended = command(*begin, to=running).end()
    assert ended.code == ExitCode.DONE, ended.err
    stats, found = running.stats(), accounts()
    assert found.states == {State.ACCEPTED: ROWS}
    assert running.aliases() == found.accepted
    assert stats.sets - ROWS <= KILLS * WIDTH
    assert stats.keys_set_again <= KILLS * WIDTH
    assert found.summary["runs"] == KILLS + 1


@pytest.mark.parametrize("at", ["ledger.new", LEDGER])
def test_killed_while_the_source_is_staged_the_job_begins_anew(
    at, command, sandbox, write_csv, accounts, until, tmp_path
):
    running = sandbox()
    source = write_csv(20_000)
    started = command("run", source, "--job", "job", "--limit", 1, to=running)
    until((tmp_path / "job" / at).exists, started)
    started.signal(signal.SIGKILL)
    started.end()
    ended = command("run", source, "--job", "job", "--limit", 50, "--rate", 1000, to=running).end()
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    assert accounts().states == {State.ACCEPTED: len(running.aliases()), State.PENDING: 20_000 - len(running.aliases())}
    assert not (tmp_path / "job" / "ledger.new").exists()


def test_killed_while_the_reports_are_written_they_are_written_by_the_next_run(
    command, sandbox, write_csv, accounts, until, tmp_path
):
    running = sandbox()
    started = command("run", write_csv(300), "--job", "job", "--rate", 1000, to=running)
    until((tmp_path / "job" / "results.csv").exists, started)
    started.signal(signal.SIGKILL)
    started.end()
    assert command("run", "rows.csv", "--job", "job", to=running).end().code == ExitCode.DONE
    assert accounts().states == {State.ACCEPTED: 300}
    assert running.stats().requests == 300


def test_killed_while_attempts_fail_no_earlier_value_lands_after_a_later_one(
    command, sandbox, write_csv, accounts, until
):
    faults = Faults(
        latency=0.01,
        shares={Trouble.DROP_AFTER: 0.1, Trouble.UNAVAILABLE: 0.1, Trouble.REFUSAL: 0.02},
        seed=8,
    )
    running = sandbox(faults)
    rows = [(f"u{n % 100}", "g", f"value {n}") for n in range(300)]
    source = write_csv(rows)
    begin = ["run", source, "--job", "job", "--rate", 500, "--timeout", 1, "--quiet"]
    for moment in (30, 80):
        started = command(*begin, to=running)
        until(lambda moment=moment: running.stats().requests >= moment, started)
        started.signal(signal.SIGKILL)
        started.end()
    ended = command(*begin, to=running).end()
    assert ended.code == ExitCode.DONE, ended.err
    assert accounts().states == {State.ACCEPTED: 100, State.SUPERSEDED: 200}
    wanted = {("g", user): remark for user, _, remark in rows}
    assert all(write.remark == wanted[write.group_id, write.user_id] for write in running.writes())
    assert running.aliases() == wanted
    assert running.stats().most_in_flight_for_one_key == 1
