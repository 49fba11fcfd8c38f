"""Refusals that may concern every row: "invalid parameter" may mean an unknown App Key, a gateway's page a wrong path.

They are held back until a call that changes nothing decides: when it is refused in the same way, a setting is wrong.
"""

from typing import NamedTuple

from batch_alias.errors import StoppedByService
from batch_alias.model import Action, Outcome, Response
from batch_alias.sending import retry
from batch_alias.sending.work_queue import Work, WorkQueue

DOUBTFUL_ROWS = 3
"""Rows whose refusal in a row decides that a setting is wrong."""


class Held(NamedTuple):
    """An outcome that is held back, and the response that it is for."""

    work: Work
    outcome: Outcome
    response: Response


class DoubtfulRefusals:
    """Those that are held back, and what the call that changes nothing says of them."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self._vouched = False  # the call that changes nothing was not refused like the rows
        self._signed_again = False  # it has been
        self.held: list[Held] = []
        self.unclear = False  # it must show if the rows are wrong or a setting
        self.check_at = 0.0  # when it may be made

    def hold_back(self, refused: Held) -> StoppedByService | None:
        """Hold a refusal back; returns why the run must stop, if there are enough of them."""
        self.held.append(refused)
        if refused.response.classification.is_documented:
            self.unclear = self.unclear or self._are_enough
        elif not self._vouched:
            self.unclear = True
        elif self._are_enough:
            return retry.refusal(refused.response)
        return None

    def row_accepted(self, *, probe: bool) -> list[Held]:
        """Note that a row was accepted, maybe as a probe; returns the refusals that are no sign of a wrong setting."""
        self._vouched = False
        # A probe's success shows that the call that changes nothing cannot decide: it fails by itself.
        return self._release() if probe or not self.unclear else []

    def checked(self, response: Response, *, proven: bool, now: float) -> StoppedByService | list[Held] | None:
        """Act on the response to the call that changes nothing.

        Returns:
            Why the run must stop, or the refusals that are no sign of a wrong setting; ``None`` if it does not decide.
        """
        classification, action = response.classification, response.classification.action
        refused = next((r for _, _, r in self.held if not r.classification.is_documented), None)
        if action is Action.SLOW_DOWN and (refused is None or not classification.is_documented):
            self.check_at = now + retry.LONGEST_REFUSAL
            return None
        if action is Action.SIGN_AGAIN and not self._signed_again:
            self._signed_again = True
            return None
        self.unclear = self._signed_again = False
        # What RongCloud says of a user that does not exist is not known: in a job with accepted rows it may be 1002.
        is_setting = action in {Action.STOP, Action.SIGN_AGAIN} or (classification.systematic and not proven)
        if classification.is_documented and is_setting:
            return retry.refusal(response)
        if refused is None:
            return self._release()
        if action is not Action.ACCEPT and not classification.is_documented:
            return retry.refusal(refused)
        if proven:
            return self._release()
        self._vouched = True
        return retry.refusal(refused) if self._are_enough else None

    def settle_last(self) -> StoppedByService | None:
        """Go on when no other request is left whose response could decide; returns why the run must stop, if so."""
        if self.held and self._vouched:
            return retry.refusal(self.held[-1].response)
        self.unclear = self.unclear or bool(self.held)
        return None

    def _release(self) -> list[Held]:
        self.unclear = False
        held, self.held = self.held, []
        return held

    @property
    def _are_enough(self) -> bool:
        return len(self.held) >= DOUBTFUL_ROWS or self._queue.is_empty
