"""The page says what the ledger says, and nothing from a source is more than text in it."""

import base64
import hashlib
import time
from dataclasses import asdict

import pytest

from batch_alias.ledger import FIRST_ROWS, WorkerRecord
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import Event, EventKind, RequestKind, State
from batch_alias.problems import WARNINGS, found
from batch_alias.reports import write_reports
from batch_alias.text import _, use_language
from tests.support.jobs import START
from tests.support.rows import described

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
    assert page.headings[:2] == ["3 of 9 rows were not accepted.", "9 rows"]
    assert "2 rows not sent yet." in page.text


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
    conflict = (State.CONFLICT, None, _("an alias is set: {alias}", alias="other"))
    outcomes |= {4: (State.UNCHANGED, None, "it was so already"), 5: conflict}
    job.run(outcomes, before={2: "", 3: "<b>old", 4: "new", 5: "other", 6: "old", 7: ""})
    job.write()
    page = job.page()
    assert page.headings[0] == "1 of 6 rows was not accepted."
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
    assert [said[0] for said, _rows in page.reasons] == ["1 conflict an alias is set: other"]


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
    assert [row[1:2] for row in page.tables["Job"][1::2]] == [["run"], ["verify"]]


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


def test_rows_that_were_not_accepted_are_shown_by_reason_with_its_advice_once(job):
    empty = {"user_id": "", "reason": "empty-user-id", "message": found("empty-user-id", column="'userId'").message}
    job.stage(
        {"remark": "甲"}, {"remark": "乙"} | empty, {"remark": "丙"}, {"remark": "丁"} | empty, empty, {"remark": "戊"}
    )
    failed = {row: (State.FAILED, 1005, described("parameter too long", f"remark {row}")) for row in (4, 7)}
    job.run(failed | {2: (State.ACCEPTED, 200, "accepted")})
    job.write()
    page = job.page()
    header = ["Row", "userId", "groupId", "remark"]
    assert page.reasons == [
        (
            ["3 rejected empty-user-id Column 'userId' is empty.", "Fill it in, or delete the row."],
            [header, ["3", "", "g", "乙"], ["5", "", "g", "丁"], ["6", "", "g", ""]],
        ),
        (
            [
                "2 failed 1005 parameter too long: …",
                "Shorten the value that is too long and run not-accepted.csv.",
            ],
            [[*header, "Details"], ["4", "u4", "g", "丙", "remark 4"], ["7", "u7", "g", "戊", "remark 7"]],
        ),
    ]
    assert "All 5; they are also in not-accepted.csv, which can be corrected and run." in page.text


def test_rows_that_are_not_sent_yet_are_not_among_those_not_accepted(job):
    job.stage({"remark": "a"}, {"remark": "b"})
    job.run({2: (State.ACCEPTED, 200, "accepted")}, exit_code=130)
    job.write(exit_code=130)
    page = job.page()
    assert page.reasons == []
    assert "Rows not accepted" not in page.headings
    assert "Send 1 row not sent yet: the same command continues where it ended." in page.text


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
    ((said, rows),) = page.reasons
    assert len(rows) == 1001
    assert said[-1] == "500 more rows."
    assert "1,000 of 1,500 rows; not-accepted.csv has all of them." in page.text
    assert (job.folder / "report.html").stat().st_size < 2_500_000


@pytest.mark.slow
def test_a_reason_of_many_rows_leaves_those_of_few_their_place(job):
    many = {"remark": "a", "reason": "too-few-fields", "message": "The row has fewer fields than the header."}
    few = {"remark": "b", "reason": "repeated-header", "message": "The row repeats the header."}
    job.stage(*[many] * 1200, *[few] * 3)
    job.write(exit_code=None)
    assert [len(rows) - 1 for _said, rows in job.page().reasons] == [997, 3]


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
    ((_said, rows),) = page.reasons
    assert rows[1][1:4] == [value] * 3
    assert value in page.tables["Events"][1][2]
    assert page.facts["Source"] == page.facts["Column of userId"] == value
    assert {tag for tag, _ in page.tags}.isdisjoint({"img", "svg", "iframe", "a", "link"})
    assert [tag for tag, _ in page.tags].count("script") == 1  # its own
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_invisible_characters_are_shown(job):
    job.stage({"remark": "a\x00b\nc\x85d\x7f", "user_id": "\u202eabc"})
    job.run({2: (State.FAILED, 1002, "parameter missing or invalid")})
    job.write()
    ((_said, (_header, row)),) = job.page().reasons
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
    assert [line[4] for line in page.tables["Job"][1::2]] == ["killed, or still running", "interrupted (exit code 130)"]


def test_the_next_steps_are_shown_with_their_commands(job):
    job.stage({"remark": "a"}, {"remark": "b"}, reading={"user_column": "userId"})
    argv = ["run", "my names.csv", "--region", "beijing"]
    job.run({2: (State.FAILED, 1002, "parameter missing or invalid")}, argv=argv)
    job.write()
    text = job.page().text
    assert "Send 1 row not sent yet: the same command continues where it ended." in text
    assert "batch-alias run 'my names.csv' --region beijing" in text
    assert f"batch-alias retry {job.folder}" in text


