"""The page says what the ledger says, and nothing from a file is more than text in it."""

import asyncio
import hashlib
import time
from dataclasses import asdict

import pytest

from batch_alias.job import run_job
from batch_alias.ledger import LedgerReader
from batch_alias.model import State
from batch_alias.records import Event, EventKind
from batch_alias.reports import write_reports
from batch_alias.settings import Settings

NASTY = [
    "<script>alert(1)</script>",
    "</td></table><b>bold</b>",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }}",
    "&lt;already&gt;",
    "&#60;img src=x onerror=alert(1)&#62;",
    "<!-- comment",
    "]]><svg onload=alert(1)>",
]


def test_the_page_of_a_real_run_says_what_its_ledger_says(tmp_path, page):
    source = tmp_path / "names.csv"
    lines = [f"user{number},group{number % 3},名字 {number}" for number in range(40)]
    source.write_text("\n".join(["userId,groupId,remark", *lines, ",group1,nobody"]), encoding="utf-8")
    folder = tmp_path / "job"
    summary = asyncio.run(run_job(Settings(source=source, job=folder, sandbox=True, rate=200, max_rejected=0.5)))
    with LedgerReader(folder) as accounts:
        tally, seconds = accounts.tally(), list(accounts.seconds())
    found = page(folder)
    assert {tile[1]: int(tile[0]) for tile in found.tiles if len(tile) == 4} == asdict(tally)
    assert found.facts["Requests"] == str(sum(second.requests for second in seconds)) == "40"
    assert found.tables["What the service answered"][1:] == [["200", "accepted", "40", "100\xa0%"]]
    assert found.facts["SHA-256"] == hashlib.sha256(source.read_bytes()).hexdigest() == summary.sha256
    assert [row[0] for row in found.tables["Rows not accepted"][1:]] == ["42"]
    assert found.headings[0] == "1 of 41 rows was not accepted."


def test_the_states_on_the_page_add_up_to_the_rows_of_the_ledger(jobs, run, totals, page):
    ledger = jobs.stage(
        [{"remark": "a"}] * 5
        + [{"remark": "b", "reason": "empty-user-id", "message": "The user id is empty.", "user_id": ""}]
        + [{"user_id": "twice", "remark": "early"}, {"user_id": "twice", "remark": "late"}]
        + [{"remark": "never"}]
    )
    run(
        ledger,
        {
            **dict.fromkeys((2, 3, 4), (State.ACCEPTED, 200, "accepted")),
            5: (State.FAILED, 1002, "parameter missing or invalid"),
            6: (State.UNKNOWN, None, "no answer in time"),
        },
    )
    write_reports(jobs.folder, ledger, totals(ledger))
    found = page(jobs.folder)
    shown = {tile[1]: int(tile[0].replace(",", "")) for tile in found.tiles if len(tile) == 4}
    assert shown == {"accepted": 3, "superseded": 1, "rejected": 1, "failed": 1, "unknown": 1, "pending": 2}
    assert sum(shown.values()) == ledger.tally().rows
    assert found.headings[:2] == ["5 of 9 rows were not accepted.", "9 rows"]


def test_the_numbers_of_the_run_are_those_of_the_ledger(jobs, run, totals, page, second):
    ledger = jobs.stage([{"remark": "a"}])
    now = int(time.time())
    seconds = [
        second(now, 100, retries=3, refusals=2, codes={"200": 90, "1008": 2, "HTTP 502": 5, "timeout": 3}),
        second(now + 1, 40, codes={"200": 38, "4321": 2}),
    ]
    run(ledger, {2: (State.ACCEPTED, 200, "accepted")}, seconds, exit_code=0)
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=0))
    found = page(jobs.folder)
    assert found.facts["Requests"] == "140"
    assert found.facts["of them repeated"] == "3"
    assert found.facts["refused by the limit"] == "2"
    assert found.facts["Busiest second"] == "100 limit 100"
    assert found.tables["What the service answered"][1:] == [
        ["200", "accepted", "128", "91.4\xa0%"],
        ["HTTP 502", "Bad Gateway, without RongCloud's code: from a gateway", "5", "3.6\xa0%"],
        ["timeout", "no answer in time", "3", "2.1\xa0%"],
        ["1008", "over the rate limit", "2", "1.4\xa0%"],
        ["4321", "a code that RongCloud's table does not have", "2", "1.4\xa0%"],
    ]


