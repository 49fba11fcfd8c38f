"""What a person sees: texts, a bar or a line now and then, news. All of it on stderr."""

import asyncio
import contextlib
import os
import shlex
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Never

from tqdm import tqdm

from batch_alias.errors import BatchAliasError
from batch_alias.records import Check, Event, Plan, ProblemCount, Progress, StateCounts
from batch_alias.screens import (
    Finding,
    Status,
    check_lines,
    diagnosis_lines,
    end_lines,
    plan_lines,
    progress_text,
    status_lines,
)
from batch_alias.watching import Sending

REDRAW = 0.2
"""Seconds between two drawings of the bar. It is drawn from a timer: a terminal that stalls must not stall a lane."""
LINE = 10.0
"""Seconds between two progress lines where there is no terminal."""
HORIZON = 30.0
"""Seconds of progress from which the time left is told."""
WORTH_A_BAR = 8_000_000
"""Bytes of a source from which reading it is worth a bar."""


class Console:
    """Tells people on stderr.

    Args:
        quiet: Say nothing but problems.
        terminal: Whether stderr is a terminal; ``None`` finds out.
    """

    def __init__(self, *, quiet: bool = False, terminal: bool | None = None) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._colour = self._terminal and "NO_COLOR" not in os.environ
        self._bar: tqdm[Never] | None = None
        self._drawing: asyncio.Task[None] | None = None
        self._draw: Callable[[], None] = lambda: None
        self._run: Sending | None = None

    def say(self, text: str = "") -> None:
        """Say something that a quiet run leaves out."""
        if not self._quiet:
            self._write(text)

    def warn(self, text: str) -> None:
        """Say something that a quiet run says too."""
        self._write(text)

    def error(self, error: BatchAliasError) -> None:
        """Say what ended the run and what to do."""
        self._write(f"batch-alias: {self._bright(error.problem)}")
        if error.advice:
            self._write(f"  {error.advice}")

    def plan(self, plan: Plan) -> None:
        """Say what a run is about to do."""
        self._say_all(plan_lines(plan))

    def check(self, found: Check) -> None:
        """Say what a check has found."""
        self._say_all(check_lines(found))

    def status(self, status: Status) -> None:
        """Say how a job stands."""
        self._say_all(status_lines(status))

    def diagnosis(self, findings: Sequence[Finding]) -> None:
        """Say what the doctor found."""
        self._say_all(diagnosis_lines(findings))

    def ended(self, tally: StateCounts, problems: Sequence[ProblemCount], *, stopped: str) -> None:
        """Say how a run ended."""
        if stopped:
            self.warn(f"Stopped   {self._bright(stopped)}")
        self._say_all(end_lines(tally, problems))

    def confirm(self) -> bool:
        """Ask whether to send."""
        self._write("Send these rows? [y/N] ", end="")
        return sys.stdin.readline().strip().casefold() in {"y", "yes"}

    def reading(self, done: int, total: int) -> None:
        """Show how far the source has been read, in bytes."""
        if self._quiet or not self._terminal or total < WORTH_A_BAR:
            return
        if self._bar is None:
            self._bar = tqdm(total=total, file=sys.stderr, unit="B", unit_scale=True, desc="Reading", leave=False)
        self._bar.n = done
        self._bar.refresh()
        if done >= total:
            self._bar.close()
            self._bar = None

    def sending(self, run: Sending, plan: Plan) -> None:
        """Show a run under way, until ``sent``."""
        self._run = run
        if not self._quiet:
            draw = self._draw_bar if self._terminal else self._draw_lines
            self._drawing = asyncio.get_running_loop().create_task(draw(run, plan.to_send))

    def event(self, event: Event) -> None:
        """Say something worth knowing, above the bar."""
        self.say(f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {event.text}")

    def interrupt(self) -> bool:
        """Stop the run under way gently; say whether there was one that had not been asked before."""
        run, self._run = self._run, None
        if run is None:
            return False
        run.stop()
        self.warn(f"Stopping: {run.progress().in_flight} requests under way may end. Once more ends at once.")
        return True

    def sent(self) -> None:
        """End the showing of the run."""
        self._run = None
        if self._drawing is not None:
            self._drawing.cancel()
            self._drawing = None
        if self._bar is not None:
            self._draw()
            self._bar.close()
            self._bar = None

    async def _draw_bar(self, run: Sending, total: int) -> None:
        # tqdm itself puts ", " before the postfix.
        form = "{percentage:3.0f}%|{bar}| {n:,}/{total:,}{postfix}"
        colour = "green" if self._colour else None
        self._bar = bar = tqdm(total=total, file=sys.stderr, bar_format=form, dynamic_ncols=True, colour=colour)
        outlook = _Outlook(total)

        def draw() -> None:
            progress = run.progress()
            bar.n = outlook.settled(progress)
            bar.postfix = progress_text(progress, outlook.left(progress))
            bar.refresh()

        self._draw = draw
        while True:
            draw()
            await asyncio.sleep(REDRAW)

    async def _draw_lines(self, run: Sending, total: int) -> None:
        outlook = _Outlook(total)
        while True:
            await asyncio.sleep(LINE)
            progress = run.progress()
            text = progress_text(progress, outlook.left(progress))
            self._write(f"{outlook.settled(progress):,} of {total:,} rows, {text}")

    def _say_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.say(line)

    def _bright(self, text: str) -> str:
        return f"\x1b[1;31m{text}\x1b[0m" if self._colour else text

    def _write(self, text: str, end: str = "\n") -> None:
        # A reader that has gone away (`2>&1 | head`) must not end the run.
        with contextlib.suppress(OSError):
            if self._bar is not None:
                self._bar.clear()
            print(text, file=sys.stderr, end=end, flush=True)
            if self._bar is not None:
                self._bar.refresh()


def same_command() -> str:
    """The command as it was given."""
    return shlex.join(["batch-alias", *sys.argv[1:]])


class _Outlook:
    """How long the rest will take, from what was settled lately: honest during a slow-down, silent in an outage."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def settled(self, progress: Progress) -> int:
        """Rows that have ended in this run."""
        return progress.accepted + progress.failed + progress.unknown

    def left(self, progress: Progress) -> float | None:
        """Seconds that the rest will take."""
        now, done = time.monotonic(), self.settled(progress)
        self._seen.append((now, done))
        while now - self._seen[0][0] > HORIZON:
            self._seen.popleft()
        since, before = self._seen[0]
        if done <= before or done >= self._total or now - since < 1:
            return None
        return (self._total - done) * (now - since) / (done - before)
