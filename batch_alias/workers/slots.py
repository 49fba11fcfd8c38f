"""Slots, at which requests may start: reserved for all processes in the database, used in this one.

The database hands out slots a little ahead, evenly spaced by its own clock. Why no second has more starts than the
quota, over all processes and whatever their clocks say:

- The database reads its clock at an instant between the moment in which a reservation is sent and the one in which the
  reply is received. Slots are counted from the latter, so they are late by less than the reply took, at most ``REPLY``:
  those of a slower reply are thrown away.
- A request starts at its slot or at most ``LATEST`` after it: a slot that is later is thrown away.
- So each request starts 0 to ``REPLY + LATEST`` after the instant that the database meant. Those that start within some
  ``WINDOW`` have slots within ``WINDOW + REPLY + LATEST``. Slots are no closer than ``1 / slot_rate(N)``, which is that
  time divided by N, so there are at most N of them. ``WINDOW`` is more than a second since clocks run a little apart.

Not covered: a clock of the database that is set forward while requests start, and a process that stands still between
the permission to start a request and the request.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from batch_alias.model import Permission, PermissionWithdrawn
from batch_alias.sending.controller import ControllerRules, RateController
from batch_alias.sending.limiter import WINDOW, LastSecond

HORIZON = 0.05
"""Seconds for which slots are reserved ahead."""
REPLY = 0.02
"""Seconds after which the reply to a reservation is too old."""
LATEST = 0.02
"""Seconds after a slot in which it may still be used."""
AHEAD = HORIZON / 2
"""Seconds before its last slot in which a process reserves more."""
STOP = 1.0
"""Most seconds for which a request waits for a slot without a look at whether it is to be made at all."""


class Responses(NamedTuple):
    """What came of requests: refusals and late responses, and all responses."""

    signals: int
    responses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What came of a reservation. Times are those of the event loop's clock, in seconds."""

    wait: float  # until the next one can succeed
    slots: Sequence[float] = ()  # when they are
    step: float | None = None  # from each slot of all processes to the next, if the database has said so
    thrown_away: int = 0  # slots of a reply that was too old


Reserve = Callable[[int, Responses], Awaitable[Reservation]]
"""Reserves so many slots at most, and tells of responses since the last call. An error of it ends the reservations."""


def slot_rate(rate: int) -> float:
    """Slots per second for a quota of so many requests per second."""
    return rate / (WINDOW + REPLY + LATEST)


def slot_times(first: float, step: float, slots: int, *, sent: float, received: float) -> list[float]:
    """When the slots of a reply are: the first so many seconds after the database's reading, then one each step.

    Args:
        sent: When the reservation was sent, and
        received: when its reply was received, by the clock of the result.
    """
    if received - sent > REPLY:
        return []
    return [received + first + slot * step for slot in range(slots)]


def likely_used(gap: float, step: float) -> int:
    """How many slots so many seconds apart are likely used by somebody who asks for one at so many seconds' gaps.

    The k-th slot after the first is asked for ``k * (gap - step)`` seconds after its time.
    """
    most = 1 + int(HORIZON / step)
    return most if gap <= step else min(most, 1 + int(LATEST / (gap - step)))


