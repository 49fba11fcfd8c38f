"""Which accepted rows are read back: all, or a random sample; again from where the last one was interrupted."""

import json
import random
import time
from dataclasses import replace
from itertools import islice

from batch_alias.job.findings import MOST_SHOWN, Verified
from batch_alias.ledger import VERIFICATION, Ledger, ReadBack


class Verification:
    """The accepted rows that are read back, selected in the ledger.

    They are those of the last verification that had no end, if it had the same sample, and new ones otherwise.

    Args:
        sample: How many random rows; ``None`` for all.
    """

    def __init__(self, ledger: Ledger, sample: int | None) -> None:
        chosen = json.loads(ledger.meta(VERIFICATION) or "{}")
        if not chosen or chosen["sample"] != sample:
            # No secret: a number to repeat the choice.
            chosen = {"since": time.time(), "sample": sample, "seed": random.randrange(2**32)}  # noqa: S311
            ledger.set_meta(VERIFICATION, json.dumps(chosen))
        self.sample = sample
        self.seed: int = chosen["seed"]
        self.left = ledger.select_accepted(**chosen)
        self._ledger = ledger
        self._since: float = chosen["since"]
        found = ledger.read_back(since=self._since)
        self._rows = self.left + found.same + found.different

    def found(self) -> ReadBack:
        """What was found until now."""
        found = self._ledger.read_back(since=self._since)
        return replace(found, unread=self._rows - found.same - found.different)

    def end(self) -> None:
        """Note that it is at its end."""
        self._ledger.set_meta(VERIFICATION, "")

    def verified(self, *, exit_code: int, stopped: str) -> Verified:
        """What was found, with the first rows that differ."""
        first = list(islice(self._ledger.differing(since=self._since), MOST_SHOWN))
        return Verified(
            read_back=self.found(),
            sample=self.sample,
            seed=self.seed,
            first=first,
            exit_code=exit_code,
            stopped=stopped,
        )
