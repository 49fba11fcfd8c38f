"""Job orchestration: stage, send, report."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

from batch_alias.errors import (
    BatchAliasError,
    ExitCode,
    Interrupted,
    LedgerError,
    SourceError,
    StoppedByService,
)
from batch_alias.ledger import TARGET, Ledger, LedgerReader, locked
from batch_alias.model import Event, EventKind, State, StateCounts
from batch_alias.reports import Summary, write_reports
from batch_alias.rongcloud.client import Client
from batch_alias.sending import Timing
from batch_alias.sending.comparison import Steps
from batch_alias.sending.limiter import RateLimiter
from batch_alias.sending.members import MemberLookup, Watch
from batch_alias.sending.metrics import Progress
from batch_alias.sending.pipeline import Pipeline
from batch_alias.settings import Settings
from batch_alias.settings.target import Target
from batch_alias.staging import OnRead, connected, staged
from batch_alias.text import percent
from batch_alias.version import __version__

Observer = Callable[[Event], None]
"""Called with each event of a run, from the event loop's thread."""


class Job:
    """A job that is staged, locked and ready to be sent to a target: for the sandbox the one that has been started."""

    def __init__(self, settings: Settings, client: Client, ledger: Ledger, timing: Timing) -> None:
        self.settings = settings
        self.folder = settings.job_folder
        self.ledger = ledger
        self.target = client.target
        self._client = client
        self._timing = timing
        self.target_name = _asked_for(settings).name
        self._pipeline: Pipeline | MemberLookup | None = None
        self.unreadable: list[str] | None = None  # groups that could not be looked up; None: none was asked about
        self._end: tuple[ExitCode, str] = ExitCode.SOURCE, ""

    @property
    def to_send(self) -> int:
        """How many rows the next ``send`` sends."""
        left = self.unfinished
        return min(left, self.settings.sending.limit or left)

    @property
    def unfinished(self) -> int:
        """How many rows are left to be sent: without a source in the settings the failed ones too."""
        counts = self.ledger.counts()
        return counts.unfinished + (counts.failed if self.settings.source is None else 0)

    def progress(self) -> Progress | None:
        """Where sending stands or ended; ``None`` before it begins. May be called from another thread."""
        return None if self._pipeline is None else self._pipeline.progress()

    def stop(self) -> bool:
        """Start no new attempts; return whether sending was under way and had not been stopped before."""
        pipeline = self._pipeline
        if pipeline is None or pipeline.was_stopped:
            return False
        pipeline.stop()
        return True

    def emit(self, kind: EventKind, **values: str | float) -> None:
        """Note an event of the run under way."""
        if self._pipeline is not None:
            self._pipeline.emit(kind, **values)

    async def look_up_members(self, observer: Observer = lambda _event: None, watch: Watch = nullcontext) -> bool:
        """Look up who is in which group, if that is asked for and not done; return whether rows may be sent then."""
        if self.settings.comparing.members is None or self.unreadable is not None:
            return True
        lookup = MemberLookup(
            self.settings, ledger=self.ledger, service=self._client, timing=self._timing, observer=observer
        )
        if lookup.groups:
            with watch(lookup):
                await self._run("members", lookup)
            if self._end[0] in {ExitCode.INTERRUPTED, ExitCode.STOPPED}:
                return False
        self._pipeline, self.unreadable = None, lookup.unreadable
        self.refuse_rejections()
        return True

    async def send(self, observer: Observer = lambda _event: None) -> None:
        """Send what is left; see ``run_job``."""
        if not await self.look_up_members(observer):
            return
        counts = self.ledger.counts()
        if self.to_send == 0:
            self._end = _exit_code(counts), ""
            return
        comparing = self.settings.comparing
        pipeline = Pipeline(
            Steps(
                compare=comparing.compare or comparing.only_absent,
                only_absent=comparing.only_absent,
                verify=comparing.verify,
            ),
            ledger=self.ledger,
            service=self._client,
            limiter=lambda: RateLimiter(self.settings.sending.rate),
            sending=self.settings.sending,
            timing=self._timing,
            observer=observer,
            proven=counts.accepted > 0,
        )
        if self.settings.source is None:
            self.ledger.send_failed_again()
        await self._run("run", pipeline)

    async def _run(self, command: str, pipeline: Pipeline | MemberLookup) -> None:
        """Make the requests of a command, and record how that ended."""
        self._pipeline = pipeline
        self.ledger.set_meta(TARGET, _asked_for(self.settings).fingerprint)
        noted = {"masked_key": self.target.masked_key, **asdict(self.settings.sending)}
        noted["max_rejected"] = self.settings.max_rejected
        self.ledger.begin_run(command, target=self.target_name, version=__version__, settings=noted)
        try:
            await pipeline.run()
            counts = self.ledger.counts()
            interrupted = pipeline.was_stopped and counts.unfinished
            code = ExitCode.SOURCE if self._is_refused else _exit_code(counts)
            self._end = ExitCode.INTERRUPTED if interrupted else code, ""
        except StoppedByService as error:
            self._end = error.exit_code, str(error)
        except BaseException as error:
            self._end = _ended_by(error)
            with suppress(LedgerError):  # it may be what has failed
                self._end_run()
            raise
        finally:
            pipeline.stop()
        self._end_run()

    def _end_run(self) -> None:
        code, stopped = self._end
        self.ledger.end_run(exit_code=code, host_switches=self._client.hosts.switches, stopped=stopped)

    def report(self) -> Summary:
        """Write the reports."""
        code, stopped = self._end
        return write_reports(self.folder, self.ledger, xlsx=self.settings.xlsx, exit_code=code, stopped=stopped)

    @property
    def _is_refused(self) -> bool:
        return not self.ledger.was_run() and self.ledger.too_many_rejected(self.settings.max_rejected)

    def refuse_rejections(self) -> None:
        """Raise ``SourceError`` when too many rows are rejected and no run has begun; the reports name them."""
        counts, most = self.ledger.counts(), self.settings.max_rejected
        if not self._is_refused:
            return
        self._end = ExitCode.SOURCE, ""
        self.report()
        self.ledger.forget_members_later()
        worst = self.ledger.problems(State.REJECTED)[0]
        problem = "{rejected:,} of {rows:,} rows are rejected, more than --max-rejected {most} permits;"
        if counts.rejected == counts.rows:
            problem = "No row can be sent: {rejected:,} of {rows:,} are rejected;"
        raise SourceError(
            problem + " nothing was sent. Most frequent, {count:,} × {name}: row {row}: {message}",
            "See {path}. If most rows have one problem, check which column was taken for which, and how the file was"
            " saved.",
            rejected=counts.rejected,
            rows=counts.rows,
            most=percent(most),
            count=worst.count,
            name=worst.name,
            row=worst.rows[0],
            message=worst.message,
            path=self.folder / "not-accepted.csv",
        )


