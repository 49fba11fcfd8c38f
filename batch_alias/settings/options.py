"""How a setting becomes a flag: all that the command line needs to know is stated on the field that it fills."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, get_args, get_origin, get_type_hints

from batch_alias.errors import UsageError
from batch_alias.text import N_, enumeration, percent, quoted


class Unit(StrEnum):
    """What a number stands for, which decides how it is written."""

    SHARE = "share"
    """``5%`` or ``0.05``, from 0 to 1."""
    SECONDS = "seconds"
    """``90``, ``90s``, ``30m``, ``2h`` or ``1d``."""


_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_FORMS = {Unit.SHARE: N_("Write it as 5% or 0.05."), Unit.SECONDS: N_("Write it as 90s, 30m, 2h or 1d.")}


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


def variables(setting: Setting) -> list[str]:
    """The environment variables of a setting; the first one that is set counts."""
    return [*filter(None, [setting.option.variable]), f"BATCH_ALIAS_{setting.name.upper()}"]


def as_typed(value: object, unit: Unit | None) -> str:
    """A value as it is typed for its flag."""
    if unit is None or not isinstance(value, int | float) or not math.isfinite(value):
        return str(value)
    if unit is Unit.SHARE:
        return percent(value)
    letter = next((letter for letter, seconds in _SECONDS.items() if value and value % seconds == 0), "s")
    return f"{value / _SECONDS[letter]:g}{letter}"


def read_number(text: str, setting: Setting, kind: Callable[[str], object]) -> object:
    """The number that was typed for a setting: a share, seconds, or what a type makes of it.

    Raises:
        UsageError: It is not a number, or is not permitted.
    """
    plain, unit = text.strip(), setting.option.unit
    try:
        if unit is Unit.SHARE and plain.endswith("%"):
            value: object = float(plain[:-1]) / 100
        elif unit is Unit.SECONDS and plain[-1:] in _SECONDS:
            value = float(plain[:-1]) * _SECONDS[plain[-1]]
        else:
            value = kind(plain)
    except ValueError:
        advice = N_("It must be a number.") if unit is None else _FORMS[unit]
        raise UsageError("{flag} is {value}.", advice, flag=flag(setting.name), value=quoted(text)) from None
    check(setting, value)
    return value


def validate(settings: object) -> None:
    """Check the values of a settings object. Raises ``UsageError`` if one is not permitted by its option."""
    for setting in options(type(settings)):
        check(setting, getattr(settings, setting.name))


def check(setting: Setting, value: object) -> None:
    """Check one value of a setting, as ``validate`` does."""
    option = setting.option
    if isinstance(value, str) and option.choices and value not in option.choices:
        shown, advice = quoted(value), N_("It may be {choices}.")
    elif isinstance(value, int | float) and not (option.least <= value <= option.most and value < math.inf):
        shown = as_typed(value, option.unit)
        advice = N_("It may be {least} or more.") if option.most == math.inf else N_("It may be {least} to {most}.")
    else:
        return
    least, most = (as_typed(number, option.unit) for number in (option.least, option.most))
    values = {"choices": enumeration(option.choices), "least": least, "most": most}
    raise UsageError("{flag} is {value}.", advice, flag=flag(setting.name), value=shown, **values)
