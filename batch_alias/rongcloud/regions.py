"""RongCloud's data centres and their hosts.

An app lives in one data centre; another one refuses its key. Each has a primary and a backup host behind different
CDNs. Source: RongCloud's documentation ("API domains") and the host tables of its server SDKs.
"""

from collections.abc import Mapping
from types import MappingProxyType

from batch_alias.errors import UsageError

REGIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "beijing": ("https://api.rong-api.com", "https://api-b.rong-api.com"),
        "singapore": ("https://api.sg-light-api.com", "https://api-b.sg-light-api.com"),
        "singapore-b": ("https://api.sg-b-light-api.com", "https://api-b.sg-b-light-api.com"),
        "north-america": ("https://api.us-light-api.com", "https://api-b.us-light-api.com"),
        "saudi-arabia": ("https://api.sau-light-api.com", "https://api-b.sau-light-api.com"),
    }
)


def region_urls(name: str) -> tuple[str, str]:
    """The base URLs of a data centre, the primary first.

    Raises:
        UsageError: There is no such data centre.
    """
    try:
        return REGIONS[name]
    except KeyError:
        raise UsageError(f"There is no region {name!r}.", f"Choose one of {', '.join(REGIONS)}.") from None