def test_every_run_has_the_command_that_it_is_of_with_its_flags(job, second, start):
    job.stage({"remark": "a"})
    for number, (command, argv) in enumerate(
        [
            ("members", ["run", "a.csv", "--members", "warn"]),
            ("run", ["run", "a.csv", "--members", "warn"]),
            ("run", ["retry", "a.aliases", "--rate", "9"]),
            ("verify", ["verify", "a.aliases"]),
            ("run", ["undo", "a.aliases"]),
            ("run", None),
        ]
    ):
        times = (start + 100 * number, start + 100 * number + 50)
        job.run({}, [second(times[0])], command=command, times=times, **({"argv": argv} if argv else {}))
    job.write()
    page = job.page()
    runs = page.tables["Job"][1:]
    assert [row[1] for row in runs[::2]] == ["members", "run", "retry", "verify", "undo", "run"]
    assert [row[1] for row in runs[1::2]] == [
        "batch-alias run a.csv --members warn",
        "batch-alias run a.csv --members warn",
        "batch-alias retry a.aliases --rate 9",
        "batch-alias verify a.aliases",
        "batch-alias undo a.aliases",
        "run --rate 100",
    ]
    html = (job.folder / "report.html").read_text(encoding="utf-8")
    assert all(f">{name}</span>" in html for name in ("members 1", "run 2", "retry 3", "verify 4", "undo 5", "run 6"))


@pytest.mark.parametrize(
    ("runs", "line"),
    [
        ([{"requests": 300}], "300 rows = 300 requests."),
        ([{"requests": 312, "retries": 12, "refusals": 5}], "300 rows + 12 retries = 312 requests."),
        (
            [{"requests": 103, "retries": 1, "checks": 2}, {"requests": 40}],
            "100 rows in run 1 + 40 rows in run 2 + 1 retry + 2 calls that change nothing = 143 requests.",
        ),
        ([{"requests": 10}] * 4, "40 rows in 4 runs = 40 requests."),
    ],
)
def test_a_line_says_how_the_number_of_requests_comes_about(job, second, start, runs, line):
    job.stage({"remark": "a"})
    for number, counts in enumerate(runs):
        at = start + 100 * number
        job.run({}, [second(at, **counts)], times=(at, at + 9))
    job.write()
    (found,) = [text for text in job.page().text.splitlines() if " = " in text]
    assert found.startswith(line)
    assert ("A retry is" in found) == any("retries" in counts for counts in runs)
    assert ("several runs" in found) == (len(runs) > 1)
    assert ("rate limit refuses" in found) == any("refusals" in counts for counts in runs)


def test_requests_without_a_response_and_runs_that_were_killed_are_named(job, second, start):
    job.stage({"remark": "a"})
    job.run({}, [second(start, 10, codes={"200": 7})], exit_code=None, times=(start, None))
    job.write(exit_code=None)
    text = job.page().text
    assert "What a killed run has sent in its last seconds is not counted." in text
    assert "3 requests have no response, since a run ended before." in text


@pytest.mark.parametrize(("target", "is_rehearsal"), [("- the sandbox", True), ("0123 the region beijing", False)])
def test_a_rehearsal_has_a_badge(job, target, is_rehearsal):
    job.stage({"remark": "a"})
    job.ledger.set_meta("target", target)
    job.run({2: (State.ACCEPTED, 200, "accepted")}, exit_code=0)
    job.write(exit_code=0)
    assert ("Rehearsal on the sandbox" in job.page().text.splitlines()) == is_rehearsal


def test_only_the_script_of_the_page_is_permitted_and_what_needs_it_is_hidden_without_it(job):
    job.stage({"remark": "a", "reason": "repeated-header", "message": "The row repeats the header."})
    job.write(exit_code=3)
    page = job.page()
    (policy,) = [tag["content"] for _name, tag in page.tags if tag.get("http-equiv") == "Content-Security-Policy"]
    html = (job.folder / "report.html").read_text(encoding="utf-8")
    script = html.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert all("hidden" in tag for _name, tag in page.tags if "data-script" in tag)
    assert [tag for tag, _attributes in page.tags if tag in {"input", "select"}] == ["input"]


def test_rows_of_several_states_can_be_filtered_by_state(job):
    job.stage({"remark": "a"}, {"remark": "b"})
    job.run({2: (State.FAILED, 1002, "invalid"), 3: (State.UNKNOWN, None, "no response in time")})
    job.write()
    assert [tag["value"] for name, tag in job.page().tags if name == "option"] == ["", "failed", "unknown"]


@pytest.fixture
def chinese():
    use_language("zh")
    yield
    use_language("en")


@pytest.mark.usefixtures("chinese")
def test_the_page_says_which_language_it_is_in_and_is_written_again_in_another_one(job):
    job.stage({"remark": "a"})
    tags = []
    for language in ("zh", "en"):
        use_language(language)
        job.write(exit_code=None)
        tags += [attributes["lang"] for name, attributes in job.page().tags if name == "html"]
    assert tags == ["zh-CN", "en"]


class SentByWorkers(SqliteReader):
    """A ledger of which several processes have sent the rows."""

    def workers(self) -> list[WorkerRecord]:
        names = ["worker-a:7", "<b>worker-b:8"]
        return [
            WorkerRecord(name=name, started_at=START + n, seen_at=START + 60, requests=1200 + n, accepted=1000 + n)
            for n, name in enumerate(names)
        ]


def test_the_workers_are_on_the_page_of_a_job_that_several_have_sent(job):
    job.stage({"remark": "a"})
    job.run({2: (State.ACCEPTED, 200, "accepted")})
    job.write()
    assert ["Worker"] not in [row[:1] for row in job.page().tables["Job"]]
    with SentByWorkers(job.folder) as ledger:
        write_reports(job.folder, ledger, xlsx=False, exit_code=0, stopped="")
    page = job.page()
    assert "2 workers (UTC)" in page.text
    began, later, last = (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(START + n)) for n in (0, 1, 60))
    assert page.tables["Job"][-3:] == [
        ["Worker", "Began", "Last seen", "Requests", "Accepted"],
        ["worker-a:7", began, last, "1,200", "1,000"],
        ["<b>worker-b:8", later, last, "1,201", "1,001"],
    ]
