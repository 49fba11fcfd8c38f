"""The reports: files written from the ledger alone, so that they can be written again at any time."""

import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from batch_alias.errors import ReportError
from batch_alias.ledger import LedgerReader
from batch_alias.reports import not_accepted, results, summary
from batch_alias.reports.advice import Step, next_steps
from batch_alias.reports.summary import Summary, summarize

__all__ = ["Step", "Summary", "next_steps", "write_reports"]

_WORKBOOK = "results.xlsx"
_EXCEL = frozenset({".xlsx", ".xlsm", ".xls"})


def write_reports(
    folder: Path, ledger: LedgerReader, *, xlsx: bool, exit_code: int | None, stopped: str = ""
) -> Summary:
    """Write every report of a job; each takes its name when it is complete.

    ``results.xlsx`` is also written for a source that is a workbook, and where there is one already, so that it never
    disagrees with the other reports.

    Args:
        folder: The job's folder.
        ledger: The job.
        xlsx: Write ``results.xlsx``.
        exit_code: The exit code of the job; ``None`` when its last run has no end.
        stopped: Why the job ended early.

    Raises:
        LedgerError: The ledger cannot be read.
        ReportError: A report could not be written. The others are.
    """
    totals = summarize(ledger, exit_code=exit_code, stopped=stopped)
    reports = writers(folder, ledger, totals)
    if not (xlsx or Path(totals.source).suffix.lower() in _EXCEL or (folder / _WORKBOOK).exists()):
        del reports[_WORKBOOK]
    problems = []
    for name, write in reports.items():
        try:
            _write_complete(folder / name, write)
        except OSError as error:
            problems.append(f"{folder / name} ({error.strerror or error})")
    if problems:
        raise ReportError(
            "Not written: {files}.",
            "The ledger is complete; once the cause is gone, run: batch-alias report {folder}",
            files=", ".join(problems),
            folder=shlex.quote(str(folder)),
        )
    return totals


def writers(folder: Path, ledger: LedgerReader, totals: Summary) -> dict[str, Callable[[Path], None]]:
    """What writes each report, by file name, in the order in which they are written."""
    return {
        "summary.json": lambda path: summary.write(path, totals),
        "not-accepted.csv": lambda path: not_accepted.write(path, ledger),
        "results.csv": lambda path: results.write(path, ledger),
        "report.html": lambda path: _write_page(path, folder, ledger, totals),
        _WORKBOOK: lambda path: _write_workbook(path, folder, ledger, totals),
    }


# Jinja, matplotlib and XlsxWriter take half a second to import, so they are imported when they are needed.


def _write_page(path: Path, folder: Path, ledger: LedgerReader, totals: Summary) -> None:
    from batch_alias.reports import page

    page.write(path, folder, ledger, totals)


def _write_workbook(path: Path, folder: Path, ledger: LedgerReader, totals: Summary) -> None:
    from batch_alias.reports import workbook

    workbook.write(path, folder, ledger, totals)


def _write_complete(path: Path, write: Callable[[Path], None]) -> None:
    unfinished = path.with_name(f".{path.name}.new")
    try:
        write(unfinished)
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
