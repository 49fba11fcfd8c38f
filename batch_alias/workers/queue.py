"""Blocks of rows as tasks in a queue of procrastinate, one queue for each app."""

from collections.abc import Sequence
from datetime import datetime

from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Job as Task

from batch_alias.ledger.blocks import BlockOfRun
from batch_alias.ledger.database import SHARED, Connection, conninfo

TASK = "batch_alias.send_block"
"""The name of the task of sending a block."""


def task_app(url: str) -> App:
    """procrastinate on a database."""
    return App(connector=PsycopgConnector(conninfo=conninfo(url, SHARED), min_size=1, max_size=4))


async def queue_blocks(
    app: App, connection: Connection, queue: str, blocks: Sequence[BlockOfRun], *, wait: float
) -> None:
    """Queue the blocks of a run of a job in a transaction, for no earlier than in so many seconds.

    Of two jobs, the one of which fewer blocks have been begun goes first.
    """
    at = None
    if wait:  # by the clock of the database: it is compared with that
        found = await connection.execute("SELECT clock_timestamp() + make_interval(secs => %s)", (wait,))
        (at,) = await found.fetchone() or (None,)
    tasks = [task_of(queue, block, priority=-place, at=at) for place, block in enumerate(blocks)]
    if tasks:
        await app.job_manager.batch_defer_jobs_async(tasks, connection=connection)


def task_of(queue: str, block: BlockOfRun, *, priority: int = 0, at: datetime | None = None) -> Task:
    """The task of sending a block."""
    return Task(
        queue=queue,
        lock=None,
        queueing_lock=block_lock(block.block),
        task_name=TASK,
        task_kwargs={"job": block.job, "run": block.run, "name": block.name, "block": block.block},
        priority=priority,
        scheduled_at=at,
    )


def block_lock(block: int) -> str:
    """The lock of a block in the queue: it is in it once."""
    return f"block {block}"
