"""Outages, refusals by the limit, and outcomes that are held back until it is clear what is wrong."""

import asyncio
import itertools
from collections import Counter

import pytest

from batch_alias.model import Failure, State
from batch_alias.rongcloud.codes import FAILURES
from tests.sending.conftest import CHECK


@pytest.fixture(scope="module")
def misconfigured() -> list[Failure]:
    """The failures that show a wrong setting."""
    found = [failure for failure, classification in FAILURES.items() if classification.misconfigured]
    assert found
    return found


def down(service, start: float, end: float) -> bool:
    return start <= service.loop.time() < end


@pytest.fixture
def outage(answer):
    """A script: no connection from one time to another, otherwise fine."""
    return lambda start, end: (
        lambda service, _row: (
            answer(failure=Failure.CONNECT, message="refused") if down(service, start, end) else answer()
        )
    )


def test_ten_minutes_of_outage_cost_no_row(send, outage):
    sent = send(outage(5.0, 605.0), count=800)
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 800}
    assert sent.event_kinds == ["outage-began", "outage-ended"]
    assert "refused" in sent.events[0].text
    assert 605 <= sent.seconds <= 605 + 30 + 30


@pytest.mark.parametrize("left", [1, 5])
def test_an_outage_that_begins_with_the_last_rows_costs_none(left, send, answer):
    def script(service, _row):
        began = len(service.starts) >= 50 - left
        return answer(failure=Failure.CONNECT) if began and service.loop.time() < 605 else answer()

    sent = send(script, count=50)
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 50}
    assert 605 <= sent.seconds <= 605 + 60


def test_during_an_outage_one_probe_at_a_time_goes_out_at_growing_intervals(send, outage):
    sent = send(outage(5.0, 305.0), count=800)
    began = next(event.at for event in sent.events) - 1_800_000_000
    probes = [start.at for start in sent.service.starts if began < start.at < 306]
    gaps = [later - earlier for earlier, later in itertools.pairwise(probes)]
    assert [round(gap) for gap in gaps[:4]] == [2, 4, 8, 16]
    assert all(29.9 <= gap <= 31.1 for gap in gaps[4:])


def test_probes_take_the_two_hosts_in_turn(send, answer):
    def script(service, _row):
        # The primary does not come back; the backup does after ten minutes.
        is_down = service.hosts[0] == "one" and service.loop.time() > 5
        return answer(failure=Failure.CONNECT) if is_down or down(service, 5, 605) else answer()

    sent = send(script, count=800)
    probes = [start.host for start in sent.service.starts if 10 < start.at < 600]
    assert len(probes) > 15
    assert all(earlier != later for earlier, later in itertools.pairwise(probes))
    assert len(sent.ledger.outcomes) == 800


def test_after_an_outage_the_rate_rises_step_by_step(send, outage):
    sent = send(outage(5.0, 65.0), count=2200)
    again = next(event.at for event in sent.events if event.kind == "outage-ended") - 1_800_000_000
    seconds = Counter(int(start.at - again) for start in sent.service.starts if start.at >= again)
    assert seconds[0] <= 12
    assert seconds[3] <= 50
    assert seconds[18] >= 97


def test_a_service_that_is_down_from_the_beginning_is_an_outage_after_one_request(send, outage):
    sent = send(outage(0.0, 50.0), count=20)
    assert sent.event_kinds == ["outage-began", "outage-ended"]
    assert len([start for start in sent.service.starts if start.at < 50]) <= 7
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 20}


@pytest.mark.parametrize("patience", [60.0, 1800.0])
def test_the_run_stops_after_the_patience_with_every_row_pending(patience, send, outage):
    sent = send(outage(5.0, 1e9), count=800, patience=patience)
    assert sent.error.exit_code == 4
    assert ("30 min" if patience == 1800 else "1 min") in sent.error.problem
    assert set(sent.ledger.states().values()) == {State.ACCEPTED}
    assert sent.seconds == pytest.approx(5 + patience, abs=3)


def test_without_a_patience_it_waits_for_ever(send, outage):
    sent = send(outage(5.0, 3600.0), count=600, patience=0)
    assert sent.error is None
    assert len(sent.ledger.outcomes) == 600


def test_a_row_that_the_service_cannot_process_is_no_outage_and_ends_unknown(send, answer):
    sent = send(lambda _service, row: answer(code=1000) if row == 50 else answer(), count=100)
    assert sent.event_kinds == []
    assert sent.service.sent.count(50) == 6
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 99, State.UNKNOWN: 1}
    assert sent.ledger.outcomes[50].attempts == 6


