"""Jobs of one App Key at once: one sends, and the others wait for it."""

import asyncio
import os
import pwd
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from batch_alias import LedgerError, Target, run_job
from batch_alias.errors import ExitCode
from batch_alias.ledger import RunRecord
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import EventKind
from batch_alias.quota import STATE_DIR, AppLock
from batch_alias.sandbox.faults import REFUSAL
from batch_alias.sending import ignore
from batch_alias.settings import Comparing, Sending, Settings
from tests.conftest import FAST
from tests.support.faults import While

WAITING = "waiting for it"


@pytest.fixture
def locked(settings_for) -> Callable:
    """Hold the lock of a sandbox's App Key, as another job would, for the length of a block."""

    @contextmanager
    def hold(served) -> Iterator[None]:
        held = AppLock(settings_for(None, served)).held("run", ignore)
        with asyncio.Runner() as runner:
            runner.run(held.__aenter__())
            yield
            runner.run(held.__aexit__(None, None, None))

    return hold


def runs(folder: Path) -> list[RunRecord]:
    with SqliteReader(folder) as ledger:
        return ledger.runs()


def test_the_second_job_says_for_which_one_it_waits_and_then_sends(
    run, command, sandbox, settings_for, write_csv, tmp_path
):
    waits = threading.Event()
    served, second = sandbox(While(lambda: not waits.is_set(), REFUSAL)), []
    source = write_csv(5, "second.csv")

    def wait_for(_job):
        waiting = command("run", source, "--job", "second", to=served)
        try:
            waiting.read_until(WAITING)
            assert not runs(tmp_path / "second")
        finally:
            waits.set()
        second.append(waiting.end())

    first = settings_for(write_csv(5), served, job=tmp_path / "first")
    assert run(first, beside=wait_for).exit_code == ExitCode.DONE
    (ended,) = second
    assert ended.code == ExitCode.DONE, ended.err
    said = f"The job {first.job} is sending for this App Key (pid {os.getpid()}); {WAITING}."
    assert ended.err.count(said) == ended.err.count(WAITING) == 1
    # The rate holds for the seconds in which one of them ends and the other one begins.
    assert runs(tmp_path / "second")[0].started_at - runs(tmp_path / "first")[0].ended_at >= 1
    for file in Path(os.environ[STATE_DIR]).iterdir():
        assert served.app_key not in file.name + file.read_text(encoding="utf-8")


def test_a_job_that_is_killed_is_not_waited_for(run, command, sandbox, settings_for, write_csv, until, tmp_path):
    killed = threading.Event()
    served = sandbox(While(lambda: not killed.is_set(), REFUSAL))
    sending = command("run", write_csv(5, "first.csv"), "--job", "first", to=served)
    until(lambda: served.stats().requests, sending)

    def kill(_job, event):
        if event.kind == EventKind.WAITING:
            sending.signal(signal.SIGKILL)
            killed.set()

    assert run(settings_for(write_csv(5), served), observer=kill).exit_code == ExitCode.DONE
    assert killed.is_set()
    assert sending.end().code == -signal.SIGKILL


def test_no_command_waits_if_it_is_not_to(batch_alias, locked, sandbox, write_csv):
    served, source = sandbox(), write_csv(20)
    begun = batch_alias("run", source, "--job", "begun", "--compare", "--limit", "10", "--yes", to=served)
    assert begun.code == ExitCode.NOT_ALL_ACCEPTED, begun.err
    requests = served.stats().requests
    commands = [
        ("run", source, "--job", "new", "--yes"),
        ("plan", source, "--job", "new"),
        ("check", source, "--members"),
        ("retry", "begun", "--yes"),
        ("verify", "begun"),
        ("undo", "begun", "--yes"),
    ]
    with locked(served):
        for given in commands:
            ended = batch_alias(*given, "--no-wait", to=served)
            assert ended.code == ExitCode.LEDGER, (given, ended.err)
            assert f"is sending for this App Key (pid {os.getpid()})" in ended.err
            assert "--no-wait" in ended.err
    assert served.stats().requests == requests


