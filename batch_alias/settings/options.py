"""How a setting is a flag: everything the command line needs to know of it, stated on the field it fills."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, get_args, get_origin, get_type_hints

from batch_alias.errors import UsageError
from batch_alias.text import percent


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


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a settings class that is a flag.

    Attributes:
        name: The field's name.
        type: The type of its values, without ``None``.
        default: Its default value.
        option: How it is given.
    """

    name: str
    type: Callable[[str], object]
    default: object
    option: Option


def options(settings: type) -> list[Setting]:
    """The fields of a settings class that are flags."""
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


def as_typed(value: object, unit: Unit | None) -> str:
    """A value as it is typed for its flag."""
    if unit is None or not isinstance(value, int | float):
        return str(value)
    if unit is Unit.SHARE:
        return percent(value)
    for seconds, letter in ((3600, "h"), (60, "m")):
        if value and value % seconds == 0:
            return f"{value / seconds:g}{letter}"
    return f"{value:g}s"


def validate(settings: object) -> None:
    """Check every number of a settings value against its range.

    Raises:
        UsageError: One is outside of it.
    """
    for setting in options(type(settings)):
        value, option = getattr(settings, setting.name), setting.option
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        least, most = option.least, option.most
        if (least is None or value >= least) and (most is None or value <= most):
            continue
        ends = [as_typed(end, option.unit) for end in (least, most) if end is not None]
        raise UsageError(
            "{flag} is {value}.",
            "It may be {allowed}." if len(ends) == 2 else "It may be {allowed} or more.",
            flag=f"--{setting.name.replace('_', '-')}",
            value=as_typed(value, option.unit),
            allowed=" to ".join(ends),
        )
