"""Writing a ledger.

In WAL mode with ``synchronous=NORMAL`` a commit per outcome costs 0.016 ms, and a killed process loses nothing that was
committed.
"""

import contextlib
import json
import random
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from batch_alias.errors import LedgerError
from batch_alias.ledger.file import damaged, translated
from batch_alias.ledger.reader import LedgerReader
from batch_alias.model import Event, Outcome, Row, Second
from batch_alias.problems import PROBLEMS
from batch_alias.text import pack, to_json

NOT_A_MEMBER, NO_SUCH_GROUP = "not-a-member", "no-such-group"
"""The problems of rows whose user is not in the group; warnings or rejections."""
_UNFINISHED = "state IN ('pending', 'unknown')"
_PURPOSE = "members"
"""The fact that says for what the members of groups were looked up."""
# What is found is appended, and the rows are marked at the end: group by group, each would be a page of its own.
_SELECT_GROUPS = """
BEGIN;
CREATE INDEX IF NOT EXISTS pending_groups ON rows (group_id, user_id) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS others (number INTEGER NOT NULL, problem TEXT NOT NULL);
CREATE TEMP TABLE asked (number INTEGER PRIMARY KEY);
INSERT INTO asked SELECT min(number) FROM rows WHERE state = 'pending' GROUP BY group_id
HAVING group_id NOT IN (SELECT group_id FROM groups);
COMMIT;
PRAGMA wal_checkpoint;
"""
_FORGET_MEMBERS = f"""
BEGIN;
UPDATE rows SET state = 'pending', reason = '', message = ''
WHERE state = 'rejected' AND reason IN ('{NOT_A_MEMBER}', '{NO_SUCH_GROUP}');
UPDATE rows SET warning = trim(
    replace(replace(',' || warning || ',', ',{NOT_A_MEMBER},', ','), ',{NO_SUCH_GROUP},', ','), ','
) WHERE state = 'pending' AND warning != '';
DELETE FROM groups;
DROP TABLE IF EXISTS others;
DROP INDEX IF EXISTS pending_groups;
COMMIT;
"""


