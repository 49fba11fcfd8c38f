"""Time and memory that the reports of a large job take: ``python -m tests.benchmarks.reporting``.

Makes a ledger with rejected and failed rows, an outage and two runs in a temporary folder. Each report is written by a
process of its own, and its imports are measured too.
"""

import asyncio
import math
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from batch_alias.ledger import LEDGER, JobInfo, Ledger, LedgerReader, create
from batch_alias.model import LATENCY_STEP, Event, EventKind, Second

if TYPE_CHECKING:
    import pandas as pd

ROWS = int(os.environ.get("ROWS", "1000000"))
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
        frame["cells"] = None
        yield frame.astype({"cells": object})


async def record_run(ledger: Ledger, seconds: int, start: int, seed: int) -> None:
    draw = random.Random(seed)
    ledger.begin_run(target="api.example.com", version="1.0", settings={"rate": RATE})
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
    start = 1_790_000_000
    info = JobInfo(
        source="names.csv",
        sha256="0" * 64,
        description="comma separated, UTF-8",
        header=("userId", "groupId", "remark"),
        columns=(0, 1, 2),
        blank_rows=0,
        reading={},
        staged_at=float(start),
        version="1.0",
    )
    create(folder, frames(rows), lambda: info)
    half = rows // RATE // 2
    with Ledger(folder) as ledger:
        asyncio.run(record_run(ledger, half, start, 1))
        asyncio.run(record_run(ledger, half, start + 10 * 86_400, 2))
    db = sqlite3.connect(folder / LEDGER)
    with db:
        db.execute(
            "UPDATE rows SET attempts = 1, request_id = 'request-' || number, finished_at = ? + number / ?,"
            " code = iif(number % 60 = 0, 1002, 200), state = iif(number % 60 = 0, 'failed', 'accepted'),"
            " message = iif(number % 60 = 0, 'parameter missing or invalid: userId ' || number, 'accepted')"
            " WHERE state = 'pending'",
            (start, RATE),
        )
        db.execute("UPDATE runs SET started_at = ?, ended_at = ? WHERE id = 1", (start, start + half))
        later = start + 10 * 86_400
        db.execute("UPDATE runs SET started_at = ?, ended_at = ? WHERE id = 2", (later, later + half))
    db.close()


def write(folder: Path, name: str) -> None:
    """Write one report, whatever else ``write_reports`` would write."""
    from batch_alias.reports import writers
    from batch_alias.reports.summary import summarize

    with LedgerReader(folder) as ledger:
        writers(folder, ledger, summarize(ledger, exit_code=1, stopped=""))[name](folder / name)


def in_a_process_of_its_own(folder: Path, task: str) -> tuple[float, float]:
    """Seconds and MiB. The peak of a process is never below that of its parent, so this one stays small itself."""
    command = [sys.executable, "-m", "tests.benchmarks.reporting", str(folder), task]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def measure(folder: Path, name: str) -> None:
    seconds, peak = in_a_process_of_its_own(folder, name)
    size = (folder / name).stat().st_size
    print(f"  {name:18}{seconds:7.2f} s{size / 1e6:9.2f} MB{peak:8.0f} MiB peak", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        in_a_process_of_its_own(Path(folder), MAKE)
        print(f"{ROWS:,} rows, ledger {(Path(folder) / LEDGER).stat().st_size / 1e6:.0f} MB")
        for name in REPORTS:
            measure(Path(folder), name)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        begun = time.perf_counter()
        if sys.argv[2] == MAKE:
            make_job(Path(sys.argv[1]), ROWS)
        else:
            write(Path(sys.argv[1]), sys.argv[2])
        print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    else:
        main()
