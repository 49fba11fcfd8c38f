"""The flags of every command."""

from pathlib import Path
from typing import TypedDict

import click
import cloup

from batch_alias.flagtypes import FILE, Duration, Flag, Share
from batch_alias.rongcloud.regions import REGIONS
from batch_alias.settings import Format


class ReadingFlags(TypedDict):
    """How the source is read."""

    user_column: str | None
    group_column: str | None
    remark_column: str | None
    sheet: str | None
    file_format: str | None
    encoding: str | None
    delimiter: str | None
    no_header: bool
    strict: bool
    accept: tuple[str, ...]


class ServiceFlags(TypedDict):
    """Where it goes, and as whom."""

    sandbox: bool
    region: str | None
    url: str | None
    allow_http: bool
    ca_bundle: Path | None
    no_proxy: bool


class SendingFlags(ServiceFlags):
    """How it is sent."""

    rate: int
    max_in_flight: int
    attempts: int
    timeout: float
    patience: float
    max_failed: float
    limit: int | None


class OutputFlags(TypedDict):
    """What is said, written, and whether it is asked."""

    yes: bool
    quiet: bool
    verbose: bool
    log: Path | None
    xlsx: bool
    json: bool


class RunFlags(ReadingFlags, SendingFlags, OutputFlags):
    """All flags of ``run``."""

    source: Path
    job: Path | None
    max_rejected: float


class RetryFlags(SendingFlags, OutputFlags):
    """All flags of ``retry``."""

    job: Path


class CheckFlags(ReadingFlags):
    """All flags of ``check``."""

    source: Path
    rate: int
    max_rejected: float
    problems: Path | None
    json: bool


class DoctorFlags(ServiceFlags):
    """All flags of ``doctor``."""

    rate: int
    timeout: float


class SandboxFlags(TypedDict):
    """All flags of ``sandbox``."""

    port: int
    rate: int
    latency: float
    jitter: float
    errors: float
    drops: float
    hangs: float
    pages: float
    refusals: float
    outage: tuple[float, float] | None
    seed: int


rate = cloup.option(
    "--rate", cls=Flag, default=100, show_default=True, help="Requests per second, never exceeded in any second."
)
max_rejected = cloup.option(
    "--max-rejected",
    cls=Flag,
    type=Share(),
    default="5%",
    show_default=True,
    help="Send nothing when more of the rows are rejected.",
)
timeout = cloup.option(
    "--timeout", cls=Flag, type=Duration(), default="10", show_default=True, help="Seconds for a whole attempt."
)
NO_HEADER = "The first row is data; name the three columns by their numbers, from 1."

as_json = cloup.option("--json", cls=Flag, is_flag=True, help="Print the summary as JSON on standard output.")

reading = cloup.option_group(
    "Reading the source",
    cloup.option(
        "--user-column", cls=Flag, metavar="NAME", help="The column of the user ids; found by its name otherwise."
    ),
    cloup.option("--group-column", cls=Flag, metavar="NAME", help="The column of the group ids."),
    cloup.option("--remark-column", cls=Flag, metavar="NAME", help="The column of the aliases."),
    cloup.option(
        "--sheet", cls=Flag, metavar="NAME", help="The sheet of a workbook; the one with the columns otherwise."
    ),
    cloup.option(
        "--no-header",
        cls=Flag,
        is_flag=True,
        help=NO_HEADER,
    ),
    cloup.option("--encoding", cls=Flag, metavar="NAME", help="The text's encoding, such as gb18030; found otherwise."),
    cloup.option("--delimiter", cls=Flag, metavar="CHAR", help="Comma, tab, semicolon or pipe; found otherwise."),
    cloup.option(
        "--format",
        "file_format",
        cls=Flag,
        type=click.Choice([kind.value for kind in Format]),
        help="The kind of file; found by its content otherwise.",
    ),
    cloup.option("--strict", cls=Flag, is_flag=True, help="Reject rows with warnings too."),
    cloup.option("--accept", cls=Flag, multiple=True, metavar="REASON", help="Let one kind of rejection through."),
)

