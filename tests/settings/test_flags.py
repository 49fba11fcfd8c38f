from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import click
import cloup
import pytest
from click.testing import CliRunner, Result

from batch_alias.errors import UsageError
from batch_alias.settings import Output, Reading, Sending
from batch_alias.settings.flags import Command, as_usage_error, fill, fill_target, flags
from batch_alias.settings.options import Option, Unit, validate
from batch_alias.settings.target import REGIONS, Target


@dataclass(frozen=True, kw_only=True)
class Page:
    """One setting of each kind."""

    max_size: Annotated[int, Option("Most rows.", "ROWS", least=1)] = 7
    wait: Annotated[float, Option("Longest wait.", unit=Unit.SECONDS, least=0, most=604_800)] = 5400.0
    pause: Annotated[float, Option("Pause.", unit=Unit.SECONDS)] = 0.5
    loss: Annotated[float, Option("Most rows lost.", unit=Unit.SHARE)] = 0.125
    colour: Annotated[str | None, Option("Colour.", choices=("red", "blue"), variable="COLOUR")] = None
    quiet: Annotated[bool, Option("Print nothing.", short="-q")] = False
    folder: Annotated[Path | None, Option("Folder.", "DIR")] = None
    words: Annotated[tuple[str, ...], Option("A word; may be repeated.", "WORD")] = ()
    span: Annotated[tuple[float, float] | None, Option("Part of it.", "FROM TO")] = None
    more: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        validate(self)


PAGE_FLAGS = flags("Page", Page)


@pytest.fixture
def parse() -> Callable[..., dict[str, object]]:
    """The values of a command's flags for some arguments and an environment."""

    def run(*arguments: str, decorator: Callable = PAGE_FLAGS, **environment: str) -> dict[str, object]:
        found: dict[str, object] = {}
        command = cloup.command()(decorator(lambda **given: found.update(given)))
        result = _invoke(command, arguments, environment)
        assert result.exit_code == 0, result.output
        return found

    return run


@pytest.fixture
def refuse(monkeypatch) -> Callable[..., str]:
    """How wrong arguments or a wrong environment are refused."""

    def run(*arguments: str, **environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        command = cloup.command("page", cls=Command)(PAGE_FLAGS(lambda **given: fill(Page, given)))
        with pytest.raises((UsageError, click.UsageError)) as raised:
            command.main(list(arguments), prog_name="page", standalone_mode=False)
        return str(raised.value if isinstance(raised.value, UsageError) else as_usage_error(raised.value))

    return run


def _invoke(command: click.Command, arguments: tuple[str, ...], environment: dict[str, str]) -> Result:
    return CliRunner().invoke(command, list(arguments), env=environment, catch_exceptions=False)


@pytest.mark.parametrize("settings", [Page, Reading, Sending, Output])
def test_without_flags_the_settings_have_their_defaults(settings, parse):
    assert fill(settings, parse(decorator=flags("Settings", settings))) == settings()


def test_every_kind_of_flag_fills_its_field(parse):
    arguments = "--max-size 9 --wait 2h --pause 90s --loss 20% --colour red --quiet --folder jobs/1"
    given = parse(*arguments.split(), "--words", "one", "--words", "and two", "--span", "1", "2.5")
    assert fill(Page, given, more=["more"]) == Page(
        max_size=9,
        wait=7200.0,
        pause=90.0,
        loss=0.2,
        colour="red",
        quiet=True,
        folder=Path("jobs/1"),
        words=("one", "and two"),
        span=(1.0, 2.5),
        more=["more"],
    )
    assert parse("-q")["quiet"] is True


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("BATCH_ALIAS_MAX_SIZE", "9", "max_size", 9),
        ("BATCH_ALIAS_WAIT", "2h", "wait", 7200.0),
        ("BATCH_ALIAS_LOSS", "20%", "loss", 0.2),
        ("BATCH_ALIAS_COLOUR", "red", "colour", "red"),
        ("COLOUR", "blue", "colour", "blue"),
        ("BATCH_ALIAS_QUIET", "1", "quiet", True),
        ("BATCH_ALIAS_QUIET", "no", "quiet", False),
        ("BATCH_ALIAS_FOLDER", "jobs/1", "folder", Path("jobs/1")),
        ("BATCH_ALIAS_WORDS", "one two", "words", ("one", "two")),
    ],
)
def test_every_flag_has_a_variable(variable, value, name, expected, parse):
    assert parse(**{variable: value})[name] == expected


