"""One quota for several processes: the starts of requests are reserved in the database, a little ahead.

A row for each app and kind of request holds the time of the next start that is free. Reserving n starts moves it on by n
steps, and gives them to whoever has reserved them: the generic cell rate algorithm.

What is promised, in any second of the database's clock: at most N starts. A start reserved for the time T happens between
T - REPLY and T + LATE, since a reply that took longer is thrown away, as is a start that is later. So the starts of a
second were reserved within 1 + REPLY + LATE seconds, and at a rate of (N - 1) / (1 + REPLY + LATE) those are at most N.

The reservation is the fence too: a process whose blocks were given to others gets none for them.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import psycopg

from batch_alias.ledger.database import PATIENCE, RETRY, Connection, Database, unusable
from batch_alias.model import PermissionWithdrawn, RequestKind
from batch_alias.sending.limiter import Starts

HORIZON = 0.05
"""Seconds ahead for which starts are reserved."""
REPLY = 0.02
"""Most seconds that a reservation may take."""
LATE = 0.02
"""Most seconds by which a start may be late."""
GIVE_UP = 1.0
"""Seconds after which nothing is permitted, for now."""
QUIET = 2.0
"""Seconds after which a rate that was lowered rises again,"""
RISE = 0.05
"""each second by so much of the full rate."""
FLOOR = 0.02
"""Share of the full rate that is always tried."""

_NOW = "extract(epoch FROM clock_timestamp())::float8"
# A rate that was lowered rises with the time since.
_RATE = "least(%(most)s, rate + %(most)s * %(rise)s * greatest(0, now - changed_at - %(quiet)s))"
_RESERVE = f"""
WITH clock AS (SELECT {_NOW} AS now),
lost AS (
    SELECT block FROM unnest(%(blocks)s::bigint[], %(epochs)s::integer[]) AS held (block, at)
    WHERE NOT EXISTS (SELECT 1 FROM blocks WHERE id = block AND epoch = at AND is_open)
),
reserved AS (
    UPDATE quota SET tat = greatest(tat, now) + %(starts)s / {_RATE} FROM clock
    WHERE app_key = %(app_key)s AND path = %(path)s AND tat < now + %(horizon)s AND NOT EXISTS (SELECT 1 FROM lost)
    RETURNING tat - %(starts)s / {_RATE} - now AS first, 1 / {_RATE} AS step
)
SELECT ARRAY(SELECT block FROM lost), reserved.first, reserved.step, quota.tat - clock.now
FROM clock LEFT JOIN quota ON app_key = %(app_key)s AND path = %(path)s LEFT JOIN reserved ON TRUE
"""
_BEGIN = f"INSERT INTO quota (app_key, path, tat, rate, changed_at) VALUES (%s, %s, {_NOW} + 1, %s, 0) ON CONFLICT DO NOTHING"
_LOWER = f"""
UPDATE quota SET rate = greatest(%(most)s * %(floor)s, {_RATE} * %(share)s), changed_at = now
FROM (SELECT {_NOW} AS now) AS clock WHERE app_key = %(app_key)s AND path = %(path)s AND now - changed_at >= 1
"""


def shared_rate(rate: int) -> float:
    """Reservations per second with which no more requests than a rate start in any second."""
    # With one per second, two of them may be nearer than a second: then they are further apart.
    return (rate - 1) / (1 + REPLY + LATE) if rate > 1 else 1 / (1 + REPLY + LATE)


@dataclass(frozen=True, slots=True)
class _Reserved:
    """The answer of the database; times in seconds."""

    lost: Collection[int]
    first: float | None  # from now to the first start that was reserved; None if none was
    step: float | None
    ahead: float | None  # from now to the first start that is free; None if there is no row

    def wait(self) -> float:
        """How long to wait when nothing was reserved."""
        return max((self.ahead or 0.0) - HORIZON, 0.002)


class SharedLimiter:
    """A rate limiter for one kind of request, in this process, over the quota of all.

    Args:
        database: A connection of its own.
        app_key: The hash of the App Key.
        kind: What the requests are for; each kind has a quota.
        rate: Requests per second that are never exceeded.
        fence: The blocks that this process holds, and their epochs; ``None`` where it needs none.
        lost: Called with blocks that it holds no more.
    """

    def __init__(
        self,
        database: Database,
        app_key: str,
        kind: RequestKind,
        rate: int,
        *,
        fence: Callable[[], Mapping[int, int]] | None = None,
        lost: Callable[[Collection[int]], None] = lambda _blocks: None,
    ) -> None:
        most = shared_rate(rate)
        self._database = database
        self._quota = {"app_key": app_key, "path": str(kind), "most": most, "rise": RISE, "quiet": QUIET}
        self._most_at_once = math.ceil(most * HORIZON)
        self._at_once = 1
        self._fence = fence
        self._lost = lost
        self._starts: deque[float] = deque()  # that were reserved, by the clock of the event loop
        self._seen = Starts()
        self._away_since: float | None = None
        self.losses = 0  # how often blocks were lost
        self.wasted = 0  # starts that were reserved and not used

    @property
    def busiest(self) -> int:
        """Most attempts that started within any sliding second, in this process."""
        return self._seen.busiest

    async def acquire(self) -> "_Permission | None":
        """Wait until an attempt may start; ``None`` if none may within a second.

        Raises:
            LedgerError: The database was away for too long.
        """
        permission = _Permission(self, self.losses)
        return permission if await self.start(permission, give_up=GIVE_UP) else None

    async def start(self, permission: "_Permission", *, give_up: float = math.inf) -> bool:
        """Wait for a start, and note it; return whether there was one within so many seconds."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + give_up
        while permission.losses == self.losses or give_up < math.inf:
            while self._starts:
                at = self._starts.popleft()
                if (wait := at - clock()) > 0:
                    await asyncio.sleep(wait)
                if clock() - at <= LATE:
                    permission.at, permission.started, permission.losses = at, clock(), self.losses
                    self._seen.note(permission.started)
                    return True
                self.wasted += 1
                self._at_once = 1
            if clock() >= deadline:
                return False
            await self._reserve()
        raise PermissionWithdrawn

    def give_back(self, permission: "_Permission") -> None:
        """Let another attempt start instead of one."""
        self._starts.appendleft(permission.at)
        self._seen.forget(permission.started)

    async def _reserve(self) -> None:
        loop = asyncio.get_running_loop()
        fence = {} if self._fence is None else dict(self._fence())
        if self._fence is not None and not fence:
            await asyncio.sleep(HORIZON)
            return
        starts, asked = self._at_once, loop.time()
        try:
            reserved = await self._database.once(lambda connection: self._ask(connection, fence, starts))
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
            self._away_since = self._away_since or time.monotonic()
            if time.monotonic() - self._away_since >= PATIENCE:
                raise unusable(error) from error
            await asyncio.sleep(RETRY)
            return
        answered = loop.time()
        self._away_since = None
        if reserved.lost:
            self.losses += 1
            self._lost(reserved.lost)
        elif reserved.first is None or reserved.step is None:
            await asyncio.sleep(reserved.wait())
        elif answered - asked > REPLY:
            self.wasted += starts
        else:
            # Its clock was read before the answer, so by this one every start is late rather than early.
            self._starts.extend(answered + reserved.first + number * reserved.step for number in range(starts))
            self._at_once = min(2 * starts, self._most_at_once)

    async def _ask(self, connection: Connection, fence: Mapping[int, int], starts: int) -> _Reserved:
        values = {**self._quota, "starts": starts, "horizon": HORIZON}
        values |= {"blocks": list(fence), "epochs": list(fence.values())}
        answer = await (await connection.execute(_RESERVE, values)).fetchone()
        if answer is None or answer[3] is None:
            await connection.execute(_BEGIN, (values["app_key"], values["path"], values["most"]))
            return _Reserved(lost=(), first=None, step=None, ahead=1.0)
        return _Reserved(*answer)

    async def lower(self, share: float) -> None:
        """Lower the rate of all processes to a share of what it is, unless it was lowered within the last second.

        Raises:
            LedgerError: The database was away for too long.
        """

        async def work(connection: Connection) -> None:
            await connection.execute(_LOWER, {**self._quota, "floor": FLOOR, "share": share})

        await self._database.transaction(work)


class _Permission:
    """A start that was reserved."""

    __slots__ = ("_limiter", "at", "losses", "started")

    def __init__(self, limiter: SharedLimiter, losses: int) -> None:
        self._limiter = limiter
        self.at = self.started = 0.0  # when it was reserved for, and when it was
        self.losses = losses  # of blocks, until it was given

    def give_back(self) -> None:
        self._limiter.give_back(self)

    async def renew(self) -> None:
        await self._limiter.start(self)
