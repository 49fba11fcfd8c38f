"""Reads beside writes: ``python -m tests.benchmarks.comparing [--rows N] [--cases NAME,...]``.

Each line is a whole job in a process of its own, against a sandbox in this one that counts exactly; every alias is one
that the job changes. Printed are

* seconds: from the first request to the last one, and their ratio to the plain run before;
* the most requests for one path in any sliding second, which must not be above 100;
* granted per second, and refused: over all paths after the first 15 s, or 5 s for fewer than 3,000 rows; for a limit
  that the paths share at least 80, and at most 10 %;
* lost: rows that are not accepted or have another alias, and different: those that are called so by verifying.

A row that is read before and after it is sent costs two reads on one path, so that run takes twice as long.
"""

import argparse
import asyncio
import csv
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from batch_alias.job import run_job
from batch_alias.ledger.records import RowRecord
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import State
from batch_alias.sandbox import FaultPlan, Faults, Rules, Sandbox
from batch_alias.sandbox.emulator import READ, Request
from batch_alias.sandbox.server import serve
from batch_alias.settings import Comparing, Settings
from batch_alias.settings.target import Secret, Target
from tests.benchmarks.processes import make_rows
from tests.support.faults import OnPath
from tests.support.processes import environment_of

LATENCY = Faults(latency=0.05, jitter=0.3)
STRAY = Faults(latency=0.05, jitter=0.3, errors=0.005, drops=0.005, seed=11)
SETTLED = 15.0
"""Seconds after which the paths have found their rates."""
FEW = 3000
"""Rows below which it is a third of that."""
SHARED = Rules(shared_limit=True)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A service, and what is asked of it."""

    name: str
    compare: bool = False
    verify: bool = False
    rules: Rules = field(default_factory=Rules)
    faults: FaultPlan = LATENCY
    most: float = 0.0  # times the seconds of the plain run


CASES = {
    case.name: case
    for case in (
        Case(name="plain"),
        Case(name="compare", compare=True, most=1.1),
        Case(name="verify", verify=True, most=1.1),
        Case(name="compare-verify", compare=True, verify=True, most=2.1),
        Case(name="shared-compare", compare=True, rules=SHARED),
        Case(name="shared-verify", verify=True, rules=SHARED),
        Case(name="shared-compare-verify", compare=True, verify=True, rules=SHARED),
        Case(name="stray", compare=True, verify=True, faults=OnPath(READ, STRAY, LATENCY)),
    )
}


@dataclass(frozen=True)
class Sample:
    """What has arrived until a time."""

    at: float
    requests: int
    refusals: int


def run(case: Case, rows: int) -> tuple[list[Sample], Sandbox, list[RowRecord]]:
    """Run a job; returns what arrived, and its rows."""
    samples: list[Sample] = []
    sandbox = Sandbox(case.rules, case.faults)
    sandbox.on_request = lambda request: samples.append(sample(sandbox, request))
    with tempfile.TemporaryDirectory() as name, serve(sandbox):
        source, folder = make_rows(Path(name) / "rows.csv", rows), Path(name) / "job"
        with source.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                sandbox.set_alias(row["groupId"], row["userId"], "before")
        asked = [flag for flag in ("compare", "verify") if getattr(case, flag)]
        command = [sys.executable, "-m", "tests.benchmarks.comparing", "--client", source, folder, *asked]
        environment = os.environ | environment_of(sandbox)
        subprocess.run([*map(str, command)], env=environment, check=True)
        with SqliteReader(folder) as ledger:
            return samples, sandbox, [*ledger.rows()]


def sample(sandbox: Sandbox, request: Request) -> Sample:
    return Sample(request.at, sandbox.counts.requests, sandbox.counts.refusals)


def run_client(source: str, folder: str, *asked: str) -> None:
    """Run a job as a process of its own does."""
    target = Target(
        url=os.environ["RONGCLOUD_URL"],
        app_key=os.environ["RONGCLOUD_APP_KEY"],
        app_secret=Secret(os.environ["RONGCLOUD_APP_SECRET"]),
        no_proxy=True,
    )
    comparing = Comparing(compare="compare" in asked, verify="verify" in asked)
    asyncio.run(run_job(Settings(source=Path(source), job=Path(folder), target=target, comparing=comparing)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6000, help="rows of each case")
    parser.add_argument("--cases", default=",".join(CASES), help="some of: %(default)s")
    parser.add_argument("--client", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        run_client(*given.client)
        return
    settled = SETTLED if given.rows >= FEW else SETTLED / 3
    plain = 0.0
    print(f"{'case':24}seconds  ratio  busiest  granted/s  refused  lost  different  load", flush=True)
    for name in given.cases.split(","):
        case = CASES[name]
        samples, sandbox, rows = run(case, given.rows)
        seconds = samples[-1].at - samples[0].at
        plain = plain or seconds
        late = [one for one in samples if one.at >= samples[0].at + settled]
        lasted = late[-1].at - late[0].at
        requests, refusals = late[-1].requests - late[0].requests, late[-1].refusals - late[0].refusals
        busiest = max(counts.busiest_second for counts in sandbox.stats().paths.values())
        held = sandbox.aliases()
        lost = sum(row.state != State.ACCEPTED or held[row.group_id, row.user_id] != row.remark for row in rows)
        different = sum(row.found not in {None, row.remark} for row in rows)
        print(
            f"{name:24}{seconds:7.1f}{seconds / plain:7.2f}{busiest:9}{(requests - refusals) / lasted:11.1f}"
            f"{refusals / requests:9.1%}{lost:6}{different:11}{os.getloadavg()[0]:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
