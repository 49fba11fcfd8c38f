"""What each fault costs: ``python -m tests.benchmarks.faults [--rows N] [--outage SECONDS] [--cases N,...]``.

Each line is a whole job through ``batch-alias run`` in a process of its own, against a sandbox with one kind of fault:

* failed, unknown and pending rows; lost: rows reported accepted that the sandbox does not hold, or not reported at all;
* twice: accepted sets beyond one a row;
* seconds in all, and how many more than without a fault; CPU time a row of all its processes, starting and reports
  included; the exit code of the last one.
"""

import argparse
import csv
import os
import resource
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from batch_alias.sandbox import FaultPlan, Faults, Rules, Sandbox
from batch_alias.sandbox.faults import DROP_AFTER, HANG_AFTER, UNAVAILABLE
from batch_alias.sandbox.server import serve
from batch_alias.settings.target import Secret
from tests.benchmarks.processes import make_rows, start_client, wait_for
from tests.support.faults import HOSTILE, During, Shares
from tests.support.processes import environment_of

RATE = 200
TIMEOUT = 3
LATENCY = {"latency": 0.05, "jitter": 0.3}
HEALTHY = Faults(**LATENCY)
LONGEST = 900.0


@dataclass(frozen=True)
class Case:
    """A kind of fault; ``beside`` is called from a thread with the stack that keeps the sandbox served."""

    name: str
    faults: FaultPlan = HEALTHY
    grant: int = 100_000
    backup: bool = False  # without faults
    kills: int = 0
    beside: Callable[[ExitStack, Sandbox], None] | None = None


def cases(outage: float) -> list[Case]:
    def during(fault, seconds: float = outage) -> During:
        return During(2, 2 + seconds, fault, HEALTHY)

    def vanish(stack: ExitStack, sandbox: Sandbox) -> None:
        wait_for(lambda: sandbox.stats().requests > 2 * RATE)
        stack.close()
        time.sleep(outage)
        stack.enter_context(serve(sandbox, port=urlsplit(sandbox.url).port or 0))

    return [
        Case("none"),
        Case("5 % HTTP 5xx", Faults(**LATENCY, errors=0.05, seed=1)),
        Case("5 % dropped", Faults(**LATENCY, drops=0.05, seed=2)),
        Case("2 % never answered", Faults(**LATENCY, hangs=0.02, seed=3)),
        Case("5 % gateway pages", Faults(**LATENCY, pages=0.05, seed=4)),
        Case("1 % refused", Faults(**LATENCY, refusals=0.01, seed=5)),
        Case("10 % hostile answers", Shares({fault: 0.1 / len(HOSTILE) for fault in HOSTILE}, HEALTHY, seed=6)),
        Case("40 % of the quota", grant=RATE * 2 // 5),
        Case(f"outage {outage:.0f} s, 503", during(UNAVAILABLE)),
        Case(f"outage {outage:.0f} s, dropped", during(DROP_AFTER)),
        Case(f"outage {outage:.0f} s, hangs", during(HANG_AFTER)),
        Case(f"server gone for {outage:.0f} s", beside=vanish),
        Case("primary down, backup up", during(UNAVAILABLE, 1e9), backup=True),
        Case("3 times SIGKILL", kills=3),
    ]


@dataclass(frozen=True)
class Run:
    """What one job has come to."""

    states: Counter[str]
    lost: int
    twice: int
    seconds: float
    cpu: float
    code: int


def run(case: Case, rows: int, folder: Path) -> Run:
    source, job = make_rows(folder / "rows.csv", rows), folder / "job"
    command = ("run", source, "--job", job, "--rate", RATE, "--timeout", TIMEOUT)
    with ExitStack() as served:
        app = {"app_key": "the-key", "app_secret": Secret("the-secret")}
        sandboxes = [Sandbox(Rules(rate=case.grant), case.faults, **app)]
        sandboxes += [Sandbox(Rules(rate=case.grant), HEALTHY, **app)] if case.backup else []
        for sandbox in sandboxes:
            served.enter_context(serve(sandbox))
        environment, primary = environment_of(*sandboxes), sandboxes[0]
        beside = threading.Thread(target=case.beside or (lambda *_: None), args=(served, primary))
        began, used = time.monotonic(), children_cpu()
        client = start_client(*command, environment=environment)
        beside.start()
        for kill in range(case.kills):
            wait_for(lambda share=(kill + 1) / (case.kills + 1): primary.stats().requests > rows * share, LONGEST)
            client.send_signal(signal.SIGKILL)
            client.wait()
            client = start_client(*command, environment=environment)
        code = client.wait(LONGEST)
        seconds, cpu = time.monotonic() - began, children_cpu() - used
        beside.join()
    held = {key: remark for sandbox in sandboxes for key, remark in sandbox.aliases().items()}
    sets = sum(sandbox.stats().sets for sandbox in sandboxes)
    return Run(*reported(job, held, rows), sets - len(held), seconds, cpu, code)


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def reported(job: Path, held: dict[tuple[str, str], str], rows: int) -> tuple[Counter[str], int]:
    """Rows by state, and how many are lost."""
    with (job / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    untrue = sum(
        row["state"] == "accepted" and held.get((row["groupId"], row["userId"])) != row["remark"] for row in table
    )
    return Counter(row["state"] for row in table), untrue + rows - len(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000, help="rows for each fault")
    parser.add_argument("--outage", type=float, default=20, help="seconds of an outage")
    parser.add_argument("--cases", help="numbers of cases, counted from 0; without case 0 'extra' says nothing")
    given = parser.parse_args()
    numbers = map(int, given.cases.split(",")) if given.cases else range(len(cases(0)))
    heads = ("failed", "unknown", "pending", "lost", "twice", "seconds", "extra", "CPU ms", "exit", "load")
    print(f"{f'fault, {given.rows:,} rows':28}" + "".join(f"{head:>9}" for head in heads), flush=True)
    without = None
    for case in [cases(given.outage)[number] for number in numbers]:
        with tempfile.TemporaryDirectory() as folder:
            done = run(case, given.rows, Path(folder))
        without = done.seconds if without is None else without
        counts = (*(done.states[state] for state in ("failed", "unknown", "pending")), done.lost, done.twice)
        print(
            f"{case.name:28}" + "".join(f"{count:9,}" for count in counts),
            f"{done.seconds:8.1f}{done.seconds - without:9.1f}{1000 * done.cpu / given.rows:9.2f}{done.code:9}"
            f"{os.getloadavg()[0]:9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
