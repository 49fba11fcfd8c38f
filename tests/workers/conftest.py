from importlib.resources import files

import psycopg
import pytest


@pytest.fixture
def shared(database) -> str:
    """The URL of a database with the tables that jobs share."""
    with psycopg.connect(database) as connection:
        connection.execute((files("batch_alias.ledger") / "postgres.sql").read_text("utf-8"))
    return database


@pytest.fixture
def query(shared):
    """Execute a statement in that database; the rows of its result."""
    with psycopg.connect(shared, autocommit=True, options="-c search_path=batch_alias") as connection:

        def execute(statement: str, *values: object) -> list[tuple]:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        yield execute


@pytest.fixture
def job(query) -> int:
    """The number of a job."""
    return query("INSERT INTO jobs (name, app_key) VALUES ('rows', 'app') RETURNING id")[0][0]