@pytest.mark.parametrize("poison", [2, 51, 101])
def test_a_first_row_that_the_service_cannot_process_does_not_delay_the_others(poison, send, answer):
    sent = send(lambda _service, row: answer(code=1000) if row == poison else answer(), count=100)
    assert sent.error is None
    assert sent.ledger.outcomes[poison].state is State.UNKNOWN
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 99, State.UNKNOWN: 1}
    assert sent.seconds < 120


def test_a_row_that_never_got_through_while_others_did_is_failed_and_not_in_doubt(send, answer):
    sent = send(lambda _service, row: answer(failure=Failure.CONNECT) if row == 50 else answer(), count=600, attempts=3)
    assert sent.ledger.outcomes[50].state is State.FAILED
    assert sent.event_kinds == []


def test_a_single_timeout_leaves_a_row_in_doubt(send, answer):
    def script(service, row):
        if row != 50:
            return answer()
        return answer(failure=Failure.CONNECT if 50 in service.sent else Failure.TIMEOUT)

    sent = send(script, count=100)
    assert sent.ledger.outcomes[50].state is State.UNKNOWN


def test_rows_out_of_attempts_when_an_outage_is_recognised_are_forgiven(send, outage):
    # With one attempt a row, every row hit before the outage is recognised would be lost otherwise.
    sent = send(outage(5.0, 65.0), count=800, attempts=1)
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 800}


def test_outcomes_held_back_are_settled_at_the_end(send, answer):
    last = 101
    sent = send(lambda _service, row: answer(code=1050) if row == last else answer(), count=100, proven=True)
    assert sent.ledger.outcomes[last].state is State.UNKNOWN
    assert sent.error is None


def test_no_row_fails_because_of_refusals(send, answer):
    def script(service, row):
        return answer(code=1008) if service.sent.count(row) < 15 else answer()

    sent = send(script, count=10, attempts=1)
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 10}
    assert sent.ledger.outcomes[5].attempts == 16


def test_nothing_is_sent_while_the_server_asks_to_wait(send, answer):
    def script(service, _row):
        return answer(code=None, status=429, retry_after=20.0) if len(service.starts) == 100 else answer()

    sent = send(script, count=300)
    refused_at = sent.service.starts[100].at + 0.05
    later = [start.at for start in sent.service.starts if start.at > refused_at + 0.01]
    assert min(later) >= refused_at + 20
    assert sent.event_kinds == ["asked-to-wait"]
    assert len(sent.ledger.outcomes) == 300


def test_a_limit_that_refuses_everything_uses_up_the_patience_too(send, answer):
    sent = send(lambda _service, _row: answer(code=1008), count=100, patience=300.0)
    assert sent.error.exit_code == 4
    assert "limit" in sent.error.problem
    assert sent.ledger.outcomes == {}
    assert sent.seconds == pytest.approx(300, abs=5)


