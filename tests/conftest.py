"""What all tests share: a driven clock, waiting, served sandboxes, runs in this process and commands in another one."""

import asyncio
import csv
import gc
import json
import os
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import httpx
import pytest
import trustme
from hypothesis import settings as hypothesis_settings

from batch_alias.__main__ import main
from batch_alias.job import Job, open_job
from batch_alias.model import Event, Second, State
from batch_alias.quota import STATE_DIR
from batch_alias.reports import Summary, writers
from batch_alias.reports.rows import NOT_ACCEPTED
from batch_alias.reports.summary import summarize
from batch_alias.sandbox import Faults, Rules, Sandbox
from batch_alias.sandbox.server import serve
from batch_alias.sending import Timing
from batch_alias.settings import PROGRESS_THREAD, Sending, Settings
from batch_alias.settings.target import Secret, Target
from batch_alias.text import use_language
from batch_alias.workers import initialize
from tests.support.http import KEY, SECRET
from tests.support.jobs import START
from tests.support.postgres import database_on, remove_jobs, server
from tests.support.processes import DEADLINE, Command, Ended, environment_of
from tests.support.timing import FAST

# Shared and noisy machines: how long an example takes says nothing about the code.
hypothesis_settings.register_profile("all", deadline=None)
hypothesis_settings.register_profile("fast", deadline=None, max_examples=10)
# A shell without job control ignores SIGINT for what it starts in the background, and so would every process of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)

AS_MODULE = 'import runpy; runpy.run_module("batch_alias", run_name="__main__")'
OUR_VARIABLES = ("RONGCLOUD_", "BATCH_ALIAS_")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def pytest_configure(config: pytest.Config) -> None:
    # Those who ask for the fast tests get fewer examples too.
    hypothesis_settings.load_profile("fast" if config.option.markexpr == "not slow" else "all")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if os.name != "posix" and item.get_closest_marker("posix_only"):
            item.add_marker(pytest.mark.skip(reason="needs POSIX"))
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    # What was imported and collected lives as long as the process: looking for garbage in it is an eighth of all time.
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """No name but this machine's own is known in this process, and DNS is not asked."""
    getaddrinfo = socket.getaddrinfo

    def resolve(host, *arguments, **more):
        if host is None or host in LOOPBACK:
            return getaddrinfo(host, *arguments, **more)
        host.encode("idna")  # fails for the names that the real one refuses as well
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody's own folder for the locks of App Keys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_DIR, str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server, started for this process unless one is named."""
    with server() as url:
        yield url


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """The URL of a new and empty database."""
    with database_on(postgres_server, f"test-{uuid4().hex}") as url:
        yield url


@pytest.fixture(scope="session")
def _tables(postgres_server: str) -> Iterator[str]:
    with database_on(postgres_server, f"test-{uuid4().hex}") as url:
        initialize(url)
        yield url


@pytest.fixture
def tables(_tables: str) -> Iterator[str]:
    """The URL of a database with the tables of batch-alias and no job."""
    yield _tables
    remove_jobs(_tables)


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
        return []  # nothing is sent or received


@pytest.fixture(scope="session", autouse=True)
def _one_tls_context() -> Iterator[None]:
    """Read the certificate authorities once; it takes longer than most of the tests that make a client."""
    create = httpx.create_ssl_context

    @cache
    def created(_file: str | None, _folder: str | None) -> ssl.SSLContext:
        return create()

    def create_ssl_context() -> ssl.SSLContext:
        return created(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx, "create_ssl_context", create_ssl_context)
        yield