class SharedLimiter:
    """The rate limiter for requests of one kind: never more than N start in any second, in all processes together.

    Args:
        reserve: Reserves slots.
        start: Called with the coroutine that does so while slots are needed, to run it.

    Attributes:
        losses: How often blocks were lost.
        asked: Reservations so far,
        reserved: and the slots of them.
    """

    def __init__(self, reserve: Reserve, start: Callable[[Coroutine[None, None, None]], object]) -> None:
        self._reserve = reserve
        self._start = start
        self._last_second = LastSecond()
        self._slots: asyncio.PriorityQueue[float] = asyncio.PriorityQueue()
        self._given_back: deque[float] = deque()  # slots, for requests that were permitted already
        self._in_hand = 0  # slots that were reserved and neither used nor thrown away
        self._waiting = 0
        self._needed = asyncio.Event()
        self._is_started = False
        self._error: Exception | None = None
        self._signals = self._responses = 0  # that the database has not been told of
        self._last_slot = -math.inf
        self._step = HORIZON  # seconds between two slots
        self._gap = HORIZON  # seconds from a permission until the next one is asked for, their moving average
        self._permitted_at = -math.inf
        self.losses = 0
        self.asked = 0
        self.reserved = 0

    @property
    def busiest(self) -> int:
        """Most attempts of this process that started within any sliding second."""
        return self._last_second.busiest

    async def acquire(self) -> Permission | None:
        """Wait until an attempt may start, for a second at most; ``None`` if none may.

        Raises:
            LedgerError: The database cannot be used.
        """
        gap = asyncio.get_running_loop().time() - self._permitted_at
        self._gap += (min(0.0 if self._waiting else gap, HORIZON) - self._gap) / 4
        slot = await self._next_slot()
        return None if slot is None else _Permission(self, slot)

    def controller(self, rate: float, rules: ControllerRules) -> RateController:
        """What tells the database of refusals, which lowers the rate for all; here only an outage does."""
        return _Reporter(self, rate, rules)

    def responded(self, *, signal: bool) -> None:
        """Note a response, maybe a refusal."""
        self._responses += 1
        self._signals += signal

    def lost(self) -> None:
        """Let no attempt be made that waits for its permission to be renewed: its row may be another process's."""
        self.losses += 1

    def give_back(self, slot: float, start: float) -> None:
        """Let another attempt that was permitted before have a slot."""
        self._last_second.remove(start)
        self._given_back.append(slot)
        self._drop_old_slots()

    async def renewed_slot(self, losses: int) -> float:
        """Wait for a slot, one that was given back if there is one.

        Raises:
            PermissionWithdrawn: Blocks were lost since there were so many losses.
        """
        self._drop_old_slots()
        slot = self._given_back.popleft() if self._given_back and self.losses == losses else None
        while slot is None and self.losses == losses:
            slot = await self._next_slot()
        if slot is None or self.losses != losses:
            raise PermissionWithdrawn
        return slot

    def _drop_old_slots(self) -> None:
        oldest = asyncio.get_running_loop().time() - LATEST
        while self._given_back and self._given_back[0] < oldest:
            self._given_back.popleft()

    def started(self) -> float:
        """Note a start that happens now, and return when that is."""
        now = self._permitted_at = asyncio.get_running_loop().time()
        self._last_second.add(now)
        return now

    async def _next_slot(self) -> float | None:
        """Wait until a slot has come, for a second at most."""
        if not self._is_started:
            self._is_started = True
            self._start(self._reserve_as_needed())
        self._waiting += 1
        self._needed.set()
        try:
            async with asyncio.timeout(STOP):
                return await self._arrived_slot()
        except TimeoutError:
            if self._error is not None:
                raise self._error from None
            return None
        finally:
            self._waiting -= 1

    async def _arrived_slot(self) -> float:
        clock = asyncio.get_running_loop().time
        while True:
            slot = await self._slots.get()
            try:
                if (wait := slot - clock()) > 0:
                    await asyncio.sleep(wait)
            except asyncio.CancelledError:
                self._slots.put_nowait(slot)
                raise
            self._in_hand -= 1
            if clock() - slot <= LATEST:
                return slot
            self._needed.set()

    async def _reserve_as_needed(self) -> None:
        try:
            await self._reserve_forever()
        except Exception as error:  # it is raised where a slot is waited for
            self._error = error

    async def _reserve_forever(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            wanted = self._wanted()
            if not wanted:
                self._needed.clear()
                await self._needed.wait()
                continue
            enough_for = self._last_slot - AHEAD - clock()
            if enough_for > 0:
                await asyncio.sleep(enough_for)
                continue
            responses = Responses(self._signals, self._responses)
            self._signals = self._responses = 0
            reservation = await self._reserve(wanted, responses)
            self.asked += 1
            self.reserved += len(reservation.slots) + reservation.thrown_away
            self._step = reservation.step or self._step
            for slot in reservation.slots:
                self._slots.put_nowait(slot)
                self._last_slot = slot
            self._in_hand += len(reservation.slots)
            await asyncio.sleep(reservation.wait)

    def _wanted(self) -> int:
        if not self._waiting:
            return 0
        return max(0, max(self._waiting, likely_used(self._gap, self._step)) - self._in_hand)


class _Reporter(RateController):
    """Lowers the rate only after an outage of which this process knows; refusals concern all processes."""

    def __init__(self, limiter: SharedLimiter, rate: float, rules: ControllerRules) -> None:
        super().__init__(rate, rules)
        self._limiter = limiter

    def responded(self, *, signal: bool, started: float, now: float, latency: float | None) -> tuple[int, int] | None:
        self._limiter.responded(signal=signal)
        return super().responded(signal=False, started=started, now=now, latency=latency)


class _Permission:
    """A start at a slot."""

    __slots__ = ("_limiter", "_losses", "_slot", "_start")

    def __init__(self, limiter: SharedLimiter, slot: float) -> None:
        self._limiter = limiter
        self._losses = limiter.losses  # its row is chosen now, of a block that was not lost
        self._slot = slot
        self._start = limiter.started()

    def give_back(self) -> None:
        self._limiter.give_back(self._slot, self._start)

    async def renew(self) -> None:
        self._slot = await self._limiter.renewed_slot(self._losses)
        self._start = self._limiter.started()
