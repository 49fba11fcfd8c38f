"""From flags and environment to settings."""

import os
from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource

from batch_alias.errors import UsageError
from batch_alias.flags import (
    CheckFlags,
    DoctorFlags,
    ReadingFlags,
    RetryFlags,
    RunFlags,
    SandboxFlags,
    SendingFlags,
    ServiceFlags,
)
from batch_alias.rongcloud.regions import region_urls
from batch_alias.sandbox.faults import Faults, Outage, mixed
from batch_alias.settings import Format, Reading, Secret, Service, Settings


def read_settings(flags: ReadingFlags) -> Reading:
    """How the source is read, from the flags."""
    return Reading(
        user_column=flags["user_column"],
        group_column=flags["group_column"],
        remark_column=flags["remark_column"],
        sheet=flags["sheet"],
        format=Format(flags["file_format"]) if flags["file_format"] else None,
        encoding=flags["encoding"],
        delimiter=flags["delimiter"],
        header=not flags["no_header"],
        strict=flags["strict"],
        accept=frozenset(flags["accept"]),
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
        xlsx=flags["xlsx"],
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
    return replace(_sending_settings(flags, source=None, job=flags["job"]), xlsx=flags["xlsx"])


def doctor_settings(flags: DoctorFlags) -> Settings:
    """The settings of ``doctor``.

    Raises:
        UsageError: A value is missing or out of its range.
    """
    return Settings(
        job=Path(),
        service=service_of(flags),
        rate=flags["rate"],
        timeout=flags["timeout"],
        ca_bundle=flags["ca_bundle"],
        proxies=not flags["no_proxy"],
    )


def sandbox_faults(flags: SandboxFlags) -> Faults:
    """How the sandbox is to misbehave.

    Raises:
        UsageError: A value is out of its range.
    """
    faults = mixed(
        latency=flags["latency"],
        jitter=flags["jitter"],
        errors=flags["errors"],
        drops=flags["drops"],
        hangs=flags["hangs"],
        pages=flags["pages"],
        refusals=flags["refusals"],
        seed=flags["seed"],
    )
    if flags["outage"] is None:
        return faults
    start, end = flags["outage"]
    return replace(faults, outages=(Outage(start=start, end=end),))


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
        proxies=not flags["no_proxy"],
    )
