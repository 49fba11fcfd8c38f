"""What is printed on a terminal: lines that fit, colours, and nothing behind the ^C that it shows."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import pytest

from batch_alias.__main__ import main
from tests.support.processes import DEADLINE, started

pytestmark = pytest.mark.posix_only

ONE_REJECTED = [("u1", "g", "a"), ("", "g", "b")]


class Screen:
    """A terminal of a number of columns."""

    def __init__(self, columns: int) -> None:
        import termios  # not on Windows

        self._screen, self.terminal = os.openpty()
        termios.tcsetwinsize(self.terminal, (24, columns))
        self._shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        with suppress(OSError):  # Linux: EIO when the terminal was closed by all
            while block := os.read(self._screen, 65_536):
                self._shown += block

    def type(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep what is shown on it until the block ends, in which it is opened by those who use it."""
        self._reader.start()
        try:
            yield
        finally:
            os.close(self.terminal)
            self._reader.join(DEADLINE)
            os.close(self._screen)

    @property
    def shown(self) -> str:
        return self._shown.decode().replace("\r\n", "\n")


@pytest.fixture
def typed(clean, environment, sandbox, monkeypatch) -> Callable[..., str]:
    """Run a command in this process with a terminal as its streams, and what it printed."""
    served = sandbox()

    def run(*arguments: object, columns: int = 60, **variables: str) -> str:
        screen = Screen(columns)
        with ExitStack() as stack, monkeypatch.context() as patch:
            for name, value in environment(served, **variables).items():
                patch.setenv(name, value)
            stack.enter_context(screen.used())
            for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
                stream = stack.enter_context(os.fdopen(os.dup(screen.terminal), mode, encoding="utf-8"))
                patch.setattr(sys, name, stream)
            patch.setattr(sys, "argv", ["batch-alias", *map(str, arguments)])
            with suppress(SystemExit):
                main()
        return screen.shown

    return run


def test_lines_are_wrapped_below_their_text_and_the_end_has_a_colour(typed, write_csv, monkeypatch):
    write_csv(5)
    shown = typed("run", "rows.csv", "--yes")
    assert "\x1b[32mDone      5 accepted of 5 rows\x1b[0m\n" in shown
    assert "Reports   rows.aliases: report.html, results.csv,\n          not-accepted.csv, summary.json\n" in shown
    answer = typed("check", "rows.csv")
    assert "Columns   userId from 'userId', groupId from 'groupId',\n          remark from 'remark'\n" in answer
    bar, _, answer = typed("check", "rows.csv", "--json").rpartition("\r")
    assert "Reading" in bar
    assert len(json.loads(answer)["description"]) > 0
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)  # a job that has just ended may go on
    assert len(typed("status", "rows.aliases", "--watch", "--json").splitlines()) == 1


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_terminal_on_which_no_bar_fits_delays_nothing(columns, typed, write_csv):
    write_csv(5)
    assert "5 accepted of 5 rows" in typed("run", "rows.csv", "--yes", columns=columns)


@pytest.mark.parametrize(("flags", "variables"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"})], ids=["flag", "set"])
def test_there_are_no_colours_if_they_are_not_wanted(flags, variables, typed, write_csv):
    write_csv(ONE_REJECTED)
    for source in ("rows.csv", "missing.csv"):
        shown = typed("run", source, "--yes", "--max-rejected", "50%", *flags, **variables)
        assert source in shown
        assert "\x1b" not in shown


def test_a_command_to_be_copied_is_not_broken(typed, write_csv):
    write_csv(ONE_REJECTED)
    folder = "a-folder-with-a-long-name-for-the-reports-of-this-job"
    shown = typed("run", "rows.csv", "--yes", "--max-rejected", "50%", "--job", folder)
    assert (
        f"          batch-alias run {folder}/not-accepted.csv --job {folder}/not-accepted.aliases --url http://"
        in shown
    )


def test_ctrl_c_stays_on_a_line_of_its_own(environment, sandbox, at_request, write_csv, tmp_path):
    screen, served = Screen(60), sandbox()
    served.faults = at_request(10, lambda: screen.type(b"\x03"))
    command = [sys.executable, "-m", "batch_alias", "run", write_csv(300), "--rate", "100", "--yes"]
    login = partial(os.login_tty, screen.terminal)  # only in a session on the terminal does the process get the signal
    with screen.used(), started(command, cwd=tmp_path, env=environment(served), preexec_fn=login) as process:
        process.wait()
    before, _, after = screen.shown.partition("^C")
    assert "/300" in before.rpartition("\r")[2], "the bar is left as it was"
    assert after.startswith("\n")
    assert "Stopping: " in after
