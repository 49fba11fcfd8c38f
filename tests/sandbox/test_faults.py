"""Plans draw the same faults for the same seed, and faults carry requests out or not, as they state."""

from collections import Counter
from dataclasses import fields, replace
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import UsageError
from batch_alias.sandbox import Draw, Fault, Faults, Sandbox, faults
from batch_alias.sandbox.emulator import Request, Response
from batch_alias.sandbox.faults import ERRORS, NoResponse, uniform
from batch_alias.settings.options import options
from tests.support import faults as support
from tests.support.faults import HOSTILE, During, OnPath, Script, Shares, While, coded
from tests.support.http import CLEAR, FORM, QUERY, READ, SET

DRAWS = 4000
ALL = [fault for module in (faults, support) for fault in vars(module).values() if isinstance(fault, Fault)]
CARRIED_OUT = [fault for fault in ALL if fault.carried_out]
by_name = attrgetter("name")


def drawn(plan, count=DRAWS, elapsed=0.0) -> Counter[Fault | None]:
    return Counter(plan.draw(number, elapsed, SET).fault for number in range(count))


@given(seed=st.integers(), number=st.integers(0, 2**40), elapsed=st.floats(0, 1e6))
def test_a_request_has_the_same_draw_for_the_same_seed(seed, number, elapsed):
    plan = Faults(latency=1, jitter=0.3, errors=0.2, drops=0.2, seed=seed)
    assert plan.draw(number, elapsed, SET) == plan.draw(number, 0.0, SET)


@given(seed=st.integers(), number=st.integers(0, 2**64))
def test_an_even_draw_is_from_0_up_to_1(seed, number):
    assert 0 <= uniform(seed, number) < 1


def test_another_seed_draws_other_faults():
    one, other = ([Faults(errors=0.5, seed=seed).draw(n, 0, SET).fault for n in range(50)] for seed in (1, 2))
    assert one != other


@given(latency=st.floats(0, 60), jitter=st.floats(0, 1), number=st.integers(0, 10**6))
def test_a_latency_is_within_its_jitter(latency, jitter, number):
    found = Faults(latency=latency, jitter=jitter).draw(number, 0, SET).latency
    assert latency * (1 - jitter) - 1e-9 <= found <= latency * (1 + jitter) + 1e-9


def test_the_mean_latency_is_the_given_one():
    found = [Faults(latency=0.5, jitter=0.3).draw(n, 0, SET).latency for n in range(DRAWS)]
    assert sum(found) / DRAWS == pytest.approx(0.5, rel=0.02)
    assert max(found) - min(found) > 0.25


def test_each_kind_of_fault_is_split_evenly_and_as_frequent_as_its_share():
    counts = drawn(Faults(errors=0.2, drops=0.1, hangs=0.04, pages=0.06, refusals=0.1))
    kinds = {faults.ERRORS: 0.2, faults.DROPS: 0.1, faults.HANGS: 0.04, faults.PAGES: 0.06, (faults.REFUSAL,): 0.1}
    for kind, share in kinds.items():
        for fault in kind:
            assert counts[fault] == pytest.approx(share / len(kind) * DRAWS, rel=0.45), fault.name
    assert counts[None] == pytest.approx(0.5 * DRAWS, rel=0.1)


@pytest.mark.parametrize("kind", ["errors", "drops", "hangs", "pages", "refusals"])
def test_a_share_of_one_is_every_request(kind):
    counts = drawn(Faults(**{kind: 1.0}), 100)
    assert None not in counts
    assert set(counts) == set(getattr(faults, kind.upper(), [faults.REFUSAL]))


def test_an_outage_begins_and_ends_and_comes_before_other_faults():
    plan = Faults(refusals=1.0, outage=(10, 20))
    found = [plan.draw(0, elapsed, SET).fault for elapsed in (0, 9.9, 10, 19.9, 20)]
    up, down = faults.REFUSAL, faults.UNAVAILABLE
    assert found == [up, up, down, down, up]


def test_another_writer_changes_aliases_after_a_share_of_the_reads():
    plan = Faults(other_writer=0.05, seed=3)
    after = [plan.draw(number, 0.0, READ).other_writer for number in range(DRAWS)]
    assert sum(after) == pytest.approx(0.05 * DRAWS, rel=0.3)
    assert after == [plan.draw(number, 9.0, READ).other_writer for number in range(DRAWS)]
    assert after != [replace(plan, seed=4).draw(number, 0.0, READ).other_writer for number in range(DRAWS)]
    assert not any(plan.draw(number, 0.0, path).other_writer for number in range(DRAWS) for path in (SET, CLEAR, QUERY))


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency": -1.0},
        {"latency": float("inf")},
        {"latency": float("nan")},
        {"jitter": 1.1},
        {"jitter": float("nan")},
        {"refusals": -0.1},
        {"other_writer": 1.1},
        {"errors": 0.6, "hangs": 0.6},
        {"outage": (5.0, 2.0)},
        {"outage": (-1.0, 2.0)},
        {"outage": (0.0, float("nan"))},
    ],
    ids=str,
)
def test_impossible_faults_are_refused(wrong):
    with pytest.raises(UsageError):
        Faults(**wrong)


