"""Sending the rows of a job by several processes, on one machine or many: PostgreSQL holds the ledger and the quota."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from procrastinate.schema import SchemaManager

from batch_alias.ledger import Ledger, tables
from batch_alias.ledger.database import SHARED, Database, schema_of
from batch_alias.ledger.postgres import PostgresLedger
from batch_alias.rongcloud.client import Client
from batch_alias.sending import Observer, Service, Timing
from batch_alias.settings import Sending
from batch_alias.settings.target import Secret, Target, arguments_of
from batch_alias.text import _
from batch_alias.workers.session import Assignment, Session, assignment
from batch_alias.workers.shared_quota import SharedQuota
from batch_alias.workers.shared_run import SharedRun
from batch_alias.workers.worker import Worker

__all__ = ["initialize", "shared_quota", "shared_run", "work_until"]


def initialize(url: str) -> bool:
    """Make the tables in a database that jobs and workers need; return whether they were missing.

    Raises:
        LedgerError: The database cannot be used, or has tables of another version.
    """
    return tables.initialize(url, SchemaManager.get_schema())


def shared_quota(url: str, target: Target, rate: int) -> SharedQuota:
    """The quota of an app, for requests that are about no block."""
    return SharedQuota(url, target.key_hash, rate)


def worker_name() -> str:
    """What this process is called in a ledger."""
    return f"{socket.gethostname()}:{os.getpid()}"


def shared_run(
    ledger: Ledger,
    client: Client,
    *,
    sending: Sending,
    timing: Timing,
    observer: Observer,
    sends_failed: bool,
) -> SharedRun:
    """The sending of a job's rows by this process and all others that help; see ``SharedRun``."""
    job = cast("PostgresLedger", ledger)
    target = client.target

    def service(assigned: Assignment) -> Service:
        return client if assigned.job == job.job else _client(assigned, target.app_key, target.app_secret, timing)

    return SharedRun(
        Database(job.database, schemas=f"{schema_of(job.job)},{SHARED}"),
        Worker(
            job.database,
            queue=target.key_hash,
            name=worker_name(),
            opened=_opener(job.database, target.key_hash, service, timing, observer),
            timing=timing,
        ),
        job=job.job,
        run=lambda: job.run,
        name=job.name,
        queue=target.key_hash,
        counts=job.counts(),
        sends_failed=sends_failed,
        limit=sending.limit,
    )


async def work_until(
    url: str,
    app_key: str,
    app_secret: Secret,
    *,
    observer: Observer,
    say: Callable[[str], None] = lambda _line: None,
    until_idle: bool = False,
    timing: Timing | None = None,
) -> None:
    """Help to send the rows of an app's jobs until SIGINT or SIGTERM, or until no rows are left.

    Raises:
        UsageError: The App Key or the secret is missing.
        StoppedByService: Further requests would be refused as well, or the patience is used up.
        LedgerError: The database cannot be used.
    """
    timing = timing or Timing()
    queue = Target(url="http://localhost", app_key=app_key, app_secret=app_secret).key_hash
    await asyncio.to_thread(lambda: tables.connect(url).close())  # says what is wrong with it in a sentence

    def service(assigned: Assignment) -> Service:
        say(_("Sending rows of the job {name}.", name=assigned.name))
        return _client(assigned, app_key, app_secret, timing)

    working = Worker(
        url,
        queue=queue,
        name=worker_name(),
        opened=_opener(url, queue, service, timing, observer),
        timing=timing,
        rests=True,
        until_idle=until_idle,
    )
    say(_("Waiting for rows to send, as {name}.", name=working.name))

    def interrupted() -> None:
        if working.was_stopped:
            working.abort()
        else:
            working.stop()
            say(_("Stopping: the requests in flight may end. Once more ends at once."))

    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted)
    await working.run()


def _client(assigned: Assignment, app_key: str, app_secret: Secret, timing: Timing) -> Client:
    return Client(
        Target(**arguments_of(assigned.address), app_key=app_key, app_secret=app_secret),
        timeout=assigned.sending.timeout,
        first_timeout=timing.first_timeout,
        switch_interval=timing.switch_interval,
    )


def _opener(
    url: str, app_key: str, service: Callable[[Assignment], Service], timing: Timing, observer: Observer
) -> Callable[[int, int, str], Awaitable[Session]]:
    async def opened(_job: int, run: int, name: str) -> Session:
        assigned = await asyncio.to_thread(assignment, url, name, run=run, app_key=app_key)
        return Session(url, assigned, service=service(assigned), timing=timing, observer=observer)

    return opened
