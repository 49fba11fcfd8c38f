import inspect
import re
from string import Formatter

import pytest

from batch_alias import problems
from batch_alias.problems import ACCEPTABLE, PROBLEMS, REJECTIONS, WARNINGS, advice, found

VALUES = {
    "column": "'userId'",
    "value": "'{u1}'",
    "number": 2,
    "size": 65,
    "length": 65,
    "reason": "it is a list",
    "type": "int64",
}
"""What a sentence may name."""


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, *_ in Formatter().parse(sentence) if name}


def test_every_problem_has_a_name_of_its_own():
    entries = re.findall(r"^    (?:Problem|_damaged_id)\(", inspect.getsource(problems), re.MULTILINE)
    assert len(PROBLEMS) == len(REJECTIONS) + len(WARNINGS) == len(entries)
    assert all(re.fullmatch(r"[a-z]+(-([a-z]+|\d+))+", name) for name in PROBLEMS)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_a_sentence_with_known_placeholders(name):
    problem = PROBLEMS[name]
    assert re.fullmatch(r"[A-Z{].*\.", problem.sentence)
    assert placeholders(problem.sentence) <= set(VALUES)
    assert set(problem.fields) <= {"user_id", "group_id", "remark"}
    assert (problem.test is None) == (not problem.fields)


@pytest.mark.parametrize("name", REJECTIONS)
def test_every_rejection_has_advice(name):
    assert re.fullmatch(r"[A-Z].*\.", advice(name))
    assert not placeholders(advice(name))
    is_proposed = name in ACCEPTABLE and not REJECTIONS[name].is_damage
    assert ("--accept" in advice(name)) == is_proposed
    assert "--accept" not in advice(name, is_lost=True)


def test_the_sentence_of_an_empty_alias_names_the_flag_that_clears_it():
    message = "Column 'alias' is empty; with --empty clear the alias is cleared."
    assert found("empty-remark", column="'alias'").message == message


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_stands_for_all_its_rows(name):
    assert not placeholders(WARNINGS[name].sentence)
    assert advice(name) == ""


def test_a_problem_that_was_found_has_its_sentence_filled_in():
    problem = found("not-text", column="'userId'", value="'{u1}'", type="int64", final=True)
    assert (problem.name, problem.final) == ("not-text", True)
    assert problem.message == "Column 'userId' holds '{u1}' of type int64."
    assert not found("surrogate-character").final


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_sentence_can_be_filled_in(name):
    message = found(name, **VALUES).message
    assert "{" not in message.replace(VALUES["value"], "")


def test_an_unknown_name_has_no_advice():
    assert advice("of-a-later-version") == ""
