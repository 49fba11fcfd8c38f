"""Reads beside writes: their pace, outages of either, stops in each phase; on a driven clock."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import LedgerError
from batch_alias.model import Failure, State
from batch_alias.sending import Timing
from batch_alias.sending.comparison import Steps
from batch_alias.sending.pipeline import OPTIONAL_PATIENCE
from batch_alias.sending.row_steps import AHEAD, VERIFY_AFTER
from tests.sending.conftest import CHECK, states
from tests.support.services import Sliding

PLAIN, COMPARE, VERIFY = Steps(), Steps(compare=True), Steps(verify=True)
ONLY_ABSENT = Steps(compare=True, only_absent=True)
PLAN = Steps(compare=True, write=False)
READ_BACK = Steps(write=False, verify=True)
LOST = {"failure": Failure.TIMEOUT, "latency": 1.0}
PAGE = {"code": None, "status": 403}
WRONG_PATH = {"code": None, "status": 404}
DOWN = {"code": None, "status": 502}
BROKEN = {"403": PAGE, "404": WRONG_PATH, "502": DOWN, "hang": LOST | {"latency": 10.0}, "limit": {"code": 1008}}
"""Ways in which a path may not work at all."""


def outage(answer, begin, end, **how):
    """A script in which every request that starts between two times fails."""
    return lambda service, _row: answer(**how) if begin <= service.loop.time() < end else answer()


def stop_at(seconds):
    async def stop(sent, loop):
        await asyncio.sleep(seconds)
        sent.pipeline.stop()

    return stop


@pytest.mark.slow
@pytest.mark.parametrize("latency", [0.005, 0.05, 1.0])
def test_reads_beside_writes_cost_the_run_no_time(latency, send, always):
    plain = send(always(), count=1500, latency=latency)
    for steps in (COMPARE, VERIFY, ONLY_ABSENT):
        sent = send(always(), count=1500, latency=latency, steps=steps)
        assert states(sent) == {State.ACCEPTED: 1500}
        assert len(sent.service.reads) == len(sent.service.starts) == 1500
        extra = latency + VERIFY_AFTER * steps.verify
        assert sent.seconds <= plain.seconds * 1.05 + extra
        for starts in (sent.service.reads, sent.service.starts):
            times = [start.at for start in starts]
            assert all(later - earlier >= 1 for earlier, later in zip(times, times[100:], strict=False))
        assert sent.ledger.busiest <= 100


def test_rows_that_are_read_twice_are_read_at_the_full_rate(send, always):
    sent = send(always(), count=1000, steps=Steps(compare=True, verify=True))
    assert len(sent.service.reads) == 2000
    assert sent.seconds <= 2000 / 98 + VERIFY_AFTER + 1


@pytest.mark.slow
@pytest.mark.parametrize("steps", [COMPARE, VERIFY, Steps(compare=True, verify=True)])
@pytest.mark.parametrize("count_refused", [False, True])
def test_a_limit_that_reads_and_writes_share_is_used_by_both(count_refused, steps, send, answer):
    limit, seen = Sliding(100, 0.05, count_refused), []

    def script(service, _row):
        now = service.loop.time()
        kind, _ = limit(now)
        seen.append((now, kind))
        return answer(code=200 if kind == "accepted" else 1008)

    sent = send(script, count=1500, steps=steps, reading=script)
    assert states(sent) == {State.ACCEPTED: 1500}
    late = Counter(kind for at, kind in seen if at >= 15)
    # Less than is wanted, since it is drawn when a refused row is sent again.
    assert late["1008"] <= 0.2 * late.total()
    assert late["accepted"] >= 50 * (seen[-1][0] - 15)


@pytest.mark.parametrize("steps", [COMPARE, ONLY_ABSENT])
def test_reading_is_ahead_of_writing_by_a_bounded_number_of_rows(steps, send, answer):
    most = AHEAD * 100 + 10  # and those under way

    def script(service, row):
        written = len({start.row for start in service.starts})
        assert len({start.row for start in service.reads}) - written <= most
        return answer(latency=5.0 if row % 200 == 0 else None)

    sent = send(script, count=1000, steps=steps, max_in_flight=10)
    assert states(sent) == {State.ACCEPTED: 1000}


@pytest.mark.parametrize(("steps", "patience"), [(PLAIN, 3600), (PLAIN, 0), (PLAIN, 10), (VERIFY, 20)])
@pytest.mark.parametrize("how", BROKEN.values(), ids=BROKEN)
def test_reads_that_do_not_work_at_all_do_not_stop_a_plain_run(how, steps, patience, send, answer, always):
    def script(_service, row):
        return answer(failure=Failure.DROPPED, carried_out=True) if row % 100 == 50 else answer()

    doubted = [7, 8, 9]
    sent = send(script, count=500, doubted=doubted, attempts=1, steps=steps, reading=always(**how), patience=patience)
    assert sent.error is None
    in_doubt = [row for row in range(2, 502) if row % 100 == 50]
    assert states(sent) == {State.ACCEPTED: 500 - len(in_doubt), State.UNKNOWN: len(in_doubt)}
    assert all(sent.ledger.outcomes[row].state is State.UNKNOWN for row in in_doubt)
    assert Counter(sent.service.sent)[7] == 1
    assert sent.seconds <= 500 / 98 + VERIFY_AFTER + min(patience or OPTIONAL_PATIENCE, OPTIONAL_PATIENCE) + 20
    assert sent.pipeline.progress().outage is None


@pytest.mark.slow
def test_reads_that_do_not_work_hold_the_writes_up_for_no_time(send, answer, always):
    def script(_service, row):
        return answer(failure=Failure.DROPPED) if row == 50 else answer()

    sent = send(script, count=4500, attempts=1, reading=always(**DOWN))
    assert sent.seconds <= 4500 / 98 + 2
    assert states(sent) == {State.ACCEPTED: 4499, State.UNKNOWN: 1}


@pytest.mark.parametrize("steps", [COMPARE, ONLY_ABSENT, PLAN, READ_BACK])
@pytest.mark.parametrize("how", [PAGE, WRONG_PATH])
def test_reads_that_are_refused_stop_a_run_that_needs_them(how, steps, send, always):
    sent = send(always(), count=1000, steps=steps, reading=always(**how))
    assert sent.error.exit_code == 4
    assert str(how["status"]) in sent.error.problem
    assert (sent.ledger.outcomes, sent.service.starts) == ({}, [])
    assert len(sent.service.reads) == 2


@pytest.mark.slow
@pytest.mark.parametrize("steps", [COMPARE, ONLY_ABSENT, PLAN, READ_BACK, VERIFY])
@pytest.mark.parametrize("how", [DOWN, LOST, {"code": 1008}])
def test_an_outage_of_reads_is_waited_out(how, steps, send, always, answer):
    rows = 1000
    sent = send(always(), count=rows, steps=steps, reading=outage(answer, 5, 25, **how))
    assert sent.error is None
    if steps.write:
        assert states(sent) == {State.ACCEPTED: rows}
    if steps.compare:
        assert len(sent.ledger.before) == rows
    if steps.verify:
        assert len(sent.ledger.found) == rows


@pytest.mark.parametrize("steps", [COMPARE, ONLY_ABSENT, PLAN, READ_BACK])
def test_an_outage_of_reads_that_does_not_end_uses_up_the_patience(steps, send, always, answer):
    sent = send(always(), count=1000, steps=steps, reading=outage(answer, 5, 9_999, **DOWN), patience=120)
    assert sent.error.exit_code == 4
    assert "down for 2 min" in sent.error.problem
    assert sent.seconds < 5 + 120 + 40
    assert not set(sent.ledger.states().values()) - {State.ACCEPTED}


@pytest.mark.slow
@pytest.mark.parametrize("steps", [PLAIN, COMPARE, ONLY_ABSENT, VERIFY])
@pytest.mark.parametrize("how", [DOWN, LOST])
def test_an_outage_of_writes_is_waited_out(how, steps, send, answer):
    sent = send(outage(answer, 5, 65, **how), count=1000, steps=steps, reading=lambda _service, _row: answer())
    assert sent.error is None
    assert states(sent) == {State.ACCEPTED: 1000}
    assert sent.event_kinds.count("outage-began") == sent.event_kinds.count("outage-ended") == 1
    during = [start for start in sent.service.reads if 15 <= start.at < 65]
    assert len(during) <= 60 * (AHEAD * 100) / 10  # a guarded row is not read again and again meanwhile


@pytest.mark.parametrize("steps", [COMPARE, ONLY_ABSENT])
def test_an_outage_of_writes_is_probed_by_a_row_that_is_read_for_it(steps, send, answer):
    def reading(_service, row):
        return answer(latency=0.5 if row else 0.05)  # so slow that no row waits to be sent

    sent = send(outage(answer, 5, 65, **DOWN), count=1000, steps=steps, max_in_flight=10, reading=reading)
    assert states(sent) == {State.ACCEPTED: 1000}
    assert sent.event_kinds.count("outage-began") == sent.event_kinds.count("outage-ended") == 1
    assert not any(read.row == CHECK for read in sent.service.reads)


def test_an_outage_of_everything_while_comparing_is_waited_out(send, answer):
    script = outage(answer, 5, 65, **DOWN)
    sent = send(script, count=1000, steps=COMPARE, reading=script)
    assert states(sent) == {State.ACCEPTED: 1000}
    probes = [start for start in (*sent.service.starts, *sent.service.reads) if 15 <= start.at < 65]
    assert 2 <= len(probes) <= 20


@pytest.mark.slow
def test_a_reader_that_had_nothing_to_do_for_long_has_its_whole_patience(send, answer, always):
    # A row is lost after an hour, while reads do not work.
    lost = outage(answer, 3600, 3601, failure=Failure.DROPPED, carried_out=True)
    sent = send(lost, count=4000, rate=1, attempts=1, reading=outage(answer, 3600, 3610, **DOWN))
    assert sent.error is None
    assert states(sent) == {State.ACCEPTED: 4000}
    assert len(sent.ledger.found) == 1


@pytest.mark.slow
def test_a_writer_that_had_nothing_to_do_for_long_has_its_whole_patience(send, answer):
    right = {row: f"name {row}" for row in range(2, 4000)}
    sent = send(outage(answer, 3990, 4040, **DOWN), count=4000, rate=1, steps=COMPARE, aliases=right, patience=60)
    assert sent.error is None
    assert states(sent) == {State.UNCHANGED: 3998, State.ACCEPTED: 2}


@pytest.mark.parametrize("steps", [PLAIN, COMPARE, ONLY_ABSENT, VERIFY, PLAN, READ_BACK])
@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.07, 2.0, 5.5])
def test_a_stop_in_any_phase_ends_the_run_within_the_grace(seconds, steps, send, answer):
    def script(_service, row):
        return answer(**LOST) if row % 7 == 0 else answer()

    sent = send(script, count=5000, attempts=2, steps=steps, max_failed=1, meanwhile=stop_at(seconds))
    assert sent.error is None
    assert sent.seconds <= seconds + Timing().grace + 1
    accepted = {row for row, alias in sent.service.aliases.items() if alias}
    confirmed = {row for row, outcome in sent.ledger.outcomes.items() if outcome.state is State.ACCEPTED}
    assert confirmed == accepted
    in_doubt = set(sent.service.sent) - accepted - {CHECK}
    assert in_doubt == {row for row, outcome in sent.ledger.outcomes.items() if outcome.state is State.UNKNOWN}


def test_a_row_that_was_in_doubt_and_is_being_read_when_the_run_is_stopped_is_unknown(send, answer):
    runs = []

    async def keep(sent, loop):
        runs.append(sent)

    # It is not found, so it would be sent again.
    def reading(service, row):
        if row == 5 and service.attempts[5]:
            runs[0].pipeline.stop()
        return answer(latency=0.5)

    sent = send(
        lambda _service, row: answer(**LOST) if row == 5 else answer(),
        steps=ONLY_ABSENT,
        reading=reading,
        meanwhile=keep,
    )
    assert [read.row for read in sent.service.reads].count(5) == 2
    assert sent.ledger.states()[5] == State.UNKNOWN
    assert sent.service.attempts[5] == 1


def test_rows_that_are_being_read_back_when_the_run_is_stopped_are_unknown(send, answer):
    sent = send(
        lambda _service, row: answer(failure=Failure.DROPPED, carried_out=True) if row == 5 else answer(),
        count=5000,
        attempts=1,
        reading=lambda _service, _row: answer(latency=60.0),
        meanwhile=stop_at(5.0),
    )
    assert sent.ledger.states()[5] == State.UNKNOWN
    assert sent.seconds <= 5.0 + Timing().grace + 1


@pytest.mark.parametrize("steps", [PLAIN, COMPARE, ONLY_ABSENT, VERIFY, PLAN])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_run_that_is_cancelled_ends_and_leaves_no_request_unaccounted_for(times, steps, send, answer):
    async def cancel(sent, loop):
        for _ in range(times):
            await asyncio.sleep(1.0)
            sent.running.cancel()

    def script(_service, row):
        return answer(latency=100.0) if row % 7 == 0 else answer()

    sent = send(script, count=5000, steps=steps, meanwhile=cancel)
    assert sent.was_cancelled
    assert sent.seconds <= 1.0 + Timing().grace + 1
    assert set(sent.service.sent) == set(sent.ledger.outcomes)


def test_a_stop_is_heeded_while_many_rows_end_at_once(send, always, rows):
    async def stop(sent, loop):
        for _ in range(3):
            await asyncio.sleep(0)
        sent.pipeline.stop()

    known = [replace(row, before=row.remark) for row in rows(20_000)]
    sent = send(always(), rows=known, steps=COMPARE, meanwhile=stop)
    assert 0 < len(sent.ledger.outcomes) <= 5_000
    assert sent.error is None


@pytest.mark.parametrize("steps", [PLAIN, COMPARE, ONLY_ABSENT, VERIFY])
def test_a_ledger_that_breaks_ends_the_run(steps, send, always):
    async def break_it(sent, loop):
        await asyncio.sleep(2)
        sent.ledger.broken = LedgerError("The disk is full.")

    sent = send(always(), count=5000, steps=steps, meanwhile=break_it)
    assert isinstance(sent.error, LedgerError)
    assert sent.seconds <= 2 + Timing().grace + 1


KINDS = (
    {},
    {"code": 1005},
    {"code": 1000},
    {"code": 1008},
    {"code": 1002},
    DOWN,
    {"failure": Failure.DROPPED, "carried_out": True},
    {"failure": Failure.TIMEOUT, "latency": 3.0},
    {"failure": Failure.CONNECT},
    {"latency": 4.0},
)


@given(
    seed=st.randoms(use_true_random=False),
    writing=st.lists(st.sampled_from(KINDS), max_size=30),
    reading=st.lists(st.sampled_from(KINDS), max_size=30),
    always_written=st.sampled_from(KINDS),
    always_read=st.sampled_from(KINDS),
    steps=st.builds(Steps, compare=st.booleans(), only_absent=st.booleans(), verify=st.booleans()),
    options=st.fixed_dictionaries(
        {"attempts": st.integers(1, 3), "max_in_flight": st.integers(1, 20), "limit": st.none() | st.integers(1, 40)}
    ),
    stopped_at=st.none() | st.floats(0, 20),
)
def test_whatever_fails_the_run_ends_and_every_row_is_accounted_for(
    seed, writing, reading, always_written, always_read, steps, options, stopped_at, send, answer
):
    def script_of(answers, last):
        left = iter(answers)
        return lambda _service, _row: answer(**next(left, last if seed.random() < 0.9 else {}))

    sent = send(
        script_of(writing, always_written),
        count=30,
        doubted=[3, 5, 8],
        aliases={row: f"name {row}" for row in range(2, 32, 5)} | dict.fromkeys(range(3, 32, 5), "theirs"),
        steps=steps,
        reading=script_of(reading, always_read),
        patience=60,
        max_failed=1.0,
        meanwhile=None if stopped_at is None else stop_at(stopped_at),
        **options,
    )
    assert sent.error is None or sent.error.exit_code == 4
    taken = min(30, options["limit"] or 30)
    if sent.error is None and stopped_at is None:
        assert len(sent.ledger.outcomes) == taken
    assert len(sent.ledger.outcomes) <= taken
    # What was sent and is not pending by a refusal that stopped the run has ended.
    for row, outcome in sent.ledger.outcomes.items():
        if outcome.state is State.ACCEPTED:
            assert sent.service.aliases[row] == f"name {row}"
        if outcome.state in {State.UNCHANGED, State.CONFLICT}:
            assert row not in sent.service.sent or outcome.attempts


@pytest.mark.parametrize(("seconds", "on_hold"), [(60.0, True), (2.0, False)])
def test_a_run_is_on_hold_when_the_server_asks_for_more_than_a_pause(seconds, on_hold, send, answer):
    async def look(sent, _loop):
        await asyncio.sleep(1.5)
        seen.append(sent.pipeline.progress())

    def script(service, _row):
        return answer(code=1008, retry_after=seconds) if len(service.starts) == 20 else answer()

    seen = []
    assert send(script, count=40, max_in_flight=1, meanwhile=look).seconds > 2
    assert [progress.on_hold for progress in seen] == [on_hold]


def test_a_run_is_on_hold_in_an_outage(send, answer):
    async def look(sent, _loop):
        await asyncio.sleep(15.0)
        seen.append(sent.pipeline.progress())

    seen = []
    down = answer(code=None, status=503)
    sent = send(lambda service, _row: down if 1 < service.loop.time() < 20 else answer(), count=500, meanwhile=look)
    assert [progress.on_hold for progress in seen] == [True]
    assert not sent.pipeline.progress().on_hold
