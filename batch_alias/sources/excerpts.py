"""Values of a source as they are shown to people: short, and with nothing invisible in them."""

LONGEST = 40


def excerpt(value: str) -> str:
    r"""The value in quotes, cut to ``LONGEST`` characters, what cannot be seen written as an escape.

    >>> excerpt("u1\u200b")
    "'u1\\u200b'"
    """
    return repr(value) if len(value) <= LONGEST else f"{value[:LONGEST]!r}…"


def listing(names: tuple[str, ...], most: int = 20) -> str:
    """Column or sheet names, in quotes and in order, at most ``most`` of them."""
    shown = ", ".join(excerpt(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