@contextmanager
def open_job(
    settings: Settings, *, timing: Timing | None = None, on_read: OnRead = lambda _done, _total: None
) -> Iterator[Job]:
    """Stage a job, or open one that is staged, and lock it. Nothing is sent; see ``run_job`` for what is raised.

    Without a source in the settings it is the job in the folder; sending it sends the failed rows again as well.
    """
    timing = timing or Timing()
    with ExitStack() as stack:
        # Before anything is staged, since it may raise UsageError.
        connecting = connected(settings, timing, lambda host: job.emit(EventKind.HOST_SWITCHED, host=host))
        client = stack.enter_context(connecting)
        folder = settings.job_folder
        if settings.source is None:
            LedgerReader(folder).close()  # before the lock makes a folder
            stack.enter_context(locked(folder))
            ledger = stack.enter_context(Ledger(folder))
        else:
            ledger = stack.enter_context(staged(settings.source, settings.reading, folder, on_read))
        _check_target(ledger, settings)
        job = Job(settings, client, ledger, timing)
        if settings.source is not None:
            ledger.keep_members(settings.others and f"{settings.others} {_asked_for(settings).fingerprint}")
        job.refuse_rejections()
        yield job


async def run_job(
    settings: Settings, *, observer: Observer = lambda _event: None, timing: Timing | None = None
) -> Summary:
    """Set every alias of a source and account for every row, as ``batch-alias run`` does.

    Run it again with the same settings to go on where it ended. A run that the service stopped is returned with exit
    code 4 and the reason in ``stopped``. Cancelling it abandons staging, and lets the attempts under way end, within
    seconds.

    Args:
        settings: What to do.
        observer: Called with each event.
        timing: How long to wait for what.

    Raises:
        UsageError: There is no target, or the client cannot be set up as the settings or the environment say.
        SourceError: The source cannot be used; nothing was sent.
        LedgerError: The ledger cannot be used.
        ReportError: A report could not be written; the ledger is complete.
    """
    cancelled = threading.Event()

    def on_read(_done: int, _total: int) -> None:
        if cancelled.is_set():
            raise Interrupted("Interrupted.")

    with ExitStack() as stack:
        opened = open_job(settings, timing=timing, on_read=on_read)
        opening = asyncio.ensure_future(asyncio.to_thread(stack.enter_context, opened))
        try:
            job = await asyncio.shield(opening)
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.wait([opening])
            raise
        await job.send(observer)
        reporting = asyncio.ensure_future(asyncio.to_thread(job.report))
        try:
            return await asyncio.shield(reporting)
        finally:
            await asyncio.wait([reporting])  # when cancelled: the ledger is open until then


def write_job_reports(folder: Path, *, xlsx: bool = False) -> Summary:
    """Write a job's reports again from its ledger, as ``batch-alias report`` does.

    Raises:
        LedgerError: There is no ledger in the folder, or it cannot be read.
        ReportError: A report could not be written.
    """
    with LedgerReader(folder) as ledger:
        runs = ledger.runs()
        code, stopped = (runs[-1].exit_code, runs[-1].stopped) if runs else (None, "")
        return write_reports(folder, ledger, xlsx=xlsx, exit_code=code, stopped=stopped)


def _asked_for(settings: Settings) -> Target:
    return settings.target or Target()  # which raises UsageError: it names none


def _check_target(ledger: Ledger, settings: Settings) -> None:
    counts, wanted = ledger.counts(), _asked_for(settings).fingerprint
    begun = ledger.meta(TARGET) or wanted
    # As long as no row has an outcome, a wrong target may be corrected.
    if begun == wanted or not counts.accepted + counts.failed + counts.unknown:
        return
    places = {"begun": begun.partition(" ")[2], "wanted": wanted.partition(" ")[2]}
    problem = "The job {folder} was begun for {begun}; this run is for {wanted}."
    if places["begun"] == places["wanted"]:
        problem = "The job {folder} was begun for another App Key."
    advice = "Give this run a folder of its own: --job DIR; or delete that folder if it is not needed."
    raise LedgerError(problem, advice, folder=settings.job_folder, **places)


def _ended_by(error: BaseException) -> tuple[ExitCode, str]:
    if isinstance(error, BatchAliasError):
        return error.exit_code, str(error)
    return (ExitCode.INTERNAL if isinstance(error, Exception) else ExitCode.INTERRUPTED), ""


def _exit_code(counts: StateCounts) -> ExitCode:
    return ExitCode.DONE if counts.all_done else ExitCode.NOT_ALL_ACCEPTED
