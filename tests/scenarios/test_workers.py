"""Several processes that send one job: whatever happens to them, every row is accepted once and the rate is kept."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger import Place
from batch_alias.model import State
from batch_alias.sandbox import Faults, Sandbox
from batch_alias.settings import Settings
from batch_alias.workers import initialize
from tests.support.postgres import away, restartable_server
from tests.support.processes import DEADLINE, environment_of
from tests.support.proxy import proxy_to
from tests.support.starts import busiest, note_starts, read_starts
from tests.support.timing import QUICK

RATE = 700
ROWS = 3000
LATENCY = Faults(latency=0.02)
MOST_UNDER_WAY = RATE // 2
"""Rows sent and not recorded at a fault: those of 20 ms in flight, 50 ms to be written, 70 ms reserved, and longer on a
busy machine. Without the fence there may be as many as a worker holds.
"""
ATTEMPT = 2.0
"""Seconds for one attempt: a worker that was taken for dead has none under way after so long."""


@pytest.fixture
def ledger(database) -> str:
    """A database with the tables."""
    initialize(database)
    return database


@pytest.fixture
def starts(tmp_path, monkeypatch) -> Iterator[Path]:
    """A file for the times at which requests start, in this process and in the workers."""
    path = tmp_path / "starts"
    with note_starts(path, monkeypatch.setattr):
        yield path


@pytest.fixture
def worker(tmp_path, starts) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a worker as a process of its own."""
    started: list[subprocess.Popen] = []

    def start(
        ledger: str, served: Sandbox, *, ahead: float = 0.0, fenced: bool = True, service: str = ""
    ) -> subprocess.Popen:
        path = tmp_path / f"worker-{len(started)}.txt"
        with path.open("w") as said:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.support.worker",
                    ledger,
                    str(ahead),
                    str(int(fenced)),
                    service or served.url,
                    str(starts),
                ],
                env=os.environ | environment_of(served) | {"PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=said,
                stderr=said,
            )
        process.said = path
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def holders(ledger: str) -> dict[str, int]:
    """The workers that hold blocks, and how many."""
    with psycopg.connect(ledger) as connection:
        query = "SELECT worker, count(*) FROM batch_alias.blocks WHERE is_open AND worker != '' GROUP BY worker"
        return dict(connection.execute(query).fetchall())


def holds(ledger: str, process: subprocess.Popen) -> int:
    return sum(blocks for name, blocks in holders(ledger).items() if name.endswith(f":{process.pid}"))


@pytest.fixture
def settings(ledger, settings_for, write_csv) -> Callable[..., Settings]:
    """The settings of a job in the database."""

    def make(served: Sandbox, rows: object = ROWS, name: str = "job") -> Settings:
        more = {"job": Path(name).absolute(), "ledger": ledger, "rate": RATE, "timeout": ATTEMPT}
        return settings_for(write_csv(rows, f"{name}.csv"), served, **more)

    return make


@pytest.fixture
def accepted(ledger) -> Callable[[Settings], dict[tuple[str, str], str]]:
    """The aliases that a job has set according to its ledger, by (group, user)."""

    def read(settings: Settings) -> dict[tuple[str, str], str]:
        with Place(settings.job_folder, ledger).read() as found:
            return {(row.group_id, row.user_id): row.remark for row in found.rows(State.ACCEPTED)}

    return read


@pytest.fixture
def shared(sandbox, run, settings, accepted, starts, clean) -> Callable[..., int]:
    """Run a job beside workers, do something meanwhile, make sure that all is well, and return the rows sent again."""

    def share(meanwhile: Callable[[Sandbox], object], *, rows: int = ROWS, fenced: bool = True) -> int:
        served = sandbox(LATENCY)
        given = settings(served, rows)
        assert run(given, timing=QUICK, beside=lambda _job: meanwhile(served)).exit_code == ExitCode.DONE
        stats, reported = served.stats(), accepted(given)
        assert len(reported) == rows
        assert served.aliases() == reported
        assert busiest(read_starts(starts)) <= RATE
        assert stats.most_in_flight_for_one_key == 1 or not fenced
        return stats.sets - rows

    return share


