"""Set RongCloud group member push aliases in bulk, from CSV or Excel, accounting for every row.

The library does what the command line does::

    from batch_alias import Secret, Service, Settings, region_urls, run_job

    service = Service(urls=region_urls("beijing"), app_key="...", app_secret=Secret("..."))
    summary = await run_job(Settings(source=Path("nicknames.xlsx"), service=service))
"""

from typing import TYPE_CHECKING

from batch_alias.version import __version__

if TYPE_CHECKING:
    from batch_alias.check import check_source
    from batch_alias.job import run_job
    from batch_alias.rongcloud.regions import region_urls
    from batch_alias.settings import Reading, Secret, Service, Settings

__all__ = ["Reading", "Secret", "Service", "Settings", "__version__", "check_source", "region_urls", "run_job"]

_HOME = {
    "Reading": "batch_alias.settings",
    "Secret": "batch_alias.settings",
    "Service": "batch_alias.settings",
    "Settings": "batch_alias.settings",
    "check_source": "batch_alias.check",
    "region_urls": "batch_alias.rongcloud.regions",
    "run_job": "batch_alias.job",
}


def __getattr__(name: str) -> object:
    # Imported when asked for, so that `batch-alias --help` needs neither pandas nor httpx.
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
