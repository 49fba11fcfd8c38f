"""A job that is open: it is staged and locked, its rows are sent or their aliases read, and it is reported."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from itertools import islice

from batch_alias.errors import FINISHED, BatchAliasError, ExitCode, LedgerError, StoppedByService
from batch_alias.job.findings import Planned, Verification, Verified, too_many_changes, too_many_rejected
from batch_alias.job.senders import Sender, sender_of
from batch_alias.ledger import ADDRESS, FIRST_ROWS, REFUSED, STAYS_ON, TARGET, Ledger
from batch_alias.model import EventKind
from batch_alias.quota import AppLock, quota_of
from batch_alias.reports import Summary, write_plan_report, write_reports
from batch_alias.rongcloud.client import Client
from batch_alias.sending import Observer, Timing, ignore
from batch_alias.sending.comparison import Steps
from batch_alias.sending.limiter import WINDOW, sending_seconds
from batch_alias.sending.members import MemberLookup, Watch
from batch_alias.sending.metrics import Progress
from batch_alias.settings import Settings
from batch_alias.text import _, to_json
from batch_alias.version import __version__

Result = Callable[[], tuple[int, ExitCode]]
"""Says when a command is at its end how many rows are left to do, and the exit code if that is not for a stop."""


class Job:
    """A job that is staged, locked and ready to be sent to a target: for the sandbox the one that has been started."""

    verification: Verification
    """The rows that were chosen to be read back."""

    def __init__(self, settings: Settings, client: Client, ledger: Ledger, timing: Timing) -> None:
        self.settings = settings
        self.folder = settings.job_folder
        self.ledger = ledger
        self.target = client.target
        self.target_name = settings.required_target.name
        self.under_way = self.to_send  # rows that are sent or read by what was begun last, or is begun first
        self._client = client
        self._timing = timing
        self._app_lock = AppLock(settings)
        self._pipeline: Sender | None = None
        self._quota = quota_of(settings)
        self.unreadable: list[str] | None = None  # groups that could not be looked up; None: none was asked about
        self._end: tuple[ExitCode, str] = ExitCode.SOURCE, ""

    @property
    def to_send(self) -> int:
        """How many rows the next ``send`` sends."""
        counts = self.ledger.counts()
        left = counts.unfinished + (counts.failed if self.sends_failed else 0)
        return min(left, self.settings.sending.limit or left)

    @property
    def sends_failed(self) -> bool:
        """Whether the failed rows are sent again as well: without a source in the settings."""
        return self.settings.source is None

    @property
    def steps(self) -> Steps:
        """What the next ``send`` does for each row. A comparison or a guard that was used once stays on."""
        comparing, ledger = self.settings.comparing, self.ledger
        compare, only_absent = (getattr(comparing, name) or ledger.meta(name) is not None for name in STAYS_ON)
        compare = compare or only_absent or self.is_expecting
        return Steps(compare=compare, only_absent=only_absent, verify=comparing.verify)

    @property
    def is_expecting(self) -> bool:
        """Whether the source says which alias must be set when a row is sent."""
        return "expected" in self.ledger.info().column_names

    @property
    def is_planned_first(self) -> bool:
        """Whether the next ``send`` reads all aliases before it sends the first row."""
        return self.settings.comparing.max_changes is not None and not self.ledger.may_have_sent()

    @property
    def seconds(self) -> float:
        """How long the next ``send`` takes if all goes well: reading and sending are paced apart, side by side."""
        steps, rows, unread = self.steps, self.to_send, self.ledger.plan().left
        planned = unread if self.is_planned_first else 0
        is_guarded = steps.only_absent or self.is_expecting
        compared = rows if is_guarded else min(rows, unread - planned) * steps.compare
        requests = planned + max(rows, compared + rows * steps.verify)
        return sending_seconds(requests, self.settings.sending.rate)

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

    async def look_up_members(self, observer: Observer = ignore, watch: Watch = nullcontext) -> bool:
        """Look up who is in which group, if that is asked for and not done; return whether rows may be sent then."""
        if self.settings.comparing.members is None or self.unreadable is not None:
            return True
        lookup = MemberLookup(
            self.settings,
            ledger=self.ledger,
            service=self._client,
            limiter=self._quota.limiter,
            timing=self._timing,
            observer=observer,
        )
        if lookup.groups:
            with watch(lookup):
                async with self._app_lock.held("members", observer):
                    await self._do("members", lookup, self._noted(Steps()), self._looked_up)
            if self._end[0] in {ExitCode.INTERRUPTED, ExitCode.STOPPED}:
                return False
        self._pipeline, self.unreadable = None, lookup.unreadable
        self.refuse_rejections()
        return True

    async def send(self, observer: Observer = ignore) -> None:
        """Send what is left, with no other job between a plan and that; see ``run_job``."""
        async with self._app_lock.held("run", observer) if self.to_send else nullcontext():
            if not await self.look_up_members(observer):
                return
            if self.is_planned_first:
                await self.plan(observer)
                if self._end[0] not in FINISHED:
                    return
                if (error := too_many_changes(self.ledger, self.settings)) is not None:
                    write_plan_report(self.folder, self.ledger)
                    raise error
                if self.under_way:
                    await asyncio.sleep(WINDOW)  # for the rate: what comes now does not know what was read last
            self.under_way = self.to_send
            self.ledger.select_to_send(failed=self.sends_failed)
            steps, limit = self.steps, self.settings.sending.limit
            await self._do_steps("run", steps, self._noted(steps), self._sent, observer, limit=limit)

    async def plan(self, observer: Observer = ignore) -> None:
        """Read the aliases of the pending rows that were not read; see ``plan_job``."""
        if not await self.look_up_members(observer):
            return
        self.under_way = self.ledger.plan().left
        self.ledger.select_unread()
        steps = replace(self.steps, compare=True, write=False)
        await self._do_steps("plan", steps, self._noted(steps), self._planned, observer)

    def choose_to_verify(self, sample: int | None) -> int:
        """Choose accepted rows to be read back, see ``Verification``; return how many are left of them."""
        self.verification = Verification(self.ledger, sample)
        self.under_way = self.verification.left
        return self.under_way

    async def verify(self, observer: Observer = ignore) -> None:
        """Read the rows that were chosen back; see ``verify_job``."""
        chosen = self.verification
        steps, noted = Steps(write=False, verify=True), {"sample": chosen.sample, "seed": chosen.seed}
        await self._do_steps("verify", steps, noted, self._verified, observer)
        if self._end[0] in FINISHED:
            chosen.end()

    async def _do_steps(
        self,
        command: str,
        steps: Steps,
        noted: Mapping[str, object],
        result: Result,
        observer: Observer,
        *,
        limit: int | None = None,
    ) -> None:
        """Do the steps of a command for the selected rows, if there are any; see ``_do``."""
        if not self.under_way:
            self._end = result()[1], ""
            return
        for name in STAYS_ON:
            if getattr(steps, name):
                self.ledger.set_meta(name, "")
        pipeline = sender_of(
            steps,
            self.ledger,
            self._client,
            self._quota,
            sending=replace(self.settings.sending, limit=limit),
            timing=self._timing,
            observer=observer,
            sends_failed=self.sends_failed,
        )
        async with self._app_lock.held(command, observer):
            await self._do(command, pipeline, noted, result)

    def _noted(self, steps: Steps) -> dict[str, object]:
        """The settings that are kept with a run, beside those of sending."""
        given = {name: value for name, value in asdict(self.settings.comparing).items() if value not in (None, False)}
        stays = {name: True for name in STAYS_ON if getattr(steps, name)}
        return {"max_rejected": self.settings.max_rejected} | given | stays

    async def _do(self, command: str, pipeline: Sender, noted: Mapping[str, object], result: Result) -> None:
        """Make the requests of a command, and record how that ended."""
        self._pipeline = pipeline
        self.ledger.set_meta(TARGET, self.settings.required_target.fingerprint)
        self.ledger.set_meta(ADDRESS, to_json(self.settings.required_target.address))
        known = {"masked_key": self.target.masked_key, "argv": self.settings.argv}
        settings = {**known, **asdict(self.settings.sending), **noted}
        self.ledger.begin_run(command, target=self.target_name, version=__version__, settings=settings)
        try:
            async with self._quota.open, self.ledger.recording():
                await pipeline.run()
            left, code = result()
            self._end = ExitCode.INTERRUPTED if pipeline.was_stopped and left else code, ""
        except StoppedByService as error:
            self._end = _ended_by(error)
        except BaseException as error:
            self._end = _ended_by(error)
            with suppress(LedgerError):  # it may be what has failed
                self._end_run()
            raise
        finally:
            self._quota = quota_of(self.settings)
            pipeline.stop()
        self._end_run()

    def _end_run(self) -> None:
        code, stopped = self._end
        self.ledger.end_run(exit_code=code, host_switches=self._client.hosts.switches, stopped=stopped)

    def refuse_rejections(self) -> None:
        """Raise ``SourceError`` when too many rows are rejected and no run has begun; the reports name them."""
        if (error := too_many_rejected(self.ledger, self.settings)) is not None:
            self._end = ExitCode.SOURCE, ""
            self.ledger.set_meta(REFUSED, to_json(self.settings.argv))
            self.report()
            self.ledger.forget_members_later()
            raise error

    def _looked_up(self) -> tuple[int, ExitCode]:
        is_refused = too_many_rejected(self.ledger, self.settings) is not None
        left, code = self._sent()
        return left, ExitCode.SOURCE if is_refused else code

    def _sent(self) -> tuple[int, ExitCode]:
        is_done = self.ledger.all_done(verify=self.settings.comparing.verify)
        return self.ledger.counts().unfinished, ExitCode.DONE if is_done else ExitCode.NOT_ALL_ACCEPTED

    def _planned(self) -> tuple[int, ExitCode]:
        plan = self.ledger.plan()
        return plan.unread, ExitCode.NOT_ALL_ACCEPTED if plan.left else ExitCode.DONE

    def _verified(self) -> tuple[int, ExitCode]:
        found = self.verification.found()
        return found.unread, ExitCode.NOT_ALL_ACCEPTED if found.different + found.unread else ExitCode.DONE

    def report(self) -> Summary:
        """Write the reports."""
        code, stopped = self._end
        return write_reports(self.folder, self.ledger, xlsx=self.settings.xlsx, exit_code=code, stopped=stopped)

    def report_plan(self) -> Planned:
        """Write ``plan.csv``; return what sending would do."""
        write_plan_report(self.folder, self.ledger)
        code, stopped = self._end
        return Planned(
            counts=self.ledger.counts(),
            plan=self.ledger.plan(),
            first=list(islice(self.ledger.planned_changes(), FIRST_ROWS)),
            exit_code=code,
            stopped=stopped,
        )

    def report_verification(self) -> Verified:
        """Write the reports; return what was found in the rows that were read back."""
        self.report()
        code, stopped = self._end
        return self.verification.verified(exit_code=code, stopped=stopped)


def _ended_by(error: BaseException) -> tuple[ExitCode, str]:
    if isinstance(error, BatchAliasError):
        if not error.advice:
            return error.exit_code, error.problem
        return error.exit_code, _("{problem} {advice}", problem=error.problem, advice=error.advice)
    return (ExitCode.INTERNAL if isinstance(error, Exception) else ExitCode.INTERRUPTED), ""
