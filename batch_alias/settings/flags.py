"""Settings as flags: click options are generated from the fields of settings classes, and filled back into them."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
import cloup
from click.core import ParameterSource

from batch_alias.errors import UsageError
from batch_alias.settings import Comparing, Reading, Sending, Settings
from batch_alias.settings.options import Option, Setting, Unit, as_typed, check, flag, options, read_number, variables
from batch_alias.settings.target import Secret, Target
from batch_alias.text import LANGUAGES, N_, count, enumeration, listing

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])
Given = Mapping[str, object]
"""Values of flags, from the command line or the environment, by field."""
PATH = click.Path(path_type=Path)


class Number(click.ParamType[Any]):
    """A number as it is typed for a setting."""

    def __init__(self, setting: Setting, kind: Callable[[str], object]) -> None:
        self._setting, self._kind = setting, kind
        names = {Unit.SHARE: "share", Unit.SECONDS: "time"}
        self.name = names[setting.option.unit] if setting.option.unit else "integer" if kind is int else "float"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:  # noqa: ARG002 - click's
        """The number. Raises ``UsageError`` if it is none, or out of its range."""
        return read_number(value, self._setting, self._kind) if isinstance(value, str) else value


class Choice(click.Choice[str]):
    """One of some words. Others are refused by the settings that it fills, as its variable may have to be ignored."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's
        """The word as it is."""
        return value


def flags(title: str, settings: type, *names: str) -> Callable[[F], F]:
    """A decorator that adds the flags of a settings class, or the named ones, as a group of options."""
    chosen = (setting for setting in options(settings) if not names or setting.name in names)
    return cloup.option_group(title, *map(flag_of, chosen))


def flag_of(setting: Setting, **more: Any) -> Callable[[F], F]:  # noqa: ANN401 - what click takes
    """A decorator that adds the flag of a setting; ``more`` is for ``cloup.option``."""
    option, default = setting.option, setting.default
    names = [flag(setting.name), *filter(None, [option.short]), setting.name]
    if setting.type is bool:
        return cloup.option(*names, is_flag=True, envvar=variables(setting), help=option.help)
    return cloup.option(
        *names,
        type=_type(setting),
        multiple=Ellipsis in get_args(setting.type),
        default=as_typed(default, option.unit) if isinstance(default, int | float) else default,
        show_default=isinstance(default, int | float | str),
        metavar=option.metavar,
        envvar=variables(setting),
        help=option.help,
        # Where no values are offered click completes them by their type.
        shell_complete=partial(_complete, option.offered) if option.offered else None,
        **more,
    )


def _complete(offered: tuple[str, ...], _context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    return [value for value in offered if value.startswith(begun)]


def _type(setting: Setting) -> Callable[[str], object]:
    if setting.option.choices:
        return Choice([str(choice) for choice in setting.option.choices])  # click offers the names of an enum
    if parts := get_args(setting.type):
        return str if Ellipsis in parts else click.Tuple([Number(setting, part) for part in parts])
    if setting.type in {int, float}:
        return Number(setting, setting.type)
    return PATH if setting.type is Path else setting.type


def language(function: F) -> F:
    """A decorator that adds --lang, which holds before the command line is parsed."""
    option = Option("Language of messages and reports.  [default: that of LC_ALL or LANG]", choices=LANGUAGES)
    setting = Setting("lang", str, None, option)
    checked = flag_of(setting, expose_value=False, callback=lambda _context, _option, value: check(setting, value))
    return checked(function)


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
    if len(targets) > 1 and not typed:
        names = [next(filter(environment.get, variables(each))) for each in options(Target) if each.name in targets]
        problem = N_("The environment names more than one target: {variables} are set.")
        advice = N_("Unset all but one of them, or pass --region, --url or --sandbox, which count more.")
        raise UsageError(problem, advice, variables=enumeration(names))
    ignored = dict.fromkeys(targets - typed) if typed else {}
    recalled = {} if targets else {name: value for name, value in recall().items() if not given.get(name)}
    return fill(
        Target,
        {**given, **ignored, **recalled},
        app_key=environment.get("RONGCLOUD_APP_KEY", ""),
        app_secret=Secret(environment.get("RONGCLOUD_APP_SECRET", "")),
    )


def fill_settings(
    given: Given, environment: Mapping[str, str], *, recall: Callable[[], Given] = dict, **more: object
) -> Settings:
    """The settings of a job that is sent or read. Arguments and errors are those of ``fill_target``."""
    parts = {
        "reading": fill(Reading, given),
        "sending": fill(Sending, given),
        "comparing": fill(Comparing, given),
        "target": fill_target(given, environment, recall),
    }
    return fill(Settings, given, **parts, **more)


class Command(cloup.Command):
    """A command of which every error of usage knows its command, also those that click raises without."""

    allow_extra_args = True  # they are refused here

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises ``UsageError`` or click's errors."""
        try:
            rest = super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = ctx
            raise
        if rest and not ctx.resilient_parsing:
            problem = N_("{arguments} is more than {command} takes.")
            arguments = listing(rest)
            raise UsageError(problem, _SEE, arguments=arguments, command=ctx.command_path)
        return rest


_SEE = N_("See {command} --help.")
_APP_KEY = (N_("There is no flag for the App Key."), N_("Set RONGCLOUD_APP_KEY."))
_APP_SECRET = (
    N_("There is no flag for the App Secret: others could read it in the list of processes."),
    N_("Set RONGCLOUD_APP_SECRET."),
)
_DRY_RUN = (
    N_("There is no option {name}."),
    N_("batch-alias check shows what would be sent; batch-alias plan shows which aliases would change."),
)
_FOREIGN_OPTIONS = {
    **dict.fromkeys(("--key", "--app-key"), _APP_KEY),
    **dict.fromkeys(("--secret", "--app-secret"), _APP_SECRET),
    **dict.fromkeys(("--dry-run", "-n"), _DRY_RUN),
}
"""The problem and the advice for options that other programs have."""


def as_usage_error(error: click.ClickException) -> UsageError:
    """An error of click in the style and the language of every other one."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    near: list[str] | None = None
    values: str = ""
    advice = _SEE
    match error:
        case click.NoSuchOption(option_name=name, possibilities=near):
            problem = N_("There is no option {name}.")
        case click.NoSuchCommand(command_name=name, possibilities=near):
            problem = N_("There is no command {name}.")
        case click.MissingParameter(param=click.Parameter(human_readable_name=name)):
            problem = N_("{name} is missing.")
        case click.BadOptionUsage(option_name=name) if context is not None:
            option = next(each for each in context.command.params if name in each.opts)
            is_flag = isinstance(option, click.Option) and option.is_flag
            problem = N_("{name} takes no value.") if is_flag else N_("{name} needs {values}.")
            values = count(option.nargs, "value")
        case click.BadParameter(param=click.Option(is_flag=True, envvar=[*_, name])):
            problem, advice = N_("{name} is neither yes nor no."), N_("Set it to 1 or 0.")
        case click.BadParameter(param=click.Argument(type=click.Choice(choices=choices), human_readable_name=name)):
            problem, values = N_("{name} may be {values}."), enumeration(choices)
        case click.UsageError(ctx=click.Context(command=click.Group())):
            problem, name = N_("The command is missing."), ""
        case _:
            problem, name = "{name}", error.format_message()
    if near:
        advice = N_("Did you mean {near}? See {command} --help.")
    problem, advice = _FOREIGN_OPTIONS.get(name, (problem, advice))
    command = context.command_path if context is not None else "batch-alias"
    return UsageError(problem, advice, name=name, near=near[0] if near else "", values=values, command=command)
