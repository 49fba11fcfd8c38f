"""Filling a new ledger.

It is written under another name and takes its own only when it is complete: append, then index, then resolve duplicates
in SQL (4.5 s for a million rows against 8 s for upserts one by one).
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from batch_alias.ledger.file import APPLICATION_ID, FORMAT, LEDGER, NEW_LEDGER, translated
from batch_alias.ledger.records import ADDRESS, STAYS_ON, TARGET, JobInfo
from batch_alias.problems import NOT_A_DATA_ROW, PROBLEMS
from batch_alias.text import N_, pack, to_json

if TYPE_CHECKING:
    import pandas as pd

_VALUES = ("number", "user_id", "group_id", "remark")
_INSERT_VALUES = "INSERT INTO rows (number, user_id, group_id, remark, state) VALUES (?, ?, ?, ?, 'pending')"
_ALL = (*_VALUES, "reason", "message", "warning", "cells", "expected")
_INSERT_ALL = (
    "INSERT INTO rows (number, user_id, group_id, remark, reason, message, warning, cells, expected, state)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, iif(?5 = '', 'pending', 'rejected'))"
)
_RESOLVE_DUPLICATES = f"""
CREATE INDEX key ON rows (group_id, user_id, number) WHERE state = 'pending';
UPDATE rows SET state = 'superseded', superseded_by = last.number,
    message = json_object(
        'template', '{N_("row {row} sets the same user and group later")}', 'many', '',
        'values', json_object('row', last.number)
    )
FROM (
    SELECT group_id, user_id, max(number) AS number FROM rows WHERE state = 'pending'
    GROUP BY group_id, user_id HAVING count(*) > 1
) AS last
WHERE rows.state = 'pending' AND rows.group_id = last.group_id AND rows.user_id = last.user_id
    AND rows.number < last.number;
DROP INDEX key;
"""
KEEP_READ = """
UPDATE rows SET before = read.before
FROM (SELECT group_id, user_id, before FROM {old}.rows WHERE state = 'pending' AND before IS NOT NULL) AS read
WHERE rows.state = 'pending' AND read.group_id = rows.group_id AND read.user_id = rows.user_id
"""
KEPT_FACTS = [TARGET, ADDRESS, *STAYS_ON]
"""What is kept of an earlier ledger of a job whose rows are compared, beside what was read."""
_CASE = "ids-differ-only-in-case"
_MOST_NOTES = 20
"""Rows below the table; more of them are rows of which the ids were lost."""
_MARK_NOTES = f"""
WITH below AS (
    SELECT number FROM rows WHERE number > (
        SELECT number FROM rows WHERE user_id != '' AND group_id != '' ORDER BY number DESC LIMIT 1
    )
)
UPDATE rows SET reason = '{NOT_A_DATA_ROW}', message = ?
WHERE number IN below AND (SELECT count(*) FROM below) <= {_MOST_NOTES}
    AND reason IN ('empty-user-id', 'empty-group-id', 'too-few-fields');
"""


def create(
    folder: Path, batches: "Iterable[pd.DataFrame]", describe: Callable[[], JobInfo], *, strict: bool = False
) -> None:
    """Fill a new ledger with checked rows and resolve duplicates: the last row for a (group, user) wins.

    Args:
        folder: The job's folder. A ledger in it, of which no row was sent, is replaced once the new one is complete;
            the aliases that were read for it are kept, and what has to be done to its rows for the rest of the job.
        batches: Frames as ``Source.batches`` yields them.
        describe: Called when all batches are read.
        strict: Reject ids that differ only in case, instead of warning of them.

    Raises:
        LedgerError: The ledger cannot be written.
    """
    unfinished = folder / NEW_LEDGER
    try:
        with translated(unfinished):
            unfinished.unlink(missing_ok=True)  # left by a process that was killed
            # Readable by its owner only; SQLite gives its companion files the same mode.
            os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            db = sqlite3.connect(unfinished, isolation_level=None)
        with closing(db):
            _fill(db, unfinished, batches, describe, strict=strict)
            if (folder / LEDGER).exists():
                with translated(folder / LEDGER):
                    _keep_read(db, folder / LEDGER)
        with translated(unfinished):
            for companion in ("-wal", "-shm"):
                (folder / f"{LEDGER}{companion}").unlink(missing_ok=True)
            unfinished.replace(folder / LEDGER)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _fill(
    db: sqlite3.Connection,
    path: Path,
    batches: "Iterable[pd.DataFrame]",
    describe: Callable[[], JobInfo],
    *,
    strict: bool,
) -> None:
    with translated(path):
        # A staging that is cut short is thrown away, so nothing needs to be synced before the end.
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        # Only the states written out in this file are inserted; checking each costs 1.5 s for a million rows.
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.executescript(files("batch_alias.ledger").joinpath("schema.sql").read_text(encoding="utf-8"))
        db.execute("BEGIN")
    for frame in batches:
        with translated(path):
            _insert(db, frame)
    with translated(path):
        db.execute("COMMIT")
        db.execute(_MARK_NOTES, (PROBLEMS[NOT_A_DATA_ROW].sentence,))
        _mark_case(db, "user_id", strict=strict)
        _mark_case(db, "group_id", strict=strict)
        db.executescript(_RESOLVE_DUPLICATES)
        db.execute("INSERT INTO meta VALUES ('job', ?)", (to_json(asdict(describe())),))
        db.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
            "PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL;"
        )


def _keep_read(db: sqlite3.Connection, ledger: Path) -> None:
    """Keep of an earlier ledger of the job what was read for it, if its rows are compared."""
    db.execute("ATTACH ? AS old", (str(ledger),))
    facts = "SELECT key, value FROM old.meta WHERE key IN (SELECT value FROM json_each(?))"
    if db.execute(facts, (json.dumps(STAYS_ON),)).fetchone():
        db.execute(f"INSERT INTO meta {facts}", (json.dumps(KEPT_FACTS),))
        db.execute(KEEP_READ.format(old="old"))
    db.execute("DETACH old")


def _insert(db: sqlite3.Connection, frame: "pd.DataFrame") -> None:
    # Most frames have nothing but the four values, and binding the rest would double the time.
    plain = not (frame["reason"].any() or frame["warning"].any() or frame[["cells", "expected"]].notna().any(axis=None))
    query, columns = (_INSERT_VALUES, _VALUES) if plain else (_INSERT_ALL, _ALL)
    values = (map(pack, frame[name]) if name == "message" else frame[name].tolist() for name in columns)
    db.executemany(query, zip(*values, strict=True))


def _mark_case(db: sqlite3.Connection, column: str, *, strict: bool) -> None:
    """Mark the rows whose id differs from another one only in case."""
    db.execute(
        f"CREATE TEMP TABLE same AS SELECT lower(id) AS folded FROM"
        f" (SELECT {column} AS id FROM rows WHERE state = 'pending' GROUP BY {column})"
        f" GROUP BY lower(id) HAVING count(*) > 1"
    )
    if db.execute("SELECT count(*) FROM same").fetchone()[0]:
        mark = (
            f"state = 'rejected', reason = '{_CASE}', message = ?"
            if strict
            else f"warning = ltrim(warning || ',{_CASE}', ',')"
        )
        # A row whose user and group both have a counterpart is marked once.
        db.execute(
            f"UPDATE rows SET {mark} WHERE state = 'pending' AND instr(warning, '{_CASE}') = 0"
            f" AND lower({column}) IN (SELECT folded FROM same)",
            (PROBLEMS[_CASE].sentence,) if strict else (),
        )
    db.execute("DROP TABLE same")
