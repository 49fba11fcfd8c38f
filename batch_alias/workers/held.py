"""The rows that a worker holds: the ledger as its pipeline sees it."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from batch_alias.ledger.blocks import Claim
from batch_alias.ledger.recorder import Recorder
from batch_alias.model import Event, Outcome, Row, Second


class _Held(NamedTuple):
    claim: Claim
    left: set[int]  # its rows without an outcome
    done: asyncio.Future[bool]


class HeldRows:
    """Rows of blocks that were claimed, until each has an outcome or its block is lost.

    Args:
        recorder: Writes what happens to the rows.
        counted: Called with the metrics before they are written.
    """

    def __init__(self, recorder: Recorder, counted: Callable[[list[Second]], None]) -> None:
        self.more_to_come = True
        self._recorder = recorder
        self._counted = counted
        self._arrived: deque[Row] = deque()
        self._held: dict[int, _Held] = {}
        self._block_of: dict[int, tuple[int, Row]] = {}

    @property
    def epochs(self) -> Mapping[int, int]:
        """The blocks that are held, and their epochs."""
        return {block: held.claim.epoch for block, held in self._held.items()}

    def add(self, claim: Claim) -> asyncio.Future[bool]:
        """Hold a block; the result says whether all of its rows got an outcome, or the block was lost before."""
        self._drop(claim.block, complete=False)  # it was taken away, which is not known yet
        held = _Held(claim, {row.number for row in claim.rows}, asyncio.get_running_loop().create_future())
        self._held[claim.block] = held
        self._block_of.update({row.number: (claim.block, row) for row in claim.rows})
        self._arrived.extend(claim.rows)
        if not held.left:
            self._drop(claim.block, complete=True)
        return held.done

    def lose(self, blocks: Collection[int]) -> None:
        """Send no more rows of blocks that were taken away."""
        for block in blocks:
            self._drop(block, complete=False)

    def lose_all(self) -> None:
        """Send no more rows."""
        self.lose(list(self._held))

    def _drop(self, block: int, *, complete: bool) -> None:
        held = self._held.pop(block, None)
        if held is None:
            return
        for row in held.claim.rows:
            self._block_of.pop(row.number, None)
        if not complete:
            self._arrived = deque(row for row in self._arrived if not self.is_withdrawn(row))
        if not held.done.done():
            held.done.set_result(complete)

    def is_withdrawn(self, row: Row) -> bool:
        """Whether the block of a row was taken away; this process may have it again, with another ``Row``."""
        _block, held = self._block_of.get(row.number, (0, None))
        return held is not row

    async def opening_rows(self, most: int) -> list[Row]:  # noqa: ARG002 - blocks come in no order
        """None: the first rows are those of the block that comes first."""
        return []

    async def pending(self, *, after: int, most: int) -> list[Row]:  # noqa: ARG002 - blocks come in no order
        """The rows that were claimed since the last call, a part of them if there are many."""
        return [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]

    def record(self, outcome: Outcome) -> None:
        """Keep how a row ended, under the epoch at which it was given."""
        block, _row = self._block_of.get(outcome.row, (0, None))
        held = self._held.get(block)
        if held is None:  # of a block that was lost: only that it was accepted counts
            self._recorder.record(outcome, held=(0, 0))
            return
        self._recorder.record(outcome, held=(held.claim.block, held.claim.epoch))
        held.left.discard(outcome.row)
        if not held.left:
            self._drop(held.claim.block, complete=True)

    def record_before(self, row: int, alias: str) -> None:
        """Keep the alias that a row is about to replace, unless there is an earlier one."""
        self._recorder.record_before(row, alias)

    def record_started(self, row: int) -> None:
        """Nothing: the rows of a block are marked when it is claimed."""

    def record_unreadable(self, row: int, message: str) -> None:
        """Keep why the alias of a row that is not sent could not be read."""
        self._recorder.record_unreadable(row, message)

    def record_found(self, row: int, alias: str, at: float) -> None:
        """Keep the alias that was read back, at seconds since the epoch."""
        self._recorder.record_found(row, alias, at)

    async def record_metrics(self, seconds: list[Second], events: list[Event], *, busiest: int) -> None:
        """Keep what happened since the last call."""
        self._counted(seconds)
        self._recorder.record_metrics(seconds, events, busiest=busiest)
