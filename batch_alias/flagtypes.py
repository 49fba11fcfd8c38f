"""What a flag is and what it can hold, beyond what click knows."""

import os
from pathlib import Path

import click
import cloup

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


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