def test_a_flag_wins_over_its_own_variable_and_that_over_the_usual_one(parse):
    environment = {"COLOUR": "blue", "BATCH_ALIAS_COLOUR": "red", "BATCH_ALIAS_MAX_SIZE": "9"}
    assert parse(**environment)["colour"] == "blue"
    assert parse("--colour", "red", "--max-size", "8", **environment) == parse("--colour", "red", "--max-size", "8")


def test_an_empty_variable_is_ignored(parse):
    assert parse(BATCH_ALIAS_MAX_SIZE="", COLOUR="", BATCH_ALIAS_QUIET="") == parse()


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("BATCH_ALIAS_MAX_SIZE", "--max-size is 'many'. It must be a number."),
        ("COLOUR", "--colour is 'many'. It may be red, blue."),
        ("BATCH_ALIAS_QUIET", "BATCH_ALIAS_QUIET is neither yes nor no. Set it to 1 or 0."),
    ],
)
def test_a_variable_with_a_wrong_value_is_refused(variable, said, refuse):
    assert refuse(**{variable: "many"}) == said


def test_the_help_shows_each_default_as_it_would_be_typed():
    command = cloup.command()(PAGE_FLAGS(lambda **_given: None))
    lines = [" ".join(line.split()) for line in CliRunner().invoke(command, ["--help"]).output.splitlines()]
    assert lines[2:12] == [
        "Page:",
        "--max-size ROWS Most rows. [default: 7]",
        "--wait TIME Longest wait. [default: 90m]",
        "--pause TIME Pause. [default: 0.5s]",
        "--loss SHARE Most rows lost. [default: 12.5%]",
        "--colour [red|blue] Colour.",
        "-q, --quiet Print nothing.",
        "--folder DIR Folder.",
        "--words WORD A word; may be repeated.",
        "--span FROM TO Part of it.",
    ]


def test_only_the_named_flags_are_made(parse):
    decorator = flags("Page", Page, "wait", "quiet")
    given = parse("--wait", "5", decorator=decorator)
    assert given == {"wait": 5.0, "quiet": False}
    assert fill(Page, {**given, "unrelated": 1}) == Page(wait=5.0)


def test_formats_and_regions_are_chosen_by_their_names(parse):
    for name in ("csv", "excel", "jsonl", "parquet"):
        assert parse("--format", name, decorator=flags("Reading", Reading))["format"] == name
    for name in REGIONS:
        assert parse("--region", name, decorator=flags("Target", Target))["region"] == name
    assert parse(decorator=flags("Target", Target), RONGCLOUD_REGION="singapore")["region"] == "singapore"


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), (" 12.5% ", 0.125), ("0.05", 0.05), ("0", 0), ("1", 1), ("100%", 1)]
)
def test_a_share_is_a_percentage_or_a_number(text, share, parse):
    assert parse("--loss", text)["loss"] == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), (" 2h ", 7200), ("1d", 86_400), ("0", 0), ("0.5", 0.5), ("1.5h", 5400)],
)
def test_a_duration_is_seconds_or_has_a_unit(text, seconds, parse):
    assert parse("--wait", text)["wait"] == seconds


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        *[(("--loss", text), "Write it as 5% or 0.05.") for text in ("", "%", "5 percent", "five")],
        *[(("--wait", text), "Write it as 90s, 30m, 2h or 1d.") for text in ("", "s", "soon", "5w", "1h30m", "ten s")],
        (("--wait", "10d"), "--wait is 10d. It may be 0s to 7d."),
        (("--max-size", "many"), "--max-size is 'many'. It must be a number."),
        (("--max-size", "0"), "--max-size is 0. It may be 1 or more."),
        (("--max-size", "u\u200b1"), "--max-size is 'u⟨U+200B⟩1'."),
        (("--span", "1", "x"), "--span is 'x'. It must be a number."),
        (("--span", "1"), "--span needs 2 values. See page --help."),
        (("--max-size",), "--max-size needs 1 value. See page --help."),
        (("--quiet=yes",), "--quiet takes no value. See page --help."),
        (("one",), "'one' is more than page takes. See page --help."),
        (("one", "t\u200bwo"), "'one', 't⟨U+200B⟩wo' is more than page takes."),
        (("--quite",), "There is no option --quite. Did you mean --quiet? See page --help."),
        (("--\u200b",), "There is no option --⟨U+200B⟩."),
        (
            ("--secret", "x"),
            "There is no flag for the App Secret: others could read it in the list of processes. Set RONG",
        ),
        (("--app-secret=x",), "Set RONGCLOUD_APP_SECRET."),
        (("--key", "x"), "There is no flag for the App Key. Set RONGCLOUD_APP_KEY."),
        (("--app-key", "x"), "Set RONGCLOUD_APP_KEY."),
        (
            ("--dry-run",),
            "There is no option --dry-run. batch-alias check shows what would be sent; batch-alias plan",
        ),
        (("-n",), "There is no option -n. batch-alias check shows"),
    ],
)
def test_what_cannot_be_parsed_is_refused_as_usage_error(arguments, said, refuse):
    assert said in refuse(*arguments)


