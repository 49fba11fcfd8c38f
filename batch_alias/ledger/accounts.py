"""What a ledger says: read from it alone, at any time, also while a run writes to it."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from batch_alias.ledger.database import LEDGER, connect, translated
from batch_alias.model import State
from batch_alias.records import Entry, JobInfo, Notice, NoticeKind, RunRecord, Second, Tally


class Accounts:
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
        return JobInfo(**{**facts, "header": tuple(facts["header"]), "columns": tuple(facts["columns"])})

    def meta(self, key: str) -> str | None:
        """A fact noted about the job."""
        with translated(self.path):
            found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            return None if found is None else str(found[0])

    def tally(self) -> Tally:
        """How many rows are in each state."""
        with translated(self.path):
            counts = self._db.execute("SELECT state, count(*) FROM rows GROUP BY state").fetchall()
        return Tally(**dict(counts))

    def entries(self, *states: State) -> Iterator[Entry]:
        """The full account of every row, or of the rows in some states, in the source's order."""
        where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        query = f"SELECT {', '.join(Entry._fields)} FROM rows {where} ORDER BY number"
        with translated(self.path):
            yield from map(Entry._make, self._db.execute(query, states))

    def reasons(self, *states: State) -> list[tuple[str, str, int, int]]:
        """Why rows in some states are there: (reason, example message, rows, first row), most frequent first."""
        query = (
            "SELECT reason, message, count(*), min(number) FROM rows"
            f" WHERE state IN ({', '.join('?' * len(states))})"
            " GROUP BY CASE WHEN reason = '' THEN message ELSE reason END ORDER BY count(*) DESC, min(number)"
        )
        with translated(self.path):
            return self._db.execute(query, states).fetchall()

    def users_and_groups(self) -> tuple[int, int]:
        """How many different users and groups the rows to send have."""
        query = "SELECT count(DISTINCT user_id), count(DISTINCT group_id) FROM rows WHERE state = 'pending'"
        with translated(self.path):
            users, groups = self._db.execute(query).fetchone()
        return users, groups

    def duplicates(self, most: int) -> list[tuple[int, int, bool]]:
        """Examples of superseded rows: (number, number of the row that counts, whether the alias is the same)."""
        query = (
            "SELECT early.number, late.number, early.remark = late.remark"
            " FROM (SELECT * FROM rows WHERE state = 'superseded' ORDER BY number LIMIT ?) AS early"
            " JOIN rows AS late ON late.group_id = early.group_id AND late.user_id = early.user_id"
            " WHERE late.state NOT IN ('superseded', 'rejected') ORDER BY early.number"
        )
        with translated(self.path):
            return [(early, late, bool(same)) for early, late, same in self._db.execute(query, (most,))]

    def runs(self) -> list[RunRecord]:
        """What is noted of each run, in their order."""
        query = (
            "SELECT started_at, ended_at, host, version, settings, busiest_second, host_switches, exit_code"
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
            )
            for started, ended, host, version, settings, busiest, switches, code in found
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

    def notices(self) -> list[Notice]:
        """All that was worth knowing, in its order."""
        with translated(self.path):
            found = self._db.execute("SELECT at, kind, text FROM notices ORDER BY rowid").fetchall()
        return [Notice(at=at, kind=NoticeKind(kind), text=text) for at, kind, text in found]