@pytest.mark.parametrize(
    ("number", "given"), [(signal.SIGTERM, ("run", "--job", "job")), (signal.SIGINT, ("check", "--members"))]
)
def test_a_signal_ends_the_waiting(number, given, command, locked, sandbox, write_csv):
    served = sandbox()
    name, *flags = given
    with locked(served):
        waiting = command(name, write_csv(20), *flags, to=served)
        waiting.read_until(WAITING)
        waiting.signal(number)
        ended = waiting.end()
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    assert "Traceback" not in ended.err
    assert served.stats().requests == 0


def test_a_job_with_nothing_to_send_does_not_wait(run, locked, sandbox, settings_for, write_csv):
    served = sandbox()
    settings = settings_for(write_csv(5), served, no_wait=True)
    assert run(settings).exit_code == ExitCode.DONE
    with locked(served):
        assert run(settings).exit_code == ExitCode.DONE


def test_a_job_of_another_app_does_not_wait(run, locked, sandbox, settings_for, write_csv):
    with locked(sandbox()):
        assert run(settings_for(write_csv(5), sandbox(), no_wait=True)).exit_code == ExitCode.DONE


def test_jobs_on_sandboxes_of_their_own_do_not_wait(write_csv, tmp_path):
    one = Settings(source=write_csv(5), target=Target(sandbox=True), sending=Sending(no_wait=True))

    async def both():
        return await asyncio.gather(*(run_job(replace(one, job=tmp_path / name)) for name in ("a", "b")))

    assert [summary.exit_code for summary in asyncio.run(both())] == [ExitCode.DONE, ExitCode.DONE]


@pytest.mark.parametrize("folder", ["rows.csv/state", "no home"])
def test_where_nothing_can_be_locked_it_is_said_once_and_the_job_is_sent(
    folder, batch_alias, sandbox, write_csv, tmp_path, monkeypatch
):
    served, source = sandbox(), write_csv(5)
    no_home = {STATE_DIR: "", "HOME": "", "XDG_STATE_HOME": ""}
    variables = no_home if folder == "no home" else {STATE_DIR: str(tmp_path / folder)}
    # A user without an entry in the list of users, as in some containers.
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    ended = batch_alias("run", source, "--members", "warn", "--yes", to=served, **variables)
    assert ended.code == ExitCode.DONE, ended.err
    assert ended.err.count("Nothing can be locked") == 1, ended.err
    assert served.stats().sets == 5


def test_no_other_job_sends_between_a_plan_and_what_is_sent_by_it(sandbox, settings_for, write_csv, until, tmp_path):
    waits = threading.Event()
    served, events = sandbox(While(lambda: not waits.is_set(), REFUSAL)), []
    first = settings_for(write_csv(5), served, comparing=Comparing(max_changes=0.5), job=tmp_path / "first")
    second = settings_for(write_csv(5, "second.csv"), served, job=tmp_path / "second")

    def observe(event):
        events.append(event.kind)
        waits.set()

    async def both() -> None:
        planning = asyncio.create_task(run_job(first, timing=FAST))
        await asyncio.to_thread(until, lambda: served.stats().requests)
        await asyncio.gather(planning, run_job(second, observer=observe))

    asyncio.run(both())
    assert [run.command for run in runs(first.job_folder)] == ["plan", "run"]
    assert events == [EventKind.WAITING]
    assert runs(first.job_folder)[-1].ended_at <= runs(second.job_folder)[0].started_at


def test_a_program_is_told_by_an_error_that_it_would_have_to_wait(locked, sandbox, settings_for, write_csv):
    served = sandbox()
    with locked(served), pytest.raises(LedgerError, match="is sending for this App Key"):
        asyncio.run(run_job(settings_for(write_csv(5), served, no_wait=True)))
    assert served.stats().requests == 0
