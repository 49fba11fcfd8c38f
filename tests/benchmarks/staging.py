"""How fast rows are checked and staged, beside ``csv.reader``: ``python -m tests.benchmarks.staging [--rows N]``.

Every figure comes from a process of its own; the ratios are of this one run.
"""

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.processes import make_rows


def stage(source: Path) -> int:
    from batch_alias.settings import Reading
    from batch_alias.staging import staged

    with staged(source, Reading(), source.with_suffix(".aliases")) as ledger:
        return ledger.tally().pending


def read(source: Path) -> int:
    with source.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


WAYS = {"batch-alias": stage, "csv.reader": read}


def measure(way: str, source: Path, rows: int) -> float:
    """Print a line and give the seconds."""
    command = [sys.executable, "-m", "tests.benchmarks.staging", "--way", way, str(source)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, seconds, peak = done.stdout.split()
    assert int(count) == rows, f"{way} took {count} of {rows} rows"
    print(f"  {way:14}{float(seconds):7.2f} s {float(peak):8.0f} MiB", flush=True)
    return float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows; three times as many are staged as well")
    parser.add_argument("--way", nargs=2, metavar=("WAY", "SOURCE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        began = time.perf_counter()
        count = WAYS[given.way[0]](Path(given.way[1]))
        took = time.perf_counter() - began
        print(count, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    for rows in (given.rows, 3 * given.rows):
        with tempfile.TemporaryDirectory() as folder:
            source = make_rows(Path(folder) / "rows.csv", rows)
            print(f"{rows:,} rows, {source.stat().st_size / 2**20:.0f} MiB", flush=True)
            mine, plain = (measure(way, source, rows) for way in WAYS)
            print(f"    batch-alias : csv.reader = {mine / plain:.1f} times the seconds", flush=True)


if __name__ == "__main__":
    main()
