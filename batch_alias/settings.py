"""Everything a run can be told, validated once."""

import hashlib
import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from batch_alias.errors import UsageError

DELIMITER_NAMES = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_URL = re.compile(r"(?i:https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?(/[A-Za-z0-9._~%/-]*)?")


class Secret:
    """The App Secret: a value that does not show itself.

    It never appears in ``repr``, ``str``, a traceback's locals or a log line; ``reveal`` is called where a request is
    signed and nowhere else. It is no dataclass, so that ``asdict`` of what holds it does not take it apart.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where the aliases are set, and as whom.

    Attributes:
        urls: One or two base URLs of the same data centre, the primary first.
        app_key: The application's App Key.
        app_secret: The App Secret that belongs to it.
        allow_http: Permit ``http://`` to a host that is not this machine.

    Raises:
        UsageError: A URL, the key or the secret is missing or malformed.
    """

    urls: tuple[str, ...]
    app_key: str
    app_secret: Secret
    allow_http: bool = False

    def __post_init__(self) -> None:
        if not self.app_key:
            raise UsageError("The App Key is missing.", "Set the environment variable RONGCLOUD_APP_KEY.")
        # Checked here since a header or a signature that cannot be made would look like a service that is down.
        if not (self.app_key.isascii() and _is_one_word(self.app_key)):
            raise UsageError("The App Key has characters that no App Key has.", "Look at RONGCLOUD_APP_KEY.")
        if not self.app_secret.reveal():
            raise UsageError("The App Secret is missing.", "Set the environment variable RONGCLOUD_APP_SECRET.")
        if not _is_one_word(self.app_secret.reveal()):
            raise UsageError("The App Secret has characters that no App Secret has.", "Look at RONGCLOUD_APP_SECRET.")
        if not 1 <= len(self.urls) <= 2:
            raise UsageError(f"{len(self.urls)} URLs were given.", "Give one, or a primary and its backup.")
        for url in self.urls:
            self._check_url(url)

    def _check_url(self, url: str) -> None:
        if "@" in url:
            raise UsageError("A URL has a name or a password in it.", "Write it as https://api.example.com.")
        parts = _split(url)
        if parts is None:
            raise UsageError(f"{url!r} is not the URL of a service.", "Write it as https://api.example.com.")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK and not self.allow_http:
            raise UsageError(
                f"{url} is not encrypted: names and ids would be readable on the way.",
                "Use https://, or say --allow-http if that network is yours.",
            )

    @property
    def hosts(self) -> str:
        """The hosts, for people."""
        return " and ".join(urlsplit(url).netloc for url in self.urls)

    @property
    def masked_key(self) -> str:
        """The App Key with its middle hidden, for people and reports."""
        key = self.app_key
        return f"{key[:3]}…{key[-3:]}" if len(key) > 8 else "…"

    @property
    def fingerprint(self) -> str:
        """A short hash of the App Key: which application a job belongs to, without saying the key."""
        return hashlib.sha256(self.app_key.encode()).hexdigest()[:16]


