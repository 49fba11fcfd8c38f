"""The reports: files written from the ledger alone, so that they can be written again at any time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from batch_alias.errors import ReportError
from batch_alias.model import State
from batch_alias.records import Entry, JobInfo, Notice, RunRecord, Second, Tally
from batch_alias.reports import not_accepted, results, summary
from batch_alias.reports.summary import Summary, summarize

__all__ = ["Accounts", "Summary", "summarize", "write_reports"]


class Accounts(Protocol):
    """What the reports read."""

    def info(self) -> JobInfo:
        """What the job is."""

    def tally(self) -> Tally:
        """How many rows are in each state."""

    def entries(self, *states: State) -> Iterator[Entry]:
        """Every row's account, or that of the rows in some states, in the source's order."""

    def runs(self) -> list[RunRecord]:
        """What is noted of each run."""

    def seconds(self) -> Iterator[Second]:
        """What happened in each second."""

    def notices(self) -> list[Notice]:
        """What was worth knowing."""


def write_reports(folder: Path, accounts: Accounts, totals: Summary) -> list[Path]:
    """Write every report of a job; each takes its name only when it is complete.

    Args:
        folder: The job's folder.
        accounts: The ledger.
        totals: The summary.

    Returns:
        The files written.

    Raises:
        ReportError: One could not be written. The others are.
    """
    info = accounts.info()
    writers: dict[str, Callable[[Path], None]] = {
        "summary.json": lambda path: summary.write(path, totals),
        "not-accepted.csv": lambda path: not_accepted.write(path, info, accounts.entries(*not_accepted.STATES)),
        "results.csv": lambda path: results.write(path, accounts.entries()),
    }
    problems = []
    for name, write in writers.items():
        unfinished = folder / f".{name}.new"
        try:
            write(unfinished)
            unfinished.replace(folder / name)
        except OSError as error:
            problems.append(f"{folder / name} ({error.strerror or error})")
            unfinished.unlink(missing_ok=True)
    if problems:
        raise ReportError(
            f"Not written: {', '.join(problems)}.",
            f"The ledger is whole; once the cause is gone, run: batch-alias report {folder}",
        )
    return [folder / name for name in writers]
