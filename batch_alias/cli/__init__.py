"""The command line: flags and environment become settings.

The flags are generated from the settings they fill. What is heavy (pandas, httpx, the sandbox's server) is imported by
the command that needs it, so that ``--help`` is instant.
"""

import asyncio
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import cloup

from batch_alias.cli.queries import JOB, completion, jobs, ledger, place_of, report, status, work
from batch_alias.errors import ExitCode
from batch_alias.sandbox import Contents, Faults, Rules, Sandbox
from batch_alias.settings import STDIN, Comparing, Output, Reading, Sending, Settings
from batch_alias.settings.flags import PATH, Command, Given, fill, fill_settings, fill_target, flag_of, flags, language
from batch_alias.settings.options import Option, Setting
from batch_alias.settings.target import Target
from batch_alias.text import _
from batch_alias.version import __version__

SOURCE = "A CSV, TSV, Excel, JSON Lines or Parquet file: a user id, a group id and an alias per row; - is stdin."
READ_FLAGS = ("rate", "max_in_flight", "attempts", "timeout", "patience", "max_failed", "no_wait")
"""The flags of sending that hold for commands that only read."""
MEMBERS = "BATCH_ALIAS_CHECK_MEMBERS"
"""The variable of `check --members`, which `run --members` takes with a value."""
CREDENTIALS = "Target (App Key and secret: RONGCLOUD_APP_KEY, RONGCLOUD_APP_SECRET)"
PROBLEMS = Setting("problems", Path, None, Option("Write every problem as CSV.", "FILE"))
SAMPLE = Setting("sample", int, None, Option("Read N random rows only.  [default: all]", "N", least=1))
PORT = Setting("port", int, None, Option("Port to listen on.  [default: 0, a free one]", least=0, most=65_535))


def readable(source: Path) -> Path:
    """A source. That it cannot be read is said before anything else that may be wrong."""
    from batch_alias.staging import version_of

    if source != STDIN:
        version_of(source)
    return source


def fill_settings_of(job: Path, given: Given) -> Settings:
    """The settings with which a job that has been run is sent or read again, where it was sent if not elsewhere."""
    from batch_alias.job import recall_address

    place = place_of(job, fill(Settings, given, job=job).ledger)
    return fill_settings(given, os.environ, recall=lambda: recall_address(place), job=job)


@cloup.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="batch-alias", message="%(prog)s %(version)s")
@language
def cli() -> None:
    """Set RongCloud group member push aliases in bulk, from CSV or Excel.

    Every flag can be set by an environment variable: --max-rejected is BATCH_ALIAS_MAX_REJECTED.

    \b
    Exit codes: 0 every row accepted, 1 some rows not accepted, 2 wrong usage,
    3 the source cannot be used, 4 stopped by the service, 5 the ledger cannot
    be used, 6 a report could not be written, 70 a defect of batch-alias,
    130 interrupted.
    """


def command(function: Callable[..., int]) -> click.Command:
    """A command of the group."""
    return cli.command(cls=Command)(language(function))


for query in (report, status, jobs, completion, work, ledger):
    command(query)


@command
@cloup.argument("source", type=PATH, help=SOURCE)
@flags("Job", Settings)
@flags(CREDENTIALS, Target)
@flags("Sending", Sending)
@flags("Comparing", Comparing)
@flags("Reading the source", Reading)
@flags("Output", Output)
def run(source: Path, **given: object) -> int:
    """Set every alias of SOURCE and account for every row.

    Run the same command again to go on where it ended.

    \b
    Example: batch-alias run nicknames.xlsx --region beijing
    """
    from batch_alias import commands

    return commands.run(fill_settings(given, os.environ, source=readable(source)), fill(Output, given))


@command
@cloup.argument("source", type=PATH, help=SOURCE)
@flags("Job", Settings, "job", "ledger", "max_rejected")
@flags(CREDENTIALS, Target)
@flags("Reading aliases", Sending, *READ_FLAGS)
@flags("Comparing", Comparing, "only_absent", "members")
@flags("Reading the source", Reading)
@flags("Output", Output, "quiet", "verbose", "no_color", "log", "json")
def plan(source: Path, **given: object) -> int:
    """Show what `run` would change: read each alias first, and set none.

    Run the same command again to go on where it ended; `run SOURCE` then applies it.

    \b
    Exit codes: 0 every alias was read, 1 some could not be read.
    Example: batch-alias plan nicknames.xlsx --region beijing
    """
    from batch_alias import commands

    return commands.plan(fill_settings(given, os.environ, source=readable(source)), fill(Output, given))