def test_every_row_that_was_not_accepted_is_shown_with_its_reason_and_with_advice(jobs, run, totals, page):
    ledger = jobs.stage(
        [
            {"remark": "甲"},
            {"remark": "乙", "user_id": "", "reason": "empty-user-id", "message": "The user id is empty."},
            {"remark": "丙"},
            {"remark": "丁"},
        ]
    )
    run(
        ledger,
        {2: (State.ACCEPTED, 200, "accepted"), 4: (State.FAILED, 1005, "parameter too long: remark")},
    )
    write_reports(jobs.folder, ledger, totals(ledger))
    rows = page(jobs.folder).tables["Rows not accepted"][1:]
    assert [row[:5] for row in rows] == [
        ["3", "", "g", "乙", "rejected"],
        ["4", "u4", "g", "丙", "failed"],
        ["5", "u5", "g", "丁", "pending"],
    ]
    assert rows[0][5] == "The user id is empty.Fill it in, or delete the row."
    assert rows[1][5].startswith("parameter too long: remark")
    assert rows[2][5] == "not sent yetRun the same command again: it goes on where it ended."


def test_reasons_are_counted_and_the_most_frequent_comes_first(jobs, run, totals, page):
    empty = {"user_id": "", "reason": "empty-user-id", "message": "The user id is empty."}
    ledger = jobs.stage([{"remark": "x"}, {"remark": "y"}] + [empty] * 3)
    outcomes = {
        2: (State.FAILED, 1002, "parameter missing or invalid: user 2 is not known"),
        3: (State.FAILED, 1002, "parameter missing or invalid: user 3 is not known"),
    }
    run(ledger, outcomes)
    write_reports(jobs.folder, ledger, totals(ledger))
    first, second = page(jobs.folder).tables["Why rows were not accepted"][1:]
    assert first[:4] == ["3", "rejected", "empty-user-id", "row 4: The user id is empty."]
    assert second[:3] == ["2", "failed", "1002 parameter missing or invalid"]


def test_rows_that_are_odd_but_may_be_sent_are_named(jobs, totals, page):
    ledger = jobs.stage([{"remark": "a"}, {"remark": "null", "warning": "null-word-in-remark"}])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None))
    assert page(jobs.folder).tables["Odd, but not refused"][1:] == [["1", "null-word-in-remark", "row 3"]]


def test_only_the_first_thousand_rows_are_shown_and_the_page_says_so(jobs, totals, page):
    ledger = jobs.stage([{"remark": "名" * 5000}] * 1500)
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None))
    found = page(jobs.folder)
    assert len(found.tables["Rows not accepted"]) == 1001
    assert "The first 1,000 of 1,500; not-accepted.csv has them all." in found.text
    assert (jobs.folder / "report.html").stat().st_size < 2_000_000


def test_values_made_to_swell_the_page_hardly_do(jobs, totals):
    # A quote is the longest of all characters when it is escaped.
    row = {"user_id": '"' * 5000, "group_id": '"' * 5000, "remark": '"' * 5000}
    ledger = jobs.stage([row | {"reason": "too-few-fields", "message": '"' * 5000}] * 1500)
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None))
    assert (jobs.folder / "report.html").stat().st_size < 2_500_000


