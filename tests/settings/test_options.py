from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from batch_alias.errors import UsageError
from batch_alias.settings.options import Option, Unit, options, validate

COLOUR = Option("Colour of the page.", choices=("red", "blue"))
WAIT = Option("Longest wait.", unit=Unit.SECONDS, least=0.5, most=3600)
LOSS = Option("Most rows lost.", unit=Unit.SHARE, least=0, most=1)
SIZE = Option("Most rows.", "N", least=1)
SEED = Option("Seed of the draws.")
QUIET = Option("Print nothing.")


@dataclass(frozen=True, kw_only=True)
class Page:
    colour: Annotated[str | None, COLOUR] = None
    wait: Annotated[float, WAIT] = 10.0
    loss: Annotated[float, LOSS] = 0.05
    max_size: Annotated[int | None, SIZE] = None
    seed: Annotated[int, SEED] = 0
    quiet: Annotated[bool, QUIET] = False
    folder: Path | None = None


def test_the_fields_with_an_option_are_flags():
    assert [(setting.name, setting.type, setting.default, setting.option) for setting in options(Page)] == [
        ("colour", str, None, COLOUR),
        ("wait", float, 10.0, WAIT),
        ("loss", float, 0.05, LOSS),
        ("max_size", int, None, SIZE),
        ("seed", int, 0, SEED),
        ("quiet", bool, False, QUIET),
    ]


def refused(**given) -> str:
    """How a value is refused; empty if it is taken."""
    try:
        validate(Page(**given))
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, ""),
        ({"colour": "blue"}, ""),
        ({"colour": "green"}, "--colour is 'green'. It may be red, blue."),
        ({"colour": ""}, "--colour is ''. It may be red, blue."),
        ({"wait": 0.4}, "--wait is 0.4s. It may be 0.5s to 1h."),
        ({"wait": 0.5}, ""),
        ({"wait": 3600}, ""),
        ({"wait": 7200}, "--wait is 2h. It may be 0.5s to 1h."),
        ({"wait": float("nan")}, "--wait is nan. It may be 0.5s to 1h."),
        ({"wait": float("inf")}, "--wait is inf. It may be 0.5s to 1h."),
        ({"loss": 0.0}, ""),
        ({"loss": 1.0}, ""),
        ({"loss": 1.5}, "--loss is 150%. It may be 0% to 100%."),
        ({"loss": float("nan")}, "--loss is nan. It may be 0% to 100%."),
        ({"max_size": 0}, "--max-size is 0. It may be 1 or more."),
        ({"max_size": 1}, ""),
        ({"max_size": 10**400}, ""),
        ({"seed": -1}, ""),
        ({"quiet": True}, ""),
    ],
)
def test_a_value_that_is_not_permitted_is_refused_as_it_would_be_typed(given, message):
    assert refused(**given) == message
