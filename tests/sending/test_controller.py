import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.sending.controller import FLOOR, ControllerRules, RateController

RULES = ControllerRules(
    of_granted=0.95,
    least_cut=0.9,
    deepest_cut=0.5,
    window=1.0,
    pause=0.25,
    longest_pause=60.0,
    climb=0.01,
    fast_climb=0.05,
    patience=10.0,
    restart=0.1,
    ramp=0.2,
)


@pytest.fixture
def pace() -> RateController:
    return RateController(100.0, RULES)


def climbed(pace: RateController, start: float, seconds: int) -> float:
    for second in range(1, seconds + 1):
        pace.climb(now=start + second)
    return pace.rate


def grant(pace: RateController, count: int, *, until: float) -> None:
    """So many answers within the second before."""
    for place in range(count):
        pace.granted(now=until - 1 + (place + 1) / (count + 1))


def test_it_begins_at_the_full_pace_without_a_pause(pace):
    assert (pace.rate, pace.lowered, pace.paused_until) == (100.0, False, 0.0)


def test_a_refusal_that_comes_alone_costs_little_and_a_short_pause(pace):
    grant(pace, 99, until=100.0)
    assert pace.refused(started=99.9, now=100.0, retry_after=None)
    assert pace.rate == pytest.approx(90)
    assert pace.lowered
    assert pace.paused_until == 100.25


def test_a_refusal_goes_down_to_a_little_below_what_was_granted(pace):
    grant(pace, 80, until=100.0)
    pace.refused(started=99.9, now=100.0, retry_after=None)
    assert pace.rate == pytest.approx(76)


def test_one_refusal_never_costs_more_than_the_deepest_cut(pace):
    grant(pace, 40, until=100.0)
    pace.refused(started=99.9, now=100.0, retry_after=None)
    assert pace.rate == pytest.approx(50)
    grant(pace, 40, until=101.2)
    pace.refused(started=101.1, now=101.2, retry_after=None)
    assert pace.rate == pytest.approx(38)


def test_what_was_granted_long_ago_does_not_count(pace):
    grant(pace, 99, until=90.0)
    pace.refused(started=99.9, now=100.0, retry_after=None)
    assert pace.rate == pytest.approx(50)


def test_refusals_say_nothing_new_until_the_window_has_forgotten_the_old_pace(pace):
    grant(pace, 99, until=100.0)
    pace.refused(started=99.9, now=100.0, retry_after=None)
    for n in range(101):
        assert not pace.refused(started=100.0 + n / 100, now=100.0 + n / 100, retry_after=None)
    assert pace.rate == pytest.approx(90)
    assert pace.paused_until == 101.25
    assert pace.refused(started=101.1, now=101.1, retry_after=None)


def test_refusals_of_attempts_that_were_under_way_at_the_cut_ask_for_no_further_pause(pace):
    grant(pace, 99, until=100.0)
    pace.refused(started=99.9, now=100.0, retry_after=None)
    assert not pace.refused(started=99.95, now=101.5, retry_after=None)
    assert pace.paused_until == 100.25


def test_a_time_that_the_server_names_is_waited_whenever_it_is_heard(pace):
    pace.refused(started=99.9, now=100.0, retry_after=7.0)
    assert pace.paused_until == 107.0
    assert not pace.refused(started=99.95, now=100.1, retry_after=20.0)
    assert pace.paused_until == pytest.approx(120.1)
    assert not pace.refused(started=99.96, now=100.2, retry_after=1.0)
    assert pace.paused_until == pytest.approx(120.1)


def test_a_time_beyond_reason_is_not_waited(pace):
    pace.refused(started=99.9, now=100.0, retry_after=86_400.0)
    assert pace.paused_until == 160.0


def test_it_climbs_slowly_while_the_quota_is_probably_still_in_use_and_then_faster(pace):
    for now in (100.0, 101.2):
        pace.refused(started=now - 0.1, now=now, retry_after=None)
    assert pace.rate == pytest.approx(25)
    assert climbed(pace, 102.0, 9) == pytest.approx(25 + 9 * 1)
    assert climbed(pace, 111.0, 5) == pytest.approx(25 + 9 * 1 + 5 * 5)


def test_there_is_no_climb_during_a_pause(pace):
    grant(pace, 99, until=100.0)
    pace.refused(started=99.9, now=100.0, retry_after=30.0)
    assert climbed(pace, 100.0, 29) == pytest.approx(90)
    assert climbed(pace, 130.0, 1) > 90


def test_a_climb_ends_at_the_full_pace_and_forgets_the_cut(pace):
    pace.refused(started=99.9, now=100.0, retry_after=None)
    assert climbed(pace, 100.5, 1000) == 100.0
    assert not pace.lowered
    grant(pace, 99, until=1101.0)
    pace.refused(started=1101.0, now=1101.0, retry_after=None)
    assert pace.rate == pytest.approx(90)


def test_after_an_outage_it_ramps_up(pace):
    pace.restart(now=500.0)
    assert pace.rate == pytest.approx(10)
    assert [round(climbed(pace, 500.0 + n, 1)) for n in range(5)] == [30, 50, 70, 90, 100]


def test_a_refusal_ends_the_ramp(pace):
    pace.restart(now=500.0)
    climbed(pace, 500.0, 2)
    grant(pace, 50, until=502.1)
    pace.refused(started=502.0, now=502.1, retry_after=None)
    assert pace.rate == pytest.approx(45)
    assert climbed(pace, pace.paused_until, 1) == pytest.approx(46)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["refused", "asked", "restart", "climb", "climb"]),
        st.floats(0, 40),
    ),
    max_size=60,
)


@given(events=EVENTS, full=st.sampled_from([1.0, 40.0, 100.0, 1000.0]))
def test_whatever_happens_it_stays_between_a_floor_and_the_full_pace(events, full):
    pace, now = RateController(full, ControllerRules()), 1000.0
    for kind, seconds in events:
        now += seconds
        match kind:
            case "refused":
                pace.refused(started=now - 0.1, now=now, retry_after=None)
            case "asked":
                pace.refused(started=now - 0.1, now=now, retry_after=seconds)
            case "restart":
                pace.restart(now=now)
            case _:
                pace.climb(now=now)
        assert full * FLOOR <= pace.rate <= full
        assert pace.paused_until <= now + ControllerRules().longest_pause
    now = max(now, pace.paused_until)
    assert climbed(pace, now, 300) == full
