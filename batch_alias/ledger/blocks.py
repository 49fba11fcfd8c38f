"""Blocks: the rows to send of a job in PostgreSQL, in parts of which each is held by one worker at a time.

Whoever is given a block raises its *epoch*. An outcome, and permission to send, are bound to the epoch under which the
rows were given: a worker that was cut off or stood still, and whose block was given to another one, has neither.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Identifier

from batch_alias.ledger.database import Connection, Database, schema_of
from batch_alias.ledger.writer import ROW, row_of
from batch_alias.model import Row, State, StateCounts
from batch_alias.text import N_, _, pack

BLOCK = 500
"""Rows in a block."""
LONGEST = 600.0
"""Seconds that it may take to part the rows of a job, or to count them; or a request, at the very most."""
FENCED = 1.0
"""Seconds after which a worker starts no more requests for a block that was taken away: its slots have passed."""
_CREATE = """
INSERT INTO blocks (job, run, first, last, made_at, sends_failed)
SELECT %(job)s, %(run)s, min(number), max(number), extract(epoch FROM clock_timestamp()), %(sends_failed)s
FROM (
    SELECT number, (row_number() OVER (ORDER BY number) - 1) / %(size)s AS part FROM rows
    WHERE state IN ('pending', 'unknown') OR (state = 'failed' AND %(sends_failed)s)
    ORDER BY number LIMIT %(limit)s
) AS numbered
GROUP BY part ORDER BY part
RETURNING id
"""
_ROWS = f"""
SELECT {ROW}
FROM rows JOIN blocks ON blocks.id = %(block)s AND number BETWEEN first AND last
WHERE state IN ('pending', 'unknown') OR (state = 'failed' AND sends_failed AND coalesce(finished_at, 0) < made_at)
ORDER BY number
"""
# Blocks of which requests may be under way: those that were withdrawn lately too.
_HELD = f"worker != '' AND (is_open OR withdrawn_at > extract(epoch FROM clock_timestamp()) - {LONGEST})"
# The earlier job's rows that a later one sets again; blocks of them that are held are taken from their holders.
_SUPERSEDE_EARLIER = f"""
WITH gone AS (
    UPDATE {{other}}.rows AS early SET state = 'superseded', message = %(message)s FROM rows AS late
    WHERE early.state IN ('pending', 'unknown') AND late.state NOT IN ('rejected', 'superseded')
        AND late.group_id = early.group_id AND late.user_id = early.user_id
    RETURNING early.number
)
UPDATE blocks SET epoch = epoch + 1 WHERE job = %(other)s AND {_HELD}
    AND EXISTS (SELECT 1 FROM gone WHERE number BETWEEN first AND last)
RETURNING id
"""
_SUPERSEDE_OWN = """
UPDATE rows AS early SET state = 'superseded', message = %(message)s FROM {other}.rows AS late
WHERE early.state IN ('pending', 'unknown', 'failed') AND late.state NOT IN ('rejected', 'superseded')
    AND late.group_id = early.group_id AND late.user_id = early.user_id
