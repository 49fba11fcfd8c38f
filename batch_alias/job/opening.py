"""Opening a job: one that sets the aliases of a source, or one that takes back what another job has set."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

from batch_alias.errors import LedgerError, ReportError, UsageError
from batch_alias.job.job import Job
from batch_alias.ledger import (
    ADDRESS,
    FIRST_ROWS,
    LEDGER,
    LEFT_OUT,
    LOCK,
    NEW_LEDGER,
    TARGET,
    LedgerReader,
    Place,
    ProblemCount,
)
from batch_alias.ledger.file import translated
from batch_alias.model import EventKind, State
from batch_alias.reports import make_folder
from batch_alias.reports.advice import on_job
from batch_alias.reports.rows import write_table
from batch_alias.sending import Timing
from batch_alias.settings import Comparing, Empty, Format, Reading, Settings
from batch_alias.settings.target import arguments_of
from batch_alias.staging import PROGRESS, OnRead, connected, sha256_of, staged
from batch_alias.text import N_, _, from_json, listing, to_json

OpenJob = Callable[..., AbstractContextManager[Job]]
"""``open_job``, ``open_undo``, or one of them with some arguments; the rest is to be given."""
UNDO_SOURCE = "undo.csv"
UNDO_FOLDER = "undo.aliases"
"""What a job that takes another one back is made from, and its own folder: both in the folder of that job."""
_UNDO_READING = Reading(
    user_column="userId",
    group_column="groupId",
    remark_column="before",
    expect_column="expected",
    empty=Empty.CLEAR,
    encoding="utf-8-sig",
    delimiter="comma",
    format=Format.CSV,
    verbatim=True,
)

_LEFT_BY_STAGING = {LOCK, NEW_LEDGER, PROGRESS, Path(PROGRESS).with_suffix(".new").name}
"""Files that a staging leaves in a folder when it is killed."""

_LOG = logging.getLogger("batch_alias.undo")


@contextmanager
def open_job(
    settings: Settings, *, timing: Timing | None = None, on_read: OnRead = lambda _done, _total: None
) -> Iterator[Job]:
    """Stage a job, or open one that is staged, and lock it. Nothing is sent; see ``run_job`` for what is raised.

    Without a source in the settings it is the job in the folder; sending it sends the failed rows again as well.
    """
    timing = timing or Timing()
    if settings.source is not None and settings.ledger is None:
        _refuse_other_folder(settings.job_folder)
    with ExitStack() as stack:
        # Before anything is staged, since it may raise UsageError.
        connecting = connected(settings, timing, lambda host: job.emit(EventKind.HOST_SWITCHED, host=host))
        client = stack.enter_context(connecting)
        folder = settings.job_folder
        place = Place(folder, settings.ledger)
        if settings.source is None:
            ledger = stack.enter_context(place.opened())
        else:
            key = client.target.key_hash
            ledger = stack.enter_context(staged(settings.source, settings.reading, place, on_read, app_key=key))
        make_folder(folder, ledger)  # that it cannot be made is better known before anything is sent
        if _check_target(ledger, settings, place):
            ledger.forget_before()
        job = Job(settings, client, ledger, timing)
        if settings.source is not None:
            ledger.keep_members(settings.others and f"{settings.others} {settings.required_target.fingerprint}")
        job.refuse_rejections()
        yield job


def _refuse_other_folder(folder: Path) -> None:
    """Raise ``UsageError`` for a folder with files in it that is not the folder of a job."""
    with translated(folder):
        if not folder.is_dir() or (folder / LEDGER).exists():
            return
        names = {path.name for path in folder.iterdir()} - _LEFT_BY_STAGING
    if names := {name for name in names if not name.startswith(".")}:  # as a file manager leaves them
        problem = N_("The folder {folder} is not that of a job: it holds {names}.")
        advice = N_("Nothing was written into it. Pass a folder that is new or empty: --job DIR")
        raise UsageError(problem, advice, folder=folder, names=listing(sorted(names), 3))


def _check_target(ledger: LedgerReader, settings: Settings, place: Place) -> bool:
    """Make sure that a job is for the target of the settings.

    Returns:
        Whether it was begun for another one, which may be corrected since no row has an outcome.

    Raises:
        LedgerError: It was begun for another target, and rows have an outcome.
    """
    counts, wanted = ledger.counts(), settings.required_target.fingerprint
    begun = ledger.meta(TARGET) or wanted
    if begun == wanted or not counts.begun + counts.unchanged + counts.conflict:
        return begun != wanted
    places = {"begun": _place(begun), "wanted": _place(wanted)}
    problem = N_("The job {folder} was begun for {begun}; this run is for {wanted}.")
    if places["begun"] == places["wanted"]:
        problem = N_("The job {folder} was begun for another App Key.")
    advice = N_("Give this run a folder of its own: --job DIR; or delete that folder if it is not needed.")
    if place.url is not None:
        advice = N_("Pass the settings that it was begun with, or run the source as a job of another name: --job NAME")
    raise LedgerError(problem, advice, folder=place.name, **places)


def _place(fingerprint: str) -> str:
    """The place of a fingerprint of a target as it is shown."""
    match fingerprint.split(" ")[1:]:
        case ["the", "sandbox"]:
            return _("the sandbox")
        case ["the", "region", region]:
            return _("the region {region}", region=region)
        case hosts:
            return " ".join(hosts)


def recall_address(place: Place) -> dict[str, object]:
    """The fields of ``Target`` but for the credentials, as a job was last sent or read with them.

    They are empty for a job that was not, or by an earlier version.

    Raises:
        UsageError: It was the sandbox of a command that has ended.
        LedgerError: There is no ledger, or it cannot be read.
    """
    with place.read() as ledger:
        address: dict[str, object] = from_json(ledger.meta(ADDRESS) or "{}")
    if "sandbox" in address:
        problem = N_("The job {folder} is for the sandbox, and the one that it was sent to has ended.")
        raise UsageError(problem, "Pass --sandbox to use a new one, which holds no aliases.", folder=place.name)
    return arguments_of(address)


@contextmanager
def open_undo(
    settings: Settings, *, timing: Timing | None = None, on_read: OnRead = lambda _done, _total: None
) -> Iterator[Job]:
    """Open the job that takes another one back; both are locked. See ``open_job``.

    It sets each alias that was replaced again, or clears it where there was none, if it is still the one that was set.

    Raises:
        LedgerError: The aliases that the job replaced are not known, it was sent elsewhere, or an undo was begun and
            more rows were sent since.
    """
    folder = settings.job_folder
    with ExitStack() as stack:
        place = Place(folder, settings.ledger)
        ledger = stack.enter_context(place.opened())
        _check_target(ledger, settings, place)
        undo = Place(folder / UNDO_FOLDER, None)
        if settings.ledger is not None:
            undo = Place(folder.with_name(f"{place.name}.undo.aliases"), settings.ledger)
            make_folder(folder, ledger)
        left_out = _write_source(place, ledger, undo)
        undoing = replace(
            settings,
            source=folder / UNDO_SOURCE,
            job=undo.folder,
            reading=_UNDO_READING,
            max_rejected=1.0,
            comparing=Comparing(verify=settings.comparing.verify),
        )
        job = stack.enter_context(open_job(undoing, timing=timing, on_read=on_read))
        job.ledger.set_meta(LEFT_OUT, "" if left_out is None else to_json(asdict(left_out)))
        if left_out is not None:
            _LOG.warning("%s: %d of its rows left out: the alias before was not read", folder, left_out.count)
        yield job


def _write_source(place: Place, ledger: LedgerReader, undo: Place) -> ProblemCount | None:
    """Write the source of the job that takes another one back; returns the rows that cannot be, if there are any."""
    # Those under way when a run was killed are pending.
    sent = (State.ACCEPTED, State.UNKNOWN, *([State.PENDING] if ledger.was_killed() else []))
    unread = (row.number for row in ledger.rows(State.ACCEPTED, State.UNKNOWN) if row.before is None)
    first = tuple(islice(unread, FIRST_ROWS))
    left_out = len(first) + sum(1 for _ in unread)
    if all(row.before is None for row in ledger.rows(*sent)):
        if not first:
            raise LedgerError("The job {folder} has set no alias.", "There is nothing to undo.", folder=place.name)
        problem = N_("The job {folder} cannot be undone: the aliases that it replaced were not read.")
        advice = N_("A job can be undone if it was run with --compare, or planned before.")
        raise LedgerError(problem, advice, folder=place.name)
    source, scratch = place.folder / UNDO_SOURCE, place.folder / f"{UNDO_SOURCE}.new"
    read = (row for row in ledger.rows(*sent) if row.before is not None)
    values = ((row.user_id, row.group_id, row.before, row.remark) for row in read)
    try:
        write_table(scratch, ("userId", "groupId", "before", "expected"), values)
        _check_begun(place, undo, sha256_of(scratch))
        scratch.replace(source)
    except OSError as error:
        reason = error.strerror or error
        raise ReportError("{path} cannot be written: {reason}.", path=source, reason=reason) from error
    finally:
        scratch.unlink(missing_ok=True)
    problem = _("the alias before was not read")
    return ProblemCount(name="", message=problem, count=left_out, rows=first) if left_out else None


def _check_begun(place: Place, undo: Place, sha256: str) -> None:
    """Raise ``LedgerError`` if an undo of a job was begun with another source."""
    if not undo.exists:
        return
    with undo.read() as ledger:
        if ledger.info().sha256 != sha256 and ledger.may_have_sent():
            problem = N_("More rows of the job {folder} were sent since its undo was begun.")
            advice = N_("Finish that with: {command}; then rename its folder, and undo what is left.")
            if undo.url is not None:
                advice = N_("Finish that with: {command}; then rename it in batch_alias.jobs, and undo what is left.")
            raise LedgerError(problem, advice, folder=place.name, command=on_job("retry", undo.folder, ledger))
