"""Whole jobs run by a program that uses the library: it observes them, and cancels them."""

import asyncio
import io
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from batch_alias import run_job
from batch_alias.errors import ExitCode
from batch_alias.ledger import locked
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.sandbox import Faults
from batch_alias.sandbox.faults import UNAVAILABLE
from tests.support.faults import Script
from tests.support.processes import DEADLINE


def test_an_observer_is_called_with_each_event(sandbox, settings_for, write_csv):
    served = sandbox(Script(lambda number: UNAVAILABLE if number < 2 else None))
    events = []
    asyncio.run(run_job(settings_for(write_csv(5), served), observer=events.append))
    assert [event.kind.value for event in events] == ["outage-began", "outage-ended"]


def test_cancelled_while_the_source_is_staged_it_stops_and_leaves_nothing(settings_for, sandbox, write_csv):
    settings = settings_for(None, sandbox())
    job, reading, go_on = settings.job_folder, threading.Event(), threading.Event()

    class Held(io.FileIO):
        """A file that is not read on while rows are staged, until it may be."""

        def read(self, size: int = -1) -> bytes:
            if (job / "ledger.new").exists():
                reading.set()
                go_on.wait(DEADLINE)
            return super().read(size)

    class Source(type(Path())):
        def open(self, *_arguments, **_more) -> Held:
            return Held(self)

    async def cancel_when_staging_begins() -> None:
        source = Source(write_csv(20_000))
        running = asyncio.create_task(run_job(replace(settings, source=source)))
        assert await asyncio.to_thread(reading.wait, DEADLINE)
        running.cancel()
        await asyncio.sleep(0)  # now it knows
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not job.exists()
        with locked(job):
            pass

    asyncio.run(cancel_when_staging_begins())


def test_a_run_that_is_cancelled_while_it_sends_has_an_end(sandbox, settings_for, write_csv, until):
    served = sandbox(Faults(latency=0.1))
    settings = settings_for(write_csv(3000), served, rate=100)

    async def cancel_when_sending() -> None:
        running = asyncio.create_task(run_job(settings))
        await asyncio.to_thread(until, lambda: served.stats().sets >= 5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel_when_sending())
    with SqliteReader(settings.job_folder) as ledger:
        (run,) = ledger.runs()
    assert run.exit_code == ExitCode.INTERRUPTED
    assert run.ended_at is not None


def test_a_run_that_is_cancelled_while_it_writes_reports_waits_for_them(sandbox, settings_for, write_csv, until):
    settings = settings_for(write_csv(5), sandbox())

    async def cancel_when_reporting() -> None:
        running = asyncio.create_task(run_job(settings))
        await asyncio.to_thread(until, lambda: (settings.job_folder / "summary.json").exists())
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (settings.job_folder / "report.html").exists()

    asyncio.run(cancel_when_reporting())
