"""Reading a ledger, at any time, also while a run writes to it.

The SQL here is that which SQLite and PostgreSQL have in common.
"""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from batch_alias.errors import LedgerError
from batch_alias.ledger.records import (
    LEFT_OUT,
    JobInfo,
    Plan,
    ProblemCount,
    ReadBack,
    Repeat,
    RowRecord,
    RunRecord,
    WorkerRecord,
    add_second,
)
from batch_alias.model import Event, EventKind, RequestKind, Second, State, StateCounts
from batch_alias.problems import NOT_A_DATA_ROW
from batch_alias.text import _, from_json, unpack

FIRST_ROWS = 5
"""Rows that are kept, or shown, as examples."""

_READ_BACK = "state = 'accepted' AND found IS NOT NULL AND verified_at >= finished_at AND verified_at >= ?"
"""What holds for an accepted row that was read back after it was sent for the last time, and since another time."""
_CHANGE = """
CASE
    WHEN before IS NULL AND state != 'pending' THEN ''
    WHEN before IS NULL AND message = '' THEN 'unread'
    WHEN before IS NULL THEN 'unreadable'
    WHEN state IN ('unchanged', 'conflict') THEN state
    WHEN before = remark THEN 'unchanged'
    WHEN state = 'pending' AND (
        before != expected OR (before != '' AND EXISTS (SELECT 1 FROM meta WHERE key = 'only_absent'))
    ) THEN 'conflict'
    WHEN remark = '' THEN 'clear'
    WHEN before = '' THEN 'set'
    ELSE 'replace'
END
"""
"""What a row changes, or would change: see ``RowRecord``."""
_COLUMNS = ", ".join(RowRecord._fields[:-1])
_RUN = (
    "command, started_at, ended_at, last_request_at, target, version, settings, busiest_second, host_switches,"
    " exit_code, stopped"
)
_SECOND = ("at", "kind", "requests", "retries", "checks", "refusals", "settled", "codes", "latencies")
_REPEATS = "FROM rows AS early JOIN rows AS late ON late.number = early.superseded_by WHERE early.state = 'superseded'"


