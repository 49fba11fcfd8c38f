"""How a setting becomes a flag: all that the command line needs to know is stated on the field that it fills."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, get_args, get_origin, get_type_hints

from batch_alias.errors import UsageError
from batch_alias.text import percent


class Unit(StrEnum):
    """What a number stands for, which decides how it is written."""

    SHARE = "share"
    """``5%`` or ``0.05``, from 0 to 1."""
    SECONDS = "seconds"
    """``90``, ``90s``, ``30m`` or ``2h``."""


@dataclass(frozen=True, slots=True)
class Option:
    """How a setting is given: ``max_rejected`` by ``--max-rejected`` or BATCH_ALIAS_MAX_REJECTED."""

    help: str
    metavar: str | None = None  # stands for its value in the help
    unit: Unit | None = None  # what a number stands for
    least: float = -math.inf
    most: float = math.inf
    choices: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()  # what a shell offers of the values, where others are permitted too
    variable: str | None = None  # an environment variable that wins over the usual one
    short: str | None = None  # a short flag, such as -v


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a settings class that is a flag; its type is that of its values, without ``None``."""

    name: str
    type: Callable[[str], object]
    default: object
    option: Option


def options(settings: type) -> list[Setting]:
    """The fields of a settings class that are flags, in their order."""
    hints = get_type_hints(settings, include_extras=True)
    defaults = {field.name: field.default for field in fields(settings)}
    found = []
    for name, hint in hints.items():
        if get_origin(hint) is not Annotated:
            continue
        annotated, option = get_args(hint)
        (value_type,) = set(get_args(annotated)) - {NoneType} if isinstance(annotated, UnionType) else (annotated,)
        found.append(Setting(name, value_type, defaults[name], option))
    return found


def flag(name: str) -> str:
    """The flag of a setting: ``--max-rejected``."""
    return f"--{name.replace('_', '-')}"


def as_typed(value: object, unit: Unit | None) -> str:
    """A value as it is typed for its flag."""
    if unit is None or not isinstance(value, int | float) or not math.isfinite(value):
        return str(value)
    if unit is Unit.SHARE:
        return percent(value)
    for seconds, letter in ((3600, "h"), (60, "m")):
        if value and value % seconds == 0:
            return f"{value / seconds:g}{letter}"
    return f"{value:g}s"


def validate(settings: object) -> None:
    """Check the values of a settings object against the ranges and choices of its options.

    Raises:
        UsageError: A value is not permitted.
    """
    for setting in options(type(settings)):
        value, option = getattr(settings, setting.name), setting.option
        if isinstance(value, str) and option.choices and value not in option.choices:
            shown, permitted = repr(value), ", ".join(option.choices)
        elif isinstance(value, int | float) and not (option.least <= value <= option.most and value < math.inf):
            shown, least, most = (as_typed(number, option.unit) for number in (value, option.least, option.most))
            permitted = f"{least} or more" if option.most == math.inf else f"{least} to {most}"
        else:
            continue
        raise UsageError(
            "{flag} is {value}.", "It may be {permitted}.", flag=flag(setting.name), value=shown, permitted=permitted
        )
