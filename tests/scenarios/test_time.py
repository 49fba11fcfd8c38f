"""Clocks that step and machines that sleep: no burst above the rate, no hang, and a wrong clock is named."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger import Place
from batch_alias.model import Second, State
from batch_alias.rongcloud.client import Client
from batch_alias.sandbox import Rules, Sandbox
from batch_alias.sending import Timing
from batch_alias.sending.comparison import Steps
from batch_alias.sending.limiter import RateLimiter
from batch_alias.sending.pipeline import Pipeline
from batch_alias.settings import Reading, Sending
from batch_alias.staging import staged
from tests.support.processes import DEADLINE

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


@dataclass(frozen=True)
class Sent:
    """What a ledger says of a run."""

    accepted: int
    busiest_second: int
    seconds: list[Second]

    @property
    def codes(self) -> Counter[str]:
        return sum((Counter(second.codes) for second in self.seconds), Counter())


@pytest.fixture
def send(target_of, write_csv, tmp_path) -> Callable[..., Sent]:
    """Send rows to a sandbox with clocks that the test sets."""

    def run(served: Sandbox, rows: int, *, rate: int, max_in_flight: int = 512, **clocks) -> Sent:
        sending = Sending(rate=rate, max_in_flight=max_in_flight, timeout=DEADLINE)
        with staged(write_csv(rows), Reading(), Place(tmp_path / "job")) as ledger:
            ledger.begin_run("run", target="the sandbox", version="0", settings={})
            pipeline = Pipeline(
                Steps(),
                ledger=ledger,
                service=Client(target_of(served), timeout=DEADLINE, first_timeout=DEADLINE),
                limiter=lambda _kind: RateLimiter(rate),
                sending=sending,
                timing=Timing(),
                observer=lambda event: pytest.fail(event.text),
                **clocks,
            )
            asyncio.run(pipeline.run())
            (done,) = ledger.runs()
            return Sent(ledger.counts().accepted, done.busiest_second, list(ledger.seconds()))

    return run


@pytest.mark.parametrize("wall", STEPS.values(), ids=STEPS)
def test_a_wall_clock_that_steps_neither_bursts_nor_hangs(wall, send, sandbox):
    readings = count()
    sent = send(sandbox(), 160, rate=400, wall=lambda: wall(next(readings)))
    assert sent.accepted == 160
    assert sum(second.requests for second in sent.seconds) == 160
    assert sum(second.settled["accepted"] for second in sent.seconds) == 160
    assert sent.busiest_second <= 400


class Clock:
    """The monotonic clock of this process, which can be set forward, as for a machine that was asleep."""

    def __init__(self) -> None:
        self._read = time.monotonic
        self.asleep = 0.0

    def __call__(self) -> float:
        return self._read() + self.asleep

    def sleep(self, seconds: float) -> None:
        self.asleep += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_a_machine_that_sleeps_does_not_catch_up_in_a_burst(send, sandbox, clock, at_request):
    served = sandbox(at_request(50, lambda: clock.sleep(3.0)))
    sent = send(served, 280, rate=200, clock=clock)
    assert sent.accepted == 280
    assert sent.busiest_second <= 200


def test_a_machine_that_sleeps_while_a_request_is_under_way_holds_nothing_against_the_service(
    send, sandbox, clock, at_request
):
    served = sandbox(at_request(10, lambda: clock.sleep(1.5 * DEADLINE)))
    sent = send(served, 20, rate=1000, max_in_flight=1, clock=clock)
    assert (sent.accepted, sent.codes) == (20, {"200": 20})
