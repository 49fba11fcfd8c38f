"""The reports: files written from the ledger alone, so that they can be written again at any time."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from batch_alias.errors import ReportError
from batch_alias.model import State
from batch_alias.records import RowRecord, JobInfo, Event, ProblemCount, RunRecord, Second, StateCounts
from batch_alias.reports import not_accepted, results, summary
from batch_alias.reports.summary import Summary, summarize

WORKBOOK = "results.xlsx"

__all__ = ["Accounts", "Summary", "summarize", "write_reports"]


class LedgerReader(Protocol):
    """What the reports read."""

    def info(self) -> JobInfo:
        """What the job is."""

    def tally(self) -> StateCounts:
        """How many rows are in each state."""

    def entries(self, *states: State) -> Iterator[RowRecord]:
        """Every row's account, or that of the rows in some states, in the source's order."""

    def runs(self) -> list[RunRecord]:
        """What is noted of each run."""

    def seconds(self) -> Iterator[Second]:
        """What happened in each second."""

    def events(self) -> list[Event]:
        """What was worth knowing."""

    def warnings(self) -> list[ProblemCount]:
        """What is odd about rows that may be sent all the same, most frequent first."""


def write_reports(folder: Path, accounts: LedgerReader, totals: Summary, *, workbook: bool = False) -> list[Path]:
    """Write every report of a job; each takes its name only when it is complete.

    Args:
        folder: The job's folder.
        accounts: The ledger.
        totals: The summary.
        workbook: Whether ``results.xlsx`` is wanted. One that is there already is always written again, so that it
            never tells an older story than the other reports.

    Returns:
        The files written.

    Raises:
        ReportError: One could not be written. The others are.
    """
    wanted = writers(folder, accounts, totals)
    if not workbook and not (folder / WORKBOOK).exists():
        del wanted[WORKBOOK]
    problems = []
    for name, write in wanted.items():
        try:
            _write_whole(folder / name, write)
        except OSError as error:
            problems.append(f"{folder / name} ({error.strerror or error})")
    if problems:
        raise ReportError(
            f"Not written: {', '.join(problems)}.",
            f"The ledger is whole; once the cause is gone, run: batch-alias report {folder}",
        )
    return [folder / name for name in wanted]


def writers(folder: Path, accounts: LedgerReader, totals: Summary) -> dict[str, Callable[[Path], None]]:
    """What writes each report, by its file name, in the order in which they are written."""
    info = accounts.info()
    return {
        "summary.json": lambda path: summary.write(path, totals),
        "not-accepted.csv": lambda path: not_accepted.write(path, info, accounts.entries(*not_accepted.STATES)),
        "results.csv": lambda path: results.write(path, accounts.entries()),
        "report.html": lambda path: _write_page(path, folder, accounts, totals),
        WORKBOOK: lambda path: _write_workbook(path, accounts, totals),
    }


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    unfinished = path.with_name(f".{path.name}.new")
    try:
        write(unfinished)
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _write_page(path: Path, folder: Path, accounts: LedgerReader, totals: Summary) -> None:
    # pandas, Jinja and matplotlib take half a second to import, which is early enough when all is sent.
    from batch_alias.reports import causes, page, timeline

    runs, events = accounts.runs(), accounts.events()
    page.write(
        path,
        folder=folder,
        info=accounts.info(),
        totals=totals,
        runs=runs,
        events=events,
        warnings=accounts.warnings(),
        timeline=timeline.build(runs, accounts.seconds, events),
        not_accepted=causes.read_not_accepted(accounts.entries(*not_accepted.STATES), page.MOST_ROWS),
    )


def _write_workbook(path: Path, accounts: LedgerReader, totals: Summary) -> None:
    from batch_alias.reports import causes, workbook

    workbook.write(
        path,
        info=accounts.info(),
        totals=totals,
        entries=accounts.entries(),
        not_accepted=accounts.entries(*not_accepted.STATES),
        causes=causes.read_not_accepted(accounts.entries(*not_accepted.STATES), 0),
    )
