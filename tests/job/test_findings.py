"""Errors that end a job before anything is sent, and what of a run is stored so that any language can show it."""

from dataclasses import replace

import pytest

from batch_alias.errors import ExitCode, SourceError
from batch_alias.model import State
from batch_alias.settings.target import Secret
from batch_alias.text import Message
from tests.catalogue import messages
from tests.support.faults import Script, coded


@pytest.mark.parametrize("most", [0.05, 1.0])
def test_when_every_row_is_rejected_no_share_is_named(most, run, sandbox, settings_for, write_csv):
    with pytest.raises(SourceError) as refused:
        run(settings_for(write_csv([("", "g", "n")] * 3), sandbox(), max_rejected=most))
    shown = "Every row is rejected; nothing was sent. Most frequent, 3 × empty-user-id: row 2: "
    assert refused.value.problem.startswith(shown)
    assert "max-rejected" not in str(refused.value)


def test_when_too_many_rows_are_rejected_both_numbers_are_named(run, sandbox, settings_for, write_csv):
    rows = [("", "g", "n"), *((f"u{n}", "g", "n") for n in range(9))]
    with pytest.raises(SourceError, match=r"^1 of 10 rows rejected, more than --max-rejected 5% "):
        run(settings_for(write_csv(rows), sandbox()))


def templates(text: str) -> list[str]:
    """The templates of a stored text and of the messages in it, the outer one first."""
    assert isinstance(text, Message)
    inner = [template for value in text.values.values() if isinstance(value, Message) for template in templates(value)]
    return [text.template, *inner]


def test_why_a_run_stopped_is_stored_with_its_values(run, sandbox, settings_for, write_csv, ledger_of):
    settings = settings_for(write_csv(9), sandbox())
    settings = replace(settings, target=replace(settings.target, app_secret=Secret("not-the-secret")))
    assert run(settings).exit_code == ExitCode.STOPPED
    with ledger_of(settings) as ledger:
        found = templates(ledger.runs()[-1].stopped)
    assert found[:2] == ["{problem} {advice}", "{host} refuses the run: code {code}, {meaning}."]
    assert "signature refused" in found
    assert set(found) <= {message for _, message in messages()}


def test_why_a_row_ended_is_stored_with_its_values(run, sandbox, settings_for, write_csv, ledger_of):
    faults = Script(lambda number: coded(1005) if number == 4 else None)
    settings = settings_for(write_csv(9), sandbox(faults))
    assert run(settings).exit_code == ExitCode.NOT_ALL_ACCEPTED
    with ledger_of(settings) as ledger:
        [failed] = ledger.rows(State.FAILED)
        accepted = next(ledger.rows(State.ACCEPTED))
    assert templates(failed.message) == ["{meaning}: {message}", "parameter too long"]
    assert templates(accepted.message) == ["accepted"]