class Ledger(LedgerReader):
    """A ledger to write to; the caller holds its lock. Every method raises ``LedgerError`` when it cannot be written.

    What sending awaits is declared ``async`` since a ledger on another machine would wait; this one does not.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, writable=True)
        self._run = 0
        self._selected = _UNFINISHED  # the rows that are to be sent or read
        with translated(self.path):
            self._inode = self.path.stat().st_ino
            # The empty transaction fails where nothing can be written.
            self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE; COMMIT;")
        if any(run.ended_at is None for run in self.runs()[-1:]):  # it was killed, or its machine was
            [(problem,)] = self._query("PRAGMA quick_check(1)")
            if problem != "ok":
                raise damaged(self.path, problem)

    def close(self) -> None:
        """Close the file, so that it has everything even where a reader keeps the log from being removed."""
        with contextlib.suppress(sqlite3.Error):  # it is being read, or the disk is full
            self._db.executescript("PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE);")
        super().close()

    def select_to_send(self, *, failed: bool) -> None:
        """From now on give the rows to send, with the failed ones or without; they are failed until they end again."""
        self._selected = f"state IN ('pending', 'unknown', '{'failed' if failed else 'unknown'}')"

    def select_unread(self) -> None:
        """From now on give the rows to send of which the alias was not read."""
        self._selected = "state = 'pending' AND before IS NULL"

    def select_accepted(self, *, since: float, sample: int | None, seed: int) -> int:
        """From now on give the accepted rows that were not read back since a time, or a random sample of them.

        Args:
            since: Seconds since the epoch.
            sample: How many rows; ``None`` for all.
            seed: What the sample depends on; it is the same for the same seed and rows.

        Returns:
            How many rows that is.
        """
        where = "state = 'accepted'"
        if sample is not None:
            numbers = [number for (number,) in self._query(f"SELECT number FROM rows WHERE {where} ORDER BY number")]
            chosen = random.Random(seed).sample(numbers, min(sample, len(numbers)))  # noqa: S311 - it protects nothing
            with translated(self.path):
                self._db.execute("CREATE TEMP TABLE sample (number INTEGER PRIMARY KEY)")
                self._db.executemany("INSERT INTO sample VALUES (?)", [(number,) for number in chosen])
            where += " AND number IN (SELECT number FROM sample)"
        self._selected = f"{where} AND coalesce(verified_at, 0) < {since!r}"
        [(rows,)] = self._query(f"SELECT count(*) FROM rows WHERE {self._selected}")
        return int(rows)

    def select_groups(self) -> int:
        """From now on give the first pending row of each group whose members were not looked up.

        Returns:
            How many groups that is.
        """
        with translated(self.path):
            self._db.executescript(_SELECT_GROUPS)
        self._selected = "+number IN (SELECT number FROM asked)"  # with the +, a page is a range of the rows
        [(groups,)] = self._query("SELECT count(*) FROM asked")
        return int(groups)

    def record_members(self, group_id: str, members: Collection[str]) -> None:
        """Record that the members of a group were looked up, and which of its pending rows have other users."""
        problem, known = (NOT_A_MEMBER if members else NO_SUCH_GROUP), json.dumps(sorted(members))
        with translated(self.path):
            self._db.execute("BEGIN")
            self._db.execute(
                "INSERT INTO others SELECT number, ? FROM rows WHERE state = 'pending' AND group_id = ?"
                " AND user_id NOT IN (SELECT value FROM json_each(?))",
                (problem, group_id, known),
            )
            self._db.execute("INSERT INTO groups VALUES (?)", (group_id,))
            self._db.execute("COMMIT")

    def end_groups(self, *, reject: bool) -> None:
        """Reject, or warn of, the rows whose user is not in the group, and give the rows to send again."""
        mark = "warning = ltrim(warning || ',' || ?1, ',')"
        if reject:
            mark = "state = 'rejected', reason = ?1, message = ?2"
        self._selected = _UNFINISHED
        with translated(self.path):
            self._db.execute("BEGIN")
            self._db.execute("DROP INDEX pending_groups")
            for problem in (NOT_A_MEMBER, NO_SUCH_GROUP):
                self._db.execute(
                    f"UPDATE rows SET {mark} WHERE number IN (SELECT number FROM others WHERE problem = ?1)",
                    (problem, PROBLEMS[problem].sentence)[: 1 + reject],
                )
            self._db.execute("DROP TABLE others")
            self._db.execute("DROP TABLE asked")
            self._db.execute("COMMIT")

    def keep_members(self, purpose: str) -> None:
        """Forget what was found of the members of groups as far as rows are not sent, unless for the same purpose."""
        if (self.meta(_PURPOSE) or "") != purpose:
            with translated(self.path):
                self._db.executescript(_FORGET_MEMBERS)
            self.set_meta(_PURPOSE, purpose)

    def forget_members_later(self) -> None:
        """Forget what was found of the members of groups when the job is opened again."""
        self.set_meta(_PURPOSE, "forgotten")

    def set_meta(self, key: str, value: str) -> None:
        """Record a fact about the job, in place of an earlier value."""
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    async def pending(self, *, after: int, most: int) -> list[Row]:
        """The next selected rows, by default those to send, whose number is above ``after``."""
        return self._select("AND number > ? ORDER BY number LIMIT ?", (after, most))

    async def opening_rows(self, most: int) -> list[Row]:
        """A few of the selected rows, from the beginning, the end and the middle of the source."""
        first = self._select("ORDER BY number LIMIT 1")
        if not first:
            return []
        last = self._select("ORDER BY number DESC LIMIT 1")
        middle = self._select("AND number > ? ORDER BY number LIMIT 1", ((first[0].number + last[0].number) // 2,))
        return list({row.number: row for row in (*first, *last, *middle)}.values())[:most]

    def _select(self, more: str, values: Sequence[int] = ()) -> list[Row]:
        in_doubt = "state = 'unknown' OR (state = 'pending' AND started) AS in_doubt"
        columns = f"number, user_id, group_id, remark, {in_doubt}, before, expected"
        found = self._query(f"SELECT {columns} FROM rows WHERE {self._selected} {more}", values)
        return [Row(**{**dict(row), "in_doubt": bool(row["in_doubt"])}) for row in found]

    def record(self, outcome: Outcome) -> None:
        """Record a row's outcome. Synchronous: nothing may be awaited between a response and this."""
        self._write(
            "UPDATE rows SET state = ?, code = ?, message = ?, attempts = attempts + ?, request_id = ?,"
            " finished_at = ? WHERE number = ?",
            (
                outcome.state,
                outcome.code,
                pack(outcome.message),
                outcome.attempts,
                outcome.request_id,
                outcome.finished_at,
                outcome.row,
            ),
        )

    def record_started(self, row: int) -> None:
        """Record that a row is about to be sent, so that a run that is killed leaves it in doubt."""
        self._write("UPDATE rows SET started = 1 WHERE number = ?", (row,))

    def record_before(self, row: int, alias: str) -> None:
        """Record the alias that a row is about to replace; the first one that was read stays."""
        self._write("UPDATE rows SET before = ? WHERE number = ? AND before IS NULL", (alias, row))

    def forget_before(self) -> None:
        """Forget what was read of the pending rows: it was read elsewhere."""
        self._write("UPDATE rows SET before = NULL, message = '' WHERE state = 'pending'")

    def record_unreadable(self, row: int, message: str) -> None:
        """Record why the alias of a row that was not sent could not be read."""
        self._write("UPDATE rows SET message = ? WHERE number = ? AND state = 'pending'", (pack(message), row))

    def record_found(self, row: int, alias: str, at: float) -> None:
        """Record the alias that was read back at a time, in seconds since the epoch."""
        self._write("UPDATE rows SET found = ?, verified_at = ? WHERE number = ?", (alias, at, row))

    async def record_metrics(self, seconds: Sequence[Second], events: Sequence[Event], *, busiest: int) -> None:
        """Record what happened since the last call, and the most attempts in a sliding second of the run so far."""
        with translated(self.path):
            # SQLite goes on writing to a file that has been deleted.
            if self.path.stat().st_ino != self._inode:
                raise LedgerError("{path} was replaced during the run.", "Nothing more was sent.", path=self.path)
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT INTO seconds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [self._values(second) for second in seconds],
            )
            self._db.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?)",
                [(self._run, event.at, event.kind, to_json(event.values)) for event in events],
            )
            most = "max(busiest_second, ?)"  # of all kinds of requests
            self._db.execute(f"UPDATE runs SET busiest_second = {most} WHERE id = ?", (busiest, self._run))
            self._db.execute("COMMIT")

    def _values(self, second: Second) -> tuple[object, ...]:
        counts = (to_json(part) for part in (second.settled, second.codes, second.latencies))
        numbers = (second.requests, second.retries, second.checks, second.refusals)
        return (self._run, second.kind, second.at, *numbers, *counts)

    def begin_run(self, command: str, *, target: str, version: str, settings: Mapping[str, object]) -> None:
        """Record that a run of a command begins; the metrics recorded from now on belong to it."""
        with translated(self.path):
            cursor = self._db.execute(
                "INSERT INTO runs (command, started_at, target, version, settings) VALUES (?, ?, ?, ?, ?)",
                (command, time.time(), pack(target), version, to_json(settings)),
            )
        self._run = cursor.lastrowid or 0

    def end_run(self, *, exit_code: int, host_switches: int, stopped: str = "") -> None:
        """Record how the run ended."""
        self._write(
            "UPDATE runs SET ended_at = ?, exit_code = ?, host_switches = ?, stopped = ? WHERE id = ?",
            (time.time(), exit_code, host_switches, pack(stopped), self._run),
        )

    def _write(self, query: str, values: Sequence[object] = ()) -> None:
        with translated(self.path):
            self._db.execute(query, values)
