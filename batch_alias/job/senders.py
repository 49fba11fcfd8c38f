"""What makes the requests of a command: this process alone, or with others where the ledger is in a database."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from batch_alias.ledger import Ledger
from batch_alias.model import RequestKind
from batch_alias.rongcloud.client import Client
from batch_alias.sending import Observer, RateLimiter, Timing
from batch_alias.sending.comparison import Steps
from batch_alias.sending.limiter import RateLimiter as LocalLimiter
from batch_alias.sending.members import MemberLookup
from batch_alias.sending.pipeline import Pipeline
from batch_alias.settings import Sending

if TYPE_CHECKING:
    from batch_alias.workers.shared_run import SharedRun

Sender = Union[Pipeline, MemberLookup, "SharedRun"]


@dataclass(frozen=True, slots=True)
class Quota:
    """The quota of a command's requests: that of this process, or what all have in common."""

    limiter: Callable[[RequestKind], RateLimiter]
    open: AbstractAsyncContextManager[object]  # entered while requests are made


def quota_of(ledger: Ledger, client: Client, rate: int) -> Quota:
    """The quota of a command, for the place of its ledger."""
    if ledger.url is None:
        return Quota(lambda _kind: LocalLimiter(rate), nullcontext())
    from batch_alias.workers import shared_quota

    shared = shared_quota(ledger.url, client.target, rate)
    return Quota(shared.limiter, shared)


def sender_of(
    steps: Steps,
    ledger: Ledger,
    client: Client,
    quota: Quota,
    *,
    sending: Sending,
    timing: Timing,
    observer: Observer,
    sends_failed: bool,
) -> Sender:
    """What does the steps for the rows that are selected in a ledger."""
    if ledger.url is None or not steps.write:
        return Pipeline(
            steps,
            ledger=ledger,
            service=client,
            limiter=quota.limiter,
            sending=sending,
            timing=timing,
            observer=observer,
            proven=ledger.counts().accepted > 0,
        )
    from batch_alias.workers import shared_run

    return shared_run(ledger, client, sending=sending, timing=timing, observer=observer, sends_failed=sends_failed)