def test_a_missing_argument_is_named():
    command = cloup.command("page", cls=Command)(cloup.argument("source")(lambda **_given: None))
    with pytest.raises(click.UsageError) as raised:
        command.main([], prog_name="page", standalone_mode=False)
    assert str(as_usage_error(raised.value)) == "SOURCE is missing. See page --help."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fly"], "There is no command fly. See books --help."),
        (["pag"], "There is no command pag. Did you mean page? See books --help."),
    ],
)
def test_a_command_that_does_not_exist_is_named(arguments, said):
    group = cloup.Group("books", commands=[cloup.Command("page")])
    with pytest.raises(click.UsageError) as raised:
        group.main(arguments, prog_name="books", standalone_mode=False)
    assert str(as_usage_error(raised.value)) == said


REGION, URL = {"RONGCLOUD_REGION": "beijing"}, {"BATCH_ALIAS_URL": "https://api.example.com"}
KEYS = {"RONGCLOUD_APP_KEY": "key", "RONGCLOUD_APP_SECRET": "secret"}


@pytest.fixture
def target() -> Callable[..., Target]:
    """The target of a command for some arguments and an environment."""

    def find(*arguments: str, **environment: str) -> Target:
        found: list[Target] = []
        decorator = flags("Target", Target)
        command = cloup.command()(decorator(lambda **given: found.append(fill_target(given, environment))))
        _invoke(command, arguments, environment)
        return found[0]

    return find


def test_what_is_typed_wins_over_what_the_environment_says(target):
    for words in ({}, {"RONGCLOUD_REGION": "mars"}, {"RONGCLOUD_URL": "nonsense", **REGION}):
        assert target("--sandbox", **words, **KEYS).sandbox
    assert target("--region", "singapore", BATCH_ALIAS_SANDBOX="1", **URL, **KEYS).region == "singapore"
    assert target(**URL, **KEYS).url == "https://api.example.com"


def test_two_targets_of_the_environment_are_named_by_their_variables(target):
    with pytest.raises(UsageError) as raised:
        target(**REGION, **URL, **KEYS)
    assert raised.value.problem == (
        "The environment names more than one target: RONGCLOUD_REGION, BATCH_ALIAS_URL are set."
    )
    assert "Unset all but one of them, or pass --region, --url or --sandbox" in raised.value.advice


@pytest.mark.parametrize(
    "arguments", [["--sandbox", "--region", "beijing"], ["--sandbox", "--url", "https://a.example"]]
)
def test_two_targets_that_are_typed_are_refused(arguments, target):
    with pytest.raises(UsageError, match=f"More than one target: --sandbox, {arguments[1]}. Pass one of them."):
        target(*arguments, **KEYS)