@pytest.fixture(scope="session")
def driven() -> Callable:
    """Run a coroutine function, called with its loop, on a driven clock."""

    def run(main: Callable[[DrivenLoop], Coroutine]):
        with asyncio.Runner(loop_factory=DrivenLoop) as runner:
            return runner.run(main(runner.get_loop()))

    return run


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait for a condition; a command that ends before it came true fails the test."""

    def wait(condition: Callable[[], object], command: "Command | None" = None) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            assert command is None or not command.has_ended or condition(), command.end()
            time.sleep(0.002)

    return wait


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    """Write a source: so many rows with different keys, or the rows given as (user, group, remark)."""

    def write(rows: int | Iterable[tuple[str, str, str]], name: str = "rows.csv", *, tag: str = "alias") -> Path:
        if isinstance(rows, int):
            rows = [(f"u{n}", f"g{n % 7}", f"{tag} {n} 老王 R&D 50%+") for n in range(rows)]
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("userId", "groupId", "remark"), *rows])
        return path

    return write


@pytest.fixture(scope="session")
def second() -> Callable[..., Second]:
    """A second in which all requests were accepted, unless other counts are given."""

    def make(at: int = START, requests: int = 10, **counts: object) -> Second:
        values = {"retries": 0, "refusals": 0, "settled": {}, "codes": {"200": requests}, "latencies": {80: requests}}
        return Second(at=at, requests=requests, **(values | counts))

    return make


@pytest.fixture
def sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Serve a sandbox until the test ends; it grants any rate unless rules are given."""
    with ExitStack() as stack:

        def start(faults=None, *, rules: Rules | None = None, **more) -> Sandbox:
            return stack.enter_context(serve(Sandbox(rules or Rules(rate=100_000), faults, **more)))

        yield start


@pytest.fixture(scope="session")
def _served() -> Iterator[Sandbox]:
    with serve(Sandbox(Rules(rate=100_000))) as sandbox:
        yield sandbox


@pytest.fixture
def served(_served: Sandbox, until) -> Iterator[Sandbox]:
    """A served sandbox without faults or connections. Other tests use it too: compare counts with those before."""
    _served.faults = Faults()
    until(lambda: _served.stats().connections_open == 0)
    yield _served
    _served.faults = Faults()


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


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that this machine does not trust."""
    return trustme.CA()


@pytest.fixture(scope="session")
def tls_for(authority) -> Callable[[str], ssl.SSLContext]:
    """A server's TLS with a certificate for a host by that authority."""

    def make(host: str = "127.0.0.1") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        return context

    return make


@pytest.fixture(scope="session")
def target() -> Callable[..., Target]:
    """A target at a URL, with credentials that may be replaced."""

    def at(url: str | None = "https://api.example.com", *, key: str = KEY, secret: str = SECRET, **more) -> Target:
        return Target(url=url, app_key=key, app_secret=Secret(secret), **more)

    return at


@pytest.fixture(scope="session")
def target_of() -> Callable[..., Target]:
    """The target that some sandboxes of one app are, the primary first."""

    def target(*sandboxes: Sandbox, **more) -> Target:
        first = sandboxes[0]
        values = {"url": ",".join(one.url for one in sandboxes), "app_key": first.app_key} | more
        return Target(**{"app_secret": first.app_secret} | values)

    return target


@pytest.fixture
def settings_for(tmp_path: Path, target_of) -> Callable[..., Settings]:
    """Settings that send a source to some sandboxes quickly; without a source a job's rows are sent again."""

    def settings(source: Path | None, *sandboxes: Sandbox, **more) -> Settings:
        names = {field.name for field in fields(Sending)}
        sending = {"rate": 1000, "timeout": DEADLINE} | {name: more.pop(name) for name in names & more.keys()}
        more = {"job": tmp_path / "job", "target": target_of(*sandboxes)} | more
        return Settings(source=source, sending=Sending(**sending), **more)

    return settings