def test_mixed_faults_lose_no_row(send, answer):
    faults = [
        {"code": 1000},
        {"code": 1050},
        {"code": 1008},
        {"code": None, "status": 502},
        {"code": None, "status": 429},
        {"failure": Failure.TIMEOUT, "latency": 2.0},
        {"failure": Failure.DROPPED},
        {"failure": Failure.CONNECT},
    ]

    def script(service, _row):
        number = len(service.starts)
        return answer(**faults[number // 7 % len(faults)]) if number % 7 == 0 else answer()

    sent = send(script, count=1500, attempts=12)
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 1500}
    times = [start.at for start in sent.service.starts]
    assert all(later - earlier >= 1 for earlier, later in zip(times, times[100:], strict=False))


def page(answer, status: int = 403):
    return answer(code=None, status=status, message="Forbidden")


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("odd", [{50}, {50, 51}, {2}, {101}, {2, 52, 101}, set(range(40, 90)), set(range(52, 102))])
def test_rows_that_a_gateway_refuses_fail_once_others_have_been_accepted(odd, status, send, answer):
    sent = send(lambda _service, row: page(answer, status) if row in odd else answer(), count=100, proven=True)
    assert sent.error is None
    assert {number for number, state in sent.ledger.states().items() if state is State.FAILED} == odd
    assert len(sent.ledger.outcomes) == 100
    assert max(count for row, count in Counter(sent.service.sent).items() if row != CHECK) == 1


def test_an_odd_first_row_of_a_job_fails_once_another_one_is_accepted(send, answer):
    for what in ({"code": None, "status": 403}, {"code": 4711, "status": 400}):
        sent = send(lambda _service, row, what=what: answer(**what) if row == 2 else answer(), count=100)
        assert sent.error is None
        assert {number for number, state in sent.ledger.states().items() if state is State.FAILED} == {2}
        assert sent.service.sent[:3] == [2, CHECK, 101]


def test_a_gateway_that_refuses_all_rows_but_not_the_harmless_call_stops_the_run(send, answer):
    for count in (1, 2, 100):
        sent = send(lambda _service, row: answer() if row == CHECK else page(answer), count=count)
        assert sent.error.exit_code == 4
        assert sent.ledger.outcomes == {}
        assert len(sent.service.starts) <= 4


@pytest.mark.parametrize("what", [{"code": 404, "status": 404}, {"code": None, "status": 400}])
def test_a_wrong_path_at_the_beginning_of_a_later_run_stops_it_too(what, send, answer):
    sent = send(lambda _service, _row: answer(**what), count=200, proven=True)
    assert sent.error.exit_code == 4
    assert sent.service.sent == [2, CHECK]
    assert sent.ledger.outcomes == {}


@pytest.mark.parametrize("left", [1, 2])
def test_the_last_rows_do_not_fail_when_a_gateway_refuses_everything(left, send, answer):
    sent = send(lambda _service, _row: page(answer), count=left, proven=True)
    assert sent.error.exit_code == 4
    assert sent.ledger.outcomes == {}


def test_a_gateway_that_refuses_every_row_from_now_on_stops_the_run(send, answer):
    sent = send(lambda service, _row: page(answer) if len(service.starts) >= 200 else answer(), count=1000)
    assert sent.error.exit_code == 4
    assert "HTTP 403" in sent.error.problem
    assert len(sent.ledger.outcomes) == 200
    assert len(sent.service.starts) <= 200 + 25 + 2


def test_a_gateway_that_refuses_the_last_row_fails_it(send, answer):
    sent = send(lambda _service, row: page(answer) if row == 101 else answer(), count=100)
    assert sent.error is None
    assert sent.ledger.outcomes[101].state is State.FAILED


@pytest.mark.parametrize("what", [{"code": 404, "status": 404}, {"code": None, "status": 400}, {"code": 4711}])
def test_before_any_row_was_accepted_an_unknown_refusal_stops_the_run(what, send, answer):
    sent = send(lambda _service, _row: answer(**what), count=100)
    assert sent.error.exit_code == 4
    assert sent.service.sent == [2, CHECK]
    assert sent.ledger.outcomes == {}
    later = send(lambda _service, row: answer(**what) if row == 50 else answer(), count=100)
    assert later.error is None
    assert later.ledger.outcomes[50].state is State.FAILED


@pytest.mark.parametrize("what", [{"code": None, "status": 502}, {"code": 1000}, {"failure": Failure.TIMEOUT}])
@pytest.mark.parametrize(
    ("later", "count", "odd"),
    [(True, 1, {2}), (True, 12, set(range(2, 14))), (True, 400, {2, 50, 401}), (False, 400, set(range(390, 402)))],
)
def test_rows_that_always_fail_are_unknown_and_no_outage_when_no_others_are_left(later, count, odd, what, send, answer):
    sent = send(
        lambda _service, row: answer(**what) if row in odd else answer(),
        count=count,
        proven=later,
        doubted=odd if later else (),
    )
    assert sent.error is None
    assert {number for number, state in sent.ledger.states().items() if state is State.UNKNOWN} == odd
    assert "outage-ended" not in sent.event_kinds
    assert sent.seconds < 180


def test_an_outage_ends_with_any_answer_to_the_harmless_call_once_rows_have_been_accepted(send, answer):
    def script(service, row):
        return answer(code=1002 if row == CHECK else 1000) if row in {CHECK, 101} else answer()

    sent = send(script, count=100)
    assert sent.error is None
    assert sent.ledger.outcomes[101].state is State.UNKNOWN
    assert len(sent.ledger.outcomes) == 100


@pytest.mark.parametrize("size", [25, 70])
def test_a_block_of_rows_that_always_fail_is_no_outage_either(size, send, answer):
    odd = set(range(500, 500 + size))
    sent = send(lambda _service, row: answer(code=1000) if row in odd else answer(), count=800)
    assert sent.error is None
    assert {number for number, state in sent.ledger.states().items() if state is State.UNKNOWN} == odd
    assert "outage-began" not in sent.event_kinds
    assert sent.seconds < 60


def test_a_row_that_brings_the_service_down_ends_and_does_not_hold_the_others_for_ever(send, answer):
    down_until = [0.0]

    def script(service, row):
        if row == 50:
            down_until[0] = service.loop.time() + 3
        return answer(failure=Failure.DROPPED) if service.loop.time() < down_until[0] else answer()

    sent = send(script, count=300)
    assert sent.error is None
    assert sent.ledger.outcomes[50].state is State.UNKNOWN
    assert len(sent.ledger.outcomes) == 300


def test_a_harmless_call_that_always_fails_does_not_keep_rows_from_being_sent(send, answer):
    for what in ({"code": 1000}, {"code": 1008}):
        sent = send(
            lambda _service, row, what=what: (
                answer(**what) if row == CHECK else page(answer) if row == 50 else answer()
            ),
            count=200,
        )
        assert sent.error is None
        assert sent.ledger.outcomes[50].state is State.FAILED
        assert len(sent.ledger.outcomes) == 200


def test_a_refused_signature_of_the_harmless_call_is_tried_afresh_once(send, answer):
    def script(service, row, refused):
        if row == CHECK:
            return answer(code=1004) if service.sent.count(CHECK) < refused else answer()
        return page(answer) if row == 50 else answer()

    sent = send(lambda service, row: script(service, row, 1), count=200)
    assert sent.error is None
    assert sent.ledger.outcomes[50].state is State.FAILED
    assert send(lambda service, row: script(service, row, 2), count=200).error.exit_code == 4


def test_odd_rows_are_asked_about_each_time(send, answer):
    odd = {2, 60, 61, 62, 101}
    sent = send(lambda _service, row: page(answer) if row in odd else answer(), count=100)
    assert sent.error is None
    assert {number for number, state in sent.ledger.states().items() if state is State.FAILED} == odd


def test_a_second_outage_soon_after_the_first_costs_no_row(send, outage, answer):
    up = itertools.count()

    def script(service, _row):
        if down(service, 2.0, 17.0) or (service.loop.time() >= 17.0 and next(up) > 0 and down(service, 0.0, 300.0)):
            return answer(failure=Failure.TIMEOUT, latency=0.05)
        return answer()

    sent = send(script, count=230)
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 230}
    assert [kind for kind in sent.event_kinds if "outage" in kind] == ["outage-began", "outage-ended"] * 2
    assert 300 <= sent.seconds <= 370