@command
@cloup.argument("source", type=PATH, help=SOURCE)
@flag_of(PROBLEMS)
@cloup.option("--members", is_flag=True, envvar=[MEMBERS], help="Look up who is in each group; warn of others.")
@flags(f"For --members: {CREDENTIALS}", Target)
@flags("Sending", Sending, "rate", "no_wait")
@flags("Job", Settings, "ledger", "max_rejected")
@flags("Reading the source", Reading)
@flags("Output", Output, "no_color", "json")
def check(source: Path, problems: Path | None, members: bool, **given: object) -> int:
    """Show what `run` would do with SOURCE. Sends nothing; only --members needs a target and credentials.

    \b
    Exit codes: 0 every row may be sent, 1 some rows are rejected,
    3 the source cannot be used, 4 members cannot be looked up.
    Example: batch-alias check nicknames.xlsx
    """
    from batch_alias.check import check_file
    from batch_alias.console import Console
    from batch_alias.render import check_lines

    console = Console(colour=not given["no_color"])
    more = {"reading": fill(Reading, given), "sending": fill(Sending, given)}
    if members:
        more |= {"target": fill_target(given, os.environ), "comparing": Comparing(members="warn")}
    settings = fill(Settings, given, source=source, **more)
    with console.reading() as on_read:
        found = check_file(
            settings, problems=problems, on_read=on_read, watch=console.looking_up, observer=console.event
        )
    console.answer([found.as_json()] if given["json"] else check_lines(found))
    return found.exit_code


@command
@cloup.argument("file", type=PATH, help="A new .xlsx or .csv file.")
def template(file: Path) -> int:
    """Write an empty FILE with the three columns, to be filled in.

    \b
    Example: batch-alias template names.xlsx
    """
    from batch_alias.console import Console
    from batch_alias.sources.template import write_template

    write_template(file)
    command = f"batch-alias check {shlex.quote(str(file))}"
    Console().answer([_("Fill in {file}, then try: {command}", file=file, command=command)])
    return ExitCode.DONE


@command
@cloup.argument("job", type=PATH, help=JOB)
@flags(CREDENTIALS, Target)
@flags("Sending", Sending)
@flags("Comparing", Comparing, "compare", "only_absent", "max_changes", "verify")
@flags("Output", Output)
@flags("Job", Settings, "ledger", "xlsx")
def retry(job: Path, **given: object) -> int:
    """Send the failed and unknown rows of JOB again, and those not sent yet.

    They go where the job was sent to, unless another way there is given.

    \b
    Example: batch-alias retry nicknames.aliases
    """
    from batch_alias import commands

    return commands.run(fill_settings_of(job, given), fill(Output, given))


@command
@cloup.argument("job", type=PATH, help=JOB)
@flag_of(SAMPLE)
@flags(CREDENTIALS, Target)
@flags("Reading aliases", Sending, *READ_FLAGS)
@flags("Output", Output, "quiet", "verbose", "no_color", "log", "json")
@flags("Job", Settings, "ledger", "xlsx")
def verify(job: Path, sample: int | None, **given: object) -> int:
    """Read the accepted rows of JOB back: is each alias as it was set?

    They are read where the job was sent to, unless another way there is given. Run the same command again to go on
    where it was interrupted.

    \b
    Exit codes: 0 all are as set, 1 some differ or could not be read.
    Example: batch-alias verify nicknames.aliases
    """
    from batch_alias import commands

    return commands.verify(fill_settings_of(job, given), fill(Output, given), sample=sample)


@command
@cloup.argument("job", type=PATH, help=JOB)
@flags(CREDENTIALS, Target)
@flags("Sending", Sending)
@flags("Comparing", Comparing, "verify")
@flags("Output", Output)
@flags("Job", Settings, "ledger", "xlsx")
def undo(job: Path, **given: object) -> int:
    """Set the aliases that JOB has replaced again, where they are still as JOB set them.

    It needs a job that was compared or planned, and is a job of its own: JOB/undo.aliases. It goes where the job was
    sent to, unless another way there is given.

    \b
    Example: batch-alias undo nicknames.aliases
    """
    from batch_alias import commands
    from batch_alias.job import open_undo

    return commands.run(fill_settings_of(job, given), fill(Output, given), opened=open_undo)


@command
@flags(CREDENTIALS, Target)
@flags("Sending", Sending, "rate", "timeout")
def doctor(**given: object) -> int:
    """Make a signed read call and show whether everything is in place. It changes nothing.

    \b
    Exit codes: 0 all is in order, 4 something is not.
    Example: batch-alias doctor --region beijing
    """
    from batch_alias.console import Console
    from batch_alias.doctor import diagnose
    from batch_alias.render import diagnosis_lines

    findings = asyncio.run(diagnose(fill_target(given, os.environ), fill(Sending, given)))
    Console().answer(diagnosis_lines(findings))
    return ExitCode.DONE if all(finding.good for finding in findings) else ExitCode.STOPPED


@command
@flag_of(PORT)
@flags("What it starts with", Contents)
@flags("Rules", Rules)
@flags("Faults, drawn from a seed so that a run can be repeated", Faults)
def sandbox(port: int | None, **given: object) -> int:
    """Emulate RongCloud's alias calls until stopped; print URL, key and secret.

    \b
    Example: batch-alias sandbox --port 8100 --latency 0.05 --errors 1%
    """
    from batch_alias.console import Console
    from batch_alias.sandbox.server import serve_forever

    def ready(served: Sandbox) -> None:
        values = {"URL": served.url, "APP_KEY": served.app_key, "APP_SECRET": served.app_secret.reveal()}
        Console().answer(f"RONGCLOUD_{name}={value}" for name, value in values.items())

    contents = fill(Contents, given)
    aliases, members = contents.read_aliases(), contents.read_members()
    emulated = Sandbox(fill(Rules, given), fill(Faults, given), aliases=aliases, members=members)
    serve_forever(emulated, "127.0.0.1", port or 0, ready)
    return ExitCode.DONE
