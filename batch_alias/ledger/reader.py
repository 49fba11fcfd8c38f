"""Reading a ledger, at any time, also while a run writes to it."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from batch_alias.ledger.file import LEDGER, connect, damaged, translated
from batch_alias.ledger.records import LEFT_OUT, JobInfo, Plan, ProblemCount, ReadBack, Repeat, RowRecord, RunRecord
from batch_alias.model import Event, EventKind, RequestKind, Second, State, StateCounts
from batch_alias.problems import NOT_A_DATA_ROW
from batch_alias.text import _, from_json, unpack

FIRST_ROWS = 5
"""Rows that are kept, or shown, as examples."""

_READ_BACK = "state = 'accepted' AND found IS NOT NULL AND verified_at >= max(finished_at, ?)"
"""What holds for an accepted row that was read back after it was sent for the last time, and since another time."""
_CHANGE = """
CASE
    WHEN before IS NULL THEN iif(state != 'pending', '', iif(message = '', 'unread', 'unreadable'))
    WHEN state IN ('unchanged', 'conflict') THEN state
    WHEN before = remark THEN 'unchanged'
    WHEN state = 'pending' AND (
        before != expected OR (before != '' AND EXISTS (SELECT 1 FROM meta WHERE key = 'only_absent'))
    ) THEN 'conflict'
    WHEN remark = '' THEN 'clear'
    WHEN before = '' THEN 'set'
    ELSE 'replace'
END AS change
"""
"""What a row changes, or would change: see ``RowRecord``."""
_COLUMNS = ", ".join([*RowRecord._fields[:-1], _CHANGE])
_REPEATS = "FROM rows AS early JOIN rows AS late ON late.number = early.superseded_by WHERE early.state = 'superseded'"


class LedgerReader:
    """The ledger in a job's folder, to read from. Every method raises ``LedgerError`` when it cannot be read."""

    def __init__(self, folder: Path, *, writable: bool = False) -> None:
        self.path = folder / LEDGER
        self._db = connect(self.path, writable=writable)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with translated(self.path):
            self._db.close()

    def info(self) -> JobInfo:
        """What the job is."""
        facts = from_json(self.meta("job") or "{}")
        sequences = {name: tuple(facts[name]) for name in ("header", "columns", "why")}
        return JobInfo(**{**facts, **sequences})

    def meta(self, key: str) -> str | None:
        """A fact about the job; ``None`` if it was not recorded."""
        found = list(self._query("SELECT value FROM meta WHERE key = ?", (key,)))
        return str(found[0]["value"]) if found else None

    def counts(self) -> StateCounts:
        """How many rows are in each state."""
        found = {str(state): rows for state, rows in self._query("SELECT state, count(*) FROM rows GROUP BY state")}
        if not found.keys() <= set(State):
            raise damaged(self.path, _("a row is in no state"))
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
        query = f"SELECT {_CHANGE}, count(*) FROM rows WHERE state = 'pending' GROUP BY change"
        names = {"set": "first", "replace": "replaced", "clear": "cleared"}
        return Plan(**{names.get(change, change): rows for change, rows in self._query(query)})

    def planned_changes(self) -> Iterator[RowRecord]:
        """The pending rows that would change an alias that was read."""
        return self._rows("state = 'pending' AND change IN ('set', 'replace', 'clear')")

    def changes(self) -> dict[str, tuple[int, int]]:
        """How many of the rows of which the alias was read change what, and how many of them were accepted."""
        query = (
            f"SELECT {_CHANGE}, count(*), count(*) FILTER (WHERE state = 'accepted')"
            " FROM rows WHERE before IS NOT NULL GROUP BY change"
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
            SELECT name, max(message) FILTER (WHERE place = 1), count(*),
                group_concat(number) FILTER (WHERE place <= {FIRST_ROWS})
            FROM (
                SELECT reason AS name, number, message, row_number() OVER (
                    PARTITION BY CASE WHEN reason = '' THEN message ELSE reason END ORDER BY number
                ) AS place, CASE WHEN reason = '' THEN message ELSE reason END AS kind
                FROM rows WHERE state IN ({", ".join("?" * len(states))})
            )
            GROUP BY kind ORDER BY count(*) DESC, min(number)
        """
        return [
            ProblemCount(name=name, message=unpack(message), count=count, rows=tuple(sorted(map(int, rows.split(",")))))
            for name, message, count, rows in self._query(query, states)
        ]

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
        query = "SELECT count(*) FROM (SELECT 1 FROM rows WHERE state = 'pending' GROUP BY {})"
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
            "SELECT command, started_at, ended_at, last_request_at, target, version, settings, busiest_second,"
            " host_switches, exit_code, stopped, coalesce(rows_sent, 0) AS rows_sent FROM runs LEFT JOIN"
            " (SELECT run, max(at) AS last_request_at, sum(requests - retries - checks) FILTER (WHERE kind = 'write')"
            " AS rows_sent FROM seconds WHERE requests > 0 GROUP BY run) ON run = id"
            " ORDER BY id"
        )
        return [
            RunRecord(
                **{
                    **dict(run),
                    "target": unpack(run["target"]),
                    "settings": json.loads(run["settings"]),
                    "stopped": unpack(run["stopped"]),
                }
            )
            for run in self._query(query)
        ]

    def seconds(self, *, of_last_run: bool = False) -> Iterator[Second]:
        """What happened in each second of all runs, or of the last one, in their order."""
        where = "WHERE run = (SELECT max(id) FROM runs)" if of_last_run else ""
        columns = "at, kind, requests, retries, checks, refusals, settled, codes, latencies"
        for found in self._query(f"SELECT {columns} FROM seconds {where} ORDER BY rowid"):
            second = Second(**{**dict(found), "kind": RequestKind(found["kind"])})
            second.settled = Counter(json.loads(found["settled"]))
            second.codes = Counter(json.loads(found["codes"]))
            second.latencies = Counter({int(bucket): count for bucket, count in json.loads(found["latencies"]).items()})
            yield second

    def events(self) -> list[Event]:
        """The events of all runs, in their order."""
        found = self._query("SELECT at, kind, details FROM events ORDER BY rowid")
        return [Event(at=at, kind=EventKind(kind), values=from_json(values)) for at, kind, values in found]

    def left_out(self) -> ProblemCount | None:
        """The rows of another job that this one, its undo, leaves out, if there are any."""
        found = from_json(self.meta(LEFT_OUT) or "{}")
        return ProblemCount(**{**found, "rows": tuple(found["rows"])}) if found else None

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
        query = f"SELECT {_COLUMNS} FROM rows WHERE {where} ORDER BY number"
        for found in self._query(query, values):
            row = RowRecord._make(found)
            yield row._replace(message=unpack(row.message)) if row.message else row

    def _query(self, query: str, values: Sequence[object] = ()) -> Iterator[sqlite3.Row]:
        with translated(self.path):
            yield from self._db.execute(query, values)
