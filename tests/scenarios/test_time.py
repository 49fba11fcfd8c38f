"""Clocks that step and machines that sleep: no burst above the rate, no hang, and a wrong clock is named."""

import asyncio
import re
import signal
import time
from itertools import count

import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.rongcloud.client import Client
from batch_alias.sandbox import Faults, Rules
from batch_alias.sending import Timing
from batch_alias.sending.dispatcher import Dispatcher
from batch_alias.sending.limiter import RateLimiter
from batch_alias.settings import Reading, Sending
from batch_alias.staging import staged

HOUR = 3600


@pytest.mark.parametrize(("offset", "side"), [(HOUR, "behind"), (-HOUR, "ahead of")])
def test_a_clock_wrong_enough_to_be_refused_is_named(offset, side, run, sandbox, settings_for, write_csv, results):
    served = sandbox(rules=Rules(max_skew=300), now=lambda: time.time() + offset)
    summary = run(settings_for(write_csv(20), served))
    assert summary.exit_code == ExitCode.STOPPED
    seconds = re.search(rf"clock is (\d+) s {side} the server's", summary.stopped)
    assert seconds is not None
    # A response takes time, and the server gives its time in whole seconds.
    assert abs(int(seconds[1]) - HOUR) < 60
    assert results().states == {State.PENDING: 20}


STEPS = {
    "an-hour-back": lambda n: time.time() - HOUR * (n > 100),
    "an-hour-on": lambda n: time.time() + HOUR * (n > 100),
    "to-and-fro": lambda n: time.time() + 90 * (n % 3 - 1),
}


@pytest.mark.parametrize("wall", STEPS.values(), ids=STEPS)
def test_a_wall_clock_that_steps_neither_bursts_nor_hangs(wall, sandbox, target_of, write_csv, tmp_path):
    rate, rows = 400, 160
    readings = count()
    sending = Sending(rate=rate, timeout=60.0)
    with staged(write_csv(rows), Reading(), tmp_path / "job") as ledger:
        ledger.begin_run(target="the sandbox", version="0", settings={})
        dispatcher = Dispatcher(
            ledger=ledger,
            service=Client(target_of(sandbox()), timeout=sending.timeout),
            limiter=RateLimiter(rate),
            sending=sending,
            timing=Timing(),
            observer=lambda _event: None,
            wall=lambda: wall(next(readings)),
        )
        asyncio.run(dispatcher.run())
        assert ledger.counts().accepted == rows
        seconds = list(ledger.seconds())
        assert sum(second.requests for second in seconds) == rows
        assert sum(second.settled["accepted"] for second in seconds) == rows
        assert ledger.runs()[0].busiest_second <= rate


def test_a_machine_that_sleeps_does_not_catch_up_in_a_burst(command, sandbox, write_csv, results, until):
    served = sandbox(Faults(latency=0.1))
    started = command("run", write_csv(200), "--job", "job", to=served)
    until(lambda: served.stats().requests >= 50, started)
    started.signal(signal.SIGSTOP)
    until(lambda: served.stats().in_flight == 0)
    awake_at = time.monotonic() + 1.2
    until(lambda: time.monotonic() >= awake_at)
    started.signal(signal.SIGCONT)
    ended = started.end()
    assert ended.code == ExitCode.DONE, ended.err
    assert results().states == {State.ACCEPTED: 200}
    assert results().summary["busiest_second"] <= 100


def test_a_process_that_stood_still_holds_nothing_against_the_service(command, sandbox, write_csv, results, until):
    served = sandbox(Faults(latency=0.5))
    started = command("run", write_csv(150), "--job", "job", "--timeout", 4, to=served)
    until(lambda: served.stats().in_flight >= 20, started)
    started.signal(signal.SIGSTOP)
    awake_at = time.monotonic() + 5
    until(lambda: time.monotonic() >= awake_at)
    started.signal(signal.SIGCONT)
    ended = started.end()
    assert ended.code == ExitCode.DONE, ended.err
    assert results().summary["codes"] == {"200": 150}
    assert "does not work" not in ended.err
