import json
from collections import Counter

from batch_alias.model import LATENCY_STEP, RequestKind, State
from batch_alias.reports.summary import percentiles, summarize


def test_it_adds_up_all_runs(job, second, start):
    job.stage({"remark": "a"}, {"remark": "b"})
    job.run({}, [second(start, 7, retries=1, refusals=2, codes={"200": 5, "1008": 2})], exit_code=130)
    job.run({2: (State.ACCEPTED, 200, "accepted")}, [second(start + 100, 9)])
    job.write()
    found = json.loads((job.folder / "summary.json").read_text(encoding="utf-8"))
    assert (found["requests"], found["retries"], found["refusals"], found["runs"]) == (16, 1, 2, 2)
    assert found["codes"] == {"200": 14, "1008": 2}
    assert found["busiest_second"] == 9
    assert sum(found["states"].values()) == found["rows"] == 2


def test_reads_are_counted_apart_from_what_is_sent(job, second, start):
    job.stage(*({"remark": "new"} for _ in range(4)))
    job.run(
        {},
        [second(start, 40, kind=RequestKind.READ, refusals=3, codes={"200": 37, "1008": 3})],
        command="plan",
        before={2: "", 3: "old", 4: "new"},
        times=(start, start + 100),
    )
    seconds = [
        second(start + 200, 6),
        second(start + 200, 7, kind=RequestKind.MEMBERS),
        second(start + 201, 2, kind=RequestKind.READ),
    ]
    outcomes = dict.fromkeys((2, 3, 5), (State.ACCEPTED, 200, "accepted"))
    job.run(outcomes | {4: (State.UNCHANGED, None, "it was so already")}, seconds, times=(start + 200, start + 203))
    job.run({}, [], command="verify", found={2: "new", 3: "other"}, times=(start + 300, start + 400))
    summary = job.write()
    assert (summary.requests, summary.refusals, summary.codes) == (6, 0, {"200": 6})
    assert (summary.reads, summary.read_refusals) == (42, 3)
    assert (summary.verified, summary.differs) == (1, 1)
    assert (summary.sending_seconds, summary.mean_rate, summary.runs) == (3.0, 2.0, 3)
    assert summary.changes == {"set": 1, "replace": 1, "clear": 0, "unchanged": 1, "conflict": 0}


def test_times_of_a_job_that_never_ran_are_empty(job):
    job.stage({"remark": "a"})
    summary = summarize(job.ledger, exit_code=None, stopped="")
    assert (summary.started_at, summary.ended_at, summary.target, summary.mean_rate) == ("", "", "", 0.0)


def test_a_killed_run_ends_with_its_last_second_and_not_with_the_next_run(job, second, start):
    job.stage({"remark": "a"})
    job.run({}, [second(start), second(start + 9)], exit_code=None, times=(start, None))
    job.run({}, [second(start + 86_404)], times=(start + 86_400, start + 86_405.5))
    assert [run.end for run in job.ledger.runs()] == [start + 10, start + 86_405.5]
    summary = summarize(job.ledger, exit_code=1, stopped="")
    assert summary.sending_seconds == 15.5
    assert summary.mean_rate == round(30 / 15.5, 2)


def test_runs_within_one_second_and_seconds_without_a_request_count_for_their_own_run(job, second, start):
    job.stage({"remark": "a"})
    job.run({}, [second(start), second(start + 30, 0)], exit_code=None, times=(start + 0.1, None))
    job.run({}, [second(start), second(start + 3)], exit_code=None, times=(start + 0.9, None))
    assert [run.end for run in job.ledger.runs()] == [start + 1, start + 4]
    assert summarize(job.ledger, exit_code=None, stopped="").sending_seconds == 4.0


def test_percentiles_are_the_upper_bounds_of_their_buckets():
    found = percentiles(Counter({10: 50, 20: 40, 30: 9, 40: 1}))
    expected = {"p50": 10, "p90": 20, "p99": 30, "max": 40}
    assert found == {name: round(LATENCY_STEP**bucket, 1) for name, bucket in expected.items()}
    assert percentiles(Counter()) == {}
