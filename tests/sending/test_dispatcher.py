"""Whole runs against a service that answers from a script, on a driven clock."""

import asyncio
from collections import Counter

import pytest

from batch_alias.errors import LedgerError
from batch_alias.model import State
from batch_alias.sending import Timing
from batch_alias.sending.work_queue import PAGE
from tests.sending.conftest import CHECK


def test_every_row_is_sent_once_and_accepted(send, always):
    sent = send(always(), count=2 * PAGE + 50)
    assert set(sent.ledger.states().values()) == {State.ACCEPTED}
    assert Counter(sent.service.sent) == {row.number: 1 for row in sent.ledger.rows}
    assert sent.error is None
    assert sent.event_kinds == []


def test_an_outcome_has_the_last_response_and_all_attempts_of_its_row(send, answer):
    def script(service, row):
        if row == 5 and service.sent.count(5) < 2:
            return answer(code=1000, message="请稍后")
        return answer(code=1005, message="too long") if row == 6 else answer()

    sent = send(script)
    five, six = sent.ledger.outcomes[5], sent.ledger.outcomes[6]
    assert (five.state, five.code, five.attempts, five.message) == (State.ACCEPTED, 200, 3, "accepted")
    assert (six.state, six.code, six.attempts) == (State.FAILED, 1005, 1)
    assert six.message == "parameter too long: too long"
    assert six.request_id.startswith("request-")
    assert 0 <= six.finished_at - 1_800_000_000 <= sent.seconds


@pytest.mark.parametrize("latency", [0.005, 0.5, 3.0])
def test_the_rate_is_reached_and_never_exceeded_at_any_latency(latency, send, always):
    sent = send(always(), count=1000, latency=latency)
    times = [start.at for start in sent.service.starts]
    assert all(later - earlier >= 1 for earlier, later in zip(times, times[100:], strict=False))
    assert sent.ledger.busiest <= 100
    # The opening rows go one after the other.
    assert len(times) / (times[-1] - 3 * latency) >= 98


def test_connections_are_opened_only_as_the_latency_demands(send, always):
    assert send(always(), count=300, latency=0.05).service.opened <= 12
    slow = send(always(), count=300, latency=1.0)
    assert 90 <= slow.service.opened <= 101
    assert slow.service.closed == slow.service.opened


def test_there_are_never_more_requests_in_flight_than_permitted(send, always):
    sent = send(always(), count=50, latency=1.0, max_in_flight=4)
    assert sent.service.most_under_way == sent.service.opened == 4
    assert sent.seconds == pytest.approx(50 / 4, abs=4)


def test_idle_connections_are_closed_during_the_run(send, answer):
    def script(service, row):
        # One slow second needs many connections; afterwards one is enough.
        return answer(latency=2.0 if len(service.starts) < 150 else 0.002)

    closed = []

    async def count_closed(sent, loop):
        await asyncio.sleep(10)
        closed.append(sent.service.closed)

    sent = send(script, count=1200, timing=Timing(idle=4.0), meanwhile=count_closed)
    assert sent.service.opened > 100
    assert closed[0] > 90


def test_the_first_rows_go_out_alone_one_after_the_other(send, answer):
    sent = send(lambda _service, _row: answer(latency=1.0), count=20)
    times = {start.row: start.at for start in sent.service.starts}
    assert sent.service.sent[0] == 2
    assert min(at for row, at in times.items() if row != 2) >= 1.0
    # Once a row is accepted, they are sent as usual.
    assert max(times.values()) < 2.0


@pytest.mark.parametrize("code", [1001, 1006, 1007, 1009])
def test_a_refusal_of_the_whole_run_costs_one_request(code, send, always):
    sent = send(always(code=code, message="不行"), count=500)
    assert len(sent.service.starts) == 1
    assert sent.ledger.outcomes == {}
    assert sent.error.exit_code == 4
    assert str(code) in sent.error.problem
    assert "不行" in sent.error.problem
    assert sent.error.advice


def test_a_wrong_path_stops_the_run_by_its_status(send, always):
    sent = send(always(code=None, status=404))
    assert sent.service.sent == [2, CHECK]
    assert "404" in sent.error.problem
    assert "--region" in sent.error.advice


def test_a_refused_signature_is_tried_afresh_once(send, always, answer):
    sent = send(always(code=1004))
    assert sent.service.sent == [2, 2]
    assert sent.error.exit_code == 4
    accepted = send(lambda service, _row: answer(code=1004) if not service.starts else answer())
    assert accepted.error is None
    assert set(accepted.ledger.states().values()) == {State.ACCEPTED}


