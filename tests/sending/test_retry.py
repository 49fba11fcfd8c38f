import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.model import Action, Classification, State
from batch_alias.sending.retry import Backoff, History, Retry, Settle, Stop, decide

BACKOFF = Backoff(base=0.5, cap=30.0)
ACCEPTED, FAILED, UNKNOWN = State.ACCEPTED, State.FAILED, State.UNKNOWN


def again(wait: float, **history) -> Retry:
    return Retry(wait=wait, history=History(**history))


def settled(state: State, **history) -> Settle:
    return Settle(state=state, history=History(**history))


NEW = History()
DOUBTED = History(requests=2, failures=2, in_doubt=True)
REFUSED = History(requests=40)
SIGNED_AGAIN = History(requests=1, signed_again=True)

# With 3 attempts and a draw of 1/2: the row's history, the action and doubt of its response, the decision.
TABLE = [
    (NEW, Action.ACCEPT, False, settled(ACCEPTED, requests=1)),
    (DOUBTED, Action.ACCEPT, False, settled(ACCEPTED, requests=3, failures=2, in_doubt=True)),
    (NEW, Action.FAIL, False, settled(FAILED, requests=1)),
    # The service has answered for good, so the doubt about the attempts before is over.
    (DOUBTED, Action.FAIL, False, settled(FAILED, requests=3, failures=2, in_doubt=True)),
    (NEW, Action.RETRY, False, again(0.25, requests=1, failures=1)),
    (NEW, Action.RETRY, True, again(0.25, requests=1, failures=1, in_doubt=True)),
    (
        History(requests=1, failures=1, in_doubt=True),
        Action.RETRY,
        False,
        again(0.5, requests=2, failures=2, in_doubt=True),
    ),
    (History(requests=2, failures=2), Action.RETRY, False, settled(FAILED, requests=3, failures=3)),
    (History(requests=2, failures=2), Action.RETRY, True, settled(UNKNOWN, requests=3, failures=3, in_doubt=True)),
    (DOUBTED, Action.RETRY, False, settled(UNKNOWN, requests=3, failures=3, in_doubt=True)),
    (NEW, Action.SLOW_DOWN, False, again(0.25, requests=1)),
    (REFUSED, Action.SLOW_DOWN, False, again(2.0, requests=41)),
    (REFUSED, Action.RETRY, False, again(0.25, requests=41, failures=1)),
    (NEW, Action.SIGN_AGAIN, False, again(0.0, requests=1, signed_again=True)),
    (SIGNED_AGAIN, Action.SIGN_AGAIN, False, Stop()),
    (SIGNED_AGAIN, Action.ACCEPT, False, settled(ACCEPTED, requests=2, signed_again=True)),
    (NEW, Action.STOP, False, Stop()),
    (REFUSED, Action.STOP, False, Stop()),
]


@pytest.mark.parametrize(("before", "action", "in_doubt", "decision"), TABLE)
def test_the_table(before, action, in_doubt, decision):
    classification = Classification(action=action, meaning="", in_doubt=in_doubt)
    assert decide(classification, before, attempts=3, backoff=BACKOFF, draw=0.5) == decision


def test_the_table_has_every_action():
    assert {action for _before, action, _in_doubt, _decision in TABLE} == set(Action)


@given(
    before=st.builds(History, requests=st.integers(0, 500), failures=st.integers(0, 2), in_doubt=st.booleans()),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_a_refusal_by_the_limit_never_ends_a_row_and_costs_it_nothing(before, draw):
    decision = decide(
        Classification(action=Action.SLOW_DOWN, meaning=""), before, attempts=1, backoff=BACKOFF, draw=draw
    )
    assert isinstance(decision, Retry)
    assert decision.history.failures == before.failures


@given(attempts=st.integers(1, 20), in_doubt=st.lists(st.booleans(), min_size=20, max_size=20))
def test_a_row_has_exactly_so_many_attempts_and_is_unknown_if_any_was_in_doubt(attempts, in_doubt):
    history, made = History(), 0
    while True:
        classification = Classification(action=Action.RETRY, meaning="", in_doubt=in_doubt[made])
        decision = decide(classification, history, attempts=attempts, backoff=BACKOFF, draw=0.5)
        made += 1
        if isinstance(decision, Settle):
            break
        history = decision.history
    assert made == decision.history.requests == attempts
    assert decision.state is (UNKNOWN if any(in_doubt[:attempts]) else FAILED)


def test_waits_may_double_up_to_the_cap():
    assert [BACKOFF.wait(failures, 1.0) for failures in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert BACKOFF.wait(100_000, 1.0) == 30


@given(failures=st.integers(1, 10_000), draw=st.floats(0, 1, exclude_max=True))
def test_the_jitter_is_full(failures, draw):
    assert BACKOFF.wait(failures, draw) == draw * BACKOFF.wait(failures, 1.0)
    assert 0 <= BACKOFF.wait(failures, draw) <= 30