def test_rows_that_the_service_always_fails_for_are_unknown_and_no_outage(send, answer):
    odd = set(range(20, 400, 10))
    for what in ({"code": None, "status": 502}, {"code": 1000}):
        sent = send(lambda _service, row, what=what: answer(**what) if row in odd else answer(), count=400)
        assert sent.error is None
        assert sent.event_kinds == []
        assert {number for number, state in sent.ledger.states().items() if state is State.UNKNOWN} == odd
        assert sent.seconds < 120


@pytest.mark.parametrize("count", [2, 500])
def test_when_the_first_rows_are_invalid_a_harmless_call_shows_that_it_is_the_rows(count, send, answer):
    invalid = {2, count + 1, count // 2 + 2}
    sent = send(lambda _service, row: answer(code=1002) if row in invalid else answer(), count=count)
    assert sent.error is None
    assert {number for number, state in sent.ledger.states().items() if state is State.FAILED} == invalid & set(
        sent.service.sent
    )
    assert len(sent.ledger.outcomes) == count
    assert sent.service.sent.count(CHECK) == 1


@pytest.mark.parametrize("code", [1001, 1002, 1004, 1006, 1007, 1009])
def test_when_the_harmless_call_is_refused_too_a_setting_is_wrong(code, send, answer):
    sent = send(lambda _service, row: answer(code=code if row == CHECK else 1002), count=500)
    assert sent.error.exit_code == 4
    assert str(code) in sent.error.problem
    assert sent.ledger.outcomes == {}


def test_a_harmless_call_that_fails_decides_nothing(send, answer):
    def script(service, row):
        if row == CHECK and service.sent.count(CHECK) < 2:
            return answer(code=None, status=502)
        return answer(code=1002) if row in {2, 52, 101} else answer()

    sent = send(script, count=100)
    assert sent.error is None
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 97, State.FAILED: 3}


