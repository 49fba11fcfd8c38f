"""Planned, applied, verified and undone, with kills between and other writers beside: no alias is lost."""

import asyncio
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from batch_alias import undo_job
from batch_alias.errors import ExitCode
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import State
from batch_alias.sandbox import Faults, Sandbox
from batch_alias.sandbox.emulator import READ, SET
from batch_alias.sending.comparison import FOUND_WHEN_READ_BACK
from batch_alias.settings import Comparing, Reading
from tests.conftest import FAST
from tests.support.faults import OnPath, Script
from tests.support.processes import Ended

ROWS = 210
IN_FLIGHT = 8
FLAGS = ("--rate", "5000", "--max-in-flight", str(IN_FLIGHT))
LATENCY = Faults(latency=0.004)


def rows() -> list[tuple[str, str, str]]:
    """A third has no alias before, a third another one, a third is right already; a few of all are to be cleared."""
    return [(f"u{n}", f"g{n % 7}", "" if n % 50 == 1 else f"新 {n}" if n % 3 else f"老 {n}") for n in range(ROWS)]


def before() -> dict[tuple[str, str], str]:
    return {(f"g{n % 7}", f"u{n}"): f"老 {n}" for n in range(ROWS) if n % 3 != 1}


def wanted() -> dict[tuple[str, str], str]:
    return {(group, user): remark for user, group, remark in rows() if remark}


@pytest.fixture
def steps(command, batch_alias, until, write_csv) -> Callable[..., Ended]:
    """Do a command to its end, or kill it when a request arrives: number so and so for a path."""
    source = write_csv(rows())

    def step(
        name: str, served: Sandbox, *more: str, job: str = "job", killed_at: tuple[str, int] | None = None
    ) -> Ended:
        place = [job] if name in {"verify", "undo", "retry"} else [source, "--job", job, "--empty", "clear"]
        given = [name, *place, *FLAGS, *more]
        if killed_at is not None:
            return killed(given, served, *killed_at)
        return batch_alias(*given, *["--yes"] * (name in {"run", "retry", "undo"}), to=served)

    def killed(given: list[str | Path], served: Sandbox, path: str, last: int) -> Ended:
        numbers = count()

        def killing(_number: int) -> None:
            if next(numbers) == last:
                started.signal(signal.SIGKILL)

        served.faults = OnPath(path, Script(killing, LATENCY), LATENCY)
        started = command(*given, *["--yes"] * (given[0] == "undo"), to=served)
        ended = started.end()
        assert ended.code == -signal.SIGKILL, ended.err
        until(lambda: served.stats().in_flight == 0)
        served.faults = LATENCY
        return ended

    return step


def test_planned_applied_verified_and_undone_with_kills_every_alias_is_what_it_was(steps, sandbox, tmp_path):
    served = sandbox(LATENCY, aliases=before())
    steps("plan", served, killed_at=(READ, 70))
    read = served.stats().paths[READ].requests
    ended = steps("plan", served)
    assert ended.code == ExitCode.DONE, ended.err
    assert served.stats().paths[READ].requests - read <= ROWS - 70 + 2 * IN_FLIGHT
    assert served.aliases() == before()
    assert served.stats().sets == 0

    steps("run", served, killed_at=(SET, 60))
    ended = steps("run", served)
    assert ended.code == ExitCode.DONE, ended.err
    assert served.aliases() == wanted()
    ended = steps("verify", served)
    assert ended.code == ExitCode.DONE, ended.out

    others = {("g0", "u7"): "theirs", ("g2", "u2"): "theirs too"}
    for (group, user), remark in others.items():
        served.set_alias(group, user, remark)
    steps("undo", served, killed_at=(SET, 30))
    ended = steps("undo", served)
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, "two conflicts"
    assert served.aliases() == before() | others
    with SqliteReader(tmp_path / "job" / "undo.aliases") as ledger:
        assert ledger.counts().conflict == 2
        assert not ledger.counts().failed + ledger.counts().unknown
    ended = steps("verify", served, job="job/undo.aliases")
    assert ended.code == ExitCode.DONE, ended.out
    assert served.aliases() == before() | others


def test_killed_and_undone_at_once_nothing_that_was_sent_stays(steps, sandbox):
    served = sandbox(LATENCY, aliases=before())
    steps("run", served, "--compare", killed_at=(SET, 40))
    assert served.aliases() != before()
    ended = steps("undo", served)
    assert ended.code == ExitCode.DONE, ended.err
    assert served.aliases() == before()


def test_what_was_sent_when_a_run_was_killed_is_found_by_the_next_one_and_taken_back(steps, sandbox, tmp_path):
    served = sandbox(LATENCY, aliases=before())
    for killed_at in (10, 30, 50):
        steps("run", served, "--compare", killed_at=(SET, killed_at))
    assert steps("run", served).code == ExitCode.DONE
    with SqliteReader(tmp_path / "job") as ledger:
        assert all(row.before == row.remark for row in ledger.rows(State.UNCHANGED))
        assert any(row.message == FOUND_WHEN_READ_BACK for row in ledger.rows(State.ACCEPTED))
    ended = steps("undo", served)
    assert ended.code == ExitCode.DONE, ended.err
    assert served.aliases() == before()


def test_a_verification_that_was_killed_goes_on(steps, sandbox):
    served = sandbox(LATENCY)
    assert steps("run", served).code == ExitCode.DONE
    read = served.stats().paths[READ].requests
    steps("verify", served, killed_at=(READ, 100))
    ended = steps("verify", served)
    assert ended.code == ExitCode.DONE, ended.out
    assert served.stats().paths[READ].requests - read <= ROWS + 2 * IN_FLIGHT


def test_a_stray_error_on_reads_loses_nothing(run, sandbox, settings_for, write_csv):
    served = sandbox(OnPath(READ, Faults(errors=0.03, drops=0.03, seed=3)), aliases=before())
    reading, comparing = Reading(empty="clear"), Comparing(compare=True)
    given = settings_for(write_csv(rows()), served, reading=reading, comparing=comparing)
    assert run(given).exit_code == ExitCode.DONE
    assert served.aliases() == wanted()
    assert asyncio.run(undo_job(given, timing=FAST)).exit_code == ExitCode.DONE
    assert served.aliases() == before()


def test_a_retry_stays_guarded(steps, sandbox, tmp_path):
    served = sandbox(LATENCY, aliases=before())
    steps("run", served, "--only-absent", killed_at=(READ, 170))
    theirs = {(f"g{n % 7}", f"u{n}"): "theirs" for n in (ROWS - 2, ROWS - 1)}
    for (group, user), remark in theirs.items():
        served.set_alias(group, user, remark)
    ended = steps("retry", served)
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    held = served.aliases()
    assert all(held[key] == alias for key, alias in (before() | theirs).items())
    with SqliteReader(tmp_path / "job") as ledger:
        assert ledger.counts().conflict > 0
        assert not ledger.counts().unfinished
