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
from batch_alias.workers import initialize
from tests.support.processes import environment_of
from tests.support.proxy import proxy_to
from tests.support.timing import QUICK

RATE = 100
ROWS = 1500
ATTEMPT = 2.0
"""Seconds for one attempt: a worker that was taken for dead has none under way after so long."""


@pytest.fixture
def ledger(database) -> str:
    """A database with the tables."""
    initialize(database)
    return database


@pytest.fixture
def worker(tmp_path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a worker as a process of its own."""
    started: list[subprocess.Popen] = []

    def start(ledger: str, served: Sandbox, *, ahead: float = 0.0) -> subprocess.Popen:
        with (tmp_path / f"worker-{len(started)}.txt").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.worker", ledger, str(ahead)],
                env=os.environ | environment_of(served) | {"PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=said,
                stderr=said,
            )
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
def shared(ledger, sandbox, run, settings_for, write_csv, until) -> Callable:
    """Run a job beside workers, do something meanwhile, and make sure that all is well at the end."""

    def share(meanwhile: Callable[[Sandbox], object], *, rows: int = ROWS, sent_twice: int = 0, url: str = "") -> None:

        served = sandbox(Faults(latency=0.02))
        settings = settings_for(write_csv(rows), served, ledger=url or ledger, rate=RATE, timeout=ATTEMPT)
        summary = run(settings, timing=QUICK, beside=lambda _job: meanwhile(served))
        assert summary.exit_code == ExitCode.DONE
        with Place(settings.job_folder, ledger).read() as found:
            accepted = {(row.group_id, row.user_id): row.remark for row in found.rows(State.ACCEPTED)}
        assert len(accepted) == rows
        assert served.aliases() == accepted
        assert served.stats().sets - rows <= sent_twice
        assert served.stats().most_in_flight_for_one_key == 1
        assert served.stats().busiest_second <= RATE

    return share


def test_workers_share_a_job_and_its_rate(shared, worker, ledger, until):
    def begin(served):
        several = [worker(ledger, served) for _ in range(2)]
        until(lambda: all(holds(ledger, each) for each in several))

    shared(begin, rows=4000)


def test_a_worker_that_is_killed_is_replaced(shared, worker, ledger, until):
    def kill(served):
        victim = worker(ledger, served)
        until(lambda: holds(ledger, victim))
        before = served.stats().requests
        until(lambda: served.stats().requests > before + 20)
        victim.kill()

    shared(kill, sent_twice=RATE)


def test_a_worker_that_stands_still_while_others_take_over_does_no_harm(shared, worker, ledger, until):
    def freeze(served):
        victim = worker(ledger, served)
        until(lambda: holds(ledger, victim))
        before = served.stats().requests
        until(lambda: served.stats().requests > before + 20)
        victim.send_signal(signal.SIGSTOP)
        until(lambda: not holds(ledger, victim))
        victim.send_signal(signal.SIGCONT)

    shared(freeze, sent_twice=RATE)


def test_a_worker_that_is_cut_off_from_the_database_sends_no_more(shared, worker, ledger, until):
    with proxy_to(ledger) as proxy:

        def cut_off(served):
            victim = worker(proxy.url, served)
            until(lambda: holds(ledger, victim))
            before = served.stats().requests
            until(lambda: served.stats().requests > before + 20)
            proxy.stall()
            until(lambda: not holds(ledger, victim))
            proxy.go_on()

        shared(cut_off, sent_twice=RATE)