service = cloup.option_group(
    "Where to send, and as whom (key and secret: RONGCLOUD_APP_KEY, RONGCLOUD_APP_SECRET)",
    cloup.option(
        "--sandbox", cls=Flag, is_flag=True, help="RongCloud's calls emulated on this machine; nothing leaves it."
    ),
    cloup.option(
        "--region",
        cls=Flag,
        envvar="RONGCLOUD_REGION",
        type=click.Choice(list(REGIONS)),
        help="The data centre your app lives in (or RONGCLOUD_REGION).",
    ),
    cloup.option(
        "--url",
        cls=Flag,
        envvar="RONGCLOUD_URL",
        metavar="URL[,URL]",
        help="Your own deployment, and its backup (or RONGCLOUD_URL).",
    ),
    cloup.option("--allow-http", cls=Flag, is_flag=True, help="Permit an http:// URL that is not this machine."),
    cloup.option(
        "--ca-bundle",
        cls=Flag,
        type=FILE,
        metavar="FILE",
        help="Trust these authorities (PEM) instead of the public ones.",
    ),
    cloup.option(
        "--no-proxy",
        cls=Flag,
        is_flag=True,
        help="Ignore the proxy variables.",
    ),
)

sending = cloup.option_group(
    "Sending",
    rate,
    cloup.option(
        "--max-in-flight", cls=Flag, default=512, show_default=True, help="Most requests (and connections) at once."
    ),
    cloup.option(
        "--attempts",
        cls=Flag,
        default=6,
        show_default=True,
        help="Most attempts per row; refusals by the limit do not count.",
    ),
    timeout,
    cloup.option(
        "--patience",
        cls=Flag,
        type=Duration(),
        default="30m",
        show_default=True,
        help="Longest outage to sit out; 0: any.",
    ),
    cloup.option(
        "--max-failed",
        cls=Flag,
        type=Share(),
        default="10%",
        show_default=True,
        help="Stop when more of the last 1,000 rows have failed.",
    ),
    cloup.option("--limit", cls=Flag, type=int, metavar="N", help="Send N rows at most in this run."),
)

faults = cloup.option_group(
    "Faults, drawn from a seed so that a run can be repeated",
    cloup.option("--latency", cls=Flag, type=float, default=0, metavar="SECONDS", help="Mean time to an answer."),
    cloup.option("--jitter", cls=Flag, type=Share(), default="0%", help="By how much of it the latency varies."),
    cloup.option("--errors", cls=Flag, type=Share(), default="0%", help="HTTP 500 to 504, with and without a code."),
    cloup.option(
        "--drops", cls=Flag, type=Share(), default="0%", help="Connections dropped, before and after the write."
    ),
    cloup.option("--hangs", cls=Flag, type=Share(), default="0%", help="No answer, before and after the write."),
    cloup.option("--pages", cls=Flag, type=Share(), default="0%", help="A gateway's HTML page."),
    cloup.option("--refusals", cls=Flag, type=Share(), default="0%", help="Code 1008 although under the limit."),
    cloup.option(
        "--outage",
        cls=Flag,
        type=float,
        nargs=2,
        metavar="FROM TO",
        help="Everything fails, from and to so many seconds after the first request.",
    ),
    cloup.option("--seed", cls=Flag, type=int, default=0, help="Of the draws."),
)

output = cloup.option_group(
    "Output",
    cloup.option("--yes", cls=Flag, is_flag=True, help="Do not ask before sending."),
    cloup.option("--quiet", cls=Flag, is_flag=True, help="Say nothing but problems."),
    cloup.option("--verbose", "-v", cls=Flag, is_flag=True, help="Say each retry."),
    cloup.option("--log", cls=Flag, type=FILE, metavar="FILE", help="Write every attempt as a JSON line; rotates."),
    cloup.option("--xlsx", cls=Flag, is_flag=True, help="Write results.xlsx too; a workbook's job always does."),
    as_json,
)
