"""Looking up who is in each group before anything is sent, over sockets, with kills and faults."""

import json
import signal
from collections import Counter
from functools import partial

import pytest

from batch_alias.check import check_file
from batch_alias.errors import ExitCode, SourceError, StoppedByService
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.ledger.writer import NO_SUCH_GROUP, NOT_A_MEMBER
from batch_alias.model import RequestKind, State
from batch_alias.sandbox import Faults, Rules
from batch_alias.sandbox.emulator import QUERY
from batch_alias.sandbox.faults import BAD_GATEWAY, DROP_AFTER, UNAVAILABLE
from batch_alias.settings import Comparing
from tests.support.faults import OnPath, Script, Shares, coded

WARN, REJECT = Comparing(members="warn"), Comparing(members="reject")
GROUPS = 40


def rows_of(groups: int) -> list[tuple[str, str, str]]:
    """Two rows a group: a member and, in every fifth group, somebody else."""
    rows = [(f"u{n}", f"g{n}", f"name {n}") for n in range(groups)]
    return rows + [(f"{'x' if n % 5 == 0 else 'v'}{n}", f"g{n}", f"other {n}") for n in range(groups)]


def members_of(groups: int, *, without: int = 0) -> dict[str, list[str]]:
    return {f"g{n}": [f"u{n}", f"v{n}", f"X{n}"] for n in range(groups - without)}


@pytest.mark.parametrize("unknown_group", ["empty", "error"])
def test_rows_of_others_and_of_unknown_groups_are_rejected_and_all_others_sent(
    unknown_group, run, sandbox, settings_for, write_csv, results
):
    served = sandbox(rules=Rules(rate=100_000, unknown_group=unknown_group), members=members_of(GROUPS, without=10))
    settings = settings_for(write_csv(rows_of(GROUPS)), served, comparing=REJECT, max_rejected=0.5)
    assert run(settings).exit_code == ExitCode.NOT_ALL_ACCEPTED
    found = results()
    assert Counter(row["code"] for row in found.of(State.REJECTED)) == {NO_SUCH_GROUP: 20, NOT_A_MEMBER: 6}
    assert found.states == {State.REJECTED: 26, State.ACCEPTED: 2 * GROUPS - 26}
    assert served.aliases() == found.accepted
    assert served.stats().paths[QUERY].requests == GROUPS
    with SqliteReader(found.folder) as ledger:
        assert [run.command for run in ledger.runs()] == ["members", "run"]
        kinds = Counter(second.kind for second in ledger.seconds() for _ in range(second.requests))
    assert kinds[RequestKind.MEMBERS] == GROUPS + 1


@pytest.mark.parametrize("unknown_group", ["empty", "error"])
def test_every_group_may_be_unknown(unknown_group, run, sandbox, settings_for, write_csv):
    served = sandbox(rules=Rules(rate=100_000, unknown_group=unknown_group), members={})
    settings = settings_for(write_csv(20), served, comparing=REJECT)
    with pytest.raises(SourceError, match=NO_SUCH_GROUP):
        run(settings)
    assert served.stats().sets == 0


def test_with_warn_all_rows_are_sent_and_the_warnings_kept(run, sandbox, settings_for, write_csv, results):
    served = sandbox(members=members_of(GROUPS, without=10))
    assert run(settings_for(write_csv(rows_of(GROUPS)), served, comparing=WARN)).exit_code == ExitCode.DONE
    assert len(served.aliases()) == 2 * GROUPS
    with SqliteReader(results().folder) as ledger:
        assert {problem.name: problem.count for problem in ledger.warnings()} == {NO_SUCH_GROUP: 20, NOT_A_MEMBER: 6}


