"""Where a job stands, running or stopped, read from its ledger without disturbing it."""

import json
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from batch_alias.ledger import LedgerReader, RunRecord
from batch_alias.model import RequestKind, StateCounts
from batch_alias.staging import PROGRESS
from batch_alias.text import timestamp

RECENT = 60
"""Seconds over which the rate is taken."""
QUIET = 10
"""Seconds without any attempt after which a run is no longer called sending."""


class Phase(StrEnum):
    """What a job is doing."""

    READING = "reading"
    """The source is being read."""
    STAGED = "staged"
    """Nothing has been sent."""
    SENDING = "sending"
    """Rows are sent, or only read if the command says so."""
    SILENT = "silent"
    """The last run has no end and made no attempt lately: it was killed, or it waits."""
    ENDED = "ended"
    """The last run has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a job stands."""

    source: str
    counts: StateCounts
    target: str = ""  # empty before the first run
    runs: int = 0
    command: str = ""  # of the last run: "run", "plan", "verify" or "members"; empty before the first one
    phase: Phase
    rate: float = 0.0  # attempts per second, to send or if only read to read, over the last minute of the last run
    seconds_left: float | None = None  # at that rate; None when it is not sending
    last_attempt_at: float | None = None  # seconds since the epoch
    exit_code: int | None = None  # of the last run; None while it has no end
    last_event: str = ""  # in a sentence; empty if there was none
    read: float | None = None  # the share of the source that has been read, while it is

    def as_json(self) -> str:
        """The status as JSON, for scripts."""
        status = asdict(self)
        status["states"] = status.pop("counts")
        status["last_attempt_at"] = timestamp(self.last_attempt_at)
        return json.dumps(status, ensure_ascii=False, indent=2)


def status_of(folder: Path) -> Status:
    """Where the job in a folder stands.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
    """
    with suppress(OSError, ValueError, TypeError, KeyError):  # the last ones where it is no file of ours
        return _reading(json.loads((folder / PROGRESS).read_text(encoding="utf-8")))
    with LedgerReader(folder) as ledger:
        info, counts, runs, events = ledger.info(), ledger.counts(), ledger.runs(), ledger.events()
        command = runs[-1].command if runs else ""
        kind = RequestKind.WRITE if command == "run" else RequestKind.READ
        seconds = (second for second in ledger.seconds(of_last_run=True) if second.kind is kind)
        recent = deque(seconds, maxlen=RECENT)
        unread = ledger.plan().unread if command == "plan" else 0
    within = [second for second in recent if second.at > recent[-1].at - RECENT]
    rate = sum(second.requests for second in within) / (within[-1].at - within[0].at + 1) if within else 0.0
    phase = _phase(runs)
    left = _left(counts, runs[-1]) if command == "run" else unread
    return Status(
        source=info.source,
        target=runs[-1].target if runs else "",
        counts=counts,
        runs=len(runs),
        command=command,
        phase=phase,
        rate=round(rate, 1),
        seconds_left=round(left / rate) if phase is Phase.SENDING and rate and left else None,
        last_attempt_at=max((run.last_request_at for run in runs if run.last_request_at is not None), default=None),
        exit_code=runs[-1].exit_code if runs else None,
        last_event=events[-1].text if events else "",
    )


def _reading(noted: dict[str, float | str]) -> Status:
    """What is known of a job whose source is being read."""
    done, total = float(noted["done"]), float(noted["total"])
    return Status(
        source=str(noted["source"]),
        counts=StateCounts(),
        phase=Phase.READING if time.time() - float(noted["at"]) < QUIET else Phase.SILENT,
        read=done / total if total else 0.0,
    )


def _left(counts: StateCounts, run: RunRecord) -> int:
    """About how many rows the run under way sends, those that it has sent again included."""
    limit = run.settings.get("limit")
    return min(counts.unfinished, limit) if isinstance(limit, int) else counts.unfinished


def _phase(runs: list[RunRecord]) -> Phase:
    if not runs:
        return Phase.STAGED
    if runs[-1].ended_at is not None:
        return Phase.ENDED
    return Phase.SENDING if time.time() - runs[-1].end < QUIET else Phase.SILENT
