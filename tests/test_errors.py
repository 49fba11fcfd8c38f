from pathlib import Path

import pytest

from batch_alias import errors
from batch_alias.errors import BatchAliasError, ExitCode, LedgerError, UsageError, reason

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__base__ is BatchAliasError]


def test_an_error_is_its_problem_and_its_advice():
    error = UsageError("--rate is {rate}.", "Use {least} to {most:,}.", rate=0, least=1, most=10_000)
    assert (error.problem, error.advice) == ("--rate is 0.", "Use 1 to 10,000.")
    assert str(error) == "--rate is 0. Use 1 to 10,000."
    assert str(LedgerError("The disk is full.")) == "The disk is full."


def test_values_are_not_formatted_again():
    assert str(UsageError("{path} is a folder.", path="{a}/{0}")) == "{a}/{0} is a folder."
    assert str(UsageError("A sentence with {braces}.")) == "A sentence with {braces}."


def test_names_are_shown_on_one_line_with_what_is_invisible():
    assert str(UsageError("{path} is a folder.", path=Path("u\u200b1\n"))) == "u⟨U+200B⟩1␊ is a folder."
    assert str(UsageError("It is {name}.", name="\x1b[31m")) == "It is ␛[31m."


def test_a_reason_of_the_operating_system_is_its_sentence():
    assert reason(FileNotFoundError(2, "No such file or directory", "x.csv")) == "No such file or directory"
    assert reason(OSError("no number")) == "no number"


def test_the_parts_of_an_error_are_kept_for_translation():
    error = UsageError("There is no region {name!r}.", "Use another one.", name="mars")
    assert error.args == ("There is no region {name!r}.", "Use another one.", {"name": "mars"})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_error_has_an_exit_code_of_its_own(kind):
    assert kind("A problem.").exit_code in ExitCode
    assert [other for other in KINDS if other.exit_code == kind.exit_code] == [kind]
