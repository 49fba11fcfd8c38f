"""Ctrl-C and SIGTERM: asked once it ends in order, asked twice it ends at once."""

import signal
import time

import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox.faults import Faults, Trouble

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
AT_ONCE = 3.0
"""Seconds in which a process that does not wait for any answer is gone, on a busy machine too."""
HANGING = Faults(shares={Trouble.HANG_AFTER: 1.0})
DOCKER_STOP = 10.0
"""Seconds from docker's SIGTERM to its SIGKILL."""


@BOTH
def test_asked_once_those_in_flight_finish_and_the_reports_are_written(
    number, command, sandbox, write_csv, accounts, until
):
    running = sandbox(Faults(latency=0.4))
    started = command("run", write_csv(3000), "--job", "job", to=running)
    until(lambda: running.stats().in_flight >= 20, started)
    started.signal(number)
    ended = started.end()
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    found, stats = accounts(), running.stats()
    assert found.states[State.ACCEPTED] == stats.sets == stats.requests
    assert found.states[State.PENDING] == 3000 - stats.requests
    assert found.summary["exit_code"] == ExitCode.INTERRUPTED
    assert "batch-alias run" in ended.err
    assert "Traceback" not in ended.err


def test_asked_twice_it_is_out_at_once_and_the_ledger_is_whole(command, sandbox, write_csv, accounts, until):
    running = sandbox()
    begin = ["run", write_csv(300), "--job", "job", "--rate", 500]
    started = command(*begin, to=running)
    until(lambda: running.stats().requests >= 20, started)
    running.faults = HANGING
    until(lambda: running.stats().in_flight >= 20, started)
    asked = time.monotonic()
    started.signal(signal.SIGTERM)
    started.read_until("Once more ends at once")
    started.signal(signal.SIGINT)
    ended = started.end()
    assert time.monotonic() - asked < AT_ONCE
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    assert "Traceback" not in ended.err
    running.faults = Faults()
    assert command(*begin, to=running).end().code == ExitCode.DONE
    assert accounts().states == {State.ACCEPTED: 300}
    assert running.aliases() == accounts().accepted


def test_docker_stop_finds_it_gone_within_its_ten_seconds_even_when_nothing_answers(
    command, sandbox, write_csv, accounts, until
):
    running = sandbox()
    started = command("run", write_csv(500), "--job", "job", "--timeout", 60, to=running)
    until(lambda: running.stats().requests >= 20, started)
    running.faults = HANGING
    until(lambda: running.stats().in_flight >= 10, started)
    asked = time.monotonic()
    started.signal(signal.SIGTERM)
    ended = started.end()
    assert time.monotonic() - asked < DOCKER_STOP - 2
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    found = accounts()
    assert found.accepted.items() <= running.aliases().items()
    assert set(found.states) == {State.ACCEPTED, State.PENDING}


def test_asked_while_the_source_is_read_it_ends_before_the_first_request(command, sandbox, write_csv, until, tmp_path):
    running = sandbox()
    started = command("run", write_csv(60_000), "--job", "job", to=running)
    until((tmp_path / "job" / "ledger.new").exists, started)
    started.signal(signal.SIGTERM)
    ended = started.end()
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    assert "Traceback" not in ended.err
    assert running.stats().requests == 0
