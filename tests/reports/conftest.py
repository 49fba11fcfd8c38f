"""Jobs to report on, made in a ledger without sending anything, and a parser for their pages."""

import asyncio
import csv
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from batch_alias.ledger import LEDGER, Ledger, create
from batch_alias.ledger.sqlite import SqliteLedger
from batch_alias.model import Event, Outcome, Second, State
from batch_alias.reports import Summary, write_reports
from batch_alias.version import __version__
from tests.support.jobs import START, job_info

SNAPSHOTS = Path(__file__).parent / "snapshots"
ROW = {"group_id": "g", "remark": "", "reason": "", "message": "", "warning": "", "cells": None, "expected": None}


class Job:
    """A job in a folder: ``stage`` first, then ``run`` as often as wanted."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.ledger: Ledger

    def stage(self, *rows: dict[str, object], **info: object) -> None:
        """Stage rows from row 2 on; a row only has what differs from a valid one."""
        frame = pd.DataFrame(
            [ROW | {"user_id": f"u{number}"} | row | {"number": number} for number, row in enumerate(rows, 2)]
        )
        self.folder.mkdir()
        create(self.folder, [frame], lambda: job_info(**info))
        self.ledger = self._stack.enter_context(SqliteLedger(self.folder))

    def run(
        self,
        outcomes: dict[int, tuple[State, int | None, str]] | None = None,
        seconds: Sequence[Second] = (),
        events: Sequence[Event] = (),
        *,
        command: str = "run",
        before: dict[int, str] | None = None,
        found: dict[int, str] | None = None,
        exit_code: int | None = 1,
        times: tuple[float, float | None] | None = None,
        **settings: object,
    ) -> None:
        """Record a run: outcomes by row number, and what happened; ``times`` of its start and end.

        ``before`` and ``found`` are the aliases that were read before it and read back, by row number.
        """
        for row, alias in (before or {}).items():
            self.ledger.record_before(row, alias)
        self.ledger.begin_run(command, target="api.example.com", version="1.0", settings={"rate": 100} | settings)
        for row, (state, code, message) in (outcomes or {}).items():
            self.ledger.record(
                Outcome(
                    row=row,
                    state=state,
                    code=code,
                    message=message,
                    attempts=1,
                    request_id=f"request-{row}",
                    finished_at=START + 0.25,
                )
            )
        for row, alias in (found or {}).items():
            self.ledger.record_found(row, alias, START + 4.5)
        busiest = max((second.requests for second in seconds), default=0)
        asyncio.run(self.ledger.record_metrics(seconds, events, busiest=busiest))
        if exit_code is not None:
            self.ledger.end_run(exit_code=exit_code, host_switches=0)
        if times is not None:
            with sqlite3.connect(self.folder / LEDGER) as db:
                query = "UPDATE runs SET started_at = ?, ended_at = ? WHERE id = (SELECT max(id) FROM runs)"
                db.execute(query, times)
            db.close()

    def write(self, *, exit_code: int | None = 1, stopped: str = "", xlsx: bool = False) -> Summary:
        return write_reports(self.folder, self.ledger, xlsx=xlsx, exit_code=exit_code, stopped=stopped)

    def page(self) -> "Page":
        return Page((self.folder / "report.html").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What a page shows.

    Attributes:
        tags: Every tag with its attributes.
        headings: The texts of h1 and h2.
        tables: By heading: rows of cells.
        reasons: Why rows were not accepted: what is said of each reason, and rows of cells.
        tiles: The texts in each tile.
        facts: Values by name.
        text: All visible text, a block or a row of a table on each line.
    """

    VOID = frozenset({"meta", "br", "col", "img", "link", "hr", "input"})
    BLOCKS = frozenset({"p", "h1", "h2", "h3", "li", "tr", "dt", "figcaption", "caption", "footer", "br", "summary"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.reasons: list[tuple[list[str], list[list[str]]]] = []
        self.tiles: list[list[str]] = []
        self.facts: dict[str, str] = {}
        self._text: list[str] = []
        self._open: list[tuple[str, str, bool]] = []
        self._name = ""
        self.feed(html)
        self.close()
        assert not self._open, self._open

    @property
    def text(self) -> str:
        lines = (re.sub(r"\s+", " ", line).strip(" |") for line in "".join(self._text).split("\n"))
        return "".join(f"{line}\n" for line in lines if line)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.BLOCKS:
            self._text.append("\n")
        if tag in self.VOID:
            return
        # What is hidden is shown by the script.
        hidden = tag in {"title", "style", "svg", "script"} or dict(attrs).get("role") == "img"
        self._open.append((tag, "", hidden or "hidden" in dict(attrs)))
        if tag == "details":
            self.reasons.append(([], []))
        elif tag == "tr":
            self._rows.append([])
        elif tag == "li":
            self.tiles.append([])

    def handle_endtag(self, tag):
        opened, text, _ = self._open.pop()
        assert opened == tag, f"<{opened}> closed by </{tag}>"
        text = " ".join(text.split())
        if tag in {"h1", "h2"}:
            self.headings.append(text)
        elif tag in {"td", "th"}:
            self._rows[-1].append(text)
            self._text.append(" | ")
        elif tag in {"summary", "p"} and self._is_in("details"):
            self.reasons[-1][0].append(text)
        elif tag == "span" and self._is_in("li"):
            self.tiles[-1].append(text)
            self._text.append(" ")
        elif tag == "dt":
            self._name = text
            self._text.append(": ")
        elif tag == "dd":
            self.facts[self._name] = text
        if tag == "dd" or (tag in self.BLOCKS and tag != "dt"):
            self._text.append("\n")

    def handle_data(self, data):
        if any(hidden for _, _, hidden in self._open):
            return
        self._text.append(data.replace("\n", " "))
        self._open = [(name, text + data, hidden) for name, text, hidden in self._open]

    @property
    def _rows(self) -> list[list[str]]:
        return self.reasons[-1][1] if self._is_in("details") else self.tables.setdefault(self.headings[-1], [])

    def _is_in(self, tag: str) -> bool:
        return any(name == tag for name, _, _ in self._open)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def job(tmp_path) -> Iterator[Job]:
    with ExitStack() as stack:
        yield Job(tmp_path / "names.aliases", stack)


@pytest.fixture
def read_csv(job) -> Callable[[str], list[list[str]]]:
    def read(name: str) -> list[list[str]]:
        with (job.folder / name).open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))

    return read


@pytest.fixture(scope="session")
def start() -> int:
    """When jobs begin, in seconds since the epoch."""
    return START


@pytest.fixture
def snapshot() -> Callable[[str, str], None]:
    """Compare a text with the one in ``snapshots/``; with UPDATE_SNAPSHOTS=1 it is written there instead."""

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / name
        text = text.replace(__version__, "VERSION")
        if os.environ.get("UPDATE_SNAPSHOTS"):
            path.write_text(text, encoding="utf-8", newline="\n")
        assert text == path.read_text(encoding="utf-8"), f"{name} differs; UPDATE_SNAPSHOTS=1 accepts the change"

    return compare
