"""Opening a job: it is staged, or has been, and is locked."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from batch_alias.job.job import Job
from batch_alias.job.refusals import asked_for, check_target
from batch_alias.ledger import Ledger, LedgerReader, locked
from batch_alias.model import EventKind
from batch_alias.sending import Timing
from batch_alias.settings import Settings
from batch_alias.staging import OnRead, connected, staged


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
        if check_target(ledger, settings):
            ledger.forget_before()
        job = Job(settings, client, ledger, timing)
        if settings.source is not None:
            ledger.keep_members(settings.others and f"{settings.others} {asked_for(settings).fingerprint}")
        job.refuse_rejections()
        yield job
