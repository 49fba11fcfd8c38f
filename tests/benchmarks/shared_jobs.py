"""Whole jobs that several processes send: two parts of ``tests.benchmarks.workers``."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from batch_alias.ledger import Place
from batch_alias.model import State
from batch_alias.workers import initialize
from tests.benchmarks.processes import (
    Service,
    cpu_of_children,
    cpu_seconds,
    make_rows,
    peak_mib,
    sandbox_process,
    start_client,
    verdict,
    wait_for,
)
from tests.support.postgres import database_on, postmaster

FEWEST = {100: 90, 1000: 850}
"""By quota: least accepted rows per second of four workers."""
BUNCHED = 0.05
"""Share of the quota by which more requests may arrive in a second than start: the sandbox may be late to read some."""
MOST_MEMORY = 1.1
"""Most times the memory of the fewest rows that the most may take."""
INTERVAL = 0.1
"""Seconds between two samples."""


@contextmanager
def worker(url: str, service: Service, *flags: str) -> Iterator[subprocess.Popen]:
    """A worker as a process of its own that waits for rows to send, for the length of a block."""
    command = [sys.executable, "-m", "batch_alias", "work", "--ledger", url, *flags]
    environment = {**os.environ, **service.environment}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            process.stderr.readline()  # that it waits
            yield process
        finally:
            process.terminate()


def start_run(folder: Path, rows: int, url: str, rate: int, service: Service) -> subprocess.Popen:
    """Start to run the job "job" of so many rows."""
    source = make_rows(folder / "rows.csv", rows)
    flags = ("--job", folder / "job", "--ledger", url, "--rate", rate)
    return start_client("run", source, *flags, environment=service.environment)


def send(server: str, rate: int, workers: int, *, seconds: float, latency: float) -> None:
    """Send a job by so many workers, the process that began it included, and print a line."""
    rows = round(rate * seconds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(database_on(server, f"workers-{rate}-{workers}"))
        initialize(url)
        main_process = postmaster(url)
        service = stack.enter_context(sandbox_process("--rate", rate, "--latency", latency))
        helpers = [stack.enter_context(worker(url, service)) for _ in range(workers - 1)]
        began = start_run(folder, rows, url, rate, service)
        samples = []
        while began.poll() is None:
            requests = service.stats()["requests"]
            # Before, the processes are started and the source is read; afterwards the reports are written.
            if rows / 10 <= requests <= 0.9 * rows:
                cpu = sum(cpu_seconds(process.pid) for process in (began, *helpers))
                samples.append((requests, cpu, cpu_of_children(main_process)))
            time.sleep(INTERVAL)
        stats = service.stats()
        with Place(folder / "job", url).read() as ledger:
            ended = sorted(row.finished_at for row in ledger.rows(State.ACCEPTED))
            shares = [each.accepted for each in ledger.workers()]
            shares += [0] * (workers - len(shares))
    assert len(ended) == rows, f"{len(ended)} of {rows} rows were accepted"
    speed, most = (rows - 1) / (ended[-1] - ended[0]), stats["busiest_second"]
    sent, cpu, database_cpu = (last - first for first, last in zip(samples[0], samples[-1], strict=True))
    least, limit = FEWEST.get(rate, 0.85 * rate), round((1 + BUNCHED) * rate)
    print(
        f"{rate:6,}{workers:9}{speed:13.1f}{most:9,}{stats['refusals']:9,}{1e6 * cpu / sent:9.0f} µs"
        f"{1e6 * database_cpu / sent:9.0f} µs{min(shares):9,}{max(shares):8,}{os.getloadavg()[0]:7.1f}"
        f"   >= {least:g}/s, <= {limit:,} in a second: {verdict(speed >= least and most <= limit)}",
        flush=True,
    )


def send_cases(server: str, cases: list[tuple[int, ...]], *, seconds: float, latency: float) -> None:
    print(
        f"\nwhole jobs, latency {1000 * latency:g} ms; what is counted in the busiest second are arrivals,"
        f" of which it may have {BUNCHED:.0%} more than of starts\n"
        f"{'quota':>6}{'workers':>9}{'accepted/s':>13}{'busiest':>9}{'refused':>9}{'CPU a row':>12}"
        f"{'database':>12}{'fewest':>9}{'most':>8}{'load':>7}   target"
    )
    for rate, workers in cases:
        send(server, rate, workers, seconds=seconds, latency=latency)


def memory_of_worker(server: str, rate: int, rows: int) -> float:
    """The peak of the memory of a worker that sends so many rows alone, in MiB; print a line.

    The process that has begun the job is killed: the worker takes over what it held after half a minute.
    """
    with tempfile.TemporaryDirectory() as name, database_on(server, f"memory-{rows}") as url:
        initialize(url)
        with sandbox_process("--rate", 100_000) as service:
            began = start_run(Path(name), rows, url, rate, service)
            with psycopg.connect(url, autocommit=True) as connection:
                query = "SELECT 1 FROM batch_alias.blocks LIMIT 1"
                wait_for(lambda: connection.execute(query).fetchone(), seconds=600)
            began.kill()
            began.wait()
            with worker(url, service, "--until-idle") as process:
                peak = 0.0
                while process.poll() is None:
                    peak = max(peak, peak_mib(process.pid))
                    time.sleep(INTERVAL)
        with Place(Path(name) / "job", url).read() as ledger:
            accepted = max(each.accepted for each in ledger.workers())
            assert ledger.counts().accepted == rows, ledger.counts()
    print(f"{accepted:10,} of {rows:9,}{peak:10.1f} MiB{os.getloadavg()[0]:8.1f}", flush=True)
    return peak


def compare_memory(server: str, rate: int, sizes: list[int]) -> None:
    print(f"\nmemory of one worker, at most {rate:,} rows a second\n{'rows':>10}{'':13}{'peak':>13}{'load':>9}")
    peaks = [memory_of_worker(server, rate, rows) for rows in sizes]
    ratio = peaks[-1] / peaks[0]
    print(f"  {ratio:.2f} times   <= {MOST_MEMORY}: {verdict(ratio <= MOST_MEMORY)}", flush=True)
