"""RongCloud's alias calls on this machine: the same rules, statuses and responses, and faults on demand.

``server`` (``serve``, ``serve_forever``) puts a ``Sandbox`` behind a socket.
"""

import csv
import secrets
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Annotated

from batch_alias.errors import UsageError, reason
from batch_alias.sandbox.emulator import Emulator, Key, Request, Response, Rules, Write, in_last_second
from batch_alias.sandbox.faults import Draw, Effect, Fault, FaultPlan, Faults
from batch_alias.sandbox.stats import RequestStats, Stats
from batch_alias.settings.options import Option
from batch_alias.settings.target import Secret
from batch_alias.text import N_

__all__ = ["Contents", "Draw", "Fault", "FaultPlan", "Faults", "RequestStats", "Rules", "Sandbox", "Stats", "Write"]


class Sandbox:
    """One emulated app of RongCloud's; a key and a secret that are not given are generated.

    It outlives its server: served again, it still holds its aliases. Reading it is safe from any thread, and so are
    ``set_alias`` and setting ``faults``: another plan starts anew with the next request.

    Args:
        aliases: Those it starts with: ``(group_id, user_id)`` to remark.
        members: User ids by group id; without them, those of a group are the users that have or had an alias in it.
        now: Its clock, in seconds since the epoch: for ``Date`` and ``Rules.max_skew``.
        on_request: Called with every request before it is handled, in order, in the server's thread.
        on_write: Called with every change that a request made, in order, in the server's thread.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        faults: FaultPlan | None = None,
        *,
        app_key: str | None = None,
        app_secret: Secret | None = None,
        aliases: Mapping[Key, str] | None = None,
        members: Mapping[str, Collection[str]] | None = None,
        now: Callable[[], float] = time.time,
        on_request: Callable[[Request], None] | None = None,
        on_write: Callable[[Write], None] | None = None,
    ) -> None:
        self.app_key = app_key or secrets.token_hex(7)
        self.app_secret = app_secret or Secret(secrets.token_hex(10))
        self.now = now
        self.url = ""  # where it is served, or was last, without a path
        self.faults = faults or Faults()
        self.emulator = Emulator(self.app_key, self.app_secret, rules or Rules(), on_write, members)
        for key, remark in (aliases or {}).items():
            self.emulator.change(key, remark)
        self.on_request = on_request
        self.counts = self.emulator.stats  # changed in the server's thread only, but for foreign_writes
        self._other_writer = Lock()
        self._drawn_from: FaultPlan | None = None
        self._drawn = 0
        self._first_at = 0.0
        self._arrivals: defaultdict[str, deque[float]] = defaultdict(deque)
        self._in_flight: Counter[Key | None] = Counter()

    def stats(self) -> Stats:
        """A copy of the counts as they are now."""
        paths = {path: replace(counts) for path, counts in self.counts.paths.items()}
        aliases = len(self.emulator.aliases)
        return replace(self.counts, paths=paths, answers=dict(self.counts.answers), aliases=aliases)

    def aliases(self) -> dict[Key, str]:
        """A copy of the aliases held: ``(group_id, user_id)`` to remark."""
        return dict(self.emulator.aliases)

    def set_alias(self, group_id: str, user_id: str, remark: str | None) -> None:
        """Change an alias as another writer would, ``None`` to clear it. It is no request, but a foreign write."""
        with self._other_writer:
            self.emulator.change((group_id, user_id), remark)
            self.counts.foreign_writes += 1

    def arrived(self, request: Request, *, uses: int = 1, idle: float = 0.0) -> None:
        """Count a request, number ``uses`` on its connection, which waited for it for ``idle`` seconds."""
        counts = self.counts
        for path, counted in self._counted(request):
            arrivals = self._arrivals[path]
            arrivals.append(request.at)
            counted.requests += 1
            counted.busiest_second = max(counted.busiest_second, in_last_second(arrivals, request.at))
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        self._in_flight[request.key] += 1
        if request.key is not None:
            most = max(counts.most_in_flight_for_one_key, self._in_flight[request.key])
            counts.most_in_flight_for_one_key = most
        counts.most_requests_on_a_connection = max(counts.most_requests_on_a_connection, uses)
        counts.connections_over_79 += uses == 80
        counts.longest_idle = max(counts.longest_idle, idle)

    def handle(self, request: Request) -> tuple[float, Effect]:
        """Draw the fault of a request and carry it out; returns the latency, and what the server does after it."""
        if self.on_request is not None:
            self.on_request(request)
        if self.faults is not self._drawn_from:
            self._drawn_from, self._drawn, self._first_at = self.faults, 0, request.at
        draw = self._drawn_from.draw(self._drawn, request.at - self._first_at, request.path)
        self._drawn += 1
        fault = draw.fault
        if fault is not None and not fault.carried_out:
            return draw.latency, fault.effect(request)
        response = self.emulator.handle(request)
        if response.status != 200:
            return draw.latency, response
        if draw.other_writer and request.key is not None:
            # A number makes it another value each time.
            self.set_alias(*request.key, f"changed by another writer {self.counts.foreign_writes + 1}")
        return draw.latency, response if fault is None else fault.effect(request)

    def left(self, request: Request, response: Response | None) -> None:
        """Count the response to a request, ``None`` if it got no whole one; it is not in flight any more."""
        answer = "none" if response is None else str(response.code or f"http-{response.status}")
        self.counts.answers[answer] = self.counts.answers.get(answer, 0) + 1
        for _, counted in self._counted(request):
            counted.refusals += answer in {"1008", "http-429"}
        self.counts.in_flight -= 1
        self._in_flight[request.key] -= 1

    def _counted(self, request: Request) -> Iterator[tuple[str, RequestStats]]:
        """The counts that a request belongs to, each with a name: those of all requests, and those of its path."""
        yield "all", self.counts
        if request.path in self.counts.paths:
            yield request.path, self.counts.paths[request.path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """CSV files, in UTF-8, of what a sandbox starts with. Their values are taken as they are.

    Reading them raises ``UsageError`` if one cannot be read, a column is missing or an id is empty.
    """

    aliases: Annotated[Path | None, Option("Aliases it starts with: userId, groupId and remark.", "CSV")] = None
    members: Annotated[Path | None, Option("Members of its groups: userId and groupId.", "CSV")] = None

    def read_aliases(self) -> dict[Key, str]:
        """The remarks by ``(group_id, user_id)``. Of a repeated key the last row counts; an empty remark is none."""
        rows = _read(self.aliases, "userId", "groupId", "remark") if self.aliases else ()
        return {(group_id, user_id): remark for user_id, group_id, remark in rows}

    def read_members(self) -> dict[str, set[str]] | None:
        """The user ids by group id; ``None`` without a file."""
        if self.members is None:
            return None
        members: defaultdict[str, set[str]] = defaultdict(set)
        for user_id, group_id in _read(self.members, "userId", "groupId"):
            members[group_id].add(user_id)
        return dict(members)


def _read(file: Path, *columns: str) -> Iterator[list[str]]:
    """The values of some columns, row by row; only a remark may be empty."""
    advice = N_("It must be CSV in UTF-8 with the columns {columns}.")
    about = {"file": file, "columns": ", ".join(columns)}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines, strict=True)
            header = next(rows, [])
            for column in columns:
                if column not in header:
                    raise UsageError("{file} has no column {column}.", advice, column=column, **about)
            places = [header.index(column) for column in columns]
            for row, cells in enumerate(rows, 2):
                if not cells:
                    continue
                values = [cells[place] if place < len(cells) else "" for place in places]
                for column, value in zip(columns, values, strict=True):
                    if not value and column != "remark":
                        problem = N_("{file}, row {row}: {column} is empty.")
                        raise UsageError(problem, "Every row needs one.", row=row, column=column, **about)
                yield values
    except OSError as error:
        raise UsageError("{file} cannot be read: {reason}.", reason=reason(error), **about) from error
    except UnicodeDecodeError as error:
        raise UsageError("{file} is not UTF-8: {reason}.", advice, reason=error.reason, **about) from error
    except csv.Error as error:
        line = rows.line_num
        raise UsageError("{file}, line {line}: {reason}.", advice, line=line, reason=error, **about) from error
