"""A ledger in PostgreSQL: how it is made, found, locked and replaced, and what is said when that is not possible."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from batch_alias.errors import LedgerError
from batch_alias.ledger import Place
from batch_alias.ledger.database import SHARED, Database, schema_of
from batch_alias.ledger.tables import connect
from batch_alias.ledger.writer import NOT_A_MEMBER
from batch_alias.model import State
from batch_alias.workers import initialize
from batch_alias.workers.queue import task_app
from tests.ledger.conftest import pending, record, recorded
from tests.support.postgres import end_connections

NAMES = ["job", "two words", 'it\'s "quoted"', "名字🐉", "a.b", "%s", "x" * 200]


@pytest.mark.parametrize("name", NAMES)
def test_a_job_may_have_any_name(name, staged_in_database, tables, tmp_path):
    staged_in_database(2, name=name)
    place = Place(tmp_path / f"{name}.aliases", tables)
    assert place.name == name
    assert place.exists
    with place.opened() as ledger:
        assert ledger.counts().pending == 1
        with place.read() as reader:
            assert (reader.name, reader.is_run()) == (name, True)
    with place.read() as reader:
        assert not reader.is_run()


def test_a_null_character_of_a_rejected_row_is_shown_by_its_symbol(staged_in_database):
    nul = {"number": 3, "user_id": "a\0b", "remark": "\0", "cells": '["a\0b"]', "reason": "control-character-in-id"}
    with staged_in_database(2, nul).read() as ledger:
        _, row = ledger.rows()
    assert (row.user_id, row.remark, row.cells, row.state) == ("a␀b", "␀", '["a␀b"]', State.REJECTED)


def test_jobs_do_not_see_each_other(staged_in_database):
    one, two = staged_in_database(2, name="one"), staged_in_database(2, 3, name="two")
    with one.opened() as first, two.opened() as second:
        first.set_meta("target", "there")
        assert second.meta("target") is None
        assert (first.counts().rows, second.counts().rows) == (1, 2)


def test_what_was_staged_again_replaces_a_job_and_leaves_nothing_of_it(staged_in_database):
    with staged_in_database(2, 3).opened() as ledger:
        ledger.set_meta("target", "there")
        ledger.begin_run("plan", target="h", version="v", settings={})
        recorded(ledger, lambda: ledger.record_before(2, "old"))
    with staged_in_database(2, 3, 4).read() as ledger:
        assert (ledger.counts().rows, ledger.meta("target"), ledger.runs()) == (3, None, [])
        assert {row.before for row in ledger.rows()} == {None}
        assert schemas(ledger.url) == [schema_of(ledger.job)]


def schemas(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'batch\_alias\_job\_%'"
        return [name for (name,) in connection.execute(query)]


def test_what_was_read_for_a_job_that_compares_is_kept_when_it_is_staged_again(staged_in_database):
    with staged_in_database(2, 3, 4).opened() as ledger:
        for fact in ("target", "address", "only_absent", "other"):
            ledger.set_meta(fact, fact)
        recorded(ledger, lambda: ledger.record_before(2, "old"), lambda: ledger.record_before(3, ""))
    changed = [
        {"number": 2, "user_id": "u3"},
        {"number": 3, "user_id": "u2", "reason": "bad"},
        {"number": 4, "user_id": "u9"},
    ]
    with staged_in_database(*changed).read() as ledger:
        assert [row.before for row in ledger.rows()] == ["", None, None]
        facts = [ledger.meta(fact) for fact in ("target", "address", "only_absent", "compare", "other")]
        assert facts == ["target", "address", "only_absent", None, None]


@pytest.mark.parametrize("how", ["accepted", "killed"])
def test_a_job_that_was_sent_since_it_was_looked_at_is_not_replaced(how, staged_in_database, outcome):
    place = staged_in_database(2, 3)
    with place.opened() as ledger:
        ledger.begin_run("run", target="h", version="v", settings={})
        if how == "accepted":
            record(ledger, outcome(2))
            ledger.end_run(exit_code=1, host_switches=0)
    with pytest.raises(LedgerError, match="sent by another process"):
        staged_in_database(2, 3, 4)
    with place.read() as ledger:
        assert (ledger.counts().rows, ledger.was_run()) == (2, True)


def test_a_job_that_is_locked_is_neither_opened_nor_replaced(staged_in_database):
    place = staged_in_database(2)
    with place.opened():
        for act in (lambda: place.opened().__enter__(), lambda: staged_in_database(2, 3)):
            with pytest.raises(LedgerError, match="The job job is locked by another run"):
                act()
    with place.opened() as ledger:
        assert ledger.counts().rows == 1


def test_a_ledger_whose_connection_was_lost_goes_on(staged_in_database, outcome):
    with staged_in_database(2, 3).opened() as ledger:
        for use in (lambda: ledger.set_meta("a", "b"), ledger.counts, lambda: list(ledger.rows()), ledger.runs):
            end_connections(ledger.url)
            use()
        assert ledger.meta("a") == "b"
        end_connections(ledger.url)
        record(ledger, outcome(2))
        assert ledger.counts().accepted == 1


def test_a_ledger_whose_connection_was_lost_writes_nothing_while_another_process_has_the_job(staged_in_database, until):
    place = staged_in_database(2)
    with place.opened() as ledger:
        end_connections(ledger.url)
        with place.opened() as other:
            writing = threading.Thread(target=ledger.set_meta, args=("by", "first"))
            writing.start()
            until(lambda: tries(other.url))
            other.set_meta("by", "other")
        writing.join(60)
        assert ledger.meta("by") == "first"


def tries(url: str) -> bool:
    """Whether another connection has asked for the lock of a job."""
    with psycopg.connect(url) as connection:
        query = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s AND pid NOT IN"
            " (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
        )
        return connection.execute(query, ("SELECT pg_try_advisory_lock%",)).fetchone() is not None


def test_what_was_begun_on_a_connection_that_was_lost_is_not_gone_on_with(staged_in_database):
    place = staged_in_database({"number": 2, "group_id": "g"})
    with place.opened() as ledger:
        ledger.keep_members("warn")
        ledger.select_groups()
        end_connections(ledger.url)
        with pytest.raises(LedgerError, match="cannot be used"):
            ledger.record_members("g", {"other"})
        with pytest.raises(LedgerError, match="cannot be used"):
            pending(ledger)
    with place.opened() as ledger:
        ledger.keep_members("warn")
        assert ledger.select_groups() == 1
        ledger.record_members("g", {"other"})
        ledger.end_groups(reject=False)
        assert [row.warning for row in ledger.rows()] == [NOT_A_MEMBER]


LIMIT = "idle_in_transaction_session_timeout"


def test_a_process_that_stands_still_in_a_transaction_does_not_hold_its_locks_for_long(tables):
    """Otherwise a worker that is cut off from the database may stop all others."""

    async def of_database() -> str:
        async def work(connection) -> str:
            return (await (await connection.execute(f"SHOW {LIMIT}")).fetchone())[0]

        database = Database(tables)
        try:
            return await database.transaction(work)
        finally:
            await database.close()

    async def of_queue() -> str:
        async with task_app(tables).open_async() as app:
            return (await app.connector.execute_query_one_async(f"SHOW {LIMIT}"))[LIMIT]

    with connect(tables) as connection:
        assert connection.execute(f"SHOW {LIMIT}").fetchone() == ("10s",)
    assert asyncio.run(of_database()) == asyncio.run(of_queue()) == "10s"


def test_a_transaction_that_was_ended_since_its_process_stood_still_is_done_again(tables):
    done = []

    async def work(connection) -> None:
        done.append(len(done))
        if len(done) == 1:
            await connection.execute(f"SET LOCAL {LIMIT} = 10")
            while True:
                await asyncio.sleep(0.1)
                await connection.execute("SELECT 1")

    async def main() -> None:
        database = Database(tables)
        await database.transaction(work)
        await database.close()

    asyncio.run(main())
    assert done == [0, 1]


def test_a_job_that_is_deleted_while_it_is_open_is_an_error(staged_in_database, outcome):
    with staged_in_database(2).opened() as ledger:
        with psycopg.connect(ledger.url) as connection:
            connection.execute(f"DROP SCHEMA {schema_of(ledger.job)} CASCADE")
        for use in (ledger.counts, lambda: list(ledger.rows()), lambda: record(ledger, outcome(2))):
            assert "does not exist" in refused(use)


def test_a_long_answer_can_be_read_while_other_queries_are_made(staged_in_database, outcome):
    with staged_in_database(*range(2, 3002)).opened() as ledger:
        rows, others = ledger.rows(), ledger.rows()
        assert next(rows).number == next(others).number == 2
        record(ledger, outcome(3000))
        assert ledger.counts().accepted == 1
        assert sum(1 for _ in rows) == 2999
        others.close()


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_CN"])
def test_the_encoding_of_the_environment_does_not_matter(encoding, staged_in_database, outcome, monkeypatch):
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    with staged_in_database({"number": 2, "remark": "王🐉é"}).opened() as ledger:
        record(ledger, outcome(2, message="ę🐉"))
        assert [(row.remark, row.message) for row in ledger.rows()] == [("王🐉é", "ę🐉")]


def refused(act: Callable[[], object]) -> str:
    """The one line and the advice with which something is refused."""
    with pytest.raises(LedgerError) as raised:
        act()
    assert raised.value.advice
    assert "\n" not in str(raised.value)
    return str(raised.value)


def uses(url: str, folder: Path) -> list[Callable[[], object]]:
    """All that first connects to a database."""
    place = Place(folder / "job.aliases", url)
    return [lambda: place.exists, place.read, lambda: place.opened().__enter__()]


def test_a_server_that_is_not_there_is_an_error(tmp_path, free_port):
    url = f"postgresql://me@127.0.0.1:{free_port()}/db"
    for use in [*uses(url, tmp_path), lambda: initialize(url)]:
        assert "The database cannot be used: " in refused(use)
        assert "Check --ledger, and PGPASSWORD" in refused(use)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://127.0.0.1:port/db",
        "postgresql://h/db?unknown=1",
        "postgresql://h/db?sslmode=perhaps",
        "PostgreSQL://h",
    ],
)
def test_a_url_that_is_none_is_an_error(url, tmp_path):
    for use in [*uses(url, tmp_path), lambda: initialize(url)]:
        assert "The database cannot be used: " in refused(use)


def test_a_database_that_is_not_there_is_an_error(tables, tmp_path):
    url = urlunsplit(urlsplit(tables)._replace(path="/nowhere"))
    for use in [*uses(url, tmp_path), lambda: initialize(url)]:
        assert '"nowhere" does not exist' in refused(use)


def test_an_unknown_job_is_an_error_that_names_those_there_are(staged_in_database, tables, tmp_path):
    place = Place(tmp_path / "no.aliases", tables)
    assert not place.exists
    for use in (place.read, lambda: place.opened().__enter__()):
        assert "no job no in the database. There is none in it yet." in refused(use)
    staged_in_database(2, name="one")
    staged_in_database(2, name="two")
    for use in (place.read, lambda: place.opened().__enter__()):
        assert "Those in it are: 'one', 'two'." in refused(use)


class TestOfANewDatabase:
    def test_the_tables_are_made_once(self, database):
        assert initialize(database)
        assert not initialize(database)

    def test_two_that_make_them_at_once_both_succeed(self, database):
        made: list[bool] = []
        several = [threading.Thread(target=lambda: made.append(initialize(database))) for _ in range(2)]
        for each in several:
            each.start()
        for each in several:
            each.join(60)
        assert sorted(made) == [False, True]

    def test_one_without_tables_is_an_error_with_the_command_that_makes_them(self, database, tmp_path, staged):
        folder = staged(2)
        place = Place(tmp_path / "job.aliases", database)
        for use in [*uses(database, tmp_path), lambda: place.fill(folder, "key")]:
            assert "no tables of batch-alias. Make them with: batch-alias ledger init" in refused(use)

    def test_one_with_a_schema_of_that_name_is_left_alone(self, database):
        with psycopg.connect(database) as connection:
            connection.execute(f"CREATE SCHEMA {SHARED}")
        assert "a schema batch_alias already" in refused(lambda: initialize(database))

    def test_tables_of_another_format_are_an_error(self, database, tmp_path, staged):
        initialize(database)
        with psycopg.connect(database) as connection:
            connection.execute(f"UPDATE {SHARED}.format SET version = 99")
        for use in [*uses(database, tmp_path), lambda: initialize(database)]:
            assert "are of format 99" in refused(use)

    def test_one_that_does_not_store_every_character_is_an_error(self, postgres_server, database):
        name = "latin-" + urlsplit(database).path[1:]
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(
                f"CREATE DATABASE \"{name}\" ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
            )
            try:
                url = urlunsplit(urlsplit(database)._replace(path=f"/{name}"))
                assert "stores text as LATIN1" in refused(lambda: initialize(url))
            finally:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def test_a_user_without_permission_gets_an_error(self, database, tmp_path, staged, monkeypatch):
        user = f"user_{os.getpid()}"
        parts = urlsplit(database)
        url = urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))
        folder = staged(2)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'theirs'")
            monkeypatch.setenv("PGPASSWORD", "theirs")
            try:
                assert "permission denied" in refused(lambda: initialize(url))
                initialize(database)
                for use in uses(url, tmp_path):
                    assert "permission denied" in refused(use)
                connection.execute(f"GRANT USAGE ON SCHEMA {SHARED} TO {user}")
                connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {SHARED} TO {user}")
                place = Place(tmp_path / "job.aliases", url)
                assert not place.exists
                assert "permission denied" in refused(lambda: place.fill(folder, "key"))
            finally:
                connection.execute(f"DROP OWNED BY {user}")
                connection.execute(f"DROP ROLE {user}")

    def test_one_that_is_read_only_is_an_error(self, database, tmp_path, staged):
        initialize(database)
        Place(tmp_path / "job.aliases", database).fill(staged(2), "key")
        with psycopg.connect(database, autocommit=True) as connection:
            name = urlsplit(database).path[1:]
            connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        with Place(tmp_path / "job.aliases", database).opened() as ledger:
            assert ledger.counts().pending == 1
            assert "read-only" in refused(lambda: ledger.set_meta("a", "b"))
