"""Looking up the members of groups on a driven clock."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import pytest

from batch_alias.errors import StoppedByService
from batch_alias.model import Call, Event, Failure, Operation, RequestKind, Response, Row, Second
from batch_alias.rongcloud.codes import CODES, FAILURES, UNREADABLE, classify
from batch_alias.sending import HARMLESS, Timing
from batch_alias.sending.limiter import RateLimiter
from batch_alias.sending.members import MemberLookup
from batch_alias.settings import Comparing, Reading, Sending, Settings

EPOCH = 1_800_000_000.0

Answer = int | Failure | Collection[str]
"""RongCloud's code, why there is none, or the members of the group."""


@dataclass
class FakeGroups:
    """A ledger of one row for each group."""

    groups: list[str]
    looked_up: dict[str, Collection[str]] = field(default_factory=dict)
    seconds: list[Second] = field(default_factory=list)
    rejects: bool | None = None  # how the rows were marked at the end
    more_to_come: bool = False

    def is_withdrawn(self, row: Row) -> bool:
        return False

    def select_groups(self) -> int:
        return len(self.groups)

    async def opening_rows(self, most: int) -> list[Row]:
        raise AssertionError("the call that changes nothing is made first")

    async def pending(self, *, after: int, most: int) -> list[Row]:
        rows = [Row(number=n, user_id="u", group_id=group, remark="r") for n, group in enumerate(self.groups, 2)]
        return [row for row in rows if row.number > after][:most]

    def record_members(self, group_id: str, members: Collection[str]) -> None:
        assert group_id not in self.looked_up, "a group is looked up once"
        assert self.rejects is None
        self.looked_up[group_id] = members

    def end_groups(self, *, reject: bool) -> None:
        self.rejects = reject

    async def record_metrics(self, seconds: list[Second], events: list[Event], *, busiest: int) -> None:
        self.seconds += seconds


@dataclass
class FakeService:
    """Answers each group from a script, and the call that changes nothing by a code."""

    loop: asyncio.AbstractEventLoop
    script: Callable[["FakeService", str], Answer]
    harmless: int
    asked: list[str] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    def connect(self) -> "FakeService":
        return self

    def leave(self, host: str) -> None:
        pass

    def extend(self, seconds: float) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def execute(self, operation: Operation, *, first: bool = False, permission=None) -> Response:
        self.starts.append(self.loop.time())
        if operation == HARMLESS:
            answer: Answer = self.harmless
        else:
            assert (operation.call, operation.user_id) == (Call.MEMBERS, None)
            self.asked.append(operation.group_id)
            answer = self.script(self, operation.group_id)
        await asyncio.sleep(0.05)
        common = {"request_id": "r", "host": "h", "latency": 0.05}
        if isinstance(answer, Failure):
            return Response(**common, classification=FAILURES[answer], failure=answer)
        code, members = (answer, None) if isinstance(answer, int) else (200, frozenset(answer))
        status = CODES[code].status if code in CODES else 400
        classification = classify(status=status, code=code)
        if code == 200 and members is None and operation != HARMLESS:
            classification = UNREADABLE
        return Response(**common, classification=classification, status=status, code=code, members=members)


@dataclass
class Lookup:
    """A lookup that has ended."""

    ledger: FakeGroups
    service: FakeService
    lookup: MemberLookup
    events: list[Event]
    error: StoppedByService | None = None


@pytest.fixture
def look_up(driven):
    def run(
        script, groups, *, harmless: int = 200, meanwhile=None, members="warn", strict=False, timing=None, **sending
    ):
        async def main(loop) -> Lookup:
            ledger = FakeGroups(list(groups))
            service = FakeService(loop, script, harmless)
            settings = Settings(
                job="job",
                sending=Sending(**sending),
                comparing=Comparing(members=members),
                reading=Reading(strict=strict),
            )
            events: list[Event] = []
            lookup = MemberLookup(
                settings,
                ledger=ledger,
                service=service,
                limiter=lambda _kind: RateLimiter(settings.sending.rate),
                timing=timing or Timing(),
                observer=events.append,
                wall=lambda: EPOCH + loop.time(),
                clock=loop.time,
            )
            done = Lookup(ledger, service, lookup, events)
            beside = asyncio.create_task(meanwhile(done)) if meanwhile else None
            try:
                await lookup.run()
            except StoppedByService as error:
                done.error = error
            if beside is not None:
                await beside
            return done

        return driven(main)

    return run


GROUPS = [f"g{n}" for n in range(350)]


