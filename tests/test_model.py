from string import Formatter

import pytest

from batch_alias.model import (
    EVENT_SENTENCES,
    Action,
    Call,
    Classification,
    Event,
    EventKind,
    Failure,
    Operation,
    Response,
    Row,
    Second,
    State,
    StateCounts,
)

ACCEPT = Classification(action=Action.ACCEPT, meaning="accepted")


def test_a_row_is_sent_as_setting_its_alias_or_clearing_it():
    row, empty = (Row(number=7, user_id="u", group_id="g", remark=remark) for remark in ("r", ""))
    assert row.write == Operation(call=Call.SET, user_id="u", group_id="g", remark="r")
    assert empty.write == Operation(call=Call.CLEAR, user_id="u", group_id="g")
    assert row.read == empty.read == Operation(call=Call.READ, user_id="u", group_id="g")


@pytest.mark.parametrize(
    ("response", "label"),
    [
        ({"status": 200, "code": 200}, "200"),
        ({"status": 429, "code": 1008}, "1008"),
        ({"status": 502}, "HTTP 502"),
        *(({"failure": failure}, failure.value) for failure in Failure),
    ],
)
def test_a_response_is_labelled_by_its_code_its_status_or_its_failure(response, label):
    assert Response(request_id="r", host="h", latency=0.1, classification=ACCEPT, **response).label == label


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        (EventKind.OUTAGE_BEGAN, {"detail": "{HTTP 503}"}, "The service does not work ({HTTP 503})."),
        (EventKind.OUTAGE_ENDED, {}, "The service works again"),
        (
            EventKind.RATE_LOWERED,
            {"signals": 9, "responses": 20, "rate": 40.0},
            "lowered to 40 requests per second.",
        ),
        (EventKind.ASKED_TO_WAIT, {"seconds": 7.0}, "asks to wait 7 s."),
        (EventKind.HOST_SWITCHED, {"host": "b.example"}, "All connections move to b.example."),
        (EventKind.WAITING, {"job": "/srv/a.aliases", "pid": 4711}, "The job /srv/a.aliases is sending"),
        (EventKind.NOT_LOCKED, {"reason": "Read-only"}, "Nothing can be locked (Read-only):"),
        (EventKind.DATABASE_AWAY, {}, "The database does not answer in time;"),
    ],
)
def test_an_event_has_a_sentence_with_its_values(kind, values, text):
    assert text in Event(at=1.5, kind=kind, values=values).text
    assert {name for _, name, *_ in Formatter().parse(EVENT_SENTENCES[kind]) if name} == set(values)


def test_every_kind_of_event_has_a_sentence():
    assert set(EVENT_SENTENCES) == set(EventKind)


def test_seconds_are_counted_separately():
    one, other = Second(at=1), Second(at=2)
    one.codes["200"] += 1
    one.settled[State.ACCEPTED] += 1
    one.latencies[80] += 1
    assert other == Second(at=2)


def test_every_state_is_counted():
    counts = StateCounts(**{state.value: 2**number for number, state in enumerate(State)})
    assert counts.rows == 2 ** len(State) - 1
    assert counts.unfinished == counts.pending + counts.unknown


@pytest.mark.parametrize(
    ("counts", "all_done"),
    [
        ({}, True),
        ({"accepted": 3, "superseded": 1, "unchanged": 1}, True),
        *(
            ({"accepted": 3, state.value: 1}, False)
            for state in State
            if state not in ("accepted", "superseded", "unchanged")
        ),
    ],
)
def test_all_is_done_when_every_row_is_accepted_unchanged_or_superseded(counts, all_done):
    assert StateCounts(**counts).all_done is all_done


@pytest.mark.parametrize(
    ("rejected", "rows", "share", "too_many"),
    [
        (0, 100, 0.0, False),
        (1, 100, 0.0, True),
        (5, 100, 0.05, False),
        (6, 100, 0.05, True),
        (99, 100, 1.0, False),
        (100, 100, 1.0, True),
    ],
)
def test_rejections_are_too_many_above_a_share_or_when_nothing_is_left(rejected, rows, share, too_many):
    counts = StateCounts(rejected=rejected, pending=rows - rejected)
    assert counts.too_many_rejected(share) is too_many
    with_notes = StateCounts(rejected=rejected + 7, pending=rows - rejected)
    assert with_notes.too_many_rejected(share, notes=7) is too_many