"""
_SET_LATER = N_("the job {job}, which was staged later, sets the same user and group")


@dataclass(frozen=True, slots=True)
class BlockOfRun:
    """A block, and what it belongs to."""

    block: int
    job: int
    run: int
    name: str  # of the job


Queue = Callable[[Connection, Sequence[BlockOfRun], float], Awaitable[None]]
"""Queues blocks in a transaction, for no earlier than in so many seconds."""


async def open_blocks(database: Database, app_key: str) -> list[BlockOfRun]:
    """The open blocks of all jobs of an app."""

    async def work(connection: Connection) -> list[BlockOfRun]:
        found = await connection.execute(
            "SELECT blocks.id, job, run, name FROM blocks JOIN jobs ON jobs.id = job WHERE app_key = %s AND is_open",
            (app_key,),
        )
        return [BlockOfRun(*values) for values in await found.fetchall()]

    return await database.transaction(work)


async def is_open(database: Database, block: int) -> bool:
    """Whether a block is there and open: its task is left in the queue when it is withdrawn, or its job replaced."""

    async def work(connection: Connection) -> bool:
        found = await connection.execute("SELECT 1 FROM blocks WHERE id = %s AND is_open", (block,))
        return await found.fetchone() is not None

    return await database.transaction(work)


@dataclass(frozen=True, slots=True)
class Claim:
    """A block that was given to a worker."""

    block: int
    epoch: int
    rows: list[Row]
    # Seconds since the last sign of life of a worker that held it and did not give it back: what it has begun may still
    # be under way. None if there was none.
    unseen: float | None


class Blocks:
    """The blocks of a job."""

    def __init__(self, database: Database, job: int) -> None:
        self._database = database
        self._job = job

    async def create(self, run: int, name: str, queue: Queue, *, sends_failed: bool, limit: int | None) -> int:
        """Part the rows to send into blocks, and queue them in the same transaction; return how many blocks there are.

        Blocks of a run that was killed are taken from the workers that go on with them. Of the rows that two jobs of
        the app set, that of the job that was staged later counts. Where requests for such rows may be under way, the
        blocks wait until they have ended.
        """

        async def work(connection: Connection) -> int:
            # One at a time: two jobs that begin together must see each other.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('batch-alias blocks'))")
            left = await connection.execute(f"DELETE FROM blocks WHERE job = %s RETURNING {_HELD}", (self._job,))
            under_way = [self._job] if any(is_held for (is_held,) in await left.fetchall()) else []
            under_way += await self._supersede(connection)
            wait = max([await _longest_timeout(connection, job) + FENCED for job in under_way], default=0.0)
            values = {"job": self._job, "run": run, "size": BLOCK, "sends_failed": sends_failed, "limit": limit}
            found = await (await connection.execute(_CREATE, values)).fetchall()
            made = [BlockOfRun(block, self._job, run, name) for (block,) in sorted(found)]
            await queue(connection, made, wait)
            return len(made)

        return await self._database.transaction(work, answer=LONGEST)

    async def _supersede(self, connection: Connection) -> list[int]:
        """Let the later of two jobs that set the same pair count; return those that a worker may just be sending."""
        found = await connection.execute(
            "SELECT other.id, other.name, own.name FROM jobs AS other, jobs AS own"
            " WHERE own.id = %s AND other.app_key = own.app_key AND other.id != own.id ORDER BY other.id",
            (self._job,),
        )
        under_way = []
        for other, other_name, own_name in await found.fetchall():
            schema = Identifier(schema_of(other))
            sent = await connection.execute(
                SQL("SELECT EXISTS (SELECT 1 FROM {}.runs WHERE command = 'run')").format(schema)
            )
            if not (await sent.fetchone() or (False,))[0]:
                continue
            later = other_name if other > self._job else own_name
            values = {"message": pack(_(_SET_LATER, job=later)), "other": other}
            query = _SUPERSEDE_OWN if other > self._job else _SUPERSEDE_EARLIER
            done = await connection.execute(SQL(query).format(other=schema), values)
            if other < self._job and done.rowcount > 0:
                under_way.append(other)
        return under_way

    async def claim(self, block: int, *, task: int, attempt: int, worker: str, mark: bool) -> Claim | None:
        """Take a block for an attempt of a task; ``None`` if it is closed, or a later attempt has it.

        Args:
            block: Its number.
            task: The number of the task, and
            attempt: of its attempt. Both grow.
            worker: The name of the worker.
            mark: Whether its rows are in doubt from now on until they have an outcome: they are compared.
        """

        async def work(connection: Connection) -> Claim | None:
            found = await connection.execute(
                "SELECT CASE WHEN worker != '' THEN extract(epoch FROM clock_timestamp()) - coalesce((SELECT seen_at"
                " FROM workers WHERE workers.job = blocks.job AND name = worker), 0) END"
                " FROM blocks WHERE id = %s AND is_open AND (task, attempt) <= (%s, %s) FOR UPDATE",
                (block, task, attempt),
            )
            held = await found.fetchone()
            if held is None:
                return None
            taken = await connection.execute(
                "UPDATE blocks SET epoch = epoch + 1, task = %s, attempt = %s, worker = %s WHERE id = %s"
                " RETURNING epoch",
                (task, attempt, worker, block),
            )
            (epoch,) = await taken.fetchone() or (0,)
            rows = await (await connection.execute(_ROWS, {"block": block})).fetchall()
            if mark:
                await connection.execute(
                    "UPDATE rows SET started = 1 FROM blocks WHERE blocks.id = %s AND state = 'pending'"
                    " AND number BETWEEN blocks.first AND blocks.last",
                    (block,),
                )
            return Claim(block, epoch, list(map(row_of, rows)), unseen=None if held[0] is None else float(held[0]))

        return await self._database.transaction(work)

    async def close(self, block: int, epoch: int) -> None:
        """Note that every row of a block has an outcome, unless it was taken away."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "UPDATE blocks SET is_open = FALSE, worker = '' WHERE id = %s AND epoch = %s", (block, epoch)
            )

        await self._database.transaction(work)

    async def give_back(self, block: int, epoch: int, *, unsent: Sequence[int]) -> None:
        """Let another worker have a block, of which no request is under way, unless it was taken away.

        Args:
            block: Its number.
            epoch: At which it was claimed.
            unsent: Its rows of which is known that they were not sent, unless they have an outcome.
        """

        async def work(connection: Connection) -> None:
            given = await connection.execute(
                "UPDATE blocks SET epoch = epoch + 1, worker = '' WHERE id = %s AND epoch = %s", (block, epoch)
            )
            if given.rowcount:
                query = "UPDATE rows SET started = 0 WHERE state = 'pending' AND number = ANY(%s)"
                await connection.execute(query, (list(unsent),))

        await self._database.transaction(work)

    async def is_to_be_taken_again(self, block: int, *, task: int, attempt: int) -> bool:
        """Whether a block that was taken away is to be claimed again by the same task, as no later one has it."""

        async def work(connection: Connection) -> bool:
            found = await connection.execute(
                "SELECT 1 FROM blocks WHERE id = %s AND is_open AND (task, attempt) = (%s, %s)", (block, task, attempt)
            )
            return await found.fetchone() is not None

        return await self._database.transaction(work)

    async def withdraw(self, run: int) -> bool:
        """Let no worker send a row of a run any more; return whether one may have some in flight."""

        async def work(connection: Connection) -> bool:
            gone = await connection.execute(
                "UPDATE blocks"
                " SET is_open = FALSE, epoch = epoch + 1, withdrawn_at = extract(epoch FROM clock_timestamp())"
                " WHERE job = %s AND run = %s AND is_open RETURNING worker != ''",
                (self._job, run),
            )
            return any(is_held for (is_held,) in await gone.fetchall())

        return await self._database.transaction(work)

    async def left(self, run: int) -> int:
        """How many blocks of a run are open."""

        async def work(connection: Connection) -> int:
            found = await connection.execute(
                "SELECT count(*) FROM blocks WHERE job = %s AND run = %s AND is_open", (self._job, run)
            )
            (left,) = await found.fetchone() or (0,)
            return int(left)

        return await self._database.transaction(work)

    async def counts(self) -> StateCounts:
        """How many rows of the job are in each state."""

        async def work(connection: Connection) -> StateCounts:
            found = await connection.execute("SELECT state, count(*) FROM rows GROUP BY state")
            return StateCounts(**{State(state): rows for state, rows in await found.fetchall()})

        return await self._database.transaction(work, answer=LONGEST)

    async def seen(self, worker: str, *, requests: int, accepted: int) -> None:
        """Give a sign of life of a worker, with what it has done for the job since the one before."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO workers (job, name, started_at, seen_at, requests, accepted) VALUES"
                " (%(job)s, %(name)s, extract(epoch FROM clock_timestamp()), extract(epoch FROM clock_timestamp()),"
                " %(requests)s, %(accepted)s) ON CONFLICT (job, name) DO UPDATE SET"
                " seen_at = excluded.seen_at, requests = workers.requests + excluded.requests,"
                " accepted = workers.accepted + excluded.accepted",
                {"job": self._job, "name": worker, "requests": requests, "accepted": accepted},
            )

        await self._database.transaction(work)


async def _longest_timeout(connection: Connection, job: int) -> float:
    """Seconds that a request for a row of a job may take."""
    query = SQL("SELECT coalesce(max((settings::json ->> 'timeout')::float8), 0) FROM {}.runs")
    found = await connection.execute(query.format(Identifier(schema_of(job))))
    (longest,) = await found.fetchone() or (0.0,)
    return float(longest)
