"""One quota for several processes: the function ``reserve_slots`` of the database hands out slots to all of them.

It does so only to who still holds its blocks: a process that is frozen or cut off from the database runs out of slots.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Self

import psycopg

from batch_alias.ledger.database import LOST, PATIENCE, RETRY, Connection, Database, unusable
from batch_alias.model import EventKind, RequestKind
from batch_alias.sending.response_handler import NOTABLE_CHANGE
from batch_alias.workers.slots import HORIZON, REPLY, Reservation, Responses, SharedLimiter, slot_rate, slot_times

JITTER = HORIZON / 8
"""Most seconds by which a process is late to ask again, so that it is not always the same one that gets the slots."""
AWAY = 2.0
"""Seconds without a slot, for want of a reply, that are an event."""
SLOWEST = 1.0
"""Most seconds to wait after several replies that were too old: slots that are thrown away are lost to all."""
RESERVE = "SELECT * FROM reserve_slots(%s, %s, %s, %s, %s, %s, %s, %s, %s::bigint[], %s::integer[])"

Fence = Callable[[], tuple[int, Mapping[int, int]] | None]
"""The job and the blocks that this process holds, each with its epoch; ``None`` if it needs none for its requests."""


class _Reply(NamedTuple):
    lost: Collection[int] | None  # blocks that this process does not hold any more; if there are any, no slots
    slots: int
    first: float  # seconds from the database's reading of its clock until the first slot,
    step: float  # and from each to the next
    lowered: Sequence[int] | None  # refusals among so many responses, for which the rate was lowered by this call


class SharedQuota:
    """The quota of an app, shared with all processes that reserve in the same database.

    While the database is away nobody gets a slot.

    Args:
        url: The database.
        app_key: A hash of the App Key.
        rate: Requests per second that are never exceeded, for each kind of requests. Of several processes with
            different ones the lowest counts.
        fence: What this process must still hold for a reservation.
        lost: Called with blocks that others hold now; ``fence`` then leaves them out.
        emit: Called when the rate is lowered notably, or the database is away: with ``EventKind`` and its values.
        patience: Seconds to wait for the database when it is away.
    """

    def __init__(
        self,
        url: str,
        app_key: str,
        rate: int,
        *,
        fence: Fence = lambda: None,
        lost: Callable[[Collection[int]], None] = lambda _blocks: None,
        emit: Callable[..., None] = lambda _kind, **_values: None,
        patience: float = PATIENCE,
    ) -> None:
        self._fence = fence
        self._lost = lost
        self._emit = emit
        self._database = Database(url)
        self._warm: Connection | None = None  # the connection over which slots were reserved before
        self._app_key = app_key
        self._rate = slot_rate(rate)
        self._reported_rate = self._rate  # slots per second
        self._patience = patience
        self._failing_since: float | None = None
        self._is_away = False
        self._slow_replies = 0  # without a fast one in between
        self._limiters: dict[RequestKind, SharedLimiter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        tasks = self._tasks
        while tasks:
            # Cancelled once, a query waits for seconds for a server that may not answer.
            for task in tasks:
                task.cancel()
            _done, tasks = await asyncio.wait(tasks, timeout=RETRY)
        self._tasks = set()
        await self._database.close()

    def limiter(self, kind: RequestKind) -> SharedLimiter:
        """The rate limiter for requests of a kind."""
        if kind not in self._limiters:
            self._limiters[kind] = SharedLimiter(partial(self._reserve, kind), self._start)
        return self._limiters[kind]

    def _start(self, reserving: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(reserving))

    async def _reserve(self, kind: RequestKind, wanted: int, responses: Responses) -> Reservation:
        # A read changes nothing, and some are made when the row's block is done.
        fence = self._fence if kind is RequestKind.WRITE else lambda: None
        try:
            ask = partial(self._ask, kind=kind, wanted=wanted, responses=responses, fence=fence)
            answer = await self._database.once(ask)
        except LOST as error:
            self._failed(error)
            return Reservation(wait=RETRY)
        except psycopg.Error as error:
            raise unusable(error) from error
        if answer is None:
            return Reservation(wait=HORIZON)
        reply, sent, received = answer
        if reply.lost:
            self._limiters[kind].lost()
            self._lost(reply.lost)
            return Reservation(wait=0.0)
        self._report(reply)
        slots = slot_times(reply.first, reply.step, reply.slots, sent=sent, received=received)
        if len(slots) < reply.slots:
            self._failed(TimeoutError("it answers too slowly"))
            self._slow_replies += 1
            wait = min(REPLY * 2**self._slow_replies, SLOWEST)
            return Reservation(wait=wait, step=reply.step, thrown_away=reply.slots)
        self._failing_since, self._slow_replies = None, 0
        jitter = random.uniform(0, JITTER)  # noqa: S311 - it protects nothing
        wait = 0.0 if slots else max(reply.first - HORIZON / 2, 0.0) + jitter
        return Reservation(wait=wait, step=reply.step, slots=slots)

    async def _ask(
        self, connection: Connection, *, kind: RequestKind, wanted: int, responses: Responses, fence: Fence
    ) -> tuple[_Reply, float, float] | None:
        """The reply, when the reservation was sent and when the reply was received; ``None`` without a block."""
        if connection is not self._warm:
            # The first call takes longer: the server compiles the function.
            await self._call(connection, kind, wanted=0, responses=Responses(0, 0), held=(0, {}))
            self._warm = connection
        held = fence()
        if held is not None and not held[1]:
            return None
        clock = asyncio.get_running_loop().time
        sent = clock()
        reply = await self._call(connection, kind, wanted=wanted, responses=responses, held=held or (0, {}))
        return reply, sent, clock()

    async def _call(
        self,
        connection: Connection,
        kind: RequestKind,
        *,
        wanted: int,
        responses: Responses,
        held: tuple[int, Mapping[int, int]],
    ) -> _Reply:
        job, epochs = held
        blocks = (job, list(epochs), list(epochs.values()))
        cursor = await connection.execute(
            RESERVE, (self._app_key, kind, self._rate, wanted, HORIZON, *responses, *blocks), prepare=True
        )
        return _Reply._make(await cursor.fetchone() or ())

    def _report(self, reply: _Reply) -> None:
        rate = 1 / reply.step
        if rate >= self._rate:
            self._reported_rate = rate
        if reply.lowered and rate <= self._reported_rate * (1 - NOTABLE_CHANGE):
            self._reported_rate = rate
            signals, responses = reply.lowered
            self._emit(EventKind.RATE_LOWERED, signals=signals, responses=responses, rate=float(f"{rate:.2g}"))

    def _failed(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since, self._is_away = now, False
        if now - self._failing_since >= AWAY and not self._is_away:
            self._is_away = True
            self._emit(EventKind.DATABASE_AWAY)
        if now - self._failing_since >= self._patience:
            raise unusable(error) from error