def test_each_group_is_asked_about_once_at_the_rate_and_counted_as_what_it_is(look_up):
    done = look_up(lambda _service, group: {"u", group}, GROUPS, rate=50)
    assert done.ledger.looked_up == {group: {"u", group} for group in GROUPS}
    assert sorted(done.service.asked) == sorted(GROUPS)
    starts = done.service.starts
    assert all(later - earlier >= 1 for earlier, later in zip(starts, starts[50:], strict=False))
    assert {second.kind for second in done.ledger.seconds} == {RequestKind.MEMBERS}
    assert sum(second.requests for second in done.ledger.seconds) == len(GROUPS) + 1
    assert (done.lookup.progress().done, done.lookup.unreadable) == (len(GROUPS), [])


@pytest.mark.parametrize(
    ("members", "strict", "rejects"),
    [("warn", False, False), ("warn", True, True), ("reject", False, True), ("reject", True, True)],
)
def test_others_are_rejected_if_that_is_asked_for_or_warnings_are(members, strict, rejects, look_up):
    assert look_up(lambda *_: {"u"}, ["g"], members=members, strict=strict).ledger.rejects is rejects


@pytest.mark.parametrize("answer", [(), 1002, 1005, 20404], ids=["empty", "1002", "1005", "undocumented"])
@pytest.mark.parametrize("groups", [["g"], GROUPS], ids=["one", "many"])
def test_a_group_with_an_error_code_or_without_members_does_not_exist(answer, groups, look_up):
    done = look_up(lambda *_: answer, groups)
    assert done.error is None
    assert done.ledger.looked_up == dict.fromkeys(groups, frozenset())
    assert Counter(done.service.asked) == Counter(groups)


@pytest.mark.parametrize("answer", [1000, 200, Failure.CONNECT], ids=["error", "no list", "no connection"])
def test_a_group_that_cannot_be_looked_up_is_named_and_left_alone(answer, look_up):
    def script(_service, group: str) -> Answer:
        return answer if group in {"g7", "g300"} else {"u"}

    done = look_up(script, GROUPS, attempts=3)
    assert sorted(done.lookup.unreadable) == ["g300", "g7"]
    assert done.ledger.looked_up.keys() == set(GROUPS) - {"g7", "g300"}
    assert done.lookup.progress().done == len(GROUPS)


def test_stray_errors_are_tried_again(look_up):
    def script(service: FakeService, group: str) -> Answer:
        return {"u"} if service.asked.count(group) > 1 else (1000, 1008, Failure.TIMEOUT)[int(group[1:]) % 3]

    done = look_up(script, [f"g{n}" for n in range(9)])
    assert (len(done.ledger.looked_up), done.lookup.unreadable) == (9, [])


@pytest.mark.parametrize(("harmless", "answer", "most"), [(1002, 1002, 5), (1001, 1001, 1), (1004, 1004, 2)])
def test_a_wrong_setting_ends_it_after_a_few_requests(harmless, answer, most, look_up):
    done = look_up(lambda *_: answer, GROUPS, harmless=harmless)
    assert str(harmless) in done.error.problem
    assert len(done.service.starts) <= most
    assert (done.ledger.looked_up, done.ledger.rejects) == ({}, False)


def test_an_app_that_may_not_list_members_ends_it(look_up):
    done = look_up(lambda *_: 1009, GROUPS)
    assert "1009" in done.error.problem
    assert (done.ledger.looked_up, done.lookup.unreadable) == ({}, [])
    assert len(done.service.asked) < 100


def test_an_outage_is_waited_out_and_costs_no_group(look_up):
    def script(service: FakeService, _group: str) -> Answer:
        return Failure.CONNECT if 2 < service.loop.time() < 600 else {"u"}

    done = look_up(script, GROUPS, rate=20)
    assert (len(done.ledger.looked_up), done.lookup.unreadable) == (len(GROUPS), [])
    assert [event.kind.value for event in done.events] == ["outage-began", "outage-ended"]


def test_an_outage_longer_than_the_patience_ends_it(look_up):
    done = look_up(lambda *_: Failure.CONNECT, GROUPS, patience=60)
    assert "has been down" in done.error.problem
    assert done.ledger.looked_up == {}


def test_when_it_is_stopped_no_group_is_asked_about_any_more_and_what_was_found_stays(look_up):
    async def stop(done: Lookup) -> None:
        await asyncio.sleep(2)
        done.lookup.stop()
        done.asked_then = len(done.service.asked)

    done = look_up(lambda *_: {"u"}, GROUPS, meanwhile=stop)
    assert done.lookup.was_stopped
    assert 0 < len(done.ledger.looked_up) == len(done.service.asked) == done.asked_then < len(GROUPS)
    assert done.ledger.rejects is False


def test_without_a_group_the_rows_to_send_are_given_again_at_once(look_up, driven):
    async def main(_loop) -> FakeGroups:
        ledger = FakeGroups([])
        settings = Settings(job="job", comparing=Comparing(members="reject"))
        limiter = RateLimiter(100)
        lookup = MemberLookup(settings, ledger=ledger, service=None, limiter=lambda _kind: limiter, timing=Timing())
        assert lookup.groups == 0
        return ledger

    assert driven(main).rejects is True
