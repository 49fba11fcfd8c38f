"""The library does what the command line does, and returns what it found."""

import asyncio
import io
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import batch_alias
from batch_alias import (
    LedgerError,
    Reading,
    Secret,
    Settings,
    SourceError,
    Target,
    UsageError,
    check_source,
    run_job,
    write_job_reports,
)
from batch_alias.errors import ExitCode
from batch_alias.ledger import LedgerReader, locked
from batch_alias.sandbox import Faults
from batch_alias.sandbox.faults import UNAVAILABLE
from tests.support.faults import Script
from tests.support.processes import DEADLINE, run_python

ON_THE_SANDBOX = Target(sandbox=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "names.csv"
    rows = [f"u{n},g,name {n}" for n in range(20)]
    path.write_text("\n".join(["who,groupId,remark", *rows, "u3,g,later"]) + "\n", encoding="utf-8")
    return Settings(source=path, job=tmp_path / "job", target=ON_THE_SANDBOX, reading=Reading(user_column="who"))


def test_a_job_is_run_on_the_sandbox_and_summed_up(settings):
    summary = asyncio.run(run_job(settings))
    states = {state: number for state, number in summary.states.items() if number}
    assert states == {"superseded": 1, "accepted": 20}
    assert (summary.exit_code, summary.stopped, summary.rows) == (0, "", 21)
    assert summary.busiest_second <= 100
    (settings.job_folder / "results.csv").unlink()
    assert write_job_reports(settings.job_folder).states == summary.states
    assert (settings.job_folder / "results.csv").is_file()


def test_a_source_is_checked_and_nothing_is_left_behind(settings):
    found = asyncio.run(check_source(settings))
    assert (found.counts.pending, found.counts.superseded, found.users, found.groups) == (20, 1, 20, 1)
    assert found.exit_code == 0
    assert not settings.job_folder.exists()


def test_what_cannot_be_done_is_an_exception(settings, tmp_path):
    with pytest.raises(UsageError):
        asyncio.run(run_job(Settings(source=settings.source)))
    with pytest.raises(SourceError):
        asyncio.run(check_source(Settings(source=tmp_path / "missing.csv")))
    with pytest.raises(LedgerError):
        asyncio.run(run_job(Settings(job=tmp_path / "missing", target=ON_THE_SANDBOX)))


def test_an_observer_is_called_with_each_event(sandbox, settings_for, write_csv):
    served = sandbox(Script(lambda number: UNAVAILABLE if number < 2 else None))
    events = []
    asyncio.run(run_job(settings_for(write_csv(5), served), observer=events.append))
    assert [event.kind.value for event in events] == ["outage-began", "outage-ended"]


def test_every_public_name_can_be_imported():
    for name in batch_alias.__all__:
        assert getattr(batch_alias, name)
    with pytest.raises(AttributeError, match="nonsense"):
        batch_alias.nonsense  # noqa: B018 - looking it up is what is tested


def test_every_error_is_public():
    from batch_alias import errors

    raised = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert raised <= set(batch_alias.__all__)


@pytest.mark.slow
def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, batch_alias; batch_alias.Settings; print({'pandas', 'httpx', 'h11', 'click'} & set(sys.modules))"
    )
    assert run_python(code) == (0, "set()\n", "")


def test_the_secret_is_not_shown(settings_for, sandbox):
    served = sandbox()
    settings = settings_for(Path("rows.csv"), served)
    assert isinstance(settings.target.app_secret, Secret)
    assert served.app_secret.reveal() not in f"{settings!r} {settings}"


def test_cancelled_while_the_source_is_staged_it_stops_and_leaves_nothing(settings, write_csv):
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
        running = asyncio.create_task(run_job(replace(settings, source=source, reading=Reading())))
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
    with LedgerReader(settings.job_folder) as ledger:
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


def test_a_client_that_cannot_be_made_is_an_error_before_anything_is_staged(
    sandbox, settings_for, write_csv, target_of
):
    served = sandbox()
    settings = settings_for(write_csv(5), served, target=target_of(served, ca_bundle=Path("missing.pem")))
    with pytest.raises(UsageError, match=r"missing\.pem"):
        asyncio.run(run_job(settings))
    assert not settings.job_folder.exists()
