"""Jobs: staged, sent, read back, undone and reported. What is here does it from Python, as the commands do.

``opening`` opens a job, and ``job`` is one that is open.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from batch_alias.errors import Interrupted
from batch_alias.job.findings import Planned, Verified
from batch_alias.job.job import Job
from batch_alias.job.opening import OpenJob, open_job, open_undo, recall_address
from batch_alias.ledger import Place
from batch_alias.reports import Summary, write_reports
from batch_alias.sending import Observer, Timing, ignore
from batch_alias.settings import Settings

__all__ = [
    "Job",
    "Observer",
    "OpenJob",
    "Planned",
    "Verified",
    "open_job",
    "open_undo",
    "plan_job",
    "recall_address",
    "run_job",
    "undo_job",
    "verify_job",
    "write_job_reports",
]

T = TypeVar("T")


async def run_job(settings: Settings, *, observer: Observer = ignore, timing: Timing | None = None) -> Summary:
    """Set every alias of a source and account for every row, as ``batch-alias run`` does.

    Run it again with the same settings to go on where it ended. A run that the service stopped is returned with exit
    code 4 and the reason in ``stopped``. While another job of this user sends for the same App Key it waits. Cancelling
    it abandons staging, and lets the attempts under way end, within seconds.

    Args:
        settings: What to do. Without a source, the failed rows of the job are sent again too.
        observer: Called with each event.
        timing: How long to wait for what.

    Raises:
        UsageError: There is no target, or the client cannot be set up as the settings or the environment say.
        SourceError: The source cannot be used, or more of its rows would replace or clear an alias than ``max_changes``
            permits; nothing was sent.
        LedgerError: The ledger cannot be used, or with ``no_wait`` another job is sending for the App Key.
        ReportError: A report could not be written; the ledger is complete.
    """
    return await _perform(partial(open_job, settings, timing=timing), partial(Job.send, observer=observer), Job.report)


async def plan_job(settings: Settings, *, observer: Observer = ignore, timing: Timing | None = None) -> Planned:
    """Read the aliases that sending a source would replace, as ``batch-alias plan`` does; see ``run_job``.

    Nothing is sent; ``run_job`` with the same settings sends it.
    """
    opened = partial(open_job, settings, timing=timing)
    return await _perform(opened, partial(Job.plan, observer=observer), Job.report_plan)


async def verify_job(
    settings: Settings, *, sample: int | None = None, observer: Observer = ignore, timing: Timing | None = None
) -> Verified:
    """Read the accepted rows of a job back, or a random sample, as ``batch-alias verify`` does; see ``run_job``."""
    opened = partial(open_job, replace(settings, source=None, job=settings.job_folder), timing=timing)

    async def verify(job: Job) -> None:
        job.choose_to_verify(sample)
        await job.verify(observer)

    return await _perform(opened, verify, Job.report_verification)


async def undo_job(settings: Settings, *, observer: Observer = ignore, timing: Timing | None = None) -> Summary:
    """Set the aliases that a job has replaced again, as ``batch-alias undo`` does; see ``run_job``.

    Returns:
        The summary of the job that does so, in ``undo.aliases`` in the job's folder. Rows of which the alias before is
        not known are left out: their number is in ``left_out`` and logged as a warning under ``batch_alias.undo``.
    """
    return await _perform(partial(open_undo, settings, timing=timing), partial(Job.send, observer=observer), Job.report)


async def _perform(opened: OpenJob, work: Callable[[Job], Awaitable[None]], report: Callable[[Job], T]) -> T:
    """Open a job, do the work, and report, without blocking the event loop."""
    cancelled = threading.Event()

    def on_read(_done: int, _total: int) -> None:
        if cancelled.is_set():
            raise Interrupted("Interrupted.")

    with ExitStack() as stack:
        opening = asyncio.ensure_future(asyncio.to_thread(stack.enter_context, opened(on_read=on_read)))
        try:
            job = await asyncio.shield(opening)
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.wait([opening])
            raise
        await work(job)
        reporting = asyncio.ensure_future(asyncio.to_thread(report, job))
        try:
            return await asyncio.shield(reporting)
        finally:
            await asyncio.wait([reporting])  # when cancelled: the ledger is open until then


def write_job_reports(folder: Path, *, ledger: str | None = None, xlsx: bool = False) -> Summary:
    """Write a job's reports again from its ledger, as ``batch-alias report`` does.

    Args:
        folder: The job's folder.
        ledger: The database with its ledger, if it is not in that folder.
        xlsx: Whether to write ``results.xlsx`` too.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
        ReportError: A report could not be written.
    """
    with Place(folder, ledger).read() as found:
        runs = found.runs()
        code, stopped = (runs[-1].exit_code, runs[-1].stopped) if runs else (None, "")
        return write_reports(folder, found, xlsx=xlsx, exit_code=code, stopped=stopped)
