"""The quota of an App Key: several jobs together would exceed it, since none of them knows what the others send.

Of a user's jobs on one machine one at a time makes requests, by a lock. Those with a ledger in a database share it.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from batch_alias.errors import LedgerError
from batch_alias.ledger.place import postgres
from batch_alias.model import Event, EventKind, RequestKind
from batch_alias.sending import Observer, RateLimiter
from batch_alias.sending.limiter import WINDOW
from batch_alias.sending.limiter import RateLimiter as LocalLimiter
from batch_alias.settings import Settings
from batch_alias.text import N_, timestamp, to_json

STATE_DIR = "BATCH_ALIAS_STATE_DIR"
"""The environment variable that names the folder of the locks; it is the user's state folder otherwise."""
POLL = 0.2
"""Seconds between two attempts to get a lock that another job holds."""


@dataclass(frozen=True, slots=True)
class Quota:
    """The quota of a command's requests: that of this process, or what all have in common."""

    limiter: Callable[[RequestKind], RateLimiter]
    open: AbstractAsyncContextManager[object]  # entered while requests are made


def quota_of(settings: Settings) -> Quota:
    """The quota of a command, for where its ledger is. Raises ``UsageError`` if what it needs is not installed."""
    rate = settings.sending.rate
    if settings.ledger is None:
        return Quota(lambda _kind: LocalLimiter(rate), nullcontext())
    postgres()
    from batch_alias.workers import shared_quota

    shared = shared_quota(settings.ledger, settings.required_target, rate)
    return Quota(shared.limiter, shared)


class AppLock:
    """The lock of the App Key of a job.

    Its file is named by a hash of the key. Beside it stands which job took it last: folder, command, process and time.
    The system releases the lock of a process that is killed.

    The sandbox that a job starts for itself has an App Key of its own, so it has no lock.
    """

    def __init__(self, settings: Settings) -> None:
        self._job = str(settings.job_folder.absolute())
        self._no_wait = settings.sending.no_wait
        self._target = settings.required_target
        # Where the ledger is in a database, that holds the quota.
        self._is_needed = not self._target.sandbox and settings.ledger is None
        self._lock: FileLock | None = None

    @asynccontextmanager
    async def held(self, command: str, observer: Observer) -> AsyncIterator[None]:
        """Hold it for the length of a block, once no other job does; within another such block nothing happens.

        Where a lock cannot be made there is none: that is an event, and the block is entered all the same.

        Args:
            command: What it is held for.
            observer: Called with the event that it is waited for, or that there is none.

        Raises:
            LedgerError: Another job holds it, and it is not to be waited for.
        """
        with ExitStack() as stack:
            if self._is_needed and not (self._lock is not None and self._lock.is_locked):
                await self._take(stack, command, observer)
            yield

    async def _take(self, stack: ExitStack, command: str, observer: Observer) -> None:
        met: dict[str, str | float] | None = None  # the job that was waited for
        while True:
            try:
                holder = self._try(stack, command)
            except (OSError, RuntimeError) as error:  # there is no home folder, or the file system has no locks
                stack.close()
                self._is_needed = False
                observer(Event(at=time.time(), kind=EventKind.NOT_LOCKED, values={"reason": str(error)}))
                return
            if holder is None:
                break
            if self._no_wait:
                advice = N_("Run the same command again when that has ended, or without --no-wait.")
                raise LedgerError("The job {job} is sending for this App Key (pid {pid}).", advice, **holder)
            if holder != met:
                met = holder
                observer(Event(at=time.time(), kind=EventKind.WAITING, values=holder))
            await asyncio.sleep(POLL)
        if met is not None:
            await asyncio.sleep(WINDOW)  # for the rate: this job does not know what that one sent last

    def _try(self, stack: ExitStack, command: str) -> dict[str, str | float] | None:
        """Take the lock, to be released with the stack, or return which job holds it."""
        folder = Path(os.environ.get(STATE_DIR) or user_state_path("batch-alias", appauthor=False))
        folder.mkdir(parents=True, exist_ok=True)
        note = folder / f"{self._target.key_hash}.json"
        self._lock = self._lock or FileLock(note.with_suffix(".lock"), thread_local=False)
        try:
            stack.enter_context(self._lock.acquire(timeout=0))
        except Timeout:
            return _holder(note)
        noted = {"job": self._job, "command": command, "pid": os.getpid(), "since": timestamp(time.time())}
        note.write_text(to_json(noted), encoding="utf-8")
        return None


def _holder(note: Path) -> dict[str, str | float]:
    """The job that holds the lock and its process, as far as that can be read."""
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        return {"job": str(noted["job"]), "pid": int(noted["pid"])}
    except (OSError, ValueError, TypeError, KeyError):
        return {"job": "?", "pid": "?"}
