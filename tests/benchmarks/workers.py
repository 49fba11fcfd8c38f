"""Several processes with one PostgreSQL: ``python -m tests.benchmarks.workers [--only PART,...] [--times N]``.

* quota: so many processes start attempts as fast as they may; nothing is sent. Starts per second, all processes
  together; the busiest second over all of them, by the machine's clock; reservations per second, and the CPU time of
  each in the database; CPU time of the processes per start; the share of the reserved slots that was not used.
* workers: ``batch-alias run`` and ``batch-alias work`` send a job together. Rows accepted per second, the busiest
  second, refusals, CPU time of all workers and of the database per row at full pace, which is without the first and
  the last tenth of the rows.
* staging: seconds until rows are staged, in SQLite and in PostgreSQL.
* outcomes: how many are recorded per second with nothing else, and CPU time for each.
* memory: the peak of a worker that sends some rows and of one that sends more.

``fewest`` and ``most`` are of the process that had the fewest starts or rows, and of the one that had the most. Each
part prints the load of the machine, its target and whether that is reached.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_alias.ledger import Ledger, Place
from batch_alias.model import Outcome, RequestKind, State
from batch_alias.settings import Reading
from batch_alias.staging import staged
from batch_alias.workers import initialize
from batch_alias.workers.shared_quota import SharedQuota
from tests.benchmarks import staging
from tests.benchmarks.processes import cpu_of_children, make_rows, verdict
from tests.benchmarks.shared_jobs import compare_memory, send_cases
from tests.support.postgres import database_on, postmaster, server
from tests.support.starts import busiest

MODULE = "tests.benchmarks.workers"
CASES = "100x1,100x2,100x4,1000x1,1000x2,1000x4"
TARGETS = {100: 92, 1000: 870}
"""By quota: least starts per second."""
MOST_STAGING = 40.0
"""Seconds for a million rows in PostgreSQL."""
FEWEST_OUTCOMES = 5000
"""Recorded per second."""


async def start_attempts(url: str, rate: int, seconds: float) -> None:
    """Print when attempts started, reservations, slots, and CPU time."""
    used = time.process_time()
    started: list[float] = []
    async with SharedQuota(url, "app", rate) as quota:
        limiter = quota.limiter(RequestKind.WRITE)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if await limiter.acquire() is not None:
                started.append(time.monotonic())
    print(json.dumps((started, limiter.asked, limiter.reserved, time.process_time() - used)))


@dataclass(frozen=True)
class Run:
    """What some processes have come to."""

    by_process: list[list[float]]  # when they started attempts
    asked: int
    reserved: int
    cpu: float
    database_cpu: float

    @property
    def started(self) -> list[float]:
        return sorted(start for started in self.by_process for start in started)


def run(url: str, rate: int, processes: int, seconds: float) -> Run:
    initialize(url)
    main_process = postmaster(url)
    used = cpu_of_children(main_process)
    command = [sys.executable, "-m", MODULE, "--one", url, "--cases", f"{rate}x1", "--seconds", str(seconds)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    results = [json.loads(process.communicate()[0]) for process in running]
    used = cpu_of_children(main_process) - used
    started, asked, reserved, cpu = zip(*results, strict=True)
    return Run(list(started), sum(asked), sum(reserved), sum(cpu), used)


def print_result(rate: int, processes: int, done: Run, *, seconds: float) -> None:
    started, shares = done.started, [len(one) for one in done.by_process]
    speed, most = (len(started) - 1) / (started[-1] - started[0]), busiest(started)
    least = TARGETS.get(rate, 0.87 * rate)
    print(
        f"{rate:6,}{processes:11}{speed:10.1f}{most:9,}{done.asked / seconds:11.1f}"
        f"{1e6 * done.database_cpu / done.asked:8.0f} µs{1e6 * done.cpu / len(started):9.0f} µs"
        f"{1 - len(started) / done.reserved:9.1%}{min(shares):8,}{max(shares):8,}{os.getloadavg()[0]:7.1f}"
        f"   >= {least:g}/s, <= {rate:,} in a second: {verdict(speed >= least and most <= rate)}",
        flush=True,
    )


def start_cases(server: str, cases: list[tuple[int, ...]], seconds: float) -> None:
    print(
        f"\nthe quota alone\n{'quota':>6}{'processes':>11}{'starts/s':>10}{'busiest':>9}{'reserved/s':>11}{'each':>11}"
        f"{'a start':>12}{'unused':>9}{'fewest':>8}{'most':>8}{'load':>7}   target"
    )
    for rate, processes in cases:
        with database_on(server, f"quota-{rate}-{processes}") as database:
            print_result(rate, processes, run(database, rate, processes, seconds), seconds=seconds)


def compare_staging(server: str, rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder, database_on(server, "staging") as database:
        initialize(database)
        source = make_rows(Path(folder) / "rows.csv", rows)
        print(f"\nstaging {rows:,} rows", flush=True)
        plain = staging.measure("SQLite", source, rows)
        seconds = staging.measure("PostgreSQL", source, rows, database)
    print(
        f"    PostgreSQL : SQLite = {seconds / plain:.1f} times the seconds{os.getloadavg()[0]:7.1f}"
        f"   <= {MOST_STAGING:g} s for a million: {verdict(1e6 * seconds / rows <= MOST_STAGING)}",
        flush=True,
    )


async def record(ledger: Ledger, numbers: Sequence[int]) -> None:
    """Record that rows were accepted."""
    async with ledger.recording():
        for number in numbers:
            ledger.record(
                Outcome(
                    row=number,
                    state=State.ACCEPTED,
                    code=200,
                    message="",
                    attempts=1,
                    request_id=f"{number:036}",
                    finished_at=time.time(),
                )
            )


def measure_outcomes(server: str, rows: int) -> None:
    print(f"\noutcomes recorded\n{'outcomes':>10}{'a second':>10}{'CPU':>13}{'database':>13}{'load':>7}   target")
    with tempfile.TemporaryDirectory() as folder, database_on(server, "outcomes") as database:
        initialize(database)
        main_process = postmaster(database)
        source = make_rows(Path(folder) / "rows.csv", rows)
        with staged(source, Reading(), Place(Path(folder) / "job", database), app_key="app") as ledger:
            numbers = [row.number for row in ledger.rows()]
            began, cpu, database_cpu = time.monotonic(), time.process_time(), cpu_of_children(main_process)
            asyncio.run(record(ledger, numbers))
            speed = rows / (time.monotonic() - began)
            cpu, database_cpu = time.process_time() - cpu, cpu_of_children(main_process) - database_cpu
            assert ledger.counts().accepted == rows
    print(
        f"{rows:10,}{speed:10,.0f}{1e6 * cpu / rows:10.0f} µs{1e6 * database_cpu / rows:10.0f} µs"
        f"{os.getloadavg()[0]:7.1f}   >= {FEWEST_OUTCOMES:,}/s: {verdict(speed >= FEWEST_OUTCOMES)}",
        flush=True,
    )


PARTS = {
    "quota": lambda url, given: start_cases(url, given.cases, given.seconds),
    "workers": lambda url, given: send_cases(url, given.cases, seconds=given.seconds, latency=given.latency),
    "staging": lambda url, given: compare_staging(url, given.rows),
    "outcomes": lambda url, given: measure_outcomes(url, given.outcomes),
    "memory": lambda url, given: compare_memory(url, given.rate, given.sizes),
}


def cases_of(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, case.split("x"))) for case in text.split(",")]


def sizes_of(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", default=",".join(PARTS), help="parts to measure; default: %(default)s")
    add("--times", type=int, default=1, help="how often; default: %(default)s")
    add("--seconds", type=float, default=20.0, help="how long each case takes; default: %(default)s")
    add("--cases", type=cases_of, default=CASES, help="quota and processes; default: %(default)s")
    add("--latency", type=float, default=0.05, help="seconds until a response to the workers; default: %(default)s")
    add("--rows", type=int, default=1_000_000, help="rows to stage; default: %(default)s")
    add("--outcomes", type=int, default=50_000, help="outcomes to record; default: %(default)s")
    add("--sizes", type=sizes_of, default="20000,200000", help="rows that one worker sends; default: %(default)s")
    add("--rate", type=int, default=5000, help="most of them a second; default: %(default)s")
    add("--one", metavar="URL", help=argparse.SUPPRESS)  # be one of the processes
    given = parser.parse_args()
    if given.one:
        asyncio.run(start_attempts(given.one, given.cases[0][0], given.seconds))
        return
    chosen = [PARTS[name] for name in given.only.split(",")]
    with server() as url:
        for part in given.times * chosen:
            part(url, given)


if __name__ == "__main__":
    main()