def test_more_rejected_rows_than_permitted_send_nothing_and_the_next_run_looks_again(
    run, sandbox, settings_for, write_csv, results
):
    members = members_of(GROUPS, without=10)
    served = sandbox(members=members)
    settings = settings_for(write_csv(rows_of(GROUPS)), served, comparing=REJECT)
    with pytest.raises(SourceError, match="26 of 80 rows rejected"):
        run(settings)
    found = results()
    assert found.states == {State.REJECTED: 26, State.PENDING: 54}
    assert found.summary["exit_code"] == ExitCode.SOURCE
    assert "Nothing has been sent" in (found.folder / "report.html").read_text(encoding="utf-8")
    assert served.stats().sets == 0
    members |= {f"g{n}": [f"u{n}", f"v{n}", f"x{n}"] for n in range(GROUPS)}
    assert run(settings).exit_code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: 2 * GROUPS}


def test_errors_on_the_way_lose_nothing(run, sandbox, settings_for, write_csv, results):
    faults = OnPath(QUERY, Shares({BAD_GATEWAY: 0.03, DROP_AFTER: 0.03, UNAVAILABLE: 0.03, coded(1000): 0.03}, seed=5))
    served = sandbox(faults, members=members_of(100))
    settings = settings_for(write_csv(rows_of(100)), served, comparing=REJECT, max_rejected=0.5)
    run(settings)
    assert served.stats().paths[QUERY].requests > 100
    assert results().states == {State.REJECTED: 20, State.ACCEPTED: 180}


def test_a_group_that_always_fails_leaves_its_rows_as_they_are(batch_alias, sandbox, write_csv, results):
    # The call that changes nothing, the first group, and from then on the second one.
    served = sandbox(OnPath(QUERY, Script(lambda number: coded(1000) if number >= 2 else None)), members={"g1": ["u1"]})
    source = write_csv([("u1", "g1", "one"), ("u2", "g2", "two")])
    ended = batch_alias("run", source, "--job", "job", "--members", "reject", "--attempts", "2", "--yes", to=served)
    assert ended.code == ExitCode.DONE, ended.err
    assert "the members of 1 group could not be read: g2" in ended.err
    assert results().states == {State.ACCEPTED: 2}


def test_killed_and_resumed_no_group_is_asked_about_twice_and_never_more_than_the_rate(
    command, sandbox, settings_for, at_request, write_csv, results, until, tmp_path
):
    groups, rate, in_flight, latency = 100, 150, 4, Faults(latency=0.005)
    served = sandbox(rules=Rules(rate=1000), members=members_of(groups))
    source = write_csv(rows_of(groups))
    arguments = ["run", source, "--job", "job", "--members", "reject", "--max-rejected", "50%"]
    arguments += ["--rate", rate, "--max-in-flight", in_flight]
    for number in (40, 25):
        running = []
        served.faults = at_request(number, lambda running=running: running[0].signal(signal.SIGKILL), latency)
        running.append(command(*arguments, to=served))
        assert running[0].end().code == -signal.SIGKILL
        until(lambda: served.stats().in_flight == 0)
        assert served.stats().sets == 0
    served.faults = latency
    ended = command(*arguments, to=served).end()
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    assert "Looking up" in ended.err
    assert results().states == {State.REJECTED: 20, State.ACCEPTED: 180}
    query = served.stats().paths[QUERY]
    # What was under way at a kill was not recorded; all else was asked about once.
    assert groups <= query.requests <= groups + 2 * in_flight
    with SqliteReader(tmp_path / "job") as ledger:
        runs = ledger.runs()
    assert [run.command for run in runs] == ["members", "members", "members", "run"]
    # As they were started: on a busy machine they arrive in bunches.
    assert max(run.busiest_second for run in runs) <= rate


def test_after_a_signal_while_members_are_looked_up_nothing_is_sent_and_the_same_command_goes_on(
    command, run, sandbox, settings_for, at_request, write_csv, results
):
    served = sandbox(members=members_of(GROUPS))
    served.faults = at_request(10, lambda: started.signal(signal.SIGINT), Faults(latency=0.05))
    source = write_csv(rows_of(GROUPS))
    started = command("run", source, "--job", "job", "--members", "warn", to=served)
    ended = started.end()
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    assert "Stopping" in ended.err
    assert "Traceback" not in ended.err
    assert served.stats().sets == 0
    assert results().states == {State.PENDING: 2 * GROUPS}
    assert results().summary["exit_code"] == ExitCode.INTERRUPTED
    served.faults = Faults()
    assert run(settings_for(source, served, comparing=WARN)).exit_code == ExitCode.DONE
    assert served.stats().paths[QUERY].requests == GROUPS


