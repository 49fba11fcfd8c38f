"""The command line: flags and environment become settings.

The flags are generated from the settings they fill. What is heavy (pandas, httpx, the sandbox's server) is imported by
the command that needs it, so that ``--help`` is instant.
"""

import asyncio
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import click
import cloup

from batch_alias.errors import ExitCode
from batch_alias.sandbox import Contents, Faults, Rules, Sandbox
from batch_alias.settings import Comparing, Output, Reading, Sending, Settings
from batch_alias.settings.flags import PATH, Given, fill, fill_target, flags
from batch_alias.settings.target import Target
from batch_alias.text import LANGUAGES, _
from batch_alias.version import __version__

SOURCE = "A CSV, TSV, Excel, JSON Lines or Parquet file: a user id, a group id and an alias per row; - is stdin."
JOB = "The folder of a job that has been run."
READ_FLAGS = ("rate", "max_in_flight", "attempts", "timeout", "patience", "max_failed")
"""The flags of sending that hold for commands that only read."""
CREDENTIALS = "Target (App Key and secret: RONGCLOUD_APP_KEY, RONGCLOUD_APP_SECRET)"


def fill_settings(given: Given, **more: object) -> Settings:
    """The settings of a job that is sent or read."""
    parts = {
        "reading": fill(Reading, given),
        "target": fill_target(given, os.environ),
        "sending": fill(Sending, given),
        "comparing": fill(Comparing, given),
    }
    return fill(Settings, given, **parts, **more)


@cloup.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="batch-alias", message="%(prog)s %(version)s")
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
    """A command of the group; every one takes --lang, which holds before the command line is parsed."""
    language = cloup.option(
        "--lang",
        type=click.Choice(LANGUAGES),
        envvar="BATCH_ALIAS_LANG",
        expose_value=False,
        help="Language of messages and reports.  [default: that of LC_ALL or LANG]",
    )
    return cli.command()(language(function))


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

    return commands.run(fill_settings(given, source=source), fill(Output, given))


@command
@cloup.argument("source", type=PATH, help=SOURCE)
@flags("Job", Settings, "job", "max_rejected")
@flags(CREDENTIALS, Target)
@flags("Reading aliases", Sending, *READ_FLAGS)
@flags("Comparing", Comparing, "only_absent", "members")
@flags("Reading the source", Reading)
@flags("Output", Output, "quiet", "verbose", "log", "json")
def plan(source: Path, **given: object) -> int:
    """Show what `run` would change: read each alias first, and set none.

    Run the same command again to go on where it ended; `run SOURCE` then applies it.

    \b
    Exit codes: 0 every alias was read, 1 some could not be read.
    Example: batch-alias plan nicknames.xlsx --region beijing
    """
    from batch_alias import commands

    return commands.plan(fill_settings(given, source=source), fill(Output, given))


@command
@cloup.argument("source", type=PATH, help=SOURCE)
@cloup.option(
    "--problems", type=PATH, envvar="BATCH_ALIAS_PROBLEMS", metavar="FILE", help="Write every problem as CSV."
)
@cloup.option(
    "--members", is_flag=True, envvar="BATCH_ALIAS_CHECK_MEMBERS", help="Look up who is in each group; warn of others."
)
@flags(f"For --members: {CREDENTIALS}", Target)
@flags("Sending", Sending, "rate")
@flags("Job", Settings, "max_rejected")
@flags("Reading the source", Reading)
@flags("Output", Output, "json")
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

    console = Console()
    more = {"reading": fill(Reading, given), "sending": fill(Sending, given)}
    if members:
        more |= {"target": fill_target(given, os.environ), "comparing": Comparing(members="warn")}
    settings = fill(Settings, given, source=source, **more)
    found = check_file(settings, problems=problems, on_read=console.reading, watch=console.looking_up)
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
    Console().answer([f"Fill in {file}, then try: batch-alias check {shlex.quote(str(file))}"])
    return ExitCode.DONE


@command
@cloup.argument("job", type=PATH, help=JOB)
@flags(CREDENTIALS, Target)
@flags("Sending", Sending)
@flags("Comparing", Comparing, "compare", "only_absent", "max_changes", "verify")
@flags("Output", Output)
@flags("Reports", Settings, "xlsx")
def retry(job: Path, **given: object) -> int:
    """Send the failed and unknown rows of JOB again, and those not sent yet.

    \b
    Example: batch-alias retry nicknames.aliases --region beijing
    """
    from batch_alias import commands

    return commands.run(fill_settings(given, job=job), fill(Output, given))


