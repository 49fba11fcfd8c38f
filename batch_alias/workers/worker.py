"""A worker: it takes blocks of rows from the queue of an app, sends them, and takes over those of workers that died.

procrastinate hands out the blocks as tasks and watches the workers. Three of its limits are covered here:

- It lets a worker that it took for dead end a task that another one has. The epoch of the block tells them apart, and a
  block whose worker died without a task left is queued again.
- A worker that stood still for as long has no heartbeat any more. The next task that it fetches fails, and it registers
  again.
- It ends when its connection to the database is lost. It is started again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from procrastinate import JobContext, RetryStrategy
from procrastinate.exceptions import ProcrastinateException

from batch_alias.errors import BatchAliasError, LedgerError
from batch_alias.ledger.blocks import is_open, open_blocks
from batch_alias.ledger.database import Database, unusable
from batch_alias.ledger.postgres import PostgresLedger
from batch_alias.sending import Timing
from batch_alias.workers.queue import TASK, block_lock, task_app, task_of
from batch_alias.workers.session import Session

BLOCKS_AT_ONCE = 3
"""So that it never runs dry between two of them."""
ABORT = 1.0
"""Seconds in which blocks may still be given back when a worker is stopped at once."""
LINGER = 2.0
"""Seconds for which a job's connections are kept when there is no block of it."""
RESTART = 1.0
"""Seconds until procrastinate is started again after it has lost the database."""


class BlockReturned(Exception):  # noqa: N818 - no error
    """A block whose rows are not all sent goes back to the queue."""


def _look_at(task: "asyncio.Task[Any]") -> None:
    """Look at the error of a task, if it has one: asyncio prints those that nobody has looked at."""
    if not task.cancelled():
        task.exception()


