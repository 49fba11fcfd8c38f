"""Where jobs stand, running or stopped, read from their ledgers without disturbing them."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from batch_alias.errors import FINISHED, LedgerError, UsageError
from batch_alias.ledger import LEDGER, LOCK, NEW_LEDGER, Place, RunRecord, WorkerRecord
from batch_alias.ledger.place import postgres
from batch_alias.model import RequestKind, StateCounts
from batch_alias.staging import PROGRESS
from batch_alias.text import indented_json, timestamp

RECENT = 60
"""Seconds over which the rate is taken."""
QUIET = 10
"""Seconds without any attempt after which a run is no longer called sending."""
AWAY = 600.0
"""Seconds for which the database may be away while a job in it is watched."""
WATCH_INTERVAL = 2.0
"""Seconds between two looks at a job that is watched."""
_KINDS = {"run": RequestKind.WRITE, "members": RequestKind.MEMBERS}
"""What the requests of a command are for; those of the others read."""


class Phase(StrEnum):
    """What a job is doing."""

    READING = "reading"
    """The source is being read."""
    STAGED = "staged"
    """Nothing has been sent."""
    SENDING = "sending"
    """Rows are sent, or only read if the command says so."""
    SILENT = "silent"
    """The last run, or reading the source, has no end and was not heard of lately: it was killed, or it waits."""
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
    last_run_at: float | None = None  # when the last run ended, or was last heard of; seconds since the epoch
    last_event: str = ""  # in a sentence; empty if there was none
    read: float | None = None  # the share of the source that has been read, while it is
    workers: tuple[WorkerRecord, ...] = ()  # the processes that have sent rows together

    def as_dict(self) -> dict[str, object]:
        """The status for scripts, of JSON's types."""
        status = asdict(self)
        status["states"] = status.pop("counts")
        status["workers"] = [asdict(worker) | _times(worker, "started_at", "seen_at") for worker in self.workers]
        if not self.workers:
            del status["workers"]
        return status | _times(self, "last_attempt_at", "last_run_at")

    def as_json(self, *, indent: int | None = 2) -> str:
        """The status as JSON, for scripts."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=indent)


def _times(record: object, *names: str) -> dict[str, str | None]:
    return {name: timestamp(getattr(record, name)) for name in names}


Listed = tuple[Place, Status | LedgerError]
"""A job, and where it stands or why that is not known."""


def status_of(place: Place) -> Status:
    """Where a job stands. Raises ``LedgerError`` if there is no ledger or it cannot be read."""
    if place.url is None and (found := _reading_of(place.folder)) is not None:
        return found
    with place.read() as ledger:
        info, counts, runs, events = ledger.info(), ledger.counts(), ledger.runs(), ledger.events()
        workers, is_run = tuple(ledger.workers()), ledger.is_run()
        command = runs[-1].command if runs else ""
        kind = _KINDS.get(command, RequestKind.READ)
        recent: Counter[int] = Counter()  # requests by second, those of all workers
        for second in ledger.seconds(of_last_run=True):
            recent[second.at] += second.requests if second.kind is kind else 0
        unread = ledger.plan().unread if command == "plan" else 0
    within = [at for at in recent if at > max(recent) - RECENT]
    rate = sum(recent[at] for at in within) / (within[-1] - within[0] + 1) if within else 0.0
    phase = _phase(runs, is_run=is_run)
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
        last_run_at=runs[-1].end if runs else None,
        last_event=events[-1].text if events else "",
        workers=workers,
    )


def _reading_of(folder: Path) -> Status | None:
    """Where the job in a folder stands while its source is read; ``None`` if it is not."""
    with suppress(OSError, ValueError, TypeError, KeyError):  # the last ones where it is no file of ours
        return _reading(json.loads((folder / PROGRESS).read_text(encoding="utf-8")), folder)
    if not _changed_at(folder / LEDGER) and _is_heard_of(
        max(_changed_at(folder / name) for name in (LOCK, NEW_LEDGER))
    ):
        return Status(source="", counts=StateCounts(), phase=Phase.READING, read=0.0)  # it has just begun
    return None


def watch_status(place: Place, *, wait: Callable[[float], object] = time.sleep) -> Iterator[Status]:
    """Where a job stands, again and again until it has ended; see ``status_of``."""
    found, heard_of_at = status_of(place), time.monotonic()
    while True:
        yield found
        # What has just ended may be followed by the next step of the same command.
        if found.phase is Phase.ENDED and time.time() - (found.last_run_at or 0.0) >= WATCH_INTERVAL:
            return
        wait(WATCH_INTERVAL)
        try:
            found, heard_of_at = status_of(place), time.monotonic()
        except LedgerError:
            if place.url is None or time.monotonic() - heard_of_at > AWAY:
                raise


def jobs_below(folder: Path) -> Iterator[Listed]:
    """The jobs in a folder and in those below it, but for hidden ones, in the order of their names.

    Raises:
        UsageError: There is no such folder.
    """
    if not folder.is_dir():
        raise UsageError("There is no folder {folder}.", "Pass one with jobs in it.", folder=folder)
    for place, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if not {LEDGER, NEW_LEDGER, PROGRESS}.isdisjoint(files):
            yield _listed(Place(Path(place)))


def jobs_in(url: str) -> Iterator[Listed]:
    """The jobs in a database, in the order in which they were staged. Raises ``LedgerError`` if it cannot be used."""
    for name in postgres().jobs(url):
        yield _listed(Place(Path(f"{name}.aliases"), url))


def _listed(place: Place) -> Listed:
    try:
        return place, status_of(place)
    except LedgerError as error:
        return place, error


def jobs_as_json(jobs: Iterable[Listed]) -> str:
    """Jobs as JSON, for scripts."""
    shown = [
        {"job": place.name}
        | ({"error": found.problem, "advice": found.advice} if isinstance(found, LedgerError) else found.as_dict())
        for place, found in jobs
    ]
    return indented_json(shown)


def _reading(noted: dict[str, float | str], folder: Path) -> Status:
    """What is known of a job whose source is being read."""
    done, total = float(noted["done"]), float(noted["total"])
    heard_of_at = max(float(noted["at"]), _changed_at(folder / NEW_LEDGER))
    return Status(
        source=str(noted["source"]),
        counts=StateCounts(),
        phase=Phase.READING if _is_heard_of(heard_of_at) else Phase.SILENT,
        read=done / total if total else 0.0,
    )


def _changed_at(path: Path) -> float:
    """When a file was written to last, in seconds since the epoch; 0 if there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_heard_of(at: float) -> bool:
    return time.time() - at < QUIET


def _left(counts: StateCounts, run: RunRecord) -> int:
    """About how many rows the run under way sends, those that it has sent again included."""
    limit = run.settings.get("limit")
    return min(counts.unfinished, limit) if isinstance(limit, int) else counts.unfinished


def _phase(runs: list[RunRecord], *, is_run: bool) -> Phase:
    last = runs[-1] if runs else None
    if last is None or (last.command == "members" and last.exit_code in FINISHED and len(runs) == 1):
        return Phase.STAGED
    if last.ended_at is not None:
        return Phase.ENDED
    return Phase.SENDING if is_run or _is_heard_of(last.end) else Phase.SILENT
