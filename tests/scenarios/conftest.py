"""What every story needs: rows, a service that misbehaves on demand, a run, and its accounts.

A story fails by itself when it takes too long, so that nothing here can hang. Time is compressed by the rate and by
``Timing``; a story that would have to wait instead waits for a condition.
"""

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from batch_alias.records import Event, EventKind, Plan
from batch_alias.sandbox.app import Sandbox

from batch_alias.job import run_job
from batch_alias.model import DONE_STATES, State
from batch_alias.reports import Summary
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults
from batch_alias.sandbox.server import Running, serve
from batch_alias.sending.breaker import BreakerRules
from batch_alias.sending.controller import ControllerRules
from batch_alias.sending.retry import Backoff
from batch_alias.sending.timing import Timing
from batch_alias.settings import Service, Settings

LONGEST = 40.0
"""Seconds that one story may take."""
GIVE_UP = 20.0
"""Seconds after which a condition that does not come true fails its story."""
FAST = Timing(
    backoff=Backoff(base=0.02, cap=0.2),
    pace=ControllerRules(pause=0.05, ramp=1.0),
    breaker=BreakerRules(first_interval=0.05, longest_interval=0.4),
    switch_interval=0.5,
    grace=2.0,
    tick=0.1,
)
"""A night in seconds."""

AS_A_MODULE = 'import runpy; runpy.run_module("batch_alias", run_name="__main__")'

Account = dict[str, str]
"""One line of ``results.csv``, by column."""


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Fail a story that takes too long, wherever it stands."""

    def too_long(_number: int, _frame: object) -> None:
        raise TimeoutError(f"The story took more than {LONGEST:.0f} s.")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def fast() -> Timing:
    return FAST


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait for a condition; a command that ends meanwhile will not bring it about any more."""

    def wait(condition: Callable[[], object], started: "Command | None" = None) -> None:
        give_up = time.monotonic() + GIVE_UP
        while not condition():
            assert time.monotonic() < give_up, "the condition did not come true"
            assert started is None or not started.over or condition(), started.end()
            time.sleep(0.002)

    return wait


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    """Write a source: so many rows of different keys, or the very rows given as (user, group, remark)."""

    def write(rows: int | Iterable[tuple[str, str, str]], name: str = "rows.csv", *, tag: str = "alias") -> Path:
        if isinstance(rows, int):
            rows = [(f"u{n}", f"g{n % 7}", f"{tag} {n} 老王 R&D 50%+") for n in range(rows)]
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("userId", "groupId", "remark"), *rows])
        return path

    return write


@pytest.fixture(scope="session")
def _closing() -> Iterator[ThreadPoolExecutor]:
    """Servers close while the next story is told: it takes each of them a sixth of a second."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def sandbox(_closing: ThreadPoolExecutor) -> Iterator[Callable[..., Running]]:
    """Serve a sandbox until the story ends: it remembers every write and, if not told otherwise, grants any pace."""
    stack = ExitStack()

    def start(faults: Faults | None = None, *, rules: Rules | None = None, **how) -> Running:
        rules = rules or Rules(rate=100_000)
        return stack.enter_context(serve(Sandbox(replace(rules, keep_writes=True), faults, **how)))

    yield start
    _closing.submit(stack.close)


@pytest.fixture
def service_of() -> Callable[..., Service]:
    """The service behind some sandboxes of one app, the primary first."""

    def service(*running: Running, **how) -> Service:
        first = running[0]
        urls = tuple(one.url for one in running)
        return replace(Service(urls=urls, app_key=first.app_key, app_secret=first.app_secret), **how)

    return service


@pytest.fixture
def settings_for(tmp_path: Path, service_of) -> Callable[..., Settings]:
    """Settings that send a source to some sandboxes quickly; ``None`` as source sends a job's rows again."""

    def settings(source: Path | None, *running: Running, **how) -> Settings:
        told = {"job": tmp_path / "job", "service": service_of(*running), "rate": 1000, "timeout": 1.0, **how}
        return Settings(source=source, **told)

    return settings