@command
@cloup.argument("job", type=PATH, help=JOB)
@cloup.option(
    "--sample",
    type=click.IntRange(min=1),
    envvar="BATCH_ALIAS_SAMPLE",
    metavar="N",
    help="Read N random rows only.  [default: all]",
)
@flags(CREDENTIALS, Target)
@flags("Reading aliases", Sending, *READ_FLAGS)
@flags("Output", Output, "quiet", "verbose", "log", "json")
@flags("Reports", Settings, "xlsx")
def verify(job: Path, sample: int | None, **given: object) -> int:
    """Read the accepted rows of JOB back: is each alias as it was set?

    Run the same command again to go on where it was interrupted.

    \b
    Exit codes: 0 all are as set, 1 some differ or could not be read.
    Example: batch-alias verify nicknames.aliases --region beijing
    """
    from batch_alias import commands

    return commands.verify(fill_settings(given, job=job), fill(Output, given), sample=sample)


@command
@cloup.argument("job", type=PATH, help=JOB)
@flags(CREDENTIALS, Target)
@flags("Sending", Sending)
@flags("Comparing", Comparing, "verify")
@flags("Output", Output)
@flags("Reports", Settings, "xlsx")
def undo(job: Path, **given: object) -> int:
    """Set the aliases that JOB has replaced again, where they are still as JOB set them.

    It needs a job that was compared or planned, and is a job of its own: JOB/undo.aliases.

    \b
    Example: batch-alias undo nicknames.aliases --region beijing
    """
    from batch_alias import commands
    from batch_alias.job import open_undo

    return commands.run(fill_settings(given, job=job), fill(Output, given), opened=open_undo)


@command
@cloup.argument("job", type=PATH, help=JOB)
@flags("Reports", Settings, "xlsx")
def report(job: Path, xlsx: bool) -> int:
    """Write the reports of JOB again, from its ledger.

    \b
    Example: batch-alias report nicknames.aliases
    """
    from batch_alias.console import Console
    from batch_alias.job import write_job_reports

    write_job_reports(job, xlsx=xlsx)
    Console().answer([_("Reports written to {job}", job=job)])
    return ExitCode.DONE


@command
@cloup.argument("job", type=PATH, help=JOB)
@flags("Output", Output, "json")
def status(job: Path, json: bool) -> int:
    """Show where JOB stands, running or stopped; it is not disturbed.

    \b
    Example: batch-alias status nicknames.aliases
    """
    from batch_alias.console import Console
    from batch_alias.render import status_lines
    from batch_alias.status import status_of

    found = status_of(job)
    Console().answer([found.as_json()] if json else status_lines(found, time.time()))
    return ExitCode.DONE


@command
@flags(CREDENTIALS, Target, "region", "url", "allow_http", "ca_bundle", "no_proxy")
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
@cloup.option("--port", default=0, show_default="0, a free one", envvar="BATCH_ALIAS_PORT", help="Port to listen on.")
@flags("What it starts with", Contents)
@flags("Rules", Rules)
@flags("Faults, drawn from a seed so that a run can be repeated", Faults)
def sandbox(port: int, **given: object) -> int:
    """Emulate RongCloud's alias calls until stopped; print URL, key and secret.

    \b
    Example: batch-alias sandbox --port 8100 --latency 0.05 --errors 1%
    """
    from batch_alias.console import Console
    from batch_alias.sandbox.server import serve_forever

    def ready(served: Sandbox) -> None:
        key, secret = served.app_key, served.app_secret.reveal()
        lines = (f"RONGCLOUD_URL={served.url}", f"RONGCLOUD_APP_KEY={key}", f"RONGCLOUD_APP_SECRET={secret}")
        Console().answer(lines)

    contents = fill(Contents, given)
    aliases, members = contents.read_aliases(), contents.read_members()
    emulated = Sandbox(fill(Rules, given), fill(Faults, given), aliases=aliases, members=members)
    serve_forever(emulated, "127.0.0.1", port, ready)
    return ExitCode.DONE
