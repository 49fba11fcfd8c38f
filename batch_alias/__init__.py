"""Set RongCloud group member push aliases in bulk."""

__version__ = "0.1.0"