@dataclass
class Onlooker:
    """A watcher that remembers; ``at_start`` is called with the run when sending begins."""

    at_start: Callable[[object], object] = lambda _run: None
    at_notice: Callable[[object, Event], object] = lambda _run, _notice: None
    events: list[Event] = field(default_factory=list)
    run: object = None

    def sending(self, run: object, plan: Plan) -> None:
        self.run = run
        self.at_start(run)

    def event(self, event: Event) -> None:
        self.events.append(event)
        self.at_notice(self.run, event)

    def sent(self) -> None:
        pass

    def heard(self, kind: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind is kind]


@pytest.fixture
def onlooker() -> type[Onlooker]:
    return Onlooker


@pytest.fixture(scope="session")
def run() -> Callable[..., Summary]:
    """Run a job in this process, in compressed time."""

    def run_once(settings: Settings, *, timing: Timing = FAST, watcher: Onlooker | None = None) -> Summary:
        return asyncio.run(run_job(settings, watcher=watcher, timing=timing))

    return run_once


@dataclass(frozen=True)
class LedgerReader:
    """What a job's folder says of its rows."""

    folder: Path
    rows: list[Account]

    @property
    def states(self) -> Counter[str]:
        return Counter(row["state"] for row in self.rows)

    @property
    def accepted(self) -> dict[tuple[str, str], str]:
        """The aliases that are reported accepted, by (group, user)."""
        return {(row["groupId"], row["userId"]): row["remark"] for row in self.rows if row["state"] == State.ACCEPTED}

    @property
    def summary(self) -> dict:
        return json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))

    def of(self, state: State) -> list[Account]:
        return [row for row in self.rows if row["state"] == state]


@pytest.fixture
def accounts(tmp_path: Path) -> Callable[..., LedgerReader]:
    """Read a job's reports, after making sure that they agree with each other."""

    def read(folder: Path | None = None) -> LedgerReader:
        folder = folder or tmp_path / "job"
        found = LedgerReader(folder, _table(folder / "results.csv"))
        states = {state: count for state, count in found.summary["states"].items() if count}
        assert found.states == states
        assert sum(states.values()) == found.summary["rows"] == len(found.rows)
        assert len(_table(folder / "not-accepted.csv")) == sum(
            count for state, count in states.items() if state not in DONE_STATES
        )
        return found

    return read


def _table(path: Path) -> list[Account]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Command:
    """``python -m batch_alias`` in a process of its own, which does not outlive its story."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._read: list[str] = []

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def read_until(self, said: str) -> None:
        """Read what people are told, up to a line that says so."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._read.append(line)
            if said in line:
                return
        raise AssertionError(f"{said!r} was never said: {self.end()}")

    def end(self) -> Ended:
        out, err = self.process.communicate(timeout=GIVE_UP)
        return Ended(self.process.returncode, out, "".join([*self._read, err]))


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Start ``batch-alias`` with some arguments, against a sandbox if one is given.

    ``after`` is Python that is run in the process first, to make its circumstances worse.
    """
    started: list[subprocess.Popen[str]] = []

    def start(
        *arguments: object,
        to: Running | Sequence[Running] = (),
        environment: dict[str, str] | None = None,
        after: str = "",
    ) -> Command:
        running = [to] if isinstance(to, Running) else list(to)
        foreign = ("RONGCLOUD_", "BATCH_ALIAS_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        if running:
            clean["RONGCLOUD_URL"] = ",".join(one.url for one in running)
            clean["RONGCLOUD_APP_KEY"] = running[0].app_key
            clean["RONGCLOUD_APP_SECRET"] = running[0].app_secret.reveal()
        begun = ["-c", f"{after}\n{AS_A_MODULE}"] if after else ["-m", "batch_alias"]
        process = subprocess.Popen(
            [sys.executable, *begun, *map(str, arguments)],
            cwd=tmp_path,
            env={**clean, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        started.append(process)
        return Command(process)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
