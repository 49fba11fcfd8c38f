"""Time and memory that the reports of a large job take: ``python -m tests.benchmarks.reporting [--rows N]``.

Makes a ledger with rejected and failed rows, an outage and two runs in a temporary folder. Prints for each report
seconds, CPU time per row, size and the peak of memory of a process of its own, imports included.
"""

import argparse
import asyncio
import math
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from batch_alias.ledger import LEDGER, Ledger, create
from batch_alias.ledger.sqlite import SqliteLedger, SqliteReader
from batch_alias.model import LATENCY_STEP, Event, EventKind, Second
from tests.benchmarks.processes import Measured, print_measured
from tests.support.jobs import START, job_info

if TYPE_CHECKING:
    import pandas as pd

MODULE = "tests.benchmarks.reporting"
RATE = 100
BATCH = 20_000
MAKE = "make"
REPORTS = ("summary.json", "not-accepted.csv", "results.csv", "report.html", "results.xlsx")


def frames(rows: int) -> "Iterator[pd.DataFrame]":
    import pandas as pd

    for first in range(2, rows + 2, BATCH):
        numbers = pd.Series(range(first, min(first + BATCH, rows + 2)))
        frame = pd.DataFrame({"number": numbers, "user_id": "user" + numbers.astype(str)})
        frame["group_id"] = "group" + (numbers % 500).astype(str)
        frame["remark"] = "成员昵称 " + numbers.astype(str)
        frame["reason"] = (numbers % 50 == 0).map({True: "user-id-too-long", False: ""})
        frame["message"] = frame["reason"].map(
            {"": "", "user-id-too-long": "The user id has 70 bytes, 64 are allowed."}
        )
        frame["warning"] = ""
        frame[["cells", "expected"]] = None
        yield frame.astype({"cells": object, "expected": object})


async def record_run(ledger: Ledger, seconds: int, start: int, seed: int) -> None:
    draw = random.Random(seed)
    ledger.begin_run("run", target="api.example.com", version="1.0", settings={"rate": RATE})
    outage = range(seconds // 3, seconds // 3 + 300)
    began = Event(at=start + outage.start, kind=EventKind.OUTAGE_BEGAN, values={"detail": "HTTP 503"})
    ended = Event(at=start + outage.stop, kind=EventKind.OUTAGE_ENDED, values={})
    recorded = []
    for at in range(seconds):
        requests = 1 if at in outage else draw.randint(RATE - 5, RATE)
        latencies = Counter(
            max(0, math.ceil(math.log(draw.lognormvariate(4, 0.4), LATENCY_STEP))) for _ in range(requests)
        )
        recorded.append(
            Second(
                at=start + at,
                requests=requests,
                retries=requests // 30,
                refusals=at % 97 == 0,
                settled={},
                codes={"HTTP 503": 1} if at in outage else {"200": requests - 1, "1002": 1},
                latencies=latencies,
            )
        )
    await ledger.record_metrics(recorded, [began, ended], busiest=RATE)
    ledger.end_run(exit_code=1, host_switches=0)


def make_job(folder: Path, rows: int) -> None:
    create(folder, frames(rows), job_info)
    half, later = rows // RATE // 2, START + 10 * 86_400
    with SqliteLedger(folder) as ledger:
        asyncio.run(record_run(ledger, half, START, 1))
        asyncio.run(record_run(ledger, half, later, 2))
    db = sqlite3.connect(folder / LEDGER)
    with db:
        db.execute(
            "UPDATE rows SET attempts = 1, request_id = 'request-' || number, finished_at = ? + number / ?,"
            " code = iif(number % 60 = 0, 1002, 200), state = iif(number % 60 = 0, 'failed', 'accepted'),"
            " message = iif(number % 60 = 0, 'parameter missing or invalid: userId ' || number, 'accepted')"
            " WHERE state = 'pending'",
            (START, RATE),
        )
        db.execute("UPDATE runs SET started_at = ?, ended_at = ? WHERE id = 1", (START, START + half))
        db.execute("UPDATE runs SET started_at = ?, ended_at = ? WHERE id = 2", (later, later + half))
    db.close()


def write(folder: Path, name: str) -> None:
    """Write one report, whatever else ``write_reports`` would write."""
    from batch_alias.reports import writers
    from batch_alias.reports.summary import summarize

    with SqliteReader(folder) as ledger:
        writers(folder, ledger, summarize(ledger, exit_code=1, stopped=""))[name](folder / name)


def perform(folder: Path, task: str, rows: int) -> int:
    """Make the job, or write the report of a name."""
    if task == MAKE:
        make_job(folder, rows)
    else:
        write(folder, task)
    return rows


def measure(folder: Path, name: str, rows: int) -> None:
    found = Measured.of_process(MODULE, "--task", folder, name, "--rows", rows)
    size = (folder / name).stat().st_size
    print(
        f"  {name:18}{found.seconds:7.2f} s{1e6 * found.cpu / rows:8.1f} µs of CPU a row{size / 1e6:9.2f} MB"
        f"{found.peak:8.0f} MiB peak",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--task", nargs=2, metavar=("FOLDER", "TASK"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        print_measured(lambda: perform(Path(given.task[0]), given.task[1], given.rows))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Measured.of_process(MODULE, "--task", folder, MAKE, "--rows", given.rows)
        print(f"{given.rows:,} rows, ledger {(folder / LEDGER).stat().st_size / 1e6:.0f} MB")
        for report in REPORTS:
            measure(folder, report, given.rows)


if __name__ == "__main__":
    main()
