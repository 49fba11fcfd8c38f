"""Jobs as ledgers to report on, without sending anything."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from batch_alias.ledger import Ledger, stage
from batch_alias.model import Outcome, State
from batch_alias.records import JobInfo, Second
from batch_alias.reports import Summary, summarize

HEADER = ("userId", "groupId", "remark")
VOID = frozenset({"meta", "br", "col", "img", "link", "hr", "input"})


class JobMaker:
    """Makes a job's folder with a ledger in it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def stage(self, rows: Sequence[dict[str, object]], *, header: tuple[str, ...] = HEADER, **facts: object) -> Ledger:
        """A ledger of rows from row 2 on; each a dict with ``remark`` and whatever differs from a good row."""
        blank = {
            "user_id": "",
            "group_id": "g",
            "remark": "",
            "reason": "",
            "message": "",
            "warning": "",
            "cells": None,
        }
        frame = pd.DataFrame(
            [blank | {"user_id": f"u{number}"} | row | {"number": number} for number, row in enumerate(rows, 2)]
        )
        info = {
            "source": "names.csv",
            "sha256": "0" * 64,
            "description": "comma separated, UTF-8",
            "header": header,
            "columns": (0, 1, 2),
            "blank_rows": 0,
            "reading": {},
            "staged_at": 1_790_000_000.0,
            "version": "1.0",
        }
        self.folder.mkdir(exist_ok=True)
        stage(self.folder, [frame], lambda: JobInfo(**(info | facts)))
        return self._stack.enter_context(Ledger(self.folder))


@pytest.fixture
def jobs(tmp_path) -> Iterator[JobMaker]:
    with ExitStack() as stack:
        yield JobMaker(tmp_path / "names.aliases", stack)


@pytest.fixture
def run() -> Callable[..., None]:
    """Notes a run of a job: its outcomes by row, and its seconds."""

    def note(
        ledger: Ledger,
        outcomes: dict[int, tuple[State, int | None, str]],
        seconds: Sequence[Second] = (),
        *,
        exit_code: int | None = 1,
        **settings: object,
    ) -> None:
        ledger.begin_run(host="api.example.com", version="1.0", settings={"rate": 100} | settings)
        for row, (state, code, message) in outcomes.items():
            ledger.record(
                Outcome(
                    row=row,
                    state=state,
                    code=code,
                    message=message,
                    attempts=1,
                    request_id=f"request-{row}",
                    finished_at=1_790_000_000.25,
                )
            )
        for second in seconds:
            ledger.record_second(second, busiest=max(each.requests for each in seconds))
        if exit_code is not None:
            ledger.end_run(exit_code=exit_code, host_switches=0)

    return note


@pytest.fixture
def totals() -> Callable[..., Summary]:
    def add_up(ledger: Ledger, *, exit_code: int | None = 1, stopped: str = "") -> Summary:
        return summarize(
            version="1.0",
            info=ledger.info(),
            tally=ledger.tally(),
            runs=ledger.runs(),
            seconds=ledger.seconds(),
            exit_code=exit_code,
            stopped=stopped,
        )

    return add_up


class Page(HTMLParser):
    """A page's tables by the heading above them, its lists, and every tag in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.tiles: list[list[str]] = []
        self.facts: dict[str, str] = {}
        self.text = ""
        self._open: list[tuple[str, str]] = []
        self._said: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self._open.append((tag, ""))
        if tag == "tr":
            self.tables.setdefault(self.headings[-1], []).append([])
        if tag == "li":
            self.tiles.append([])

    def handle_endtag(self, tag):
        open_job, text = self._open.pop()
        assert open_job == tag, f"<{open_job}> closed by </{tag}>"
        text = text.strip()
        if tag in {"h1", "h2"}:
            self.headings.append(text)
        elif tag in {"td", "th"}:
            self.tables[self.headings[-1]][-1].append(text)
        elif tag == "span" and any(name == "li" for name, _ in self._open):
            self.tiles[-1].append(text)
        elif tag in {"dt", "dd"}:
            self._said.append(text)
            if tag == "dd":
                self.facts[self._said[-2]] = text

    def handle_data(self, data):
        if any(name in {"style", "svg"} for name, _ in self._open):
            return
        self.text += data
        self._open = [(name, text + data) for name, text in self._open]

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def page() -> Callable[[Path], Page]:
    def parse(folder: Path) -> Page:
        return Page((folder / "report.html").read_text(encoding="utf-8"))

    return parse


@pytest.fixture
def second() -> Callable[..., Second]:
    def make(at: int, requests: int = 10, **facts: object) -> Second:
        counts = {"200": requests}
        values = {"retries": 0, "refusals": 0, "settled": {}, "codes": counts, "latencies": {80: requests}}
        return Second(at=at, requests=requests, **(values | facts))

    return make
