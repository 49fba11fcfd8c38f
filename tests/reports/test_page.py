"""The page says what the ledger says, and nothing from a source is more than text in it."""

from dataclasses import asdict

import pytest

from batch_alias.ledger import FIRST_ROWS
from batch_alias.model import Event, EventKind, RequestKind, State
from batch_alias.problems import WARNINGS

COMPARED = {State.UNCHANGED, State.CONFLICT}
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


def test_the_states_on_the_page_are_those_of_the_ledger(job):
    job.stage(
        *[{"remark": "a"}] * 5,
        {"remark": "b", "reason": "empty-user-id", "message": "Column 'userId' is empty.", "user_id": ""},
        {"user_id": "twice", "remark": "early"},
        {"user_id": "twice", "remark": "late"},
        {"remark": "never"},
    )
    accepted = dict.fromkeys((2, 3, 4), (State.ACCEPTED, 200, "accepted"))
    failed = {5: (State.FAILED, 1002, "parameter missing or invalid")}
    job.run(accepted | failed | {6: (State.UNKNOWN, None, "no response in time")})
    job.write()
    page = job.page()
    shown = {tile[1]: int(tile[0]) for tile in page.tiles if len(tile) == 4}
    assert shown == {state: number for state, number in asdict(job.ledger.counts()).items() if state not in COMPARED}
    assert shown == {"accepted": 3, "superseded": 1, "rejected": 1, "failed": 1, "unknown": 1, "pending": 2}
    assert page.headings[:2] == ["5 of 9 rows were not accepted.", "9 rows"]


@pytest.mark.parametrize("before", [{}, {2: ""}])
@pytest.mark.parametrize("state", [State.ACCEPTED, State.UNCHANGED, State.CONFLICT])
def test_states_that_only_a_compared_job_has_are_shown_for_one(job, before, state):
    job.stage({"remark": "a"})
    job.run({2: (state, None, "")}, before=before)
    job.write()
    shown = {tile[1] for tile in job.page().tiles if len(tile) == 4}
    assert shown & COMPARED == (COMPARED if before else COMPARED & {state})


def test_what_a_compared_job_changed_is_shown_before_and_after(job):
    job.stage(*({"remark": "new"} for _ in range(4)), {"remark": ""}, {"remark": "new"})
    outcomes = dict.fromkeys((2, 3, 6), (State.ACCEPTED, 200, "accepted"))
    outcomes |= {4: (State.UNCHANGED, None, "it was so already"), 5: (State.CONFLICT, None, "an alias is set: other")}
    job.run(outcomes, before={2: "", 3: "<b>old", 4: "new", 5: "other", 6: "old", 7: ""})
    job.write()
    page = job.page()
    assert page.headings[0] == "2 of 6 rows were not accepted."
    table = page.tables["Before and after"]
    assert [[row[0], *row[2:]] for row in table[1:6]] == [
        ["set", "2", "1"],
        ["replace", "1", "1"],
        ["clear", "1", "1"],
        ["unchanged", "1", "0"],
        ["conflict", "1", "0"],
    ]
    assert table[7:] == [
        ["2", "u2", "g", "set", "no alias → new", "accepted"],
        ["7", "u7", "g", "set", "no alias → new", "pending"],
        ["3", "u3", "g", "replace", "<b>old → new", "accepted"],
        ["6", "u6", "g", "clear", "old → no alias", "accepted"],
        ["5", "u5", "g", "conflict", "other ≠ new", "conflict"],
    ]
    assert ["1", "conflict", "an alias is set"] in [row[:3] for row in page.tables["Why rows were not accepted"]]


def test_a_few_rows_of_each_change_are_shown(job):
    job.stage(*({"remark": "new"} for _ in range(FIRST_ROWS + 2)))
    job.run(before=dict.fromkeys(range(2, FIRST_ROWS + 4), "old"))
    job.write()
    table = job.page().tables["Before and after"]
    assert table[1][::2] == ["replace", f"{FIRST_ROWS + 2}"]
    assert [row[0] for row in table if "old → new" in row] == [f"{number}" for number in range(2, FIRST_ROWS + 2)]


