"""Planned, applied, verified and undone, with kills between and other writers beside: no alias is lost."""

import signal
from collections.abc import Callable

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger import LedgerReader
from batch_alias.model import State
from batch_alias.sandbox import Faults, Sandbox
from batch_alias.sandbox.emulator import READ, SET
from batch_alias.sending.comparison import FOUND_WHEN_READ_BACK
from tests.support.faults import OnPath
from tests.support.processes import Ended

ROWS = 1500
FLAGS = ("--rate", 800, "--max-in-flight", 8)
LATENCY = Faults(latency=0.004)


def rows() -> list[tuple[str, str, str]]:
    """A third has no alias before, a third another one, a third is right already; a few of all are to be cleared."""
    return [(f"u{n}", f"g{n % 7}", "" if n % 50 == 1 else f"新 {n}" if n % 3 else f"老 {n}") for n in range(ROWS)]


def before() -> dict[tuple[str, str], str]:
    return {(f"g{n % 7}", f"u{n}"): f"老 {n}" for n in range(ROWS) if n % 3 != 1}


@pytest.fixture
def steps(command, at_request, until, sandbox, write_csv) -> Callable[..., Ended]:
    """Do a command to its end, or kill it when it has made so many requests."""
    source = write_csv(rows())

    def step(name: str, served: Sandbox, *more: object, job: str = "job", killed_at: int | None = None) -> Ended:
        place = [job] if name in {"verify", "undo", "retry"} else [source, "--job", job, "--empty", "clear"]
        confirmed = ["--yes"] if name == "undo" else []
        if killed_at is not None:
            served.faults = at_request(killed_at, lambda: started.signal(signal.SIGKILL), LATENCY)
        started = command(name, *place, *FLAGS, *confirmed, *more, to=served)
        ended = started.end()
        if killed_at is not None:
            assert ended.code == -signal.SIGKILL, ended.err
            until(lambda: served.stats().in_flight == 0)
            served.faults = LATENCY
        return ended

    return step


def test_planned_applied_verified_and_undone_with_kills_every_alias_is_what_it_was(steps, sandbox, tmp_path):
    served = sandbox(LATENCY, aliases=before())
    steps("plan", served, killed_at=500)
    read = served.stats().paths[READ].requests
    ended = steps("plan", served)
    assert ended.code == ExitCode.DONE, ended.err
    assert served.stats().paths[READ].requests - read <= ROWS - 500 + 2 * 8
    assert served.aliases() == before()
    assert served.stats().sets == 0

    steps("run", served, killed_at=400)
    ended = steps("run", served)
    assert ended.code == ExitCode.DONE, ended.err
    wanted = {(group, user): remark for user, group, remark in rows() if remark}
    assert served.aliases() == wanted
    ended = steps("verify", served)
    assert ended.code == ExitCode.DONE, ended.out

    others = {("g0", "u7"): "theirs", ("g2", "u2"): "theirs too"}
    for (group, user), remark in others.items():
        served.set_alias(group, user, remark)
    steps("undo", served, killed_at=700)
    ended = steps("undo", served)
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, "two conflicts"
    assert served.aliases() == before() | others
    with LedgerReader(tmp_path / "job" / "undo.aliases") as ledger:
        assert ledger.counts().conflict == 2
        assert not ledger.counts().failed + ledger.counts().unknown
    ended = steps("verify", served, job="job/undo.aliases")
    assert ended.code == ExitCode.DONE, ended.out
    assert served.aliases() == before() | others


def test_killed_and_undone_at_once_nothing_that_was_sent_stays(steps, sandbox):
    served = sandbox(LATENCY, aliases=before())
    steps("run", served, "--compare", killed_at=900)
    assert served.aliases() != before()
    ended = steps("undo", served)
    assert ended.code == ExitCode.DONE, ended.err
    assert served.aliases() == before()


def test_what_was_sent_when_a_run_was_killed_is_found_by_the_next_one_and_taken_back(steps, sandbox, tmp_path):
    served = sandbox(LATENCY, aliases=before())
    for killed_at in (300, 500, 700):
        steps("run", served, "--compare", killed_at=killed_at)
    assert steps("run", served).code == ExitCode.DONE
    with LedgerReader(tmp_path / "job") as ledger:
        assert all(row.before == row.remark for row in ledger.rows(State.UNCHANGED))
        assert any(row.message == FOUND_WHEN_READ_BACK for row in ledger.rows(State.ACCEPTED))
    ended = steps("undo", served)
    assert ended.code == ExitCode.DONE, ended.err
    assert served.aliases() == before()


def test_a_verification_that_was_killed_goes_on(steps, sandbox):
    served = sandbox(LATENCY)
    assert steps("run", served).code == ExitCode.DONE
    read = served.stats().paths[READ].requests
    steps("verify", served, killed_at=700)
    ended = steps("verify", served)
    assert ended.code == ExitCode.DONE, ended.out
    assert served.stats().paths[READ].requests - read <= ROWS + 2 * 8


def test_a_stray_error_on_reads_loses_nothing_and_calls_nothing_different(steps, sandbox):
    served = sandbox(OnPath(READ, Faults(errors=0.01, drops=0.01, seed=3), LATENCY), aliases=before())
    ended = steps("run", served, "--compare", "--verify")
    assert ended.code == ExitCode.DONE, ended.err
    assert ", 0 different" in ended.err
    ended = steps("undo", served)
    assert ended.code == ExitCode.DONE, ended.err
    assert served.aliases() == before()


def test_a_retry_stays_guarded(steps, sandbox, tmp_path):
    served = sandbox(LATENCY, aliases=before())
    steps("run", served, "--only-absent", killed_at=1200)
    theirs = dict.fromkeys([("g0", "u1498"), ("g1", "u1499")], "theirs")
    for (group, user), remark in theirs.items():
        served.set_alias(group, user, remark)
    ended = steps("retry", served)
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    held = served.aliases()
    assert all(held[key] == alias for key, alias in (before() | theirs).items())
    with LedgerReader(tmp_path / "job") as ledger:
        assert ledger.counts().conflict > 0
        assert not ledger.counts().unfinished


def test_the_source_of_a_plan_may_be_corrected(steps, sandbox, write_csv):
    served = sandbox(aliases=before())
    assert steps("plan", served).code == ExitCode.DONE
    write_csv(10)
    assert steps("plan", served).code == ExitCode.DONE
    assert steps("run", served).code == ExitCode.DONE
    assert served.stats().paths[SET].requests == 10


def test_too_many_changes_end_with_3_and_nothing_is_sent(steps, sandbox):
    served = sandbox(aliases=before())
    ended = steps("run", served, "--max-changes", "30%")
    assert ended.code == ExitCode.SOURCE
    assert "--max-changes 30%" in ended.err
    assert served.aliases() == before()
