"""What is printed during a run: on a terminal, without one, and quietly."""

import io
import sys
import threading
from contextlib import suppress

import pytest

from batch_alias.console import Console
from batch_alias.errors import SourceError, UsageError
from batch_alias.model import Event, EventKind, State
from batch_alias.sending.metrics import Progress
from tests.support.processes import DEADLINE

EVENT = Event(at=0.0, kind=EventKind.HOST_SWITCHED, values={"host": "b.example"})


def progress(**more) -> Progress:
    states = {State.ACCEPTED: 1234, State.FAILED: 5, State.UNKNOWN: 0}
    still = {"done": 1239, "states": states, "recent_rate": 98}
    return Progress(**still | {"in_flight": 7, "outage": None} | more)


@pytest.fixture
def printed(capsys, until):
    """What is printed on standard error while a run makes no progress, once that was asked for a few times."""

    def run(console: Console, now: Progress | None, *, event: Event | None = None) -> str:
        asked = []

        def ask() -> Progress | None:
            asked.append(1)
            return now

        with console.progress(ask, lambda: 12_345):
            if event is not None:
                console.event(event)
            until(lambda: len(asked) >= 3)
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return run


def test_without_a_terminal_there_are_plain_lines(printed):
    shown = printed(Console(terminal=False, interval=0.01), progress())
    lines = shown.splitlines()
    assert len(lines) >= 2
    assert all("1,239 of 12,345 rows" in line and "98/s" in line and "5 failed" in line for line in lines)
    assert "\r" not in shown
    assert "\x1b" not in shown


def test_what_is_counted_is_named(capsys, until):
    asked = []

    def ask() -> Progress:
        asked.append(1)
        return progress(states={})

    with Console(terminal=False, interval=0.01).progress(ask, lambda: 12_345, "group"):
        until(lambda: len(asked) >= 2)
    assert "1,239 of 12,345 groups, 98/s" in capsys.readouterr().err


def test_a_run_that_ends_before_the_first_line_prints_none(capsys):
    with Console(terminal=False, interval=3600).progress(progress, lambda: 12_345):
        pass
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(printed):
    shown = printed(Console(terminal=True, interval=0.01), progress())
    for part in ("\r", " 10%|", "1,239/12,345", "98/s"):
        assert part in shown


def test_before_the_first_progress_there_are_no_numbers(printed):
    assert "/s" not in printed(Console(terminal=True, interval=0.01), None)


@pytest.mark.parametrize("terminal", [True, False])
def test_an_event_is_a_line_of_its_own(terminal, printed):
    shown = printed(Console(terminal=terminal, interval=0.01), progress(), event=EVENT)
    assert "All connections move to b.example.\n" in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_an_outage_is_shown_with_its_length(terminal, printed):
    shown = printed(Console(terminal=terminal, interval=0.01), progress(outage=700.0, recent_rate=0))
    assert "on hold for 11 min 40 s" in shown


def test_a_quiet_console_says_for_which_job_it_waits(capsys):
    waiting = Event(at=0.0, kind=EventKind.WAITING, values={"job": "/srv/a.aliases", "pid": 4711})
    Console(quiet=True, terminal=False).event(waiting)
    assert "The job /srv/a.aliases is sending for this App Key (pid 4711); waiting for it." in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
def test_a_quiet_console_prints_problems_only(terminal, capsys):
    console = Console(quiet=True, terminal=terminal, interval=0.01)
    console.say("all is well")
    console.event(EVENT)
    with console.progress(progress, lambda: 12_345):
        pass
    assert capsys.readouterr().err == ""
    console.warn("something is wrong")
    console.error(UsageError("No region is named.", "Name one."))
    shown = capsys.readouterr().err
    for part in ("something is wrong", "No region is named.", "Name one."):
        assert part in shown


@pytest.mark.parametrize(
    ("typed", "agreed"),
    [("y\n", True), ("Yes\n", True), (" YES \n", True), ("n\n", False), ("\n", False), ("", False), ("maybe\n", False)],
)
def test_only_yes_is_a_yes(typed, agreed, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert Console(terminal=True).confirm() is agreed
    shown = capsys.readouterr().err
    assert "[y/N]" in shown
    assert shown.endswith("\n") is (not typed.endswith("\n"))  # a terminal shows what was typed


def test_reading_a_source_of_any_size_shows_a_bar_on_a_terminal_until_it_is_read(capsys):
    with Console(terminal=True).reading() as show:
        for done in (0, 500, 1000):
            show(done, 1000)
        shown = capsys.readouterr().err
        assert "Reading     0%|" in shown
        assert "/1.00kB" in shown
        show(1000, 1000)
    assert capsys.readouterr().err == ""


def test_a_bar_is_gone_before_the_error_that_reading_ends_with(capsys):
    with suppress(SourceError), Console(terminal=True).reading() as show:
        show(0, 1000)
        raise SourceError("It ends in the middle.")
    assert capsys.readouterr().err.endswith("\r")


def test_without_a_terminal_only_a_large_source_is_said_to_be_read(capsys):
    for console in (Console(terminal=False), Console(terminal=False, quiet=True)):
        with console.reading() as show:
            for done in (0, 5_000_000, 10_000_000):
                show(done, 10_000_000)
        with console.reading() as show:
            show(10, 10)
    assert capsys.readouterr().err == "Reading   10,000,000 bytes …\n"


@pytest.mark.parametrize(
    ("variable", "given", "coloured"),
    [(None, {}, True), ("", {}, True), ("0", {}, False), (None, {"colour": False}, False)],
)
def test_what_ends_a_run_is_red_on_a_terminal_unless_colours_are_not_wanted(
    variable, given, coloured, monkeypatch, capsys
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if variable is not None:
        monkeypatch.setenv("NO_COLOR", variable)
    Console(terminal=True, **given).stopped("It is down.")
    reason = "\x1b[1;31mIt is down.\x1b[0m" if coloured else "It is down."
    assert capsys.readouterr().err == f"Stopped   {reason}\n"
    Console(terminal=False).stopped("It is down.")
    assert "\x1b" not in capsys.readouterr().err


def test_after_ctrl_c_on_a_terminal_what_follows_begins_on_a_new_line(capsys):
    console = Console(terminal=True, interval=0.01)
    with console.progress(progress, lambda: 12_345):
        console.break_line()
        console.warn("Stopping")
    assert "\n" in capsys.readouterr().err.partition("Stopping")[0]
    Console(terminal=False).break_line()
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_gone_away_does_not_end_the_run(monkeypatch):
    written = []

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    Console(terminal=False).say("unread")
    assert written


@pytest.mark.slow
@pytest.mark.parametrize("quiet", [True, False])
def test_a_terminal_that_is_stopped_delays_nothing(quiet, monkeypatch, until):
    writing, go_on = threading.Event(), threading.Event()

    class Stopped(io.StringIO):
        def write(self, text: str) -> int:
            writing.set()
            go_on.wait(DEADLINE)
            return super().write(text)

    terminal = Stopped()
    monkeypatch.setattr(sys, "stderr", terminal)
    console = Console(terminal=True, quiet=quiet, interval=0.01)
    with console.progress(progress, lambda: 12_345):
        console.event(EVENT)
        console.warn("Stopping")
        assert writing.wait(DEADLINE)
    console.warn("Stopped")
    assert terminal.getvalue() == ""
    go_on.set()
    until(lambda: "Stopped" in terminal.getvalue())
    console.warn("Done")
    console.flush()
    assert terminal.getvalue().rstrip().endswith("Stopped\nDone")