def test_the_shares_may_add_up_to_all_requests():
    assert None not in drawn(Faults(errors=0.7, drops=0.1, hangs=0.1, pages=0.1), 100)


def test_every_field_is_a_flag():
    assert [option.name for option in options(Faults)] == [field.name for field in fields(Faults)]


@pytest.fixture
def applied(signed):
    """What is done after a request with a fault, and whether it was carried out; it is valid if nothing is given."""

    def apply(fault: Fault | None, **wrong: str) -> tuple[object, bool]:
        sandbox = Sandbox(faults=Script(lambda _: fault))
        headers = signed(sandbox.app_key, sandbox.app_secret.reveal()) | {"content-type": FORM} | wrong
        form = {"userId": "u", "groupId": "g", "remark": "r"}
        request = Request(method="POST", path=SET, headers=headers, form=form, now=0.0, at=0.0)
        _, effect = sandbox.handle(request)
        return effect, bool(sandbox.aliases())

    return apply


def test_without_a_fault_the_service_responds(applied):
    response, carried_out = applied(None)
    assert (response.code, carried_out) == (200, True)


@pytest.mark.parametrize("fault", ALL, ids=by_name)
def test_a_request_with_a_fault_is_carried_out_or_not(fault, applied):
    _, carried_out = applied(fault)
    assert carried_out == fault.carried_out


@pytest.mark.parametrize("fault", CARRIED_OUT, ids=by_name)
def test_a_refusal_is_never_replaced(fault, applied):
    refused, carried_out = applied(fault, signature="wrong")
    assert (refused.code, carried_out) == (1004, False)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (faults.INTERNAL_ERROR, 500, 1000),
        (faults.INTERNAL_TIMEOUT, 504, 1050),
        (faults.BAD_GATEWAY, 502, None),
        (faults.UNAVAILABLE, 503, None),
        (faults.GATEWAY_PAGE, 502, None),
        (faults.GATEWAY_PAGE_OK, 200, None),
        (faults.REFUSAL, 429, 1008),
        (support.GATEWAY_LIMIT, 429, None),
        (support.REDIRECT, 307, None),
        (coded(1006), 401, 1006),
        (coded(1009), 430, 1009),
        (coded(20101), 400, 20101),
        (coded(1015, status=200), 200, 1015),
        (coded(404), 404, None),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_fault_has_its_status_and_code(fault, status, code, applied):
    response, _ = applied(fault)
    assert isinstance(response, Response)
    assert (response.status, response.code) == (status, code)


def test_connections_are_closed_or_reset_before_or_after_the_write_and_hang_likewise(applied):
    assert [applied(fault) for fault in faults.DROPS] == [
        *(((), False), ((), True), (NoResponse.RESET, False), (NoResponse.RESET, True))
    ]
    assert [applied(fault) for fault in faults.HANGS] == [(NoResponse.HANG, False), (NoResponse.HANG, True)]


LATE = Faults(latency=0.5)


def test_any_fault_can_have_a_share():
    plan = Shares({coded(1005): 0.1, HOSTILE[0]: 0.3}, LATE, seed=3)
    counts = drawn(plan)
    assert counts[HOSTILE[0]] == pytest.approx(0.3 * DRAWS, rel=0.2)
    assert counts[None] == pytest.approx(0.6 * DRAWS, rel=0.2)
    assert plan.draw(7, 0.0, SET) == plan.draw(7, 100.0, SET)
    assert plan.draw(7, 0.0, SET).latency == 0.5


def test_the_shares_are_independent_of_those_of_the_other_faults():
    counts = drawn(Shares({HOSTILE[0]: 0.5}, Faults(errors=0.5)))
    assert sum(counts[fault] for fault in ERRORS) == pytest.approx(0.25 * DRAWS, rel=0.2)


def test_a_script_decides_by_the_number_of_the_request():
    plan = Script(lambda number: faults.UNAVAILABLE if 2 <= number < 4 else None, LATE)
    found = [plan.draw(number, 0.0, SET) for number in range(5)]
    assert found == [Draw(latency=0.5, fault=faults.UNAVAILABLE if number in {2, 3} else None) for number in range(5)]


def test_a_fault_lasts_while_a_condition_holds():
    down = [True]
    plan = While(lambda: bool(down), faults.HANG_AFTER, LATE)
    assert plan.draw(0, 0.0, SET) == Draw(latency=0.5, fault=faults.HANG_AFTER)
    down.clear()
    assert plan.draw(1, 0.0, SET) == Draw(latency=0.5)


def test_a_fault_lasts_from_and_to_so_many_seconds():
    plan = During(10, 20, faults.DROP_AFTER, LATE)
    found = [plan.draw(0, elapsed, SET).fault for elapsed in (9.9, 10, 19.9, 20)]
    assert found == [None, faults.DROP_AFTER, faults.DROP_AFTER, None]


def test_a_plan_can_be_for_one_path_only():
    plan = OnPath(READ, Faults(errors=1.0), LATE)
    assert plan.draw(0, 0.0, READ).fault in ERRORS
    assert plan.draw(0, 0.0, SET) == Draw(latency=0.5)
