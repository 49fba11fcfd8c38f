"""Writing a ledger, in the SQL that SQLite and PostgreSQL have in common."""

import random
import time
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any

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
CREATE INDEX IF NOT EXISTS pending_groups ON rows (group_id, user_id) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS others (number INTEGER NOT NULL, problem TEXT NOT NULL);
CREATE TEMP TABLE asked (number INTEGER PRIMARY KEY);
INSERT INTO asked SELECT min(number) FROM rows WHERE state = 'pending' GROUP BY group_id
HAVING group_id NOT IN (SELECT group_id FROM groups);
"""
_FORGET_MEMBERS = f"""
UPDATE rows SET state = 'pending', reason = '', message = ''
WHERE state = 'rejected' AND reason IN ('{NOT_A_MEMBER}', '{NO_SUCH_GROUP}');
UPDATE rows SET warning = trim(
    replace(replace(',' || warning || ',', ',{NOT_A_MEMBER},', ','), ',{NO_SUCH_GROUP},', ','), ','
) WHERE state = 'pending' AND warning != '';
DELETE FROM groups;
DROP TABLE IF EXISTS others;
DROP INDEX IF EXISTS pending_groups;
"""
RECORD = (
    "UPDATE rows SET state = ?, code = ?, message = ?, attempts = attempts + ?, request_id = ?, finished_at = ?"
    " WHERE number = ?"
)
RECORD_BEFORE = "UPDATE rows SET before = ? WHERE number = ? AND before IS NULL"
RECORD_UNREADABLE = "UPDATE rows SET message = ? WHERE number = ? AND state = 'pending'"
RECORD_FOUND = "UPDATE rows SET found = ?, verified_at = ? WHERE number = ?"
RECORD_SECOND = "INSERT INTO seconds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
RECORD_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?)"
RECORD_BUSIEST = "UPDATE runs SET busiest_second = ? WHERE id = ? AND busiest_second < ?"  # of all kinds of requests


class Ledger(LedgerReader):
    """A ledger to write to; the caller holds its lock. Every method raises ``LedgerError`` when it cannot be written.

    What sending awaits is declared ``async`` since a ledger on another machine may wait.
    """

    more_to_come = False
    """Whether rows may be there later although there is none now."""

    def __init__(self) -> None:
        self._run = 0
        self._selected = _UNFINISHED  # the rows that are to be sent or read

    @abstractmethod
    def _write(self, query: str, values: Sequence[object] = ()) -> None:
        """Carry out a command with ``?`` for its values."""

    @abstractmethod
    def _write_many(self, query: str, values: Iterable[Sequence[object]]) -> None:
        """Carry out a command for each of some values."""

    @abstractmethod
    def _script(self, script: str) -> None:
        """Carry out commands without values in a transaction."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[object]:
        """Carry out what is written in a block together or not at all."""

    def recording(self) -> AbstractAsyncContextManager[object]:
        """A block in which outcomes are recorded; at its end they are in the ledger."""
        return nullcontext()

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
            self._script("CREATE TEMP TABLE sample (number INTEGER PRIMARY KEY);")
            self._write_many("INSERT INTO sample VALUES (?)", [(number,) for number in chosen])
            where += " AND number IN (SELECT number FROM sample)"
        self._selected = f"{where} AND coalesce(verified_at, 0) < {since!r}"
        [(rows,)] = self._query(f"SELECT count(*) FROM rows WHERE {self._selected}")
        return int(rows)

    def select_groups(self) -> int:
        """From now on give the first pending row of each group whose members were not looked up.

        Returns:
            How many groups that is.
        """
        self._script(_SELECT_GROUPS)
        self._selected = "+number IN (SELECT number FROM asked)"  # with the +, a page is a range of the rows
        [(groups,)] = self._query("SELECT count(*) FROM asked")
        return int(groups)

    def record_members(self, group_id: str, members: Collection[str]) -> None:
        """Record that the members of a group were looked up, and which of its pending rows have other users."""
        problem, known = (NOT_A_MEMBER if members else NO_SUCH_GROUP), sorted(members) or [""]
        with self._transaction():
            self._write(
                "INSERT INTO others SELECT number, ? FROM rows WHERE state = 'pending' AND group_id = ?"
                f" AND user_id NOT IN ({', '.join('?' * len(known))})",
                (problem, group_id, *known),
            )
            self._write("INSERT INTO groups VALUES (?)", (group_id,))

    def end_groups(self, *, reject: bool) -> None:
        """Reject, or warn of, the rows whose user is not in the group, and give the rows to send again."""
        mark = "warning = ltrim(warning || ',' || ?, ',')"
        if reject:
            mark = "state = 'rejected', reason = ?, message = ?"
        self._selected = _UNFINISHED
        with self._transaction():
            self._write("DROP INDEX pending_groups")
            for problem in (NOT_A_MEMBER, NO_SUCH_GROUP):
                marked = (problem, PROBLEMS[problem].sentence)[: 1 + reject]
                self._write(
                    f"UPDATE rows SET {mark} WHERE number IN (SELECT number FROM others WHERE problem = ?)",
                    (*marked, problem),
                )
            self._write("DROP TABLE others")
            self._write("DROP TABLE asked")

    def keep_members(self, purpose: str) -> None:
        """Forget what was found of the members of groups as far as rows are not sent, unless for the same purpose."""
        if (self.meta(_PURPOSE) or "") != purpose:
            self._script(_FORGET_MEMBERS)
            self.set_meta(_PURPOSE, purpose)

    def forget_members_later(self) -> None:
        """Forget what was found of the members of groups when the job is opened again."""
        self.set_meta(_PURPOSE, "forgotten")

    def set_meta(self, key: str, value: str) -> None:
        """Record a fact about the job, in place of an earlier value."""
        self._write(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
        )

    async def pending(self, *, after: int, most: int) -> list[Row]:
        """The next selected rows, by default those to send, whose number is above ``after``."""
        return self._select("AND number > ? ORDER BY number LIMIT ?", (after, most))

    def is_withdrawn(self, _row: Row) -> bool:
        """Whether a row was given to another process since: never, as this one holds the lock."""
        return False

    async def opening_rows(self, most: int) -> list[Row]:
        """A few of the selected rows, from the beginning, the end and the middle of the source."""
        first = self._select("ORDER BY number LIMIT 1")
        if not first:
            return []
        last = self._select("ORDER BY number DESC LIMIT 1")
        middle = self._select("AND number > ? ORDER BY number LIMIT 1", ((first[0].number + last[0].number) // 2,))
        return list({row.number: row for row in (*first, *last, *middle)}.values())[:most]

    def _select(self, more: str, values: Sequence[int] = ()) -> list[Row]:
        return list(map(row_of, self._query(f"SELECT {ROW} FROM rows WHERE {self._selected} {more}", values)))

    def record(self, outcome: Outcome) -> None:
        """Record a row's outcome. Synchronous: nothing may be awaited between a response and this."""
        self._write(RECORD, values_of(outcome))

    def record_started(self, row: int) -> None:
        """Record that a row is about to be sent, so that a run that is killed leaves it in doubt."""
        self._write("UPDATE rows SET started = 1 WHERE number = ?", (row,))

    def record_before(self, row: int, alias: str) -> None:
        """Record the alias that a row is about to replace; the first one that was read stays."""
        self._write(RECORD_BEFORE, (alias, row))

    def forget_before(self) -> None:
        """Forget what was read of the pending rows: it was read elsewhere."""
        self._write("UPDATE rows SET before = NULL, message = '' WHERE state = 'pending'")

    def record_unreadable(self, row: int, message: str) -> None:
        """Record why the alias of a row that was not sent could not be read."""
        self._write(RECORD_UNREADABLE, (pack(message), row))

    def record_found(self, row: int, alias: str, at: float) -> None:
        """Record the alias that was read back at a time, in seconds since the epoch."""
        self._write(RECORD_FOUND, (alias, at, row))

    async def record_metrics(self, seconds: Sequence[Second], events: Sequence[Event], *, busiest: int) -> None:
        """Record what happened since the last call, and the most attempts in a sliding second of the run so far."""
        with self._transaction():
            self._write_many(RECORD_SECOND, [second_values(self._run, second) for second in seconds])
            self._write_many(RECORD_EVENT, [event_values(self._run, event) for event in events])
            self._write(RECORD_BUSIEST, (busiest, self._run, busiest))

    @property
    def run(self) -> int:
        """The number of the run that was begun last; 0 before."""
        return self._run

    def begin_run(self, command: str, *, target: str, version: str, settings: Mapping[str, object]) -> int:
        """Record that a run of a command begins, and return its number; the metrics recorded from now on are its."""
        with self._transaction():  # which is not done again: where a connection is lost it may have been
            [(self._run,)] = self._query(
                "INSERT INTO runs (id, command, started_at, target, version, settings)"
                " SELECT coalesce(max(id), 0) + 1, ?, ?, ?, ?, ? FROM runs RETURNING id",
                (command, time.time(), pack(target), version, to_json(settings)),
            )
        return self._run

    def end_run(self, *, exit_code: int, host_switches: int, stopped: str = "") -> None:
        """Record how the run ended."""
        self._write(
            "UPDATE runs SET ended_at = ?, exit_code = ?, host_switches = ?, stopped = ? WHERE id = ?",
            (time.time(), exit_code, host_switches, pack(stopped), self._run),
        )


ROW = "number, user_id, group_id, remark, state = 'unknown' OR (state = 'pending' AND started = 1), before, expected"
"""The columns of ``row_of``."""


def row_of(values: Sequence[Any]) -> Row:
    """A row that may be sent, from its columns."""
    number, user_id, group_id, remark, in_doubt, before, expected = values
    return Row(
        number=number,
        user_id=user_id,
        group_id=group_id,
        remark=remark,
        in_doubt=bool(in_doubt),
        before=before,
        expected=expected,
    )


def values_of(outcome: Outcome) -> tuple[object, ...]:
    """The values of ``RECORD``."""
    return (
        outcome.state,
        outcome.code,
        pack(outcome.message),
        outcome.attempts,
        outcome.request_id,
        outcome.finished_at,
        outcome.row,
    )


def second_values(run: int, second: Second) -> tuple[object, ...]:
    """The values of ``RECORD_SECOND``."""
    counts = (to_json(part) for part in (second.settled, second.codes, second.latencies))
    return (run, second.kind, second.at, second.requests, second.retries, second.checks, second.refusals, *counts)


def event_values(run: int, event: Event) -> tuple[object, ...]:
    """The values of ``RECORD_EVENT``."""
    return (run, event.at, event.kind, to_json(event.values))