def test_rows_that_differ_are_shown_with_both_values(job):
    job.stage({"remark": "a"}, {"remark": "b"}, {"remark": "c"})
    job.run(dict.fromkeys((2, 3, 4), (State.ACCEPTED, 200, "accepted")), exit_code=0)
    job.write(exit_code=0)
    assert "Rows that differ" not in job.page().tables
    job.run(command="verify", found={2: "a", 3: "other", 4: ""})
    job.write()
    page = job.page()
    assert page.headings[0] == "2 of 3 accepted rows not as sent when read back."
    assert page.tables["Rows that differ"][1:] == [
        ["3", "u3", "g", "b", "other", "2026-09-21 14:13:24"],
        ["4", "u4", "g", "c", "no alias", "2026-09-21 14:13:24"],
    ]
    assert "All 2; they are also in differs.csv." in page.text
    assert [row[1:2] for row in page.tables["Job"][1:]] == [["run"], ["verify"]]


def test_a_job_that_was_only_read_has_the_numbers_and_the_rate_of_reading(job, second, start):
    job.stage({"remark": "a"})
    job.run({}, [second(start, 40, kind=RequestKind.READ, refusals=3)], command="plan", before={2: ""}, exit_code=0)
    job.write(exit_code=0)
    page = job.page()
    assert page.headings[0] == "Nothing has been sent."
    assert "Reading" in page.headings
    assert (page.facts["Aliases read"], page.facts["Reads refused"]) == ("40", "3")
    assert "Requests" not in page.facts
    assert [tag for tag, _ in page.tags].count("svg") == 1


def test_the_numbers_of_the_run_are_those_of_the_ledger(job, second, start):
    job.stage({"remark": "a"})
    seconds = [
        second(start, 100, retries=3, refusals=2, codes={"200": 90, "1008": 2, "HTTP 502": 5, "timeout": 3}),
        second(start + 1, 40, codes={"200": 38, "4321": 2}),
    ]
    job.run({2: (State.ACCEPTED, 200, "accepted")}, seconds, exit_code=0)
    job.write(exit_code=0)
    page = job.page()
    assert page.facts["Requests"] == "140"
    assert page.facts["Retries"] == "3"
    assert page.facts["Refused by the rate limit"] == "2"
    assert page.facts["Busiest second"] == "100 limit 100"
    assert [[row[0], *row[2:]] for row in page.tables["Responses"][1:]] == [
        ["200", "128", "91.4%"],
        ["HTTP 502", "5", "3.6%"],
        ["timeout", "3", "2.1%"],
        ["1008", "2", "1.4%"],
        ["4321", "2", "1.4%"],
    ]
    assert all(row[1] for row in page.tables["Responses"])


def test_every_row_that_was_not_accepted_is_shown_with_its_reason_and_advice(job):
    job.stage(
        {"remark": "甲"},
        {"remark": "乙", "user_id": "", "reason": "empty-user-id", "message": "Column 'userId' is empty."},
        {"remark": "丙"},
        {"remark": "丁"},
    )
    job.run({2: (State.ACCEPTED, 200, "accepted"), 4: (State.FAILED, 1005, "parameter too long: remark")})
    job.write()
    rows = job.page().tables["Rows not accepted"][1:]
    assert [row[:5] for row in rows] == [
        ["3", "", "g", "乙", "rejected"],
        ["4", "u4", "g", "丙", "failed"],
        ["5", "u5", "g", "丁", "pending"],
    ]
    assert rows[0][5] == "Column 'userId' is empty.Fill it in, or delete the row."
    assert rows[1][5].startswith("parameter too long: remark")
    assert rows[2][5] == "not sent yetSend it: batch-alias run with the same source continues where it ended."


def test_reasons_are_counted_and_the_most_frequent_is_first(job):
    empty = {"user_id": "", "reason": "empty-user-id", "message": "Column 'userId' is empty."}
    job.stage({"remark": "x"}, {"remark": "y"}, empty, empty, empty, {"remark": "z"})
    message = "parameter missing or invalid: user {} is not known"
    failed = {row: (State.FAILED, 1002, message.format(row)) for row in (2, 3)}
    job.run(failed | {7: (State.ACCEPTED, 200, "accepted")})
    job.write()
    first, second = job.page().tables["Why rows were not accepted"][1:]
    assert first[:4] == ["3", "rejected", "empty-user-id", "row 4: Column 'userId' is empty."]
    assert second[:3] == ["2", "failed", "1002 parameter missing or invalid"]


def test_warnings_are_shown_with_their_meaning(job):
    name = "null-word-in-remark"
    job.stage(*[{"remark": "null", "warning": name}] * 6, {"remark": "x", "warning": "from-a-later-version"})
    job.write(exit_code=None)
    assert job.page().tables["Warnings"][1:] == [
        ["6", name, WARNINGS[name].sentence, "2, 3, 4, 5, 6, …"],
        ["1", "from-a-later-version", "", "8"],
    ]


