"""What all tests share: a driven clock, waiting for a condition, hypothesis on slow machines."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import settings

# Shared and noisy machines: how long an example takes says nothing about the code.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

DEADLINE = 60.0
"""Seconds after which a condition that does not come true fails its test."""


class DrivenLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to the next timer instead of waiting for it: hours pass in milliseconds.

    Attributes:
        now: Its clock; may be moved on at any time, as for a machine that was asleep.
        late: Seconds by which the next timer is late.
    """

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now = 0.0
        self.late: Callable[[], float] = lambda: 0.0

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: DrivenLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        if timeout is None:
            raise AssertionError("deadlock: every task waits for another one")
        # Work takes time: without it a timer that is due by less than the clock's resolution would be for ever.
        self._loop.now += timeout + self._loop.late() + 1e-6 if timeout > 0 else 1e-6
        return super().select(0)


@pytest.fixture(scope="session")
def driven() -> Callable:
    """Run a coroutine function, called with its loop, on a driven clock."""

    def run(main: Callable[[DrivenLoop], Coroutine]):
        with asyncio.Runner(loop_factory=DrivenLoop) as runner:
            return runner.run(main(runner.get_loop()))

    return run


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object]], None]:
    """Wait for a condition."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.002)

    return wait