def test_a_clock_wrong_enough_to_be_refused_is_named(send, always):
    assert "clock is 3600 s behind" in send(always(code=1004, skew=3600.0)).error.advice
    assert "clock is 120 s ahead of" in send(always(code=1004, skew=-120.0)).error.advice
    assert "clock" not in send(always(code=1004, skew=30.0)).error.advice


def test_a_stop_in_the_middle_costs_what_is_in_flight_and_leaves_the_rest_pending(send, answer):
    def script(service, _row):
        return answer(code=1006) if len(service.starts) >= 200 else answer()

    sent = send(script, count=1000, latency=0.2)
    assert sent.error.exit_code == 4
    assert len(sent.ledger.outcomes) == 200
    assert len(sent.service.starts) <= 200 + 25


def test_invalid_parameter_on_all_of_the_first_rows_stops_and_fails_none(send, always):
    sent = send(always(code=1002), count=500)
    assert sent.service.sent == [2, 501, 252, CHECK]
    assert sent.ledger.outcomes == {}
    assert sent.error.exit_code == 4
    assert "RONGCLOUD_APP_KEY" in sent.error.advice


@pytest.mark.parametrize("count", [1, 2])
def test_the_same_holds_for_a_source_of_few_rows(count, send, always):
    sent = send(always(code=1002), count=count)
    assert len(sent.service.starts) == count + 1
    assert sent.ledger.outcomes == {}
    assert sent.error.exit_code == 4


def test_invalid_parameter_on_some_of_the_first_rows_fails_just_those(send, answer):
    sent = send(lambda _service, row: answer(code=1002) if row in {2, 501} else answer(), count=500)
    assert sent.error is None
    states = sent.ledger.states()
    assert {number for number, state in states.items() if state is State.FAILED} == {2, 501}
    assert len(states) == 500
    assert max(Counter(sent.service.sent).values()) == 1


def test_a_job_with_accepted_rows_fails_rows_with_invalid_parameters_at_once(send, always):
    sent = send(always(code=1002), count=5, proven=True)
    assert sent.error is None
    assert set(sent.ledger.states().values()) == {State.FAILED}


def test_too_many_failures_among_the_last_thousand_rows_stop_the_run(send, answer):
    sent = send(lambda _service, row: answer(code=1005) if row > 1000 else answer(), count=5000)
    assert sent.error.exit_code == 4
    assert "--max-failed" in sent.error.advice
    failed = Counter(sent.ledger.states().values())[State.FAILED]
    assert 101 <= failed <= 101 + 10


def test_fewer_failures_do_not_stop_the_run(send, answer):
    sent = send(lambda _service, row: answer(code=1005) if row % 11 == 0 else answer(), count=1500)
    assert sent.error is None
    assert len(sent.ledger.outcomes) == 1500


def test_a_limit_sends_so_many_rows_retries_not_counted(send, answer):
    def script(service, row):
        return answer(code=1000) if service.sent.count(row) == 0 else answer()

    sent = send(script, count=500, limit=7)
    assert len(sent.ledger.outcomes) == 7
    assert len(set(sent.service.sent)) == 7


def test_stop_lets_the_attempts_under_way_end_and_starts_no_others(send, always):
    async def stop(sent, loop):
        await asyncio.sleep(5)
        sent.started = len(sent.service.starts)
        sent.pipeline.stop()

    sent = send(always(), count=5000, latency=1.0, meanwhile=stop)
    assert len(sent.service.starts) == len(sent.ledger.outcomes) == sent.started
    assert sent.seconds == pytest.approx(6.0, abs=0.1)
    assert sent.pipeline.was_stopped
    assert sent.error is None


def test_after_the_grace_the_rest_is_cut_off_and_unknown(send, answer):
    async def stop(sent, loop):
        await asyncio.sleep(5)
        sent.pipeline.stop()

    def script(service, row):
        return answer(latency=100.0) if row % 7 == 0 else answer()

    sent = send(script, count=5000, timing=Timing(grace=3.0), meanwhile=stop)
    assert set(sent.service.sent) == set(sent.ledger.outcomes)
    cut = {number for number, outcome in sent.ledger.outcomes.items() if outcome.state is State.UNKNOWN}
    assert cut == {number for number in sent.service.sent if number % 7 == 0}
    assert all(sent.ledger.outcomes[number].attempts == 1 for number in cut)
    assert sent.seconds == pytest.approx(8.0, abs=0.1)
    assert sent.service.closed == sent.service.opened


def test_many_rows_that_are_cut_off_are_no_failures_of_the_service(send, answer):
    async def stop(sent, loop):
        await asyncio.sleep(5)
        sent.pipeline.stop()

    def script(service, _row):
        return answer(latency=2.0 if len(service.starts) < 5 else 100.0)

    sent = send(script, count=5000, meanwhile=stop)
    assert Counter(sent.ledger.states().values())[State.UNKNOWN] > 101
    assert sent.error is None


