"""What is kept of a job: each row's account, what happened in each second, what each run was and did."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple

from batch_alias.errors import ExitCode
from batch_alias.model import Row

LATENCY_STEP = 1.05
"""Ratio of two neighbouring bounds of the latency histogram: a percentile is exact to 5 %."""


class EventKind(StrEnum):
    """What a event is about."""

    OUTAGE_BEGAN = "outage-began"
    OUTAGE_ENDED = "outage-ended"
    PACE_LOWERED = "pace-lowered"
    HOST_SWITCHED = "host-switched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something worth knowing that happened to the run.

    Attributes:
        at: Seconds since the epoch.
        kind: What it is about.
        text: The news in plain words.
    """

    at: float
    kind: EventKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """What happened in one second of the wall clock.

    Attributes:
        at: Whole seconds since the epoch.
        requests: Attempts started.
        retries: Those among them that were not the first for their row in this run.
        refusals: Answers "over the limit".
        settled: Rows that ended, by state.
        codes: Replies by RongCloud's code, ``HTTP nnn`` or the kind of failure.
        latencies: Replies by latency bucket; bucket ``n`` reaches up to ``LATENCY_STEP ** n`` milliseconds.
    """

    at: int
    requests: int
    retries: int
    refusals: int
    settled: Mapping[str, int]
    codes: Mapping[str, int]
    latencies: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What is noted of one run of a job.

    Attributes:
        started_at: Seconds since the epoch.
        ended_at: The same; ``None`` when the run was killed or is still under way.
        host: Where it sent to.
        version: The version of batch-alias.
        settings: What it was told, without any secret.
        busiest_second: Most attempts started within any sliding second.
        host_switches: How often all lanes moved to the other host.
        exit_code: How it ended; ``None`` as for ``ended_at``.
        stopped: Why it ended before its end; empty when it did not.
    """

    started_at: float
    ended_at: float | None
    host: str
    version: str
    settings: Mapping[str, object]
    busiest_second: int
    host_switches: int
    exit_code: int | None
    stopped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """What a job is, noted when its source was staged.

    Attributes:
        source: The source's file name.
        sha256: Of its content, hexadecimal.
        description: What kind of file it was taken for.
        header: The source's own column names.
        columns: The positions of user id, group id and alias in it.
        why: Why each of the three was taken for what it is.
        blank_rows: Rows without any content, which are counted in the row numbers but are no rows of the job.
        reading: How it was read: the fields of ``Reading`` as JSON has them; part of the job's identity.
        staged_at: Seconds since the epoch.
        version: The version of batch-alias.
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


class RowRecord(NamedTuple):
    """A row's full account, as the ledger has it."""

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
class ProblemCount:
    """A kind of problem that some rows have.

    Attributes:
        name: Its stable name, such as ``user-id-too-long``; empty for an answer of the service.
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
    """A row whose (group, user) a later row sets again.

    Attributes:
        row: Its number.
        by: The number of the row that counts.
        same: Whether both set the same alias.
    """

    row: int
    by: int
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCounts:
    """How many rows are in each state."""

    rejected: int = 0
    superseded: int = 0
    pending: int = 0
    accepted: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def rows(self) -> int:
        """All rows of the source."""
        return self.rejected + self.superseded + self.pending + self.accepted + self.failed + self.unknown

    @property
    def unfinished(self) -> int:
        """Rows that the next run sends: pending or unknown."""
        return self.pending + self.unknown

    @property
    def all_done(self) -> bool:
        """Whether every row is accepted or superseded."""
        return self.accepted + self.superseded == self.rows

    def too_many_rejected(self, share: float) -> bool:
        """Whether more than a share of the rows is rejected, or all of them."""
        return self.rejected > share * self.rows or self.rejected == self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is about to do.

    Attributes:
        info: What the job is.
        tally: How many rows are in each state now.
        problems: Why rows are rejected, most frequent first.
        warnings: What is odd about rows that may be sent all the same, most frequent first.
        target: The hosts, or the sandbox.
        masked_key: The App Key with its middle hidden.
        to_send: Rows that this run sends.
        seconds: How long that takes at the full pace.
        resumed: Whether an earlier run has sent some of the rows.
    """

    info: JobInfo
    tally: StateCounts
    problems: list[ProblemCount]
    warnings: list[ProblemCount]
    target: str
    masked_key: str
    to_send: int
    seconds: float
    resumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a check has found; nothing was sent.

    Attributes:
        info: What the source is.
        tally: Rows by the state they would begin in; ``pending`` would be sent.
        problems: Why rows are rejected, most frequent first.
        warnings: What is odd about rows that may be sent all the same, most frequent first.
        same: Superseded rows that set the same alias as the row that counts.
        conflicting: Superseded rows that set another one.
        repeats: The first few superseded rows.
        sample: The first rows as they would be sent.
        users: Different user ids among the rows to send.
        groups: Different group ids among them.
        rate: Requests per second that were assumed.
        seconds: How long sending would take.
        too_many: More rows are rejected than permitted: a run would send nothing.
    """

    info: JobInfo
    tally: StateCounts
    problems: list[ProblemCount]
    warnings: list[ProblemCount]
    same: int
    conflicting: int
    repeats: list[Repeat]
    sample: list[Row]
    users: int
    groups: int
    rate: int
    seconds: float
    too_many: bool

    @property
    def exit_code(self) -> ExitCode:
        """0 when every row may be sent, 1 when some are rejected, 3 when a run would send nothing."""
        if self.too_many:
            return ExitCode.SOURCE
        return ExitCode.NOT_ALL_ACCEPTED if self.tally.rejected else ExitCode.DONE

    def as_json(self) -> str:
        """The findings as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How the run stands now.

    Attributes:
        accepted: Rows accepted in this run.
        failed: Rows failed in this run.
        unknown: Rows that became unknown in this run.
        requests: Attempts started.
        rate: Attempts started in the last second.
        pace: Attempts per second permitted now.
        in_flight: Attempts under way.
        waiting: Rows waiting to be sent again.
        outage: Seconds since an outage began; ``None`` while the service works.
    """

    accepted: int
    failed: int
    unknown: int
    requests: int
    rate: int
    pace: float
    in_flight: int
    waiting: int
    outage: float | None
