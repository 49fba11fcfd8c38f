"""Processes that end: each is killed at a deadline, so that a test that waits for one fails instead of hanging."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # Some benchmarks measure memory.
    from batch_alias.sandbox import Sandbox

DEADLINE = 60.0
"""Seconds after which a condition that does not come true, or a process that does not end, fails its test.

Also a time that no attempt takes on any machine.
"""


class Ended(NamedTuple):
    """A command that has ended."""

    code: int | str | None
    out: str
    err: str


def finish(command: Sequence[str], *, timeout: float = DEADLINE, **more) -> Ended:
    """Run a command to its end; ``more`` is for ``subprocess.run``."""
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=timeout, check=False, **more)
    return Ended(done.returncode, done.stdout, done.stderr)


def run_python(code: str, *arguments: object, **more) -> Ended:
    """Run Python code in a process of its own to its end."""
    return finish([sys.executable, "-c", code, *map(str, arguments)], **more)


@contextmanager
def killed_at_deadline(process: subprocess.Popen) -> Iterator[None]:
    """Kill a process that has not ended by the deadline, which ends every read of its output."""
    timer = threading.Timer(DEADLINE, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def started(command: Sequence[str], **more) -> Iterator[subprocess.Popen[str]]:
    """A process for the length of a block, at whose end it is killed."""
    with subprocess.Popen(command, encoding="utf-8", **more) as process:
        try:
            with killed_at_deadline(process):
                yield process
        finally:
            process.kill()


def environment_of(*sandboxes: "Sandbox") -> dict[str, str]:
    """The variables with which ``batch-alias`` sends to sandboxes of one app, the primary first."""
    first = sandboxes[0]
    return {
        "RONGCLOUD_URL": ",".join(one.url for one in sandboxes),
        "RONGCLOUD_APP_KEY": first.app_key,
        "RONGCLOUD_APP_SECRET": first.app_secret.reveal(),
    }


class Command:
    """``python -m batch_alias`` in a process of its own, which does not outlive its test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._read: list[str] = []

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def read_until(self, text: str) -> None:
        """Read standard error up to a line that contains a text."""
        assert self.process.stderr is not None
        with killed_at_deadline(self.process):
            for line in self.process.stderr:
                self._read.append(line)
                if text in line:
                    return
        raise AssertionError(f"{text!r} was not printed: {self.end()}")

    def end(self) -> Ended:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=DEADLINE)
        return Ended(self.process.returncode, out, "".join([*self._read, err]))
