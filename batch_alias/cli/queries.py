"""The commands that neither send nor read aliases, but look at jobs or at the command line itself."""

import time
from pathlib import Path

import click
import cloup
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from batch_alias.errors import ExitCode
from batch_alias.settings import Output, Settings
from batch_alias.settings.flags import PATH, flags
from batch_alias.text import _

JOB = "The folder of a job that has been run."
SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


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


@cloup.argument("job", type=PATH, help=JOB)
@cloup.option("--watch", is_flag=True, envvar="BATCH_ALIAS_WATCH", help="Show it every 2 s, until the job has ended.")
@flags("Output", Output, "json")
def status(job: Path, watch: bool, json: bool) -> int:
    """Show where JOB stands, running or stopped; it is not disturbed.

    With --watch it is redrawn on a terminal; elsewhere, and with --json, there is a line for each change.

    \b
    Example: batch-alias status nicknames.aliases --watch
    """
    from batch_alias.console import Console
    from batch_alias.render.jobs import status_line, status_lines
    from batch_alias.status import status_of, watch_status

    console = Console()
    if not watch:
        found = status_of(job)
        console.answer([found.as_json()] if json else status_lines(found, time.time()))
        return ExitCode.DONE
    shown = ""
    try:
        for found in watch_status(job):
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
@flags("Output", Output, "json")
def jobs(folder: Path, json: bool) -> int:
    """List the jobs in DIR and in the folders below it, undos too.

    \b
    Example: batch-alias jobs
    """
    from batch_alias.console import Console
    from batch_alias.render.jobs import jobs_lines
    from batch_alias.status import jobs_as_json, jobs_below

    console, found = Console(), list(jobs_below(folder))
    if json:
        console.answer([jobs_as_json(found)])
    elif found:
        console.answer(jobs_lines(found, console.width))
    else:
        console.answer([_("There is no job in {folder}.", folder=folder.absolute())])
    return ExitCode.DONE


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