def test_wrong_settings_at_the_first_request_stop_the_run_after_the_second(send, answer, misconfigured):
    for failure in misconfigured:
        sent = send(lambda _service, _row, failure=failure: answer(failure=failure), count=100)
        assert sent.error.exit_code == 4
        assert sent.error.advice
        assert len(sent.service.starts) == 2
        assert sent.seconds < 5
        assert sent.ledger.outcomes == {}


def test_the_same_later_in_a_run_is_an_outage(send, answer, misconfigured):
    for failure in misconfigured:

        def script(service, _row, failure=failure):
            return answer(failure=failure) if down(service, 5, 65) else answer()

        sent = send(script, count=600)
        assert sent.event_kinds == ["outage-began", "outage-ended"]
        assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 600}


def test_rows_in_doubt_are_unknown_when_the_run_is_stopped_in_an_outage(send, answer):
    async def stop(sent, loop):
        await asyncio.sleep(60)
        sent.pipeline.stop()

    def script(service, _row):
        return answer(code=None, status=502) if service.loop.time() > 5 else answer()

    sent = send(script, count=800, meanwhile=stop)
    assert set(sent.ledger.outcomes) == set(sent.service.sent)
    unknown = [outcome for outcome in sent.ledger.outcomes.values() if outcome.state is State.UNKNOWN]
    assert unknown
    assert all(outcome.attempts == sent.service.sent.count(outcome.row) for outcome in unknown)


def test_a_row_in_doubt_since_an_earlier_run_never_becomes_failed_without_an_answer(send, answer):
    sent = send(
        lambda _service, row: answer(failure=Failure.CONNECT) if row == 50 else answer(),
        count=600,
        attempts=3,
        doubted={50},
    )
    assert sent.ledger.outcomes[50].state is State.UNKNOWN


def test_the_time_that_this_process_stood_still_is_given_to_the_attempts(send, answer):
    async def stand_still(sent, loop):
        await asyncio.sleep(3)
        loop.now += 7.0

    assert send(lambda _service, _row: answer(), count=500).service.extended == 0
    sent = send(lambda _service, _row: answer(), count=500, meanwhile=stand_still)
    assert sent.service.extended == pytest.approx(7.0, abs=0.6)


def test_a_harmless_call_that_never_decides_uses_up_the_patience(send, answer):
    sent = send(
        lambda _service, row: answer(code=1002) if row != CHECK else answer(code=None, status=503),
        count=3,
        patience=60.0,
    )
    assert sent.error.exit_code == 4
    assert sent.seconds == pytest.approx(60, abs=5)
    assert sent.ledger.outcomes == {}


@pytest.mark.parametrize("code", [1001, 1007])
def test_a_row_in_doubt_whose_response_stops_the_run_is_unknown(code, send, answer):
    def script(service, row):
        if row != 10:
            return answer()
        return answer(code=code) if 10 in service.sent else answer(failure=Failure.TIMEOUT)

    sent = send(script)
    assert sent.error.exit_code == 4
    assert (sent.ledger.outcomes[10].state, sent.ledger.outcomes[10].attempts) == (State.UNKNOWN, 2)


def test_probes_wait_as_long_as_the_server_asks(send, answer):
    sent = send(
        lambda service, _row: answer() if service.starts else answer(code=None, status=503, retry_after=120.0), count=50
    )
    assert sent.service.starts[1].at >= 120
    assert len(sent.ledger.outcomes) == 50


def test_time_in_which_this_process_stood_still_is_not_held_against_the_service(send, outage):
    async def sleep_like_a_laptop(sent, loop):
        await asyncio.sleep(5.5)
        loop.now += 7200

    sent = send(outage(5.0, 5.0 + 7200 + 3), count=700, meanwhile=sleep_like_a_laptop)
    assert sent.error is None
    assert len(sent.ledger.outcomes) == 700


@pytest.mark.parametrize("rate", [1, 5, 10])
def test_after_an_outage_a_low_rate_is_reached_soon(rate, send, outage):
    sent = send(outage(10.0, 13.0), count=60 * rate, rate=rate)
    assert sent.error is None
    assert sent.seconds <= 60 + 3 + 30


def test_short_pauses_are_kept_without_an_event(send, answer):
    def script(service, _row):
        return answer(code=1008, retry_after=0.5) if len(service.starts) == 50 else answer()

    sent = send(script, count=100)
    assert sent.event_kinds == []
    assert sent.seconds >= 1.5
