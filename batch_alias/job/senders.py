"""What makes the requests of a command: this process alone, or with others where the ledger is in a database."""

from typing import TYPE_CHECKING, Union

from batch_alias.ledger import Ledger
from batch_alias.quota import Quota
from batch_alias.rongcloud.client import Client
from batch_alias.sending import Observer, Timing
from batch_alias.sending.comparison import Steps
from batch_alias.sending.members import MemberLookup
from batch_alias.sending.pipeline import Pipeline
from batch_alias.settings import Sending

if TYPE_CHECKING:
    from batch_alias.workers.shared_run import SharedRun

Sender = Union[Pipeline, MemberLookup, "SharedRun"]


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
