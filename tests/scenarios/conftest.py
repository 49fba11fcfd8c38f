"""Whole jobs: all of them slow, none of them longer than its alarm, and ways to act at an exact moment of a run."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from batch_alias.sandbox import FaultPlan
from tests.support.faults import NO_FAULTS, Script

HERE = Path(__file__).parent
LONGEST = 300
"""Seconds after which a test fails, so that one that hangs does not hang the others."""

if sys.platform == "win32":  # without its signals
    collect_ignore_glob = ["test_*.py"]


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


@pytest.fixture
def free_port() -> Iterator[Callable[[], int]]:
    """A port that refuses connections until a server listens on it, and again after that.

    Bound, but not listened on, until the test ends: nothing else is given the port meanwhile.
    """
    with ExitStack() as stack:

        def reserve() -> int:
            holder = stack.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
            holder.bind(("127.0.0.1", 0))
            return holder.getsockname()[1]

        yield reserve
