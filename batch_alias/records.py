"""What is kept of a job: each row's account, what happened in each second, what each run was and did."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

LATENCY_STEP = 1.05
"""Ratio of two neighbouring bounds of the latency histogram: a percentile is exact to 5 %."""


class NoticeKind(StrEnum):
    """What a notice is about."""

    OUTAGE_BEGAN = "outage-began"
    OUTAGE_ENDED = "outage-ended"
    PACE_LOWERED = "pace-lowered"
    HOST_SWITCHED = "host-switched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something worth knowing that happened to the run.

    Attributes:
        at: Seconds since the epoch.
        kind: What it is about.
        text: The news in plain words.
    """

    at: float
    kind: NoticeKind
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
    """

    started_at: float
    ended_at: float | None
    host: str
    version: str
    settings: Mapping[str, object]
    busiest_second: int
    host_switches: int
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """What a job is, noted when its source was staged.

    Attributes:
        source: The source's file name.
        sha256: Of its content, hexadecimal.
        description: What kind of file it was taken for.
        header: The source's own column names.
        columns: The positions of user id, group id and alias in it.
        blank_rows: Rows without any content, which are counted in the row numbers but are no rows of the job.
        reading: How it was read, as canonical JSON; part of the job's identity.
        staged_at: Seconds since the epoch.
        version: The version of batch-alias.
    """

    source: str
    sha256: str
    description: str
    header: tuple[str, ...]
    columns: tuple[int, int, int]
    blank_rows: int
    reading: str
    staged_at: float
    version: str


class Entry(NamedTuple):
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
class Tally:
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
