from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import click
import cloup
import pytest
from click.testing import CliRunner, Result

from batch_alias.settings import REGIONS, Option, Output, Reading, Sending, Target, Unit
from batch_alias.settings.flags import Duration, Share, fill, flags


@dataclass(frozen=True, kw_only=True)
class Page:
    """One setting of each kind."""

    max_size: Annotated[int, Option("Most rows.", "ROWS", least=1)] = 7
    wait: Annotated[float, Option("Longest wait.", unit=Unit.SECONDS)] = 5400.0
    pause: Annotated[float, Option("Pause.", unit=Unit.SECONDS)] = 0.5
    loss: Annotated[float, Option("Most rows lost.", unit=Unit.SHARE)] = 0.125
    colour: Annotated[str | None, Option("Colour.", choices=("red", "blue"), variable="COLOUR")] = None
    quiet: Annotated[bool, Option("Print nothing.", short="-q")] = False
    folder: Annotated[Path | None, Option("Folder.", "DIR")] = None
    words: Annotated[tuple[str, ...], Option("A word; may be repeated.", "WORD")] = ()
    span: Annotated[tuple[float, float] | None, Option("Part of it.", "FROM TO")] = None
    more: list[str] = field(default_factory=list)


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
def refuse() -> Callable[..., str]:
    """What is printed for wrong arguments or a wrong environment."""

    def run(*arguments: str, **environment: str) -> str:
        result = _invoke(cloup.command()(PAGE_FLAGS(lambda **_given: None)), arguments, environment)
        assert result.exit_code == 2
        return result.output

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


@pytest.mark.parametrize("variable", ["BATCH_ALIAS_MAX_SIZE", "BATCH_ALIAS_COLOUR", "BATCH_ALIAS_QUIET"])
def test_a_variable_with_a_wrong_value_is_refused(variable, refuse):
    assert "Invalid value" in refuse(**{variable: "many"})


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
def test_a_share_is_a_percentage_or_a_number(text, share):
    assert Share().convert(text, None, None) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "5 percent", "five"])
def test_another_text_is_no_share(text):
    with pytest.raises(click.BadParameter, match="is not a share"):
        Share().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), (" 2h ", 7200), ("0", 0), ("0.5", 0.5), ("1.5h", 5400)],
)
def test_a_duration_is_seconds_or_has_a_unit(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "5d", "1h30m", "ten s"])
def test_another_text_is_no_duration(text):
    with pytest.raises(click.BadParameter, match="is not a time"):
        Duration().convert(text, None, None)