@pytest.mark.slow
def test_only_the_first_thousand_rows_are_shown_and_the_size_is_bounded_whatever_the_values(job):
    # A quote is the longest of all characters when it is escaped.
    quotes = '"' * 5000
    row = {"user_id": quotes, "group_id": quotes, "remark": quotes, "reason": "too-few-fields", "message": quotes}
    job.stage(*[row] * 1500)
    job.write(exit_code=None)
    page = job.page()
    assert len(page.tables["Rows not accepted"]) == 1001
    assert "The first 1,000 of 1,500; not-accepted.csv has all of them." in page.text
    assert (job.folder / "report.html").stat().st_size < 2_500_000


@pytest.mark.parametrize("value", NASTY)
def test_markup_in_a_value_stays_text(job, value, start):
    job.stage(
        {"remark": value, "user_id": value, "group_id": value},
        source=value,
        description=value,
        header=(value, "groupId", "remark"),
    )
    events = [Event(at=start, kind=EventKind.HOST_SWITCHED, values={"host": value})]
    job.run({2: (State.FAILED, 1002, f"parameter missing or invalid: {value}")}, [], events, note=value)
    job.write(stopped=value)
    page = job.page()
    assert page.tables["Rows not accepted"][1][1:4] == [value] * 3
    assert value in page.tables["Events"][1][2]
    assert page.facts["Source"] == page.facts["Column of userId"] == value
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img", "svg", "iframe", "a", "link"})
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_invisible_characters_are_shown(job):
    job.stage({"remark": "a\x00b\nc\x85d\x7f", "user_id": "\u202eabc"})
    job.write(exit_code=None)
    row = job.page().tables["Rows not accepted"][1]
    assert row[1] == "⟨U+202E⟩abc"
    assert row[3] == "a␀b␊c⟨U+0085⟩d␡"


def test_the_page_needs_no_other_file(job, second):
    job.stage({"remark": "a"})
    job.run({2: (State.ACCEPTED, 200, "accepted")}, [second()], exit_code=0)
    job.write(exit_code=0)
    page = job.page()
    names = {name for _, attributes in page.tags for name in attributes}
    assert names.isdisjoint({"src", "srcset", "action", "data"})
    assert all(attributes["xlink:href"].startswith("#") for _, attributes in page.tags if "xlink:href" in attributes)
    text = (job.folder / "report.html").read_text(encoding="utf-8")
    assert "url(http" not in text
    assert "@import" not in text
    assert [tag for tag, _ in page.tags].count("svg") == 3
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_job_that_sent_nothing_has_a_page_without_charts(job):
    job.stage({"remark": "a", "user_id": "", "reason": "empty-user-id", "message": "Column 'userId' is empty."})
    job.write(exit_code=3)
    page = job.page()
    assert page.headings[0] == "Nothing has been sent."
    assert "Sending" not in page.headings
    assert "svg" not in {tag for tag, _ in page.tags}


def test_the_settings_are_shown_as_flags_and_the_key_masked(job):
    job.stage({"remark": "a"}, header=("用户", "群组", "昵称"), reading={"user_column": "用户", "strict": False})
    job.run({}, rate=80, exit_code=None)
    job.run({}, rate=100, max_failed=0.1, limit=None, masked_key="abc…xyz", exit_code=130)
    job.write(exit_code=130)
    page = job.page()
    assert page.facts["SHA-256"] == "0" * 64
    assert page.facts["Column of remark"] == "昵称"
    assert page.facts["Read with"] == "--user-column '用户'"
    assert page.facts["App Key"] == "abc…xyz"
    assert page.facts["Sent with"] == "--rate 100 --max-failed 10%"
    assert "Verified with" not in page.facts
    job.run(command="verify", sample=None, seed=7)
    job.write()
    assert job.page().facts["Verified with"] == "--rate 100"
    job.run(command="verify", sample=5, seed=7)
    job.write()
    assert job.page().facts["Verified with"] == "--rate 100 --sample 5 seed 7"
    assert job.page().facts["Sent with"] == "--rate 100 --max-failed 10%"
    assert [line[4] for line in page.tables["Job"][1:]] == ["killed, or still running", "interrupted (exit code 130)"]


def test_the_next_steps_are_shown_with_their_commands(job):
    job.stage({"remark": "a"}, {"remark": "b"}, reading={"user_column": "userId"})
    job.run({2: (State.FAILED, 1002, "parameter missing or invalid")})
    job.write()
    text = job.page().text
    assert "Send 1 row not sent yet: batch-alias run" in text
    assert f"batch-alias retry {job.folder}" in text
