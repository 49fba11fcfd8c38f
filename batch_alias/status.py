"""How a running or stopped job stands, read from its ledger without disturbing it."""

import json
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

from batch_alias.ledger import LedgerReader
from batch_alias.records import StateCounts

RECENT = 60
"""Seconds over which the pace is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a job stands.

    Attributes:
        source: The source's file name.
        target: Where it is sent to; empty before the first run.
        states: Rows in each state.
        runs: How often it has been run.
        phase: ``staged``, ``sending``, ``silent`` (the last run has no end and nothing happened lately: killed, or
            waiting out an outage) or ``ended``.
        rate: Attempts per second over the last minute of sending.
        seconds_left: How long the rest takes at that rate; ``None`` when it does not send.
        idle_seconds: Seconds since the last attempt; ``None`` before the first.
        exit_code: Of the last run; ``None`` while it has no end.
        last_notice: The last thing worth knowing.
    """

    source: str
    target: str
    states: dict[str, int]
    runs: int
    phase: str
    rate: float
    seconds_left: float | None
    idle_seconds: float | None
    exit_code: int | None
    last_notice: str

    @property
    def tally(self) -> StateCounts:
        """Rows in each state."""
        return StateCounts(**self.states)

    def as_json(self) -> str:
        """The status as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"


def status_of(folder: Path) -> Status:
    """How a job stands.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
    """
    with LedgerReader(folder) as accounts:
        info, tally, runs, events = accounts.info(), accounts.tally(), accounts.runs(), accounts.events()
        recent = deque(accounts.seconds(), maxlen=RECENT)
    now = time.time()
    requests = sum(second.requests for second in recent if recent and second.at > recent[-1].at - RECENT)
    span = recent[-1].at - recent[0].at + 1 if recent else 0
    rate = requests / span if span else 0.0
    idle = now - recent[-1].at if recent else None
    phase = _phase(ended=bool(runs) and runs[-1].ended_at is not None, begun=bool(runs), idle=idle)
    return Status(
        source=info.source,
        target=runs[-1].host if runs else "",
        states=asdict(tally),
        runs=len(runs),
        phase=phase,
        rate=round(rate, 1),
        seconds_left=round(tally.pending / rate) if phase == "sending" and rate else None,
        idle_seconds=None if idle is None else round(idle, 1),
        exit_code=runs[-1].exit_code if runs else None,
        last_notice=events[-1].text if events else "",
    )


def _phase(*, ended: bool, begun: bool, idle: float | None) -> str:
    if not begun:
        return "staged"
    if ended:
        return "ended"
    return "sending" if idle is not None and idle < RECENT / 6 else "silent"