@pytest.fixture(scope="session")
def run() -> Callable[..., Summary]:
    """Run a job in this process, with short waits; of the reports only those are written that ``results`` reads.

    ``observer`` is called with the job and each event; ``beside`` is called with the job in a thread while it is sent.
    """

    def run_once(
        settings: Settings,
        *,
        timing: Timing = FAST,
        observer: Callable[[Job, Event], object] = lambda _job, _event: None,
        beside: Callable[[Job], object] | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> Summary:
        with open_job(settings, timing=timing) as job, ExitStack() as stack:
            if beside is not None:
                thread = threading.Thread(target=beside, args=(job,))
                thread.start()
                stack.callback(thread.join)
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(job.send(lambda event: observer(job, event)))
            return _write_tables(job)

    return run_once


def _write_tables(job: Job) -> Summary:
    # Without the page: importing Jinja and compiling the template takes longer than many of the runs.
    last = job.ledger.runs()[-1]
    summary = summarize(job.ledger, exit_code=last.exit_code, stopped=last.stopped)
    job.folder.mkdir(exist_ok=True)  # with a ledger in a database there is none yet
    write = writers(job.folder, job.ledger, summary)
    for name in ("summary.json", "not-accepted.csv", "results.csv"):
        write[name](job.folder / name)
    return summary


Result = dict[str, str]
"""One line of ``results.csv``, by column."""


@dataclass(frozen=True)
class Results:
    """What a job's reports say of its rows."""

    folder: Path
    rows: list[Result]

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

    def of(self, state: State) -> list[Result]:
        return [row for row in self.rows if row["state"] == state]


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., Results]:
    """Read a job's reports, after making sure that they agree with each other."""

    def read(folder: Path | None = None) -> Results:
        folder = folder or tmp_path / "job"
        found = Results(folder, _table(folder / "results.csv"))
        states = {state: count for state, count in found.summary["states"].items() if count}
        assert found.states == states
        assert sum(states.values()) == found.summary["rows"] == len(found.rows)
        left = sum(states.get(state, 0) for state in NOT_ACCEPTED)
        assert len(_table(folder / "not-accepted.csv")) == left
        return found

    return read


def _table(path: Path) -> list[Result]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """This process's environment with the variables that send to some sandboxes, and no others of ours."""

    def make(*sandboxes: Sandbox, **more: str) -> dict[str, str]:
        made = {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}
        made["BATCH_ALIAS_LANG"] = "en"  # whatever the locale of who runs the tests
        made[STATE_DIR] = os.environ[STATE_DIR]
        return made | (environment_of(*sandboxes) if sandboxes else {}) | more

    return make


@pytest.fixture
def command(tmp_path: Path, environment) -> Iterator[Callable[..., Command]]:
    """Start ``batch-alias`` with some arguments, sending to a sandbox if one is given.

    ``run`` and ``retry`` get ``--yes``, since there is no terminal. ``before`` is Python that the process runs first.
    """
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, to: Sandbox | Sequence[Sandbox] = (), before: str = "", **variables: str) -> Command:
        sandboxes = [to] if isinstance(to, Sandbox) else to
        begin = ["-c", f"{before}\n{AS_MODULE}"] if before else ["-m", "batch_alias"]
        confirmed = ["--yes"] if arguments[0] in {"run", "retry"} and "--sandbox" not in arguments else []
        process = subprocess.Popen(
            [sys.executable, *begin, *map(str, arguments), *confirmed],
            cwd=tmp_path,
            env=environment(*sandboxes, **variables),
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


def _exit_later(code: int) -> NoReturn:
    """Instead of ending the process of the tests: fail if a thread hangs, and not if it is only slow."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and (not thread.daemon or thread.name == PROGRESS_THREAD):
            thread.join(DEADLINE)
            assert not thread.is_alive(), f"{thread.name} has not ended"
    raise SystemExit(code)


@pytest.fixture
def clean(monkeypatch, tmp_path, environment) -> Iterator[None]:
    """In this process a command is run in an empty folder and with none of our variables."""
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", _exit_later)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
    use_language("en")


@pytest.fixture
def batch_alias(clean, monkeypatch, capfd) -> Callable[..., Ended]:
    """Run a command in this process, sending to a sandbox if one is given; its variables stay for the next one."""

    def run(*arguments: str | Path, to: Sandbox | None = None, **variables: str) -> Ended:
        for name, value in ((environment_of(to) if to is not None else {}) | variables).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["batch-alias", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(ended.value.code, *capfd.readouterr())

    return run
