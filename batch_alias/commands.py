"""The commands that send or read aliases: plan, question, progress, signals, result. Each returns its exit code."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import click

from batch_alias.console import Console
from batch_alias.errors import ExitCode, Interrupted, UsageError
from batch_alias.job import Job, OpenJob, Planned, Verified, open_job
from batch_alias.logs import logging_to
from batch_alias.render import plan_lines, planned_lines, reading_lines, verified_lines
from batch_alias.settings import Output, Settings
from batch_alias.settings.target import Secret
from batch_alias.text import _, count, labelled

T = TypeVar("T")


def run(settings: Settings, output: Output, *, opened: OpenJob = open_job) -> int:
    """Run a job, or what is left of it."""
    console = Console(quiet=output.quiet, colour=not output.no_color)
    confirmed = output.yes or (settings.target is not None and settings.target.sandbox)
    if not confirmed and not console.is_interactive:
        raise UsageError("There is no terminal to ask whether to send.", "Pass --yes to send without asking.")
    with _open(settings, output, console, opened) as job:
        if _perform(job, job.look_up_members(console.event, console.looking_up), console):
            console.say(*plan_lines(job))
            if job.to_send and settings.comparing.max_changes is not None and not job.is_planned_first:
                console.warn(labelled(_("Warning"), _("--max-changes is not applied: rows have been sent already")))
            if job.to_send and not confirmed and not console.confirm():
                raise Interrupted("This run has sent nothing.")
            with console.progress(job.progress, lambda: job.under_way):
                _perform(job, job.send(console.event), console)
        console.say(_("Writing reports …"))
        summary = job.report()
        console.ended(job, summary)
    console.flush()
    if output.json:
        console.answer([summary.as_json()])
    return ExitCode.DONE if summary.exit_code is None else summary.exit_code


def plan(settings: Settings, output: Output) -> int:
    """Read the aliases that a run would replace."""
    console = Console(quiet=output.quiet, colour=not output.no_color)
    with _open(settings, output, console, open_job) as job:
        if _perform(job, job.look_up_members(console.event, console.looking_up), console):
            console.say(*reading_lines(job, job.ledger.plan().left))
            with console.progress(job.progress, lambda: job.under_way):
                _perform(job, job.plan(console.event), console)
        found = job.report_plan()
    return _answer(found, planned_lines(found, job.folder), output, console)


def verify(settings: Settings, output: Output, *, sample: int | None) -> int:
    """Read the accepted rows of a job back, or a random sample of them."""
    console = Console(quiet=output.quiet, colour=not output.no_color)
    with _open(settings, output, console, open_job) as job:
        console.say(*reading_lines(job, job.choose_to_verify(sample)))
        with console.progress(job.progress, lambda: job.under_way):
            _perform(job, job.verify(console.event), console)
        found = job.report_verification()
    return _answer(found, verified_lines(found, job.folder), output, console)


def work(url: str, environment: Mapping[str, str], output: Output, *, until_idle: bool) -> int:
    """Help to send the rows of the jobs in a database until stopped, or until none are left."""
    from batch_alias.workers import work_until

    console = Console(quiet=output.quiet, colour=not output.no_color)
    credentials = environment.get("RONGCLOUD_APP_KEY", ""), Secret(environment.get("RONGCLOUD_APP_SECRET", ""))
    with logging_to(output.log, console.say if output.verbose else None), asyncio.Runner() as runner:
        working = work_until(url, *credentials, observer=console.event, say=console.say, until_idle=until_idle)
        runner.run(working)
    return ExitCode.DONE


@contextlib.contextmanager
def _open(settings: Settings, output: Output, console: Console, opened: OpenJob) -> Iterator[Job]:
    _permit_connections(settings.sending.max_in_flight)
    settings = replace(settings, argv=_command_line())
    with (
        logging_to(output.log, console.say if output.verbose else None),
        console.reading() as on_read,
        opened(settings, on_read=on_read) as job,
    ):
        yield job


def _command_line() -> tuple[str, ...]:
    """The command line with the command first, as reports name it; flags before it may as well stand behind it."""
    context = click.get_current_context(silent=True)
    place = sys.argv.index(context.info_name) if context is not None and context.info_name in sys.argv else 1
    return (*sys.argv[place:], *sys.argv[1:place])


def _perform(job: Job, work: Coroutine[Any, Any, T], console: Console) -> T:
    """Do some work on a job; signals end it."""
    with asyncio.Runner() as runner:
        _stop_on_signals(runner.get_loop(), job, console)
        runner.get_loop().set_default_executor(_Executor())
        done = runner.run(work)
    # The event loop has reset it; from here on SIGTERM is again what Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return done


def _answer(found: Planned | Verified, lines: Iterator[str], output: Output, console: Console) -> int:
    """Print what reading has found, and why it stopped; return its exit code."""
    console.stopped(found.stopped)
    console.flush()
    console.answer([found.as_json()] if output.json else lines)
    return found.exit_code


class _Executor(ThreadPoolExecutor):
    """Runs what blocks, such as the DNS of a proxy, and is not waited for when the event loop is closed."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - as in the base class
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def _stop_on_signals(loop: asyncio.AbstractEventLoop, job: Job, console: Console) -> None:
    """The first signal lets the attempts under way end, the second ends sending at once."""

    def interrupted(number: signal.Signals) -> None:
        progress = job.progress()
        if progress is not None and job.stop():
            if number is signal.SIGINT:
                console.break_line()
            requests = count(progress.in_flight, "request")
            console.warn(_("Stopping: {requests} in flight may end. Once more ends at once.", requests=requests))
        else:
            for task in asyncio.all_tasks(loop):
                task.cancel()

    # Windows has no signal handlers in the loop: there Ctrl-C ends the run at once, which the ledger survives too.
    with contextlib.suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted, number)


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
