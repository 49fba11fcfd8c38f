"""The story of a job: stage, send, report. The only file that knows all the others."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from batch_alias.errors import ExitCode, LedgerError, SourceError, StoppedByService, UsageError
from batch_alias.ledger import TARGET, LedgerReader, Ledger, locked
from batch_alias.model import State
from batch_alias.records import Event, EventKind, Plan, ProblemCount, StateCounts
from batch_alias.reports import Summary, summarize, write_reports
from batch_alias.reports.advice import Step, next_steps
from batch_alias.rongcloud.client import Client
from batch_alias.sandbox.app import Sandbox
from batch_alias.sandbox.server import serve
from batch_alias.sending.dispatcher import Dispatcher
from batch_alias.sending.limiter import LEAK
from batch_alias.sending.timing import Timing
from batch_alias.sending.response_handler import Limits
from batch_alias.settings import Service, Settings
from batch_alias.staging import OnRead, explained, staged
from batch_alias.version import __version__
from batch_alias.watching import NoWatcher, Watcher

WORKBOOKS = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})
SANDBOX = "the sandbox"


class Job:
    """A job that is staged, locked and allowed to be sent.

    Args:
        settings: What was asked.
        service: Where it goes.
        ledger: Its rows.
    """

    def __init__(self, settings: Settings, service: Service, ledger: Ledger) -> None:
        self._settings = settings
        self._service = service
        self._ledger = ledger
        self.folder = settings.job_folder
        self.target = SANDBOX if settings.sandbox else service.hosts

    def plan(self) -> Plan:
        """What a run is about to do."""
        tally = self._ledger.tally()
        to_send = min(tally.unfinished, self._settings.limit or tally.unfinished)
        return Plan(
            info=self._ledger.info(),
            tally=tally,
            problems=self._ledger.problems(State.REJECTED),
            warnings=explained(self._ledger.warnings()),
            target=self.target,
            masked_key=self._service.masked_key,
            to_send=to_send,
            seconds=to_send / (self._settings.rate * LEAK),
            resumed=self._ledger.meta(TARGET) is not None,
        )

    async def send(self, watcher: Watcher, timing: Timing | None = None) -> Summary:
        """Send what is left and write the reports.

        Args:
            watcher: Whoever looks on.
            timing: How long to wait for what.

        Raises:
            LedgerError: An outcome could not be kept.
            ReportError: A report could not be written; the ledger is whole.
        """
        plan = self.plan()
        if plan.to_send == 0:
            return self.report(_exit_code(plan.tally))
        settings, ledger = self._settings, self._ledger
        timing = timing or Timing()

        def notify(event: Event) -> None:
            ledger.record_event(event)
            watcher.event(event)

        client = self._client(timing, notify)
        ledger.set_meta(TARGET, _identity(settings, self._service))
        ledger.begin_run(host=self.target, version=__version__, settings=_told(settings, self._service))
        dispatcher = Dispatcher(
            ledger=ledger,
            carrier=client,
            rate=settings.rate,
            max_in_flight=settings.max_in_flight,
            limit=settings.limit,
            limits=Limits(attempts=settings.attempts, max_failed=settings.max_failed, patience=settings.patience),
            timing=timing,
            notify=notify,
            proven=plan.tally.accepted > 0,
        )
        stopped = ""
        watcher.sending(dispatcher, plan)
        try:
            await dispatcher.run()
            code = ExitCode.INTERRUPTED if dispatcher.was_stopped else _exit_code(ledger.tally())
        except StoppedByService as error:
            code, stopped = error.exit_code, str(error)
        finally:
            watcher.sent()
        ledger.end_run(exit_code=code, host_switches=client.hosts.switches, stopped=stopped)
        return self.report(code, stopped=stopped)

    def _client(self, timing: Timing, notify: Callable[[Event], None]) -> Client:
        settings = self._settings
        return Client(
            self._service,
            timeout=settings.timeout,
            ca_bundle=settings.ca_bundle,
            proxies=settings.proxies and not settings.sandbox,
            switch_interval=timing.switch_interval,
            on_switch=lambda host: notify(_switched(host)),
        )

    def report(self, exit_code: ExitCode, *, stopped: str = "") -> Summary:
        """Write the reports.

        Raises:
            ReportError: One could not be written; the ledger is whole.
        """
        return _report(self.folder, self._ledger, exit_code, stopped, xlsx=self._settings.xlsx)

    def next_steps(self, summary: Summary) -> list[Step]:
        """What to do next, in the order in which to do it."""
        return next_steps(summary, self.folder, self._ledger.info().reading)

    def tally(self) -> StateCounts:
        """How many rows are in each state."""
        return self._ledger.tally()

    def problems(self) -> list[ProblemCount]:
        """Why rows are rejected, failed or unknown, most frequent first."""
        return self._ledger.problems(State.REJECTED, State.FAILED, State.UNKNOWN)

    def refuse_rejections(self) -> None:
        """Refuse to send when too many rows are rejected; the reports say which.

        Raises:
            SourceError: More rows than permitted are rejected, or all of them.
        """
        tally, most = self._ledger.tally(), self._settings.max_rejected
        if not tally.too_many_rejected(most):
            return
        worst = self._ledger.problems(State.REJECTED)[0]
        self.report(ExitCode.SOURCE)
        raise SourceError(
            f"{tally.rejected:,} of {tally.rows:,} rows are rejected, more than --max-rejected {most:.0%} permits. "
            f"Nothing was sent. Most frequent, {worst.count:,} × {worst.name}: row {worst.rows[0]}: {worst.message}",
            f"See {self.folder / 'not-accepted.csv'}. If most rows have one problem, look at which column was taken for"
            " which, and at how the file was saved.",
        )


@contextmanager
def open_job(settings: Settings, reading: OnRead = lambda _done, _total: None) -> Iterator[Job]:
    """Stage a job, or open one that is staged, and hold its lock.

    Nothing is sent. A folder whose job has sent nothing yet is staged again when the source has changed.

    Args:
        settings: What was asked. Without a source, the rows of a job that have failed are to be sent again.
        reading: Called while the source is read, with the bytes read and the bytes in all.

    Raises:
        UsageError: No service was named.
        SourceError: The source cannot be read, or too many rows are rejected.
        LedgerError: The ledger is locked, damaged, or belongs to another source or another app.
    """
    with ExitStack() as stack:
        service = settings.service
        if settings.sandbox:
            running = stack.enter_context(serve(Sandbox()))
            service = Service(urls=(running.url,), app_key=running.app_key, app_secret=running.app_secret)
        if service is None:
            raise UsageError("No service was named.", "Say --sandbox, --region NAME or --url URL.")
        folder = settings.job_folder
        if settings.source is None:
            LedgerReader(folder).close()  # before the lock makes a folder
            stack.enter_context(locked(folder))
            ledger = stack.enter_context(Ledger(folder))
            ledger.reopen_failed()
        else:
            ledger = stack.enter_context(staged(settings.source, settings.reading, folder, reading))
        _check_target(ledger, settings, service)
        job = Job(settings, service, ledger)
        if settings.source is not None:
            job.refuse_rejections()
        yield job


async def run_job(settings: Settings, *, watcher: Watcher | None = None, timing: Timing | None = None) -> Summary:
    """Set every alias of a source and account for every row: what ``batch-alias run`` does.

    Run it again with the same settings to go on where it ended. A run that the service stopped is returned with exit
    code 4 and the reason in ``stopped``. Cancelling it lets the attempts under way end, within seconds.

    Args:
        settings: What to do.
        watcher: Whoever looks on.
        timing: How long to wait for what.

    Raises:
        UsageError: No service was named.
        SourceError: The source cannot be used; nothing was sent.
        LedgerError: The ledger cannot be used.
        ReportError: A report could not be written; the ledger is whole.
    """
    with ExitStack() as stack:
        job = await asyncio.to_thread(stack.enter_context, open_job(settings))
        return await job.send(watcher or NoWatcher(), timing)


def write_job_reports(folder: Path, *, xlsx: bool = False) -> Summary:
    """Write a job's reports again from its ledger: what ``batch-alias report`` does.

    Args:
        folder: The job's folder.
        xlsx: Write ``results.xlsx`` too; the job of a workbook always does.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
        ReportError: A report could not be written.
    """
    with LedgerReader(folder) as accounts:
        runs = accounts.runs()
        code, stopped = (runs[-1].exit_code, runs[-1].stopped) if runs else (None, "")
        return _report(folder, accounts, code, stopped, xlsx=xlsx)


def _report(folder: Path, accounts: LedgerReader, exit_code: int | None, stopped: str, *, xlsx: bool) -> Summary:
    info = accounts.info()
    totals = summarize(
        version=__version__,
        info=info,
        tally=accounts.tally(),
        runs=accounts.runs(),
        seconds=accounts.seconds(),
        exit_code=exit_code,
        stopped=stopped,
    )
    write_reports(folder, accounts, totals, workbook=xlsx or Path(info.source).suffix.lower() in WORKBOOKS)
    return totals


def _check_target(ledger: Ledger, settings: Settings, service: Service) -> None:
    begun, wanted = ledger.meta(TARGET), _identity(settings, service)
    if begun is None or begun == wanted:
        return
    where = "on the sandbox" if begun == SANDBOX else "for another App Key"
    raise LedgerError(
        f"The job {settings.job_folder} was begun {where}.",
        "Give this run a folder of its own: --job DIR; or delete that folder if it is not needed.",
    )


def _identity(settings: Settings, service: Service) -> str:
    """Whom a job's rows are sent to: an app lives in one data centre, so its key says it."""
    return SANDBOX if settings.sandbox else service.fingerprint


def _told(settings: Settings, service: Service) -> dict[str, object]:
    """What a run was told, for its record; no secret among it."""
    names = ("rate", "max_in_flight", "attempts", "timeout", "max_rejected", "max_failed", "patience", "limit")
    return {"masked_key": service.masked_key, **{name: getattr(settings, name) for name in names}}


def _switched(host: str) -> Event:
    return Event(at=time.time(), kind=EventKind.HOST_SWITCHED, text=f"All lanes move to {host}.")


def _exit_code(tally: StateCounts) -> ExitCode:
    return ExitCode.DONE if tally.all_done else ExitCode.NOT_ALL_ACCEPTED
