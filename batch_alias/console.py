"""What people see: progress, events and questions on standard error, what they asked for on standard output."""

import contextlib
import os
import queue
import shlex
import shutil
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Never

import wcwidth
from tqdm import tqdm

from batch_alias.errors import BatchAliasError
from batch_alias.job import Job
from batch_alias.ledger import FIRST_ROWS
from batch_alias.model import Event, State
from batch_alias.render import left_out_lines, problem_lines, progress_text, read_back_lines, state_counts
from batch_alias.reports import Summary, next_steps
from batch_alias.sending.limiter import sending_seconds
from batch_alias.sending.members import MemberLookup
from batch_alias.sending.metrics import Progress
from batch_alias.settings import PROGRESS_THREAD
from batch_alias.text import INDENT, count, duration

REDRAW = 0.2
"""Seconds between two drawings of the bar."""
LINE = 10.0
"""Seconds between two progress lines where there is no terminal."""
HORIZON = 30.0
"""Seconds of progress from which the time left is estimated."""
LARGE_SOURCE = 8_000_000
"""Bytes of a source from which on reading it shows a bar."""


class Console:
    """Standard error and standard output.

    Args:
        quiet: Print problems only.
        terminal: Whether standard error is a terminal; ``None`` finds out.
        interval: Seconds between two drawings of the progress; ``None`` takes the usual one.
    """

    def __init__(self, *, quiet: bool = False, terminal: bool | None = None, interval: float | None = None) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._interval = interval or (REDRAW if self._terminal else LINE)
        self._colour = self._terminal and "NO_COLOR" not in os.environ
        self._drawn = 0  # lines that the next redrawing replaces
        self._bar: tqdm[Never] | None = None  # shown while the source is read
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
        if self._printer is None:
            _print(text)
            return
        self._lines.put(text)
        if not self._printer.is_alive():
            self._print_queued()

    def answer(self, lines: Iterable[str]) -> None:
        """Print what was asked for on standard output."""
        for line in lines:
            print(line, flush=True)

    @property
    def width(self) -> int | None:
        """The columns of the terminal that standard output is; ``None`` where it is none."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def redraw(self, lines: Iterable[str]) -> None:
        """Print lines on the terminal that standard output is, in place of those that were printed so before."""
        wrapped = list[str]()
        for line in lines:
            wrapped += wcwidth.wrap(line, self.width or 80, subsequent_indent=" " * INDENT)
        up = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        print(up + "\n".join(wrapped), flush=True)
        self._drawn = len(wrapped)

    def error(self, error: BatchAliasError) -> None:
        """Print what ended the run and what to do."""
        self.warn(f"batch-alias: {self._highlight(error.problem)}")
        if error.advice:
            self.warn(textwrap.indent(error.advice, "  "))

    def confirm(self) -> bool:
        """Ask whether to send."""
        _print("Send these rows? [y/N] ", end="")
        return sys.stdin.readline().strip().casefold() in {"y", "yes"}

    def event(self, event: Event) -> None:
        """Print an event of the run, above the bar."""
        self.say(f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {event.text}")

    def stopped(self, reason: str) -> None:
        """Print why a run ended early, if it did."""
        if reason:
            self.warn(f"Stopped   {self._highlight(reason)}")

    def ended(self, job: Job, summary: Summary) -> None:
        """Print how a run ended, where its reports are, and what to do next."""
        self.stopped(summary.stopped)
        counts = job.ledger.counts()
        self.say(f"Done      {state_counts(counts)} of {count(counts.rows, 'row')}")
        self.say(*problem_lines(job.ledger.problems(State.REJECTED, State.FAILED, State.UNKNOWN)))
        for line in left_out_lines(job.ledger):
            self.warn(line)
        if job.settings.comparing.verify:
            found = job.ledger.read_back()
            self.say(*read_back_lines(found, list(islice(job.ledger.differing(), FIRST_ROWS))))
        self.say(f"Reports   {job.folder}: report.html, results.csv, not-accepted.csv, summary.json")
        for step in next_steps(summary, job.folder, job.ledger.info()):
            self.warn(f"Next      {step.text}")
            if command := same_command() if step.is_same else step.command:
                self.warn(f"          {command}{f', {step.note}' if step.note else ''}")
        if job.settings.comparing.verify and job.ledger.read_back().unread:
            self.warn(f"Next      Read the others back: batch-alias verify {shlex.quote(str(job.folder))}")

    def reading(self, done: int, total: int) -> None:
        """Show how far the source has been read, in bytes."""
        if self._quiet or total < LARGE_SOURCE:
            return
        if not self._terminal:
            if done == 0:
                self.say(f"Reading   {total:,} bytes …")
            return
        if self._bar is None:
            self._bar = tqdm(total=total, file=sys.stderr, unit="B", unit_scale=True, desc="Reading", leave=False)
        self._bar.n = done
        self._bar.refresh()
        if done >= total:
            self._bar.close()
            self._bar = None

    @contextlib.contextmanager
    def looking_up(self, lookup: MemberLookup) -> Iterator[None]:
        """Show how far the members of groups have been looked up until the block ends."""
        time_left = duration(round(sending_seconds(lookup.groups, lookup.rate)))
        self.say(f"Looking up {count(lookup.groups, 'group')} …; about {time_left}")
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
        estimate, bar = _Estimate(), None
        if self._terminal and not self._quiet:
            # tqdm itself puts ", " before the postfix.
            form = "{percentage:3.0f}%|{bar}| {n:,}/{total:,}{postfix}"
            colour = "green" if self._colour else None
            bar = tqdm(total=total(), file=sys.stderr, bar_format=form, dynamic_ncols=True, colour=colour)
        drawn_at, ended = time.monotonic(), False
        while not ended:
            with contextlib.suppress(queue.Empty):
                text = self._lines.get(timeout=max(0.0, drawn_at + self._interval - time.monotonic()))
                ended = text is None
                if text is not None:
                    _print(text, bar)
            if time.monotonic() - drawn_at >= self._interval or (ended and bar is not None):
                drawn_at = time.monotonic()
                if (now := progress()) is not None:
                    self._draw(now, total(), unit, estimate, bar)
        if bar is not None:
            bar.close()
        self._print_queued()

    def _draw(self, now: Progress, total: int, unit: str, estimate: "_Estimate", bar: "tqdm[Never] | None") -> None:
        text = progress_text(now, estimate.seconds_left(now, total))
        if bar is not None:
            bar.total = total
            bar.n = now.done
            bar.postfix = text
            bar.refresh()
        elif not self._quiet:
            _print(f"{now.done:,} of {count(total, unit)}, {text}")

    def _highlight(self, text: str) -> str:
        return f"\x1b[1;31m{text}\x1b[0m" if self._colour else text


def _print(text: str, bar: "tqdm[Never] | None" = None, end: str = "\n") -> None:
    # A reader that has gone away (`2>&1 | head`) must not end the run.
    with contextlib.suppress(OSError):
        if bar is not None:
            bar.clear()
        print(text, file=sys.stderr, end=end, flush=True)
        if bar is not None:
            bar.refresh()


class _Estimate:
    """How long the rest takes, from the rows settled lately: right during a slow-down, silent in an outage."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def seconds_left(self, progress: Progress, total: int) -> float | None:
        """Seconds until so many rows are done; ``None`` if that cannot be said."""
        now, done = time.monotonic(), progress.done
        if done < self._seen[-1][1]:  # something else has begun
            self._seen.clear()
        self._seen.append((now, done))
        while now - self._seen[0][0] > HORIZON:
            self._seen.popleft()
        since, before = self._seen[0]
        if done <= before or done >= total or now - since < 1:
            return None
        return (total - done) * (now - since) / (done - before)


def same_command() -> str:
    """The command as it was given."""
    return shlex.join(["batch-alias", *sys.argv[1:]])
