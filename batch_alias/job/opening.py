"""Opening a job: it is staged, or has been, and is locked."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from batch_alias.job.job import Job
from batch_alias.job.refusals import asked_for, check_target, too_many_rejected
from batch_alias.ledger import Ledger, LedgerReader, locked
from batch_alias.model import EventKind
from batch_alias.rongcloud.client import Client
from batch_alias.sandbox import Sandbox
from batch_alias.sandbox.server import serve
from batch_alias.sending import Timing
from batch_alias.settings import Settings
from batch_alias.settings.target import Target
from batch_alias.staging import OnRead, staged


class OpenJob(Protocol):
    """Opens a job for a block; see ``open_job``."""

    def __call__(self, settings: Settings, *, on_read: OnRead) -> AbstractContextManager[Job]:
        """Open it."""


@contextmanager
def open_job(
    settings: Settings, *, timing: Timing | None = None, on_read: OnRead = lambda _done, _total: None
) -> Iterator[Job]:
    """Stage a job, or open one that is staged, and lock it. Nothing is sent; see ``run_job`` for what is raised.

    Without a source in the settings it is the job in the folder; sending it sends the failed rows again as well.
    """
    timing = timing or Timing()
    with ExitStack() as stack:
        target = asked_for(settings)
        if target.sandbox:
            sandbox = stack.enter_context(serve(Sandbox()))
            target = Target(url=sandbox.url, no_proxy=True, app_key=sandbox.app_key, app_secret=sandbox.app_secret)
        client = Client(  # before anything is staged, since it may raise UsageError
            target,
            timeout=settings.sending.timeout,
            first_timeout=timing.first_timeout,
            switch_interval=timing.switch_interval,
            on_switch=lambda host: job.emit(EventKind.HOST_SWITCHED, host=host),
        )
        folder = settings.job_folder
        if settings.source is None:
            LedgerReader(folder).close()  # before the lock makes a folder
            stack.enter_context(locked(folder))
            ledger = stack.enter_context(Ledger(folder))
        else:
            ledger = stack.enter_context(staged(settings.source, settings.reading, folder, on_read))
        if check_target(ledger, settings):
            ledger.forget_before()
        job = Job(settings, client, ledger, timing)
        if (error := too_many_rejected(ledger, settings)) is not None:
            job.report()
            raise error
        yield job
