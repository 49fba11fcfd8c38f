"""Settings as flags: click options are generated from the fields of settings classes, and filled back into them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, get_args

import click
import cloup
from click.core import ParameterSource

from batch_alias.settings.options import Setting, Unit, as_typed, flag, options
from batch_alias.settings.target import Secret, Target

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])
Given = Mapping[str, object]
"""Values of flags, from the command line or the environment, by field."""
PATH = click.Path(path_type=Path)


class Share(click.ParamType[float]):
    """A share of something: ``5%`` or ``0.05``."""

    name = "share"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share as a number, 1 for all."""
        if isinstance(value, float):
            return value
        text = value.strip()
        try:
            return float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"{value!r} is not a share; write 5% or 0.05.", param, ctx)


class Duration(click.ParamType[float]):
    """A time span: ``90``, ``90s``, ``30m``, ``2h``."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The time span in seconds."""
        if isinstance(value, float):
            return value
        text = value.strip()
        factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
        try:
            return float(text[:-1]) * factor if factor else float(text)
        except ValueError:
            self.fail(f"{value!r} is not a time; write 90s, 30m or 2h.", param, ctx)


def flags(title: str, settings: type, *names: str) -> Callable[[F], F]:
    """A decorator that adds the flags of a settings class, or the named ones, as a group of options."""
    chosen = (setting for setting in options(settings) if not names or setting.name in names)
    return cloup.option_group(title, *map(_flag, chosen))


def _flag(setting: Setting) -> Callable[[F], F]:
    option, default = setting.option, setting.default
    names = [flag(setting.name), *filter(None, [option.short]), setting.name]
    variables = [*filter(None, [option.variable]), f"BATCH_ALIAS_{setting.name.upper()}"]
    if setting.type is bool:
        return cloup.option(*names, is_flag=True, envvar=variables, help=option.help)
    return cloup.option(
        *names,
        type=_type(setting),
        multiple=Ellipsis in get_args(setting.type),
        default=as_typed(default, option.unit) if isinstance(default, int | float) else default,
        show_default=isinstance(default, int | float | str),
        metavar=option.metavar,
        envvar=variables,
        help=option.help,
        shell_complete=_completion(option.offered),
    )


def _completion(offered: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], list[str]] | None:
    """How a shell completes a value of which some are offered; without them click does it by its type."""
    if not offered:
        return None

    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        return [value for value in offered if value.startswith(begun)]

    return complete


def _type(setting: Setting) -> Callable[[str], object]:
    if setting.option.choices:
        return click.Choice([str(choice) for choice in setting.option.choices])  # click offers the names of an enum
    if setting.option.unit is not None:
        return {Unit.SHARE: Share(), Unit.SECONDS: Duration()}[setting.option.unit]
    if parts := get_args(setting.type):
        return str if Ellipsis in parts else click.Tuple(parts)
    return PATH if setting.type is Path else setting.type


def fill(settings: type[T], given: Given, **more: object) -> T:
    """Make a value of a settings class from its flags, and from more of its fields."""
    names = {setting.name for setting in options(settings)}
    return settings(**{name: value for name, value in given.items() if name in names}, **more)


def fill_target(
    given: Given, environment: Mapping[str, str], recall: Callable[[], Mapping[str, object]] = dict
) -> Target:
    """The target, with the credentials of the environment. What was typed wins over what the environment says.

    Where neither names a target, ``recall`` gives its fields.

    Raises:
        UsageError: It is missing or not clear.
    """
    source = click.get_current_context().get_parameter_source
    targets = {name for name in ("sandbox", "region", "url") if given.get(name)}
    typed = {name for name in targets if source(name) is ParameterSource.COMMANDLINE}
    ignored = dict.fromkeys(targets - typed) if typed else {}
    recalled = {} if targets else {name: value for name, value in recall().items() if not given.get(name)}
    return fill(
        Target,
        {**given, **ignored, **recalled},
        app_key=environment.get("RONGCLOUD_APP_KEY", ""),
        app_secret=Secret(environment.get("RONGCLOUD_APP_SECRET", "")),
    )
