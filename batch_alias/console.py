"""What people see: progress, events and questions on standard error, what they asked for on standard output."""

import contextlib
import os
import queue
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Never, TextIO

from tqdm import tqdm

from batch_alias.errors import BatchAliasError, ExitCode
from batch_alias.job import Job
from batch_alias.ledger import FIRST_ROWS, ReadBack
from batch_alias.model import Event, EventKind, State
from batch_alias.render import done_line, left_lines, left_out_lines, problem_lines, progress_text, read_back_lines
from batch_alias.reports import Summary, next_steps
from batch_alias.reports.advice import on_job
from batch_alias.sending.limiter import sending_seconds
from batch_alias.sending.members import MemberLookup
from batch_alias.sending.metrics import Estimate, Progress
from batch_alias.settings import PROGRESS_THREAD
from batch_alias.staging import OnRead
from batch_alias.text import _, count, duration, enumeration, labelled, wrapped

REDRAW = 0.2
"""Seconds between two drawings of the bar."""
LINE = 10.0
"""Seconds between two progress lines where there is no terminal."""
LARGE_SOURCE = 1_000_000
"""Bytes of a source that takes a second to read, so that is said before, where there is no terminal."""
_COLOURS = {"red": "1;31", "green": "32", "yellow": "33"}


class Console:
    """Standard error and standard output.

    Args:
        quiet: Print problems only.
        colour: Use colours, on a terminal, unless ``NO_COLOR`` is set.
        terminal: Whether standard error is a terminal; ``None`` finds out.
        interval: Seconds between two drawings of the progress; ``None`` takes the usual one.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        colour: bool = True,
        terminal: bool | None = None,
        interval: float | None = None,
    ) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._interval = interval or (REDRAW if self._terminal else LINE)
        self._colour = colour and self._terminal and not os.environ.get("NO_COLOR")
        self._drawn = 0  # lines that the next redrawing replaces
        self._printer: threading.Thread | None = None  # prints while the progress is shown
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # for it; None ends the progress

    @property
    def is_interactive(self) -> bool:
        """Whether a person can be asked."""
        return self._terminal and sys.stdin.isatty()

    def say(self, *lines: str) -> None:
        """Print lines that a quiet run leaves out."""
        for line in () if self._quiet else lines:
            self.warn(line)

    def warn(self, text: str) -> None:
        """Print something that a quiet run prints too."""
        self._put(_wrapped(text, sys.stderr))

    def break_line(self) -> None:
        """After Ctrl-C: what follows begins on a line of its own, below the ``^C`` that a terminal has shown."""
        if self._terminal:
            self._put("")

    def _put(self, text: str) -> None:
        if self._printer is None:
            _print(text)
            return
        self._lines.put(text)
        if not self._printer.is_alive():
            self._print_queued()

    def answer(self, lines: Iterable[str]) -> None:
        """Print what was asked for on standard output. JSON and other texts of several lines are never wrapped."""
        for line in lines:
            print(line if "\n" in line or line.startswith("{") else _wrapped(line, sys.stdout), flush=True)

    @property
    def width(self) -> int | None:
        """The columns of the terminal that standard output is; ``None`` where it is none."""
        return _columns(sys.stdout)

    def redraw(self, lines: Iterable[str]) -> None:
        """Print lines on the terminal that standard output is, in place of those that were printed so before."""
        up = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        drawn = "\n".join(_wrapped(line, sys.stdout) for line in lines)
        print(up + drawn, flush=True)
        self._drawn = drawn.count("\n") + 1

    def error(self, error: BatchAliasError) -> None:
        """Print what ended the run and what to do."""
        self.warn(f"batch-alias: {self._coloured(error.problem, 'red')}")
        if error.advice:
            self.warn(textwrap.indent(error.advice, "  "))

    def confirm(self) -> bool:
        """Ask whether to send."""
        _print(_("Send these rows? [y/N] "), end="")
        typed = sys.stdin.readline()
        if not typed.endswith("\n"):  # Ctrl-D
            self.break_line()
        return typed.strip().casefold() in {"y", "yes"}

    def event(self, event: Event) -> None:
        """Print an event of the run, above the bar; a quiet run prints those of which no report tells."""
        if not self._quiet or event.kind in {EventKind.WAITING, EventKind.NOT_LOCKED, EventKind.DATABASE_AWAY}:
            self.warn(f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {event.text}")

    def stopped(self, reason: str) -> None:
        """Print why a run ended early, if it did."""
        if reason:
            self.warn(labelled(_("Stopped"), self._coloured(reason, "red")))

    def ended(self, job: Job, summary: Summary) -> None:
        """Print how a run ended, where its reports are, and what to do next; if quiet, only what is left, in a line."""
        ledger, counts = job.ledger, job.ledger.counts()
        self.stopped(summary.stopped)
        done = done_line(counts, sent=summary.requests > 0 or ledger.may_have_sent())
        self.say(self._coloured(done, "green" if summary.exit_code == ExitCode.DONE else "yellow"))
        self.say(*problem_lines(ledger.problems(State.FAILED, State.UNKNOWN)))
        for line in left_out_lines(ledger):
            self.warn(line)
        found = ledger.read_back() if job.settings.comparing.verify else ReadBack(same=0, different=0, unread=0)
        if job.settings.comparing.verify and (not self._quiet or found.different + found.unread):
            for line in read_back_lines(found, list(islice(ledger.differing(), FIRST_ROWS))):
                self.warn(line)
        if self._quiet:
            for line in left_lines(counts, job.folder):
                self.warn(self._coloured(line, "yellow"))
            return
        names = ("report.html", "results.xlsx", "results.csv", "not-accepted.csv", "summary.json")
        written = enumeration(name for name in names if (job.folder / name).exists())
        self.warn(labelled(_("Reports"), _("{folder}: {files}", folder=job.folder, files=written)))
        for step in next_steps(summary, job.folder, ledger.info(), ledger):
            self.warn(labelled(_("Next"), step.text))
            if step.command:
                self._put(labelled("", step.command))
        if found.unread:
            command = on_job("verify", job.folder, ledger)
            self.warn(labelled(_("Next"), _("Read the others back: {command}", command=command)))

    @contextlib.contextmanager
    def reading(self) -> Iterator[OnRead]:
        """Show how far a source has been read, in bytes, by a callback that is called within the block."""
        bar: tqdm[Never] | None = None
        has_bar, is_said, began_at = self._terminal and not self._quiet, False, time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal bar, is_said
            if bar is None and done < total and has_bar:
                form = labelled(_("Reading"), "{percentage:3.0f}%|{bar}| {n_fmt}B/{total_fmt}B")
                bar = _bar(total, form, leave=False)
            elif bar is not None:
                bar.n = done
                bar.refresh()
                if done >= total:
                    bar.close()
            elif not is_said and done < total and (total >= LARGE_SOURCE or time.monotonic() - began_at >= 1):
                is_said = True
                self.say(labelled(_("Reading"), _("{bytes:,} bytes …", bytes=total)))

        try:
            yield show
        finally:
            if bar is not None:
                bar.close()

    @contextlib.contextmanager
    def looking_up(self, lookup: MemberLookup) -> Iterator[None]:
        """Show how far the members of groups have been looked up until the block ends."""
        time_left = duration(round(sending_seconds(lookup.groups, lookup.rate)))
        groups = count(lookup.groups, "group")
        self.say(_("Looking up {groups} …; about {time}", groups=groups, time=time_left))
        with self.progress(lookup.progress, lambda: lookup.groups, "group"):
            yield

    @contextlib.contextmanager
    def progress(
        self, progress: Callable[[], Progress | None], total: Callable[[], int], unit: str = "row"
    ) -> Iterator[None]:
        """Show the progress of a run until the block ends: where it stands, and how many rows that is of.

        A thread writes it, and all that is printed meanwhile: a terminal that is stopped (Ctrl-S) delays no request.
        """
        given = progress, total, unit
        self._printer = threading.Thread(target=self._show, args=given, name=PROGRESS_THREAD, daemon=True)
        self._printer.start()
        try:
            yield
        finally:
            self._lines.put(None)
            self.flush()

    def flush(self) -> None:
        """Wait until everything is printed, but not long: the terminal may be stopped."""
        if self._printer is not None:
            self._printer.join(1.0)
            if not self._printer.is_alive():
                self._print_queued()

    def _print_queued(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if (text := self._lines.get_nowait()) is not None:
                    _print(text)

    def _show(self, progress: Callable[[], Progress | None], total: Callable[[], int], unit: str) -> None:
        estimate, bar = Estimate(now=time.monotonic()), None
        if self._terminal and not self._quiet:
            # tqdm itself puts ", " before the postfix.
            form = "{percentage:3.0f}%|{bar}| {n:,}/{total:,}{postfix}"
            bar = _bar(total(), form, colour="green" if self._colour else None)
        drawn_at, ended = time.monotonic(), False
        while not ended:
            with contextlib.suppress(queue.Empty):
                text = self._lines.get(timeout=max(0.0, drawn_at + self._interval - time.monotonic()))
                ended = text is None
                if text is not None:
                    # An empty one ends the line of the bar, since a terminal shows ^C behind it.
                    _print(text, bar if text else None)
            if time.monotonic() - drawn_at >= self._interval or (ended and bar is not None):
                drawn_at = time.monotonic()
                if (now := progress()) is not None:
                    self._draw(now, total(), unit, estimate, bar)
        if bar is not None:
            bar.close()
        self._print_queued()

    def _draw(self, now: Progress, total: int, unit: str, estimate: Estimate, bar: "tqdm[Never] | None") -> None:
        text = progress_text(now, estimate.seconds_left(now, total, now=time.monotonic()))
        if bar is not None:
            bar.total, bar.n, bar.postfix, bar.ncols = total, now.done, text, _bar_columns()
            bar.refresh()
        elif not self._quiet:
            _print(_("{done:,} of {total}, {text}", done=now.done, total=count(total, unit), text=text))

    def _coloured(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._colour else text


def _print(text: str, bar: "tqdm[Never] | None" = None, end: str = "\n") -> None:
    # A reader that has gone away (`2>&1 | head`) must not end the run.
    with contextlib.suppress(OSError):
        if bar is not None:
            bar.clear()
        print(text, file=sys.stderr, end=end, flush=True)
        if bar is not None:
            bar.refresh()


def _columns(stream: TextIO) -> int | None:
    """The width of a terminal; ``None`` for what is none."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
        return os.get_terminal_size(stream.fileno()).columns or 80  # 0 where it is not known
    return None


def _bar(total: int, form: str, *, colour: str | None = None, leave: bool = True) -> "tqdm[Never]":
    columns = _bar_columns()
    return tqdm(
        total=total, file=sys.stderr, bar_format=form, ncols=columns, colour=colour, leave=leave, unit_scale=True
    )


def _bar_columns() -> int | None:
    columns = _columns(sys.stderr)
    # A terminal shows that behind it. With fewer columns than none tqdm would never return.
    return None if columns is None else max(0, columns - len("^C"))


def _wrapped(text: str, stream: TextIO) -> str:
    columns = _columns(stream)
    return text if columns is None else "\n".join(wrapped(line, columns) for line in text.split("\n"))
