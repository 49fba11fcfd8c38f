"""What a ledger says: read from it alone, at any time, also while a run writes to it."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from batch_alias.ledger.database import LEDGER, connect, translated
from batch_alias.model import State
from batch_alias.records import RowRecord, JobInfo, Event, EventKind, ProblemCount, Repeat, RunRecord, Second, StateCounts

FIRST_ROWS = 5
"""Rows named as examples of a problem."""


class LedgerReader:
    """A ledger to read from. Every method raises ``LedgerError`` when the file cannot be read.

    Args:
        folder: The job's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER
        self._db = self._connect()

    def _connect(self) -> sqlite3.Connection:
        return connect(self.path, mode="ro")

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
        facts = json.loads(self.meta("job") or "{}")
        return JobInfo(
            **{
                **facts,
                "header": tuple(facts["header"]),
                "columns": tuple(facts["columns"]),
                "why": tuple(facts["why"]),
            }
        )

    def meta(self, key: str) -> str | None:
        """A fact noted about the job."""
        with translated(self.path):
            found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            return None if found is None else str(found[0])

    def tally(self) -> StateCounts:
        """How many rows are in each state."""
        with translated(self.path):
            counts = self._db.execute("SELECT state, count(*) FROM rows GROUP BY state").fetchall()
        return StateCounts(**dict(counts))

    def entries(self, *states: State) -> Iterator[RowRecord]:
        """The full account of every row, or of the rows in some states, in the source's order."""
        where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        query = f"SELECT {', '.join(RowRecord._fields)} FROM rows {where} ORDER BY number"
        with translated(self.path):
            yield from map(RowRecord._make, self._db.execute(query, states))

    def problems(self, *states: State) -> list[ProblemCount]:
        """Why rows in some states are there, by kind, the most frequent first."""
        query = f"""
            SELECT name, count(*) AS rows, min(number), max(message) FILTER (WHERE place = 1),
                group_concat(number) FILTER (WHERE place <= {FIRST_ROWS})
            FROM (
                SELECT reason AS name, number, message, row_number() OVER (
                    PARTITION BY CASE WHEN reason = '' THEN message ELSE reason END ORDER BY number
                ) AS place, CASE WHEN reason = '' THEN message ELSE reason END AS kind
                FROM rows WHERE state IN ({", ".join("?" * len(states))})
            )
            GROUP BY kind ORDER BY count(*) DESC, min(number)
        """
        with translated(self.path):
            return [
                ProblemCount(name=name, message=message, count=count, rows=tuple(sorted(map(int, rows.split(",")))))
                for name, count, _first, message, rows in self._db.execute(query, states)
            ]

    def warnings(self) -> list[ProblemCount]:
        """What is odd about rows that may be sent all the same, by kind, the most frequent first."""
        counts: Counter[str] = Counter()
        rows: dict[str, list[int]] = {}
        query = "SELECT number, warning FROM rows WHERE warning != '' AND state != 'rejected' ORDER BY number"
        with translated(self.path):
            for number, warning in self._db.execute(query):
                for name in warning.split(","):
                    counts[name] += 1
                    if counts[name] <= FIRST_ROWS:
                        rows.setdefault(name, []).append(number)
        return [
            ProblemCount(name=name, message="", count=count, rows=tuple(rows[name])) for name, count in counts.most_common()
        ]

    def users_and_groups(self) -> tuple[int, int]:
        """How many different users and groups the rows to send have."""
        # GROUP BY sorts: 0.3 s for a million rows, where count(DISTINCT) takes 2 s.
        query = "SELECT count(*) FROM (SELECT 1 FROM rows WHERE state = 'pending' GROUP BY {})"
        with translated(self.path):
            users, groups = (self._db.execute(query.format(column)).fetchone()[0] for column in ("user_id", "group_id"))
        return users, groups

    def repeats(self) -> tuple[int, int, list[Repeat]]:
        """Superseded rows: how many set the same alias as the row that counts, how many another one, and the first."""
        joined = (
            "FROM rows AS early JOIN rows AS late ON late.number = early.superseded_by WHERE early.state = 'superseded'"
        )
        with translated(self.path):
            same, conflicting = self._db.execute(
                f"SELECT count(*) FILTER (WHERE early.remark = late.remark),"
                f" count(*) FILTER (WHERE early.remark != late.remark) {joined}"
            ).fetchone()
            first = self._db.execute(
                f"SELECT early.number, late.number, early.remark = late.remark {joined} ORDER BY early.number LIMIT ?",
                (FIRST_ROWS,),
            ).fetchall()
        return same, conflicting, [Repeat(row=row, by=by, same=bool(equal)) for row, by, equal in first]

    def runs(self) -> list[RunRecord]:
        """What is noted of each run, in their order."""
        query = (
            "SELECT started_at, ended_at, host, version, settings, busiest_second, host_switches, exit_code, stopped"
            " FROM runs ORDER BY id"
        )
        with translated(self.path):
            found = self._db.execute(query).fetchall()
        return [
            RunRecord(
                started_at=started,
                ended_at=ended,
                host=host,
                version=version,
                settings=json.loads(settings),
                busiest_second=busiest,
                host_switches=switches,
                exit_code=code,
                stopped=stopped,
            )
            for started, ended, host, version, settings, busiest, switches, code, stopped in found
        ]

    def seconds(self) -> Iterator[Second]:
        """What happened in each second of all runs, in their order."""
        query = "SELECT at, requests, retries, refusals, settled, codes, latencies FROM seconds ORDER BY rowid"
        with translated(self.path):
            for at, requests, retries, refusals, settled, codes, latencies in self._db.execute(query):
                yield Second(
                    at=at,
                    requests=requests,
                    retries=retries,
                    refusals=refusals,
                    settled=json.loads(settled),
                    codes=json.loads(codes),
                    latencies={int(bucket): count for bucket, count in json.loads(latencies).items()},
                )

    def events(self) -> list[Event]:
        """All that was worth knowing, in its order."""
        with translated(self.path):
            found = self._db.execute("SELECT at, kind, text FROM events ORDER BY rowid").fetchall()
        return [Event(at=at, kind=EventKind(kind), text=text) for at, kind, text in found]