def test_stopped_by_the_service_it_ends_like_sending(run, sandbox, settings_for, target_of, write_csv, results):
    served = sandbox(members={})
    target = target_of(served, app_key="another")
    summary = run(settings_for(write_csv(20), served, comparing=REJECT, target=target))
    assert summary.exit_code == ExitCode.STOPPED
    assert "1002" in summary.stopped
    assert results().states == {State.PENDING: 20}
    assert served.stats().requests <= 5


def test_what_was_found_for_one_use_or_target_is_not_used_for_another(run, sandbox, settings_for, write_csv, results):
    first, other = sandbox(members={"g": ["u1"]}), sandbox(members={"g": ["u1", "u2"]})
    source = write_csv([("u1", "g", "one"), ("u2", "g", "two")])
    with pytest.raises(SourceError):
        run(settings_for(source, first, comparing=REJECT))
    with pytest.raises(SourceError):
        run(settings_for(source, first, comparing=REJECT))
    assert run(settings_for(source, other, comparing=REJECT)).exit_code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: 2}


def test_a_run_without_the_flag_sends_what_was_rejected_with_it(run, sandbox, settings_for, write_csv, results):
    served = sandbox(members={"g": ["u1"]})
    source = write_csv([("u1", "g", "one"), ("u2", "g", "two")])
    run(settings_for(source, served, comparing=REJECT, max_rejected=0.5))
    assert results().states == {State.ACCEPTED: 1, State.REJECTED: 1}
    assert run(settings_for(source, served)).exit_code == ExitCode.DONE
    assert served.stats().paths[QUERY].requests == 1


def test_check_shows_and_counts_the_problems(batch_alias, sandbox, write_csv, tmp_path):
    served = sandbox(members=members_of(10, without=1))
    check = partial(batch_alias, "check", write_csv(rows_of(10)), "--members", to=served)
    ended = check("--problems", "problems.csv")
    assert ended.code == ExitCode.DONE, ended.err
    assert "Looking up 10 groups …; about" in ended.err
    assert "2 × not-a-member" in ended.out
    assert "2 × no-such-group" in ended.out
    problems = (tmp_path / "problems.csv").read_text(encoding="utf-8-sig")
    assert problems.count(NOT_A_MEMBER) == problems.count(NO_SUCH_GROUP) == 2
    ended = check("--strict", "--json", "--max-rejected", "50%")
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    found = json.loads(ended.out)
    assert {problem["name"]: problem["count"] for problem in found["rejections"]} == {NOT_A_MEMBER: 2, NO_SUCH_GROUP: 2}
    assert found["unreadable_groups"] == []
    assert served.stats().sets == 0


def test_check_with_a_wrong_secret_ends_with_the_reason(batch_alias, sandbox, write_csv):
    ended = batch_alias("check", write_csv(5), "--members", to=sandbox(), RONGCLOUD_APP_SECRET="wrong")
    assert ended.code == ExitCode.STOPPED
    assert "1004" in ended.err


def test_check_of_members_needs_a_target(batch_alias, write_csv):
    assert batch_alias("check", write_csv(5), "--members").code == ExitCode.USAGE


def test_check_names_groups_that_cannot_be_read(sandbox, settings_for, write_csv):
    served = sandbox(OnPath(QUERY, Script(lambda number: coded(1000) if number >= 2 else None)), members={"g1": ["u1"]})
    source = write_csv([("u1", "g1", "one"), ("u2", "g2", "two")])
    found = check_file(settings_for(source, served, comparing=WARN, attempts=2))
    assert (found.unreadable_groups, found.warnings) == (["g2"], [])


def test_check_waits_no_longer_for_a_service_that_is_down_than_the_patience(sandbox, settings_for, write_csv):
    served = sandbox(Script(lambda _number: DROP_AFTER))
    settings = settings_for(write_csv(5), served, comparing=WARN, patience=0.5)
    with pytest.raises(StoppedByService, match="down"):
        check_file(settings)
