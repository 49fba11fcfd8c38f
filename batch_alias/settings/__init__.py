"""The settings of a job: its source, how that is read, how its rows are sent, and what is printed.

A field with an ``Option`` is a flag: its type, default, range and help stand on it, once. To make a value of one of
these classes raises ``UsageError`` if a field is out of its range, or if fields contradict each other.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from batch_alias.errors import UsageError
from batch_alias.problems import ACCEPTABLE, WARNINGS
from batch_alias.settings.options import Option, Unit, validate
from batch_alias.settings.target import Target
from batch_alias.text import N_, enumeration, quoted

STDIN = Path("-")
"""The source that is standard input."""
PROGRESS_THREAD = "batch-alias progress"
"""The name of the thread that writes to the terminal while rows are sent."""
DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}


class Format(StrEnum):
    """The kinds of files that can be read."""

    CSV = "csv"
    """Delimited text: CSV, TSV and their relatives."""
    EXCEL = "excel"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


class Empty(StrEnum):
    """What is done with a row whose alias cell is truly empty; one that only shows nothing is always rejected.

    Truly empty is in delimited text a field of no characters, with or without quotes; in a workbook a cell that does
    not exist or has no value, outside of merged cells; in JSON Lines ``""`` or ``null``; in Parquet ``""`` or null.
    """

    REJECT = "reject"
    CLEAR = "clear"
    """The alias is cleared: the row's remark is ``""``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the source is read; part of a job's identity."""

    user_column: Annotated[
        str | None, Option("Column of the user ids: header, letter or number; found by its name otherwise.", "NAME")
    ] = None
    group_column: Annotated[str | None, Option("Column of the group ids.", "NAME")] = None
    remark_column: Annotated[str | None, Option("Column of the aliases.", "NAME")] = None
    expect_column: Annotated[
        str | None, Option("Column with the alias that must be set now; empty for none.", "NAME")
    ] = None
    empty: Annotated[str, Option("What an empty alias cell means.", choices=tuple(Empty))] = Empty.REJECT.value
    sheet: Annotated[str | None, Option("Sheet of a workbook; the one with the columns otherwise.", "NAME")] = None
    header_row: Annotated[
        int | None,
        Option("Row with the names of the columns; looked for in the first 20 otherwise.", "N", least=1, most=1000),
    ] = None
    no_header: Annotated[bool, Option("The first row is data; name the columns by letters, or numbers from 1.")] = False
    encoding: Annotated[str | None, Option("Encoding of the text, such as gb18030; found otherwise.", "NAME")] = None
    delimiter: Annotated[
        str | None, Option("Comma, tab, semicolon or pipe; found otherwise.", "CHAR", offered=tuple(DELIMITERS))
    ] = None
    format: Annotated[str | None, Option("Kind of file; found by its content otherwise.", choices=tuple(Format))] = None
    strict: Annotated[bool, Option("Reject rows with warnings too.")] = False
    accept: Annotated[
        tuple[str, ...],
        Option("Send rows with this kind of rejection all the same.", "REASON", offered=(*ACCEPTABLE, *WARNINGS)),
    ] = ()
    verbatim: bool = False
    """For a CSV file that has exactly the values to be sent, header in its first row: fields are taken as they are, and
    rejected only where they cannot be sent. No flag."""

    def __post_init__(self) -> None:
        validate(self)
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, UnicodeError, ValueError):
                advice = N_("Use a name such as utf-8, utf-16, gb18030 or big5.")
                raise UsageError("There is no encoding {name}.", advice, name=quoted(self.encoding)) from None
        character = self.delimiter_character
        if character is not None and (len(character) != 1 or character.isalnum() or character in '"\r\n\0'):
            problem = N_("{delimiter} cannot separate fields.")
            raise UsageError(problem, "Use comma, tab, semicolon or pipe.", delimiter=quoted(self.delimiter or ""))
        for reason in self.accept:
            if reason not in ACCEPTABLE and reason not in WARNINGS:
                problem, known = N_("--accept cannot let {reason} through."), enumeration(sorted(ACCEPTABLE))
                raise UsageError(problem, "It can let through: {known}.", reason=quoted(reason), known=known)
        if self.verbatim and self.format != Format.CSV:
            raise UsageError("Only CSV can be read verbatim.", "Set the format to csv.")

    @property
    def delimiter_character(self) -> str | None:
        """The delimiter as a character."""
        return None if self.delimiter is None else DELIMITERS.get(self.delimiter, self.delimiter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How rows are sent."""

    rate: Annotated[int, Option("Requests per second, never exceeded in any second.", least=1, most=10_000)] = 100
    max_in_flight: Annotated[int, Option("Most requests, and connections, at once.", least=1, most=4096)] = 512
    attempts: Annotated[
        int, Option("Most attempts per row; refusals by the rate limit do not count.", least=1, most=100)
    ] = 6
    timeout: Annotated[float, Option("Longest time for one attempt.", unit=Unit.SECONDS, least=0.1, most=600)] = 10.0
    patience: Annotated[float, Option("Longest outage to wait out; 0 waits for ever.", unit=Unit.SECONDS, least=0)] = (
        1800.0
    )
    max_failed: Annotated[
        float, Option("Stop when more of the last 1,000 rows have failed.", unit=Unit.SHARE, least=0, most=1)
    ] = 0.10
    limit: Annotated[int | None, Option("Send at most N rows in this run.", "N", least=1)] = None
    no_wait: Annotated[bool, Option("Do not wait for another job of this App Key; exit 5.")] = False

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """What is asked of RongCloud before and after rows are sent, and what keeps rows from being sent."""

    compare: Annotated[bool, Option("Read each alias first, keep it for undo, and send only what differs.")] = False
    only_absent: Annotated[bool, Option("Set an alias only where none is set.")] = False
    max_changes: Annotated[
        float | None,
        Option("Send nothing when more of the rows would replace or clear an alias.", unit=Unit.SHARE, least=0, most=1),
    ] = None
    members: Annotated[
        str | None, Option("Look up who is in each group; warn of others, or reject them.", choices=("warn", "reject"))
    ] = None
    verify: Annotated[bool, Option("Read each alias back a few seconds after it was set.")] = False

    def __post_init__(self) -> None:
        validate(self)


