"""Recording outcomes in PostgreSQL: in order, in batches, under an epoch, and once."""

import asyncio

import psycopg
import pytest

from batch_alias.errors import LedgerError
from batch_alias.ledger.blocks import Blocks, open_blocks
from batch_alias.ledger.database import SHARED, Database, schema_of
from batch_alias.ledger.recorder import Recorder
from batch_alias.model import Outcome, State, StateCounts
from tests.ledger.conftest import queue_nothing
from tests.support.http import KEY
from tests.support.postgres import away, end_connections


@pytest.fixture
def ledger(staged_in_database):
    """A ledger with ten rows."""
    with staged_in_database(*range(2, 12)).opened() as ledger:
        ledger.begin_run("run", target="h", version="v", settings={})
        yield ledger


@pytest.fixture
def database(ledger) -> Database:
    return Database(ledger.url, schemas=f"{schema_of(ledger.job)},{SHARED}", patience=60)


def recorded(database: Database, run) -> Recorder:
    """Run a coroutine function with a recorder."""
    recorder = Recorder(database, run=1)

    async def do() -> None:
        async with recorder.recording():
            await run(recorder)

    asyncio.run(do())
    return recorder


def records(recorder: Recorder, outcome: Outcome) -> bool:
    """Record an outcome; whether that was possible."""
    try:
        recorder.record(outcome)
    except LedgerError:
        return False
    return True


async def written(ledger, **counts: int) -> None:
    while ledger.counts() != StateCounts(**counts):  # noqa: ASYNC110 - another connection writes it
        await asyncio.sleep(0.01)


def test_what_is_recorded_of_a_row_is_written_in_its_order(ledger, database, outcome):
    async def run(recorder: Recorder) -> None:
        for state in (State.UNKNOWN, State.FAILED, State.ACCEPTED, State.UNKNOWN):
            recorder.record(outcome(2, state))
            recorder.record_before(2, str(state))
        recorder.record_found(3, "one", 1.0)
        recorder.record_found(3, "two", 2.0)

    recorded(database, run)
    row, other = list(ledger.rows())[:2]
    assert (row.state, row.attempts, row.before) == (State.UNKNOWN, 4, State.UNKNOWN)
    assert (other.found, other.verified_at) == ("two", 2.0)


def test_it_is_written_soon_without_an_end(ledger, database, outcome):
    async def run(recorder: Recorder) -> None:
        recorder.record(outcome(2))
        async with asyncio.timeout(60):
            await written(ledger, pending=9, accepted=1)

    recorded(database, run)


def test_more_than_a_batch_is_written(ledger, database, outcome):
    async def run(recorder: Recorder) -> None:
        for _ in range(1500):
            recorder.record(outcome(2, State.UNKNOWN))

    recorded(database, run)
    assert next(ledger.rows()).attempts == 1500


def test_an_outcome_under_an_epoch_that_has_passed_is_dropped_unless_it_was_accepted(ledger, database, outcome):
    async def run(recorder: Recorder) -> None:
        blocks = Blocks(database, ledger.job)
        await blocks.create(1, "job", queue_nothing, sends_failed=False, limit=None)
        (block,) = [each.block for each in await open_blocks(database, KEY)]
        claims = [await blocks.claim(block, task=1, attempt=n, worker="w", mark=False) for n in (1, 2)]
        for number, claim in enumerate(claims, 2):
            held = (claim.block, claim.epoch)
            recorder.record(outcome(number, State.FAILED), held=held)
            recorder.record(outcome(number + 2, State.UNKNOWN), held=held)
            recorder.record(outcome(number + 4), held=held)
        recorder.record(outcome(8, State.FAILED), held=(0, 0))

    recorded(database, run)
    states = {row.number: row.state for row in ledger.rows() if row.state != State.PENDING}
    assert states == {3: State.FAILED, 5: State.UNKNOWN, 6: State.ACCEPTED, 7: State.ACCEPTED}