def test_a_run_that_is_cancelled_keeps_what_is_answered_within_the_grace(send, always):
    async def cancel(sent, loop):
        await asyncio.sleep(2)
        sent.running.cancel()

    sent = send(always(), count=5000, latency=1.0, meanwhile=cancel)
    assert sent.was_cancelled
    assert len(sent.ledger.outcomes) == len(sent.service.starts) > 50


def test_a_run_that_is_cancelled_twice_ends_at_once(send, always):
    async def cancel(sent, loop):
        for _ in range(2):
            await asyncio.sleep(2)
            sent.running.cancel()

    sent = send(always(), count=5000, latency=100.0, proven=True, max_in_flight=1, meanwhile=cancel)
    assert sent.was_cancelled
    assert sent.seconds == pytest.approx(4.0, abs=0.1)
    assert sent.ledger.states() == {2: State.UNKNOWN}


def test_a_run_that_is_cancelled_after_it_was_stopped_does_not_use_up_the_grace(send, always):
    async def stop(sent, loop):
        await asyncio.sleep(2)
        sent.pipeline.stop()
        await asyncio.sleep(0.5)
        sent.running.cancel()

    sent = send(always(), count=5000, latency=100.0, proven=True, max_in_flight=1, meanwhile=stop)
    assert sent.was_cancelled
    assert sent.seconds == pytest.approx(2.5, abs=0.1)


def test_a_stop_does_not_wait_for_the_limiter_at_a_low_rate(send, answer):
    """After an outage the rate begins at a tenth: with --rate 1 that is an attempt every ten seconds."""

    async def stop(sent, loop):
        await asyncio.sleep(5)
        assert sent.event_kinds == ["outage-began", "outage-ended"]
        sent.pipeline.stop()

    def script(service, _row):
        return answer(code=None, status=503) if len(service.starts) < 2 else answer()

    sent = send(script, rate=1, meanwhile=stop)
    assert sent.seconds <= 5 + 1.1


def test_a_ledger_that_cannot_be_written_ends_the_run(send, always):
    async def fill_the_disk(sent, loop):
        await asyncio.sleep(2)
        sent.ledger.broken = LedgerError("disk full")

    sent = send(always(), count=5000, meanwhile=fill_the_disk)
    assert isinstance(sent.error, LedgerError)
    assert sent.error.exit_code == 5
    assert len(sent.service.starts) - len(sent.ledger.outcomes) <= 8
    assert sent.seconds < 3


def test_a_clock_that_jumps_brings_no_burst(send, always):
    async def sleep_like_a_laptop(sent, loop):
        for _ in range(3):
            await asyncio.sleep(2)
            loop.now += 3600

    sent = send(always(), count=900, meanwhile=sleep_like_a_laptop)
    times = [start.at for start in sent.service.starts]
    assert all(later - earlier >= 1 for earlier, later in zip(times, times[100:], strict=False))
    assert len(sent.ledger.outcomes) == 900
    assert sent.error is None


def test_progress_says_how_the_run_stands(send, answer):
    seen = []

    async def ask(sent, loop):
        await asyncio.sleep(3)
        seen.append(sent.pipeline.progress())

    def script(service, row):
        return answer(code=1005) if row == 3 else answer(latency=1.0)

    sent = send(script, count=1000, meanwhile=ask)
    (progress,) = seen
    assert progress.states[State.FAILED] == 1
    assert progress.states[State.UNKNOWN] == 0
    assert progress.done == progress.states[State.ACCEPTED] + 1
    assert 98 <= progress.recent_rate <= 100
    assert progress.outage is None
    assert sent.pipeline.progress().states[State.ACCEPTED] == 999


def test_every_request_and_row_is_in_some_second(send, answer):
    def script(service, row):
        return answer(code=1000) if service.sent.count(row) == 0 and row % 50 == 0 else answer()

    sent = send(script, count=400)
    seconds = sent.ledger.seconds
    assert sum(second.requests for second in seconds) == len(sent.service.starts)
    assert sum(second.retries for second in seconds) == len(sent.service.starts) - 400
    assert sum(second.settled["accepted"] for second in seconds) == 400
    assert sum(sum(second.latencies.values()) for second in seconds) == len(sent.service.starts)


def test_a_few_rows_that_the_service_cannot_process_become_unknown_and_are_no_outage(send, answer):
    sent = send(lambda _service, row: answer() if row == CHECK else answer(code=1000), count=4)
    assert set(sent.ledger.states().values()) == {State.UNKNOWN}
    assert Counter(sent.service.sent) == {CHECK: 1, **{row.number: 6 for row in sent.ledger.rows}}
    assert sent.event_kinds == []