class Format(StrEnum):
    """The kinds of files that are read."""

    TEXT = "csv"
    """Delimited text: CSV, TSV and their relatives."""
    WORKBOOK = "excel"
    """.xlsx, .xlsm, .xlsb, .xls or .ods."""
    JSON_LINES = "jsonl"
    """One JSON object a line."""
    PARQUET = "parquet"
    """Apache Parquet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the source is to be read; part of a job's identity.

    Attributes:
        user_column: The header of the user ids (its number without a header); ``None`` finds it.
        group_column: The header of the group ids (its number without a header); ``None`` finds it.
        remark_column: The header of the aliases (its number without a header); ``None`` finds it.
        sheet: The sheet of a workbook; ``None`` takes the only visible one that has the columns.
        format: What kind of file it is; ``None`` looks at its content.
        encoding: The text's encoding, as Python names it; ``None`` finds it.
        delimiter: What separates the fields: a character, or comma, tab, semicolon or pipe; ``None`` finds it.
        header: Whether the first row names the columns.
        strict: Warnings reject.
        accept: Reasons of rejections that are let through.

    Raises:
        UsageError: There is no such encoding, or the delimiter cannot separate fields.
    """

    user_column: str | None = None
    group_column: str | None = None
    remark_column: str | None = None
    sheet: str | None = None
    format: Format | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool = True
    strict: bool = False
    accept: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, UnicodeError, ValueError):
                raise UsageError(
                    f"There is no encoding {self.encoding!r}.", "Try utf-8, utf-16, gb18030 or big5."
                ) from None
        single = self.separator
        if single is not None and (len(single) != 1 or single.isalnum() or single in '"\r\n\0'):
            raise UsageError(f"{self.delimiter!r} cannot separate fields.", "Try comma, tab, semicolon or pipe.")

    @property
    def separator(self) -> str | None:
        """The delimiter as a character."""
        return None if self.delimiter is None else DELIMITER_NAMES.get(self.delimiter, self.delimiter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One job: what is read, where it goes, and how.

    Attributes:
        source: The file of rows; ``None`` for a job that is already staged, which then must be named.
        job: The job's folder; ``None`` takes ``SOURCE-STEM.aliases`` in the working directory.
        service: Where the aliases are set. Not needed for a check or on the sandbox.
        sandbox: Use RongCloud's emulation, started on this machine for the length of the run.
        reading: How the source is read.
        rate: Attempts per second, never exceeded in any second.
        max_in_flight: Most attempts under way at once, which is also the most connections.
        attempts: Most attempts for a row in one run; refusals by the limit do not count.
        timeout: Seconds for a whole attempt.
        max_rejected: Share of the rows, 0 to 1, that may be rejected before nothing is sent.
        max_failed: Share of the last 1,000 settled rows, 0 to 1, that may have failed before the run stops.
        patience: Seconds without any progress (an outage, refusals only) after which the run stops; 0 waits for ever.
        limit: Most rows to send in this run; ``None`` sends all.
        ca_bundle: A PEM file of the authorities to trust instead of the public ones, for a private cloud.
        proxies: Honour the proxy environment variables.
        xlsx: Write ``results.xlsx`` too; the job of a workbook always does.

    Raises:
        UsageError: A value is out of its range.
    """

    source: Path | None = None
    job: Path | None = None
    service: Service | None = None
    sandbox: bool = False
    reading: Reading = field(default_factory=Reading)
    rate: int = 100
    max_in_flight: int = 512
    attempts: int = 6
    timeout: float = 10.0
    max_rejected: float = 0.05
    max_failed: float = 0.10
    patience: float = 1800.0
    limit: int | None = None
    ca_bundle: Path | None = None
    proxies: bool = True
    xlsx: bool = False

    def __post_init__(self) -> None:
        _whole("rate", self.rate, 1, 10_000)
        _whole("max-in-flight", self.max_in_flight, 1, 4096)
        _whole("attempts", self.attempts, 1, 100)
        if self.limit is not None:
            _whole("limit", self.limit, 1, 2**62)
        if not (math.isfinite(self.timeout) and 0.1 <= self.timeout <= 600):
            raise UsageError(f"--timeout is {self.timeout}.", "Give seconds from 0.1 to 600.")
        if not (math.isfinite(self.patience) and self.patience >= 0):
            raise UsageError(f"--patience is {self.patience}.", "Give a time, or 0 to wait for ever.")
        _share("max-rejected", self.max_rejected)
        _share("max-failed", self.max_failed)
        if self.sandbox and self.service is not None:
            raise UsageError("Both the sandbox and a real service were named.", "Choose one.")
        if self.source is None and self.job is None:
            raise UsageError("Neither a source nor a job was named.", "Name one.")

    @property
    def job_folder(self) -> Path:
        """Where the job lives."""
        if self.job is not None:
            return self.job
        return Path(f"{self.source.stem}.aliases" if self.source is not None else "")


def _is_one_word(text: str) -> bool:
    return text.isprintable() and " " not in text


def _split(url: str) -> SplitResult | None:
    """A URL of nothing but a host and a path, taken apart."""
    try:
        parts = urlsplit(url)
        return parts if _URL.fullmatch(url) and parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"--{name} is {value:.0%}.", "Give a share from 0% to 100%.")


def _whole(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"--{name} is {value}.", f"Give a whole number from {least:,} to {most:,}.")
