"""The commands that neither send nor read aliases, but look at jobs or at the command line itself."""

import os
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click
import cloup
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from batch_alias.errors import ExitCode, UsageError
from batch_alias.settings import Output, Settings, check_database
from batch_alias.settings.flags import PATH, fill, flags
from batch_alias.text import _

if TYPE_CHECKING:
    from batch_alias.ledger import Place

JOB = "The folder of a job that has been run; with --ledger its name."
SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


def place_of(job: Path, ledger: str | None) -> "Place":
    """Where the ledger of a job is that was named on the command line."""
    from batch_alias.ledger import Place

    return Place(Settings(job=job, ledger=ledger).job_folder, ledger)


@cloup.argument("job", type=PATH, help=JOB)
@flags("Job", Settings, "ledger", "xlsx")
def report(job: Path, ledger: str | None, xlsx: bool) -> int:
    """Write the reports of JOB again, from its ledger.

    \b
    Example: batch-alias report nicknames.aliases
    """
    from batch_alias.console import Console
    from batch_alias.job import write_job_reports

    place = place_of(job, ledger)
    write_job_reports(place.folder, ledger=place.url, xlsx=xlsx)
    Console().answer([_("Reports written to {job}", job=place.folder)])
    return ExitCode.DONE


@cloup.argument("job", type=PATH, help=JOB)
@cloup.option("--watch", is_flag=True, envvar="BATCH_ALIAS_WATCH", help="Show it every 2 s, until the job has ended.")
@flags("Job", Settings, "ledger")
@flags("Output", Output, "json")
def status(job: Path, watch: bool, ledger: str | None, json: bool) -> int:
    """Show where JOB stands, running or stopped; it is not disturbed.

    With --watch it is redrawn on a terminal; elsewhere, and with --json, there is a line for each change.

    \b
    Example: batch-alias status nicknames.aliases --watch
    """
    from batch_alias.console import Console
    from batch_alias.render.jobs import status_line, status_lines
    from batch_alias.status import status_of, watch_status

    console, place = Console(), place_of(job, ledger)
    if not watch:
        found = status_of(place)
        console.answer([found.as_json()] if json else status_lines(found, time.time()))
        return ExitCode.DONE
    shown = ""
    try:
        for found in watch_status(place):
            line = found.as_json(indent=None) if json else status_line(found)
            if console.width is not None and not json:
                console.redraw(status_lines(found, time.time()))
            elif line != shown:
                console.answer([line])
            shown = line
    except KeyboardInterrupt:
        if console.width is not None:
            console.answer([""])  # below the ^C
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


@cloup.argument("folder", type=PATH, default=".", metavar="[DIR]", help="A folder; the current one otherwise.")
@flags("Job", Settings, "ledger")
@flags("Output", Output, "json")
def jobs(folder: Path, ledger: str | None, json: bool) -> int:
    """List the jobs in DIR and in the folders below it, or those in a database; undos too.

    \b
    Example: batch-alias jobs
    """
    from batch_alias.console import Console
    from batch_alias.render.jobs import jobs_lines
    from batch_alias.status import jobs_as_json, jobs_below, jobs_in

    if ledger is not None:
        check_database(ledger)
    console, found = Console(), list(jobs_below(folder) if ledger is None else jobs_in(ledger))
    if json:
        console.answer([jobs_as_json(found)])
    elif found:
        console.answer(jobs_lines(found, console.width))
    else:
        console.answer([_("There is no job in {folder}.", folder=ledger or folder.absolute())])
    return ExitCode.DONE


@cloup.argument("action", type=click.Choice(["init"]), metavar="init", help="Make the tables.")
@flags("Job", Settings, "ledger")
def ledger(action: str, ledger: str | None) -> int:  # noqa: ARG001 - there is one
    """Make the tables in a PostgreSQL database that jobs and workers need. Does nothing where they are.

    \b
    Example: batch-alias ledger init --ledger postgresql://user@host/database
    """
    from batch_alias.console import Console

    made = workers().initialize(required(ledger))
    Console().answer([_("The tables were made.") if made else _("The tables are there already.")])
    return ExitCode.DONE


@flags("Job", Settings, "ledger")
@cloup.option("--until-idle", is_flag=True, envvar="BATCH_ALIAS_UNTIL_IDLE", help="End when no rows are left to send.")
@flags("Output", Output, "quiet", "verbose", "log")
def work(ledger: str | None, until_idle: bool, **given: object) -> int:
    """Help to send the rows of every job of the App Key whose ledger is in a database, until stopped.

    The App Key and its secret are those of RONGCLOUD_APP_KEY and RONGCLOUD_APP_SECRET; where a job is sent to is known
    from its ledger.

    \b
    Example: batch-alias work --ledger postgresql://user@host/database
    """
    from batch_alias import commands

    workers()
    return commands.work(required(ledger), os.environ, fill(Output, given), until_idle=until_idle)


def required(ledger: str | None) -> str:
    """The URL of a database. Raises ``UsageError`` if it is missing or cannot be one."""
    if ledger is None:
        raise UsageError("No database was named.", "Pass --ledger URL, or set BATCH_ALIAS_LEDGER.")
    check_database(ledger)
    return ledger


def workers() -> ModuleType:
    """What several processes send rows with. Raises ``UsageError`` if what it needs is not installed."""
    from batch_alias.ledger.place import postgres

    postgres()
    return import_module("batch_alias.workers")


@cloup.argument("shell", type=click.Choice(list(SHELLS)), metavar="SHELL", help="bash, zsh or fish.")
def completion(shell: str) -> int:
    """Print the script that completes commands in SHELL, their flags and values.

    \b
    bash: eval "$(batch-alias completion bash)" in ~/.bashrc
    zsh:  eval "$(batch-alias completion zsh)" in ~/.zshrc, below compinit
    fish: batch-alias completion fish > ~/.config/fish/completions/batch-alias.fish
    """
    from batch_alias.console import Console

    program = click.get_current_context().find_root().command
    Console().answer([SHELLS[shell](program, {}, "batch-alias", "_BATCH_ALIAS_COMPLETE").source()])
    return ExitCode.DONE
