"""Clocks that step and machines that sleep: no burst above the pace, no hang, and a wrong clock is named."""

import asyncio
import signal
import time
from itertools import count

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger import TARGET
from batch_alias.model import State
from batch_alias.rongcloud.client import Client
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults
from batch_alias.sending.dispatcher import Dispatcher
from batch_alias.sending.response_handler import Limits
from batch_alias.settings import Reading
from batch_alias.settings.target import Secret
from batch_alias.staging import staged


@pytest.mark.parametrize(("offset", "words"), [(3600, "3600 s behind"), (-3600, "3600 s ahead of")])
def test_a_clock_wrong_enough_to_be_refused_is_named(offset, words, run, sandbox, settings_for, write_csv, accounts):
    running = sandbox(Faults(clock_offset=offset), rules=Rules(rate=1000, max_skew=300))
    summary = run(settings_for(write_csv(20), running))
    assert summary.exit_code == ExitCode.STOPPED
    assert words.split()[-1] in summary.stopped
    named = int(next(word for word in summary.stopped.split() if word.isdigit() and len(word) == 4 and word != "1004"))
    assert abs(named - 3600) <= 2
    assert accounts().states == {State.PENDING: 20}


def test_a_clock_that_is_right_is_not_blamed_for_a_wrong_secret(run, sandbox, settings_for, service_of, write_csv):
    running = sandbox()
    wrong = service_of(running, app_secret=Secret("wrong"))
    assert "clock" not in run(settings_for(write_csv(3), running, service=wrong)).stopped


STEPS = {
    "an hour back": lambda n: time.time() - 3600 * (n > 100),
    "an hour on": lambda n: time.time() + 3600 * (n > 100),
    "to and fro": lambda n: time.time() + 90 * (n % 3 - 1),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_wall_clock_that_steps_neither_bursts_nor_hangs(
    step, sandbox, settings_for, service_of, write_csv, tmp_path, fast
):
    rate, rows = 400, 240
    running = sandbox(rules=Rules(rate=rate))
    readings = count()
    with staged(write_csv(rows), Reading(), tmp_path / "job") as ledger:
        ledger.set_meta(TARGET, "a story")
        ledger.begin_run(host="a story", version="0", settings={})
        dispatcher = Dispatcher(
            ledger=ledger,
            carrier=Client(service_of(running), timeout=1.0),
            rate=rate,
            max_in_flight=32,
            limit=None,
            limits=Limits(attempts=6, max_failed=1.0, patience=60.0),
            timing=fast,
            notify=lambda _notice: None,
            wall=lambda: STEPS[step](next(readings)),
        )
        asyncio.run(dispatcher.run())
        assert ledger.tally().accepted == rows
        assert sum(second.requests for second in ledger.seconds()) == rows
        assert sum(second.settled["accepted"] for second in ledger.seconds() if second.settled) == rows
    assert running.stats().refusals == 0
    assert running.stats().busiest_second <= rate


def test_a_machine_that_sleeps_in_between_does_not_catch_up_in_a_burst(command, sandbox, write_csv, accounts, until):
    running = sandbox(Faults(latency=0.3), rules=Rules(rate=100))
    started = command("run", write_csv(120), "--job", "job", to=running)
    until(lambda: running.stats().requests >= 50, started)
    started.signal(signal.SIGSTOP)
    until(lambda: running.stats().in_flight == 0)
    awake_at = time.monotonic() + 1.2
    until(lambda: time.monotonic() >= awake_at)
    started.signal(signal.SIGCONT)
    ended = started.end()
    assert ended.code == ExitCode.DONE, ended.err
    assert accounts().states == {State.ACCEPTED: 120}
    assert running.stats().refusals == 0
    assert running.stats().busiest_second <= 100
