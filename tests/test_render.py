from batch_alias.job import Plan
from batch_alias.ledger import JobInfo, ProblemCount
from batch_alias.model import StateCounts
from batch_alias.render import plan_lines, problem_lines, progress_text, state_counts
from batch_alias.sending.metrics import Progress


def a_plan(**more) -> Plan:
    info = JobInfo(
        source="names.csv",
        sha256="",
        description="CSV",
        header=("who", "groupId", "remark"),
        columns=(0, 1, 2),
        blank_rows=2,
        reading={},
        staged_at=0.0,
        version="",
    )
    values = {
        "info": info,
        "counts": StateCounts(pending=12_345),
        "rejections": [],
        "warnings": [],
        "target": "api.example.com",
        "masked_key": "abc…xyz",
        "to_send": 12_345,
        "seconds": 125.0,
        "resumed": False,
    }
    return Plan(**values | more)


def test_a_plan_names_source_columns_target_and_time():
    assert list(plan_lines(a_plan())) == [
        "Source    names.csv: CSV; 12,345 rows, 2 blank",
        "Columns   userId from 'who', groupId from 'groupId', remark from 'remark'",
        "To send   12,345 rows to api.example.com as abc…xyz; about 2 min 5 s",
    ]


def test_a_plan_names_what_is_not_sent_and_what_is_odd():
    rejection = ProblemCount(name="empty-user-id", message="Column 'who' is empty.", count=1, rows=(7,))
    warning = ProblemCount(name="white-space-removed", message="", count=9, rows=(2, 3, 4, 5, 6))
    counts = StateCounts(rejected=1, superseded=2, accepted=3, failed=1, pending=4)
    lines = list(plan_lines(a_plan(counts=counts, rejections=[rejection], warnings=[warning], resumed=True, to_send=0)))
    assert lines[2:] == [
        "Rejected  1 row, not to be sent:",
        "        1 × empty-user-id (row 7)",
        "            Column 'who' is empty.",
        "Warnings  sent all the same:",
        "        9 × white-space-removed (row 2, 3, 4, 5, 6, …)",
        "            White space around a value is not sent.",
        "Repeated  2 rows: a later row sets the same user and group",
        "Resumed   4 rows ended in an earlier run",
        "To send   nothing: the job is finished",
    ]


def test_only_the_most_frequent_problems_are_listed():
    problems = [ProblemCount(name="", message=f"message {n}", count=n, rows=(n,)) for n in range(9, 2, -1)]
    lines = list(problem_lines(problems))
    assert lines[0] == "        9 × message 9 (row 9, …)"
    assert len(lines) == 6
    assert lines[-1].strip() == "and 2 more kinds"


def test_states_without_rows_are_left_out():
    assert state_counts(StateCounts(accepted=1000, unknown=2)) == "1,000 accepted, 2 unknown"
    assert state_counts(StateCounts()) == "none"


def test_progress_in_a_few_words():
    values = {"accepted": 5, "failed": 0, "unknown": 2, "recent_rate": 98}
    now = Progress(**values, in_flight=1, waiting=0, outage=None)
    assert progress_text(now, None) == "2 unknown, 98/s"
    assert progress_text(now, 61.2) == "2 unknown, 98/s, 1 min 1 s left"