@pytest.mark.parametrize("value", NASTY)
def test_markup_in_a_value_stays_text(jobs, run, totals, page, value):
    ledger = jobs.stage(
        [{"remark": value, "user_id": value, "group_id": value}],
        source=value,
        description=value,
        header=(value, "groupId", "remark"),
    )
    run(ledger, {2: (State.FAILED, 1002, f"parameter missing or invalid: {value}")}, note=value)
    ledger.record_event(Event(at=time.time(), kind=EventKind.HOST_SWITCHED, text=value))
    write_reports(jobs.folder, ledger, totals(ledger, stopped=value))
    found = page(jobs.folder)
    assert found.tables["Rows not accepted"][1][1:4] == [value] * 3
    assert found.tables["What happened on the way"][1][2] == value
    assert found.facts["source"] == value
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "img", "svg", "iframe", "a", "link"})
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]


def test_control_characters_are_seen_and_directions_of_writing_stay_in_their_cell(jobs, totals, page):
    ledger = jobs.stage([{"remark": "a\x00b\nc\x85d\x7f", "user_id": "\u202eabc"}])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None))
    text = (jobs.folder / "report.html").read_text(encoding="utf-8")
    assert "<bdi>\u202eabc</bdi>" in text
    assert page(jobs.folder).tables["Rows not accepted"][1][3] == "a␀b␊c\ufffdd␡"


def test_the_page_needs_nothing_but_itself(jobs, run, totals, page, second):
    ledger = jobs.stage([{"remark": "a"}])
    run(ledger, {2: (State.ACCEPTED, 200, "accepted")}, [second(int(time.time()))], exit_code=0)
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=0))
    found = page(jobs.folder)
    names = {name for _, attributes in found.tags for name in attributes}
    assert names.isdisjoint({"src", "srcset", "action", "data"})
    assert all(attributes["xlink:href"].startswith("#") for _, attributes in found.tags if "xlink:href" in attributes)
    text = (jobs.folder / "report.html").read_text(encoding="utf-8")
    assert "url(http" not in text
    assert "@import" not in text
    assert [tag for tag, _ in found.tags].count("svg") == 6
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_drawings_take_their_colours_from_the_page(jobs, run, totals, second):
    ledger = jobs.stage([{"remark": "a"}])
    run(ledger, {2: (State.ACCEPTED, 200, "accepted")}, [second(int(time.time()))], exit_code=0)
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=0))
    text = (jobs.folder / "report.html").read_text(encoding="utf-8")
    drawings = text[text.index("<svg") : text.rindex("</svg>")]
    assert "var(--blue)" in drawings
    assert "#0101" not in drawings
    assert "#000000" not in drawings


def test_a_job_that_sent_nothing_has_a_page_without_charts(jobs, totals, page):
    ledger = jobs.stage([{"remark": "a", "user_id": "", "reason": "empty-user-id", "message": "The user id is empty."}])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=3))
    found = page(jobs.folder)
    assert found.headings[0] == "Nothing has been sent."
    assert "How it went" not in found.headings
    assert "svg" not in {tag for tag, _ in found.tags}


def test_the_settings_of_the_last_run_and_the_masked_key_are_told(jobs, run, totals, page):
    ledger = jobs.stage([{"remark": "a"}], header=("用户", "群组", "昵称"))
    run(ledger, {}, rate=80, exit_code=None)
    run(ledger, {}, rate=100, max_failed=0.1, limit=None, masked_key="abc…xyz", exit_code=130)
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=130))
    found = page(jobs.folder)
    assert found.facts["SHA-256"] == "0" * 64
    assert found.facts["column of the alias"] == "昵称"
    assert found.facts["App Key"] == "abc…xyz"
    assert found.facts["requests per second, at most"] == "100"
    assert found.facts["share of failed rows permitted"] == "10 %"
    assert found.facts["rows to send in the run, at most"] == "no limit"
    runs = found.tables["What was asked"][1:]
    assert [line[3] for line in runs] == ["cut off, or still under way", "interrupted (exit code 130)"]
