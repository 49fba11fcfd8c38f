"""What is read from a ledger, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """What a job is, noted when its source was staged.

    Attributes:
        source: The source's file name.
        description: What kind of file it was found to be.
        columns: The indexes of user id, group id and alias in the header.
        why: Why each of the three was taken for what it is.
        blank_rows: Rows without any content: counted in the row numbers, but no rows of the job.
        reading: The fields of ``Reading``, of JSON's types; part of the job's identity.
        staged_at: Seconds since the epoch.
    """

    source: str
    sha256: str
    description: str
    header: tuple[str, ...]
    columns: tuple[int, int, int]
    blank_rows: int
    reading: Mapping[str, object]
    staged_at: float
    version: str
    why: tuple[str, ...] = ()

    @property
    def column_names(self) -> dict[str, str]:
        """The source's column for each of RongCloud's fields."""
        fields = ("userId", "groupId", "remark")
        return {field: self.header[index] for field, index in zip(fields, self.columns, strict=True)}


class RowRecord(NamedTuple):
    """A row of the source and where it stands. The names are those of the table ``rows``."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run of a job.

    Attributes:
        started_at: Seconds since the epoch.
        ended_at: Seconds since the epoch; like the exit code ``None`` when the run was killed or is under way.
        settings: Those of ``Sending`` and a few more, without any secret.
        busiest_second: Most attempts started within any sliding second.
        stopped: Why it ended early; empty when it did not.
    """

    started_at: float
    ended_at: float | None
    target: str
    version: str
    settings: Mapping[str, object]
    busiest_second: int
    host_switches: int
    exit_code: int | None
    stopped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemCount:
    """How many rows have a problem.

    Attributes:
        name: The problem's name; empty for a response of the service.
        message: What is wrong with the first row that has it, in a sentence.
        count: How many rows have it.
        rows: The numbers of the first few.
    """

    name: str
    message: str
    count: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The number of a row whose (group, user) a later row sets again, and whether to the same alias."""

    row: int
    superseded_by: int
    same: bool
