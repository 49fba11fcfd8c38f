"""The flags: their names, types and environment variables, and how they become settings."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, TypeVar

import click
import cloup
from click.core import ParameterSource

from batch_alias.errors import UsageError
from batch_alias.rongcloud.regions import REGIONS, region_urls
from batch_alias.settings import Reading, Secret, Service, Settings

Command = TypeVar("Command", bound=Callable[..., object])

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


class ReadingFlags(TypedDict):
    """How the source is read."""

    user_column: str | None
    group_column: str | None
    remark_column: str | None
    sheet: str | None


class ServiceFlags(TypedDict):
    """Where it goes, and as whom."""

    sandbox: bool
    region: str | None
    url: str | None
    allow_http: bool
    ca_bundle: Path | None
    proxies: bool


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
    """What is said, and whether it is asked."""

    yes: bool
    quiet: bool
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
    json: bool


class Share(click.ParamType[float]):
    """A share of something: ``5%`` or ``0.05``."""

    name = "share"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share as a number from 0 to 1."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"{value!r} is not a share; write 5% or 0.05.", param, ctx)
        if not 0 <= share <= 1:
            self.fail(f"{value!r} is not between 0% and 100%.", param, ctx)
        return share


class Duration(click.ParamType[float]):
    """A time span: ``90``, ``90s``, ``30m``, ``2h``."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The time span in seconds."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
        try:
            return float(text[:-1]) * factor if factor else float(text)
        except ValueError:
            self.fail(f"{value!r} is not a time; write 90s, 30m or 2h.", param, ctx)


class Flag(cloup.Option):
    """A flag that an environment variable sets as well: ``--max-rejected`` is ``BATCH_ALIAS_MAX_REJECTED``."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """The value of its own variable, or of ours."""
        name = max(self.opts, key=len).removeprefix("--").replace("-", "_").upper()
        return super().resolve_envvar_value(ctx) or os.environ.get(f"BATCH_ALIAS_{name}") or None


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
as_json = cloup.option("--json", cls=Flag, is_flag=True, help="Print the summary as JSON on standard output.")

reading = cloup.option_group(
    "Reading the source",
    cloup.option(
        "--user-column", cls=Flag, metavar="NAME", help="The column of the user ids; found by its name otherwise."
    ),
    cloup.option("--group-column", cls=Flag, metavar="NAME", help="The column of the group ids."),
    cloup.option("--remark-column", cls=Flag, metavar="NAME", help="The column of the aliases."),
    cloup.option("--sheet", cls=Flag, metavar="NAME", help="The sheet of a workbook."),
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
        "proxies",
        cls=Flag,
        is_flag=True,
        flag_value=False,
        default=True,
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
    cloup.option(
        "--timeout", cls=Flag, type=Duration(), default="10", show_default=True, help="Seconds for a whole attempt."
    ),
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
    as_json,
)


def read_settings(flags: ReadingFlags) -> Reading:
    """How the source is read, from the flags."""
    return Reading(
        user_column=flags["user_column"],
        group_column=flags["group_column"],
        remark_column=flags["remark_column"],
        sheet=flags["sheet"],
    )


def service_of(flags: ServiceFlags) -> Service | None:
    """The service, from flags and environment; ``None`` for the sandbox.

    A flag wins over an environment variable, and ``--sandbox`` over both.

    Raises:
        UsageError: It is not clear which service is meant, or the credentials are missing.
    """
    if flags["sandbox"]:
        return None
    region, url = flags["region"], flags["url"]
    if region and url:
        source = click.get_current_context().get_parameter_source
        typed = {name for name in ("region", "url") if source(name) is ParameterSource.COMMANDLINE}
        if len(typed) != 1:
            raise UsageError("Both a region and a URL were given.", "Give one of them.")
        region, url = (region, None) if "region" in typed else (None, url)
    if not region and not url:
        raise UsageError(
            "Where to send is not said.",
            "Say --sandbox to try it out, --region NAME for a RongCloud data centre, or --url URL.",
        )
    urls = region_urls(region) if region else tuple(part.strip() for part in (url or "").split(","))
    return Service(
        urls=urls,
        app_key=os.environ.get("RONGCLOUD_APP_KEY", ""),
        app_secret=Secret(os.environ.get("RONGCLOUD_APP_SECRET", "")),
        allow_http=flags["allow_http"],
    )


def run_settings(flags: RunFlags) -> Settings:
    """The settings of ``run``.

    Raises:
        UsageError: A value is missing or out of its range.
    """
    return replace(
        _sending_settings(flags, source=flags["source"], job=flags["job"]),
        reading=read_settings(flags),
        max_rejected=flags["max_rejected"],
    )


def check_settings(flags: CheckFlags) -> Settings:
    """The settings of ``check``.

    Raises:
        UsageError: A value is out of its range.
    """
    return Settings(
        source=flags["source"],
        rate=flags["rate"],
        max_rejected=flags["max_rejected"],
        reading=read_settings(flags),
    )


def retry_settings(flags: RetryFlags) -> Settings:
    """The settings of ``retry``.

    Raises:
        UsageError: A value is missing or out of its range.
    """
    return _sending_settings(flags, source=None, job=flags["job"])


def _sending_settings(flags: SendingFlags, *, source: Path | None, job: Path | None) -> Settings:
    return Settings(
        source=source,
        job=job,
        service=service_of(flags),
        sandbox=flags["sandbox"],
        rate=flags["rate"],
        max_in_flight=flags["max_in_flight"],
        attempts=flags["attempts"],
        timeout=flags["timeout"],
        patience=flags["patience"],
        max_failed=flags["max_failed"],
        limit=flags["limit"],
        ca_bundle=flags["ca_bundle"],
        proxies=flags["proxies"],
    )
