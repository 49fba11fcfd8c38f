"""How fast rows are checked and staged, beside ``csv.reader``: ``python -m tests.benchmarks.staging [--rows N]``.

Prints seconds, CPU time per row and the peak of memory, each of a process of its own, and the
ratio of the seconds in this run. ``tests.benchmarks.workers`` stages in PostgreSQL too.
"""

import argparse
import csv
import tempfile
from pathlib import Path

from tests.benchmarks.processes import Measured, make_rows, print_measured

MODULE = "tests.benchmarks.staging"


def stage(source: Path, url: str | None = None) -> int:
    """Stage a source in SQLite, or in the database at a URL; return the rows to send."""
    from batch_alias.ledger import Place
    from batch_alias.settings import Reading
    from batch_alias.staging import staged

    with staged(source, Reading(), Place(source.with_suffix(".aliases"), url), app_key="app") as ledger:
        return ledger.counts().pending


def read(source: Path) -> int:
    with source.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


WAYS = {"SQLite": stage, "PostgreSQL": stage, "csv.reader": read}


def measure(way: str, source: Path, rows: int, *more: str) -> float:
    """Print a line and return the seconds; PostgreSQL needs the URL of a database more."""
    found = Measured.of_process(MODULE, "--way", way, source, *more)
    assert found.result == rows, f"{way} took {found.result} of {rows} rows"
    per_row = 1e6 * found.cpu / rows
    print(f"  {way:14}{found.seconds:7.2f} s{per_row:8.1f} µs of CPU a row{found.peak:8.0f} MiB", flush=True)
    return found.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows; three times as many are staged as well")
    parser.add_argument("--way", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        way, source, *more = given.way
        print_measured(lambda: WAYS[way](Path(source), *more))
        return
    for rows in (given.rows, 3 * given.rows):
        with tempfile.TemporaryDirectory() as folder:
            source = make_rows(Path(folder) / "rows.csv", rows)
            print(f"{rows:,} rows, {source.stat().st_size / 2**20:.0f} MiB", flush=True)
            ours, plain = (measure(way, source, rows) for way in ("SQLite", "csv.reader"))
            print(f"    SQLite : csv.reader = {ours / plain:.1f} times the seconds", flush=True)


if __name__ == "__main__":
    main()
