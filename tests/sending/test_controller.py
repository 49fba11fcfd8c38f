import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.sending.controller import ControllerRules, RateController

RULES = ControllerRules()


@pytest.fixture
def controller() -> RateController:
    return RateController(100.0, RULES)


class Windows:
    """Feeds a controller windows of 101 responses within a second, to attempts that have all started in them."""

    def __init__(self, controller: RateController) -> None:
        self.controller = controller
        self.now = 1000.0

    def __call__(self, signals: int, windows: int = 1) -> list[str]:
        """So many signals in each window; what was seen where the rate was lowered."""
        seen = []
        for _ in range(windows):
            self.now += RULES.window + 0.1  # responses to attempts from before a cut are over
            for number in range(101):
                self.now += 0.01005
                signal = number < signals
                seen.append(self.controller.responded(signal=signal, started=self.now, now=self.now, latency=0.05))
        return [counts for counts in seen if counts]


@pytest.fixture
def windows(controller) -> Windows:
    return Windows(controller)


def test_it_begins_at_the_full_rate_without_a_pause(controller):
    assert (controller.rate, controller.lowered, controller.next_start) == (100.0, False, 0.0)


@pytest.mark.parametrize("signals", [1, 5, 8])
def test_a_tolerated_share_of_signals_costs_nothing(signals, controller, windows):
    assert windows(signals, 5) == []
    assert controller.rate == 100.0


def test_the_rate_is_lowered_in_proportion_to_the_share_of_signals(controller, windows):
    (seen,) = windows(30)
    assert seen == (30, 101)
    assert controller.rate == pytest.approx(0.95 * 71 / 1.005)


def test_after_a_clean_window_it_is_lowered_by_little(controller, windows):
    windows(0)
    windows(60)
    assert controller.rate == pytest.approx(0.92 * 100)


def test_one_cut_is_never_deeper_than_the_deepest(controller, windows):
    windows(101)
    assert controller.rate == pytest.approx(30)
    windows(101)
    assert controller.rate == pytest.approx(9)


def test_responses_to_attempts_from_before_a_cut_say_nothing(controller, windows):
    windows(101)
    rate, now = controller.rate, windows.now
    for _ in range(300):
        now += 0.01
        assert controller.responded(signal=True, started=windows.now, now=now, latency=None) is None
    assert controller.rate == rate


def test_few_responses_make_no_window(controller):
    for second in range(RULES.responses - 1):
        assert controller.responded(signal=True, started=second, now=second, latency=None) is None
    assert controller.rate == 100.0


def test_it_climbs_slowly_near_the_rate_that_was_refused_and_fast_elsewhere(controller, windows):
    windows(101)
    low, edge = 30.0, 100 * (1 - RULES.near)
    fast, slow = 1 + RULES.fast_climb, 1 + RULES.slow_climb
    for rate in (low * fast, low * fast**2, low * fast**3, low * fast**4, low * fast**5, edge, edge * slow):
        windows(0)
        assert controller.rate == pytest.approx(rate)


def test_it_climbs_back_to_the_full_rate(controller, windows):
    windows(101)
    windows(0, 50)
    assert controller.rate == 100.0
    assert not controller.lowered


def test_it_does_not_climb_while_less_is_sent(controller):
    controller.restart(now=0.0)
    for number in range(600):
        respond(controller, 1, 0.05, now=number / 6)
    assert controller.rate == pytest.approx(10)
    for second in range(100, 160):
        respond(controller, math.ceil(controller.rate), 0.05, now=float(second))
    assert controller.rate > 50


def test_what_was_refused_beside_other_requests_can_be_forgotten(controller, windows):
    windows(101)
    windows(0, 6)
    rate = controller.rate
    controller.forget_refusals()
    windows(0)
    assert controller.rate == pytest.approx(min(100, rate * (1 + RULES.fast_climb)))


def test_after_an_outage_it_begins_low_and_climbs_fast(controller, windows):
    controller.restart(now=windows.now)
    assert controller.rate == pytest.approx(10)
    windows(0, 13)
    assert controller.rate == 100.0


