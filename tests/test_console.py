"""What a person sees on stderr: with a terminal, without one, and when it is to be quiet."""

import asyncio
import io
import selectors
import sys

import pytest

from batch_alias.console import LINE, Console
from batch_alias.errors import UsageError
from batch_alias.records import JobInfo, Event, EventKind, Plan, Progress, StateCounts
from batch_alias.screens import duration


class Jumping(selectors.SelectSelector):
    """Jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        self.now += (timeout or 0) + 1e-6
        return super().select(0)


class DrivenLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._driven = Jumping()
        super().__init__(self._driven)

    def time(self) -> float:
        return self._driven.now


@pytest.fixture
def plan() -> Plan:
    info = JobInfo(
        source="names.csv",
        sha256="",
        description="CSV",
        header=("userId", "groupId", "remark"),
        columns=(0, 1, 2),
        blank_rows=0,
        reading={},
        staged_at=0.0,
        version="",
    )
    return Plan(
        info=info,
        tally=StateCounts(pending=12_345),
        problems=[],
        warnings=[],
        target="api.example.com",
        masked_key="abc…xyz",
        to_send=12_345,
        seconds=125.0,
        resumed=False,
    )


class Run:
    """A run that stands still."""

    def __init__(self, **progress) -> None:
        still = {"accepted": 1234, "failed": 5, "unknown": 0, "requests": 1300, "rate": 98, "pace": 100.0}
        self.now = Progress(**still | {"in_flight": 7, "waiting": 0, "outage": None} | progress)
        self.was_stopped = False

    def progress(self) -> Progress:
        return self.now

    def stop(self) -> None:
        self.was_stopped = True


@pytest.fixture
def watched(plan, capsys):
    """What is shown of a run that is looked at for so many seconds."""

    def look(console: Console, seconds: float, run: Run | None = None, news: str = "") -> str:
        async def main() -> None:
            console.sending(run or Run(), plan)
            await asyncio.sleep(seconds)
            if news:
                console.event(Event(at=0.0, kind=EventKind.OUTAGE_BEGAN, text=news))
            console.sent()
            await asyncio.sleep(0)

        with asyncio.Runner(loop_factory=DrivenLoop) as runner:
            runner.run(main())
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return look


def test_without_a_terminal_there_is_a_plain_line_every_ten_seconds(watched):
    shown = watched(Console(terminal=False), 35.0)
    lines = shown.splitlines()
    assert LINE == 10.0
    assert len(lines) == 3
    assert all("1,239" in line and "12,345" in line and "98/s" in line for line in lines)
    assert "\r" not in shown
    assert "\x1b" not in shown


def test_a_run_shorter_than_that_has_no_line_at_all(watched):
    assert watched(Console(terminal=False), 9.0) == ""


def test_on_a_terminal_there_is_a_bar(watched):
    shown = watched(Console(terminal=True), 2.0)
    assert "\r" in shown
    assert " 10%|" in shown
    assert "1,239/12,345" in shown
    assert "98/s" in shown


def test_news_is_said_whole_beside_a_bar(watched):
    assert "The service does not work.\n" in watched(Console(terminal=True), 1.0, news="The service does not work.")
    assert "The service does not work.\n" in watched(Console(terminal=False), 1.0, news="The service does not work.")


@pytest.mark.parametrize("terminal", [True, False])
def test_an_outage_is_said_in_plain_words(terminal, watched):
    shown = watched(Console(terminal=terminal), 11.0, run=Run(outage=700.0, rate=0))
    assert "on hold for 12 min" in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_a_quiet_console_says_only_what_went_wrong(terminal, watched, capsys, plan):
    console = Console(quiet=True, terminal=terminal)
    console.plan(plan)
    console.say("all is well")
    console.ended(StateCounts(accepted=3), [], stopped="")
    assert watched(console, 35.0, news="The service does not work.") == ""
    console.warn("something is wrong")
    console.error(UsageError("No region is named.", "Name one."))
    shown = capsys.readouterr().err
    assert "something is wrong" in shown
    assert "No region is named." in shown
    assert "Name one." in shown
    assert "all is well" not in shown


def test_the_plan_names_what_goes_where_and_masks_the_key(plan, capsys):
    Console(terminal=False).plan(plan)
    shown = capsys.readouterr().err
    for part in ("names.csv", "12,345", "api.example.com", "abc…xyz", "2 min"):
        assert part in shown


@pytest.mark.parametrize(
    ("typed", "agreed"),
    [("y\n", True), ("Yes\n", True), (" YES \n", True), ("n\n", False), ("\n", False), ("", False), ("maybe\n", False)],
)
def test_only_a_plain_yes_is_a_yes(typed, agreed, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert Console(terminal=True).confirm() is agreed
    assert "[y/N]" in capsys.readouterr().err


def test_the_first_interrupt_stops_the_run_and_the_second_is_told_so(plan, capsys):
    async def main() -> tuple[bool, bool, bool]:
        console, run = Console(terminal=False), Run()
        console.sending(run, plan)
        answers = console.interrupt(), run.was_stopped, console.interrupt()
        console.sent()
        return answers

    assert asyncio.run(main()) == (True, True, False)
    assert "7 requests" in capsys.readouterr().err


def test_an_interrupt_before_anything_is_sent_stops_nothing():
    assert Console(terminal=False).interrupt() is False


def test_a_reader_that_has_gone_away_does_not_end_the_run(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    Console(terminal=False).say("nobody reads this")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (45.4, "45 s"),
        (89, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (5399, "1 h 30 min"),
        (10_020, "2 h 47 min"),
        (3600 * 30, "30 h 00 min"),
    ],
)
def test_a_duration_is_told_as_people_do(seconds, words):
    assert duration(seconds) == words
