"""Whole jobs in Chinese: all that is printed and written for people is; what machines read is as in English."""

import csv
import json
import re
import signal
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path

import openpyxl
import pytest

from batch_alias.errors import ExitCode
from batch_alias.rongcloud.codes import CODES
from batch_alias.sandbox import Rules, Sandbox
from batch_alias.sandbox.emulator import READ
from batch_alias.sandbox.faults import INTERNAL_ERROR
from tests.support.faults import OnPath, Script, coded
from tests.support.files import SAMPLES
from tests.support.processes import Ended

COMMAND = re.compile(r"batch-alias [a-z]+[^。；，\n]*")
SENTENCE = re.compile(r"[A-Za-z]+(?: [a-z]+){2,}")
"""Three words in a row, of which at least two are lower-case: neither a name, nor a flag, nor an identifier."""


class Text(HTMLParser):
    """The text of a page that is shown: without styles, scripts and attributes but those that are read out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in {"style", "script"}
        self.parts += [
            value or "" for name, value in attrs if name in {"aria-label", "placeholder", "title", "data-name"}
        ]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"style", "script"}

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def english(texts: Iterable[object], own: str = "") -> list[str]:
    """The English sentences in texts, without commands and without what is in a source."""
    words = " ".join(re.findall("[A-Za-z]+", own))
    found = [sentence for text in texts for sentence in SENTENCE.findall(COMMAND.sub("", str(text)))]
    return [sentence for sentence in found if sentence not in words]


def sources_text(path: Path) -> str:
    """The words that are in a source, as far as it is text or a workbook."""
    if path.suffix != ".xlsx":
        return path.read_bytes().decode("utf-8", "replace")
    rows = (row for sheet in openpyxl.load_workbook(path) for row in sheet.iter_rows(max_row=100, values_only=True))
    return " ".join(str(value) for row in rows for value in row)


def written(folder: Path) -> Iterable[object]:
    """Every text of the reports that people read."""
    yield from Text((folder / "report.html").read_text(encoding="utf-8")).parts
    for name in ("not-accepted.csv", "results.csv", "plan.csv"):
        if (folder / name).exists():
            with (folder / name).open(encoding="utf-8-sig", newline="") as file:
                yield from (value for row in csv.reader(file) for value in row)
    if (folder / "results.xlsx").exists():
        for sheet in openpyxl.load_workbook(folder / "results.xlsx"):
            yield from (value for row in sheet.iter_rows(values_only=True) for value in row if value is not None)


BAD_ROWS = SAMPLES / "bad-rows.csv"
SERVICE = " ".join(known.meaning for known in CODES.values())
"""What the sandbox says of its refusals: RongCloud's part, in no language of ours."""
OWN = BAD_ROWS.read_text(encoding="utf-8", errors="replace") + SERVICE


@pytest.fixture
def in_language(batch_alias) -> Callable[..., Ended]:
    """Run a command in this process, in Chinese or another language, and send to a sandbox if one is given."""

    def run(*arguments: str | Path, to: Sandbox | None = None, language: str = "zh") -> Ended:
        return batch_alias(*arguments, to=to, BATCH_ALIAS_LANG=language)

    return run


def test_a_job_with_every_kind_of_row(in_language, sandbox, tmp_path):
    answers = {1: coded(1002), 2: coded(1000), 3: coded(1008)}
    served = sandbox(Script(lambda number: answers.get(number % 7)))
    given = (
        "run",
        BAD_ROWS,
        "--job",
        "job",
        "--max-rejected",
        "100%",
        "--max-failed",
        "100%",
        "--xlsx",
        "--yes",
    )
    ended = in_language(*given, to=served)
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    assert english(ended.err.splitlines(), OWN) == []
    assert english(written(tmp_path / "job"), OWN) == []
    assert english(in_language("status", "job").out.splitlines()) == []


def test_a_check_and_the_problems_it_writes(in_language, tmp_path):
    ended = in_language("check", BAD_ROWS, "--problems", "problems.csv")
    assert ended.code in {ExitCode.NOT_ALL_ACCEPTED, ExitCode.SOURCE}
    assert english(ended.out.splitlines(), OWN) == []
    assert english((tmp_path / "problems.csv").read_text(encoding="utf-8-sig").splitlines(), OWN) == []


@pytest.mark.parametrize("path", sorted((SAMPLES / "gallery").iterdir()), ids=lambda path: path.name)
def test_what_is_wrong_with_a_damaged_source(batch_alias, path):
    ended = batch_alias("check", path, "--lang", "zh")
    own = sources_text(path)
    assert english([*ended.out.splitlines(), *ended.err.splitlines()], own) == []


