"""The command line: flags and environment become settings, errors become exit codes. Nothing else happens here.

What is heavy (pandas, httpx, the sandbox's server) is imported by the command that needs it, so that ``--help`` is
instant.
"""

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import click
import cloup

from batch_alias import flags, resolve
from batch_alias.console import Console, same_command
from batch_alias.errors import BatchAliasError, ExitCode
from batch_alias.flagtypes import FILE, FOLDER, Flag
from batch_alias.version import __version__

SOURCE = "A CSV, TSV, Excel, JSON Lines or Parquet file: a user id, a group id and an alias a row; - is stdin."
JOB = "The folder of a job that has been run."


@cloup.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True})
@click.version_option(__version__, prog_name="batch-alias", message="%(prog)s %(version)s")
def cli() -> None:
    """Set RongCloud group member push aliases in bulk, from CSV or Excel.

    Every flag can be set by an environment variable: --max-rejected is BATCH_ALIAS_MAX_REJECTED.

    \b
    Exit codes: 0 every row accepted, 1 some rows not accepted, 2 wrong usage,
    3 the source cannot be used, 4 stopped by the service, 5 the ledger cannot
    be used, 6 a report could not be written, 130 interrupted.
    """


@cli.command()
@cloup.argument("source", type=FILE, help=SOURCE)
@cloup.option("--job", cls=Flag, type=FOLDER, metavar="DIR", help="The job's folder  [default: SOURCE-STEM.aliases]")
@flags.max_rejected
@flags.service
@flags.sending
@flags.reading
@flags.output
def run(**given: Unpack[flags.RunFlags]) -> int:
    """Set every alias of SOURCE and account for every row.

    Run the same command again to go on where it ended.

    \b
    Example: batch-alias run nicknames.xlsx --region beijing
    """
    from batch_alias.session import send, spooled

    with spooled(given["source"]) as source:
        return send(replace(resolve.run_settings(given), source=source), given)


@cli.command()
@cloup.argument("source", type=FILE, help=SOURCE)
@cloup.option("--problems", cls=Flag, type=FILE, metavar="FILE", help="Write every problem to a CSV file.")
@flags.rate
@flags.max_rejected
@flags.reading
@flags.as_json
def check(**given: Unpack[flags.CheckFlags]) -> int:
    """Say what `run` would do with SOURCE. Sends nothing and needs no credentials.

    \b
    Exit codes: 0 every row may be sent, 1 some rows are rejected,
    3 the source cannot be used.
    Example: batch-alias check nicknames.xlsx
    """
    from batch_alias.check import check_file
    from batch_alias.session import spooled

    console = Console()
    with spooled(given["source"]) as source:
        settings = replace(resolve.check_settings(given), source=source)
        found = check_file(settings, problems=given["problems"], reading=console.reading)
    console.check(found)
    if given["json"]:
        click.echo(found.as_json(), nl=False)
    return found.exit_code


@cli.command()
@cloup.argument("job", type=FOLDER, help=JOB)
@flags.service
@flags.sending
@flags.output
def retry(**given: Unpack[flags.RetryFlags]) -> int:
    """Send the failed and unknown rows of JOB again.

    \b
    Example: batch-alias retry nicknames.aliases --region beijing
    """
    from batch_alias.session import send

    return send(resolve.retry_settings(given), given)


@cli.command()
@cloup.argument("job", type=FOLDER, help=JOB)
@cloup.option("--xlsx", cls=Flag, is_flag=True, help="Write results.xlsx too.")
def report(job: Path, xlsx: bool) -> int:
    """Write the reports of JOB again, from its ledger.

    \b
    Example: batch-alias report nicknames.aliases
    """
    from batch_alias.job import write_job_reports

    write_job_reports(job, xlsx=xlsx)
    Console().say(f"Reports written to {job}")
    return ExitCode.DONE


@cli.command()
@cloup.argument("job", type=FOLDER, help=JOB)
@flags.as_json
def status(job: Path, json: bool) -> int:
    """Say how JOB stands, running or stopped; it is not disturbed.

    \b
    Example: batch-alias status nicknames.aliases
    """
    from batch_alias.status import status_of

    found = status_of(job)
    if json:
        click.echo(found.as_json(), nl=False)
    else:
        Console().status(found)
    return ExitCode.DONE


@cli.command()
@flags.service
@flags.rate
@flags.timeout
def doctor(**given: Unpack[flags.DoctorFlags]) -> int:
    """Make one signed read call and say whether everything is in place. It changes nothing.

    \b
    Exit codes: 0 all is in order, 4 something is not.
    Example: batch-alias doctor --region beijing
    """
    from batch_alias.doctor import examine

    found = asyncio.run(examine(resolve.doctor_settings(given)))
    Console().diagnosis(found.findings)
    return found.exit_code


@cli.command()
@cloup.option("--port", cls=Flag, default=0, show_default="a free one", help="The port to listen on.")
@cloup.option("--rate", cls=Flag, default=100, show_default=True, help="Requests a second that are granted.")
@flags.faults
def sandbox(**given: Unpack[flags.SandboxFlags]) -> int:
    """Serve RongCloud's alias calls, emulated, until stopped; print URL, key and secret.

    \b
    Example: batch-alias sandbox --port 8100 --latency 0.05 --errors 1%
    """
    from batch_alias.sandbox.app import Sandbox
    from batch_alias.sandbox.emulator import Rules
    from batch_alias.sandbox.server import serve_forever

    emulated = Sandbox(Rules(rate=given["rate"]), resolve.sandbox_faults(given))

    def ready(url: str) -> None:
        click.echo(f"RONGCLOUD_URL={url}")
        click.echo(f"RONGCLOUD_APP_KEY={emulated.app_key}")
        click.echo(f"RONGCLOUD_APP_SECRET={emulated.app_secret.reveal()}")
        sys.stdout.flush()

    serve_forever(emulated, "127.0.0.1", given["port"], ready)
    return ExitCode.DONE


def main() -> None:
    """Run the command line and exit with its code."""
    # Until sending begins SIGTERM is what Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = cli.main(prog_name="batch-alias", standalone_mode=False)
    except click.exceptions.Abort:
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BatchAliasError as error:
        Console().error(error)
        code = error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        Console().warn(f"Interrupted; nothing is lost. To go on: {same_command()}")
        code = ExitCode.INTERRUPTED
    sys.exit(int(code or 0))