async def _wait(task: "asyncio.Task[Any]", *events: asyncio.Event) -> None:
    """Wait until a task is done, or one of some events is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({task, *waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


def _end_if_abandoned(url: str, name: str, run: int) -> None:
    """Record the end of a run, all rows of which were sent, unless the process that began it lives and does so."""
    with suppress(LedgerError, IndexError), PostgresLedger(url, name) as ledger:
        ledger.end_abandoned(run)


class Worker:
    """Sends the blocks of an app's jobs until it is stopped, or an error ends it.

    Args:
        url: The database.
        queue: The queue of the app.
        name: What it is called in the ledger.
        opened: Opens a session for a run of a job: job, run and name.
        timing: How often it gives a sign of life, and when another one is taken for dead.
        rests: Whether it gives its blocks back in an outage.
        until_idle: Whether it stops when no block is left.
    """

    def __init__(
        self,
        url: str,
        *,
        queue: str,
        name: str,
        opened: Callable[[int, int, str], Awaitable[Session]],
        timing: Timing,
        rests: bool = False,
        until_idle: bool = False,
    ) -> None:
        self._url = url
        self.app = task_app(url)
        self.app.task(name=TASK, pass_context=True, retry=RetryStrategy(retry_exceptions=[BlockReturned]))(self._send)
        self._database = Database(url)
        self._timing = timing
        self._rests = rests
        self._until_idle = until_idle
        self._queue = queue
        self.name = name
        self._opened = opened
        self._opening = asyncio.Lock()
        self.sessions: dict[tuple[int, int], Session] = {}
        self._stopping = asyncio.Event()
        self._resting = asyncio.Event()
        self._aborting = asyncio.Event()
        self._error: BaseException | None = None

    @property
    def was_stopped(self) -> bool:
        """Whether it was asked to stop, or an error stops it."""
        return self._stopping.is_set()

    @property
    def is_idle(self) -> bool:
        """Whether it holds no block."""
        return not any(session.in_use for session in self.sessions.values())

    def stop(self) -> None:
        """Take no more blocks; ``run`` returns when the requests under way have ended and the blocks are given back."""
        self._stopping.set()
        for session in self.sessions.values():
            session.stop()

    def abort(self) -> None:
        """Stop at once: cancel the requests under way, and do not wait for a database that is away."""
        self._stopping.set()
        self._database.give_up()
        for session in self.sessions.values():
            session.abort()
        self._aborting.set()

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self.stop()

    async def run(self) -> None:
        """Work until stopped.

        Raises:
            StoppedByService: A job's requests would be refused, or the patience is used up.
            LedgerError: The database cannot be used.
        """
        try:
            await self.app.open_async()
        except ProcrastinateException as error:
            raise unusable(error.__cause__ if isinstance(error.__cause__, Exception) else error) from error
        sweeping = asyncio.create_task(self._sweep())
        try:
            while not self.was_stopped:
                await self._fetch()
                with suppress(TimeoutError):
                    pause = self._timing.rest if self._resting.is_set() else RESTART
                    await asyncio.wait_for(self._stopping.wait(), pause)
                self._resting.clear()
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            self.stop()
            for session in list(self.sessions.values()):
                await session.close(self.name)
            await self._database.close()
            await self.app.close_async()
        if self._error is not None:
            raise self._error

    async def _fetch(self) -> None:
        """Let procrastinate fetch tasks until the worker is stopped or rests, or the database is lost."""
        fetching = asyncio.create_task(
            self.app.run_worker_async(
                queues=[self._queue],
                name=self.name,
                concurrency=BLOCKS_AT_ONCE,
                install_signal_handlers=False,
                listen_notify=False,  # a connection more, whose loss ends the worker
                fetch_job_polling_interval=1.0,
                update_heartbeat_interval=self._timing.heartbeat,
                stalled_worker_timeout=self._timing.stalled,
                delete_jobs="always",
            )
        )
        try:
            await _wait(fetching, self._stopping, self._resting)
        finally:
            fetching.cancel()  # procrastinate then ends when its tasks have, and waits for the database if it is away
            with suppress(asyncio.CancelledError):
                await _wait(fetching, self._aborting)
            await asyncio.wait([fetching], timeout=ABORT)
            error = fetching.exception() if fetching.done() and not fetching.cancelled() else None
            if error is not None and not isinstance(error, ProcrastinateException | OSError):
                raise error  # a defect; those say that the database is away

    async def _send(self, context: JobContext, *, job: int, run: int, name: str, block: int) -> None:
        """Send the rows of a block."""
        if (own := asyncio.current_task()) is not None:
            own.add_done_callback(_look_at)  # procrastinate does not where it cannot record how a task has ended
        task, attempt = context.job.id or 0, context.job.attempts
        try:
            if not await is_open(self._database, block):
                return
            session = await self._session(job, run, name)
            try:
                is_returned = not await session.send(block, task=task, attempt=attempt, worker=self.name)
            finally:
                session.release()
        except BatchAliasError as error:
            self._fail(error)
            is_returned = True
        except Exception as error:
            self._fail(error)
            raise
        if is_returned:
            raise BlockReturned
        if not await session.blocks.left(run):
            await asyncio.to_thread(_end_if_abandoned, self._url, name, run)

    async def _session(self, job: int, run: int, name: str) -> Session:
        async with self._opening:
            session = self.sessions.get((job, run))
            if session is None or session.has_ended:
                if session is not None:
                    await session.close(self.name)
                session = await self._opened(job, run, name)
                session.start(self._fail)
                self.sessions[job, run] = session
                if self.was_stopped:
                    session.stop()
            session.acquire()
            return session

    async def _sweep(self) -> None:
        """Give others the blocks of workers that died, and close what is not used any more."""
        while True:
            await asyncio.sleep(self._timing.sweep)
            try:
                async with self._opening:
                    for key, session in list(self.sessions.items()):
                        if session.idle_for > LINGER:
                            del self.sessions[key]
                            await session.close(self.name)
                        else:
                            await session.give_sign_of_life(self.name)
                            if self._rests and session.outage >= self._timing.outage:
                                session.stop()
                                self._resting.set()
                with suppress(ProcrastinateException, OSError):
                    await self._take_over()
            except LedgerError as error:
                self._fail(error)
                return

    async def _take_over(self) -> None:
        manager = self.app.job_manager
        for task in await manager.get_stalled_jobs(queue=self._queue, seconds_since_heartbeat=self._timing.stalled):
            with suppress(ProcrastinateException):  # another worker has given it to one since
                await manager.retry_job(task)
        # Each open block has a task, until one that a worker held for too long ends although another one has it.
        blocks = await open_blocks(self._database, self._queue)
        if self._until_idle and not blocks and self.is_idle:
            self.stop()
        counts = await manager.list_queues_async(queue=self._queue)
        if len(blocks) > sum(queue["todo"] + queue["doing"] for queue in counts):
            tasks = [await manager.list_jobs_async(queue=self._queue, status=status) for status in ("todo", "doing")]
            queued = {task.queueing_lock for found in tasks for task in found}
            for block in blocks:
                if block_lock(block.block) not in queued:
                    with suppress(ProcrastinateException):  # another worker has done it
                        await manager.defer_job_async(task_of(self._queue, block))
