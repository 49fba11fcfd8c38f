"""What is read from a ledger, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from batch_alias.model import Second

TARGET = "target"
"""The fact that says where a job's rows are sent to; noted before the first attempt of all."""
ADDRESS = "address"
"""The fact that says how that target is reached: ``Target.address`` as JSON, of the last run."""
REFUSED = "refused"
"""The fact with the command line that sent nothing since too many rows were rejected, as JSON."""
LEFT_OUT = "left_out"
"""The fact that says which rows of another job an undo leaves out: a ``ProblemCount`` as JSON, or empty."""
STAYS_ON = ("compare", "only_absent")
"""Facts that are noted once they are done for a job, and done for the rest of it: its aliases are read first, and set
only where none is set.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """What a job is, noted when its source was staged."""

    source: str  # the file's name
    sha256: str
    description: str  # what kind of file it was found to be
    header: tuple[str, ...]
    columns: tuple[int, ...]  # the indexes in the header of user id, group id, alias and, if named, expected alias
    blank_rows: int  # without any content: counted in the row numbers, but no rows of the job
    reading: Mapping[str, object]  # the fields of Reading, of JSON's types; part of the job's identity
    staged_at: float  # seconds since the epoch
    version: str
    why: tuple[str, ...] = ()  # why each of the columns was taken for what it is

    @property
    def column_names(self) -> dict[str, str]:
        """The source's column for each of RongCloud's fields, and for the alias that must be set now if it has one."""
        fields = ("userId", "groupId", "remark", "expected")
        return {field: self.header[index] for field, index in zip(fields, self.columns, strict=False)}


class RowRecord(NamedTuple):
    """A row of the source and where it stands. But for the last one, the names are those of the table ``rows``."""

    number: int
    user_id: str
    group_id: str
    remark: str
    state: str
    reason: str
    message: str
    code: int | None
    attempts: int
    request_id: str
    finished_at: float | None
    warning: str
    cells: str | None
    before: str | None
    found: str | None
    verified_at: float | None
    expected: str | None
    # As the alias was when it was first read: "set", "replace", "clear", "unchanged" or "conflict". Where it was not
    # read, "unread" or "unreadable" for a pending row, and otherwise empty.
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run of a job. Times are seconds since the epoch."""

    command: str  # "run", "plan", "verify" or "members"
    started_at: float
    ended_at: float | None  # like the exit code None when the run was killed or is under way
    last_request_at: int | None  # the last second with a request; None when there was none
    target: str
    version: str
    settings: Mapping[str, object]  # those of Sending and a few more, without any secret
    rows_sent: int  # rows of which an attempt to send was made; of the last seconds before a kill it is not known
    busiest_second: int  # most attempts started within any sliding second
    host_switches: int
    exit_code: int | None
    stopped: str = ""  # why it ended early

    @property
    def argv(self) -> list[str]:
        """The command line without the program's name; empty for a run from Python."""
        found = self.settings.get("argv")
        return found if isinstance(found, list) else []

    @property
    def end(self) -> float:
        """When it ended; for a run that was killed or is under way after its last second with a request."""
        if self.ended_at is not None:
            return self.ended_at
        return self.started_at if self.last_request_at is None else max(self.started_at, self.last_request_at + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemCount:
    """How many rows have a problem."""

    name: str  # empty for a response of the service
    message: str  # what is wrong with the first of the rows, in a sentence
    count: int
    rows: tuple[int, ...]  # the numbers of the first few


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The number of a row whose (group, user) a later row sets again, and whether to the same alias."""

    row: int
    superseded_by: int
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What sending the pending rows would do, by the aliases that were read: how many rows of each kind."""

    first: int = 0  # no alias is set
    replaced: int = 0  # another alias is set
    cleared: int = 0  # an alias is set, and none is wanted
    unchanged: int = 0  # the alias is as the row wants it
    conflict: int = 0  # the alias is not one that the row may replace
    unreadable: int = 0  # the alias could not be read
    unread: int = 0  # the alias was not read yet

    @property
    def rows(self) -> int:
        """The pending rows."""
        return self.left + self.first + self.changes + self.unchanged + self.conflict

    @property
    def changes(self) -> int:
        """Rows that would replace or clear an alias."""
        return self.replaced + self.cleared

    @property
    def left(self) -> int:
        """Rows of which the alias is not known."""
        return self.unreadable + self.unread


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """How many accepted rows were read back, and what was found."""

    same: int  # the alias is as it was set
    different: int
    unread: int  # not read back, or it could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A process that has sent rows of a job together with others. Times are seconds since the epoch."""

    name: str  # host and process
    started_at: float
    seen_at: float  # when it last gave a sign of life
    requests: int
    accepted: int


def add_second(total: Second, second: Second) -> None:
    """Add what another process has done in a second, or what happened in another second, to a total."""
    total.requests += second.requests
    total.retries += second.retries
    total.checks += second.checks
    total.refusals += second.refusals
    total.settled.update(second.settled)
    total.codes.update(second.codes)
    total.latencies.update(second.latencies)
