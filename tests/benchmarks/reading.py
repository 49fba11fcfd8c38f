"""Speed and memory of reading, beside plain tools: ``python -m tests.benchmarks.reading [--rows N]``.

Prints seconds, rows per second, CPU time per row and the peak of memory, each of a process of its
own and the one in which calamine reads a workbook; and the ratios of the rows per second in this run.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.processes import Measured, print_measured

MODULE = "tests.benchmarks.reading"


def batch_alias(path: str) -> int:
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
    "batch-alias": batch_alias,
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
    """Print a line and return the rows per second."""
    found = Measured.of_process(MODULE, "--reader", reader, path)
    assert found.result == rows, f"{reader} read {found.result} of {rows} rows"
    rate = rows / found.seconds
    per_row = f"{1e6 * found.cpu / rows:7.1f} µs of CPU a row"
    print(f"  {reader:18}{found.seconds:7.2f} s {rate:12,.0f} rows/s{per_row}{found.peak:7.0f} MiB", flush=True)
    return rate


def compare(path: Path, rows: int, others: list[str]) -> None:
    print(f"{rows:,} rows, {path.suffix[1:]}, {path.stat().st_size / 2**20:.0f} MiB")
    ours = measure("batch-alias", path, rows)
    for other in others:
        print(f"    batch-alias : {other} = {ours / measure(other, path, rows):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows; five times as many are read as well")
    parser.add_argument("--reader", nargs=2, metavar=("READER", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.reader:
        print_measured(lambda: READERS[given.reader[0]](given.reader[1]))
        return
    rows, many = given.rows, 5 * given.rows
    with tempfile.TemporaryDirectory() as folder:
        compare(make_csv(Path(folder) / "rows.csv", rows), rows, ["csv.reader", "pandas.read_csv"])
        compare(make_csv(Path(folder) / "many.csv", many), many, [])
        # A sheet has no more rows.
        rows = min(rows, 2**20 - 1)
        compare(make_workbook(Path(folder) / "rows.xlsx", rows), rows, ["openpyxl"])


if __name__ == "__main__":
    main()
