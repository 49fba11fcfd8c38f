"""What ends a run: an exit code and advice.

Values end a row, exceptions end the run. Whatever is wrong with one row is data and goes to the ledger; an exception
below means the run cannot go on. Each carries the process's exit code and, in its advice, the next thing to do.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of ``batch-alias``, a contract with scripts."""

    DONE = 0
    """Every row was accepted (superseded rows count as done)."""
    NOT_ALL_ACCEPTED = 1
    """Finished, but some rows were rejected, failed or are unknown (or were held back by ``--limit``)."""
    USAGE = 2
    """Wrong usage or configuration."""
    SOURCE = 3
    """The source cannot be used; nothing was sent."""
    STOPPED = 4
    """Stopped by the service (credentials, App Key, permission, outage); the same command resumes."""
    LEDGER = 5
    """The ledger cannot be used (locked by another run, belongs to another source, disk full)."""
    REPORT = 6
    """A report could not be written; the ledger is whole."""
    INTERRUPTED = 130
    """Interrupted by a person or a signal; the same command resumes."""


class BatchAliasError(Exception):
    """Something that ends the run.

    Args:
        problem: One sentence: what is wrong, and where.
        advice: One sentence: what to do about it; may be empty.
    """

    exit_code: ExitCode

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.problem} {self.advice}".strip()


class UsageError(BatchAliasError):
    """A flag, an environment variable or a setting is missing or wrong."""

    exit_code = ExitCode.USAGE


class SourceError(BatchAliasError):
    """The source cannot be read, its columns are not clear, or too many of its rows are rejected."""

    exit_code = ExitCode.SOURCE


class StoppedByService(BatchAliasError):  # noqa: N818 - a stop, not an error of ours
    """The service refuses the whole run: every further request would be refused as well."""

    exit_code = ExitCode.STOPPED


class LedgerError(BatchAliasError):
    """The ledger is locked, belongs to something else, is damaged, or cannot be written."""

    exit_code = ExitCode.LEDGER


class ReportError(BatchAliasError):
    """A report could not be written; ``batch-alias report`` writes it again once the cause is gone."""

    exit_code = ExitCode.REPORT
