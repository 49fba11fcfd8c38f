"""``summary.json``: the job in numbers, for scripts."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from batch_alias.records import LATENCY_STEP, JobInfo, RunRecord, Second, StateCounts
from batch_alias.reports.results import timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A job in numbers, over all its runs.

    Attributes:
        version: The version of batch-alias that wrote it.
        source: The source's file name.
        sha256: Of the source's content.
        rows: Rows of the source.
        blank_rows: Rows without any content, not among ``rows``.
        states: Rows in each state; they add up to ``rows``.
        target: Where it was sent to.
        runs: How often the job has been run.
        started_at: Of the first run, ISO 8601, UTC; empty when there was none.
        ended_at: Of the last run.
        sending_seconds: Time spent sending.
        requests: Attempts made.
        retries: Those among them that were not the first for their row in a run.
        refusals: Those that were refused by the rate limit.
        mean_rate: Attempts per second of sending.
        busiest_second: Most attempts started within any sliding second.
        latency_ms: ``p50``, ``p90``, ``p99`` and ``max`` of all answers in milliseconds, exact to 5 %.
        codes: Answers by RongCloud's code, ``HTTP nnn``, or ``connect``, ``timeout``, ``dropped``.
        host_switches: How often sending moved to the other host of the data centre.
        exit_code: The exit code.
        stopped: Why the job ended before its end; empty when it did not.
    """

    version: str
    source: str
    sha256: str
    rows: int
    blank_rows: int
    states: dict[str, int]
    target: str
    runs: int
    started_at: str
    ended_at: str
    sending_seconds: float
    requests: int
    retries: int
    refusals: int
    mean_rate: float
    busiest_second: int
    latency_ms: dict[str, float]
    codes: dict[str, int]
    host_switches: int
    exit_code: int | None
    stopped: str

    def as_json(self) -> str:
        """The summary as it is written."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"


def summarize(
    *,
    version: str,
    info: JobInfo,
    tally: StateCounts,
    runs: Sequence[RunRecord],
    seconds: Iterable[Second],
    exit_code: int | None,
    stopped: str = "",
) -> Summary:
    """Add up what the ledger has."""
    requests = retries = refusals = 0
    codes: Counter[str] = Counter()
    latencies: Counter[int] = Counter()
    last_second = 0
    for second in seconds:
        requests += second.requests
        retries += second.retries
        refusals += second.refusals
        codes.update(second.codes)
        latencies.update(second.latencies)
        last_second = second.at
    # A run that was killed has no end; what it did last is close to it.
    sending = sum((run.ended_at or max(last_second, run.started_at)) - run.started_at for run in runs)
    return Summary(
        version=version,
        source=info.source,
        sha256=info.sha256,
        rows=tally.rows,
        blank_rows=info.blank_rows,
        states=asdict(tally),
        target=runs[-1].host if runs else "",
        runs=len(runs),
        started_at=timestamp(runs[0].started_at) if runs else "",
        ended_at=timestamp(runs[-1].ended_at) if runs else "",
        sending_seconds=round(sending, 3),
        requests=requests,
        retries=retries,
        refusals=refusals,
        mean_rate=round(requests / sending, 2) if sending > 0 else 0.0,
        busiest_second=max((run.busiest_second for run in runs), default=0),
        latency_ms=percentiles(latencies),
        codes=dict(codes.most_common()),
        host_switches=sum(run.host_switches for run in runs),
        exit_code=exit_code,
        stopped=stopped,
    )


def percentiles(latencies: Counter[int]) -> dict[str, float]:
    """Percentiles of a latency histogram, in milliseconds; empty for an empty one."""
    total = latencies.total()
    if not total:
        return {}
    found = {}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
        rank, seen = math.ceil(share * total), 0
        for bucket in sorted(latencies):
            seen += latencies[bucket]
            if seen >= rank:
                found[name] = round(LATENCY_STEP**bucket, 1)
                break
    return found


def write(path: Path, summary: Summary) -> None:
    """Write the file."""
    path.write_text(summary.as_json(), encoding="utf-8")