LONGEST_NAME = 200
"""Characters in the name of a job in a database: its reports are in a folder of that name."""


def named_folder(job: Path) -> Path:
    """The folder for the reports of a job that is named in a database. Raises ``UsageError`` for what is no name."""
    if job.name in {"", ".."} or len(job.name) > LONGEST_NAME:
        raise UsageError("{job} is not the name of a job.", "Pass a name such as nicknames.", job=quoted(str(job)))
    return job if job.suffix == ".aliases" else job.with_name(f"{job.name}.aliases")


def check_database(url: str) -> None:
    """Raise ``UsageError`` for what is not the URL of a PostgreSQL database, or holds a password."""
    try:
        parts = urlsplit(url)
        is_known = parts.scheme in {"postgresql", "postgres"}
    except ValueError:  # the brackets of an address are not closed
        is_known = False
    if not is_known:  # it is not shown: it may hold a password
        raise UsageError("--ledger is not the URL of a database.", "Write it as postgresql://user@host/database.")
    if parts.password or "password" in parse_qs(parts.query):
        problem = N_("The URL of the database contains a password: others could read it in the list of processes.")
        raise UsageError(problem, "Set PGPASSWORD, or use ~/.pgpass or a service file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One job."""

    source: Path | None = None  # the file of rows; None for a job that is already staged
    job: Annotated[Path | None, Option("Folder of the job.  [default: SOURCE-STEM.aliases]", "DIR")] = None
    ledger: Annotated[
        str | None, Option("Keep the ledger in this PostgreSQL database; --job is the name of the job in it.", "URL")
    ] = None
    max_rejected: Annotated[
        float, Option("Send nothing when more of the rows are rejected.", unit=Unit.SHARE, least=0, most=1)
    ] = 0.05
    xlsx: Annotated[bool, Option("Write results.xlsx too, as for every workbook.")] = False
    reading: Reading = field(default_factory=Reading)
    target: Target | None = None  # not needed to check a source
    sending: Sending = field(default_factory=Sending)
    comparing: Comparing = field(default_factory=Comparing)
    argv: tuple[str, ...] = ()  # the command line without the program's name, for the reports; it can hold no secret

    def __post_init__(self) -> None:
        validate(self)
        if self.source is None and self.job is None:
            raise UsageError("Neither a source nor a job was named.", "Name one.")
        if self.ledger is not None:
            check_database(self.ledger)

    @property
    def required_target(self) -> Target:
        """The target. Raises ``UsageError`` if there is none."""
        return self.target or Target()  # which raises it: it names none

    @property
    def others(self) -> str:
        """What is done about a row if its user is not in its group: "warn" or "reject"; "" if that is not looked up."""
        members = self.comparing.members or ""
        return "reject" if members and self.reading.strict else members

    @property
    def job_folder(self) -> Path:
        """The job's own folder, or one in the current folder that is named after the source.

        With a ledger in a database it is for the reports, and is named after the job.
        """
        if self.job is None:
            name = "stdin" if self.source in {STDIN, None} else self.source.stem
            return Path(f"{name}.aliases")
        return self.job if self.ledger is None else named_folder(self.job)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What the command line prints and asks."""

    yes: Annotated[bool, Option("Send without asking.")] = False
    quiet: Annotated[bool, Option("Print problems only.")] = False
    verbose: Annotated[bool, Option("Print each retry.", short="-v")] = False
    no_color: Annotated[bool, Option("Print without colours, as with NO_COLOR.")] = False
    log: Annotated[Path | None, Option("Write every attempt as a JSON line; rotates.", "FILE")] = None
    json: Annotated[bool, Option("Print the result, or the error, as JSON on standard output.")] = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            advice = N_("Pass one of them, and unset BATCH_ALIAS_QUIET or BATCH_ALIAS_VERBOSE if it is set.")
            raise UsageError("--quiet and --verbose cannot be combined.", advice)
