"""Services that bear less than the full rate: ``python -m tests.benchmarks.limits [--rows N] [--cases NAME,...]``.

Each line is a whole job through ``batch-alias run`` in a process of its own, against a server that counts exactly:

* rate: for ``strict`` requests that arrive per second once the opening rows are through, for ``grant`` rows accepted
  per second after the first 5 s, otherwise rows written per second, from the first request to the last write;
* refused: share of the requests, for ``grant`` after the first 5 s; twice: writes beyond one a row;
* seconds, CPU time a row and exit code of the whole process, starting and reports included;
* the load of the machine at the end, the target, and whether it is reached, every row accepted included.

``--trace`` prints what arrives in each second too: requests, and refused ones.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.processes import make_rows, start_client
from tests.benchmarks.server import WRITTEN, Arrival, Service, server_process
from tests.support.services import Connections, Gap, Queue, Sliding

OPENING = 3
"""Requests that may be sent one at a time at the beginning."""
SETTLING = 5.0
"""Seconds in which a client may look for the rate."""
REFUSALS = ("1008", "429", "503")
FAULTS = {"500": 3, "503": 2, "504": 1, "dropped": 2, "page": 2, "429": 1, "lost": 1, "hang": 0.2}  # per cent


@dataclass
class Mixed:
    """Faults of every kind, drawn from a seed, and maybe a certain one for the first request."""

    first: str = ""
    draw: random.Random = field(default_factory=lambda: random.Random(7))

    def __call__(self, now: float) -> tuple[str, float]:
        if self.first:
            kind, self.first = self.first, ""
            return kind, 0.05
        shares = FAULTS | {"accepted": 100 - sum(FAULTS.values())}
        return self.draw.choices([*shares], [*shares.values()])[0], 0.05


@dataclass(frozen=True, kw_only=True)
class Case:
    """A service, and what is to be reached with it."""

    name: str
    service: Service
    rate: float = 0.0  # at least
    refused: float = 1.0  # most, as a share
    twice: float = 1.0
    seconds: float = math.inf
    starts: bool = False  # the rate is that of the arrivals
    skipped: float = 0.0  # seconds
    busy_loops: int = 0
    rows: int | None = None
    flags: tuple[object, ...] = ()

    @property
    def target(self) -> str:
        parts = [f">= {self.rate:g}/s"] if self.rate else []
        parts += [f"<= {self.refused:.4g} refused"] if self.refused < 1 else []
        parts += [f"<= {self.twice:.4g} twice"] if self.twice < 1 else []
        parts += [f"<= {self.seconds:g} s"] if self.seconds < math.inf else []
        return ", ".join(parts)


def cases() -> Iterator[Case]:
    for ms in (5, 200, 1000):
        yield Case(name=f"strict-{ms}", service=Sliding(100, ms / 1000), rate=98, refused=1 / 2000, starts=True)
    yield Case(name="strict-busy", service=Sliding(100, 0.05), rate=92, starts=True, busy_loops=4)
    for refusal in ("429", "503"):
        yield Case(name=f"gap-{refusal}", service=Gap(refusal), rate=65)
    for refusal in ("429", "503"):
        yield Case(name=f"connections-{refusal}", service=Connections(refusal), rate=45, refused=0.1)
    for counted, least in ((False, 36), (True, 34)):
        for ms in (50, 300, 1000):
            service = Sliding(40, ms / 1000, counted)
            name = f"grant-{'counted-' * counted}{ms}"
            yield Case(name=name, service=service, rate=least, refused=0.1, skipped=SETTLING)
    service = Sliding(90, 1.0, count_refused=False, refuses_at_once=True)
    yield Case(name="grant-90-at-once", service=service, rate=81, refused=0.1, skipped=SETTLING)
    yield Case(name="queue", service=Queue(), rate=22, twice=0.03)
    for name, first in (("mixed", ""), ("mixed-first-dropped", "dropped")):
        yield Case(name=name, service=Mixed(first), seconds=30, rows=1500, flags=("--timeout", "3s"))


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@dataclass(frozen=True)
class Run:
    """What one job has come to."""

    log: list[Arrival]
    seconds: float
    cpu: float
    code: int
    accepted: int


def run(case: Case, rows: int) -> Run:
    with tempfile.TemporaryDirectory() as name, server_process(case.service) as server, busy_loops(case.busy_loops):
        source, folder = make_rows(Path(name) / "rows.csv", rows), Path(name) / "job"
        began = time.monotonic()
        client = start_client("run", source, "--job", folder, *case.flags, environment=server.environment)
        _, status, usage = os.wait4(client.pid, 0)
        seconds = time.monotonic() - began
        client.returncode = os.waitstatus_to_exitcode(status)
        accepted = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["states"].get("accepted", 0)
        return Run(server.log(), seconds, usage.ru_utime + usage.ru_stime, client.returncode, accepted)


def print_result(case: Case, rows: int, done: Run) -> None:
    log = done.log
    first = log[0].at + case.skipped
    counted = [arrival for arrival in log if arrival.at >= first]
    if case.starts:
        counted = counted[OPENING:]
        rate = (len(counted) - 1) / (counted[-1].at - counted[0].at)
    else:
        written = [arrival.at + arrival.latency for arrival in log if arrival.kind in WRITTEN]
        written = [at for at in written if at >= first]
        rate = len(written) / (max(written) - first)
    kinds = Counter(arrival.kind for arrival in counted)
    refused = sum(kinds[kind] for kind in REFUSALS)
    twice = sum(arrival.kind in WRITTEN for arrival in log) - len({a.row for a in log if a.kind in WRITTEN})
    reached = (
        rate >= case.rate
        and refused <= math.ceil(case.refused * len(counted))
        and twice <= case.twice * rows
        and done.seconds <= case.seconds
        and done.code == 0
        and done.accepted == rows
    )
    print(
        f"{case.name:20}{rate:7.1f}/s{refused:7,} {refused / len(counted):6.2%}{twice:7,}{done.seconds:9.1f}"
        f"{1000 * done.cpu / rows:9.2f}{done.code:6}{os.getloadavg()[0]:7.1f}   {case.target:30}"
        f"{'reached' if reached else 'MISSED'}",
        flush=True,
    )


def print_trace(log: list[Arrival]) -> None:
    """Print for each second how many requests arrived and how many of them were not accepted."""
    seconds = Counter(int(arrival.at - log[0].at) for arrival in log)
    others = Counter(int(arrival.at - log[0].at) for arrival in log if arrival.kind != "accepted")
    print("    " + " ".join(f"{seconds[n]}-{others[n]}" for n in range(max(seconds) + 1)), flush=True)


def main() -> None:
    known = {case.name: case for case in cases()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help="rows of each case but mixed, which has 1,500")
    parser.add_argument("--cases", default=",".join(known), help="some of: %(default)s")
    parser.add_argument("--trace", action="store_true", help="print what arrives in each second")
    given = parser.parse_args()
    print(f"{'case':20}{'rate':>9}{'refused':>14}" + "   twice  seconds   CPU ms  exit   load   target", flush=True)
    for name in given.cases.split(","):
        case = known[name]
        rows = case.rows or given.rows
        done = run(case, rows)
        print_result(case, rows, done)
        if given.trace:
            print_trace(done.log)


if __name__ == "__main__":
    main()
