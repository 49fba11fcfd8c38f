"""Whole jobs: all of them slow, none of them longer than its alarm, and ways to act at an exact moment of a run."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batch_alias.reports import Summary
from batch_alias.sandbox import FaultPlan
from batch_alias.settings import Settings
from tests.support.faults import NO_FAULTS, Script
from tests.support.processes import DEADLINE

HERE = Path(__file__).parent
LONGEST = 300
"""Seconds after which a test fails, so that one that hangs does not hang the others."""

if sys.platform == "win32":  # without its signals
    collect_ignore_glob = ["test_*.py"]


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    # They need not be imported to be left out.
    return True if config.option.markexpr == "not slow" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _alarm() -> Iterator[None]:
    def too_long(_number: int, _frame: object) -> None:
        raise TimeoutError(f"The test took more than {LONGEST} s.")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LONGEST)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def at_request() -> Callable[..., FaultPlan]:
    """A plan that calls a function, in the server's thread, when request ``number`` arrives."""

    def plan(number: int, action: Callable[[], None], others: FaultPlan = NO_FAULTS) -> FaultPlan:
        return Script(lambda current: action() if current == number else None, others)

    return plan


SIGNAL_ITSELF = """
import os, sys
def signal_itself(event, arguments):
    if event == {event!r} and {path!r} in str(arguments[0]):
        os.kill(os.getpid(), {number})
sys.addaudithook(signal_itself)
"""


@pytest.fixture(scope="session")
def signal_at() -> Callable[[signal.Signals, str, str], str]:
    """For ``command(before=...)``: the process sends itself a signal when an audit event names a path."""
    return lambda number, event, path: SIGNAL_ITSELF.format(number=int(number), event=event, path=path)


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers can be made due, although no other clock shows that time has passed."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


@pytest.fixture(scope="session")
def run_with_hangs(run) -> Callable[..., Summary]:
    """Run a job in which requests hang: those under way time out whenever a condition holds, and no others do."""

    def run_once(settings: Settings, hanging: Callable[[], bool], **more) -> Summary:
        def loop_factory() -> SkippingLoop:
            loop = SkippingLoop()

            def check() -> None:
                if hanging():
                    loop.skipped += DEADLINE
                loop.call_later(0.01, check)

            loop.call_soon(check)
            return loop

        return run(settings, loop_factory=loop_factory, **more)

    return run_once