def test_planned_sent_verified_and_undone(in_language, sandbox, write_csv, tmp_path):
    aliases = {("g1", "u1"): "旧", ("g2", "u2"): "旧"}
    some_fail = Script(lambda number: INTERNAL_ERROR if number % 20 == 3 else None)
    served = sandbox(OnPath(READ, some_fail), aliases=aliases)
    source = write_csv(15)
    # What is undone is read back too if it was when it was sent, and each time three seconds after the last row.
    for arguments in (
        ("plan", source, "--job", "job"),
        ("run", source, "--job", "job", "--xlsx", "--yes"),
        ("verify", "job", "--sample", "10"),
        ("undo", "job", "--yes"),
        ("status", "job/undo.aliases"),
        ("run", source, "--job", "verified", "--verify", "--yes"),
    ):
        ended = in_language(*arguments, to=served)
        assert ended.code in {ExitCode.DONE, ExitCode.NOT_ALL_ACCEPTED}, ended.err
        assert english([*ended.out.splitlines(), *ended.err.splitlines()]) == []
    for job in ("job", "job/undo.aliases", "verified"):
        assert english(written(tmp_path / job)) == []


def test_members_are_looked_up(in_language, sandbox, write_csv):
    served = sandbox(rules=Rules(unknown_group="error"), members={"g1": ["u1"]})
    ended = in_language("check", write_csv(20), "--members", "--strict", to=served)
    assert ended.code in {ExitCode.NOT_ALL_ACCEPTED, ExitCode.SOURCE}, ended.err
    assert english([*ended.out.splitlines(), *ended.err.splitlines()]) == []


def test_an_interrupted_job(command, at_request, sandbox, write_csv, tmp_path):
    served = sandbox(at_request(10, lambda: started.signal(signal.SIGINT)))
    started = command("run", write_csv(1000), "--job", "job", to=served, BATCH_ALIAS_LANG="zh")
    ended = started.end()
    assert ended.code == ExitCode.INTERRUPTED
    assert english(ended.err.splitlines()) == []
    assert english(written(tmp_path / "job")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "missing.csv", "--sandbox"),
        ("run", "rows.csv"),
        ("run", "rows.csv", "--sandbox", "--url", "https://a.example"),
        ("run", "rows.csv", "--region", "mars"),
        ("run", "rows.csv", "--nope"),
        ("run", "rows.csv", "--rate", "0"),
        ("run", "rows.csv", "--rate", "many"),
        ("run", "rows.csv", "--timeout", "1h"),
        ("run", "rows.csv", "--patience", "soon"),
        ("run", "rows.csv", "--limit", "0"),
        ("run", "rows.csv", "--max-rejected", "lots"),
        ("run", "rows.csv", "--accept", "anything", "--sandbox"),
        ("run", "rows.csv", "--sandbox", "--user-column", "who"),
        ("run", "rows.csv", "--sandbox", "--encoding", "klingon"),
        ("run", "rows.csv", "--sandbox", "--sheet", "a"),
        ("run", "rows.csv", "--dry-run"),
        ("run", "rows.csv", "--secret", "x"),
        ("status", "nowhere"),
        ("retry", "nowhere", "--region", "beijing"),
        ("nonsense",),
        ("template", "names.pdf"),
        ("completion", "tcsh"),
    ],
    ids=" ".join,
)
def test_an_error(batch_alias, write_csv, arguments):
    write_csv(3)
    ended = batch_alias(*arguments, "--lang", "zh")
    assert ended.code in {ExitCode.USAGE, ExitCode.SOURCE, ExitCode.LEDGER}, ended.err
    assert english(ended.err.splitlines()) == []
    assert re.search("[\u4e00-\u9fff]", ended.err)


def test_reports_are_written_again_in_the_other_language(in_language, sandbox, write_csv, tmp_path):
    served = sandbox(Script(lambda number: coded(1002) if number % 3 == 1 else None))
    given = ("run", write_csv(9), "--job", "job", "--xlsx", "--max-failed", "100%", "--yes")
    assert in_language(*given, to=served, language="en").code == ExitCode.NOT_ALL_ACCEPTED
    first = {path.name: path.read_bytes() for path in (tmp_path / "job").glob("*.[hcj]*")}
    assert english(written(tmp_path / "job")) != []
    assert in_language("report", "job", "--lang", "zh", language="en").code == ExitCode.DONE
    assert english(written(tmp_path / "job"), SERVICE) == []
    assert '<html lang="zh-CN"' in (tmp_path / "job" / "report.html").read_text(encoding="utf-8")
    assert in_language("report", "job", "--lang=en").code == ExitCode.DONE
    assert {path.name: path.read_bytes() for path in (tmp_path / "job").glob("*.[hcj]*")} == first


def test_what_machines_read_is_the_same(in_language, sandbox, write_csv, results, tmp_path):
    summaries = {}
    for language in ("en", "zh"):
        folder = tmp_path / language
        given = ("run", write_csv(5), "--job", folder, "--json", "--yes")
        ended = in_language(*given, to=sandbox(), language=language)
        summaries[language] = json.loads(ended.out)
        header = (folder / "results.csv").read_text(encoding="utf-8-sig").splitlines()[0]
        assert header.startswith("row,userId,groupId,remark,state,code,message")
        assert {row["state"] for row in results(folder).rows} == {"accepted"}
    assert summaries["en"].keys() == summaries["zh"].keys()
    assert summaries["en"]["states"] == summaries["zh"]["states"]