def test_starts_are_spaced_evenly_below_the_full_rate(controller, windows):
    windows(101)
    controller.started(now=2000.0)
    assert controller.next_start == pytest.approx(2000.0 - 0.02)
    controller.started(now=2000.0)
    assert controller.next_start == pytest.approx(2000.0 - 0.02 + 1 / controller.rate)


def test_pauses_that_the_server_asks_for_are_kept_and_notable_once_a_minute(controller):
    assert not controller.asked_to_wait(0.5, now=90.0)
    assert controller.asked_to_wait(7.0, now=100.0)
    assert controller.next_start == 107.0
    assert not controller.asked_to_wait(20.0, now=100.1)
    assert controller.next_start == pytest.approx(120.1)
    assert not controller.asked_to_wait(1.0, now=100.2)
    assert controller.next_start == pytest.approx(120.1)
    assert not controller.asked_to_wait(1.0, now=121.0)
    assert controller.asked_to_wait(1.0, now=160.0)


def test_a_pause_beyond_reason_is_cut(controller):
    controller.asked_to_wait(86_400.0, now=100.0)
    assert controller.next_start == 100.0 + RULES.longest_pause


def in_flight(controller: RateController, now: float) -> int:
    """How many requests may be in flight at once."""
    return next(number for number in range(10_000) if not controller.may_start(number, now=now))


def respond(controller: RateController, count: int, latency: float, now: float) -> None:
    for _ in range(count):
        controller.responded(signal=False, started=now, now=now, latency=latency)


def test_requests_in_flight_are_bounded_by_rate_times_latency(controller):
    assert controller.may_start(5000, now=0.0)
    respond(controller, 1, 0.2, now=1.0)
    assert in_flight(controller, 1.0) == 100
    respond(controller, 200, 0.05, now=1.5)
    assert in_flight(controller, 1.5) == pytest.approx(25, abs=1)
    respond(controller, 500, 0.005, now=2.0)
    assert in_flight(controller, 2.0) == RULES.least_in_flight


def test_a_queue_does_not_raise_the_bound(controller):
    respond(controller, 20, 0.2, now=1.0)
    respond(controller, 500, 2.0, now=2.0)
    assert in_flight(controller, 2.0) == 100


def test_when_the_latency_has_doubled_it_is_measured_again_with_nothing_in_flight(controller):
    respond(controller, 20, 0.05, now=1.0)
    respond(controller, 100, 1.0, now=10.0)
    assert not controller.may_start(7, now=10.0)  # those in flight are let end
    assert not controller.may_start(1, now=10.5)
    assert in_flight(controller, 11.0) == 3
    respond(controller, 3, 0.8, now=10.9)  # they started before
    assert in_flight(controller, 11.0) == 3
    respond(controller, 3, 0.8, now=11.5)
    assert in_flight(controller, 12.0) == pytest.approx(400, abs=1)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["signal", "clean", "wait", "restart"]), st.floats(0, 40), st.integers(1, 150)),
    max_size=40,
)


@given(events=EVENTS, full=st.sampled_from([1.0, 40.0, 100.0, 1000.0]))
def test_whatever_happens_it_stays_between_a_floor_and_the_full_rate(events, full):
    controller, now = RateController(full, RULES), 1000.0
    for kind, seconds, count in events:
        now += seconds
        for _ in range(count):
            now += 0.02
            match kind:
                case "wait":
                    controller.asked_to_wait(seconds, now=now)
                case "restart":
                    controller.restart(now=now)
                case _:
                    controller.responded(signal=kind == "signal", started=now, now=now, latency=0.05)
        assert full * RULES.floor <= controller.rate <= full
        assert controller.paused_until <= now + RULES.longest_pause
    for _ in range(500):
        now += 0.2
        respond(controller, max(10, math.ceil(controller.rate / 5)), 0.05, now)
    assert controller.rate == full or controller.rate > 0.5 * full
