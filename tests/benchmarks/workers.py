"""Several processes that share a quota: ``python -m tests.benchmarks.workers [--seconds N] [--cases 100x4,...]``.

Each line is a quota and so many processes that start attempts as fast as they may, for some seconds. Nothing is sent:

* starts per second, all processes together, from the first to the last;
* the busiest second over all of them, by the machine's clock, which is one for all its processes;
* reservations per second, and the CPU time of each in the database; CPU time of the processes per start;
* the share of the reserved slots that was not used;
* the starts of the process that had the fewest, and of the one that had the most;
* the load of the machine at the end, the target, and whether it is reached, the quota kept included.
"""

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import psycopg

from batch_alias.model import RequestKind
from batch_alias.workers.quota import SharedQuota
from tests.benchmarks.processes import wait_for
from tests.support.postgres import database_on, server
from tests.support.starts import busiest

MODULE = "tests.benchmarks.workers"
CASES = ("100x1", "100x2", "100x4", "1000x1", "1000x2", "1000x4")
TARGETS = {100: 92, 1000: 870}
"""By quota: least starts per second."""


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
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((files("batch_alias.ledger") / "postgres.sql").read_text("utf-8"))
        ((postmaster,),) = connection.execute("SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)")
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        used = cpu_of_ended_children(postmaster)
        command = [sys.executable, "-m", MODULE, "--one", url, "--cases", f"{rate}x1", "--seconds", str(seconds)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
        results = [json.loads(process.communicate()[0]) for process in running]
        wait_for(lambda: connection.execute(others).fetchone() == (0,))
        used = cpu_of_ended_children(postmaster) - used
    started, asked, reserved, cpu = zip(*results, strict=True)
    return Run(list(started), sum(asked), sum(reserved), sum(cpu), used)


def cpu_of_ended_children(pid: str) -> float:
    """CPU seconds of the ended child processes of a process; not a number if it runs elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def print_result(rate: int, processes: int, done: Run, *, seconds: float) -> None:
    started, shares = done.started, [len(one) for one in done.by_process]
    speed, most = (len(started) - 1) / (started[-1] - started[0]), busiest(started)
    least = TARGETS.get(rate, 0.87 * rate)
    print(
        f"{rate:6,}{processes:11}{speed:10.1f}{most:9,}{done.asked / seconds:11.1f}"
        f"{1e6 * done.database_cpu / done.asked:8.0f} µs{1e6 * done.cpu / len(started):9.0f} µs"
        f"{1 - len(started) / done.reserved:9.1%}{min(shares):8,}{max(shares):8,}{os.getloadavg()[0]:7.1f}"
        f"   >= {least:g}/s, <= {rate:,} in a second: {'reached' if speed >= least and most <= rate else 'MISSED'}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each case takes; default: %(default)s")
    parser.add_argument("--cases", default=",".join(CASES), help="quota and processes; default: %(default)s")
    parser.add_argument("--one", metavar="URL", help=argparse.SUPPRESS)  # be one of the processes
    given = parser.parse_args()
    cases = [tuple(map(int, case.split("x"))) for case in given.cases.split(",")]
    if given.one:
        asyncio.run(start_attempts(given.one, cases[0][0], given.seconds))
        return
    print(
        f"{'quota':>6}{'processes':>11}{'starts/s':>10}{'busiest':>9}{'reserved/s':>11}{'each':>11}{'a start':>12}"
        f"{'unused':>9}{'fewest':>8}{'most':>8}{'load':>7}   target"
    )
    with server() as url:
        for rate, processes in cases:
            with database_on(url, f"quota-{rate}-{processes}") as database:
                print_result(rate, processes, run(database, rate, processes, given.seconds), seconds=given.seconds)


if __name__ == "__main__":
    main()
