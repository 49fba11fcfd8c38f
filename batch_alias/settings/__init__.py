"""The settings. A field with an ``Option`` is a flag: its type, default, range and help stand on it, once."""

from batch_alias.settings.job import DELIMITERS, STDIN, Format, Output, Reading, Sending, Settings
from batch_alias.settings.options import Option, Unit, as_typed, options, validate
from batch_alias.settings.target import REGIONS, Secret, Target

__all__ = [
    "DELIMITERS",
    "REGIONS",
    "STDIN",
    "Format",
    "Option",
    "Output",
    "Reading",
    "Secret",
    "Sending",
    "Settings",
    "Target",
    "Unit",
    "as_typed",
    "options",
    "validate",
]
