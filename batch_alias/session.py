"""A run at the command line: it asks, shows, listens for signals, and says how it ended and what to do next."""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from batch_alias.console import Console, same_command
from batch_alias.errors import ExitCode
from batch_alias.flags import OutputFlags
from batch_alias.job import Job, open_job
from batch_alias.logs import logging_to
from batch_alias.reports import Summary
from batch_alias.settings import Settings

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STDIN = Path("-")


@contextlib.contextmanager
def spooled(source: Path) -> Iterator[Path]:
    """A file with what a source holds: itself, or for ``-`` a copy of standard input that goes when the block ends."""
    if source != STDIN:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="batch-alias-") as folder:
        copy = Path(folder) / "stdin"
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield copy


def _permit_connections(most: int) -> None:
    """Raise this process's limit on open files, often 1,024, to what so many connections need.

    On the sandbox both ends of each connection are in this process.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * most + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        permitted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (permitted, hard))


def send(settings: Settings, given: OutputFlags) -> int:
    """Run a job, or what is left of it, and return the exit code."""
    _permit_connections(settings.max_in_flight)
    console = Console(quiet=given["quiet"])
    with (
        logging_to(given["log"], console.say if given["verbose"] else None),
        open_job(settings, reading=console.reading) as job,
    ):
        plan = job.plan()
        console.plan(plan)
        person = sys.stdin.isatty() and sys.stderr.isatty()
        if plan.to_send and person and not given["yes"] and not settings.sandbox and not console.confirm():
            console.warn("Nothing was sent.")
            return ExitCode.INTERRUPTED
        summary = asyncio.run(_interruptible(job, console))
        _tell(job, settings, summary, console)
    if given["json"]:
        click.echo(summary.as_json(), nl=False)
    return ExitCode.DONE if summary.exit_code is None else summary.exit_code


async def _interruptible(job: Job, console: Console) -> Summary:
    """Send; the first signal lets the attempts under way end, the second ends at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupted() -> None:
        if not console.interrupt() and task is not None:
            task.cancel()

    for number in SIGNALS:
        # Windows has no signal handlers in the loop; there Ctrl-C ends the run at once, and the ledger is whole too.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, interrupted)
    try:
        return await job.send(console)
    finally:
        for number in SIGNALS:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)


def _tell(job: Job, settings: Settings, summary: Summary, console: Console) -> None:
    """Say how it ended, where the reports are, and what to do next."""
    console.ended(job.tally(), job.problems(), stopped=summary.stopped)
    console.say(f"Reports   {job.folder}: report.html, results.csv, not-accepted.csv, summary.json")
    for step in job.next_steps(summary):
        # Which command that was, only the terminal knows.
        command = step.command or same_command()
        console.warn(f"Next      {step.text}")
        console.warn(f"          {command}{f', {step.note}' if step.note else ''}")
