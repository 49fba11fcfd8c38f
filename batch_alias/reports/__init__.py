"""The reports: files written from the ledger alone, so that they can be written again at any time."""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from batch_alias.errors import ReportError, reason
from batch_alias.ledger import LedgerReader
from batch_alias.reports.advice import next_steps, on_job
from batch_alias.reports.rows import write_differs, write_not_accepted, write_plan, write_results
from batch_alias.reports.summary import Summary, summarize

__all__ = ["PLAN", "Summary", "make_folder", "next_steps", "write_plan_report", "write_reports"]

LEFT = 3600.0
"""Seconds after which an unfinished report is taken for one of a process that was killed, and removed."""
PLAN = "plan.csv"
_WORKBOOK = "results.xlsx"
_DIFFERS = "differs.csv"
_EXCEL = frozenset({".xlsx", ".xlsm", ".xls"})


def write_reports(
    folder: Path, ledger: LedgerReader, *, xlsx: bool, exit_code: int | None, stopped: str = ""
) -> Summary:
    """Write every report of a job; each takes its name when it is complete.

    ``results.xlsx`` is written when asked for, for a source that is a workbook, and where there is one already, so that
    it never disagrees with the other reports; ``differs.csv`` only while rows differ from what was read back, and an
    older one is removed. The exit code is ``None`` when the last run has no end; ``stopped`` says
    why it ended early.

    Raises:
        LedgerError: The ledger cannot be read.
        ReportError: A report could not be written. The others are.
    """
    make_folder(folder, ledger)
    totals = summarize(ledger, exit_code=exit_code, stopped=stopped)
    reports = writers(folder, ledger, totals)
    if not (xlsx or Path(totals.source).suffix.lower() in _EXCEL or (folder / _WORKBOOK).exists()):
        del reports[_WORKBOOK]
    _write(folder, ledger, reports if totals.differs else {**reports, _DIFFERS: None})
    return totals


def write_plan_report(folder: Path, ledger: LedgerReader) -> None:
    """Write ``plan.csv``; see ``write_reports``."""
    make_folder(folder, ledger)
    _write(folder, ledger, {PLAN: lambda path: write_plan(path, ledger)})


def make_folder(folder: Path, ledger: LedgerReader) -> None:
    """Make the folder of a job whose ledger is in a database. Raises ``ReportError``."""
    if ledger.url is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReportError("{path} cannot be made: {reason}.", path=folder, reason=reason(error)) from error


def _write(folder: Path, ledger: LedgerReader, reports: Mapping[str, Callable[[Path], object] | None]) -> None:
    """Write some reports; one that nothing writes is removed."""
    problems = []
    for name, write in reports.items():
        for left in folder.glob(f".{name}-*"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > LEFT:
                    shutil.rmtree(left)
        try:
            if write is None:
                (folder / name).unlink(missing_ok=True)
                continue
            # A folder of its own: another process may be writing the same report.
            with TemporaryDirectory(prefix=f".{name}-", dir=folder, ignore_cleanup_errors=True) as scratch:
                write(Path(scratch) / name)
                (Path(scratch) / name).replace(folder / name)
        except OSError as error:
            problems.append(f"{folder / name} ({error.strerror or error})")
    if problems:
        raise ReportError(
            "Not written: {files}.",
            "The ledger is complete; once the cause is gone, run: {command}",
            files=", ".join(problems),
            command=on_job("report", folder, ledger),
        )


def writers(folder: Path, ledger: LedgerReader, totals: Summary) -> dict[str, Callable[[Path], object]]:
    """What writes each report, by file name, in the order in which they are written."""

    # Jinja and XlsxWriter take a tenth of a second to import.
    def write_page(path: Path) -> None:
        from batch_alias.reports import page

        page.write(path, folder, ledger, totals)

    def write_workbook(path: Path) -> None:
        from batch_alias.reports import workbook

        workbook.write(path, folder, ledger, totals)

    return {
        "summary.json": lambda path: path.write_text(totals.as_json() + "\n", encoding="utf-8"),
        "not-accepted.csv": lambda path: write_not_accepted(path, ledger),
        "results.csv": lambda path: write_results(path, ledger),
        _DIFFERS: lambda path: write_differs(path, ledger),
        "report.html": write_page,
        _WORKBOOK: write_workbook,
    }