@pytest.fixture
def begun(worker, ledger, until) -> Callable[..., subprocess.Popen]:
    """Start a worker, and wait until it has sent some rows of the blocks that it holds."""

    def begin(served: Sandbox, url: str = "", **more) -> subprocess.Popen:
        process = worker(url or ledger, served, **more)
        until(lambda: holds(ledger, process))
        before = served.stats().requests
        until(lambda: served.stats().requests > before + RATE // 4)
        return process

    return begin


def test_workers_share_a_job_and_its_rate(shared, worker, ledger, until):
    def begin(served):
        several = [worker(ledger, served) for _ in range(2)]
        until(lambda: all(holds(ledger, each) for each in several))

    assert shared(begin, rows=4500) == 0


def test_a_worker_that_is_killed_is_replaced(shared, begun):
    assert shared(lambda served: begun(served).kill()) <= MOST_UNDER_WAY


def freeze(process, ledger, until):
    """Let a process stand still until others have its blocks."""
    process.send_signal(signal.SIGSTOP)
    until(lambda: not holds(ledger, process))
    process.send_signal(signal.SIGCONT)


def test_a_worker_that_stands_still_while_others_take_over_does_no_harm(shared, begun, ledger, until):
    assert shared(lambda served: freeze(begun(served), ledger, until)) <= MOST_UNDER_WAY


def test_without_the_fence_such_a_worker_would_send_rows_of_others(shared, begun, ledger, until):
    # Enough rows that the job does not end before such a worker has sent what it held.
    again = shared(lambda served: freeze(begun(served, fenced=False), ledger, until), rows=2 * ROWS, fenced=False)
    assert again > MOST_UNDER_WAY


def test_a_worker_that_is_cut_off_from_the_database_sends_no_more(shared, begun, ledger, until):
    with proxy_to(ledger) as proxy:

        def cut_off(served):
            victim = begun(served, proxy.url)
            proxy.stall()
            until(lambda: not holds(ledger, victim))
            proxy.go_on()

        assert shared(cut_off) <= MOST_UNDER_WAY


def test_a_worker_that_is_cut_off_from_the_service_gives_its_rows_back(shared, begun, ledger, until):
    def cut_off(served):
        with proxy_to(served.url) as proxy:
            victim = begun(served, service=proxy.url)
            proxy.stall()
            until(lambda: not holds(ledger, victim))

    assert shared(cut_off) <= MOST_UNDER_WAY


def test_a_worker_that_waits_for_a_job_helps_with_it_although_its_clock_is_wrong(
    sandbox, run, settings, accepted, worker, ledger, until, clean
):
    served, hour = sandbox(LATENCY), 3600
    early = worker(ledger, served, ahead=hour)
    until(lambda: "Waiting" in (early.said.read_text() if early.said.exists() else ""))
    given = settings(served)
    assert run(given, timing=QUICK, beside=lambda _job: until(lambda: holds(ledger, early))).exit_code == ExitCode.DONE
    assert len(accepted(given)) == ROWS
    with Place(given.job_folder, ledger).read() as found:
        finished = [row.finished_at for row in found.rows()]
    assert max(finished) - min(finished) < hour / 2


def test_a_job_goes_on_when_the_database_was_away(sandbox, run, settings_for, write_csv, until, tmp_path):
    served = sandbox(LATENCY)
    with restartable_server() as (server, restart):
        initialize(server)
        given = settings_for(write_csv(ROWS), served, job=tmp_path / "job", ledger=server, rate=RATE, timeout=ATTEMPT)

        def stop(_job):
            until(lambda: served.stats().requests > ROWS // 4)
            restart()

        assert run(given, timing=QUICK, beside=stop).exit_code == ExitCode.DONE
        with Place(given.job_folder, server).read() as found:
            assert found.counts().accepted == ROWS
    assert len(served.aliases()) == ROWS
    assert served.stats().sets - ROWS <= MOST_UNDER_WAY


def test_two_jobs_share_the_rate_and_the_later_one_wins(sandbox, run, settings, accepted, ledger, starts, until, clean):
    writes = []
    served = sandbox(LATENCY, on_write=writes.append)
    early = settings(served, [(f"u{n}", "g", "early") for n in range(ROWS)], "early")
    late = settings(served, [(f"u{n}", "g", "late") for n in range(0, ROWS, 3)], "late")

    def run_late(_job):
        until(lambda: served.stats().requests > RATE)
        assert run(late, timing=QUICK).exit_code == ExitCode.DONE

    run(early, timing=QUICK, beside=run_late)
    assert len(accepted(late)) == ROWS // 3
    with Place(early.job_folder, ledger).read() as found:
        states = found.counts()
        assert states.accepted + states.superseded == ROWS
        assert {row.number % 3 for row in found.rows(State.SUPERSEDED)} == {2}  # row 2 is the first one
    assert busiest(read_starts(starts)) <= RATE
    assert all(served.aliases()["g", f"u{n}"] == "late" for n in range(0, ROWS, 3))
    last: dict[str, str] = {}
    for write in writes:
        assert (last.get(write.user_id), write.remark) != ("late", "early")
        last[write.user_id] = write.remark


def test_a_worker_that_is_asked_to_stop_gives_its_rows_back_at_once(shared, begun, ledger, until):
    def stop(served):
        process = begun(served)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        assert not holds(ledger, process)

    assert shared(stop) == 0


def test_a_job_ends_without_the_process_that_began_it(
    sandbox, command, write_csv, begun, accepted, settings, ledger, until
):
    served = sandbox(LATENCY)
    given = settings(served)
    started = command(
        "run", given.source, "--job", "job", "--rate", RATE, "--timeout", ATTEMPT, "--ledger", ledger, to=served
    )
    until(lambda: served.stats().requests, started)
    begun(served)
    started.signal(signal.SIGKILL)

    def has_ended() -> bool:
        with Place(given.job_folder, ledger).read() as found:
            return found.runs()[-1].ended_at is not None

    until(has_ended)
    assert len(accepted(given)) == ROWS
    assert served.stats().sets - ROWS <= MOST_UNDER_WAY
    with Place(given.job_folder, ledger).read() as found:
        assert found.runs()[-1].exit_code == ExitCode.DONE


@pytest.mark.parametrize("signals", [1, 2])
def test_interrupted_a_job_stops_everywhere_and_goes_on_when_it_is_run_again(
    signals, sandbox, command, begun, run, accepted, settings, ledger, until
):
    served = sandbox(LATENCY)
    given = settings(served)
    # The next run waits for requests under way, as long as one may take.
    limits = ("--rate", RATE, "--timeout", ATTEMPT)
    started = command("run", given.source, "--job", "job", *limits, "--ledger", ledger, to=served)
    until(lambda: served.stats().requests, started)
    begun(served)
    started.signal(signal.SIGINT)
    if signals == 2:
        started.read_until("Once more")
        started.signal(signal.SIGINT)
    assert started.end().code == ExitCode.INTERRUPTED
    until(lambda: served.stats().in_flight == 0)
    assert holders(ledger) == {}
    assert served.stats().requests < ROWS
    assert run(given, timing=QUICK).exit_code == ExitCode.DONE
    assert len(accepted(given)) == ROWS
    assert served.stats().sets - ROWS <= (MOST_UNDER_WAY if signals > 1 else 0)


def test_interrupted_twice_processes_do_not_wait_for_a_database_that_is_away(
    sandbox, command, begun, settings, ledger, postgres_server, until
):
    served = sandbox(LATENCY)
    started = command("run", settings(served).source, "--job", "job", "--ledger", ledger, "--rate", RATE, to=served)
    until(lambda: served.stats().requests, started)
    worker = begun(served)
    with away(postgres_server, ledger):
        started.signal(signal.SIGINT)
        started.read_until("Once more")
        started.signal(signal.SIGINT)
        worker.send_signal(signal.SIGINT)
        until(lambda: "Once more" in worker.said.read_text())
        worker.send_signal(signal.SIGINT)
        assert started.end().code == ExitCode.INTERRUPTED
        worker.wait(DEADLINE)
