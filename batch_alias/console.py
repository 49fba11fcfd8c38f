"""What a person sees: the plan, a bar or a line now and then, news, and how it ended. All of it on stderr."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import Never, Protocol

from tqdm import tqdm

from batch_alias.errors import BatchAliasError
from batch_alias.model import State
from batch_alias.records import Check, Notice, Plan, Progress, Tally

REDRAW = 0.2
"""Seconds between two drawings of the bar. It is drawn from a timer: a terminal that stalls must not stall a lane."""
LINE = 10.0
"""Seconds between two progress lines where there is no terminal."""
EXAMPLES = 5
"""Kinds of problem that are shown."""

Problems = Sequence[tuple[str, str, int, int]]


class Sending(Protocol):
    """A run under way."""

    def progress(self) -> Progress:
        """How it stands now."""

    def stop(self) -> None:
        """Start no new attempts; it ends when those under way have ended."""


class Console:
    """Tells people on stderr.

    Args:
        quiet: Say nothing but problems.
        terminal: Whether stderr is a terminal; ``None`` finds out.
    """

    def __init__(self, *, quiet: bool = False, terminal: bool | None = None) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._bar: tqdm[Never] | None = None
        self._drawing: asyncio.Task[None] | None = None
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
        self._write(f"batch-alias: {error.problem}")
        if error.advice:
            self._write(f"  {error.advice}")

    def plan(self, plan: Plan) -> None:
        """Say what a run is about to do."""
        tally = plan.tally
        self.say(f"Source    {plan.info.source}: {plan.info.description}; {tally.rows:,} rows")
        self.say(f"Columns   {columns(plan.info.header, plan.info.columns)}")
        if tally.rejected:
            self.say(f"Rejected  {tally.rejected:,} rows may not be sent:")
            self.problems(plan.problems)
        if tally.superseded:
            self.say(f"Repeated  {tally.superseded:,} rows repeat a user and group; the last one counts")
        if plan.resumed:
            done = tally.accepted + tally.failed
            self.say(f"Resumed   {done:,} rows were settled by an earlier run")
        key = f", App Key {plan.masked_key}" if plan.masked_key else ""
        self.say(f"To send   {plan.to_send:,} rows to {plan.target}{key}; about {duration(plan.seconds)}")

    def problems(self, problems: Problems) -> None:
        """Show kinds of problem, the most frequent first, with an example of each."""
        for reason, message, count, first in problems[:EXAMPLES]:
            name = f"{reason}: " if reason else ""
            self.say(f"  {count:>9,} × {name}row {first}: {message}")
        if len(problems) > EXAMPLES:
            self.say(f"            … and {len(problems) - EXAMPLES} more kinds")

    def confirm(self) -> bool:
        """Ask whether to send."""
        self._write("Send these rows? [y/N] ", end="")
        return sys.stdin.readline().strip().casefold() in {"y", "yes"}

    def sending(self, run: Sending, plan: Plan) -> None:
        """Show a run under way, until ``sent``."""
        self._run = run
        if not self._quiet:
            draw = self._draw_bar if self._terminal else self._draw_lines
            self._drawing = asyncio.get_running_loop().create_task(draw(run, plan.to_send))

    def notice(self, notice: Notice) -> None:
        """Say something worth knowing, above the bar."""
        self.say(notice.text)

    def sent(self) -> None:
        """End the showing of the run."""
        self._run = None
        if self._drawing is not None:
            self._drawing.cancel()
            self._drawing = None

    def interrupt(self) -> bool:
        """Stop the run under way gently; say whether there was one that had not been asked before."""
        run, self._run = self._run, None
        if run is None:
            return False
        run.stop()
        in_flight = run.progress().in_flight
        self.warn(f"Stopping: {in_flight} requests under way may end. Once more ends at once.")
        return True

    def ended(self, tally: Tally, problems: Problems, *, stopped: str) -> None:
        """Say how the run ended."""
        if stopped:
            self.warn(f"Stopped: {stopped}")
        parts = [f"{count:,} {state}" for state, count in states(tally) if count]
        self.say(f"{tally.rows:,} rows: {', '.join(parts)}")
        self.problems(problems)

    def check(self, found: Check) -> None:
        """Say what a check has found."""
        tally = found.tally
        self._write(f"Source    {found.info.source}: {found.info.description}; {tally.rows:,} rows")
        self._write(f"Columns   {columns(found.info.header, found.info.columns)}")
        self._write(f"Users     {found.users:,} in {found.groups:,} groups")
        self._write(f"To send   {tally.pending:,} rows, about {duration(found.seconds)} at {found.rate} a second")
        if tally.superseded:
            self._write(f"Repeated  {tally.superseded:,} rows repeat a user and group; the last one counts")
            for first, last, same in found.duplicates:
                self._write(f"            row {first} by row {last}, {'the same alias' if same else 'another alias'}")
        if tally.rejected:
            self._write(f"Rejected  {tally.rejected:,} rows may not be sent:")
            self.problems(found.problems)
        if found.too_many:
            self._write("More rows are rejected than --max-rejected permits: run would send nothing.")

    async def _draw_bar(self, run: Sending, total: int) -> None:
        form = "{percentage:3.0f}%|{bar}| {n:,}/{total:,} {postfix}"
        bar = tqdm(total=total, file=sys.stderr, bar_format=form, dynamic_ncols=True, leave=True)
        self._bar = bar
        try:
            while True:
                self._show(bar, run.progress(), total)
                await asyncio.sleep(REDRAW)
        finally:
            self._show(bar, run.progress(), total)
            self._bar = None
            bar.close()

    def _show(self, bar: "tqdm[Never]", progress: Progress, total: int) -> None:
        bar.n = progress.accepted + progress.failed + progress.unknown
        bar.set_postfix_str(describe(progress, total), refresh=False)
        bar.refresh()

    async def _draw_lines(self, run: Sending, total: int) -> None:
        while True:
            await asyncio.sleep(LINE)
            progress = run.progress()
            done = progress.accepted + progress.failed + progress.unknown
            self._write(f"{done:,} of {total:,} rows, {describe(progress, total)}")

    def _write(self, text: str, end: str = "\n") -> None:
        # A reader that has gone away (`2>&1 | head`) must not end the run.
        with contextlib.suppress(OSError):
            if self._bar is not None:
                self._bar.clear()
            print(text, file=sys.stderr, end=end, flush=True)


def describe(progress: Progress, total: int) -> str:
    """A run's progress in a few words."""
    parts = []
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.unknown:
        parts.append(f"{progress.unknown:,} unknown")
    if progress.outage is not None:
        parts.append(f"on hold for {duration(progress.outage)}: the service does not answer")
        return ", ".join(parts)
    parts.append(f"{progress.rate}/s")
    left = total - progress.accepted - progress.failed - progress.unknown
    if left and progress.rate:
        parts.append(f"{duration(left / progress.rate)} left")
    return ", ".join(parts)


def states(tally: Tally) -> list[tuple[State, int]]:
    """The states in the order people want them, with their counts."""
    return [
        (State.ACCEPTED, tally.accepted),
        (State.SUPERSEDED, tally.superseded),
        (State.REJECTED, tally.rejected),
        (State.FAILED, tally.failed),
        (State.UNKNOWN, tally.unknown),
        (State.PENDING, tally.pending),
    ]


def columns(header: Sequence[str], positions: Sequence[int]) -> str:
    """Which column was taken for which."""
    roles = ("userId", "groupId", "remark")
    return ", ".join(f"{role} from {header[at]!r}" for role, at in zip(roles, positions, strict=True))


def duration(seconds: float) -> str:
    """A time span in words: ``45 s``, ``12 min``, ``2 h 47 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