class LedgerReader(ABC):
    """The ledger of a job, to read from. Every method raises ``LedgerError`` when it cannot be read."""

    url: str | None = None
    """The database that it is in; ``None`` for a file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the file or the connection."""

    @abstractmethod
    def damaged(self, problem: object) -> LedgerError:
        """The error for a ledger in which something is as it cannot be."""

    @abstractmethod
    def _query(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of the answer to a query with ``?`` for its values."""

    def _stream(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """The same, for an answer that may be too large for the memory."""
        return self._query(query, values)

    def info(self) -> JobInfo:
        """What the job is."""
        facts = from_json(self.meta("job") or "{}")
        sequences = {name: tuple(facts[name]) for name in ("header", "columns", "why")}
        return JobInfo(**{**facts, **sequences})

    def meta(self, key: str) -> str | None:
        """A fact about the job; ``None`` if it was not recorded."""
        found = list(self._query("SELECT value FROM meta WHERE key = ?", (key,)))
        return str(found[0][0]) if found else None

    def counts(self) -> StateCounts:
        """How many rows are in each state."""
        found = {str(state): rows for state, rows in self._query("SELECT state, count(*) FROM rows GROUP BY state")}
        if not found.keys() <= set(State):
            raise self.damaged(_("a row is in no state"))
        return StateCounts(**found)

    def too_many_rejected(self, share: float) -> bool:
        """Whether more than a share of the rows is rejected, or all of them, without what stands below the table."""
        problems = self.problems(State.REJECTED)
        notes = sum(problem.count for problem in problems if problem.name == NOT_A_DATA_ROW)
        return self.counts().too_many_rejected(share, notes=notes)

    def rows(self, *states: State) -> Iterator[RowRecord]:
        """Every row, or the rows in some states, in the source's order."""
        return self._rows(f"state IN ({', '.join('?' * len(states))})" if states else "TRUE", states)

    def plan(self) -> Plan:
        """What sending the pending rows would do, by the aliases that were read."""
        query = f"SELECT {_CHANGE}, count(*) FROM rows WHERE state = 'pending' GROUP BY 1"
        names = {"set": "first", "replace": "replaced", "clear": "cleared"}
        return Plan(**{names.get(change, change): rows for change, rows in self._query(query)})

    def planned_changes(self) -> Iterator[RowRecord]:
        """The pending rows that would change an alias that was read."""
        return self._rows("state = 'pending' AND change IN ('set', 'replace', 'clear')")

    def changes(self) -> dict[str, tuple[int, int]]:
        """How many of the rows of which the alias was read change what, and how many of them were accepted."""
        query = (
            f"SELECT {_CHANGE}, count(*), count(*) FILTER (WHERE state = 'accepted')"
            " FROM rows WHERE before IS NOT NULL GROUP BY 1"
        )
        return {change: (rows, accepted) for change, rows, accepted in self._query(query)}

    def changing(self, change: str) -> Iterator[RowRecord]:
        """The rows with a change, of those of which the alias was read."""
        return self._rows("before IS NOT NULL AND change = ?", (change,))

    def differing(self, *, since: float = 0.0) -> Iterator[RowRecord]:
        """The accepted rows that were read back since a time, and of which another alias was found."""
        return self._rows(f"{_READ_BACK} AND found != remark", (since,))

    def read_back(self, *, since: float = 0.0) -> ReadBack:
        """How many accepted rows were read back since a time, and found as they were sent or not."""
        [(same, different)] = self._query(
            "SELECT count(*) FILTER (WHERE found = remark), count(*) FILTER (WHERE found != remark)"
            f" FROM rows WHERE {_READ_BACK}",
            (since,),
        )
        return ReadBack(same=same, different=different, unread=self.counts().accepted - same - different)

    def problems(self, *states: State) -> list[ProblemCount]:
        """Why rows in some states are there, by kind, the most frequent first."""
        query = f"""
            SELECT reason, number, message, of_kind FROM (
                SELECT reason, number, message, count(*) OVER (PARTITION BY kind) AS of_kind,
                    row_number() OVER (PARTITION BY kind ORDER BY number) AS place,
                    min(number) OVER (PARTITION BY kind) AS first
                FROM (
                    SELECT reason, number, message, CASE WHEN reason = '' THEN message ELSE reason END AS kind
                    FROM rows WHERE state IN ({", ".join("?" * len(states))})
                ) AS kinds
            ) AS places
            WHERE place <= {FIRST_ROWS} ORDER BY of_kind DESC, first, number
        """
        found: dict[tuple[str, str], ProblemCount] = {}
        for name, number, message, count in self._query(query, states):
            kind = name, "" if name else message
            if kind in found:
                found[kind] = replace(found[kind], rows=(*found[kind].rows, number))
            else:
                found[kind] = ProblemCount(name=name, message=unpack(message), count=count, rows=(number,))
        return list(found.values())

    def warnings(self) -> list[ProblemCount]:
        """Warnings about rows that are not rejected, by kind, the most frequent first."""
        counts: Counter[str] = Counter()
        rows: dict[str, list[int]] = {}
        query = "SELECT number, warning FROM rows WHERE warning != '' AND state != 'rejected' ORDER BY number"
        for number, warning in self._query(query):
            for name in warning.split(","):
                counts[name] += 1
                if counts[name] <= FIRST_ROWS:
                    rows.setdefault(name, []).append(number)
        return [
            ProblemCount(name=name, message="", count=count, rows=tuple(rows[name]))
            for name, count in counts.most_common()
        ]

    def users_and_groups(self) -> tuple[int, int]:
        """How many different users and groups the pending rows have."""
        # GROUP BY sorts: 0.3 s for a million rows, where count(DISTINCT) takes 2 s.
        query = "SELECT count(*) FROM (SELECT 1 FROM rows WHERE state = 'pending' GROUP BY {}) AS different"
        [(users,)], [(groups,)] = (self._query(query.format(column)) for column in ("user_id", "group_id"))
        return users, groups

    def repeats(self) -> tuple[int, int, list[Repeat]]:
        """Superseded rows: how many set the same alias as the row that counts, how many another one, the first few."""
        [(same, other)] = self._query(
            f"SELECT count(*) FILTER (WHERE early.remark = late.remark),"
            f" count(*) FILTER (WHERE early.remark != late.remark) {_REPEATS}"
        )
        first = self._query(
            f"SELECT early.number, late.number, early.remark = late.remark {_REPEATS} ORDER BY early.number LIMIT ?",
            (FIRST_ROWS,),
        )
        return same, other, [Repeat(row=row, superseded_by=by, same=bool(equal)) for row, by, equal in first]

    def runs(self) -> list[RunRecord]:
        """The runs in their order."""
        query = (
            f"SELECT {_RUN}, coalesce(rows_sent, 0) FROM runs LEFT JOIN"
            " (SELECT run, max(at) AS last_request_at, sum(requests - retries - checks) FILTER (WHERE kind = 'write')"
            " AS rows_sent FROM seconds WHERE requests > 0 GROUP BY run) AS sent ON run = id"
            " ORDER BY id"
        )
        names = [*_RUN.split(", "), "rows_sent"]
        runs = (dict(zip(names, run, strict=True)) for run in self._query(query))
        return [
            RunRecord(
                **{
                    **run,
                    "target": unpack(run["target"]),
                    "settings": json.loads(run["settings"]),
                    "stopped": unpack(run["stopped"]),
                }
            )
            for run in runs
        ]

    def seconds(self, *, of_last_run: bool = False) -> Iterator[Second]:
        """What happened in each second of all runs, or of the last one, in their order, in all processes together."""
        where = "WHERE run = (SELECT max(id) FROM runs)" if of_last_run else ""
        query = f"SELECT {', '.join(_SECOND)} FROM seconds {where} ORDER BY run, at, kind"
        before: Second | None = None
        for found in self._stream(query):
            *_numbers, settled, codes, latencies = found
            second = Second(**{**dict(zip(_SECOND, found, strict=True)), "kind": RequestKind(found[1])})
            second.settled = Counter(json.loads(settled))
            second.codes = Counter(json.loads(codes))
            second.latencies = Counter({int(bucket): count for bucket, count in json.loads(latencies).items()})
            if before is not None and (before.at, before.kind) == (second.at, second.kind):
                add_second(before, second)
                continue
            if before is not None:
                yield before
            before = second
        if before is not None:
            yield before

    def events(self) -> list[Event]:
        """The events of all runs, in their order."""
        found = self._query("SELECT at, kind, details FROM events ORDER BY run, at")
        return [Event(at=at, kind=EventKind(kind), values=from_json(values)) for at, kind, values in found]

    def workers(self) -> list[WorkerRecord]:
        """The processes that have sent rows together; none where only one can."""
        return []

    def is_run(self) -> bool:
        """Whether a process works on the job, as far as that can be known."""
        return False

    def left_out(self) -> ProblemCount | None:
        """The rows of another job that this one, its undo, leaves out, if there are any."""
        found = from_json(self.meta(LEFT_OUT) or "{}")
        return ProblemCount(**{**found, "rows": tuple(found["rows"])}) if found else None

    def all_done(self, *, verify: bool) -> bool:
        """Whether nothing is left to do for any row, reading those back that were to be."""
        if not self.counts().all_done or self.left_out() is not None:
            return False
        found = self.read_back() if verify else ReadBack(same=0, different=0, unread=0)
        return not found.different + found.unread

    def was_run(self) -> bool:
        """Whether a run has begun that sends rows."""
        return any(run.command == "run" for run in self.runs())

    def was_killed(self) -> bool:
        """Whether a run that sends rows has no end: what it had sent last is not known."""
        return any(run.command == "run" and run.ended_at is None for run in self.runs())

    def may_have_sent(self) -> bool:
        """Whether a row has been sent, or may have been."""
        return self.counts().begun or self.was_killed()

    def _rows(self, where: str, values: Sequence[object] = ()) -> Iterator[RowRecord]:
        query = (
            f"SELECT * FROM (SELECT {_COLUMNS}, {_CHANGE} AS change FROM rows) AS rows WHERE {where} ORDER BY number"
        )
        for found in self._stream(query, values):
            row = RowRecord._make(found)
            yield row._replace(message=unpack(row.message)) if row.message else row
