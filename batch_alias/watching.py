"""Who looks on while a job is sent, and what they are shown."""

from typing import Protocol

from batch_alias.records import Event, Plan, Progress


class Sending(Protocol):
    """A run under way."""

    def progress(self) -> Progress:
        """How it stands now."""

    def stop(self) -> None:
        """Start no new attempts; it ends when those under way have ended."""


class Watcher(Protocol):
    """Whoever looks on."""

    def sending(self, run: Sending, plan: Plan) -> None:
        """Called when sending begins."""

    def event(self, event: Event) -> None:
        """Called for each thing worth knowing."""

    def sent(self) -> None:
        """Called when sending has ended."""


class NoWatcher:
    """Nobody looks on."""

    def sending(self, run: Sending, plan: Plan) -> None:
        """Do nothing."""

    def event(self, event: Event) -> None:
        """Do nothing."""

    def sent(self) -> None:
        """Do nothing."""
