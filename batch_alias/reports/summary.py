"""A job in numbers: ``summary.json``, and what the other reports begin with."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate

from batch_alias.ledger import LedgerReader
from batch_alias.ledger.records import add_second
from batch_alias.model import LATENCY_STEP, RequestKind, Second
from batch_alias.reports.rows import CHANGES
from batch_alias.text import indented_json, timestamp
from batch_alias.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A job in numbers, over all its runs; the fields are those of ``summary.json``.

    Requests and responses are those of sending rows, unless it says otherwise.
    """

    version: str
    source: str  # the file's name
    sha256: str  # of its content
    rows: int
    blank_rows: int  # without any content, not among ``rows``
    states: dict[str, int]  # rows in each state; they add up to ``rows``
    target: str  # where the last run sent to
    runs: int
    started_at: str  # of the first run, ISO 8601, UTC; empty when there was none
    ended_at: str  # of the last run
    changes: dict[str, int]  # what the rows change of which the alias was read first; empty when none was
    reads: int  # requests that read an alias
    read_refusals: int  # of them, by the rate limit
    verified: int  # accepted rows that were read back and are as they were sent
    differs: int  # accepted rows of which another alias was found
    left_out: int  # of an undo: rows of its job that it leaves out, since their alias before was not read
    sending_seconds: float  # of the runs that send
    requests: int
    retries: int  # requests that were not the first for their row in a run
    refusals: int  # by the rate limit
    mean_rate: float
    busiest_second: int  # most requests of any one kind, reads too, started within any sliding second
    latency_ms: dict[str, float]  # p50, p90, p99 and max of all responses, exact to 5 %
    codes: dict[str, int]  # responses by RongCloud's code, "HTTP nnn", or the kind of failure
    host_switches: int  # of all runs
    exit_code: int | None  # None when the last run has no end
    stopped: str  # why the job ended early; empty when it did not

    def as_json(self) -> str:
        """The content of ``summary.json``."""
        return indented_json(asdict(self))


def summarize(ledger: LedgerReader, *, exit_code: int | None, stopped: str) -> Summary:
    """Add up what a ledger holds."""
    info, counts, runs = ledger.info(), ledger.counts(), ledger.runs()
    read_back, changes = ledger.read_back(), ledger.changes()
    totals = {kind: Second(at=0, kind=kind) for kind in RequestKind}
    busiest = 0
    for second in ledger.seconds():
        add_second(totals[second.kind], second)
        busiest = max(busiest, second.requests)
    sent, read = totals[RequestKind.WRITE], totals[RequestKind.READ]
    sending = sum(run.end - run.started_at for run in runs if run.command == "run")
    return Summary(
        version=__version__,
        source=info.source,
        sha256=info.sha256,
        rows=counts.rows,
        blank_rows=info.blank_rows,
        states=asdict(counts),
        target=runs[-1].target if runs else "",
        runs=len(runs),
        started_at=(timestamp(runs[0].started_at) or "") if runs else "",
        ended_at=(timestamp(runs[-1].ended_at) or "") if runs else "",
        changes={name: changes.get(name, (0, 0))[0] for name in CHANGES} if changes else {},
        reads=read.requests,
        read_refusals=read.refusals,
        verified=read_back.same,
        differs=read_back.different,
        left_out=0 if (left := ledger.left_out()) is None else left.count,
        sending_seconds=round(sending, 3),
        requests=sent.requests,
        retries=sent.retries,
        refusals=sent.refusals,
        mean_rate=round(sent.requests / sending, 2) if sending > 0 else 0.0,
        busiest_second=max([busiest, *(run.busiest_second for run in runs)]),
        latency_ms=percentiles(sent.latencies),
        codes=dict(sent.codes.most_common()),
        host_switches=sum(run.host_switches for run in runs),
        exit_code=exit_code,
        stopped=stopped,
    )


def percentiles(latencies: Mapping[int, int]) -> dict[str, float]:
    """``p50``, ``p90``, ``p99`` and ``max`` of a latency histogram in milliseconds; empty for an empty one."""
    if not latencies:
        return {}
    buckets = sorted(latencies)
    seen = list(accumulate(latencies[bucket] for bucket in buckets))
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    places = {name: bisect_left(seen, math.ceil(share * seen[-1])) for name, share in shares.items()}
    return {name: round(LATENCY_STEP ** buckets[place], 1) for name, place in places.items()}
