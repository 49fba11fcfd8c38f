"""The command line: flags and environment become settings, errors become exit codes. Nothing else happens here.

What is heavy (pandas, httpx, the sandbox's server) is imported by the command that needs it, so that ``--help`` is
instant.
"""

import asyncio
import contextlib
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click
import cloup

from batch_alias import flags
from batch_alias.console import Console
from batch_alias.errors import BatchAliasError, ExitCode
from batch_alias.version import __version__

if TYPE_CHECKING:
    from batch_alias.job import Job
    from batch_alias.reports import Summary
    from batch_alias.settings import Settings


@cloup.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="batch-alias", message="%(prog)s %(version)s")
def cli() -> None:
    """Set RongCloud group member push aliases in bulk, from CSV or Excel.

    Every flag can be set by an environment variable: --max-rejected is BATCH_ALIAS_MAX_REJECTED.
    """


@cli.command()
@cloup.argument("source", type=flags.FILE, help="A CSV, TSV or Excel file: a user id, a group id and an alias a row.")
@cloup.option(
    "--job", cls=flags.Flag, type=flags.FOLDER, metavar="DIR", help="The job's folder  [default: SOURCE-STEM.aliases]"
)
@flags.max_rejected
@flags.service
@flags.sending
@flags.reading
@flags.output
def run(**given: Unpack[flags.RunFlags]) -> int:
    """Set every alias of SOURCE and account for every row.

    Run the same command again to go on where it ended. Exit codes: 0 every row accepted, 1 some rows not accepted,
    2 wrong usage, 3 the source cannot be used, 4 stopped by the service, 5 the ledger cannot be used, 6 a report
    could not be written, 130 interrupted.

    Example: batch-alias run nicknames.xlsx --region beijing
    """
    return _send(flags.run_settings(given), given)


@cli.command()
@cloup.argument("source", type=flags.FILE, help="A CSV, TSV or Excel file: a user id, a group id and an alias a row.")
@flags.rate
@flags.max_rejected
@flags.reading
@flags.as_json
def check(**given: Unpack[flags.CheckFlags]) -> int:
    """Say what `run` would do with SOURCE. Sends nothing and needs no credentials.

    Exit codes: 0 every row may be sent, 1 some rows are rejected, 3 the source cannot be used.

    Example: batch-alias check nicknames.xlsx
    """
    from batch_alias.checking import check_file

    result = check_file(flags.check_settings(given))
    Console().check(result)
    if given["json"]:
        click.echo(result.as_json(), nl=False)
    return result.exit_code


@cli.command()
@cloup.argument("job", type=flags.FOLDER, help="The folder of a job that has been run.")
@flags.service
@flags.sending
@flags.output
def retry(**given: Unpack[flags.RetryFlags]) -> int:
    """Send the failed and unknown rows of JOB again.

    Example: batch-alias retry nicknames.aliases --region beijing
    """
    return _send(flags.retry_settings(given), given)


@cli.command()
@cloup.argument("job", type=flags.FOLDER, help="The folder of a job that has been run.")
def report(job: Path) -> int:
    """Write the reports of JOB again, from its ledger.

    Example: batch-alias report nicknames.aliases
    """
    from batch_alias.job import write_job_reports

    write_job_reports(job)
    Console().say(f"Reports written to {job}")
    return ExitCode.DONE


@cli.command()
@cloup.option("--port", cls=flags.Flag, default=0, show_default="a free one", help="The port to listen on.")
@cloup.option("--rate", cls=flags.Flag, default=100, show_default=True, help="Requests a second that are granted.")
@flags.faults
def sandbox(**given: Unpack[flags.SandboxFlags]) -> int:
    """Serve RongCloud's alias calls, emulated, until stopped; print URL, key and secret.

    Example: batch-alias sandbox --port 8100
    """
    from batch_alias.sandbox.app import Sandbox
    from batch_alias.sandbox.emulator import Rules
    from batch_alias.sandbox.faults import Outage, mixed
    from batch_alias.sandbox.server import serve_forever

    faults = mixed(
        latency=given["latency"],
        jitter=given["jitter"],
        errors=given["errors"],
        drops=given["drops"],
        hangs=given["hangs"],
        pages=given["pages"],
        refusals=given["refusals"],
        seed=given["seed"],
    )
    if given["outage"]:
        start, end = given["outage"]
        faults = replace(faults, outages=(Outage(start=start, end=end),))
    emulated = Sandbox(Rules(rate=given["rate"]), faults)

    def ready(url: str) -> None:
        click.echo(f"RONGCLOUD_URL={url}")
        click.echo(f"RONGCLOUD_APP_KEY={emulated.app_key}")
        click.echo(f"RONGCLOUD_APP_SECRET={emulated.app_secret.reveal()}")
        sys.stdout.flush()

    serve_forever(emulated, "127.0.0.1", given["port"], ready)
    return ExitCode.DONE


def _send(settings: "Settings", given: flags.OutputFlags) -> int:
    from batch_alias.job import opened

    console = Console(quiet=given["quiet"])
    with opened(settings) as job:
        plan = job.plan()
        console.plan(plan)
        ask = plan.to_send and not given["yes"] and not settings.sandbox and sys.stdin.isatty() and sys.stderr.isatty()
        if ask and not console.confirm():
            console.warn("Nothing was sent.")
            return ExitCode.INTERRUPTED
        summary = asyncio.run(_interruptible(job, console))
        _tell(job, summary, console)
    if given["json"]:
        click.echo(summary.as_json(), nl=False)
    return ExitCode.DONE if summary.exit_code is None else summary.exit_code


async def _interruptible(job: "Job", console: Console) -> "Summary":
    """Send; the first signal lets the attempts under way end, the second ends at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupted() -> None:
        if not console.interrupt() and task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no signal handlers in the loop; there Ctrl-C ends the run at once, and the ledger is whole too.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, interrupted)
    try:
        return await job.send(console)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)


def _tell(job: "Job", summary: "Summary", console: Console) -> None:
    """Say how it ended, where the reports are, and what to do next."""
    console.ended(job.plan().tally, job.problems(), stopped=summary.stopped)
    console.say(f"Reports   {job.folder / 'results.csv'}, not-accepted.csv, summary.json")
    same = shlex.join(["batch-alias", *sys.argv[1:]])
    states = summary.states
    if states["pending"]:
        console.say(f"Go on     {same}")
    if states["failed"] or states["unknown"]:
        console.say(
            f"Try again {shlex.join(['batch-alias', 'retry', str(job.folder)])}, with the same --region or --url"
        )
    if states["rejected"]:
        corrected = shlex.join(["batch-alias", "run", str(job.folder / "not-accepted.csv")])
        console.say(f"Correct   {job.folder / 'not-accepted.csv'}, then: {corrected}")


def main() -> None:
    """Run the command line and exit with its code."""
    # Until sending begins SIGTERM is what Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BatchAliasError as error:
        Console().error(error)
        code = error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        Console().warn(f"Interrupted. The ledger is whole; to go on: {shlex.join(['batch-alias', *sys.argv[1:]])}")
        code = ExitCode.INTERRUPTED
    sys.exit(int(code or 0))
