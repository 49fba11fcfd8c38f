"""How fast and how small rows are read, beside the plain tools: ``python -m tests.benchmarks.reading``.

Makes its files in a temporary folder. Every figure comes from a process of its own; the ratios are of this one run.
The peak is that of the process plus that of the one in which calamine reads a workbook. ``ROWS=100000`` is quick.
"""

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROWS = int(os.environ.get("ROWS", "1000000"))
MANY_ROWS = 5 * ROWS


def ours(path: str) -> int:
    from batch_alias.settings import Reading
    from batch_alias.sources import open_source

    with open_source(Path(path), Reading()) as source:
        return sum(int((batch["reason"] == "").sum()) for batch in source.batches())


def plain_csv(path: str) -> int:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def pandas_csv(path: str) -> int:
    import pandas as pd

    chunks = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, index_col=False, chunksize=10_000)
    return sum(len(chunk) for chunk in chunks)


def plain_openpyxl(path: str) -> int:
    import openpyxl

    sheet = openpyxl.load_workbook(path, read_only=True).worksheets[0]
    return sum(1 for _ in sheet.iter_rows(values_only=True)) - 1


READERS: dict[str, Callable[[str], int]] = {
    "batch-alias": ours,
    "csv.reader": plain_csv,
    "pandas.read_csv": pandas_csv,
    "openpyxl": plain_openpyxl,
}


def make_csv(path: Path, rows: int) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["userId", "groupId", "remark"])
        writer.writerows(row(number) for number in range(rows))
    return path


def make_workbook(path: Path, rows: int) -> Path:
    import xlsxwriter

    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["userId", "groupId", "remark"])
        for number in range(rows):
            sheet.write_row(number + 1, 0, row(number))
    return path


def row(number: int) -> tuple[str, str, str]:
    remark = f"成员昵称 {number}, 产品" if number % 3 == 0 else f"Nickname {number}"
    return f"user{number:07d}", f"group{number % 500:04d}", remark


def measure(reader: str, path: Path, rows: int) -> float:
    """Print a line and give the rows per second."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.reading", reader, str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    read, seconds, peak = done.stdout.split()
    assert int(read) == rows, f"{reader} read {read} of {rows} rows"
    print(
        f"  {reader:18}{float(seconds):7.2f} s {rows / float(seconds):12,.0f} rows/s {float(peak):7.0f} MiB", flush=True
    )
    return rows / float(seconds)


def compare(path: Path, rows: int, others: list[str]) -> None:
    print(f"{rows:,} rows, {path.suffix[1:]}, {path.stat().st_size / 2**20:.0f} MiB")
    mine = measure("batch-alias", path, rows)
    for other in others:
        print(f"    batch-alias : {other} = {mine / measure(other, path, rows):.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        compare(make_csv(Path(folder) / "rows.csv", ROWS), ROWS, ["csv.reader", "pandas.read_csv"])
        compare(make_csv(Path(folder) / "many.csv", MANY_ROWS), MANY_ROWS, [])
        compare(make_workbook(Path(folder) / "rows.xlsx", ROWS), ROWS, ["openpyxl"])


if __name__ == "__main__":
    if len(sys.argv) == 3:
        begun = time.perf_counter()
        count = READERS[sys.argv[1]](sys.argv[2])
        took = time.perf_counter() - begun
        peak = sum(resource.getrusage(whose).ru_maxrss for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(count, took, peak / 1024)
    else:
        main()
