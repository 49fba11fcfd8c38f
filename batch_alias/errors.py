"""The errors that end a run: each has an exit code and says what to do.

What is wrong with one row is data and goes to the ledger. An exception means that the run cannot go on.
"""

from enum import IntEnum
from pathlib import Path

from batch_alias.text import Message, excerpt


class ExitCode(IntEnum):
    """The exit codes of ``batch-alias``, a contract with scripts."""

    DONE = 0
    """Every row was accepted; unchanged and superseded rows count as done."""
    NOT_ALL_ACCEPTED = 1
    """Finished, but some rows were rejected, failed, are unknown or in conflict, were left out, or differ now."""
    USAGE = 2
    """Wrong usage or configuration."""
    SOURCE = 3
    """The source cannot be used; nothing was sent."""
    STOPPED = 4
    """Stopped by the service (credentials, App Key, permission, outage); the same command resumes."""
    LEDGER = 5
    """The ledger cannot be used: locked by another run, of another source or target, damaged, disk full; or with
    ``--no-wait`` another job is sending for the App Key."""
    REPORT = 6
    """A report could not be written; the ledger is complete."""
    INTERNAL = 70
    """A defect of batch-alias (``EX_SOFTWARE`` of sysexits.h); the same command resumes."""
    INTERRUPTED = 130
    """Interrupted by a person or a signal; the same command resumes."""


FINISHED = frozenset({ExitCode.DONE, ExitCode.NOT_ALL_ACCEPTED})
"""The exit codes of a command that came to its end."""


def reason(error: OSError) -> Message:
    """What the operating system says about an error, in the language in use if it is known."""
    return Message(error.strerror or str(error))


class BatchAliasError(Exception):
    """An error that ends the run.

    Args:
        problem: One sentence: what is wrong, and where.
        advice: One sentence: what to do about it; may be empty.
        values: Fill in the ``{name}`` of both sentences, which are constants, so that they are shown in another
            language where one is in use.
    """

    exit_code: ExitCode

    def __init__(self, problem: str, advice: str = "", /, **values: object) -> None:
        super().__init__(problem, advice, values)
        shown = {name: _visible(value) for name, value in values.items()}
        self.problem: str = Message(problem, **shown)
        self.advice: str = Message(advice, **shown)

    def __str__(self) -> str:
        return f"{self.problem} {self.advice}".strip()


def _visible(value: object) -> object:
    """A value without invisible characters and line breaks, as names of files may have them."""
    return excerpt(str(value), 1000) if isinstance(value, str | Path) and not isinstance(value, Message) else value


class UsageError(BatchAliasError):
    """A flag, an environment variable or a setting is missing or wrong."""

    exit_code = ExitCode.USAGE


class SourceError(BatchAliasError):
    """The source cannot be read, its columns are not clear, or too many rows are rejected or would change aliases."""

    exit_code = ExitCode.SOURCE


class StoppedByService(BatchAliasError):  # noqa: N818 - the service stopped the run; nothing is wrong with ours
    """The service refuses the whole run: every further request would be refused as well."""

    exit_code = ExitCode.STOPPED


class LedgerError(BatchAliasError):
    """The ledger is locked, belongs to something else, is damaged, or cannot be written."""

    exit_code = ExitCode.LEDGER


class ReportError(BatchAliasError):
    """A report could not be written; ``batch-alias report`` writes it again once the cause is gone."""

    exit_code = ExitCode.REPORT


class InternalError(BatchAliasError):
    """A defect of batch-alias."""

    exit_code = ExitCode.INTERNAL


class Interrupted(BatchAliasError):  # noqa: N818 - asked for by a person or a signal; nothing is wrong
    """The run was interrupted."""

    exit_code = ExitCode.INTERRUPTED
