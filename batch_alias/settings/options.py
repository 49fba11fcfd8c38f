"""How a setting is a flag: everything the command line needs to know of it, stated on the field it fills."""

from dataclasses import dataclass
from enum import StrEnum
from typing import get_type_hints

from batch_alias.errors import UsageError
from batch_alias.text import duration, percent


class Unit(StrEnum):
    """What a number stands for, which decides how a person writes it."""

    SHARE = "share"
    """``5%`` or ``0.05``, from 0 to 1."""
    SECONDS = "seconds"
    """``90``, ``90s``, ``30m`` or ``2h``."""


@dataclass(frozen=True, slots=True)
class Option:
    """How a setting is given on the command line: ``max_rejected`` by ``--max-rejected`` or BATCH_ALIAS_MAX_REJECTED.

    Attributes:
        help: What it does, in a sentence.
        metavar: What stands for its value in the help.
        unit: What a number stands for.
        least: The smallest number that is permitted.
        most: The greatest number that is permitted.
        choices: The texts that are permitted.
        variable: An environment variable besides the usual one.
        short: A short flag, such as ``-v``.
    """

    help: str
    metavar: str | None = None
    unit: Unit | None = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    variable: str | None = None
    short: str | None = None


def options(settings: type) -> dict[str, tuple[type, Option]]:
    """The fields of a settings class that are flags, with their types."""
    hints = get_type_hints(settings, include_extras=True)
    return {
        name: (hint.__origin__, hint.__metadata__[0]) for name, hint in hints.items() if hasattr(hint, "__metadata__")
    }


def validate(settings: object) -> None:
    """Check every number of a settings value against its range.

    Raises:
        UsageError: One is outside of it.
    """
    for name, (_, option) in options(type(settings)).items():
        value = getattr(settings, name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        least, most = option.least, option.most
        if (least is None or value >= least) and (most is None or value <= most):
            continue
        show = {Unit.SHARE: percent, Unit.SECONDS: duration, None: "{:,}".format}[option.unit]
        allowed = f"{show(least or 0)} or more" if most is None else f"{show(least or 0)} to {show(most)}"
        flag = f"--{name.replace('_', '-')}"
        raise UsageError("{flag} is {value}.", "It may be {allowed}.", flag=flag, value=show(value), allowed=allowed)
