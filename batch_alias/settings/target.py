"""Where the aliases are set, and as which app."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from batch_alias.errors import UsageError
from batch_alias.settings.options import Option, validate
from batch_alias.text import N_, _, enumeration, quoted

REGIONS: Mapping[str, tuple[str, str]] = {
    "beijing": ("https://api.rong-api.com", "https://api-b.rong-api.com"),
    "singapore": ("https://api.sg-light-api.com", "https://api-b.sg-light-api.com"),
    "singapore-b": ("https://api.sg-b-light-api.com", "https://api-b.sg-b-light-api.com"),
    "north-america": ("https://api.us-light-api.com", "https://api-b.us-light-api.com"),
    "saudi-arabia": ("https://api.sau-light-api.com", "https://api-b.sau-light-api.com"),
}
"""RongCloud's data centres: the base URL of the primary host and of its backup, which is behind another CDN.

Source: RongCloud's documentation ("API domains") and the host tables of its server SDKs.
"""

_URL = re.compile(r"(?i:https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?(/[A-Za-z0-9._~%/-]*)?")


class Secret:
    """The App Secret: a value that does not show itself in ``repr``, ``str``, a traceback's locals or a log.

    It is no dataclass, so that ``asdict`` of what holds it does not take it apart.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: where a request is signed, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the aliases are set, and as which app.

    Raises:
        UsageError: There is no target or more than one, a URL is malformed, or the App Key or secret is missing.
    """

    sandbox: Annotated[bool, Option("Send to an emulation of RongCloud on this machine.")] = False
    region: Annotated[
        str | None,
        Option("Data centre of your app (or RONGCLOUD_REGION).", choices=tuple(REGIONS), variable="RONGCLOUD_REGION"),
    ] = None
    url: Annotated[
        str | None,
        Option("Your own deployment and its backup (or RONGCLOUD_URL).", "URL[,URL]", variable="RONGCLOUD_URL"),
    ] = None
    allow_http: Annotated[bool, Option("Permit an http:// URL to another machine.")] = False
    ca_bundle: Annotated[
        Path | None, Option("Trust these certificate authorities (PEM) instead of the public ones.", "FILE")
    ] = None
    no_proxy: Annotated[bool, Option("Ignore the proxy environment variables.")] = False
    app_key: str = ""  # on the command line RONGCLOUD_APP_KEY
    app_secret: Secret = field(default_factory=lambda: Secret(""))  # and RONGCLOUD_APP_SECRET

    def __post_init__(self) -> None:
        flags = {"--sandbox": self.sandbox, "--region": self.region, "--url": self.url}
        given = [flag for flag, value in flags.items() if value]
        if not given:
            raise UsageError("No target: pass --region, --url or --sandbox.")
        if len(given) > 1:
            raise UsageError("More than one target: {given}.", "Pass one of them.", given=enumeration(given))
        if self.sandbox:
            return
        validate(self)
        if len(self.urls) > 2:
            raise UsageError("--url has {count} URLs.", "Pass one, or a primary and its backup.", count=len(self.urls))
        for url in self.urls:
            _check_url(url, allow_http=self.allow_http)
        # A header or a signature that cannot be made would look like a service that is down.
        for name, value, variable in (
            ("App Key", self.app_key, "RONGCLOUD_APP_KEY"),
            ("App Secret", self.app_secret.reveal(), "RONGCLOUD_APP_SECRET"),
        ):
            if not value:
                raise UsageError("The {name} is missing.", "Set {variable}.", name=name, variable=variable)
            if not value.isprintable() or " " in value or (name == "App Key" and not value.isascii()):
                problem = N_("The {name} contains characters that do not belong in it.")
                raise UsageError(problem, "Check {variable}.", name=name, variable=variable)

    @property
    def urls(self) -> tuple[str, ...]:
        """One or two base URLs of the same data centre, the primary first; none for the sandbox."""
        if self.region is not None:
            return REGIONS[self.region]
        return tuple(part.strip() for part in self.url.split(",")) if self.url else ()

    @property
    def name(self) -> str:
        """The hosts, or the sandbox, as it is shown."""
        if self.sandbox:
            return _("the sandbox")
        hosts = [urlsplit(url).netloc for url in self.urls]
        return _("{primary} and {backup}", primary=hosts[0], backup=hosts[1]) if len(hosts) == 2 else hosts[0]

    @property
    def address(self) -> dict[str, object]:
        """The fields that say where it is and how it is reached, as far as they are set, of JSON's types."""
        names = ("sandbox", "region", "url", "allow_http", "no_proxy")
        given = {name: value for name in names if (value := getattr(self, name))}
        return given if self.ca_bundle is None else {**given, "ca_bundle": str(self.ca_bundle.absolute())}

    @property
    def masked_key(self) -> str:
        """The App Key with its middle hidden, as it is shown."""
        return f"{self.app_key[:3]}…{self.app_key[-3:]}" if len(self.app_key) > 8 else "…"

    @property
    def key_hash(self) -> str:
        """A hash of the App Key, which identifies the app and does not give the key away."""
        return hash_of(self.app_key)

    @property
    def fingerprint(self) -> str:
        """Identifies app and place in a job's ledger: a hash of the App Key and a name.

        The place is a region or a set of hosts with their paths; how they are reached may be corrected.
        """
        if self.sandbox:
            return "- the sandbox"
        parts = map(urlsplit, self.urls)
        hosts = sorted({f"{part.netloc.lower()}{part.path.rstrip('/')}" for part in parts})
        place = f"the region {self.region}" if self.region is not None else " and ".join(hosts)
        return f"{self.key_hash} {place}"


def arguments_of(address: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a target for its address as it was noted, see ``Target.address``."""
    known = dict(address)
    return known | {"ca_bundle": Path(known["ca_bundle"])} if "ca_bundle" in known else known


def hash_of(app_key: str) -> str:
    """A hash of an App Key."""
    return hashlib.sha256(app_key.encode()).hexdigest()[:16]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: ``localhost``, 127.0.0.0/8 or ``::1``."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_url(url: str, *, allow_http: bool) -> None:
    example = N_("Write it as https://api.example.com.")
    if "@" in url:
        raise UsageError("A URL contains a user name or a password.", example)
    try:
        parts = urlsplit(url)
        is_plain = _URL.fullmatch(url) and parts.hostname and parts.port != 0  # a host and a path and nothing else
    except ValueError:
        is_plain = False
    if not is_plain:
        raise UsageError("{url} is not the URL of a service.", example, url=quoted(url))
    if parts.scheme == "http" and not is_loopback(parts.hostname or "") and not allow_http:
        advice = N_("Use https://, or pass --allow-http if the network is yours.")
        raise UsageError("{url} is not encrypted: names and ids could be read on the way.", advice, url=url)
