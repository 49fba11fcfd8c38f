"""``batch-alias``, or ``python -m batch_alias``: runs the command line; errors become exit codes."""

import asyncio
import gc
import io
import os
import signal
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from itertools import pairwise

import click

from batch_alias.cli import cli
from batch_alias.errors import BatchAliasError, ExitCode, InternalError, Interrupted
from batch_alias.settings import PROGRESS_THREAD
from batch_alias.settings.flags import as_usage_error
from batch_alias.text import N_, _, indented_json, language_of, use_language


def main() -> None:
    """Run the command line and exit with its code."""
    # What libraries have loaded would be searched for garbage over and over: a twentieth of the CPU time.
    gc.set_threshold(10_000)
    _open_streams()
    use_language(_language())
    # Until sending begins SIGTERM is what Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a Windows code page has few characters
    try:
        code = cli.main(prog_name="batch-alias", standalone_mode=False)
    except BatchAliasError as error:
        code = _failed(error)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = ExitCode.USAGE
    except click.ClickException as error:
        code = _failed(as_usage_error(error))
    except (KeyboardInterrupt, asyncio.CancelledError, click.exceptions.Abort):
        interrupted = Interrupted("Interrupted.", "Nothing is lost; run the same command again to go on.")
        code = _failed(interrupted, by_signal=True)
    except Exception as error:
        code = _failed(_defect(error))
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if any(not thread.daemon or thread.name == PROGRESS_THREAD for thread in others):
        # DNS does not respond, or the terminal is stopped (Ctrl-S): the interpreter would wait for it.
        sys.stdout.flush()
        os._exit(int(code or 0))
    sys.exit(int(code or 0))


def _open_streams() -> None:
    """Give the process the streams with which it was not started, such as ``>&-``: Python has ``None`` for them."""
    # From the lowest descriptor on, so that each gets its own.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, mode), encoding="utf-8"))


def _language() -> str:
    # The command line itself may be what is wrong, so click cannot be asked.
    for word, following in pairwise([*sys.argv, ""]):
        if word == "--lang" or word.startswith("--lang="):
            return following if word == "--lang" else word.removeprefix("--lang=")
    return language_of(os.environ)


def _failed(error: BatchAliasError, *, by_signal: bool = False) -> int:
    from batch_alias.console import Console

    console = Console(colour=not _is_given("no-color"))
    if by_signal:
        console.break_line()
    console.error(error)
    if _is_given("json"):
        shown = {"error": error.problem, "advice": error.advice, "exit_code": error.exit_code}
        with suppress(OSError):  # standard output may be what has failed
            console.answer([indented_json(shown)])
    return error.exit_code


def _is_given(name: str) -> bool:
    # The command line itself may be what is wrong, so click cannot be asked; these are the values it takes for true.
    value = os.environ.get(f"BATCH_ALIAS_{name.upper().replace('-', '_')}", "")
    return f"--{name}" in sys.argv or value.lower() in {"1", "true", "t", "yes", "y", "on"}


def _defect(error: Exception) -> InternalError:
    problem, said = N_("A defect of batch-alias: {error}."), "".join(traceback.format_exception_only(error)).strip()
    goes_on = _("What was done is in the ledger; the same command goes on.")
    try:
        with tempfile.NamedTemporaryFile("w", -1, "utf-8", None, ".log", "batch-alias-", delete=False) as file:
            traceback.print_exception(error, file=file)
    except OSError:  # no space is left, for example
        traceback.print_exception(error)
        return InternalError(
            problem, "Please report it with the traceback above. {goes_on}", error=said, goes_on=goes_on
        )
    advice = N_("Please report it with the traceback in {file}. {goes_on}")
    return InternalError(problem, advice, error=said, file=file.name, goes_on=goes_on)


if __name__ == "__main__":
    main()