def test_what_ended_otherwise_meanwhile_stays(ledger, database, outcome):
    """A later job may supersede a row, and a worker that stood still may report it accepted, while it is under way."""

    async def run(recorder: Recorder) -> None:
        blocks = Blocks(database, ledger.job)
        await blocks.create(1, "job", queue_nothing, sends_failed=False, limit=None)
        (block,) = [each.block for each in await open_blocks(database, KEY)]
        claim = await blocks.claim(block, task=1, attempt=1, worker="w", mark=False)
        with psycopg.connect(ledger.url) as other:
            other.execute(f"UPDATE {schema_of(ledger.job)}.rows SET state = 'superseded' WHERE number = 2")
        recorder.record(outcome(3))
        for number in (2, 3, 4):
            recorder.record(outcome(number, State.UNKNOWN), held=(block, claim.epoch))

    recorded(database, run)
    assert [row.state for row in ledger.rows()][:3] == [State.SUPERSEDED, State.ACCEPTED, State.UNKNOWN]


def test_nothing_is_lost_or_written_twice_when_connections_are_lost(ledger, database, outcome, second):
    async def run(recorder: Recorder) -> None:
        for number in range(2, 12):
            recorder.record(outcome(number, attempts=1))
            recorder.record_metrics([second(at=number)], [], busiest=1)
            end_connections(ledger.url)
            await asyncio.sleep(0)
            if number % 3 == 0:
                await recorder.flush()

    recorded(database, run)
    assert [(row.state, row.attempts) for row in ledger.rows()] == [(State.ACCEPTED, 1)] * 10
    assert [each.at for each in ledger.seconds()] == list(range(2, 12))


def test_a_batch_that_was_committed_when_the_answer_was_lost_is_not_written_again(ledger, database, outcome):
    class Losing(Database):
        """Loses each connection after what was done is committed, before that is known."""

        async def transaction(self, work):
            await super().transaction(work)
            await self.close()
            return await super().transaction(work)

    async def run(recorder: Recorder) -> None:
        recorder.record(outcome(2, attempts=3))
        await recorder.flush()
        recorder.record(outcome(3, attempts=2))

    recorded(Losing(ledger.url, schemas=f"{schema_of(ledger.job)},{SHARED}"), run)
    assert [row.attempts for row in ledger.rows()][:3] == [3, 2, 0]


def test_a_batch_that_is_being_written_at_the_end_is_written_once(ledger, database, outcome):
    async def run(recorder: Recorder) -> None:
        recorder.record(outcome(2))
        with psycopg.connect(ledger.url) as other:
            other.execute(f"SELECT FROM {schema_of(ledger.job)}.rows WHERE number = 2 FOR UPDATE")
            query = "SELECT 1 FROM pg_locks WHERE NOT granted"
            async with asyncio.timeout(60):
                while not other.execute(query).fetchone():  # noqa: ASYNC110 - another connection waits for it
                    await asyncio.sleep(0.01)

    recorded(database, run)
    assert next(ledger.rows()).attempts == 1


def test_a_database_that_is_away_for_a_while_loses_nothing(ledger, database, outcome, postgres_server):
    async def run(recorder: Recorder) -> None:
        with away(postgres_server, ledger.url):
            for number in range(2, 12):
                recorder.record(outcome(number))
            writing = asyncio.create_task(recorder.flush())
            done, _ = await asyncio.wait([writing], timeout=0.1)
            assert not done
        await writing

    recorded(database, run)
    assert ledger.counts() == StateCounts(accepted=10)


def test_a_database_that_is_away_for_longer_than_the_patience_is_an_error_for_whoever_records(
    ledger, outcome, postgres_server
):
    impatient = Database(ledger.url, schemas=f"{schema_of(ledger.job)},{SHARED}", patience=0)

    async def run(recorder: Recorder) -> None:
        with away(postgres_server, ledger.url):
            recorder.record(outcome(2))
            with pytest.raises(LedgerError, match="cannot be used"):
                await recorder.flush()
            async with asyncio.timeout(60):
                while records(recorder, outcome(3)):  # noqa: ASYNC110 - it fails soon
                    await asyncio.sleep(0.01)

    recorded(impatient, run)
    assert ledger.counts().accepted >= 1
